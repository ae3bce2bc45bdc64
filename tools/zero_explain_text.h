/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the words in which zero tells what hap_explain found. Does not find it. */
#ifndef ZERO_EXPLAIN_TEXT_H
#define ZERO_EXPLAIN_TEXT_H

#include "hap_explain.h"

/**
 * The whole story of a request, step by step; `conf` is the configuration's name for messages.
 * Allocates from `pool`.
 */
const char *zero_explain_text(const hap_explain_t *result, const hap_explain_request_t *request,
                              const char *conf, apr_pool_t *pool);

#endif
