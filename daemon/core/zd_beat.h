/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what a node and the leader say to each other all the time, and its JSON (doc/zerod.md): a
 * node sends beats, the leader answers each with a word, and says one of its own accord when
 * something has changed. Pure.
 */
#ifndef ZD_BEAT_H
#define ZD_BEAT_H

#include <stdbool.h>
#include <stdint.h>

#include <apr_errno.h>
#include <apr_pools.h>
#include <jansson.h>

#include "hap_diag.h"

enum { ZD_HOME_BYTES = 17 };

/** A sign of life of a node. */
typedef struct zd_beat_t {
    const char *node;    /* its id */
    uint64_t seq;        /* counts the beats of one run of the daemon, from 1 */
    uint64_t version;    /* of the map that it has on disk; 0: none */
    const char *role;    /* of its replica, zd_role_names; NULL: it has none */
    uint64_t claim;      /* epoch of the lease that is to be renewed; 0: none */
    uint64_t stopped;    /* leases up to this one are over there, and the service is stopped */
    bool wants;          /* it would take the lease */
    bool well;           /* its last script succeeded, or none has run */
    uint64_t waiting_ms; /* for so long it has waited for the lease */
    const char *said;    /* how its last script ended; NULL: none has */
    const char *first;   /* who is to lead a cluster that begins; NULL: no matter */
    bool primary;        /* this node is, where nobody has led yet */
    const char *home;    /* names its folder: two daemons of one id differ in it; NULL: no matter */
} zd_beat_t;

/** What the leader says to a node. */
typedef struct zd_answer_t {
    uint64_t seq;       /* of the beat that it answers; 0: it answers none, and proves nothing */
    uint64_t term;      /* in which it leads; who has heard of a later one does not listen */
    const char *leader; /* its id */
    uint64_t version;   /* of the map */
    uint64_t epoch;     /* of the lease, when that is the node's; else 0 */
    bool renewed;       /* the claim holds from the time that the beat was sent */
    bool yield;         /* the lease is to be given back */
    bool paused;
    uint64_t number; /* of the node in the engine; 0: it has none */
    const char *map; /* the map's text, for a node that does not get it otherwise; else NULL */
} zd_answer_t;

/** As JSON, the caller's; NULL: there is no memory. */
json_t *zd_beat_json(const zd_beat_t *beat);
json_t *zd_answer_json(const zd_answer_t *answer);

/** Reads it; copies into `pool`. APR_EINVAL with a sentence. */
apr_status_t zd_beat_read(zd_beat_t *beat, const json_t *object, hap_diag_t *diag,
                          apr_pool_t *pool);
apr_status_t zd_answer_read(zd_answer_t *answer, const json_t *object, hap_diag_t *diag,
                            apr_pool_t *pool);

#endif
