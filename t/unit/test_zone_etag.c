/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hap_zone_etag. */
#include "unit.h"

#include "hap_zone_etag.h"

#define TAG "\"3-18-0000beef\""

static void a_tag_is_epoch_version_and_tie(void)
{
    char room[HAP_ZONE_ETAG_BYTES];
    hap_zone_record_t record = {.epoch = 3, .version = 18, .tie = 0xbeef};
    UNIT_STR_EQ(hap_zone_etag(room, &record), TAG);
    record = (hap_zone_record_t){.epoch = UINT64_MAX, .version = UINT64_MAX, .tie = UINT32_MAX};
    UNIT_STR_EQ(hap_zone_etag(room, &record),
                "\"18446744073709551615-18446744073709551615-ffffffff\"");
}

static void no_field_is_no_condition(void)
{
    CU_ASSERT_EQUAL(hap_zone_if_match(NULL, NULL), HAP_ZONE_HOLDS);
    CU_ASSERT_EQUAL(hap_zone_if_match(NULL, TAG), HAP_ZONE_HOLDS);
    CU_ASSERT_EQUAL(hap_zone_if_none_match(NULL, NULL), HAP_ZONE_HOLDS);
    CU_ASSERT_EQUAL(hap_zone_if_none_match(NULL, TAG), HAP_ZONE_HOLDS);
}

static void a_star_is_any_value_that_is_there(void)
{
    CU_ASSERT(hap_zone_is_any(" * "));
    CU_ASSERT(!hap_zone_is_any(NULL));
    CU_ASSERT(!hap_zone_is_any(TAG));
    CU_ASSERT_EQUAL(hap_zone_if_match("*", TAG), HAP_ZONE_HOLDS);
    CU_ASSERT_EQUAL(hap_zone_if_match("*", NULL), HAP_ZONE_HOLDS_NOT);
    CU_ASSERT_EQUAL(hap_zone_if_none_match("*", TAG), HAP_ZONE_HOLDS_NOT);
    CU_ASSERT_EQUAL(hap_zone_if_none_match("*", NULL), HAP_ZONE_HOLDS);
}

static void one_tag_of_a_list_is_enough(void)
{
    static const char *const with[] = {TAG, "\"1-1\", " TAG, TAG ",\"1-1\"", " ,, " TAG " ,"};
    for (size_t i = 0; i < sizeof(with) / sizeof(*with); i++) {
        CU_ASSERT_EQUAL(hap_zone_if_match(with[i], TAG), HAP_ZONE_HOLDS);
        CU_ASSERT_EQUAL(hap_zone_if_none_match(with[i], TAG), HAP_ZONE_HOLDS_NOT);
        CU_ASSERT_EQUAL(hap_zone_if_match(with[i], NULL), HAP_ZONE_HOLDS_NOT);
        CU_ASSERT_EQUAL(hap_zone_if_none_match(with[i], NULL), HAP_ZONE_HOLDS);
    }
}

static void another_tag_is_not_enough(void)
{
    static const char *const without[] = {"\"3-1\"", "\"3-180\"", "\"\"", "\"3-17\", \"*\""};
    for (size_t i = 0; i < sizeof(without) / sizeof(*without); i++) {
        CU_ASSERT_EQUAL(hap_zone_if_match(without[i], TAG), HAP_ZONE_HOLDS_NOT);
        CU_ASSERT_EQUAL(hap_zone_if_none_match(without[i], TAG), HAP_ZONE_HOLDS);
    }
}

static void a_weak_tag_is_good_for_reading_only(void)
{
    CU_ASSERT_EQUAL(hap_zone_if_match("W/" TAG, TAG), HAP_ZONE_HOLDS_NOT);
    CU_ASSERT_EQUAL(hap_zone_if_match("W/" TAG ", " TAG, TAG), HAP_ZONE_HOLDS);
    CU_ASSERT_EQUAL(hap_zone_if_none_match("W/" TAG, TAG), HAP_ZONE_HOLDS_NOT);
    CU_ASSERT_EQUAL(hap_zone_if_none_match("w/" TAG, TAG), HAP_ZONE_HOLDS_MALFORMED);
}

static void what_is_no_list_of_tags_is_malformed(void)
{
    static const char *const bad[] = {
        "",        ",",       "3-18", "\"3-18", "3-18\"", TAG TAG, TAG " " TAG,
        "\"a b\"", "*, " TAG, "W/",   "W/*",    "\"",     TAG "x",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        CU_ASSERT_EQUAL(hap_zone_if_match(bad[i], TAG), HAP_ZONE_HOLDS_MALFORMED);
        CU_ASSERT_EQUAL(hap_zone_if_none_match(bad[i], TAG), HAP_ZONE_HOLDS_MALFORMED);
    }
}

const unit_test_t suite_zone_etag[] = {
    UNIT_TEST(a_tag_is_epoch_version_and_tie),
    UNIT_TEST(no_field_is_no_condition),
    UNIT_TEST(a_star_is_any_value_that_is_there),
    UNIT_TEST(one_tag_of_a_list_is_enough),
    UNIT_TEST(another_tag_is_not_enough),
    UNIT_TEST(a_weak_tag_is_good_for_reading_only),
    UNIT_TEST(what_is_no_list_of_tags_is_malformed),
    UNIT_END,
};
