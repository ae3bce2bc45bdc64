/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hap_cookie. */
#include "unit.h"

#include <stdlib.h>

#include <apr_strings.h>

#include "hap_cookie.h"

/* All cookies of a header as `[name|value]...`. */
static const char *parsed(const char *header)
{
    hap_str_t rest = hap_str(header);
    hap_cookie_t cookie;
    const char *shown = "";
    while (hap_cookie_next(&cookie, &rest)) {
        shown = apr_psprintf(unit_pool, "%s[%.*s|%.*s]", shown, HAP_STR_ARG(cookie.name),
                             HAP_STR_ARG(cookie.value));
    }
    return shown;
}

static const char *cookie_value(const char *header, const char *name)
{
    hap_str_t rest = hap_str(header);
    hap_str_t value;
    return hap_cookie_find(&value, hap_str(name), &rest) ? hap_str_dup(value, unit_pool) : NULL;
}

/* All values of a path parameter, each with a blank behind it. */
static const char *params(const char *target, const char *name)
{
    hap_str_t rest = hap_path_only(hap_str(target));
    hap_str_t value;
    const char *shown = "";
    while (hap_path_param_find(&value, hap_str(name), &rest)) {
        shown = apr_psprintf(unit_pool, "%s%.*s ", shown, HAP_STR_ARG(value));
    }
    return shown;
}

static void cookies_are_separated_by_semicolons_with_or_without_blanks(void)
{
    UNIT_STR_EQ(parsed("a=1; b=2;c=3 ;\td = 4 "), "[a|1][b|2][c|3][d|4]");
    UNIT_STR_EQ(parsed(";; a=1;;b=;"), "[a|1][b|]");
    UNIT_STR_EQ(parsed(""), "");
    UNIT_STR_EQ(parsed(NULL), "");
}

static void two_joined_headers_are_two_sets_of_cookies(void)
{
    UNIT_STR_EQ(parsed("a=1, b=2; c=3,d=4"), "[a|1][b|2][c|3][d|4]");
    UNIT_STR_EQ(parsed("$Version=\"1\", id=\"x.r\"; $Path=\"/\""), "[$Version|1][id|x.r][$Path|/]");
}

static void a_comma_inside_a_value_is_part_of_it(void)
{
    UNIT_STR_EQ(parsed("id=ab,cd.hostA; b=1"), "[id|ab,cd.hostA][b|1]");
    UNIT_STR_EQ(parsed("prefs={\"x\":1,\"y\":[2,3]}; b=1"), "[prefs|{\"x\":1,\"y\":[2,3]}][b|1]");
    UNIT_STR_EQ(parsed("a=\"1,b=2\",c=3"), "[a|1,b=2][c|3]");
    UNIT_STR_EQ(parsed("a=1,,b=2,"), "[a|1,][b|2,]");
}

static void a_value_may_contain_equals_signs(void)
{
    UNIT_STR_EQ(parsed("a=b=c==; d=1"), "[a|b=c==][d|1]");
}

static void quotes_around_a_value_are_not_part_of_it(void)
{
    UNIT_STR_EQ(parsed("a=\"x y\"; b=\"\"; c=\"; d=\"x; e=x\""), "[a|x y][b|][c|\"][d|\"x][e|x\"]");
}

static void what_has_no_name_is_skipped(void)
{
    UNIT_STR_EQ(parsed("lonely; =x; a=1; also lonely"), "[a|1]");
}

static void names_are_compared_whole_and_by_case(void)
{
    UNIT_STR_EQ(cookie_value("xid=1; id2=2; ID=3; my id=4; id=5", "id"), "5");
    CU_ASSERT_PTR_NULL(cookie_value("xid=1; a=id=2; b=\"id=3\"", "id"));
}

static void same_names_are_found_one_after_the_other(void)
{
    hap_str_t rest = hap_str("id=1; b=2; id=3");
    hap_str_t value;
    CU_ASSERT_TRUE(hap_cookie_find(&value, hap_str("id"), &rest));
    CU_ASSERT_TRUE(hap_str_eq(value, hap_str("1")));
    CU_ASSERT_TRUE(hap_cookie_find(&value, hap_str("id"), &rest));
    CU_ASSERT_TRUE(hap_str_eq(value, hap_str("3")));
    CU_ASSERT_FALSE(hap_cookie_find(&value, hap_str("id"), &rest));
}

static void a_path_parameter_is_found_in_any_segment_the_last_first(void)
{
    UNIT_STR_EQ(params("/a;id=1/b;x=y;id=2/c", "id"), "2 1 ");
    UNIT_STR_EQ(params("/a;id=1/b;id=2;id=3", "id"), "3 2 1 ");
    UNIT_STR_EQ(params("/a;id=;id", "id"), " ");
    UNIT_STR_EQ(params("", "id"), "");
}

static void a_path_parameter_is_never_taken_from_the_query(void)
{
    UNIT_STR_EQ(params("/a?x;id=1", "id"), "");
    UNIT_STR_EQ(params("/a;id=1?x;id=2", "id"), "1 ");
    UNIT_STR_EQ(params("/a;id=1#;id=2", "id"), "1 ");
}

static void a_path_parameters_name_is_compared_whole_and_by_case(void)
{
    UNIT_STR_EQ(params("/a;xid=1;idx=2;ID=3;id.=4", "id"), "");
    UNIT_STR_EQ(params("/id=1/;a/id=2", "id"), "");
}

