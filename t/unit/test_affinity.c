/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hap_affinity. */
#include "unit.h"

#include <apr_strings.h>

#include "hap_affinity.h"

static const char *const routes[] = {"hostA", "hostB", "eu.west", "sig", NULL};

static int find_route(const void *table, hap_str_t route)
{
    const char *const *names = table;
    CU_ASSERT_TRUE(route.n > 0);
    for (int i = 0; names[i]; i++) {
        if (hap_str_eq(route, hap_str(names[i]))) {
            return i;
        }
    }
    return -1;
}

static const hap_route_lookup_t members = {find_route, routes};
static const hap_route_lookup_t two_members = {find_route,
                                               (const char *const[]){"hostA", "hostB", NULL}};

static hap_affinity_rule_t app_rule(void)
{
    return (hap_affinity_rule_t){
        .mode = HAP_AFFINITY_APP,
        .cookie = HAP_STR_LIT("zsessionid"),
        .path_param = HAP_STR_LIT("zsessionid"),
        .app = HAP_STR_LIT("App"),
    };
}

static hap_affinity_rule_t insert_rule(const char *keys)
{
    hap_affinity_rule_t rule = {
        .mode = HAP_AFFINITY_INSERT,
        .cookie = HAP_STR_LIT("HAROUTE"),
        .app = HAP_STR_LIT("App"),
    };
    if (keys) {
        hap_sign_t *sign = NULL;
        hap_diag_t diag;
        CU_ASSERT_EQUAL_FATAL(hap_sign_parse(&sign, hap_str(keys), &diag, unit_pool), APR_SUCCESS);
        rule.sign = sign;
    }
    return rule;
}

static hap_affinity_t asked(const hap_affinity_rule_t *rule, const char *cookies, const char *path)
{
    const hap_affinity_request_t request = {hap_str(cookies), hap_str(path), 1000};
    hap_affinity_t result;
    hap_affinity_find(&result, rule, &request, &members);
    return result;
}

/* `verdict id|route`, the verdict as a member's route when it is FOUND. */
static const char *shown(const hap_affinity_t *result)
{
    static const char *const names[] = {
#define HAP_AFFINITY_VERDICT(name, why) #name,
        HAP_AFFINITY_VERDICTS(HAP_AFFINITY_VERDICT)
#undef HAP_AFFINITY_VERDICT
    };
    bool found = result->verdict == HAP_AFFINITY_FOUND;
    CU_ASSERT_EQUAL(found, result->member >= 0);
    return apr_psprintf(unit_pool, "%s %.*s|%.*s",
                        found ? routes[result->member] : names[result->verdict],
                        HAP_STR_ARG(result->id), HAP_STR_ARG(result->route));
}

static const char *app(const char *cookies, const char *path)
{
    hap_affinity_rule_t rule = app_rule();
    hap_affinity_t result = asked(&rule, cookies, path);
    return shown(&result);
}

static void z4_the_session_cookie_names_the_member_by_its_route(void)
{
    UNIT_STR_EQ(app("zsessionid=abc.hostA", "/App/x"), "hostA abc|hostA");
    UNIT_STR_EQ(app("lang=en; zsessionid=abc.hostB; theme=dark", "/App/x"), "hostB abc|hostB");
    UNIT_STR_EQ(app("zsessionid=\"abc.hostA\"", "/App/x"), "hostA abc|hostA");
}

static void z4_a_request_without_a_session_names_no_member(void)
{
    UNIT_STR_EQ(app("", "/App/x"), "NO_SESSION |");
    UNIT_STR_EQ(app("lang=en", "/App/x"), "NO_SESSION |");
}

static void route_ignores_a_cookie_whose_name_only_ends_like_ours(void)
{
    UNIT_STR_EQ(app("xzsessionid=abc.hostA", "/"), "NO_SESSION |");
    UNIT_STR_EQ(app("a zsessionid=abc.hostA", "/"), "NO_SESSION |");
    UNIT_STR_EQ(app("zsessionid2=abc.hostA", "/"), "NO_SESSION |");
    UNIT_STR_EQ(app("ZSESSIONID=abc.hostA", "/"), "NO_SESSION |");
    UNIT_STR_EQ(app("xzsessionid=abc.hostA; zsessionid=abc.hostB", "/"), "hostB abc|hostB");
}

