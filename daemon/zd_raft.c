/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the engine and the state machine under it.
 */
#include "config.h"

#include "zd_raft.h"

#include <stdlib.h>

#include <apr_strings.h>
#include <raft.h>
#include <raft/uv.h>

#include "zd_raft_files.h"
#include "zd_raft_mend.h"
#include "zd_raft_net.h"

enum {
    HEARTBEATS = 10, /* in the time of an election */
    SEGMENT_BYTES = ZD_SEGMENT_BYTES,
    CONNECT_AGAIN_MS = 200,
    DISK_AGAIN_MS = 1000,
    CAPACITY_KB = SEGMENT_BYTES / 2048, /* no entry is taken when less is reserved on the disk */
    SNAPSHOT_THRESHOLD = 1024,          /* entries after which the log is cut */
    SNAPSHOT_TRAILING = 512
};

struct zd_raft_t {
    struct raft raft;
    zd_mend_t mend; /* its io is the engine's */
    struct raft_fsm fsm;
    struct raft_uv_transport transport;
    zd_raft_conf_t conf;
    zd_state_t *state;
    zd_wish_t *sent;                 /* those on their way */
    uint64_t ends[ZD_END_COUNT + 1]; /* how many have ended so */
    uv_prepare_t turn;
    struct raft_barrier barrier; /* what is behind it was committed before this node led */
    uint64_t barrier_term;       /* of that; 0: none is on its way */
    bool barrier_void;           /* it has begun before there was a doubt */
    uint64_t ready_term;         /* in which this node leads and has carried all out */
    uint64_t seen_term;
    uint64_t seen_index;
    int seen_role;
    bool seen_ready;
    uint64_t seen_leader; /* number; 0: none */
    uint64_t disk_last;   /* last entry that was on disk when this run began; all until it has */
    uint64_t past;        /* commands up to that one */
    char unread[256];     /* the snapshot that cannot be read, and why; "": none */
    bool closing;
    bool stopped; /* the engine is closed */
};

/* --- the state machine ------------------------------------------------------------------------ */

/* What is not told of here is not known to be committed, whatever the engine says of it. One may be
 * on its way twice, when it was asked for again: its first result is that of both. */
static void tell_sent(zd_raft_t *self, const zd_command_t *command, const zd_result_t *result)
{
    for (zd_wish_t *wish = self->sent; wish; wish = wish->next) {
        if (!wish->committed && wish->command.seq == command->seq &&
            strcmp(wish->command.client, command->client) == 0) {
            wish->committed = true;
            wish->result = *result;
        }
    }
}

/* What is committed and cannot be read is of a newer version of the daemon: to go on without it
 * would make this state another one than that of the others. */
static int apply(struct raft_fsm *fsm, const struct raft_buffer *buf, void **result)
{
    zd_raft_t *self = fsm->data;
    zd_command_t command;
    hap_diag_t diag;
    apr_pool_t *pool;
    *result = NULL;
    if (apr_pool_create_unmanaged_ex(&pool, NULL, NULL) != APR_SUCCESS) {
        return RAFT_NOMEM;
    }
    apr_status_t rv = zd_command_decode(&command, hap_strn(buf->base, buf->len), &diag, pool);
    if (rv == APR_SUCCESS) {
        zd_result_t end = zd_state_apply(self->state, &command);
        tell_sent(self, &command, &end);
        if (self->raft.last_applied < self->disk_last) {
            self->past = zd_state_index(self->state);
        }
    }
    apr_pool_destroy(pool);
    return rv == APR_SUCCESS ? 0 : RAFT_MALFORMED;
}

/* A follower of libraft 0.22.1 that gets a message of before again takes a step back in what it
 * knows to be committed. A snapshot would be called by that, and have in it what comes after, which
 * would be carried out once more on it. It is taken when the follower is where it was. */
