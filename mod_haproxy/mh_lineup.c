/* SPDX-License-Identifier: Apache-2.0 */
/* Owns making line-ups from the configuration and a map. */
#include "mh_lineup.h"

#include <apr_strings.h>

#include "mh_child.h"
#include "mh_log.h"
#include "mh_shared.h"

enum { WEIGHT_DEFAULT = 100, WEIGHT_UNIT = 100 /* of the map's */ };

/** A member that is planned. */
typedef struct planned_t {
    hap_follow_t as;
    const mh_member_t *configured; /* NULL: the map's alone */
    mh_worker_t *hired;            /* of the last line-up, at the same address; NULL none */
    const char *url;               /* that a worker is to be made for, if none is; NULL: none */
    uint32_t slot;
    uint32_t weight;
    uint32_t told;
    bool mapped;
    bool kept; /* the map has taken it out, but nobody else can be used */
} planned_t;

struct mh_plan_t {
    mh_app_t *app;
    hap_roster_kind_t kind;
    planned_t *members;
    unsigned n;
    bool keeps; /* some of them against the map */
    bool says;
};

/* --- where a member is ------------------------------------------------------------------------ */

static hap_str_t host_of(const proxy_worker_shared *worker, apr_pool_t *p)
{
    const char *name = worker->hostname_ex;
    bool literal = strchr(name, ':') != NULL;
    const char *port =
        worker->port == DEFAULT_HTTP_PORT ? "" : apr_psprintf(p, ":%d", (int)worker->port);
    return hap_str(apr_pstrcat(p, literal ? "[" : "", name, literal ? "]" : "", port, NULL));
}

/* The path of a worker's URL, without a slash at its end. */
static hap_str_t base_of(const proxy_worker_shared *worker, apr_pool_t *p)
{
    const char *after = strstr(worker->name_ex, "://");
    const char *path = after ? strchr(after + 3, '/') : NULL;
    size_t n = path ? strlen(path) : 0;
    n -= n && path[n - 1] == '/';
    return hap_strn(path ? apr_pstrmemdup(p, path, n) : NULL, n);
}

static bool is_plain_http(const proxy_worker_shared *worker)
{
    return ap_cstr_casecmp(worker->scheme, "http") == 0 && !*worker->uds_path;
}

static hap_str_t bare(const char *url)
{
    size_t n = strlen(url);
    return hap_strn(url, n - (n && url[n - 1] == '/'));
}

static void set_address(mh_member_t *member, apr_pool_t *p)
{
    const proxy_worker_shared *worker = member->worker->s;
    member->host = host_of(worker, p);
    member->base = base_of(worker, p);
    member->plain = is_plain_http(worker);
}

/* --- as configured ---------------------------------------------------------------------------- */

static uint32_t weight_of(const proxy_worker_shared *worker)
{
    int weight = worker->lbfactor;
    return weight > 0 ? (uint32_t)weight : WEIGHT_DEFAULT;
}

static hap_member_t as_configured(mh_member_t *member)
{
    return (hap_member_t){
        .route = hap_str(member->name),
        .slot = member->slot,
        .weight = weight_of(member->worker->s),
        .lbset = member->worker->s->lbset,
        .spare = member->worker->s->status & PROXY_WORKER_HOT_SPARE,
        .binding = member,
    };
}

/* Requests count in what mod_proxy shares of it, and operators change it. */
static void set_model(mh_member_t *member, apr_pool_t *p)
{
    member->model = apr_pmemdup(p, member->own_worker->s, sizeof(*member->model));
}

