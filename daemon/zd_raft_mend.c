/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what libraft 0.22.1 is kept from. "It" is libraft; names in brackets are its own functions.
 * A disk that fails ends the node wherever libraft would go on with what it has not written.
 *
 * Not mended: who is sent entries that contradict what it has committed, as its disk has lost what
 * was synced, frees them twice (the end of recvAppendEntries, recvCb), by which the C library
 * ends the process.
 */
#include "config.h"

#include "zd_raft_mend.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "zd_raft_files.h"

#if ZD_RAFT_LOSES /* has other names */
enum {
    RAFT_APPEND_ENTRIES = RAFT_IO_APPEND_ENTRIES,
    RAFT_INSTALL_SNAPSHOT = RAFT_IO_INSTALL_SNAPSHOT,
    RAFT_REQUEST_VOTE = RAFT_IO_REQUEST_VOTE
};
#endif

enum { TIMERS = 4, RETRY_TIMER = 2 /* of those, as it makes them */ };

static const struct raft *raft_of(const zd_mend_t *mend)
{
    return mend->io.data;
}

/* --- the term and the vote -------------------------------------------------------------------- */

static void breaks(const zd_mend_t *mend, const char *what, const char *why)
{
    char text[RAFT_ERRMSG_BUF_SIZE];
    snprintf(text, sizeof(text), "%s cannot be %s", what, why);
    mend->broken(mend->baton, text);
}

/* When one of these fails it keeps the new term or vote in memory all the same, drops what else
 * the step had to write and to send (legacyHandleEvent), and frees the entries of the message that
 * has led to it a second time (recvCb). So the failure is told to us alone, and the daemon ends: a
 * node that has died has promised nothing. */
static int must_be_written(const zd_mend_t *mend, int rv)
{
    if (rv != 0) {
        char why[128];
        snprintf(why, sizeof(why), "written: %s", raft_strerror(rv));
        breaks(mend, "the term or the vote", why);
    }
    return 0;
}

/* To write the same term again is to take back the vote in it, until that is written again: so it
 * does before each vote (recvRequestVote). */
static int set_term(struct raft_io *io, raft_term term)
{
    zd_mend_t *mend = (zd_mend_t *)io;
    if (mend->loaded && term == mend->voting_term) {
        return 0;
    }
    mend->voting_term = term;
    mend->vote = 0;
    return must_be_written(mend, mend->theirs.set_term(io, term));
}

static int set_vote(struct raft_io *io, raft_id vote)
{
    zd_mend_t *mend = (zd_mend_t *)io;
    if (mend->loaded && vote == mend->vote) {
        return 0;
    }
    mend->vote = vote;
    return must_be_written(mend, mend->theirs.set_vote(io, vote));
}

/* --- the log ---------------------------------------------------------------------------------- */

/* It drops what it cannot read at the end of a segment that was written to, as a host that dies may
 * leave a part of an entry there. What was written whole others know of, and may be dropped by
 * nobody; nor would a leader that knows of it ever send it again. */
static bool has_all(zd_mend_t *mend, raft_index last)
{
    raft_index reached = zd_reached_get(mend->reached);
    if (last >= reached) {
        return true;
    }
    char name[32];
    zd_kept_oldest(name, sizeof(name), mend->kept); /* without one it is said of the folder */
    snprintf(mend->io.errmsg, sizeof(mend->io.errmsg),
             "%s%sthe log ends at entry %llu, and entry %llu was written: it has lost what others "
             "may count on",
             name, name[0] ? ": " : "", last, reached);
    return false;
}

/* Of a snapshot that it cannot read it does not say which. */
static void name_file(zd_mend_t *mend, int rv)
{
    char *errmsg = mend->io.errmsg;
    char why[sizeof(mend->io.errmsg) / 2];
    char name[96];
    bool named = strstr(errmsg, "segment") || strstr(errmsg, "snapshot-");
    zd_files_snapshot(name, sizeof(name), mend->dir);
    if (named || rv == RAFT_NOMEM || !name[0]) {
        return;
    }
    snprintf(why, sizeof(why), "%.*s", (int)sizeof(why) - 1,
             errmsg[0] ? errmsg : "it cannot be read");
    snprintf(errmsg, sizeof(mend->io.errmsg), "%s: %s", name, why);
}

