/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the health URLs. Who polls them goes by the status; the text is for people.
 */
#include "zd_health.h"

#include <apr_strings.h>

enum { GOOD = 200, UNKNOWN = 404, BAD = 503 };

typedef struct asked_t {
    const zd_health_t *health;
    hap_str_t rest; /* of the path */
    apr_pool_t *pool;
} asked_t;

/* --- the pages -------------------------------------------------------------------------------- */

static void show_leader(zd_page_t *page, const asked_t *asked)
{
    const zd_health_t *health = asked->health;
    page->status = health->leads ? GOOD : BAD;
    if (health->leads) {
        page->text = apr_psprintf(asked->pool, "%s leads, term %" APR_UINT64_T_FMT "\n", health->id,
                                  health->term);
    } else if (!health->leader) {
        page->text = "no leader is heard\n";
    } else if (strcmp(health->leader, health->id) == 0) {
        page->text = apr_psprintf(asked->pool, "%s is about to lead\n", health->id);
    } else {
        page->text = apr_psprintf(asked->pool, "%s leads\n", health->leader);
    }
}

/* The replica that has the lease of an application by the map; members of others than ours have
 * their routes for names. */
static const char *holder_of(const asked_t *asked, const hap_map_app_t *app, bool own)
{
    const zd_config_t *config = asked->health->config;
    const char *route = app ? app->active : NULL;
    int replica = own && route ? zd_config_route(config, route) : -1;
    const char *id = replica >= 0 ? config->replicas[replica].id : route;
    return id ? apr_pstrcat(asked->pool, id, " has the lease", NULL) : "nobody has the lease";
}

static void show_active(zd_page_t *page, const asked_t *asked)
{
    const zd_health_t *health = asked->health;
    const hap_map_app_t *app = health->map ? hap_map_app(health->map, asked->rest) : NULL;
    bool own = hap_str_eq(hap_str(health->config->app), asked->rest);
    const zd_replica_t *replica = own ? health->replica : NULL;
    if (!app && !own) {
        page->status = UNKNOWN;
        page->text = "there is no such application\n";
    } else if (replica && zd_replica_is_active(replica, health->now_ms)) {
        page->text = apr_psprintf(asked->pool, "%s is active, epoch %" APR_UINT64_T_FMT "\n",
                                  health->id, replica->epoch);
    } else {
        const char *role = !replica                          ? "without a replica of it"
                           : replica->role == ZD_ROLE_ACTIVE ? "active without a lease"
                                                             : zd_role_names[replica->role];
        page->status = BAD;
        page->text = apr_psprintf(asked->pool, "%s is %s, %s\n", health->id, role,
                                  holder_of(asked, app, own));
    }
}

static void show_ready(zd_page_t *page, const asked_t *asked)
{
    const zd_health_t *health = asked->health;
    bool led = health->leads || health->leader;
    page->status = health->map && led ? GOOD : BAD;
    if (!health->map) {
        page->text = "not ready: there is no map yet\n";
    } else if (!led) {
        page->text = "not ready: no leader is heard\n";
    } else {
        page->text =
            apr_psprintf(asked->pool, "ready: map %" APR_UINT64_T_FMT ", %s leads\n",
                         health->map->version, health->leads ? health->id : health->leader);
    }
}

static void show_metrics(zd_page_t *page, const asked_t *asked)
{
    page->type = "text/plain; version=0.0.4; charset=utf-8";
    page->text = zd_metrics(asked->health, asked->pool);
}

static void show_list(zd_page_t *page, const asked_t *asked);

static const struct {
    const char *path;
    const char *name; /* of what follows it; "": nothing does */
    void (*show)(zd_page_t *page, const asked_t *asked);
    const char *what;
} pages[] = {
    {"/", "", show_list, "this list"},
    {"/leader", "", show_leader, "200 on the node that leads"},
    {"/active/", "<app>", show_active, "200 on the node whose replica of it is the active one"},
    {"/ready", "", show_ready, "200 where there is a map, and a leader"},
    {"/metrics", "", show_metrics, "for Prometheus"},
};

enum { PAGES = sizeof(pages) / sizeof(pages[0]) };

static void show_list(zd_page_t *page, const asked_t *asked)
{
    page->text = apr_psprintf(asked->pool, "zerod %s of %s\n\n", asked->health->id,
                              asked->health->config->app);
    for (int i = 0; i < PAGES; i++) {
        page->text = apr_pstrcat(asked->pool, page->text, pages[i].path, pages[i].name, "  ",
                                 pages[i].what, "\n", NULL);
    }
}

/* ---------------------------------------------------------------------------------------------- */

void zd_health_page(zd_page_t *page, const zd_health_t *health, hap_str_t path, apr_pool_t *pool)
{
    asked_t asked = {.health = health, .pool = pool};
    *page = (zd_page_t){
        .status = UNKNOWN, .type = "text/plain; charset=utf-8", .text = "/ lists what there is\n"};
    for (int i = 0; i < PAGES; i++) {
        hap_str_t known = hap_str(pages[i].path);
        asked.rest = hap_str_sub(path, known.n, path.n);
        if (hap_str_starts(path, known) && (pages[i].name[0] || asked.rest.n == 0)) {
            page->status = GOOD;
            pages[i].show(page, &asked);
            return;
        }
    }
}