static int snapshot(struct raft_fsm *fsm, struct raft_buffer *bufs[], unsigned *n_bufs)
{
    zd_raft_t *self = fsm->data;
    hap_str_t bytes;
    hap_diag_t diag;
    apr_pool_t *pool;
    if (self->raft.last_applied != self->raft.commit_index) {
        return RAFT_BUSY;
    }
    if (apr_pool_create_unmanaged_ex(&pool, NULL, NULL) != APR_SUCCESS) {
        return RAFT_NOMEM;
    }
    struct raft_buffer *buf = raft_malloc(sizeof(*buf));
    bool saved = zd_state_save(&bytes, self->state, &diag, pool) == APR_SUCCESS;
    void *copy = saved ? raft_malloc(bytes.n) : NULL;
    if (buf && copy) {
        memcpy(copy, bytes.p, bytes.n);
        *buf = (struct raft_buffer){.base = copy, .len = bytes.n};
        *bufs = buf;
        *n_bufs = 1;
    } else {
        raft_free(buf);
        raft_free(copy);
    }
    apr_pool_destroy(pool);
    return buf && copy ? 0 : RAFT_NOMEM;
}

static int restore(struct raft_fsm *fsm, struct raft_buffer *buf)
{
    zd_raft_t *self = fsm->data;
    hap_diag_t diag;
    zd_state_t *loaded = zd_state_load(hap_strn(buf->base, buf->len), &diag);
    if (loaded == NULL) {
        char name[sizeof(self->unread) / 2];
        zd_files_snapshot(name, sizeof(name), self->conf.dir);
        apr_snprintf(self->unread, sizeof(self->unread), "%s: %s", name, diag.why);
        return RAFT_CORRUPT;
    }
    zd_state_free(self->state);
    self->state = loaded;
    if (self->disk_last == UINT64_MAX) {
        self->past = zd_state_index(loaded);
    }
    raft_free(buf->base);
    return 0;
}

/* --- commands --------------------------------------------------------------------------------- */

/* An entry on its way to the log. */
typedef struct entry_t {
    struct raft_apply request;
    zd_raft_t *self;
    zd_wish_t *wish;
} entry_t;

static void forget(zd_raft_t *self, const zd_wish_t *wish)
{
    zd_wish_t **at = &self->sent;
    while (*at != wish) {
        at = &(*at)->next;
    }
    *at = wish->next;
}

static void finish(zd_raft_t *self, zd_wish_t *wish)
{
    self->ends[wish->committed ? wish->result.end : ZD_END_COUNT]++;
    wish->done(wish);
}

const uint64_t *zd_raft_ends(const zd_raft_t *self)
{
    return self->ends;
}

static void entry_done(struct raft_apply *request, int status, void *result)
{
    entry_t *entry = (entry_t *)request;
    zd_wish_t *wish = entry->wish;
    zd_raft_t *self = entry->self;
    forget(self, wish);
    free(entry);
    wish->why = raft_strerror(status);
    finish(self, wish);
}

static bool submit(zd_raft_t *self, zd_wish_t *wish, hap_str_t bytes)
{
    entry_t *entry = calloc(1, sizeof(*entry));
    struct raft_buffer buf = {.base = raft_malloc(bytes.n), .len = bytes.n};
    if (!entry || !buf.base) {
        free(entry);
        raft_free(buf.base);
        return false;
    }
    memcpy(buf.base, bytes.p, bytes.n);
    *entry = (entry_t){.self = self, .wish = wish};
    wish->next = self->sent;
    self->sent = wish;
    int rv = raft_apply(&self->raft, &entry->request, &buf, 1, entry_done);
    if (rv != 0) {
        wish->why = raft_strerror(rv);
        wish->full = rv == RAFT_NOSPACE;
        forget(self, wish);
        free(entry);
        raft_free(buf.base);
        return false;
    }
    return true;
}