static int load(struct raft_io *io, raft_term *term, raft_id *vote, struct raft_snapshot **snapshot,
                raft_index *start, struct raft_entry **entries, size_t *n)
{
    zd_mend_t *mend = (zd_mend_t *)io;
    io->errmsg[0] = '\0';
    int rv = mend->theirs.load(io, term, vote, snapshot, start, entries, n);
    if (rv != 0) {
        name_file(mend, rv);
        return rv;
    }
    mend->loaded = true;
    mend->voting_term = *term;
    mend->vote = *vote;
    mend->next = *start + *n;
    mend->own_index = *snapshot ? (*snapshot)->index : 0;
    mend->own_term = *snapshot ? (*snapshot)->term : 0;
    if (!has_all(mend, mend->next - 1)) {
        return RAFT_CORRUPT; /* the process ends, and what was read with it */
    }
    zd_reached_set(mend->reached, mend->next - 1);
    return 0;
}

/* Before entries that were written are removed. Those that are still on their way do not count. */
static void goes_back(zd_mend_t *mend, raft_index to)
{
    mend->removals++;
    if (to < zd_reached_get(mend->reached) && !zd_reached_set(mend->reached, to)) {
        breaks(mend, "how far the log is written", "written");
    }
}

/* Entries on their way to the disk. */
typedef struct writing_t {
    struct raft_io_append ours; /* first */
    zd_mend_t *mend;
    struct raft_io_append *theirs;
    raft_io_append_cb cb;
    raft_index cut;  /* they are the first ones after this cut; 0: they are not */
    raft_index ends; /* likewise the last ones before it */
    raft_index last; /* of them */
    unsigned removals;
} writing_t;

static void begin_cut(zd_mend_t *mend, raft_index index)
{
    int error = zd_files_begin(mend->dir, ZD_FILES_CUT, index);
    if (error != 0) {
        breaks(mend, "the log", error == ENOSPC ? "cut: no space left on device" : "cut");
    }
}

static void was_written(struct raft_io_append *request, int status)
{
    writing_t writing = *(writing_t *)request;
    if (writing.mend->writing == request) {
        writing.mend->writing = NULL;
    }
    free(request);
    if (status != 0 && status != RAFT_CANCELED) {
        breaks(writing.mend, "the log", "written");
    }
    if (status == 0 && writing.cut && !zd_files_end(writing.mend->dir, ZD_FILES_CUT, writing.cut)) {
        breaks(writing.mend, "the log", "cut");
    }
    if (status == 0 && writing.ends) {
        begin_cut(writing.mend, writing.ends);
    }
    if (status == 0 && writing.removals == writing.mend->removals) {
        zd_reached_set(writing.mend->reached, writing.last);
    }
    writing.cb(writing.theirs, status);
}

/* When it fails at once the entries are freed, and are still to be written (UvAppend). */
static int append(struct raft_io *io, struct raft_io_append *request,
                  const struct raft_entry entries[], unsigned n, raft_io_append_cb cb)
{
    zd_mend_t *mend = (zd_mend_t *)io;
    writing_t *writing = calloc(1, sizeof(*writing));
    if (!writing) {
        return RAFT_NOMEM;
    }
    *writing = (writing_t){.mend = mend, .theirs = request, .cb = cb, .cut = mend->cut};
    mend->cut = 0;
    mend->next += n;
    writing->last = mend->next - 1;
    writing->removals = mend->removals;
    mend->writing = writing;
    int rv = mend->theirs.append(io, &writing->ours, entries, n, was_written);
    if (rv != 0) {
        breaks(mend, "the log", "written");
    }
    return rv;
}

/* A segment that cannot be closed or cut is forgotten, and entries are written after those that
 * were to go. It begins when those on their way are written (UvBarrier). */
static int truncate_log(struct raft_io *io, raft_index index)
{
    zd_mend_t *mend = (zd_mend_t *)io;
    if (index < mend->next) {
        if (mend->writing) {
            ((writing_t *)mend->writing)->ends = index;
        } else {
            begin_cut(mend, index);
        }
        goes_back(mend, index - 1);
        mend->next = mend->cut = index;
    }
    return mend->theirs.truncate(io, index);
}

/* When a write has failed it starts the wrong timer to try again, and then takes itself for a
 * segment (uvAliveSegmentWriteCb). What stands in the right one tells of that; it is the third of
 * its timers. */
