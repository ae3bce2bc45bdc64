/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the order of what a leader has to say: a cluster, its nodes, who leads, its application.
 */
#include "zd_plan.h"

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
    bool leads = cluster->primary && strcmp(cluster->primary, leader->id) == 0;
    if (!leads || cluster->term != leader->term) {
        *command = (zd_command_t){.what = ZD_DO_LEAD, .node = leader->id, .term = leader->term};
        return true;
    }
    if (!zd_cluster_app(cluster, config->app)) {
        *command = (zd_command_t){.what = ZD_DO_APP_SET, .app = config->app, .single = true};
        return true;
    }
    return false;
}