mh_lineup_t *mh_lineup_configured(mh_app_t *app, apr_pool_t *p)
{
    unsigned n = (unsigned)app->members->nelts;
    hap_member_t *rows = apr_pcalloc(p, (n + 1) * sizeof(*rows));
    mh_lineup_t *lineup = apr_pcalloc(p, sizeof(*lineup));
    lineup->app = app;
    lineup->members = (void *)app->members->elts;
    for (unsigned i = 0; i < n; i++) {
        set_address(&lineup->members[i], p);
        if (app->follows) {
            set_model(&lineup->members[i], p);
        }
        rows[i] = as_configured(&lineup->members[i]);
    }
    const hap_roster_kind_t kind = {
        .hashed = app->policy.method == HAP_METHOD_HASH,
        .owner = lineup,
    };
    lineup->roster = hap_roster_make(rows, n, kind, p);
    return lineup;
}

/* --- by the map ------------------------------------------------------------------------------- */

static const char *const *routes_of(const mh_app_t *app, apr_pool_t *p)
{
    int n = app->members->nelts;
    const char **routes = apr_pcalloc(p, (size_t)(n + 1) * sizeof(*routes));
    for (int i = 0; i < n; i++) {
        routes[i] = mh_app_member(app, i)->name;
    }
    return routes;
}

/* Whose parameters a member has. */
static const mh_member_t *like_of(const mh_app_t *app, const mh_member_t *configured)
{
    return configured ? configured : mh_app_member(app, 0);
}

/* A worker is needed where the configuration has none at that address; the last one's goes on. */
static void plan_address(planned_t *row, const mh_app_t *app, const mh_lineup_t *last,
                         apr_pool_t *p)
{
    const char *url = row->as.mapped ? row->as.mapped->url : NULL;
    const mh_member_t *was = mh_lineup_find(last, row->as.route);
    if (!url || (row->configured && mh_worker_is_at(row->configured->worker, url, p))) {
        return;
    }
    row->url = mh_worker_url(url, like_of(app, row->configured)->worker, p);
    if (was && was->hired && strcmp(was->hired->url, row->url) == 0) {
        row->hired = was->hired;
    }
}

static bool plan_member(planned_t *row, const mh_app_t *app, const mh_lineup_from_t *from,
                        apr_pool_t *p)
{
    const hap_map_member_t *mapped = row->as.mapped;
    row->configured = row->as.configured < 0 ? NULL : mh_app_member(app, row->as.configured);
    row->weight = mapped            ? mapped->weight * WEIGHT_UNIT
                  : row->configured ? weight_of(row->configured->model)
                                    : WEIGHT_DEFAULT;
    row->told = hap_follow_told(mapped);
    row->mapped = mapped != NULL;
    plan_address(row, app, from->last, p);
    int slot = row->configured ? (int)row->configured->slot
                               : mh_guests_slot(from->guests, app->name, row->as.route);
    row->slot = (uint32_t)slot;
    return slot >= 0;
}

static void say_no_room(const mh_app_t *app, const planned_t *row)
{
    ap_log_error(
        APLOG_MARK, APLOG_ERR, 0, app->server,
        "%s: member %s: not added: HAMaxMembers: there is no room for more than %u members "
        "of the map",
        app->name, row->as.route, mh_shared->view.geometry.guests);
}

/* What was there once needs no place any more, but has one as long as it is known. */
static bool is_wanted(const planned_t *row)
{
    return row->as.standing != HAP_STANDING_GONE;
}

static bool same_member(const planned_t *row, const mh_lineup_t *last, unsigned i)
{
    const hap_member_t *was = &last->roster->members[i];
    const mh_member_t *member = &last->members[i];
    return hap_str_eq(was->route, hap_str(row->as.route)) && was->slot == row->slot &&
           was->weight == row->weight && was->told == row->told && was->mapped == row->mapped &&
           was->standing == row->as.standing && member->kept == row->kept &&
           member->hired == row->hired && (row->hired || !row->url);
}

static bool same_lineup(const mh_plan_t *plan, const mh_lineup_t *last)
{
    const hap_roster_kind_t *kind = &last->roster->kind;
    bool same = plan->n == last->roster->n && plan->kind.single == kind->single &&
                plan->kind.epoch == kind->epoch;
    for (unsigned i = 0; same && i < plan->n; i++) {
        same = same_member(&plan->members[i], last, i);
    }
    return same;
}

