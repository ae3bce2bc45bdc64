/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the key file of zones and what is derived from a key. Does not know a record's bytes:
 * hap_zone_record does.
 */
#include "hap_zone_keys.h"

#include <openssl/crypto.h>

#include "hap_base64url.h"
#include "hap_mac.h"

enum {
    NAME_PREFIX_BYTES = 5, /* haz1: */
    ZONE_BYTES_MAX = 16,
    MESSAGE_BYTES_MAX = HAP_ZONE_APP_BYTES_MAX + 2 * HAP_ZONE_SID_BYTES_MAX + 64
};

_Static_assert((int)HAP_ZONE_KEY_BYTES == HAP_MAC_KEY_BYTES, "a key is HMAC-SHA256's");
_Static_assert(HAP_ZONE_NAME_BYTES == NAME_PREFIX_BYTES + HAP_BASE64URL_CHARS(HAP_MAC_BYTES),
               "a name is the prefix and a MAC");

/* One key of the file. */
typedef struct zone_key_t {
    EVP_MAC_CTX *keyed; /* never updated, only copied */
    unsigned char id[HAP_ZONE_KEY_ID_BYTES];
    unsigned char secret[HAP_ZONE_KEY_BYTES]; /* to refuse repetitions; then wiped */
} zone_key_t;

struct hap_zone_keys_t {
    zone_key_t key[HAP_ZONE_KEYS_MAX];
    unsigned n;         /* keys in use */
    EVP_MAC_CTX *names; /* NULL: the first key's */
    EVP_CIPHER *cipher; /* fetched once, because fetching takes a lock */
};

static const char id_label[] = "mod_haproxy zone key id";
static const char seal_label[] = "mod_haproxy zone seal"; /* with its NUL */

/* --- making --- */

static apr_status_t wipe(void *data)
{
    hap_zone_keys_t *keys = data;
    for (unsigned i = 0; i < keys->n; i++) {
        EVP_MAC_CTX_free(keys->key[i].keyed);
    }
    EVP_MAC_CTX_free(keys->names);
    EVP_CIPHER_free(keys->cipher);
    OPENSSL_cleanse(keys, sizeof(*keys));
    return APR_SUCCESS;
}

static hap_zone_keys_t *keys_begin(apr_pool_t *pool)
{
    hap_zone_keys_t *keys = apr_pcalloc(pool, sizeof(*keys));
    apr_pool_cleanup_register(pool, keys, wipe, apr_pool_cleanup_null);
    keys->cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    return keys;
}

/* The first bytes of the MAC tell keys apart and say nothing of them. */
static bool key_set(zone_key_t *key, const unsigned char secret[HAP_ZONE_KEY_BYTES])
{
    unsigned char mac[HAP_MAC_BYTES];
    EVP_MAC_CTX *keyed = hap_mac_keyed(secret);
    if (!keyed || !hap_mac_make(mac, keyed, hap_strn(id_label, sizeof(id_label) - 1))) {
        EVP_MAC_CTX_free(keyed);
        return false;
    }
    key->keyed = keyed;
    memcpy(key->id, mac, sizeof(key->id));
    memcpy(key->secret, secret, sizeof(key->secret));
    return true;
}

static void keys_end(hap_zone_keys_t *keys)
{
    for (unsigned i = 0; i < keys->n; i++) {
        OPENSSL_cleanse(keys->key[i].secret, sizeof(keys->key[i].secret));
    }
}

apr_status_t hap_zone_keys_make(hap_zone_keys_t **keys, const unsigned char key[HAP_ZONE_KEY_BYTES],
                                apr_pool_t *pool)
{
    hap_zone_keys_t *made = keys_begin(pool);
    if (!made->cipher || !key_set(&made->key[0], key)) {
        apr_pool_cleanup_run(pool, made, wipe);
        return APR_EGENERAL;
    }
    made->n = 1;
    keys_end(made);
    *keys = made;
    return APR_SUCCESS;
}

/* --- the file --- */

