/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what goes wrong, and when it is over: one thing after another, several at a time.
 */
#include "sim.h"

#include <inttypes.h>

enum { LONG_MS = 9000, SHORT_MS = 300 };

/* Most last for a moment or for longer than a lease; few for what lies between. */
static uint64_t lasting_us(sim_t *sim)
{
    uint64_t most = sim_chance(sim, 40) ? SHORT_MS : LONG_MS;
    return sim_between(sim, 10, most) * SIM_US_A_MS;
}

static sim_node_t *any_node(sim_t *sim)
{
    return &sim->nodes[sim_random(sim, sim->n)];
}

/* Who leads, half of the time: most that can go wrong goes wrong there. */
static sim_node_t *any_victim(sim_t *sim)
{
    for (unsigned i = 0; i < sim->n && sim_chance(sim, 50); i++) {
        if (sim_node_leads(&sim->nodes[i])) {
            return &sim->nodes[i];
        }
    }
    for (unsigned i = 0; i < sim->n && sim_chance(sim, 50); i++) {
        if (sim->nodes[i].service.alive) {
            return &sim->nodes[i];
        }
    }
    return any_node(sim);
}

/* --- the network ------------------------------------------------------------------------------ */

/* The number says who is on the one side, and which ways are cut: 1 from there, 2 to there. */
static void cut(sim_t *sim, uint64_t side, unsigned ways, bool is_cut)
{
    for (unsigned from = 0; from < sim->n; from++) {
        for (unsigned to = 0; to < sim->n; to++) {
            bool is_from = side >> from & 1;
            bool is_to = side >> to & 1;
            if ((is_from && !is_to && ways & 1) || (!is_from && is_to && ways & 2)) {
                sim->cut[from][to] = is_cut;
            }
        }
    }
}

static void mend(sim_node_t *none, void *baton, uint64_t number)
{
    cut(sim_now, number >> 8, number & 3, false);
}

static void partition(sim_t *sim)
{
    bool one = sim_chance(sim, 70);
    uint64_t side =
        one ? UINT64_C(1) << any_victim(sim)->place : sim_random(sim, UINT64_C(1) << sim->n);
    unsigned ways = sim_chance(sim, 50) ? 3 : 1 + (unsigned)sim_random(sim, 2);
    cut(sim, side, ways, true);
    sim_sum.cuts++;
    sim_say(sim, NULL, "cut: nodes %#" PRIx64 ", ways %u", side, ways);
    sim_in(sim, SIM_WORLD, NULL, lasting_us(sim), mend, NULL, side << 8 | ways);
}

/* One way between two nodes. */
static void one_link(sim_t *sim)
{
    unsigned from = (unsigned)sim_random(sim, sim->n);
    unsigned to = (unsigned)sim_random(sim, sim->n);
    if (from != to) {
        sim->cut[from][to] = !sim->cut[from][to];
        sim_say(sim, NULL, "link %u to %u: %s", from, to, sim->cut[from][to] ? "cut" : "mended");
    }
}

static void weather(sim_t *sim)
{
    sim->delay_ms =
        (unsigned)(sim_chance(sim, 70) ? sim_between(sim, 1, 20) : sim_between(sim, 20, 400));
    sim->loss_percent = (unsigned)(sim_chance(sim, 60) ? 0 : sim_random(sim, 20));
    sim->answer_ms =
        (unsigned)(sim_chance(sim, 70) ? 0 : sim_random(sim, sim->config->timeout_ms / 2));
    sim_say(sim, NULL, "delay %u ms, loss %u %%, answers %u ms", sim->delay_ms, sim->loss_percent,
            sim->answer_ms);
}

/* --- daemons and hosts ------------------------------------------------------------------------ */

static void pause_daemon(sim_t *sim)
{
    sim_node_t *node = any_victim(sim);
    uint64_t us = lasting_us(sim);
    if (!node->up || sim_is_paused(node)) {
        return;
    }
    sim_sum.pauses++;
    node->paused_until_us = sim->now_us + us;
    node->shuffles = sim_chance(sim, 50);
    node->stale = node->shuffles && sim_chance(sim, 50);
    sim_say(sim, node, "stopped for %" PRIu64 " ms", us / SIM_US_A_MS);
}

static void begins_again(sim_node_t *node, void *baton, uint64_t number)
{
    if (!node->up && !node->down) {
        sim_node_start(node);
    }
}

static void crash_daemon(sim_t *sim)
{
    sim_node_t *node = any_victim(sim);
    sim_node_crash(node, "killed");
    sim_in(sim, SIM_HOST, node, lasting_us(sim), begins_again, NULL, 0);
}

static void boots(sim_node_t *node, void *baton, uint64_t number)
{
    sim_t *sim = node->sim;
    if (!node->down) {
        return;
    }
    node->down = false;
    node->clock_ms = sim_between(sim, 1, 5000);
    node->clock_us = sim->now_us;
    sim_say(sim, node, "the host is up again");
    begins_again(node, NULL, 0);
}

