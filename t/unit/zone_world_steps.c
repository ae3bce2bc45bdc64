/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what happens in the model of the zones: who takes the next step, and what fails.
 *
 * A world of one failure at a time promises to keep what was acknowledged. There
 *
 * - a node fails (it loses the record, is started again with nothing or with what it had before,
 *   hangs, or does not answer one operation) only while the other one answers, and has all that was
 *   acknowledged, had it when the oldest operation under way began, and lacks nothing that the one
 *   has which fails: so the failure before was mended;
 * - it fails, and comes back, between operations, or under one that overlaps with no other. States
 *   are put to both nodes at once: who hears from one only does not know what was newer on the
 *   other one, nor that it has been put in the place of his by now;
 * - a proxy dies between operations, or in the middle of one; what it leaves behind was mended
 *   before the next failure;
 * - an instance that was killed is back when what it had answered before has been dealt with.
 *
 * In other worlds all that happens at any moment.
 */
#include "zone_world.h"

/* --- who -------------------------------------------------------------------------------------- */

static world_request_t *pick(world_t *world, world_phase_t phase)
{
    size_t from = world_draw(world, WORLD_REQUESTS);
    for (size_t i = 0; i < WORLD_REQUESTS; i++) {
        world_request_t *request = &world->request[(from + i) % WORLD_REQUESTS];
        if (request->phase == phase) {
            return request;
        }
    }
    return NULL;
}

/* One whose operation runs, but for this one. */
static world_request_t *pick_running(world_t *world, const world_request_t *but)
{
    size_t from = world_draw(world, WORLD_REQUESTS);
    for (size_t i = 0; i < WORLD_REQUESTS; i++) {
        world_request_t *request = &world->request[(from + i) % WORLD_REQUESTS];
        if (world_runs_op(request) && request != but) {
            return request;
        }
    }
    return NULL;
}

static unsigned pick_node(world_t *world, const world_request_t *request)
{
    unsigned node = (unsigned)world_draw(world, ENGINE_NODES);
    while (!engine_waits(&request->op, node)) {
        node = (node + 1) % ENGINE_NODES;
    }
    return node;
}

/* --- messages --------------------------------------------------------------------------------- */

static void settle(world_t *world, world_request_t *request, unsigned node, engine_fate_t fate)
{
    static const char *const fates[] = {"arrives", "is done unheard", "is late", "vanishes"};
    world_say(world, "r%d: %s node %u %s", world_index(world, request),
              request->op.copy[node].message.put ? "put to" : "get from", node, fates[fate]);
    engine_step(&world->engine, &request->op, node, fate);
    if (request->op.phase == ENGINE_OVER) {
        world_ran(world, request);
    }
}

/* As it should be: it arrives, unless the node does not answer. */
static void advance(world_t *world, world_request_t *request)
{
    unsigned node = pick_node(world, request);
    bool up = world->engine.node[node].up;
    settle(world, request, node,
           up ? ENGINE_ARRIVES : (engine_fate_t)(ENGINE_IS_LATE + world_draw(world, 2)));
}

/* Ends all operations but this one. */
static void drain(world_t *world, const world_request_t *but)
{
    world_request_t *request;
    while (world->one_failure_at_a_time && (request = pick_running(world, but))) {
        advance(world, request);
        world_watch_step(world);
    }
}

/* --- nodes that fail -------------------------------------------------------------------------- */

static bool is_sound(const world_t *world, unsigned node)
{
    if (world->whole_since[node] == 0 && !world_is_whole(world, node)) {
        return false;
    }
    for (int i = 0; i < WORLD_REQUESTS; i++) {
        const world_request_t *request = &world->request[i];
        if (world_runs_op(request) &&
            (request->op.copy[node].dead || request->op_began < world->whole_since[node])) {
            return false;
        }
    }
    return true;
}

/* It has nothing that another one lacks. */
static bool is_spare(const world_t *world, unsigned node)
{
    const engine_node_t *of = &world->engine.node[node];
    bool spare = true;
    for (unsigned i = 0; i < ENGINE_NODES; i++) {
        const engine_node_t *other = &world->engine.node[i];
        spare = spare && (i == node || !of->there ||
                          (other->there && hap_zone_compare(&other->record, &of->record) >= 0));
    }
    return spare;
}

