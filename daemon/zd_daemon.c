/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the daemon's loop: what happens when the engine's state changes, and when somebody asks.
 */
#include "zd_daemon.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include <apr_strings.h>
#include <openssl/rand.h>

#include "hapio_file.h"
#include "zd_control.h"
#include "zd_log.h"
#include "zd_plan.h"
#include "zd_raft.h"

enum { UUID_ROOM = HAP_MAP_UUID_BYTES + 1, CLIENT_ROOM = 40, RETRY_MS = 1000 };

typedef struct daemon_t {
    const zd_daemon_conf_t *conf;
    uv_loop_t loop;
    uv_signal_t signals[2];
    uv_timer_t retry; /* of what could not be done */
    zd_raft_t *raft;
    zd_control_t *control;
    apr_pool_t *pool; /* the daemon's life */
    char uuid[UUID_ROOM];
    char client[CLIENT_ROOM]; /* of this run */
    uint64_t seq;
    uint64_t begun_ms;     /* wall clock, since 1970 */
    zd_wish_t plan;        /* what the leader says next */
    bool planning;         /* it is on its way */
    const char *unplanned; /* why it was not committed, once that is said */
    uint64_t written;      /* version of the map file */
    bool unwritable;       /* and it was said */
    bool electable;        /* this node may lead */
    unsigned heir;         /* place of the node that the lead was offered to last */
    bool belongs;          /* connections know the cluster */
    bool led;              /* when it was last looked */
    uint64_t event_seen;   /* index of the last line of history that is in the log */
    int exit_code;
    bool ending;
} daemon_t;

static uint64_t wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* --- the map file ----------------------------------------------------------------------------- */

static void write_map(daemon_t *self)
{
    const zd_state_t *state = zd_raft_state(self->raft);
    uint64_t version = zd_state_cluster(state)->version;
    hap_diag_t diag;
    apr_pool_t *pool;
    if (version <= self->written || apr_pool_create(&pool, self->pool) != APR_SUCCESS) {
        return;
    }
    const char *path = apr_pstrcat(pool, self->conf->dir, "/map", NULL);
    apr_status_t rv = hapio_file_write_own(path, zd_state_map(state), &diag, pool);
    if (rv == APR_SUCCESS) {
        if (self->unwritable) {
            zd_log("map %" PRIu64 ": written, as it can be again", version);
        }
        self->written = version;
        self->unwritable = false;
    } else if (!self->unwritable) {
        zd_log("map %" PRIu64 ": %s; it is tried again", version, diag.why);
        self->unwritable = true;
    }
    apr_pool_destroy(pool);
}

static void plan_next(daemon_t *self);
static void hand_over(daemon_t *self);
static void end(daemon_t *self);

static void retry(uv_timer_t *timer)
{
    daemon_t *self = timer->data;
    if (self->unwritable && !self->ending) {
        write_map(self);
    }
    if (self->unplanned) {
        plan_next(self);
    }
    hand_over(self);
}

/* --- what a leader says ----------------------------------------------------------------------- */

static void fill(daemon_t *self, zd_command_t *command, const char *by)
{
    command->client = self->client;
    command->seq = ++self->seq;
    command->at_ms = wall_ms();
    command->by = by;
}

/* What was refused would be refused again: until something changes, nothing more is said. */
static void planned(zd_wish_t *wish)
{
    daemon_t *self = wish->baton;
    const zd_result_t *result = &wish->result;
    self->planning = false;
    if (!wish->committed) {
        if (wish->why != self->unplanned) {
            zd_log("%s: not committed: %s; it is tried again", zd_do_names[wish->command.what],
                   wish->why);
        }
        self->unplanned = wish->why;
        return;
    }
    self->unplanned = NULL;
    if (result->end != ZD_DONE && result->end != ZD_UNCHANGED) {
        zd_log("%s: %s: %s", zd_do_names[wish->command.what], zd_end_names[result->end],
               result->why);
        return;
    }
    plan_next(self);
}

static void plan_next(daemon_t *self)
{
    const zd_leader_t leader = {
        .id = self->conf->id,
        .term = zd_raft_term(self->raft),
        .uuid = self->uuid,
    };
    const zd_cluster_t *cluster = zd_state_cluster(zd_raft_state(self->raft));
    if (self->planning || self->ending || !zd_raft_leads(self->raft) || !self->electable ||
        !zd_plan_next(&self->plan.command, cluster, self->conf->config, &leader)) {
        return;
    }
    fill(self, &self->plan.command, self->conf->id);
    self->planning = true;
    self->plan.done = planned;
    self->plan.baton = self;
    zd_raft_send(self->raft, &self->plan);
}

