/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what is wrong with a proxy's configuration although httpd may take it (doc/check.md).
 * Does not run httpd and does not see other files.
 */
#ifndef HAP_LINT_H
#define HAP_LINT_H

#include <apr_tables.h>

#include "hap_conf.h"

typedef enum hap_lint_severity_t {
    HAP_LINT_WARNING, /* works, but not as most people expect */
    HAP_LINT_ERROR,   /* does not work */
    HAP_LINT_FATAL,   /* the server does not start, although httpd -t takes it */
} hap_lint_severity_t;

/** One thing to change. */
typedef struct hap_lint_finding_t {
    int line;         /* of the directive */
    const char *rule; /* its name in doc/check.md */
    const char *why;  /* a sentence that says what happens and what to do */
    hap_lint_severity_t severity;
} hap_lint_finding_t;

/**
 * All findings (hap_lint_finding_t), by line. `elsewhere` has the names (const char *) of balancers
 * with members in files that this one includes, NULL when there are none. Allocates from `pool`.
 */
apr_array_header_t *hap_lint_check(const hap_conf_t *conf, const apr_array_header_t *elsewhere,
                                   apr_pool_t *pool);

#endif
