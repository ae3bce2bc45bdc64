/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what the simulation is made of: whole daemons in one process, on virtual time.
 *
 *     real    daemon/core, daemon/zd_raft.c, libraft
 *     faked   what libraft calls for disk, network and clock (a raft_io), the connections between
 *             daemons (zd_net.c, zd_talk.c), scripts, services and guards, and what ties them
 *             together (zd_daemon.c, zd_open.c, zd_hear.c, zd_drivers.c)
 *
 * A step is an event: a message that arrives, a write that ends, a timer that runs out, something
 * that goes wrong. What happens depends on the seed alone.
 *
 * What is faked is not the same as in the daemon where
 *
 *     a connection over which nothing comes breaks at some time, not when zd_net gives it up
 *     libraft's connections are there again at once when one of them was lost
 *     a map that could not be written is tried again with the next tick, not each second
 *     a map that is newer than the log of who leads is a failure: the daemon ends
 *     nobody joins, goes on alone by force, has a watchdog, or asks the leader through another node
 */
#ifndef SIM_H
#define SIM_H

#include "config.h"

#include <stdbool.h>
#include <stdint.h>

#include <apr_pools.h>

#include "random.h"
#include "zd_core.h"
#include "zd_raft.h"

enum {
    SIM_NODES_MAX = 5,
    SIM_CLIENTS = 3,
    SIM_LINE_BYTES = 240,
    SIM_TRACE_LINES = 60,
    SIM_US_A_MS = 1000
};

/** What is broken on purpose, to see that it is found, as V(NAME, "word"). */
#define SIM_BREAKS(V)                                                                              \
    V(NOTHING, "nothing")                                                                          \
    V(FLOOR, "floor")       /* a new leader does not wait for leases of an earlier one */          \
    V(GUARD, "guard")       /* nobody watches over the daemon */                                   \
    V(CLOCK, "clock")       /* a node's clock goes twice as fast */                                \
    V(KILL, "kill")         /* a service that is killed goes on */                                 \
    V(RENEW, "renew")       /* what is renewed counts from when it was heard, not sent */          \
    V(DISK, "disk")         /* a write that was synced may be lost in a crash */                   \
    V(VOTE, "vote")         /* the vote is not on disk */                                          \
    V(ACK, "ack")           /* a command counts as done when the leader has it */                  \
    V(TWICE, "twice")       /* a command that is sent again is another one */                      \
    V(SNAPSHOT, "snapshot") /* a snapshot lacks who has had which answer */                        \
    V(BARRIER, "barrier")   /* a leader does not wait until it has carried all out */

#define SIM_BREAK_ENUM(name, word) SIM_BREAK_##name,
typedef enum sim_break_t { SIM_BREAKS(SIM_BREAK_ENUM) SIM_BREAK_COUNT } sim_break_t;
#undef SIM_BREAK_ENUM

extern const char *const sim_break_names[SIM_BREAK_COUNT];

typedef struct sim_t sim_t;
typedef struct sim_node_t sim_node_t;
typedef struct sim_conn_t sim_conn_t;
typedef struct sim_op_t sim_op_t;
typedef struct sim_sent_t sim_sent_t;
typedef struct sim_script_t sim_script_t;
typedef struct sim_check_t sim_check_t;

/* --- events ----------------------------------------------------------------------------------- */

/** Where an event happens. */
typedef enum sim_where_t {
    SIM_WORLD,
    SIM_HOST,    /* of the node, whether its daemon runs or not */
    SIM_MESSAGE, /* in the node's daemon, when that is not stopped */
    SIM_TIMER    /* the same: one of its timers */
} sim_where_t;

typedef void (*sim_act_t)(sim_node_t *node, void *baton, uint64_t number);

typedef struct sim_event_t {
    uint64_t at_us;
    uint64_t order; /* of those at one time */
    sim_where_t where;
    sim_node_t *node; /* NULL: none */
    uint64_t run;     /* of the daemon that it is for; it is void for another one. 0: any */
    sim_act_t act;
    sim_act_t drop; /* instead, when it is void; NULL: nothing */
    void *baton;
    uint64_t number;
    uint64_t way; /* what comes this way comes in its order; 0: none */
} sim_event_t;

/* --- a node ----------------------------------------------------------------------------------- */

/** What is on a node's disk for libraft. */
typedef struct sim_entry_t {
    uint64_t term;
    int type;
    void *bytes;
    size_t n;
} sim_entry_t;

typedef struct sim_snap_t {
    uint64_t index; /* 0: there is none */
    uint64_t term;
    uint64_t conf_index;
    void *conf;
    size_t conf_n;
    void *data;
    size_t data_n;
} sim_snap_t;

