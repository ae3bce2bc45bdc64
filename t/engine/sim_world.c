/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the world's time: what happens next, chance, the clocks of hosts, and what to say of a world
 * in which something did not hold.
 */
#include "sim.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MILLION = 1000000, HUNDRED = 100, ORDER_BITS = 40 };

sim_t *sim_now;

/* --- chance ----------------------------------------------------------------------------------- */

uint64_t sim_random(sim_t *sim, uint64_t n)
{
    return unit_random(&sim->random, n);
}

bool sim_chance(sim_t *sim, unsigned percent)
{
    return sim_random(sim, HUNDRED) < percent;
}

uint64_t sim_between(sim_t *sim, uint64_t least, uint64_t most)
{
    return least + sim_random(sim, most - least + 1);
}

/* FNV-1a */
uint64_t sim_hash(uint64_t hash, const void *bytes, size_t n)
{
    const unsigned char *at = bytes;
    hash = hash ? hash : UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < n; i++) {
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}

uint64_t sim_hash_text(uint64_t hash, const char *text)
{
    return text ? sim_hash(hash, text, strlen(text) + 1) : sim_hash(hash, "\1", 1);
}

/* --- saying ----------------------------------------------------------------------------------- */

static void add_line(sim_t *sim, const char *line)
{
    char *room = sim->trace[sim->traced++ % SIM_TRACE_LINES];
    snprintf(room, SIM_LINE_BYTES, "%s", line);
    if (sim->conf.loud) {
        printf("%s\n", line);
    }
}

void sim_say(sim_t *sim, const sim_node_t *node, const char *fmt, ...)
{
    char what[SIM_LINE_BYTES];
    char line[SIM_LINE_BYTES];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof(what), fmt, args);
    va_end(args);
    snprintf(line, sizeof(line), "%8" PRIu64 " %10.3f %s: %.200s", sim->step,
             (double)sim->now_us / MILLION, node ? node->id : "world", what);
    add_line(sim, line);
}

void sim_fail(sim_t *sim, const char *fmt, ...)
{
    char what[2 * SIM_LINE_BYTES];
    va_list args;
    if (sim->failed) {
        return;
    }
    sim->failed = true;
    va_start(args, fmt);
    vsnprintf(what, sizeof(what), fmt, args);
    va_end(args);
    printf("sim: seed %" PRIu64 ", step %" PRIu64 ", at %.3f s: %s\n", sim->conf.seed, sim->step,
           (double)sim->now_us / MILLION, what);
    if (sim->conf.broken != SIM_BREAK_NOTHING) {
        return;
    }
    uint64_t from = sim->traced > SIM_TRACE_LINES ? sim->traced - SIM_TRACE_LINES : 0;
    for (uint64_t i = from; i < sim->traced; i++) {
        printf("%s\n", sim->trace[i % SIM_TRACE_LINES]);
    }
    printf("sim: again with: sim -seed=%" PRIu64 " -seeds=1 -steps=%" PRIu64 "\n", sim->conf.seed,
           sim->conf.steps);
}

void sim_must(bool holds, const char *what)
{
    if (!holds) {
        printf("sim: %s\n", what);
        exit(2);
    }
}

/* --- clocks ----------------------------------------------------------------------------------- */

uint64_t sim_node_now(const sim_node_t *node)
{
    uint64_t us = node->sim->now_us - node->clock_us;
    return node->clock_ms + us * (uint64_t)(MILLION + node->drift_ppm) / MILLION / SIM_US_A_MS;
}

uint64_t sim_node_us(const sim_node_t *node, uint64_t ms)
{
    return ms * SIM_US_A_MS * MILLION / (uint64_t)(MILLION + node->drift_ppm);
}

bool sim_is_paused(const sim_node_t *node)
{
    return node->sim->now_us < node->paused_until_us;
}

/* --- events: a heap, the next one first ------------------------------------------------------- */

