/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what the members' parameters mean for connections. */
#include "mh_lane_reach.h"

#include <apr_strings.h>
#include <http_core.h>
#include <netdb.h>

#include "mh_log.h"

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

static void set_reach(mh_reach_t *reach, mh_member_t *member, ml_lane_t *lane, apr_pool_t *p)
{
    const proxy_worker_shared *worker = member->worker->s;
    const char *name = worker->hostname_ex;
    bool literal = strchr(name, ':') != NULL;
    const char *port =
        worker->port == DEFAULT_HTTP_PORT ? "" : apr_psprintf(p, ":%d", (int)worker->port);
    const char *after = strstr(worker->name_ex, "://");
    const char *path = after ? strchr(after + 3, '/') : NULL;
    size_t path_n = path ? strlen(path) : 0;
    reach->member = member;
    reach->origin.name = name;
    reach->origin.port = worker->port;
    set_times(&reach->origin, worker, member->app->server);
    ml_origin_begin(lane, &reach->origin);
    reach->host = hap_str(apr_pstrcat(p, literal ? "[" : "", name, literal ? "]" : "", port, NULL));
    if (path_n && path[path_n - 1] == '/') {
        path_n--;
    }
    reach->base = hap_strn(path, path_n);
}

void mh_reach_moved(const ml_origin_t *origin)
{
    const mh_reach_t *reach = ML_OWNER(origin, const mh_reach_t, origin);
    const mh_member_t *member = reach->member;
    const ml_addr_t *addr = &origin->addrs.list[0];
    char text[NI_MAXHOST] = "";
    getnameinfo((const struct sockaddr *)&addr->sa, addr->len, text, sizeof(text), NULL, 0,
                NI_NUMERICHOST);
    ap_log_error(APLOG_MARK, APLOG_INFO, 0, member->app->server,
                 "%s: member %s: %s is at %s now, one of %u", member->app->name, member->name,
                 origin->name, text, origin->addrs.n);
}

mh_reach_t **mh_reach_create(ml_lane_t *lane, apr_pool_t *p)
{
    mh_reach_t **reach = apr_pcalloc(p, (size_t)(mh_apps->nelts + 1) * sizeof(*reach));
    for (int i = 0; i < mh_apps->nelts; i++) {
        const mh_app_t *app = mh_app_at(i);
        reach[i] = apr_pcalloc(p, (size_t)(app->members->nelts + 1) * sizeof(**reach));
        for (uint32_t k = 0; k < app->roster->n; k++) {
            set_reach(&reach[i][k], app->roster->members[k].binding, lane, p);
        }
    }
    return reach;
}
