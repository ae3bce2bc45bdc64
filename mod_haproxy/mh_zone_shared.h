/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the memory of session zones that all children share and restarts keep: what is remembered of
 * sessions, counters, which nodes have failed, and the records of `store=shm`. Knows no requests.
 */
#ifndef MH_ZONE_SHARED_H
#define MH_ZONE_SHARED_H

#include <httpd.h>

#include "hap_zone_keys.h"
#include "hap_zone_table.h"
#include "store/hapstore.h"

/** What is counted, for each application. Names as in doc/zones.md. */
#define MH_ZONE_COUNTS(C)                                                                          \
    C(PUT, put)                                                                                    \
    C(RESTORE, restore)                                                                            \
    C(MISS, miss)                                                                                  \
    C(FENCED, fenced)                                                                              \
    C(CONFLICT, conflict)                                                                          \
    C(REPAIRED, repaired)                                                                          \
    C(UNREADABLE, unreadable)                                                                      \
    C(UNPROTECTED, unprotected)                                                                    \
    C(UNISSUED, unissued)                                                                          \
    C(REFUSED, refused)                                                                            \
    C(STRIPPED, stripped)

typedef enum mh_zone_count_t {
#define MH_ZONE_COUNT(id, name) MH_ZONE_##id,
    MH_ZONE_COUNTS(MH_ZONE_COUNT)
#undef MH_ZONE_COUNT
        MH_ZONE_COUNTS_N
} mh_zone_count_t;

extern const char *const mh_zone_count_names[MH_ZONE_COUNTS_N];

/** Counters of one application. Shared, atomic. */
typedef struct mh_zone_counts_t {
    _Atomic uint64_t n[MH_ZONE_COUNTS_N];
} mh_zone_counts_t;

enum { MH_ZONE_APPS_MAX = 256, MH_ZONE_NODES_MAX = 256 };

/**
 * Takes over the memory of the last configuration, or makes it when there is none; with another
 * number of sessions what was remembered is forgotten. Parent, post_config. Errors are the
 * system's.
 */
apr_status_t mh_zone_shared_open(server_rec *s, uint32_t sessions);

/** What is remembered of sessions. */
hap_zone_table_t *mh_zone_shared_table(void);

/** The counters of an application: those that it had. Parent, post_config. NULL when there are
 * MH_ZONE_APPS_MAX others. */
mh_zone_counts_t *mh_zone_shared_counts(const char *app);

/** The breakers of so many nodes, one behind the other: those that this list of nodes had.
 * Likewise.
 */
hapstore_breaker_t *mh_zone_shared_breakers(const hap_zone_spec_t *spec, const char *text);

/**
 * Memory for the records of an application: what it had, or new when there was none of that size.
 * Likewise. NULL with errno.
 */
void *mh_zone_shared_records(const char *app, uint64_t bytes);

/** How many bytes an application has there already; 0: none. */
uint64_t mh_zone_shared_records_bytes(const char *app);

/** The key that seals records of `store=shm`: made at the first start, and kept. */
const unsigned char *mh_zone_shared_key(void);

#endif
