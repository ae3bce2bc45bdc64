/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the daemon's loop: what has changed, time that passes, beginning and ending.
 */
#include "zd_daemon_int.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <apr_strings.h>
#include <openssl/rand.h>

#include "zd_log.h"
#include "zd_notify.h"

enum { CHECK_MS = 1000 };

/* --- what has changed ------------------------------------------------------------------------- */

void zd_daemon_wrote_map(zd_daemon_t *self, uint64_t before)
{
    uint64_t version = zd_mapfile_version(self->map);
    if (version != before) {
        zd_core_wrote(self->core, version, zd_now_ms());
    }
}

/* What happened since, the oldest first; what an earlier run has seen is in the log already. Not by
 * the time of each: that is of another host's clock. */
static void log_events(zd_daemon_t *self)
{
    const zd_state_t *now = zd_raft_state(self->raft);
    const zd_event_t *event;
    unsigned n = 0;
    while ((event = zd_state_event(now, n)) && event->index > self->event_seen) {
        n++;
    }
    while (n > 0) {
        event = zd_state_event(now, --n);
        self->event_seen = event->index;
        if (event->index > zd_raft_past(self->raft)) {
            zd_log("%s", event->what);
        }
    }
}

/* A map is written when it is committed: one that is newer than all of the log is what is left of
 * entries that the disk has lost. Who went on from there would make other maps of the same
 * versions.
 */
static bool has_lost(zd_daemon_t *self)
{
    uint64_t version = zd_state_cluster(zd_raft_state(self->raft))->version;
    uint64_t written = zd_mapfile_version(self->map);
    if (version >= written) {
        return false;
    }
    zd_log("%s: the map says version %" PRIu64 ", and the log only %" PRIu64
           ": the log has lost what was agreed on. Restore the folder as it was, or, to begin with "
           "what the log has, remove the map",
           self->conf->dir, written, version);
    return true;
}

void zd_daemon_learn_uuid(zd_daemon_t *self, const char *uuid)
{
    if (uuid && self->conf->tls && !self->belongs) {
        zd_tls_ctx_belongs(self->conf->tls, uuid);
        self->belongs = true;
    }
}

static void call_leader(zd_daemon_t *self)
{
    const char *leader = zd_raft_leader(self->raft);
    bool leads = zd_raft_leads(self->raft);
    if (leads) {
        zd_ask_expire(self, false);
    }
    if (!self->talk) {
        return;
    }
    if (leads) {
        zd_talk_rest(self->talk);
    } else if (leader && strcmp(leader, zd_own_node(self)->address) != 0) {
        zd_talk_call(self->talk, leader);
    } else {
        zd_talk_call(self->talk, NULL);
    }
}

/* A map costs two syncs of the disk, for which all else waits: of those that come one after the
 * other, each tick writes the last one. */
static void put_map(zd_daemon_t *self)
{
    const zd_state_t *state = zd_raft_state(self->raft);
    uint64_t before = zd_mapfile_version(self->map);
    uint64_t now = zd_now_ms();
    if (zd_state_cluster(state)->version <= before || now - self->put_ms < ZD_TICK_MS) {
        return;
    }
    self->put_ms = now;
    zd_mapfile_put(self->map, zd_state_map(state), zd_state_cluster(state)->version);
    zd_daemon_wrote_map(self, before);
}

void zd_daemon_changed(void *baton)
{
    zd_daemon_t *self = baton;
    if (self->ending) {
        return;
    }
    if (zd_raft_leads(self->raft) && has_lost(self)) {
        self->exit_code = 1;
        zd_daemon_end(self);
        return;
    }
    const zd_cluster_t *cluster = zd_state_cluster(zd_raft_state(self->raft));
    zd_daemon_learn_uuid(self, cluster->uuid);
    log_events(self);
    call_leader(self);
    zd_core_changed(self->core, zd_now_ms());
    put_map(self);
}

static void say_alive(zd_daemon_t *self, uint64_t now)
{
    unsigned every_ms = zd_notify_alive_ms();
    if (every_ms && now - self->alive_ms >= every_ms) {
        self->alive_ms = now;
        zd_notify_alive();
    }
}

static void tick(uv_timer_t *timer)
{
    zd_daemon_t *self = timer->data;
    uint64_t now = zd_now_ms();
    if (self->forced) {
        zd_daemon_end(self);
        return;
    }
    zd_core_tick(self->core, now);
    zd_daemon_run_waiting(self, now);
    say_alive(self, now);
    if (self->raft) {
        put_map(self);
    }
    if (now - self->checked_ms < CHECK_MS) {
        return;
    }
    uint64_t before = zd_mapfile_version(self->map);
    self->checked_ms = now;
    zd_mapfile_retry(self->map);
    zd_daemon_wrote_map(self, before);
    zd_ask_expire(self, false);
    if (self->guard) {
        zd_guard_check(self->guard);
    }
    if (!self->raft) {
        zd_daemon_learn_uuid(self, zd_mapfile_uuid(self->map));
    }
}

/* --- ending ----------------------------------------------------------------------------------- */

