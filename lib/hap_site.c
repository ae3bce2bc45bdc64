/* SPDX-License-Identifier: Apache-2.0 */
/* Owns collecting the model and looking things up in it. Matching is in hap_site_match.c. */
#include "hap_site.h"

#include <stdlib.h>

#include <apr_fnmatch.h>
#include <apr_strings.h>
#include <apr_uri.h>

#include "hap_roster.h"

#define PASS(site, i)  (&APR_ARRAY_IDX((site)->passes, i, hap_site_mount_t))
#define VHOST(site, i) (&APR_ARRAY_IDX((site)->vhosts, i, hap_site_vhost_t))

enum { WEIGHT_DEFAULT = 100, LBSET_MAX = 99 };

const char *hap_site_balancer_name(const char *url, apr_pool_t *pool)
{
    hap_str_t scheme = HAP_STR_LIT("balancer://");
    hap_str_t text = hap_str(url);
    if (!hap_str_eq_nocase(hap_str_sub(text, 0, scheme.n), scheme)) {
        return NULL;
    }
    size_t end = hap_str_find(text, '/', scheme.n);
    return hap_str_dup(hap_str_sub(text, scheme.n, end), pool);
}

static const char *lookup_key(const hap_site_t *site, const hap_conf_section_t *vhost,
                              const char *name)
{
    char *key = apr_psprintf(site->pool, "%d %s", vhost ? vhost->line : 0, name);
    for (char *c = key; *c; c++) {
        if (*c >= 'A' && *c <= 'Z') {
            *c = (char)(*c | 0x20);
        }
    }
    return key;
}

hap_site_balancer_t *hap_site_balancer(const hap_site_t *site, const hap_conf_section_t *vhost,
                                       const char *name)
{
    hap_site_balancer_t *own =
        apr_hash_get(site->by_name, lookup_key(site, vhost, name), APR_HASH_KEY_STRING);
    if (own || !vhost) {
        return own;
    }
    return apr_hash_get(site->by_name, lookup_key(site, NULL, name), APR_HASH_KEY_STRING);
}

static hap_site_balancer_t *define(hap_site_t *site, const hap_conf_section_t *vhost,
                                   const char *name, int line)
{
    const char *key = lookup_key(site, vhost, name);
    hap_site_balancer_t *balancer = apr_hash_get(site->by_name, key, APR_HASH_KEY_STRING);
    if (balancer) {
        return balancer;
    }
    balancer = apr_pcalloc(site->pool, sizeof(*balancer));
    balancer->name = name;
    balancer->vhost = vhost;
    balancer->line = line;
    balancer->members = apr_array_make(site->pool, 2, sizeof(hap_site_member_t));
    apr_hash_set(site->by_name, key, APR_HASH_KEY_STRING, balancer);
    APR_ARRAY_PUSH(site->balancers, hap_site_balancer_t *) = balancer;
    return balancer;
}

/* The balancer that a directive is about, by its <Proxy> section or its first argument. */
static hap_site_balancer_t *balancer_of(hap_site_t *site, const hap_conf_directive_t *directive,
                                        int *next)
{
    const hap_conf_section_t *proxy = hap_conf_within(directive, "Proxy");
    const hap_conf_section_t *vhost = hap_conf_within(directive, "VirtualHost");
    const char *name = NULL;
    *next = 0;
    if (proxy && proxy->argc > 0) {
        name = hap_site_balancer_name(proxy->argv[0], site->pool);
    } else if (directive->argc > 0) {
        name = hap_site_balancer_name(directive->argv[0], site->pool);
        *next = 1;
    }
    return name ? define(site, vhost, name, proxy ? proxy->line : directive->line) : NULL;
}

static void collect_member(hap_site_t *site, const hap_conf_directive_t *directive)
{
    int next = 0;
    hap_site_balancer_t *balancer = balancer_of(site, directive, &next);
    if (!balancer || next >= directive->argc) {
        return;
    }
    hap_site_member_t *member = apr_array_push(balancer->members);
    member->directive = directive;
    member->url = directive->argv[next];
    member->route = hap_conf_param(directive, next + 1, "route");
    member->params = next + 1;
}

