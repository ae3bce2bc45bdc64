/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns a model of the store of zone records, for tests of the rule: nodes in memory, each with a
 * compare-and-swap of its own, and operations as lib/store/hapstore_run.c carries them out. Each
 * message waits until somebody says what becomes of it. No threads, no clock, one record.
 */
#ifndef HAP_UNIT_ZONE_ENGINE_H
#define HAP_UNIT_ZONE_ENGINE_H

#include "hap_zone_rule.h"

enum {
    ENGINE_NODES = 2,
    ENGINE_TRIES = 16,
    ENGINE_LATE = 16, /* puts that nobody waits for any more */
    ENGINE_OLD = 8    /* records that a node remembers it had */
};

/** A node: it has the record or not. */
typedef struct engine_node_t {
    bool up; /* it answers; else what waits for it fails */
    bool there;
    hap_zone_record_t record;
    uint64_t token;      /* of the record */
    uint64_t tokens;     /* given so far */
    unsigned generation; /* rises when it is started: messages from before never reach it */
    unsigned failures;   /* so far */
    hap_zone_record_t old[ENGINE_OLD];
    unsigned olds; /* so many ever */
} engine_node_t;

typedef enum engine_end_t { ENGINE_OK, ENGINE_NONE, ENGINE_CHANGED, ENGINE_FAILED } engine_end_t;

/** A get or a put on its way to a node. */
typedef struct engine_message_t {
    bool put;
    unsigned node;
    unsigned generation; /* of the node, when the copy was read */
    uint64_t token;      /* put: of what has to be there; 0 nothing. get: of what was */
    hap_zone_record_t record;
} engine_message_t;

/** One copy, as an operation sees it. */
typedef struct engine_copy_t {
    bool waits;  /* its message is on its way */
    bool wanted; /* it is a part of this step */
    bool asked;  /* in this try */
    bool dead;   /* it failed in this operation: not asked again */
    bool found;
    uint64_t token;
    unsigned generation;
    unsigned failures; /* of the node, when it was asked */
    hap_zone_record_t record;
    engine_message_t message;
    engine_end_t end;
} engine_copy_t;

typedef enum engine_phase_t {
    ENGINE_OVER,
    ENGINE_READ,
    ENGINE_DECIDED,
    ENGINE_STORED,
    ENGINE_MENDED
} engine_phase_t;

typedef enum engine_how_t { ENGINE_DONE, ENGINE_CONFLICT, ENGINE_UNREACHED } engine_how_t;

/** What who runs operations knows of the record's copies from the last one, both the same. */
typedef struct engine_recent_t {
    bool known;
    hap_zone_record_t record;
    uint64_t token[ENGINE_NODES];
    unsigned generation[ENGINE_NODES];
} engine_recent_t;

/** An operation. */
typedef struct engine_op_t {
    hap_zone_wish_t wish;
    engine_recent_t *recent; /* NULL: none */
    engine_phase_t phase;
    engine_copy_t copy[ENGINE_NODES];
    int newest; /* copy; -1 none */
    bool tried; /* an earlier try may have stored `next` somewhere */
    bool won;   /* the first node has taken it */
    unsigned tries;
    hap_zone_record_t next;
    /* results, when it is OVER */
    engine_how_t how;
    hap_zone_verdict_t verdict;
    bool found;
    hap_zone_record_t record;
} engine_op_t;

typedef struct engine_t {
    engine_node_t node[ENGINE_NODES];
    engine_message_t late[ENGINE_LATE];
    unsigned lates;
} engine_t;

/** What becomes of a message. */
typedef enum engine_fate_t {
    ENGINE_ARRIVES,  /* it is done, and answered */
    ENGINE_UNHEARD,  /* it is done, but the answer is lost */
    ENGINE_IS_LATE,  /* it counts as failed, and is done some time later */
    ENGINE_VANISHES, /* it counts as failed, and is never done */
    ENGINE_FATES
} engine_fate_t;

/** All nodes up and empty. */
void engine_init(engine_t *engine);

/** Begins an operation: its messages wait. `recent` may be NULL; it is used, and kept up to date.
 */
void engine_begin(engine_t *engine, engine_op_t *op, const hap_zone_wish_t *wish,
                  engine_recent_t *recent);

/** The operation waits for this node. */
bool engine_waits(const engine_op_t *op, unsigned node);

/** Says what became of that message. The operation goes on when it was the last one of its step. */
void engine_step(engine_t *engine, engine_op_t *op, unsigned node, engine_fate_t fate);

/** Whoever ran the operation is gone: it ends here, and so became of its messages. */
void engine_abandon(engine_t *engine, engine_op_t *op, engine_fate_t fate);

/** Does the i-th late put. */
void engine_late(engine_t *engine, unsigned i);

/** The node has the record no more, as after a flush or an eviction. */
void engine_empty(engine_t *engine, unsigned node);

/** The node has what it had so many records ago, if it remembers. */
void engine_turn_back(engine_t *engine, unsigned node, unsigned records);

#endif