/* Or a proxy: `node` is none then. */
static bool may_fail(const world_t *world, unsigned node)
{
    bool may =
        !world->half && world->engine.lates == 0 && (node == ENGINE_NODES || is_spare(world, node));
    for (unsigned i = 0; i < ENGINE_NODES; i++) {
        may = may && (i == node || is_sound(world, i));
    }
    return !world->quiet && (may || !world->one_failure_at_a_time);
}

static void note_failure(world_t *world, unsigned node)
{
    world->events[WORLD_N_NODE_FAILED]++;
    world->engine.node[node].failures++;
    world->whole_since[node] = 0;
}

static void come_back(world_t *world, unsigned node)
{
    if (!world->engine.node[node].up) {
        world->engine.node[node].up = true;
        world_say(world, "node %u answers again", node);
    }
}

static void restart(world_t *world, unsigned node, bool empty)
{
    if (empty) {
        engine_empty(&world->engine, node);
    } else {
        engine_turn_back(&world->engine, node, (unsigned)world_draw(world, ENGINE_OLD));
    }
    world->engine.node[node].generation++;
    world_say(world, "node %u is started again, %s", node, empty ? "empty" : "with an old record");
}

static void fail_node(world_t *world)
{
    unsigned node = (unsigned)world_draw(world, ENGINE_NODES);
    drain(world, NULL);
    if (!world->engine.node[node].up) {
        come_back(world, node);
        return;
    }
    if (!may_fail(world, node)) {
        return;
    }
    note_failure(world, node);
    switch (world_draw(world, 4)) {
    case 0:
        engine_empty(&world->engine, node);
        world_say(world, "node %u loses the record", node);
        break;
    case 1:
        world->engine.node[node].up = false;
        world_say(world, "node %u hangs", node);
        break;
    case 2:
        restart(world, node, true);
        break;
    default:
        restart(world, node, false);
        break;
    }
}

/* One message fails; the node may hang with it. */
static void fail_message(world_t *world, world_request_t *request)
{
    unsigned node = pick_node(world, request);
    if (!may_fail(world, node) || (world->one_failure_at_a_time && !request->op_alone)) {
        return;
    }
    note_failure(world, node);
    settle(world, request, node, (engine_fate_t)(1 + world_draw(world, ENGINE_FATES - 1)));
    world->engine.node[node].up = world_chance(world, 50);
    drain(world, NULL);
}

/* --- others that fail ------------------------------------------------------------------------- */

/* What was answered before, or is on its way to be sent, has been dealt with. */
static bool may_start(const world_t *world, int instance)
{
    for (int i = 0; i < WORLD_REQUESTS; i++) {
        const world_request_t *request = &world->request[i];
        if (request->instance == instance &&
            (request->phase == WORLD_ANSWERED || world_runs_op(request))) {
            return !world->one_failure_at_a_time;
        }
    }
    return true;
}

static void start_instance(world_t *world, int which)
{
    world_instance_t *instance = &world->instance[which];
    if (!instance->runs && (!instance->dead || may_start(world, which))) {
        instance->runs = true;
        instance->dead = false;
        world_say(world, "%s runs again", world_route(which));
    }
}

static void fail_instance(world_t *world)
{
    int which = (int)world_draw(world, WORLD_INSTANCES);
    world_instance_t *instance = &world->instance[which];
    if (!instance->runs) {
        start_instance(world, which);
    } else if (world_chance(world, 70)) {
        instance->runs = false;
        world_say(world, "%s is paused", world_route(which));
    } else {
        *instance = (world_instance_t){.dead = true, .life = instance->life + 1};
        world_say(world, "%s is killed", world_route(which));
    }
}

/* The proxy waits no longer; the instance may process the request still. */
static void give_up(world_t *world)
{
    world_request_t *request = pick(world, WORLD_AWAY);
    if (request && !request->makes) {
        request->proxy = WORLD_NOBODY;
        world_say(world, "r%d: given up", world_index(world, request));
    }
}

static void leave(world_t *world, world_request_t *request)
{
    if (world_runs_op(request)) {
        engine_abandon(&world->engine, &request->op,
                       (engine_fate_t)world_draw(world, ENGINE_FATES));
        request->phase = WORLD_FREE;
    }
    request->proxy = WORLD_NOBODY;
}

