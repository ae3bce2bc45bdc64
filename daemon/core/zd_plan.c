/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the order of what a leader has to say: a cluster, its nodes, who leads, who is there, its
 * application, who holds the lease of that.
 */
#include "zd_plan.h"

_Static_assert(HAP_MAP_NODES_MAX <= 64, "a bit for each node");

/* --- nodes ------------------------------------------------------------------------------------ */

static zd_command_t node_set(const hap_map_node_t *node, uint64_t number)
{
    return (zd_command_t){
        .what = ZD_DO_NODE_SET,
        .node = node->id,
        .address = node->address,
        .role = hap_map_role_names[node->role],
        .electable = node->electable,
        .raft = number,
    };
}

/* Numbers of the engine are those of the places in the configuration: all nodes begin with that. */
static bool next_node(zd_command_t *command, const zd_cluster_t *cluster, const zd_config_t *config,
                      const zd_leader_t *leader)
{
    const hap_map_node_t alone = {
        .id = leader->id, .address = ZD_PLAN_ALONE, .role = HAP_MAP_VOTER, .electable = true};
    const hap_map_node_t *nodes = config->nodes_n ? config->nodes : &alone;
    unsigned n = config->nodes_n ? config->nodes_n : 1;
    for (unsigned i = 0; i < n; i++) {
        if (!zd_cluster_node(cluster, nodes[i].id) && cluster->raft < i + 1) {
            *command = node_set(&nodes[i], i + 1);
            return true;
        }
    }
    return false;
}

/* --- who is there ----------------------------------------------------------------------------- */