/* A witness that was elected says nothing: it offers the lead to one node after the other. */
static void hand_over(daemon_t *self)
{
    const zd_config_t *config = self->conf->config;
    if (self->electable || self->ending || !zd_raft_leads(self->raft)) {
        return;
    }
    unsigned next = self->heir;
    do {
        next = (next + 1) % config->nodes_n;
    } while (!config->nodes[next].electable && next != self->heir);
    if (config->nodes[next].electable && zd_raft_transfer(self->raft, next + 1)) {
        self->heir = next;
    }
}

/* --- what has changed ------------------------------------------------------------------------- */

/* What happened since, the oldest first; what an earlier run has seen is in the log already. */
static void log_events(daemon_t *self)
{
    const zd_state_t *state = zd_raft_state(self->raft);
    const zd_event_t *event;
    unsigned n = 0;
    while ((event = zd_state_event(state, n)) && event->index > self->event_seen) {
        n++;
    }
    while (n > 0) {
        event = zd_state_event(state, --n);
        self->event_seen = event->index;
        if (event->at_ms >= self->begun_ms) {
            zd_log("%s", event->what);
        }
    }
}

/* A map is written when it is committed: one that is newer than all of the log is what is left of
 * entries that the disk has lost. Who went on from there would make other maps of the same
 * versions.
 */
static bool has_lost(daemon_t *self)
{
    uint64_t version = zd_state_cluster(zd_raft_state(self->raft))->version;
    if (version >= self->written) {
        return false;
    }
    zd_log("%s: the map says version %" PRIu64 ", and the log only %" PRIu64
           ": the log has lost what was agreed on. Restore the folder as it was, or, to begin with "
           "what the log has, remove the map",
           self->conf->dir, self->written, version);
    return true;
}

static void changed(void *baton)
{
    daemon_t *self = baton;
    bool leads = zd_raft_leads(self->raft);
    if (self->ending) {
        return;
    }
    if (leads && has_lost(self)) {
        self->exit_code = 1;
        end(self);
        return;
    }
    if (leads != self->led) {
        zd_log("term %" PRIu64 ": %s", zd_raft_term(self->raft), leads ? "leads" : "leads no more");
        self->led = leads;
    }
    const char *uuid = zd_state_cluster(zd_raft_state(self->raft))->uuid;
    if (uuid && self->conf->tls && !self->belongs) {
        zd_tls_ctx_belongs(self->conf->tls, uuid);
        self->belongs = true;
    }
    log_events(self);
    write_map(self);
    plan_next(self);
    hand_over(self);
}

/* --- questions -------------------------------------------------------------------------------- */

static json_t *status_json(daemon_t *self)
{
    const zd_state_t *state = zd_raft_state(self->raft);
    const zd_cluster_t *cluster = zd_state_cluster(state);
    return json_pack("{s:s, s:b, s:I, s:s?, s:I, s:s?, s:I, s:I}", "id", self->conf->id, "leads",
                     zd_raft_leads(self->raft), "term", (json_int_t)zd_raft_term(self->raft),
                     "uuid", cluster->uuid, "version", (json_int_t)cluster->version, "primary",
                     cluster->primary, "index", (json_int_t)zd_state_index(state), "written",
                     (json_int_t)self->written);
}

static json_t *history_json(daemon_t *self)
{
    const zd_state_t *state = zd_raft_state(self->raft);
    const zd_event_t *event;
    json_t *lines = json_array();
    for (unsigned i = 0; (event = zd_state_event(state, i)); i++) {
        json_array_append_new(lines,
                              json_pack("{s:I, s:I, s:s}", "index", (json_int_t)event->index, "at",
                                        (json_int_t)event->at_ms, "what", event->what));
    }
    return json_pack("{s:o}", "history", lines);
}

/* A command of somebody's, on its way. */
typedef struct order_t {
    zd_wish_t wish; /* first: what is done leads back here */
    zd_question_t *question;
    apr_pool_t *pool;
} order_t;

