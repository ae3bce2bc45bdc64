/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns a balancer's members as one immutable snapshot, and the schedule that is laid over it each
 * time a state changes. Does not choose: that is hap_pick.
 */
#ifndef HAP_ROSTER_H
#define HAP_ROSTER_H

#include <stdint.h>

#include <apr_pools.h>

#include "hap_shared.h"

enum {
    HAP_WEIGHT_MAX = 10000, /* hundred times mod_proxy's loadfactor */
    HAP_HASH_RANKS = 4,     /* how many choices of each hash bucket are remembered */
    HAP_MEMBERS_MAX = 65536 /* of one roster, so that an index fits into 16 bits */
};

/** A member as configured. Its state is in the shared slot. */
typedef struct hap_member_t {
    hap_str_t route; /* its name; what a session's cookie says */
    uint32_t slot;   /* index of its shared slot */
    uint32_t weight; /* 1..HAP_WEIGHT_MAX */
    int lbset;       /* lower sets are used up first */
    bool spare;      /* takes the place of a member of its set that cannot be used */
    void *binding;   /* the caller's own record of the member */
} hap_member_t;

/** All members of one balancer. Immutable once made. */
typedef struct hap_roster_t {
    const hap_member_t *members;
    uint32_t n;
    uint32_t *buckets;    /* route -> index of the member + 1; open addressing */
    uint32_t bucket_mask; /* size of buckets - 1, a power of two minus one */
    uint16_t *ranks;      /* HAP_HASH_RANKS members a hash bucket, best first; NULL unless hashed */
    uint32_t rank_mask;   /* number of hash buckets - 1 */
} hap_roster_t;

/**
 * Makes a roster. `members` and `roster` live in `pool`; routes are borrowed. With `hashed` the
 * rendezvous table is made too, which takes time in the order of n * 32 n, and of n beyond 1,000.
 */
const hap_roster_t *hap_roster_make(const hap_member_t *members, uint32_t n, bool hashed,
                                    apr_pool_t *pool);

/** The member with this route, or -1. */
int hap_roster_find(const hap_roster_t *roster, hap_str_t route);

/** Weight of `member` for a key in the order of rendezvous hashing: the highest wins. */
double hap_roster_score(const hap_member_t *member, uint64_t bucket);

/** Who takes new sessions, in the order of the round. Immutable; valid for one version. */
typedef struct hap_schedule_t {
    uint64_t version; /* of the shared segment that it was made for */
    uint32_t length;  /* of turns; 0 when nobody is ready */
    uint32_t ready_n; /* of ready */
    uint32_t *turns;  /* members, each as often as its weight says, evenly spread */
    uint32_t *ready;  /* the same members, each once */
    bool *is_ready;   /* by member: is one of them */
} hap_schedule_t;

/** Lays out the schedule for the states as they are now. Allocates from `pool`. */
const hap_schedule_t *hap_schedule_make(const hap_roster_t *roster, const hap_shared_t *shared,
                                        apr_pool_t *pool);

#endif
