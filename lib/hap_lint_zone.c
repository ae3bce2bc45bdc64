/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the lint rules about HAZone: what the module refuses when it starts, and stores that are
 * hardly meant so. Does not reach any store.
 */
#include "hap_lint_model.h"

#include "hap_grammar.h"
#include "hap_zone_spec.h"

static const char rule[] = "zone";

/* The spelling of hap_grammar_host, for which kinds of hosts are known. */
static hap_host_kind_t kind_of(const lint_t *lint, const hap_zone_node_t *node)
{
    hap_diag_t unused;
    const char *host = NULL;
    hap_grammar_host(&host, hap_str(node->host), "", &unused, lint->pool);
    return host ? hap_grammar_host_kind(host) : HAP_HOST_REMOTE;
}

/* Every proxy has to mean the same machines, or each has records of its own. */
static void check_nodes(lint_t *lint, const hap_zone_spec_t *spec, int line)
{
    bool elsewhere = false;
    for (unsigned i = 0; i < spec->nodes_n; i++) {
        elsewhere = elsewhere || kind_of(lint, &spec->nodes[i]) == HAP_HOST_REMOTE;
    }
    for (unsigned i = 0; i < spec->nodes_n; i++) {
        hap_host_kind_t kind = kind_of(lint, &spec->nodes[i]);
        if (kind == HAP_HOST_UNSPECIFIED || (kind == HAP_HOST_LOOPBACK && elsewhere)) {
            lint_found(lint, HAP_LINT_WARNING, line, rule,
                       "the memcached %s is this proxy's own machine, and to another proxy it is "
                       "another one: name the host that it runs on",
                       spec->nodes[i].name);
        }
    }
    if (spec->nodes_n == 1) {
        lint_found(lint, HAP_LINT_WARNING, line, rule,
                   "there is one memcached, so no second copy, and its loss is the loss of all: "
                   "name another one that runs elsewhere");
    }
}

static void check_store(lint_t *lint, const hap_conf_directive_t *directive)
{
    hap_diag_t diag;
    hap_zone_spec_t spec;
    const char *store = hap_conf_param(directive, 1, "store");
    if (!store) {
        return;
    }
    if (hap_zone_spec_parse(&spec, hap_str(store), &diag, lint->pool) != APR_SUCCESS) {
        lint_found(lint, HAP_LINT_ERROR, directive->line, rule, "%s", diag.why);
    } else if (spec.kind == HAP_ZONE_MEMCACHED) {
        check_nodes(lint, &spec, directive->line);
    }
}

static void check_kinds(lint_t *lint, const hap_conf_directive_t *directive)
{
    hap_diag_t diag;
    unsigned kinds;
    const char *zone = hap_conf_param(directive, 1, "zone");
    if (zone && hap_zone_kinds_parse(&kinds, hap_str(zone), &diag) != APR_SUCCESS) {
        lint_found(lint, HAP_LINT_ERROR, directive->line, rule, "%s", diag.why);
    }
}

static void words(lint_t *lint)
{
    for (int i = 0; i < lint->conf->count; i++) {
        const hap_conf_directive_t *directive = &lint->conf->directives[i];
        if (hap_conf_is(directive, "HAZone")) {
            check_store(lint, directive);
            check_kinds(lint, directive);
        }
    }
}

/* The line of the zone's HAZone that gives this key, else the last one with keys. */
static int line_of(const lint_t *lint, const hap_site_balancer_t *balancer,
                   const hap_site_policy_t *zone, const char *key)
{
    const hap_conf_directive_t *giving =
        hap_conf_giving(lint->conf, balancer->vhost, "HAZone", balancer->name, key);
    return giving ? giving->line : zone->directive->line;
}

/* A session's state belongs to the id that the application has given it in its own cookie. */
static void check_session(lint_t *lint, const hap_site_balancer_t *balancer, int line,
                          const hap_policy_t *policy)
{
    const char *name = lint_show(lint, balancer->name);
    if (policy->affinity.mode != HAP_AFFINITY_APP) {
        lint_found(lint, HAP_LINT_ERROR, line, rule,
                   "HAZone %s keeps the state of the application's own sessions, which HABalancer "
                   "passes over with affinity=%s: the module does not start with both, take that "
                   "out",
                   name, policy->affinity.mode == HAP_AFFINITY_NONE ? "none" : "insert");
    } else if (!balancer->sticky) {
        lint_found(lint, HAP_LINT_ERROR, line, rule,
                   "HAZone %s has no session whose state could be kept: the module does not start "
                   "with this, name the application's session cookie with ProxySet "
                   "stickysession=NAME in <Proxy \"balancer://%s\">",
                   name, name);
    }
}

static void check_key(lint_t *lint, const hap_site_balancer_t *balancer,
                      const hap_site_policy_t *zone)
{
    hap_diag_t unused;
    hap_zone_spec_t spec;
    if (hap_zone_spec_parse(&spec, hap_str(zone->zone.store), &unused, lint->pool) == APR_SUCCESS &&
        spec.kind == HAP_ZONE_MEMCACHED && !zone->zone.key) {
        lint_found(lint, HAP_LINT_ERROR, line_of(lint, balancer, zone, "store"), rule,
                   "HAZone %s has a store in memcached and no key=: the module does not start with "
                   "this, because memcached shows what it has to whoever asks; add key=FILE, made "
                   "with openssl rand -hex 32, the same on all proxies",
                   lint_show(lint, balancer->name));
    }
}

/* Lines that the module cannot read are httpd -t's to tell. */
static void check_zone(lint_t *lint, const hap_site_balancer_t *balancer)
{
    unsigned kinds;
    hap_diag_t unused;
    hap_site_policy_t zone;
    hap_site_policy_t own;
    if (hap_site_policy(&zone, lint->site, balancer->vhost, balancer->name, &hap_zone_options,
                        &unused, lint->pool) != APR_SUCCESS ||
        !zone.directive ||
        hap_site_policy(&own, lint->site, balancer->vhost, balancer->name, &hap_policy_options,
                        &unused, lint->pool) != APR_SUCCESS) {
        return;
    }
    if (!own.directive) {
        lint_found(lint, HAP_LINT_ERROR, zone.directive->line, rule,
                   "there is HAZone %s and no HABalancer %s: the module does not start with this, "
                   "add it",
                   lint_show(lint, balancer->name), lint_show(lint, balancer->name));
        return;
    }
    if (hap_zone_kinds_parse(&kinds, hap_str(zone.zone.zone), &unused) == APR_SUCCESS &&
        (kinds & HAP_ZONE_USER)) {
        check_session(lint, balancer, line_of(lint, balancer, &zone, "zone"), &own.policy);
    }
    check_key(lint, balancer, &zone);
}

/* What is not in this file may be in one that it includes. */
void lint_zones(lint_t *lint)
{
    words(lint);
    for (int i = 0; !lint->site->has_includes && i < lint->site->balancers->nelts; i++) {
        check_zone(lint, APR_ARRAY_IDX(lint->site->balancers, i, const hap_site_balancer_t *));
    }
}
