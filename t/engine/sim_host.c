/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns a host's scripts, its service and the guard, all of which outlive the daemon.
 *
 * The service counts as alive from the moment that ensure-active begins until ensure-passive has
 * succeeded or it was killed. A script that a daemon has begun which is dead now goes on, and may
 * make the service run yet.
 */
#include "sim.h"

#include <inttypes.h>
#include <stdlib.h>

#include "zd_guard.h"

enum { SCRIPT_MS = 60, SLOW_SCRIPT_MS = 700, SLOW_PERCENT = 10 };

/* A script that runs. */
struct sim_script_t {
    sim_script_t *next;
    uint64_t number;
    zd_run_t what;
    uint64_t run; /* of the daemon that has begun it; 0: the guard */
    bool well;
    bool lies; /* how it is going to end */
    const char *said;
};

static void live(sim_node_t *node, bool alive, const char *why)
{
    sim_service_t *service = &node->service;
    if (service->alive != alive) {
        sim_say(node->sim, node, "service: %s, %s", alive ? "up" : "down", why);
    }
    service->alive = alive;
    if (alive) {
        sim_check_alive(node->sim, node);
    }
}

/* --- scripts ---------------------------------------------------------------------------------- */

static sim_script_t *take(sim_node_t *node, uint64_t number)
{
    for (sim_script_t **at = &node->service.scripts; *at; at = &(*at)->next) {
        sim_script_t *script = *at;
        if (script->number == number) {
            *at = script->next;
            return script;
        }
    }
    return NULL;
}

static void drop(sim_node_t *node, void *baton, uint64_t number)
{
    free(baton);
}

static void tell(sim_node_t *node, void *baton, uint64_t number)
{
    sim_script_t *script = baton;
    node->service.script = 0;
    sim_node_ran(node, script->well, script->said);
    free(script);
}

/* Its daemon is told when that looks. Takes the script. */
static void ended(sim_node_t *node, sim_script_t *script)
{
    const sim_event_t event = {
        .at_us = node->sim->now_us,
        .order = ++node->sim->order,
        .where = SIM_MESSAGE,
        .node = node,
        .run = script->run,
        .act = tell,
        .drop = drop,
        .baton = script,
    };
    if (script->number == node->service.script) {
        sim_push(node->sim, &event);
    } else {
        free(script);
    }
}

static void ends(sim_node_t *node, void *baton, uint64_t number)
{
    sim_script_t *script = take(node, number);
    if (!script) {
        return;
    }
    if (script->what == ZD_RUN_ACTIVE && script->well) {
        live(node, true, "ensure-active succeeded");
    } else if (script->what == ZD_RUN_PASSIVE && script->well && !script->lies) {
        live(node, false, "ensure-passive succeeded");
    }
    ended(node, script);
}

static uint64_t decide_end(sim_node_t *node, sim_script_t *script)
{
    sim_t *sim = node->sim;
    script->well = true;
    script->said = "exit 0";
    if (sim_chance(sim, node->service.hang_percent)) {
        script->well = false;
        script->said = "no end";
        return sim->config->script_ms;
    }
    if (sim_chance(sim, node->service.fail_percent)) {
        script->well = false;
        script->said = "exit 1";
    }
    script->lies = sim_chance(sim, node->service.lie_percent);
    return sim_between(sim, 1, sim_chance(sim, SLOW_PERCENT) ? SLOW_SCRIPT_MS : SCRIPT_MS);
}

static uint64_t begin(sim_node_t *node, zd_run_t what, uint64_t run)
{
    sim_t *sim = node->sim;
    sim_script_t *script = calloc(1, sizeof(*script));
    sim_must(script != NULL, "no memory");
    *script = (sim_script_t){
        .next = node->service.scripts, .number = ++sim->numbers, .what = what, .run = run};
    node->service.scripts = script;
    sim_in(sim, SIM_HOST, node, sim_node_us(node, decide_end(node, script)), ends, NULL,
           script->number);
    return script->number;
}

void sim_host_run(sim_node_t *node, zd_run_t what, uint64_t epoch)
{
    sim_must(node->service.script == 0, "two scripts at a time");
    node->service.script = begin(node, what, node->run);
    if (what == ZD_RUN_ACTIVE) {
        node->service.epoch = epoch;
        sim_check_begins(node->sim, node, epoch);
        live(node, true, "ensure-active began");
    }
}

