/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns killing processes wherever they are: by what is in their environment, and by the shim that
 * they are below. Does not know what the marks mean.
 */
#ifndef ZD_REAP_H
#define ZD_REAP_H

#include <stdbool.h>

/**
 * Kills each process whose environment, as it was when its program began, has all of `marks`, which
 * are NAME=VALUE up to NULL and at least one, or which is a shim (zd_shim.h) with the file `mark`,
 * NULL for none; and each one below any of these. Never this process and who is only below that,
 * nor that of number 1. Shims go last: until then they get the orphans, and say how scripts end.
 *
 * Gives in `killed` how many that were, without shims. True when none was left at the end; false
 * when some would not die within ZD_REAP_MS_MAX, new ones came faster than they were killed, or the
 * system has no /proc or no pidfd_open (Linux 5.3). Waits, on any thread. Unless it is root it does
 * not see marks of other users' processes, and may not kill them. A process escapes that has left
 * who started it, whose shim is dead, and that has written over its environment.
 */
bool zd_reap(unsigned *killed, const char *const *marks, const char *mark);

enum { ZD_REAP_MS_MAX = 1000 };

#endif