static void crash_host(sim_t *sim)
{
    sim_node_t *node = any_victim(sim);
    node->down = true;
    sim_node_crash(node, "with its host");
    sim_host_crash(node);
    sim_in(sim, SIM_HOST, node, 300 * SIM_US_A_MS + lasting_us(sim), boots, NULL, 0);
}

static void crash_all(sim_t *sim)
{
    for (unsigned i = 0; i < sim->n; i++) {
        sim_node_crash(&sim->nodes[i], "killed with all others");
        sim_in(sim, SIM_HOST, &sim->nodes[i], lasting_us(sim), begins_again, NULL, 0);
    }
}

/* --- disks, scripts, clocks, people ----------------------------------------------------------- */

static void disk(sim_t *sim)
{
    sim_node_t *node = any_victim(sim);
    uint64_t what = sim_random(sim, 4);
    if (what == 0) {
        node->disk.fails_until_us = sim->now_us + lasting_us(sim);
    } else if (what == 1) {
        node->disk.full = !node->disk.full;
    } else {
        node->disk.latency_ms = (unsigned)(sim_chance(sim, 50) ? 2 : sim_between(sim, 20, 800));
    }
    sim_say(sim, node, "disk: %s, %u ms%s",
            node->disk.fails_until_us > sim->now_us ? "fails" : "works", node->disk.latency_ms,
            node->disk.full ? ", full" : "");
}

static void scripts(sim_t *sim)
{
    sim_node_t *node = any_victim(sim);
    static const unsigned percents[] = {0, 0, 5, 40, 100};
    node->service.fail_percent = percents[sim_random(sim, 5)];
    node->service.hang_percent = percents[sim_random(sim, 5)];
    node->service.lie_percent = percents[sim_random(sim, 5)];
    sim_say(sim, node, "scripts: %u %% fail, %u %% hang, %u %% lie", node->service.fail_percent,
            node->service.hang_percent, node->service.lie_percent);
}

static void wall_clock(sim_t *sim)
{
    any_node(sim)->wall_ms = sim_random(sim, UINT64_C(1000000000));
}

static void moves(sim_node_t *node, void *baton, uint64_t replica)
{
    if (sim_node_leads(node)) {
        const char *why = zd_core_move(node->core, (unsigned)replica, sim_node_now(node));
        sim_say(node->sim, node, "by hand: to replica %" PRIu64 ": %s", replica, why ? why : "yes");
    }
}

static void by_hand(sim_t *sim)
{
    sim_in(sim, SIM_MESSAGE, any_victim(sim), 0, moves, NULL,
           sim_random(sim, sim->config->replicas_n));
}

/* ---------------------------------------------------------------------------------------------- */

typedef struct fault_t {
    unsigned weight;
    void (*happens)(sim_t *sim);
} fault_t;

static const fault_t faults[] = {
    {20, partition},    {8, one_link},   {8, weather},   {16, pause_daemon},
    {16, crash_daemon}, {6, crash_host}, {1, crash_all}, {12, disk},
    {10, scripts},      {3, wall_clock}, {8, by_hand},
};

static void next(sim_node_t *none, void *baton, uint64_t number)
{
    enum { N = sizeof(faults) / sizeof(faults[0]) };
    sim_t *sim = sim_now;
    uint64_t all = 0;
    if (sim->calm) {
        return;
    }
    for (unsigned i = 0; i < N; i++) {
        all += faults[i].weight;
    }
    uint64_t at = sim_random(sim, all);
    for (unsigned i = 0; i < N; i++) {
        if (at < faults[i].weight) {
            faults[i].happens(sim);
            break;
        }
        at -= faults[i].weight;
    }
    sim_in(sim, SIM_WORLD, NULL, (1 + sim_random(sim, 2 * sim->fault_every_ms)) * SIM_US_A_MS, next,
           NULL, 0);
}

void sim_faults_begin(sim_t *sim)
{
    sim_in(sim, SIM_WORLD, NULL, 1, next, NULL, 0);
}

void sim_faults_end(sim_t *sim)
{
    sim->calm = true;
    sim->delay_ms = 5;
    sim->loss_percent = 0;
    sim->answer_ms = 0;
    for (unsigned i = 0; i < sim->n; i++) {
        sim_node_t *node = &sim->nodes[i];
        cut(sim, UINT64_C(1) << i, 3, false);
        node->disk.latency_ms = 2;
        node->disk.fails_until_us = 0;
        node->disk.full = false;
        node->service.fail_percent = node->service.hang_percent = node->service.lie_percent = 0;
        boots(node, NULL, 0);
        begins_again(node, NULL, 0);
    }
    sim_say(sim, NULL, "all is well again");
}
