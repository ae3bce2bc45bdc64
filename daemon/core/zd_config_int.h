/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what the files share that read config.json.
 */
#ifndef ZD_CONFIG_INT_H
#define ZD_CONFIG_INT_H

#include <jansson.h>

#include "zd_config.h"

/* One reading of one file. */
typedef struct zd_reading_t {
    hap_str_t text; /* all of it, to find lines in */
    const json_t *root;
    zd_config_t *config;
    zd_replica_conf_t *replicas;
    hap_map_node_t *nodes;
    const char **binds;
    const char **maps;
    const char **https;
    hap_diag_t *diag;
    apr_pool_t *pool;
} zd_reading_t;

/** What is wrong with the value of a key, as a sentence with its line. */
apr_status_t zd_config_refuse(const zd_reading_t *reading, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/** "nodes", after the ids of the replicas. */
apr_status_t zd_config_nodes(zd_reading_t *reading, const char *key, const json_t *value);

#endif
