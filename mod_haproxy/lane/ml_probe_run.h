/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what ml_probe.c and ml_probe_run.c share: the prober and a single probe. Private to them. */
#ifndef ML_PROBE_RUN_H
#define ML_PROBE_RUN_H

#include "ml_probe.h"
#include "ml_wire.h"

typedef struct ml_probe_t ml_probe_t;

struct ml_prober_t {
    ml_loop_t *loop;
    ml_probe_result_fn *on_result;
    ml_lookup_fn *lookup;  /* NULL: getaddrinfo */
    ml_resolve_t *resolve; /* made for the first name */
    SSL_CTX *ctx;          /* made for the first TLS connection */
    ml_probe_t **probes;   /* on the heap; NULL in it: taken over by the set being made */
    size_t n;              /* in probes */
};

/** A target and its probe. Loop thread only. */
struct ml_probe_t {
    apr_pool_t *pool; /* its own; the probe is allocated from it */
    ml_prober_t *prober;
    void *owner;

    hap_str_t name;
    ml_probe_scheme_t scheme;
    const char *host; /* name, literal, or path of the socket */
    uint16_t port;
    bool named; /* host is a name, to be resolved again and again */
    hap_check_method_t method;
    hap_expect_t expect;
    hap_str_t request; /* empty: a connect is enough */
    apr_interval_time_t timeout;

    bool calling; /* on_result is being called */
    bool dead;    /* to be freed when that returns */
    bool again;   /* ml_probe_now came while a probe was in flight */

    unsigned state;      /* of the probe in flight, or idle */
    ml_timer_t timer;    /* idle: the next start; else the deadline */
    apr_time_t started;  /* of the probe in flight, or the last one */
    apr_time_t deadline; /* of the probe in flight */
    ml_wire_t wire;      /* kept between probes; fd -1: none */
    ml_io_t io;          /* of wire.fd */
    bool reused;         /* the probe in flight uses the connection of the last one */
    size_t sent;         /* bytes of the request */
    hap_answer_t answer;

    ml_addrs_t addrs;        /* none: not resolved yet, or impossible */
    unsigned tried;          /* addresses that this probe has tried */
    const char *trouble;     /* what came of the first one */
    ml_question_t *question; /* asked, not answered */
    apr_time_t asked;        /* when, on the loop's clock; 0: never */
    bool moved;              /* other addresses came during the probe in flight */
};

/** A probe at rest, its wire closed. */
void ml_probe_init(ml_probe_t *probe);

/** No probe is in flight. */
bool ml_probe_idle(const ml_probe_t *probe);

/** Ends all that goes on, without a result, and closes the connection. */
void ml_probe_abandon(ml_probe_t *probe);

/** Tells the owner the result of a probe that has ended, and plans the next. May free it. */
void ml_probe_next(ml_probe_t *probe, hap_check_end_t how, const char *why);

#endif
