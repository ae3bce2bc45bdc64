/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the table of a replica's states.
 *
 * A lease counts from the time that its last renewal was sent, so it ends here before it ends for
 * the leader, which counts from the time that it was heard:
 *
 *     sent       stop_ms           kill_ms  guard_ms  timeout_ms
 *      |- active -|- ensure-passive -| killed  |         |
 *            heard                                           given to another one
 *             |------------------- timeout_ms + drift ------------|
 */
#include "zd_replica.h"

#include <stddef.h>

enum {
    ROUNDS = 5,           /* in the time of a lease */
    STOP_TENTHS = 6,      /* of the lease; before that a leader may be lost and another one found */
    KILL_TENTHS = 8,      /* of the lease */
    GUARD_TENTHS = 9,     /* of the lease */
    ASKS_AGAIN_LEASES = 1 /* that a replica which gave up waits for */
};

const char *const zd_role_names[] = {
#define ZD_ROLE_NAME(name, word) [ZD_ROLE_##name] = word,
    ZD_ROLES(ZD_ROLE_NAME)
#undef ZD_ROLE_NAME
};

const char *const zd_run_names[] = {"none", "ensure-active", "ensure-passive"};

zd_times_t zd_times(unsigned timeout_ms)
{
    unsigned round = timeout_ms / ROUNDS;
    round = round < ZD_ROUND_MS_MIN ? ZD_ROUND_MS_MIN : round;
    return (zd_times_t){
        .timeout_ms = timeout_ms,
        .round_ms = round < ZD_ROUND_MS_MAX ? round : ZD_ROUND_MS_MAX,
        .stop_ms = timeout_ms / 10 * STOP_TENTHS,
        .kill_ms = timeout_ms / 10 * KILL_TENTHS,
        .guard_ms = timeout_ms / 10 * GUARD_TENTHS,
        .watchdog_s = timeout_ms / 2 / 1000,
    };
}

/* --- the table -------------------------------------------------------------------------------- */

typedef enum event_t {
    LEASE, /* proven */
    NONE,  /* by the leader's word there is none, or it is to be given back */
    LATE,  /* it has not been renewed for stop_ms */
    GOOD,  /* the role's script has succeeded */
    BAD,   /* it has failed as often as it may */
    END,   /* the lease has not been renewed for kill_ms */
    EVENTS
} event_t;

typedef struct next_t {
    zd_role_t role;
    const char *why;
} next_t;

/* Where there is no reason nothing changes. */
static const next_t table[ZD_ROLE_COUNT][EVENTS] = {
    [ZD_ROLE_UNSURE] =
        {
            [LEASE] = {ZD_ROLE_TAKING, "its lease still holds"},
            [NONE] = {ZD_ROLE_STOPPING, "the lease is not its own"},
            [LATE] = {ZD_ROLE_STOPPING, "there is no leader to be heard"},
        },
    [ZD_ROLE_PASSIVE] =
        {
            [LEASE] = {ZD_ROLE_TAKING, "it was given the lease"},
        },
    [ZD_ROLE_TAKING] =
        {
            [NONE] = {ZD_ROLE_STOPPING, "the lease is to be given back"},
            [LATE] = {ZD_ROLE_STOPPING, "the lease could not be renewed"},
            [GOOD] = {ZD_ROLE_ACTIVE, "ensure-active succeeded"},
            [BAD] = {ZD_ROLE_STOPPING, "ensure-active failed too often"},
            [END] = {ZD_ROLE_PASSIVE, "the lease ran out"},
        },
    [ZD_ROLE_ACTIVE] =
        {
            [NONE] = {ZD_ROLE_STOPPING, "the lease is to be given back"},
            [LATE] = {ZD_ROLE_STOPPING, "the lease could not be renewed"},
            [BAD] = {ZD_ROLE_STOPPING, "ensure-active failed too often"},
            [END] = {ZD_ROLE_PASSIVE, "the lease ran out"},
        },
    [ZD_ROLE_STOPPING] =
        {
            [GOOD] = {ZD_ROLE_PASSIVE, "ensure-passive succeeded"},
            [BAD] = {ZD_ROLE_PASSIVE, "ensure-passive failed too often"},
            [END] = {ZD_ROLE_PASSIVE, "the lease ran out"},
        },
};

