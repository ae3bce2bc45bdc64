/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the visits of the lane's exchanges: operations run in the loop's own stores. What a visit
 * does is mh_visit's.
 */
#ifndef MH_LANE_ZONE_H
#define MH_LANE_ZONE_H

#include "lane/ml_lane.h"
#include "mh_choice.h"
#include "mh_lane_stores.h"

/** An exchange's visit. Loop thread. */
typedef struct mh_lane_zone_t mh_lane_zone_t;

/** A visit for a request that was read, with the stores of its loop. NULL: it has none. */
mh_lane_zone_t *mh_lane_zone_begin(ml_exchange_t *x, mh_lane_stores_t *stores, mh_choice_t *choice);

/** Finds out who has the session. False: `choose` is to say LATER. */
bool mh_lane_zone_find(mh_lane_zone_t *zone);

/** The member is chosen, and will be asked: sets x->extra. Likewise; then the member is there when
 * `choose` is asked again. */
bool mh_lane_zone_send(mh_lane_zone_t *zone);

/** A member was chosen when mh_lane_zone_send said LATER, but another one has got the session
 * meanwhile: one is to be chosen anew. */
bool mh_lane_zone_is_elsewhere(mh_lane_zone_t *zone);

/** The member was chosen when mh_lane_zone_send said LATER, and can be asked now. */
bool mh_lane_zone_is_sent(mh_lane_zone_t *zone);

/** What is to be done with this answer. */
ml_heard_t mh_lane_zone_heard(mh_lane_zone_t *zone, const hap_http1_answer_t *answer);

/** The exchange has ended. Frees it, as soon as its operation has ended too. NULL is fine. */
void mh_lane_zone_end(mh_lane_zone_t *zone);

#endif