static void ordered(zd_wish_t *wish)
{
    order_t *order = (order_t *)wish;
    const zd_result_t *result = &wish->result;
    json_t *answer = wish->committed
                         ? json_pack("{s:s, s:I, s:I, s:s}", "end", zd_end_names[result->end],
                                     "version", (json_int_t)result->version, "epoch",
                                     (json_int_t)result->epoch, "why", result->why)
                         : json_pack("{s:s, s:s}", "why", wish->why, "error",
                                     "this node does not lead, or has just ceased to: the command "
                                     "may be carried out or not, ask again with the same client "
                                     "and seq");
    zd_question_answer(order->question, answer);
    apr_pool_destroy(order->pool);
}

/* The command as it is on the wire, less `v`, `at_ms` and `by`; without a client it is this run's.
 */
static bool read_order(daemon_t *self, order_t *order, json_t *object, hap_diag_t *diag)
{
    zd_command_t *command = &order->wish.command;
    bool own = json_object_get(object, "client") == NULL;
    json_object_set_new(object, "v", json_integer(ZD_COMMAND_VERSION));
    json_object_set_new(object, "at_ms", json_integer((json_int_t)wall_ms()));
    json_object_set_new(object, "by", json_string(zd_question_by(order->question)));
    if (own) {
        json_object_set_new(object, "client", json_string(self->client));
        json_object_set_new(object, "seq", json_integer((json_int_t)++self->seq));
    }
    char *text = json_dumps(object, JSON_COMPACT);
    apr_status_t rv = zd_command_decode(command, hap_str(text), diag, order->pool);
    free(text);
    return rv == APR_SUCCESS;
}

static void take_order(daemon_t *self, zd_question_t *question, const json_t *asked)
{
    apr_pool_t *pool;
    hap_diag_t diag = {0, "a command is an object of JSON"};
    json_t *object = json_copy((json_t *)asked);
    apr_pool_create(&pool, self->pool);
    order_t *order = apr_pcalloc(pool, sizeof(*order));
    *order = (order_t){.question = question, .pool = pool};
    order->wish.done = ordered;
    bool good = json_is_object(object) && read_order(self, order, object, &diag);
    json_decref(object);
    if (good) {
        zd_raft_send(self->raft, &order->wish);
        return;
    }
    zd_question_answer(question, json_pack("{s:s}", "error", diag.why));
    apr_pool_destroy(pool);
}

static void asked(void *baton, zd_question_t *question)
{
    daemon_t *self = baton;
    const json_t *object = zd_question_object(question);
    const char *what = json_string_value(json_object_get(object, "ask"));
    if (what && strcmp(what, "status") == 0) {
        zd_question_answer(question, status_json(self));
    } else if (what && strcmp(what, "history") == 0) {
        zd_question_answer(question, history_json(self));
    } else if (what && strcmp(what, "command") == 0) {
        take_order(self, question, json_object_get(object, "command"));
    } else {
        zd_question_answer(question,
                           json_pack("{s:s}", "error", "ask for status, history or command"));
    }
}

/* --- beginning and ending --------------------------------------------------------------------- */

static void end(daemon_t *self)
{
    if (self->ending) {
        return;
    }
    self->ending = true;
    for (int i = 0; i < 2; i++) {
        uv_close((uv_handle_t *)&self->signals[i], NULL);
    }
    uv_close((uv_handle_t *)&self->retry, NULL);
    if (self->control) {
        zd_control_close(self->control);
    }
    if (self->raft) {
        zd_raft_close(self->raft);
    }
}

static void raft_ended(void *baton, const char *why)
{
    daemon_t *self = baton;
    if (why) {
        zd_log("the engine has given up: %s", why);
        self->exit_code = 1;
        end(self);
    }
}

static void signalled(uv_signal_t *signal, int number)
{
    zd_log("ends, told so by SIG%s", number == SIGINT ? "INT" : "TERM");
    end(signal->data);
}

/* 36 characters of a random UUID (RFC 9562 5.4), and a client's name that no other run has. */
static bool make_names(daemon_t *self)
{
    unsigned char bytes[16];
    if (RAND_bytes(bytes, sizeof(bytes)) != 1) {
        return false;
    }
    bytes[6] = (unsigned char)((bytes[6] & 0x0f) | 0x40);
    bytes[8] = (unsigned char)((bytes[8] & 0x3f) | 0x80);
    char *at = self->uuid;
    for (int i = 0; i < 16; i++) {
        bool dash = i == 4 || i == 6 || i == 8 || i == 10;
        at += apr_snprintf(at, 4, "%s%02x", dash ? "-" : "", bytes[i]);
    }
    uint64_t run;
    if (RAND_bytes((unsigned char *)&run, sizeof(run)) != 1) {
        return false;
    }
    apr_snprintf(self->client, sizeof(self->client), "run-%016" PRIx64, run);
    return true;
}