/* A command that nobody can read would stop every node: it does not get to the log. */
void zd_raft_send(zd_raft_t *self, zd_wish_t *wish)
{
    hap_str_t bytes;
    hap_diag_t diag;
    apr_pool_t *pool;
    wish->committed = wish->full = false;
    wish->why = raft_strerror(RAFT_NOMEM);
    wish->result = (zd_result_t){.end = ZD_REFUSED};
    if (apr_pool_create_unmanaged_ex(&pool, NULL, NULL) != APR_SUCCESS) {
        finish(self, wish);
        return;
    }
    apr_status_t rv = zd_command_encode(&bytes, &wish->command, &diag, pool);
    bool sent = rv == APR_SUCCESS && !self->closing && submit(self, wish, bytes);
    if (rv != APR_SUCCESS) {
        wish->committed = true;
        apr_cpystrn(wish->result.why, diag.why, sizeof(wish->result.why));
    }
    apr_pool_destroy(pool);
    if (!sent) {
        finish(self, wish);
    }
}

/* --- what has changed ------------------------------------------------------------------------- */

bool zd_raft_leads(const zd_raft_t *self)
{
    return self && self->ready_term == self->raft.current_term &&
           raft_state((struct raft *)&self->raft) == RAFT_LEADER;
}

uint64_t zd_raft_term(const zd_raft_t *self)
{
    return self ? self->raft.current_term : 0;
}

const zd_state_t *zd_raft_state(const zd_raft_t *self)
{
    return self ? self->state : NULL;
}

static void barrier_done(struct raft_barrier *barrier, int status)
{
    zd_raft_t *self = barrier->data;
    if (status == 0 && !self->barrier_void) {
        self->ready_term = self->barrier_term;
    }
    self->barrier_term = 0;
    self->barrier_void = false;
}

void zd_raft_doubt(zd_raft_t *self)
{
    if (self) {
        self->ready_term = 0;
        self->barrier_void = self->barrier_term != 0;
    }
}

const char *zd_raft_leader(const zd_raft_t *self)
{
    raft_id id;
    const char *address;
    if (!self) {
        return NULL;
    }
    raft_leader((struct raft *)&self->raft, &id, &address);
    return id ? address : NULL;
}

/* A leader that is elected anew may still have to carry out what others have committed. */
static void make_ready(zd_raft_t *self)
{
    uint64_t term = zd_raft_term(self);
    if (self->closing || self->barrier_term || self->ready_term == term) {
        return;
    }
    self->barrier.data = self;
    if (raft_barrier(&self->raft, &self->barrier, barrier_done) == 0) {
        self->barrier_term = term;
    }
}

unsigned zd_raft_members(const zd_raft_t *self, zd_member_t *members, unsigned room)
{
    const struct raft_configuration *all = &self->raft.configuration;
    unsigned n = all->n < room ? all->n : room;
    for (unsigned i = 0; i < n; i++) {
        members[i] = (zd_member_t){
            .number = all->servers[i].id,
            .address = all->servers[i].address,
            .votes = all->servers[i].role == RAFT_VOTER,
        };
    }
    return n;
}

static void member_changed(struct raft_change *request, int status)
{
    (void)status;
    free(request);
}

bool zd_raft_member(zd_raft_t *self, zd_member_change_t change, uint64_t number,
                    const char *address)
{
    struct raft_change *request = calloc(1, sizeof(*request));
    int rv = request ? 0 : RAFT_NOMEM;
    if (rv == 0 && change == ZD_MEMBER_ADD) {
        rv = raft_add(&self->raft, request, number, address, member_changed);
    } else if (rv == 0 && change == ZD_MEMBER_VOTE) {
        rv = raft_assign(&self->raft, request, number, RAFT_VOTER, member_changed);
    } else if (rv == 0) {
        rv = raft_remove(&self->raft, request, number, member_changed);
    }
    if (rv != 0) {
        free(request);
    }
    return rv == 0;
}

static void transferred(struct raft_transfer *request)
{
    free(request);
}

bool zd_raft_transfer(zd_raft_t *self, uint64_t number)
{
    struct raft_transfer *request = calloc(1, sizeof(*request));
    if (!request || raft_transfer(&self->raft, request, number, transferred) != 0) {
        free(request);
        return false;
    }
    return true;
}

