/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the application: its pages, the session cookie, and the health check. Does not own what a
 * session remembers, nor the faults it suffers.
 */
#ifndef APP_SERVE_H
#define APP_SERVE_H

#include "app_conn.h"

/** Serves requests until the connection is to be closed. */
void app_serve(app_conn_t *conn);

#endif
