/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hap_grammar. */
#include "unit.h"

#include <apr_strings.h>

#include "hap_grammar.h"

static hap_diag_t diag;

static bool app(const char *value)
{
    return hap_grammar_app(hap_str(value), "-app", &diag, unit_pool) == APR_SUCCESS;
}

static bool route(const char *value)
{
    return hap_grammar_route(hap_str(value), "-route", &diag, unit_pool) == APR_SUCCESS;
}

static bool cookie(const char *value)
{
    return hap_grammar_cookie(hap_str(value), "-sticky", &diag, unit_pool) == APR_SUCCESS;
}

static bool path(const char *value)
{
    return hap_grammar_path(hap_str(value), "-context", &diag, unit_pool) == APR_SUCCESS;
}

static const char *host(const char *value)
{
    const char *spelt = NULL;
    hap_grammar_host(&spelt, hap_str(value), "-host", &diag, unit_pool);
    return spelt;
}

/* n times the letter a */
static const char *letters(size_t n)
{
    char *text = apr_pcalloc(unit_pool, n + 1);
    memset(text, 'a', n);
    return text;
}

static void app_begins_with_a_letter_and_has_at_most_63_bytes(void)
{
    CU_ASSERT_TRUE(app("A") && app("App") && app("my.app_2-x") && app(letters(63)));
    CU_ASSERT_FALSE(app("") || app("1app") || app("_a") || app("a b") || app(letters(64)));
}

static void route_has_no_dot_because_a_dot_ends_the_session_id(void)
{
    CU_ASSERT_TRUE(route("hostA") && route("1") && route("a_b-c") && route(letters(63)));
    CU_ASSERT_FALSE(route("") || route("host.a") || route("a b") || route(letters(64)));
}

static void cookie_is_a_token_without_what_apache_would_interpret(void)
{
    CU_ASSERT_TRUE(cookie("zsessionid") && cookie("__Host-id") && cookie(letters(63)));
    CU_ASSERT_FALSE(cookie("") || cookie("a=b") || cookie("a b") || cookie("a;b") || cookie("a|b"));
    CU_ASSERT_FALSE(cookie("$x") || cookie("%x") || cookie("#x") || cookie("'x"));
    CU_ASSERT_FALSE(cookie(letters(64)));
}

static void path_is_absolute_and_cannot_climb(void)
{
    CU_ASSERT_TRUE(path("/") && path("/App") && path("/a/b.c/~d") && path("/..a/b..") &&
                   path("/a=b"));
    CU_ASSERT_FALSE(path("") || path("App") || path("/App/") || path("//") || path("/a//b"));
    CU_ASSERT_FALSE(path("/..") || path("/a/../b") || path("/a/..") || path("/.") ||
                    path("/a/./b"));
    CU_ASSERT_FALSE(path("/a%2e") || path("/a;b") || path("/a?b") || path("/a#b") || path("/a b"));
    CU_ASSERT_FALSE(path("/a$b") || path("/a\\b") || path("/a<b") || path("/a>b") || path("/a'b"));
    CU_ASSERT_FALSE(path("/a\x7f") || path("/\xc3\xa4") || path("/{a}"));
}

static void no_grammar_takes_a_byte_that_could_leave_its_quotes(void)
{
    static const char bytes[] = "\n\r\t\0\"\\<>${}%'`#| ;?";
    for (size_t i = 0; i < sizeof(bytes); i++) {
        char text[] = {'/', 'a', bytes[i], 'b', '\0'};
        const char *spelt = NULL;
        hap_str_t name = hap_strn(text + 1, 3);
        hap_str_t whole = hap_strn(text, 4);
        CU_ASSERT_NOT_EQUAL(hap_grammar_app(name, "x", &diag, unit_pool), APR_SUCCESS);
        CU_ASSERT_NOT_EQUAL(hap_grammar_route(name, "x", &diag, unit_pool), APR_SUCCESS);
        CU_ASSERT_NOT_EQUAL(hap_grammar_cookie(name, "x", &diag, unit_pool), APR_SUCCESS);
        CU_ASSERT_NOT_EQUAL(hap_grammar_path(whole, "x", &diag, unit_pool), APR_SUCCESS);
        CU_ASSERT_NOT_EQUAL(hap_grammar_host(&spelt, name, "x", &diag, unit_pool), APR_SUCCESS);
    }
}

