/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what a leader hears, answers and wants: who is there, the lease, what is said to the log
 * next, who is to lead, and who is of the engine's list.
 */
#include "zd_core_int.h"

#include <string.h>

enum {
    REST_MS = 1000,     /* before what was refused or not committed is tried again */
    HEIR_MS = 1000,     /* for a node that the lead was offered to */
    BEGINS_MS = 5000,   /* so long a daemon has just begun */
    MEMBER_MS = 200,    /* between two changes of the engine's list of nodes */
    MAP_AGAIN_MS = 500, /* before a map that was not acknowledged is sent again */
};

/* --- what a leader hears and says ------------------------------------------------------------- */

static const char *route_of(const zd_core_t *core, const char *node)
{
    int replica = zd_config_replica(core->conf.config, node);
    return replica >= 0 ? core->conf.config->replicas[replica].route : NULL;
}

/* The map, for a node of it that has not got it: with the log it would come with the next
 * heartbeat, and to an observer never. One at a time, and again if it is not acknowledged. */
static const char *map_for(const zd_core_t *core, zd_heard_t *heard, uint64_t now)
{
    uint64_t version = zd_core_cluster(core)->version;
    bool waits = heard->map > heard->beat.version && now - heard->map_ms < MAP_AGAIN_MS;
    bool knows = zd_cluster_node(zd_core_cluster(core), heard->node) != NULL;
    if (heard->beat.version >= version || waits || !knows ||
        strcmp(heard->node, core->conf.id) == 0) {
        return NULL;
    }
    heard->map = version;
    heard->map_ms = now;
    return zd_state_map(zd_core_state(core)).p;
}

static uint64_t number_of(const zd_core_t *core, const char *id)
{
    const zd_node_t *node = zd_cluster_node(zd_core_cluster(core), id);
    return node ? node->raft : 0;
}

static void answer(zd_core_t *core, zd_heard_t *heard, uint64_t seq, bool renewed, uint64_t now)
{
    const zd_app_t *app = zd_core_app(core);
    bool active = zd_lease_is_holder(app, route_of(core, heard->node), &heard->beat);
    const zd_answer_t said = {
        .seq = seq,
        .term = core->term,
        .leader = core->conf.id,
        .version = zd_core_cluster(core)->version,
        .epoch = active ? app->granted : 0,
        .renewed = renewed,
        .yield = active && zd_lease_yields(&core->lease, app),
        .paused = app && app->paused,
        .map = map_for(core, heard, now),
        .number = number_of(core, heard->node),
    };
    if (strcmp(heard->node, core->conf.id) == 0) {
        zd_core_answered(core, &said, now);
    } else {
        core->conf.drivers->answer(core->conf.baton, heard->node, &said);
    }
}

/* Tells all that are there what has changed. */
void zd_core_tell_all(zd_core_t *core, uint64_t now)
{
    for (unsigned i = 0; i < core->roll.n; i++) {
        zd_heard_t *heard = &core->roll.nodes[i];
        if (zd_roll_present(&core->roll, heard->node, now)) {
            answer(core, heard, 0, false, now);
        }
    }
}

bool zd_core_is_other(zd_core_t *core, const zd_beat_t *beat, uint64_t now_ms)
{
    const zd_heard_t *heard = zd_roll_of(&core->roll, beat->node);
    uint64_t lease_ms = core->lease.timeout_ms + core->lease.drift_ms;
    bool other = heard && heard->beat.home && beat->home &&
                 strcmp(heard->beat.home, beat->home) != 0 && now_ms - heard->at_ms <= lease_ms;
    if (other && (core->other_ms == 0 || now_ms - core->other_ms >= ZD_OTHER_SAID_MS)) {
        core->other_ms = now_ms;
        zd_core_log(core, "node %s: two daemons say that they are it; the second one is not heard",
                    beat->node);
    }
    return other;
}

