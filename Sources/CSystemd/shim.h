#pragma once
// sd-journal.h otherwise turns sd_journal_sendv into a macro that adds the place in the C source.
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/uio.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-id128.h>
#include <systemd/sd-journal.h>
#include <systemd/sd-login.h>

// prctl is variadic, which Swift cannot call.
static inline int csystemd_set_dumpable(int dumpable) { return prctl(PR_SET_DUMPABLE, (unsigned long)dumpable, 0UL, 0UL, 0UL); }
static inline int csystemd_dumpable(void) { return prctl(PR_GET_DUMPABLE, 0UL, 0UL, 0UL, 0UL); }

/// The first eight bytes of this boot's id, big endian; 0 when there is none.
static inline unsigned long long csystemd_boot_id(void) {
  sd_id128_t id;
  unsigned long long head = 0;
  if (sd_id128_get_boot(&id) < 0) return 0;
  for (int i = 0; i < 8; i++) head = head << 8 | id.bytes[i];
  return head;
}