static void net_closed(void *baton)
{
    (void)baton;
}

/* The service goes on: the guard stops it unless a daemon is there again in time. */
void zd_daemon_end(zd_daemon_t *self)
{
    if (self->ending) {
        return;
    }
    self->ending = true;
    zd_notify_stopping();
    for (int i = 0; i < 2; i++) {
        uv_close((uv_handle_t *)&self->signals[i], NULL);
    }
    uv_close((uv_handle_t *)&self->tick, NULL);
    if (self->control) {
        zd_ask_expire(self, true);
        zd_control_close(self->control);
    }
    if (self->http) {
        zd_http_close(self->http);
    }
    if (self->service) {
        zd_service_close(self->service);
    }
    if (self->talk) {
        zd_talk_close(self->talk);
    }
    if (self->raft) {
        zd_raft_close(self->raft);
    }
    if (self->net) {
        zd_net_close(self->net, net_closed, NULL);
    }
}

bool zd_daemon_force(zd_daemon_t *self, const char **why)
{
    zd_member_t all[HAP_MAP_NODES_MAX];
    unsigned votes = 0;
    unsigned n = self->raft ? zd_raft_members(self->raft, all, HAP_MAP_NODES_MAX) : 0;
    for (unsigned i = 0; i < n; i++) {
        votes += all[i].votes;
    }
    *why = NULL;
    if (zd_raft_leads(self->raft)) {
        *why = "this node leads: there is nothing to force";
    } else if (!zd_own_node(self)->electable && !(self->conf->tls == NULL)) {
        *why = "this node may not lead";
    } else if (votes != 2) {
        *why =
            "only one of two nodes with a vote can be forced to go on alone: more than two go on "
            "by themselves when more than half of them are there";
    } else if (zd_core_follows(self->core, zd_now_ms())) {
        *why = "the other node is there, and leads: there is nothing to force";
    } else {
        zd_log("it is forced to go on alone");
        self->forced = zd_raft_term(self->raft) + 1; /* and ends when who asked has his answer */
    }
    return *why == NULL;
}

void zd_daemon_raft_ended(void *baton, const char *why)
{
    zd_daemon_t *self = baton;
    if (why) {
        zd_log("the engine has given up: %s", why);
        self->exit_code = 1;
        zd_daemon_end(self);
    }
}

/* The guard sees to the service. */
void zd_daemon_raft_broken(void *baton, const char *why)
{
    const zd_daemon_t *self = baton;
    zd_log("%s/raft: %s: the daemon ends", self->conf->dir, why);
    _exit(1);
}

static void signalled(uv_signal_t *signal, int number)
{
    zd_log("ends, told so by SIG%s", number == SIGINT ? "INT" : "TERM");
    zd_daemon_end(signal->data);
}

/* --- beginning -------------------------------------------------------------------------------- */

/* 36 characters of a random UUID (RFC 9562 5.4), and a client's name that no other run has. */
static bool make_names(zd_daemon_t *self)
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
    uint64_t number;
    if (RAND_bytes((unsigned char *)&number, sizeof(number)) != 1) {
        return false;
    }
    apr_snprintf(self->run, sizeof(self->run), "run-%016" PRIx64, number);
    /* The leader may still answer what an earlier run of this node has asked: the numbers of two
     * runs are far apart. */
    self->questions = number >> 2;
    return true;
}

static void begin_loop(zd_daemon_t *self)
{
    static const int numbers[] = {SIGINT, SIGTERM};
    signal(SIGPIPE, SIG_IGN); /* a peer that dies is an error of a write */
    for (int i = 0; i < 2; i++) {
        uv_signal_init(&self->loop, &self->signals[i]);
        self->signals[i].data = self;
        uv_signal_start(&self->signals[i], signalled, numbers[i]);
    }
    uv_timer_init(&self->loop, &self->tick);
    self->tick.data = self;
}

int zd_daemon_run(zd_daemon_conf_t *conf)
{
    zd_daemon_t self = {.conf = conf, .begun_ms = zd_wall_ms()};
    int own = zd_config_node(conf->config, hap_str(conf->id));
    self.own = own >= 0 ? own : 0;
    apr_pool_create(&self.pool, NULL);
    if (!make_names(&self) || uv_loop_init(&self.loop) != 0) {
        zd_log("no random numbers, or no loop");
        return 1;
    }
    begin_loop(&self);
    if (zd_open_parts(&self)) {
        uv_timer_start(&self.tick, tick, ZD_TICK_MS, ZD_TICK_MS);
        zd_notify_ready();
    } else {
        self.exit_code = 1;
        zd_daemon_end(&self);
    }
    uv_run(&self.loop, UV_RUN_DEFAULT);
    if (self.raft) {
        zd_raft_free(self.raft);
    }
    if (self.guard) {
        zd_guard_close(self.guard);
    }
    zd_core_free(self.core);
    uv_loop_close(&self.loop);
    apr_pool_destroy(self.pool);
    conf->forced = self.forced;
    return self.forced ? ZD_DAEMON_FORCED : self.exit_code;
}