typedef struct timers_t {
    const void *owner;
    const uv_timer_t *all[TIMERS];
    unsigned n;
} timers_t;

static void note_timer(uv_handle_t *handle, void *baton)
{
    timers_t *timers = baton;
    if (handle->type != UV_TIMER || handle->data != timers->owner) {
        return;
    }
    if (timers->n < TIMERS) {
        timers->all[timers->n] = (const uv_timer_t *)handle;
    }
    timers->n++;
}

static const uv_timer_t *find_retry(const zd_mend_t *mend)
{
    timers_t timers = {.owner = mend->io.impl};
    uv_walk(mend->loop, note_timer, &timers);
    return timers.n == TIMERS ? timers.all[RETRY_TIMER] : NULL;
}

static void look_at_writes(zd_mend_t *mend)
{
    if (mend->retry && mend->retry->data && mend->retry->data != mend->io.impl) {
        mend->retry = NULL;
        breaks(mend, "the log", "written");
    }
}

/* --- snapshots -------------------------------------------------------------------------------- */

/* A snapshot of an earlier term is answered like one that it has: not rejected, and with a last
 * index that was never set (recvInstallSnapshot). Who has sent it, if it leads again by then,
 * counts that as a match, and may take for committed what is on too few disks.
 *
 * One that comes while it takes a snapshot itself is put off (snapshot_pending), and is lost: it
 * goes on to carry out entries which that replaces, and then takes the pointer after it has set it
 * to NULL (takeSnapshotCb).
 *
 * Neither gets to it. The leader sends again what is still needed. */
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

/* To one that is older than its own it answers that it has that, and refuses the entries that come
 * after it, which its own has replaced (recvAppendEntries): the leader sends it again, for ever.
 * What it is asked instead is whether it has all up to its own. */
