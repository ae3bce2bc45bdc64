/* SPDX-License-Identifier: Apache-2.0 */
/* Owns how a session's value is split and judged. Does not parse headers: that is hap_cookie. */
#include "hap_affinity.h"

#include <apr_strings.h>

#include "hap_cookie.h"

/* Everything a judge needs besides the value. */
typedef struct context_t {
    const hap_affinity_rule_t *rule;
    const hap_route_lookup_t *members;
    int64_t now_s;
} context_t;

static size_t last_dot(hap_str_t s)
{
    for (size_t i = s.n; i-- > 0;) {
        if (s.p[i] == '.') {
            return i;
        }
    }
    return s.n;
}

/* The candidate with its value split at `dot`. */
static void split(hap_affinity_t *candidate, size_t dot)
{
    candidate->id = hap_str_sub(candidate->value, 0, dot);
    candidate->route = hap_str_sub(candidate->value, dot + 1, candidate->value.n);
}

static bool names_member(hap_affinity_t *candidate, const hap_route_lookup_t *members)
{
    if (candidate->route.n == 0) {
        return false;
    }
    int member = members->find(members->table, candidate->route);
    if (member < 0) {
        return false;
    }
    candidate->member = member;
    candidate->verdict = HAP_AFFINITY_FOUND;
    return true;
}

/* Ids with dots are common (tokens, signed ids) and routes with dots are rare: so the last dot
 * first. The first one is for routes that were given dots in a configuration made by hand. */
static void judge_plain(hap_affinity_t *candidate, const context_t *context)
{
    size_t last = last_dot(candidate->value);
    split(candidate, last);
    if (names_member(candidate, context->members)) {
        return;
    }
    size_t first = hap_str_find(candidate->value, '.', 0);
    if (first < last) {
        split(candidate, first);
        if (names_member(candidate, context->members)) {
            return;
        }
        split(candidate, last);
    }
    candidate->verdict = candidate->route.n ? HAP_AFFINITY_UNKNOWN_ROUTE : HAP_AFFINITY_NO_ROUTE;
}

/* A token has no dots, so the first dot is the one. The signature comes before all else: nothing
 * of a forged cookie is worth reporting. */
static void judge_signed(hap_affinity_t *candidate, const context_t *context)
{
    const hap_affinity_rule_t *rule = context->rule;
    hap_sign_token_t token;
    split(candidate, hap_str_find(candidate->value, '.', 0));
    switch (hap_sign_verify(&token, rule->sign, candidate->id, rule->app, candidate->route)) {
    case HAP_SIGN_MALFORMED:
        candidate->verdict = HAP_AFFINITY_MALFORMED;
        return;
    case HAP_SIGN_FORGED:
        candidate->verdict = HAP_AFFINITY_FORGED;
        return;
    case HAP_SIGN_GENUINE:
        break;
    }
    candidate->expiry_s = token.expiry_s;
    if (token.expiry_s <= context->now_s) {
        candidate->verdict = HAP_AFFINITY_EXPIRED;
    } else if (!names_member(candidate, context->members)) {
        candidate->verdict = HAP_AFFINITY_UNKNOWN_ROUTE;
    }
}

/* True when the value settles it. The first value stays in `result` until one is FOUND. */
static bool judge(hap_affinity_t *result, hap_str_t value, hap_affinity_source_t source,
                  const context_t *context)
{
    hap_affinity_t candidate = {.member = -1, .source = source, .value = value};
    bool is_signed = context->rule->mode == HAP_AFFINITY_INSERT && context->rule->sign;
    if (is_signed) {
        judge_signed(&candidate, context);
    } else {
        judge_plain(&candidate, context);
    }
    bool found = candidate.verdict == HAP_AFFINITY_FOUND;
    if (found || result->source == HAP_AFFINITY_FROM_NOTHING) {
        *result = candidate;
    }
    return found;
}

static bool in_cookies(hap_affinity_t *result, hap_str_t rest, const context_t *context)
{
    hap_str_t value;
    for (int i = 0; i < HAP_AFFINITY_VALUES_MAX; i++) {
        if (!hap_cookie_find(&value, context->rule->cookie, &rest)) {
            return false;
        }
        if (judge(result, value, HAP_AFFINITY_FROM_COOKIE, context)) {
            return true;
        }
    }
    return false;
}

