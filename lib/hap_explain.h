/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns replaying off line what happens to one request: the mount, the balancer, the session and
 * the choice, with the code that the module runs. Gives facts; their words are in
 * tools/zero_explain.c.
 */
#ifndef HAP_EXPLAIN_H
#define HAP_EXPLAIN_H

#include "hap_affinity.h"
#include "hap_follow.h"
#include "hap_pick.h"
#include "hap_site.h"
#include "hap_statefile.h"

/** The request and what is known of the server. Borrows everything. */
typedef struct hap_explain_request_t {
    const hap_site_t *site;
    const char *host;         /* of the URL; NULL: not known */
    bool tls;                 /* the client speaks TLS with the proxy */
    hap_str_t target;         /* path and query as the client sends them */
    hap_str_t cookies;        /* value of the Cookie header */
    hap_str_t client;         /* the client's address; empty: not known */
    const hap_state_t *state; /* NULL: nothing is known, so every member is taken as usable */
    const hap_map_t *map;     /* NULL: the members are as configured */
    const hap_sign_t *sign;   /* keys of sign=; NULL: signatures are not looked at */
    int64_t now_s;            /* seconds since 1970, for signed cookies */
} hap_explain_request_t;

/** Who is responsible for the request in the end. */
typedef enum hap_explain_end_t {
    HAP_EXPLAIN_NO_MOUNT, /* no ProxyPass takes it */
    HAP_EXPLAIN_EXCLUDED, /* a ProxyPass with ! leaves it to others */
    HAP_EXPLAIN_PLAIN,    /* one server, no balancer */
    HAP_EXPLAIN_UNKNOWN,  /* a balancer without members in this configuration */
    HAP_EXPLAIN_STOCK,    /* a balancer that is mod_proxy_balancer's */
    HAP_EXPLAIN_MODULE    /* a balancer of ours: what follows is filled in */
} hap_explain_end_t;

/** A member as the choice saw it. */
typedef struct hap_explain_member_t {
    const char *route;
    const char *url; /* as mod_proxy spells it */
    hap_site_duty_t duty;
    int line;                       /* of its BalancerMember; 0: it is the map's alone */
    const hap_map_member_t *mapped; /* what the map says of it; NULL: nothing */
    hap_standing_t standing;
    bool saved;                 /* the state file knows it */
    hap_state_restored_t state; /* only if `saved` */
    hap_admin_t admin;          /* what it is told to do, in the end */
    hap_verdict_t verdict;      /* what is believed of it, in the end */
} hap_explain_member_t;

/** One choice. */
typedef struct hap_explain_choice_t {
    hap_pick_t pick; /* the choice, or one of several, see `among` */
    uint32_t *among; /* members that it could be, by their index; one when it is certain */
    uint32_t among_n;
    const char *url;    /* where the request goes if it is `pick`; NULL: nowhere */
    const char *cookie; /* Set-Cookie value that goes with the answer; NULL: none */
} hap_explain_choice_t;

/** Whether there is a second try when no connection can be made. */
typedef enum hap_explain_retry_t {
    HAP_EXPLAIN_RETRY,      /* `next` is that try */
    HAP_EXPLAIN_NO_RETRIES, /* retries=0 */
    HAP_EXPLAIN_NO_BUDGET,  /* retry-budget=0 */
    HAP_EXPLAIN_STRICT      /* the session is bound to its member */
} hap_explain_retry_t;

/** Everything that happened. */
typedef struct hap_explain_t {
    hap_explain_end_t end;
    const char *path;                /* decoded, as httpd compares it */
    const hap_conf_section_t *vhost; /* NULL: the main server */
    apr_array_header_t *passed;    /* const hap_site_mount_t * that were asked and did not match */
    const hap_site_mount_t *mount; /* the one that takes it; NULL: none */
    const char *url;               /* PLAIN: where the request goes */
    const char *name;              /* of the balancer */

    /* from here on only with the end HAP_EXPLAIN_MODULE */
    const hap_site_balancer_t *balancer;
    hap_site_policy_t policy;
    hap_site_policy_t check;
    hap_site_policy_t zone;
    hap_affinity_rule_t rule;
    hap_affinity_t session;
    const hap_map_app_t *app;            /* in the map; NULL: that does not name the balancer */
    const hap_explain_member_t *members; /* in the order of `roster` */
    uint32_t members_n;
    const hap_roster_t *roster;
    const hap_schedule_t *schedule;
    hap_explain_choice_t first;
    hap_explain_retry_t retry;
    hap_explain_choice_t next; /* when `first` cannot be reached; only with RETRY */
} hap_explain_t;

/**
 * The policy of the balancer that takes the request, or NULL: so that the caller can read the key
 * file of sign=. APR_EINVAL with line and sentence when the target is not one that httpd takes
 * (line 0), or the module would refuse the configuration.
 */
apr_status_t hap_explain_policy(const hap_policy_t **policy, const hap_explain_request_t *request,
                                hap_diag_t *diag, apr_pool_t *pool);

/**
 * Replays the request. Deterministic: the same input gives the same facts, and what the running
 * server would decide by turn or by chance is told as all that it could be. Allocates from `pool`,
 * borrows from the request. Fails as hap_explain_policy does.
 */
apr_status_t hap_explain(hap_explain_t *result, const hap_explain_request_t *request,
                         hap_diag_t *diag, apr_pool_t *pool);

/**
 * The path of a request target as httpd compares it with contexts: decoded, without doubled
 * slashes. APR_EINVAL with a sentence for what httpd refuses by default (`%2F`, `%00`, a bad
 * escape, a blank or a control byte) and for `.` and `..` segments, which it resolves first.
 * Allocates from `pool`.
 */
apr_status_t hap_explain_path(const char **path, hap_str_t target, hap_diag_t *diag,
                              apr_pool_t *pool);

#endif
