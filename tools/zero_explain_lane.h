/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what explain says of the lane: whether it or mod_proxy carries the request. Does not judge
 * mounts: hap_honour does. */
#ifndef ZERO_EXPLAIN_LANE_H
#define ZERO_EXPLAIN_LANE_H

#include "hap_explain.h"

/**
 * Who carries the request to its member, as far as the file says; lines (const char *), the second
 * one, if any, goes on with the first. Only with the end HAP_EXPLAIN_MODULE. Allocates from `pool`.
 */
apr_array_header_t *zero_explain_lane(const hap_explain_t *result,
                                      const hap_explain_request_t *request, const char *conf,
                                      apr_pool_t *pool);

#endif
