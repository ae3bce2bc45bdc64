/* SPDX-License-Identifier: Apache-2.0 */
/* Owns collecting from all over the tree what the verdict goes by. Does not judge. */
#include "hap_honour_model.h"

#include <stdlib.h>

#include <apr_strings.h>

/** Sections around a directive. */
typedef struct around_t {
    const hap_honour_node_t *vhost;
    const hap_honour_node_t *location; /* <Location> or <LocationMatch> */
    const hap_honour_node_t *proxy;    /* <Proxy> */
} around_t;

#define PASS(list, i) (&APR_ARRAY_IDX(list, i, honour_pass_t))
#define FACT(list, i) (&APR_ARRAY_IDX(list, i, honour_fact_t))

const char *honour_balancer_name(const char *url, apr_pool_t *pool)
{
    hap_str_t scheme = HAP_STR_LIT("balancer://");
    hap_str_t text = hap_str(url);
    if (!hap_str_eq_nocase(hap_str_sub(text, 0, scheme.n), scheme)) {
        return NULL;
    }
    size_t end = scheme.n + strcspn(url + scheme.n, "/");
    return end > scheme.n ? hap_str_dup(hap_str_sub(text, scheme.n, end), pool) : NULL;
}

static void add_fact(apr_array_header_t *list, const hap_honour_node_t *node,
                     const around_t *around, const char *name, const char *value)
{
    if (name) {
        APR_ARRAY_PUSH(list, honour_fact_t) = (honour_fact_t){
            .node = node,
            .vhost = around->vhost,
            .name = name,
            .value = value,
        };
    }
}

/* BalancerMember URL within <Proxy>, else BalancerMember balancer://NAME URL. */
static void add_member(honour_facts_t *facts, const hap_honour_node_t *node, const around_t *around)
{
    int at = around->proxy ? 0 : 1;
    const char *in = around->proxy ? honour_arg(around->proxy, 0) : honour_arg(node, 0);
    add_fact(facts->members, node, around, honour_balancer_name(in, facts->pool),
             honour_arg(node, at));
}

static bool has_mapping(const hap_honour_node_t *node)
{
    for (int i = 1; i < node->argc; i++) {
        if (hap_str_eq_nocase(hap_str_sub(hap_str(node->argv[i]), 0, 8), HAP_STR_LIT("mapping="))) {
            return true;
        }
    }
    return false;
}

static void add_pass(honour_facts_t *facts, const hap_honour_node_t *node, const around_t *around)
{
    const hap_honour_node_t *in = around->location;
    bool tilde = !in && strcmp(honour_arg(node, 0), "~") == 0;
    int at = in ? 0 : tilde ? 2 : 1;
    honour_pass_t *pass = apr_array_push(facts->passes);
    *pass = (honour_pass_t){
        .node = node,
        .vhost = around->vhost,
        .location = in,
        .path = in ? honour_arg(in, 0) : honour_arg(node, at - 1),
        .target = honour_arg(node, at),
        .pattern = tilde || honour_is(node, "ProxyPassMatch"),
        .encoded = has_mapping(node),
    };
}

static void collect_directive(honour_facts_t *facts, const hap_honour_node_t *node,
                              const around_t *around)
{
    if (honour_is(node, "ProxyPass") || honour_is(node, "ProxyPassMatch")) {
        add_pass(facts, node, around);
    } else if (honour_is(node, "BalancerMember")) {
        add_member(facts, node, around);
    } else if (honour_is(node, "HABalancer")) {
        add_fact(facts->balancers, node, around, honour_arg(node, 0), NULL);
    } else if (honour_is(node, "ServerName")) {
        add_fact(facts->names, node, around, honour_arg(node, 0), NULL);
    } else if (honour_is(node, "HALane")) {
        APR_ARRAY_PUSH(facts->lanes, honour_lane_line_t) =
            (honour_lane_line_t){.node = node, .vhost = around->vhost};
    } else if (honour_is(node, "RequestReadTimeout")) {
        add_fact(facts->timeouts, node, around, "", NULL);
    }
}

