/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what the files of the store share. Not for others.
 *
 *   hapstore          the ways in, and what happens when
 *   hapstore_run      what an operation does next
 *   hapstore_recent   what is known of records without asking
 *   hapstore_breaker  whether a node is asked at all
 *   hapstore_clock    what has to be done at a time
 *   hapstore_memcached, hapstore_shm   the kinds of nodes
 *
 * A store has one lock, and everything in it is guarded by that. Whoever begins an operation takes
 * its first steps himself; the next ones are taken where hapstore_turn is called.
 */
#ifndef HAPSTORE_INT_H
#define HAPSTORE_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "hapstore_node.h"
#include "hapstore_time.h"

typedef struct hapstore_run_t hapstore_run_t;

/** One copy of a record: what a run knows of it, and what it wants of the node. */
typedef struct hapstore_copy_t {
    hapstore_ask_t ask; /* first: what has ended leads back here */
    hapstore_run_t *run;
    unsigned node;
    bool asked;             /* in this try */
    bool dead;              /* it failed in this operation: not asked again */
    bool wanted;            /* a part of the next step, and then of the last one */
    bool unsure;            /* a put of it was, in this operation */
    hapstore_token_t token; /* of the value that it has, as far as is known */
    hapstore_value_t value; /* as it was read */
    void *plain;            /* it, opened */
    hap_zone_record_t record;
    bool opened;
} hapstore_copy_t;

typedef enum hapstore_phase_t {
    HAPSTORE_READ,    /* the copies are to be read, or were */
    HAPSTORE_CHOOSE,  /* all were that can be */
    HAPSTORE_DECIDED, /* the new record of an L2 was put to the first node, or not */
    HAPSTORE_STORED,  /* the new record was put, or not */
    HAPSTORE_MENDED,  /* so was the one that was found, where it was missing */
    HAPSTORE_PHASES
} hapstore_phase_t;

struct hapstore_run_t {
    hapstore_t *store;
    hapstore_op_t *op;
    hapstore_phase_t phase;
    unsigned left; /* parts of this step that have not ended */
    unsigned tries;
    hapstore_copy_t *newest; /* of those read, NULL none */
    bool won;                /* the first node has taken `next`: nothing else can come of it */
    bool unread;             /* what is put goes by what was known, not by what was read */
    bool tried;              /* an earlier try may have stored `next` somewhere */
    hap_zone_record_t next;  /* what is put; after the try only its order counts */
    unsigned char *sealed;   /* it; own */
    hap_str_t putting;       /* bytes that are put: `sealed`, or what was read */
    int64_t due_ms;          /* in the list of those that wait for their time */
    hapstore_run_t *link;    /* in that list, or in that of those that go on now */
    unsigned copies_n;
    hapstore_copy_t copies[]; /* in the order of the placement */
};

typedef struct hapstore_node_t {
    hapstore_asker_t asker; /* first: what it tells leads back here */
    hapstore_t *store;
    const char *name;            /* NULL of shared memory */
    hapstore_breaker_t *breaker; /* shm, atomic */
    void *handle;
    bool watched; /* it is down, and this store is to find out when it is not */
} hapstore_node_t;

typedef struct hapstore_recent_t hapstore_recent_t;

struct hapstore_t {
    const hapstore_conf_t *conf;
    const hapstore_node_iface_t *iface;
    apr_pool_t *pool;
    int budget_ms;
    int probe_ms;
    int fd;    /* epoll */
    int timer; /* in it */
    pthread_t thread;
    bool serves; /* the thread runs */
    _Atomic bool stop;
    pthread_mutex_t lock; /* of everything below */
    bool closing;
    int64_t due_ms;                     /* that the timer is set to; INT64_MAX: it is not */
    hapstore_run_t *paused;             /* in no order */
    hapstore_run_t *going, **going_end; /* that go on now */
    hapstore_op_t *ended, **ended_end;  /* that nobody was told about yet */
    hapstore_recent_t *recent;
    unsigned nodes_n;
    hapstore_node_t nodes[];
};

/* --- hapstore_run.c */

/** Begins an operation. */
void hapstore_run_begin(hapstore_t *store, hapstore_op_t *op);

/** Takes its next steps as long as there is nothing to wait for. It may be gone then. */
void hapstore_run_go(hapstore_run_t *run);

/** What it wanted of a node has ended. */
void hapstore_run_heard(hapstore_copy_t *copy);

/* --- hapstore.c */

/** The run goes on before the turn is over. */
void hapstore_go_on(hapstore_run_t *run);

/** The operation has ended. */
void hapstore_op_ended(hapstore_t *store, hapstore_op_t *op);

/** The node is not to be asked; this store then sees to it that somebody finds out when it is over.
 */
bool hapstore_is_down(hapstore_node_t *node);

/** Begins what is wanted of a node. */
void hapstore_ask(hapstore_node_t *node, hapstore_ask_t *ask);

/* --- hapstore_recent.c */

/** NULL without memory. */
hapstore_recent_t *hapstore_recent_make(void);

/** What the first two copies are, and that both are the same record. */
void hapstore_recent_note(hapstore_recent_t *recent, const char name[HAP_ZONE_NAME_BYTES],
                          const hap_zone_record_t *record,
                          const hapstore_token_t tokens[HAPSTORE_COPIES]);

void hapstore_recent_forget(hapstore_recent_t *recent, const char name[HAP_ZONE_NAME_BYTES]);

/** The record without its data, and the tokens of the copies; false if nothing is known. */
bool hapstore_recent_find(const hapstore_recent_t *recent, const char name[HAP_ZONE_NAME_BYTES],
                          hap_zone_record_t *record, hapstore_token_t tokens[HAPSTORE_COPIES]);

/* --- hapstore_breaker.c */

bool hapstore_breaker_is_open(const hapstore_node_t *node);

/** The node failed. */
void hapstore_breaker_open(hapstore_node_t *node, const char *why);

/** It answered. */
void hapstore_breaker_close(hapstore_node_t *node);

/** A probe is due, and it is this caller's. */
bool hapstore_breaker_claim(hapstore_node_t *node, int64_t now_ms);

/** When the next probe is. */
int64_t hapstore_breaker_due(const hapstore_node_t *node);

/* --- hapstore_clock.c */

/** What is to be done then is done then, at the latest. */
void hapstore_clock_set(hapstore_t *store, int64_t due_ms);

/** The run goes on at this time. */
void hapstore_clock_add(hapstore_run_t *run, int64_t due_ms);

/** Does what is due. */
void hapstore_clock_tick(hapstore_t *store);

#endif
