/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hap_zone_record. */
#include "unit.h"

#include "golden.h"
#include "hap_zone_record.h"

#define KEY_1 "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define KEY_2 "fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0efeeedecebeae9e8e7e6e5e4e3e2e1e0"

static const unsigned char nonce[HAP_ZONE_NONCE_BYTES] = {0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5,
                                                          0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab};

#define NAME_1 "haz1:gJnHzDUWznc0t_eyaSYp8jZqhJawW3RqBEaZQq-V9nI"
#define NAME_2 "haz1:QQ2uRz_5UL9dHseDclLCgv1l3F7CHi6jzKYViAD7H7U"

/* What t/golden/zone-record-1.txt has, line by line. */
static const struct {
    const char *what;
    const char *name;
    hap_zone_record_t record;
} golden[] = {
    {"state",
     NAME_1,
     {3,
      18,
      1800,
      1700000000,
      0xdeadbeef,
      false,
      {"hostA", 5},
      {"\0{\"user\":\"\xc3\xa9\"}\xff", 15}}},
    {"issued", NAME_1, {1, 0, 1800, 1700000000, 1, false, {"hostB", 5}, {"", 0}}},
    {"tombstone", NAME_1, {4, 0, 3600, -1, 0xffffffff, true, {"", 0}, {"", 0}}},
    {"storage",
     NAME_2,
     {1, 999999999999999, 2592000, 1700000000, 7, false, {"", 0}, {"datadatadata", 12}}},
};

enum { GOLDEN = sizeof(golden) / sizeof(golden[0]), ROOM = 4096 };

static hap_zone_keys_t *keys(const char *text)
{
    hap_zone_keys_t *made = NULL;
    hap_diag_t diag;
    CU_ASSERT_EQUAL_FATAL(hap_zone_keys_parse(&made, hap_str(text), &diag, unit_pool), APR_SUCCESS);
    return made;
}

static hap_str_t seal(const hap_zone_record_t *record, const hap_zone_keys_t *with,
                      const char *name)
{
    size_t n = hap_zone_sealed_bytes(record);
    unsigned char *out = apr_palloc(unit_pool, n);
    CU_ASSERT_EQUAL_FATAL(hap_zone_seal(out, record, with, hap_str(name), nonce), n);
    return hap_strn((char *)out, n);
}

/* Opens a copy of exactly these bytes, for a sanitizer to see what is read and written beyond. */
static hap_zone_open_t open_copy(hap_zone_record_t *record, hap_str_t sealed,
                                 const hap_zone_keys_t *with, const char *name)
{
    char *copy = malloc(sealed.n ? sealed.n : 1);
    unsigned char *plain = apr_palloc(unit_pool, sealed.n);
    memcpy(copy, sealed.p, sealed.n);
    hap_zone_open_t end =
        hap_zone_open(record, plain, hap_strn(copy, sealed.n), with, hap_str(name));
    free(copy);
    return end;
}

static hap_zone_open_t opens(hap_str_t sealed, const hap_zone_keys_t *with, const char *name)
{
    hap_zone_record_t record = {.epoch = 77};
    hap_zone_open_t end = open_copy(&record, sealed, with, name);
    CU_ASSERT_TRUE(end == HAP_ZONE_OPENED || record.epoch == 77);
    return end;
}

static void assert_same(const hap_zone_record_t *got, const hap_zone_record_t *want)
{
    CU_ASSERT_EQUAL(got->epoch, want->epoch);
    CU_ASSERT_EQUAL(got->version, want->version);
    CU_ASSERT_EQUAL(got->ttl_s, want->ttl_s);
    CU_ASSERT_EQUAL(got->stored_s, want->stored_s);
    CU_ASSERT_EQUAL(got->tie, want->tie);
    CU_ASSERT_EQUAL(got->tombstone, want->tombstone);
    CU_ASSERT_TRUE(hap_str_eq(got->owner, want->owner));
    CU_ASSERT_TRUE(hap_str_eq(got->data, want->data));
}

static const char *hex(hap_str_t bytes)
{
    char *text = apr_pcalloc(unit_pool, 2 * bytes.n + 1);
    for (size_t i = 0; i < bytes.n; i++) {
        snprintf(text + 2 * i, 3, "%02x", (unsigned char)bytes.p[i]);
    }
    return text;
}

static hap_str_t unhex(hap_str_t text)
{
    char *bytes = apr_pcalloc(unit_pool, text.n / 2 + 1);
    for (size_t i = 0; i < text.n / 2; i++) {
        char digits[] = {text.p[2 * i], text.p[2 * i + 1], '\0'};
        bytes[i] = (char)strtoul(digits, NULL, 16);
    }
    return hap_strn(bytes, text.n / 2);
}

