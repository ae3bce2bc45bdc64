/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what the state is made of, for zd_state.c and zd_snapshot.c. */
#ifndef ZD_STATE_INT_H
#define ZD_STATE_INT_H

#include "zd_state.h"

/** Who sent commands, and what became of the last one. */
typedef struct zd_client_t {
    char name[ZD_CLIENT_BYTES_MAX + 1];
    uint64_t seq;
    uint64_t index; /* of the state, when it was last heard */
    zd_result_t result;
} zd_client_t;

struct zd_state_t {
    apr_pool_t *pool; /* of cluster and map: both are made anew by each change */
    const zd_cluster_t *cluster;
    hap_str_t map;
    uint64_t index;
    unsigned clients_n;
    unsigned history_n;
    zd_client_t clients[ZD_CLIENTS_MAX];
    zd_event_t history[ZD_HISTORY_MAX]; /* the oldest first */
};

#endif
