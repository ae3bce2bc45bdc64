/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what may become of a record: from what is stored and what somebody wants, what is to be
 * stored. Pure; the same for both paths, for L1 and L2, and for each try of a compare-and-swap.
 */
#ifndef HAP_ZONE_RULE_H
#define HAP_ZONE_RULE_H

#include "hap_zone_record.h"

enum {
    HAP_ZONE_TOMBSTONE_S_MIN = 3600, /* that a tombstone is kept at least */
    HAP_ZONE_TTL_S = 1800,           /* unless said */
    HAP_ZONE_TOUCH_PART = 8          /* a touch is stored when it gains so much of its ttl */
};

/** What somebody wants. */
typedef enum hap_zone_act_t {
    HAP_ZONE_LOOK,  /* to see it */
    HAP_ZONE_ISSUE, /* the application has issued the id to a client of this owner */
    HAP_ZONE_PUT,   /* the state of a session, from its instance */
    HAP_ZONE_TOUCH, /* that it lives on, from its instance */
    HAP_ZONE_DEL,   /* the session's end */
    HAP_ZONE_TAKE,  /* the state for an instance, which owns the session from then on */
    HAP_ZONE_WRITE, /* L2: other data, under a condition */
    HAP_ZONE_ERASE, /* L2: the end of it, under a condition */
    HAP_ZONE_ACTS
} hap_zone_act_t;

/** Of WRITE and ERASE. */
typedef enum hap_zone_condition_t {
    HAP_ZONE_ANY,
    HAP_ZONE_ABSENT,  /* there is nothing, or a tombstone that may be followed */
    HAP_ZONE_PRESENT, /* there is something */
    HAP_ZONE_MATCH    /* it has this epoch, version and tie */
} hap_zone_condition_t;

/** A wish. Borrows. */
typedef struct hap_zone_wish_t {
    hap_zone_act_t act;
    uint64_t epoch;   /* that the request was sent under, or is known of; 0 none. MATCH: expected */
    uint64_t version; /* PUT: of the state. TAKE: known of. MATCH: expected */
    uint32_t ttl_s;   /* ISSUE, PUT, TOUCH, WRITE; 0: what is left, of nothing HAP_ZONE_TTL_S */
    hap_str_t owner;  /* ISSUE, PUT, TOUCH, TAKE: the instance's route */
    hap_str_t data;   /* PUT, WRITE */
    bool fresh; /* PUT, ISSUE: a record may be made: the application has issued the id, or it is one
                   that was known */
    bool alone; /* PUT: there must be no record yet (a session that gets a new id) */
    bool session; /* ERASE: of a session; then it stays gone */
    hap_zone_condition_t condition;
    uint32_t match_tie; /* MATCH: expected. Two who write at once make the same version */
    int64_t now_s;      /* since 1970 */
    uint32_t tie;       /* random */
} hap_zone_wish_t;

/** What came of it. Every one with its name for logs and counters. */
#define HAP_ZONE_VERDICTS(V)                                                                       \
    V(STORE, "to be stored")                                                                       \
    V(KEEP, "as it is")                                                                            \
    V(NONE, "there is no record")                                                                  \
    V(GONE, "the session has ended")                                                               \
    V(FENCED, "of an older epoch")                                                                 \
    V(LOST, "older than what was known")                                                           \
    V(UNISSUED, "not issued by the application")                                                   \
    V(UNMET, "the condition does not hold")

typedef enum hap_zone_verdict_t {
#define HAP_ZONE_VERDICT(name, why) HAP_ZONE_##name,
    HAP_ZONE_VERDICTS(HAP_ZONE_VERDICT)
#undef HAP_ZONE_VERDICT
        HAP_ZONE_VERDICTS_N
} hap_zone_verdict_t;

/** The verdict as a sentence. Static. */
const char *hap_zone_verdict_why(hap_zone_verdict_t verdict);

/* clang-format off */
/*
 * What comes of a wish, by what is stored; e is the record's epoch, w the wish's.
 *
 *        none           tombstone  e == w, or w == 0 and     e > w, else     e < w
 *                                  the same owner, see below
 * LOOK   NONE           GONE       KEEP                      KEEP            LOST
 * ISSUE  fresh: STORE   GONE       KEEP                      KEEP            KEEP
 *        UNISSUED
 * PUT    fresh: STORE   GONE       newer version: STORE      FENCED          STORE
 *        UNISSUED                  else KEEP
 *   alone  as above     GONE       UNMET                     UNMET           UNMET
 * TOUCH  NONE           GONE       it gains an eighth of     FENCED          NONE
 *                                  the ttl: STORE, else KEEP
 * DEL    STORE          e < w:     STORE                     STORE           STORE
 *                       STORE,
 *                       else KEEP
 * TAKE   NONE           GONE       another owner: STORE,     the same owner: LOST
 *                                  else KEEP                 KEEP, else FENCED
 *
 * For PUT and TOUCH it has to be the same owner's also when e == w: two proxies that reach
 * different nodes may both have given the session away. And w == 0 is 1 there: the request was sent
 * before there was a record, and its owner may have lost the session since, and have got it back.
 * For LOOK and TAKE a record also counts as older (e < w) when its epoch is w and its version is
 * below the wish's. STORE of PUT makes a record of epoch max(w, 1), or max(e, w); of TAKE one of
 * e + 1, of DEL a tombstone of max(e, w) + 1 and version 0; TOUCH adds a little to the tie. So what
 * is stored is always newer than what was there. A record with version 0 is KEEP and STORE like any
 * other; who is given it sees that there is no state.
 * WRITE and ERASE go by their condition: UNMET, else STORE with version + 1 and the owner that it
 * has (and e + 1 after a tombstone), NONE for ERASE of nothing, GONE for a session's tombstone,
 * which is one of version 0.
 */
/* clang-format on */

/**
 * What comes of the wish. `now` is the newest record that the store has, NULL if there is none.
 * With STORE `next` is what is to be stored; it borrows from both. Else `next` is untouched.
 */
hap_zone_verdict_t hap_zone_decide(hap_zone_record_t *next, const hap_zone_record_t *now,
                                   const hap_zone_wish_t *wish);

#endif