/* The i-th record's line, behind the comments, without what it is and its name. */
static hap_str_t golden_line(unsigned i)
{
    hap_str_t rest = hap_str(unit_golden("zone-record-1.txt"));
    hap_str_t line = {"", 0};
    hap_str_t front = hap_str(apr_psprintf(unit_pool, "%s %s ", golden[i].what, golden[i].name));
    while (hap_str_line(&line, &rest) && !hap_str_starts(line, front)) {
    }
    CU_ASSERT_TRUE_FATAL(hap_str_starts(line, front));
    return hap_str_sub(line, front.n, line.n);
}

static void a_record_is_sealed_to_the_documented_bytes(void)
{
    for (unsigned i = 0; i < GOLDEN; i++) {
        hap_str_t sealed = seal(&golden[i].record, keys(KEY_1), golden[i].name);
        UNIT_STR_EQ(hex(sealed), hap_str_dup(golden_line(i), unit_pool));
    }
}

static void a_record_of_version_1_opens_for_ever(void)
{
    for (unsigned i = 0; i < GOLDEN; i++) {
        hap_zone_record_t record;
        hap_str_t sealed = unhex(golden_line(i));
        CU_ASSERT_EQUAL_FATAL(open_copy(&record, sealed, keys(KEY_1), golden[i].name),
                              HAP_ZONE_OPENED);
        assert_same(&record, &golden[i].record);
    }
}

static void a_record_of_any_size_comes_back_as_it_was(void)
{
    char *bytes = apr_pcalloc(unit_pool, HAP_ZONE_DATA_BYTES_MAX);
    const hap_zone_keys_t *with = keys(KEY_1);
    static const size_t sizes[] = {0, 1, 15, 16, 17, 21000, HAP_ZONE_DATA_BYTES_MAX};
    for (size_t i = 0; i < HAP_ZONE_DATA_BYTES_MAX; i++) {
        bytes[i] = (char)(i * 7 + i / 256);
    }
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        const hap_zone_record_t record = {
            .epoch = UINT64_MAX,
            .version = UINT64_MAX,
            .ttl_s = UINT32_MAX,
            .stored_s = INT64_MIN,
            .owner = hap_strn(bytes, HAP_ZONE_OWNER_BYTES_MAX),
            .data = hap_strn(bytes, sizes[i]),
        };
        hap_zone_record_t back;
        hap_str_t sealed = seal(&record, with, NAME_1);
        CU_ASSERT_TRUE(sealed.n <= HAP_ZONE_RECORD_EXTRA_BYTES + sizes[i]);
        CU_ASSERT_EQUAL_FATAL(open_copy(&back, sealed, with, NAME_1), HAP_ZONE_OPENED);
        assert_same(&back, &record);
    }
}

static void what_is_beyond_the_limits_is_not_sealed(void)
{
    static unsigned char out[HAP_ZONE_RECORD_EXTRA_BYTES + HAP_ZONE_DATA_BYTES_MAX + 1];
    static char bytes[HAP_ZONE_DATA_BYTES_MAX + 1];
    const hap_zone_keys_t *with = keys(KEY_1);
    hap_zone_record_t record = {.epoch = 1, .data = hap_strn(bytes, sizeof(bytes))};
    CU_ASSERT_EQUAL(hap_zone_seal(out, &record, with, hap_str(NAME_1), nonce), 0);
    record.data.n--;
    CU_ASSERT_NOT_EQUAL(hap_zone_seal(out, &record, with, hap_str(NAME_1), nonce), 0);
    record.owner = hap_strn(bytes, HAP_ZONE_OWNER_BYTES_MAX + 1);
    CU_ASSERT_EQUAL(hap_zone_seal(out, &record, with, hap_str(NAME_1), nonce), 0);
    record.owner.n--;
    record.epoch = 0;
    CU_ASSERT_EQUAL(hap_zone_seal(out, &record, with, hap_str(NAME_1), nonce), 0);
    record.epoch = 1;
    CU_ASSERT_EQUAL(hap_zone_seal(out, &record, with, hap_str("haz1:short"), nonce), 0);
}

