/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns one function for each command.
 */
#include "zd_apply.h"

#include <inttypes.h>
#include <stdarg.h>

#include <apr_strings.h>

zd_end_t zd_ends(zd_change_t *change, zd_end_t end, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    apr_vsnprintf(change->result->why, sizeof(change->result->why), fmt, args);
    va_end(args);
    return end;
}

static void says(zd_change_t *change, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void says(zd_change_t *change, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    change->event = apr_pvsprintf(change->pool, fmt, args);
    va_end(args);
}

static const char *or_none(const char *name)
{
    return name ? name : "none";
}

/* --- cluster and nodes ------------------------------------------------------------------------ */

static zd_end_t init(zd_change_t *change)
{
    zd_cluster_t *cluster = change->cluster;
    const char *uuid = change->command->uuid;
    if (cluster->uuid && strcmp(cluster->uuid, uuid) == 0) {
        return ZD_UNCHANGED;
    }
    if (cluster->uuid) {
        return zd_ends(change, ZD_REFUSED, "this cluster is %s already", cluster->uuid);
    }
    cluster->uuid = uuid;
    says(change, "cluster %s: begins", uuid);
    return ZD_DONE;
}

/* The node, if it may lead; else NULL with a sentence. */
static const zd_node_t *leading(zd_change_t *change, zd_end_t *end)
{
    const char *id = change->command->node;
    const zd_node_t *node = zd_cluster_node(change->cluster, id);
    *end = ZD_REFUSED;
    if (!node) {
        zd_ends(change, ZD_REFUSED, "there is no node %s", id);
        return NULL;
    }
    if (!node->map.electable) {
        zd_ends(change, ZD_REFUSED, "node %s may not lead: it is %s", id,
                node->map.role == HAP_MAP_VOTER ? "not electable"
                                                : hap_map_role_names[node->map.role]);
        return NULL;
    }
    return node;
}

static zd_end_t lead(zd_change_t *change)
{
    zd_end_t end;
    zd_cluster_t *cluster = change->cluster;
    uint64_t term = change->command->term;
    const zd_node_t *node = leading(change, &end);
    if (!node) {
        return end;
    }
    if (term < cluster->term) {
        return zd_ends(change, ZD_REFUSED, "term %" PRIu64 " is over, it is term %" PRIu64 " now",
                       term, cluster->term);
    }
    bool is_primary = cluster->primary && strcmp(cluster->primary, node->map.id) == 0;
    if (term == cluster->term && cluster->primary && !is_primary) {
        return zd_ends(change, ZD_REFUSED, "%s is the primary of term %" PRIu64 " already",
                       cluster->primary, term);
    }
    if (is_primary && term == cluster->term && cluster->preferred) {
        says(change, "primary: %s goes on, %s has not taken the lead", node->map.id,
             cluster->preferred);
    } else {
        says(change, "primary: %s -> %s, elected in term %" PRIu64, or_none(cluster->primary),
             node->map.id, term);
    }
    zd_cluster_node(cluster, node->map.id)->present = true;
    change->beside = cluster->preferred != NULL;
    cluster->primary = node->map.id;
    cluster->term = term;
    cluster->preferred = NULL;
    return ZD_DONE;
}

/* Who is not there could not be prepared for it. */
static zd_end_t prefer(zd_change_t *change)
{
    zd_end_t end;
    zd_cluster_t *cluster = change->cluster;
    const zd_node_t *node = leading(change, &end);
    if (!node) {
        return end;
    }
    if (!node->present) {
        return zd_ends(change, ZD_REFUSED, "node %s is not there", node->map.id);
    }
    if (cluster->primary && strcmp(cluster->primary, node->map.id) == 0) {
        return ZD_UNCHANGED;
    }
    cluster->preferred = node->map.id;
    change->beside = true;
    says(change, "primary: %s is to be %s", or_none(cluster->primary), node->map.id);
    return ZD_DONE;
}

/* A number of the engine is a node's for ever: one that comes back empty-handed gets a new one. */
static bool takes_number(zd_change_t *change, const zd_node_t *node)
{
    zd_cluster_t *cluster = change->cluster;
    uint64_t raft = change->command->raft;
    if (node && node->raft == raft) {
        return true;
    }
    if (raft <= cluster->raft) {
        return false;
    }
    cluster->raft = raft;
    return true;
}

static bool is_primary(const zd_cluster_t *cluster, const char *id)
{
    return cluster->primary && strcmp(cluster->primary, id) == 0;
}

static zd_end_t node_set(zd_change_t *change)
{
    const zd_command_t *command = change->command;
    zd_cluster_t *cluster = change->cluster;
    zd_node_t *node = zd_cluster_node(cluster, command->node);
    int role = hap_str_word(hap_str(command->role), hap_map_role_names, HAP_MAP_ROLE_COUNT);
    if (role < 0) {
        return zd_ends(change, ZD_REFUSED, "\"%s\" is no role", command->role);
    }
    if (is_primary(cluster, command->node) && !command->electable) {
        return zd_ends(change, ZD_REFUSED, "node %s is the primary", command->node);
    }
    if (!node && cluster->nodes_n == HAP_MAP_NODES_MAX) {
        return zd_ends(change, ZD_REFUSED, "there are %d nodes already", HAP_MAP_NODES_MAX);
    }
    if (!takes_number(change, node)) {
        return zd_ends(change, ZD_CONFLICT,
                       "the number %" PRIu64 " was another node's, use more "
                       "than %" PRIu64,
                       command->raft, cluster->raft);
    }
    says(change, "node %s: %s, %s%s at %s", command->node, node ? "changed" : "joins",
         command->role, command->electable ? "" : " that may not lead", command->address);
    if (!node) {
        node = &cluster->nodes[cluster->nodes_n++];
        node->present = true;
    }
    change->beside = node->raft != command->raft;
    node->raft = command->raft;
    node->map.id = command->node;
    node->map.address = command->address;
    node->map.role = (hap_map_role_t)role;
    node->map.electable = command->electable;
    return ZD_DONE;
}

static zd_end_t node_present(zd_change_t *change)
{
    const zd_command_t *command = change->command;
    zd_node_t *node = zd_cluster_node(change->cluster, command->node);
    if (!node) {
        return zd_ends(change, ZD_REFUSED, "there is no node %s", command->node);
    }
    if (!command->present && is_primary(change->cluster, command->node)) {
        return zd_ends(change, ZD_REFUSED, "node %s is the primary", command->node);
    }
    says(change, "node %s: %s", command->node, command->present ? "is there" : "is gone");
    node->present = command->present;
    return ZD_DONE;
}

static zd_end_t node_remove(zd_change_t *change)
{
    zd_cluster_t *cluster = change->cluster;
    zd_node_t *node = zd_cluster_node(cluster, change->command->node);
    if (!node) {
        return ZD_UNCHANGED;
    }
    if (is_primary(cluster, node->map.id)) {
        return zd_ends(change, ZD_REFUSED, "node %s is the primary: have another one lead first",
                       node->map.id);
    }
    says(change, "node %s: leaves", node->map.id);
    if (cluster->preferred && strcmp(cluster->preferred, node->map.id) == 0) {
        cluster->preferred = NULL;
    }
    change->beside = true;
    *node = cluster->nodes[--cluster->nodes_n];
    return ZD_DONE;
}

/* --- applications ----------------------------------------------------------------------------- */

static zd_app_t *app_of(zd_change_t *change)
{
    zd_app_t *app = zd_cluster_app(change->cluster, change->command->app);
    if (!app) {
        zd_ends(change, ZD_REFUSED, "there is no application %s", change->command->app);
    }
    return app;
}

static zd_end_t app_set(zd_change_t *change)
{
    const zd_command_t *command = change->command;
    zd_cluster_t *cluster = change->cluster;
    zd_app_t *app = zd_cluster_app(cluster, command->app);
    if (app && app->map.active && !command->single) {
        return zd_ends(change, ZD_REFUSED, "%s is active on %s", command->app, app->map.active);
    }
    if (!app && cluster->apps_n == HAP_MAP_APPS_MAX) {
        return zd_ends(change, ZD_REFUSED, "there are %d applications already", HAP_MAP_APPS_MAX);
    }
    says(change, "%s: %s, %s", command->app, app ? "changed" : "begins",
         command->single ? "active on one member" : "active on all members");
    if (!app) {
        app = &cluster->apps[cluster->apps_n++];
        app->map.members = apr_pcalloc(change->pool, sizeof(*app->map.members));
        app->map.name = command->app;
    }
    app->map.single = command->single;
    app->map.epoch = command->single ? app->granted : 0;
    return ZD_DONE;
}

static zd_end_t app_remove(zd_change_t *change)
{
    zd_cluster_t *cluster = change->cluster;
    zd_app_t *app = zd_cluster_app(cluster, change->command->app);
    if (!app) {
        return ZD_UNCHANGED;
    }
    if (app->map.active) {
        return zd_ends(change, ZD_REFUSED, "%s is active on %s", app->map.name, app->map.active);
    }
    says(change, "%s: ends", app->map.name);
    *app = cluster->apps[--cluster->apps_n];
    return ZD_DONE;
}

static zd_end_t app_pause(zd_change_t *change)
{
    zd_app_t *app = app_of(change);
    if (!app) {
        return ZD_REFUSED;
    }
    if (app->paused == change->command->paused) {
        return ZD_UNCHANGED;
    }
    app->paused = change->command->paused;
    change->beside = true;
    says(change, "%s: %s", app->map.name, app->paused ? "paused" : "resumed");
    return ZD_DONE;
}

static zd_end_t member_set(zd_change_t *change)
{
    const zd_command_t *command = change->command;
    zd_app_t *app = app_of(change);
    int admin = hap_str_word(hap_str(command->admin), hap_admin_names, HAP_ADMIN_COUNT);
    if (!app) {
        return ZD_REFUSED;
    }
    if (admin < 0) {
        return zd_ends(change, ZD_REFUSED, "\"%s\" is nothing that a member is told",
                       command->admin);
    }
    const hap_map_member_t *known = hap_map_member(&app->map, hap_str(command->route));
    if (!known && app->map.members_n == HAP_MAP_MEMBERS_MAX) {
        return zd_ends(change, ZD_REFUSED, "%s has %d members already", command->app,
                       HAP_MAP_MEMBERS_MAX);
    }
    unsigned at = known ? (unsigned)(known - app->map.members) : app->map.members_n++;
    says(change, "%s: member %s: %s, %s weight %" PRIu64 " %s", command->app, command->route,
         known ? "changed" : "joins", command->url ? command->url : "no address,", command->weight,
         command->admin);
    zd_app_members(app)[at] = (hap_map_member_t){
        .route = command->route,
        .url = command->url,
        .weight = command->weight <= HAP_MAP_WEIGHT_MAX ? (unsigned)command->weight : 0,
        .admin = (hap_admin_t)admin,
    };
    return ZD_DONE;
}

static zd_end_t member_remove(zd_change_t *change)
{
    const char *route = change->command->route;
    zd_app_t *app = app_of(change);
    if (!app) {
        return ZD_REFUSED;
    }
    const hap_map_member_t *known = hap_map_member(&app->map, hap_str(route));
    if (!known) {
        return ZD_UNCHANGED;
    }
    if (app->map.active && strcmp(app->map.active, route) == 0) {
        return zd_ends(change, ZD_REFUSED, "%s is active on %s", app->map.name, route);
    }
    says(change, "%s: member %s: leaves", app->map.name, route);
    hap_map_member_t *members = zd_app_members(app);
    members[known - members] = members[--app->map.members_n];
    return ZD_DONE;
}

/* --- leases ----------------------------------------------------------------------------------- */

/* Only who knows of the last grant can make the next one. */
static zd_end_t grant(zd_change_t *change)
{
    const zd_command_t *command = change->command;
    zd_app_t *app = app_of(change);
    if (!app) {
        return ZD_REFUSED;
    }
    if (!app->map.single) {
        return zd_ends(change, ZD_REFUSED, "%s is active on all its members", command->app);
    }
    if (command->epoch != app->granted) {
        return zd_ends(change, ZD_CONFLICT, "%s: the last epoch is %" PRIu64 ", not %" PRIu64,
                       command->app, app->granted, command->epoch);
    }
    if (!hap_map_member(&app->map, hap_str(command->route))) {
        return zd_ends(change, ZD_REFUSED, "%s has no member %s", command->app, command->route);
    }
    app->granted = ++change->cluster->epoch;
    says(change, "%s: active %s -> %s, epoch %" PRIu64, command->app, or_none(app->map.active),
         command->route, app->granted);
    app->map.active = command->route;
    app->home = command->home;
    app->map.epoch = app->granted;
    change->result->epoch = app->granted;
    return ZD_DONE;
}

static zd_end_t release(zd_change_t *change)
{
    const zd_command_t *command = change->command;
    zd_app_t *app = app_of(change);
    if (!app) {
        return ZD_REFUSED;
    }
    if (command->epoch != app->granted || !app->map.active) {
        return zd_ends(change, ZD_CONFLICT, "%s: epoch %" PRIu64 " is over", command->app,
                       command->epoch);
    }
    says(change, "%s: active %s -> none", command->app, app->map.active);
    app->map.active = NULL;
    app->home = NULL;
    return ZD_DONE;
}

/* ---------------------------------------------------------------------------------------------- */

static zd_end_t (*const apply[ZD_DO_COUNT])(zd_change_t *change) = {
    [ZD_DO_INIT] = init,
    [ZD_DO_LEAD] = lead,
    [ZD_DO_PREFER] = prefer,
    [ZD_DO_NODE_SET] = node_set,
    [ZD_DO_NODE_PRESENT] = node_present,
    [ZD_DO_NODE_REMOVE] = node_remove,
    [ZD_DO_APP_SET] = app_set,
    [ZD_DO_APP_REMOVE] = app_remove,
    [ZD_DO_APP_PAUSE] = app_pause,
    [ZD_DO_MEMBER_SET] = member_set,
    [ZD_DO_MEMBER_REMOVE] = member_remove,
    [ZD_DO_GRANT] = grant,
    [ZD_DO_RELEASE] = release,
};

zd_end_t zd_apply(zd_change_t *change)
{
    const zd_command_t *command = change->command;
    const zd_cluster_t *cluster = change->cluster;
    if (!cluster->uuid && command->what != ZD_DO_INIT) {
        return zd_ends(change, ZD_REFUSED, "the cluster has not begun");
    }
    if (command->expect && command->expect != cluster->version) {
        return zd_ends(change, ZD_CONFLICT, "the map has version %" PRIu64 ", not %" PRIu64,
                       cluster->version, command->expect);
    }
    return apply[command->what](change);
}