static void set_balancer(hap_site_balancer_t *balancer, const hap_conf_directive_t *directive,
                         int from)
{
    const struct {
        const char *key;
        const char **field;
    } keys[] = {{"stickysession", &balancer->sticky},
                {"stickysessionsep", &balancer->separator},
                {"lbmethod", &balancer->lbmethod}};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const char *value = hap_conf_param(directive, from, keys[i].key);
        *keys[i].field = value ? value : *keys[i].field;
    }
}

static void collect_set(hap_site_t *site, const hap_conf_directive_t *directive)
{
    int next = 0;
    hap_site_balancer_t *balancer = balancer_of(site, directive, &next);
    if (balancer) {
        set_balancer(balancer, directive, next);
    }
}

static hap_site_vhost_t *vhost_of(hap_site_t *site, const hap_conf_directive_t *directive)
{
    const hap_conf_section_t *section = hap_conf_within(directive, "VirtualHost");
    int n = site->vhosts->nelts;
    if (!section) {
        return NULL;
    }
    /* A section's directives come together, so it is the last one or a new one. */
    if (n > 0 && VHOST(site, n - 1)->section == section) {
        return VHOST(site, n - 1);
    }
    hap_site_vhost_t *vhost = apr_array_push(site->vhosts);
    vhost->section = section;
    vhost->names = apr_array_make(site->pool, 2, sizeof(const char *));
    return vhost;
}

static void collect_names(hap_site_t *site, const hap_conf_directive_t *directive)
{
    hap_site_vhost_t *vhost = vhost_of(site, directive);
    for (int i = 0; vhost && i < directive->argc; i++) {
        APR_ARRAY_PUSH(vhost->names, const char *) = directive->argv[i];
    }
}

/* The <Location> around a directive, or NULL; *plain when its path is no pattern. */
static const hap_conf_section_t *location_of(const hap_conf_directive_t *directive, bool *plain)
{
    const hap_conf_section_t *location = hap_conf_within(directive, "Location");
    const hap_conf_section_t *pattern = hap_conf_within(directive, "LocationMatch");
    *plain = location && !pattern && location->argc == 1 && location->argv[0][0] == '/' &&
             !apr_fnmatch_test(location->argv[0]);
    return location ? location : pattern;
}

static void collect_pass(hap_site_t *site, const hap_conf_directive_t *directive,
                         apr_array_header_t *mounts)
{
    bool inside = false;
    const hap_conf_section_t *location = location_of(directive, &inside);
    int first = inside ? 0 : 1;
    vhost_of(site, directive);
    if (directive->argc <= first || (!inside && directive->argv[0][0] != '/')) {
        if (mounts == site->passes && (location || directive->argc > 1)) {
            APR_ARRAY_PUSH(site->patterns, const hap_conf_directive_t *) = directive;
        }
        return;
    }
    hap_site_mount_t *mount = apr_array_push(mounts);
    mount->directive = directive;
    mount->vhost = hap_conf_within(directive, "VirtualHost");
    mount->context = inside ? location->argv[0] : directive->argv[0];
    mount->target = directive->argv[first];
    mount->params = first + 1;
    mount->in_location = inside;
    const char *name = hap_site_balancer_name(mount->target, site->pool);
    bool defines = name && hap_conf_param(directive, mount->params, "stickysession");
    if (defines && mounts == site->passes) {
        set_balancer(define(site, mount->vhost, name, directive->line), directive, mount->params);
    }
}

/* What else stands in <Proxy "balancer://...">, such as Require. */
static void collect_guard(hap_site_t *site, const hap_conf_directive_t *directive)
{
    int next = 0;
    if (!hap_conf_within(directive, "Proxy")) {
        return;
    }
    hap_site_balancer_t *balancer = balancer_of(site, directive, &next);
    if (balancer && !balancer->guarded_line) {
        balancer->guarded_line = directive->line;
        balancer->guarded_by = directive->name;
    }
}

