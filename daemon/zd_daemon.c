/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the daemon's loop, and what the core's decisions do.
 */
#include "zd_daemon_int.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include <apr_strings.h>
#include <openssl/rand.h>

#include "zd_log.h"
#include "zd_notify.h"
#include "zd_number.h"
#include "zd_plan.h"

enum { ELECTION_MS = 600, CHECK_MS = 1000 };

static uint64_t clock_ms(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t zd_now_ms(void)
{
    return clock_ms(CLOCK_BOOTTIME);
}

uint64_t zd_wall_ms(void)
{
    return clock_ms(CLOCK_REALTIME);
}

static void end(zd_daemon_t *self);

/* --- what the core does ----------------------------------------------------------------------- */

static bool leads(void *baton)
{
    zd_daemon_t *self = baton;
    return self->raft && zd_raft_leads(self->raft);
}

static uint64_t term(void *baton)
{
    zd_daemon_t *self = baton;
    return self->raft ? zd_raft_term(self->raft) : 0;
}

static const zd_state_t *state(void *baton)
{
    zd_daemon_t *self = baton;
    return self->raft ? zd_raft_state(self->raft) : NULL;
}

static void send_command(void *baton, zd_wish_t *wish)
{
    zd_daemon_t *self = baton;
    wish->command.at_ms = zd_wall_ms();
    zd_raft_send(self->raft, wish);
}

static bool transfer(void *baton, uint64_t number)
{
    zd_daemon_t *self = baton;
    return zd_raft_transfer(self->raft, number);
}

static unsigned members(void *baton, zd_member_t *all, unsigned room)
{
    zd_daemon_t *self = baton;
    return zd_raft_members(self->raft, all, room);
}

static bool member(void *baton, zd_member_change_t change, uint64_t number, const char *address)
{
    zd_daemon_t *self = baton;
    return zd_raft_member(self->raft, change, number, address);
}

static void doubt(void *baton)
{
    zd_daemon_t *self = baton;
    if (self->raft) {
        zd_raft_doubt(self->raft);
    }
}

static void send_beat(void *baton, const zd_beat_t *beat)
{
    zd_daemon_t *self = baton;
    if (self->talk && zd_talk_is_up(self->talk)) {
        zd_talk_say_up(self->talk, json_pack("{s:o}", "beat", zd_beat_json(beat)));
    }
}

static void send_answer(void *baton, const char *node, const zd_answer_t *answer)
{
    zd_daemon_t *self = baton;
    if (self->talk) {
        zd_talk_say_to(self->talk, node, json_pack("{s:o}", "answer", zd_answer_json(answer)));
    }
}

static void run(void *baton, zd_run_t what, uint64_t epoch)
{
    zd_daemon_t *self = baton;
    zd_service_run(self->service, what, epoch);
}

static void kill_script(void *baton)
{
    zd_daemon_t *self = baton;
    zd_service_kill_script(self->service);
}

static void kill_service(void *baton)
{
    zd_daemon_t *self = baton;
    zd_service_kill(self->service);
}

static void hold(void *baton, uint64_t kill_at_ms)
{
    zd_daemon_t *self = baton;
    zd_guard_hold(self->guard, kill_at_ms);
}

static void restart(void *baton, unsigned replica)
{
    zd_daemon_t *self = baton;
    if (self->service) {
        zd_service_restart(self->service, replica);
    }
}

static void log_line(void *baton, const char *line)
{
    zd_log("%s", line);
}

static const zd_drivers_t drivers = {
    .leads = leads,
    .term = term,
    .state = state,
    .send = send_command,
    .transfer = transfer,
    .members = members,
    .member = member,
    .doubt = doubt,
    .beat = send_beat,
    .answer = send_answer,
    .run = run,
    .kill_script = kill_script,
    .kill_service = kill_service,
    .hold = hold,
    .restart = restart,
    .log = log_line,
};

static void ran(void *baton, bool well, const char *said)
{
    zd_daemon_t *self = baton;
    zd_core_ran(self->core, well, said, zd_now_ms());
}

/* The only node of a configuration that names none. */
static const hap_map_node_t alone = {.address = ZD_PLAN_ALONE};

static bool is_alone(const zd_daemon_t *self)
{
    return self->conf->tls == NULL;
}

static const hap_map_node_t *own_node(const zd_daemon_t *self)
{
    const zd_config_t *config = self->conf->config;
    return config->nodes_n ? &config->nodes[self->own] : &alone;
}

static bool is_observer(const zd_daemon_t *self)
{
    return own_node(self)->role == HAP_MAP_OBSERVER;
}

/* --- what other nodes say --------------------------------------------------------------------- */

static void hear_beat(zd_daemon_t *self, zd_caller_t *caller, const json_t *object)
{
    apr_pool_t *pool;
    hap_diag_t diag;
    zd_beat_t beat;
    apr_pool_create(&pool, self->pool);
    if (zd_beat_read(&beat, object, &diag, pool) != APR_SUCCESS) {
        zd_log("another node's %s", diag.why);
    } else if (leads(self)) {
        zd_talk_name(caller, beat.node);
        zd_core_heard(self->core, &beat, zd_now_ms());
    } else {
        const char *leader = self->raft ? zd_raft_leader(self->raft) : NULL;
        zd_talk_say(caller, json_pack("{s:s?}", "elsewhere", leader));
    }
    apr_pool_destroy(pool);
}

static void heard(void *baton, zd_caller_t *caller, json_t *object)
{
    zd_daemon_t *self = baton;
    const json_t *beat = json_object_get(object, "beat");
    if (beat) {
        hear_beat(self, caller, beat);
    } else {
        zd_ask_heard(self, caller, object);
    }
}

static void wrote_map(zd_daemon_t *self, uint64_t before)
{
    uint64_t version = zd_mapfile_version(self->map);
    if (version != before) {
        zd_core_wrote(self->core, version, zd_now_ms());
    }
}

static bool open_raft(zd_daemon_t *self, hap_diag_t *diag);

/* A node that joins is an observer until the leader has a number for it. */
static void become_voter(zd_daemon_t *self, uint64_t number)
{
    hap_diag_t diag;
    if (!zd_number_keep(self->conf->dir, number, &diag, self->pool)) {
        zd_log("%s", diag.why);
        return;
    }
    self->number = number;
    zd_net_number(self->net, number);
    zd_log("joins: the leader knows this node by the number %" PRIu64, number);
    if (!open_raft(self, &diag)) {
        zd_log("%s", diag.why);
        self->exit_code = 1;
        end(self);
    }
}

static void hear_answer(zd_daemon_t *self, const json_t *object)
{
    apr_pool_t *pool;
    hap_diag_t diag;
    zd_answer_t answer;
    apr_pool_create(&pool, self->pool);
    if (zd_answer_read(&answer, object, &diag, pool) != APR_SUCCESS) {
        zd_log("the leader's %s", diag.why);
        apr_pool_destroy(pool);
        return;
    }
    uint64_t before = zd_mapfile_version(self->map);
    bool overtaken = self->raft && answer.version <= before; /* by the log */
    bool counts = zd_core_answered(self->core, &answer, zd_now_ms());
    if (counts && answer.map && !overtaken) {
        zd_mapfile_offer(self->map, hap_str(answer.map));
        wrote_map(self, before);
    }
    if (counts && answer.number && !self->number && !is_observer(self)) {
        become_voter(self, answer.number);
    }
    apr_pool_destroy(pool);
}

/* Who has been asked does not lead, and knows who does, or not. */
static void go_elsewhere(zd_daemon_t *self, const char *leader)
{
    if (leader && strcmp(leader, own_node(self)->address) != 0) {
        zd_talk_call(self->talk, leader);
    } else {
        zd_talk_next(self->talk);
    }
}

static void told(void *baton, json_t *object)
{
    zd_daemon_t *self = baton;
    const json_t *elsewhere = json_object_get(object, "elsewhere");
    const json_t *answer = json_object_get(object, "answer");
    if (answer) {
        hear_answer(self, answer);
    } else if (elsewhere) {
        go_elsewhere(self, json_string_value(elsewhere));
    } else {
        zd_ask_told(self, object);
    }
}

static void way_up(void *baton, bool is_up)
{
    zd_daemon_t *self = baton;
    if (is_up && !self->ending) {
        zd_core_connected(self->core, zd_now_ms());
        zd_ask_again(self);
    } else if (!is_up && !self->ending && !(self->raft && zd_raft_leader(self->raft))) {
        zd_talk_call(self->talk, NULL);
    }
}

/* --- what has changed ------------------------------------------------------------------------- */

/* What happened since, the oldest first; what an earlier run has seen is in the log already. */
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
        if (event->at_ms >= self->begun_ms) {
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

static void learn_uuid(zd_daemon_t *self, const char *uuid)
{
    if (uuid && self->conf->tls && !self->belongs) {
        zd_tls_ctx_belongs(self->conf->tls, uuid);
        self->belongs = true;
    }
}

static void call_leader(zd_daemon_t *self)
{
    const char *leader = zd_raft_leader(self->raft);
    if (!self->talk) {
        return;
    }
    if (zd_raft_leads(self->raft)) {
        zd_talk_rest(self->talk);
        zd_ask_expire(self, false);
    } else if (leader && strcmp(leader, own_node(self)->address) != 0) {
        zd_talk_call(self->talk, leader);
    } else {
        zd_talk_call(self->talk, NULL);
    }
}

static void changed(void *baton)
{
    zd_daemon_t *self = baton;
    if (self->ending) {
        return;
    }
    if (zd_raft_leads(self->raft) && has_lost(self)) {
        self->exit_code = 1;
        end(self);
        return;
    }
    const zd_cluster_t *cluster = zd_state_cluster(zd_raft_state(self->raft));
    uint64_t before = zd_mapfile_version(self->map);
    learn_uuid(self, cluster->uuid);
    log_events(self);
    call_leader(self);
    zd_mapfile_put(self->map, zd_state_map(zd_raft_state(self->raft)), cluster->version);
    zd_core_changed(self->core, zd_now_ms());
    wrote_map(self, before);
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
        end(self);
        return;
    }
    zd_core_tick(self->core, now);
    say_alive(self, now);
    if (now - self->checked_ms < CHECK_MS) {
        return;
    }
    uint64_t before = zd_mapfile_version(self->map);
    self->checked_ms = now;
    zd_mapfile_retry(self->map);
    wrote_map(self, before);
    zd_ask_expire(self, false);
    if (self->guard) {
        zd_guard_check(self->guard);
    }
    if (!self->raft) {
        learn_uuid(self, zd_mapfile_uuid(self->map));
    }
}

/* --- ending ----------------------------------------------------------------------------------- */

static void net_closed(void *baton)
{
    (void)baton;
}

/* The service goes on: the guard stops it unless a daemon is there again in time. */
static void end(zd_daemon_t *self)
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
    if (self->raft && zd_raft_leads(self->raft)) {
        *why = "this node leads: there is nothing to force";
    } else if (!own_node(self)->electable && !is_alone(self)) {
        *why = "this node may not lead";
    } else if (votes != 2) {
        *why =
            "only one of two nodes with a vote can be forced to go on alone: more than two go on "
            "by themselves when more than half of them are there";
    } else {
        zd_log("it is forced to go on alone");
        self->forced = zd_raft_term(self->raft) + 1; /* and ends when who asked has his answer */
    }
    return *why == NULL;
}

