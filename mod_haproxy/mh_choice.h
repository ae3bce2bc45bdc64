/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the choice of members for one request, on the standard path and in the lane alike: who may
 * have it, who was tried, that it is counted, and what is learnt from it. Knows no request_rec and
 * never waits.
 */
#ifndef MH_CHOICE_H
#define MH_CHOICE_H

#include "mh_app.h"
#include "mh_lineup.h"

enum {
    MH_TRIED_MAX = 11,  /* retries= is at most 10 */
    MH_LINEUPS_MAX = 16 /* that one request chooses from */
};

/** One request's choice. Its thread only. */
typedef struct mh_choice_t {
    mh_app_t *app;
    mh_lineup_t *lineups[MH_LINEUPS_MAX]; /* that it has chosen from; the last is of now */
    unsigned lineups_n;
    hap_affinity_t session;       /* what the request says about its session; member in lineup */
    uint64_t hash;                /* of the hash-key, for method=hash */
    int member;                   /* who has it, index in the roster; -1 nobody */
    hap_pick_why_t why;           /* why that one, or why none */
    uint32_t tried[MH_TRIED_MAX]; /* slots of members that it failed on */
    uint32_t tried_n;
    uint32_t tries;     /* attempts that count for retries= */
    bool refused;       /* the last one made no connection */
    bool failed;        /* an attempt has, which was logged */
    bool chosen;        /* a member of the last of the line-ups was */
    bool doubtful;      /* with a zone: the client has brought cookies of several sessions */
    bool preferred;     /* the session's owner is not who its cookie names */
    bool holds_thread;  /* while it waits for an answer: see hap_stall.h */
    bool counted;       /* in the member's in-flight count */
    bool waiting;       /* for the member's answer to begin */
    bool trial;         /* of a member that answers nobody; see hap_stall.h */
    int64_t started_us; /* monotonic, start of this attempt */
} mh_choice_t;

/** What of a request matters for it. Borrows; what is found in it stays borrowed. */
typedef struct mh_choice_from_t {
    hap_affinity_request_t affinity;
    hap_str_t client; /* its address */
    hap_str_t path;   /* decoded */
} mh_choice_from_t;

/** Reads the session, and lets the request earn its part of the retry budget. Until mh_choice_end
 * all members that it chooses stay. */
void mh_choice_begin(mh_choice_t *choice, mh_app_t *app, const mh_choice_from_t *from);

/** Has the members of now stay until mh_choice_end, for who only wants to look at them. `app` is
 * set. */
void mh_choice_hold(mh_choice_t *choice);

/** The request has ended, and no member is used for it any more. */
void mh_choice_end(mh_choice_t *choice);

/** Nobody could be chosen, but somebody might be soon, and the queue may be joined until then. */
bool mh_choice_may_wait(const mh_choice_t *choice);

/** There is nobody only because the active member is none or cannot be used. */
bool mh_choice_lacks_active(const mh_choice_t *choice);

/** The application is active-passive: the epoch of its active member. Else 0. */
uint64_t mh_choice_epoch(const mh_choice_t *choice);

/** The name of the field that tells the active member the epoch: HA-Fence, or where that is the
 * session's, another one of its family. */
const char *mh_choice_fence(const mh_choice_t *choice);

enum { MH_FENCE_BYTES = 48 };

/** That field as a line, with its end, in `room`; empty when there is none. */
hap_str_t mh_choice_fence_line(char room[MH_FENCE_BYTES], const mh_choice_t *choice);

/** The session belongs to this member of the roster, whatever its cookie says: its id is what
 * stands before the last dot. */
void mh_choice_prefer(mh_choice_t *choice, int member);

/** Chooses without counting; false when there is nobody. */
bool mh_choice_peek(mh_choice_t *choice);

/** Chooses and counts the request in; false, with `why`, when there is nobody. */
bool mh_choice_make(mh_choice_t *choice);

/** The head of the member's answer is there. More than once does no harm. */
void mh_choice_answered(mh_choice_t *choice, unsigned status);

/** How an attempt ended. */
typedef enum mh_outcome_t {
    MH_OUTCOME_SERVED,     /* the member answered, whatever */
    MH_OUTCOME_NO_CONNECT, /* no connection could be made, nothing was sent */
    MH_OUTCOME_FAILED,     /* the member failed on it */
    MH_OUTCOME_TIMED_OUT,  /* no answer in time, which for this balancer is trouble at once */
    MH_OUTCOME_UNKNOWN     /* nothing can be said about the member */
} mh_outcome_t;

/** Counts the request out and reports how the member did. */
void mh_choice_settle(mh_choice_t *choice, mh_outcome_t outcome);

/** Counts it out, if it is counted. */
void mh_choice_count_out(mh_choice_t *choice);

/** Whether, and if not why not, a request may be tried on another member. */
typedef enum mh_retry_t {
    MH_RETRY_YES, /* and this one is marked as tried */
    MH_RETRY_NO,  /* it is bound to this one, or enough were tried */
    MH_RETRY_NO_BUDGET
} mh_retry_t;

mh_retry_t mh_choice_retry(mh_choice_t *choice);

static inline mh_lineup_t *mh_choice_lineup(const mh_choice_t *choice)
{
    return choice->lineups[choice->lineups_n - 1];
}

static inline mh_member_t *mh_choice_member(const mh_choice_t *choice)
{
    return mh_lineup_member(mh_choice_lineup(choice), (uint32_t)choice->member);
}

#endif
