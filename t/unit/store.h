/* SPDX-License-Identifier: Apache-2.0 */
/* Owns stores for tests, on memcached servers or in shared memory, and operations on them. */
#ifndef UNIT_STORE_H
#define UNIT_STORE_H

#include "hapstore.h"
#include "hapstore_alone.h"
#include "memcached.h"

enum {
    STORE_BUDGET_MS = 250,
    STORE_PROBE_MS = 50,
    STORE_LATE_MS = 2500,     /* far beyond "about a budget", for machines that are busy */
    STORE_PATIENT_MS = 10000, /* the budget where no node is to fail */
    STORE_LINES = 64,
    STORE_LINE_BYTES = 256
};

/** Nodes, and what all stores on them share. */
typedef struct shelf_t {
    hap_zone_spec_t spec;
    hap_zone_keys_t *keys;
    hapstore_breaker_t *breakers;
    int budget_ms; /* STORE_BUDGET_MS */
    void *shm;
    memcached_server_t servers[HAP_ZONE_NODES_MAX];
    pthread_mutex_t lock;
    char lines[STORE_LINES][STORE_LINE_BYTES]; /* what was said; guard: lock */
    unsigned lines_n;
} shelf_t;

/** So many servers, each with this option or NULL. From unit_pool. */
shelf_t *shelf_make(unsigned nodes, const char *option);

/** Names nodes that run already. */
shelf_t *shelf_of_ports(const uint16_t *ports, unsigned n);

/** Kills the servers. */
void shelf_clear(shelf_t *shelf);

/** A store on it with a thread, ended with unit_pool. */
hapstore_t *store_open(shelf_t *shelf);

/** The same without a thread. */
hapstore_t *store_open_idle(shelf_t *shelf);

/** Kills or starts one of the servers; up also waits until it is asked again. */
void shelf_up(shelf_t *shelf, unsigned node);
void shelf_wait_up(shelf_t *shelf, unsigned node);

/** Which of the servers are the copies of a session, in the order of the placement. */
unsigned shelf_node(const shelf_t *shelf, const char *sid, unsigned place);

/** How often a line with this text was said. */
unsigned shelf_said(shelf_t *shelf, const char *text);

/** The id of a session by its number. */
const char *shelf_sid(int i);

/** The name of a session's record. */
void shelf_name(const shelf_t *shelf, char name[HAP_ZONE_NAME_BYTES + 1], const char *sid);

/** An operation, ended. Clear it. A take is of a session that is known in that epoch. */
hapstore_op_t *do_look(hapstore_t *store, const shelf_t *shelf, const char *sid);
hapstore_op_t *do_put(hapstore_t *store, const shelf_t *shelf, const char *sid, uint64_t version,
                      const char *data);
hapstore_op_t *do_take(hapstore_t *store, const shelf_t *shelf, const char *sid, uint64_t epoch,
                       const char *owner);
hapstore_op_t *do_write(hapstore_t *store, const shelf_t *shelf, const char *sid,
                        hap_zone_condition_t condition, const char *data);

/** Writes over this very record. */
hapstore_op_t *do_overwrite(hapstore_t *store, const shelf_t *shelf, const char *sid,
                            const hap_zone_record_t *over, const char *data);

/** Puts a session and looks at it, in short: `copies data`, or how it went else. */
const char *put(hapstore_t *store, const shelf_t *shelf, const char *sid, uint64_t version,
                const char *data);
const char *look(hapstore_t *store, const shelf_t *shelf, const char *sid);

/** One node by itself: reads a value, which is the caller's, and its token, no_token unless OK. */
hapstore_node_end_t node_get(hapstore_alone_t *alone, hap_str_t name, hapstore_value_t *value,
                             hapstore_token_t *token);

/** Replaces the value that has this token; no_token: there is to be none. */
hapstore_node_end_t node_put(hapstore_alone_t *alone, hap_str_t name, hap_str_t value,
                             uint32_t ttl_s, hapstore_token_t token);

static const hapstore_token_t no_token = {0, 0};

#endif
