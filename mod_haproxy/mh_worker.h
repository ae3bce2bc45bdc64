/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns mod_proxy's workers for addresses that the configuration does not have. They are made in a
 * child while it serves, stand in no balancer's list, never change, and go with the last line-up
 * that has them.
 */
#ifndef MH_WORKER_H
#define MH_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include <mod_proxy.h>

/** Such a worker. */
typedef struct mh_worker_t {
    proxy_worker *worker;
    const char *url;        /* that it was made for */
    uint64_t serial;        /* of all that this child has made, from 1 */
    _Atomic unsigned users; /* line-ups that have it */
    apr_pool_t *pool;
} mh_worker_t;

/**
 * A worker for `url`, with the parameters that `like` had as `model`, and one user; `parent`'s
 * allocator is used by several threads. NULL with `why`, from `p`, when mod_proxy does not take it.
 * Not in a request's thread: it waits for a lock of all processes.
 */
mh_worker_t *mh_worker_make(const char *url, const char *route, const proxy_worker *like,
                            const proxy_worker_shared *model, server_rec *s, apr_pool_t *parent,
                            const char **why, apr_pool_t *p);

/** One user more, or less: the last one frees it, and closes its connections. Any thread. */
void mh_worker_hold(mh_worker_t *worker);
void mh_worker_drop(mh_worker_t *worker);

/**
 * `scheme://host:port` of the map, with the path that members of `like` are asked for. From `p`.
 */
const char *mh_worker_url(const char *url, const proxy_worker *like, apr_pool_t *p);

/** The worker is for just this scheme, host and port. */
bool mh_worker_is_at(const proxy_worker *worker, const char *url, apr_pool_t *p);

#endif