/* A leader that has not been looked at for some time may have been replaced meanwhile. */
static bool is_sure(const zd_core_t *core, uint64_t now)
{
    return now - core->looked_ms <= core->conf.election_ms;
}

void zd_core_heard(zd_core_t *core, const zd_beat_t *beat, uint64_t now_ms)
{
    if (!zd_core_engine_leads(core) || !core->led) {
        return;
    }
    zd_heard_t *heard = zd_roll_hear(&core->roll, beat, now_ms);
    if (!heard) {
        return;
    }
    zd_lease_look(&core->lease, zd_core_app(core), now_ms);
    bool renewed =
        is_sure(core, now_ms) && zd_lease_renew(&core->lease, zd_core_app(core),
                                                route_of(core, beat->node), &heard->beat, now_ms);
    answer(core, heard, beat->seq, renewed, now_ms);
    zd_core_lead(core, now_ms);
}

/* --- what a leader wants ---------------------------------------------------------------------- */

static zd_leader_t leader_of(const zd_core_t *core, uint64_t now)
{
    return (zd_leader_t){
        .id = core->conf.id,
        .term = core->term,
        .uuid = core->conf.uuid,
        .now_ms = now,
        .ready_ms = core->ready_ms,
        .begins = now - core->began_ms < BEGINS_MS,
        .may_lead = core->may_lead,
        .roll = &core->roll,
        .lease = &core->lease,
    };
}

static void planned(zd_wish_t *wish)
{
    zd_core_t *core = wish->baton;
    const zd_result_t *result = &wish->result;
    const char *what = zd_do_names[wish->command.what];
    core->planning = false;
    if (!wish->committed) {
        if (wish->why != core->unplanned) {
            zd_core_log(core, "%s: not committed: %s; it is tried again", what, wish->why);
        }
        core->unplanned = wish->why;
        core->rest_ms = core->tick_ms + REST_MS;
        return;
    }
    core->unplanned = NULL;
    if (result->end != ZD_DONE && result->end != ZD_UNCHANGED) {
        zd_core_log(core, "%s: %s: %s", what, zd_end_names[result->end], result->why);
        core->rest_ms = core->tick_ms + REST_MS;
    }
}

static void plan_next(zd_core_t *core, uint64_t now)
{
    const zd_leader_t leader = leader_of(core, now);
    if (core->planning || now < core->rest_ms ||
        !zd_plan_next(&core->plan.command, zd_core_cluster(core), core->conf.config, &leader)) {
        return;
    }
    core->plan.command.client = core->conf.client;
    core->plan.command.seq = ++core->seq;
    core->plan.command.by = core->conf.id;
    core->plan.done = planned;
    core->plan.baton = core;
    core->planning = true;
    core->conf.drivers->send(core->conf.baton, &core->plan);
}

/* Offers the lead to who should have it; a node that does not take it is passed over. Without
 * anybody left an electable node leads itself, and another one begins anew. */
static void offer_lead(zd_core_t *core, uint64_t now)
{
    const zd_cluster_t *cluster = zd_core_cluster(core);
    const zd_leader_t leader = leader_of(core, now);
    const zd_node_t *own = zd_cluster_node(cluster, core->conf.id);
    if (!own || (core->offered_ms && now - core->offered_ms < HEIR_MS)) {
        return;
    }
    core->offered_ms = 0;
    int heir = zd_plan_heir(cluster, core->conf.config, &leader, core->tried);
    if (heir == (int)cluster->nodes_n) {
        return;
    }
    if (heir < 0 || &cluster->nodes[heir] == own) {
        core->may_lead = own->map.electable;
        core->tried = 0;
        return;
    }
    core->tried |= UINT64_C(1) << heir;
    core->offered_ms = now;
    zd_core_log(core, "term %" APR_UINT64_T_FMT ": the lead is offered to %s", core->term,
                cluster->nodes[heir].map.id);
    core->conf.drivers->transfer(core->conf.baton, cluster->nodes[heir].raft);
}

