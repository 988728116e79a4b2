#pragma once
#include <stddef.h>

/* Makes an anonymous file (mode 0600) that holds the bytes, seals it against every change, and returns an inherited
   descriptor of at least `lowest`, read from the start. Returns -1 with errno set. */
int clinux_sealed_file(const char *name, const void *bytes, size_t count, int lowest);
