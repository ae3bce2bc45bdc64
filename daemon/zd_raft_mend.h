/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what stands between libraft 0.22.1 and its I/O, so that its faults do no harm. Each was
 * found by t/engine/sim, which runs into it again without this.
 */
#ifndef ZD_RAFT_MEND_H
#define ZD_RAFT_MEND_H

#include <raft.h>

typedef struct zd_mend_t {
    struct raft_io io; /* first; the engine's, with ours in the place of some functions */
    struct raft_io theirs;
    raft_io_recv_cb recv;
    raft_term term; /* of the snapshot that was read last */
    void (*broken)(void *baton, const char *why);
    void *baton;
} zd_mend_t;

/** Steps in between: after `io` was made, and before raft_init. `broken` is as zd_raft_conf_t has
 * it. */
void zd_mend(zd_mend_t *mend, void (*broken)(void *baton, const char *why), void *baton);

/** To be called in each turn of the loop. */
void zd_mend_turn(zd_mend_t *mend);

#endif
