/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what must never be in the model of the zones: see zone_world.h. */
#include "zone_world.h"

void world_must(world_t *world, bool holds, const char *broken)
{
    if (!holds && !world->broken) {
        world->broken = broken;
        world_say(world, "*** %s", broken);
    }
}

static bool has(const hap_zone_record_t *record, uint64_t writes)
{
    return (writes & ~world_writes_of(record)) == 0;
}

bool world_is_whole(const world_t *world, unsigned node)
{
    const engine_node_t *of = &world->engine.node[node];
    bool whole = of->there && hap_zone_compare(&of->record, &world->newest) >= 0;
    return of->up && (whole || world->newest.epoch == 0);
}

/* Each node that did not fail meanwhile has what was acknowledged, or something newer. */
static void watch_copies(world_t *world, const world_request_t *request)
{
    for (unsigned i = 0; i < ENGINE_NODES; i++) {
        const engine_copy_t *copy = &request->op.copy[i];
        const engine_node_t *node = &world->engine.node[i];
        if (!copy->dead && copy->failures == node->failures) {
            world_must(world,
                       node->there && hap_zone_compare(&node->record, &request->op.record) >= 0,
                       "a copy lacks what was acknowledged");
        }
    }
}

/* The operation goes by its record. */
static bool is_taken_for_it(const world_request_t *request)
{
    return request->op.verdict == HAP_ZONE_STORE || request->op.verdict == HAP_ZONE_KEEP;
}

void world_watch_op(world_t *world, const world_request_t *request)
{
    const hap_zone_record_t *record = &request->op.record;
    if (request->op.found && hap_zone_compare(record, &world->newest) > 0) {
        world->newest = *record;
    }
    if (request->op.found && is_taken_for_it(request)) {
        world_must(world, record->epoch >= request->op.wish.epoch,
                   "an epoch is lower than what was known");
    }
    if (world->one_failure_at_a_time && request->op.found) {
        world_must(world, record->epoch >= request->op_seen, "an epoch fell");
        world_must(world, record->tombstone || !request->op_was_gone, "what was gone lives again");
    }
}

void world_watch_stored(world_t *world, const world_request_t *request)
{
    if (world->one_failure_at_a_time) {
        watch_copies(world, request);
    }
}

/* What was acknowledged under an older epoch. */
static uint64_t acked_before(const world_t *world, uint64_t epoch)
{
    uint64_t acked = 0;
    for (unsigned i = 0; i < world->writes; i++) {
        if (world->acked_under[i] < epoch) {
            acked |= world->acked & 1ULL << i;
        }
    }
    return acked;
}

void world_watch_take(world_t *world, const world_request_t *request)
{
    const hap_zone_record_t *record = &request->op.record;
    uint64_t acked = request->op_acked | acked_before(world, record->epoch);
    if (!world->one_failure_at_a_time) {
        return;
    }
    world_must(world, has(record, acked) || world->ending,
               "an acknowledged write did not come with the state");
    world_watch_stored(world, request);
    if (record->epoch >= world->taken) {
        world->taken = record->epoch;
        world->taken_by = world_owner_of(record);
        world->taken_writes = world_writes_of(record);
    }
}

/* Without an epoch it is the first one. */
static uint64_t epoch_of(const world_request_t *request)
{
    return request->epoch ? request->epoch : 1;
}

/* Of an instance that has had the session before another one was given it. */
static bool is_stale(const world_t *world, const world_request_t *request)
{
    uint64_t epoch = epoch_of(request);
    return epoch < world->taken || (epoch == world->taken && request->instance != world->taken_by);
}

void world_watch_put(world_t *world, const world_request_t *request)
{
    const hap_zone_record_t *record = &request->op.record;
    if (!world->one_failure_at_a_time) {
        return;
    }
    world_must(world,
               !is_stale(world, request) || (request->bit & ~world->taken_writes) == 0 ||
                   world->taken == 0 || world->ending,
               "a state of an older epoch was accepted");
    world_must(world, record->tombstone || has(record, request->bit) || world->ending,
               "a write was acknowledged that is not in the record");
    world_watch_stored(world, request);
    world->acked |= request->bit;
    for (unsigned i = 0; i < world->writes; i++) {
        if (request->bit == 1ULL << i) {
            world->acked_under[i] = epoch_of(request);
        }
    }
}

void world_watch_del(world_t *world, const world_request_t *request)
{
    world_watch_stored(world, request);
    world->gone = true;
}

/* A request that began after something was acknowledged sees it, whoever answers; where proxies
 * look each time. */
void world_watch_answer(world_t *world, const world_request_t *request)
{
    if (world->one_failure_at_a_time && world->looks_each_time) {
        world_must(world, !request->was_gone, "a session was shown after its end");
        world_must(world, (request->acked & ~request->writes) == 0 || world->ending,
                   "an older state was shown");
    }
}

static bool nodes_agree(const world_t *world)
{
    const engine_node_t *node = world->engine.node;
    bool agree = true;
    for (unsigned i = 1; i < ENGINE_NODES; i++) {
        agree = agree && node[i].up && node[0].up && node[i].there == node[0].there &&
                (!node[0].there || hap_zone_compare(&node[i].record, &node[0].record) == 0);
    }
    return agree;
}

static bool any_op(const world_t *world)
{
    bool any = false;
    for (int i = 0; i < WORLD_REQUESTS; i++) {
        any = any || world_runs_op(&world->request[i]);
    }
    return any;
}

void world_watch_step(world_t *world)
{
    world->now++;
    world->half = world->half && (any_op(world) || world->engine.lates > 0 || !nodes_agree(world));
    for (unsigned i = 0; i < ENGINE_NODES; i++) {
        if (!world_is_whole(world, i)) {
            world->whole_since[i] = 0;
        } else if (world->whole_since[i] == 0) {
            world->whole_since[i] = world->now;
        }
    }
}

void world_watch_rest(world_t *world)
{
    world_must(world, nodes_agree(world), "the copies differ at rest");
    const hap_zone_record_t *record = &world->engine.node[0].record;
    bool all = world_is_whole(world, 0) &&
               (record->tombstone || world->ending || has(record, world->acked)) &&
               (record->tombstone || !world->gone);
    world_must(world, !world->one_failure_at_a_time || world->newest.epoch == 0 || all,
               "what was acknowledged is not there at rest");
}
