/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the lane's place in httpd: taking connections over, and its part of a child's life. What the
 * engine asks about hosts, members and cookies is mh_lane_exchange's; the engine itself is in
 * lane/, the way back in mh_handback.
 */
#ifndef MH_LANE_H
#define MH_LANE_H

#include <httpd.h>

#include "lane/ml_loop.h"

/** There is something for a lane to do in this configuration. */
bool mh_lane_wanted(void);

/** How many clients the lanes of one child hold at most. */
unsigned mh_lane_limit(void);

/** Says so in the log, and what HAListen names. Parent, post_config. */
void mh_lane_say(server_rec *s, apr_pool_t *p);

/** Makes the lane in a child's loop, if there is a site for it. On failure nothing of it is left,
 * and the loop is closed. child_init. */
apr_status_t mh_lane_start(ml_loop_t *loop, apr_pool_t *p, server_rec *s);

/** The members of an application are others now. Any thread of the child that is not the lane's. */
void mh_lane_follow(void);

/** Undoes that, as the child's loop could not be started; it is closed. child_init. */
void mh_lane_cancel(void);

/** Waits until all its clients are served, but not longer than httpd allows. Not the loop thread.
 */
void mh_lane_finish(void);

/** Registers the hooks. */
void mh_lane_register(void);

#endif
