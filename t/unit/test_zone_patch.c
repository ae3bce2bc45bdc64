/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hap_zone_patch. */
#include "unit.h"

#include <apr_strings.h>

#include "hap_zone_patch.h"

static const char *patched_bytes(const char *value, hap_str_t patch)
{
    static const char *const ends[] = {
        [HAP_ZONE_PATCH_MALFORMED] = "malformed",
        [HAP_ZONE_PATCH_NOT_JSON] = "not JSON",
        [HAP_ZONE_PATCH_NO_MEMORY] = "no memory",
    };
    hap_str_t old = hap_str(value);
    hap_str_t new = HAP_STR_LIT("untouched");
    hap_diag_t diag = {0, ""};
    hap_zone_patch_end_t end = hap_zone_patch(&new, value ? &old : NULL, patch, &diag, unit_pool);
    CU_ASSERT_EQUAL(end == HAP_ZONE_PATCH_DONE, diag.why[0] == '\0');
    if (end != HAP_ZONE_PATCH_DONE) {
        CU_ASSERT(hap_str_eq(new, HAP_STR_LIT("untouched")));
        return ends[end];
    }
    return hap_str_dup(new, unit_pool);
}

static const char *patched(const char *value, const char *patch)
{
    return patched_bytes(value, hap_str(patch));
}

/* RFC 7396 appendix A, row by row. */
static void the_examples_of_the_standard_come_out_as_it_says(void)
{
    static const struct {
        const char *value, *patch, *result;
    } rows[] = {
        {"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
        {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
        {"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}"},
        {"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}"},
        {"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
        {"[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]"},
        {"{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]"},
        {"{\"a\":\"foo\"}", "null", "null"},
        {"{\"a\":\"foo\"}", "\"bar\"", "\"bar\""},
        {"{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}"},
        {"[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}"},
        {"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        UNIT_STR_EQ(patched(rows[i].value, rows[i].patch), rows[i].result);
    }
}

static void where_there_is_no_value_yet_the_patch_makes_it(void)
{
    UNIT_STR_EQ(patched(NULL, "{\"a\":1,\"b\":null,\"c\":{\"d\":null,\"e\":[null]}}"),
                "{\"a\":1,\"c\":{\"e\":[null]}}");
    UNIT_STR_EQ(patched(NULL, " 7 "), "7");
}

static void members_deep_in_a_value_stay_beside_the_changed_one(void)
{
    UNIT_STR_EQ(
        patched("{\"a\":{\"b\":{\"c\":1,\"d\":2},\"e\":3},\"f\":4}", "{\"a\":{\"b\":{\"c\":9}}}"),
        "{\"a\":{\"b\":{\"c\":9,\"d\":2},\"e\":3},\"f\":4}");
}

static void numbers_and_strings_are_kept(void)
{
    UNIT_STR_EQ(
        patched("{\"n\":9223372036854775807,\"s\":\"\\u0000\xc3\xa4\\\"\",\"x\":0.5}", "{}"),
        "{\"n\":9223372036854775807,\"s\":\"\\u0000\xc3\xa4\\\"\",\"x\":0.5}");
}

static void what_is_no_json_is_refused_and_said_of_which_it_is(void)
{
    UNIT_STR_EQ(patched("{}", ""), "malformed");
    UNIT_STR_EQ(patched("{}", "{\"a\":}"), "malformed");
    UNIT_STR_EQ(patched("{}", "{} {}"), "malformed");
    UNIT_STR_EQ(patched("{}", "{\"a\":\"\xff\"}"), "malformed");
    UNIT_STR_EQ(patched("{}", "{\"a\":9223372036854775808}"), "malformed");
    UNIT_STR_EQ(patched_bytes("{}", hap_strn("{}\0", 3)), "malformed");
    UNIT_STR_EQ(patched("visits=3", "{}"), "not JSON");
    UNIT_STR_EQ(patched("", "{}"), "not JSON");
}

static const char *nested(int depth)
{
    char *text = apr_palloc(unit_pool, (size_t)depth * 7 + 1);
    char *at = text;
    for (int i = 0; i < depth; i++) {
        memcpy(at, "{\"a\":", 5);
        at += 5;
    }
    *at++ = '1';
    memset(at, '}', (size_t)depth);
    at[depth] = '\0';
    return text;
}

static void values_in_each_other_beyond_reason_are_refused(void)
{
    UNIT_STR_EQ(patched(nested(2000), nested(2000)), nested(2000));
    UNIT_STR_EQ(patched("{}", nested(5000)), "malformed");
}

const unit_test_t suite_zone_patch[] = {
    UNIT_TEST(the_examples_of_the_standard_come_out_as_it_says),
    UNIT_TEST(where_there_is_no_value_yet_the_patch_makes_it),
    UNIT_TEST(members_deep_in_a_value_stay_beside_the_changed_one),
    UNIT_TEST(numbers_and_strings_are_kept),
    UNIT_TEST(what_is_no_json_is_refused_and_said_of_which_it_is),
    UNIT_TEST(values_in_each_other_beyond_reason_are_refused),
    UNIT_END,
};
