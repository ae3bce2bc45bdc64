/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the probes: one in flight for each target at most, each over the connection of the last one
 * where possible. Does not judge: the owner hears each result and says when to probe again.
 */
#ifndef ML_PROBE_H
#define ML_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include "hap_check.h"
#include "ml_loop.h"
#include "ml_resolve.h"

typedef enum ml_probe_scheme_t { ML_PROBE_HTTP, ML_PROBE_HTTPS, ML_PROBE_UNIX } ml_probe_scheme_t;

/** What to probe, and how. Copied, with all that it points to but `owner`. */
typedef struct ml_probe_target_t {
    hap_str_t name;              /* unique among the targets: APP/ROUTE of the member */
    ml_probe_scheme_t scheme;    /* UNIX: plain HTTP over a Unix-domain socket */
    hap_str_t host;              /* HTTP, HTTPS: name or IP literal */
    uint16_t port;               /* likewise */
    hap_str_t path;              /* UNIX: of the socket */
    const hap_check_t *check;    /* uri empty: a connect is enough */
    apr_interval_time_t timeout; /* for connect, TLS and answer together; not for the name */
    apr_interval_time_t first;   /* until the first probe; negative: when ml_probe_now asks */
    void *owner;                 /* handed to on_result; borrowed while the target is in the set */
} ml_probe_target_t;

/**
 * Hears a result. `why`, borrowed for the call, is a short phrase in any case: `status 200`,
 * `connect refused`. Returns the delay until the next probe, from the START of this one; if that
 * has passed already the next one starts at once; negative stops. May call every function below
 * but ml_probe_destroy. Loop thread.
 */
typedef apr_interval_time_t ml_probe_result_fn(void *owner, hap_check_end_t how, const char *why,
                                               apr_interval_time_t latency);

typedef struct ml_prober_t ml_prober_t;

/** A prober without targets. `lookup` NULL is getaddrinfo. Allocates on the heap, freed by
 * ml_probe_destroy. Loop thread. */
apr_status_t ml_probe_create(ml_prober_t **prober, ml_loop_t *loop, ml_probe_result_fn *on_result,
                             ml_lookup_fn *lookup);

/**
 * Replaces the targets. One that was there before under the same name, with the same address and
 * check, goes on undisturbed, with its new timeout and owner; a probe in flight for one that is
 * gone has no result. Refuses nothing: a target with an impossible address fails its probes.
 * Loop thread.
 */
void ml_probe_set(ml_prober_t *prober, const ml_probe_target_t *targets, size_t n);

/**
 * Starts the next probe of a target now; if one is in flight, right after it, whatever its owner
 * says. False if there is no such target. Loop thread.
 */
bool ml_probe_now(ml_prober_t *prober, hap_str_t name);

/** Drops all targets and connections: no result is heard any more. Loop thread. */
void ml_probe_stop(ml_prober_t *prober);

/** Stops and frees. Never blocks. Loop thread; not from on_result. */
void ml_probe_destroy(ml_prober_t *prober);

#endif
