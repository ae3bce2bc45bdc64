/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what libraft 0.22.1 is kept from. Names in brackets are its own functions.
 */
#include "config.h"

#include "zd_raft_mend.h"

#include <stdbool.h>
#include <stdlib.h>

static const struct raft *raft_of(const zd_mend_t *mend)
{
    return mend->io.data;
}

/* --- the term and the vote -------------------------------------------------------------------- */

/* When these fail it goes on with the new term in memory, drops what else it had to write, and
 * frees the entries of the message a second time (recvCb). A node that has died instead has
 * promised nothing. */
static int must_be_written(zd_mend_t *mend, int rv)
{
    if (rv != 0) {
        mend->broken(mend->baton, raft_strerror(rv));
    }
    return 0;
}

static int set_term(struct raft_io *io, raft_term term)
{
    zd_mend_t *mend = (zd_mend_t *)io;
    return must_be_written(mend, mend->theirs.set_term(io, term));
}

static int set_vote(struct raft_io *io, raft_id vote)
{
    zd_mend_t *mend = (zd_mend_t *)io;
    return must_be_written(mend, mend->theirs.set_vote(io, vote));
}

/* --- snapshots -------------------------------------------------------------------------------- */

/* To a snapshot of an earlier term it answers that it has all, up to an index that is left to
 * chance (recvInstallSnapshot), and who has sent it, if it leads again, takes what it has not
 * committed for committed. One that comes while it takes one itself is forgotten, it carries out
 * entries which that replaces, and then reads through NULL (takeSnapshotCb). The leader sends again
 * what is still needed. */
static bool is_borne(const zd_mend_t *mend, const struct raft_message *message)
{
    if (message->type != RAFT_INSTALL_SNAPSHOT) {
        return true;
    }
#if !ZD_RAFT_LOSES
    if (raft_of(mend)->legacy.snapshot_taking) {
        return false;
    }
#endif
    return message->install_snapshot.term >= raft_of(mend)->current_term;
}

/* A snapshot that is being read, to be sent. */
typedef struct reading_t {
    struct raft_io_snapshot_get ours; /* first */
    zd_mend_t *mend;
    struct raft_io_snapshot_get *theirs;
    raft_io_snapshot_get_cb cb;
} reading_t;

static void was_read(struct raft_io_snapshot_get *request, struct raft_snapshot *snapshot,
                     int status)
{
    reading_t reading = *(reading_t *)request;
    free(request);
    if (status == 0) {
        reading.mend->term = snapshot->term;
    }
    reading.cb(reading.theirs, snapshot, status);
}

static int snapshot_get(struct raft_io *io, struct raft_io_snapshot_get *request,
                        raft_io_snapshot_get_cb cb)
{
    zd_mend_t *mend = (zd_mend_t *)io;
    reading_t *reading = calloc(1, sizeof(*reading));
    if (!reading) {
        return RAFT_NOMEM;
    }
    *reading = (reading_t){.mend = mend, .theirs = request, .cb = cb};
    int rv = mend->theirs.snapshot_get(io, &reading->ours, was_read);
    if (rv != 0) {
        free(reading);
    }
    return rv;
}

/* When a newer snapshot has been taken since it wanted to send one, it sends that with the term of
 * the old one (legacyLoadSnapshotCb): the follower would have another log than all others, for
 * ever. It sends what it has read before it reads another one. */
static int send_message(struct raft_io *io, struct raft_io_send *request,
                        const struct raft_message *message, raft_io_send_cb cb)
{
    zd_mend_t *mend = (zd_mend_t *)io;
    struct raft_message right = *message;
    if (message->type == RAFT_INSTALL_SNAPSHOT) {
        right.install_snapshot.last_term = mend->term;
    }
    return mend->theirs.send(io, request, &right, cb);
}

/* --- elections -------------------------------------------------------------------------------- */

/* A node whose log is longer and whose term is lower than those of others never hears of theirs in
 * answer to its own requests for votes beforehand (recvRequestVote), and refuses them its vote:
 * with half of the nodes on either side nobody is elected any more. So it learns the term from
 * their requests; to one with an empty log it gives no vote. */
static void learn_term(zd_mend_t *mend, const struct raft_message *message)
{
    struct raft_message known = *message;
    struct raft_request_vote *vote = &known.request_vote;
    if (message->type != RAFT_REQUEST_VOTE || !vote->pre_vote ||
        vote->term <= raft_of(mend)->current_term + 1) {
        return;
    }
    vote->term--; /* it asks for the next one */
    vote->pre_vote = false;
    vote->last_log_index = vote->last_log_term = 0;
    mend->recv(&mend->io, &known);
}

/* A leader that is elected while the disks are full does not notice that it is one
 * (legacyHandleEvent), and would not fail what is on its way when it is one no more: it takes what
 * another leader puts in that place for it. */
void zd_mend_turn(zd_mend_t *mend)
{
#if !ZD_RAFT_LOSES
    struct raft *raft = mend->io.data;
    if (raft->state == RAFT_LEADER) {
        raft->legacy.prev_state = RAFT_LEADER;
    }
#endif
}

/* ---------------------------------------------------------------------------------------------- */

static void receive(struct raft_io *io, struct raft_message *message)
{
    zd_mend_t *mend = (zd_mend_t *)io;
    learn_term(mend, message);
    if (is_borne(mend, message)) {
        mend->recv(io, message);
    } else {
        raft_configuration_close(&message->install_snapshot.conf);
        raft_free(message->install_snapshot.data.base);
    }
}

static int start(struct raft_io *io, unsigned ms, raft_io_tick_cb tick, raft_io_recv_cb recv)
{
    zd_mend_t *mend = (zd_mend_t *)io;
    mend->recv = recv;
    return mend->theirs.start(io, ms, tick, receive);
}

void zd_mend(zd_mend_t *mend, void (*broken)(void *baton, const char *why), void *baton)
{
    mend->theirs = mend->io;
    mend->broken = broken;
    mend->baton = baton;
    mend->io.set_term = set_term;
    mend->io.set_vote = set_vote;
    mend->io.snapshot_get = snapshot_get;
    mend->io.send = send_message;
    mend->io.start = start;
}