/* A quadratic parser would take minutes for these, which are the shapes that rescan. */
static void a_huge_header_costs_linear_work(void)
{
    static const char *const shapes[] = {"a=1,", ",", ",  ", "a=\"", "a=\",", "a;", " ", "a=b\",c"};
    const size_t size = 800 * 1024;
    char *header = apr_palloc(unit_pool, size);
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        for (size_t at = 0; at < size; at++) {
            header[at] = shapes[i][at % strlen(shapes[i])];
        }
        hap_str_t rest = hap_strn(header, size);
        hap_str_t value;
        CU_ASSERT_FALSE(hap_cookie_find(&value, hap_str("id"), &rest));
        rest = hap_strn(header, size);
        CU_ASSERT_FALSE(hap_path_param_find(&value, hap_str("id"), &rest));
    }
}

static const char *built(const char *name, const char *value, const char *path, unsigned attributes)
{
    const hap_set_cookie_t cookie = {hap_str(name), hap_str(value), hap_str(path), attributes};
    const char *header = "untouched";
    hap_diag_t diag;
    if (hap_cookie_set(&header, &cookie, &diag, unit_pool) == APR_SUCCESS) {
        return header;
    }
    UNIT_STR_EQ(header, "untouched");
    return apr_psprintf(unit_pool, "! %s", diag.why);
}

static void set_cookie_carries_what_was_asked_for(void)
{
    UNIT_STR_EQ(built("id", "abc.hostA", "/App",
                      HAP_COOKIE_HTTP_ONLY | HAP_COOKIE_SAME_SITE_LAX | HAP_COOKIE_SECURE),
                "id=abc.hostA; Path=/App; HttpOnly; SameSite=Lax; Secure");
    UNIT_STR_EQ(built("id", "", "", 0), "id=");
}

static void set_cookie_refuses_what_is_outside_the_grammar(void)
{
    CU_ASSERT_EQUAL(built("", "v", "/", 0)[0], '!');
    CU_ASSERT_EQUAL(built("a b", "v", "/", 0)[0], '!');
    CU_ASSERT_EQUAL(built("a=", "v", "/", 0)[0], '!');
    CU_ASSERT_EQUAL(built("id", "v w", "/", 0)[0], '!');
    CU_ASSERT_EQUAL(built("id", "v; Domain=x", "/", 0)[0], '!');
    CU_ASSERT_EQUAL(built("id", "v\r\nSet-Cookie: x=y", "/", 0)[0], '!');
    CU_ASSERT_EQUAL(built("id", "caf\xc3\xa9", "/", 0)[0], '!');
    CU_ASSERT_EQUAL(built("id", "v", "App", 0)[0], '!');
    CU_ASSERT_EQUAL(built("id", "v", "/; Secure", 0)[0], '!');
    CU_ASSERT_EQUAL(built("id", "v", "/\n", 0)[0], '!');
}

static void set_cookie_refuses_what_browsers_would_drop(void)
{
    char *text = apr_pcalloc(unit_pool, 5000);
    memset(text, 'x', 4095);
    CU_ASSERT_EQUAL(built("i", text, "/", 0)[0], 'i');
    CU_ASSERT_EQUAL(built("id", text, "/", 0)[0], '!');
    text[0] = '/';
    CU_ASSERT_EQUAL(built("id", "v", text, 0)[0], '!');
}

static void a_cookie_that_is_taken_back_is_not_set(void)
{
    static const struct {
        const char *header;
        const char *value; /* NULL: taken back */
    } rows[] = {
        {"zsessionid=abc.hostA; Path=/App; HttpOnly", "abc.hostA"},
        {"zsessionid=\"abc.hostA\"", "abc.hostA"},
        {"zsessionid = abc ; Max-Age=10", "abc"},
        {"zsessionid=abc; Max-Age=010", "abc"},
        {"zsessionid=abc; expires=Thu, 01 Jan 2071 00:00:00 GMT", "abc"},
        {"zsessionid=", NULL},
        {"zsessionid=; Path=/", NULL},
        {"zsessionid", NULL},
        {"zsessionid=\"\"", NULL},
        {"zsessionid=abc; Max-Age=0", NULL},
        {"zsessionid=abc;max-age= -1;Path=/", NULL},
        {"zsessionid=deleted; expires=Thu, 01-Jan-1970 00:00:01 GMT; Max-Age=0", NULL},
        {"zsessionid=deleted; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        hap_str_t value = HAP_STR_LIT("untouched");
        bool set = hap_cookie_is_set(&value, hap_str(rows[i].header));
        CU_ASSERT_EQUAL(set, rows[i].value != NULL);
        UNIT_STR_EQ(hap_str_dup(value, unit_pool), set ? rows[i].value : "untouched");
    }
}

const unit_test_t suite_cookie[] = {
    UNIT_TEST(cookies_are_separated_by_semicolons_with_or_without_blanks),
    UNIT_TEST(two_joined_headers_are_two_sets_of_cookies),
    UNIT_TEST(a_comma_inside_a_value_is_part_of_it),
    UNIT_TEST(a_value_may_contain_equals_signs),
    UNIT_TEST(quotes_around_a_value_are_not_part_of_it),
    UNIT_TEST(what_has_no_name_is_skipped),
    UNIT_TEST(names_are_compared_whole_and_by_case),
    UNIT_TEST(same_names_are_found_one_after_the_other),
    UNIT_TEST(a_path_parameter_is_found_in_any_segment_the_last_first),
    UNIT_TEST(a_path_parameter_is_never_taken_from_the_query),
    UNIT_TEST(a_path_parameters_name_is_compared_whole_and_by_case),
    UNIT_TEST(a_huge_header_costs_linear_work),
    UNIT_TEST(set_cookie_carries_what_was_asked_for),
    UNIT_TEST(set_cookie_refuses_what_is_outside_the_grammar),
    UNIT_TEST(set_cookie_refuses_what_browsers_would_drop),
    UNIT_TEST(a_cookie_that_is_taken_back_is_not_set),
    UNIT_END,
};
