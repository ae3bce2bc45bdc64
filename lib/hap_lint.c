/* SPDX-License-Identifier: Apache-2.0 */
/* Owns running the lint rules and the order of their findings. Does not hold the rules. */
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

static int by_line(const void *left, const void *right)
{
    const hap_lint_finding_t *a = left;
    const hap_lint_finding_t *b = right;
    int diff = (a->line > b->line) - (a->line < b->line);
    diff = diff ? diff : strcmp(a->rule, b->rule);
    return diff ? diff : strcmp(a->why, b->why);
}

apr_array_header_t *hap_lint_check(const hap_conf_t *conf, const apr_array_header_t *elsewhere,
                                   apr_pool_t *pool)
{
    lint_t lint = {
        .conf = conf,
        .elsewhere = elsewhere,
        .site = hap_site_read(conf, pool),
        .findings = apr_array_make(pool, 8, sizeof(hap_lint_finding_t)),
        .pool = pool,
    };
    for (int i = 0; lint_rules[i]; i++) {
        lint_rules[i](&lint);
    }
    if (lint.findings->nelts > 1) {
        qsort(lint.findings->elts, (size_t)lint.findings->nelts, sizeof(hap_lint_finding_t),
              by_line);
    }
    return lint.findings;
}
