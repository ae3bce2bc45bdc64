/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what stands between libraft 0.22.1 and its I/O, so that its faults do no harm. Each was
 * found by t/engine/sim, which runs into it again without this.
 */
#ifndef ZD_RAFT_MEND_H
#define ZD_RAFT_MEND_H

#include <stdbool.h>

#include <raft.h>
#include <uv.h>

#include "zd_raft_kept.h"
#include "zd_raft_reached.h"

typedef struct zd_mend_t {
    struct raft_io io; /* first; the engine's, with ours in the place of some functions */
    struct raft_io theirs;
    raft_io_recv_cb recv;
    uv_loop_t *loop;
    const char *dir;
    raft_term term;       /* of the snapshot that was read last */
    raft_index own_index; /* of the one that is on disk; 0: there is none */
    raft_term own_term;
    bool loaded;             /* what follows is what is on disk */
    raft_term voting_term;   /* the node's */
    raft_id vote;            /* in it; 0: none */
    raft_index next;         /* index of the entry that is written next */
    raft_index cut;          /* what is written next is the first after this cut; 0: it is not */
    void *writing;           /* what is on its way to the disk, the last of it; NULL: nothing is */
    unsigned removals;       /* how often entries that were written were removed */
    zd_kept_t *kept;         /* as it was before it is read */
    zd_reached_t *reached;   /* NULL: unknown */
    const uv_timer_t *retry; /* the engine's own, of a write that has failed; NULL: unknown */
    void (*broken)(void *baton, const char *why);
    void *baton;
} zd_mend_t;

/** Steps in between: after `io` was made on `loop` for `dir`, and before raft_init. `broken` is as
 * zd_raft_conf_t has it. All are borrowed. False: there is no memory, or no file. */
bool zd_mend(zd_mend_t *mend, uv_loop_t *loop, const char *dir,
             void (*broken)(void *baton, const char *why), void *baton);

/** The log is refused: it is made as it was. */
void zd_mend_undo(zd_mend_t *mend);

/** The io is not used any more. */
void zd_mend_free(zd_mend_t *mend);

/** To be called in each turn of the loop. */
void zd_mend_turn(zd_mend_t *mend);

#endif
