/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns following the map of HAMap, in each child: looking at the file when it may be another one,
 * and putting line-ups in force that are as the map says. What the file is and what may follow what
 * is lib/hap_map's; doc/map.md says what it comes to.
 */
#ifndef MH_MAP_H
#define MH_MAP_H

#include <httpd.h>

#include "lane/ml_loop.h"

/** There is something to follow. */
bool mh_map_wanted(void);

/** Prepares for the children, once the members have their slots. Parent, post_config. */
apr_status_t mh_map_open(server_rec *s);

/** Puts the map in force that there is, and has the loop watch for the next one. Before the loop is
 * started; child_init. */
apr_status_t mh_map_start(ml_loop_t *loop, apr_pool_t *p, server_rec *s);

/** A line-up is in force. Loop thread. */
void mh_map_followed(void);

/** Waits for what is still being looked at, but not for long. The loop has ended. */
void mh_map_stop(void);

#endif
