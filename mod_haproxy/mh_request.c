/* SPDX-License-Identifier: Apache-2.0 */
/* Owns choosing, counting and reporting for one request. */
#include "mh_request.h"

#include <sched.h>
#include <time.h>

#include <apr_strings.h>

#include "hap_budget.h"
#include "mh_child.h"
#include "mh_log.h"
#include "mh_queue.h"
#include "mh_shared.h"

enum {
    ERRORS_TO_SUSPECT = 3, /* failed requests in a row that make a member suspect */
    RACES_MAX = 16,        /* lost races for a last place after which a member counts as full */
    LATENCY_WEIGHT = 8     /* a new answer time counts for an eighth of the average */
};

int64_t mh_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * APR_USEC_PER_SEC + now.tv_nsec / 1000;
}

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

mh_request_t *mh_request_make(mh_app_t *app, request_rec *r, const char *url)
{
    mh_request_t *request = apr_pcalloc(r->pool, sizeof(*request));
    const hap_affinity_request_t in = {
        .cookies = hap_str(apr_table_get(r->headers_in, "Cookie")),
        .path = hap_str(r->unparsed_uri),
        .now_s = apr_time_sec(r->request_time),
    };
    const hap_route_lookup_t members = {find_route, app->roster};
    request->app = app;
    request->r = r;
    request->url = apr_pstrdup(r->pool, url);
    request->member = -1;
    hap_affinity_find(&request->session, &app->affinity, &in, &members);
    ap_set_module_config(r->request_config, &haproxy_module, request);
    hap_budget_earn(&mh_shared->view.balancers[app->balancer], app->policy.retry_budget);
    return request;
}

mh_request_t *mh_request_of(const request_rec *r)
{
    return ap_get_module_config(r->request_config, &haproxy_module);
}

static uint64_t hash_of(const mh_request_t *request)
{
    const request_rec *r = request->r;
    bool path = request->app->policy.hash_key == HAP_HASH_PATH;
    return hap_str_hash(hap_str(path ? r->uri : r->useragent_ip));
}

static _Atomic uint32_t *in_flight(const mh_request_t *request)
{
    return &mh_child_row()->count[mh_request_member(request)->slot];
}

static void wait_ends(mh_request_t *request, bool answered)
{
    if (request->waiting) {
        request->waiting = false;
        hap_stall_end(&request->app->stalls, (uint32_t)request->member, request->trial, answered);
    }
}

static void count_out(mh_request_t *request)
{
    if (!request->counted) {
        return;
    }
    request->counted = false;
    wait_ends(request, false);
    atomic_fetch_sub_explicit(in_flight(request), 1, memory_order_relaxed);
    if (request->app->policy.max) {
        mh_queue_release(request->app);
    }
}

static apr_status_t count_out_at_end(void *request)
{
    count_out(request);
    return APR_SUCCESS;
}

/*
 * Counted in first and looked at then: of two requests that see the last free place both, at most
 * one keeps it.
 */
static bool count_in(mh_request_t *request)
{
    uint32_t max = request->app->policy.max;
    uint32_t slot = mh_request_member(request)->slot;
    atomic_fetch_add_explicit(in_flight(request), 1, memory_order_relaxed);
    request->counted = true;
    if (!max) {
        return true;
    }
    atomic_thread_fence(memory_order_seq_cst);
    if (hap_shared_sum(&mh_shared->view, slot) > max) {
        count_out(request);
        return false;
    }
    return true;
}

bool mh_request_peek(mh_request_t *request)
{
    mh_app_t *app = request->app;
    const hap_pick_request_t in = {
        .wanted = request->session.member,
        .session = hap_affinity_id(&request->session),
        .hash = app->policy.method == HAP_METHOD_HASH ? hash_of(request) : 0,
        .draw = draw(),
        .now_us = mh_now_us(),
        .tried = request->tried,
        .tried_n = request->tried_n,
    };
    unsigned side = hap_epoch_enter(&app->epoch);
    const hap_selector_t selector = {
        .policy = &app->policy,
        .roster = app->roster,
        .schedule = atomic_load(&app->schedule),
        .shared = &mh_shared->view,
        .balancer = app->balancer,
        .stalls = app->method_only ? NULL : &app->stalls,
    };
    hap_pick_t pick = hap_pick(&selector, &in);
    uint64_t version = selector.schedule->version;
    hap_epoch_leave(&app->epoch, side);
    if (version != atomic_load_explicit(&mh_shared->view.head->version, memory_order_relaxed)) {
        mh_child_schedule_is_stale(app);
    }
    request->started_us = in.now_us;
    request->member = pick.member;
    request->why = pick.why;
    return pick.member >= 0;
}

