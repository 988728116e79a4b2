/// What needs _GNU_SOURCE, a kernel newer than the C library's headers, or a structure that Swift imports badly.
/// Every function gives a result of 0 or more, or a negative errno; none touches a global save the signal table.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/// Who connected, as the kernel recorded it at connect().
typedef struct {
  uint32_t uid;
  uint32_t gid;
  int32_t pid;
} clinux_peer;

/// One descriptor that became ready.
typedef struct {
  uint64_t token;
  uint32_t events;
} clinux_ready;

enum {
  CLINUX_IN = 0x001,
  CLINUX_OUT = 0x004,
  CLINUX_ERR = 0x008,
  CLINUX_HUP = 0x010,
};

// Sockets.
int clinux_listen_unix(const char *path, unsigned mode, int backlog);
/// Whether somebody accepts connections at the path: 1 yes, 0 nobody does, negative errno (-ENOENT: no such file).
int clinux_probe_unix(const char *path);
/// 0 when the descriptor is a listening Unix stream socket; it is then non-blocking and closed on exec.
int clinux_adopt_listener(int fd);
int clinux_accept(int listener);
/// Never raises SIGPIPE.
ssize_t clinux_send(int fd, const void *bytes, size_t count);
ssize_t clinux_receive(int fd, void *bytes, size_t count);

// The peer of a Unix stream socket.
int clinux_peer_credentials(int fd, clinux_peer *peer);
/// Number of supplementary groups written, or -ERANGE when `capacity` is too small.
int clinux_peer_groups(int fd, uint32_t *groups, size_t capacity);
/// A descriptor of the process that connected, by the kernel's own record (Linux 6.5); -ENOPROTOOPT before that.
int clinux_peer_pidfd(int fd);
int clinux_pidfd_open(int pid);
/// 1 when the process of this descriptor has ended (a zombie has), 0 when it lives.
int clinux_pidfd_ended(int pidfd);

// Waiting.
int clinux_epoll_create(void);
int clinux_epoll_add(int epoll, int fd, uint32_t events, uint64_t token);
int clinux_epoll_change(int epoll, int fd, uint32_t events, uint64_t token);
int clinux_epoll_remove(int epoll, int fd);
int clinux_epoll_wait(int epoll, clinux_ready *ready, int capacity, int timeout_ms);
int clinux_eventfd(void);
void clinux_eventfd_signal(int fd);
void clinux_eventfd_drain(int fd);

// Time on CLOCK_BOOTTIME, in milliseconds: goes on in suspend, is set by nobody.
int64_t clinux_boot_ms(void);
int clinux_timerfd(void);
/// Fires once at this time of the boot clock; 0 disarms.
int clinux_timerfd_arm(int fd, int64_t boot_ms);

// Threads and signals.
void clinux_name_thread(const char *name);
/// Blocks every signal in the calling thread that can be blocked; a thread made then inherits it.
void clinux_block_signals(void);
/// From now on the signal does nothing but count in this eventfd. The handler outlives the caller; -1 ignores it again.
int clinux_catch_signal(int number, int eventfd);

/// Overwrites memory; never optimized away.
void clinux_wipe(void *bytes, size_t count);