static void collect(honour_facts_t *facts, const hap_honour_node_t *first, const around_t *around);

static void collect_section(honour_facts_t *facts, const hap_honour_node_t *node, around_t around)
{
    switch (honour_kind(node)) {
    case HONOUR_SKIP:
        return;
    case HONOUR_VHOST:
        around.vhost = node;
        APR_ARRAY_PUSH(facts->vhosts, const hap_honour_node_t *) = node;
        break;
    case HONOUR_LOCATION:
    case HONOUR_LOCATION_MATCH:
        around.location = node;
        break;
    case HONOUR_PROXY:
        around.proxy = node;
        break;
    default:
        break;
    }
    collect(facts, node->first, &around);
}

static void collect(honour_facts_t *facts, const hap_honour_node_t *first, const around_t *around)
{
    for (const hap_honour_node_t *node = first; node; node = node->next) {
        if (node->section) {
            collect_section(facts, node, *around);
        } else {
            collect_directive(facts, node, around);
        }
    }
}

void honour_facts_collect(honour_facts_t *facts, const hap_honour_tree_t *tree, apr_pool_t *pool)
{
    const around_t nothing = {NULL, NULL, NULL};
    *facts = (honour_facts_t){
        .vhosts = apr_array_make(pool, 8, sizeof(const hap_honour_node_t *)),
        .passes = apr_array_make(pool, 8, sizeof(honour_pass_t)),
        .members = apr_array_make(pool, 8, sizeof(honour_fact_t)),
        .balancers = apr_array_make(pool, 8, sizeof(honour_fact_t)),
        .names = apr_array_make(pool, 8, sizeof(honour_fact_t)),
        .lanes = apr_array_make(pool, 2, sizeof(honour_lane_line_t)),
        .timeouts = apr_array_make(pool, 2, sizeof(honour_fact_t)),
        .pool = pool,
    };
    collect(facts, honour_top(tree)->first, &nothing);
}

const honour_fact_t *honour_fact(const apr_array_header_t *list, const hap_honour_node_t *vhost,
                                 const char *name)
{
    const honour_fact_t *inherited = NULL;
    for (int i = list->nelts - 1; i >= 0; i--) {
        const honour_fact_t *fact = FACT(list, i);
        if (name && !hap_str_eq_nocase(hap_str(fact->name), hap_str(name))) {
            continue;
        }
        if (fact->vhost == vhost) {
            return fact;
        }
        inherited = inherited || fact->vhost ? inherited : fact;
    }
    return inherited;
}

static void add_passes(apr_array_header_t *order, const honour_facts_t *facts,
                       const hap_honour_node_t *vhost, bool encoded, bool in_location)
{
    int n = facts->passes->nelts;
    for (int i = 0; i < n; i++) {
        /* Of several <Location> sections that fit, the last one is merged over the others. */
        const honour_pass_t *pass = PASS(facts->passes, in_location ? n - 1 - i : i);
        if (pass->vhost == vhost && pass->encoded == encoded &&
            (pass->location != NULL) == in_location) {
            APR_ARRAY_PUSH(order, const honour_pass_t *) = pass;
        }
    }
}

/*
 * mod_proxy asks those with mapping= in a phase of their own, before the others; in each, first the
 * <Location> of the request, then the main server's list and behind it the virtual host's.
 */
apr_array_header_t *honour_passes(const honour_facts_t *facts, const hap_honour_node_t *vhost)
{
    apr_array_header_t *order = apr_array_make(facts->pool, 8, sizeof(const honour_pass_t *));
    for (int encoded = 1; encoded >= 0; encoded--) {
        if (vhost) {
            add_passes(order, facts, vhost, encoded, true);
        }
        add_passes(order, facts, NULL, encoded, true);
        add_passes(order, facts, NULL, encoded, false);
        if (vhost) {
            add_passes(order, facts, vhost, encoded, false);
        }
    }
    return order;
}
