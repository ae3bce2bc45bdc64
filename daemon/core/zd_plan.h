/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what a leader says of its own accord, so that what is agreed on is what the configuration
 * says. Pure: looks at the state, and names the next command.
 */
#ifndef ZD_PLAN_H
#define ZD_PLAN_H

#include "zd_cluster.h"
#include "zd_command.h"
#include "zd_config.h"

/** Address of the only node, when the configuration says none: nobody asks for it. */
#define ZD_PLAN_ALONE "127.0.0.1:7946"

/** What a leader knows of itself. */
typedef struct zd_leader_t {
    const char *id;   /* its node's */
    uint64_t term;    /* in which it leads */
    const char *uuid; /* for a cluster that has none yet */
} zd_leader_t;

/** The next command, less client, seq, at_ms and by; false when all is said. Borrows. */
bool zd_plan_next(zd_command_t *command, const zd_cluster_t *cluster, const zd_config_t *config,
                  const zd_leader_t *leader);

#endif
