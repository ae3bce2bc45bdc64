/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target of what session zones read that others may have written. Input: a letter and
 *
 *   s  the bytes of a store        What opens is what sealing makes of it.
 *   r  a record, not yet sealed    It is sealed here: else no mutation would ever be read past the
 *                                  tag. What the rule makes of it is newer, and can be sealed.
 *   k  a key file                  It has keys, or a line and a sentence without any of it.
 *   z  the words of store=, zone=  What is taken has one spelling, and a place for each node.
 */
#include "fuzz.h"
#include "hap_zone_rule.h"
#include "hap_zone_spec.h"

enum { HEAD_BYTES = 12, TAG_BYTES = 16, NOW_S = 1700000000, HEX_RUN_MAX = 8 };

static const char name[] = "haz1:gJnHzDUWznc0t_eyaSYp8jZqhJawW3RqBEaZQq-V9nI";

static hap_zone_keys_t *keys; /* of this run */

static unsigned char *room(size_t n)
{
    unsigned char *bytes = malloc(n ? n : 1);
    must(bytes != NULL);
    return bytes;
}

/* --- records ---------------------------------------------------------------------------------- */

static void check_rule(const hap_zone_record_t *now, hap_zone_wish_t wish)
{
    hap_zone_record_t next = {.epoch = 0};
    bool ages = now->epoch < UINT64_MAX && now->version < UINT64_MAX && now->tie < UINT32_MAX;
    if (hap_zone_decide(&next, now, &wish) != HAP_ZONE_STORE) {
        must(next.epoch == 0);
        return;
    }
    must(next.epoch > 0 || !ages);
    must(hap_zone_compare(&next, now) > 0 || !ages);
    must(next.ttl_s > 0 && next.ttl_s <= HAP_ZONE_TTL_S_MAX);
    must(next.owner.n <= HAP_ZONE_OWNER_BYTES_MAX && next.data.n <= HAP_ZONE_DATA_BYTES_MAX);
}

static void check_record(const hap_zone_record_t *record)
{
    static const int64_t clocks[] = {0, NOW_S, 2 * (int64_t)NOW_S};
    for (int i = 0; i < 3; i++) {
        uint32_t rest_s = hap_zone_rest_s(record, clocks[i]);
        must(rest_s > 0 && rest_s <= HAP_ZONE_TTL_S_MAX);
    }
    for (int act = 0; act < HAP_ZONE_ACTS; act++) {
        hap_zone_wish_t wish = {.act = (hap_zone_act_t)act, .now_s = NOW_S, .tie = 7};
        wish.owner = hap_str("hostA");
        check_rule(record, wish);
        wish.epoch = record->epoch;
        wish.version = record->version + 1;
        wish.owner = record->owner;
        check_rule(record, wish);
    }
    must(hap_zone_compare(record, record) == 0);
}

/* What the store had, of exactly this size. */
static void check_sealed(hap_str_t sealed)
{
    hap_zone_record_t record = {.epoch = 0};
    unsigned char *plain = room(sealed.n);
    hap_zone_open_t end = hap_zone_open(&record, plain, sealed, keys, hap_str(name));
    must(hap_zone_open_why(end) != NULL);
    must(end == HAP_ZONE_OPENED || record.epoch == 0);
    if (end == HAP_ZONE_OPENED) {
        const unsigned char *nonce = (const unsigned char *)sealed.p + HEAD_BYTES;
        unsigned char *again = room(hap_zone_sealed_bytes(&record));
        must(hap_zone_seal(again, &record, keys, hap_str(name), nonce) == sealed.n);
        must(memcmp(again, sealed.p, sealed.n) == 0);
        check_record(&record);
        free(again);
    }
    free(plain);
}

static void encrypt(unsigned char *sealed, hap_str_t plain)
{
    unsigned char key[HAP_ZONE_KEY_BYTES];
    unsigned char *out = sealed + HEAD_BYTES + HAP_ZONE_NONCE_BYTES;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n = 0;
    bool ok =
        ctx && hap_zone_cipher_key(key, keys, 0, hap_str(name)) &&
        EVP_EncryptInit_ex2(ctx, hap_zone_keys_cipher(keys), key, sealed + HEAD_BYTES, NULL) &&
        EVP_EncryptUpdate(ctx, NULL, &n, sealed, HEAD_BYTES) &&
        EVP_EncryptUpdate(ctx, NULL, &n, (const unsigned char *)name, HAP_ZONE_NAME_BYTES);
    ok = ok && EVP_EncryptUpdate(ctx, out, &n, (const unsigned char *)plain.p, (int)plain.n) &&
         EVP_EncryptFinal_ex(ctx, out + plain.n, &n) &&
         EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, out + plain.n);
    EVP_CIPHER_CTX_free(ctx);
    must(ok);
}

