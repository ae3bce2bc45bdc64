/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what has to hold, looked at after every step:
 *
 *     commands   the same ones in the same order everywhere, each carried out once; what was
 *                acknowledged is among them
 *     terms      one leader of the engine, and one primary, in each
 *     maps       versions only rise, and the same version is the same bytes
 *     leases     epochs only rise; at any moment at most one service is alive, of the replica that
 *                was given the last epoch; what is agreed to be over has stopped
 */
#include "sim.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <raft.h>

#include "zd_state_int.h"

sim_sum_t sim_sum;

/* What the state was after a command, whoever carried it out first. */
typedef struct applied_t {
    uint64_t command; /* hash */
    uint64_t state;   /* hash */
    uint64_t version;
    uint64_t epoch;
    uint64_t term;
} applied_t;

/* A list that has a place for each number from 0. */
typedef struct list_t {
    uint64_t *at;
    uint64_t n;
} list_t;

/* What a client's command came to. */
typedef struct done_t {
    bool is;
    zd_result_t result;
} done_t;

struct sim_check_t {
    applied_t *applied; /* by index - 1 */
    uint64_t n;
    uint64_t room;
    list_t leaders;            /* by term: place + 1 */
    list_t primaries;          /* by term: hash of its id */
    list_t maps;               /* by version: hash */
    list_t grants;             /* by epoch: place + 1 */
    uint64_t begun;            /* the last epoch for which ensure-active began */
    done_t *done[SIM_CLIENTS]; /* by seq */
    uint64_t done_n[SIM_CLIENTS];
    uint64_t versions[SIM_NODES_MAX]; /* of the map on disk */
};

/* Notes what is at that number. False: it is something else already. */
static bool note(list_t *list, uint64_t number, uint64_t what)
{
    if (number >= list->n) {
        uint64_t n = 2 * number + 16;
        list->at = realloc(list->at, n * sizeof(*list->at));
        sim_must(list->at != NULL, "no memory");
        memset(list->at + list->n, 0, (n - list->n) * sizeof(*list->at));
        list->n = n;
    }
    if (list->at[number] == 0) {
        list->at[number] = what;
    }
    return list->at[number] == what;
}

static uint64_t noted(const list_t *list, uint64_t number)
{
    return number < list->n ? list->at[number] : 0;
}

void sim_check_begin(sim_t *sim)
{
    sim->check = calloc(1, sizeof(*sim->check));
    sim_must(sim->check != NULL, "no memory");
}

void sim_check_free(sim_t *sim)
{
    sim_check_t *check = sim->check;
    free(check->applied);
    free(check->leaders.at);
    free(check->primaries.at);
    free(check->maps.at);
    free(check->grants.at);
    for (unsigned i = 0; i < SIM_CLIENTS; i++) {
        free(check->done[i]);
    }
    free(check);
}

/* --- hashes ----------------------------------------------------------------------------------- */

#define HASH_TEXT(hash, value)   sim_hash_text(hash, value)
#define HASH_NUMBER(hash, value) sim_hash(hash, &(value), sizeof(value))
#define HASH_FLAG(hash, value)   sim_hash(hash, &(value), sizeof(value))

static uint64_t hash_command(const zd_command_t *command)
{
    uint64_t hash = sim_hash(0, &command->what, sizeof(command->what));
#define HASH_FIELD(name, member, kind) hash = HASH_##kind(hash, command->member);
    ZD_FIELDS(HASH_FIELD)
#undef HASH_FIELD
    return hash;
}

/* What is agreed on, less how many commands that took and who has sent them. */
static uint64_t hash_cluster(const zd_state_t *state)
{
    const zd_cluster_t *cluster = zd_state_cluster(state);
    hap_str_t map = zd_state_map(state);
    uint64_t hash = sim_hash(0, map.p ? map.p : "", map.n);
    hash = HASH_NUMBER(hash, cluster->epoch);
    hash = HASH_NUMBER(hash, cluster->raft);
    hash = sim_hash_text(hash, cluster->preferred);
    for (unsigned i = 0; i < cluster->apps_n; i++) {
        hash = HASH_FLAG(hash, cluster->apps[i].paused);
        hash = HASH_NUMBER(hash, cluster->apps[i].granted);
    }
    for (unsigned i = 0; i < cluster->nodes_n; i++) {
        hash = sim_hash_text(hash, cluster->nodes[i].map.id);
        hash = HASH_FLAG(hash, cluster->nodes[i].present);
    }
    return hash;
}

