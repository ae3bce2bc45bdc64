/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the model of what one Apache configuration says about proxying: its servers, mounts,
 * balancers, members and policies. Does not judge it (hap_lint) nor replay a request
 * (hap_explain), and does not see what hap_conf does not: other files, variables, conditions.
 */
#ifndef HAP_SITE_H
#define HAP_SITE_H

#include <apr_hash.h>
#include <apr_tables.h>

#include "hap_admin.h"
#include "hap_conf.h"
#include "hap_policy.h"

/** A ProxyPass or ProxyPassReverse with a plain context. */
typedef struct hap_site_mount_t {
    const hap_conf_directive_t *directive;
    const hap_conf_section_t *vhost; /* NULL: the main server */
    const char *context;
    const char *target;
    int params;       /* index of the first argument after the target */
    bool in_location; /* the context is that of a <Location> */
} hap_site_mount_t;

/** A BalancerMember. */
typedef struct hap_site_member_t {
    const hap_conf_directive_t *directive;
    const char *url;
    const char *route; /* NULL: none */
    int params;        /* index of the first argument after the URL */
} hap_site_member_t;

/** What a member's parameters say. */
typedef struct hap_site_duty_t {
    uint32_t weight;   /* a hundred times loadfactor= */
    int lbset;         /* lbset= */
    bool spare;        /* status=R */
    hap_admin_t admin; /* what the other status= flags say */
} hap_site_duty_t;

/** A balancer, defined by its members or by its parameters. */
typedef struct hap_site_balancer_t {
    const char *name; /* as first written, without balancer:// */
    const hap_conf_section_t *vhost;
    int line;
    apr_array_header_t *members; /* hap_site_member_t */
    const char *sticky;          /* stickysession=; NULL: none */
    const char *separator;       /* stickysessionsep=; NULL: a dot */
    const char *lbmethod;        /* lbmethod=; NULL: none */
    int guarded_line;            /* a directive in <Proxy> that is no member; 0: none */
    const char *guarded_by;      /* that directive's name */
} hap_site_balancer_t;

/** A <VirtualHost> that has a name or a mount. */
typedef struct hap_site_vhost_t {
    const hap_conf_section_t *section;
    apr_array_header_t *names; /* const char * of ServerName and ServerAlias */
} hap_site_vhost_t;

/** One configuration. Borrows from its hap_conf_t. */
typedef struct hap_site_t {
    const hap_conf_t *conf;
    apr_array_header_t *passes;    /* hap_site_mount_t of ProxyPass */
    apr_array_header_t *reverses;  /* hap_site_mount_t of ProxyPassReverse */
    apr_array_header_t *patterns;  /* hap_conf_directive_t * of ProxyPass with a pattern */
    apr_array_header_t *balancers; /* hap_site_balancer_t * */
    apr_array_header_t *vhosts;    /* hap_site_vhost_t */
    apr_hash_t *by_name;           /* vhost's line and lower-case name: hap_site_balancer_t */
    bool has_includes;             /* so what is not here may be elsewhere */
    bool has_map;                  /* HAMap is given */
    apr_pool_t *pool;
} hap_site_t;

/** Reads the model out of a configuration. Never fails: what is not understood is not in it. */
const hap_site_t *hap_site_read(const hap_conf_t *conf, apr_pool_t *pool);

/** Whether a directive stands for others that are written elsewhere. */
bool hap_site_includes(const hap_conf_directive_t *directive);

/** Whether a directive is one that only a whole server has: where it listens. */
bool hap_site_listens(const hap_conf_directive_t *directive);

/** NAME of balancer://NAME/path, NULL if the URL is none. From `pool`. */
const char *hap_site_balancer_name(const char *url, apr_pool_t *pool);

/** The balancer that httpd would take in this vhost: its own, else the main server's, or NULL. */
hap_site_balancer_t *hap_site_balancer(const hap_site_t *site, const hap_conf_section_t *vhost,
                                       const char *name);

/**
 * The server for a request: by `host` the first <VirtualHost> of that name; else, or without a
 * host, the main server (NULL) if it has mounts, else the first <VirtualHost> that has.
 */
const hap_conf_section_t *hap_site_server(const hap_site_t *site, const char *host);

/**
 * The mounts that httpd asks in this vhost, in its order (const hap_site_mount_t *): those in
 * <Location>, the vhost's before the main server's, the last one first; then, as they stand, the
 * main server's and the vhost's own.
 */
apr_array_header_t *hap_site_mounts(const hap_site_t *site, const hap_conf_section_t *vhost,
                                    apr_pool_t *pool);

/**
 * How many bytes of a decoded path a context takes, 0 if it does not match: whole segments, any
 * number of slashes for any other number of them, as mod_proxy does.
 */
size_t hap_site_match(const char *path, const char *context);

/**
 * The Path of the cookies that are set for a balancer: where it is mounted, if that is one place
 * outside <Location>, else "/". From `pool`.
 */
const char *hap_site_cookie_path(const hap_site_t *site, const hap_site_balancer_t *balancer,
                                 apr_pool_t *pool);

/** What HABalancer, HACheck or HAZone lines say of a balancer in one vhost. */
typedef struct hap_site_policy_t {
    const char *name; /* as the nearest server's first line writes it */
    /* the nearest server's last line with keys, else its first; NULL: there is none */
    const hap_conf_directive_t *directive;
    union {
        uint64_t set; /* which keys were given; all records begin with it */
        hap_policy_t policy;
        hap_check_policy_t check;
        hap_zone_policy_t zone;
    };
} hap_site_policy_t;

/**
 * Joins the lines of a balancer in the main server and in the vhost, key by key, over the
 * defaults; `options` says which directive. APR_EINVAL with line and sentence when the module
 * would refuse one.
 */
apr_status_t hap_site_policy(hap_site_policy_t *result, const hap_site_t *site,
                             const hap_conf_section_t *vhost, const char *name,
                             const hap_options_t *options, hap_diag_t *diag, apr_pool_t *pool);

/** Reads loadfactor=, lbset= and status= of a member as mod_proxy does; bad ones are defaults. */
hap_site_duty_t hap_site_duty(const hap_site_member_t *member);

/** A worker's URL in mod_proxy's spelling: lower-case host, no default port. From `pool`. */
const char *hap_site_worker_url(const char *url, apr_pool_t *pool);

#endif