static void kill_one(sim_node_t *node, sim_script_t *script)
{
    script->well = false;
    script->said = "signal 9";
    ended(node, script);
}

void sim_host_kill_script(sim_node_t *node)
{
    sim_script_t *script = take(node, node->service.script);
    if (script) {
        kill_one(node, script);
    }
}

/* All that bears the mark of ensure-active. */
static void reap(sim_node_t *node, const char *why)
{
    sim_script_t *next;
    if (node->sim->conf.broken == SIM_BREAK_KILL) {
        return;
    }
    for (sim_script_t *script = node->service.scripts; script; script = next) {
        next = script->next;
        if (script->what == ZD_RUN_ACTIVE) {
            kill_one(node, take(node, script->number));
        }
    }
    live(node, false, why);
}

void sim_host_kill_service(sim_node_t *node)
{
    reap(node, "killed");
}

/* --- the guard -------------------------------------------------------------------------------- */

/* Nobody waits for its end. */
static void guard_begins(sim_node_t *node)
{
    node->service.guard_stops = true;
    node->service.guard_script = begin(node, ZD_RUN_PASSIVE, 0);
}

static void guard_kills_script(sim_node_t *node)
{
    sim_script_t *script = take(node, node->service.guard_script);
    if (script) {
        kill_one(node, script);
    }
}

/* Something is to be killed, then or now. */
static void guard_watches(sim_node_t *node, bool daemon)
{
    sim_service_t *service = &node->service;
    const zd_times_t times = zd_times(node->sim->config->timeout_ms);
    uint64_t now = sim_node_now(node);
    if (service->guard_lease_ms != service->guard_kill_ms) {
        guard_kills_script(node);
        service->guard_lease_ms = service->guard_kill_ms;
        service->guard_stops = false;
    }
    bool is_over = now >= service->guard_kill_ms;
    bool soon = now + times.guard_ms - times.stop_ms >= service->guard_kill_ms;
    if (is_over) {
        sim_sum.guards++;
        sim_say(node->sim, node, "guard: kills");
        reap(node, "killed by the guard");
        service->guard_kill_ms = 0;
    }
    if (!service->guard_stops && (is_over || (!daemon && soon))) {
        guard_begins(node);
    }
}

/* As zd_guard.c has it: it looks again and again, until nothing is left to be killed and its daemon
 * is gone, or another daemon has its own. */
static void guard_looks(sim_node_t *node, void *baton, uint64_t run)
{
    sim_service_t *service = &node->service;
    bool daemon = node->up && node->run == run;
    if (service->guard_run != run) {
        return;
    }
    if (!service->guard_kill_ms && !daemon) {
        service->guarded = false;
        return;
    }
    if (service->guard_kill_ms) {
        guard_watches(node, daemon);
    }
    sim_in(node->sim, SIM_HOST, node, sim_node_us(node, ZD_GUARD_LOOK_MS), guard_looks, NULL, run);
}

void sim_host_hold(sim_node_t *node, uint64_t kill_at_ms)
{
    sim_service_t *service = &node->service;
    if (node->sim->conf.broken == SIM_BREAK_GUARD) {
        return;
    }
    if (service->guard_run != node->run || !service->guarded) {
        service->guard_run = node->run;
        service->guarded = true;
        service->guard_lease_ms = 0;
        guard_kills_script(node);
        sim_in(node->sim, SIM_HOST, node, ZD_GUARD_LOOK_MS * SIM_US_A_MS, guard_looks, NULL,
               node->run);
    }
    service->guard_kill_ms = kill_at_ms;
}

/* --- the whole host --------------------------------------------------------------------------- */

void sim_host_crash(sim_node_t *node)
{
    sim_service_t *service = &node->service;
    while (service->scripts) {
        free(take(node, service->scripts->number));
    }
    *service = (sim_service_t){.fail_percent = service->fail_percent,
                               .hang_percent = service->hang_percent,
                               .lie_percent = service->lie_percent};
    sim_say(node->sim, node, "the host is down");
}
