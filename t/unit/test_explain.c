/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hap_explain. */
#include "unit.h"

#include <apr_strings.h>

#include "hap_explain.h"
#include "hap_grammar.h"

/* Two members, with room for keys of HABalancer. */
#define SITE(keys)                                                                                 \
    "<Proxy balancer://App>\nBalancerMember http://a:1 route=hostA\n"                              \
    "BalancerMember http://b:1 route=hostB\nProxySet stickysession=zsessionid\n</Proxy>\n"         \
    "ProxyPass /App balancer://App/ctx\nHABalancer App " keys "\n"

static hap_diag_t diag;
static hap_explain_t result;

static const char *choice(const hap_explain_choice_t *choice)
{
    if (choice->pick.member < 0) {
        return apr_pstrcat(unit_pool, "nobody, ", hap_pick_whys[choice->pick.why], NULL);
    }
    const char *shown = "";
    for (uint32_t i = 0; i < choice->among_n; i++) {
        shown = apr_pstrcat(unit_pool, shown, i ? "|" : "", result.members[choice->among[i]].route,
                            NULL);
    }
    return shown;
}

static apr_status_t explain(const char *conf_text, const char *target, const char *cookies,
                            const hap_state_t *state)
{
    hap_conf_t *conf = apr_palloc(unit_pool, sizeof(*conf));
    CU_ASSERT_EQUAL_FATAL(hap_conf_parse(conf, hap_str(conf_text), &diag, unit_pool), APR_SUCCESS);
    const hap_explain_request_t request = {
        .site = hap_site_read(conf, unit_pool),
        .target = hap_str(target),
        .cookies = hap_str(cookies),
        .client = HAP_STR_LIT("192.0.2.1"),
        .state = state,
    };
    return hap_explain(&result, &request, &diag, unit_pool);
}

/* First choice, then the one after it, or the line and the sentence of a refusal. */
static const char *choices(const char *conf, const char *target, const char *cookies,
                           const hap_state_t *state)
{
    if (explain(conf, target, cookies, state) != APR_SUCCESS) {
        return apr_psprintf(unit_pool, "%d: %s", diag.line, diag.why);
    }
    if (result.end != HAP_EXPLAIN_MODULE) {
        return apr_psprintf(unit_pool, "end %d", result.end);
    }
    bool again = result.first.pick.member >= 0 && result.retry == HAP_EXPLAIN_RETRY;
    return apr_pstrcat(unit_pool, choice(&result.first), again ? ", then " : "",
                       again ? choice(&result.next) : "", NULL);
}

static void a_session_goes_to_its_member_and_then_to_the_other(void)
{
    UNIT_STR_EQ(choices(SITE(""), "/App/x", "zsessionid=1.hostB", NULL), "hostB, then hostA");
    UNIT_STR_EQ(result.first.url, "http://b:1/ctx/x");
    CU_ASSERT_PTR_NULL(result.first.cookie);
    UNIT_STR_EQ(result.next.cookie, "zsessionid=1.hostA; Path=/App; HttpOnly");
}

static void without_a_session_all_that_take_turns_are_named(void)
{
    UNIT_STR_EQ(choices(SITE(""), "/App", NULL, NULL), "hostA|hostB, then hostB");
    choices(SITE("method=least"), "/App", NULL, NULL);
    CU_ASSERT_EQUAL(result.first.among_n, 2);
    choices(SITE("method=hash"), "/App", NULL, NULL);
    CU_ASSERT_EQUAL(result.first.among_n, 1);
}

static void a_second_try_needs_retries_and_a_budget_and_failover(void)
{
    UNIT_STR_EQ(choices(SITE("retries=0"), "/App", "zsessionid=1.hostB", NULL), "hostB");
    CU_ASSERT_EQUAL(result.retry, HAP_EXPLAIN_NO_RETRIES);
    UNIT_STR_EQ(choices(SITE("retry-budget=0"), "/App", "zsessionid=1.hostB", NULL), "hostB");
    CU_ASSERT_EQUAL(result.retry, HAP_EXPLAIN_NO_BUDGET);
    UNIT_STR_EQ(choices(SITE("failover=strict"), "/App", "zsessionid=1.hostB", NULL), "hostB");
    CU_ASSERT_EQUAL(result.retry, HAP_EXPLAIN_STRICT);
    UNIT_STR_EQ(choices(SITE("failover=strict"), "/App", NULL, NULL), "hostA|hostB, then hostB");
}

/* The state of hostA in a file that was saved a second after it was last checked. */
static hap_state_t saved(hap_admin_t admin, hap_verdict_t health)
{
    hap_state_t state = {.saved = 5000000, .n = 1};
    state.members = apr_pcalloc(unit_pool, sizeof(*state.members));
    state.members[0] = (hap_state_member_t){
        .app = HAP_STR_LIT("App"),
        .route = HAP_STR_LIT("hostA"),
        .admin = admin,
        .origin = HAP_SOURCE_OPERATOR,
        .health = health,
        .checked = 4000000,
        .window_ms = 3500,
    };
    return state;
}

