/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the store of zone records: operations on one record, carried out on the nodes that hold its
 * copies. What may follow what is hap_zone_rule's; bytes on a node are a node's (hapstore_node.h).
 * No httpd in here.
 *
 * A store waits for nothing by itself. Either the caller's event loop waits for hapstore_fd and
 * calls hapstore_turn, and hapstore_flush before it waits; or a thread does all that, which
 * hapstore_serve starts. Any thread may call; `done` is called where the turns are taken.
 *
 * An operation reads all copies, takes the newest, asks hap_zone_decide, and replaces each copy
 * with a compare-and-swap of its own; when somebody else was faster it begins anew. What the store
 * itself wrote or read last of a record it need not read again for a PUT: the compare-and-swap
 * fails if it is not so any more. For WRITE and
 * ERASE the first node's decides, the other copy follows: what is UNMET was not stored anywhere.
 * Copies that were missing or older are put right on the way, also by a look.
 */
#ifndef HAPSTORE_H
#define HAPSTORE_H

#include <apr_errno.h>
#include <apr_pools.h>

#include "hap_zone_rule.h"
#include "hap_zone_spec.h"

enum {
    HAPSTORE_COPIES = 2,
    HAPSTORE_TRIES = 16 /* of a compare-and-swap, before it is a conflict */
};

/** What all processes of a server know of one node. In memory that they share. */
typedef struct hapstore_breaker_t {
    _Atomic uint32_t open;    /* it failed: only probes ask it */
    _Atomic int64_t probe_ms; /* when the next probe is due; whoever moves it on makes that one */
    _Atomic uint64_t opened;  /* how often it was opened */
    _Atomic uint64_t asked;   /* operations on it */
    _Atomic uint64_t failed;  /* of them */
} hapstore_breaker_t;

/** How a store is made. Borrows until hapstore_destroy. */
typedef struct hapstore_conf_t {
    const hap_zone_spec_t *spec;
    const hap_zone_keys_t *keys;
    apr_interval_time_t budget;   /* of one operation on one node */
    apr_interval_time_t probe;    /* between two probes of a node that has failed */
    hapstore_breaker_t *breakers; /* one for each node */
    void *shm;                    /* of a SHM store: see hapstore_shm_size; else NULL */
    /* One line for each change: a node failed, or is back. On any thread. May be NULL. */
    void (*say)(void *data, const char *line);
    void *say_data;
} hapstore_conf_t;

typedef struct hapstore_t hapstore_t;

/** How an operation ended. */
typedef enum hapstore_end_t {
    HAPSTORE_DONE,      /* `verdict` says what came of it */
    HAPSTORE_CONFLICT,  /* others kept changing it */
    HAPSTORE_UNREACHED, /* no node could be asked, or the record could be written to none */
    HAPSTORE_REFUSED    /* it cannot be stored: too large for the nodes */
} hapstore_end_t;

/**
 * One operation. The caller's, untouched by him from hapstore_run until it has ended. What the wish
 * borrows has to stay as long.
 */
typedef struct hapstore_op_t {
    char name[HAP_ZONE_NAME_BYTES]; /* of the record */
    hap_zone_wish_t wish;           /* now_s and tie are filled in by the store */
    /** Called once, within hapstore_turn or hapstore_destroy, unless hapstore_run returned true.
     * Must be quick. The op is the caller's again. */
    void (*done)(struct hapstore_op_t *op);

    /* results */
    hapstore_end_t end;
    hap_zone_verdict_t verdict;
    bool found;               /* `record` is there */
    hap_zone_record_t record; /* what is stored now; borrows from `plain` or the wish */
    char from[HAP_ZONE_OWNER_BYTES_MAX + 1]; /* TAKE: the owner before */
    unsigned copies;                         /* nodes that have it now, as far as is known */
    unsigned repaired;                       /* copies that were missing or older */
    unsigned unopened;                       /* that are there and do not open: as if missing */
    hap_zone_open_t why_unopened;            /* of one of them */

    /* private */
    void *plain;
    struct hapstore_op_t *next;
    struct hapstore_waiter_t *waiter;
    bool over;
} hapstore_op_t;

/** Makes a store, which asks its nodes whether they are there with its first turn. After fork only.
 * Errors are the system's. */
apr_status_t hapstore_create(hapstore_t **store, const hapstore_conf_t *conf, apr_pool_t *pool);

/** Readable when there is something to do. For poll and the like. */
int hapstore_fd(const hapstore_t *store);

/** Does what there is to do. Waits for nothing. */
void hapstore_turn(hapstore_t *store);

/** Sends what operations have asked since the last turn, to each node at once. */
void hapstore_flush(hapstore_t *store);

/** Starts a thread that takes the turns. Errors are the system's. */
apr_status_t hapstore_serve(hapstore_t *store);

/**
 * Begins an operation. Waits for nothing but another thread's turn. True: it has ended already, and
 * `done` is not called. Else that comes, even if all nodes are down: after (budget) at most for
 * each step of it.
 */
bool hapstore_run(hapstore_t *store, hapstore_op_t *op);

/** The same, waiting for the end while another thread takes the turns. `done` is not called. */
void hapstore_wait(hapstore_t *store, hapstore_op_t *op);

/** Frees what an operation has brought. After `done`. More than once does no harm. */
void hapstore_op_clear(hapstore_op_t *op);

/** Ends the store and its thread: what has not ended ends UNREACHED. Not within a turn. Done with
 * the pool's end too. */
void hapstore_destroy(hapstore_t *store);

/** Memory for a SHM store of so many bytes: what it needs in all. */
size_t hapstore_shm_size(uint64_t bytes);

/** Makes such memory, which is all zero, ready; done once, by who has made it. */
apr_status_t hapstore_shm_init(void *shm, uint64_t bytes);

#endif
