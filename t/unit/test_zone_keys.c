/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hap_zone_keys. */
#include "unit.h"

#include <apr_strings.h>

#include "hap_zone_keys.h"

#define KEY_1 "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define KEY_2 "FFFEFDFCFBFAF9F8F7F6F5F4F3F2F1F0EFEEEDECEBEAE9E8E7E6E5E4E3E2E1E0"

#define NO_KEY "0: there is no key: make one with `openssl rand -hex 32`"

static hap_zone_keys_t *keys(const char *text)
{
    hap_zone_keys_t *made = NULL;
    hap_diag_t diag;
    CU_ASSERT_EQUAL_FATAL(hap_zone_keys_parse(&made, hap_str(text), &diag, unit_pool), APR_SUCCESS);
    return made;
}

static const char *refusal(const char *text)
{
    hap_zone_keys_t *made = NULL;
    hap_diag_t diag = {-1, ""};
    CU_ASSERT_EQUAL(hap_zone_keys_parse(&made, hap_str(text), &diag, unit_pool), APR_EINVAL);
    CU_ASSERT_PTR_NULL(made);
    return apr_psprintf(unit_pool, "%d: %s", diag.line, diag.why);
}

static int refused_line(const char *text)
{
    return refusal(text)[0] - '0';
}

static const char *name_of(const hap_zone_keys_t *with, hap_str_t app, hap_str_t zone,
                           hap_str_t sid, hap_str_t key)
{
    const hap_zone_id_t id = {app, zone, sid, key};
    char name[HAP_ZONE_NAME_BYTES];
    return hap_zone_name(name, with, &id) ? apr_pstrndup(unit_pool, name, sizeof(name)) : NULL;
}

static const char *name(const hap_zone_keys_t *with, const char *app, const char *zone,
                        const char *sid, const char *key)
{
    return name_of(with, hap_str(app), hap_str(zone), hap_str(sid), hap_str(key));
}

/* The i-th key seals and opens as the only one of `other` does. */
static bool is_key(const hap_zone_keys_t *of, unsigned i, const hap_zone_keys_t *other)
{
    unsigned char a[HAP_ZONE_KEY_BYTES];
    unsigned char b[HAP_ZONE_KEY_BYTES];
    hap_str_t record = hap_str(name(other, "app", "USER", "sid", ""));
    CU_ASSERT_TRUE(hap_zone_cipher_key(a, of, i, record));
    CU_ASSERT_TRUE(hap_zone_cipher_key(b, other, 0, record));
    return memcmp(a, b, sizeof(a)) == 0 &&
           memcmp(hap_zone_keys_id(of, i), hap_zone_keys_id(other, 0), HAP_ZONE_KEY_ID_BYTES) == 0;
}

/* --- the file --- */

static void a_key_file_has_a_key_a_line_and_comments(void)
{
    CU_ASSERT_EQUAL(hap_zone_keys_count(keys("# May\n\n  " KEY_1 "\t\n# more\n")), 1);
    CU_ASSERT_EQUAL(hap_zone_keys_count(keys("names " KEY_1 "\n" KEY_1 "\n" KEY_2)), 2);
    CU_ASSERT_EQUAL(hap_zone_keys_count(keys(KEY_1 "\n" KEY_2 "\n names \t " KEY_1 " \n")), 2);
    CU_ASSERT_EQUAL(hap_zone_keys_count(keys("names " KEY_1 "\n" KEY_2)), 1);
}

static void a_key_file_with_anything_else_is_refused_by_line(void)
{
    UNIT_STR_EQ(refusal(""), NO_KEY);
    UNIT_STR_EQ(refusal("# none\n\n"), NO_KEY);
    UNIT_STR_EQ(refusal("names " KEY_1 "\n"), NO_KEY);
    CU_ASSERT_EQUAL(refused_line(KEY_1 "\nsecret\n"), 2);
    CU_ASSERT_EQUAL(refused_line(KEY_1 "0"), 1);
    CU_ASSERT_EQUAL(refused_line(KEY_1 "\r\n"), 1);
    CU_ASSERT_EQUAL(refused_line("\ng" KEY_1), 2);
    CU_ASSERT_EQUAL(refused_line("# \n\n" KEY_1 KEY_2), 3);
    CU_ASSERT_EQUAL(refused_line(KEY_1 " " KEY_2), 1);
    CU_ASSERT_EQUAL(refused_line(KEY_1 "\nnames\n"), 2);
    CU_ASSERT_EQUAL(refused_line(KEY_1 "\nnames \n"), 2);
    CU_ASSERT_EQUAL(refused_line(KEY_1 "\nnames" KEY_1 "\n"), 2);
    CU_ASSERT_EQUAL(refused_line(KEY_1 "\nnames " KEY_1 "00\n"), 2);
    CU_ASSERT_EQUAL(refused_line(KEY_1 "\nNAMES " KEY_1 "\n"), 2);
}

