/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns a daemon as zd_daemon.c, zd_open.c, zd_hear.c and zd_drivers.c tie it together, less what
 * has a file of its own here: its core's drivers, what it tells its core and when, and its file of
 * the map.
 */
#include "sim.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>
#include <raft.h>

#define WALL_MS UINT64_C(1700000000000)

int sim_node_place(const sim_t *sim, const char *address)
{
    for (unsigned i = 0; address && i < sim->n; i++) {
        if (strcmp(sim->nodes[i].address, address) == 0) {
            return (int)i;
        }
    }
    return -1;
}

/* --- what the core does ----------------------------------------------------------------------- */

bool sim_node_leads(const sim_node_t *node)
{
    if (!node->up || !node->raft) {
        return false;
    }
    if (node->sim->conf.broken == SIM_BREAK_BARRIER) {
        return raft_state(sim_raft(node)) == RAFT_LEADER;
    }
    return zd_raft_leads(node->raft);
}

static bool leads(void *baton)
{
    return sim_node_leads(baton);
}

static uint64_t term(void *baton)
{
    const sim_node_t *node = baton;
    return zd_raft_term(node->raft);
}

static const zd_state_t *state(void *baton)
{
    const sim_node_t *node = baton;
    return zd_raft_state(node->raft);
}

static void send_command(void *baton, zd_wish_t *wish)
{
    sim_node_t *node = baton;
    wish->command.at_ms = WALL_MS + sim_node_now(node) + node->wall_ms;
    zd_raft_send(node->raft, wish);
}

static bool transfer(void *baton, uint64_t number)
{
    sim_node_t *node = baton;
    return zd_raft_transfer(node->raft, number);
}

static unsigned members(void *baton, zd_member_t *all, unsigned room)
{
    const sim_node_t *node = baton;
    return zd_raft_members(node->raft, all, room);
}

static bool member(void *baton, zd_member_change_t change, uint64_t number, const char *address)
{
    sim_node_t *node = baton;
    return zd_raft_member(node->raft, change, number, address);
}

static void doubt(void *baton)
{
    sim_node_t *node = baton;
    zd_raft_doubt(node->raft);
}

static void send_beat(void *baton, const zd_beat_t *beat)
{
    sim_talk_up(baton, json_pack("{s:o}", "beat", zd_beat_json(beat)));
}

static void send_answer(void *baton, const char *to, const zd_answer_t *answer)
{
    sim_talk_to(baton, to, json_pack("{s:o}", "answer", zd_answer_json(answer)));
}

static void run(void *baton, zd_run_t what, uint64_t epoch)
{
    sim_host_run(baton, what, epoch);
}

static void kill_script(void *baton)
{
    sim_host_kill_script(baton);
}

static bool kill_service(void *baton)
{
    sim_host_kill_service(baton);
    return true;
}

static void hold(void *baton, uint64_t kill_at_ms)
{
    sim_host_hold(baton, kill_at_ms);
}

/* Over the network, on the other host. */
static void restarted(sim_node_t *node, void *baton, uint64_t from)
{
    if (!node->up && !node->down && !node->sim->cut[from][node->place]) {
        sim_say(node->sim, node, "started by %s", node->sim->nodes[from].id);
        sim_node_start(node);
    }
}

static void restart(void *baton, unsigned replica)
{
    sim_node_t *node = baton;
    sim_t *sim = node->sim;
    sim_in(sim, SIM_HOST, &sim->nodes[replica], sim_between(sim, 50, 1500) * SIM_US_A_MS, restarted,
           NULL, node->place);
}

