/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns giving a connection back to httpd: a Unix-domain listener in httpd's own list, over which
 * the lane passes a client's socket with the bytes that were read from it, and what makes an
 * ordinary connection of it on the other side. Does not decide what is given back.
 */
#ifndef MH_HANDBACK_H
#define MH_HANDBACK_H

#include <httpd.h>

#include "hap_str.h"

/** Adds the listener, before the MPM's own are set up. Parent, open_logs. */
apr_status_t mh_handback_open(apr_pool_t *pconf, server_rec *s);

/** The process has it open, from this or an earlier configuration. Parent. */
bool mh_handback_is_open(server_rec *s);

/**
 * Passes a client's socket, which stays open here, and the bytes that were read from it. With a
 * status the answer to these bytes shall be that one. False when no child took it: nothing has
 * happened then. Never blocks. Any thread.
 */
bool mh_handback_give(int fd, hap_str_t bytes, unsigned status);

/** Closes what was given and waits for a child: there is none, and none will come. Any thread. */
void mh_handback_refuse(void);

/** The connection was given back: it is httpd's for good. */
bool mh_handback_was_given(const conn_rec *c);

/** Registers the hooks of the receiving side. */
void mh_handback_register(void);

#endif