static void a_value_without_a_route_names_no_member(void)
{
    UNIT_STR_EQ(app("zsessionid=abc", "/"), "NO_ROUTE abc|");
    UNIT_STR_EQ(app("zsessionid=", "/"), "NO_ROUTE |");
    UNIT_STR_EQ(app("zsessionid=abc.", "/"), "NO_ROUTE abc|");
    UNIT_STR_EQ(app("zsessionid=..", "/"), "NO_ROUTE .|");
    UNIT_STR_EQ(app("zsessionid=.hostA", "/"), "hostA |hostA");
}

static void an_unknown_route_is_reported_as_what_follows_the_last_dot(void)
{
    UNIT_STR_EQ(app("zsessionid=abc.hostC", "/"), "UNKNOWN_ROUTE abc|hostC");
    UNIT_STR_EQ(app("zsessionid=a.b.hostC", "/"), "UNKNOWN_ROUTE a.b|hostC");
    UNIT_STR_EQ(app("zsessionid=abc.hosta", "/"), "UNKNOWN_ROUTE abc|hosta");
    UNIT_STR_EQ(app("zsessionid=abc.hostA2", "/"), "UNKNOWN_ROUTE abc|hostA2");
}

static void ids_with_dots_keep_them(void)
{
    UNIT_STR_EQ(app("zsessionid=eyJh.eyJz.c2ln.hostA", "/"), "hostA eyJh.eyJz.c2ln|hostA");
    UNIT_STR_EQ(app("zsessionid=s%3Aid.mac.hostB", "/"), "hostB s%3Aid.mac|hostB");
    UNIT_STR_EQ(app("zsessionid=s:id.mac.hostB", "/"), "hostB s:id.mac|hostB");
    UNIT_STR_EQ(app("zsessionid=a..hostB", "/"), "hostB a.|hostB");
}

static void a_route_with_a_dot_is_found_behind_the_first_dot(void)
{
    UNIT_STR_EQ(app("zsessionid=abc.eu.west", "/"), "eu.west abc|eu.west");
    UNIT_STR_EQ(app("zsessionid=a.b.eu.west", "/"), "UNKNOWN_ROUTE a.b.eu|west");
}

static void the_last_dot_is_asked_before_the_first(void)
{
    UNIT_STR_EQ(app("zsessionid=x.eu.west.sig", "/"), "sig x.eu.west|sig");
}

static void the_cookie_wins_over_the_path_parameter(void)
{
    UNIT_STR_EQ(app("zsessionid=abc.hostA", "/x;zsessionid=def.hostB"), "hostA abc|hostA");
    UNIT_STR_EQ(app("", "/x;zsessionid=def.hostB/y"), "hostB def|hostB");
}

static void the_path_parameter_helps_when_the_cookie_names_no_member(void)
{
    UNIT_STR_EQ(app("zsessionid=other", "/x;zsessionid=def.hostB"), "hostB def|hostB");
    UNIT_STR_EQ(app("zsessionid=other.x", "/x;zsessionid=def.y"), "UNKNOWN_ROUTE other|x");
}

static void a_query_string_never_names_a_member(void)
{
    UNIT_STR_EQ(app("", "/x?zsessionid=abc.hostA"), "NO_SESSION |");
    UNIT_STR_EQ(app("", "/x?a;zsessionid=abc.hostA"), "NO_SESSION |");
    UNIT_STR_EQ(app("", "/x?a&zsessionid=abc.hostA"), "NO_SESSION |");
}

