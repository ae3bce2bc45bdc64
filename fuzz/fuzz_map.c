/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target of the cluster map. Input: a whole file, or without its first line a body, which gets
 * one that fits: else no mutation would ever be read past the checksum.
 */
#include "fuzz.h"
#include "hap_map.h"

/* What is accepted has one spelling: written again, it is the same bytes. And it keeps the rules
 * that readers rely on. */
static void check_text(hap_str_t text, apr_pool_t *pool)
{
    const hap_map_t *map;
    hap_str_t again;
    hap_diag_t diag = {-1, ""};
    if (hap_map_decode(&map, text, &diag, pool) != APR_SUCCESS) {
        must(diag.line >= 0 && diag.why[0] != '\0');
        return;
    }
    must(hap_map_encode(&again, map, &diag, pool) == APR_SUCCESS);
    must(hap_str_eq(text, again));
    must(map->version > 0 && map->nodes_n <= HAP_MAP_NODES_MAX && map->apps_n <= HAP_MAP_APPS_MAX);
    must(!map->primary || hap_map_node(map, hap_str(map->primary))->electable);
    for (unsigned i = 0; i < map->apps_n; i++) {
        const hap_map_app_t *app = &map->apps[i];
        must(!app->active || hap_map_member(app, hap_str(app->active)));
    }
    const hap_map_node_t *first = hap_map_first(map, NULL);
    must(!first || first->electable);
    must(hap_map_offer(map, map, pool) == HAP_MAP_SAME);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const hap_envelope_kind_t kind = {"zero-map", 1};
    fuzz_envelope(data, size, &kind, check_text);
    return 0;
}
