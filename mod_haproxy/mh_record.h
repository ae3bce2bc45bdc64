/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns records as httpd has them of a connection and a request, for what httpd never saw: so that
 * it can be asked about them. What is particular to a request is the caller's to fill in.
 */
#ifndef MH_RECORD_H
#define MH_RECORD_H

#include <httpd.h>

/** A connection of the client with this address, which is copied. Allocates from p. */
conn_rec *mh_record_connection(server_rec *s, const char *client, apr_pool_t *p);

/** A request on it, to this virtual host, that has nothing yet. Allocates from c's pool. */
request_rec *mh_record_request(conn_rec *c, server_rec *s);

#endif
