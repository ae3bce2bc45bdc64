/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what becomes of a balancer's members when the cluster has a map: which there are, and what
 * each is there for. Does not make them, and knows no states.
 */
#ifndef HAP_FOLLOW_H
#define HAP_FOLLOW_H

#include "hap_map.h"
#include "hap_roster.h"

/** A member as configuration and map have it together. */
typedef struct hap_follow_t {
    const char *route;
    int configured;                 /* which BalancerMember it is; -1: none */
    const hap_map_member_t *mapped; /* what the map says of it; NULL: nothing */
    hap_standing_t standing;
} hap_follow_t;

/** What is followed. Borrows everything. */
typedef struct hap_follow_from_t {
    const char *const *configured; /* routes of the BalancerMembers */
    unsigned configured_n;
    const hap_map_app_t *app; /* NULL: the map does not name the balancer, or there is none */
    const char *const *known; /* routes that maps have added at some time */
    unsigned known_n;
} hap_follow_from_t;

/**
 * All members: those of the configuration in its order, which stay whatever the map says; those
 * that the map adds, in its order; and those that a map had added and this one does not. One
 * without an address in the map is added by the configuration alone. From `pool`; borrows.
 */
hap_follow_t *hap_follow(unsigned *n, const hap_follow_from_t *from, apr_pool_t *pool);

/** The application of this name, whatever the case: names of balancers have none. Borrows; NULL if
 * the map does not name it. */
const hap_map_app_t *hap_follow_app(const hap_map_t *map, hap_str_t name);

/** The flags that stand for what the map tells a member; 0 when it does not name it. */
uint32_t hap_follow_told(const hap_map_member_t *mapped);

#endif