bool hap_site_listens(const hap_conf_directive_t *directive)
{
    return hap_conf_is(directive, "Listen") || hap_conf_is(directive, "HAListen");
}

bool hap_site_includes(const hap_conf_directive_t *directive)
{
    return hap_conf_is(directive, "Include") || hap_conf_is(directive, "IncludeOptional") ||
           hap_conf_is(directive, "Use");
}

static void collect(hap_site_t *site, const hap_conf_directive_t *directive)
{
    if (hap_conf_is(directive, "BalancerMember")) {
        collect_member(site, directive);
    } else if (hap_conf_is(directive, "ProxySet")) {
        collect_set(site, directive);
    } else if (hap_conf_is(directive, "ProxyPass")) {
        collect_pass(site, directive, site->passes);
    } else if (hap_conf_is(directive, "ProxyPassReverse")) {
        collect_pass(site, directive, site->reverses);
    } else if (hap_conf_is(directive, "ProxyPassMatch")) {
        APR_ARRAY_PUSH(site->patterns, const hap_conf_directive_t *) = directive;
    } else if (hap_conf_is(directive, "ServerName") || hap_conf_is(directive, "ServerAlias")) {
        collect_names(site, directive);
    } else if (hap_conf_is(directive, "HAMap")) {
        site->has_map = true;
    } else if (hap_site_includes(directive)) {
        site->has_includes = true;
    } else {
        collect_guard(site, directive);
    }
}

const hap_site_t *hap_site_read(const hap_conf_t *conf, apr_pool_t *pool)
{
    hap_site_t *site = apr_palloc(pool, sizeof(*site));
    *site = (hap_site_t){
        .conf = conf,
        .passes = apr_array_make(pool, 8, sizeof(hap_site_mount_t)),
        .reverses = apr_array_make(pool, 8, sizeof(hap_site_mount_t)),
        .patterns = apr_array_make(pool, 2, sizeof(const hap_conf_directive_t *)),
        .balancers = apr_array_make(pool, 8, sizeof(hap_site_balancer_t *)),
        .vhosts = apr_array_make(pool, 4, sizeof(hap_site_vhost_t)),
        .by_name = apr_hash_make(pool),
        .pool = pool,
    };
    for (int i = 0; i < conf->count; i++) {
        collect(site, &conf->directives[i]);
    }
    return site;
}

/* The lines of one directive for one balancer in one server, joined as the module joins them. */
static apr_status_t read_line(hap_site_policy_t *result, int given[],
                              const hap_conf_directive_t *directive, const hap_options_t *options,
                              hap_diag_t *diag, apr_pool_t *pool)
{
    hap_site_policy_t line;
    apr_status_t rv = APR_SUCCESS;
    hap_option_defaults(&line.set, options);
    for (int i = 1; rv == APR_SUCCESS && i < directive->argc; i++) {
        rv = hap_option_set(&line.set, options, hap_str(directive->argv[i]), diag, pool);
    }
    if (rv != APR_SUCCESS) {
        diag->line = directive->line;
        return rv;
    }
    const hap_option_t *twice = hap_option_common(&result->set, &line.set, options);
    if (twice) {
        hap_diag_set(diag, directive->line, "%s: %s= is given in line %d already, keep one",
                     options->what, twice->name, given[twice - options->rows]);
        return APR_EINVAL;
    }
    for (size_t i = 0; i < options->n; i++) {
        given[i] = line.set & (UINT64_C(1) << i) ? directive->line : given[i];
    }
    hap_option_merge(&result->set, &result->set, &line.set, options);
    result->directive = line.set || !result->directive ? directive : result->directive;
    result->name = result->name ? result->name : directive->argv[0];
    return APR_SUCCESS;
}