static void a_refusal_names_the_field_and_shows_the_byte(void)
{
    CU_ASSERT_FALSE(app("my\napp"));
    UNIT_STR_EQ(diag.why, "-app: \"my\\x0aapp\" has \"\\x0a\" at byte 3, use a letter, then up to "
                          "62 of A-Z a-z 0-9 . _ -");
}

static void host_has_one_spelling(void)
{
    UNIT_STR_EQ(host("HostA.Example"), "hosta.example");
    UNIT_STR_EQ(host("10.0.0.1"), "10.0.0.1");
    UNIT_STR_EQ(host("2001:DB8:0:0::1"), "[2001:db8::1]");
    UNIT_STR_EQ(host("[2001:db8::1]"), "[2001:db8::1]");
    UNIT_STR_EQ(host("my_app-1"), "my_app-1");
}

static void host_that_some_resolver_reads_as_another_one_is_refused(void)
{
    CU_ASSERT_PTR_NULL(host("127.1"));
    CU_ASSERT_PTR_NULL(host("1"));
    CU_ASSERT_PTR_NULL(host("0x7f000001"));
    CU_ASSERT_PTR_NULL(host("10.0.0.256"));
    CU_ASSERT_PTR_NULL(host("a..b"));
    CU_ASSERT_PTR_NULL(host("a."));
    CU_ASSERT_PTR_NULL(host("-a"));
    CU_ASSERT_PTR_NULL(host("a-.b"));
    CU_ASSERT_PTR_NULL(host(""));
    CU_ASSERT_PTR_NULL(host("["));
    CU_ASSERT_PTR_NULL(host("[]"));
    CU_ASSERT_PTR_NULL(host("[::1"));
    CU_ASSERT_PTR_NULL(host("fe80::1%eth0"));
    CU_ASSERT_PTR_NULL(host("user@host"));
    CU_ASSERT_PTR_NULL(host(apr_pstrcat(unit_pool, letters(64), ".x", NULL)));
}

static void loopback_and_unspecified_are_told_from_other_hosts(void)
{
    static const char *const loopback[] = {"127.0.0.1", "127.9.9.9",   "[::1]",
                                           "localhost", "a.localhost", "[::ffff:127.0.0.1]"};
    for (size_t i = 0; i < sizeof(loopback) / sizeof(loopback[0]); i++) {
        CU_ASSERT_EQUAL(hap_grammar_host_kind(loopback[i]), HAP_HOST_LOOPBACK);
    }
    CU_ASSERT_EQUAL(hap_grammar_host_kind("0.0.0.0"), HAP_HOST_UNSPECIFIED);
    CU_ASSERT_EQUAL(hap_grammar_host_kind("[::]"), HAP_HOST_UNSPECIFIED);
    CU_ASSERT_EQUAL(hap_grammar_host_kind("notlocalhost"), HAP_HOST_REMOTE);
    CU_ASSERT_EQUAL(hap_grammar_host_kind("10.0.0.1"), HAP_HOST_REMOTE);
    CU_ASSERT_EQUAL(hap_grammar_host_kind("[2001:db8::1]"), HAP_HOST_REMOTE);
}

static void route_is_made_from_the_first_label_or_the_whole_address(void)
{
    UNIT_STR_EQ(hap_grammar_route_of_host("hosta.example", unit_pool), "hosta");
    UNIT_STR_EQ(hap_grammar_route_of_host("10.0.0.1", unit_pool), "10-0-0-1");
    UNIT_STR_EQ(hap_grammar_route_of_host("[2001:db8::1]", unit_pool), "2001-db8--1");
}

static const char *of_url(const char *url)
{
    return hap_grammar_route_of_url(url, unit_pool);
}

static void a_member_without_a_route_is_named_by_host_and_port(void)
{
    UNIT_STR_EQ(of_url("http://hosta.example:8080"), "hosta-example-8080");
    UNIT_STR_EQ(of_url("http://hosta.example:8080/App"), "hosta-example-8080");
    UNIT_STR_EQ(of_url("http://hosta.example"), "hosta-example-80");
    UNIT_STR_EQ(of_url("wss://a_b"), "a-b-443");
    UNIT_STR_EQ(of_url("AJP://h/"), "h-8009");
    UNIT_STR_EQ(of_url("http://[2001:db8::1]:80"), "2001-db8--1-80");
}