/* Who lost a race for a last place looks again: there may be room elsewhere, and when all who raced
 * stepped back there is room even here. */
static bool pick_once(mh_request_t *request)
{
    for (int race = 0; race < RACES_MAX; race++) {
        if (!mh_request_peek(request)) {
            return false;
        }
        if (count_in(request)) {
            return true;
        }
        sched_yield();
    }
    request->why = HAP_PICK_FULL;
    return false;
}

static void suspect(const mh_request_t *request, hap_suspicion_t why)
{
    uint32_t i = mh_request_member(request)->slot;
    atomic_store(&mh_shared->view.slots[i].suspicion, (uint32_t)why);
    if (hap_shared_flags(&mh_shared->view, i, HAP_FLAG_SUSPECT, 0)) {
        mh_shared_wake();
    }
}

/*
 * A tunnel is open for as long as it likes, and its 101 goes to the client past the filter that
 * sees answers begin.
 */
static bool asks_for_tunnel(const mh_request_t *request)
{
    const proxy_worker_shared *worker = mh_request_member(request)->worker->s;
    bool may_upgrade = *worker->upgrade || apr_tolower(*worker->scheme) == 'w';
    return may_upgrade && apr_table_get(request->r->headers_in, "Upgrade");
}

static void wait_begins(mh_request_t *request)
{
    if (asks_for_tunnel(request)) {
        return;
    }
    request->waiting = true;
    request->trial =
        hap_stall_begin(&request->app->stalls, (uint32_t)request->member, request->started_us);
    if (request->trial) {
        suspect(request, HAP_SUSPICION_SILENCE);
    }
}

int mh_request_pick(mh_request_t *request)
{
    mh_queue_ticket_t ticket = {0};
    bool picked = pick_once(request);
    while (!picked && request->why == HAP_PICK_FULL && mh_queue_wait(request->app, &ticket)) {
        picked = pick_once(request);
    }
    mh_queue_leave(request->app, &ticket);
    if (picked) {
        wait_begins(request);
        if (request->tried_n == 0) {
            apr_pool_cleanup_register(request->r->pool, request, count_out_at_end,
                                      apr_pool_cleanup_null);
        }
        return OK;
    }
    request->member = -1;
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, request->r, "%s: no member for %s: %s",
                  request->app->name, request->r->uri, hap_pick_whys[request->why]);
    return HTTP_SERVICE_UNAVAILABLE;
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

void mh_request_answered(mh_request_t *request)
{
    if (!request->waiting) {
        return;
    }
    wait_ends(request, true);
    /* An error is quickly said: it would make a broken member look fast. */
    if (request->app->policy.method == HAP_METHOD_LATENCY &&
        request->r->status < HTTP_INTERNAL_SERVER_ERROR) {
        learn_latency(&mh_shared->view.slots[mh_request_member(request)->slot],
                      request->started_us);
    }
}

void mh_request_settle(mh_request_t *request, mh_outcome_t outcome)
{
    hap_slot_t *slot = &mh_shared->view.slots[mh_request_member(request)->slot];
    count_out(request);
    switch (outcome) {
    case MH_OUTCOME_SERVED:
        hap_passive_ok(&slot->passive);
        break;
    case MH_OUTCOME_NO_CONNECT:
        suspect(request, HAP_SUSPICION_CONNECT);
        break;
    case MH_OUTCOME_FAILED:
        if (hap_passive_error(&slot->passive, ERRORS_TO_SUSPECT)) {
            suspect(request, HAP_SUSPICION_ERRORS);
        }
        break;
    case MH_OUTCOME_TIMED_OUT:
        suspect(request, HAP_SUSPICION_TIMEOUT);
        break;
    case MH_OUTCOME_UNKNOWN:
        break;
    }
}

bool mh_request_may_retry(mh_request_t *request)
{
    const mh_app_t *app = request->app;
    bool bound = request->session.member >= 0 && app->policy.failover == HAP_FAILOVER_STRICT;
    if (bound || request->tried_n >= app->policy.retries) {
        return false;
    }
    hap_balancer_t *balancer = &mh_shared->view.balancers[app->balancer];
    if (!hap_budget_take(balancer, app->policy.retry_budget, mh_now_us())) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, request->r,
                      "%s: not tried again, the retry budget is used up", app->name);
        return false;
    }
    request->tried[request->tried_n++] = (uint32_t)request->member;
    return true;
}
