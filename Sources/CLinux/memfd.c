/* A sealed anonymous file, for handing a secret to a child process outside its arguments and environment. */
#define _GNU_SOURCE
#include "clinux_memfd.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int fill(int fd, const char *bytes, size_t count) {
  while (count > 0) {
    ssize_t written = write(fd, bytes, count);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return -1;
    bytes += written;
    count -= (size_t)written;
  }
  return 0;
}

int clinux_sealed_file(const char *name, const void *bytes, size_t count, int lowest) {
  int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return -1;
  int inherited = -1;
  if (fchmod(fd, 0600) == 0 && fill(fd, bytes, count) == 0 && lseek(fd, 0, SEEK_SET) == 0 &&
      fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0)
    inherited = fcntl(fd, F_DUPFD, lowest);
  int failure = errno;
  close(fd);
  errno = failure;
  return inherited;
}
