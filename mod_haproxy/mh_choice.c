/* SPDX-License-Identifier: Apache-2.0 */
/* Owns choosing, counting and reporting. */
#include "mh_choice.h"

#include <sched.h>

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

void mh_choice_begin(mh_choice_t *choice, mh_app_t *app, const mh_choice_from_t *from)
{
    const hap_route_lookup_t members = {find_route, app->roster};
    choice->app = app;
    choice->member = -1;
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
            hap_stall_end(&choice->app->stalls, (uint32_t)choice->member, choice->trial, answered);
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
    const hap_pick_request_t in = {
        .wanted = choice->session.member,
        .session = hap_affinity_id(&choice->session),
        .hash = choice->hash,
        .draw = draw(),
        .now_us = mh_now_us(),
        .tried = choice->tried,
        .tried_n = choice->tried_n,
    };
    unsigned side = hap_epoch_enter(&app->epoch);
    const hap_selector_t selector = {
        .policy = &app->policy,
        .roster = app->roster,
        .schedule = atomic_load(&app->schedule),
        .shared = &mh_shared->view,
        .balancer = app->balancer,
        .stalls = choice->holds_thread ? &app->stalls : NULL,
    };
    hap_pick_t pick = hap_pick(&selector, &in);
    uint64_t version = selector.schedule->version;
    hap_epoch_leave(&app->epoch, side);
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
        hap_stall_begin(&choice->app->stalls, (uint32_t)choice->member, choice->started_us);
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

mh_retry_t mh_choice_retry(mh_choice_t *choice)
{
    const mh_app_t *app = choice->app;
    bool bound = choice->session.member >= 0 && app->policy.failover == HAP_FAILOVER_STRICT;
    if (bound || choice->tried_n >= app->policy.retries) {
        return MH_RETRY_NO;
    }
    hap_balancer_t *balancer = &mh_shared->view.balancers[app->balancer];
    if (!hap_budget_take(balancer, app->policy.retry_budget, mh_now_us())) {
        return MH_RETRY_NO_BUDGET;
    }
    choice->tried[choice->tried_n++] = (uint32_t)choice->member;
    return MH_RETRY_YES;
}