static const zd_run_t script[ZD_ROLE_COUNT] = {
    [ZD_ROLE_UNSURE] = ZD_RUN_NONE,      [ZD_ROLE_PASSIVE] = ZD_RUN_PASSIVE,
    [ZD_ROLE_TAKING] = ZD_RUN_ACTIVE,    [ZD_ROLE_ACTIVE] = ZD_RUN_ACTIVE,
    [ZD_ROLE_STOPPING] = ZD_RUN_PASSIVE,
};

static bool holds(const zd_replica_t *replica)
{
    return replica->role == ZD_ROLE_TAKING || replica->role == ZD_ROLE_ACTIVE ||
           replica->role == ZD_ROLE_STOPPING;
}

static void kill_script(zd_replica_t *replica, zd_orders_t *orders)
{
    orders->kill_script = replica->running != ZD_RUN_NONE;
    replica->killed = orders->kill_script;
}

/* Whoever becomes passive has nothing left of ensure-active, whatever ensure-passive says of it:
 * that may lie, not know what an ensure-active that was killed had just begun, or have run before
 * one of an earlier daemon came to its end. */
static void happens(zd_replica_t *replica, event_t event, uint64_t now, zd_orders_t *orders)
{
    const next_t *next = &table[replica->role][event];
    if (!next->why) {
        return;
    }
    if (event == BAD && holds(replica)) {
        replica->asks_ms = now + ASKS_AGAIN_LEASES * replica->times.timeout_ms;
    }
    if (next->role == ZD_ROLE_PASSIVE) {
        orders->kill_service = true;
        kill_script(replica, orders);
        replica->stopped = replica->epoch > replica->stopped ? replica->epoch : replica->stopped;
        replica->waiting_ms = replica->epoch ? now : replica->waiting_ms;
    }
    if (script[next->role] != script[replica->role]) {
        replica->next_ms = now;
    }
    replica->role = next->role;
    replica->why = next->why;
    replica->since_ms = now;
    replica->fails = 0;
    orders->changed = true;
    orders->beat = true;
}

/* --- rounds ----------------------------------------------------------------------------------- */

/* One script at a time; what makes the service run gives way to what stops it, not the other way
 * round. */
static void run_next(zd_replica_t *replica, uint64_t now, zd_orders_t *orders)
{
    zd_run_t wanted = script[replica->role];
    bool changes = replica->role == ZD_ROLE_TAKING || replica->role == ZD_ROLE_STOPPING;
    if (replica->running == ZD_RUN_ACTIVE && wanted == ZD_RUN_PASSIVE) {
        kill_script(replica, orders);
    }
    if (replica->running != ZD_RUN_NONE) {
        return;
    }
    if (wanted == ZD_RUN_NONE || now < replica->next_ms || (replica->paused && !changes)) {
        return;
    }
    replica->running = wanted;
    replica->killed = false;
    replica->run_ms = now;
    replica->next_ms = now + replica->times.round_ms;
    orders->run = wanted;
}

static void look(zd_replica_t *replica, uint64_t now, zd_orders_t *orders)
{
    uint64_t age = now - replica->proven_ms;
    if (age >= replica->times.kill_ms) {
        happens(replica, END, now, orders);
    }
    if (age >= replica->times.stop_ms) {
        happens(replica, LATE, now, orders);
    }
    run_next(replica, now, orders);
}

/* --- what happens ----------------------------------------------------------------------------- */

void zd_replica_begin(zd_replica_t *replica, unsigned timeout_ms, unsigned retries, uint64_t now_ms)
{
    *replica = (zd_replica_t){
        .times = zd_times(timeout_ms),
        .retries = retries,
        .why = "the daemon began",
        .since_ms = now_ms,
        .proven_ms = now_ms,
        .waiting_ms = now_ms,
    };
}

void zd_replica_resume(zd_replica_t *replica, const zd_left_t *left)
{
    replica->kill_at_ms = left->kill_at_ms;
}

zd_orders_t zd_replica_tick(zd_replica_t *replica, uint64_t now_ms)
{
    zd_orders_t orders = {.run = ZD_RUN_NONE};
    look(replica, now_ms, &orders);
    return orders;
}