static void raft_ended(void *baton, const char *why)
{
    zd_daemon_t *self = baton;
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
    return true;
}

static void accepted(void *baton, zd_net_use_t use, uint64_t number, const char *address,
                     uv_stream_t *stream)
{
    zd_daemon_t *self = baton;
    if (use == ZD_NET_RAFT && self->raft) {
        zd_raft_accept(self->raft, number, address, stream);
    } else if (use == ZD_NET_TALK && self->talk) {
        zd_talk_accept(self->talk, stream);
    } else {
        uv_close((uv_handle_t *)stream, (uv_close_cb)free);
    }
}

static bool open_net(zd_daemon_t *self, hap_diag_t *diag)
{
    const char *bind = self->conf->config->binds[self->own];
    const zd_net_conf_t conf = {
        .loop = &self->loop,
        .tls = self->conf->tls,
        .number = self->number,
        .address = own_node(self)->address,
        .bind = bind ? bind : own_node(self)->address,
        .accepted = accepted,
        .baton = self,
    };
    self->net = zd_net_open(&conf, diag);
    return self->net != NULL;
}

static bool open_talk(zd_daemon_t *self)
{
    const zd_config_t *config = self->conf->config;
    const char **addresses = apr_pcalloc(self->pool, config->nodes_n * sizeof(*addresses));
    zd_talk_conf_t conf = {
        .loop = &self->loop,
        .net = self->net,
        .addresses = addresses,
        .heard = heard,
        .told = told,
        .up = way_up,
        .baton = self,
    };
    for (unsigned i = 0; i < config->nodes_n; i++) {
        if ((int)i != self->own && config->nodes[i].role != HAP_MAP_OBSERVER) {
            addresses[conf.addresses_n++] = config->nodes[i].address;
        }
    }
    self->talk = zd_talk_open(&conf);
    return self->talk != NULL;
}

