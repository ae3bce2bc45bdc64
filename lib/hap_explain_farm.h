/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the balancer that hap_explain chooses from, rebuilt in private memory. Only hap_explain
 * includes it.
 */
#ifndef HAP_EXPLAIN_FARM_H
#define HAP_EXPLAIN_FARM_H

#include "hap_explain.h"

/**
 * Rebuilds the balancer of `result`, reads the session and makes both choices. APR_EINVAL with
 * line and sentence when the module would refuse the balancer.
 */
apr_status_t hap_explain_choose(hap_explain_t *result, const hap_explain_request_t *request,
                                hap_diag_t *diag, apr_pool_t *pool);

/** The Set-Cookie value that goes with this choice, or NULL; random parts stand as `<random>`. */
const char *hap_explain_cookie(const hap_explain_t *result, const hap_explain_request_t *request,
                               hap_pick_t pick, apr_pool_t *pool);

#endif
