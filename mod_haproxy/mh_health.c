/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns watching the members, on the loop thread of the one child that holds the lock.
 *
 * Every child asks for the lock several times a second; the kernel frees it when its holder dies,
 * however that happens, so the next one takes over within TICK_US. A child whose configuration
 * has been replaced gives it up by itself.
 */
#include "mh_health.h"

#include <unistd.h>

#include <apr_strings.h>

#include "lane/ml_probe.h"
#include "mh_lineup.h"
#include "mh_clock.h"
#include "mh_log.h"
#include "mh_request.h"
#include "mh_shared.h"

/* How often a child asks for the lock, and the one that has it looks what operators changed. */
enum {
    TICK_US = 250000,
    UNPROVED_US = 10000000 /* how long a connect is no proof that requests are answered */
};

/* Loop thread only, once started. */
static struct {
    server_rec *server;
    ml_loop_t *loop;
    ml_prober_t *prober;
    ml_timer_t tick;
    ml_io_t wake;   /* registered while this child probes */
    bool leading;   /* this child holds the lock */
    uint64_t draws; /* random state, for jitter */
    apr_pool_t *pool;
} self;

static uint32_t draw(void)
{
    self.draws = hap_pick_redraw(self.draws);
    return (uint32_t)(self.draws >> 16);
}

static const char *probe_name(const mh_member_t *member, apr_pool_t *p)
{
    return apr_pstrcat(p, member->app->name, "/", member->name, NULL);
}

static hap_slot_t *slot_of(const mh_member_t *member)
{
    return &mh_shared->view.slots[member->slot];
}

static uint32_t flags_of(const mh_member_t *member)
{
    return hap_shared_flags_of(&mh_shared->view, member->slot);
}

/* What the last writer left, or a fresh start when it died while writing. */
static hap_health_t health_of(const mh_member_t *member)
{
    hap_health_t health;
    if (!hap_shared_get_health(slot_of(member), &health) || health.verdict >= HAP_HEALTH_VERDICTS) {
        hap_health_init(&health, apr_time_now());
    }
    return health;
}

static void say(const mh_member_t *member, const hap_health_change_t *change)
{
    char line[HAP_HEALTH_LINE_BYTES];
    if (change->kind == HAP_HEALTH_SAME) {
        return;
    }
    hap_health_line(line, sizeof(line), hap_str(member->name), change);
    ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, member->app->server, "%s: %s", member->app->name,
                 line);
}

/* A member that comes back after it was down starts slowly, if the balancer says so. */
static void begin_ramp(const mh_member_t *member, const hap_health_change_t *change)
{
    bool back = change->kind == HAP_HEALTH_VERDICT && change->to == HAP_HEALTH_UP &&
                change->from == HAP_HEALTH_DOWN;
    if (back && member->app->policy.slow_start) {
        atomic_store(&slot_of(member)->up_since_us, mh_now_us());
        hap_shared_flags(&mh_shared->view, member->slot, HAP_FLAG_RAMP, 0);
    }
}

static apr_interval_time_t on_result(void *owner, hap_check_end_t how, const char *why,
                                     apr_interval_time_t latency)
{
    const mh_member_t *member = owner;
    const hap_health_rule_t *rule = &member->app->rule;
    hap_health_t health = health_of(member);
    if (how == HAP_CHECK_NONE) {
        ap_log_error(APLOG_MARK, APLOG_INFO, 0, self.server,
                     "%s: member %s: not probed for want of descriptors, ports or memory",
                     member->app->name, member->name);
    }
    hap_health_change_t change = hap_health_probed(&health, rule, how, apr_time_now(), why);
    if (change.kind == HAP_HEALTH_TRUST) {
        /* Another row of failed requests may bring the next suspicion. */
        hap_passive_ok(&slot_of(member)->passive);
    }
    begin_ramp(member, &change);
    hap_shared_put_health(&mh_shared->view, member->slot, &health);
    say(member, &change);
    return hap_health_delay(&health, rule, draw());
}

