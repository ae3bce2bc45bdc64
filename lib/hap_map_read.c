/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns reading a cluster map. What a map may say is hap_map.c's to judge: what has been read is
 * written again, and has to come out the same.
 */
#include <apr_strings.h>

#include "hap_grammar.h"
#include "hap_map_int.h"
#include "hap_map_json.h"

static void read_app(hap_json_reader_t *reader, hap_map_app_t *app, const json_t *object)
{
    app->name = hap_json_text(reader, object, "name");
    app->single = json_object_get(object, "active") != NULL;
    if (app->single) {
        app->active = hap_json_text_or_null(reader, object, "active");
        app->epoch = hap_json_number(reader, object, "epoch");
    }
    hap_map_read_members(app, reader, object);
}

static void read_map(hap_json_reader_t *reader, hap_map_t *map, const json_t *object)
{
    const json_t *array;
    map->uuid = hap_json_text(reader, object, "uuid");
    map->version = hap_json_number(reader, object, "version");
    map->term = hap_json_number(reader, object, "term");
    map->primary = hap_json_text_or_null(reader, object, "primary");
    hap_map_node_t *nodes = hap_json_list(reader, &array, &map->nodes_n, object, "nodes",
                                          HAP_MAP_NODES_MAX, sizeof(*nodes));
    for (unsigned i = 0; i < map->nodes_n; i++) {
        reader->where = apr_psprintf(reader->pool, "node %u", i + 1);
        hap_map_read_node(&nodes[i], reader, json_array_get(array, i));
    }
    map->nodes = nodes;
    reader->where = "map";
    hap_map_app_t *apps = hap_json_list(reader, &array, &map->apps_n, object, "apps",
                                        HAP_MAP_APPS_MAX, sizeof(*apps));
    for (unsigned i = 0; i < map->apps_n; i++) {
        reader->where = apr_psprintf(reader->pool, "application %u", i + 1);
        read_app(reader, &apps[i], json_array_get(array, i));
    }
    map->apps = apps;
}

static apr_status_t parse(hap_map_t *map, hap_str_t body, hap_diag_t *diag, apr_pool_t *pool)
{
    json_error_t error;
    hap_json_reader_t reader = {.diag = diag, .pool = pool, .where = "map"};
    json_t *object = json_loadb(body.p, body.n, JSON_REJECT_DUPLICATES, &error);
    if (!object) {
        hap_diag_set(diag, error.line + 1, "is not JSON: %s", error.text);
        return APR_EINVAL;
    }
    read_map(&reader, map, object);
    json_decref(object);
    return reader.failed ? APR_EINVAL : APR_SUCCESS;
}

apr_status_t hap_map_decode(const hap_map_t **map, hap_str_t text, hap_diag_t *diag,
                            apr_pool_t *pool)
{
    hap_str_t body;
    hap_str_t again;
    hap_str_t got;
    int line;
    hap_map_t *read = apr_pcalloc(pool, sizeof(*read));
    if (text.n > HAP_MAP_BYTES_MAX) {
        hap_diag_set(diag, 0, "has %" APR_SIZE_T_FMT " bytes, a map has at most %d", text.n,
                     HAP_MAP_BYTES_MAX);
        return APR_EINVAL;
    }
    apr_status_t rv = hap_envelope_open(&body, &hap_map_kind, text, diag);
    if (rv == APR_SUCCESS) {
        rv = parse(read, body, diag, pool);
    }
    if (rv == APR_SUCCESS) {
        rv = hap_map_encode(&again, read, diag, pool);
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    /* The first lines differ when anything does. */
    size_t first = hap_str_find(again, '\n', 0) + 1;
    if (!hap_grammar_same_text(&line, &got, body, hap_str_sub(again, first, again.n))) {
        hap_diag_set(diag, line + 1, "\"%s\" is not how a map is written",
                     hap_str_show(hap_str_trim(got), pool));
        return APR_EINVAL;
    }
    *map = read;
    return APR_SUCCESS;
}

static bool is_same(const hap_map_t *a, const hap_map_t *b, apr_pool_t *pool)
{
    hap_str_t one;
    hap_str_t other;
    hap_diag_t diag;
    return hap_map_encode(&one, a, &diag, pool) == APR_SUCCESS &&
           hap_map_encode(&other, b, &diag, pool) == APR_SUCCESS && hap_str_eq(one, other);
}

hap_map_offer_t hap_map_offer(const hap_map_t *has, const hap_map_t *offered, apr_pool_t *pool)
{
    if (!has) {
        return HAP_MAP_NEWER;
    }
    if (strcmp(has->uuid, offered->uuid) != 0) {
        return HAP_MAP_OTHERS;
    }
    if (offered->version != has->version) {
        return offered->version > has->version ? HAP_MAP_NEWER : HAP_MAP_OLDER;
    }
    return is_same(has, offered, pool) ? HAP_MAP_SAME : HAP_MAP_CONTRADICTS;
}
