/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns killing processes wherever they are, by what is in their environment: those too that have
 * left the script's session. Does not know what the marks mean.
 */
#ifndef ZD_REAP_H
#define ZD_REAP_H

#include <stdbool.h>

/**
 * Kills each process whose environment, as it was when its program began, has all of `marks`, which
 * are NAME=VALUE up to NULL and at least one; never this process, nor that of number 1. Gives in
 * `killed` how many that were. True when none was left at the end; false when some would not die
 * within ZD_REAP_MS_MAX, new ones came faster than they were killed, or the system has no /proc or
 * no pidfd_open (Linux 5.3). Waits, on any thread. Does not see processes of other users unless it
 * is root, nor programs that write over their environment or were started without it.
 */
bool zd_reap(unsigned *killed, const char *const *marks);

enum { ZD_REAP_MS_MAX = 1000 };

#endif
