/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the listening sockets: of the application, which can be closed and opened again, and of the
 * control port. Does not read from what it accepts.
 */
#ifndef APP_NET_H
#define APP_NET_H

#include <stdio.h>

#include "appd.h"

/** Takes an accepted socket. */
typedef void app_net_accepted_t(int fd);

/** Opens all sockets of the options. False, with the reason on stderr, when one does not listen. */
bool app_net_open(void);

/** Starts the threads that accept: for the application and, if there is one, for control. */
bool app_net_start(app_net_accepted_t *application, app_net_accepted_t *control);

/** Closes the application's sockets: further connects are refused. Any thread. */
void app_net_refuse(void);

/** Opens them again on the same addresses. False when one of them does not listen. Any thread. */
bool app_net_accept(void);

/** Prints the bound addresses, `listen ADDRESS` and `control ADDRESS`, each followed by `end`. */
void app_net_print(FILE *out, char end);

#endif
