/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what the lint rules look at: the mounts and balancers of one configuration. Only hap_lint
 * and its rules include it.
 */
#ifndef HAP_LINT_MODEL_H
#define HAP_LINT_MODEL_H

#include <apr_hash.h>

#include "hap_lint.h"

/** A ProxyPass or ProxyPassReverse with a plain context. */
typedef struct lint_mount_t {
    const hap_conf_directive_t *directive;
    const hap_conf_section_t *vhost; /* NULL: the main server */
    const char *context;
    const char *target;
    int params;       /* index of the first argument after the target */
    bool in_location; /* the context is that of a <Location> */
} lint_mount_t;

/** A BalancerMember. */
typedef struct lint_member_t {
    const hap_conf_directive_t *directive;
    const char *url;
    const char *route; /* NULL: none */
} lint_member_t;

/** A balancer, defined by its members or by its parameters. */
typedef struct lint_balancer_t {
    const char *name; /* as first written, without balancer:// */
    const hap_conf_section_t *vhost;
    int line;
    apr_array_header_t *members; /* lint_member_t */
    const char *sticky;          /* NULL: none */
    int guarded_line;            /* a directive in <Proxy> that is no member; 0: none */
    const char *guarded_by;      /* that directive's name */
} lint_balancer_t;

/** What one configuration says about proxying, and what has been found in it. */
typedef struct lint_t {
    const hap_conf_t *conf;
    apr_array_header_t *passes;    /* lint_mount_t of ProxyPass */
    apr_array_header_t *reverses;  /* lint_mount_t of ProxyPassReverse */
    apr_array_header_t *balancers; /* lint_balancer_t * */
    apr_hash_t *by_name;           /* vhost's address and lower-case name: lint_balancer_t */
    bool has_includes;             /* so what is not here may be elsewhere */
    apr_array_header_t *findings;  /* hap_lint_finding_t */
    apr_pool_t *pool;
} lint_t;

/** Adds a finding. */
void lint_found(lint_t *lint, hap_lint_severity_t severity, int line, const char *rule,
                const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/** NAME of balancer://NAME/path, NULL if the URL is none. From the lint's pool. */
const char *lint_balancer_name(const lint_t *lint, const char *url);

/** The balancer that httpd would take in this vhost: its own, else the main server's, or NULL. */
lint_balancer_t *lint_balancer(const lint_t *lint, const hap_conf_section_t *vhost,
                               const char *name);

/** The rules, in hap_lint_rules.c, up to NULL. */
typedef void lint_rule_fn(lint_t *lint);
extern lint_rule_fn *const lint_rules[];

#endif