static apr_status_t no_crypto(hap_diag_t *diag, int line)
{
    hap_diag_set(diag, line, "libcrypto offers no HMAC-SHA256 or no AES-256-GCM");
    return APR_EGENERAL;
}

static bool is_known(const hap_zone_keys_t *keys, const unsigned char secret[HAP_ZONE_KEY_BYTES])
{
    for (unsigned i = 0; i < keys->n; i++) {
        if (CRYPTO_memcmp(keys->key[i].secret, secret, HAP_ZONE_KEY_BYTES) == 0) {
            return true;
        }
    }
    return false;
}

static apr_status_t add_key(hap_zone_keys_t *keys, const unsigned char secret[HAP_ZONE_KEY_BYTES],
                            int line, hap_diag_t *diag)
{
    if (keys->n == HAP_ZONE_KEYS_MAX) {
        hap_diag_set(diag, line, "there are more than %d keys: take out the oldest, which are last",
                     HAP_ZONE_KEYS_MAX);
        return APR_EINVAL;
    }
    if (is_known(keys, secret)) {
        hap_diag_set(diag, line, "this key is there twice");
        return APR_EINVAL;
    }
    if (!key_set(&keys->key[keys->n], secret)) {
        return no_crypto(diag, line);
    }
    keys->n++;
    return APR_SUCCESS;
}

static apr_status_t add_names(hap_zone_keys_t *keys, const unsigned char secret[HAP_ZONE_KEY_BYTES],
                              int line, hap_diag_t *diag)
{
    if (keys->names) {
        hap_diag_set(diag, line, "`names` is there twice");
        return APR_EINVAL;
    }
    keys->names = hap_mac_keyed(secret);
    return keys->names ? APR_SUCCESS : no_crypto(diag, line);
}

/* True, and the word cut off, if the line is `names` and something. */
static bool cut_names(hap_str_t *line)
{
    static const hap_str_t word = {"names", 5};
    if (!hap_str_starts(*line, word) || line->n == word.n ||
        (line->p[word.n] != ' ' && line->p[word.n] != '\t')) {
        return false;
    }
    *line = hap_str_trim(hap_str_sub(*line, word.n, line->n));
    return true;
}

static apr_status_t add_line(hap_zone_keys_t *keys, hap_str_t text, int line, hap_diag_t *diag)
{
    unsigned char secret[HAP_ZONE_KEY_BYTES];
    bool names = cut_names(&text);
    if (!hap_mac_key_read(secret, text)) {
        hap_diag_set(diag, line,
                     "a line is a key of 64 hex digits, or `names` and one, this one has "
                     "%" APR_SIZE_T_FMT " characters or others than hex digits: make a key with "
                     "`openssl rand -hex 32`",
                     text.n);
        return APR_EINVAL;
    }
    apr_status_t rv =
        names ? add_names(keys, secret, line, diag) : add_key(keys, secret, line, diag);
    OPENSSL_cleanse(secret, sizeof(secret));
    return rv;
}

