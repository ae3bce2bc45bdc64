/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what is known of one request on the standard path while it is being served. Does not talk to
 * mod_proxy: mh_proxy does.
 */
#ifndef MH_REQUEST_H
#define MH_REQUEST_H

#include <httpd.h>

#include "hap_zone_field.h"
#include "mh_choice.h"
#include "mh_queue.h"

/** One request of a balancer of ours. In the request's pool; its thread only. */
typedef struct mh_request_t {
    request_rec *r;
    const char *url; /* balancer://..., before a member was put into it */
    mh_choice_t choice;
    mh_queue_ticket_t ticket;
    struct mh_visit_t *visit; /* NULL: the session is in no zone */
    struct mh_body_t *body;   /* what is kept of the body; NULL: there is none, or no visit */
    bool serving;             /* inside our own run of the scheme handlers */
    bool filtered;            /* the filter that sees the answer begin is in place */
    bool listening;           /* that of mh_strip is, which sees it before all others */
    bool trailers;            /* the one for trailers of the request is */
    ap_filter_t *interim;     /* the one for interim answers, within an attempt; or NULL */

    /* of this attempt */
    bool headed;           /* the head of its answer has been seen */
    bool refused;          /* and must not be passed on, nor what follows */
    hap_zone_said_t *said; /* what the member says of its session; NULL nothing */
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

/** The method may be repeated, RFC 9110 9.2.2. */
bool mh_request_is_idempotent(const request_rec *r);

/** Whether a request that could not be sent may be tried on another member; marks this one tried.
 */
bool mh_request_may_retry(mh_request_t *request);

/** What comes first from a handler is an answer. Not when a member closed the connection instead:
 * mod_proxy passes word of it on to the client's end. */
bool mh_request_is_answer(const apr_bucket_brigade *first);

/** httpd makes the page for what the member has answered in this attempt: ProxyErrorOverride. */
bool mh_request_is_overridden(const request_rec *r);

/** Before an attempt: nothing is known of it. */
void mh_request_forget_overridden(request_rec *r);

/** Sees to it that the cookie is set that the answer needs, if any; before the handler runs. */
void mh_affinity_prepare(mh_request_t *request);

/** Registers the filter that mh_affinity_prepare adds. */
void mh_affinity_register(void);

#endif
