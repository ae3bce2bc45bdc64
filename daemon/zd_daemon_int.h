/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the daemon's parts, for the files that tie them together: zd_daemon.c, zd_open.c, zd_hear.c,
 * zd_drivers.c, zd_ask.c and zd_show.c alone.
 */
#ifndef ZD_DAEMON_INT_H
#define ZD_DAEMON_INT_H

#include <uv.h>

#include "zd_clock.h"
#include "zd_control.h"
#include "zd_core.h"
#include "zd_daemon.h"
#include "zd_guard.h"
#include "zd_http.h"
#include "zd_mapfile.h"
#include "zd_raft.h"
#include "zd_service.h"
#include "zd_talk.h"

enum { ZD_RUN_BYTES = 40 };

typedef struct zd_asked_up_t zd_asked_up_t;

typedef struct zd_daemon_t {
    const zd_daemon_conf_t *conf;
    apr_pool_t *pool; /* its life */
    uv_loop_t loop;
    uv_signal_t signals[2];
    uv_timer_t tick;
    uint64_t number;     /* of this node in the engine; 0: it is not in it */
    bool joins;          /* it was not of those that the cluster began with */
    uint64_t forced;     /* it ends to go on alone, in that term; 0: it does not */
    uint64_t put_ms;     /* when a map was written that the log has */
    uint64_t checked_ms; /* when what need not be looked at each tick was looked at */
    uint64_t alive_ms;   /* when who watches was told that the loop turns */
    int own;             /* place of this node in the configuration; 0 without nodes */
    char uuid[HAP_MAP_UUID_BYTES + 1]; /* for a cluster that begins here */
    char run[ZD_RUN_BYTES];            /* name of this run, as a client of commands */
    uint64_t orders;                   /* that were taken in this run */
    uint64_t questions;                /* number of the last one that the leader was asked */
    uint64_t begun_ms;                 /* wall clock, since 1970 */
    zd_net_t *net;                     /* NULL: there are no other nodes */
    zd_talk_t *talk;                   /* NULL: the same */
    zd_raft_t *raft;                   /* NULL: an observer */
    zd_core_t *core;
    zd_service_t *service; /* NULL: this node has no replica */
    zd_guard_t *guard;     /* NULL: the same */
    uint64_t waits_ms;     /* since when ensure-active waits for the guard; 0: it does not */
    uint64_t waits_epoch;  /* that it gets; 0: it is not to run any more */
    zd_control_t *control;
    zd_http_t *http; /* NULL: none is configured */
    zd_mapfile_t *map;
    uint64_t named_ms;   /* since when others call this node the leader, and it is not; 0: nobody */
    uint64_t unknown_ms; /* since when the leader does not know this node; 0: it does */
    bool misfit_said;    /* that, or that it knows it by another number */
    uint64_t other_ms;   /* when it was last said that the leader hears another daemon of this id */
    zd_asked_up_t *asked_up; /* questions that the leader is asked */
    bool belongs;            /* connections know the cluster */
    uint64_t event_seen;     /* index of the last line of history that is in the log */
    int exit_code;
    bool ending;
} zd_daemon_t;

/** Opens all parts. False when one cannot be opened, which was said. */
bool zd_open_parts(zd_daemon_t *self);
bool zd_open_raft(zd_daemon_t *self, hap_diag_t *diag);

/** This node as it is configured. */
const hap_map_node_t *zd_own_node(const zd_daemon_t *self);
bool zd_is_observer(const zd_daemon_t *self);

/** What the core's decisions do; and a script of the replica has ended. */
extern const zd_drivers_t zd_daemon_drivers;
void zd_daemon_ran(void *baton, bool well, const char *said);

/** ensure-active runs if it has waited for the guard, and that counts now. */
void zd_daemon_run_waiting(zd_daemon_t *self, uint64_t now_ms);

/** A caller says something; the node that was called does; there is a way to it, or none. */
void zd_hear(void *baton, zd_caller_t *caller, json_t *object);
void zd_hear_leader(void *baton, json_t *object);
void zd_hear_way(void *baton, bool is_up);

/** The engine has another leader, term or state, or has ended. */
void zd_daemon_changed(void *baton);
void zd_daemon_raft_ended(void *baton, const char *why);
void zd_daemon_raft_broken(void *baton, const char *why);

/** The map on disk may be another one than that of version `before`. */
void zd_daemon_wrote_map(zd_daemon_t *self, uint64_t before);

/** The cluster that this node belongs to; NULL: unknown. */
void zd_daemon_learn_uuid(zd_daemon_t *self, const char *uuid);

/** Ends, once. The service goes on: the guard stops it unless a daemon is there again in time. */
void zd_daemon_end(zd_daemon_t *self);

/** Ends, to begin again as the only node with a vote. False with a sentence: not this one. */
bool zd_daemon_force(zd_daemon_t *self, const char **why);

/** Opens the HTTP address, if there is one. False with a sentence when that cannot be. */
bool zd_show_open(zd_daemon_t *self, hap_diag_t *diag);

/** Somebody asks through the control socket. */
void zd_ask(void *baton, zd_question_t *question);

/** Another node asks the leader, or the leader answers; borrows the object. False: it is neither.
 */
bool zd_ask_heard(zd_daemon_t *self, zd_caller_t *caller, const json_t *object);
bool zd_ask_told(zd_daemon_t *self, const json_t *object);

/** There is a way to the leader: what it was asked, and has not answered, it is asked again. */
void zd_ask_again(zd_daemon_t *self);

/** What waits too long is given up; all of it when the daemon ends. */
void zd_ask_expire(zd_daemon_t *self, bool all);

#endif