static apr_status_t add_lines(hap_zone_keys_t *keys, hap_str_t text, hap_diag_t *diag)
{
    hap_str_t line;
    for (int number = 1; hap_str_line(&line, &text); number++) {
        line = hap_str_trim(line);
        if (line.n == 0 || line.p[0] == '#') {
            continue;
        }
        apr_status_t rv = add_line(keys, line, number, diag);
        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
    if (keys->n == 0) {
        hap_diag_set(diag, 0, "there is no key: make one with `openssl rand -hex 32`");
        return APR_EINVAL;
    }
    if (keys->n > 1 && !keys->names) {
        hap_diag_set(diag, 0,
                     "there are several keys and no `names`: put `names` and the key that "
                     "was there first into a line of their own");
        return APR_EINVAL;
    }
    return APR_SUCCESS;
}

apr_status_t hap_zone_keys_parse(hap_zone_keys_t **keys, hap_str_t text, hap_diag_t *diag,
                                 apr_pool_t *pool)
{
    hap_zone_keys_t *made = keys_begin(pool);
    apr_status_t rv = made->cipher ? add_lines(made, text, diag) : no_crypto(diag, 0);
    if (rv != APR_SUCCESS) {
        apr_pool_cleanup_run(pool, made, wipe);
        return rv;
    }
    keys_end(made);
    *keys = made;
    return APR_SUCCESS;
}

/* --- using --- */

unsigned hap_zone_keys_count(const hap_zone_keys_t *keys)
{
    return keys->n;
}

const unsigned char *hap_zone_keys_id(const hap_zone_keys_t *keys, unsigned i)
{
    return keys->key[i].id;
}

const char *hap_zone_key_id_text(const unsigned char id[HAP_ZONE_KEY_ID_BYTES], apr_pool_t *pool)
{
    static const char digits[] = "0123456789abcdef";
    char *text = apr_pcalloc(pool, 2 * HAP_ZONE_KEY_ID_BYTES + 1);
    for (int i = 0; i < HAP_ZONE_KEY_ID_BYTES; i++) {
        text[2 * i] = digits[id[i] >> 4];
        text[2 * i + 1] = digits[id[i] & 15];
    }
    return text;
}

const EVP_CIPHER *hap_zone_keys_cipher(const hap_zone_keys_t *keys)
{
    return keys->cipher;
}

/* What is signed. Gathered first, because each update costs more than its bytes. */
typedef struct message_t {
    char bytes[MESSAGE_BYTES_MAX];
    size_t n;
} message_t;

static void message_add(message_t *m, hap_str_t text)
{
    memcpy(m->bytes + m->n, text.n ? text.p : "", text.n);
    m->n += text.n;
}

/* A NUL separates the parts of an id, so none of them may hold one: else a session's id could spell
 * out the name of another session's key. */
static bool is_part(hap_str_t text, size_t max)
{
    return text.n <= max && hap_str_find(text, '\0', 0) == text.n;
}

static bool is_id(const hap_zone_id_t *id)
{
    return id->sid.n > 0 && is_part(id->app, HAP_ZONE_APP_BYTES_MAX) &&
           is_part(id->zone, ZONE_BYTES_MAX) && is_part(id->sid, HAP_ZONE_SID_BYTES_MAX) &&
           is_part(id->key, HAP_ZONE_SID_BYTES_MAX);
}

bool hap_zone_name(char name[HAP_ZONE_NAME_BYTES], const hap_zone_keys_t *keys,
                   const hap_zone_id_t *id)
{
    const hap_str_t nul = HAP_STR_LIT("\0");
    unsigned char mac[HAP_MAC_BYTES];
    message_t message;
    message.n = 0;
    if (!is_id(id)) {
        return false;
    }
    message_add(&message, id->app);
    message_add(&message, nul);
    message_add(&message, id->zone);
    message_add(&message, nul);
    message_add(&message, id->sid);
    if (id->key.n) {
        message_add(&message, nul);
        message_add(&message, id->key);
    }
    const EVP_MAC_CTX *keyed = keys->names ? keys->names : keys->key[0].keyed;
    if (!hap_mac_make(mac, keyed, hap_strn(message.bytes, message.n))) {
        return false;
    }
    memcpy(name, "haz1:", NAME_PREFIX_BYTES);
    hap_base64url_encode(name + NAME_PREFIX_BYTES, mac, sizeof(mac));
    return true;
}

bool hap_zone_cipher_key(unsigned char cipher_key[HAP_ZONE_KEY_BYTES], const hap_zone_keys_t *keys,
                         unsigned i, hap_str_t name)
{
    message_t message;
    message.n = 0;
    if (name.n != HAP_ZONE_NAME_BYTES) {
        return false;
    }
    message_add(&message, hap_strn(seal_label, sizeof(seal_label)));
    message_add(&message, name);
    return hap_mac_make(cipher_key, keys->key[i].keyed, hap_strn(message.bytes, message.n));
}
