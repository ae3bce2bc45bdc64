/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns a run: a world from a seed, its steps, its end. And what is broken on purpose where that is
 * between two functions of the product: the linker puts ours in between.
 */
#include "sim.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "zd_state_int.h"

enum { DRIFT_PPM = 5000, FAST_PPM = 1000000, SETTLE_MS = 60000, SETTLE_LEASES = 4 };

/* --- a world ---------------------------------------------------------------------------------- */

static const char *addresses[SIM_NODES_MAX] = {"10.0.0.1:7946", "10.0.0.2:7946", "10.0.0.3:7946",
                                               "10.0.0.4:7946", "10.0.0.5:7946"};

static const char *ids[SIM_NODES_MAX] = {"0", "1", "2", "3", "4"};

/* config.json with this many replicas; of the other nodes the first is a witness, the next one an
 * observer. */
static const zd_config_t *make_config(sim_t *sim, unsigned replicas, unsigned timeout_ms)
{
    hap_diag_t diag = {0, ""};
    const zd_config_t *config = NULL;
    const char *list = "";
    const char *scripts = "";
    const char *nodes = "";
    for (unsigned i = 0; i < sim->n; i++) {
        const char *comma = i ? ", " : "";
        const char *role = i == replicas ? "witness" : "observer";
        if (i < replicas) {
            list = apr_psprintf(sim->pool, "%s%s\"%u\"", list, comma, i);
            scripts = apr_psprintf(sim->pool,
                                   "%s\"ensure-active-%u\": \"a\", \"ensure-passive-%u\": \"p\", "
                                   "\"restart-hal-%u\": \"r\", ",
                                   scripts, i, i, i);
            nodes = apr_psprintf(sim->pool, "%s%s\"%u\": \"%s\"", nodes, comma, i, addresses[i]);
        } else {
            nodes = apr_psprintf(sim->pool, "%s%s\"%s\": {\"address\": \"%s\", \"role\": \"%s\"}",
                                 nodes, comma, ids[i], addresses[i], role);
        }
    }
    const char *text = apr_psprintf(
        sim->pool,
        "{\"appName\": \"App\", %s\"timeout\": %u, \"noOfRetryAttempts\": %d, "
        "\"replicaIdList\": [%s], \"nodes\": {%s}, \"secretFile\": \"/s\", \"dataDir\": \"/d\"}",
        scripts, timeout_ms, (int)sim_between(sim, 1, 3), list, nodes);
    sim_must(zd_config_parse(&config, hap_str(text), &diag, sim->pool) == APR_SUCCESS, diag.why);
    return config;
}

static void make_node(sim_t *sim, unsigned place)
{
    sim_node_t *node = &sim->nodes[place];
    *node = (sim_node_t){
        .sim = sim,
        .place = place,
        .id = sim->config->nodes[place].id,
        .address = sim->config->nodes[place].address,
        .observes = sim->config->nodes[place].role == HAP_MAP_OBSERVER,
        .clock_ms = sim_between(sim, 1000, 1000000000),
        .drift_ppm = (int)sim_random(sim, 2 * DRIFT_PPM + 1) - DRIFT_PPM,
        .disk = {.latency_ms = 2, .first = 1},
        .calls = -1,
        .rests = true,
    };
    if (sim->conf.broken == SIM_BREAK_CLOCK && place % 2 == 0) {
        node->drift_ppm = FAST_PPM;
    }
    apr_snprintf(node->uuid, sizeof(node->uuid), "0f1e2d3c-4b5a-4978-8796-%012x", place);
}

/* Three to five nodes: replicas, or with a witness, or with a witness and an observer. */
static void make_world(sim_t *sim)
{
    sim->n = (unsigned)sim_between(sim, 3, SIM_NODES_MAX);
    unsigned most = sim->n < 4 ? 1 : 2;
    unsigned replicas = sim->n - (unsigned)sim_random(sim, most + 1);
    unsigned timeout_ms = (unsigned)sim_between(sim, 2000, 6000);
    sim->config = make_config(sim, replicas, timeout_ms);
    sim->snapshot_threshold = (unsigned)sim_between(sim, 8, 100);
    sim->snapshot_trailing = (unsigned)sim_between(sim, 2, 60);
    sim->delay_ms = 5;
    sim->fault_every_ms = (unsigned)sim_between(sim, 200, 4000);
    sim->first = sim_chance(sim, 30) ? sim->config->nodes[0].id : NULL;
    for (unsigned i = 0; i < sim->n; i++) {
        make_node(sim, i);
    }
    for (unsigned i = 0; i < sim->n; i++) {
        sim_node_start(&sim->nodes[i]);
    }
    sim_say(sim, NULL, "%u nodes, %u replicas, a lease of %u ms, a fault every %u ms", sim->n,
            replicas, timeout_ms, sim->fault_every_ms);
}

