/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what holds on a client's connection whatever is asked on it, where httpd goes by the first
 * virtual host of the address, and what mod_reqtimeout says. Made at startup, read-only since.
 */
#ifndef MH_RULES_H
#define MH_RULES_H

#include <httpd.h>

#include "hap_honour.h"
#include "lane/ml_lane.h"

/** Makes those of every server, by what was judged of it. Parent, check_config. */
void mh_rules_build(apr_pool_t *p, const apr_array_header_t *judged, server_rec *s);

/** How fast bodies have to come: that is the request's own virtual host's to say. */
ml_pace_t mh_rules_body(const hap_honour_stage_t *given);

/** Those of connections whose base server this is. */
const ml_rules_t *mh_rules_of(const server_rec *s);

#endif