/* A request thread has set the flag; from here on it is part of the member's health. */
static void take_suspicion(const mh_member_t *member)
{
    if (!(flags_of(member) & HAP_FLAG_SUSPECT)) {
        return;
    }
    hap_health_t health = health_of(member);
    uint32_t why = atomic_load(&slot_of(member)->suspicion);
    const char *text = hap_suspicion_names[why < HAP_SUSPICION_COUNT ? why : 0];
    apr_time_t unproved = why == HAP_SUSPICION_CONNECT ? 0 : apr_time_now() + UNPROVED_US;
    hap_health_change_t change = hap_health_suspect(&health, text, unproved);
    if (change.kind == HAP_HEALTH_SAME) {
        return;
    }
    hap_shared_put_health(&mh_shared->view, member->slot, &health);
    say(member, &change);
    ml_probe_now(self.prober, hap_str(probe_name(member, self.pool)));
}

/* The balancer-manager writes mod_proxy's flags; what differs from ours is an operator's will. */
static void take_admin(const mh_member_t *member)
{
    hap_admin_word_t was = hap_shared_admin_word(slot_of(member));
    if (!member->own_worker) {
        return; /* that page does not show it */
    }
    hap_admin_t is = mh_admin_of(member->own_worker->s->status);
    /* A new configuration may just be writing both. */
    bool current = atomic_load(&mh_shared->view.head->generation) == mh_shared->generation;
    if (is == was.state || !current) {
        return;
    }
    const hap_admin_word_t word = {is, member->configured, HAP_SOURCE_OPERATOR,
                                   apr_time_sec(apr_time_now())};
    hap_shared_admin(&mh_shared->view, member->slot, &word);
    ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, member->app->server,
                 "%s: member %s: %s -> %s, by an operator", member->app->name, member->name,
                 hap_admin_names[was.state], hap_admin_names[is]);
}

static void end_ramp(const mh_member_t *member)
{
    const hap_slot_t *slot = slot_of(member);
    int64_t passed = mh_now_us() - atomic_load(&slot->up_since_us);
    if ((flags_of(member) & HAP_FLAG_RAMP) && passed >= member->app->policy.slow_start) {
        hap_shared_flags(&mh_shared->view, member->slot, 0, HAP_FLAG_RAMP);
    }
}

static void for_all_members(void (*visit)(const mh_member_t *member))
{
    apr_pool_clear(self.pool);
    for (int i = 0; i < mh_apps->nelts; i++) {
        mh_app_t *app = mh_app_at(i);
        for (uint32_t k = 0; k < app->lineup->roster->n; k++) {
            visit(mh_lineup_member(app->lineup, k));
        }
    }
}

static ml_probe_target_t target_of(mh_member_t *member)
{
    const proxy_worker_shared *worker = member->worker->s;
    hap_health_t health = health_of(member);
    bool tls = !ap_cstr_casecmp(worker->scheme, "https") || !ap_cstr_casecmp(worker->scheme, "wss");
    /* Who is down or under suspicion is asked at once, the others spread over an interval. */
    bool urgent = health.suspect || health.verdict == HAP_HEALTH_DOWN;
    return (ml_probe_target_t){
        .name = hap_str(probe_name(member, self.pool)),
        .scheme = *worker->uds_path ? ML_PROBE_UNIX
                  : tls             ? ML_PROBE_HTTPS
                                    : ML_PROBE_HTTP,
        .host = hap_str(worker->hostname_ex),
        .port = worker->port,
        .path = hap_str(worker->uds_path),
        .check = &member->app->check,
        .timeout = member->app->rule.timeout,
        .first = urgent ? 0 : hap_health_first(&health, &member->app->rule, draw()),
        .owner = member,
    };
}

static void set_targets(void)
{
    int n = 0;
    apr_pool_clear(self.pool);
    for (int i = 0; i < mh_apps->nelts; i++) {
        n += (int)mh_app_at(i)->lineup->roster->n;
    }
    ml_probe_target_t *targets = apr_pcalloc(self.pool, (size_t)(n + 1) * sizeof(*targets));
    n = 0;
    for (int i = 0; i < mh_apps->nelts; i++) {
        mh_app_t *app = mh_app_at(i);
        for (uint32_t k = 0; !app->method_only && k < app->lineup->roster->n; k++) {
            mh_member_t *member = mh_lineup_member(app->lineup, k);
            /* An instance that is passive need not run. */
            if (member->standing == HAP_STANDING_SERVES) {
                targets[n++] = target_of(member);
            }
        }
    }
    ml_probe_set(self.prober, targets, (size_t)n);
}

