/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the child's loop and its schedules. Does not choose members. */
#include "mh_child.h"

#include <ap_mpm.h>
#include <apr_strings.h>
#include <stdlib.h>
#include <unistd.h>

#include "mh_health.h"
#include "mh_lane.h"
#include "mh_lineup.h"
#include "mh_log.h"
#include "mh_map.h"
#include "mh_queue.h"
#include "mh_shared.h"
#include "mh_zone.h"

/* How long an old schedule is kept at least before it is asked for again whether it may go. */
enum {
    RETIRE_US = 10000,
    RETIRE_LINEUP_US = 1000 /* the next one may be waited for */
};

/*
 * A silent member may hold all but a quarter of a child's threads, where a quarter is any; half of
 * the quarter is for requests that try whether it is silent still.
 */
enum { SPARED_PART = 4, TRIALS_PART = 2 };

/** The loop's part of one application. */
typedef struct schedule_work_t {
    ml_work_t work;        /* posted when the schedule is stale */
    ml_timer_t retire;     /* asks whether the old schedule may be freed */
    mh_app_t *app;         /* whose */
    apr_pool_t *pool;      /* of the schedule in use; NULL for the parent's first one */
    apr_pool_t *old_pool;  /* of the one before, until no thread reads it */
    mh_lineup_t *old;      /* the line-up before, likewise; NULL: it is still in force */
    mh_lineup_t *next;     /* to be put in force; NULL none */
    bool again;            /* a schedule was asked for while the last one was being retired */
    hap_epoch_wait_t wait; /* for old_pool and old */
} schedule_work_t;

/* Set once in child_init, before other threads run. */
static struct {
    ml_loop_t *loop;
    hap_row_t *row;
    apr_pool_t *pool;
    schedule_work_t *schedules; /* as mh_apps */
    bool serves;                /* requests may have come: what was made is in use */
} child;

hap_row_t *mh_child_row(void)
{
    return child.row;
}

void mh_child_gone(pid_t pid)
{
    if (mh_shared) {
        hap_shared_release_row(&mh_shared->view, (int32_t)pid);
    }
}

void mh_child_schedule_is_stale(mh_app_t *app)
{
    if (!child.loop || atomic_exchange_explicit(&app->stale, true, memory_order_acq_rel)) {
        return;
    }
    ml_loop_post(child.loop, &child.schedules[app->index].work);
}

void mh_child_post(ml_work_t *work)
{
    if (child.loop) {
        ml_loop_post(child.loop, work);
    }
}

bool mh_child_is_threaded(void)
{
    int threaded = 0;
    ap_mpm_query(AP_MPMQ_IS_THREADED, &threaded);
    return threaded != 0;
}

/* Below pconf, as httpd -X unloads the module with that. */
apr_pool_t *mh_child_own_pool(server_rec *s)
{
    apr_pool_t *p;
    apr_allocator_t *allocator;
    apr_allocator_create(&allocator);
    apr_pool_create_ex(&p, s->process->pconf, NULL, allocator);
    apr_allocator_owner_set(allocator, p);
    apr_pool_tag(p, "mod_haproxy_thread");
    return p;
}

static void replace(schedule_work_t *self, ml_loop_t *loop);

/* False while a thread may still read it. */
static bool free_old(schedule_work_t *self)
{
    if (!hap_epoch_quiet(&self->app->epoch, &self->wait)) {
        return false;
    }
    if (self->old_pool) {
        apr_pool_destroy(self->old_pool);
        self->old_pool = NULL;
    }
    if (self->old) {
        mh_lineup_drop(self->old);
        self->old = NULL;
    }
    return true;
}

static void try_to_free(ml_timer_t *timer, ml_loop_t *loop)
{
    schedule_work_t *self = ML_OWNER(timer, schedule_work_t, retire);
    if (!free_old(self)) {
        ml_timer_set(loop, timer, self->old ? RETIRE_LINEUP_US : RETIRE_US);
        return;
    }
    if (self->next || self->again) {
        replace(self, loop);
    }
}

/* The schedule for the next line-up, if there is one. */
static void lay_out(schedule_work_t *self)
{
    mh_app_t *app = self->app;
    apr_pool_t *pool;
    apr_pool_create(&pool, child.pool);
    apr_pool_tag(pool, "mod_haproxy_schedule");
    self->again = false;
    if (self->next) {
        self->old = app->lineup;
        app->lineup = self->next;
        self->next = NULL;
    }
    atomic_store(&app->schedule, hap_schedule_make(app->lineup->roster, &mh_shared->view, pool));
    self->old_pool = self->pool;
    self->pool = pool;
}

/* What other parts of the child have to do with who the members are. The old ones are there still.
 */
static void tell_others(schedule_work_t *self)
{
    mh_health_follow(self->app, self->old);
    mh_lane_follow();
    mh_queue_release(self->app);
}

static void replace(schedule_work_t *self, ml_loop_t *loop)
{
    lay_out(self);
    self->wait = (hap_epoch_wait_t){0};
    if (!self->old) {
        ml_timer_set(loop, &self->retire, RETIRE_US);
        return;
    }
    tell_others(self);
    if (!free_old(self)) {
        ml_timer_set(loop, &self->retire, RETIRE_LINEUP_US);
    }
    mh_map_followed();
}

