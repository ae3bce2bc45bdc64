/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns a node's disk as libraft sees it: what is asked for is done one after the other, takes its
 * time, and is lost with the daemon unless it is done. As libraft's own does, a disk that fails is
 * tried again, except for the term and the vote.
 */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

#include <raft.h>

enum { CAPACITY_KB = 4096, LOST_MAX = 4 };

typedef enum sim_op_what_t { APPEND, TRUNCATE, PUT, GET } sim_op_what_t;

/* Something that is asked for. What it points to is libraft's until that is told. */
struct sim_op_t {
    sim_op_t *next;
    sim_op_what_t what;
    bool never; /* who asked is dead */
    struct raft_io_append *append;
    const struct raft_entry *entries;
    unsigned n;
    uint64_t index; /* of the first entry, or from which the log is cut */
    struct raft_io_snapshot_put *put;
    const struct raft_snapshot *snapshot;
    unsigned trailing;
    struct raft_io_snapshot_get *get;
};

static void *copy(const void *bytes, size_t n)
{
    void *to = malloc(n ? n : 1);
    sim_must(to != NULL, "no memory");
    memcpy(to, bytes, n);
    return to;
}

static void *raft_copy(const void *bytes, size_t n)
{
    void *to = raft_malloc(n ? n : 1);
    sim_must(to != NULL, "no memory");
    memcpy(to, bytes, n);
    return to;
}

/* --- what is on it ---------------------------------------------------------------------------- */

static void cut_from(sim_disk_t *disk, uint64_t index)
{
    while (disk->n > 0 && disk->first + disk->n > index) {
        free(disk->entries[--disk->n].bytes);
    }
}

static void cut_up_to(sim_disk_t *disk, uint64_t index)
{
    unsigned gone = 0;
    while (gone < disk->n && disk->first + gone <= index) {
        free(disk->entries[gone++].bytes);
    }
    disk->n -= gone;
    disk->first += gone;
    memmove(disk->entries, disk->entries + gone, disk->n * sizeof(*disk->entries));
}

static void add(sim_disk_t *disk, const struct raft_entry *entry, uint64_t index)
{
    if (disk->n == 0) {
        disk->first = index;
    }
    sim_must(disk->first + disk->n == index, "an entry that does not follow");
    disk->entries = realloc(disk->entries, (disk->n + 1) * sizeof(*disk->entries));
    disk->entries[disk->n++] = (sim_entry_t){
        .term = entry->term,
        .type = entry->type,
        .bytes = copy(entry->buf.base, entry->buf.len),
        .n = entry->buf.len,
    };
}

static void free_snap(sim_snap_t *snap)
{
    free(snap->conf);
    free(snap->data);
    *snap = (sim_snap_t){.index = 0};
}

static void put(sim_disk_t *disk, const struct raft_snapshot *from, unsigned trailing)
{
    struct raft_buffer conf;
    sim_must(from->n_bufs == 1 && raft_configuration_encode(&from->configuration, &conf) == 0,
             "a snapshot that cannot be kept");
    free_snap(&disk->snap);
    disk->snap = (sim_snap_t){
        .index = from->index,
        .term = from->term,
        .conf_index = from->configuration_index,
        .conf = copy(conf.base, conf.len),
        .conf_n = conf.len,
        .data = copy(from->bufs[0].base, from->bufs[0].len),
        .data_n = from->bufs[0].len,
    };
    raft_free(conf.base);
    if (trailing == 0) {
        cut_from(disk, 0);
    } else if (from->index > trailing) {
        cut_up_to(disk, from->index - trailing);
    }
}

void sim_disk_free(sim_disk_t *disk)
{
    cut_from(disk, 0);
    free(disk->entries);
    free_snap(&disk->snap);
}

/* --- what is asked for ------------------------------------------------------------------------ */

static void do_op(sim_disk_t *disk, const sim_op_t *op, unsigned entries)
{
    if (op->never) {
        return;
    }
    if (op->what == APPEND) {
        for (unsigned i = 0; i < entries; i++) {
            add(disk, &op->entries[i], op->index + i);
        }
    } else if (op->what == TRUNCATE) {
        cut_from(disk, op->index);
    } else if (op->what == PUT) {
        put(disk, op->snapshot, op->trailing);
    }
}

