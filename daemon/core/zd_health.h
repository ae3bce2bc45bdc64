/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what a daemon says of itself to balancers and monitors (doc/zerod.md, "Health and metrics"):
 * a page for each path, made of facts that come in. Pure.
 */
#ifndef ZD_HEALTH_H
#define ZD_HEALTH_H

#include "hap_map.h"
#include "zd_config.h"
#include "zd_http1.h"
#include "zd_replica.h"
#include "zd_state.h"

/** How a script has ended, as V(NAME, "word"). */
#define ZD_RESULTS(V)                                                                              \
    V(WELL, "well")           /* exit 0 or 2, in time */                                           \
    V(FAILED, "failed")       /* another exit, a signal, or it could not be started */             \
    V(TIMED_OUT, "timed-out") /* no end in time */

#define ZD_RESULT_ENUM(name, word) ZD_RESULT_##name,
typedef enum zd_result_kind_t { ZD_RESULTS(ZD_RESULT_ENUM) ZD_RESULT_COUNT } zd_result_kind_t;
#undef ZD_RESULT_ENUM

/** The runs of one script since the daemon began. */
typedef struct zd_runs_t {
    uint64_t n[ZD_RESULT_COUNT];
    uint64_t ms; /* that all of them took */
} zd_runs_t;

/** What has been counted since the daemon began. */
typedef struct zd_counts_t {
    const zd_runs_t *runs;  /* ZD_RUN_COUNT, by script; NONE: starts another one's daemon */
    const uint64_t *orders; /* commands of this node by their end; [ZD_END_COUNT]: not committed */
    uint64_t elections;     /* won by this node */
    uint64_t beats;         /* sent */
    uint64_t refused;       /* connections */
} zd_counts_t;

/** What there is to be said of a daemon now. Borrows. */
typedef struct zd_health_t {
    const zd_config_t *config;
    const char *id;
    uint64_t now_ms;
    bool leads;
    uint64_t term;
    const char *leader;          /* that was heard within ZD_PRESENT_MS; NULL: none */
    unsigned present;            /* other nodes that are there; for who leads */
    const hap_map_t *map;        /* NULL: none yet */
    uint64_t written;            /* version of it on disk; 0: none */
    const zd_replica_t *replica; /* NULL: this node has none */
    zd_counts_t counts;
    uint64_t resident_bytes;
    uint64_t began_ms; /* since 1970 */
} zd_health_t;

/** What is answered to GET of this path. Its texts are static or from `pool`. */
void zd_health_page(zd_page_t *page, const zd_health_t *health, hap_str_t path, apr_pool_t *pool);

/** All that is measured, in the text format of Prometheus 0.0.4. From `pool`. */
const char *zd_metrics(const zd_health_t *health, apr_pool_t *pool);

#endif
