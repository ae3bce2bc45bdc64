/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hap_zeroconfig. */
#include "unit.h"

#include <apr_strings.h>

#include "hap_zeroconfig.h"

static hap_diag_t diag;
static hap_zeroconfig_t config;

static bool reads(const char *text)
{
    return hap_zeroconfig_parse(&config, hap_str(text), &diag, unit_pool) == APR_SUCCESS;
}

static void our_keys_are_read_with_and_without_quotes(void)
{
    CU_ASSERT_TRUE(reads("/config/name = \"App\"\n/config/http/port=8081 # mine\n"
                         "  /config/contextRoot = '/App'\r\n/config/apacheRouteID = hostA\n"
                         "/config/http/ipAddress = 10.0.0.1\n/config/externalUriPrefix = /x\n"
                         "/config/health = /App/health\n/config/upgrade = ANY"));
    UNIT_STR_EQ(config.name, "App");
    CU_ASSERT_EQUAL(config.port, 8081);
    UNIT_STR_EQ(config.context, "/App");
    UNIT_STR_EQ(config.route, "hostA");
    UNIT_STR_EQ(config.host, "10.0.0.1");
    UNIT_STR_EQ(config.external, "/x");
    UNIT_STR_EQ(config.health, "/App/health");
    UNIT_STR_EQ(config.upgrade, "ANY");
}

static void everything_else_is_passed_over(void)
{
    CU_ASSERT_TRUE(reads("# /config/name = commented\n/config/other = ]{\n}\n"
                         "/config/handlers += [{\n  \"a\": \"]\",\n/config/name = inside\n}]\n"
                         "@include \"x\"\n\n/config/names = x\n"));
    CU_ASSERT_PTR_NULL(config.name);
    CU_ASSERT_EQUAL(config.port, 0);
}

static void a_bracket_in_a_text_or_a_comment_opens_nothing(void)
{
    static const char *const lines[] = {
        "/config/rate = 0.5 # in [0,1)",
        "# [",
        "# /config/list = [",
        "/config/pattern = ^[a-z",
        "/config/secret = x{7",
        "[\n1 # ]\n]",
        "/config/list = [1] # and so on: [",
        "/config/text = \"{\"",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        CU_ASSERT_TRUE(reads(apr_pstrcat(unit_pool, lines[i], "\n/config/name = App\n", NULL)));
        UNIT_STR_EQ(config.name, "App");
    }
    CU_ASSERT_FALSE(reads("[\n1 # ]\n"));
}

static void a_later_line_wins(void)
{
    CU_ASSERT_TRUE(reads("/config/name = A\n/config/name = B\n"));
    UNIT_STR_EQ(config.name, "B");
}

static void a_bad_value_of_ours_is_refused_with_line_and_key(void)
{
    CU_ASSERT_FALSE(reads("\n/config/http/port = 99999\n"));
    CU_ASSERT_EQUAL(diag.line, 2);
    CU_ASSERT_EQUAL(strncmp(diag.why, "/config/http/port: ", 19), 0);
    CU_ASSERT_FALSE(reads("/config/name = \"a\n"));
    CU_ASSERT_FALSE(reads("/config/name = \"a\" b\n"));
    CU_ASSERT_FALSE(reads("/config/name = a${PATH}\n"));
    CU_ASSERT_FALSE(reads("/config/contextRoot = /a/../b\n"));
    CU_ASSERT_FALSE(reads("/config/name =\n"));
}

static void a_key_behind_a_byte_order_mark_is_read(void)
{
    CU_ASSERT_TRUE(reads("\xef\xbb\xbf/config/name = App\n"));
    UNIT_STR_EQ(config.name, "App");
}

static void a_file_whose_keys_could_not_be_seen_is_refused_with_its_line(void)
{
    static const char wide[] = "#\n/\0c\0o\0n\0";
    CU_ASSERT_EQUAL(hap_zeroconfig_parse(&config, hap_strn(wide, sizeof(wide)), &diag, unit_pool),
                    APR_EINVAL);
    CU_ASSERT_EQUAL(diag.line, 2);
    UNIT_STR_EQ(diag.why, "has a NUL byte: this is not a text file");
    CU_ASSERT_FALSE(reads("\n/config/a += [{\n\"x\": [1]\n}\n/config/name = App\n"));
    CU_ASSERT_EQUAL(diag.line, 2);
    UNIT_STR_EQ(diag.why, "opens a bracket that is never closed, so that no key behind it counts");
}

const unit_test_t suite_zeroconfig[] = {
    UNIT_TEST(our_keys_are_read_with_and_without_quotes),
    UNIT_TEST(everything_else_is_passed_over),
    UNIT_TEST(a_bracket_in_a_text_or_a_comment_opens_nothing),
    UNIT_TEST(a_later_line_wins),
    UNIT_TEST(a_bad_value_of_ours_is_refused_with_line_and_key),
    UNIT_TEST(a_key_behind_a_byte_order_mark_is_read),
    UNIT_TEST(a_file_whose_keys_could_not_be_seen_is_refused_with_its_line),
    UNIT_END,
};