static struct raft_snapshot *read_snap(const sim_snap_t *snap)
{
    struct raft_snapshot *to = raft_calloc(1, sizeof(*to));
    const struct raft_buffer conf = {.base = snap->conf, .len = snap->conf_n};
    to->index = snap->index;
    to->term = snap->term;
    to->configuration_index = snap->conf_index;
    to->bufs = raft_malloc(sizeof(*to->bufs));
    to->n_bufs = 1;
    to->bufs[0] =
        (struct raft_buffer){.base = raft_copy(snap->data, snap->data_n), .len = snap->data_n};
    sim_must(raft_configuration_decode(&conf, &to->configuration) == 0, "no configuration");
    return to;
}

static void tell(sim_node_t *node, const sim_op_t *op, int status)
{
    if (op->what == APPEND) {
        op->append->cb(op->append, status);
    } else if (op->what == PUT) {
        op->put->cb(op->put, status);
    } else if (op->what == GET) {
        op->get->cb(op->get, read_snap(&node->disk.snap), 0);
    }
}

static void work(sim_node_t *node);

static void worked(sim_node_t *node, void *baton, uint64_t number)
{
    sim_disk_t *disk = &node->disk;
    sim_op_t *op = disk->ops;
    disk->working = false;
    if (node->sim->now_us < disk->fails_until_us) {
        work(node);
        return;
    }
    disk->ops = op->next;
    do_op(disk, op, op->n);
    work(node);
    tell(node, op, 0);
    free(op);
}

static void work(sim_node_t *node)
{
    sim_t *sim = node->sim;
    sim_disk_t *disk = &node->disk;
    if (!disk->ops || disk->working) {
        return;
    }
    uint64_t us = 100 + sim_random(sim, disk->latency_ms * 2 * SIM_US_A_MS);
    us = sim->now_us < disk->fails_until_us ? disk->again_ms * SIM_US_A_MS : us;
    disk->working = true;
    sim_in(sim, SIM_MESSAGE, node, us, worked, NULL, 0);
}

static sim_op_t *ask(sim_node_t *node, sim_op_what_t what)
{
    sim_op_t **at = &node->disk.ops;
    while (*at) {
        at = &(*at)->next;
    }
    *at = calloc(1, sizeof(**at));
    sim_must(*at != NULL, "no memory");
    (*at)->what = what;
    (*at)->never = node->is_dead;
    work(node);
    return *at;
}

/* What was asked for and not told may be done, up to any point. */
void sim_disk_crash(sim_node_t *node)
{
    sim_t *sim = node->sim;
    sim_disk_t *disk = &node->disk;
    bool goes_on = true;
    if (sim->conf.broken == SIM_BREAK_DISK && disk->n > LOST_MAX) {
        cut_from(disk, disk->first + disk->n - sim_random(sim, LOST_MAX));
        return;
    }
    for (const sim_op_t *op = disk->ops; op && goes_on; op = op->next) {
        unsigned entries = op->what == APPEND ? (unsigned)sim_random(sim, op->n + 1) : 1;
        if (sim_chance(sim, 50) || sim->now_us < disk->fails_until_us) {
            return;
        }
        do_op(disk, op, entries);
        goes_on = op->what != APPEND || entries == op->n;
    }
}

void sim_disk_cancel(sim_node_t *node)
{
    sim_disk_t *disk = &node->disk;
    while (disk->ops) {
        sim_op_t *op = disk->ops;
        disk->ops = op->next;
        tell(node, op, RAFT_CANCELED);
        free(op);
    }
    disk->working = false;
}

/* --- raft_io ---------------------------------------------------------------------------------- */

static bool fails(const sim_node_t *node)
{
    return node->sim->now_us < node->disk.fails_until_us;
}

static int set_term(struct raft_io *io, const raft_term term)
{
    sim_node_t *node = sim_node_of(io);
    if (fails(node)) {
        return RAFT_IOERR;
    }
    node->disk.term = term;
    node->disk.vote = 0;
    return 0;
}

static int set_vote(struct raft_io *io, const raft_id vote)
{
    sim_node_t *node = sim_node_of(io);
    if (fails(node)) {
        return RAFT_IOERR;
    }
    node->disk.vote = node->sim->conf.broken == SIM_BREAK_VOTE ? 0 : vote;
    return 0;
}