typedef struct sim_disk_t {
    uint64_t term;
    uint64_t vote;
    sim_snap_t snap;
    sim_entry_t *entries;
    uint64_t first; /* index of the first of them */
    unsigned n;
    unsigned latency_ms;
    unsigned again_ms; /* after which what fails is tried again */
    uint64_t fails_until_us;
    bool full;
    /* of the daemon that runs */
    sim_op_t *ops; /* on their way, the oldest first */
    uint64_t next; /* index of the entry that is written next */
    bool working;
} sim_disk_t;

/** A service and who watches over it: of the host, not of the daemon. */
typedef struct sim_service_t {
    bool alive;
    uint64_t epoch;          /* for which it was begun last */
    sim_script_t *scripts;   /* that run, of this daemon and of earlier ones */
    uint64_t script;         /* number of the one that the daemon waits for; 0: none */
    bool guarded;            /* there is a guard */
    uint64_t guard_run;      /* the daemon's that it belongs to */
    uint64_t guard_kill_ms;  /* 0: nothing is to be killed */
    uint64_t guard_lease_ms; /* the last one of those that it has seen */
    bool guard_stops;        /* it has begun ensure-passive for that */
    uint64_t guard_script;   /* number of that */
    unsigned fail_percent;   /* of scripts */
    unsigned hang_percent;
    unsigned
        lie_percent; /* of those of ensure-passive: they stop nothing, and say that they have */
} sim_service_t;

struct sim_node_t {
    sim_t *sim;
    unsigned place;
    const char *id;
    const char *address;
    bool observes; /* has no vote, and no engine */
    /* its host's clock */
    uint64_t clock_ms; /* what it said at clock_us of the world */
    uint64_t clock_us;
    int drift_ppm;
    uint64_t wall_ms; /* that its wall clock is ahead */
    /* its host */
    sim_disk_t disk;
    sim_service_t service;
    uint64_t map_version; /* on disk */
    char *map_text;
    char uuid[HAP_MAP_UUID_BYTES + 1];
    /* its daemon */
    bool down; /* its host is */
    bool up;
    uint64_t run;             /* number of the last one */
    uint64_t paused_until_us; /* it is stopped as long */
    bool shuffles;            /* what has come meanwhile has no order */
    bool stale;               /* goes on where it was stopped, with the time of then */
    bool ends;                /* by itself, when the loop turns */
    bool is_dead;             /* what it does from now on is not done */
    uint64_t loop_ms;         /* time of its loop */
    char client[ZD_CLIENT_BYTES_MAX + 1];
    uv_loop_t loop;
    uv_prepare_t *turn;
    struct raft_io *io;
    sim_sent_t *sent; /* messages whose sending libraft is to be told of */
    zd_raft_t *raft;
    zd_core_t *core;
    uint64_t new_version; /* of the map that is to be written */
    char *new_text;
    uint64_t put_ms; /* when one was written that the log has */
    /* its connections */
    sim_conn_t *up_conn; /* to the node that it has called; NULL: none */
    int calls;           /* place of the node to call; -1: one after the other */
    unsigned asks;       /* the next of those */
    bool rests;          /* it calls nobody */
    uint64_t again;      /* number of the timer that counts, after which it calls */
    sim_conn_t *callers[SIM_NODES_MAX];
    /* of raft's messages to each: not before the one before */
    uint64_t sent_us[SIM_NODES_MAX];
    uint64_t ways[SIM_NODES_MAX]; /* number of the connection for them */
};

/* --- the world -------------------------------------------------------------------------------- */

typedef struct sim_conf_t {
    uint64_t seed;
    uint64_t steps;
    sim_break_t broken;
    bool loud;
} sim_conf_t;

struct sim_t {
    sim_conf_t conf;
    apr_pool_t *pool;
    unit_random_t random;
    uint64_t now_us;
    uint64_t step;
    uint64_t order;
    uint64_t runs;
    uint64_t numbers;
    sim_event_t *heap;
    unsigned heap_n;
    unsigned heap_max;
    bool failed;
    bool over; /* it is being taken down */
    char trace[SIM_TRACE_LINES][SIM_LINE_BYTES];
    uint64_t traced;
    /* the cluster */
    const zd_config_t *config;
    sim_node_t nodes[SIM_NODES_MAX];
    unsigned n;
    const char *first;
    unsigned snapshot_threshold;
    unsigned snapshot_trailing;
    /* the network */
    bool cut[SIM_NODES_MAX][SIM_NODES_MAX]; /* from, to */
    unsigned delay_ms;
    unsigned loss_percent;
    unsigned answer_ms; /* that what a leader says takes longer */
    sim_conn_t *conns;
    /* what goes wrong */
    bool calm; /* nothing does any more */
    unsigned fault_every_ms;
    sim_check_t *check;
    struct sim_client_t *clients;
};

/** The world that runs: what is called in place of a library's function knows no other way. */
extern sim_t *sim_now;