static uint64_t hash_state(const zd_state_t *state)
{
    uint64_t hash = hash_cluster(state);
    for (unsigned i = 0; i < state->clients_n; i++) {
        hash = sim_hash_text(hash, state->clients[i].name);
        hash = HASH_NUMBER(hash, state->clients[i].seq);
        hash = HASH_NUMBER(hash, state->clients[i].result.end);
        hash = HASH_NUMBER(hash, state->clients[i].result.version);
        hash = HASH_NUMBER(hash, state->clients[i].result.epoch);
    }
    return hash;
}

/* --- leases ----------------------------------------------------------------------------------- */

static const char *route_of(const sim_t *sim, const sim_node_t *node)
{
    int replica = zd_config_replica(sim->config, node->id);
    return replica >= 0 ? sim->config->replicas[replica].route : "";
}

static const zd_app_t *app_of(const sim_t *sim, const zd_state_t *state)
{
    return zd_cluster_app(zd_state_cluster(state), sim->config->app);
}

/* Who is not the active one by what is agreed on has stopped. */
static void check_stopped(sim_t *sim, const zd_state_t *state)
{
    const zd_app_t *app = app_of(sim, state);
    const char *active = app && app->map.active ? app->map.active : "nobody";
    for (unsigned i = 0; i < sim->n; i++) {
        const sim_node_t *node = &sim->nodes[i];
        if (node->service.alive && strcmp(route_of(sim, node), active) != 0) {
            sim_fail(sim, "the service of node %s is alive, and %s is agreed to be active",
                     node->id, active);
        }
    }
}

static void note_grant(sim_t *sim, const zd_command_t *command, const zd_result_t *result)
{
    list_t *grants = &sim->check->grants;
    if (command->what != ZD_DO_GRANT || result->end != ZD_DONE) {
        return;
    }
    int replica = zd_config_route(sim->config, command->route);
    sim_sum.grants++;
    if (noted(grants, result->epoch)) {
        sim_fail(sim, "epoch %" PRIu64 " was given twice", result->epoch);
    }
    note(grants, result->epoch, (uint64_t)(replica + 1));
}

void sim_check_begins(sim_t *sim, const sim_node_t *node, uint64_t epoch)
{
    sim_check_t *check = sim->check;
    if (noted(&check->grants, epoch) != node->place + 1) {
        sim_fail(sim, "node %s: ensure-active for epoch %" PRIu64 ", which was not given to it",
                 node->id, epoch);
    }
    if (epoch < check->begun) {
        sim_fail(sim, "node %s: ensure-active for epoch %" PRIu64 " after epoch %" PRIu64, node->id,
                 epoch, check->begun);
    }
    check->begun = epoch;
}

void sim_check_alive(sim_t *sim, const sim_node_t *node)
{
    for (unsigned i = 0; i < sim->n; i++) {
        if (sim->nodes[i].service.alive && &sim->nodes[i] != node) {
            sim_fail(sim, "two services are alive: of node %s and of node %s", sim->nodes[i].id,
                     node->id);
        }
    }
}

/* --- commands --------------------------------------------------------------------------------- */

static int client_of(const char *name)
{
    bool is_client = name[0] == 'c' && name[1] >= '0' && name[1] < '0' + SIM_CLIENTS && !name[2];
    return is_client ? name[1] - '0' : -1;
}

static bool is_same(const zd_result_t *a, const zd_result_t *b)
{
    return a->end == b->end && a->version == b->version && a->epoch == b->epoch;
}

/* A client's command is carried out once, and has that result ever after. */
static void check_once(sim_t *sim, const zd_command_t *command, const zd_result_t *result,
                       bool changed)
{
    sim_check_t *check = sim->check;
    int client = client_of(command->client);
    if (client < 0 || result->end == ZD_REPEATED) {
        return;
    }
    if (command->seq >= check->done_n[client]) {
        uint64_t n = 2 * command->seq + 16;
        uint64_t before = check->done_n[client];
        check->done[client] = realloc(check->done[client], n * sizeof(done_t));
        sim_must(check->done[client] != NULL, "no memory");
        memset(check->done[client] + before, 0, (n - before) * sizeof(done_t));
        check->done_n[client] = n;
    }
    done_t *done = &check->done[client][command->seq];
    if (done->is && (changed || !is_same(&done->result, result))) {
        sim_fail(sim, "command %" PRIu64 " of client %d was carried out twice", command->seq,
                 client);
    }
    *done = (done_t){.is = true, .result = *result};
}