static bool is_before(const sim_event_t *a, const sim_event_t *b)
{
    return a->at_us < b->at_us || (a->at_us == b->at_us && a->order < b->order);
}

static void swap(sim_event_t *a, sim_event_t *b)
{
    sim_event_t event = *a;
    *a = *b;
    *b = event;
}

void sim_push(sim_t *sim, const sim_event_t *event)
{
    if (sim->heap_n == sim->heap_max) {
        sim->heap_max = sim->heap_max ? 2 * sim->heap_max : 256;
        sim->heap = realloc(sim->heap, sim->heap_max * sizeof(*sim->heap));
        sim_must(sim->heap != NULL, "no memory");
    }
    unsigned at = sim->heap_n++;
    sim->heap[at] = *event;
    while (at > 0 && is_before(&sim->heap[at], &sim->heap[(at - 1) / 2])) {
        swap(&sim->heap[at], &sim->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
}

static sim_event_t pop(sim_t *sim)
{
    sim_must(sim->heap_n > 0, "nothing happens any more");
    sim_event_t first = sim->heap[0];
    sim->heap[0] = sim->heap[--sim->heap_n];
    for (unsigned at = 0, next; (next = 2 * at + 1) < sim->heap_n; at = next) {
        if (next + 1 < sim->heap_n && is_before(&sim->heap[next + 1], &sim->heap[next])) {
            next++;
        }
        if (!is_before(&sim->heap[next], &sim->heap[at])) {
            break;
        }
        swap(&sim->heap[next], &sim->heap[at]);
    }
    return first;
}

void sim_in(sim_t *sim, sim_where_t where, sim_node_t *node, uint64_t in_us, sim_act_t act,
            void *baton, uint64_t number)
{
    const sim_event_t event = {
        .at_us = sim->now_us + in_us,
        .order = ++sim->order,
        .where = where,
        .node = node,
        .run = where >= SIM_MESSAGE ? node->run : 0,
        .act = act,
        .baton = baton,
        .number = number,
    };
    sim_push(sim, &event);
}

static void drop(const sim_event_t *event)
{
    if (event->drop) {
        event->drop(event->node, event->baton, event->number);
    }
}

/* When a process goes on, what has come meanwhile waits for it: in the order it came, or the loop
 * was in the midst of it, and goes on with that before it looks at its clock. */
static void wait_until_it_goes_on(sim_t *sim, const sim_event_t *event)
{
    sim_event_t later = *event;
    later.at_us = event->node->paused_until_us;
    if (event->node->shuffles && event->order <= sim->order) {
        uint64_t of = event->way ? event->way : event->order;
        of ^= event->node->paused_until_us;
        later.order = sim_hash(0, &of, sizeof(of)) >> ORDER_BITS << ORDER_BITS | event->order;
    }
    sim_push(sim, &later);
}

static void happen_in_daemon(sim_t *sim, const sim_event_t *event)
{
    sim_node_t *node = event->node;
    if (!node->up || (event->run && event->run != node->run)) {
        drop(event);
        return;
    }
    if (sim_is_paused(node)) {
        wait_until_it_goes_on(sim, event);
        return;
    }
    if (event->where == SIM_TIMER || !node->stale) {
        node->stale = false;
        node->loop_ms = sim_node_now(node);
    }
    event->act(node, event->baton, event->number);
    if (node->up && !node->stale && !node->is_dead) {
        sim_io_turn(node);
    }
    if (node->up && node->ends) {
        sim_node_crash(node, "it ends by itself");
    }
}

void sim_step(sim_t *sim)
{
    const sim_event_t event = pop(sim);
    sim->now_us = event.at_us;
    sim->step++;
    if (event.where >= SIM_MESSAGE) {
        happen_in_daemon(sim, &event);
    } else {
        event.act(event.node, event.baton, event.number);
    }
    sim_check_step(sim);
}

void sim_drop_all(sim_t *sim)
{
    while (sim->heap_n > 0) {
        const sim_event_t event = pop(sim);
        drop(&event);
    }
    free(sim->heap);
}
