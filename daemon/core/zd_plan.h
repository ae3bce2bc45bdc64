/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what a leader says of its own accord, so that what is agreed on is what the configuration
 * says and what the leader hears of. Pure: looks at the state, and names the next command.
 */
#ifndef ZD_PLAN_H
#define ZD_PLAN_H

#include "zd_cluster.h"
#include "zd_command.h"
#include "zd_config.h"
#include "zd_lease.h"
#include "zd_member.h"
#include "zd_roll.h"

/** Address of the only node, when the configuration says none: nobody asks for it. */
#define ZD_PLAN_ALONE "127.0.0.1:7946"

enum {
    ZD_HEIR_MS =
        300 /* a leader that was just elected waits so long to hear who should lead instead */
};

/** What a leader knows beside what is agreed on. */
typedef struct zd_leader_t {
    const char *id;    /* its node's */
    uint64_t term;     /* in which it leads */
    const char *uuid;  /* for a cluster that has none yet */
    uint64_t now_ms;   /* now */
    uint64_t ready_ms; /* since when it leads */
    bool begins;       /* this daemon has just begun, so the others may have, too */
    bool may_lead;     /* nobody else should, or those who should do not take it */
    const zd_roll_t *roll;
    const zd_lease_t *lease;
} zd_leader_t;

/** The next command, less client, seq, at_ms and by; false when all is said. Borrows. */
bool zd_plan_next(zd_command_t *command, const zd_cluster_t *cluster, const zd_config_t *config,
                  const zd_leader_t *leader);

/** Whether the leader is the primary of its term by what is agreed on. */
bool zd_plan_is_primary(const zd_cluster_t *cluster, const zd_leader_t *leader);

/** Who should be the primary, now that this node was elected: who was chosen by hand, who was it
 * before, or the rendezvous-first. Of those that are there and may lead, and are not among
 * `tried`, a bit for each place in `cluster`. Its place; -1: nobody; nodes_n: it is too early to
 * say. */
int zd_plan_heir(const zd_cluster_t *cluster, const zd_config_t *config, const zd_leader_t *leader,
                 uint64_t tried);

/** The next change of the engine's list of nodes, so that it is that of those with a vote in
 * `cluster`; false when it is. Who gets a vote is there. Borrows. */
bool zd_plan_member(zd_member_change_t *change, zd_member_t *member, const zd_cluster_t *cluster,
                    const zd_member_t *members, unsigned members_n, const zd_leader_t *leader);

#endif