static void check_first(sim_t *sim, const applied_t *before, const applied_t *now,
                        const zd_state_t *state)
{
    const zd_cluster_t *cluster = zd_state_cluster(state);
    hap_str_t map = zd_state_map(state);
    if (now->version < before->version || now->epoch < before->epoch || now->term < before->term) {
        sim_fail(sim, "version, epoch or term go back at index %" PRIu64, sim->check->n);
    }
    if (!note(&sim->check->maps, now->version, sim_hash(0, map.p ? map.p : "", map.n))) {
        sim_fail(sim, "map %" PRIu64 " is two maps", now->version);
    }
    if (cluster->primary &&
        !note(&sim->check->primaries, now->term, sim_hash_text(0, cluster->primary))) {
        sim_fail(sim, "term %" PRIu64 " has two primaries", now->term);
    }
}

static uint64_t cluster_before; /* hash of the state, of the command that is carried out */

void sim_check_applying(const zd_state_t *state)
{
    cluster_before = hash_cluster(state);
}

static void append(sim_t *sim, const applied_t *now)
{
    sim_check_t *check = sim->check;
    if (check->n == check->room) {
        check->room = check->room ? 2 * check->room : 256;
        check->applied = realloc(check->applied, check->room * sizeof(*check->applied));
        sim_must(check->applied != NULL, "no memory");
    }
    check->applied[check->n++] = *now;
}

void sim_check_applied(sim_t *sim, const zd_state_t *state, const zd_command_t *command,
                       const zd_result_t *result)
{
    static const applied_t nothing;
    sim_check_t *check = sim->check;
    const zd_cluster_t *cluster = zd_state_cluster(state);
    uint64_t index = zd_state_index(state);
    const applied_t now = {
        .command = hash_command(command),
        .state = hash_state(state),
        .version = cluster->version,
        .epoch = cluster->epoch,
        .term = cluster->term,
    };
    if (index > check->n + 1) {
        sim_fail(sim, "command %" PRIu64 " comes after %" PRIu64, index, check->n);
        return;
    }
    if (index <= check->n) {
        if (memcmp(&check->applied[index - 1], &now, sizeof(now)) != 0) {
            const applied_t *was = &check->applied[index - 1];
            sim_fail(sim,
                     "%s is not the same everywhere: command %" PRIu64 ", %s, version %" PRIu64
                     " and %" PRIu64,
                     was->command == now.command ? "the state" : "the log", index,
                     zd_do_names[command->what], was->version, now.version);
        }
        return;
    }
    sim_sum.commands++;
    append(sim, &now);
    check_first(sim, index > 1 ? &check->applied[index - 2] : &nothing, &now, state);
    check_once(sim, command, result, hash_cluster(state) != cluster_before);
    note_grant(sim, command, result);
    check_stopped(sim, state);
}

void sim_check_loaded(sim_t *sim, const zd_state_t *state)
{
    uint64_t index = zd_state_index(state);
    sim_sum.restores++;
    if (index > sim->check->n ||
        (index > 0 && sim->check->applied[index - 1].state != hash_state(state))) {
        sim_fail(sim, "the snapshot of command %" PRIu64 " says something else", index);
    }
}

void sim_check_acknowledged(sim_t *sim, unsigned client, uint64_t seq, const zd_result_t *result)
{
    const sim_check_t *check = sim->check;
    sim_sum.acknowledged++;
    if (seq >= check->done_n[client] || !check->done[client][seq].is) {
        sim_fail(sim, "command %" PRIu64 " of client %u was acknowledged and not carried out", seq,
                 client);
    } else if (!is_same(&check->done[client][seq].result, result)) {
        sim_fail(sim, "command %" PRIu64 " of client %u: the answer is %s, and was %s: %s", seq,
                 client, zd_end_names[result->end],
                 zd_end_names[check->done[client][seq].result.end], result->why);
    }
}

/* --- maps and terms --------------------------------------------------------------------------- */

