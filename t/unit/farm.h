/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a small balancer in private memory, for tests and benchmarks of selection. */
#ifndef UNIT_FARM_H
#define UNIT_FARM_H

#include "hap_pick.h"

/** A balancer of n members h0, h1, ... of weight 100. */
typedef struct farm_t {
    hap_shared_t shared;
    hap_policy_t policy;
    hap_member_t *members; /* change, then farm_build */
    uint32_t n;
    hap_selector_t selector;
    hap_pick_request_t request; /* of the next farm_pick; draw moves on by itself */
    apr_pool_t *pool;
} farm_t;

/** Makes the farm; states are all up. */
void farm_make(farm_t *farm, uint32_t n, hap_method_t method, apr_pool_t *pool);

/** Makes roster and schedule anew. */
void farm_build(farm_t *farm);

/** Makes the schedule anew, after states changed. */
void farm_schedule(farm_t *farm);

/** Sets flags of a member, without a new schedule. */
void farm_flags(farm_t *farm, uint32_t member, uint32_t set, uint32_t clear);

/** One choice with farm->request. */
hap_pick_t farm_pick(farm_t *farm);

#endif
