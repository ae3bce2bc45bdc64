/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hap_zone_path. */
#include "unit.h"

#include <apr_strings.h>

#include "hap_zone_path.h"

#define X16  "xxxxxxxxxxxxxxxx"
#define X64  X16 X16 X16 X16
#define X256 X64 X64 X64 X64

/* What the target names, by the path that httpd has made of it. */
static const char *named(const char *target, const char *uri)
{
    static const char *const ends[] = {
        [HAP_ZONE_PATH_STATUS] = "status",
        [HAP_ZONE_PATH_NONE] = "none",
        [HAP_ZONE_PATH_MALFORMED] = "malformed",
    };
    hap_zone_path_t path;
    hap_zone_path_end_t end = hap_zone_path_read(&path, hap_str(target), hap_str(uri));
    if (end != HAP_ZONE_PATH_VALUE) {
        return ends[end];
    }
    const char *text = apr_psprintf(unit_pool, "%s sid=%.*s", hap_zone_kinds_text(path.zone),
                                    HAP_STR_ARG(path.sid));
    return path.key.n ? apr_psprintf(unit_pool, "%s key=%.*s", text, HAP_STR_ARG(path.key)) : text;
}

/* Where httpd changes nothing. */
static const char *plain(const char *target)
{
    return named(target, target);
}

static void an_address_is_the_zone_the_session_and_perhaps_a_key(void)
{
    UNIT_STR_EQ(plain("/zones/USER/s1"), "USER sid=s1");
    UNIT_STR_EQ(plain("/zones/STORAGE/s1"), "STORAGE sid=s1");
    UNIT_STR_EQ(plain("/zones/USER/s1/cart"), "USER sid=s1 key=cart");
    UNIT_STR_EQ(plain("/USER/s1"), "USER sid=s1");
    UNIT_STR_EQ(plain("/a/b/STORAGE/USER/USER"), "STORAGE sid=USER key=USER");
}

static void what_the_zone_is_called_counts_with_its_case(void)
{
    UNIT_STR_EQ(plain("/zones/user/s1"), "none");
    UNIT_STR_EQ(plain("/zones/USERS/s1"), "none");
    UNIT_STR_EQ(named("/zones/%55SER/s1", "/zones/USER/s1"), "none");
}

static void an_address_with_a_part_too_few_or_too_many_is_none(void)
{
    UNIT_STR_EQ(plain("/zones/USER"), "none");
    UNIT_STR_EQ(plain("/zones/USER/"), "none");
    UNIT_STR_EQ(plain("/zones/USER/s1/"), "none");
    UNIT_STR_EQ(plain("/zones/USER//cart"), "none");
    UNIT_STR_EQ(plain("/zones/USER/s1/cart/x"), "none");
    UNIT_STR_EQ(plain("/zones/USER/s1/cart/"), "none");
}

static void the_address_of_the_handler_itself_ends_in_a_slash(void)
{
    UNIT_STR_EQ(plain("/zones/"), "status");
    UNIT_STR_EQ(plain("/"), "status");
    UNIT_STR_EQ(plain("/zones"), "none");
    UNIT_STR_EQ(plain(""), "none");
}

static void ids_are_percent_encoded_where_needed(void)
{
    UNIT_STR_EQ(named("/zones/USER/a%20b", "/zones/USER/a b"), "USER sid=a b");
    UNIT_STR_EQ(named("/zones/USER/%c3%A4/%25", "/zones/USER/\xc3\xa4/%"),
                "USER sid=\xc3\xa4 key=%");
    UNIT_STR_EQ(named("/zones/USER/s1?x=/y", "/zones/USER/s1"), "USER sid=s1");
    UNIT_STR_EQ(named("/zones/USER/s1%3Fx", "/zones/USER/s1?x"), "USER sid=s1?x");
}

static void a_slash_in_an_id_is_encoded_whether_httpd_decodes_it_or_not(void)
{
    UNIT_STR_EQ(named("/zones/USER/a%2Fb", "/zones/USER/a%2Fb"), "USER sid=a/b");
    UNIT_STR_EQ(named("/zones/USER/a%2fb", "/zones/USER/a/b"), "USER sid=a/b");
    UNIT_STR_EQ(named("/zones/USER/a%252Fb", "/zones/USER/a%2Fb"), "USER sid=a%2Fb");
}

static void the_target_may_be_a_whole_url(void)
{
    UNIT_STR_EQ(named("http://localhost:8099/zones/USER/s1?x", "/zones/USER/s1"), "USER sid=s1");
    UNIT_STR_EQ(named("http://localhost", "/"), "malformed");
    UNIT_STR_EQ(named("*", "*"), "malformed");
}

/* Else who may see /zones/STORAGE could see what stands in USER. */
static void what_httpd_has_judged_by_another_path_is_refused(void)
{
    UNIT_STR_EQ(named("/zones/USER/../STORAGE/s1", "/zones/STORAGE/s1"), "malformed");
    UNIT_STR_EQ(named("/zones/USER/%2e%2e", "/zones/"), "malformed");
    UNIT_STR_EQ(named("/zones//USER/s1", "/zones/USER/s1"), "malformed");
    UNIT_STR_EQ(named("/zones/USER/s1", "/zones/USER/s2"), "malformed");
    UNIT_STR_EQ(named("/zones/USER/s1", "/zones/USER/s11"), "malformed");
    UNIT_STR_EQ(named("/zones/USER/s11", "/zones/USER/s1"), "malformed");
}

static void broken_encodings_and_nul_are_malformed(void)
{
    UNIT_STR_EQ(plain("/zones/USER/%"), "malformed");
    UNIT_STR_EQ(plain("/zones/USER/%4"), "malformed");
    UNIT_STR_EQ(plain("/zones/USER/%4g"), "malformed");
    hap_zone_path_t path;
    CU_ASSERT_EQUAL(
        hap_zone_path_read(&path, HAP_STR_LIT("/USER/a%00b"), HAP_STR_LIT("/USER/a\0b")),
        HAP_ZONE_PATH_MALFORMED);
}

static void ids_have_256_bytes_at_most_however_they_are_written(void)
{
    UNIT_STR_EQ(plain("/USER/" X256), "USER sid=" X256);
    UNIT_STR_EQ(plain("/USER/" X256 "/" X256), "USER sid=" X256 " key=" X256);
    UNIT_STR_EQ(plain("/USER/" X256 "x"), "malformed");
    UNIT_STR_EQ(plain("/USER/s/" X256 "x"), "malformed");
    UNIT_STR_EQ(named("/USER/" X64 X64 X64 X16 X16 X16 "%78"
                      "xxxxxxxxxxxxxxx",
                      "/USER/" X256),
                "USER sid=" X256);
}

const unit_test_t suite_zone_path[] = {
    UNIT_TEST(an_address_is_the_zone_the_session_and_perhaps_a_key),
    UNIT_TEST(what_the_zone_is_called_counts_with_its_case),
    UNIT_TEST(an_address_with_a_part_too_few_or_too_many_is_none),
    UNIT_TEST(the_address_of_the_handler_itself_ends_in_a_slash),
    UNIT_TEST(ids_are_percent_encoded_where_needed),
    UNIT_TEST(a_slash_in_an_id_is_encoded_whether_httpd_decodes_it_or_not),
    UNIT_TEST(the_target_may_be_a_whole_url),
    UNIT_TEST(what_httpd_has_judged_by_another_path_is_refused),
    UNIT_TEST(broken_encodings_and_nul_are_malformed),
    UNIT_TEST(ids_have_256_bytes_at_most_however_they_are_written),
    UNIT_END,
};
