/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns line-ups: an application's members as they are at one time, immutable once made. A request
 * holds the one that it has chosen from; the map's next one takes its place for those that choose
 * later (doc/architecture.md). Does not read maps.
 */
#ifndef MH_LINEUP_H
#define MH_LINEUP_H

#include "hap_follow.h"
#include "lane/ml_loop.h"
#include "mh_app.h"
#include "mh_guests.h"

/** A line-up. */
struct mh_lineup_t {
    mh_app_t *app;
    const hap_roster_t *roster; /* each binding is the member at the same place */
    mh_member_t *members;
    _Atomic unsigned users; /* requests, and the application while it is in force */
    bool keeps;             /* members against the map, until others can be used */
    apr_pool_t *pool;       /* NULL: the configuration's, which stays */
    ml_work_t end;          /* frees it, in the loop */
};

/** The members as configured. Parent, once they have their slots; from `p`. */
mh_lineup_t *mh_lineup_configured(mh_app_t *app, apr_pool_t *p);

/** What a line-up is made from. Borrows. */
typedef struct mh_lineup_from_t {
    const hap_map_t *map;    /* NULL: there is none */
    mh_guests_t *guests;     /* open */
    const mh_lineup_t *last; /* whose workers go on */
    bool says;               /* this child says what cannot be done */
} mh_lineup_from_t;

/** A line-up that is being made. */
typedef struct mh_plan_t mh_plan_t;

/**
 * What the application's members are by the map; NULL if nothing about them would be another than
 * in `last`. From `p`. Not in a thread that requests wait for.
 */
mh_plan_t *mh_lineup_plan(mh_app_t *app, const mh_lineup_from_t *from, apr_pool_t *p);

/**
 * Makes it, with the workers that it needs; `parent`'s allocator is used by several threads. Says
 * in the log which member mod_proxy does not take. Likewise, without the guests.
 */
mh_lineup_t *mh_lineup_make(mh_plan_t *plan, apr_pool_t *parent, apr_pool_t *p);

/** One user more. Any thread that knows of one that stays meanwhile. */
static inline void mh_lineup_hold(mh_lineup_t *lineup)
{
    if (lineup->pool) {
        atomic_fetch_add_explicit(&lineup->users, 1, memory_order_relaxed);
    }
}

/** One user less; the last one has it freed. Any thread. */
void mh_lineup_drop(mh_lineup_t *lineup);

static inline mh_member_t *mh_lineup_member(const mh_lineup_t *lineup, uint32_t i)
{
    return &lineup->members[i];
}

/** The member of this route, or NULL. */
static inline mh_member_t *mh_lineup_find(const mh_lineup_t *lineup, const char *route)
{
    int i = hap_roster_find(lineup->roster, hap_str(route));
    return i < 0 ? NULL : &lineup->members[i];
}

#endif