static void in_path(hap_affinity_t *result, hap_str_t rest, const context_t *context)
{
    hap_str_t value;
    for (int i = 0; i < HAP_AFFINITY_VALUES_MAX; i++) {
        if (!hap_path_param_find(&value, context->rule->path_param, &rest) ||
            judge(result, value, HAP_AFFINITY_FROM_PATH, context)) {
            return;
        }
    }
}

void hap_affinity_find(hap_affinity_t *result, const hap_affinity_rule_t *rule,
                       const hap_affinity_request_t *request, const hap_route_lookup_t *members)
{
    const context_t context = {rule, members, request->now_s};
    *result = (hap_affinity_t){.verdict = HAP_AFFINITY_OFF, .member = -1};
    if (rule->mode == HAP_AFFINITY_NONE) {
        return;
    }
    result->verdict = HAP_AFFINITY_NO_SESSION;
    if (in_cookies(result, request->cookies, &context)) {
        return;
    }
    if (rule->mode == HAP_AFFINITY_APP && rule->path_param.n > 0) {
        in_path(result, hap_path_only(request->path), &context);
    }
}

static hap_str_t moved(hap_str_t part, hap_str_t value, const char *room)
{
    return part.n ? hap_strn(room + (part.p - value.p), part.n) : hap_strn("", 0);
}

void hap_affinity_move(hap_affinity_t *session, char *room)
{
    hap_str_t value = session->value;
    if (value.n) {
        memcpy(room, value.p, value.n);
    }
    session->id = moved(session->id, value, room);
    session->route = moved(session->route, value, room);
    session->value = moved(value, value, room);
}

hap_str_t hap_affinity_id(const hap_affinity_t *session)
{
    switch (session->verdict) {
    case HAP_AFFINITY_FOUND:
        return session->id;
    case HAP_AFFINITY_NO_ROUTE:
    case HAP_AFFINITY_UNKNOWN_ROUTE:
        return session->value;
    default:
        return hap_str(NULL);
    }
}

bool hap_affinity_differ(const hap_affinity_rule_t *rule, hap_str_t cookies)
{
    hap_str_t first;
    hap_str_t value;
    if (!hap_cookie_find(&first, rule->cookie, &cookies)) {
        return false;
    }
    while (hap_cookie_find(&value, rule->cookie, &cookies)) {
        if (!hap_str_eq(hap_affinity_cut(value), hap_affinity_cut(first))) {
            return true;
        }
    }
    return false;
}

hap_str_t hap_affinity_cut(hap_str_t value)
{
    size_t dot = value.n;
    while (dot > 0 && value.p[dot - 1] != '.') {
        dot--;
    }
    return dot > 0 ? hap_str_sub(value, 0, dot - 1) : value;
}

const char *hap_affinity_why(hap_affinity_verdict_t verdict)
{
    static const char *const sentences[] = {
#define HAP_AFFINITY_VERDICT(name, why) [HAP_AFFINITY_##name] = (why),
        HAP_AFFINITY_VERDICTS(HAP_AFFINITY_VERDICT)
#undef HAP_AFFINITY_VERDICT
    };
    size_t at = (size_t)verdict;
    return at < sizeof(sentences) / sizeof(sentences[0]) ? sentences[at] : "no such verdict";
}

static const char *join(hap_str_t id, hap_str_t route, apr_pool_t *pool)
{
    if (route.n == 0 || !hap_cookie_value_ok(route) || !hap_cookie_value_ok(id)) {
        return NULL;
    }
    return apr_pstrcat(pool, hap_str_dup(id, pool), ".", hap_str_dup(route, pool), NULL);
}

const char *hap_affinity_rewrite(const hap_affinity_t *session, hap_str_t route, apr_pool_t *pool)
{
    if (session->verdict != HAP_AFFINITY_FOUND) {
        return NULL;
    }
    return join(session->id, route, pool);
}

const char *hap_affinity_mint(const hap_affinity_rule_t *rule, hap_str_t route,
                              const unsigned char random[HAP_SIGN_RANDOM_BYTES], int64_t expiry_s,
                              apr_pool_t *pool)
{
    if (!rule->sign) {
        return join(hap_str(hap_sign_random_text(random, pool)), route, pool);
    }
    const char *token = hap_sign_mint(rule->sign, random, expiry_s, rule->app, route, pool);
    return token ? join(hap_str(token), route, pool) : NULL;
}
