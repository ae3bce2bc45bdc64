/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the scripts of this node: those of its replica, one at a time, and those that start the
 * daemons of other replicas. What they are told is in their environment (doc/replicas.md). Does not
 * decide when they run: zd_core does.
 */
#ifndef ZD_SERVICE_H
#define ZD_SERVICE_H

#include <uv.h>

#include "zd_config.h"
#include "zd_health.h"
#include "zd_replica.h"

typedef struct zd_service_t zd_service_t;

typedef struct zd_service_conf_t {
    uv_loop_t *loop;
    const zd_config_t *config;
    const char *id;  /* this node's */
    const char *dir; /* the daemon's own, absolute */
    /* A script of the replica has ended: exit 0 or 2 in time is well. `said` is a sentence,
     * borrowed. */
    void (*ran)(void *baton, bool well, const char *said);
    void *baton;
} zd_service_conf_t;

/** NULL: no memory. `conf` is copied, what it points to is borrowed. */
zd_service_t *zd_service_open(const zd_service_conf_t *conf);

/** Runs a script of the replica; none is running. `ran` is called later, once. */
void zd_service_run(zd_service_t *service, zd_run_t what, uint64_t epoch);

/** Kills that script, if one runs, with all of its process group. */
void zd_service_kill_script(zd_service_t *service);

/** Kills all that ensure-active has begun, and what that has begun, wherever it is. False: some
 * would not die. */
bool zd_service_kill(zd_service_t *service);

/** Starts the daemon of another replica, unless that is being done. */
void zd_service_restart(zd_service_t *service, unsigned replica);

/** What the last ensure-active or ensure-passive has printed, at most 64 KB; "" none. Borrows until
 * the next one ends. */
const char *zd_service_output(const zd_service_t *service, zd_run_t what);

/** What has been counted, ZD_RUN_COUNT of them; [ZD_RUN_NONE] is restart-hal. Borrows for its life.
 */
const zd_runs_t *zd_service_runs(const zd_service_t *service);

/** Kills the scripts that run, not the service. Frees itself when the loop has turned. */
void zd_service_close(zd_service_t *service);

/** What a script of the replica has in its environment. From `pool`. */
const char *const *zd_service_env(const zd_config_t *config, const char *id, const char *dir,
                                  zd_run_t what, uint64_t epoch, apr_pool_t *pool);

/** What processes of a service have in theirs, for zd_reap. From `pool`. */
const char *const *zd_service_marks(const char *dir, apr_pool_t *pool);

/** The file that their shims have open, for the same. From `pool`. */
const char *zd_service_mark(const char *dir, apr_pool_t *pool);

#endif
