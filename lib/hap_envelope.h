/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the first line of our files, which tells whether the rest is whole: `KIND VERSION LENGTH
 * SHA256`, the length in bytes and the hash in lower-case hex of all that follows its newline. Does
 * not know what follows, and keeps no secrets: it finds damage, not tampering.
 */
#ifndef HAP_ENVELOPE_H
#define HAP_ENVELOPE_H

#include <apr_errno.h>
#include <apr_pools.h>

#include "hap_diag.h"
#include "hap_str.h"

/** What a file is. */
typedef struct hap_envelope_kind_t {
    const char *name; /* first word of the first line, as `zero-state` */
    unsigned version; /* the only one that is read */
} hap_envelope_kind_t;

/** The first line and the body. Allocates from `pool`. APR_EGENERAL if libcrypto fails. */
apr_status_t hap_envelope_wrap(hap_str_t *text, const hap_envelope_kind_t *kind, hap_str_t body,
                               hap_diag_t *diag, apr_pool_t *pool);

/**
 * Checks the first line and gives what follows it. Borrows from `text`. APR_EINVAL with line and
 * sentence when the file is of another kind or version, was cut, has bytes behind its end, or was
 * changed in any bit.
 */
apr_status_t hap_envelope_open(hap_str_t *body, const hap_envelope_kind_t *kind, hap_str_t text,
                               hap_diag_t *diag);

#endif