void sim_check_map(sim_t *sim, const sim_node_t *node, uint64_t version, const char *text)
{
    if (noted(&sim->check->maps, version) != sim_hash(0, text, strlen(text))) {
        sim_fail(sim, "node %s: its map %" PRIu64 " is none that was agreed on", node->id, version);
    }
}

void sim_check_step(sim_t *sim)
{
    sim_check_t *check = sim->check;
    for (unsigned i = 0; i < sim->n; i++) {
        sim_node_t *node = &sim->nodes[i];
        if (node->map_version < check->versions[i]) {
            sim_fail(sim, "node %s: its map goes back to %" PRIu64, node->id, node->map_version);
        }
        check->versions[i] = node->map_version;
        if (!node->up || !node->raft || raft_state(sim_raft(node)) != RAFT_LEADER) {
            continue;
        }
        uint64_t term = zd_raft_term(node->raft);
        sim_sum.terms += noted(&check->leaders, term) == 0;
        if (!note(&check->leaders, term, i + 1)) {
            sim_fail(sim, "two nodes lead in term %" PRIu64, term);
        }
    }
}

/* --- the end ---------------------------------------------------------------------------------- */

static const sim_node_t *leader_of(const sim_t *sim)
{
    const sim_node_t *leader = NULL;
    for (unsigned i = 0; i < sim->n; i++) {
        leader = sim_node_leads(&sim->nodes[i]) ? &sim->nodes[i] : leader;
    }
    return leader;
}

static const char *what_lacks(const sim_t *sim, const sim_node_t *node, const sim_node_t *leader)
{
    if (!node->up) {
        return "a daemon that runs";
    }
    if (node->raft && zd_state_index(zd_raft_state(node->raft)) != sim->check->n) {
        return "a node that has carried all out";
    }
    if (node->map_version != leader->map_version || strcmp(node->map_text, leader->map_text) != 0) {
        return "a node with the leader's map";
    }
    return NULL;
}

static const char *replicas_lack(const sim_t *sim, const zd_state_t *state)
{
    const zd_app_t *app = app_of(sim, state);
    if (!app || !app->map.active) {
        return "a lease";
    }
    for (unsigned i = 0; i < sim->config->replicas_n; i++) {
        const sim_node_t *node = &sim->nodes[i];
        bool active = strcmp(app->map.active, route_of(sim, node)) == 0;
        zd_role_t role = zd_core_replica(node->core)->role;
        if (role != (active ? ZD_ROLE_ACTIVE : ZD_ROLE_PASSIVE)) {
            return active ? "an active replica" : "a passive replica";
        }
        if (node->service.alive != active) {
            return "the service";
        }
    }
    return NULL;
}

const char *sim_check_settled(sim_t *sim)
{
    const sim_node_t *leader = leader_of(sim);
    if (!leader) {
        return "a leader";
    }
    const zd_state_t *state = zd_raft_state(leader->raft);
    const zd_cluster_t *cluster = zd_state_cluster(state);
    if (!cluster->primary || strcmp(cluster->primary, leader->id) != 0 ||
        cluster->term != zd_raft_term(leader->raft)) {
        return "a primary";
    }
    for (unsigned i = 0; i < sim->n; i++) {
        const char *lacks = what_lacks(sim, &sim->nodes[i], leader);
        if (lacks) {
            return lacks;
        }
    }
    for (unsigned i = 0; i < cluster->nodes_n; i++) {
        if (!cluster->nodes[i].present) {
            return "a node in the map";
        }
    }
    return sim_clients_rest(sim) ? replicas_lack(sim, state) : "answers to all clients";
}

static void check_bytes(sim_t *sim, const sim_node_t *node, hap_str_t *bytes)
{
    hap_diag_t diag = {0, ""};
    hap_str_t own;
    if (zd_state_save(&own, zd_raft_state(node->raft), &diag, sim->pool) != APR_SUCCESS) {
        sim_fail(sim, "node %s: its state cannot be saved: %s", node->id, diag.why);
    } else if (bytes->p && !hap_str_eq(*bytes, own)) {
        sim_fail(sim, "node %s: its state is another one", node->id);
    } else {
        *bytes = own;
    }
}

void sim_check_end(sim_t *sim)
{
    hap_str_t bytes = {NULL, 0};
    for (unsigned i = 0; i < sim->n; i++) {
        if (sim->nodes[i].raft) {
            check_bytes(sim, &sim->nodes[i], &bytes);
        }
    }
}
