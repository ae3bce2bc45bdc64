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

/** What a member is in the balancer for. */
typedef enum hap_standing_t {
    HAP_STANDING_SERVES,  /* requests */
    HAP_STANDING_PASSIVE, /* another member is the active one: its sessions are that one's */
    HAP_STANDING_GONE /* it was taken out: known so that its sessions are not taken for others' */
} hap_standing_t;

/** A member as configured. Its state is in the shared slot. */
typedef struct hap_member_t {
    hap_str_t route; /* its name; what a session's cookie says */
    uint32_t slot;   /* index of its shared slot */
    uint32_t weight; /* 1..HAP_WEIGHT_MAX */
    int lbset;       /* lower sets are used up first */
    bool spare;      /* takes the place of a member of its set that cannot be used */
    bool mapped;     /* the cluster's map tells it what to do, in place of the configuration */
    hap_standing_t standing;
    uint32_t told; /* HAP_FLAG_* of what the map tells it */
    void *binding; /* the caller's own record of the member */
} hap_member_t;

/** What a roster is for. */
typedef struct hap_roster_kind_t {
    bool hashed;       /* make the rendezvous table too */
    bool single;       /* requests are for the active member only */
    uint64_t epoch;    /* SINGLE: of that member; else 0 */
    const void *owner; /* the caller's own record of it */
} hap_roster_kind_t;

/** All members of one balancer. Immutable once made. */
typedef struct hap_roster_t {
    hap_roster_kind_t kind;
    const hap_member_t *members;
    uint32_t n;
    uint32_t *buckets;    /* route -> index of the member + 1; open addressing */
    uint32_t bucket_mask; /* size of buckets - 1, a power of two minus one */
    uint16_t *ranks;      /* HAP_HASH_RANKS members a hash bucket, best first; NULL unless hashed */
    uint32_t rank_mask;   /* number of hash buckets - 1 */
} hap_roster_t;

/**
 * Makes a roster. `members` and `roster` live in `pool`; routes are borrowed. The rendezvous table
 * takes time in the order of n * 32 n, and of n beyond 1,000.
 */
const hap_roster_t *hap_roster_make(const hap_member_t *members, uint32_t n, hap_roster_kind_t kind,
                                    apr_pool_t *pool);

/** The member with this route, or -1. */
int hap_roster_find(const hap_roster_t *roster, hap_str_t route);

/**
 * The flags of a member as a choice sees them: what the map tells it stands for what the
 * configuration does, and beside what an operator does here. Of an active member, health that was
 * learnt of it before it became that does not count.
 */
static inline uint32_t hap_roster_flags(const hap_roster_t *roster, const hap_shared_t *shared,
                                        uint32_t i)
{
    const hap_member_t *member = &roster->members[i];
    uint32_t flags = hap_shared_flags_of(shared, member->slot);
    if (!member->mapped) {
        return flags;
    }
    const _Atomic uint64_t *learnt = &shared->slots[member->slot].epoch;
    if (roster->kind.epoch &&
        atomic_load_explicit(learnt, memory_order_relaxed) != roster->kind.epoch) {
        flags &= ~(uint32_t)(HAP_FLAG_DOWN | HAP_FLAG_SUSPECT | HAP_FLAG_SICK);
    }
    return (flags & HAP_FLAG_OPERATOR ? flags : flags & ~(uint32_t)HAP_FLAGS_ADMIN) | member->told;
}

/** Weight of `member` for a key in the order of rendezvous hashing: the highest wins. */
double hap_roster_score(const hap_member_t *member, uint64_t bucket);

/** Who takes new sessions, in the order of the round. Immutable; valid for one version. */
typedef struct hap_schedule_t {
    const hap_roster_t *roster;
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
