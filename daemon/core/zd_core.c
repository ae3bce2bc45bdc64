/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns how the parts of a daemon's decisions go together: what is heard, planned, claimed and run.
 */
#include "zd_core.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "zd_plan.h"

enum {
    BEAT_MS_MIN = 100,
    BEAT_MS_MAX = 500,
    BEATS = 10,         /* in the time of a lease */
    SENT = 32,          /* beats whose times are known */
    REST_MS = 1000,     /* before what was refused or not committed is tried again */
    HEIR_MS = 1000,     /* for a node that the lead was offered to */
    ALONE_MS = 3000,    /* without a leader, before the daemons of others are started */
    BEGINS_MS = 5000,   /* so long a daemon has just begun */
    MEMBER_MS = 200,    /* between two changes of the engine's list of nodes */
    MAP_AGAIN_MS = 500, /* before a map that was not acknowledged is sent again */
    RESTARTS_MAX = 16,  /* leases between two attempts to start one, in the end */
    LINE_BYTES = 512
};

/* The daemon of another replica, which may be dead. */
typedef struct peer_t {
    uint64_t next_ms; /* it is not started before */
    unsigned leases;  /* that are waited for then; 0: it was heard */
} peer_t;

struct zd_core_t {
    zd_core_conf_t conf;
    unsigned beat_ms;
    /* As a leader. */
    uint64_t began_ms;
    bool led;            /* when it was last looked */
    uint64_t term;       /* of that */
    uint64_t ready_ms;   /* since when */
    uint64_t elections;  /* that it has won */
    uint64_t looked_ms;  /* when that was */
    uint64_t index;      /* of the state that the others were told of */
    uint64_t tried;      /* nodes that the lead was offered to, a bit for each place */
    uint64_t offered_ms; /* when that was; 0: it is not on offer */
    bool may_lead;
    uint64_t member_ms; /* of the last change of the engine's list */
    zd_roll_t roll;
    zd_lease_t lease;
    zd_wish_t plan; /* what it says next */
    bool planning;  /* that is on its way */
    uint64_t seq;
    uint64_t rest_ms;      /* nothing is said before */
    const char *unplanned; /* why it was not committed, once that is said */
    /* As a node. */
    int own; /* its replica; -1: none */
    zd_replica_t replica;
    char said[ZD_SAID_BYTES]; /* by its last script; "": none has run */
    bool well;
    char leader[HAP_ROUTE_MAX_BYTES + 1];
    uint64_t leader_term;
    uint64_t over_term; /* of the last one that was not listened to */
    uint64_t leader_ms; /* when it was last heard, or this node began */
    bool settled;       /* that one is the primary: who is to be the first one has had his say */
    uint64_t beats;     /* that were sent */
    uint64_t sent_ms[SENT];
    uint64_t last_ms;  /* of the last one */
    bool answered;     /* that one was; else it is said again soon: a leader may just become one */
    uint64_t wrote;    /* version of the map on disk */
    uint64_t tick_ms;  /* of the last one */
    uint64_t held_ms;  /* what the guard was told */
    uint64_t other_ms; /* when it was last said that a node is two */
    peer_t peers[HAP_MAP_NODES_MAX];
};