/* sim_world.c */
uint64_t sim_random(sim_t *sim, uint64_t n); /* below n, which is not 0 */
bool sim_chance(sim_t *sim, unsigned percent);
uint64_t sim_between(sim_t *sim, uint64_t least, uint64_t most);
void sim_say(sim_t *sim, const sim_node_t *node, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/** An invariant does not hold; the first one counts. */
void sim_fail(sim_t *sim, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void sim_must(bool holds, const char *what); /* of the program itself */
/** Something happens in so many us. Of a daemon: of the one that runs now. */
void sim_in(sim_t *sim, sim_where_t where, sim_node_t *node, uint64_t in_us, sim_act_t act,
            void *baton, uint64_t number);
void sim_push(sim_t *sim, const sim_event_t *event);
void sim_step(sim_t *sim);
void sim_drop_all(sim_t *sim);
uint64_t sim_node_now(const sim_node_t *node);
uint64_t sim_node_us(const sim_node_t *node, uint64_t ms); /* of the world in ms of its clock */
bool sim_is_paused(const sim_node_t *node);
uint64_t sim_hash(uint64_t hash, const void *bytes, size_t n);
uint64_t sim_hash_text(uint64_t hash, const char *text);

/* sim_disk.c, sim_io.c: what libraft calls */
struct raft_io;
void sim_disk_make(struct raft_io *io);
void sim_disk_crash(sim_node_t *node); /* what was not synced is there, or not */
void sim_disk_cancel(sim_node_t *node);
void sim_disk_room(const sim_node_t *node); /* libraft is told whether there is any */
void sim_disk_free(sim_disk_t *disk);
sim_node_t *sim_node_of(struct raft_io *io);
void sim_io_turn(sim_node_t *node); /* before the loop waits */
struct raft *sim_raft(const sim_node_t *node);

/* sim_talk.c: connections between daemons */
void sim_talk_call(sim_node_t *node, int place); /* -1: one after the other */
void sim_talk_next(sim_node_t *node);
void sim_talk_rest(sim_node_t *node);
void sim_talk_up(sim_node_t *node, json_t *object);                     /* takes it */
void sim_talk_to(sim_node_t *node, const char *to, json_t *object);     /* takes it */
void sim_talk_back(sim_node_t *node, sim_conn_t *conn, json_t *object); /* takes it */
void sim_talk_name(sim_node_t *node, sim_conn_t *conn, const char *id);
void sim_talk_crash(sim_node_t *node);
void sim_talk_free(sim_t *sim);

/* sim_host.c: scripts, services and guards */
void sim_host_run(sim_node_t *node, zd_run_t what, uint64_t epoch);
void sim_host_kill_script(sim_node_t *node);
void sim_host_kill_service(sim_node_t *node);
void sim_host_hold(sim_node_t *node, uint64_t kill_at_ms);
void sim_host_crash(sim_node_t *node); /* the whole host */

/* sim_node.c: what ties a daemon together */
void sim_node_start(sim_node_t *node);
void sim_node_crash(sim_node_t *node, const char *why);
void sim_node_heard(sim_node_t *node, sim_conn_t *conn, const json_t *object);
void sim_node_told(sim_node_t *node, const json_t *object);
void sim_node_way(sim_node_t *node, bool is_up);
void sim_node_ran(sim_node_t *node, bool well, const char *said);
bool sim_node_leads(const sim_node_t *node);
int sim_node_place(const sim_t *sim, const char *address); /* -1: none */

/* sim_client.c */
void sim_clients_begin(sim_t *sim);
void sim_clients_free(sim_t *sim);
bool sim_clients_rest(const sim_t *sim); /* all that they wanted is done */

/* sim_faults.c */
void sim_faults_begin(sim_t *sim);
void sim_faults_end(sim_t *sim); /* heals all */

/* sim_check.c */
void sim_check_begin(sim_t *sim);
void sim_check_free(sim_t *sim);
void sim_check_step(sim_t *sim);
void sim_check_applying(const zd_state_t *state);
void sim_check_applied(sim_t *sim, const zd_state_t *state, const zd_command_t *command,
                       const zd_result_t *result);
void sim_check_loaded(sim_t *sim, const zd_state_t *state);
void sim_check_map(sim_t *sim, const sim_node_t *node, uint64_t version, const char *text);
void sim_check_begins(sim_t *sim, const sim_node_t *node, uint64_t epoch); /* ensure-active */
void sim_check_alive(sim_t *sim, const sim_node_t *node);
void sim_check_acknowledged(sim_t *sim, unsigned client, uint64_t seq, const zd_result_t *result);
/** NULL: the cluster is as it is to be in the end; else what is missing. */
const char *sim_check_settled(sim_t *sim);
void sim_check_end(sim_t *sim);
/** What was seen, for people: whether the seeds do anything at all. */
typedef struct sim_sum_t {
    uint64_t commands, terms, grants, acknowledged, crashes, pauses, cuts, guards, restores;
    uint64_t virtual_ms;
} sim_sum_t;
extern sim_sum_t sim_sum;

/* sim_run.c */
bool sim_run(const sim_conf_t *conf); /* true: nothing was found */

#endif