/* Who has a vote; numbers are places in the configuration, as zd_plan has them. */
static bool open_raft(zd_daemon_t *self, hap_diag_t *diag)
{
    const zd_config_t *config = self->conf->config;
    unsigned n = config->nodes_n ? config->nodes_n : 1;
    zd_peer_t *peers = apr_pcalloc(self->pool, n * sizeof(*peers));
    zd_raft_conf_t conf = {
        .loop = &self->loop,
        .dir = apr_pstrcat(self->pool, self->conf->dir, "/raft", NULL),
        .number = self->number,
        .address = own_node(self)->address,
        .peers = peers,
        .election_ms = ELECTION_MS,
        .net = self->net,
        .joins = self->conf->joins,
        .forced = self->conf->forced,
        .changed = changed,
        .ended = raft_ended,
        .baton = self,
    };
    for (unsigned i = 0; i < n; i++) {
        const hap_map_node_t *node = config->nodes_n ? &config->nodes[i] : &alone;
        if (node->role != HAP_MAP_OBSERVER) {
            peers[conf.peers_n++] = (zd_peer_t){.number = i + 1, .address = node->address};
        }
    }
    return zd_raft_open(&self->raft, &conf, diag) == APR_SUCCESS;
}

static bool open_replica(zd_daemon_t *self, hap_diag_t *diag)
{
    const zd_config_t *config = self->conf->config;
    const char *dir = self->conf->dir;
    int replica = zd_config_replica(config, self->conf->id);
    const zd_service_conf_t service = {
        .loop = &self->loop,
        .config = config,
        .id = self->conf->id,
        .dir = dir,
        .ran = ran,
        .baton = self,
    };
    const zd_times_t times = zd_times(config->timeout_ms);
    self->service = zd_service_open(&service);
    if (!self->service || replica < 0) {
        return self->service != NULL;
    }
    const zd_guard_conf_t guard = {
        .dir = dir,
        .ensure_passive = config->replicas[replica].ensure_passive,
        .env = zd_service_env(config, self->conf->id, dir, ZD_RUN_PASSIVE, 0, self->pool),
        .marks = zd_service_marks(dir, self->pool),
        .mark = zd_service_mark(dir, self->pool),
        .before_ms = times.guard_ms - times.stop_ms,
    };
    self->guard = zd_guard_open(&guard, diag);
    return self->guard != NULL;
}

