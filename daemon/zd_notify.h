/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns telling those who have started the daemon how it is: systemd, as sd_notify(3) does, and the
 * process that stays in front until the daemon runs behind. Does not decide when that is.
 */
#ifndef ZD_NOTIFY_H
#define ZD_NOTIFY_H

#include "hap_diag.h"

/**
 * Finds out whom to tell: NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID are taken out of the
 * environment, so that scripts do not have them. `front` is a descriptor that gets a byte when the
 * daemon is ready, and is closed then; takes; -1: there is none. EINVAL with a sentence when there
 * is something that cannot be understood: nobody is told then, but `front`.
 */
int zd_notify_open(int front, hap_diag_t *diag);

/** How often zd_notify_alive is to be called, half of what the watchdog allows. 0: nobody waits for
 * that. */
unsigned zd_notify_alive_ms(void);

/* With SIGPIPE ignored. Nothing happens when there is nobody to tell. */

/** It has begun, and does its work. May wait for a second. */
void zd_notify_ready(void);

/** Its loop turns. Does not wait. */
void zd_notify_alive(void);

/** It has been told to end. May wait for a second. */
void zd_notify_stopping(void);

#endif