static void check_plain(hap_str_t plain)
{
    size_t n = HEAD_BYTES + HAP_ZONE_NONCE_BYTES + plain.n + TAG_BYTES;
    unsigned char *sealed = room(n);
    memset(sealed, 0, HEAD_BYTES + HAP_ZONE_NONCE_BYTES);
    memcpy(sealed, "HAZ1", 4);
    memcpy(sealed + 4, hap_zone_keys_id(keys, 0), HAP_ZONE_KEY_ID_BYTES);
    encrypt(sealed, plain);
    check_sealed(hap_strn((const char *)sealed, n));
    free(sealed);
}

/* --- files and words -------------------------------------------------------------------------- */

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

/* Not even a part of a key. */
static void check_silent(const char *why)
{
    size_t run = 0;
    must(why[0] != '\0');
    for (; *why; why++) {
        run = is_hex(*why) ? run + 1 : 0;
        must(run <= HEX_RUN_MAX);
    }
}

static void check_keys(hap_str_t text, apr_pool_t *pool)
{
    hap_zone_keys_t *read = NULL;
    hap_diag_t diag = {-1, ""};
    const hap_zone_id_t id = {.app = hap_str("app"), .zone = hap_str("USER"), .sid = hap_str("s")};
    char made[HAP_ZONE_NAME_BYTES];
    if (hap_zone_keys_parse(&read, text, &diag, pool) != APR_SUCCESS) {
        must(read == NULL && diag.line >= 0);
        check_silent(diag.why);
        return;
    }
    must(hap_zone_keys_count(read) > 0 && hap_zone_keys_count(read) <= HAP_ZONE_KEYS_MAX);
    must(hap_zone_name(made, read, &id));
}

static void check_places(const hap_zone_spec_t *spec)
{
    uint8_t order[HAP_ZONE_NODES_MAX];
    unsigned seen = 0;
    hap_zone_placement(order, spec, hap_str(name));
    for (unsigned i = 0; i < spec->nodes_n; i++) {
        must(order[i] < spec->nodes_n);
        seen |= 1u << order[i];
    }
    must(seen == (1u << spec->nodes_n) - 1);
}

static void check_spec(hap_str_t text, apr_pool_t *pool)
{
    hap_zone_spec_t spec;
    hap_zone_spec_t again;
    hap_diag_t diag = {-1, ""};
    unsigned kinds = 0;
    must(hap_zone_kinds_parse(&kinds, text, &diag) != APR_SUCCESS ||
         hap_str_eq_nocase(text, hap_str(hap_zone_kinds_text(kinds))) ||
         hap_str_eq_nocase(text, hap_str("STORAGE,USER")));
    if (hap_zone_spec_parse(&spec, text, &diag, pool) != APR_SUCCESS) {
        must(diag.line == 0 && diag.why[0] != '\0');
        return;
    }
    const char *spelt = hap_zone_spec_text(&spec, pool);
    must(hap_zone_spec_parse(&again, hap_str(spelt), &diag, pool) == APR_SUCCESS);
    must(strcmp(hap_zone_spec_text(&again, pool), spelt) == 0);
    must(spec.kind == HAP_ZONE_MEMCACHED ? spec.nodes_n > 0 : spec.nodes_n == 0);
    check_places(&spec);
}

/* --- */

static void make_keys(apr_pool_t *pool)
{
    unsigned char key[HAP_ZONE_KEY_BYTES];
    for (int i = 0; i < HAP_ZONE_KEY_BYTES; i++) {
        key[i] = (unsigned char)i;
    }
    must(hap_zone_keys_make(&keys, key, pool) == APR_SUCCESS);
}

static void check(char kind, hap_str_t rest, apr_pool_t *pool)
{
    switch (kind) {
    case 's':
        make_keys(pool);
        check_sealed(rest);
        break;
    case 'r':
        make_keys(pool);
        check_plain(rest);
        break;
    case 'k':
        check_keys(rest, pool);
        break;
    case 'z':
        check_spec(rest, pool);
        break;
    default:
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *pool = fuzz_pool();
    if (size > 0) {
        check((char)data[0], hap_strn((const char *)data + 1, size - 1), pool);
    }
    apr_pool_destroy(pool);
    return 0;
}
