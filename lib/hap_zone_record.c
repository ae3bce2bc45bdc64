/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the bytes of a record: doc/zone-record.md, version 1. Does not make nonces and does not
 * decide what is stored.
 */
#include "hap_zone_record.h"

#include <openssl/crypto.h>

enum {
    MAGIC_BYTES = 4,
    HEAD_BYTES = MAGIC_BYTES + HAP_ZONE_KEY_ID_BYTES, /* what is authenticated, with the name */
    TAG_BYTES = 16,
    AROUND_BYTES = HEAD_BYTES + HAP_ZONE_NONCE_BYTES + TAG_BYTES,
    FIXED_BYTES = 8 + 8 + 4 + 8 + 4 + 1 + 1, /* of a record, before its owner */
    FLAG_TOMBSTONE = 1
};

_Static_assert((int)HAP_ZONE_RECORD_EXTRA_BYTES ==
                   AROUND_BYTES + FIXED_BYTES + HAP_ZONE_OWNER_BYTES_MAX,
               "the header says what a record adds to its data");

static const char magic[] = "HAZ1";

const char *hap_zone_open_why(hap_zone_open_t end)
{
    static const char *const why[] = {
        [HAP_ZONE_OPENED] = "it was opened",
        [HAP_ZONE_OTHER_VERSION] = "it is of another format",
        [HAP_ZONE_OTHER_KEY] = "it was sealed with a key that is not in the key file",
        [HAP_ZONE_FORGED] = "it was changed, or put under another name",
        [HAP_ZONE_MALFORMED] = "it was sealed with a key of ours, and is no record",
    };
    return why[end];
}

/* --- the record's own bytes --- */

static unsigned char *put_number(unsigned char *out, uint64_t number, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--) {
        *out++ = (unsigned char)(number >> 8 * i);
    }
    return out;
}

static uint64_t get_number(const unsigned char **in, int bytes)
{
    uint64_t number = 0;
    for (int i = 0; i < bytes; i++) {
        number = number << 8 | *(*in)++;
    }
    return number;
}

/* All but the data, which goes straight to the cipher. */
static size_t encode_front(unsigned char front[FIXED_BYTES + HAP_ZONE_OWNER_BYTES_MAX],
                           const hap_zone_record_t *record)
{
    unsigned char *out = front;
    out = put_number(out, record->epoch, 8);
    out = put_number(out, record->version, 8);
    out = put_number(out, record->ttl_s, 4);
    out = put_number(out, (uint64_t)record->stored_s, 8);
    out = put_number(out, record->tie, 4);
    out = put_number(out, record->tombstone ? FLAG_TOMBSTONE : 0, 1);
    out = put_number(out, record->owner.n, 1);
    memcpy(out, record->owner.n ? record->owner.p : "", record->owner.n);
    return FIXED_BYTES + record->owner.n;
}

static bool decode(hap_zone_record_t *record, const unsigned char *in, size_t n)
{
    const unsigned char *end = in + n;
    hap_zone_record_t read = {.epoch = 0};
    if (n < FIXED_BYTES) {
        return false;
    }
    read.epoch = get_number(&in, 8);
    read.version = get_number(&in, 8);
    read.ttl_s = (uint32_t)get_number(&in, 4);
    read.stored_s = (int64_t)get_number(&in, 8);
    read.tie = (uint32_t)get_number(&in, 4);
    uint64_t flags = get_number(&in, 1);
    size_t owner = (size_t)get_number(&in, 1);
    if (read.epoch == 0 || (flags & ~(uint64_t)FLAG_TOMBSTONE) ||
        owner > HAP_ZONE_OWNER_BYTES_MAX || owner > (size_t)(end - in) ||
        (size_t)(end - in) - owner > HAP_ZONE_DATA_BYTES_MAX) {
        return false;
    }
    read.tombstone = flags & FLAG_TOMBSTONE;
    read.owner = hap_strn((const char *)in, owner);
    read.data = hap_strn((const char *)in + owner, (size_t)(end - in) - owner);
    *record = read;
    return true;
}

