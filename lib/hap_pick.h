/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the choice of a member for a request. It takes no lock, its cost does not grow with the
 * number of members, and time and randomness are arguments, so that zero modproxy explain makes
 * the same choice as the module.
 */
#ifndef HAP_PICK_H
#define HAP_PICK_H

#include <stdint.h>

#include "hap_policy.h"
#include "hap_roster.h"
#include "hap_stall.h"

/** What a choice is made from. Borrows everything. */
typedef struct hap_selector_t {
    const hap_policy_t *policy;
    const hap_roster_t *roster;
    const hap_schedule_t *schedule;
    const hap_shared_t *shared;
    uint32_t balancer;          /* index of the shared balancer */
    const hap_stalls_t *stalls; /* this child's view of the members; NULL: not watched */
} hap_selector_t;

/** What a request brings along. */
typedef struct hap_pick_request_t {
    int wanted;            /* member that holds its session, or -1 */
    hap_str_t session;     /* id of its session, empty when it has none: see HAP_PICK_STRAY */
    uint64_t hash;         /* of the hash-key; for method=hash */
    uint64_t draw;         /* fair random bits */
    int64_t now_us;        /* monotonic */
    const uint32_t *tried; /* slots of members that it failed on already */
    uint32_t tried_n;
} hap_pick_request_t;

/** Why this member, or why none. */
typedef enum hap_pick_why_t {
    HAP_PICK_SESSION,     /* it holds the session */
    HAP_PICK_METHOD,      /* no session: as the method says */
    HAP_PICK_STRAY,       /* a session without a member of its own: by its id */
    HAP_PICK_FAILOVER,    /* the member that holds the session cannot be used */
    HAP_PICK_LAST_RESORT, /* only members in doubt are left: suspect, or sick */
    HAP_PICK_NONE,        /* none can be used */
    HAP_PICK_STRICT,      /* the session's member cannot be used, and failover=strict */
    HAP_PICK_FULL,        /* those that could be used are at their max=, or stalled */
    HAP_PICK_INACTIVE,    /* the application is active-passive, and nobody is active */
    HAP_PICK_WHY_COUNT
} hap_pick_why_t;

typedef struct hap_pick_t {
    int member; /* index in the roster, -1 none */
    hap_pick_why_t why;
} hap_pick_t;

/** A way to choose among the ready members. */
typedef struct hap_pick_method_t {
    /** A member that may take this request, or -1 to have all members looked through. */
    int (*choose)(const hap_selector_t *selector, const hap_pick_request_t *request);
} hap_pick_method_t;

extern const hap_pick_method_t hap_pick_round;   /* hap_pick_round.c */
extern const hap_pick_method_t hap_pick_least;   /* hap_pick_draw.c */
extern const hap_pick_method_t hap_pick_latency; /* hap_pick_draw.c */
extern const hap_pick_method_t hap_pick_hash;    /* hap_pick_hash.c */

/** Chooses. Never blocks, never fails but with a reason. */
hap_pick_t hap_pick(const hap_selector_t *selector, const hap_pick_request_t *request);

/** One phrase for each reason, for logs and explain. */
extern const char *const hap_pick_whys[HAP_PICK_WHY_COUNT];

/**
 * The member that a session without a usable member of its own goes to, by its id; -1 when that one
 * cannot take it, or the request has no session.
 */
int hap_pick_by_session(const hap_selector_t *selector, const hap_pick_request_t *request);

/** The member may take a new session now: for the methods. */
bool hap_pick_eligible(const hap_selector_t *selector, const hap_pick_request_t *request,
                       uint32_t member);

/**
 * A member that came back is taken with the probability of the part of slow-start that has passed,
 * so that its share grows evenly: for the methods.
 */
bool hap_pick_ramped(const hap_selector_t *selector, const hap_pick_request_t *request,
                     uint32_t member);

/**
 * The member's average answer time as of now, in microseconds: what is not measured again halves
 * every second. 0 if it was never measured.
 */
uint32_t hap_pick_latency_us(const hap_slot_t *slot, int64_t now_us);

/** The next word of a stream of random bits that begins with `draw`. */
uint64_t hap_pick_redraw(uint64_t draw);

#endif
