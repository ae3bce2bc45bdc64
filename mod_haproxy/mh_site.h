/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what the lane knows of each virtual host: its mounts, in the order of ProxyPass, and its
 * times. Made at startup, read-only since. Does not serve.
 */
#ifndef MH_SITE_H
#define MH_SITE_H

#include "hap_deflate.h"
#include "hap_honour.h"
#include "hap_relay.h"
#include "lane/ml_lane.h"
#include "mh_app.h"

/** One ProxyPass. */
typedef struct mh_mount_t {
    hap_str_t path;
    mh_app_t *app; /* NULL: not for the lane */
    hap_relay_t relay;
    hap_deflate_t deflate; /* without types: nothing is compressed */
    ml_times_t times;
    const apr_array_header_t *parts;   /* of hap_honour_part_t: not for the lane either */
    const hap_honour_values_t *values; /* what else is honoured */
    const apr_array_header_t *agents;  /* of ap_regex_t *: such clients are httpd's */
} mh_mount_t;

/** One virtual host. */
typedef struct mh_site_t {
    server_rec *server;
    mh_mount_t *mounts; /* the first that the path lies under counts */
    unsigned mounts_n;
} mh_site_t;

/**
 * Makes the sites of all virtual hosts with mounts for the lane. APR_EINVAL, after a line in the
 * log, when a mount is not for the lane that must be. Parent, check_config.
 */
apr_status_t mh_sites_build(apr_pool_t *p, server_rec *s);

/** Says in the logs, once in each, which mounts are for the lane, or why not. `p` is for scratch.
 * Parent, post_config. */
void mh_sites_say(apr_pool_t *p);

/** Has them tell what httpd calls itself, which is known once all modules are configured. */
void mh_sites_name(apr_pool_t *p);

/** The site of a virtual host, or NULL when nothing of it is for the lane. */
const mh_site_t *mh_site_of(const server_rec *s);

/** There is a site. */
bool mh_sites_any(void);

/** The mount that a request is for, or NULL when that is none of the lane's. */
const mh_mount_t *mh_site_mount(const mh_site_t *site, const hap_http1_request_t *request);

/** A client with this User-Agent (empty without) is httpd's. */
bool mh_site_leaves(const mh_mount_t *mount, const char *agent);

#endif
