/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns rebuilding a balancer from its configuration and saved states, and asking it twice: once
 * for the request, and once more as if the member could not be reached.
 */
#include "hap_explain_farm.h"

#include <apr_strings.h>

#include "hap_cookie.h"
#include "hap_grammar.h"

/* Any fixed bits: what depends on them is told as such. */
static const uint64_t draw = 0x2545f4914f6cdd1dULL;

enum { WEIGHT_UNIT = 100 /* of the map's */ };

static apr_status_t refuse(hap_diag_t *diag, int line, const char *why)
{
    hap_diag_set(diag, line, "the module does not start with this: %s", why);
    return APR_EINVAL;
}

/* stickysession=COOKIE|PARAMETER; one name is for both. */
static apr_status_t set_rule(hap_explain_t *result, const hap_explain_request_t *request,
                             hap_diag_t *diag)
{
    const hap_policy_t *policy = &result->policy.policy;
    const hap_site_balancer_t *balancer = result->balancer;
    hap_str_t sticky = hap_str(balancer->sticky);
    size_t bar = hap_str_find(sticky, '|', 0);
    hap_affinity_rule_t *rule = &result->rule;
    rule->mode = policy->affinity.mode;
    rule->app = hap_str(result->policy.name);
    if (rule->mode == HAP_AFFINITY_INSERT) {
        rule->cookie = hap_str(policy->affinity.cookie);
        rule->sign = policy->sign ? request->sign : NULL;
        return APR_SUCCESS;
    }
    if (rule->mode == HAP_AFFINITY_APP && sticky.n == 0) {
        rule->mode = HAP_AFFINITY_NONE;
    }
    if (rule->mode == HAP_AFFINITY_APP && balancer->separator &&
        strcmp(balancer->separator, ".") != 0) {
        return refuse(diag, balancer->line, "stickysessionsep= other than a dot is not supported");
    }
    rule->cookie = hap_str_sub(sticky, 0, bar);
    rule->path_param = bar < sticky.n ? hap_str_sub(sticky, bar + 1, sticky.n) : sticky;
    return APR_SUCCESS;
}

static bool is_app(const hap_explain_t *result, hap_str_t app)
{
    hap_str_t label = result->rule.app;
    /* The second balancer of a name has its virtual host behind it. */
    bool same = hap_str_eq_nocase(hap_str_sub(app, 0, label.n), label);
    return same && (app.n == label.n || (result->balancer->vhost && app.p[label.n] == '@'));
}

/* The balancer's saved members by their routes. */
static apr_hash_t *states_by_route(const hap_explain_t *result, const hap_state_t *state,
                                   apr_pool_t *pool)
{
    apr_hash_t *index = apr_hash_make(pool);
    for (size_t i = 0; state && i < state->n; i++) {
        const hap_state_member_t *saved = &state->members[i];
        apr_ssize_t n = (apr_ssize_t)saved->route.n;
        if (is_app(result, saved->app) && !apr_hash_get(index, saved->route.p, n)) {
            apr_hash_set(index, saved->route.p, n, saved);
        }
    }
    return index;
}

/* As the module names it: the same host and port with another path is told from it by a hash. */
static const char *route_of(const hap_site_member_t *member, const char *url, apr_hash_t *seen,
                            apr_pool_t *pool)
{
    if (member->route) {
        return member->route;
    }
    const char *route = hap_grammar_route_of_url(url, pool);
    bool taken = apr_hash_get(seen, route, APR_HASH_KEY_STRING);
    return taken ? hap_grammar_route_by_hash(url, pool) : route;
}

/** What is known beside the configuration, by route. */
typedef struct known_t {
    apr_hash_t *states; /* hap_state_member_t *: what was saved */
    apr_time_t saved;   /* when that was */
    apr_hash_t *seen;   /* hap_explain_member_t *: those described so far */
} known_t;

