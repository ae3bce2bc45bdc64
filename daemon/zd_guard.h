/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns a process that outlives the daemon by the time of a lease: when the daemon is killed, or
 * stopped, it stops the service before another host may start it. A daemon that is started
 * again in that time takes over, and the service goes on. Does not decide by when: zd_core does.
 */
#ifndef ZD_GUARD_H
#define ZD_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "hap_diag.h"
#include "zd_config.h"
#include "zd_replica.h"

enum { ZD_GUARD_LOOK_MS = 20 /* between two looks at the time */ };

typedef struct zd_guard_t zd_guard_t;

typedef struct zd_guard_conf_t {
    const char *dir;          /* the daemon's own, absolute */
    zd_argv_t ensure_passive; /* what it runs */
    const char *const *env;   /* for that, NAME=VALUE up to NULL */
    const char *const *marks; /* of processes to kill, for zd_reap */
    const char *mark;         /* the file of their shims, for the same */
    const char *watchdog;     /* path of the device; NULL: none */
    unsigned watchdog_s;      /* that it counts down from, at most */
    unsigned after_ms;        /* others may have the lease so long after the service is killed */
    unsigned before_ms;       /* without a daemon it begins to stop the service so long before */
} zd_guard_conf_t;

/** Opens the page of it. `conf` is copied, what it points to is borrowed. NULL with a sentence. */
zd_guard_t *zd_guard_open(const zd_guard_conf_t *conf, hap_diag_t *diag);

/** What earlier daemons have left in the folder when this one opened the guard. */
const zd_left_t *zd_guard_left(const zd_guard_t *guard);

/** By when the service has to be dead, on CLOCK_BOOTTIME in ms; 0: it may live. From the first call
 * on there is a guard, and one that an earlier daemon has left ends. */
void zd_guard_hold(zd_guard_t *guard, uint64_t kill_at_ms);

/** Whether the guard is there, and its watchdog counts if it has one; else a sentence says why not.
 * It may need a moment for that after the first time that is held. */
bool zd_guard_counts(const zd_guard_t *guard, hap_diag_t *diag);

/** Starts another guard if this one was killed or could not be started; to be called about every
 * second. */
void zd_guard_check(zd_guard_t *guard);

/** The daemon ends. The guard stays if a lease is held. */
void zd_guard_close(zd_guard_t *guard);

#endif
