/* SPDX-License-Identifier: Apache-2.0 */
/* Owns making the stores of a loop. */
#include "mh_lane_stores.h"

#include "mh_log.h"

typedef struct stored_t {
    ml_io_t io;
    ml_work_t flush;
    bool asked;        /* `flush` is deferred */
    hapstore_t *store; /* NULL: there is none */
} stored_t;

struct mh_lane_stores_t {
    bool ended;
    stored_t stored[]; /* by mh_app_t.index */
};

static void ready(ml_io_t *io, uint32_t events)
{
    hapstore_turn(ML_OWNER(io, stored_t, io)->store);
}

static void flush(ml_work_t *work, ml_loop_t *loop)
{
    stored_t *stored = ML_OWNER(work, stored_t, flush);
    stored->asked = false;
    hapstore_flush(stored->store);
}

static const ml_io_iface_t iface = {.name = "store", .ready = ready};

static bool watch(stored_t *stored, ml_loop_t *loop, const hapstore_t *store, const mh_app_t *app)
{
    apr_status_t rv = ml_io_add(&stored->io, loop, &iface, hapstore_fd(store), EPOLLIN);
    if (rv != APR_SUCCESS) {
        ap_log_error(
            APLOG_MARK, APLOG_CRIT, rv, app->server,
            "%s: its store cannot be waited for: its sessions are not protected in the lane",
            app->name);
    }
    return rv == APR_SUCCESS;
}

/* Comes before the stores' own ends. */
static apr_status_t on_pool_end(void *stores)
{
    ((mh_lane_stores_t *)stores)->ended = true;
    return APR_SUCCESS;
}

mh_lane_stores_t *mh_lane_stores_create(ml_loop_t *loop, apr_pool_t *p)
{
    size_t bytes = sizeof(mh_lane_stores_t) + (size_t)mh_apps->nelts * sizeof(stored_t);
    mh_lane_stores_t *stores = apr_pcalloc(p, bytes);
    apr_pool_pre_cleanup_register(p, stores, on_pool_end);
    for (int i = 0; i < mh_apps->nelts; i++) {
        mh_zone_t *zone = mh_zone_of(mh_app_at(i));
        stored_t *stored = &stores->stored[i];
        hapstore_t *store = zone ? mh_zone_store(zone, p) : NULL;
        if (store && watch(stored, loop, store, zone->app)) {
            stored->store = store;
            stored->flush.run = flush;
        }
    }
    return stores;
}

hapstore_t *mh_lane_store(const mh_lane_stores_t *stores, const mh_zone_t *zone)
{
    return stores->stored[zone->app->index].store;
}

bool mh_lane_stores_run(mh_lane_stores_t *stores, const mh_zone_t *zone, hapstore_op_t *op)
{
    stored_t *stored = &stores->stored[zone->app->index];
    bool over = hapstore_run(stored->store, op);
    if (!over && !stored->asked) {
        stored->asked = true;
        ml_loop_defer(stored->io.loop, &stored->flush);
    }
    return over;
}

bool mh_lane_stores_ended(const mh_lane_stores_t *stores)
{
    return stores->ended;
}
