/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what a daemon decides (doc/zerod.md, doc/replicas.md): as a leader, what is agreed on next
 * and who holds the lease; as a node with a replica, what that does. Pure: time comes in as an
 * argument, and all that is done goes out through the record of its drivers; so it runs on virtual
 * time as well.
 *
 * All times are ms of a clock that never stops or steps (CLOCK_BOOTTIME).
 */
#ifndef ZD_CORE_H
#define ZD_CORE_H

#include "zd_beat.h"
#include "zd_config.h"
#include "zd_lease.h"
#include "zd_member.h"
#include "zd_replica.h"
#include "zd_roll.h"
#include "zd_wish.h"

enum { ZD_TICK_MS = 50, ZD_OTHER_SAID_MS = 10000 };

/** What a daemon does. None of these calls back at once. */
typedef struct zd_drivers_t {
    /* The engine. */
    bool (*leads)(void *baton);                 /* and has carried out all that was committed */
    uint64_t (*term)(void *baton);              /* the highest that it has heard of */
    const zd_state_t *(*state)(void *baton);    /* borrows until the call into the core returns */
    void (*send)(void *baton, zd_wish_t *wish); /* and fills at_ms; `done` is called later */
    bool (*transfer)(void *baton, uint64_t number); /* the lead, to this node; may fail later */
    unsigned (*members)(void *baton, zd_member_t *members, unsigned room);
    bool (*member)(void *baton, zd_member_change_t change, uint64_t number, const char *address);
    void (*doubt)(void *baton); /* it is to lead only when others have confirmed that again */
    /* Other nodes. What is lost is not sent again. */
    void (*beat)(void *baton, const zd_beat_t *beat); /* to the leader, if it is known */
    void (*answer)(void *baton, const char *node, const zd_answer_t *answer);
    /* The replica. */
    void (*run)(void *baton, zd_run_t what, uint64_t epoch); /* ends in zd_core_ran */
    void (*kill_script)(void *baton);
    bool (*kill_service)(void *baton); /* is done when this returns; false: some would not die */
    void (*hold)(void *baton, uint64_t kill_at_ms); /* 0: nothing is to be killed */
    void (*restart)(void *baton, unsigned replica); /* its daemon, on its host */
    /* For people. */
    void (*log)(void *baton, const char *line);
} zd_drivers_t;

typedef struct zd_core_conf_t {
    const zd_config_t *config;
    const char *id;       /* this node's */
    const char *client;   /* of this run, for its commands */
    const char *uuid;     /* for a cluster that has none yet */
    const char *first;    /* who is to lead a cluster that begins; NULL: no matter */
    bool primary;         /* this node is, where nobody has led yet */
    unsigned election_ms; /* without a sign of the leader, before another one may be elected */
    zd_left_t left;       /* kill_at_ms is what an earlier run has held last (drivers.hold) */
    const zd_drivers_t *drivers;
    void *baton;
} zd_core_conf_t;

typedef struct zd_core_t zd_core_t;

/** Begins. `conf` is copied, what it points to is borrowed. NULL: no memory. */
zd_core_t *zd_core_make(const zd_core_conf_t *conf, uint64_t now_ms);
void zd_core_free(zd_core_t *core);

/** The engine has another leader, term, or state. */
void zd_core_changed(zd_core_t *core, uint64_t now_ms);

/** Time has passed; to be called every ZD_TICK_MS. */
void zd_core_tick(zd_core_t *core, uint64_t now_ms);

/** Whether this is said by another daemon than the one of that id which has been heard within the
 * time of a lease. It is not to be listened to, or either could have the lease of the other. */
bool zd_core_is_other(zd_core_t *core, const zd_beat_t *beat, uint64_t now_ms);

/** A node says something to this one, which it takes for the leader. */
void zd_core_heard(zd_core_t *core, const zd_beat_t *beat, uint64_t now_ms);

/** The leader says something to this node. False: it is one no more, and nothing of it counts. */
bool zd_core_answered(zd_core_t *core, const zd_answer_t *answer, uint64_t now_ms);

/** There is a way to a leader now: says something at once. */
void zd_core_connected(zd_core_t *core, uint64_t now_ms);

/** The script has ended; `said` says how, in a few words. What of it is no UTF-8, or would do
 * something to a terminal, becomes a question mark. */
void zd_core_ran(zd_core_t *core, bool well, const char *said, uint64_t now_ms);

/** The map of this version is on disk. */
void zd_core_wrote(zd_core_t *core, uint64_t version, uint64_t now_ms);

/** By hand: the lease is to move to a replica. NULL, or why not; static. */
const char *zd_core_move(zd_core_t *core, unsigned replica, uint64_t now_ms);

/** Whether all nodes of the map are there and have it: nothing is changed by hand before. NULL, or
 * the id of one that is not ready. */
const char *zd_core_unready(const zd_core_t *core, uint64_t now_ms);

/** To look at. Borrow until the core is called again. */
const zd_replica_t *zd_core_replica(const zd_core_t *core); /* NULL: this node has none */
const zd_roll_t *zd_core_roll(const zd_core_t *core);
const zd_lease_t *zd_core_lease(const zd_core_t *core);
const char *zd_core_leader(const zd_core_t *core); /* by its own word; NULL: none was heard */

/** Who leads now, by what was heard within ZD_PRESENT_MS; NULL: nobody. Borrows likewise. */
const char *zd_core_follows(const zd_core_t *core, uint64_t now_ms);

/** Whether this node leads as the primary, and has looked at that of late. */
bool zd_core_leads(const zd_core_t *core, uint64_t now_ms);

/** The highest term that it has heard of. */
uint64_t zd_core_term(const zd_core_t *core);

/** Since it began: beats that it has sent, and elections that it has won. */
uint64_t zd_core_beats(const zd_core_t *core);
uint64_t zd_core_elections(const zd_core_t *core);

#endif