/* --- sealing --- */

size_t hap_zone_sealed_bytes(const hap_zone_record_t *record)
{
    return AROUND_BYTES + FIXED_BYTES + record->owner.n + record->data.n;
}

/* A context with the key of this name in it. */
static EVP_CIPHER_CTX *cipher_begin(const hap_zone_keys_t *keys, unsigned i, hap_str_t name,
                                    const unsigned char *nonce, int encrypt)
{
    unsigned char key[HAP_ZONE_KEY_BYTES];
    EVP_CIPHER_CTX *ctx = hap_zone_cipher_key(key, keys, i, name) ? EVP_CIPHER_CTX_new() : NULL;
    if (ctx && !EVP_CipherInit_ex2(ctx, hap_zone_keys_cipher(keys), key, nonce, encrypt, NULL)) {
        EVP_CIPHER_CTX_free(ctx);
        ctx = NULL;
    }
    OPENSSL_cleanse(key, sizeof(key));
    return ctx;
}

/* Runs bytes through the cipher; `out` NULL: only authenticates them. */
static bool cipher_add(EVP_CIPHER_CTX *ctx, unsigned char *out, const void *in, size_t n)
{
    int done = 0;
    return n == 0 || (EVP_CipherUpdate(ctx, out, &done, in, (int)n) && (size_t)done == n);
}

static bool encrypt(EVP_CIPHER_CTX *ctx, unsigned char *sealed, const hap_zone_record_t *record,
                    hap_str_t name)
{
    unsigned char front[FIXED_BYTES + HAP_ZONE_OWNER_BYTES_MAX];
    size_t front_n = encode_front(front, record);
    unsigned char *out = sealed + HEAD_BYTES + HAP_ZONE_NONCE_BYTES;
    unsigned char *tag = out + front_n + record->data.n;
    int none = 0;
    return cipher_add(ctx, NULL, sealed, HEAD_BYTES) && cipher_add(ctx, NULL, name.p, name.n) &&
           cipher_add(ctx, out, front, front_n) &&
           cipher_add(ctx, out + front_n, record->data.p, record->data.n) &&
           EVP_CipherFinal_ex(ctx, tag, &none) &&
           EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, tag);
}

static bool is_storable(const hap_zone_record_t *record)
{
    return record->epoch > 0 && record->owner.n <= HAP_ZONE_OWNER_BYTES_MAX &&
           record->data.n <= HAP_ZONE_DATA_BYTES_MAX;
}

size_t hap_zone_seal(unsigned char *out, const hap_zone_record_t *record,
                     const hap_zone_keys_t *keys, hap_str_t name,
                     const unsigned char nonce[HAP_ZONE_NONCE_BYTES])
{
    if (!is_storable(record)) {
        return 0;
    }
    EVP_CIPHER_CTX *ctx = cipher_begin(keys, 0, name, nonce, 1);
    if (!ctx) {
        return 0;
    }
    memcpy(out, magic, MAGIC_BYTES);
    memcpy(out + MAGIC_BYTES, hap_zone_keys_id(keys, 0), HAP_ZONE_KEY_ID_BYTES);
    memcpy(out + HEAD_BYTES, nonce, HAP_ZONE_NONCE_BYTES);
    bool ok = encrypt(ctx, out, record, name);
    EVP_CIPHER_CTX_free(ctx);
    return ok ? hap_zone_sealed_bytes(record) : 0;
}

/* --- opening --- */

/* Which of the keys has sealed it, or how many there are. */
static unsigned find_key(const hap_zone_keys_t *keys, const unsigned char *id)
{
    unsigned i = 0;
    while (i < hap_zone_keys_count(keys) &&
           memcmp(hap_zone_keys_id(keys, i), id, HAP_ZONE_KEY_ID_BYTES) != 0) {
        i++;
    }
    return i;
}

