/* SPDX-License-Identifier: Apache-2.0 */
/* Owns joining the members of the configuration with those of the map. */
#include "hap_follow.h"

#include <apr_hash.h>

/** What has been joined so far. */
typedef struct join_t {
    const hap_map_app_t *app;
    apr_hash_t *seen; /* route -> anything */
    hap_follow_t *rows;
    unsigned n;
} join_t;

static hap_standing_t standing_of(const hap_map_app_t *app, const char *route)
{
    bool passive = app && app->single && (!app->active || strcmp(app->active, route) != 0);
    return passive ? HAP_STANDING_PASSIVE : HAP_STANDING_SERVES;
}

static hap_follow_t *add(join_t *join, const char *route, hap_standing_t standing)
{
    hap_follow_t *row = &join->rows[join->n++];
    *row = (hap_follow_t){.route = route, .configured = -1, .standing = standing};
    apr_hash_set(join->seen, route, APR_HASH_KEY_STRING, row);
    return row;
}

static void add_configured(join_t *join, const hap_follow_from_t *from)
{
    for (unsigned i = 0; i < from->configured_n; i++) {
        const char *route = from->configured[i];
        add(join, route, standing_of(from->app, route))->configured = (int)i;
    }
}

static void add_mapped(join_t *join, const hap_map_app_t *app)
{
    for (unsigned i = 0; app && i < app->members_n; i++) {
        const hap_map_member_t *member = &app->members[i];
        hap_follow_t *row = apr_hash_get(join->seen, member->route, APR_HASH_KEY_STRING);
        if (!row && member->url) {
            row = add(join, member->route, standing_of(app, member->route));
        }
        if (row) {
            row->mapped = member;
        }
    }
}

static void add_gone(join_t *join, const hap_follow_from_t *from)
{
    for (unsigned i = 0; i < from->known_n; i++) {
        if (!apr_hash_get(join->seen, from->known[i], APR_HASH_KEY_STRING)) {
            add(join, from->known[i], HAP_STANDING_GONE);
        }
    }
}

hap_follow_t *hap_follow(unsigned *n, const hap_follow_from_t *from, apr_pool_t *pool)
{
    unsigned most = from->configured_n + (from->app ? from->app->members_n : 0) + from->known_n;
    join_t join = {
        .app = from->app,
        .seen = apr_hash_make(pool),
        .rows = apr_pcalloc(pool, (most + 1) * sizeof(*join.rows)),
    };
    add_configured(&join, from);
    add_mapped(&join, from->app);
    add_gone(&join, from);
    *n = join.n;
    return join.rows;
}

const hap_map_app_t *hap_follow_app(const hap_map_t *map, hap_str_t name)
{
    for (unsigned i = 0; map && i < map->apps_n; i++) {
        if (hap_str_eq_nocase(hap_str(map->apps[i].name), name)) {
            return &map->apps[i];
        }
    }
    return NULL;
}

uint32_t hap_follow_told(const hap_map_member_t *mapped)
{
    return mapped ? hap_shared_admin_flags(mapped->admin) : 0;
}