static void log_line(zd_core_t *core, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void log_line(zd_core_t *core, const char *fmt, ...)
{
    char line[LINE_BYTES];
    va_list args;
    va_start(args, fmt);
    apr_vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    core->conf.drivers->log(core->conf.baton, line);
}

static const zd_state_t *state_of(const zd_core_t *core)
{
    return core->conf.drivers->state(core->conf.baton);
}

static const zd_cluster_t *cluster_of(const zd_core_t *core)
{
    static const zd_cluster_t nothing = {.version = 0};
    const zd_state_t *state = state_of(core);
    return state ? zd_state_cluster(state) : &nothing;
}

static const zd_app_t *app_of(const zd_core_t *core)
{
    return zd_cluster_app(cluster_of(core), core->conf.config->app);
}

static bool leads(const zd_core_t *core)
{
    return core->conf.drivers->leads(core->conf.baton);
}

/* --- the replica ------------------------------------------------------------------------------ */

static void beat(zd_core_t *core, uint64_t now);

/* What has to be dead is dead before anybody is told so. */
static void carry_out(zd_core_t *core, const zd_orders_t *orders, uint64_t now)
{
    const zd_drivers_t *drivers = core->conf.drivers;
    const zd_replica_t *replica = &core->replica;
    if (orders->kill_script) {
        drivers->kill_script(core->conf.baton);
    }
    if (orders->kill_service) {
        drivers->kill_service(core->conf.baton);
    }
    if (orders->changed) {
        log_line(core, "replica %d: %s, %s, epoch %" APR_UINT64_T_FMT, core->own,
                 zd_role_names[replica->role], replica->why, replica->epoch);
    }
    uint64_t deadline = zd_replica_deadline(replica);
    bool stopped = orders->changed && replica->role == ZD_ROLE_PASSIVE;
    if (deadline != core->held_ms || stopped) {
        core->held_ms = deadline;
        drivers->hold(core->conf.baton, deadline);
    }
    if (orders->run != ZD_RUN_NONE) {
        drivers->run(core->conf.baton, orders->run, replica->epoch);
    }
    if (orders->beat) {
        beat(core, now);
    }
}

/* --- what a node says and hears --------------------------------------------------------------- */

static void beat(zd_core_t *core, uint64_t now)
{
    const zd_replica_t *replica = core->own >= 0 ? &core->replica : NULL;
    bool has_say = !core->settled && state_of(core);
    zd_beat_t beat = {
        .node = core->conf.id,
        .seq = ++core->beats,
        .version = core->wrote,
        .well = core->well,
        .said = core->said[0] ? core->said : NULL,
        .first = has_say ? core->conf.first : NULL,
        .primary = has_say && core->conf.primary,
        .home = core->conf.left.home[0] ? core->conf.left.home : NULL,
    };
    if (replica) {
        beat.role = zd_role_names[replica->role];
        beat.claim = zd_replica_claim(replica);
        beat.stopped = replica->stopped;
        beat.wants = zd_replica_wants(replica, now);
        beat.waiting_ms = now - replica->waiting_ms;
    }
    core->sent_ms[beat.seq % SENT] = now;
    core->last_ms = now;
    core->answered = false;
    if (leads(core)) {
        zd_core_heard(core, &beat, now);
    } else {
        core->conf.drivers->beat(core->conf.baton, &beat);
    }
}

/* When the beat was sent; 0: it is none of the last ones. */
static uint64_t when_sent(const zd_core_t *core, uint64_t seq)
{
    bool known = seq > 0 && seq <= core->beats && core->beats - seq < SENT;
    return known ? core->sent_ms[seq % SENT] : 0;
}

bool zd_core_answered(zd_core_t *core, const zd_answer_t *answer, uint64_t now_ms)
{
    uint64_t sent = when_sent(core, answer->seq);
    uint64_t term = zd_core_term(core);
    if (answer->term < term) {
        if (core->over_term != answer->term) {
            log_line(core,
                     "what %s says in term %" APR_UINT64_T_FMT
                     " is dropped: it is term %" APR_UINT64_T_FMT,
                     answer->leader, answer->term, term);
        }
        core->over_term = answer->term;
        return false;
    }
    if (strcmp(core->leader, answer->leader) != 0) {
        apr_cpystrn(core->leader, answer->leader, sizeof(core->leader));
    }
    core->leader_term = answer->term;
    core->leader_ms = now_ms;
    core->answered |= answer->seq != 0;
    core->settled |= cluster_of(core)->primary &&
                     strcmp(cluster_of(core)->primary, core->leader) == 0 &&
                     cluster_of(core)->term == answer->term;
    if (core->own < 0) {
        return true;
    }
    const zd_word_t word = {
        .epoch = answer->epoch,
        .proves = answer->renewed && sent,
        .sent_ms = sent,
        .yield = answer->yield,
        .paused = answer->paused,
    };
    zd_orders_t orders = zd_replica_told(&core->replica, &word, now_ms);
    carry_out(core, &orders, now_ms);
    return true;
}

void zd_core_connected(zd_core_t *core, uint64_t now_ms)
{
    beat(core, now_ms);
}

/* Scripts print what they like; what is not UTF-8 cannot be said in JSON. */
static void keep_said(zd_core_t *core, hap_str_t said)
{
    size_t n = 0;
    size_t step;
    for (size_t i = 0; i < said.n; i += step) {
        size_t wide = hap_grammar_utf8(said, i);
        bool fit = wide || (said.p[i] >= ' ' && said.p[i] <= '~');
        step = wide ? wide : 1;
        if (n + step >= sizeof(core->said)) {
            break;
        }
        memcpy(core->said + n, fit ? said.p + i : "?", step);
        n += step;
    }
    core->said[n] = '\0';
}

void zd_core_ran(zd_core_t *core, bool well, const char *said, uint64_t now_ms)
{
    keep_said(core, hap_str(said));
    if (well != core->well) {
        log_line(core, "replica %d: %s", core->own, core->said);
    }
    core->well = well;
    zd_orders_t orders = zd_replica_ran(&core->replica, well, now_ms);
    carry_out(core, &orders, now_ms);
}

void zd_core_wrote(zd_core_t *core, uint64_t version, uint64_t now_ms)
{
    core->wrote = version;
    beat(core, now_ms);
}

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
    uint64_t version = cluster_of(core)->version;
    bool waits = heard->map > heard->beat.version && now - heard->map_ms < MAP_AGAIN_MS;
    bool knows = zd_cluster_node(cluster_of(core), heard->node) != NULL;
    if (heard->beat.version >= version || waits || !knows ||
        strcmp(heard->node, core->conf.id) == 0) {
        return NULL;
    }
    heard->map = version;
    heard->map_ms = now;
    return zd_state_map(state_of(core)).p;
}