/* Before the loop waits: whatever the engine has done is done by then. */
static void look(uv_prepare_t *turn)
{
    zd_raft_t *self = turn->data;
    int role = raft_state(&self->raft);
    uint64_t term = zd_raft_term(self);
    uint64_t index = zd_state_index(self->state);
    zd_mend_turn(&self->mend);
    if (role == RAFT_LEADER) {
        make_ready(self);
    }
    bool ready = zd_raft_leads(self);
    raft_id leader;
    const char *address;
    raft_leader(&self->raft, &leader, &address);
    if (leader == self->seen_leader && role == self->seen_role && term == self->seen_term &&
        index == self->seen_index && ready == self->seen_ready) {
        return;
    }
    self->seen_leader = leader;
    self->seen_ready = ready;
    self->seen_role = role;
    self->seen_term = term;
    self->seen_index = index;
    if (role == RAFT_UNAVAILABLE && !self->closing) {
        self->conf.ended(self->conf.baton, raft_errmsg(&self->raft));
        return;
    }
    self->conf.changed(self->conf.baton);
}

/* --- beginning and ending --------------------------------------------------------------------- */

static apr_status_t fails(hap_diag_t *diag, const char *what, int rv, const char *why)
{
    bool damaged = rv == RAFT_CORRUPT || rv == RAFT_MALFORMED;
    hap_diag_set(diag, 0, "%s: %s%s%s%s", what, raft_strerror(rv), *why ? ", " : "", why,
                 damaged ? ". " ZD_FILES_WAY_BACK : "");
    return damaged ? APR_EINVAL : APR_EGENERAL;
}

/* What the engine says, or what it does not. */
static const char *why(const zd_raft_t *self)
{
    return self->unread[0] ? self->unread : raft_errmsg((struct raft *)&self->raft);
}

static int bootstrap(zd_raft_t *self)
{
    struct raft_configuration all;
    int rv = 0;
    raft_configuration_init(&all);
    for (unsigned i = 0; rv == 0 && i < self->conf.peers_n; i++) {
        const zd_peer_t *peer = &self->conf.peers[i];
        rv = raft_configuration_add(&all, peer->number, peer->address, RAFT_VOTER);
    }
    rv = rv ? rv : raft_bootstrap(&self->raft, &all);
    raft_configuration_close(&all);
    return rv == RAFT_CANTBOOTSTRAP ? 0 : rv;
}

/* The log goes on as that of a cluster of this node alone. Who has the only vote leads at once, and
 * the engine does not count that as another term. */
static int force(zd_raft_t *self)
{
    struct raft_configuration alone;
    raft_configuration_init(&alone);
    int rv = raft_configuration_add(&alone, self->conf.number, self->conf.address, RAFT_VOTER);
    rv = rv ? rv : self->mend.io.set_term(&self->mend.io, self->conf.forced);
    rv = rv ? rv : raft_recover(&self->raft, &alone);
    raft_configuration_close(&alone);
    return rv;
}

static int start_engine(zd_raft_t *self)
{
    raft_set_pre_vote(&self->raft, true);
    raft_set_election_timeout(&self->raft, self->conf.election_ms);
    raft_set_heartbeat_timeout(&self->raft, self->conf.election_ms / HEARTBEATS);
    raft_set_snapshot_threshold(&self->raft, SNAPSHOT_THRESHOLD);
    raft_set_snapshot_trailing(&self->raft, SNAPSHOT_TRAILING);
    /* On, it renames segments that it cannot read, and forgets what was acknowledged in them. */
    raft_uv_set_auto_recovery(&self->mend.io, false);
    raft_uv_set_segment_size(&self->mend.io, SEGMENT_BYTES);
    raft_uv_set_connect_retry_delay(&self->mend.io, CONNECT_AGAIN_MS);
#if !ZD_RAFT_LOSES
    raft_uv_set_disk_retry(&self->mend.io, DISK_AGAIN_MS);
    /* Its own threshold is more than all segments of this size that it prepares. */
    raft_set_capacity_threshold(&self->raft, CAPACITY_KB);
#endif
    int rv = self->conf.joins ? 0 : bootstrap(self);
    rv = rv == 0 && self->conf.forced ? force(self) : rv;
    return rv ? rv : raft_start(&self->raft);
}

