/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns a model of one session in a world of two proxies, two instances and the nodes of a store,
 * for tests of the rule. Proxies do what mod_haproxy/mh_visit*.c do, instances what doc/zones.md
 * says. Whose step is next is drawn. It watches what must never be, and notes what was broken.
 *
 *   zone_engine       the nodes, and operations on them
 *   zone_world        proxies and instances
 *   zone_world_watch  what must never be
 *   zone_world_steps  who takes the next step, and what fails
 */
#ifndef HAP_UNIT_ZONE_WORLD_H
#define HAP_UNIT_ZONE_WORLD_H

#include "random.h"
#include "zone_engine.h"

enum {
    WORLD_PROXIES = 2,
    WORLD_INSTANCES = 2,
    WORLD_REQUESTS = 6, /* at once */
    WORLD_WRITES = 60,  /* ever: each has a bit of its own */
    WORLD_NOBODY = -1
};

/** What an instance has in its memory. */
typedef struct world_instance_t {
    bool runs;     /* else it is paused, and keeps what it has */
    bool dead;     /* it is not there at all */
    unsigned life; /* how often it was started */
    bool has;      /* the session, with what follows */
    uint64_t epoch;
    uint64_t version;
    uint64_t writes; /* those that are in the state, as bits */
} world_instance_t;

/** What a proxy knows of the session. */
typedef struct world_known_t {
    bool known;
    bool live;
    bool gone;
    uint64_t epoch;
    uint64_t version;
    int owner;
} world_known_t;

typedef struct world_proxy_t {
    world_known_t table;    /* as hap_zone_table */
    engine_recent_t recent; /* as hapstore_recent */
    uint64_t seen;          /* for the watch: the highest epoch that it has seen, ever */
} world_proxy_t;

typedef enum world_kind_t { WORLD_READ, WORLD_WRITE, WORLD_TOUCH, WORLD_LOGOUT } world_kind_t;

typedef enum world_phase_t {
    WORLD_FREE,
    WORLD_LOOKS, /* an operation runs; so in the two below */
    WORLD_TAKES,
    WORLD_STORES,
    WORLD_AWAY,    /* the instance has it, or will have */
    WORLD_ANSWERED /* the answer is on its way */
} world_phase_t;

typedef enum world_tell_t {
    WORLD_FENCE,
    WORLD_RESTORE,
    WORLD_NONE,
    WORLD_GONE,
    WORLD_ERROR
} world_tell_t;

typedef enum world_said_t {
    WORLD_NOTHING, /* an answer that says nothing of the session */
    WORLD_ISSUED,  /* it sets the cookie, and brings no state */
    WORLD_PUT,
    WORLD_TOUCHED,
    WORLD_DEL,
    WORLD_MISS,
    WORLD_NO_SESSION
} world_said_t;

/** A client's request, at a proxy. */
typedef struct world_request_t {
    world_phase_t phase;
    world_kind_t kind;
    int proxy;  /* WORLD_NOBODY: none waits for its answer any more */
    bool makes; /* the session: there is none before its answer */
    /* the visit */
    world_known_t known;
    bool missed;
    unsigned agains;
    int instance;
    unsigned life;  /* of the instance that has it */
    uint64_t epoch; /* HA-Fence */
    world_tell_t tell;
    hap_zone_record_t told;
    /* the answer */
    world_said_t said;
    uint64_t version;
    uint64_t writes; /* that it shows */
    uint64_t bit;    /* of its own write */
    engine_op_t op;
    /* for the watch: what was true when the request, or its operation, began */
    uint64_t acked;
    bool was_gone;
    uint64_t op_acked;
    bool op_was_gone;
    uint64_t op_seen;
    unsigned op_began;
    bool op_alone; /* no other has overlapped with it */
} world_request_t;

typedef enum world_event_t {
    WORLD_N_ACKED,
    WORLD_N_TAKEN,
    WORLD_N_FOLLOWED,
    WORLD_N_FENCED,
    WORLD_N_ENDED,
    WORLD_N_MISSED,
    WORLD_N_SHOWN,
    WORLD_N_RETRIED,
    WORLD_N_KNOWN, /* a put of what was known from the last operation */
    WORLD_N_UNPROTECTED,
    WORLD_N_BEGUN_ANEW,
    WORLD_N_NODE_FAILED,
    WORLD_N_PROXY_DIED,
    WORLD_EVENTS
} world_event_t;