static apr_status_t describe(hap_explain_member_t *out, const hap_explain_t *result,
                             const hap_site_member_t *member, const known_t *known,
                             hap_diag_t *diag, apr_pool_t *pool)
{
    if (!member->route && result->rule.mode != HAP_AFFINITY_NONE) {
        return refuse(diag, member->directive->line,
                      "a BalancerMember without route= can keep no sessions");
    }
    const char *url = hap_site_worker_url(member->url, pool);
    *out = (hap_explain_member_t){
        .route = route_of(member, url, known->seen, pool),
        .url = url,
        .duty = hap_site_duty(member),
        .line = member->directive->line,
    };
    if (apr_hash_get(known->seen, out->route, APR_HASH_KEY_STRING)) {
        return refuse(diag, out->line, "a route is used by two members");
    }
    apr_hash_set(known->seen, out->route, APR_HASH_KEY_STRING, out);
    out->admin = out->duty.admin;
    const hap_state_member_t *saved = apr_hash_get(known->states, out->route, APR_HASH_KEY_STRING);
    if (saved) {
        /* As if the server had been started again the moment it was saved. */
        hap_statefile_restore(&out->state, saved, out->duty.admin, known->saved);
        out->saved = true;
        out->admin = out->state.member.admin;
        out->verdict = out->state.member.health;
    }
    return APR_SUCCESS;
}

/* `scheme://host:port` of the map has the path of the configured member that it is like. */
static const char *mapped_url(const char *url, const char *like, apr_pool_t *pool)
{
    const char *host = strstr(like, "://");
    const char *path = host ? strchr(host + 3, '/') : NULL;
    return hap_site_worker_url(apr_pstrcat(pool, url, path, NULL), pool);
}

static void follow_row(hap_explain_member_t *member, const hap_follow_t *row, const char *like,
                       apr_pool_t *pool)
{
    const hap_map_member_t *mapped = row->mapped;
    member->standing = row->standing;
    member->mapped = mapped;
    if (!mapped) {
        return;
    }
    member->route = mapped->route;
    member->url = mapped->url ? mapped_url(mapped->url, like, pool) : member->url;
    member->duty.weight = mapped->weight * WEIGHT_UNIT;
    member->admin = mapped->admin;
}

/* As the module does; what an operator has said on the server is in its state file, and counts
 * beside the map: what that says here is not seen then. */
static void follow_map(hap_explain_t *result, hap_explain_member_t *members, apr_pool_t *pool)
{
    const char **routes = apr_pcalloc(pool, result->members_n * sizeof(*routes));
    for (uint32_t i = 0; i < result->members_n; i++) {
        routes[i] = members[i].route;
    }
    const hap_follow_from_t from = {
        .configured = routes, .configured_n = result->members_n, .app = result->app};
    unsigned n = 0;
    const hap_follow_t *rows = hap_follow(&n, &from, pool);
    for (unsigned i = 0; i < n; i++) {
        const char *like = members[rows[i].configured < 0 ? 0 : i].url;
        follow_row(&members[i], &rows[i], like, pool);
    }
    result->members_n = n;
}

static apr_status_t describe_all(hap_explain_t *result, const hap_explain_request_t *request,
                                 hap_diag_t *diag, apr_pool_t *pool)
{
    const apr_array_header_t *from = result->balancer->members;
    if (from->nelts > HAP_MEMBERS_MAX) {
        return refuse(diag, result->balancer->line,
                      apr_psprintf(pool, "it has %d members, and HAMaxMembers takes at most %d",
                                   from->nelts, HAP_MEMBERS_MAX));
    }
    const known_t known = {
        .states = states_by_route(result, request->state, pool),
        .saved = request->state ? request->state->saved : 0,
        .seen = apr_hash_make(pool),
    };
    result->app = hap_follow_app(request->map, hap_str(result->policy.name));
    size_t most = (size_t)from->nelts + (result->app ? result->app->members_n : 0);
    hap_explain_member_t *members = apr_pcalloc(pool, most * sizeof(*members));
    for (int i = 0; i < from->nelts; i++) {
        const hap_site_member_t *member = &APR_ARRAY_IDX(from, i, hap_site_member_t);
        apr_status_t rv = describe(&members[i], result, member, &known, diag, pool);
        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
    result->members = members;
    result->members_n = (uint32_t)from->nelts;
    follow_map(result, members, pool);
    return APR_SUCCESS;
}

static void put_states(const hap_shared_t *shared, const hap_explain_member_t *members, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const hap_admin_word_t admin = {.state = members[i].admin};
        hap_health_t health;
        hap_health_init(&health, 0);
        health.verdict = members[i].verdict;
        hap_shared_admin(shared, i, &admin);
        hap_shared_put_health(shared, i, &health);
    }
}