static void free_world(sim_t *sim)
{
    sim->over = true;
    for (unsigned i = 0; i < sim->n; i++) {
        sim_node_crash(&sim->nodes[i], "the end");
        sim_host_crash(&sim->nodes[i]);
        sim_disk_free(&sim->nodes[i].disk);
        free(sim->nodes[i].map_text);
    }
    sim_drop_all(sim);
    sim_talk_free(sim);
    sim_clients_free(sim);
    sim_check_free(sim);
    apr_pool_destroy(sim->pool);
    free(sim);
}

/* --- its life --------------------------------------------------------------------------------- */

static void settle(sim_t *sim)
{
    const char *lacks = "time";
    uint64_t until = sim->now_us + (uint64_t)SETTLE_MS * SIM_US_A_MS +
                     (uint64_t)SETTLE_LEASES * sim->config->timeout_ms * SIM_US_A_MS;
    while (!sim->failed && lacks && sim->now_us < until) {
        sim_step(sim);
        lacks = sim->step % 64 == 0 ? sim_check_settled(sim) : lacks;
    }
    if (lacks) {
        sim_fail(sim, "all has been well for %d s and %d leases, and there is still not %s",
                 SETTLE_MS / 1000, SETTLE_LEASES, lacks);
    }
}

bool sim_run(const sim_conf_t *conf)
{
    sim_t *sim = calloc(1, sizeof(*sim));
    sim_must(sim != NULL, "no memory");
    sim_now = sim;
    sim->conf = *conf;
    sim->random.state = conf->seed;
    apr_pool_create(&sim->pool, NULL);
    sim_check_begin(sim);
    make_world(sim);
    sim_clients_begin(sim);
    sim_faults_begin(sim);
    while (!sim->failed && sim->step < conf->steps) {
        sim_step(sim);
    }
    sim_faults_end(sim);
    settle(sim);
    if (!sim->failed) {
        sim_check_end(sim);
    }
    sim_sum.virtual_ms += sim->now_us / SIM_US_A_MS;
    bool good = !sim->failed;
    free_world(sim);
    return good;
}

/* --- between two functions -------------------------------------------------------------------- */

zd_result_t __real_zd_state_apply(zd_state_t *state, const zd_command_t *command);
zd_result_t __wrap_zd_state_apply(zd_state_t *state, const zd_command_t *command);
zd_state_t *__real_zd_state_load(hap_str_t bytes, hap_diag_t *diag);
zd_state_t *__wrap_zd_state_load(hap_str_t bytes, hap_diag_t *diag);
void __real_zd_lease_look(zd_lease_t *lease, const zd_app_t *app, uint64_t now_ms);
void __wrap_zd_lease_look(zd_lease_t *lease, const zd_app_t *app, uint64_t now_ms);
zd_orders_t __real_zd_replica_told(zd_replica_t *replica, const zd_word_t *word, uint64_t now_ms);
zd_orders_t __wrap_zd_replica_told(zd_replica_t *replica, const zd_word_t *word, uint64_t now_ms);

zd_result_t __wrap_zd_state_apply(zd_state_t *state, const zd_command_t *command)
{
    char name[ZD_CLIENT_BYTES_MAX + 1];
    zd_command_t again = *command;
    if (sim_now->conf.broken == SIM_BREAK_TWICE) {
        apr_snprintf(name, sizeof(name), "x-%" PRIu64, zd_state_index(state));
        again.client = name;
    }
    sim_check_applying(state);
    zd_result_t result = __real_zd_state_apply(state, &again);
    sim_check_applied(sim_now, state, command, &result);
    return result;
}

zd_state_t *__wrap_zd_state_load(hap_str_t bytes, hap_diag_t *diag)
{
    zd_state_t *state = __real_zd_state_load(bytes, diag);
    if (!state) {
        sim_fail(sim_now, "a snapshot that cannot be read: %s", diag->why);
        return NULL;
    }
    if (sim_now->conf.broken == SIM_BREAK_SNAPSHOT) {
        state->clients_n = 0;
    }
    sim_check_loaded(sim_now, state);
    return state;
}

void __wrap_zd_lease_look(zd_lease_t *lease, const zd_app_t *app, uint64_t now_ms)
{
    bool is_first = lease->epoch == 0;
    __real_zd_lease_look(lease, app, now_ms);
    if (sim_now->conf.broken == SIM_BREAK_FLOOR && is_first) {
        lease->floor_ms = lease->end_ms = now_ms;
    }
}

zd_orders_t __wrap_zd_replica_told(zd_replica_t *replica, const zd_word_t *word, uint64_t now_ms)
{
    zd_word_t later = *word;
    if (sim_now->conf.broken == SIM_BREAK_RENEW && word->sent_ms) {
        later.sent_ms = now_ms;
    }
    return __real_zd_replica_told(replica, &later, now_ms);
}
