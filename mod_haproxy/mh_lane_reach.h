/* SPDX-License-Identifier: Apache-2.0 */
/* Owns how one loop reaches the members: their names and times. Neither looks up nor connects. */
#ifndef MH_LANE_REACH_H
#define MH_LANE_REACH_H

#include "hap_str.h"
#include "lane/ml_lane.h"
#include "mh_choice.h"

/** A member as one loop reaches it. Loop thread only. */
typedef struct mh_reach_t {
    ml_origin_t origin;
    const mh_member_t *member;
    hap_str_t host; /* name and port */
    hap_str_t base; /* path of its URL */
} mh_reach_t;

/** Those of all members, by application, then member. Allocates from p. */
mh_reach_t **mh_reach_create(ml_lane_t *lane, apr_pool_t *p);

/** Says in the log that the member has other addresses. */
void mh_reach_moved(const ml_origin_t *origin);

/** That of the member chosen. Borrows. */
static inline mh_reach_t *mh_reach_of(mh_reach_t **reach, const mh_choice_t *choice)
{
    return &reach[choice->app->index][choice->member];
}

#endif