static apr_status_t read_lines(hap_site_policy_t *result, const hap_site_t *site,
                               const hap_conf_section_t *vhost, const char *name,
                               const hap_options_t *options, hap_diag_t *diag, apr_pool_t *pool)
{
    int *given = apr_pcalloc(pool, options->n * sizeof(*given));
    apr_status_t rv = APR_SUCCESS;
    hap_option_defaults(&result->set, options);
    result->directive = NULL;
    result->name = NULL;
    for (int i = 0; rv == APR_SUCCESS && i < site->conf->count; i++) {
        const hap_conf_directive_t *directive = &site->conf->directives[i];
        if (hap_conf_is(directive, options->what) && directive->argc > 0 &&
            hap_str_eq_nocase(hap_str(directive->argv[0]), hap_str(name)) &&
            hap_conf_within(directive, "VirtualHost") == vhost) {
            rv = read_line(result, given, directive, options, diag, pool);
        }
    }
    return rv;
}

apr_status_t hap_site_policy(hap_site_policy_t *result, const hap_site_t *site,
                             const hap_conf_section_t *vhost, const char *name,
                             const hap_options_t *options, hap_diag_t *diag, apr_pool_t *pool)
{
    hap_site_policy_t base;
    hap_site_policy_t own;
    apr_status_t rv = read_lines(&base, site, NULL, name, options, diag, pool);
    if (rv == APR_SUCCESS && vhost) {
        rv = read_lines(&own, site, vhost, name, options, diag, pool);
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    *result = base;
    if (vhost) {
        hap_option_merge(&result->set, &base.set, &own.set, options);
        result->directive = own.directive ? own.directive : base.directive;
        result->name = own.name ? own.name : base.name;
    }
    if (options == &hap_policy_options) {
        hap_policy_clash_t unused;
        rv = hap_policy_check(&result->policy, site->has_map, &unused, diag);
    }
    if (rv != APR_SUCCESS) {
        diag->line = result->directive->line;
    }
    return rv;
}

static uint32_t weight_of(const char *loadfactor)
{
    double factor = loadfactor ? strtod(loadfactor, NULL) : 0;
    if (!(factor >= 1 && factor <= (double)HAP_WEIGHT_MAX / 100)) {
        return WEIGHT_DEFAULT;
    }
    return (uint32_t)(factor * 100);
}

/* status=+H-D: letters set their flag, after a minus they clear it. */
static bool has_flag(const char *status, char flag)
{
    bool set = false;
    bool mode = true;
    for (const char *c = status ? status : ""; *c; c++) {
        if (*c == '+' || *c == '-') {
            mode = *c == '+';
        } else if ((*c | 0x20) == flag) {
            set = mode;
        }
    }
    return set;
}

static hap_admin_t admin_of(const char *status)
{
    if (has_flag(status, 'd') || has_flag(status, 's')) {
        return HAP_ADMIN_MAINT;
    }
    if (has_flag(status, 'n')) {
        return HAP_ADMIN_DRAIN;
    }
    return has_flag(status, 'h') ? HAP_ADMIN_STANDBY : HAP_ADMIN_ENABLED;
}

hap_site_duty_t hap_site_duty(const hap_site_member_t *member)
{
    unsigned long lbset = 0;
    const char *status = hap_conf_param(member->directive, member->params, "status");
    const char *set = hap_conf_param(member->directive, member->params, "lbset");
    hap_str_uint(&lbset, hap_str(set), LBSET_MAX);
    return (hap_site_duty_t){
        .weight = weight_of(hap_conf_param(member->directive, member->params, "loadfactor")),
        .lbset = (int)lbset,
        .spare = has_flag(status, 'r'),
        .admin = admin_of(status),
    };
}

const char *hap_site_worker_url(const char *url, apr_pool_t *pool)
{
    apr_uri_t uri;
    if (apr_uri_parse(pool, url, &uri) != APR_SUCCESS || !uri.scheme || !uri.hostname) {
        return url;
    }
    for (char *c = uri.scheme; *c; c++) {
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c | 0x20 : *c);
    }
    for (char *c = uri.hostname; *c; c++) {
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c | 0x20 : *c);
    }
    return apr_uri_unparse(pool, &uri, APR_URI_UNP_REVEALPASSWORD);
}