typedef struct world_t {
    engine_t engine;
    world_instance_t instance[WORLD_INSTANCES];
    world_proxy_t proxy[WORLD_PROXIES];
    world_request_t request[WORLD_REQUESTS];
    uint64_t state[WORLD_WRITES]; /* what records borrow their data from */
    unsigned writes;              /* so far */
    bool looks_each_time;         /* recheck=0 */
    bool one_failure_at_a_time;   /* see zone_world_steps.c: what was acknowledged has to be kept */
    bool begun;                   /* the session was made */
    bool quiet;                   /* nothing fails any more */
    unit_random_t random;
    bool trace; /* to stderr */

    /* the watch */
    const char *broken;                 /* the first thing that must never be, and was; NULL none */
    unsigned now;                       /* steps so far */
    uint64_t acked;                     /* writes that were acknowledged */
    uint64_t acked_under[WORLD_WRITES]; /* the epoch */
    bool ending; /* an instance has ended the session: writes beside that may go with it */
    bool gone;   /* that was acknowledged */
    hap_zone_record_t newest; /* record that was acknowledged; epoch 0: none */
    uint64_t taken;           /* the highest epoch of an acknowledged take */
    int taken_by;
    uint64_t taken_writes;              /* that came with it */
    bool half;                          /* a proxy has died, and the copies may differ since */
    unsigned whole_since[ENGINE_NODES]; /* step from which on a node has had all; 0: it has not */
    unsigned events[WORLD_EVENTS];
} world_t;

/** A world without the session, drawn from the seed. */
void world_init(world_t *world, uint64_t seed);

/* --- zone_world.c: for the other files of the model ------------------------------------------- */

size_t world_draw(world_t *world, size_t n);
bool world_chance(world_t *world, unsigned percent);
void world_say(world_t *world, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int world_index(const world_t *world, const world_request_t *request);

/** The writes that are in a record's data, and which instance has it. */
uint64_t world_writes_of(const hap_zone_record_t *record);
int world_owner_of(const hap_zone_record_t *record);
const char *world_route(int instance);

/** An operation of the request is running. */
bool world_runs_op(const world_request_t *request);

/** A client's request reaches a proxy. */
void world_begin(world_t *world, world_request_t *request, int proxy);

/** A look at the record, with no request behind it. */
void world_look(world_t *world, world_request_t *request, int proxy);

/** The request's operation is over. */
void world_ran(world_t *world, world_request_t *request);

/** The instance that has the request processes it. */
void world_process(world_t *world, world_request_t *request);

/** The answer reaches the proxy. */
void world_hear(world_t *world, world_request_t *request);

void world_end(world_t *world, world_request_t *request, const char *how);

/* --- zone_world_watch.c ----------------------------------------------------------------------- */

/** Notes what was broken, unless it holds. */
void world_must(world_t *world, bool holds, const char *broken);

/** The node answers and has all that was acknowledged. */
bool world_is_whole(const world_t *world, unsigned node);

/** What an operation has brought, whatever it was; a take that gave the state to an instance; a
 * state that was stored; an answer that goes to the client. */
void world_watch_op(world_t *world, const world_request_t *request);
void world_watch_take(world_t *world, const world_request_t *request);
void world_watch_stored(world_t *world, const world_request_t *request);
void world_watch_put(world_t *world, const world_request_t *request);
void world_watch_del(world_t *world, const world_request_t *request);
void world_watch_answer(world_t *world, const world_request_t *request);

/** The end of a step, and of all. */
void world_watch_step(world_t *world);
void world_watch_rest(world_t *world);

/* --- zone_world_steps.c ----------------------------------------------------------------------- */

/** One step of somebody, or a failure. */
void world_step(world_t *world);

/** Lets all end that is under way, without further failures, has each proxy look once more, and
 * watches what is there then. */
void world_rest(world_t *world);

#endif
