/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns saying what parts two cluster maps. Does not decide which of them is to be taken:
 * hap_map_offer does.
 */
#ifndef HAP_MAP_DIFF_H
#define HAP_MAP_DIFF_H

#include <apr_tables.h>

#include "hap_map.h"

/**
 * What changes from `before` to `after`, in sentences (const char *): of the map, its nodes, then
 * each application and its members; what is gone comes behind what is there. Empty when both have
 * the same content, in whatever order. Allocates from `pool`.
 */
apr_array_header_t *hap_map_diff(const hap_map_t *before, const hap_map_t *after, apr_pool_t *pool);

#endif