static void fail_proxy(world_t *world)
{
    const world_request_t *half = pick_running(world, NULL);
    drain(world, half);
    int proxy = half ? half->proxy : (int)world_draw(world, WORLD_PROXIES);
    if (!may_fail(world, ENGINE_NODES)) {
        return;
    }
    world_say(world, "P%d dies", proxy);
    for (int i = 0; i < WORLD_REQUESTS; i++) {
        if (world->request[i].proxy == proxy) {
            leave(world, &world->request[i]);
        }
    }
    world->proxy[proxy].table.known = false;
    world->half = true;
    world->events[WORLD_N_PROXY_DIED]++;
}

static void forget(world_t *world)
{
    int proxy = (int)world_draw(world, WORLD_PROXIES);
    world->proxy[proxy].table.known = false;
    world_say(world, "P%d forgets", proxy);
}

/* --- steps ------------------------------------------------------------------------------------ */

/* The client has its cookie when the first request has ended. */
static void step_begin(world_t *world)
{
    world_request_t *request = pick(world, WORLD_FREE);
    bool makes = false;
    for (int i = 0; i < WORLD_REQUESTS; i++) {
        makes = makes || (world->request[i].phase != WORLD_FREE && world->request[i].makes);
    }
    if (request && !makes) {
        world_begin(world, request, (int)world_draw(world, WORLD_PROXIES));
    }
}

static void step_op(world_t *world)
{
    world_request_t *request = pick_running(world, NULL);
    if (request && !world->quiet && world_chance(world, 2)) {
        fail_message(world, request);
    } else if (request) {
        advance(world, request);
    }
}

static void step_instance(world_t *world)
{
    world_request_t *request = pick(world, WORLD_AWAY);
    if (!request) {
        return;
    }
    const world_instance_t *instance = &world->instance[request->instance];
    if (request->life != instance->life) {
        world_end(world, request, "its instance is gone");
    } else if (instance->runs) {
        world_process(world, request);
    }
}

static void step_answer(world_t *world)
{
    world_request_t *request = pick(world, WORLD_ANSWERED);
    if (request) {
        world_hear(world, request);
    }
}

static void step_late(world_t *world)
{
    if (world->engine.lates > 0) {
        engine_late(&world->engine, (unsigned)world_draw(world, world->engine.lates));
        world_say(world, "a late put arrives");
    }
}

static void step_failure(world_t *world)
{
    static void (*const failures[])(world_t *) = {
        fail_node, fail_node, fail_node, fail_instance, fail_instance, give_up, fail_proxy, forget};
    failures[world_draw(world, sizeof(failures) / sizeof(failures[0]))](world);
}

void world_step(world_t *world)
{
    static void (*const steps[])(world_t *) = {
        step_op,    step_op,       step_op,       step_op,     step_op,     step_op,  step_begin,
        step_begin, step_instance, step_instance, step_answer, step_answer, step_late};
    if (world_chance(world, 4)) {
        step_failure(world);
    } else {
        steps[world_draw(world, sizeof(steps) / sizeof(steps[0]))](world);
    }
    world_watch_step(world);
}

/* --- the end ---------------------------------------------------------------------------------- */

static bool is_idle(const world_t *world)
{
    bool idle = true;
    for (int i = 0; i < WORLD_REQUESTS; i++) {
        idle = idle && world->request[i].phase == WORLD_FREE;
    }
    return idle;
}

static void finish(world_t *world)
{
    while (!is_idle(world)) {
        step_op(world);
        step_instance(world);
        step_answer(world);
    }
}

void world_rest(world_t *world)
{
    world_say(world, "rest");
    world->quiet = true;
    for (int i = 0; i < WORLD_INSTANCES; i++) {
        world->instance[i].runs = !world->instance[i].dead;
    }
    finish(world);
    for (unsigned i = 0; i < ENGINE_NODES; i++) {
        come_back(world, i);
    }
    while (world->engine.lates > 0) {
        step_late(world);
    }
    for (int i = 0; i < WORLD_INSTANCES; i++) {
        start_instance(world, i);
    }
    for (int proxy = 0; proxy < WORLD_PROXIES; proxy++) {
        world_look(world, &world->request[0], proxy);
        finish(world);
    }
    world_watch_rest(world);
}