static void a_record_with_any_bit_flipped_does_not_open(void)
{
    const hap_zone_keys_t *with = keys(KEY_1 "\n" KEY_2 "\nnames " KEY_1);
    hap_str_t sealed = seal(&golden[0].record, with, NAME_1);
    char *bytes = apr_pmemdup(unit_pool, sealed.p, sealed.n);
    unsigned came[HAP_ZONE_MALFORMED + 1] = {0};
    for (size_t bit = 0; bit < 8 * sealed.n; bit++) {
        bytes[bit / 8] ^= (char)(1 << bit % 8);
        came[opens(hap_strn(bytes, sealed.n), with, NAME_1)]++;
        bytes[bit / 8] ^= (char)(1 << bit % 8);
    }
    CU_ASSERT_EQUAL(came[HAP_ZONE_OPENED], 0);
    CU_ASSERT_EQUAL(came[HAP_ZONE_OTHER_VERSION], 4 * 8);
    CU_ASSERT_EQUAL(came[HAP_ZONE_OTHER_KEY], HAP_ZONE_KEY_ID_BYTES * 8);
    CU_ASSERT_EQUAL(came[HAP_ZONE_FORGED], 8 * (sealed.n - 12));
    CU_ASSERT_EQUAL(opens(hap_strn(bytes, sealed.n), with, NAME_1), HAP_ZONE_OPENED);
}

static void a_record_that_is_cut_off_or_goes_on_does_not_open(void)
{
    const hap_zone_keys_t *with = keys(KEY_1);
    hap_str_t sealed = seal(&golden[0].record, with, NAME_1);
    for (size_t n = 0; n < sealed.n; n++) {
        CU_ASSERT_EQUAL(opens(hap_strn(sealed.p, n), with, NAME_1),
                        n < 4 ? HAP_ZONE_OTHER_VERSION : HAP_ZONE_FORGED);
    }
    char *more = apr_pcalloc(unit_pool, sealed.n + 1);
    memcpy(more, sealed.p, sealed.n);
    CU_ASSERT_EQUAL(opens(hap_strn(more, sealed.n + 1), with, NAME_1), HAP_ZONE_FORGED);
}

static void a_record_does_not_open_under_another_name(void)
{
    const hap_zone_keys_t *with = keys(KEY_1);
    hap_str_t one = seal(&golden[0].record, with, NAME_1);
    hap_str_t other = seal(&golden[3].record, with, NAME_2);
    CU_ASSERT_EQUAL(opens(one, with, NAME_2), HAP_ZONE_FORGED);
    CU_ASSERT_EQUAL(opens(other, with, NAME_1), HAP_ZONE_FORGED);
    CU_ASSERT_EQUAL(opens(other, with, NAME_2), HAP_ZONE_OPENED);
}

static void a_record_of_another_version_is_known_as_that(void)
{
    const hap_zone_keys_t *with = keys(KEY_1);
    hap_str_t sealed = seal(&golden[0].record, with, NAME_1);
    char *bytes = apr_pmemdup(unit_pool, sealed.p, sealed.n);
    bytes[3] = '2';
    CU_ASSERT_EQUAL(opens(hap_strn(bytes, sealed.n), with, NAME_1), HAP_ZONE_OTHER_VERSION);
    CU_ASSERT_EQUAL(opens(hap_str("END\r\n"), with, NAME_1), HAP_ZONE_OTHER_VERSION);
}

static void the_first_key_seals_and_all_keys_open(void)
{
    const hap_zone_keys_t *k1 = keys(KEY_1);
    const hap_zone_keys_t *k2 = keys(KEY_2);
    const hap_zone_keys_t *both = keys("names " KEY_1 "\n" KEY_2 "\n" KEY_1);
    hap_str_t old = seal(&golden[0].record, k1, NAME_1);
    hap_str_t new = seal(&golden[0].record, both, NAME_1);
    CU_ASSERT_EQUAL(opens(old, both, NAME_1), HAP_ZONE_OPENED);
    CU_ASSERT_EQUAL(opens(new, both, NAME_1), HAP_ZONE_OPENED);
    CU_ASSERT_EQUAL(opens(new, k2, NAME_1), HAP_ZONE_OPENED);
    CU_ASSERT_EQUAL(opens(new, k1, NAME_1), HAP_ZONE_OTHER_KEY);
    CU_ASSERT_EQUAL(opens(old, k2, NAME_1), HAP_ZONE_OTHER_KEY);
}

