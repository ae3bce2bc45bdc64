/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target of cookies, path parameters and the choice by route. Input: a line with the session's
 * name, a line with the path, and the value of the Cookie header.
 */
#include "fuzz.h"
#include "hap_affinity.h"
#include "hap_cookie.h"

static const hap_str_t routes[] = {
    {"hostA", 5},
    {"hostB", 5},
    {"eu.west", 7},
};

enum { NOW_S = 1000, MEMBERS = sizeof(routes) / sizeof(routes[0]) };

static int find_route(const void *table, hap_str_t route)
{
    (void)table;
    must(route.n > 0);
    for (int i = 0; i < MEMBERS; i++) {
        if (hap_str_eq(route, routes[i])) {
            return i;
        }
    }
    return -1;
}

static const hap_route_lookup_t members = {find_route, NULL};

static bool lies_in(hap_str_t part, hap_str_t whole)
{
    return part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

static void check_cookies(hap_str_t header)
{
    hap_str_t rest = header;
    hap_cookie_t cookie;
    while (rest.n > 0) {
        size_t before = rest.n;
        if (!hap_cookie_next(&cookie, &rest)) {
            must(rest.n == 0);
            return;
        }
        must(rest.n < before && lies_in(rest, header));
        must(cookie.name.n > 0 && lies_in(cookie.name, header) && lies_in(cookie.value, header));
        must(hap_str_find(cookie.value, ';', 0) == cookie.value.n);
    }
}

static void check_found(const hap_affinity_t *result, const hap_affinity_rule_t *rule)
{
    hap_sign_token_t token;
    must(result->member < MEMBERS && hap_str_eq(result->route, routes[result->member]));
    must(result->id.n + 1 + result->route.n == result->value.n);
    must(result->value.p[result->id.n] == '.');
    if (rule->mode == HAP_AFFINITY_INSERT && rule->sign) {
        must(result->source == HAP_AFFINITY_FROM_COOKIE && result->expiry_s > NOW_S);
        must(hap_sign_verify(&token, rule->sign, result->id, rule->app, result->route) ==
             HAP_SIGN_GENUINE);
    }
}

static void check_affinity(const hap_affinity_rule_t *rule, const hap_affinity_request_t *request,
                           apr_pool_t *pool)
{
    hap_affinity_t result;
    hap_affinity_find(&result, rule, request, &members);
    hap_str_t source =
        result.source == HAP_AFFINITY_FROM_PATH ? hap_path_only(request->path) : request->cookies;
    must((result.member >= 0) == (result.verdict == HAP_AFFINITY_FOUND));
    must(lies_in(result.value, source) && lies_in(result.id, result.value));
    must(lies_in(result.route, result.value));
    must(result.source != HAP_AFFINITY_FROM_PATH || rule->mode == HAP_AFFINITY_APP);
    if (result.verdict == HAP_AFFINITY_FOUND) {
        check_found(&result, rule);
    }
    const char *moved = hap_affinity_rewrite(&result, routes[1], pool);
    must(!moved || hap_cookie_value_ok(hap_str(moved)));
}

/* Always the same key, so that seeds with genuine tokens stay genuine. */
static const hap_sign_t *sign_keys(apr_pool_t *pool)
{
    static const char key[] = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    hap_sign_t *sign = NULL;
    hap_diag_t diag;
    must(hap_sign_parse(&sign, hap_str(key), &diag, pool) == APR_SUCCESS);
    return sign;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *pool = fuzz_pool();
    hap_str_t rest = fuzz_text(data, size);
    hap_str_t name = fuzz_line(&rest);
    hap_str_t path = fuzz_line(&rest);
    hap_affinity_rule_t rule = {
        .mode = HAP_AFFINITY_APP,
        .cookie = name,
        .path_param = name,
        .sign = sign_keys(pool),
        .app = HAP_STR_LIT("App"),
    };
    const hap_affinity_request_t request = {rest, path, NOW_S};
    check_cookies(rest);
    check_affinity(&rule, &request, pool);
    rule.mode = HAP_AFFINITY_INSERT;
    check_affinity(&rule, &request, pool);
    rule.sign = NULL;
    check_affinity(&rule, &request, pool);
    apr_pool_destroy(pool);
    return 0;
}