static void stopped(struct raft *raft)
{
    zd_raft_t *self = raft->data;
    self->stopped = true;
    if (self->closing) {
        uv_prepare_stop(&self->turn);
        uv_close((uv_handle_t *)&self->turn, NULL);
        self->conf.ended(self->conf.baton, NULL);
    }
}

/* The engine's handles need turns of the loop to close. */
static void undo(zd_raft_t *self)
{
    raft_close(&self->raft, stopped);
    while (!self->stopped) {
        uv_run(self->conf.loop, UV_RUN_ONCE);
    }
    zd_raft_free(self);
}

static void nothing(struct raft_uv_transport *transport)
{
    (void)transport;
}

/* Before the engine has handles on the loop. */
static apr_status_t give_up(zd_raft_t *self, apr_status_t status)
{
    self->transport.close(&self->transport, nothing);
    zd_raft_free(self);
    return status;
}

static zd_raft_t *make(const zd_raft_conf_t *conf)
{
    zd_raft_t *self = calloc(1, sizeof(*self));
    if (self == NULL || (self->state = zd_state_make()) == NULL) {
        free(self);
        return NULL;
    }
    self->conf = *conf;
    self->seen_role = -1;
    self->disk_last = UINT64_MAX;
    self->fsm = (struct raft_fsm){
        .version = 1, .data = self, .apply = apply, .snapshot = snapshot, .restore = restore};
    return self;
}

apr_status_t zd_raft_open(zd_raft_t **raft, const zd_raft_conf_t *conf, hap_diag_t *diag)
{
    if (!zd_files_check(conf->dir, diag)) {
        return APR_EINVAL;
    }
    zd_raft_t *self = make(conf);
    if (self == NULL) {
        return fails(diag, conf->dir, RAFT_NOMEM, "");
    }
    zd_raft_net_make(&self->transport, conf->net);
    int rv = raft_uv_init(&self->mend.io, conf->loop, conf->dir, &self->transport);
    if (rv != 0) {
        return give_up(self, fails(diag, conf->dir, rv, self->mend.io.errmsg));
    }
    if (!zd_mend(&self->mend, conf->loop, conf->dir, conf->broken, conf->baton)) {
        return give_up(
            self, fails(diag, conf->dir, RAFT_IOERR, "reached, or a segment that is written to"));
    }
    rv = raft_init(&self->raft, &self->mend.io, &self->fsm, conf->number, conf->address);
    if (rv != 0) {
        return give_up(self, fails(diag, conf->dir, rv, raft_errmsg(&self->raft)));
    }
    self->raft.data = self;
    rv = start_engine(self);
    self->disk_last = raft_last_index(&self->raft);
    if (rv != 0) {
        apr_status_t status = fails(diag, conf->dir, rv, why(self));
        zd_mend_undo(&self->mend);
        undo(self);
        return status;
    }
    uv_prepare_init(conf->loop, &self->turn);
    self->turn.data = self;
    uv_prepare_start(&self->turn, look);
    *raft = self;
    return APR_SUCCESS;
}

uint64_t zd_raft_past(const zd_raft_t *self)
{
    return self->past;
}

void zd_raft_accept(zd_raft_t *self, uint64_t number, const char *address, uv_stream_t *stream)
{
    zd_raft_net_accepted(&self->transport, number, address, stream);
}

void zd_raft_close(zd_raft_t *self)
{
    self->closing = true;
    raft_close(&self->raft, stopped);
}

void zd_raft_free(zd_raft_t *self)
{
    raft_uv_close(&self->mend.io);
    zd_mend_free(&self->mend);
    zd_state_free(self->state);
    free(self);
}