static void of_two_cookies_the_first_that_names_a_member_wins(void)
{
    UNIT_STR_EQ(app("zsessionid=a.hostC; zsessionid=b.hostB", "/"), "hostB b|hostB");
    UNIT_STR_EQ(app("zsessionid=a.hostA; zsessionid=b.hostB", "/"), "hostA a|hostA");
    UNIT_STR_EQ(app("zsessionid=a; zsessionid=b.hostD", "/"), "NO_ROUTE a|");
}

static void no_more_than_eight_values_are_looked_at(void)
{
    const char *cookies = "zsessionid=a.x";
    for (int i = 1; i < 8; i++) {
        CU_ASSERT_EQUAL(app(apr_pstrcat(unit_pool, cookies, ";zsessionid=b.hostA", NULL), "/")[0],
                        'h');
        cookies = apr_pstrcat(unit_pool, cookies, "; zsessionid=a.x", NULL);
    }
    UNIT_STR_EQ(app(apr_pstrcat(unit_pool, cookies, ";zsessionid=b.hostA", NULL), "/"),
                "UNKNOWN_ROUTE a|x");
}

static void a_value_of_eight_kilobytes_behaves(void)
{
    char *id = apr_pcalloc(unit_pool, 8193);
    memset(id, 'x', 8192);
    UNIT_STR_EQ(app(apr_pstrcat(unit_pool, "zsessionid=", id, ".hostA", NULL), "/"),
                apr_pstrcat(unit_pool, "hostA ", id, "|hostA", NULL));
    memset(id, '.', 8192);
    UNIT_STR_EQ(app(apr_pstrcat(unit_pool, "zsessionid=", id, "hostA", NULL), "/"),
                apr_pstrcat(unit_pool, "hostA ", id + 1, "|hostA", NULL));
}

static void affinity_none_looks_at_nothing(void)
{
    hap_affinity_rule_t rule = app_rule();
    rule.mode = HAP_AFFINITY_NONE;
    hap_affinity_t result = asked(&rule, "zsessionid=abc.hostA", "/;zsessionid=abc.hostA");
    UNIT_STR_EQ(shown(&result), "OFF |");
}

static void the_source_says_where_the_session_was(void)
{
    hap_affinity_rule_t rule = app_rule();
    CU_ASSERT_EQUAL(asked(&rule, "zsessionid=a.hostA", "/").source, HAP_AFFINITY_FROM_COOKIE);
    CU_ASSERT_EQUAL(asked(&rule, "", "/;zsessionid=a.hostA").source, HAP_AFFINITY_FROM_PATH);
    CU_ASSERT_EQUAL(asked(&rule, "", "/").source, HAP_AFFINITY_FROM_NOTHING);
}

static void a_rule_without_a_path_parameter_ignores_the_path(void)
{
    hap_affinity_rule_t rule = app_rule();
    rule.path_param = hap_str("");
    hap_affinity_t result = asked(&rule, "", "/;=a.hostA;zsessionid=a.hostA");
    UNIT_STR_EQ(shown(&result), "NO_SESSION |");
}

/* --- failover --- */

static void failover_replaces_the_route_and_nothing_else(void)
{
    hap_affinity_rule_t rule = app_rule();
    hap_affinity_t session = asked(&rule, "zsessionid=\"eyJh.eyJz.c2ln.hostA\"", "/");
    UNIT_STR_EQ(hap_affinity_rewrite(&session, hap_str("hostB"), unit_pool),
                "eyJh.eyJz.c2ln.hostB");
    session = asked(&rule, "zsessionid=abc.eu.west", "/");
    UNIT_STR_EQ(hap_affinity_rewrite(&session, hap_str("hostB"), unit_pool), "abc.hostB");
}

static void failover_leaves_a_token_alone_that_names_no_member(void)
{
    hap_affinity_rule_t rule = app_rule();
    hap_affinity_t session = asked(&rule, "zsessionid=eyJh.eyJz.c2ln", "/");
    CU_ASSERT_PTR_NULL(hap_affinity_rewrite(&session, hap_str("hostB"), unit_pool));
    session = asked(&rule, "zsessionid=abc", "/");
    CU_ASSERT_PTR_NULL(hap_affinity_rewrite(&session, hap_str("hostB"), unit_pool));
}