/* Whoever has the key can seal anything; `bytes` is put in place of a record. */
static hap_zone_open_t opens_plain(hap_str_t bytes)
{
    const hap_zone_keys_t *with = keys(KEY_1);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    unsigned char key[HAP_ZONE_KEY_BYTES];
    unsigned char sealed[ROOM];
    unsigned char *out = sealed + 24;
    int n = 0;
    memcpy(sealed, "HAZ1", 4);
    memcpy(sealed + 4, hap_zone_keys_id(with, 0), 8);
    memcpy(sealed + 12, nonce, sizeof(nonce));
    hap_zone_cipher_key(key, with, 0, hap_str(NAME_1));
    EVP_EncryptInit_ex2(ctx, hap_zone_keys_cipher(with), key, nonce, NULL);
    EVP_EncryptUpdate(ctx, NULL, &n, sealed, 12);
    EVP_EncryptUpdate(ctx, NULL, &n, (const unsigned char *)NAME_1, HAP_ZONE_NAME_BYTES);
    EVP_EncryptUpdate(ctx, out, &n, (const unsigned char *)bytes.p, (int)bytes.n);
    EVP_EncryptFinal_ex(ctx, out, &n);
    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, out + bytes.n);
    EVP_CIPHER_CTX_free(ctx);
    return opens(hap_strn((char *)sealed, 24 + bytes.n + 16), with, NAME_1);
}

static void a_genuine_record_that_is_none_is_malformed(void)
{
    enum { FIXED = 34, EPOCH = 7, FLAGS = 32, OWNER = 33 };
    char plain[FIXED + 64] = {0};
    plain[EPOCH] = 1;
    CU_ASSERT_EQUAL(opens_plain(hap_strn(plain, FIXED)), HAP_ZONE_OPENED);
    for (size_t n = 0; n < FIXED; n++) {
        CU_ASSERT_EQUAL(opens_plain(hap_strn(plain, n)), HAP_ZONE_MALFORMED);
    }
    plain[OWNER] = 63;
    CU_ASSERT_EQUAL(opens_plain(hap_strn(plain, FIXED + 62)), HAP_ZONE_MALFORMED);
    CU_ASSERT_EQUAL(opens_plain(hap_strn(plain, FIXED + 63)), HAP_ZONE_OPENED);
    plain[OWNER] = 64;
    CU_ASSERT_EQUAL(opens_plain(hap_strn(plain, FIXED + 64)), HAP_ZONE_MALFORMED);
    plain[OWNER] = 0;
    plain[FLAGS] = 2;
    CU_ASSERT_EQUAL(opens_plain(hap_strn(plain, FIXED)), HAP_ZONE_MALFORMED);
    plain[FLAGS] = 1;
    CU_ASSERT_EQUAL(opens_plain(hap_strn(plain, FIXED)), HAP_ZONE_OPENED);
    plain[EPOCH] = 0;
    CU_ASSERT_EQUAL(opens_plain(hap_strn(plain, FIXED)), HAP_ZONE_MALFORMED);
}

static void each_end_of_opening_has_a_sentence(void)
{
    for (int i = HAP_ZONE_OPENED; i <= HAP_ZONE_MALFORMED; i++) {
        CU_ASSERT_PTR_NOT_NULL(hap_zone_open_why((hap_zone_open_t)i));
    }
}

/* --- which is newer --- */

/* From oldest to newest. */
static const hap_zone_record_t by_age[] = {
    {.epoch = 1, .version = 0, .tie = 9},
    {.epoch = 1, .version = 5, .tie = 1},
    {.epoch = 1, .version = 5, .tie = 2},
    {.epoch = 1, .version = UINT64_MAX, .tie = 0},
    {.epoch = 1, .version = 0, .tie = 0, .tombstone = true},
    {.epoch = 2, .version = 0, .tie = UINT32_MAX},
    {.epoch = 2, .version = 1, .tie = 0},
    {.epoch = UINT64_MAX, .version = 0, .tie = 0},
};

static void of_two_records_the_newer_is_told_by_epoch_tombstone_version_and_tie(void)
{
    int n = sizeof(by_age) / sizeof(by_age[0]);
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++) {
            hap_zone_record_t a = by_age[i];
            hap_zone_record_t b = by_age[j];
            a.stored_s = j;
            b.stored_s = i;
            int order = hap_zone_compare(&a, &b);
            CU_ASSERT_EQUAL((order > 0) - (order < 0), (i > j) - (i < j));
        }
    }
}

static uint32_t rest(uint32_t ttl_s, int64_t stored_s, int64_t now_s)
{
    const hap_zone_record_t record = {.ttl_s = ttl_s, .stored_s = stored_s};
    return hap_zone_rest_s(&record, now_s);
}

static void a_copy_is_kept_for_the_rest_of_the_records_time(void)
{
    CU_ASSERT_EQUAL(rest(1800, 1000, 1000), 1800);
    CU_ASSERT_EQUAL(rest(1800, 1000, 1001), 1799);
    CU_ASSERT_EQUAL(rest(1800, 1000, 2799), 1);
}

