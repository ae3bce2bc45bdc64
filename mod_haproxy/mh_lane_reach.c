/* SPDX-License-Identifier: Apache-2.0 */
/* Owns looking members up, and what their parameters mean for connections. */
#include "mh_lane_reach.h"

#include <apr_strings.h>
#include <http_core.h>
#include <netdb.h>

enum { SPARE_MAX = 1000 /* connections to one member that wait, for each loop */ };

static const apr_interval_time_t spare_keep = 60 * APR_USEC_PER_SEC;

static void set_address(ml_origin_t *origin, const proxy_worker_shared *worker)
{
    struct addrinfo *found = NULL;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    char port[8];
    apr_snprintf(port, sizeof(port), "%d", worker->port);
    if (getaddrinfo(worker->hostname_ex, port, &hints, &found) == 0 &&
        found->ai_addrlen <= sizeof(origin->address)) {
        memcpy(&origin->address, found->ai_addr, found->ai_addrlen);
        origin->address_n = found->ai_addrlen;
    }
    if (found) {
        freeaddrinfo(found);
    }
}

static void set_times(ml_origin_t *origin, const proxy_worker_shared *worker, server_rec *s)
{
    const proxy_server_conf *conf = ap_get_module_config(s->module_config, &proxy_module);
    origin->timeout = worker->timeout_set ? worker->timeout
                      : conf->timeout_set ? conf->timeout
                                          : s->timeout;
    origin->connect_timeout = worker->conn_timeout_set ? worker->conn_timeout : origin->timeout;
    origin->keep = worker->disablereuse ? 0 : worker->ttl ? worker->ttl : spare_keep;
    origin->spare_max = SPARE_MAX;
}

static void set_reach(mh_reach_t *reach, const mh_member_t *member, apr_pool_t *p)
{
    const proxy_worker_shared *worker = member->worker->s;
    const char *name = worker->hostname_ex;
    bool literal = strchr(name, ':') != NULL;
    const char *port =
        worker->port == DEFAULT_HTTP_PORT ? "" : apr_psprintf(p, ":%d", (int)worker->port);
    const char *after = strstr(worker->name_ex, "://");
    const char *path = after ? strchr(after + 3, '/') : NULL;
    size_t path_n = path ? strlen(path) : 0;
    ml_origin_init(&reach->origin);
    set_address(&reach->origin, worker);
    set_times(&reach->origin, worker, member->app->server);
    reach->host = hap_str(apr_pstrcat(p, literal ? "[" : "", name, literal ? "]" : "", port, NULL));
    if (path_n && path[path_n - 1] == '/') {
        path_n--;
    }
    reach->base = hap_strn(path, path_n);
}

mh_reach_t **mh_reach_create(apr_pool_t *p)
{
    mh_reach_t **reach = apr_pcalloc(p, (size_t)(mh_apps->nelts + 1) * sizeof(*reach));
    for (int i = 0; i < mh_apps->nelts; i++) {
        const mh_app_t *app = mh_app_at(i);
        reach[i] = apr_pcalloc(p, (size_t)(app->members->nelts + 1) * sizeof(**reach));
        for (uint32_t k = 0; k < app->roster->n; k++) {
            set_reach(&reach[i][k], app->roster->members[k].binding, p);
        }
    }
    return reach;
}
