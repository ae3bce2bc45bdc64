/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what the replica of a node does (doc/replicas.md): which script runs and when, which lease
 * it claims, and by when its service has to be stopped. Pure: is told the time and what happened,
 * and says what is to be done. Does not run scripts, and does not decide who is active: the leader
 * does.
 *
 * All times are ms of one clock that never stops or steps (CLOCK_BOOTTIME), never those of another
 * host.
 */
#ifndef ZD_REPLICA_H
#define ZD_REPLICA_H

#include <stdbool.h>
#include <stdint.h>

#include "zd_beat.h"

/** What a replica is, as V(NAME, "word"). */
#define ZD_ROLES(V)                                                                                \
    V(UNSURE, "unsure")     /* the daemon has begun; whether the service runs is not known */      \
    V(PASSIVE, "passive")   /* the service is stopped, or waits */                                 \
    V(TAKING, "taking")     /* has the lease; ensure-active has not succeeded yet */               \
    V(ACTIVE, "active")     /* has the lease, and the service runs */                              \
    V(STOPPING, "stopping") /* is to be passive; ensure-passive has not succeeded yet */

#define ZD_ROLE_ENUM(name, word) ZD_ROLE_##name,
typedef enum zd_role_t { ZD_ROLES(ZD_ROLE_ENUM) ZD_ROLE_COUNT } zd_role_t;
#undef ZD_ROLE_ENUM

extern const char *const zd_role_names[ZD_ROLE_COUNT];

/** A script, or none. */
typedef enum zd_run_t { ZD_RUN_NONE, ZD_RUN_ACTIVE, ZD_RUN_PASSIVE, ZD_RUN_COUNT } zd_run_t;

extern const char *const zd_run_names[ZD_RUN_COUNT];

enum {
    ZD_ROUND_MS_MIN = 200, /* between the beginnings of two runs */
    ZD_ROUND_MS_MAX = 10000
};

/** How long things take: all follows from the lease's time. */
typedef struct zd_times_t {
    unsigned timeout_ms; /* a lease, counted from the time that its renewal was sent */
    unsigned round_ms;   /* a script runs so often */
    unsigned stop_ms;  /* so long after that time without a new one the service is being stopped */
    unsigned kill_ms;  /* so long after that time it is killed */
    unsigned guard_ms; /* and by now by whoever watches over the daemon, if that did not */
    unsigned
        watchdog_s; /* that a device counts down from; it is fed in the first half of the time */
} zd_times_t;

zd_times_t zd_times(unsigned timeout_ms);

/** A replica. Read it; change it through the functions. */
typedef struct zd_replica_t {
    zd_times_t times;
    unsigned retries; /* times in a row that a script may fail */
    zd_role_t role;
    const char *why;   /* of the last change of it; static */
    uint64_t since_ms; /* of that */
    uint64_t epoch;    /* of the lease that it has, or is to give back */
    uint64_t offered;  /* epoch of the lease that is this replica's by the leader's word; 0: none */
    uint64_t stopped;  /* leases up to this epoch are over here, and the service is stopped */
    uint64_t proven_ms;  /* when the renewal was sent that proves the lease, or the daemon began */
    bool proven;         /* it was a renewal: this run of the daemon has had a lease */
    uint64_t kill_at_ms; /* what an earlier run has left is killed then; 0: it has left nothing */
    bool was_told;       /* the leader was heard in this run */
    zd_run_t running;
    bool killed;         /* that one was: how it ends does not count */
    uint64_t run_ms;     /* when that began */
    uint64_t next_ms;    /* when the next one begins */
    unsigned fails;      /* in a row, of what runs in this role */
    uint64_t waiting_ms; /* since when it waits for the lease */
    uint64_t asks_ms;    /* it would not take the lease before */
    bool paused;         /* rounds rest */
} zd_replica_t;

/** What is to be done now. */
typedef struct zd_orders_t {
    bool kill_script;  /* the one that runs, and all of its group; it ends in zd_replica_ran */
    bool kill_service; /* whatever ensure-active has begun */
    zd_run_t run;      /* begin this one */
    bool beat;         /* something has changed that the leader waits for */
    bool changed;      /* `role` is another one */
} zd_orders_t;

/** What the leader says. */
typedef struct zd_word_t {
    uint64_t epoch;   /* of the lease that is this replica's; 0: it is another's, or nobody's */
    bool proves;      /* it is the answer to a beat that claimed that lease */
    uint64_t sent_ms; /* when that beat was sent */
    bool yield;       /* it is to be given back */
    bool paused;
} zd_word_t;

/** Begins, when the daemon does. */
void zd_replica_begin(zd_replica_t *replica, unsigned timeout_ms, unsigned retries,
                      uint64_t now_ms);

/** What earlier runs of the daemon have left in its folder. */
typedef struct zd_left_t {
    char home[ZD_HOME_BYTES]; /* names the folder; "": there is none */
    uint64_t kill_at_ms;      /* the guard was told to kill the service then; 0: that was undone */
} zd_left_t;

/** A lease from before may be taken up if an earlier run has not stopped it, and is given back if
 * it has. */
void zd_replica_resume(zd_replica_t *replica, const zd_left_t *left);

/** Time has passed: to be called at least every ZD_ROUND_MS_MIN / 4. */
zd_orders_t zd_replica_tick(zd_replica_t *replica, uint64_t now_ms);

/** The leader has said something. */
zd_orders_t zd_replica_told(zd_replica_t *replica, const zd_word_t *word, uint64_t now_ms);

/** The script that was begun has ended. */
zd_orders_t zd_replica_ran(zd_replica_t *replica, bool well, uint64_t now_ms);

/** The epoch that a beat claims; 0: none. */
uint64_t zd_replica_claim(const zd_replica_t *replica);

/** Whether it would take the lease. */
bool zd_replica_wants(const zd_replica_t *replica, uint64_t now_ms);

/** Whether its service is the active one at this time: a role that is looked at late may be over.
 */
bool zd_replica_is_active(const zd_replica_t *replica, uint64_t now_ms);

/** How long its lease holds unless it is renewed; 0: it has none. */
uint64_t zd_replica_left_ms(const zd_replica_t *replica, uint64_t now_ms);

/** When the service is killed by who watches over the daemon, unless the lease is renewed; 0: it
 * has none, or none that this run of the daemon has proven: what an earlier one has said holds
 * until the replica is passive. */
uint64_t zd_replica_deadline(const zd_replica_t *replica);

#endif