/* At another address nothing speaks against it. */
static bool may_be_used(const planned_t *row)
{
    uint32_t flags = hap_shared_flags_of(&mh_shared->view, row->slot);
    bool elsewhere = row->url && !row->hired;
    bool admin = row->mapped && !(flags & HAP_FLAG_OPERATOR);
    return row->as.standing == HAP_STANDING_SERVES && !(row->told & HAP_FLAG_MAINT) &&
           (elsewhere || !(flags & HAP_FLAG_DOWN)) && (admin || !(flags & HAP_FLAG_MAINT));
}

/* It stays what it was. */
static void keep(planned_t *row, const mh_lineup_t *last)
{
    const mh_member_t *was = mh_lineup_find(last, row->as.route);
    const hap_member_t *before = was ? &last->roster->members[was - last->members] : NULL;
    if (row->as.standing != HAP_STANDING_GONE || !was || !was->hired) {
        return;
    }
    planned_t kept = *row;
    kept.as.standing = was->standing;
    kept.hired = was->hired;
    kept.url = was->hired->url;
    kept.weight = before->weight;
    kept.told = before->told;
    kept.mapped = before->mapped;
    kept.kept = true;
    if (may_be_used(&kept)) {
        *row = kept;
    }
}

/* Whoever is the last that can be used is not taken out: that would be no change of members but an
 * end of the service. */
static void keep_last(mh_plan_t *plan, const mh_lineup_t *last)
{
    for (unsigned i = 0; i < plan->n; i++) {
        if (may_be_used(&plan->members[i])) {
            return;
        }
    }
    for (unsigned i = 0; i < plan->n && !plan->kind.single; i++) {
        keep(&plan->members[i], last);
        plan->keeps = plan->keeps || plan->members[i].kept;
    }
}

mh_plan_t *mh_lineup_plan(mh_app_t *app, const mh_lineup_from_t *from, apr_pool_t *p)
{
    const hap_map_app_t *mapped = hap_follow_app(from->map, hap_str(app->label));
    const apr_array_header_t *known = mh_guests_of(from->guests, app->name, p);
    const hap_follow_from_t join = {
        .configured = routes_of(app, p),
        .configured_n = (unsigned)app->members->nelts,
        .app = mapped,
        .known = (const void *)known->elts,
        .known_n = (unsigned)known->nelts,
    };
    unsigned n = 0;
    const hap_follow_t *rows = hap_follow(&n, &join, p);
    mh_plan_t *plan = apr_pcalloc(p, sizeof(*plan));
    plan->app = app;
    plan->says = from->says;
    plan->kind.hashed = app->policy.method == HAP_METHOD_HASH;
    plan->kind.single = mapped && mapped->single;
    plan->kind.epoch = mapped ? mapped->epoch : 0;
    plan->members = apr_pcalloc(p, (n + 1) * sizeof(*plan->members));
    for (unsigned i = 0; i < n; i++) {
        planned_t *row = &plan->members[plan->n];
        row->as = rows[i];
        if (plan_member(row, app, from, p)) {
            plan->n++;
        } else if (is_wanted(row) && from->says) {
            say_no_room(app, row);
        }
    }
    keep_last(plan, from->last);
    return same_lineup(plan, from->last) ? NULL : plan;
}

static bool can_be_checked(const mh_app_t *app, const proxy_worker *worker)
{
    return !app->check.uri.n || mh_speaks_http(worker);
}