/* What an earlier run has written: it is not written again, and none that is older. */
static void read_map(daemon_t *self)
{
    hap_str_t text;
    hap_diag_t diag;
    const hap_map_t *map;
    const char *path = apr_pstrcat(self->pool, self->conf->dir, "/map", NULL);
    apr_status_t rv = hapio_file_read(&text, path, HAP_MAP_BYTES_MAX, &diag, self->pool);
    if (APR_STATUS_IS_ENOENT(rv)) {
        return;
    }
    if (rv == APR_SUCCESS) {
        rv = hap_map_decode(&map, text, &diag, self->pool);
    }
    if (rv != APR_SUCCESS) {
        zd_log("%s: %s; it is written anew from what is agreed on", path, diag.why);
        return;
    }
    self->written = map->version;
    if (self->conf->tls) {
        zd_tls_ctx_belongs(self->conf->tls, map->uuid);
        self->belongs = true;
    }
}

/* Who has a vote; numbers are places in the configuration, as zd_plan has them. */
static void find_peers(daemon_t *self, zd_raft_conf_t *raft)
{
    static const hap_map_node_t alone = {.address = ZD_PLAN_ALONE};
    const zd_config_t *config = self->conf->config;
    unsigned n = config->nodes_n ? config->nodes_n : 1;
    int own = config->nodes_n ? zd_config_node(config, hap_str(self->conf->id)) : 0;
    const hap_map_node_t *nodes = config->nodes_n ? config->nodes : &alone;
    zd_peer_t *peers = apr_pcalloc(self->pool, n * sizeof(*peers));
    for (unsigned i = 0; i < n; i++) {
        if (nodes[i].role != HAP_MAP_OBSERVER) {
            peers[raft->peers_n++] = (zd_peer_t){.number = i + 1, .address = nodes[i].address};
        }
    }
    raft->peers = peers;
    raft->number = (uint64_t)own + 1;
    raft->address = nodes[own].address;
    raft->bind = config->nodes_n && config->binds[own] ? config->binds[own] : raft->address;
    self->electable = nodes[own].electable || !config->nodes_n;
}

static bool open_parts(daemon_t *self)
{
    hap_diag_t diag;
    const char *dir = self->conf->dir;
    const char *path = apr_pstrcat(self->pool, dir, "/control.sock", NULL);
    zd_raft_conf_t raft = {
        .loop = &self->loop,
        .dir = apr_pstrcat(self->pool, dir, "/raft", NULL),
        .tls = self->conf->tls,
        .changed = changed,
        .ended = raft_ended,
        .baton = self,
    };
    find_peers(self, &raft);
    if (zd_raft_open(&self->raft, &raft, &diag) != APR_SUCCESS ||
        zd_control_open(&self->control, &self->loop, path, asked, self, &diag) != 0) {
        zd_log("%s", diag.why);
        return false;
    }
    return true;
}

int zd_daemon_run(const zd_daemon_conf_t *conf)
{
    static const int numbers[] = {SIGINT, SIGTERM};
    daemon_t self = {.conf = conf, .begun_ms = wall_ms()};
    apr_pool_create(&self.pool, NULL);
    if (!make_names(&self) || uv_loop_init(&self.loop) != 0) {
        zd_log("no random numbers, or no loop");
        return 1;
    }
    signal(SIGPIPE, SIG_IGN); /* a peer that dies is an error of a write */
    for (int i = 0; i < 2; i++) {
        uv_signal_init(&self.loop, &self.signals[i]);
        self.signals[i].data = &self;
        uv_signal_start(&self.signals[i], signalled, numbers[i]);
    }
    uv_timer_init(&self.loop, &self.retry);
    self.retry.data = &self;
    uv_timer_start(&self.retry, retry, RETRY_MS, RETRY_MS);
    read_map(&self);
    if (!open_parts(&self)) {
        self.exit_code = 1;
        end(&self);
    }
    uv_run(&self.loop, UV_RUN_DEFAULT);
    if (self.raft) {
        zd_raft_free(self.raft);
    }
    uv_loop_close(&self.loop);
    apr_pool_destroy(self.pool);
    return self.exit_code;
}