/* Not one that is over here. */
static bool is_own(const zd_replica_t *replica, uint64_t epoch)
{
    return epoch > replica->stopped;
}

/* The lease that the leader speaks of first is one from before this run. Where nothing is left of
 * it an earlier run has stopped it, and may have said so: it is not taken up. */
static void hear_of_before(zd_replica_t *replica, uint64_t epoch, zd_orders_t *orders)
{
    if (replica->role != ZD_ROLE_PASSIVE) {
        replica->epoch = epoch;
    } else if (replica->kill_at_ms == 0) {
        replica->stopped = epoch;
        orders->beat = true;
    }
}

/* A lease that is stopped here never comes back, whatever is still under way about it. */
zd_orders_t zd_replica_told(zd_replica_t *replica, const zd_word_t *word, uint64_t now_ms)
{
    zd_orders_t orders = {.run = ZD_RUN_NONE};
    if (!replica->was_told) {
        replica->was_told = true;
        hear_of_before(replica, word->epoch, &orders);
    }
    bool own = is_own(replica, word->epoch);
    bool in_time = now_ms - word->sent_ms < replica->times.stop_ms;
    orders.beat |= own && replica->offered != word->epoch;
    replica->offered = word->epoch;
    replica->paused = word->paused;
    if (replica->role == ZD_ROLE_UNSURE && !replica->kill_at_ms) {
        happens(replica, NONE, now_ms, &orders);
    }
    if (holds(replica) && word->epoch != replica->epoch) {
        happens(replica, NONE, now_ms, &orders);
    } else if (own && word->proves && in_time) {
        replica->epoch = word->epoch;
        replica->proven = true;
        replica->proven_ms =
            word->sent_ms > replica->proven_ms ? word->sent_ms : replica->proven_ms;
        happens(replica, LEASE, now_ms, &orders);
    }
    if (!own || word->yield) {
        happens(replica, NONE, now_ms, &orders);
    }
    look(replica, now_ms, &orders);
    return orders;
}

static bool fails_too_often(zd_replica_t *replica)
{
    bool may_give_up = replica->role == ZD_ROLE_STOPPING || !replica->paused;
    return ++replica->fails >= replica->retries && may_give_up;
}

zd_orders_t zd_replica_ran(zd_replica_t *replica, bool well, uint64_t now_ms)
{
    zd_orders_t orders = {.run = ZD_RUN_NONE};
    bool of_role = replica->running == script[replica->role] && !replica->killed;
    replica->running = ZD_RUN_NONE;
    if (of_role && well) {
        replica->fails = 0;
        happens(replica, GOOD, now_ms, &orders);
    } else if (of_role && fails_too_often(replica)) {
        happens(replica, BAD, now_ms, &orders);
    }
    look(replica, now_ms, &orders);
    return orders;
}

uint64_t zd_replica_claim(const zd_replica_t *replica)
{
    if (holds(replica)) {
        return replica->epoch;
    }
    return is_own(replica, replica->offered) ? replica->offered : 0;
}

bool zd_replica_wants(const zd_replica_t *replica, uint64_t now_ms)
{
    return replica->role == ZD_ROLE_PASSIVE && now_ms >= replica->asks_ms;
}

/* What is asked for by others goes by the time at which this replica stops by itself. */
bool zd_replica_is_active(const zd_replica_t *replica, uint64_t now_ms)
{
    return replica->role == ZD_ROLE_ACTIVE && now_ms - replica->proven_ms < replica->times.stop_ms;
}

uint64_t zd_replica_left_ms(const zd_replica_t *replica, uint64_t now_ms)
{
    uint64_t end = replica->proven_ms + replica->times.timeout_ms;
    return holds(replica) && end > now_ms ? end - now_ms : 0;
}

/* That a daemon has begun proves nothing: what an earlier run has left is to be dead when the lease
 * of that is over, although this one tries to stop it. */
uint64_t zd_replica_deadline(const zd_replica_t *replica)
{
    if (replica->role == ZD_ROLE_PASSIVE) {
        return 0;
    }
    return replica->proven ? replica->proven_ms + replica->times.guard_ms : replica->kill_at_ms;
}