static uint64_t number_of(const zd_core_t *core, const char *id)
{
    const zd_node_t *node = zd_cluster_node(cluster_of(core), id);
    return node ? node->raft : 0;
}

static void answer(zd_core_t *core, zd_heard_t *heard, uint64_t seq, bool renewed, uint64_t now)
{
    const zd_app_t *app = app_of(core);
    const char *route = route_of(core, heard->node);
    bool active = app && app->map.active && route && strcmp(app->map.active, route) == 0;
    const zd_answer_t said = {
        .seq = seq,
        .term = core->term,
        .leader = core->conf.id,
        .version = cluster_of(core)->version,
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
static void tell_all(zd_core_t *core, uint64_t now)
{
    for (unsigned i = 0; i < core->roll.n; i++) {
        zd_heard_t *heard = &core->roll.nodes[i];
        if (zd_roll_present(&core->roll, heard->node, now)) {
            answer(core, heard, 0, false, now);
        }
    }
}

static void look(zd_core_t *core, uint64_t now);

/* A leader that has not been looked at for some time may have been replaced meanwhile. */
bool zd_core_is_other(zd_core_t *core, const zd_beat_t *beat, uint64_t now_ms)
{
    const zd_heard_t *heard = zd_roll_of(&core->roll, beat->node);
    uint64_t lease_ms = core->lease.timeout_ms + core->lease.drift_ms;
    bool other = heard && heard->beat.home && beat->home &&
                 strcmp(heard->beat.home, beat->home) != 0 && now_ms - heard->at_ms <= lease_ms;
    if (other && (core->other_ms == 0 || now_ms - core->other_ms >= ZD_OTHER_SAID_MS)) {
        core->other_ms = now_ms;
        log_line(core, "node %s: two daemons say that they are it; the second one is not heard",
                 beat->node);
    }
    return other;
}

void zd_core_heard(zd_core_t *core, const zd_beat_t *beat, uint64_t now_ms)
{
    if (!leads(core) || !core->led) {
        return;
    }
    zd_heard_t *heard = zd_roll_hear(&core->roll, beat, now_ms);
    if (!heard) {
        return;
    }
    bool sure = now_ms - core->looked_ms <= core->conf.election_ms;
    zd_lease_look(&core->lease, app_of(core), now_ms);
    bool renewed = sure && zd_lease_renew(&core->lease, app_of(core), route_of(core, beat->node),
                                          &heard->beat, now_ms);
    answer(core, heard, beat->seq, renewed, now_ms);
    look(core, now_ms);
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
            log_line(core, "%s: not committed: %s; it is tried again", what, wish->why);
        }
        core->unplanned = wish->why;
        core->rest_ms = core->tick_ms + REST_MS;
        return;
    }
    core->unplanned = NULL;
    if (result->end != ZD_DONE && result->end != ZD_UNCHANGED) {
        log_line(core, "%s: %s: %s", what, zd_end_names[result->end], result->why);
        core->rest_ms = core->tick_ms + REST_MS;
    }
}

