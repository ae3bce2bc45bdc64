/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what the configuration says: the directives, their per-server records and how virtual hosts
 * inherit them. Does not look at mod_proxy's balancers: mh_app joins the two.
 */
#ifndef MH_CONFIG_H
#define MH_CONFIG_H

#include <httpd.h>
#include <http_config.h>

#include "hap_policy.h"
#include "hap_roster.h"

/** The one symbol that the module exports. */
extern module AP_MODULE_DECLARE_DATA haproxy_module __attribute__((visibility("default")));

/** The HABalancer, HACheck or HAZone lines for one balancer, joined. */
typedef struct mh_named_t {
    const char *name;                /* of the balancer, as first written */
    const ap_directive_t *directive; /* the last line with keys, else the first; for messages */
    const hap_options_t *options;    /* the keys that it may have; with `given` */
    const ap_directive_t **given;    /* by row of the key: the line that gives it, or NULL */
    union {
        uint64_t set; /* which keys were given; all records begin with it */
        hap_policy_t policy;
        hap_check_policy_t check;
        hap_zone_policy_t zone; /* names of files are absolute */
    };
} mh_named_t;

/** Per server and virtual host. */
typedef struct mh_server_conf_t {
    apr_array_header_t *balancers; /* of mh_named_t, .policy */
    apr_array_header_t *checks;    /* of mh_named_t, .check */
    apr_array_header_t *zones;     /* of mh_named_t, .zone */
} mh_server_conf_t;

/** The most that HAMaxMembers may ask for. */
enum { MH_MAX_MEMBERS_MAX = HAP_MEMBERS_MAX };

/** The most that HALaneConnections may ask for. */
enum { MH_LANE_CONNECTIONS_MAX = 1000000 };

/** What only the main server can say. Reset at the start of each configuration. */
typedef struct mh_main_conf_t {
    unsigned max_members;
    unsigned lane_threads;     /* loops that carry requests, in each child */
    unsigned lane_connections; /* HALaneConnections; 0 not given */
    unsigned zone_sessions;    /* that are remembered */
    const char *state_file;    /* absolute, NULL when there is none */
    const char *map;           /* likewise */

    /* The lines that say so; NULL when not given. */
    const ap_directive_t *max_members_by;
    const ap_directive_t *lane_threads_by;
    const ap_directive_t *lane_connections_by;
    const ap_directive_t *zone_sessions_by;
    const ap_directive_t *state_file_by;
    const ap_directive_t *map_by;
} mh_main_conf_t;

extern mh_main_conf_t mh_main_conf;

extern const command_rec mh_commands[];

void mh_config_reset(void);
void *mh_create_server_conf(apr_pool_t *p, server_rec *s);
void *mh_merge_server_conf(apr_pool_t *p, void *base, void *over);

static inline mh_server_conf_t *mh_server_conf(server_rec *s)
{
    return ap_get_module_config(s->module_config, &haproxy_module);
}

/** The entry for a balancer, by name without regard to case, or NULL. */
mh_named_t *mh_config_find(const apr_array_header_t *list, const char *name);

/** The entry as a message about one of its keys shows it: with the line that gives this key. */
mh_named_t mh_config_by_key(const mh_named_t *entry, const char *key);

/** "file:line" of a directive, for messages. */
const char *mh_config_where(const ap_directive_t *directive, apr_pool_t *p);

#endif
