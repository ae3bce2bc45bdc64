/* SPDX-License-Identifier: Apache-2.0 */
/* Owns making workers at run time, and what they take over from one of the configuration. */
#include "mh_worker.h"

#include <apr_strings.h>
#include <stdatomic.h>

/* What belongs to one process's or one moment's use of a worker, and not to its parameters. */
static const unsigned not_taken_over = PROXY_WORKER_INITIALIZED | PROXY_WORKER_IN_ERROR |
                                       PROXY_WORKER_DISABLED | PROXY_WORKER_STOPPED |
                                       PROXY_WORKER_DRAIN | PROXY_WORKER_HOT_STANDBY |
                                       PROXY_WORKER_HOT_SPARE | PROXY_WORKER_HC_FAIL;

/* The parameters of one worker for the address of another. */
static void take_over(proxy_worker_shared *to, const proxy_worker_shared *from, const char *route)
{
    const proxy_worker_shared own = *to;
    *to = *from;
    memcpy(to->name, own.name, sizeof(own.name));
    memcpy(to->name_ex, own.name_ex, sizeof(own.name_ex));
    memcpy(to->scheme, own.scheme, sizeof(own.scheme));
    memcpy(to->hostname, own.hostname, sizeof(own.hostname));
    memcpy(to->hostname_ex, own.hostname_ex, sizeof(own.hostname_ex));
    memcpy(to->uds_path, own.uds_path, sizeof(own.uds_path));
    apr_cpystrn(to->route, route, sizeof(to->route));
    to->redirect[0] = '\0';
    to->port = own.port;
    to->hash = own.hash;
    to->was_malloced = own.was_malloced;
    to->context = NULL;
    to->index = 0;
    to->address_expiry = 0;
    to->status = (from->status & ~not_taken_over) | PROXY_WORKER_IGNORE_ERRORS;
    to->error_time = 0;
    to->retries = to->lbstatus = 0;
    to->elected = to->busy = 0;
    to->transferred = to->read = 0;
}

mh_worker_t *mh_worker_make(const char *url, const char *route, const proxy_worker *like,
                            const proxy_worker_shared *model, server_rec *s, apr_pool_t *parent,
                            const char **why, apr_pool_t *p)
{
    static _Atomic uint64_t serials;
    apr_pool_t *pool;
    proxy_worker *worker = NULL;
    apr_pool_create(&pool, parent);
    apr_pool_tag(pool, "mod_haproxy_worker");
    const char *error = ap_proxy_define_worker(pool, &worker, NULL, NULL, url, 0);
    if (!error) {
        worker->balancer = like->balancer;
        worker->section_config = like->section_config;
        take_over(worker->s, model, route);
        bool made = ap_proxy_initialize_worker(worker, s, pool) == APR_SUCCESS;
        error = made ? NULL : "mod_proxy has no room for it";
    }
    if (error) {
        *why = apr_pstrdup(p, error);
        apr_pool_destroy(pool);
        return NULL;
    }
    mh_worker_t *made = apr_pcalloc(pool, sizeof(*made));
    *made = (mh_worker_t){
        .worker = worker,
        .url = apr_pstrdup(pool, url),
        .serial = atomic_fetch_add(&serials, 1) + 1,
        .users = 1,
        .pool = pool,
    };
    return made;
}

void mh_worker_hold(mh_worker_t *worker)
{
    atomic_fetch_add(&worker->users, 1);
}

void mh_worker_drop(mh_worker_t *worker)
{
    if (atomic_fetch_sub(&worker->users, 1) == 1) {
        apr_pool_destroy(worker->pool);
    }
}

const char *mh_worker_url(const char *url, const proxy_worker *like, apr_pool_t *p)
{
    const char *host = strstr(like->s->name_ex, "://");
    const char *path = host ? strchr(host + 3, '/') : NULL;
    return path ? apr_pstrcat(p, url, path, NULL) : url;
}

bool mh_worker_is_at(const proxy_worker *worker, const char *url, apr_pool_t *p)
{
    const proxy_worker_shared *s = worker->s;
    bool literal = strchr(s->hostname_ex, ':') != NULL;
    const char *own = apr_psprintf(p, "%s://%s%s%s:%d", s->scheme, literal ? "[" : "",
                                   s->hostname_ex, literal ? "]" : "", (int)s->port);
    return !*s->uds_path && ap_cstr_casecmp(own, url) == 0;
}