static hap_shared_t *make_shared(const hap_explain_member_t *members, uint32_t n, apr_pool_t *pool)
{
    const hap_geometry_t geometry = {.slots = n, .balancers = 1, .rows = 1};
    hap_shared_t *shared = apr_pcalloc(pool, sizeof(*shared));
    char *memory = apr_pcalloc(pool, hap_shared_size(&geometry) + HAP_CACHE_LINE);
    uintptr_t base = ((uintptr_t)memory + HAP_CACHE_LINE - 1) & ~(uintptr_t)(HAP_CACHE_LINE - 1);
    hap_shared_view(shared, &geometry, (void *)base);
    put_states(shared, members, n);
    return shared;
}

static hap_selector_t make_selector(hap_explain_t *result, apr_pool_t *pool)
{
    uint32_t n = result->members_n;
    const hap_policy_t *policy = &result->policy.policy;
    hap_member_t *members = apr_pcalloc(pool, n * sizeof(*members));
    const hap_shared_t *shared = make_shared(result->members, n, pool);
    for (uint32_t i = 0; i < n; i++) {
        const hap_site_duty_t *duty = &result->members[i].duty;
        members[i] = (hap_member_t){
            .route = hap_str(result->members[i].route),
            .slot = i,
            .weight = duty->weight,
            .lbset = duty->lbset,
            .spare = duty->spare,
            .standing = result->members[i].standing,
        };
    }
    const hap_roster_kind_t kind = {
        .hashed = policy->method == HAP_METHOD_HASH,
        .single = result->app && result->app->single,
        .epoch = result->app ? result->app->epoch : 0,
    };
    result->roster = hap_roster_make(members, n, kind, pool);
    result->schedule = hap_schedule_make(result->roster, shared, pool);
    return (hap_selector_t){
        .policy = policy, .roster = result->roster, .schedule = result->schedule, .shared = shared};
}

static int find_route(const void *roster, hap_str_t route)
{
    return hap_roster_find(roster, route);
}

static hap_pick_request_t ask(hap_explain_t *result, const hap_explain_request_t *request)
{
    const hap_route_lookup_t routes = {find_route, result->roster};
    const hap_affinity_request_t in = {request->cookies, request->target, request->now_s};
    const hap_policy_t *policy = &result->policy.policy;
    hap_affinity_find(&result->session, &result->rule, &in, &routes);
    hap_str_t key = policy->hash_key == HAP_HASH_PATH ? hap_str(result->path) : request->client;
    return (hap_pick_request_t){
        .wanted = result->session.member,
        .session = hap_affinity_id(&result->session),
        .hash = hap_str_hash(key),
        .draw = draw,
    };
}

/* `known` tells by index who is among them already. */
static void add_candidate(hap_explain_choice_t *choice, bool *known, int member)
{
    if (member >= 0 && !known[member]) {
        known[member] = true;
        choice->among[choice->among_n++] = (uint32_t)member;
    }
}

/*
 * The round and the draws take any member that is ready. When none is, all are looked through from
 * a place that a draw says, and there are as many places as members.
 */
static void list_candidates(hap_explain_choice_t *choice, bool *known,
                            const hap_selector_t *selector, const hap_pick_request_t *request)
{
    const hap_schedule_t *schedule = selector->schedule;
    bool ready = false;
    for (uint32_t i = 0; i < schedule->ready_n; i++) {
        if (hap_pick_eligible(selector, request, schedule->ready[i])) {
            add_candidate(choice, known, (int)schedule->ready[i]);
            ready = true;
        }
    }
    hap_pick_request_t again = *request;
    for (uint32_t i = 0; !ready && i < selector->roster->n; i++) {
        again.draw = i;
        add_candidate(choice, known, hap_pick(selector, &again).member);
    }
}

