/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the rules of a cluster map, and writing one. Reading is hap_map_read.c.
 */
#include "hap_map.h"

#include <inttypes.h>
#include <stdlib.h>

#include <apr_strings.h>

#include "hap_envelope.h"
#include "hap_grammar.h"
#include "hap_map_int.h"
#include "hap_map_json.h"

#define HAP_MAP_ROLE_NAME(name, word) [HAP_MAP_##name] = word,
const char *const hap_map_role_names[] = {HAP_MAP_ROLES(HAP_MAP_ROLE_NAME)};

const hap_envelope_kind_t hap_map_kind = {.name = "zero-map", .version = 1};

/* --- what is a map ---------------------------------------------------------------------------- */

bool hap_map_is_uuid(hap_str_t uuid)
{
    for (size_t i = 0; i < uuid.n; i++) {
        char c = uuid.p[i];
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
        if (dash ? c != '-' : !hex) {
            return false;
        }
    }
    return uuid.n == HAP_MAP_UUID_BYTES;
}

static apr_status_t wrong(hap_diag_t *diag, const char *where, const char *why)
{
    hap_diag_set(diag, 0, "%s: %s", where, why);
    return APR_EINVAL;
}

static apr_status_t check_node(const hap_map_node_t *node, hap_diag_t *diag, apr_pool_t *pool)
{
    const char *host;
    unsigned port;
    apr_status_t rv = hap_grammar_route(hap_str(node->id), "node", diag, pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    const char *where = apr_psprintf(pool, "node %s", node->id);
    rv = hap_grammar_address(&host, &port, hap_str(node->address), where, diag, pool);
    if (rv == APR_SUCCESS && node->electable && node->role != HAP_MAP_VOTER) {
        return wrong(diag, where, "only a voter can be electable");
    }
    return rv;
}

static apr_status_t check_url(const hap_map_member_t *member, const char *where, hap_diag_t *diag,
                              apr_pool_t *pool)
{
    static const char *const schemes[] = {"http://", "https://", "ajp://", "h2://", "h2c://"};
    hap_str_t url = hap_str(member->url);
    const char *host;
    unsigned port;
    if (url.n > HAP_WORKER_URL_MAX_BYTES) {
        return wrong(diag, where, "its URL has more than the 95 bytes that mod_proxy keeps of it");
    }
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        hap_str_t scheme = hap_str(schemes[i]);
        if (hap_str_starts(url, scheme)) {
            return hap_grammar_address(&host, &port, hap_str_sub(url, scheme.n, url.n), where, diag,
                                       pool);
        }
    }
    return wrong(diag, where, "its URL is not SCHEME://HOST:PORT with http, https, ajp, h2 or h2c");
}