static void a_copy_is_kept_for_all_of_it_when_a_clock_was_set(void)
{
    CU_ASSERT_EQUAL(rest(1800, 1000, 999), 1800);
    CU_ASSERT_EQUAL(rest(1800, 1000, -1000000), 1800);
    CU_ASSERT_EQUAL(rest(1800, 1000, 2800), 1800);
    CU_ASSERT_EQUAL(rest(1800, 1000, 1700000000), 1800);
    CU_ASSERT_EQUAL(rest(1800, INT64_MAX, 1700000000), 1800);
    CU_ASSERT_EQUAL(rest(1800, INT64_MIN, 1700000000), 1800);
}

/* memcached takes 0 for no end, and more than 30 days for a date. */
static bool makes_sense(uint32_t ttl_s, int64_t stored_s, int64_t now_s)
{
    const hap_zone_record_t record = {.ttl_s = ttl_s, .stored_s = stored_s};
    return hap_zone_age_makes_sense(&record, now_s);
}

static void an_age_makes_sense_unless_a_clock_was_set(void)
{
    CU_ASSERT_TRUE(makes_sense(1800, 1000, 1000));
    CU_ASSERT_TRUE(makes_sense(1800, 1000, 2799));
    CU_ASSERT_FALSE(makes_sense(1800, 1000, 2800));
    CU_ASSERT_TRUE(makes_sense(1800, 1225, 1000));
    CU_ASSERT_FALSE(makes_sense(1800, 1226, 1000));
    CU_ASSERT_FALSE(makes_sense(1800, INT64_MAX, 1700000000));
    CU_ASSERT_FALSE(makes_sense(1800, INT64_MIN, 1700000000));
    CU_ASSERT_FALSE(makes_sense(0, 1000, 1000));
}

static bool is_over(uint32_t ttl_s, int64_t stored_s, int64_t now_s)
{
    const hap_zone_record_t record = {.ttl_s = ttl_s, .stored_s = stored_s};
    return hap_zone_is_over(&record, now_s);
}

static void a_record_is_over_when_it_had_its_time(void)
{
    CU_ASSERT_FALSE(is_over(1800, 1000, 2799));
    CU_ASSERT_TRUE(is_over(1800, 1000, 2800));
    CU_ASSERT_TRUE(is_over(1800, 1000, 1700000000));
    CU_ASSERT_FALSE(is_over(1800, 1000, 0));
    CU_ASSERT_TRUE(is_over(0, 1000, 1000));
    CU_ASSERT_FALSE(is_over(UINT32_MAX, INT64_MAX, 1700000000));
}

static void a_rest_is_always_one_that_memcached_takes_for_seconds(void)
{
    CU_ASSERT_EQUAL(rest(0, 1000, 1000), 1);
    CU_ASSERT_EQUAL(rest(0, 1000, 5000), 1);
    CU_ASSERT_EQUAL(rest(UINT32_MAX, 1000, 1000), HAP_ZONE_TTL_S_MAX);
    CU_ASSERT_EQUAL(rest(UINT32_MAX, 1000, 1010), HAP_ZONE_TTL_S_MAX - 10);
}

const unit_test_t suite_zone_record[] = {
    UNIT_TEST(a_record_is_sealed_to_the_documented_bytes),
    UNIT_TEST(a_record_of_version_1_opens_for_ever),
    UNIT_TEST(a_record_of_any_size_comes_back_as_it_was),
    UNIT_TEST(what_is_beyond_the_limits_is_not_sealed),
    UNIT_TEST(a_record_with_any_bit_flipped_does_not_open),
    UNIT_TEST(a_record_that_is_cut_off_or_goes_on_does_not_open),
    UNIT_TEST(a_record_does_not_open_under_another_name),
    UNIT_TEST(a_record_of_another_version_is_known_as_that),
    UNIT_TEST(the_first_key_seals_and_all_keys_open),
    UNIT_TEST(a_genuine_record_that_is_none_is_malformed),
    UNIT_TEST(each_end_of_opening_has_a_sentence),
    UNIT_TEST(of_two_records_the_newer_is_told_by_epoch_tombstone_version_and_tie),
    UNIT_TEST(a_copy_is_kept_for_the_rest_of_the_records_time),
    UNIT_TEST(a_record_is_over_when_it_had_its_time),
    UNIT_TEST(an_age_makes_sense_unless_a_clock_was_set),
    UNIT_TEST(a_copy_is_kept_for_all_of_it_when_a_clock_was_set),
    UNIT_TEST(a_rest_is_always_one_that_memcached_takes_for_seconds),
    UNIT_END,
};