/* Whoever finds the schedule stale from here on posts the work once more. */
static void replace_schedule(ml_work_t *work, ml_loop_t *loop)
{
    schedule_work_t *self = ML_OWNER(work, schedule_work_t, work);
    atomic_store(&self->app->stale, false);
    self->again = ml_timer_is_set(&self->retire);
    if (!self->again) {
        replace(self, loop);
    }
}

mh_lineup_t *mh_child_lineup(const mh_app_t *app)
{
    const schedule_work_t *self = &child.schedules[app->index];
    return self->next ? self->next : app->lineup;
}

void mh_child_follow(mh_lineup_t *lineup)
{
    schedule_work_t *self = &child.schedules[lineup->app->index];
    if (self->next) {
        mh_lineup_drop(self->next);
    }
    self->next = lineup;
    if (!child.serves) {
        lay_out(self); /* what was the parent's stays where it is */
        self->old = NULL;
    } else if (!ml_timer_is_set(&self->retire)) {
        replace(self, child.loop);
    }
}

/* By slot. Much of it is never touched: calloc gives pages that the system has not made yet. */
static hap_stalls_t watch_stalls(void)
{
    int threads = 0;
    size_t size = ((size_t)mh_shared->view.geometry.slots + 1) * sizeof(hap_stall_t);
    ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads);
    uintptr_t memory = (uintptr_t)calloc(1, size);
    uint32_t spared = (uint32_t)(threads / SPARED_PART);
    uint32_t limit = spared && memory ? (uint32_t)threads - spared : 0;
    return (hap_stalls_t){
        .members = (void *)APR_ALIGN(memory, HAP_CACHE_LINE),
        .limit = limit,
        .most = limit + spared / TRIALS_PART,
    };
}

static void make_schedules(apr_pool_t *p)
{
    hap_stalls_t stalls = watch_stalls();
    child.schedules = apr_pcalloc(p, (size_t)(mh_apps->nelts + 1) * sizeof(*child.schedules));
    for (int i = 0; i < mh_apps->nelts; i++) {
        schedule_work_t *self = &child.schedules[i];
        self->app = mh_app_at(i);
        self->work.run = replace_schedule;
        self->retire.fire = try_to_free;
        self->app->stalls = stalls;
    }
}

/*
 * prefork ends a child from inside a signal handler, so the thread that waits here may hold a lock
 * that the loop needs: waiting has an end. The process is about to exit either way.
 */
static apr_status_t stop_loop(void *unused)
{
    mh_lane_finish();
    ml_loop_stop(child.loop);
    ml_loop_join(child.loop, APR_USEC_PER_SEC);
    mh_map_stop();
    if (mh_child_is_threaded()) {
        mh_zones_stop();
    }
    return APR_SUCCESS;
}

/* A child beyond all rows still serves; what it has in flight is then only known to itself. */
static hap_row_t *claim_row(apr_pool_t *p, server_rec *s)
{
    hap_row_t *row = hap_shared_claim_row(&mh_shared->view, (int32_t)getpid());
    if (!row) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     "no room to share this child's in-flight counts: too many old children are "
                     "still finishing");
        char *memory = apr_pcalloc(p, mh_shared->view.row_size + HAP_CACHE_LINE);
        row = (void *)APR_ALIGN((uintptr_t)memory, HAP_CACHE_LINE);
    }
    return row;
}

static apr_status_t start_loop(apr_pool_t *p, server_rec *s)
{
    apr_status_t rv = ml_loop_create(&child.loop, p);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = mh_health_start(child.loop, p, s);
    if (rv == APR_SUCCESS) {
        rv = mh_map_start(child.loop, p, s);
    }
    if (rv == APR_SUCCESS) {
        rv = mh_lane_start(child.loop, p, s);
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    child.serves = true;
    rv = ml_loop_start(child.loop);
    if (rv != APR_SUCCESS) {
        mh_lane_cancel();
    }
    return rv;
}

/*
 * mod_proxy_balancer does this in the first child only, and leaves it to the first requests of the
 * others, under a lock that the next graceful restart takes away: two threads of a child that has
 * just begun would then do it at once, and break.
 */
static void prepare_workers(apr_pool_t *p, server_rec *s)
{
    for (int i = 0; i < mh_apps->nelts; i++) {
        const apr_array_header_t *members = mh_app_at(i)->members;
        for (int j = 0; j < members->nelts; j++) {
            ap_proxy_initialize_worker(APR_ARRAY_IDX(members, j, mh_member_t).worker, s, p);
        }
    }
}

void mh_child_start(apr_pool_t *p, server_rec *s)
{
    /* What HAListen names is to be accepted even when no balancer is ours. */
    if (!mh_shared || (mh_apps->nelts == 0 && !mh_lane_wanted())) {
        return;
    }
    prepare_workers(p, s);
    child.pool = mh_child_own_pool(s);
    child.row = claim_row(p, s);
    make_schedules(p);
    mh_zones_start(child.pool);
    apr_status_t rv = start_loop(child.pool, s);
    if (rv != APR_SUCCESS) {
        child.loop = NULL;
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s,
                     "no event loop in this child: it serves, but "
                     "checks no member's health");
        return;
    }
    apr_pool_pre_cleanup_register(p, NULL, stop_loop);
}