static void saved_states_count(void)
{
    hap_state_t down = saved(HAP_ADMIN_ENABLED, HAP_HEALTH_DOWN);
    UNIT_STR_EQ(choices(SITE(""), "/App", "zsessionid=1.hostA", &down),
                "hostB, then nobody, no member can be used");
    UNIT_STR_EQ(result.first.cookie, "zsessionid=1.hostB; Path=/App; HttpOnly");
    UNIT_STR_EQ(choices(SITE("failover=strict"), "/App", "zsessionid=1.hostA", &down),
                "nobody, the session's member cannot be used and failover=strict");
    hap_state_t drain = saved(HAP_ADMIN_DRAIN, HAP_HEALTH_UP);
    UNIT_STR_EQ(choices(SITE(""), "/App", "zsessionid=1.hostA", &drain), "hostA, then hostB");
    UNIT_STR_EQ(choices(SITE(""), "/App", NULL, &drain),
                "hostB, then nobody, no member can be used");
}

static void a_state_that_is_too_old_counts_as_unknown(void)
{
    hap_state_t down = saved(HAP_ADMIN_ENABLED, HAP_HEALTH_DOWN);
    down.saved += 10000000;
    UNIT_STR_EQ(choices(SITE(""), "/App", "zsessionid=1.hostA", &down), "hostA, then hostB");
}

static void who_is_not_ours_is_said_so(void)
{
    UNIT_STR_EQ(choices(SITE(""), "/Other", NULL, NULL), "end 0");
    UNIT_STR_EQ(choices("ProxyPass /App !\n" SITE(""), "/App/x", NULL, NULL), "end 1");
    UNIT_STR_EQ(choices("ProxyPass /App http://C:80/ctx\n", "/App/x?a=%20b", NULL, NULL), "end 2");
    UNIT_STR_EQ(result.url, "http://c/ctx/x?a=%20b");
    UNIT_STR_EQ(choices("ProxyPass /App balancer://App\n", "/App", NULL, NULL), "end 3");
    UNIT_STR_EQ(choices("BalancerMember balancer://App http://a route=a\n"
                        "ProxyPass /App balancer://App\n",
                        "/App", NULL, NULL),
                "end 4");
}

static void what_the_module_refuses_is_refused_with_its_line(void)
{
    const char *head = "ProxyPass /App balancer://App\nProxySet balancer://App stickysession=s\n";
    UNIT_STR_EQ(
        choices(apr_pstrcat(unit_pool, head,
                            "HABalancer App\nBalancerMember balancer://App http://a\n", NULL),
                "/App", NULL, NULL),
        "4: the module does not start with this: a BalancerMember without route= can keep "
        "no sessions");
    UNIT_STR_EQ(choices(SITE("BalancerMember") "x\n", "/App", NULL, NULL),
                "7: HABalancer: \"BalancerMember\" is not one of its key=value arguments: method, "
                "hash-key, affinity, failover, sign, sign-lifetime, retries, retry-budget, max, "
                "queue, queue-timeout, slow-start");
    UNIT_STR_EQ(choices("BalancerMember balancer://App http://z route=hostA\n" SITE(""), "/App",
                        NULL, NULL),
                "3: the module does not start with this: a route is used by two members");
}

static void members_without_routes_have_the_names_that_the_module_gives_them(void)
{
    UNIT_STR_EQ(
        choices("BalancerMember balancer://App http://a:1\n"
                "BalancerMember balancer://App http://a:1/x\n"
                "ProxyPass /App balancer://App\nHABalancer App affinity=none retries=0\n",
                "/App", NULL, NULL),
        apr_pstrcat(unit_pool, "a-1|", hap_grammar_route_by_hash("http://a:1/x", unit_pool), NULL));
}

static const char *path(const char *target)
{
    const char *text = NULL;
    hap_diag_set(&diag, 0, "%s", "");
    hap_explain_path(&text, hap_str(target), &diag, unit_pool);
    return text ? text : "refused";
}

static void paths_are_decoded_as_httpd_does(void)
{
    UNIT_STR_EQ(path("/a%20b//c?d=%zz"), "/a b/c");
    UNIT_STR_EQ(path("/a.b/..c/.d/c."), "/a.b/..c/.d/c.");
    UNIT_STR_EQ(path("/a%2Fb"), "refused");
    UNIT_STR_EQ(path("/a%00"), "refused");
    UNIT_STR_EQ(path("/a%4"), "refused");
    UNIT_STR_EQ(path("/a/../b"), "refused");
    UNIT_STR_EQ(path("/a/%2e"), "refused");
    UNIT_STR_EQ(path("a"), "refused");
    UNIT_STR_EQ(path("/a b"), "refused");
    UNIT_STR_EQ(path("/a\n"), "refused");
    UNIT_STR_EQ(path("/a?b\x7f"), "refused");
    UNIT_STR_EQ(path("/\xff"), "/\xff");
    UNIT_STR_EQ(path(""), "refused");
}

const unit_test_t suite_explain[] = {
    UNIT_TEST(a_session_goes_to_its_member_and_then_to_the_other),
    UNIT_TEST(without_a_session_all_that_take_turns_are_named),
    UNIT_TEST(a_second_try_needs_retries_and_a_budget_and_failover),
    UNIT_TEST(saved_states_count),
    UNIT_TEST(a_state_that_is_too_old_counts_as_unknown),
    UNIT_TEST(who_is_not_ours_is_said_so),
    UNIT_TEST(what_the_module_refuses_is_refused_with_its_line),
    UNIT_TEST(members_without_routes_have_the_names_that_the_module_gives_them),
    UNIT_TEST(paths_are_decoded_as_httpd_does),
    UNIT_END,
};