static void log_line(void *baton, const char *line)
{
    const sim_node_t *node = baton;
    if (node->up) {
        sim_say(node->sim, node, "%s", line);
    }
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

void sim_node_ran(sim_node_t *node, bool well, const char *said)
{
    zd_core_ran(node->core, well, said, sim_node_now(node));
}

/* --- the file of the map ---------------------------------------------------------------------- */

static void write_map(sim_node_t *node)
{
    uint64_t before = node->map_version;
    if (node->new_version <= before || node->sim->now_us < node->disk.fails_until_us) {
        return;
    }
    node->map_version = node->new_version;
    free(node->map_text);
    node->map_text = strdup(node->new_text);
    zd_core_wrote(node->core, node->map_version, sim_node_now(node));
}

static void take_map(sim_node_t *node, const char *text, uint64_t version)
{
    if (version <= node->new_version) {
        return;
    }
    sim_check_map(node->sim, node, version, text);
    node->new_version = version;
    free(node->new_text);
    node->new_text = strdup(text);
    sim_must(node->new_text != NULL, "no memory");
}

/* It comes from another node: it is read first. */
static void offer_map(sim_node_t *node, const char *text)
{
    apr_pool_t *pool;
    hap_diag_t diag = {0, ""};
    const hap_map_t *map;
    const hap_map_t *has = NULL;
    apr_pool_create(&pool, node->sim->pool);
    if (hap_map_decode(&map, hap_str(text), &diag, pool) != APR_SUCCESS) {
        sim_fail(node->sim, "node %s: the leader's map is none: %s", node->id, diag.why);
        apr_pool_destroy(pool);
        return;
    }
    if (node->new_text) {
        hap_map_decode(&has, hap_str(node->new_text), &diag, pool);
    }
    hap_map_offer_t offer = hap_map_offer(has, map, pool);
    if (offer == HAP_MAP_NEWER) {
        take_map(node, text, map->version);
        write_map(node);
    } else if (offer == HAP_MAP_OTHERS || offer == HAP_MAP_CONTRADICTS) {
        sim_fail(node->sim, "node %s: the leader's map %" PRIu64 " contradicts", node->id,
                 map->version);
    }
    apr_pool_destroy(pool);
}

/* --- what other nodes say --------------------------------------------------------------------- */

static void hear_beat(sim_node_t *node, sim_conn_t *conn, const json_t *object)
{
    apr_pool_t *pool;
    hap_diag_t diag = {0, ""};
    zd_beat_t beat;
    apr_pool_create(&pool, node->sim->pool);
    if (zd_beat_read(&beat, object, &diag, pool) != APR_SUCCESS) {
        sim_fail(node->sim, "a beat that cannot be read: %s", diag.why);
    } else if (sim_node_leads(node) && zd_core_is_other(node->core, &beat, sim_node_now(node))) {
        sim_fail(node->sim, "node %s: two daemons", beat.node);
    } else if (sim_node_leads(node)) {
        sim_talk_name(node, conn, beat.node);
        zd_core_heard(node->core, &beat, sim_node_now(node));
    } else {
        const char *leader = zd_raft_leader(node->raft);
        sim_talk_back(node, conn, json_pack("{s:s?}", "elsewhere", leader));
    }
    apr_pool_destroy(pool);
}

void sim_node_heard(sim_node_t *node, sim_conn_t *conn, const json_t *object)
{
    hear_beat(node, conn, json_object_get(object, "beat"));
}

static void hear_answer(sim_node_t *node, const json_t *object)
{
    apr_pool_t *pool;
    hap_diag_t diag = {0, ""};
    zd_answer_t answer;
    apr_pool_create(&pool, node->sim->pool);
    if (zd_answer_read(&answer, object, &diag, pool) != APR_SUCCESS) {
        sim_fail(node->sim, "an answer that cannot be read: %s", diag.why);
        apr_pool_destroy(pool);
        return;
    }
    bool overtaken = node->raft && answer.version <= node->map_version;
    bool counts = zd_core_answered(node->core, &answer, sim_node_now(node));
    if (counts && answer.map && !overtaken) {
        offer_map(node, answer.map);
    }
    apr_pool_destroy(pool);
}

static void go_elsewhere(sim_node_t *node, const char *leader)
{
    int place = sim_node_place(node->sim, leader);
    if (place >= 0 && place != (int)node->place) {
        sim_talk_call(node, place);
    } else {
        sim_talk_next(node);
    }
}

void sim_node_told(sim_node_t *node, const json_t *object)
{
    const json_t *answer = json_object_get(object, "answer");
    const json_t *elsewhere = json_object_get(object, "elsewhere");
    if (answer) {
        hear_answer(node, answer);
    } else if (elsewhere) {
        go_elsewhere(node, json_string_value(elsewhere));
    }
}

void sim_node_way(sim_node_t *node, bool is_up)
{
    if (is_up) {
        zd_core_connected(node->core, sim_node_now(node));
    } else if (!zd_raft_leader(node->raft)) {
        sim_talk_call(node, -1);
    }
}

/* --- what has changed ------------------------------------------------------------------------- */

static void call_leader(sim_node_t *node)
{
    int leader = sim_node_place(node->sim, zd_raft_leader(node->raft));
    if (zd_raft_leads(node->raft)) {
        sim_talk_rest(node);
    } else {
        sim_talk_call(node, leader == (int)node->place ? -1 : leader);
    }
}

/* Of maps that come one after the other, each tick writes the last one. */
static void put_map(sim_node_t *node)
{
    const zd_state_t *state = zd_raft_state(node->raft);
    uint64_t version = zd_state_cluster(state)->version;
    uint64_t now = sim_node_now(node);
    if (version <= node->map_version || now - node->put_ms < ZD_TICK_MS) {
        return;
    }
    node->put_ms = now;
    take_map(node, zd_state_map(state).p, version);
    write_map(node);
}

static void changed(void *baton)
{
    sim_node_t *node = baton;
    if (!node->up || node->ends) {
        return;
    }
    uint64_t version = zd_state_cluster(zd_raft_state(node->raft))->version;
    if (zd_raft_leads(node->raft) && version < node->map_version) {
        sim_fail(node->sim, "node %s: the log has lost what was agreed on", node->id);
        return;
    }
    call_leader(node);
    zd_core_changed(node->core, sim_node_now(node));
    put_map(node);
}

static void ended(void *baton, const char *why)
{
    sim_node_t *node = baton;
    if (why) {
        sim_say(node->sim, node, "the engine has given up: %s", why);
        node->ends = true;
    }
}

static void broken(void *baton, const char *why)
{
    sim_node_t *node = baton;
    sim_say(node->sim, node, "%s", why);
    node->ends = node->is_dead = true;
}

static void tick(sim_node_t *node, void *baton, uint64_t number)
{
    uint64_t now = sim_node_now(node);
    sim_in(node->sim, SIM_TIMER, node, sim_node_us(node, ZD_TICK_MS), tick, NULL, 0);
    zd_core_tick(node->core, now);
    if (node->raft) {
        put_map(node);
    }
    write_map(node);
}

/* --- beginning and ending --------------------------------------------------------------------- */

static void open_core(sim_node_t *node)
{
    sim_t *sim = node->sim;
    zd_core_conf_t conf = {
        .config = sim->config,
        .id = node->id,
        .client = node->client,
        .uuid = node->uuid,
        .first = sim->first,
        .election_ms = ZD_ELECTION_MS,
        .left = {.kill_at_ms = node->service.guard_kill_ms},
        .drivers = &drivers,
        .baton = node,
    };
    apr_cpystrn(conf.left.home, node->id, sizeof(conf.left.home));
    node->core = zd_core_make(&conf, sim_node_now(node));
    sim_must(node->core != NULL, "no memory");
}

static void open_raft(sim_node_t *node)
{
    sim_t *sim = node->sim;
    hap_diag_t diag = {0, ""};
    zd_peer_t peers[SIM_NODES_MAX];
    zd_raft_conf_t conf = {
        .loop = &node->loop,
        .dir = node->id,
        .number = node->place + 1,
        .address = node->address,
        .peers = peers,
        .election_ms = ZD_ELECTION_MS,
        .changed = changed,
        .ended = ended,
        .broken = broken,
        .baton = node,
    };
    for (unsigned i = 0; i < sim->n; i++) {
        if (!sim->nodes[i].observes) {
            peers[conf.peers_n++] = (zd_peer_t){.number = i + 1, .address = sim->nodes[i].address};
        }
    }
    node->loop.data = node;
    sim_must(zd_raft_open(&node->raft, &conf, &diag) == APR_SUCCESS, diag.why);
    raft_set_snapshot_threshold(sim_raft(node), sim->snapshot_threshold);
    raft_set_snapshot_trailing(sim_raft(node), sim->snapshot_trailing);
}

void sim_node_start(sim_node_t *node)
{
    sim_t *sim = node->sim;
    node->up = true;
    node->run = ++sim->runs;
    node->ends = node->stale = node->is_dead = false;
    node->paused_until_us = 0;
    node->loop_ms = sim_node_now(node);
    node->new_version = 0;
    node->put_ms = 0;
    node->service.script = 0;
    for (unsigned i = 0; i < sim->n; i++) {
        node->ways[i] = ++sim->numbers;
    }
    apr_snprintf(node->client, sizeof(node->client), "run-%" PRIu64, node->run);
    sim_say(sim, node, "the daemon begins, run %" PRIu64, node->run);
    if (node->map_text) {
        take_map(node, node->map_text, node->map_version);
    }
    open_core(node);
    if (node->observes) {
        sim_talk_call(node, -1);
    } else {
        open_raft(node);
    }
    sim_in(sim, SIM_TIMER, node, sim_node_us(node, ZD_TICK_MS), tick, NULL, 0);
}

void sim_node_crash(sim_node_t *node, const char *why)
{
    if (!node->up) {
        return;
    }
    sim_sum.crashes++;
    sim_say(node->sim, node, "the daemon is dead: %s", why);
    sim_disk_crash(node);
    sim_talk_crash(node);
    node->up = false;
    if (node->raft) {
        zd_raft_close(node->raft);
        zd_raft_free(node->raft);
        node->raft = NULL;
        node->io = NULL;
    }
    zd_core_free(node->core);
    free(node->new_text);
    node->core = NULL;
    node->new_text = NULL;
}
