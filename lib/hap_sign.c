/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns HMAC-SHA256, cut to 128 bits, over (app, random, expiry, route). Does not decide whether a
 * token has expired.
 */
#include "hap_sign.h"

#include <apr_strings.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

enum {
    KEY_BYTES = 32,
    MAC_BYTES = 16,
    DIGEST_BYTES = 32,
    B64_CHARS = 22, /* of 16 bytes, without padding */
    EXPIRY_DIGITS_MAX = 15,
    FIELD_BYTES_MAX = HAP_SIGN_NAME_BYTES_MAX,
    LENGTH_BYTES = 4, /* big-endian */
    MESSAGE_BYTES_MAX = 5 * LENGTH_BYTES + 2 * FIELD_BYTES_MAX + 64
};

struct hap_sign_t {
    EVP_MAC_CTX *keyed[HAP_SIGN_KEYS_MAX];           /* never updated, only copied */
    unsigned char key[HAP_SIGN_KEYS_MAX][KEY_BYTES]; /* to refuse repetitions; then wiped */
    int n;                                           /* keys in use */
};

/* --- base64url --- */

static const char b64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void b64_encode(char out[B64_CHARS], const unsigned char in[MAC_BYTES])
{
    unsigned bits = 0;
    int held = 0;
    int n = 0;
    for (int i = 0; i < MAC_BYTES; i++) {
        bits = bits << 8 | in[i];
        for (held += 8; held >= 6; held -= 6) {
            out[n++] = b64_digits[bits >> (held - 6) & 63];
        }
    }
    out[n] = b64_digits[bits << (6 - held) & 63];
}

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

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    char low = (char)(c | 0x20);
    return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

static bool key_decode(unsigned char key[KEY_BYTES], hap_str_t line)
{
    if (line.n != 2 * KEY_BYTES) {
        return false;
    }
    for (size_t i = 0; i < KEY_BYTES; i++) {
        int high = hex_value(line.p[2 * i]);
        int low = hex_value(line.p[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        key[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}

/* A context is keyed once here, because keying costs more than a cookie's MAC. */
static EVP_MAC_CTX *key_context(const unsigned char key[KEY_BYTES])
{
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *ctx = mac ? EVP_MAC_CTX_new(mac) : NULL;
    EVP_MAC_free(mac);
    char digest[] = "SHA256";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    if (ctx && EVP_MAC_init(ctx, key, KEY_BYTES, params)) {
        return ctx;
    }
    EVP_MAC_CTX_free(ctx);
    return NULL;
}

static bool key_known(const hap_sign_t *sign, const unsigned char key[KEY_BYTES])
{
    for (int i = 0; i < sign->n; i++) {
        if (CRYPTO_memcmp(sign->key[i], key, KEY_BYTES) == 0) {
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
    if (!key_decode(key, text)) {
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
    sign->keyed[sign->n] = key_context(key);
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

/* Copying a keyed context is what makes one key usable by all threads without a lock. */
static bool mac_make(char out[B64_CHARS], const EVP_MAC_CTX *keyed, const message_t *m)
{
    unsigned char digest[DIGEST_BYTES];
    size_t n = 0;
    EVP_MAC_CTX *ctx = m->full ? NULL : EVP_MAC_CTX_dup(keyed);
    bool ok = ctx && EVP_MAC_update(ctx, m->bytes, m->n) &&
              EVP_MAC_final(ctx, digest, &n, sizeof(digest)) && n == DIGEST_BYTES;
    EVP_MAC_CTX_free(ctx);
    if (ok) {
        b64_encode(out, digest);
    }
    return ok;
}

const char *hap_sign_random_text(const unsigned char random[HAP_SIGN_RANDOM_BYTES],
                                 apr_pool_t *pool)
{
    char *text = apr_pcalloc(pool, B64_CHARS + 1);
    b64_encode(text, random);
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
