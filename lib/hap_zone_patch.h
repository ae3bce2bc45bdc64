/* SPDX-License-Identifier: Apache-2.0 */
/* Owns changing a JSON value by a JSON merge patch (RFC 7396). Does not know where values are. */
#ifndef HAP_ZONE_PATCH_H
#define HAP_ZONE_PATCH_H

#include <apr_pools.h>

#include "hap_diag.h"
#include "hap_str.h"

/** How it ended. */
typedef enum hap_zone_patch_end_t {
    HAP_ZONE_PATCH_DONE,
    HAP_ZONE_PATCH_MALFORMED, /* the patch is no JSON; `diag` says where and why */
    HAP_ZONE_PATCH_NOT_JSON,  /* the value is none; likewise */
    HAP_ZONE_PATCH_NO_MEMORY
} hap_zone_patch_end_t;

/**
 * The value after the patch, as compact JSON from `pool`. `value` is NULL where there is none yet.
 * Whole numbers are kept up to 64 bits, larger ones are refused; others are doubles.
 */
hap_zone_patch_end_t hap_zone_patch(hap_str_t *patched, const hap_str_t *value, hap_str_t patch,
                                    hap_diag_t *diag, apr_pool_t *pool);

#endif
