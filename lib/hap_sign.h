/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the keys and the signature of our own affinity cookie. Does not read files, make random
 * bytes or look at a clock: text, bytes and times come in; what a signature means is hap_affinity.
 *
 * A token is `<random>~<expiry>~<mac>`: 22 characters of base64url, decimal seconds since 1970,
 * 22 characters of base64url. It contains no dot, so that `<token>.<route>` has its route behind
 * the first dot and behind the last one, if the route has no dots itself: who splits at either
 * finds it.
 */
#ifndef HAP_SIGN_H
#define HAP_SIGN_H

#include <stdint.h>

#include <apr_errno.h>
#include <apr_pools.h>

#include "hap_diag.h"
#include "hap_str.h"

enum {
    HAP_SIGN_RANDOM_BYTES = 16,
    HAP_SIGN_KEYS_MAX = 4,        /* verifying tries each */
    HAP_SIGN_NAME_BYTES_MAX = 255 /* of app and route; a longer one is nobody's */
};

/** Keys that sign and verify. Read-only once made: any number of threads may use it. */
typedef struct hap_sign_t hap_sign_t;

/**
 * Reads a key file's text: one key a line, 64 hex digits; blank lines and lines that begin with
 * `#` are skipped. The first key signs, all of them verify, so a key is replaced by putting the
 * new one first and taking the old one out when its cookies have expired. Copies; allocates from
 * `pool`, with whose end the keys are wiped. APR_EINVAL with line and sentence, which never quotes
 * the text, when a line is anything else, a key is there twice, there is none, or more than
 * HAP_SIGN_KEYS_MAX. The caller wipes `text`.
 */
apr_status_t hap_sign_parse(hap_sign_t **sign, hap_str_t text, hap_diag_t *diag, apr_pool_t *pool);

/** Random bytes as 22 characters of base64url. Allocates from `pool`. */
const char *hap_sign_random_text(const unsigned char random[HAP_SIGN_RANDOM_BYTES],
                                 apr_pool_t *pool);

/**
 * Makes a token for (app, expiry, route) from random bytes, signed with the first key. Allocates
 * from `pool`. NULL when libcrypto fails, the route is empty, app or route
 * are longer than HAP_SIGN_NAME_BYTES_MAX, or expiry_s is not positive.
 */
const char *hap_sign_mint(const hap_sign_t *sign, const unsigned char random[HAP_SIGN_RANDOM_BYTES],
                          int64_t expiry_s, hap_str_t app, hap_str_t route, apr_pool_t *pool);

/** What a token turned out to be. */
typedef enum hap_sign_verdict_t {
    HAP_SIGN_MALFORMED, /* not in a token's form */
    HAP_SIGN_FORGED,    /* no key of ours made it for this app and route */
    HAP_SIGN_GENUINE    /* ours; the caller judges the expiry */
} hap_sign_verdict_t;

/** A token taken apart. Borrows from the token. */
typedef struct hap_sign_token_t {
    hap_str_t random;
    hap_str_t expiry;
    hap_str_t mac;
    int64_t expiry_s; /* seconds since 1970 */
} hap_sign_token_t;

/**
 * Verifies that a token was minted for this app and route. `token` is filled unless MALFORMED. The
 * MACs are compared in constant time. Costs one HMAC for each key, about a microsecond.
 */
hap_sign_verdict_t hap_sign_verify(hap_sign_token_t *token, const hap_sign_t *sign, hap_str_t text,
                                   hap_str_t app, hap_str_t route);

#endif
