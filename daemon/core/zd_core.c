/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what each node decides: what it says and hears, claims and runs; and how that goes together
 * with what a leader does (zd_core_lead.c).
 */
#include "zd_core_int.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

enum {
    BEAT_MS_MIN = 100,
    BEAT_MS_MAX = 500,
    BEATS = 10,        /* in the time of a lease */
    ALONE_MS = 3000,   /* without a leader, before the daemons of others are started */
    RESTARTS_MAX = 16, /* leases between two attempts to start one, in the end */
    LINE_BYTES = 512
};

void zd_core_log(zd_core_t *core, const char *fmt, ...)
{
    char line[LINE_BYTES];
    va_list args;
    va_start(args, fmt);
    apr_vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    core->conf.drivers->log(core->conf.baton, line);
}

const zd_state_t *zd_core_state(const zd_core_t *core)
{
    return core->conf.drivers->state(core->conf.baton);
}

const zd_cluster_t *zd_core_cluster(const zd_core_t *core)
{
    static const zd_cluster_t nothing = {.version = 0};
    const zd_state_t *state = zd_core_state(core);
    return state ? zd_state_cluster(state) : &nothing;
}

const zd_app_t *zd_core_app(const zd_core_t *core)
{
    return zd_cluster_app(zd_core_cluster(core), core->conf.config->app);
}

bool zd_core_engine_leads(const zd_core_t *core)
{
    return core->conf.drivers->leads(core->conf.baton);
}

/* --- the replica ------------------------------------------------------------------------------ */

/* What has to be dead is dead before anybody is told so. If some would not die nobody is told
 * before the lease is over everywhere: the guard tries again in its time, and then the watchdog is
 * for it. */
static void kill_service(zd_core_t *core, uint64_t now)
{
    if (!core->conf.drivers->kill_service(core->conf.baton)) {
        core->undead_ms = now + 2 * (uint64_t)core->conf.config->timeout_ms;
        zd_core_log(core, "replica %d: the lease is not given back, and runs out", core->own);
    }
}

static void carry_out(zd_core_t *core, const zd_orders_t *orders, uint64_t now)
{
    const zd_drivers_t *drivers = core->conf.drivers;
    const zd_replica_t *replica = &core->replica;
    if (orders->kill_script) {
        drivers->kill_script(core->conf.baton);
    }
    if (orders->kill_service) {
        kill_service(core, now);
    }
    if (now >= core->undead_ms) {
        core->stopped = replica->stopped;
    }
    if (orders->changed) {
        zd_core_log(core, "replica %d: %s, %s, epoch %" APR_UINT64_T_FMT, core->own,
                    zd_role_names[replica->role], replica->why, replica->epoch);
    }
    uint64_t deadline = zd_replica_deadline(replica);
    bool stopped = orders->changed && replica->role == ZD_ROLE_PASSIVE;
    bool lets_go = deadline == 0;
    if ((deadline != core->held_ms || stopped) && !(lets_go && now < core->undead_ms)) {
        core->held_ms = deadline;
        drivers->hold(core->conf.baton, deadline);
    }
    if (orders->run != ZD_RUN_NONE) {
        drivers->run(core->conf.baton, orders->run, replica->epoch);
    }
    if (orders->beat) {
        zd_core_beat(core, now);
    }
}

/* --- what a node says and hears --------------------------------------------------------------- */

void zd_core_beat(zd_core_t *core, uint64_t now)
{
    const zd_replica_t *replica = core->own >= 0 ? &core->replica : NULL;
    bool has_say = !core->settled && zd_core_state(core);
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
        beat.stopped = core->stopped;
        beat.wants = zd_replica_wants(replica, now) && now >= core->undead_ms;
        beat.waiting_ms = now - replica->waiting_ms;
    }
    core->sent_ms[beat.seq % ZD_CORE_SENT] = now;
    core->last_ms = now;
    core->answered = false;
    if (zd_core_engine_leads(core)) {
        zd_core_heard(core, &beat, now);
    } else {
        core->conf.drivers->beat(core->conf.baton, &beat);
    }
}

/* When the beat was sent; 0: it is none of the last ones. */
static uint64_t when_sent(const zd_core_t *core, uint64_t seq)
{
    bool known = seq > 0 && seq <= core->beats && core->beats - seq < ZD_CORE_SENT;
    return known ? core->sent_ms[seq % ZD_CORE_SENT] : 0;
}

/* Who is to be the first one has been decided when the leader is the primary. */
static void settle(zd_core_t *core)
{
    const zd_cluster_t *cluster = zd_core_cluster(core);
    const char *first = core->conf.first;
    bool is_primary = cluster->primary && strcmp(cluster->primary, core->leader) == 0 &&
                      cluster->term == core->leader_term;
    if (core->settled || !is_primary) {
        return;
    }
    core->settled = true;
    if (first && !zd_cluster_node(cluster, first)) {
        zd_core_log(core, "AIS_PRIMARY_ID=%s: the map has no such node, it is ignored", first);
    }
}

bool zd_core_answered(zd_core_t *core, const zd_answer_t *answer, uint64_t now_ms)
{
    uint64_t sent = when_sent(core, answer->seq);
    uint64_t term = zd_core_term(core);
    if (answer->term < term) {
        if (core->over_term != answer->term) {
            zd_core_log(core,
                        "%s led in term %" APR_UINT64_T_FMT
                        ", which is over: what it says is dropped, it is term %" APR_UINT64_T_FMT,
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
    settle(core);
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
    zd_core_beat(core, now_ms);
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
        zd_core_log(core, "replica %d: %s", core->own, core->said);
    }
    core->well = well;
    zd_orders_t orders = zd_replica_ran(&core->replica, well, now_ms);
    carry_out(core, &orders, now_ms);
}

void zd_core_wrote(zd_core_t *core, uint64_t version, uint64_t now_ms)
{
    core->wrote = version;
    zd_core_beat(core, now_ms);
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
    const zd_state_t *state = zd_core_state(core);
    uint64_t index = state ? zd_state_index(state) : 0;
    if (!zd_core_look_at_lead(core, now_ms)) {
        return;
    }
    if (index != core->index) {
        core->index = index;
        zd_lease_look(&core->lease, zd_core_app(core), now_ms);
        zd_core_tell_all(core, now_ms);
    }
    zd_core_lead(core, now_ms);
}

void zd_core_tick(zd_core_t *core, uint64_t now_ms)
{
    doubt_after_sleep(core, now_ms);
    core->tick_ms = now_ms;
    if (core->own >= 0) {
        zd_orders_t orders = zd_replica_tick(&core->replica, now_ms);
        carry_out(core, &orders, now_ms);
    }
    if (zd_core_look_at_lead(core, now_ms)) {
        zd_core_lead(core, now_ms);
    }
    if (now_ms - core->last_ms >= (core->answered ? core->beat_ms : BEAT_MS_MIN)) {
        zd_core_beat(core, now_ms);
    }
    start_others(core, now_ms);
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
    zd_replica_begin(&core->replica, conf->config->timeout_ms, conf->config->retries, now_ms);
    zd_replica_resume(&core->replica, &conf->left);
    return core;
}

void zd_core_free(zd_core_t *core)
{
    free(core);
}
