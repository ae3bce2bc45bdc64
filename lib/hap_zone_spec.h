/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the words of `store=` and `zone=`, for HAZone and for `zero`. Does not reach any store.
 */
#ifndef HAP_ZONE_SPEC_H
#define HAP_ZONE_SPEC_H

#include <stdint.h>

#include <apr_errno.h>
#include <apr_pools.h>

#include "hap_diag.h"
#include "hap_str.h"

enum {
    HAP_ZONE_NODES_MAX = 16,
    HAP_ZONE_SHM_BYTES = 32 << 20, /* unless said */
    HAP_ZONE_SHM_BYTES_MIN = 1 << 20,
    HAP_ZONE_MEMCACHED_PORT = 11211 /* unless said */
};

#define HAP_ZONE_SHM_BYTES_MAX (64ULL << 30)

/** Which zones, as bits. */
enum { HAP_ZONE_USER = 1, HAP_ZONE_STORAGE = 2 };

typedef enum hap_zone_store_t { HAP_ZONE_SHM, HAP_ZONE_MEMCACHED } hap_zone_store_t;

/** A memcached. */
typedef struct hap_zone_node_t {
    const char *host; /* name or address, without brackets */
    uint16_t port;
    const char *name; /* host:port as it is written, in lower case; [host]:port for IPv6 */
} hap_zone_node_t;

/** A store. */
typedef struct hap_zone_spec_t {
    hap_zone_store_t kind;
    uint64_t shm_bytes; /* of SHM */
    hap_zone_node_t nodes[HAP_ZONE_NODES_MAX];
    unsigned nodes_n;
} hap_zone_spec_t;

/**
 * Reads `shm`, `shm:64M` (K, M or G) or `memcached:host[:port],...`. Copies into `pool`. APR_EINVAL
 * with a sentence that says what is allowed: an unknown word, a bad host or port, a node twice, too
 * many, none.
 */
apr_status_t hap_zone_spec_parse(hap_zone_spec_t *spec, hap_str_t text, hap_diag_t *diag,
                                 apr_pool_t *pool);

/** As hap_zone_spec_parse would read it, in one spelling. From `pool`. */
const char *hap_zone_spec_text(const hap_zone_spec_t *spec, apr_pool_t *pool);

/** Reads `USER`, `STORAGE` or both with a comma, any case, into bits. APR_EINVAL likewise. */
apr_status_t hap_zone_kinds_parse(unsigned *kinds, hap_str_t text, hap_diag_t *diag);

/** USER, STORAGE or USER,STORAGE. Static. */
const char *hap_zone_kinds_text(unsigned kinds);

/**
 * The order in which the nodes are asked for this name: rendezvous hashing, so that a node that
 * comes or goes moves only its own names, and every proxy with the same nodes, in whatever order
 * they are written, has the same order. Indexes into spec->nodes.
 */
void hap_zone_placement(uint8_t order[HAP_ZONE_NODES_MAX], const hap_zone_spec_t *spec,
                        hap_str_t name);

#endif