static void choose(hap_explain_choice_t *choice, const hap_selector_t *selector,
                   const hap_pick_request_t *request, apr_pool_t *pool)
{
    choice->among = apr_palloc(pool, selector->roster->n * sizeof(uint32_t));
    bool *known = apr_pcalloc(pool, selector->roster->n * sizeof(bool));
    /* From the beginning of the round: which turn it is on the server is not known. */
    atomic_store(&selector->shared->balancers[selector->balancer].turn, 0);
    choice->pick = hap_pick(selector, request);
    if (choice->pick.member < 0) {
        return;
    }
    add_candidate(choice, known, choice->pick.member);
    bool by_session = choice->pick.member == hap_pick_by_session(selector, request);
    bool by_hash =
        selector->policy->method == HAP_METHOD_HASH && choice->pick.why != HAP_PICK_LAST_RESORT;
    bool certain = choice->pick.why == HAP_PICK_SESSION || by_session || by_hash;
    if (!certain) {
        list_candidates(choice, known, selector, request);
    }
}

static hap_explain_retry_t may_retry(const hap_explain_t *result)
{
    const hap_policy_t *policy = &result->policy.policy;
    bool single = result->roster->kind.single;
    if (result->session.member >= 0 && policy->failover == HAP_FAILOVER_STRICT && !single) {
        return HAP_EXPLAIN_STRICT;
    }
    if (policy->retries == 0) {
        return HAP_EXPLAIN_NO_RETRIES;
    }
    return policy->retry_budget == 0 ? HAP_EXPLAIN_NO_BUDGET : HAP_EXPLAIN_RETRY;
}

apr_status_t hap_explain_choose(hap_explain_t *result, const hap_explain_request_t *request,
                                hap_diag_t *diag, apr_pool_t *pool)
{
    apr_status_t rv = set_rule(result, request, diag);
    rv = rv == APR_SUCCESS ? describe_all(result, request, diag, pool) : rv;
    if (rv != APR_SUCCESS) {
        return rv;
    }
    hap_selector_t selector = make_selector(result, pool);
    hap_pick_request_t in = ask(result, request);
    choose(&result->first, &selector, &in, pool);
    if (result->first.pick.member < 0) {
        return APR_SUCCESS;
    }
    result->retry = may_retry(result);
    if (result->retry != HAP_EXPLAIN_RETRY) {
        return APR_SUCCESS;
    }
    /* What a connect that fails does to the member, before the next one is chosen. */
    const uint32_t tried[] = {(uint32_t)result->first.pick.member}; /* its slot, too */
    hap_shared_flags(selector.shared, tried[0], HAP_FLAG_SUSPECT, 0);
    in.tried = tried;
    in.tried_n = 1;
    choose(&result->next, &selector, &in, pool);
    return APR_SUCCESS;
}

static bool renewal_due(const hap_explain_t *result, const hap_explain_request_t *request)
{
    int64_t left = result->session.expiry_s - request->now_s;
    return result->rule.sign && left < apr_time_sec(result->policy.policy.sign_lifetime) / 2;
}

/* The value that the cookie gets; NULL when there is none to be set. */
static const char *cookie_value(const hap_explain_t *result, const hap_explain_request_t *request,
                                hap_pick_t pick, apr_pool_t *pool)
{
    bool moved = pick.why != HAP_PICK_SESSION;
    const char *route = result->members[pick.member].route;
    const hap_affinity_t *session = &result->session;
    switch (result->rule.mode) {
    case HAP_AFFINITY_INSERT:
        if (!moved && !renewal_due(result, request)) {
            return NULL;
        }
        return apr_pstrcat(pool,
                           result->policy.policy.sign ? "<random>~<expiry>~<mac>." : "<random>.",
                           route, NULL);
    case HAP_AFFINITY_APP:
        return moved && session->source == HAP_AFFINITY_FROM_COOKIE
                   ? hap_affinity_rewrite(session, hap_str(route), pool)
                   : NULL;
    case HAP_AFFINITY_NONE:
        break;
    }
    return NULL;
}

const char *hap_explain_cookie(const hap_explain_t *result, const hap_explain_request_t *request,
                               hap_pick_t pick, apr_pool_t *pool)
{
    const char *value = cookie_value(result, request, pick, pool);
    bool lax = result->rule.mode == HAP_AFFINITY_INSERT;
    if (!value) {
        return NULL;
    }
    return apr_pstrcat(pool, hap_str_dup(result->rule.cookie, pool), "=", value,
                       "; Path=", hap_site_cookie_path(request->site, result->balancer, pool),
                       "; HttpOnly", lax ? "; SameSite=Lax" : "", request->tls ? "; Secure" : "",
                       NULL);
}
