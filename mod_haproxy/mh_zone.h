/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the zone of an application: its keys, its store, what is remembered of its sessions. What a
 * request has to do with it is mh_visit's.
 */
#ifndef MH_ZONE_H
#define MH_ZONE_H

#include "mh_app.h"
#include "hap_siphash.h"
#include "mh_zone_shared.h"

/** Made by the parent; the store is each child's own. */
typedef struct mh_zone_t {
    const mh_app_t *app;
    hap_str_t name;                        /* of the application, as records are named by it */
    unsigned char seed[HAP_SIPHASH_BYTES]; /* of its sessions' keys */
    const hap_zone_keys_t *keys;
    hap_zone_table_t *table;
    mh_zone_counts_t *counts;
    hapstore_breaker_t *breakers; /* one a node */
    void *records;                /* of store=shm */
    uint32_t recheck_ms;          /* how old what is remembered may be */
    bool alone;                   /* nobody but this server changes the store */
    hapstore_conf_t conf;         /* per child, of store */
    hapstore_t *store;            /* per child, of the standard path; NULL: it could not be made */
    _Atomic int64_t refused_ms;   /* per child: when a bad answer was logged last */
    _Atomic int64_t unopened_ms;  /* likewise, a record that does not open */
} mh_zone_t;

/** Gives each application with HAZone its zone. Says what is wrong in the log. Parent, post_config.
 */
apr_status_t mh_zones_attach(server_rec *s, apr_pool_t *p);

/** Starts the stores of the standard path. Child, before there are requests. */
void mh_zones_start(apr_pool_t *p);

/** One more store, for a loop. NULL, and said in the log, if it cannot be made. Child, after
 * mh_zones_start. */
hapstore_t *mh_zone_store(mh_zone_t *zone, apr_pool_t *p);

/** Ends the stores of the standard path. Child, when no request can come any more. */
void mh_zones_stop(void);

/** The application's zone; NULL without one. */
mh_zone_t *mh_zone_of(const mh_app_t *app);

static inline void mh_zone_count(mh_zone_t *zone, mh_zone_count_t what, unsigned n)
{
    atomic_fetch_add_explicit(&zone->counts->n[what], n, memory_order_relaxed);
}

/** Counts what an operation has met with. */
void mh_zone_count_op(mh_zone_t *zone, const hapstore_op_t *op);

/** What may come with every request is logged once a minute. */
bool mh_zone_may_say(_Atomic int64_t *said_ms);

/** By what a session is remembered. */
typedef struct mh_zone_key_t {
    unsigned char hash[HAP_SIPHASH_BYTES];
} mh_zone_key_t;

/** The key of a session, which is much cheaper than the name of its record. */
mh_zone_key_t mh_zone_key(const mh_zone_t *zone, hap_str_t sid);

/** The name of a session's record. False when it can have none. */
bool mh_zone_name(const mh_zone_t *zone, char name[HAP_ZONE_NAME_BYTES], hap_str_t sid);

/** What is remembered of a session; false when that is nothing. */
bool mh_zone_recall(const mh_zone_t *zone, const mh_zone_key_t *key, hap_zone_known_t *known);

/** Remembers this of a session. */
void mh_zone_remember(mh_zone_t *zone, const mh_zone_key_t *key, const hap_zone_known_t *known);

/** Remembers what an operation on its record has found. */
void mh_zone_note(mh_zone_t *zone, const mh_zone_key_t *key, const hapstore_op_t *op);

/** Who owns a session, as it is remembered. */
uint32_t mh_zone_owner(hap_str_t route);

#endif
