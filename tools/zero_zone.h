/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what the commands about zones share: the zones that a configuration names, their keys, and
 * the nodes of their stores. Does not print.
 */
#ifndef ZERO_ZONE_H
#define ZERO_ZONE_H

#include <apr_tables.h>

#include "hap_policy.h"
#include "hap_zone_keys.h"
#include "hap_zone_spec.h"
#include "store/hapstore_alone.h"
#include "zero.h"

/** HAZone's lines for one balancer in one server, joined as the module joins them. */
typedef struct zero_zone_t {
    const char *app;   /* as the first line writes it */
    const char *label; /* the same, and where the last line with keys is: for messages */
    const char *file;  /* of that line */
    int line;
    const char *key;        /* path of the key file; NULL: none */
    const char *token;      /* path of the token file; NULL: none */
    const char *token_conf; /* of the line with token= */
    int token_line;
    hap_zone_policy_t policy;
    hap_zone_spec_t spec;
    unsigned kinds;
} zero_zone_t;

/**
 * The zones (zero_zone_t) of a configuration and what it includes, in its order. The exit code,
 * explained, unless it is ZERO_DONE.
 */
int zero_zone_read(apr_array_header_t **zones, const char *path, const zero_args_t *args);

/**
 * Reads the zone's key file. ZERO_IO when it cannot be read or is open to others, ZERO_REFUSED when
 * it is not understood, with a sentence that names the file.
 */
int zero_zone_keys(hap_zone_keys_t **keys, const zero_zone_t *zone, hap_diag_t *diag,
                   apr_pool_t *pool);

/** What a store is made of when its nodes are asked one by one. Borrows from the zone. */
hapstore_conf_t zero_zone_store(const zero_zone_t *zone);

#endif
