#define _GNU_SOURCE
#include "clinux.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

// Newer than the headers of Debian 12. Source: include/uapi/asm-generic/socket.h of Linux 6.5.
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

_Static_assert(CLINUX_IN == (int)EPOLLIN && CLINUX_OUT == (int)EPOLLOUT && CLINUX_ERR == (int)EPOLLERR &&
                   CLINUX_HUP == (int)EPOLLHUP,
               "the header repeats the kernel's numbers");

static int address_of(const char *path, struct sockaddr_un *address) {
  size_t length = strlen(path);
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  if (length == 0) return -EINVAL;
  if (length >= sizeof address->sun_path) return -ENAMETOOLONG;
  memcpy(address->sun_path, path, length);
  return 0;
}

static int close_with(int fd, int error) {
  close(fd);
  return -error;
}

int clinux_listen_unix(const char *path, unsigned mode, int backlog) {
  struct sockaddr_un address;
  int rc = address_of(path, &address);
  if (rc < 0) return rc;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) return close_with(fd, errno);
  // Before listen(): nobody can connect while the mode is still the umask's.
  if (chmod(path, mode) < 0 || listen(fd, backlog) < 0) {
    int error = errno;
    unlink(path);
    return close_with(fd, error);
  }
  return fd;
}

int clinux_probe_unix(const char *path) {
  struct sockaddr_un address;
  int rc = address_of(path, &address);
  if (rc < 0) return rc;
  struct stat status;
  if (lstat(path, &status) < 0) return -errno;
  if (!S_ISSOCK(status.st_mode)) return -ENOTSOCK;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  int connected = connect(fd, (struct sockaddr *)&address, sizeof address);
  int error = errno;
  close(fd);
  // EAGAIN: the backlog of a live listener is full. EPROTOTYPE: somebody serves another kind of socket.
  if (connected == 0 || error == EAGAIN || error == EPROTOTYPE) return 1;
  return error == ECONNREFUSED ? 0 : -error;
}

int clinux_adopt_listener(int fd) {
  int value = 0;
  socklen_t length = sizeof value;
  if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &value, &length) < 0) return -errno;
  if (value != AF_UNIX) return -EAFNOSUPPORT;
  length = sizeof value;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &length) < 0) return -errno;
  if (value != SOCK_STREAM) return -EPROTOTYPE;
  length = sizeof value;
  if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &length) < 0) return -errno;
  if (value == 0) return -EINVAL;
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) return -errno;
  return 0;
}

int clinux_accept(int listener) {
  int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

ssize_t clinux_send(int fd, const void *bytes, size_t count) {
  ssize_t n;
  do n = send(fd, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT);
  while (n < 0 && errno == EINTR);
  return n < 0 ? -errno : n;
}

ssize_t clinux_receive(int fd, void *bytes, size_t count) {
  ssize_t n;
  do n = read(fd, bytes, count);
  while (n < 0 && errno == EINTR);
  return n < 0 ? -errno : n;
}

int clinux_peer_credentials(int fd, clinux_peer *peer) {
  struct ucred credentials;
  socklen_t length = sizeof credentials;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) < 0) return -errno;
  *peer = (clinux_peer){.uid = credentials.uid, .gid = credentials.gid, .pid = credentials.pid};
  return 0;
}

int clinux_peer_groups(int fd, uint32_t *groups, size_t capacity) {
  _Static_assert(sizeof(gid_t) == sizeof(uint32_t), "group numbers have 32 bits");
  socklen_t length = (socklen_t)(capacity * sizeof *groups);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &length) < 0) return -errno;
  return (int)(length / sizeof *groups);
}

int clinux_peer_pidfd(int fd) {
  int pidfd = -1;
  socklen_t length = sizeof pidfd;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &length) < 0) return -errno;
  return pidfd;
}

int clinux_pidfd_open(int pid) {
  long fd = syscall(SYS_pidfd_open, pid, 0);
  return fd < 0 ? -errno : (int)fd;
}

