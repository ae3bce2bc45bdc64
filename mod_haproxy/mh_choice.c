/* SPDX-License-Identifier: Apache-2.0 */
/* Owns choosing, counting and reporting. */
#include "mh_choice.h"

#include <sched.h>

#include <apr_strings.h>

#include "hap_budget.h"
#include "mh_child.h"
#include "mh_clock.h"
#include "mh_queue.h"
#include "mh_shared.h"

enum {
    ERRORS_TO_SUSPECT = 3, /* failed requests in a row that make a member suspect */
    RACES_MAX = 16,        /* lost races for a last place after which a member counts as full */
    LATENCY_WEIGHT = 8,    /* a new answer time counts for an eighth of the average */
    SERVER_ERROR = 500
};

/* Each thread draws from its own stream: shared ones would be a lock, or a queue at a cache line.
 */
static uint64_t draw(void)
{
    static _Thread_local uint64_t state;
    if (!state) {
        state = ((uint64_t)mh_now_us() ^ ((uint64_t)(uintptr_t)&state << 20)) | 1;
    }
    state = hap_pick_redraw(state);
    return state * 0x2545f4914f6cdd1dULL;
}

static int find_route(const void *roster, hap_str_t route)
{
    return hap_roster_find(roster, route);
}

static mh_lineup_t *lineup_of(const hap_schedule_t *schedule)
{
    return (mh_lineup_t *)(uintptr_t)schedule->roster->kind.owner;
}

/* The one in force. Without a map there is only one, ever. */
void mh_choice_hold(mh_choice_t *choice)
{
    mh_app_t *app = choice->app;
    choice->lineups_n = 1;
    if (!app->follows) {
        choice->lineups[0] = app->lineup;
        return;
    }
    unsigned side = hap_epoch_enter(&app->epoch);
    choice->lineups[0] = lineup_of(atomic_load(&app->schedule));
    mh_lineup_hold(choice->lineups[0]);
    hap_epoch_leave(&app->epoch, side);
}

void mh_choice_end(mh_choice_t *choice)
{
    while (choice->lineups_n > 0) {
        mh_lineup_drop(choice->lineups[--choice->lineups_n]);
    }
}

/* Who has failed with one epoch may not with another: it may be active at last. */
static void forget_tried(mh_choice_t *choice)
{
    choice->tried_n = 0;
}

/* Nobody else may be tried: the active member may once more, when a probe has found it since. */
static void forget_recovered(mh_choice_t *choice, const hap_roster_t *roster)
{
    enum { TROUBLE = HAP_FLAG_DOWN | HAP_FLAG_SUSPECT };
    for (uint32_t i = 0; i < roster->n; i++) {
        if (roster->members[i].standing == HAP_STANDING_SERVES &&
            !(hap_roster_flags(roster, &mh_shared->view, i) & TROUBLE)) {
            forget_tried(choice);
        }
    }
}

/*
 * The members are others now than when the request chose last. What it has chosen from stays held,
 * as mod_proxy and log formats still know the members; false when that would be too many.
 */
static bool follow(mh_choice_t *choice, mh_lineup_t *lineup)
{
    mh_lineup_t *last = mh_choice_lineup(choice);
    hap_affinity_t *session = &choice->session;
    if (choice->chosen && choice->lineups_n == MH_LINEUPS_MAX) {
        return false;
    }
    if (session->member >= 0) {
        hap_str_t route = last->roster->members[session->member].route;
        session->member = hap_roster_find(lineup->roster, route);
    }
    if (lineup->roster->kind.epoch != last->roster->kind.epoch) {
        forget_tried(choice);
    }
    mh_lineup_hold(lineup);
    if (!choice->chosen) {
        choice->lineups_n--;
        mh_lineup_drop(last);
    }
    choice->lineups[choice->lineups_n++] = lineup;
    choice->chosen = false;
    return true;
}

void mh_choice_begin(mh_choice_t *choice, mh_app_t *app, const mh_choice_from_t *from)
{
    choice->app = app;
    choice->member = -1;
    mh_choice_hold(choice);
    const hap_route_lookup_t members = {find_route, mh_choice_lineup(choice)->roster};
    hap_affinity_find(&choice->session, &app->affinity, &from->affinity, &members);
    choice->doubtful =
        app->zone_conf && hap_affinity_differ(&app->affinity, from->affinity.cookies);
    if (app->policy.method == HAP_METHOD_HASH) {
        bool path = app->policy.hash_key == HAP_HASH_PATH;
        choice->hash = hap_str_hash(path ? from->path : from->client);
    }
    hap_budget_earn(&mh_shared->view.balancers[app->balancer], app->policy.retry_budget);
}

void mh_choice_prefer(mh_choice_t *choice, int member)
{
    hap_affinity_t *session = &choice->session;
    if (session->verdict != HAP_AFFINITY_FOUND) {
        session->id = hap_affinity_cut(session->value);
        session->verdict = HAP_AFFINITY_FOUND;
    }
    session->member = member;
    choice->preferred = true;
}

