/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns HMAC-SHA256, cut to 128 bits, over (app, random, expiry, route). Does not decide whether a
 * token has expired.
 */
#include "hap_sign.h"

#include <apr_strings.h>
#include <openssl/crypto.h>

#include "hap_base64url.h"
#include "hap_mac.h"

enum {
    MAC_BYTES = 16,
    B64_CHARS = HAP_BASE64URL_CHARS(MAC_BYTES),
    EXPIRY_DIGITS_MAX = 15,
    FIELD_BYTES_MAX = HAP_SIGN_NAME_BYTES_MAX,
    LENGTH_BYTES = 4, /* big-endian */
    MESSAGE_BYTES_MAX = 5 * LENGTH_BYTES + 2 * FIELD_BYTES_MAX + 64
};

struct hap_sign_t {
    EVP_MAC_CTX *keyed[HAP_SIGN_KEYS_MAX];                   /* never updated, only copied */
    unsigned char key[HAP_SIGN_KEYS_MAX][HAP_MAC_KEY_BYTES]; /* to refuse repetitions; then wiped */
    int n;                                                   /* keys in use */
};

/* --- base64url --- */

static bool is_b64(hap_str_t s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        char low = (char)(c | 0x20);
        if ((low < 'a' || low > 'z') && (c < '0' || c > '9') && c != '-' && c != '_') {
            return false;
        }
    }
    return true;
}

/* --- keys --- */

static apr_status_t wipe(void *data)
{
    hap_sign_t *sign = data;
    for (int i = 0; i < sign->n; i++) {
        EVP_MAC_CTX_free(sign->keyed[i]);
    }
    OPENSSL_cleanse(sign, sizeof(*sign));
    return APR_SUCCESS;
}

static bool key_known(const hap_sign_t *sign, const unsigned char key[HAP_MAC_KEY_BYTES])
{
    for (int i = 0; i < sign->n; i++) {
        if (CRYPTO_memcmp(sign->key[i], key, HAP_MAC_KEY_BYTES) == 0) {
            return true;
        }
    }
    return false;
}

static apr_status_t key_add(hap_sign_t *sign, hap_str_t text, int line, hap_diag_t *diag)
{
    if (sign->n == HAP_SIGN_KEYS_MAX) {
        hap_diag_set(diag, line, "there are more than %d keys: take out the oldest, which are last",
                     HAP_SIGN_KEYS_MAX);
        return APR_EINVAL;
    }
    unsigned char *key = sign->key[sign->n];
    if (!hap_mac_key_read(key, text)) {
        hap_diag_set(diag, line,
                     "a key is a line of 64 hex digits, this one has %" APR_SIZE_T_FMT
                     " characters or others than hex digits: make one with `openssl rand -hex 32`",
                     text.n);
        return APR_EINVAL;
    }
    if (key_known(sign, key)) {
        hap_diag_set(diag, line, "this key is there twice");
        return APR_EINVAL;
    }
    sign->keyed[sign->n] = hap_mac_keyed(key);
    if (sign->keyed[sign->n] == NULL) {
        hap_diag_set(diag, line, "libcrypto offers no HMAC-SHA256");
        return APR_EGENERAL;
    }
    sign->n++;
    return APR_SUCCESS;
}

apr_status_t hap_sign_parse(hap_sign_t **sign, hap_str_t text, hap_diag_t *diag, apr_pool_t *pool)
{
    hap_sign_t *made = apr_pcalloc(pool, sizeof(*made));
    apr_pool_cleanup_register(pool, made, wipe, apr_pool_cleanup_null);
    hap_str_t line;
    for (int number = 1; hap_str_line(&line, &text); number++) {
        line = hap_str_trim(line);
        if (line.n == 0 || line.p[0] == '#') {
            continue;
        }
        apr_status_t rv = key_add(made, line, number, diag);
        if (rv != APR_SUCCESS) {
            apr_pool_cleanup_run(pool, made, wipe);
            return rv;
        }
    }
    if (made->n == 0) {
        hap_diag_set(diag, 0, "there is no key: make one with `openssl rand -hex 32`");
        return APR_EINVAL;
    }
    OPENSSL_cleanse(made->key, sizeof(made->key));
    *sign = made;
    return APR_SUCCESS;
}

/* --- tokens --- */

/* What is signed. Gathered first, because each update costs more than its bytes. */
typedef struct message_t {
    unsigned char bytes[MESSAGE_BYTES_MAX];
    size_t n;
    bool full; /* a field did not fit: there is no MAC for this */
} message_t;

