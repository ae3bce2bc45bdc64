/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what a merged file says of session zones: the values, their text in an HAZone line, and
 * reading that again. Does not know applications: hap_merge does.
 */
#ifndef HAP_MERGE_ZONES_H
#define HAP_MERGE_ZONES_H

#include <apr_errno.h>
#include <apr_pools.h>

#include "hap_diag.h"
#include "hap_str.h"

enum { HAP_MERGE_KEY_BYTES_MAX = 1024 /* of the name of a key file */ };

/** The zones of all applications of a file. */
typedef struct hap_merge_zones_t {
    unsigned kinds;    /* as in hap_zone_spec.h; 0: nothing is said, and the rest is NULL */
    const char *store; /* in one spelling */
    const char *key;   /* name of the key file; NULL: none */
} hap_merge_zones_t;

/**
 * Takes the values of -zones=, -store= and -key=. An empty store is `shm`; an empty key is
 * `zone.key` with memcached, which needs one, else none. APR_EINVAL with a sentence that begins
 * with the option. Copies into `pool`.
 */
apr_status_t hap_merge_zones_make(hap_merge_zones_t *zones, hap_str_t kinds, hap_str_t store,
                                  hap_str_t key, hap_diag_t *diag, apr_pool_t *pool);

/** `zone=USER store=shm`, and what else there is; NULL when nothing is said. From `pool`. */
const char *hap_merge_zones_text(const hap_merge_zones_t *zones, apr_pool_t *pool);

/** Reads what hap_merge_zones_text wrote; whether it did shows when it is written again. False when
 * it has no such values. Copies into `pool`. */
bool hap_merge_zones_parse(hap_merge_zones_t *zones, hap_str_t text, apr_pool_t *pool);

#endif
