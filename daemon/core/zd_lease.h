/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what a leader knows of the lease of an application, and whom it gives it to
 * (doc/replicas.md). Its memory alone, on its own clock: agreed on is only who was given it, and
 * the epoch of that. Pure. Does not know how a holder stops: zd_replica does.
 */
#ifndef ZD_LEASE_H
#define ZD_LEASE_H

#include "zd_cluster.h"
#include "zd_command.h"
#include "zd_config.h"
#include "zd_roll.h"

enum {
    ZD_FIRST_MS = 2000, /* for all replicas to be heard of, before the first one is given a lease */
    ZD_WAITING_SAME_MS = 2000 /* waiting longer than another one by less than that does not count */
};

typedef struct zd_lease_t {
    unsigned timeout_ms;
    unsigned drift_ms;                /* by which two hosts' clocks may differ over that time */
    uint64_t ready_ms;                /* since when this node leads */
    uint64_t floor_ms;                /* what a leader before may have renewed is over by then */
    uint64_t epoch;                   /* the lease that the rest is about */
    uint64_t end_ms;                  /* what this leader has renewed is over by then */
    char to[HAP_ROUTE_MAX_BYTES + 1]; /* route that it is to move to by hand; "": none */
    uint64_t to_ms;                   /* when that is given up */
} zd_lease_t;

/** This node has become the leader. An earlier one may go on renewing for two election timeouts
 * after it was cut off. */
void zd_lease_begin(zd_lease_t *lease, unsigned timeout_ms, unsigned election_ms, uint64_t now_ms);

/** Looks at what is agreed on now: to be called after each change of it. */
void zd_lease_look(zd_lease_t *lease, const zd_app_t *app, uint64_t now_ms);

/** Whether a beat is of the daemon that was given it, and not of another one that goes by the same
 * id. `route` is that of the node's replica; NULL: it has none. */
bool zd_lease_is_holder(const zd_app_t *app, const char *route, const zd_beat_t *beat);

/** Whether the claim of a beat is good, which renews the lease. `route` is that of the node's
 * replica. */
bool zd_lease_renew(zd_lease_t *lease, const zd_app_t *app, const char *route,
                    const zd_beat_t *beat, uint64_t now_ms);

/** Whether the holder is to give it back. */
bool zd_lease_yields(const zd_lease_t *lease, const zd_app_t *app);

/** The next grant or release, less client, seq, at_ms and by; false when there is none now.
 * Borrows. */
bool zd_lease_next(zd_command_t *command, const zd_lease_t *lease, const zd_app_t *app,
                   const zd_config_t *config, const zd_roll_t *roll, uint64_t now_ms);

/** By hand: it is to move to this replica. NULL, or why not; static. */
const char *zd_lease_move(zd_lease_t *lease, const zd_app_t *app, const zd_config_t *config,
                          const zd_roll_t *roll, unsigned replica, uint64_t now_ms);

#endif
