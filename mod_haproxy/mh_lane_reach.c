/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what the members' parameters mean for connections. */
#include "mh_lane_reach.h"

#include <apr_strings.h>
#include <http_core.h>
#include <netdb.h>
#include <stdlib.h>

#include "mh_log.h"
#include "mh_shared.h"

/** A member as one loop reaches it. On the heap. */
typedef struct reach_t {
    ml_origin_t origin;
    struct reach_t *next; /* of those that are retired */
    const mh_app_t *app;
    uint64_t serial;               /* of the worker that was made for it; 0 it was not */
    char route[HAP_ROUTE_MAX + 1]; /* of the member */
    char host[PROXY_RFC1035_HOSTNAME_SIZE];
} reach_t;

struct mh_reaches_t {
    ml_lane_t *lane;
    reach_t **at;     /* by slot */
    reach_t *retired; /* until they are over */
};

enum { SPARE_MAX = 1000 /* connections to one member that wait, for each loop */ };

static const apr_interval_time_t spare_keep = 60 * APR_USEC_PER_SEC;

static void set_times(ml_origin_t *origin, const proxy_worker_shared *worker, server_rec *s)
{
    const proxy_server_conf *conf = ap_get_module_config(s->module_config, &proxy_module);
    origin->timeout = worker->timeout_set ? worker->timeout
                      : conf->timeout_set ? conf->timeout
                                          : s->timeout;
    origin->connect_timeout = worker->conn_timeout_set ? worker->conn_timeout : origin->timeout;
    origin->keep = worker->disablereuse ? 0 : worker->ttl ? worker->ttl : spare_keep;
    origin->spare_max = SPARE_MAX;
    int ttl_s = worker->address_ttl_set && worker->address_ttl >= 0 ? worker->address_ttl
                : worker->disablereuse                              ? 0
                                                                    : ML_RESOLVE_EVERY_S;
    origin->name_keep = apr_time_from_sec(ttl_s > 0 ? ttl_s : ML_RESOLVE_LEAST_S);
}

static uint64_t serial_of(const mh_member_t *member)
{
    return member->hired ? member->hired->serial : 0;
}

static reach_t *make_reach(mh_reaches_t *reaches, const mh_member_t *member)
{
    const proxy_worker_shared *worker = member->worker->s;
    reach_t *reach = calloc(1, sizeof(*reach));
    if (!reach) {
        return NULL;
    }
    reach->app = member->app;
    reach->serial = serial_of(member);
    apr_cpystrn(reach->route, member->name, sizeof(reach->route));
    apr_cpystrn(reach->host, worker->hostname_ex, sizeof(reach->host));
    reach->origin.name = reach->host;
    reach->origin.port = worker->port;
    set_times(&reach->origin, worker, member->app->server);
    ml_origin_begin(reaches->lane, &reach->origin);
    return reach;
}

void mh_reach_moved(const ml_origin_t *origin)
{
    const reach_t *reach = ML_OWNER(origin, const reach_t, origin);
    const ml_addr_t *addr = &origin->addrs.list[0];
    char text[NI_MAXHOST] = "";
    getnameinfo((const struct sockaddr *)&addr->sa, addr->len, text, sizeof(text), NULL, 0,
                NI_NUMERICHOST);
    ap_log_error(APLOG_MARK, APLOG_INFO, 0, reach->app->server,
                 "%s: member %s: %s is at %s now, one of %u", reach->app->name, reach->route,
                 origin->name, text, origin->addrs.n);
}

static void retire(mh_reaches_t *reaches, uint32_t slot)
{
    reach_t *reach = reaches->at[slot];
    reaches->at[slot] = NULL;
    ml_origin_retire(&reach->origin);
    reach->next = reaches->retired;
    reaches->retired = reach;
}

/* Another address has an origin of its own: requests that are under way keep theirs. */
static reach_t *reach_to(mh_reaches_t *reaches, const mh_member_t *member)
{
    reach_t **at = &reaches->at[member->slot];
    if (*at && (*at)->serial != serial_of(member)) {
        retire(reaches, member->slot);
    }
    if (!*at) {
        *at = make_reach(reaches, member);
    }
    return *at;
}

ml_origin_t *mh_reaches_origin(mh_reaches_t *reaches, const mh_choice_t *choice)
{
    reach_t *reach = reach_to(reaches, mh_choice_member(choice));
    return reach ? &reach->origin : NULL;
}

static void follow(mh_reaches_t *reaches, const mh_lineup_t *lineup)
{
    for (uint32_t i = 0; i < lineup->roster->n; i++) {
        const mh_member_t *member = mh_lineup_member(lineup, i);
        const reach_t *reach = reaches->at[member->slot];
        bool serves = member->standing == HAP_STANDING_SERVES;
        if (reach && (!serves || reach->serial != serial_of(member))) {
            retire(reaches, member->slot);
        }
    }
}

/* They may be in use by an attempt that is just being made anew, but not between two turns. */
static void free_retired(mh_reaches_t *reaches)
{
    reach_t **at = &reaches->retired;
    while (*at) {
        reach_t *reach = *at;
        if (!ml_origin_is_over(&reach->origin)) {
            at = &reach->next;
            continue;
        }
        *at = reach->next;
        ml_origin_end(&reach->origin);
        free(reach);
    }
}

void mh_reaches_follow(mh_reaches_t *reaches)
{
    for (int i = 0; i < mh_apps->nelts; i++) {
        mh_choice_t now = {.app = mh_app_at(i)};
        mh_choice_hold(&now);
        follow(reaches, mh_choice_lineup(&now));
        mh_choice_end(&now);
    }
    free_retired(reaches);
}

mh_reaches_t *mh_reaches_create(ml_lane_t *lane, apr_pool_t *p)
{
    mh_reaches_t *reaches = apr_pcalloc(p, sizeof(*reaches));
    reaches->lane = lane;
    reaches->at = apr_pcalloc(p, (mh_shared->view.geometry.slots + 1) * sizeof(*reaches->at));
    for (int i = 0; i < mh_apps->nelts; i++) {
        const mh_lineup_t *lineup = mh_app_at(i)->lineup;
        for (uint32_t k = 0; k < lineup->roster->n; k++) {
            const mh_member_t *member = mh_lineup_member(lineup, k);
            if (member->plain && member->standing == HAP_STANDING_SERVES) {
                reach_to(reaches, member);
            }
        }
    }
    return reaches;
}