int clinux_pidfd_ended(int pidfd) {
  // pidfd_open(2): a pidfd becomes readable when its process terminates.
  struct pollfd entry = {.fd = pidfd, .events = POLLIN};
  int n;
  do n = poll(&entry, 1, 0);
  while (n < 0 && errno == EINTR);
  return n < 0 ? -errno : n > 0;
}

int clinux_epoll_create(void) {
  int fd = epoll_create1(EPOLL_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

static int control(int epoll, int operation, int fd, uint32_t events, uint64_t token) {
  struct epoll_event event = {.events = events, .data.u64 = token};
  return epoll_ctl(epoll, operation, fd, &event) < 0 ? -errno : 0;
}

int clinux_epoll_add(int epoll, int fd, uint32_t events, uint64_t token) {
  return control(epoll, EPOLL_CTL_ADD, fd, events, token);
}

int clinux_epoll_change(int epoll, int fd, uint32_t events, uint64_t token) {
  return control(epoll, EPOLL_CTL_MOD, fd, events, token);
}

int clinux_epoll_remove(int epoll, int fd) { return control(epoll, EPOLL_CTL_DEL, fd, 0, 0); }

int clinux_epoll_wait(int epoll, clinux_ready *ready, int capacity, int timeout_ms) {
  enum { BATCH = 256 };
  struct epoll_event events[BATCH];
  int n = epoll_wait(epoll, events, capacity < BATCH ? capacity : BATCH, timeout_ms);
  if (n < 0) return -errno;
  for (int i = 0; i < n; i++) ready[i] = (clinux_ready){.token = events[i].data.u64, .events = events[i].events};
  return n;
}

int clinux_eventfd(void) {
  int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

void clinux_eventfd_signal(int fd) {
  uint64_t one = 1;
  // Fails only when the counter is full, and then the reader is woken anyway.
  ssize_t n = write(fd, &one, sizeof one);
  (void)n;
}

void clinux_eventfd_drain(int fd) {
  uint64_t count;
  ssize_t n = read(fd, &count, sizeof count);
  (void)n;
}

int64_t clinux_boot_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_BOOTTIME, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int clinux_timerfd(void) {
  int fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

int clinux_timerfd_arm(int fd, int64_t boot_ms) {
  struct itimerspec when = {0};
  if (boot_ms > 0) {
    when.it_value.tv_sec = boot_ms / 1000;
    when.it_value.tv_nsec = boot_ms % 1000 * 1000000;
  }
  return timerfd_settime(fd, TFD_TIMER_ABSTIME, &when, NULL) < 0 ? -errno : 0;
}

void clinux_name_thread(const char *name) { pthread_setname_np(pthread_self(), name); }

void clinux_block_signals(void) {
  sigset_t all;
  sigfillset(&all);
  // Faults of this very thread: blocked, they would kill without a word or go round for ever.
  sigdelset(&all, SIGSEGV);
  sigdelset(&all, SIGBUS);
  sigdelset(&all, SIGILL);
  sigdelset(&all, SIGFPE);
  sigdelset(&all, SIGTRAP);
  sigdelset(&all, SIGABRT);
  sigdelset(&all, SIGSYS);
  pthread_sigmask(SIG_BLOCK, &all, NULL);
}

enum { SIGNALS = 65 };
static _Atomic int signal_target[SIGNALS]; // eventfd + 1; 0: nobody listens

static void count_signal(int number) {
  int saved = errno;
  int target = atomic_load(&signal_target[number]);
  if (target > 0) clinux_eventfd_signal(target - 1);
  errno = saved;
}

int clinux_catch_signal(int number, int eventfd) {
  if (number <= 0 || number >= SIGNALS) return -EINVAL;
  atomic_store(&signal_target[number], eventfd + 1);
  struct sigaction action = {.sa_flags = SA_RESTART};
  action.sa_handler = count_signal;
  sigfillset(&action.sa_mask);
  return sigaction(number, &action, NULL) < 0 ? -errno : 0;
}

void clinux_wipe(void *bytes, size_t count) { explicit_bzero(bytes, count); }
