/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the stores of one loop: each zone's, with its turns taken in the loop. */
#ifndef MH_LANE_STORES_H
#define MH_LANE_STORES_H

#include "lane/ml_loop.h"
#include "mh_zone.h"

typedef struct mh_lane_stores_t mh_lane_stores_t;

/** The stores of all zones. One that cannot be made is said in the log. Child, before the loop
 * runs; they end with the pool, when it does no more. */
mh_lane_stores_t *mh_lane_stores_create(ml_loop_t *loop, apr_pool_t *p);

/** A zone's; NULL: it could not be made. */
hapstore_t *mh_lane_store(const mh_lane_stores_t *stores, const mh_zone_t *zone);

/** Runs an operation, as hapstore_run does; what it asks is sent at the end of the loop's turn. */
bool mh_lane_stores_run(mh_lane_stores_t *stores, const mh_zone_t *zone, hapstore_op_t *op);

/** The loop has ended, and nobody is to be told of an operation's end. */
bool mh_lane_stores_ended(const mh_lane_stores_t *stores);

#endif
