/* SPDX-License-Identifier: Apache-2.0 */
/* Owns collecting what the lint rules look at, and running them. Does not hold the rules. */
#include "hap_lint_model.h"

#include <stdarg.h>
#include <stdlib.h>

#include <apr_strings.h>

void lint_found(lint_t *lint, hap_lint_severity_t severity, int line, const char *rule,
                const char *fmt, ...)
{
    hap_lint_finding_t *finding = apr_array_push(lint->findings);
    va_list args;
    va_start(args, fmt);
    finding->why = apr_pvsprintf(lint->pool, fmt, args);
    va_end(args);
    finding->severity = severity;
    finding->line = line;
    finding->rule = rule;
}

const char *lint_balancer_name(const lint_t *lint, const char *url)
{
    hap_str_t scheme = HAP_STR_LIT("balancer://");
    hap_str_t text = hap_str(url);
    if (!hap_str_eq_nocase(hap_str_sub(text, 0, scheme.n), scheme)) {
        return NULL;
    }
    size_t end = hap_str_find(text, '/', scheme.n);
    return hap_str_dup(hap_str_sub(text, scheme.n, end), lint->pool);
}

static const char *lookup_key(const lint_t *lint, const hap_conf_section_t *vhost, const char *name)
{
    char *key = apr_psprintf(lint->pool, "%d %s", vhost ? vhost->line : 0, name);
    for (char *c = key; *c; c++) {
        if (*c >= 'A' && *c <= 'Z') {
            *c = (char)(*c | 0x20);
        }
    }
    return key;
}

lint_balancer_t *lint_balancer(const lint_t *lint, const hap_conf_section_t *vhost,
                               const char *name)
{
    lint_balancer_t *own =
        apr_hash_get(lint->by_name, lookup_key(lint, vhost, name), APR_HASH_KEY_STRING);
    if (own || !vhost) {
        return own;
    }
    return apr_hash_get(lint->by_name, lookup_key(lint, NULL, name), APR_HASH_KEY_STRING);
}

static lint_balancer_t *define(lint_t *lint, const hap_conf_section_t *vhost, const char *name,
                               int line)
{
    const char *key = lookup_key(lint, vhost, name);
    lint_balancer_t *balancer = apr_hash_get(lint->by_name, key, APR_HASH_KEY_STRING);
    if (balancer) {
        return balancer;
    }
    balancer = apr_pcalloc(lint->pool, sizeof(*balancer));
    balancer->name = name;
    balancer->vhost = vhost;
    balancer->line = line;
    balancer->members = apr_array_make(lint->pool, 2, sizeof(lint_member_t));
    apr_hash_set(lint->by_name, key, APR_HASH_KEY_STRING, balancer);
    APR_ARRAY_PUSH(lint->balancers, lint_balancer_t *) = balancer;
    return balancer;
}

/* The balancer that a directive is about, by its <Proxy> section or its first argument. */
static lint_balancer_t *balancer_of(lint_t *lint, const hap_conf_directive_t *directive, int *next)
{
    const hap_conf_section_t *proxy = hap_conf_within(directive, "Proxy");
    const hap_conf_section_t *vhost = hap_conf_within(directive, "VirtualHost");
    const char *name = NULL;
    *next = 0;
    if (proxy && proxy->argc > 0) {
        name = lint_balancer_name(lint, proxy->argv[0]);
    } else if (directive->argc > 0) {
        name = lint_balancer_name(lint, directive->argv[0]);
        *next = 1;
    }
    return name ? define(lint, vhost, name, proxy ? proxy->line : directive->line) : NULL;
}

static void collect_member(lint_t *lint, const hap_conf_directive_t *directive)
{
    int next = 0;
    lint_balancer_t *balancer = balancer_of(lint, directive, &next);
    if (!balancer || next >= directive->argc) {
        return;
    }
    lint_member_t *member = apr_array_push(balancer->members);
    member->directive = directive;
    member->url = directive->argv[next];
    member->route = hap_conf_param(directive, next + 1, "route");
}