apr_status_t hap_map_check_member(const hap_map_member_t *member, const char *app, hap_diag_t *diag,
                                  apr_pool_t *pool)
{
    const char *field = apr_pstrcat(pool, app, " member", NULL);
    apr_status_t rv = hap_grammar_route(hap_str(member->route), field, diag, pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    const char *where = apr_psprintf(pool, "%s %s", field, member->route);
    if (member->weight < 1 || member->weight > HAP_MAP_WEIGHT_MAX) {
        return wrong(diag, where, "its weight is not 1 to 100");
    }
    return member->url ? check_url(member, where, diag, pool) : APR_SUCCESS;
}

static apr_status_t check_active(const hap_map_app_t *app, hap_diag_t *diag)
{
    if (!app->single && (app->active || app->epoch)) {
        return wrong(diag, app->name, "only an active-passive application has an active member");
    }
    if (app->active && !hap_map_member(app, hap_str(app->active))) {
        return wrong(diag, app->name, "its active member is none of its members");
    }
    if (app->epoch > INT64_MAX || (app->active && app->epoch == 0)) {
        return wrong(diag, app->name, "its epoch is not 1 to 2^63-1");
    }
    return APR_SUCCESS;
}

static apr_status_t check_app(const hap_map_app_t *app, hap_diag_t *diag, apr_pool_t *pool)
{
    apr_status_t rv = hap_grammar_app(hap_str(app->name), "application", diag, pool);
    if (rv == APR_SUCCESS && app->members_n > HAP_MAP_MEMBERS_MAX) {
        return wrong(diag, app->name, "it has more than 1024 members");
    }
    for (unsigned i = 0; rv == APR_SUCCESS && i < app->members_n; i++) {
        rv = hap_map_check_member(&app->members[i], app->name, diag, pool);
    }
    return rv == APR_SUCCESS ? check_active(app, diag) : rv;
}

static apr_status_t check(const hap_map_t *map, hap_diag_t *diag, apr_pool_t *pool)
{
    if (!hap_map_is_uuid(hap_str(map->uuid))) {
        return wrong(diag, "uuid", "it is not 8-4-4-4-12 hex digits in lower case");
    }
    if (map->version < 1 || map->version > INT64_MAX || map->term > INT64_MAX) {
        return wrong(diag, "version", "it, or the term, is beyond 1 to 2^63-1");
    }
    if (map->nodes_n > HAP_MAP_NODES_MAX || map->apps_n > HAP_MAP_APPS_MAX) {
        return wrong(diag, "map", "it has more than 64 nodes or 256 applications");
    }
    apr_status_t rv = APR_SUCCESS;
    for (unsigned i = 0; rv == APR_SUCCESS && i < map->nodes_n; i++) {
        rv = check_node(&map->nodes[i], diag, pool);
    }
    for (unsigned i = 0; rv == APR_SUCCESS && i < map->apps_n; i++) {
        rv = check_app(&map->apps[i], diag, pool);
    }
    return rv;
}

/* --- one order -------------------------------------------------------------------------------- */

/* Each of our records begins with its name. */
static int by_name(const void *a, const void *b)
{
    return hap_str_cmp(hap_str(*(const char *const *)a), hap_str(*(const char *const *)b));
}

static void *sorted(const void *records, unsigned n, size_t bytes, apr_pool_t *pool)
{
    void *copy = n ? apr_pmemdup(pool, records, n * bytes) : NULL;
    if (n) {
        qsort(copy, n, bytes, by_name);
    }
    return copy;
}

/* The second text of each record; unique, as its name. */
static int by_second(const void *a, const void *b)
{
    return by_name((const char *const *)a + 1, (const char *const *)b + 1);
}

/* One name that two of the records share, or NULL. What is not there is not shared. */
static const char *shared_name(void *records, unsigned n, size_t bytes,
                               int (*order)(const void *, const void *), unsigned field)
{
    if (n) {
        qsort(records, n, bytes, order);
    }
    for (unsigned i = 1; i < n; i++) {
        const char *before = (const char *)records + (i - 1) * bytes;
        const char *one = before + bytes;
        const char *name = ((const char *const *)one)[field];
        if (name && order(before, one) == 0) {
            return name;
        }
    }
    return NULL;
}

_Static_assert(offsetof(hap_map_node_t, id) == 0 && offsetof(hap_map_app_t, name) == 0 &&
                   offsetof(hap_map_member_t, route) == 0,
               "sorted by the name in front");
_Static_assert(offsetof(hap_map_node_t, address) == sizeof(char *) &&
                   offsetof(hap_map_member_t, url) == sizeof(char *),
               "and by what is behind it");

/* Sorts as by name in the end. */
static apr_status_t sort_unique(void *records, unsigned n, size_t bytes, bool second,
                                const char *where, hap_diag_t *diag)
{
    const char *twice = second ? shared_name(records, n, bytes, by_second, 1) : NULL;
    const char *name = shared_name(records, n, bytes, by_name, 0);
    twice = name ? name : twice;
    if (twice) {
        hap_diag_set(diag, 0, "%s: %s is there twice", where, twice);
        return APR_EINVAL;
    }
    return APR_SUCCESS;
}

static apr_status_t in_order(hap_map_t *map, hap_diag_t *diag, apr_pool_t *pool)
{
    hap_map_node_t *nodes = sorted(map->nodes, map->nodes_n, sizeof(*nodes), pool);
    hap_map_app_t *apps = sorted(map->apps, map->apps_n, sizeof(*apps), pool);
    apr_status_t rv = sort_unique(nodes, map->nodes_n, sizeof(*nodes), true, "nodes", diag);
    if (rv == APR_SUCCESS) {
        rv = sort_unique(apps, map->apps_n, sizeof(*apps), false, "applications", diag);
    }
    for (unsigned i = 0; rv == APR_SUCCESS && i < map->apps_n; i++) {
        hap_map_member_t *members =
            sorted(apps[i].members, apps[i].members_n, sizeof(*members), pool);
        apps[i].members = members;
        rv = sort_unique(members, apps[i].members_n, sizeof(*members), true, apps[i].name, diag);
    }
    map->nodes = nodes;
    map->apps = apps;
    return rv;
}

static apr_status_t check_primary(const hap_map_t *map, hap_diag_t *diag)
{
    const hap_map_node_t *primary = map->primary ? hap_map_node(map, hap_str(map->primary)) : NULL;
    if (map->primary && !(primary && primary->electable)) {
        return wrong(diag, "primary", "it is none of the nodes that may lead");
    }
    return APR_SUCCESS;
}

/* --- writing ---------------------------------------------------------------------------------- */

static json_t *app_json(const hap_map_app_t *app)
{
    json_t *members = hap_map_members_json(app);
    if (!app->single) {
        return json_pack("{s:s, s:o}", "name", app->name, "members", members);
    }
    return json_pack("{s:s, s:s?, s:I, s:o}", "name", app->name, "active", app->active, "epoch",
                     (json_int_t)app->epoch, "members", members);
}

static json_t *map_json(const hap_map_t *map)
{
    json_t *nodes = json_array();
    json_t *apps = json_array();
    for (unsigned i = 0; i < map->nodes_n; i++) {
        hap_json_append(&nodes, hap_map_node_json(&map->nodes[i]));
    }
    for (unsigned i = 0; i < map->apps_n; i++) {
        hap_json_append(&apps, app_json(&map->apps[i]));
    }
    return json_pack("{s:s, s:I, s:I, s:s?, s:o, s:o}", "uuid", map->uuid, "version",
                     (json_int_t)map->version, "term", (json_int_t)map->term, "primary",
                     map->primary, "nodes", nodes, "apps", apps);
}

static apr_status_t print(hap_str_t *body, const hap_map_t *map, hap_diag_t *diag, apr_pool_t *pool)
{
    json_t *json = map_json(map);
    char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
    json_decref(json);
    if (!text) {
        hap_diag_set(diag, 0, "no memory for the map");
        return APR_ENOMEM;
    }
    *body = hap_str(apr_pstrcat(pool, text, "\n", NULL));
    free(text);
    return APR_SUCCESS;
}

apr_status_t hap_map_encode(hap_str_t *text, const hap_map_t *map, hap_diag_t *diag,
                            apr_pool_t *pool)
{
    hap_map_t ordered = *map;
    hap_str_t body;
    apr_status_t rv = check(map, diag, pool);
    if (rv == APR_SUCCESS) {
        rv = in_order(&ordered, diag, pool);
    }
    if (rv == APR_SUCCESS) {
        rv = check_primary(&ordered, diag);
    }
    if (rv == APR_SUCCESS) {
        rv = print(&body, &ordered, diag, pool);
    }
    return rv == APR_SUCCESS ? hap_envelope_wrap(text, &hap_map_kind, body, diag, pool) : rv;
}

/* --- looking up ------------------------------------------------------------------------------- */

const hap_map_node_t *hap_map_node(const hap_map_t *map, hap_str_t id)
{
    for (unsigned i = 0; i < map->nodes_n; i++) {
        if (hap_str_eq(hap_str(map->nodes[i].id), id)) {
            return &map->nodes[i];
        }
    }
    return NULL;
}

const hap_map_app_t *hap_map_app(const hap_map_t *map, hap_str_t name)
{
    for (unsigned i = 0; i < map->apps_n; i++) {
        if (hap_str_eq(hap_str(map->apps[i].name), name)) {
            return &map->apps[i];
        }
    }
    return NULL;
}

const hap_map_member_t *hap_map_member(const hap_map_app_t *app, hap_str_t route)
{
    for (unsigned i = 0; i < app->members_n; i++) {
        if (hap_str_eq(hap_str(app->members[i].route), route)) {
            return &app->members[i];
        }
    }
    return NULL;
}

/* Who is first must not depend on anything but the cluster and the node's name: all compute it. */
static unsigned long long weight_of(const hap_map_t *map, const hap_map_node_t *node)
{
    char text[HAP_MAP_UUID_BYTES + HAP_ROUTE_MAX_BYTES + 2];
    apr_snprintf(text, sizeof(text), "%s/%s", map->uuid, node->id);
    return hap_str_hash(hap_str(text));
}

const hap_map_node_t *hap_map_first(const hap_map_t *map, const bool *alive)
{
    const hap_map_node_t *first = NULL;
    unsigned long long most = 0;
    for (unsigned i = 0; i < map->nodes_n; i++) {
        const hap_map_node_t *node = &map->nodes[i];
        if (!node->electable || (alive && !alive[i])) {
            continue;
        }
        unsigned long long weight = weight_of(map, node);
        if (!first || weight > most || (weight == most && strcmp(node->id, first->id) < 0)) {
            first = node;
            most = weight;
        }
    }
    return first;
}
