/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the control port's line protocol. Does not own what the commands change. */
#ifndef APP_CONTROL_H
#define APP_CONTROL_H

/** Serves commands on an accepted socket in a thread of its own. Takes `fd`. */
void app_control_start(int fd);

#endif
