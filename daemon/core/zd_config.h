/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what config.json says (doc/zerod.md): HAL's keys as they are, and ours. Does not read files
 * or look anything up: text comes in.
 */
#ifndef ZD_CONFIG_H
#define ZD_CONFIG_H

#include <stdbool.h>

#include <apr_errno.h>
#include <apr_pools.h>

#include "hap_diag.h"
#include "hap_map.h"
#include "hap_str.h"

enum {
    ZD_CONFIG_BYTES_MAX = 1 << 20,
    ZD_TIMEOUT_MS_MIN = 2000, /* an election takes up to that */
    ZD_TIMEOUT_MS_MAX = 3600000,
    ZD_SCRIPT_MS_MIN = 100,
    ZD_WATCHDOG_TIMEOUT_MS_MIN = 4000, /* half of it is what a busy host may take */
    ZD_RETRIES_MAX = 100
};

/** A program and its arguments, run without a shell. */
typedef const char *const *zd_argv_t; /* ends in NULL; NULL: there is none */

/** A replica of the service. Its index is its id. */
typedef struct zd_replica_conf_t {
    const char *id;    /* its index as a text: its node's id, too */
    const char *route; /* of the member of the application that it is */
    const char *url;   /* at which proxies reach it; NULL: they are not told */
    zd_argv_t ensure_active;
    zd_argv_t ensure_passive;
    zd_argv_t restart; /* starts its daemon when that is dead; NULL: nobody does */
} zd_replica_conf_t;

typedef struct zd_config_t {
    const char *app;
    const zd_replica_conf_t *replicas;
    unsigned replicas_n;
    unsigned timeout_ms; /* a lease's; without a renewal for so long another replica takes over */
    unsigned retries;    /* how often a script may fail in a row */
    unsigned script_ms;  /* that a script may take */
    const hap_map_node_t *nodes; /* one for each replica, by its id, then the others */
    const char *const *binds;    /* by node: HOST:PORT that it listens at; NULL: its address */
    const char *const *maps;     /* by node: file that the map is written to, too; NULL: none */
    const char *const *https;    /* by node: HOST:PORT of its health URLs; NULL: it has none */
    unsigned nodes_n;
    const char *secret_file; /* NULL with one node only */
    const char *data_dir;    /* each daemon's data is in the folder of its id in it */
    const char *watchdog;    /* path of the device; NULL: none */
    const char *ignored;     /* key that means nothing here, for a line in the log; NULL: none */
} zd_config_t;

/**
 * Reads config.json. Copies into `pool`. APR_EINVAL with line and sentence, which names the key, on
 * what is no JSON, a key that is missing, unknown, twice or of a wrong type, ids that do not count
 * from 0, or a command without an end of its quotes.
 */
apr_status_t zd_config_parse(const zd_config_t **config, hap_str_t text, hap_diag_t *diag,
                             apr_pool_t *pool);

/** Whether a daemon may run this, on an engine that `loses` what several votes have agreed on: one
 * node alone then. False with a sentence. */
bool zd_config_may_run(const zd_config_t *config, bool loses, hap_diag_t *diag);

/** Index of the node with this id, or -1. */
int zd_config_node(const zd_config_t *config, hap_str_t id);

/** Index of the replica that is this member, or that this node has; -1: none. */
int zd_config_route(const zd_config_t *config, const char *route);
int zd_config_replica(const zd_config_t *config, const char *id);

#endif