static _Atomic uint32_t *in_flight(const mh_choice_t *choice)
{
    return &mh_child_row()->count[mh_choice_member(choice)->slot];
}

static void wait_ends(mh_choice_t *choice, bool answered)
{
    if (choice->waiting) {
        choice->waiting = false;
        if (choice->holds_thread) {
            hap_stall_end(&choice->app->stalls, mh_choice_member(choice)->slot, choice->trial,
                          answered);
        }
    }
}

void mh_choice_count_out(mh_choice_t *choice)
{
    if (!choice->counted) {
        return;
    }
    choice->counted = false;
    wait_ends(choice, false);
    atomic_fetch_sub_explicit(in_flight(choice), 1, memory_order_relaxed);
    if (choice->app->policy.max) {
        mh_queue_release(choice->app);
    }
}

/*
 * Counted in first and looked at then: of two requests that see the last free place both, at most
 * one keeps it.
 */
static bool count_in(mh_choice_t *choice)
{
    uint32_t max = choice->app->policy.max;
    uint32_t slot = mh_choice_member(choice)->slot;
    atomic_fetch_add_explicit(in_flight(choice), 1, memory_order_relaxed);
    choice->counted = true;
    if (!max) {
        return true;
    }
    atomic_thread_fence(memory_order_seq_cst);
    if (hap_shared_sum(&mh_shared->view, slot) > max) {
        mh_choice_count_out(choice);
        return false;
    }
    return true;
}

bool mh_choice_peek(mh_choice_t *choice)
{
    mh_app_t *app = choice->app;
    unsigned side = hap_epoch_enter(&app->epoch);
    const hap_schedule_t *schedule = atomic_load(&app->schedule);
    mh_lineup_t *lineup = lineup_of(schedule);
    if (lineup != mh_choice_lineup(choice) && !follow(choice, lineup)) {
        hap_epoch_leave(&app->epoch, side);
        choice->member = -1;
        choice->why = HAP_PICK_NONE;
        return false;
    }
    if (choice->tried_n && schedule->roster->kind.single) {
        forget_recovered(choice, schedule->roster);
    }
    const hap_pick_request_t in = {
        .wanted = choice->session.member,
        .session = hap_affinity_id(&choice->session),
        .hash = choice->hash,
        .draw = draw(),
        .now_us = mh_now_us(),
        .tried = choice->tried,
        .tried_n = choice->tried_n,
    };
    const hap_selector_t selector = {
        .policy = &app->policy,
        .roster = schedule->roster,
        .schedule = schedule,
        .shared = &mh_shared->view,
        .balancer = app->balancer,
        .stalls = choice->holds_thread ? &app->stalls : NULL,
    };
    hap_pick_t pick = hap_pick(&selector, &in);
    uint64_t version = schedule->version;
    hap_epoch_leave(&app->epoch, side);
    choice->chosen = choice->chosen || pick.member >= 0;
    if (version != atomic_load_explicit(&mh_shared->view.head->version, memory_order_relaxed)) {
        mh_child_schedule_is_stale(app);
    }
    choice->started_us = in.now_us;
    choice->member = pick.member;
    choice->why = pick.why;
    return pick.member >= 0;
}

static void suspect(const mh_choice_t *choice, hap_suspicion_t why)
{
    uint32_t i = mh_choice_member(choice)->slot;
    atomic_store(&mh_shared->view.slots[i].suspicion, (uint32_t)why);
    if (hap_shared_flags(&mh_shared->view, i, HAP_FLAG_SUSPECT, 0)) {
        mh_shared_wake();
    }
}

static void wait_begins(mh_choice_t *choice)
{
    choice->waiting = true;
    choice->trial =
        choice->holds_thread &&
        hap_stall_begin(&choice->app->stalls, mh_choice_member(choice)->slot, choice->started_us);
    if (choice->trial) {
        suspect(choice, HAP_SUSPICION_SILENCE);
    }
}

/* Who lost a race for a last place looks again: there may be room elsewhere, and when all who raced
 * stepped back there is room even here. */
bool mh_choice_make(mh_choice_t *choice)
{
    for (int race = 0; race < RACES_MAX; race++) {
        if (!mh_choice_peek(choice)) {
            return false;
        }
        if (count_in(choice)) {
            wait_begins(choice);
            /* For the statistics of mod_proxy, which all processes count in. */
            __atomic_add_fetch(&mh_choice_member(choice)->worker->s->elected, 1, __ATOMIC_RELAXED);
            return true;
        }
        sched_yield();
    }
    choice->why = HAP_PICK_FULL;
    choice->member = -1;
    return false;
}

