/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns Linux' watchdog device (Documentation/watchdog/watchdog-api.rst): it resets the host when it
 * is not fed for the time that it was told. Does not decide when it is fed: zd_guard does.
 */
#ifndef ZD_WATCHDOG_H
#define ZD_WATCHDOG_H

#include <stdbool.h>

#include "hap_diag.h"

/** Opens the device, which feeds it, and has it count down from so many seconds, or from the fewer
 * that it says it can, in `seconds` then. A descriptor, the caller's, or -1 with a sentence: also
 * of one that would count longer, could not be stopped any more, or would be stopped by whatever
 * ends its process. What is no device is taken, for tests: it gets what would be written to one. */
int zd_watchdog_open(unsigned *seconds, const char *path, hap_diag_t *diag);

/** It counts from the beginning again. False: it could not be written to. */
bool zd_watchdog_feed(int fd);

/** It does not count any more. Takes the descriptor; to close that alone lets it go on. */
void zd_watchdog_stop(int fd);

#endif