static void on_wake(ml_io_t *io, uint32_t events)
{
    uint64_t count;
    while (read(io->fd, &count, sizeof(count)) > 0) {
    }
    for_all_members(take_suspicion);
}

static const ml_io_iface_t wake_iface = {.name = "wake", .ready = on_wake};

/* Nothing is known of a member that is elsewhere now, or has just become the active one. */
static void forget_health(const mh_member_t *member, uint64_t epoch)
{
    hap_health_t health;
    hap_health_init(&health, apr_time_now());
    hap_passive_ok(&slot_of(member)->passive);
    hap_shared_put_health(&mh_shared->view, member->slot, &health);
    if (atomic_exchange(&slot_of(member)->epoch, epoch) != epoch) {
        atomic_fetch_add(&mh_shared->view.head->version, 1);
    }
}

static bool has_moved(const mh_member_t *member, const mh_lineup_t *old)
{
    const mh_member_t *was = mh_lineup_find(old, member->name);
    return !was || was->standing == HAP_STANDING_GONE || was->hired != member->hired;
}

static void take_members(mh_app_t *app, const mh_lineup_t *old)
{
    uint64_t epoch = app->lineup->roster->kind.epoch;
    for (uint32_t i = 0; i < app->lineup->roster->n; i++) {
        const mh_member_t *member = mh_lineup_member(app->lineup, i);
        bool known = !epoch || atomic_load(&slot_of(member)->epoch) == epoch;
        if (member->standing == HAP_STANDING_SERVES &&
            (!known || (old && has_moved(member, old)))) {
            forget_health(member, epoch);
        }
    }
}

bool mh_health_leads(void)
{
    return self.leading;
}

void mh_health_follow(mh_app_t *app, const mh_lineup_t *old)
{
    if (self.leading) {
        take_members(app, old);
        set_targets();
    }
}

static void lead(void)
{
    if (ml_io_add(&self.wake, self.loop, &wake_iface, mh_shared->wake_fd, EPOLLIN) != APR_SUCCESS) {
        mh_shared_unlock();
        return;
    }
    self.leading = true;
    ap_log_error(APLOG_MARK, APLOG_DEBUG, 0, self.server, "this child watches the members now");
    for (int i = 0; i < mh_apps->nelts; i++) {
        take_members(mh_app_at(i), NULL);
    }
    set_targets();
    for_all_members(take_suspicion);
}

static void step_down(void)
{
    self.leading = false;
    ml_io_del(&self.wake);
    ml_probe_stop(self.prober);
    mh_shared_unlock();
}

static void on_tick(ml_timer_t *timer, ml_loop_t *loop)
{
    bool current = atomic_load(&mh_shared->view.head->generation) == mh_shared->generation;
    if (!current) {
        if (self.leading) {
            step_down();
        }
        return;
    }
    if (!self.leading && mh_shared_lock()) {
        lead();
    }
    if (self.leading) {
        for_all_members(take_suspicion);
        for_all_members(take_admin);
        for_all_members(end_ramp);
    }
    ml_timer_set(loop, timer, TICK_US);
}

apr_status_t mh_health_start(ml_loop_t *loop, apr_pool_t *p, server_rec *s)
{
    self.server = s;
    self.loop = loop;
    self.draws = ((uint64_t)apr_time_now() ^ ((uint64_t)getpid() << 32)) | 1;
    self.tick.fire = on_tick;
    apr_pool_create(&self.pool, p);
    apr_status_t rv = ml_probe_create(&self.prober, loop, on_result, NULL);
    if (rv == APR_SUCCESS) {
        /* A moment after the others, so that old children have seen that they are old. */
        ml_timer_set(loop, &self.tick, draw() % TICK_US);
    }
    return rv;
}