static void failover_writes_no_value_that_a_cookie_cannot_hold(void)
{
    hap_affinity_rule_t rule = app_rule();
    hap_affinity_t session = asked(&rule, "zsessionid=a\r\nSet-Cookie: b.hostA", "/");
    CU_ASSERT_EQUAL(session.verdict, HAP_AFFINITY_FOUND);
    CU_ASSERT_PTR_NULL(hap_affinity_rewrite(&session, hap_str("hostB"), unit_pool));
    session = asked(&rule, "zsessionid=a.hostA", "/");
    CU_ASSERT_PTR_NULL(hap_affinity_rewrite(&session, hap_str("host;B"), unit_pool));
    CU_ASSERT_PTR_NULL(hap_affinity_rewrite(&session, hap_str(""), unit_pool));
}

/* --- our own cookie --- */

#define KEY       "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define OTHER_KEY "100102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static const unsigned char random_bytes[HAP_SIGN_RANDOM_BYTES] = "0123456789abcde";

static const char *minted(const hap_affinity_rule_t *rule, const char *route, int64_t expiry_s)
{
    const char *value = hap_affinity_mint(rule, hap_str(route), random_bytes, expiry_s, unit_pool);
    return apr_pstrcat(unit_pool, "HAROUTE=", value, NULL);
}

static const char *inserted(const hap_affinity_rule_t *rule, const char *cookies)
{
    hap_affinity_t result = asked(rule, cookies, "/;HAROUTE=abc.hostA");
    const char *text = shown(&result);
    return apr_pstrndup(unit_pool, text, strcspn(text, " "));
}

static void an_inserted_cookie_finds_its_member_again(void)
{
    hap_affinity_rule_t rule = insert_rule(NULL);
    UNIT_STR_EQ(minted(&rule, "hostB", 0), "HAROUTE=MDEyMzQ1Njc4OWFiY2RlAA.hostB");
    UNIT_STR_EQ(inserted(&rule, minted(&rule, "hostB", 0)), "hostB");
}

static void an_inserted_cookie_is_never_read_from_the_path(void)
{
    hap_affinity_rule_t rule = insert_rule(NULL);
    rule.path_param = hap_str("HAROUTE");
    UNIT_STR_EQ(inserted(&rule, ""), "NO_SESSION");
}

static void a_signed_cookie_counts_until_it_expires(void)
{
    hap_affinity_rule_t rule = insert_rule(KEY);
    UNIT_STR_EQ(inserted(&rule, minted(&rule, "hostB", 1001)), "hostB");
    UNIT_STR_EQ(inserted(&rule, minted(&rule, "eu.west", 1001)), "eu.west");
    UNIT_STR_EQ(inserted(&rule, minted(&rule, "hostB", 1000)), "EXPIRED");
    UNIT_STR_EQ(inserted(&rule, minted(&rule, "hostC", 1001)), "UNKNOWN_ROUTE");
    hap_affinity_t result = asked(&rule, minted(&rule, "hostB", 1001), "/");
    CU_ASSERT_EQUAL(result.expiry_s, 1001);
}

static void a_forged_cookie_counts_as_none(void)
{
    hap_affinity_rule_t rule = insert_rule(KEY);
    hap_affinity_rule_t other_app = rule;
    other_app.app = hap_str("Other");
    hap_affinity_rule_t other_key = insert_rule(OTHER_KEY);
    UNIT_STR_EQ(inserted(&rule, minted(&other_app, "hostA", 2000)), "FORGED");
    UNIT_STR_EQ(inserted(&rule, minted(&other_key, "hostA", 2000)), "FORGED");
    char *steered = apr_pstrdup(unit_pool, minted(&rule, "hostA", 2000));
    steered[strlen(steered) - 1] = 'B';
    UNIT_STR_EQ(inserted(&rule, steered), "FORGED");
    UNIT_STR_EQ(inserted(&rule, "HAROUTE=abc.hostA"), "MALFORMED");
    UNIT_STR_EQ(inserted(&rule, "HAROUTE="), "MALFORMED");
}

