/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the model of a cluster: what the map says, and what else is agreed upon. Immutable once
 * made: who changes it makes another one. Does not decide: zd_apply does.
 */
#ifndef ZD_CLUSTER_H
#define ZD_CLUSTER_H

#include "hap_map.h"

/** A host with a daemon, there or not. */
typedef struct zd_node_t {
    hap_map_node_t map; /* first: found by its id */
    uint64_t raft;      /* its number in the engine */
    bool present;       /* in the map: the leader hears of it */
} zd_node_t;

/** An application. */
typedef struct zd_app_t {
    hap_map_app_t map; /* first: found by its name */
    bool paused;       /* nobody takes over by itself */
    uint64_t granted;  /* the last epoch that was given; 0: none yet */
    const char *home;  /* of the daemon that has it, as its beats say; NULL: nobody has */
} zd_app_t;

typedef struct zd_cluster_t {
    const char *uuid; /* NULL before the first command */
    uint64_t version; /* the map's */
    uint64_t term;
    const char *primary;
    const char *preferred; /* who is to lead by hand, while it is there; NULL: nobody */
    uint64_t epoch;        /* the last fence that was given in this cluster */
    uint64_t raft;         /* the highest number that a node has had in the engine */
    zd_node_t *nodes;
    unsigned nodes_n;
    zd_app_t *apps;
    unsigned apps_n;
} zd_cluster_t;

/** A copy to be changed, with room for one more node, application, and member of each. From
 * `pool`; borrows texts from `cluster`. */
zd_cluster_t *zd_cluster_draft(const zd_cluster_t *cluster, apr_pool_t *pool);

/** The same with all texts in `pool`. */
const zd_cluster_t *zd_cluster_copy(const zd_cluster_t *cluster, apr_pool_t *pool);

/** Look up by name. Borrows. NULL if unknown. */
zd_node_t *zd_cluster_node(const zd_cluster_t *cluster, const char *id);
zd_app_t *zd_cluster_app(const zd_cluster_t *cluster, const char *name);

/** Its members, which a draft may change. */
hap_map_member_t *zd_app_members(zd_app_t *app);

/** The map as it is now, without nodes that are not there. From `pool`; borrows texts. */
hap_map_t zd_cluster_map(const zd_cluster_t *cluster, apr_pool_t *pool);

#endif