static void plan_next(zd_core_t *core, uint64_t now)
{
    const zd_leader_t leader = leader_of(core, now);
    if (core->planning || now < core->rest_ms ||
        !zd_plan_next(&core->plan.command, cluster_of(core), core->conf.config, &leader)) {
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
    const zd_cluster_t *cluster = cluster_of(core);
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
    log_line(core, "term %" APR_UINT64_T_FMT ": the lead is offered to %s", core->term,
             cluster->nodes[heir].map.id);
    core->conf.drivers->transfer(core->conf.baton, cluster->nodes[heir].raft);
}

/* The primary goes on as such, unless another one was chosen by hand. */
static bool should_go_on(const zd_core_t *core, const zd_leader_t *leader)
{
    const zd_cluster_t *cluster = cluster_of(core);
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
    if (zd_plan_member(&change, &member, cluster_of(core), members, n, &leader)) {
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
    beat(core, now);
}

/* Whether this node leads, and since when. */
static bool look_at_lead(zd_core_t *core, uint64_t now)
{
    bool leads_now = leads(core);
    uint64_t term = core->conf.drivers->term(core->conf.baton);
    bool begins = leads_now && (!core->led || term != core->term);
    if (leads_now != core->led) {
        log_line(core, "term %" APR_UINT64_T_FMT ": %s", term,
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

static void look(zd_core_t *core, uint64_t now)
{
    const zd_leader_t leader = leader_of(core, now);
    const zd_cluster_t *cluster = cluster_of(core);
    zd_lease_look(&core->lease, app_of(core), now);
    if (cluster->uuid && !should_go_on(core, &leader)) {
        offer_lead(core, now);
    } else {
        core->may_lead = false;
    }
    plan_next(core, now);
    if (zd_plan_is_primary(cluster_of(core), &leader) && !core->planning) {
        follow_nodes(core, now);
    }
}

/* --- other daemons ---------------------------------------------------------------------------- */

static bool is_stale(const zd_core_t *core, unsigned replica, uint64_t now)
{
    unsigned timeout = core->conf.config->timeout_ms;
    if (!core->led) {
        return now - core->leader_ms >= ALONE_MS;
    }
    const zd_heard_t *heard = zd_roll_of(&core->roll, core->conf.config->replicas[replica].id);
    return now - (heard ? heard->at_ms : core->ready_ms) >= timeout;
}

/* A leader starts the daemons that it does not hear, and a node without a leader all others. */
static void start_others(zd_core_t *core, uint64_t now)
{
    const zd_config_t *config = core->conf.config;
    for (unsigned i = 0; i < config->replicas_n; i++) {
        peer_t *peer = &core->peers[i];
        if ((int)i == core->own || !config->replicas[i].restart) {
            continue;
        }
        if (!is_stale(core, i, now)) {
            peer->leases = 0;
        } else if (!peer->leases || now >= peer->next_ms) {
            peer->leases = peer->leases ? peer->leases * 2 : 1;
            peer->leases = peer->leases < RESTARTS_MAX ? peer->leases : RESTARTS_MAX;
            peer->next_ms = now + (uint64_t)peer->leases * config->timeout_ms;
            core->conf.drivers->restart(core->conf.baton, i);
        }
    }
}

/* --- events ----------------------------------------------------------------------------------- */

/* A process that was stopped, or a host that slept, may find that others have gone on without it,
 * and that before it has had time to look. */
static void doubt_after_sleep(zd_core_t *core, uint64_t now)
{
    if (now - core->tick_ms > core->conf.election_ms) {
        core->conf.drivers->doubt(core->conf.baton);
    }
}

void zd_core_changed(zd_core_t *core, uint64_t now_ms)
{
    doubt_after_sleep(core, now_ms);
    const zd_state_t *state = state_of(core);
    uint64_t index = state ? zd_state_index(state) : 0;
    if (!look_at_lead(core, now_ms)) {
        return;
    }
    if (index != core->index) {
        core->index = index;
        zd_lease_look(&core->lease, app_of(core), now_ms);
        tell_all(core, now_ms);
    }
    look(core, now_ms);
}

void zd_core_tick(zd_core_t *core, uint64_t now_ms)
{
    doubt_after_sleep(core, now_ms);
    core->tick_ms = now_ms;
    if (core->own >= 0) {
        zd_orders_t orders = zd_replica_tick(&core->replica, now_ms);
        carry_out(core, &orders, now_ms);
    }
    if (look_at_lead(core, now_ms)) {
        look(core, now_ms);
    }
    if (now_ms - core->last_ms >= (core->answered ? core->beat_ms : BEAT_MS_MIN)) {
        beat(core, now_ms);
    }
    start_others(core, now_ms);
}

/* --- by hand ---------------------------------------------------------------------------------- */

const char *zd_core_move(zd_core_t *core, unsigned replica, uint64_t now_ms)
{
    const char *why =
        zd_lease_move(&core->lease, app_of(core), core->conf.config, &core->roll, replica, now_ms);
    if (!why) {
        tell_all(core, now_ms);
    }
    return why;
}

const char *zd_core_unready(const zd_core_t *core, uint64_t now_ms)
{
    const zd_cluster_t *cluster = cluster_of(core);
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

const zd_replica_t *zd_core_replica(const zd_core_t *core)
{
    return core->own >= 0 ? &core->replica : NULL;
}

const zd_roll_t *zd_core_roll(const zd_core_t *core)
{
    return &core->roll;
}

const zd_lease_t *zd_core_lease(const zd_core_t *core)
{
    return &core->lease;
}

const char *zd_core_leader(const zd_core_t *core)
{
    return core->leader[0] ? core->leader : NULL;
}

const char *zd_core_follows(const zd_core_t *core, uint64_t now_ms)
{
    return now_ms - core->leader_ms < ZD_PRESENT_MS ? zd_core_leader(core) : NULL;
}

bool zd_core_leads(const zd_core_t *core, uint64_t now_ms)
{
    const zd_leader_t leader = leader_of(core, now_ms);
    bool sure = now_ms - core->looked_ms <= core->conf.election_ms;
    return sure && core->led && leads(core) && zd_plan_is_primary(cluster_of(core), &leader);
}

uint64_t zd_core_term(const zd_core_t *core)
{
    uint64_t term = core->conf.drivers->term(core->conf.baton);
    return term > core->leader_term ? term : core->leader_term;
}

uint64_t zd_core_beats(const zd_core_t *core)
{
    return core->beats;
}

uint64_t zd_core_elections(const zd_core_t *core)
{
    return core->elections;
}

/* --- beginning -------------------------------------------------------------------------------- */

zd_core_t *zd_core_make(const zd_core_conf_t *conf, uint64_t now_ms)
{
    zd_core_t *core = calloc(1, sizeof(*core));
    if (!core) {
        return NULL;
    }
    unsigned beat_ms = conf->config->timeout_ms / BEATS;
    beat_ms = beat_ms < BEAT_MS_MAX ? beat_ms : BEAT_MS_MAX;
    core->conf = *conf;
    core->beat_ms = beat_ms > BEAT_MS_MIN ? beat_ms : BEAT_MS_MIN;
    core->own = zd_config_replica(conf->config, conf->id);
    core->well = true;
    core->began_ms = core->tick_ms = core->leader_ms = core->looked_ms = now_ms;
    core->held_ms = conf->left.kill_at_ms;
    zd_replica_begin(&core->replica, conf->config->timeout_ms, conf->config->retries, now_ms);
    zd_replica_resume(&core->replica, &conf->left);
    return core;
}

void zd_core_free(zd_core_t *core)
{
    free(core);
}