static int append(struct raft_io *io, struct raft_io_append *request,
                  const struct raft_entry entries[], unsigned n, raft_io_append_cb cb)
{
    sim_node_t *node = sim_node_of(io);
    sim_op_t *op = ask(node, APPEND);
    request->cb = cb;
    op->append = request;
    op->entries = entries;
    op->n = n;
    op->index = node->disk.next;
    node->disk.next += n;
    return 0;
}

static int truncate_log(struct raft_io *io, raft_index index)
{
    sim_node_t *node = sim_node_of(io);
    if (index >= node->disk.next) {
        return 0;
    }
    ask(node, TRUNCATE)->index = index;
    node->disk.next = index;
    return 0;
}

static int snapshot_put(struct raft_io *io, unsigned trailing, struct raft_io_snapshot_put *request,
                        const struct raft_snapshot *snapshot, raft_io_snapshot_put_cb cb)
{
    sim_node_t *node = sim_node_of(io);
    sim_op_t *op = ask(node, PUT);
    request->cb = cb;
    op->put = request;
    op->snapshot = snapshot;
    op->trailing = trailing;
    if (trailing == 0) {
        node->disk.next = snapshot->index + 1;
    }
    return 0;
}

static int snapshot_get(struct raft_io *io, struct raft_io_snapshot_get *request,
                        raft_io_snapshot_get_cb cb)
{
    sim_op_t *op = ask(sim_node_of(io), GET);
    request->cb = cb;
    op->get = request;
    return 0;
}

static int bootstrap(struct raft_io *io, const struct raft_configuration *conf)
{
    sim_disk_t *disk = &sim_node_of(io)->disk;
    struct raft_entry entry = {.term = 1, .type = RAFT_CHANGE};
    if (disk->term != 0) {
        return RAFT_CANTBOOTSTRAP;
    }
    sim_must(raft_configuration_encode(conf, &entry.buf) == 0, "no configuration");
    disk->term = 1;
    add(disk, &entry, 1);
    raft_free(entry.buf.base);
    return 0;
}

static int recover(struct raft_io *io, const struct raft_configuration *conf)
{
    return RAFT_IOERR;
}

/* All entries are in one batch, which goes with the last of them. */
static struct raft_entry *read_entries(const sim_disk_t *disk)
{
    size_t all = 0;
    for (unsigned i = 0; i < disk->n; i++) {
        all += disk->entries[i].n;
    }
    struct raft_entry *entries = disk->n ? raft_calloc(disk->n, sizeof(*entries)) : NULL;
    char *batch = disk->n ? raft_malloc(all ? all : 1) : NULL;
    char *at = batch;
    for (unsigned i = 0; i < disk->n; i++) {
        const sim_entry_t *from = &disk->entries[i];
        memcpy(at, from->bytes, from->n);
        entries[i].term = from->term;
        entries[i].type = (enum raft_entry_type)from->type;
        entries[i].buf = (struct raft_buffer){.base = at, .len = from->n};
        entries[i].batch = batch;
        at += from->n;
    }
    return entries;
}

static int load(struct raft_io *io, raft_term *term, raft_id *vote, struct raft_snapshot **snapshot,
                raft_index *start, struct raft_entry **entries, size_t *n)
{
    sim_disk_t *disk = &sim_node_of(io)->disk;
    *term = disk->term;
    *vote = disk->vote;
    *snapshot = disk->snap.index ? read_snap(&disk->snap) : NULL;
    *start = disk->n ? disk->first : disk->snap.index + 1;
    *entries = read_entries(disk);
    *n = disk->n;
    disk->next = *start + disk->n;
    return 0;
}

void sim_disk_room(const sim_node_t *node)
{
    node->io->capacity = node->disk.full ? 0 : CAPACITY_KB;
}

void sim_disk_make(struct raft_io *io)
{
    io->capacity = CAPACITY_KB;
    io->load = load;
    io->bootstrap = bootstrap;
    io->recover = recover;
    io->set_term = set_term;
    io->set_vote = set_vote;
    io->append = append;
    io->truncate = truncate_log;
    io->snapshot_put = snapshot_put;
    io->snapshot_get = snapshot_get;
}