static void collect_set(lint_t *lint, const hap_conf_directive_t *directive)
{
    int next = 0;
    lint_balancer_t *balancer = balancer_of(lint, directive, &next);
    const char *sticky = hap_conf_param(directive, next, "stickysession");
    if (balancer && sticky) {
        balancer->sticky = sticky;
    }
}

static void collect_pass(lint_t *lint, const hap_conf_directive_t *directive,
                         apr_array_header_t *mounts)
{
    const hap_conf_section_t *location = hap_conf_within(directive, "Location");
    bool inside = location && location->argc == 1 && location->argv[0][0] == '/';
    int first = inside ? 0 : 1;
    if (directive->argc <= first || (!inside && directive->argv[0][0] != '/')) {
        return;
    }
    lint_mount_t *mount = apr_array_push(mounts);
    mount->directive = directive;
    mount->vhost = hap_conf_within(directive, "VirtualHost");
    mount->context = inside ? location->argv[0] : directive->argv[0];
    mount->target = directive->argv[first];
    mount->params = first + 1;
    mount->in_location = inside;
    const char *name = lint_balancer_name(lint, mount->target);
    const char *sticky = hap_conf_param(directive, mount->params, "stickysession");
    if (name && sticky && mounts == lint->passes) {
        define(lint, mount->vhost, name, directive->line)->sticky = sticky;
    }
}

/* What else stands in <Proxy "balancer://...">, such as Require. */
static void collect_guard(lint_t *lint, const hap_conf_directive_t *directive)
{
    int next = 0;
    if (!hap_conf_within(directive, "Proxy")) {
        return;
    }
    lint_balancer_t *balancer = balancer_of(lint, directive, &next);
    if (balancer && !balancer->guarded_line) {
        balancer->guarded_line = directive->line;
        balancer->guarded_by = directive->name;
    }
}

static void collect(lint_t *lint, const hap_conf_directive_t *directive)
{
    if (hap_conf_is(directive, "BalancerMember")) {
        collect_member(lint, directive);
    } else if (hap_conf_is(directive, "ProxySet")) {
        collect_set(lint, directive);
    } else if (hap_conf_is(directive, "ProxyPass")) {
        collect_pass(lint, directive, lint->passes);
    } else if (hap_conf_is(directive, "ProxyPassReverse")) {
        collect_pass(lint, directive, lint->reverses);
    } else if (hap_conf_is(directive, "Include") || hap_conf_is(directive, "IncludeOptional") ||
               hap_conf_is(directive, "Use")) {
        lint->has_includes = true;
    } else {
        collect_guard(lint, directive);
    }
}

static int by_line(const void *left, const void *right)
{
    const hap_lint_finding_t *a = left;
    const hap_lint_finding_t *b = right;
    int diff = (a->line > b->line) - (a->line < b->line);
    diff = diff ? diff : strcmp(a->rule, b->rule);
    return diff ? diff : strcmp(a->why, b->why);
}

apr_array_header_t *hap_lint_check(const hap_conf_t *conf, apr_pool_t *pool)
{
    lint_t lint = {
        .conf = conf,
        .passes = apr_array_make(pool, 8, sizeof(lint_mount_t)),
        .reverses = apr_array_make(pool, 8, sizeof(lint_mount_t)),
        .balancers = apr_array_make(pool, 8, sizeof(lint_balancer_t *)),
        .by_name = apr_hash_make(pool),
        .findings = apr_array_make(pool, 8, sizeof(hap_lint_finding_t)),
        .pool = pool,
    };
    for (int i = 0; i < conf->count; i++) {
        collect(&lint, &conf->directives[i]);
    }
    for (int i = 0; lint_rules[i]; i++) {
        lint_rules[i](&lint);
    }
    if (lint.findings->nelts > 1) {
        qsort(lint.findings->elts, (size_t)lint.findings->nelts, sizeof(hap_lint_finding_t),
              by_line);
    }
    return lint.findings;
}