/* A worker for the address of the map; NULL when there is none to be had. */
static mh_worker_t *hire(const planned_t *row, const mh_plan_t *plan, apr_pool_t *parent,
                         apr_pool_t *p)
{
    const char *why = NULL;
    const mh_app_t *app = plan->app;
    if (row->hired) {
        mh_worker_hold(row->hired);
        return row->hired;
    }
    const mh_member_t *like = like_of(app, row->configured);
    mh_worker_t *hired = mh_worker_make(row->url, row->as.route, like->worker, like->model,
                                        app->server, parent, &why, p);
    if (hired && !can_be_checked(app, hired->worker)) {
        why = "HACheck cannot ask it for its uri=, as it does not speak HTTP";
        mh_worker_drop(hired);
        hired = NULL;
    }
    if (!hired && plan->says) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, app->server, "%s: member %s: not at %s: %s",
                     app->name, row->as.route, row->url, why);
    }
    return hired;
}

/* Without an address there is nothing to serve with. */
static void make_member(mh_member_t *member, const planned_t *row, const mh_lineup_t *lineup,
                        const mh_plan_t *plan, apr_pool_t *parent, apr_pool_t *p)
{
    member->app = lineup->app;
    member->name = apr_pstrdup(lineup->pool, row->as.route);
    member->slot = row->slot;
    if (row->configured) {
        *member = *row->configured;
    }
    member->standing = row->as.standing;
    member->kept = row->kept;
    if (row->url) {
        member->hired = hire(row, plan, parent, p);
    }
    if (member->hired) {
        member->worker = member->hired->worker;
        member->like = like_of(lineup->app, row->configured)->worker;
        member->own_url = bare(member->worker->s->name_ex);
        member->like_url = bare(member->like->s->name_ex);
        set_address(member, lineup->pool);
    } else if (!member->worker) {
        member->standing = HAP_STANDING_GONE;
    }
}

static hap_member_t roster_row(const planned_t *row, mh_member_t *member)
{
    const proxy_worker_shared *model = row->configured ? row->configured->model : NULL;
    return (hap_member_t){
        .route = hap_str(member->name),
        .slot = row->slot,
        .weight = row->weight,
        .lbset = model ? model->lbset : 0,
        .spare = model && model->status & PROXY_WORKER_HOT_SPARE,
        .mapped = row->mapped,
        .standing = member->standing,
        .told = row->told,
        .binding = member,
    };
}

mh_lineup_t *mh_lineup_make(mh_plan_t *plan, apr_pool_t *parent, apr_pool_t *p)
{
    apr_pool_t *pool;
    apr_pool_create(&pool, parent);
    apr_pool_tag(pool, "mod_haproxy_lineup");
    mh_lineup_t *lineup = apr_pcalloc(pool, sizeof(*lineup));
    hap_member_t *rows = apr_pcalloc(pool, (plan->n + 1) * sizeof(*rows));
    lineup->app = plan->app;
    lineup->pool = pool;
    lineup->users = 1;
    lineup->keeps = plan->keeps;
    lineup->members = apr_pcalloc(pool, (plan->n + 1) * sizeof(*lineup->members));
    for (unsigned i = 0; i < plan->n; i++) {
        make_member(&lineup->members[i], &plan->members[i], lineup, plan, parent, p);
        rows[i] = roster_row(&plan->members[i], &lineup->members[i]);
    }
    plan->kind.owner = lineup;
    lineup->roster = hap_roster_make(rows, plan->n, plan->kind, pool);
    return lineup;
}

/* --- its end ---------------------------------------------------------------------------------- */

static void end(ml_work_t *work, ml_loop_t *loop)
{
    mh_lineup_t *lineup = ML_OWNER(work, mh_lineup_t, end);
    for (uint32_t i = 0; i < lineup->roster->n; i++) {
        if (lineup->members[i].hired) {
            mh_worker_drop(lineup->members[i].hired);
        }
    }
    apr_pool_destroy(lineup->pool);
}

/* The loop frees it: requests have better things to do than to close connections. */
void mh_lineup_drop(mh_lineup_t *lineup)
{
    if (lineup->pool && atomic_fetch_sub_explicit(&lineup->users, 1, memory_order_acq_rel) == 1) {
        lineup->end.run = end;
        mh_child_post(&lineup->end);
    }
}
