/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what stands in the place of libraft's own I/O under daemon/zd_raft.c: messages, timers and
 * time of libraft, and the few functions of libuv that zd_raft.c calls. The disk is sim_disk.c's.
 *
 * A message is lost, comes late, and never before one that was sent to the same node before it: it
 * goes over a connection.
 */
#include "sim.h"

#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <raft.h>
#include <raft/uv.h>

#include "zd_raft_files.h"
#include "zd_raft_kept.h"
#include "zd_raft_net.h"
#include "zd_raft_reached.h"

enum {
    TRANSFER = RAFT_CHANGE + 1 /* libraft's own kind of a request */
};

typedef struct sim_io_t {
    sim_node_t *node;
    raft_io_tick_cb tick;
    raft_io_recv_cb recv;
    unsigned tick_ms;
    struct raft_tracer tracer;
} sim_io_t;

/* One whose sending libraft is to be told of. */
struct sim_sent_t {
    sim_sent_t *next;
    struct raft_io_send *request;
};

sim_node_t *sim_node_of(struct raft_io *io)
{
    return ((sim_io_t *)io->impl)->node;
}

struct raft *sim_raft(const sim_node_t *node)
{
    return node->io->data;
}

/* --- copies of messages ----------------------------------------------------------------------- */

static void copy_entries(struct raft_append_entries *to, const struct raft_append_entries *from)
{
    size_t all = 0;
    to->entries = NULL;
    for (unsigned i = 0; i < from->n_entries; i++) {
        all += from->entries[i].buf.len;
    }
    if (from->n_entries == 0) {
        return;
    }
    char *at = raft_malloc(all ? all : 1);
    to->entries = raft_calloc(from->n_entries, sizeof(*to->entries));
    sim_must(at && to->entries, "no memory");
    void *batch = at;
    for (unsigned i = 0; i < from->n_entries; i++) {
        const struct raft_entry *entry = &from->entries[i];
        memcpy(at, entry->buf.base, entry->buf.len);
        to->entries[i] = *entry;
        to->entries[i].buf.base = at;
        to->entries[i].batch = batch;
        at += entry->buf.len;
    }
}

static void copy_snapshot(struct raft_install_snapshot *to,
                          const struct raft_install_snapshot *from)
{
    struct raft_buffer conf;
    sim_must(raft_configuration_encode(&from->conf, &conf) == 0 &&
                 raft_configuration_decode(&conf, &to->conf) == 0,
             "no configuration");
    raft_free(conf.base);
    to->data.base = raft_malloc(from->data.len);
    memcpy(to->data.base, from->data.base, from->data.len);
}

static struct raft_message *copy_message(const struct raft_message *from)
{
    struct raft_message *to = malloc(sizeof(*to));
    sim_must(to != NULL, "no memory");
    *to = *from;
    if (from->type == RAFT_APPEND_ENTRIES) {
        copy_entries(&to->append_entries, &from->append_entries);
    } else if (from->type == RAFT_INSTALL_SNAPSHOT) {
        copy_snapshot(&to->install_snapshot, &from->install_snapshot);
    }
    return to;
}

static void drop_message(sim_node_t *node, void *baton, uint64_t number)
{
    struct raft_message *message = baton;
    if (message->type == RAFT_APPEND_ENTRIES && message->append_entries.n_entries > 0) {
        raft_free(message->append_entries.entries[0].batch);
        raft_free(message->append_entries.entries);
    } else if (message->type == RAFT_INSTALL_SNAPSHOT) {
        raft_configuration_close(&message->install_snapshot.conf);
        raft_free(message->install_snapshot.data.base);
    }
    free(message);
}

/* --- messages --------------------------------------------------------------------------------- */

/* libraft takes what the message points to. */
static void came(sim_node_t *node, void *baton, uint64_t from)
{
    sim_t *sim = node->sim;
    struct raft_message *message = baton;
    if (sim->cut[from][node->place]) {
        sim->nodes[from].ways[node->place] = ++sim->numbers;
        drop_message(node, baton, from);
        return;
    }
    message->server_id = from + 1;
    message->server_address = sim->nodes[from].address;
    ((sim_io_t *)node->io->impl)->recv(node->io, message);
    free(message);
}

