/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what the lint rules share: the configuration's model and the findings. Only hap_lint and
 * its rules include it.
 */
#ifndef HAP_LINT_MODEL_H
#define HAP_LINT_MODEL_H

#include "hap_lint.h"
#include "hap_site.h"

/** One configuration, and what has been found in it. */
typedef struct lint_t {
    const hap_conf_t *conf;
    const hap_site_t *site;
    const apr_array_header_t *elsewhere; /* const char *: balancers of included files, or NULL */
    apr_array_header_t *findings;        /* hap_lint_finding_t */
    apr_pool_t *pool;
} lint_t;

/** Adds a finding. */
void lint_found(lint_t *lint, hap_lint_severity_t severity, int line, const char *rule,
                const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/** A text of the configuration, fit for a message. */
const char *lint_show(const lint_t *lint, const char *text);

/** Whether a file that this one includes has members of a balancer. */
bool lint_is_elsewhere(const lint_t *lint, const char *name);

/** The rules, in hap_lint_rules.c, up to NULL. */
typedef void lint_rule_fn(lint_t *lint);
extern lint_rule_fn *const lint_rules[];

/** Those of hap_lint_module.c. */
lint_rule_fn lint_module_names;
lint_rule_fn lint_doubled_keys;
lint_rule_fn lint_map;

/** That of hap_lint_zone.c. */
lint_rule_fn lint_zones;

#endif
