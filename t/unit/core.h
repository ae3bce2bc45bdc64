/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the core of node 0, whose engine, clock and drivers are the test's: what it does is noted,
 * and what is agreed on, heard and run is what the test says.
 */
#ifndef UNIT_CORE_H
#define UNIT_CORE_H

#include "zd_core.h"

#define CORE_UUID "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"

enum {
    CORE_TIMEOUT_MS = 10000,
    CORE_LEFT_MS = 1008000, /* by when an earlier run wanted the service dead */
    CORE_ELECTION_MS = 600
};

/** Node 0 by itself, and three that all have a replica. */
extern const zd_config_t core_alone;
extern const zd_config_t core_three;
extern const hap_map_node_t core_nodes[];

extern zd_core_t *core;
extern uint64_t core_now;
extern zd_state_t *core_state;
extern bool core_leads;
extern uint64_t core_term;
extern zd_wish_t *core_wish;    /* on its way */
extern zd_beat_t core_beat;     /* the last one to another node */
extern zd_answer_t core_answer; /* the same */
extern zd_run_t core_runs;
extern bool core_undead; /* what ensure-active has begun */

/** What has been done since it was asked for last, with commas; the lines of the log since then. */
const char *core_did(void);
const char *core_said(void);

/** Begins with that configuration, and the node that is named as the first primary or NULL; also
 * with what an earlier run has left, or 0. */
void core_begin(const zd_config_t *config, const char *first);
void core_begin_anew(const zd_config_t *config, const char *first, uint64_t kill_at_ms);

/** Begins, and leads a cluster of that configuration; its service is stopped. */
void core_begin_leading(const zd_config_t *config);

/** Begins, and follows; is active in epoch 7, which an earlier run had got. */
void core_begin_active(void);
void core_finish(void);

/** What is on its way to the log is agreed on, and what follows from that, too. */
void core_commit_all(void);

/** Time passes; a script ends. */
void core_ticks(uint64_t ms);
void core_ran(bool well);

/** As a leader, hears a node's beat. Of a follower: the leader, node 1, answers the last beat. */
void core_hears(const char *node, zd_beat_t what);
bool core_answered(zd_answer_t what);

zd_role_t core_role(void);

#endif