static void deliver(sim_node_t *from, sim_node_t *to, struct raft_message *message)
{
    sim_t *sim = from->sim;
    uint64_t us = sim->now_us + 100 + sim_random(sim, sim->delay_ms * 2 * SIM_US_A_MS);
    uint64_t before = from->sent_us[to->place];
    us = us > before ? us : before + 1;
    from->sent_us[to->place] = us;
    const sim_event_t event = {
        .at_us = us,
        .order = ++sim->order,
        .where = SIM_MESSAGE,
        .node = to,
        .run = to->run,
        .act = came,
        .drop = drop_message,
        .baton = message,
        .number = from->place,
        .way = from->ways[to->place],
    };
    sim_push(sim, &event);
}

static int send_message(struct raft_io *io, struct raft_io_send *request,
                        const struct raft_message *message, raft_io_send_cb cb)
{
    sim_node_t *node = sim_node_of(io);
    sim_node_t *to = &node->sim->nodes[message->server_id - 1];
    sim_sent_t *sent = calloc(1, sizeof(*sent));
    if (!node->up) {
        free(sent);
        return RAFT_CANCELED;
    }
    sim_must(sent != NULL, "no memory");
    request->cb = cb;
    *sent = (sim_sent_t){.next = node->sent, .request = request};
    node->sent = sent;
    if (sim_chance(node->sim, node->sim->loss_percent)) {
        node->ways[to->place] = ++node->sim->numbers;
    } else if (to->up && !node->is_dead) {
        deliver(node, to, copy_message(message));
    }
    return 0;
}

static void tell_sent(sim_node_t *node, int status)
{
    while (node->sent) {
        sim_sent_t *sent = node->sent;
        node->sent = sent->next;
        sent->request->cb(sent->request, status);
        free(sent);
    }
}

/* --- timers and time -------------------------------------------------------------------------- */

static void ticks(sim_node_t *node, void *baton, uint64_t number)
{
    sim_io_t *self = node->io->impl;
    sim_in(node->sim, SIM_TIMER, node, sim_node_us(node, self->tick_ms), ticks, NULL, 0);
    self->tick(node->io);
}

static void trace(struct raft_tracer *tracer, int type, const void *info)
{
    const sim_node_t *node = tracer->impl;
    const struct raft_tracer_info *of = info;
    if (type == RAFT_TRACER_DIAGNOSTIC && !strstr(of->diagnostic.message, "timeout as")) {
        sim_say(node->sim, node, "libraft: %s", of->diagnostic.message);
    }
}

static int start(struct raft_io *io, unsigned ms, raft_io_tick_cb tick, raft_io_recv_cb recv)
{
    sim_io_t *self = io->impl;
    self->tick = tick;
    self->recv = recv;
    self->tick_ms = ms;
    self->tracer = (struct raft_tracer){.impl = self->node, .version = 2, .emit = trace};
    if (self->node->sim->conf.loud) {
        ((struct raft *)io->data)->tracer = &self->tracer;
    }
    sim_in(self->node->sim, SIM_TIMER, self->node, sim_node_us(self->node, ms), ticks, NULL, 0);
    return 0;
}

static raft_time now(struct raft_io *io)
{
    return sim_node_of(io)->loop_ms;
}

static int chance(struct raft_io *io, int min, int max)
{
    return min + (int)sim_random(sim_node_of(io)->sim, (uint64_t)max - (uint64_t)min);
}

static int init(struct raft_io *io, raft_id id, const char *address)
{
    return 0;
}

static void close_io(struct raft_io *io, raft_io_close_cb cb)
{
    sim_node_t *node = sim_node_of(io);
    tell_sent(node, RAFT_CANCELED);
    sim_disk_cancel(node);
    cb(io);
}

/* --- before the loop waits -------------------------------------------------------------------- */

/* What libraft has done is told in its own turn, for which there is no function to call. */
static bool tell_one(struct raft *raft)
{
    void **head = raft->legacy.requests;
    void **first = head[0];
    if (first == head) {
        return false;
    }
    struct raft_apply *apply = (void *)((char *)first - offsetof(struct raft_apply, queue));
    ((void **)first[1])[0] = first[0];
    ((void **)first[0])[1] = first[1];
    if (apply->type == RAFT_COMMAND) {
        apply->cb(apply, apply->status, apply->result);
    } else if (apply->type == RAFT_BARRIER) {
        struct raft_barrier *barrier = (struct raft_barrier *)apply;
        barrier->cb(barrier, barrier->status);
    } else {
        struct raft_transfer *transfer = (struct raft_transfer *)apply;
        sim_must(apply->type == TRANSFER, "a request that nobody made");
        transfer->cb(transfer);
    }
    return true;
}