static bool same(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

static bool is_there(const zd_leader_t *leader, const char *id)
{
    return same(id, leader->id) || zd_roll_present(leader->roll, id, leader->now_ms);
}

static bool next_presence(zd_command_t *command, const zd_cluster_t *cluster,
                          const zd_leader_t *leader)
{
    bool early = leader->now_ms - leader->ready_ms < ZD_PRESENT_MS;
    for (unsigned i = 0; i < cluster->nodes_n; i++) {
        const zd_node_t *node = &cluster->nodes[i];
        bool there = is_there(leader, node->map.id);
        if (there == node->present || (!there && early)) {
            continue;
        }
        *command =
            (zd_command_t){.what = ZD_DO_NODE_PRESENT, .node = node->map.id, .present = there};
        return true;
    }
    return false;
}

/* --- who leads -------------------------------------------------------------------------------- */

/* Who is to lead a cluster that begins: the word of the first one that names a node counts. */
static const char *first_by_hand(const zd_cluster_t *cluster, const zd_leader_t *leader)
{
    for (unsigned i = 0; i < cluster->nodes_n; i++) {
        const zd_heard_t *heard = zd_roll_of(leader->roll, cluster->nodes[i].map.id);
        if (heard && heard->beat.first && zd_cluster_node(cluster, heard->beat.first)) {
            return heard->beat.first;
        }
    }
    return NULL;
}

/* Who says so of itself: the first one counts, and none where somebody has led before. */
static const char *first_by_itself(const zd_cluster_t *cluster, const zd_leader_t *leader)
{
    for (unsigned i = 0; i < cluster->nodes_n && !cluster->primary; i++) {
        const zd_heard_t *heard = zd_roll_of(leader->roll, cluster->nodes[i].map.id);
        if (heard && heard->beat.primary) {
            return heard->beat.node;
        }
    }
    return NULL;
}

/* The rendezvous-first of the nodes in `counts`. */
static int rendezvous(const zd_cluster_t *cluster, const bool *counts)
{
    hap_map_node_t nodes[HAP_MAP_NODES_MAX];
    const hap_map_t map = {.uuid = cluster->uuid, .nodes = nodes, .nodes_n = cluster->nodes_n};
    for (unsigned i = 0; i < cluster->nodes_n; i++) {
        nodes[i] = cluster->nodes[i].map;
    }
    const hap_map_node_t *first = hap_map_first(&map, counts);
    return first ? (int)(first - nodes) : -1;
}

/* Whoever may lead has been heard, less the one before: that it is lost is why there was an
 * election, unless all begin. */
static bool all_heard(const zd_cluster_t *cluster, const zd_leader_t *leader)
{
    for (unsigned i = 0; i < cluster->nodes_n; i++) {
        const zd_node_t *node = &cluster->nodes[i];
        if (node->map.electable && !is_there(leader, node->map.id) &&
            (leader->begins || !same(node->map.id, cluster->primary))) {
            return false;
        }
    }
    return true;
}

static int place_of(const zd_cluster_t *cluster, const char *id)
{
    for (unsigned i = 0; i < cluster->nodes_n; i++) {
        if (same(cluster->nodes[i].map.id, id)) {
            return (int)i;
        }
    }
    return -1;
}

static bool may_lead(const zd_cluster_t *cluster, int place, uint64_t tried)
{
    return cluster->nodes[place].map.electable && !(tried & (UINT64_C(1) << place));
}

int zd_plan_heir(const zd_cluster_t *cluster, const zd_config_t *config, const zd_leader_t *leader,
                 uint64_t tried)
{
    zd_command_t missing;
    bool counts[HAP_MAP_NODES_MAX] = {false};
    bool early = leader->now_ms - leader->ready_ms < ZD_HEIR_MS;
    const char *const wanted[] = {cluster->preferred, first_by_hand(cluster, leader),
                                  cluster->primary, first_by_itself(cluster, leader)};
    if (next_node(&missing, cluster, config, leader)) {
        return (int)cluster->nodes_n;
    }
    for (unsigned i = 0; i < cluster->nodes_n; i++) {
        const zd_node_t *node = &cluster->nodes[i];
        counts[i] =
            node->map.electable && is_there(leader, node->map.id) && !(tried & (UINT64_C(1) << i));
    }
    for (unsigned w = 0; w < sizeof(wanted) / sizeof(wanted[0]); w++) {
        int place = place_of(cluster, wanted[w]);
        bool lost = same(wanted[w], cluster->primary) && !leader->begins;
        if (place >= 0 && counts[place]) {
            return place;
        }
        if (place >= 0 && early && !lost && may_lead(cluster, place, tried)) {
            return (int)cluster->nodes_n;
        }
    }
    if (early && !all_heard(cluster, leader)) {
        return (int)cluster->nodes_n;
    }
    return rendezvous(cluster, counts);
}

bool zd_plan_is_primary(const zd_cluster_t *cluster, const zd_leader_t *leader)
{
    return same(cluster->primary, leader->id) && cluster->term == leader->term;
}

/* --- the engine's list ------------------------------------------------------------------------ */

static const zd_member_t *member_of(const zd_member_t *members, unsigned n, uint64_t number)
{
    for (unsigned i = 0; i < n; i++) {
        if (members[i].number == number) {
            return &members[i];
        }
    }
    return NULL;
}

/* What the engine should know of a member; NULL: nothing. */
static const zd_node_t *node_of(const zd_cluster_t *cluster, const zd_member_t *member)
{
    for (unsigned i = 0; i < cluster->nodes_n; i++) {
        const zd_node_t *node = &cluster->nodes[i];
        if (node->raft == member->number && node->map.role != HAP_MAP_OBSERVER &&
            same(node->map.address, member->address)) {
            return node;
        }
    }
    return NULL;
}

/* A node that has moved is dropped, and added where it is now: its log is as good as before. */
bool zd_plan_member(zd_member_change_t *change, zd_member_t *member, const zd_cluster_t *cluster,
                    const zd_member_t *members, unsigned members_n, const zd_leader_t *leader)
{
    for (unsigned i = 0; i < members_n; i++) {
        const zd_node_t *own = zd_cluster_node(cluster, leader->id);
        bool is_own = own && own->raft == members[i].number;
        if (!is_own && !node_of(cluster, &members[i])) {
            *change = ZD_MEMBER_DROP;
            *member = members[i];
            return true;
        }
    }
    for (unsigned i = 0; i < cluster->nodes_n; i++) {
        const zd_node_t *node = &cluster->nodes[i];
        const zd_member_t *known = member_of(members, members_n, node->raft);
        bool there = is_there(leader, node->map.id);
        if (node->map.role == HAP_MAP_OBSERVER || (known && (known->votes || !there))) {
            continue;
        }
        *change = known ? ZD_MEMBER_VOTE : ZD_MEMBER_ADD;
        *member = (zd_member_t){.number = node->raft, .address = node->map.address};
        return true;
    }
    return false;
}

/* --- its application -------------------------------------------------------------------------- */

static bool next_member(zd_command_t *command, const zd_app_t *app, const zd_config_t *config)
{
    for (unsigned i = 0; i < config->replicas_n; i++) {
        const zd_replica_conf_t *replica = &config->replicas[i];
        const hap_map_member_t *member = hap_map_member(&app->map, hap_str(replica->route));
        if (member && (member->url == replica->url || same(member->url, replica->url))) {
            continue;
        }
        *command = (zd_command_t){
            .what = ZD_DO_MEMBER_SET,
            .app = app->map.name,
            .route = replica->route,
            .url = replica->url,
            .weight = member ? member->weight : 1,
            .admin = hap_admin_names[member ? member->admin : HAP_ADMIN_ENABLED],
        };
        return true;
    }
    return false;
}

static bool next_of_app(zd_command_t *command, const zd_cluster_t *cluster,
                        const zd_config_t *config, const zd_leader_t *leader)
{
    const zd_app_t *app = zd_cluster_app(cluster, config->app);
    if (!app) {
        *command = (zd_command_t){.what = ZD_DO_APP_SET, .app = config->app, .single = true};
        return true;
    }
    return zd_lease_next(command, leader->lease, app, config, leader->roll, leader->now_ms) ||
           next_member(command, app, config);
}

/* ---------------------------------------------------------------------------------------------- */

bool zd_plan_next(zd_command_t *command, const zd_cluster_t *cluster, const zd_config_t *config,
                  const zd_leader_t *leader)
{
    if (!cluster->uuid) {
        *command = (zd_command_t){.what = ZD_DO_INIT, .uuid = leader->uuid};
        return true;
    }
    if (next_node(command, cluster, config, leader)) {
        return true;
    }
    /* Also when it goes on: who was chosen by hand instead has not taken the lead. */
    if (!zd_plan_is_primary(cluster, leader) || (cluster->preferred && leader->may_lead)) {
        *command = (zd_command_t){.what = ZD_DO_LEAD, .node = leader->id, .term = leader->term};
        return leader->may_lead;
    }
    return next_of_app(command, cluster, config, leader) || next_presence(command, cluster, leader);
}