static void a_forged_cookie_does_not_hide_a_genuine_one(void)
{
    hap_affinity_rule_t rule = insert_rule(KEY);
    UNIT_STR_EQ(inserted(&rule, apr_pstrcat(unit_pool, "HAROUTE=abc.hostA; ",
                                            minted(&rule, "hostB", 2000), NULL)),
                "hostB");
}

/* Stock mod_proxy_balancer takes what follows the first dot. */
static void a_signed_cookie_has_its_route_behind_its_only_dot(void)
{
    hap_affinity_rule_t rule = insert_rule(KEY);
    UNIT_STR_EQ(strchr(minted(&rule, "hostA", 2000), '.'), ".hostA");
}

static void no_cookie_is_made_for_a_route_that_it_cannot_hold(void)
{
    hap_affinity_rule_t plain = insert_rule(NULL);
    hap_affinity_rule_t rule = insert_rule(KEY);
    CU_ASSERT_PTR_NULL(hap_affinity_mint(&plain, hap_str("a b"), random_bytes, 1, unit_pool));
    CU_ASSERT_PTR_NULL(hap_affinity_mint(&plain, hap_str(""), random_bytes, 1, unit_pool));
    CU_ASSERT_PTR_NULL(hap_affinity_mint(&rule, hap_str("a;b"), random_bytes, 1, unit_pool));
}

static void a_session_can_be_moved_elsewhere(void)
{
    char cookies[] = "a=b; zsessionid=abc.def.hostA; c=d";
    char room[32];
    const hap_affinity_rule_t rule = app_rule();
    hap_affinity_t got = asked(&rule, cookies, "/App/");
    hap_affinity_move(&got, room);
    memset(cookies, 'x', sizeof(cookies) - 1);
    UNIT_STR_EQ(hap_str_dup(got.value, unit_pool), "abc.def.hostA");
    UNIT_STR_EQ(hap_str_dup(got.id, unit_pool), "abc.def");
    UNIT_STR_EQ(hap_str_dup(got.route, unit_pool), "hostA");
    got = asked(&rule, "", "/App/");
    hap_affinity_move(&got, NULL);
    CU_ASSERT_EQUAL(got.value.n + got.id.n + got.route.n, 0);
}

static void every_verdict_has_its_sentence(void)
{
    for (int verdict = HAP_AFFINITY_OFF; verdict <= HAP_AFFINITY_FOUND; verdict++) {
        CU_ASSERT_TRUE(strlen(hap_affinity_why((hap_affinity_verdict_t)verdict)) > 20);
    }
    UNIT_STR_EQ(hap_affinity_why((hap_affinity_verdict_t)99), "no such verdict");
}

/* --- properties --- */

