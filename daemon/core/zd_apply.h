/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what each command does to a cluster. Does not keep the state: zd_state does.
 */
#ifndef ZD_APPLY_H
#define ZD_APPLY_H

#include "zd_state.h"

/** What a command makes of a cluster. */
typedef struct zd_change_t {
    const zd_command_t *command;
    zd_cluster_t *cluster; /* a draft that the command changes */
    zd_result_t *result;   /* gets epoch, and the sentence unless it is done */
    const char *event;     /* what history says of it, less who and why */
    bool beside;           /* something changed that is not in the map */
    apr_pool_t *pool;
} zd_change_t;

/** DONE, UNCHANGED, CONFLICT or REFUSED. Without DONE the draft is to be thrown away. */
zd_end_t zd_apply(zd_change_t *change);

/** Ends so, with a sentence. */
zd_end_t zd_ends(zd_change_t *change, zd_end_t end, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
