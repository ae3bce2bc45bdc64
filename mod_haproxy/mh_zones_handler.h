/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns ha-zones, the address of zones for applications (doc/zones.md, L2): where it serves at all,
 * whose zone a request is about, and the page of counters. Values are mh_zones_value's.
 */
#ifndef MH_ZONES_HANDLER_H
#define MH_ZONES_HANDLER_H

#include <httpd.h>

/** SetHandler ha-zones. */
int mh_zones_handler(request_rec *r);

/** Refuses a configuration that has the handler where no Require covers it, with file and line in
 * the log. APR_EINVAL. Parent, check_config. */
apr_status_t mh_zones_handler_check(server_rec *s, apr_pool_t *p);

/** Says in the log that the handler cannot serve because no application has a token. Parent,
 * post_config. */
void mh_zones_handler_say(server_rec *s, apr_pool_t *p);

void mh_zones_handler_register(void);

#endif