static unsigned next_random(unsigned *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static bool has(hap_str_t text, const char *part)
{
    size_t n = strlen(part);
    for (size_t i = 0; i + n <= text.n; i++) {
        if (memcmp(text.p + i, part, n) == 0) {
            return true;
        }
    }
    return false;
}

/* Headers made of the pieces that matter, so that many of them do name a member. */
static void random_cookies_never_select_a_member_that_they_do_not_name(void)
{
    static const char *const pieces[] = {"zsessionid=", "zsessionid", "x", ".hostA", ".hostC",
                                         ".hostB",      ".",          ";", "; ",     ",",
                                         " ",           "\"",         "=", "hostA"};
    hap_affinity_rule_t rule = app_rule();
    unsigned state = 1;
    int found = 0;
    for (int round = 0; round < 200000; round++) {
        char text[256] = "";
        size_t n = 0;
        for (unsigned i = next_random(&state) % 14 + 1; i > 0; i--) {
            const char *piece = pieces[next_random(&state) % (sizeof(pieces) / sizeof(pieces[0]))];
            memcpy(text + n, piece, strlen(piece));
            n += strlen(piece);
        }
        const hap_affinity_request_t request = {hap_strn(text, n), hap_strn(text, n), 0};
        hap_affinity_t result;
        hap_affinity_find(&result, &rule, &request, &two_members);
        if (result.member < 0) {
            continue;
        }
        found++;
        const char *wanted = apr_pstrcat(unit_pool, ".", routes[result.member], NULL);
        if (!has(request.cookies, wanted) || !has(request.cookies, "zsessionid")) {
            CU_FAIL("a member was selected that is not named");
        }
    }
    CU_ASSERT_TRUE(found > 100);
}

static void cookies_of_two_sessions_are_told_apart_from_one_that_is_there_twice(void)
{
    static const struct {
        const char *cookies;
        bool differ;
    } rows[] = {
        {"", false},
        {"zsessionid=a.hostA", false},
        {"zsessionid=a.hostA; zsessionid=a.hostB", false},
        {"zsessionid=a; zsessionid=a.hostB", false},
        {"zsessionid=a.hostA; zsessionid=b.hostA", true},
        {"zsessionid=b.nobody; x=1; zsessionid=a.hostA", true},
        {"zsessionid=a.hostA; xzsessionid=b.hostA", false},
    };
    const hap_affinity_rule_t rule = {.mode = HAP_AFFINITY_APP,
                                      .cookie = HAP_STR_LIT("zsessionid")};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CU_ASSERT_EQUAL(hap_affinity_differ(&rule, hap_str(rows[i].cookies)), rows[i].differ);
    }
}

const unit_test_t suite_affinity[] = {
    UNIT_TEST(z4_the_session_cookie_names_the_member_by_its_route),
    UNIT_TEST(z4_a_request_without_a_session_names_no_member),
    UNIT_TEST(route_ignores_a_cookie_whose_name_only_ends_like_ours),
    UNIT_TEST(a_value_without_a_route_names_no_member),
    UNIT_TEST(an_unknown_route_is_reported_as_what_follows_the_last_dot),
    UNIT_TEST(ids_with_dots_keep_them),
    UNIT_TEST(a_route_with_a_dot_is_found_behind_the_first_dot),
    UNIT_TEST(the_last_dot_is_asked_before_the_first),
    UNIT_TEST(the_cookie_wins_over_the_path_parameter),
    UNIT_TEST(the_path_parameter_helps_when_the_cookie_names_no_member),
    UNIT_TEST(a_query_string_never_names_a_member),
    UNIT_TEST(of_two_cookies_the_first_that_names_a_member_wins),
    UNIT_TEST(no_more_than_eight_values_are_looked_at),
    UNIT_TEST(a_value_of_eight_kilobytes_behaves),
    UNIT_TEST(affinity_none_looks_at_nothing),
    UNIT_TEST(the_source_says_where_the_session_was),
    UNIT_TEST(a_rule_without_a_path_parameter_ignores_the_path),
    UNIT_TEST(failover_replaces_the_route_and_nothing_else),
    UNIT_TEST(failover_leaves_a_token_alone_that_names_no_member),
    UNIT_TEST(failover_writes_no_value_that_a_cookie_cannot_hold),
    UNIT_TEST(an_inserted_cookie_finds_its_member_again),
    UNIT_TEST(an_inserted_cookie_is_never_read_from_the_path),
    UNIT_TEST(a_signed_cookie_counts_until_it_expires),
    UNIT_TEST(a_forged_cookie_counts_as_none),
    UNIT_TEST(a_forged_cookie_does_not_hide_a_genuine_one),
    UNIT_TEST(a_signed_cookie_has_its_route_behind_its_only_dot),
    UNIT_TEST(no_cookie_is_made_for_a_route_that_it_cannot_hold),
    UNIT_TEST(a_session_can_be_moved_elsewhere),
    UNIT_TEST(every_verdict_has_its_sentence),
    UNIT_TEST(random_cookies_never_select_a_member_that_they_do_not_name),
    UNIT_TEST(cookies_of_two_sessions_are_told_apart_from_one_that_is_there_twice),
    UNIT_END,
};