static void learn_latency(hap_slot_t *slot, int64_t started_us)
{
    int64_t now_us = mh_now_us();
    int64_t passed_us = now_us - started_us;
    uint32_t passed = passed_us > UINT32_MAX ? UINT32_MAX : (uint32_t)passed_us;
    uint32_t average = hap_pick_latency_us(slot, now_us);
    int64_t next =
        average ? (int64_t)average + ((int64_t)passed - average) / LATENCY_WEIGHT : (int64_t)passed;
    atomic_store_explicit(&slot->latency_us, (uint32_t)(next > 0 ? next : 1), memory_order_relaxed);
    atomic_store_explicit(&slot->measured_us, now_us, memory_order_relaxed);
}

void mh_choice_answered(mh_choice_t *choice, unsigned status)
{
    if (!choice->waiting) {
        return;
    }
    wait_ends(choice, true);
    /* An error is quickly said: it would make a broken member look fast. */
    if (choice->app->policy.method == HAP_METHOD_LATENCY && status < SERVER_ERROR) {
        learn_latency(&mh_shared->view.slots[mh_choice_member(choice)->slot], choice->started_us);
    }
}

void mh_choice_settle(mh_choice_t *choice, mh_outcome_t outcome)
{
    hap_slot_t *slot = &mh_shared->view.slots[mh_choice_member(choice)->slot];
    mh_choice_count_out(choice);
    choice->refused = outcome == MH_OUTCOME_NO_CONNECT;
    switch (outcome) {
    case MH_OUTCOME_SERVED:
        hap_passive_ok(&slot->passive);
        break;
    case MH_OUTCOME_NO_CONNECT:
        suspect(choice, HAP_SUSPICION_CONNECT);
        break;
    case MH_OUTCOME_FAILED:
        if (hap_passive_error(&slot->passive, ERRORS_TO_SUSPECT)) {
            suspect(choice, HAP_SUSPICION_ERRORS);
        }
        break;
    case MH_OUTCOME_TIMED_OUT:
        suspect(choice, HAP_SUSPICION_TIMEOUT);
        break;
    case MH_OUTCOME_UNKNOWN:
        break;
    }
}

/* Nobody but its member may serve it, which is there. */
static bool is_bound(const mh_choice_t *choice)
{
    const hap_roster_t *roster = mh_choice_lineup(choice)->roster;
    int member = choice->session.member;
    return choice->app->policy.failover == HAP_FAILOVER_STRICT && member >= 0 &&
           !roster->kind.single && roster->members[member].standing == HAP_STANDING_SERVES;
}

bool mh_choice_lacks_active(const mh_choice_t *choice)
{
    bool none = choice->why == HAP_PICK_NONE || choice->why == HAP_PICK_INACTIVE ||
                choice->why == HAP_PICK_STRICT;
    return none && mh_choice_lineup(choice)->roster->kind.single;
}

bool mh_choice_may_wait(const mh_choice_t *choice)
{
    return choice->app->policy.queue > 0 &&
           (choice->why == HAP_PICK_FULL || mh_choice_lacks_active(choice));
}

uint64_t mh_choice_epoch(const mh_choice_t *choice)
{
    return mh_choice_lineup(choice)->roster->kind.epoch;
}

const char *mh_choice_fence(const mh_choice_t *choice)
{
    return choice->app->zone_kinds & HAP_ZONE_USER ? "HA-Fence-App" : "HA-Fence";
}

hap_str_t mh_choice_fence_line(char room[MH_FENCE_BYTES], const mh_choice_t *choice)
{
    uint64_t epoch = mh_choice_epoch(choice);
    int n = epoch ? apr_snprintf(room, MH_FENCE_BYTES, "%s: %" APR_UINT64_T_FMT "\r\n",
                                 mh_choice_fence(choice), (apr_uint64_t)epoch)
                  : 0;
    return hap_strn(room, (size_t)n);
}

mh_retry_t mh_choice_retry(mh_choice_t *choice)
{
    const mh_app_t *app = choice->app;
    /* A queue for the active member is no storm: all in it have found that this does not listen
     * yet, and are let go once a probe, or another epoch, says more. How often that is untrue does
     * not count, only the time in the queue. */
    bool waits = mh_choice_lineup(choice)->roster->kind.single && app->policy.queue > 0;
    bool counts = !(waits && choice->refused);
    if (is_bound(choice) || (counts && choice->tries >= app->policy.retries) ||
        choice->tried_n == MH_TRIED_MAX) {
        return MH_RETRY_NO;
    }
    hap_balancer_t *balancer = &mh_shared->view.balancers[app->balancer];
    if (!waits && !hap_budget_take(balancer, app->policy.retry_budget, mh_now_us())) {
        return MH_RETRY_NO_BUDGET;
    }
    choice->failed = true;
    choice->tries += counts;
    choice->tried[choice->tried_n++] = mh_choice_member(choice)->slot;
    return MH_RETRY_YES;
}