static void a_member_without_a_good_host_is_named_by_a_hash(void)
{
    static const char *const urls[] = {"unix:/a.sock|http://localhost",
                                       "unix:/b.sock|http://localhost", "nonsense", ""};
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        CU_ASSERT_EQUAL(strlen(of_url(urls[i])), 18);
        UNIT_STR_EQ(of_url(urls[i]), hap_grammar_route_by_hash(urls[i], unit_pool));
        CU_ASSERT_FALSE(i && strcmp(of_url(urls[i]), of_url(urls[i - 1])) == 0);
    }
    CU_ASSERT_EQUAL(strlen(of_url(apr_pstrcat(unit_pool, "http://", letters(60), NULL))), 63);
    CU_ASSERT_EQUAL(strlen(of_url(apr_pstrcat(unit_pool, "http://", letters(61), NULL))), 18);
}

static void port_is_a_plain_number_up_to_65535(void)
{
    unsigned port = 7;
    static const char *const bad[] = {"", "0", "65536", "080", "+80", "80 ", "-1", "8e3"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CU_ASSERT_NOT_EQUAL(hap_grammar_port(&port, hap_str(bad[i]), "x", &diag, unit_pool),
                            APR_SUCCESS);
    }
    CU_ASSERT_EQUAL(port, 7);
    hap_grammar_port(&port, hap_str("65535"), "x", &diag, unit_pool);
    CU_ASSERT_EQUAL(port, 65535);
}

static void balancer_key_forgets_case_and_punctuation(void)
{
    UNIT_STR_EQ(hap_grammar_balancer_key(hap_str("My.App-1"), unit_pool), "my_app_1");
}

static const char *why_not(const char *text, size_t n)
{
    diag.why[0] = '\0';
    hap_grammar_text(hap_strn(text, n), &diag);
    return apr_psprintf(unit_pool, "%d: %.9s", diag.line, diag.why);
}

static void text_that_is_no_text_is_refused_with_its_line(void)
{
    UNIT_STR_EQ(why_not("", 0), "0: is empty");
    UNIT_STR_EQ(why_not("a\nb\0c\n", 6), "2: has a NUL");
    UNIT_STR_EQ(why_not("a\r\n", 3), "1: ends in C");
    UNIT_STR_EQ(why_not("a\n\x1b[0m\n", 7), "2: has the c");
    UNIT_STR_EQ(why_not("a\n\xc0\x80\n", 5), "2: has the b");
    UNIT_STR_EQ(why_not("a\n\xed\xa0\x80\n", 6), "2: has the b");
    UNIT_STR_EQ(why_not("a\nb", 3), "2: the last ");
    UNIT_STR_EQ(why_not(letters(8193), 8193), "1: the line ");
    CU_ASSERT_EQUAL(hap_grammar_text(hap_str("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\n"), &diag),
                    APR_SUCCESS);
}

const unit_test_t suite_grammar[] = {
    UNIT_TEST(app_begins_with_a_letter_and_has_at_most_63_bytes),
    UNIT_TEST(route_has_no_dot_because_a_dot_ends_the_session_id),
    UNIT_TEST(cookie_is_a_token_without_what_apache_would_interpret),
    UNIT_TEST(path_is_absolute_and_cannot_climb),
    UNIT_TEST(no_grammar_takes_a_byte_that_could_leave_its_quotes),
    UNIT_TEST(a_refusal_names_the_field_and_shows_the_byte),
    UNIT_TEST(host_has_one_spelling),
    UNIT_TEST(host_that_some_resolver_reads_as_another_one_is_refused),
    UNIT_TEST(loopback_and_unspecified_are_told_from_other_hosts),
    UNIT_TEST(route_is_made_from_the_first_label_or_the_whole_address),
    UNIT_TEST(a_member_without_a_route_is_named_by_host_and_port),
    UNIT_TEST(a_member_without_a_good_host_is_named_by_a_hash),
    UNIT_TEST(port_is_a_plain_number_up_to_65535),
    UNIT_TEST(balancer_key_forgets_case_and_punctuation),
    UNIT_TEST(text_that_is_no_text_is_refused_with_its_line),
    UNIT_END,
};