/* The primary goes on as such, unless another one was chosen by hand. */
static bool should_go_on(const zd_core_t *core, const zd_leader_t *leader)
{
    const zd_cluster_t *cluster = zd_core_cluster(core);
    return zd_plan_is_primary(cluster, leader) && !cluster->preferred;
}

/* One change at a time, and what cannot be done now is tried again. */
static void follow_nodes(zd_core_t *core, uint64_t now)
{
    zd_member_t members[HAP_MAP_NODES_MAX];
    zd_member_change_t change;
    zd_member_t member;
    const zd_leader_t leader = leader_of(core, now);
    if (now - core->member_ms < MEMBER_MS) {
        return;
    }
    unsigned n = core->conf.drivers->members(core->conf.baton, members, HAP_MAP_NODES_MAX);
    if (zd_plan_member(&change, &member, zd_core_cluster(core), members, n, &leader)) {
        core->member_ms = now;
        core->conf.drivers->member(core->conf.baton, change, member.number, member.address);
    }
}

static void begin_to_lead(zd_core_t *core, uint64_t now)
{
    core->elections++;
    core->ready_ms = now;
    core->tried = 0;
    core->offered_ms = 0;
    core->may_lead = false;
    core->rest_ms = 0;
    core->roll.n = 0;
    zd_lease_begin(&core->lease, core->conf.config->timeout_ms, core->conf.election_ms, now);
    zd_core_beat(core, now);
}

/* Whether this node leads, and since when. */
bool zd_core_look_at_lead(zd_core_t *core, uint64_t now)
{
    bool leads_now = zd_core_engine_leads(core);
    uint64_t term = core->conf.drivers->term(core->conf.baton);
    bool begins = leads_now && (!core->led || term != core->term);
    if (leads_now != core->led) {
        zd_core_log(core, "term %" APR_UINT64_T_FMT ": %s", term,
                    leads_now ? "leads" : "leads no more");
    }
    core->led = leads_now;
    core->term = term;
    core->looked_ms = now;
    if (begins) {
        begin_to_lead(core, now);
    }
    return leads_now;
}

void zd_core_lead(zd_core_t *core, uint64_t now)
{
    const zd_leader_t leader = leader_of(core, now);
    const zd_cluster_t *cluster = zd_core_cluster(core);
    zd_lease_look(&core->lease, zd_core_app(core), now);
    if (cluster->uuid && !should_go_on(core, &leader)) {
        offer_lead(core, now);
    } else {
        core->may_lead = false;
    }
    plan_next(core, now);
    if (zd_plan_is_primary(zd_core_cluster(core), &leader) && !core->planning) {
        follow_nodes(core, now);
    }
}

/* --- by hand ---------------------------------------------------------------------------------- */

const char *zd_core_move(zd_core_t *core, unsigned replica, uint64_t now_ms)
{
    const char *why = zd_lease_move(&core->lease, zd_core_app(core), core->conf.config, &core->roll,
                                    replica, now_ms);
    if (!why) {
        zd_core_tell_all(core, now_ms);
    }
    return why;
}

const char *zd_core_unready(const zd_core_t *core, uint64_t now_ms)
{
    const zd_cluster_t *cluster = zd_core_cluster(core);
    for (unsigned i = 0; i < cluster->nodes_n; i++) {
        const zd_node_t *node = &cluster->nodes[i];
        const zd_heard_t *heard = zd_roll_present(&core->roll, node->map.id, now_ms);
        if (node->present && (!heard || heard->beat.version < cluster->version)) {
            return node->map.id;
        }
    }
    return NULL;
}

/* --- looking ---------------------------------------------------------------------------------- */

bool zd_core_leads(const zd_core_t *core, uint64_t now_ms)
{
    const zd_leader_t leader = leader_of(core, now_ms);
    return is_sure(core, now_ms) && core->led && zd_core_engine_leads(core) &&
           zd_plan_is_primary(zd_core_cluster(core), &leader);
}