static bool open_core(zd_daemon_t *self)
{
    const zd_core_conf_t conf = {
        .config = self->conf->config,
        .id = self->conf->id,
        .client = self->run,
        .uuid = self->uuid,
        .first = self->conf->first,
        .election_ms = ELECTION_MS,
        .drivers = &drivers,
        .baton = self,
    };
    self->core = zd_core_make(&conf, zd_now_ms());
    return self->core != NULL;
}

/* Two votes survive nothing: without a third one nobody takes over from a host that is lost. */
static void warn_of_two(const zd_daemon_t *self)
{
    const zd_config_t *config = self->conf->config;
    unsigned votes = 0;
    for (unsigned i = 0; i < config->nodes_n; i++) {
        votes += config->nodes[i].role != HAP_MAP_OBSERVER;
    }
    if (votes == 2 && !self->conf->joins) {
        zd_log(
            "two nodes have a vote, and no third one: when one is lost, the other one takes over "
            "by \"zero ha force\" only. Add a witness on another host, see doc/two-hosts.md");
    }
}

static bool open_parts(zd_daemon_t *self)
{
    hap_diag_t diag = {0, "no memory"};
    const zd_config_t *config = self->conf->config;
    const char *path = apr_pstrcat(self->pool, self->conf->dir, "/control.sock", NULL);
    const char *copy = config->nodes_n ? config->maps[self->own] : NULL;
    self->map = zd_mapfile_open(self->conf->dir, copy, self->pool);
    learn_uuid(self, zd_mapfile_uuid(self->map));
    if (!zd_number_read(&self->number, self->conf->dir, &diag, self->pool)) {
        zd_log("%s", diag.why);
        return false;
    }
    if (!self->number && !self->conf->joins && !is_observer(self)) {
        self->number = (uint64_t)self->own + 1;
    }
    bool observes = self->number == 0;
    bool good = open_core(self) && open_replica(self, &diag) &&
                (is_alone(self) || (open_net(self, &diag) && open_talk(self))) &&
                (observes || open_raft(self, &diag)) &&
                zd_control_open(&self->control, &self->loop, path, zd_ask, self, &diag) == 0 &&
                zd_show_open(self, &diag);
    if (!good) {
        zd_log("%s", diag.why);
        return false;
    }
    if (observes) {
        zd_talk_call(self->talk, NULL);
    }
    warn_of_two(self);
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
    if (open_parts(&self)) {
        uv_timer_start(&self.tick, tick, ZD_TICK_MS, ZD_TICK_MS);
        zd_notify_ready();
    } else {
        self.exit_code = 1;
        end(&self);
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
