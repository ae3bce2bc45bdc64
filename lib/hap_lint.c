/* SPDX-License-Identifier: Apache-2.0 */
/* Owns running the lint rules, what they share, and the order of their findings. Does not hold the
 * rules. */
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

const char *lint_show(const lint_t *lint, const char *text)
{
    return hap_str_show(hap_str(text), lint->pool);
}

bool lint_is_elsewhere(const lint_t *lint, const char *name)
{
    for (int i = 0; lint->elsewhere && i < lint->elsewhere->nelts; i++) {
        if (hap_str_eq_nocase(hap_str(APR_ARRAY_IDX(lint->elsewhere, i, const char *)),
                              hap_str(name))) {
            return true;
        }
    }
    return false;
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