/* Each field goes in behind its length, so that no two sets of fields give the same bytes. */
static void message_add(message_t *m, hap_str_t field)
{
    if (field.n > FIELD_BYTES_MAX || m->n + LENGTH_BYTES + field.n > sizeof(m->bytes)) {
        m->full = true;
        return;
    }
    const unsigned char length[LENGTH_BYTES] = {0, 0, 0, (unsigned char)field.n};
    memcpy(m->bytes + m->n, length, LENGTH_BYTES);
    memcpy(m->bytes + m->n + LENGTH_BYTES, field.n ? field.p : "", field.n);
    m->n += LENGTH_BYTES + field.n;
}

static void message_make(message_t *m, const hap_sign_token_t *token, hap_str_t app,
                         hap_str_t route)
{
    m->n = 0;
    m->full = false;
    message_add(m, HAP_STR_LIT("zero-affinity 1"));
    message_add(m, app);
    message_add(m, token->random);
    message_add(m, token->expiry);
    message_add(m, route);
}

static bool mac_make(char out[B64_CHARS], const EVP_MAC_CTX *keyed, const message_t *m)
{
    unsigned char digest[HAP_MAC_BYTES];
    if (m->full || !hap_mac_make(digest, keyed, hap_strn((const char *)m->bytes, m->n))) {
        return false;
    }
    hap_base64url_encode(out, digest, MAC_BYTES);
    return true;
}

const char *hap_sign_random_text(const unsigned char random[HAP_SIGN_RANDOM_BYTES],
                                 apr_pool_t *pool)
{
    char *text = apr_pcalloc(pool, B64_CHARS + 1);
    hap_base64url_encode(text, random, HAP_SIGN_RANDOM_BYTES);
    return text;
}

const char *hap_sign_mint(const hap_sign_t *sign, const unsigned char random[HAP_SIGN_RANDOM_BYTES],
                          int64_t expiry_s, hap_str_t app, hap_str_t route, apr_pool_t *pool)
{
    if (expiry_s <= 0 || route.n == 0 || route.n > HAP_SIGN_NAME_BYTES_MAX) {
        return NULL;
    }
    char mac[B64_CHARS];
    hap_sign_token_t token = {
        .random = hap_str(hap_sign_random_text(random, pool)),
        .expiry = hap_str(apr_psprintf(pool, "%" APR_INT64_T_FMT, (apr_int64_t)expiry_s)),
    };
    message_t message;
    message_make(&message, &token, app, route);
    if (token.expiry.n > EXPIRY_DIGITS_MAX || !mac_make(mac, sign->keyed[0], &message)) {
        return NULL;
    }
    return apr_psprintf(pool, "%.*s~%.*s~%.*s", HAP_STR_ARG(token.random),
                        HAP_STR_ARG(token.expiry), B64_CHARS, mac);
}

static bool seconds(int64_t *result, hap_str_t digits)
{
    if (digits.n == 0 || digits.n > EXPIRY_DIGITS_MAX) {
        return false;
    }
    int64_t value = 0;
    for (size_t i = 0; i < digits.n; i++) {
        if (digits.p[i] < '0' || digits.p[i] > '9') {
            return false;
        }
        value = value * 10 + (digits.p[i] - '0');
    }
    *result = value;
    return true;
}

static bool token_split(hap_sign_token_t *token, hap_str_t text)
{
    if (text.n > 2 * B64_CHARS + EXPIRY_DIGITS_MAX + 2) {
        return false;
    }
    size_t first = hap_str_find(text, '~', 0);
    size_t second = hap_str_find(text, '~', first + 1);
    hap_sign_token_t split = {
        .random = hap_str_sub(text, 0, first),
        .expiry = hap_str_sub(text, first + 1, second),
        .mac = hap_str_sub(text, second + 1, text.n),
    };
    if (split.random.n != B64_CHARS || split.mac.n != B64_CHARS || !is_b64(split.random) ||
        !is_b64(split.mac) || !seconds(&split.expiry_s, split.expiry)) {
        return false;
    }
    *token = split;
    return true;
}

/* The texts are compared, not the bytes behind them: 22 characters hold four bits more than the
 * MAC has, and each token has to have one spelling. */
hap_sign_verdict_t hap_sign_verify(hap_sign_token_t *token, const hap_sign_t *sign, hap_str_t text,
                                   hap_str_t app, hap_str_t route)
{
    if (!token_split(token, text)) {
        return HAP_SIGN_MALFORMED;
    }
    message_t message;
    message_make(&message, token, app, route);
    for (int i = 0; i < sign->n; i++) {
        char mac[B64_CHARS];
        if (mac_make(mac, sign->keyed[i], &message) &&
            CRYPTO_memcmp(mac, token->mac.p, B64_CHARS) == 0) {
            return HAP_SIGN_GENUINE;
        }
    }
    return HAP_SIGN_FORGED;
}
