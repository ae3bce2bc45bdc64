/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns copies of a cluster, and the map that is cut out of it.
 */
#include "zd_cluster.h"

#include <apr_strings.h>

/* Room for one more. */
static void *roomy(const void *records, unsigned n, size_t bytes, apr_pool_t *pool)
{
    char *copy = apr_pcalloc(pool, (n + 1) * bytes);
    if (n) {
        memcpy(copy, records, n * bytes);
    }
    return copy;
}

zd_cluster_t *zd_cluster_draft(const zd_cluster_t *cluster, apr_pool_t *pool)
{
    zd_cluster_t *draft = apr_pmemdup(pool, cluster, sizeof(*cluster));
    draft->nodes = roomy(cluster->nodes, cluster->nodes_n, sizeof(*draft->nodes), pool);
    draft->apps = roomy(cluster->apps, cluster->apps_n, sizeof(*draft->apps), pool);
    for (unsigned i = 0; i < draft->apps_n; i++) {
        hap_map_app_t *app = &draft->apps[i].map;
        app->members = roomy(app->members, app->members_n, sizeof(*app->members), pool);
    }
    return draft;
}

static const char *copied(const char *text, apr_pool_t *pool)
{
    return text ? apr_pstrdup(pool, text) : NULL;
}

static void copy_app(zd_app_t *app, apr_pool_t *pool)
{
    hap_map_member_t *members = zd_app_members(app);
    app->map.name = copied(app->map.name, pool);
    app->map.active = copied(app->map.active, pool);
    app->home = copied(app->home, pool);
    for (unsigned i = 0; i < app->map.members_n; i++) {
        members[i].route = copied(members[i].route, pool);
        members[i].url = copied(members[i].url, pool);
    }
}

const zd_cluster_t *zd_cluster_copy(const zd_cluster_t *cluster, apr_pool_t *pool)
{
    zd_cluster_t *copy = zd_cluster_draft(cluster, pool);
    copy->uuid = copied(copy->uuid, pool);
    copy->primary = copied(copy->primary, pool);
    copy->preferred = copied(copy->preferred, pool);
    for (unsigned i = 0; i < copy->nodes_n; i++) {
        copy->nodes[i].map.id = copied(copy->nodes[i].map.id, pool);
        copy->nodes[i].map.address = copied(copy->nodes[i].map.address, pool);
    }
    for (unsigned i = 0; i < copy->apps_n; i++) {
        copy_app(&copy->apps[i], pool);
    }
    return copy;
}

zd_node_t *zd_cluster_node(const zd_cluster_t *cluster, const char *id)
{
    for (unsigned i = 0; i < cluster->nodes_n; i++) {
        if (strcmp(cluster->nodes[i].map.id, id) == 0) {
            return &cluster->nodes[i];
        }
    }
    return NULL;
}

zd_app_t *zd_cluster_app(const zd_cluster_t *cluster, const char *name)
{
    for (unsigned i = 0; i < cluster->apps_n; i++) {
        if (strcmp(cluster->apps[i].map.name, name) == 0) {
            return &cluster->apps[i];
        }
    }
    return NULL;
}

hap_map_member_t *zd_app_members(zd_app_t *app)
{
    return (hap_map_member_t *)app->map.members;
}

hap_map_t zd_cluster_map(const zd_cluster_t *cluster, apr_pool_t *pool)
{
    hap_map_t map = {
        .uuid = cluster->uuid,
        .version = cluster->version,
        .term = cluster->term,
        .primary = cluster->primary,
        .apps_n = cluster->apps_n,
    };
    hap_map_node_t *nodes = apr_pcalloc(pool, (cluster->nodes_n + 1) * sizeof(*nodes));
    hap_map_app_t *apps = apr_pcalloc(pool, (cluster->apps_n + 1) * sizeof(*apps));
    for (unsigned i = 0; i < cluster->nodes_n; i++) {
        if (cluster->nodes[i].present) {
            nodes[map.nodes_n++] = cluster->nodes[i].map;
        }
    }
    for (unsigned i = 0; i < cluster->apps_n; i++) {
        apps[i] = cluster->apps[i].map;
    }
    map.nodes = nodes;
    map.apps = apps;
    return map;
}
