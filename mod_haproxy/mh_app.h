/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the applications: each balancer that HABalancer names, joined from mod_proxy's members and
 * our directives, with its shared slots. Does not serve requests: mh_proxy does.
 */
#ifndef MH_APP_H
#define MH_APP_H

#include <httpd.h>
#include <mod_proxy.h>

#include "hap_affinity.h"
#include "hap_check.h"
#include "hap_epoch.h"
#include "hap_pick.h"
#include "hap_zone_keys.h"
#include "hap_zone_spec.h"
#include "hap_zone_token.h"
#include "mh_config.h"
#include "mh_worker.h"

typedef struct mh_lineup_t mh_lineup_t;

/** A member: mod_proxy's worker and where its state is. Bound to hap_member_t.binding. */
typedef struct mh_member_t {
    struct mh_app_t *app;
    proxy_worker *worker;     /* that carries its requests; NULL: it is gone */
    proxy_worker *own_worker; /* its BalancerMember; NULL: it is the map's alone */
    const char *name;         /* the member's route */
    hap_admin_t configured;   /* what status= says */
    uint32_t slot;            /* in the shared segment */

    const proxy_worker_shared
        *model; /* what own_worker was at the start; NULL: no map is followed */

    /* in a line-up */
    hap_standing_t standing;
    bool kept;                /* the map has taken it out, but nobody else could be used */
    mh_worker_t *hired;       /* `worker` was made for the map; NULL: it was not */
    const proxy_worker *like; /* whose parameters that has */
    hap_str_t host;           /* name and port, as in Host */
    hap_str_t base;           /* path of its URL */
    hap_str_t own_url;        /* hired: its URL, without a slash at its end */
    hap_str_t like_url;       /* likewise: that of `like` */
    bool plain;               /* plain HTTP over TCP: what the lane speaks */
} mh_member_t;

/** An application. Made by the parent, read-only in children but for what is marked. */
typedef struct mh_app_t {
    const char *name;   /* in logs, files and shared memory; with its host when not unique */
    const char *label;  /* the balancer's name as HABalancer wrote it */
    const char *url;    /* the balancer's name as mod_proxy has it, balancer://app */
    server_rec *server; /* where it was defined */
    const mh_named_t *conf;
    const mh_named_t *check_conf; /* NULL: no HACheck */
    hap_policy_t policy;
    hap_health_rule_t rule;
    hap_check_t check;
    hap_affinity_rule_t affinity;
    const char *cookie_path;               /* Path of cookies that we set */
    const apr_array_header_t *workers;     /* mod_proxy's own list, which copies share */
    const apr_array_header_t *errstatuses; /* of int: ProxySet failonstatus=; may be NULL */
    bool failontimeout;                    /* ProxySet failontimeout= */
    apr_array_header_t *members;           /* of mh_member_t, as configured */
    bool follows;                          /* the map, if that names it */
    int index;                             /* in mh_apps */
    uint32_t balancer;                     /* in the shared segment; stays its over restarts */
    bool method_only; /* ProxySet lbmethod=ha: mod_proxy_balancer does the rest */

    /* HAZone; all of it is zero without. */
    const mh_named_t *zone_conf; /* NULL: no HAZone */
    hap_zone_policy_t zone_policy;
    hap_zone_spec_t zone_spec;
    unsigned zone_kinds;              /* HAP_ZONE_USER, HAP_ZONE_STORAGE */
    const hap_zone_keys_t *zone_keys; /* NULL: none given, which only a SHM store may do without */
    const hap_zone_token_t *zone_token; /* no other application's; NULL: none given */

    /* per child */
    _Atomic(const hap_schedule_t *) schedule; /* any thread reads, the loop thread replaces */
    mh_lineup_t *lineup; /* whose that is; loop thread, and any thread where nothing is followed */
    hap_epoch_t epoch;   /* guards schedule and lineup */
    hap_stalls_t stalls; /* members that hold this child's threads */
    _Atomic bool stale;  /* the loop was told to replace the schedule */
} mh_app_t;

/** All applications of this configuration, in its order. */
extern apr_array_header_t *mh_apps; /* of mh_app_t * */

/**
 * Builds the applications from the configuration. Says what is wrong, with file and line, in the
 * log; APR_EINVAL then. Parent, check_config.
 */
apr_status_t mh_apps_build(apr_pool_t *p, server_rec *s);

/** Gives every member its shared slot and makes the rosters. Parent, post_config. */
apr_status_t mh_apps_attach(apr_pool_t *p);

/** The application that this balancer is, or NULL when it is mod_proxy_balancer's. */
mh_app_t *mh_app_of(const proxy_balancer *balancer);

/** By name, as HABalancer writes it or as logs do; NULL if there is none. */
mh_app_t *mh_app_find(const char *name);

static inline mh_member_t *mh_app_member(const mh_app_t *app, int i)
{
    return &APR_ARRAY_IDX(app->members, i, mh_member_t);
}

static inline mh_app_t *mh_app_at(int i)
{
    return APR_ARRAY_IDX(mh_apps, i, mh_app_t *);
}

/**
 * Says what is wrong with a directive, and where it stands, in the log. APR_EINVAL. Parent,
 * check_config.
 */
apr_status_t mh_app_refuse(const mh_app_t *app, const mh_named_t *conf, apr_pool_t *p,
                           const char *why);

/** The same of one of its keys: the place is where that is given, if it is. */
apr_status_t mh_app_refuse_key(const mh_app_t *app, const mh_named_t *conf, const char *key,
                               apr_pool_t *p, const char *why);

/** Whether failonstatus= says that a member fails with this answer. */
bool mh_app_fails_by_status(const mh_app_t *app, int status);

/** A WebSocket server does so too: what makes a connection one is an HTTP request. */
bool mh_speaks_http(const proxy_worker *worker);

/** The admin state that mod_proxy's status flags stand for. */
hap_admin_t mh_admin_of(unsigned status);

/** Writes an admin state into mod_proxy's flags, so that balancer-manager shows it. */
void mh_admin_show(proxy_worker *worker, hap_admin_t admin);

#endif
