/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the token that an application shows at the address of its zones (doc/zones.md, L2): reading
 * its file, and comparing. What is kept is a digest, so that no core file has the token. Does not
 * read files.
 */
#ifndef HAP_ZONE_TOKEN_H
#define HAP_ZONE_TOKEN_H

#include <stdbool.h>

#include <apr_errno.h>

#include "hap_diag.h"
#include "hap_str.h"

enum {
    HAP_ZONE_TOKEN_CHARS_MIN = 16,
    HAP_ZONE_TOKEN_CHARS_MAX = 256,
    HAP_ZONE_TOKEN_DIGEST_BYTES = 32
};

/** A token's SHA-256. Read-only once made. */
typedef struct hap_zone_token_t {
    unsigned char digest[HAP_ZONE_TOKEN_DIGEST_BYTES];
} hap_zone_token_t;

/**
 * Reads a token file's text: one line of HAP_ZONE_TOKEN_CHARS_MIN to HAP_ZONE_TOKEN_CHARS_MAX
 * printable characters without blanks, and a newline or none. APR_EINVAL with a sentence, which
 * never quotes the text; APR_EGENERAL when libcrypto fails. The caller wipes `text`.
 */
apr_status_t hap_zone_token_parse(hap_zone_token_t *token, hap_str_t text, hap_diag_t *diag);

/** The token that an Authorization field shows (RFC 6750 2.1): what follows `Bearer`. Borrows.
 * False for any other field, and for NULL. */
bool hap_zone_token_shown(hap_str_t *shown, const char *authorization);

/** Whether this is the token. In constant time for texts of one length. */
bool hap_zone_token_is(const hap_zone_token_t *token, hap_str_t shown);

/** Whether both are made of one token. */
bool hap_zone_token_same(const hap_zone_token_t *a, const hap_zone_token_t *b);

#endif
