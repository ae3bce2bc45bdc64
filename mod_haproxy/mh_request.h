/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what is known of one request while it is being served: its session, the members that were
 * tried, and the one that has it. Does not talk to mod_proxy: mh_proxy does.
 */
#ifndef MH_REQUEST_H
#define MH_REQUEST_H

#include <httpd.h>

#include "mh_app.h"

enum { MH_TRIED_MAX = 11 /* retries= is at most 10 */ };

/** One request of a balancer of ours. In the request's pool; its thread only. */
typedef struct mh_request_t {
    mh_app_t *app;
    request_rec *r;
    const char *url;              /* balancer://..., before a member was put into it */
    hap_affinity_t session;       /* what the request says about its session */
    int member;                   /* who has it, index in the roster; -1 nobody */
    hap_pick_why_t why;           /* why that one */
    uint32_t tried[MH_TRIED_MAX]; /* members that it failed on */
    uint32_t tried_n;
    bool counted;       /* in the member's in-flight count */
    bool waiting;       /* for the member's answer to begin */
    bool trial;         /* of a member that answers nobody; see hap_stall.h */
    bool serving;       /* inside our own run of the scheme handlers */
    bool filtered;      /* the filter that sees the answer begin is in place */
    int64_t started_us; /* monotonic, start of this attempt */
} mh_request_t;

/** Reads the session and makes the record. NULL cookies and paths are fine. */
mh_request_t *mh_request_make(mh_app_t *app, request_rec *r, const char *url);

/** The request's record, or NULL when it is none of ours. */
mh_request_t *mh_request_of(const request_rec *r);

/**
 * Chooses a member, waiting in the queue when all are at their max=, and counts the request in. OK,
 * or HTTP_SERVICE_UNAVAILABLE after one log line that says why.
 */
int mh_request_pick(mh_request_t *request);

/** Chooses without waiting and without counting; false when there is nobody. */
bool mh_request_peek(mh_request_t *request);

/** How an attempt ended. */
typedef enum mh_outcome_t {
    MH_OUTCOME_SERVED,     /* the member answered, whatever */
    MH_OUTCOME_NO_CONNECT, /* no connection could be made, nothing was sent */
    MH_OUTCOME_FAILED,     /* the member failed on it */
    MH_OUTCOME_TIMED_OUT,  /* no answer in time, which for this balancer is trouble at once */
    MH_OUTCOME_UNKNOWN     /* nothing can be said about the member */
} mh_outcome_t;

/** The head of the member's answer is there. More than once does no harm. */
void mh_request_answered(mh_request_t *request);

/** Counts the request out and reports how the member did. */
void mh_request_settle(mh_request_t *request, mh_outcome_t outcome);

/** Whether a request that could not be sent may be tried on another member; marks this one tried.
 */
bool mh_request_may_retry(mh_request_t *request);

static inline mh_member_t *mh_request_member(const mh_request_t *request)
{
    return request->app->roster->members[request->member].binding;
}

/** Monotonic time in microseconds. */
int64_t mh_now_us(void);

/** Sees to it that the cookie is set that the answer needs, if any; before the handler runs. */
void mh_affinity_prepare(mh_request_t *request);

/** Registers the filter that mh_affinity_prepare adds. */
void mh_affinity_register(void);

#endif