void sim_io_turn(sim_node_t *node)
{
    enum { TURNS = 4 };
    for (int i = 0; i < TURNS && node->raft && node->up; i++) {
        tell_sent(node, 0);
        while (tell_one(sim_raft(node))) {
        }
        node->turn->prepare_cb(node->turn);
        sim_disk_room(node);
    }
}

/* --- in place of libraft's and libuv's -------------------------------------------------------- */

int raft_uv_init(struct raft_io *io, struct uv_loop_s *loop, const char *dir,
                 struct raft_uv_transport *transport)
{
    sim_io_t *self = calloc(1, sizeof(*self));
    sim_must(self != NULL, "no memory");
    self->node = loop->data;
    self->node->io = io;
    *io = (struct raft_io){
        .version = 2,
        .impl = self,
        .init = init,
        .close = close_io,
        .start = start,
        .send = send_message,
        .time = now,
        .random = chance,
    };
    sim_disk_make(io);
    return 0;
}

void raft_uv_close(struct raft_io *io)
{
    free(io->impl);
}

void raft_uv_set_auto_recovery(struct raft_io *io, bool flag)
{
    sim_must(!flag, "the daemon is to recover by itself");
}

void raft_uv_set_segment_size(struct raft_io *io, size_t size)
{
}

void raft_uv_set_connect_retry_delay(struct raft_io *io, unsigned msecs)
{
    (void)io;
    (void)msecs;
}

void raft_uv_set_disk_retry(struct raft_io *io, unsigned msecs)
{
    sim_node_of(io)->disk.again_ms = msecs;
}

/* There are no files. */
bool zd_files_check(const char *dir, hap_diag_t *diag)
{
    return true;
}

int zd_files_begin(const char *dir, zd_files_work_t work, uint64_t index)
{
    return 0;
}

void zd_files_loaded(const char *dir)
{
    (void)dir;
}

bool zd_files_end(const char *dir, zd_files_work_t work, uint64_t index)
{
    return true;
}

static char no_page; /* nor is it looked at */

zd_kept_t *zd_kept_read(const char *dir)
{
    return (zd_kept_t *)&no_page;
}

void zd_kept_put_back(const zd_kept_t *kept)
{
    (void)kept;
}

void zd_kept_free(zd_kept_t *kept)
{
    (void)kept;
}

void zd_kept_oldest(char *name, size_t bytes, const zd_kept_t *kept)
{
    name[0] = '\0';
}

void zd_files_snapshot(char *name, size_t bytes, const char *dir)
{
    name[0] = '\0';
}

zd_reached_t *zd_reached_open(const char *dir)
{
    return (zd_reached_t *)&no_page;
}

uint64_t zd_reached_get(const zd_reached_t *reached)
{
    return 0;
}

bool zd_reached_set(zd_reached_t *reached, uint64_t index)
{
    return true;
}

void zd_reached_close(zd_reached_t *reached)
{
    (void)reached;
}

void uv_walk(uv_loop_t *loop, uv_walk_cb cb, void *baton)
{
    (void)loop;
    (void)cb;
    (void)baton;
}

void zd_raft_net_make(struct raft_uv_transport *transport, zd_net_t *net)
{
}

void zd_raft_net_accepted(struct raft_uv_transport *transport, uint64_t number, const char *address,
                          uv_stream_t *stream)
{
}

int uv_prepare_init(uv_loop_t *loop, uv_prepare_t *handle)
{
    handle->loop = loop;
    ((sim_node_t *)loop->data)->turn = handle;
    return 0;
}

int uv_prepare_start(uv_prepare_t *handle, uv_prepare_cb cb)
{
    handle->prepare_cb = cb;
    return 0;
}

int uv_prepare_stop(uv_prepare_t *handle)
{
    return 0;
}

void uv_close(uv_handle_t *handle, uv_close_cb cb)
{
}

int uv_run(uv_loop_t *loop, uv_run_mode mode)
{
    return 0;
}