static bool has_newer(zd_mend_t *mend, const struct raft_message *message)
{
    const struct raft_install_snapshot *older = &message->install_snapshot;
    if (message->type != RAFT_INSTALL_SNAPSHOT || older->last_index >= mend->own_index) {
        return false;
    }
    struct raft_message has = {
        .type = RAFT_APPEND_ENTRIES,
        .server_id = message->server_id,
        .server_address = message->server_address,
        .append_entries = {.term = older->term,
                           .prev_log_index = mend->own_index,
                           .prev_log_term = mend->own_term},
    };
    mend->recv(&mend->io, &has);
    return true;
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

/* A snapshot that is being written. */
typedef struct putting_t {
    struct raft_io_snapshot_put ours; /* first */
    zd_mend_t *mend;
    struct raft_io_snapshot_put *theirs;
    raft_io_snapshot_put_cb cb;
    raft_index taken; /* of this node's own; 0: the leader's */
    raft_index index;
    raft_term term;
} putting_t;

/* One of the leader's that is not written is taken for written up to there, and none for that. */
static void was_put(struct raft_io_snapshot_put *request, int status)
{
    putting_t putting = *(putting_t *)request;
    zd_mend_t *mend = putting.mend;
    free(request);
    if (!putting.taken && status != 0 && status != RAFT_CANCELED) {
        breaks(mend, "the leader's snapshot", "written");
    }
    if (putting.taken && status != RAFT_CANCELED &&
        !zd_files_end(mend->dir, ZD_FILES_TAKE, putting.taken)) {
        breaks(mend, "a segment of the log", "closed");
    }
    if (status == 0) {
        mend->own_index = putting.index;
        mend->own_term = putting.term;
    }
    if (status == 0 && zd_reached_get(mend->reached) < putting.index) {
        zd_reached_set(mend->reached, putting.index);
    }
    putting.cb(putting.theirs, status);
}

static int snapshot_put(struct raft_io *io, unsigned trailing, struct raft_io_snapshot_put *request,
                        const struct raft_snapshot *snapshot, raft_io_snapshot_put_cb cb)
{
    zd_mend_t *mend = (zd_mend_t *)io;
    bool taken = trailing > 0;
    if (taken && zd_files_begin(mend->dir, ZD_FILES_TAKE, snapshot->index) != 0) {
        return RAFT_NOSPACE; /* it is tried again with the next entry */
    }
    putting_t *putting = calloc(1, sizeof(*putting));
    if (!putting) {
        return RAFT_NOMEM;
    }
    *putting = (putting_t){.mend = mend,
                           .theirs = request,
                           .cb = cb,
                           .taken = taken ? snapshot->index : 0,
                           .index = snapshot->index,
                           .term = snapshot->term};
    if (!taken) {
        goes_back(mend, 0);
        mend->next = snapshot->index + 1;
    }
    int rv = mend->theirs.snapshot_put(io, trailing, &putting->ours, snapshot, was_put);
    if (rv != 0) {
        free(putting);
    }
    return rv;
}

/* Between its wish to send a snapshot and the reading of that from disk a newer one may have been
 * taken. Then it sends the newer one, with the index of that and the last term of the older one
 * (legacyLoadSnapshotCb): the follower would have another log than all others, for ever. The term
 * is that of the snapshot that was read last, as it sends from the callback of the reading. */
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

/* The answer to a pre-vote request has the term of the request, not that of who answers
 * (recvRequestVote). So a node with a longer log and a lower term than the others never hears of
 * theirs: they refuse it as its term is lower, and it refuses them as its log is longer. When
 * neither side has more than half, nobody is elected any more.
 *
 * So it learns the term from their requests: before a pre-vote request for a term that is further
 * ahead than the next one it gets a request for a vote in the term which the sender has. That
 * raises its own, unless it has a leader, and costs no vote, as the log that it is for is empty. */
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

/* When the barrier with which a node begins to lead is refused, as its disk is full, the step fails
 * (convertToLeader) and it leads without having set prev_state (legacyHandleStateUpdate). When it
 * leads no more it does not fail what clients have asked for, and answers them when another
 * leader's entries are carried out at these indexes. */
void zd_mend_turn(zd_mend_t *mend)
{
    look_at_writes(mend);
#if !ZD_RAFT_LOSES
    struct raft *raft = mend->io.data;
    if (raft->state == RAFT_LEADER) {
        raft->legacy.prev_state = RAFT_LEADER;
    }
#endif
}

/* ---------------------------------------------------------------------------------------------- */

/* What comes while a snapshot is being written it forgets (replicationInstallSnapshot), and does
 * not free. */
static bool is_forgotten(const zd_mend_t *mend, const struct raft_message *message)
{
#if !ZD_RAFT_LOSES
    return message->type == RAFT_INSTALL_SNAPSHOT && raft_of(mend)->snapshot.installing;
#else
    return false;
#endif
}

static void receive(struct raft_io *io, struct raft_message *message)
{
    zd_mend_t *mend = (zd_mend_t *)io;
    learn_term(mend, message);
    bool is_taken = is_borne(mend, message) && !has_newer(mend, message);
    bool is_kept = is_taken && !is_forgotten(mend, message);
    if (is_taken) {
        mend->recv(io, message);
    }
    if (!is_kept) {
        raft_configuration_close(&message->install_snapshot.conf);
        raft_free(message->install_snapshot.data.base);
    }
}

static int start(struct raft_io *io, unsigned ms, raft_io_tick_cb tick, raft_io_recv_cb recv)
{
    zd_mend_t *mend = (zd_mend_t *)io;
    mend->recv = recv;
    mend->retry = find_retry(mend);
    zd_kept_free(mend->kept);
    mend->kept = NULL;
    zd_files_loaded(mend->dir); /* the state was read, too, and no segment is made yet */
    return mend->theirs.start(io, ms, tick, receive);
}

bool zd_mend(zd_mend_t *mend, uv_loop_t *loop, const char *dir,
             void (*broken)(void *baton, const char *why), void *baton)
{
    mend->theirs = mend->io;
    mend->loop = loop;
    mend->dir = dir;
    mend->broken = broken;
    mend->baton = baton;
    mend->kept = zd_kept_read(dir);
    mend->reached = zd_reached_open(dir);
    mend->io.set_term = set_term;
    mend->io.set_vote = set_vote;
    mend->io.load = load;
    mend->io.append = append;
    mend->io.truncate = truncate_log;
    mend->io.snapshot_put = snapshot_put;
    mend->io.snapshot_get = snapshot_get;
    mend->io.send = send_message;
    mend->io.start = start;
    return mend->kept && mend->reached;
}

void zd_mend_undo(zd_mend_t *mend)
{
    zd_kept_put_back(mend->kept);
}

void zd_mend_free(zd_mend_t *mend)
{
    zd_kept_free(mend->kept);
    zd_reached_close(mend->reached);
}