static void what_is_there_twice_is_refused(void)
{
    const char *again = "fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0efeeedecebeae9e8e7e6e5e4e3e2e1e0";
    UNIT_STR_EQ(refusal(apr_psprintf(unit_pool, KEY_2 "\n" KEY_1 "\n%s", again)),
                "3: this key is there twice");
    UNIT_STR_EQ(refusal("names " KEY_1 "\n" KEY_1 "\nnames " KEY_1 "\n"),
                "3: `names` is there twice");
}

static void several_keys_need_one_for_names(void)
{
    UNIT_STR_EQ(refusal(KEY_1 "\n" KEY_2),
                "0: there are several keys and no `names`: put `names` and the key that was there "
                "first into a line of their own");
}

static const char *many_keys(int n)
{
    const char *text = "names " KEY_1 "\n";
    for (int i = 0; i < n; i++) {
        text = apr_psprintf(unit_pool, "%s%064d\n", text, i);
    }
    return text;
}

static void there_are_four_keys_at_most(void)
{
    CU_ASSERT_EQUAL(hap_zone_keys_count(keys(many_keys(HAP_ZONE_KEYS_MAX))), 4);
    UNIT_STR_EQ(refusal(many_keys(HAP_ZONE_KEYS_MAX + 1)),
                "6: there are more than 4 keys: take out the oldest, which are last");
}

static void a_refusal_never_quotes_the_file(void)
{
    CU_ASSERT_PTR_NULL(strstr(refusal("topsecret" KEY_1), "topsecret"));
    CU_ASSERT_PTR_NULL(strstr(refusal(KEY_1 "\nnames topsecret" KEY_1), "topsecret"));
    CU_ASSERT_PTR_NULL(strstr(refusal(KEY_2 "\n" KEY_2), "FFFE"));
    CU_ASSERT_PTR_NULL(strstr(refusal(KEY_1 "\n" KEY_2), "FFFE"));
}

/* doc/zone-record.md, "Key file": what each step of the three leaves as it is, and changes. */
static void a_key_is_replaced_in_three_steps_that_keep_names(void)
{
    const hap_zone_keys_t *k1 = keys(KEY_1);
    const hap_zone_keys_t *k2 = keys(KEY_2);
    const hap_zone_keys_t *steps[] = {
        keys("names " KEY_1 "\n" KEY_1 "\n" KEY_2),
        keys("names " KEY_1 "\n" KEY_2 "\n" KEY_1),
        keys("names " KEY_1 "\n" KEY_2),
    };
    for (int i = 0; i < 3; i++) {
        UNIT_STR_EQ(name(steps[i], "app", "USER", "sid", ""), name(k1, "app", "USER", "sid", ""));
    }
    CU_ASSERT_TRUE(is_key(steps[0], 0, k1) && is_key(steps[0], 1, k2));
    CU_ASSERT_TRUE(is_key(steps[1], 0, k2) && is_key(steps[1], 1, k1));
    CU_ASSERT_TRUE(is_key(steps[2], 0, k2) && hap_zone_keys_count(steps[2]) == 1);
}

static void a_key_of_bytes_is_the_same_as_one_in_a_file(void)
{
    unsigned char bytes[HAP_ZONE_KEY_BYTES];
    hap_zone_keys_t *made = NULL;
    for (int i = 0; i < HAP_ZONE_KEY_BYTES; i++) {
        bytes[i] = (unsigned char)i;
    }
    CU_ASSERT_EQUAL_FATAL(hap_zone_keys_make(&made, bytes, unit_pool), APR_SUCCESS);
    CU_ASSERT_EQUAL(hap_zone_keys_count(made), 1);
    CU_ASSERT_TRUE(is_key(made, 0, keys(KEY_1)));
    UNIT_STR_EQ(name(made, "a", "USER", "s", ""), name(keys(KEY_1), "a", "USER", "s", ""));
}

/* --- names --- */

/* Computed apart from this code, with another implementation of HMAC. */
static void a_name_has_the_documented_form_and_bytes(void)
{
    UNIT_STR_EQ(name(keys(KEY_1), "app", "USER", "0123456789abcdef", ""),
                "haz1:gJnHzDUWznc0t_eyaSYp8jZqhJawW3RqBEaZQq-V9nI");
    UNIT_STR_EQ(name(keys(KEY_1), "app", "STORAGE", "cart", "7"),
                "haz1:QQ2uRz_5UL9dHseDclLCgv1l3F7CHi6jzKYViAD7H7U");
}

static void a_key_is_told_by_the_documented_bytes(void)
{
    static const unsigned char id[] = {0xb0, 0xe1, 0xb5, 0xea, 0xef, 0xc1, 0xe4, 0x30};
    CU_ASSERT_EQUAL(memcmp(hap_zone_keys_id(keys(KEY_1), 0), id, sizeof(id)), 0);
}

