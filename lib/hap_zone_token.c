/* SPDX-License-Identifier: Apache-2.0 */
/* Owns reading a token and comparing it by its digest. */
#include "hap_zone_token.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

static bool digest(hap_zone_token_t *token, hap_str_t text)
{
    unsigned int n = 0;
    return EVP_Digest(text.p, text.n, token->digest, &n, EVP_sha256(), NULL) == 1 &&
           n == HAP_ZONE_TOKEN_DIGEST_BYTES;
}

static bool is_printable(hap_str_t text)
{
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] <= ' ' || text.p[i] > '~') {
            return false;
        }
    }
    return true;
}

apr_status_t hap_zone_token_parse(hap_zone_token_t *token, hap_str_t text, hap_diag_t *diag)
{
    hap_str_t line = {"", 0};
    hap_str_line(&line, &text);
    line = hap_str_trim(line);
    if (text.n) {
        hap_diag_set(diag, 2, "a token file has one line, this one has more");
        return APR_EINVAL;
    }
    if (line.n < HAP_ZONE_TOKEN_CHARS_MIN || line.n > HAP_ZONE_TOKEN_CHARS_MAX ||
        !is_printable(line)) {
        hap_diag_set(diag, 1,
                     "a token is a line of %d to %d printable characters without blanks, this one "
                     "has %" APR_SIZE_T_FMT
                     " characters or others than those: make one with `openssl rand -hex 32`",
                     HAP_ZONE_TOKEN_CHARS_MIN, HAP_ZONE_TOKEN_CHARS_MAX, line.n);
        return APR_EINVAL;
    }
    if (!digest(token, line)) {
        hap_diag_set(diag, 0, "libcrypto offers no SHA-256");
        return APR_EGENERAL;
    }
    return APR_SUCCESS;
}

bool hap_zone_token_shown(hap_str_t *shown, const char *authorization)
{
    hap_str_t field = hap_str_trim(hap_str(authorization));
    size_t blank = hap_str_find(field, ' ', 0);
    if (!hap_str_eq_nocase(hap_str_sub(field, 0, blank), HAP_STR_LIT("Bearer"))) {
        return false;
    }
    *shown = hap_str_trim(hap_str_sub(field, blank, field.n));
    return shown->n > 0;
}

bool hap_zone_token_is(const hap_zone_token_t *token, hap_str_t shown)
{
    hap_zone_token_t other;
    return digest(&other, shown) && hap_zone_token_same(token, &other);
}

bool hap_zone_token_same(const hap_zone_token_t *a, const hap_zone_token_t *b)
{
    return CRYPTO_memcmp(a->digest, b->digest, HAP_ZONE_TOKEN_DIGEST_BYTES) == 0;
}
