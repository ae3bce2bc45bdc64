/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the cluster map and its format (doc/map.md): which nodes there are, who leads them, and
 * which members each application has. Does not read files, and decides nothing: who changes the map
 * does.
 *
 *     zero-map 1 <bytes of what follows> <SHA-256 of that>
 *     {
 *       "uuid": ...
 *
 * A map has one spelling: the same content gives the same bytes, and only those are taken.
 */
#ifndef HAP_MAP_H
#define HAP_MAP_H

#include <stdint.h>

#include <apr_errno.h>
#include <apr_pools.h>

#include "hap_admin.h"
#include "hap_diag.h"
#include "hap_str.h"

enum {
    HAP_MAP_BYTES_MAX = 1 << 20, /* of a whole file */
    HAP_MAP_NODES_MAX = 64,
    HAP_MAP_APPS_MAX = 256,
    HAP_MAP_MEMBERS_MAX = 1024, /* of one application */
    HAP_MAP_UUID_BYTES = 36,    /* 8-4-4-4-12 hex digits, RFC 9562 4 */
    HAP_MAP_WEIGHT_MAX = 100    /* mod_proxy: loadfactor */
};

/** What a node is for. */
#define HAP_MAP_ROLES(V)                                                                           \
    V(VOTER, "voter")       /* has a vote, and may lead if it is electable */                      \
    V(WITNESS, "witness")   /* has a vote, and never leads */                                      \
    V(OBSERVER, "observer") /* gets the map, and has no vote */

#define HAP_MAP_ROLE_ENUM(name, word) HAP_MAP_##name,
typedef enum hap_map_role_t { HAP_MAP_ROLES(HAP_MAP_ROLE_ENUM) HAP_MAP_ROLE_COUNT } hap_map_role_t;
#undef HAP_MAP_ROLE_ENUM

/** The words, by hap_map_role_t. */
extern const char *const hap_map_role_names[HAP_MAP_ROLE_COUNT];

/** A host with a daemon. */
typedef struct hap_map_node_t {
    const char *id;      /* grammar of routes; unique */
    const char *address; /* HOST:PORT at which the other nodes reach it; unique */
    hap_map_role_t role;
    bool electable; /* may lead; voters only */
} hap_map_node_t;

/** An instance of an application. */
typedef struct hap_map_member_t {
    const char *route; /* unique in the application */
    const char *url;   /* scheme://HOST:PORT; unique in the application. NULL: it has no address */
    unsigned weight;   /* 1..HAP_MAP_WEIGHT_MAX */
    hap_admin_t admin; /* what it is told to do */
} hap_map_member_t;

/** An application; its name is that of its balancer. */
typedef struct hap_map_app_t {
    const char *name;
    bool single;        /* active-passive: requests are for one member only */
    const char *active; /* its route; NULL: nobody is active now. Single ones only */
    uint64_t epoch;     /* the fence of that member, above 0; 0 without one */
    const hap_map_member_t *members;
    unsigned members_n;
} hap_map_app_t;

typedef struct hap_map_t {
    const char *uuid;    /* of the cluster */
    uint64_t version;    /* from 1; +1 with each change */
    uint64_t term;       /* in which the primary was elected */
    const char *primary; /* id of the node that leads; NULL: nobody yet */
    const hap_map_node_t *nodes;
    unsigned nodes_n;
    const hap_map_app_t *apps;
    unsigned apps_n;
} hap_map_t;

/** 8-4-4-4-12 hex digits in lower case, as a cluster is called. */
bool hap_map_is_uuid(hap_str_t uuid);

/** Whether a map may have this member of the application. APR_EINVAL with a sentence. */
apr_status_t hap_map_check_member(const hap_map_member_t *member, const char *app, hap_diag_t *diag,
                                  apr_pool_t *pool);

/**
 * The file's bytes. Nodes, applications and members come in the order of their names, whatever
 * their order here. Allocates from `pool`. APR_EINVAL with a sentence when the map breaks a rule: a
 * name's grammar, something twice, a primary that may not lead, an active member that there is not.
 */
apr_status_t hap_map_encode(hap_str_t *text, const hap_map_t *map, hap_diag_t *diag,
                            apr_pool_t *pool);

/**
 * Reads a file's bytes: all of it or nothing. Copies into `pool`. APR_EINVAL with line and sentence
 * on anything that hap_map_encode would not have written.
 */
apr_status_t hap_map_decode(const hap_map_t **map, hap_str_t text, hap_diag_t *diag,
                            apr_pool_t *pool);

/** What becomes of a map that is offered to somebody who has one. */
typedef enum hap_map_offer_t {
    HAP_MAP_NEWER,      /* take it */
    HAP_MAP_SAME,       /* nothing to do */
    HAP_MAP_OLDER,      /* refuse it */
    HAP_MAP_OTHERS,     /* refuse it: it is of another cluster */
    HAP_MAP_CONTRADICTS /* refuse it: it has the same version and other content */
} hap_map_offer_t;

/** Compares what is offered with what one has; `has` is NULL when there is none yet. `pool` is for
 * the comparison only. */
hap_map_offer_t hap_map_offer(const hap_map_t *has, const hap_map_t *offered, apr_pool_t *pool);

/** Look up by name. Borrows from `map`. NULL if unknown. */
const hap_map_node_t *hap_map_node(const hap_map_t *map, hap_str_t id);
const hap_map_app_t *hap_map_app(const hap_map_t *map, hap_str_t name);
const hap_map_member_t *hap_map_member(const hap_map_app_t *app, hap_str_t route);

/**
 * The node that is to lead: of those that may, the one with the highest rendezvous weight for this
 * cluster. `alive` says by index in `nodes` which are there; NULL: all. NULL if none may.
 */
const hap_map_node_t *hap_map_first(const hap_map_t *map, const bool *alive);

#endif
