/* SPDX-License-Identifier: Apache-2.0 */
/* Owns how one loop reaches the members: their names and times. Neither looks up nor connects. */
#ifndef MH_LANE_REACH_H
#define MH_LANE_REACH_H

#include "hap_str.h"
#include "lane/ml_lane.h"
#include "mh_choice.h"

/** Members as one loop reaches them. Loop thread only. */
typedef struct mh_reaches_t mh_reaches_t;

/** Those of all members of now. Allocates from p. */
mh_reaches_t *mh_reaches_create(ml_lane_t *lane, apr_pool_t *p);

/** Where the member chosen is. Stays until the exchange has ended. NULL without memory. */
ml_origin_t *mh_reaches_origin(mh_reaches_t *reaches, const mh_choice_t *choice);

/** The members may be others now: connections to who is gone are closed. Not within a call of the
 * lane's. */
void mh_reaches_follow(mh_reaches_t *reaches);

/** Says in the log that the member has other addresses. */
void mh_reach_moved(const ml_origin_t *origin);

#endif