static void a_name_is_bound_to_each_part_of_the_id_and_to_the_key(void)
{
    const hap_zone_keys_t *with = keys(KEY_1);
    const char *of[] = {
        name(with, "app", "USER", "sid", "key"),        name(with, "app2", "USER", "sid", "key"),
        name(with, "app", "STORAGE", "sid", "key"),     name(with, "app", "USER", "sid2", "key"),
        name(with, "app", "USER", "sid", "key2"),       name(with, "app", "USER", "sid", ""),
        name(keys(KEY_2), "app", "USER", "sid", "key"),
    };
    for (size_t i = 0; i < sizeof(of) / sizeof(of[0]); i++) {
        CU_ASSERT_PTR_NOT_NULL_FATAL(of[i]);
        for (size_t j = 0; j < i; j++) {
            CU_ASSERT_STRING_NOT_EQUAL(of[i], of[j]);
        }
    }
}

/* All ids of which the parts together are the same characters. */
static void ids_never_share_a_name_by_concatenation(void)
{
    const hap_zone_keys_t *with = keys(KEY_1);
    const hap_str_t text = HAP_STR_LIT("USERUSERUSER");
    const char *names[400];
    int n = 0;
    for (size_t app = 0; app < text.n; app++) {
        for (size_t sid = app + 1; sid <= text.n; sid++) {
            names[n++] = name_of(with, hap_str_sub(text, 0, app), hap_str("USER"),
                                 hap_str_sub(text, app, sid), hap_str_sub(text, sid, text.n));
        }
    }
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < i; j++) {
            CU_ASSERT_STRING_NOT_EQUAL_FATAL(names[i], names[j]);
        }
    }
    CU_ASSERT_EQUAL(n, 78);
}

/* sid "a" with key "b", spelt as a session's id, is what a NUL would make of it. */
static void an_id_with_a_nul_has_no_name(void)
{
    const hap_zone_keys_t *with = keys(KEY_1);
    const hap_str_t nul = HAP_STR_LIT("a\0b");
    const hap_str_t a = HAP_STR_LIT("a");
    const hap_str_t user = HAP_STR_LIT("USER");
    CU_ASSERT_PTR_NULL(name_of(with, a, user, nul, hap_str("")));
    CU_ASSERT_PTR_NULL(name_of(with, a, user, a, nul));
    CU_ASSERT_PTR_NULL(name_of(with, nul, user, a, a));
    CU_ASSERT_PTR_NULL(name_of(with, a, nul, a, a));
}

static void an_id_beyond_the_limits_has_no_name(void)
{
    const hap_zone_keys_t *with = keys(KEY_1);
    const hap_str_t user = HAP_STR_LIT("USER");
    char bytes[HAP_ZONE_SID_BYTES_MAX + 1];
    memset(bytes, 'x', sizeof(bytes));
    const hap_str_t most = hap_strn(bytes, HAP_ZONE_SID_BYTES_MAX);
    const hap_str_t more = hap_strn(bytes, sizeof(bytes));
    const hap_str_t app = hap_strn(bytes, HAP_ZONE_APP_BYTES_MAX);
    CU_ASSERT_PTR_NOT_NULL(name_of(with, app, user, most, most));
    CU_ASSERT_PTR_NULL(name_of(with, app, user, more, most));
    CU_ASSERT_PTR_NULL(name_of(with, app, user, most, more));
    CU_ASSERT_PTR_NULL(name_of(with, most, user, most, most));
    CU_ASSERT_PTR_NULL(name_of(with, app, user, hap_str(""), most));
}

static void each_record_has_a_cipher_key_of_its_own(void)
{
    const hap_zone_keys_t *with = keys(KEY_1);
    unsigned char a[HAP_ZONE_KEY_BYTES];
    unsigned char b[HAP_ZONE_KEY_BYTES];
    CU_ASSERT_TRUE(hap_zone_cipher_key(a, with, 0, hap_str(name(with, "a", "USER", "s", ""))));
    CU_ASSERT_TRUE(hap_zone_cipher_key(b, with, 0, hap_str(name(with, "a", "USER", "t", ""))));
    CU_ASSERT_NOT_EQUAL(memcmp(a, b, sizeof(a)), 0);
    CU_ASSERT_FALSE(hap_zone_cipher_key(a, with, 0, hap_str("short")));
}

const unit_test_t suite_zone_keys[] = {
    UNIT_TEST(a_key_file_has_a_key_a_line_and_comments),
    UNIT_TEST(a_key_file_with_anything_else_is_refused_by_line),
    UNIT_TEST(what_is_there_twice_is_refused),
    UNIT_TEST(several_keys_need_one_for_names),
    UNIT_TEST(there_are_four_keys_at_most),
    UNIT_TEST(a_refusal_never_quotes_the_file),
    UNIT_TEST(a_key_is_replaced_in_three_steps_that_keep_names),
    UNIT_TEST(a_key_of_bytes_is_the_same_as_one_in_a_file),
    UNIT_TEST(a_name_has_the_documented_form_and_bytes),
    UNIT_TEST(a_key_is_told_by_the_documented_bytes),
    UNIT_TEST(a_name_is_bound_to_each_part_of_the_id_and_to_the_key),
    UNIT_TEST(ids_never_share_a_name_by_concatenation),
    UNIT_TEST(an_id_with_a_nul_has_no_name),
    UNIT_TEST(an_id_beyond_the_limits_has_no_name),
    UNIT_TEST(each_record_has_a_cipher_key_of_its_own),
    UNIT_END,
};