static bool decrypt(EVP_CIPHER_CTX *ctx, unsigned char *plain, hap_str_t sealed, hap_str_t name)
{
    unsigned char tag[TAG_BYTES];
    const char *in = sealed.p + HEAD_BYTES + HAP_ZONE_NONCE_BYTES;
    int none = 0;
    memcpy(tag, sealed.p + sealed.n - TAG_BYTES, TAG_BYTES);
    return cipher_add(ctx, NULL, sealed.p, HEAD_BYTES) && cipher_add(ctx, NULL, name.p, name.n) &&
           cipher_add(ctx, plain, in, sealed.n - AROUND_BYTES) &&
           EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, tag) &&
           EVP_CipherFinal_ex(ctx, plain + sealed.n - AROUND_BYTES, &none);
}

const unsigned char *hap_zone_sealed_key(hap_str_t sealed)
{
    bool ours = hap_str_starts(sealed, hap_strn(magic, MAGIC_BYTES)) && sealed.n >= AROUND_BYTES;
    return ours ? (const unsigned char *)sealed.p + MAGIC_BYTES : NULL;
}

hap_zone_open_t hap_zone_open(hap_zone_record_t *record, unsigned char *plain, hap_str_t sealed,
                              const hap_zone_keys_t *keys, hap_str_t name)
{
    if (!hap_str_starts(sealed, hap_strn(magic, MAGIC_BYTES))) {
        return HAP_ZONE_OTHER_VERSION;
    }
    if (sealed.n < AROUND_BYTES ||
        sealed.n > HAP_ZONE_RECORD_EXTRA_BYTES + HAP_ZONE_DATA_BYTES_MAX) {
        return HAP_ZONE_FORGED;
    }
    const unsigned char *head = (const unsigned char *)sealed.p;
    unsigned i = find_key(keys, head + MAGIC_BYTES);
    if (i == hap_zone_keys_count(keys)) {
        return HAP_ZONE_OTHER_KEY;
    }
    EVP_CIPHER_CTX *ctx = cipher_begin(keys, i, name, head + HEAD_BYTES, 0);
    bool genuine = ctx && decrypt(ctx, plain, sealed, name);
    EVP_CIPHER_CTX_free(ctx);
    if (!genuine) {
        return HAP_ZONE_FORGED;
    }
    return decode(record, plain, sealed.n - AROUND_BYTES) ? HAP_ZONE_OPENED : HAP_ZONE_MALFORMED;
}

/* --- which is newer --- */

#define ORDER(a, b) (((a) > (b)) - ((a) < (b)))

int hap_zone_compare(const hap_zone_record_t *a, const hap_zone_record_t *b)
{
    int order = ORDER(a->epoch, b->epoch);
    order = order ? order : ORDER(a->tombstone, b->tombstone);
    order = order ? order : ORDER(a->version, b->version);
    return order ? order : ORDER(a->tie, b->tie);
}

bool hap_zone_is_over(const hap_zone_record_t *record, int64_t now_s)
{
    return record->stored_s <= now_s - (int64_t)record->ttl_s;
}

/* A record that is there and should have ended long ago, or that comes from the future, says that a
 * clock was set: then too long is better than too short. */
bool hap_zone_age_makes_sense(const hap_zone_record_t *record, int64_t now_s)
{
    enum { DIFFER = 8 };
    return record->stored_s <= now_s + record->ttl_s / DIFFER && !hap_zone_is_over(record, now_s);
}

uint32_t hap_zone_rest_s(const hap_zone_record_t *record, int64_t now_s)
{
    uint32_t ttl_s = record->ttl_s < HAP_ZONE_TTL_S_MAX ? record->ttl_s : HAP_ZONE_TTL_S_MAX;
    ttl_s = ttl_s ? ttl_s : 1;
    if (record->stored_s > now_s || record->stored_s <= now_s - (int64_t)ttl_s) {
        return ttl_s;
    }
    return ttl_s - (uint32_t)(now_s - record->stored_s);
}
