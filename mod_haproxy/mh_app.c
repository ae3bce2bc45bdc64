/* SPDX-License-Identifier: Apache-2.0 */
/* Owns joining mod_proxy's balancers with HABalancer, HACheck and HAZone at startup. */
#include "mh_app.h"

#include <ap_provider.h>
#include <apr_hash.h>
#include <apr_strings.h>

#include "hap_grammar.h"
#include "mh_app_zone.h"
#include "mh_lineup.h"
#include "mh_log.h"
#include "mh_secret.h"
#include "mh_shared.h"

/* The directives for one balancer, as a server has them. */
typedef struct lines_t {
    const mh_named_t *own;   /* HABalancer */
    const mh_named_t *check; /* HACheck; NULL: none */
    const mh_named_t *zone;  /* HAZone; NULL: none */
} lines_t;

apr_array_header_t *mh_apps;

/* proxy_balancer * -> mh_app_t *; virtual hosts have copies of one balancer. */
static apr_hash_t *by_balancer;

mh_app_t *mh_app_of(const proxy_balancer *balancer)
{
    return apr_hash_get(by_balancer, &balancer, sizeof(balancer));
}

mh_app_t *mh_app_find(const char *name)
{
    for (int i = 0; i < mh_apps->nelts; i++) {
        mh_app_t *app = mh_app_at(i);
        if (ap_cstr_casecmp(app->name, name) == 0) {
            return app;
        }
    }
    return NULL;
}

hap_admin_t mh_admin_of(unsigned status)
{
    if (status & (PROXY_WORKER_DISABLED | PROXY_WORKER_STOPPED)) {
        return HAP_ADMIN_MAINT;
    }
    if (status & PROXY_WORKER_DRAIN) {
        return HAP_ADMIN_DRAIN;
    }
    return status & PROXY_WORKER_HOT_STANDBY ? HAP_ADMIN_STANDBY : HAP_ADMIN_ENABLED;
}

/*
 * What contradicts the state goes. What does not stays as it was configured, such as the standby
 * below a drain: it shows again when the state above it ends.
 */
void mh_admin_show(proxy_worker *worker, hap_admin_t admin)
{
    enum { OFF = PROXY_WORKER_DISABLED | PROXY_WORKER_STOPPED };
    static const struct {
        unsigned set, clear;
    } flags[HAP_ADMIN_COUNT] = {
        [HAP_ADMIN_ENABLED] = {0, OFF | PROXY_WORKER_DRAIN | PROXY_WORKER_HOT_STANDBY},
        [HAP_ADMIN_DRAIN] = {PROXY_WORKER_DRAIN, OFF},
        [HAP_ADMIN_MAINT] = {PROXY_WORKER_DISABLED, 0},
        [HAP_ADMIN_STANDBY] = {PROXY_WORKER_HOT_STANDBY, OFF | PROXY_WORKER_DRAIN},
    };
    unsigned status = worker->s->status;
    if (mh_admin_of(status) != admin) {
        worker->s->status = (status & ~flags[admin].clear) | flags[admin].set;
    }
}

apr_status_t mh_app_refuse(const mh_app_t *app, const mh_named_t *conf, apr_pool_t *p,
                           const char *why)
{
    ap_log_error(APLOG_MARK, APLOG_EMERG, 0, app->server, "%s %s (%s): %s",
                 conf->directive->directive, conf->name, mh_config_where(conf->directive, p), why);
    return APR_EINVAL;
}

apr_status_t mh_app_refuse_key(const mh_app_t *app, const mh_named_t *conf, const char *key,
                               apr_pool_t *p, const char *why)
{
    const mh_named_t shown = mh_config_by_key(conf, key);
    return mh_app_refuse(app, &shown, p, why);
}

static apr_status_t understand_sign(void *result, hap_str_t text, hap_diag_t *diag, apr_pool_t *p)
{
    hap_sign_t *sign = NULL;
    apr_status_t rv = hap_sign_parse(&sign, text, diag, p);
    *(const hap_sign_t **)result = sign;
    return rv;
}

static apr_status_t read_sign(mh_app_t *app, apr_pool_t *p)
{
    const mh_named_t conf = mh_config_by_key(app->conf, "sign");
    const mh_secret_t file = {app, &conf, "sign", app->policy.sign};
    return mh_secret_read(&app->affinity.sign, &file, understand_sign, p);
}

static apr_status_t set_affinity(mh_app_t *app, const proxy_balancer *balancer, apr_pool_t *p)
{
    const proxy_balancer_shared *shared = balancer->s;
    hap_affinity_rule_t *rule = &app->affinity;
    rule->mode = app->policy.affinity.mode;
    rule->app = hap_str(app->label);
    if (rule->mode == HAP_AFFINITY_INSERT) {
        rule->cookie = hap_str(app->policy.affinity.cookie);
        return app->policy.sign ? read_sign(app, p) : APR_SUCCESS;
    }
    if (rule->mode == HAP_AFFINITY_APP && !*shared->sticky) {
        /* As in mod_proxy: no stickysession, no sessions. */
        rule->mode = HAP_AFFINITY_NONE;
    }
    if (rule->mode == HAP_AFFINITY_APP && shared->sticky_separator != '.') {
        return mh_app_refuse(app, app->conf, p,
                             "stickysessionsep= other than a dot is not supported");
    }
    rule->cookie = hap_str(apr_pstrdup(p, shared->sticky));
    rule->path_param = hap_str(apr_pstrdup(p, shared->sticky_path));
    return APR_SUCCESS;
}

static apr_status_t set_check(mh_app_t *app, const mh_named_t *conf, apr_pool_t *p)
{
    hap_diag_t diag;
    hap_check_policy_t policy;
    hap_option_defaults(&policy, &hap_check_options);
    if (conf) {
        policy = conf->check;
    }
    app->rule = (hap_health_rule_t){
        .rise = policy.rise,
        .fall = policy.fall,
        .interval = policy.interval,
        .timeout = policy.timeout,
        .on_demand = conf == NULL,
        .connects_only = !policy.uri || !*policy.uri,
    };
    app->check.method = (hap_check_method_t)policy.method;
    if (hap_expect_parse(&app->check.expect, hap_str(policy.expect), &diag, p) != APR_SUCCESS) {
        return mh_app_refuse_key(app, conf, "expect", p, diag.why);
    }
    if (policy.uri &&
        hap_check_uri(&app->check.uri, hap_str(policy.uri), &diag, p) != APR_SUCCESS) {
        return mh_app_refuse_key(app, conf, "uri", p, diag.why);
    }
    if (conf && hap_health_rule_check(&app->rule, &diag) != APR_SUCCESS) {
        return mh_app_refuse(app, conf, p, diag.why);
    }
    return APR_SUCCESS;
}

/* mod_proxy's name of a worker leaves out the socket that it is reached through. */
static const char *full_url(const proxy_worker *worker, apr_pool_t *p)
{
    const proxy_worker_shared *s = worker->s;
    return *s->uds_path ? apr_pstrcat(p, "unix:", s->uds_path, "|", s->name_ex, NULL) : s->name_ex;
}

/* Without sessions a route is only a name, so one can be made. */
static const char *route_of(const proxy_worker *worker, apr_hash_t *seen, apr_pool_t *p)
{
    if (*worker->s->route) {
        return apr_pstrdup(p, worker->s->route);
    }
    const char *url = full_url(worker, p);
    const char *route = hap_grammar_route_of_url(url, p);
    /* The same host and port, another path. */
    bool taken = apr_hash_get(seen, route, APR_HASH_KEY_STRING);
    return taken ? hap_grammar_route_by_hash(url, p) : route;
}

bool mh_app_fails_by_status(const mh_app_t *app, int status)
{
    for (int i = 0; app->errstatuses && i < app->errstatuses->nelts; i++) {
        if (APR_ARRAY_IDX(app->errstatuses, i, int) == status) {
            return true;
        }
    }
    return false;
}

bool mh_speaks_http(const proxy_worker *worker)
{
    static const char *const schemes[] = {"http", "https", "ws", "wss"};
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        if (ap_cstr_casecmp(worker->s->scheme, schemes[i]) == 0) {
            return true;
        }
    }
    return false;
}

static apr_status_t add_member(mh_app_t *app, proxy_worker *worker, apr_hash_t *seen, apr_pool_t *p)
{
    if (!*worker->s->route && app->affinity.mode != HAP_AFFINITY_NONE) {
        return mh_app_refuse(
            app, app->conf, p,
            apr_psprintf(p,
                         "BalancerMember %s has no route=, sessions cannot be kept "
                         "on it",
                         worker->s->name_ex));
    }
    const char *route = route_of(worker, seen, p);
    const proxy_worker *twin = apr_hash_get(seen, route, APR_HASH_KEY_STRING);
    if (twin) {
        return mh_app_refuse(app, app->conf, p,
                             apr_psprintf(p,
                                          "route=%s is used by BalancerMember %s and by %s, routes "
                                          "must differ",
                                          route, twin->s->name_ex, worker->s->name_ex));
    }
    if (app->check.uri.n && !mh_speaks_http(worker)) {
        return mh_app_refuse_key(
            app, app->check_conf, "uri", p,
            apr_psprintf(p,
                         "BalancerMember %s cannot be asked for the uri= of HACheck: "
                         "it speaks %s, so leave uri= out to check by connecting",
                         worker->s->name_ex, worker->s->scheme));
    }
    apr_hash_set(seen, route, APR_HASH_KEY_STRING, worker);
    mh_member_t *member = &APR_ARRAY_PUSH(app->members, mh_member_t);
    *member = (mh_member_t){
        .app = app,
        .worker = worker,
        .own_worker = worker,
        .name = route,
        .configured = mh_admin_of(worker->s->status),
    };
    return APR_SUCCESS;
}

/* Cookies of ours are sent back to where the balancer is mounted, if that is one place. */
static const char *mount_path(const proxy_server_conf *conf, const proxy_balancer *balancer,
                              apr_pool_t *p)
{
    const char *path = NULL;
    size_t n = strlen(balancer->s->name);
    for (int i = 0; i < conf->aliases->nelts; i++) {
        const struct proxy_alias *alias = &APR_ARRAY_IDX(conf->aliases, i, struct proxy_alias);
        bool here = ap_cstr_casecmpn(alias->real, balancer->s->name, n) == 0 &&
                    (alias->real[n] == '/' || alias->real[n] == '\0');
        if (!here) {
            continue;
        }
        if (path || alias->regex || *alias->fake != '/') {
            return "/";
        }
        path = alias->fake;
    }
    if (!path || !path[1]) {
        return "/";
    }
    size_t len = strlen(path);
    return apr_pstrmemdup(p, path, path[len - 1] == '/' ? len - 1 : len);
}

/* Two virtual hosts may each have a balancer of the same name; the second one says where it is. */
static const char *unique_name(const char *label, const server_rec *s, apr_pool_t *p)
{
    if (!mh_app_find(label)) {
        return label;
    }
    return apr_psprintf(p, "%s@%s:%d", label, s->server_hostname ? s->server_hostname : "",
                        (int)s->port);
}

/* Where the key that is needed is given, else where the one that needs it is. */
static apr_status_t refuse_clash(const mh_app_t *app, const hap_policy_clash_t *clash,
                                 apr_pool_t *p, const char *why)
{
    const mh_named_t needs = mh_config_by_key(app->conf, clash->key);
    return mh_app_refuse_key(app, &needs, clash->needs, p, why);
}

static apr_status_t build(server_rec *s, const proxy_balancer *balancer, const lines_t *lines,
                          apr_pool_t *p)
{
    const mh_named_t *conf = lines->own;
    const proxy_server_conf *proxy = ap_get_module_config(s->module_config, &proxy_module);
    mh_app_t *app = apr_pcalloc(p, sizeof(*app));
    app->label = conf->name;
    app->url = apr_pstrdup(p, balancer->s->name);
    app->name = unique_name(conf->name, s, p);
    app->index = mh_apps->nelts;
    app->server = s;
    app->conf = conf;
    app->check_conf = lines->check;
    app->policy = conf->policy;
    app->workers = balancer->workers;
    app->errstatuses = balancer->errstatuses;
    app->failontimeout = balancer->failontimeout;
    app->members = apr_array_make(p, balancer->workers->nelts, sizeof(mh_member_t));
    app->cookie_path = mount_path(proxy, balancer, p);
    app->method_only = conf->directive->line_num == 0;
    if (strlen(app->name) > HAP_APP_MAX || mh_app_find(app->name)) {
        return mh_app_refuse(app, conf, p, "its name cannot be told from another balancer's");
    }
    hap_diag_t diag;
    hap_policy_clash_t clash;
    /* Only now: a virtual host may have one key from here and another from the main server. */
    if (hap_policy_check(&app->policy, mh_main_conf.map != NULL, &clash, &diag) != APR_SUCCESS) {
        return refuse_clash(app, &clash, p, diag.why);
    }
    apr_status_t rv = set_affinity(app, balancer, p);
    rv = rv == APR_SUCCESS ? set_check(app, lines->check, p) : rv;
    apr_hash_t *seen = apr_hash_make(p);
    for (int i = 0; rv == APR_SUCCESS && i < balancer->workers->nelts; i++) {
        rv = add_member(app, APR_ARRAY_IDX(balancer->workers, i, proxy_worker *), seen, p);
    }
    if (rv == APR_SUCCESS && app->members->nelts == 0) {
        rv = mh_app_refuse(app, conf, p, "the balancer has no BalancerMember");
    }
    if (rv == APR_SUCCESS && lines->zone) {
        rv = mh_app_set_zone(app, balancer, lines->zone, p);
    }
    APR_ARRAY_PUSH(mh_apps, mh_app_t *) = app;
    apr_hash_set(by_balancer, apr_pmemdup(p, &balancer, sizeof(balancer)), sizeof(balancer), app);
    return rv;
}

/* The same members under another server: its copy of the balancer is the same application. */
static mh_app_t *already_built(const proxy_balancer *balancer)
{
    for (int i = 0; i < mh_apps->nelts; i++) {
        if (mh_app_at(i)->workers == balancer->workers) {
            return mh_app_at(i);
        }
    }
    return NULL;
}

/* The balancer's name without its scheme. */
static const char *bare_name(const proxy_balancer *balancer)
{
    const char *name = strstr(balancer->s->name, "://");
    return name ? name + 3 : balancer->s->name;
}

/* A balancer that has only lbmethod=ha of us: turns are all that we give it. */
static const mh_named_t *method_conf(const char *name, apr_pool_t *p)
{
    static const ap_directive_t lbmethod = {.directive = "ProxySet lbmethod=ha", .filename = ""};
    mh_named_t *conf = apr_pcalloc(p, sizeof(*conf));
    conf->name = name;
    conf->directive = &lbmethod;
    hap_option_defaults(&conf->policy, &hap_policy_options);
    conf->policy.affinity.mode = HAP_AFFINITY_NONE;
    return conf;
}

/*
 * mod_proxy_balancer looks for the method of every balancer at the start, byrequests unless it was
 * told another, and ends the server when its module is not loaded. Nobody asks that method here,
 * so it is the one that is always there, and balancer-manager shows who chooses.
 */
static void set_lbmethod(proxy_balancer *balancer)
{
    static const char ours[] = "ha";
    balancer->lbmethod = ap_lookup_provider(PROXY_LBMETHOD, ours, "0");
    balancer->lbmethod_set = 1;
    apr_cpystrn(balancer->s->lbpname, ours, sizeof(balancer->s->lbpname));
}

/* Notes that a directive, if it is there, has its balancer, and so has what it inherits keys from.
 */
static void mark_used(apr_hash_t *used, const mh_named_t *entry,
                      const apr_array_header_t *inherited)
{
    if (!entry) {
        return;
    }
    const mh_named_t *base = mh_config_find(inherited, entry->name);
    apr_hash_set(used, &entry->directive, sizeof(entry->directive), entry);
    if (base) {
        apr_hash_set(used, &base->directive, sizeof(base->directive), base);
    }
}

/* A virtual host's balancer is a copy with the main server's members, if that defines one too. */
static bool is_mains(const proxy_balancer *balancer, server_rec *main_server)
{
    const proxy_server_conf *proxy =
        ap_get_module_config(main_server->module_config, &proxy_module);
    for (int i = 0; i < proxy->balancers->nelts; i++) {
        if (APR_ARRAY_IDX(proxy->balancers, i, proxy_balancer).workers == balancer->workers) {
            return true;
        }
    }
    return false;
}

/* Another server's copy of a balancer that we have: the same application, with the same keys. */
static apr_status_t join(mh_app_t *app, const proxy_balancer *balancer, const lines_t *lines,
                         apr_pool_t *p)
{
    const mh_named_t *check = lines->check;
    const mh_named_t *zone = lines->zone;
    if (app->conf->directive != lines->own->directive) {
        return mh_app_refuse(
            app, lines->own, p,
            "this balancer is inherited from the main server, so give its keys there, and "
            "include its file there alone");
    }
    if (check && (!app->check_conf || app->check_conf->directive != check->directive)) {
        return mh_app_refuse(app, check, p,
                             "this balancer is inherited from the main server, so check it there");
    }
    if (zone && (!app->zone_conf || app->zone_conf->directive != zone->directive)) {
        return mh_app_refuse(app, zone, p,
                             "this balancer is inherited from the main server, so give it its "
                             "zones there");
    }
    apr_hash_set(by_balancer, apr_pmemdup(p, &balancer, sizeof(balancer)), sizeof(balancer), app);
    return APR_SUCCESS;
}

static lines_t lines_of(server_rec *s, const char *name)
{
    const mh_server_conf_t *conf = mh_server_conf(s);
    return (lines_t){
        .own = mh_config_find(conf->balancers, name),
        .check = mh_config_find(conf->checks, name),
        .zone = mh_config_find(conf->zones, name),
    };
}

static void mark_lines(apr_hash_t *used, const lines_t *lines, server_rec *main_server)
{
    const mh_server_conf_t *base = mh_server_conf(main_server);
    mark_used(used, lines->own, base->balancers);
    mark_used(used, lines->check, base->checks);
    mark_used(used, lines->zone, base->zones);
}

static apr_status_t build_balancer(server_rec *s, proxy_balancer *balancer, server_rec *main_server,
                                   apr_hash_t *used, apr_pool_t *p)
{
    lines_t lines = lines_of(s, bare_name(balancer));
    bool method_only =
        !lines.own && balancer->lbmethod && strcmp(balancer->lbmethod->name, "ha") == 0;
    if (method_only) {
        lines = (lines_t){.own = method_conf(bare_name(balancer), p)};
    }
    if (!lines.own) {
        return APR_SUCCESS;
    }
    set_lbmethod(balancer);
    mark_lines(used, &lines, main_server);
    mh_app_t *app = already_built(balancer);
    if (app) {
        return join(app, balancer, &lines, p);
    }
    if (s != main_server && !method_only && is_mains(balancer, main_server)) {
        const mh_app_t here = {.server = s};
        return mh_app_refuse(
            &here, lines.own, p,
            "the main server defines this balancer and all virtual hosts share its "
            "members, so this line belongs there, outside of <VirtualHost>");
    }
    return build(s, balancer, &lines, p);
}

static apr_status_t build_server(server_rec *s, server_rec *main_server, apr_hash_t *used,
                                 apr_pool_t *p)
{
    const proxy_server_conf *proxy = ap_get_module_config(s->module_config, &proxy_module);
    for (int i = 0; i < proxy->balancers->nelts; i++) {
        proxy_balancer *balancer = &APR_ARRAY_IDX(proxy->balancers, i, proxy_balancer);
        apr_status_t rv = build_balancer(s, balancer, main_server, used, p);
        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
    return APR_SUCCESS;
}

/* A directive that no server's balancer answers to is a typing error, not a wish: `why`, the name
 * and `end` are the sentence. */
static apr_status_t check_used(server_rec *s, const apr_array_header_t *list, apr_hash_t *used,
                               const char *why, const char *end, apr_pool_t *p)
{
    for (int i = 0; i < list->nelts; i++) {
        const mh_named_t *entry = &APR_ARRAY_IDX(list, i, mh_named_t);
        if (!apr_hash_get(used, &entry->directive, sizeof(entry->directive))) {
            const mh_app_t nowhere = {.server = s};
            return mh_app_refuse(&nowhere, entry, p, apr_pstrcat(p, why, entry->name, end, NULL));
        }
    }
    return APR_SUCCESS;
}

/* Said here and not when the slots are given out, so that httpd -t says it too. */
static apr_status_t check_room(server_rec *main_server, apr_pool_t *p)
{
    const ap_directive_t *by = mh_main_conf.max_members_by;
    const char *where = by ? apr_psprintf(p, " (%s)", mh_config_where(by, p)) : "";
    unsigned n = 0;
    for (int i = 0; i < mh_apps->nelts; i++) {
        n += (unsigned)mh_app_at(i)->members->nelts;
    }
    if (n <= mh_main_conf.max_members) {
        return APR_SUCCESS;
    }
    ap_log_error(APLOG_MARK, APLOG_EMERG, 0, main_server,
                 "HAMaxMembers %u%s: the balancers have %u members, raise it to %u or more",
                 mh_main_conf.max_members, where, n, n);
    return APR_ENOSPC;
}

static apr_status_t check_lines(server_rec *s, apr_hash_t *used, apr_pool_t *p)
{
    static const char lacks_balancer[] =
        "no HABalancer names this balancer: correct the name, or add HABalancer ";
    const mh_server_conf_t *conf = mh_server_conf(s);
    apr_status_t rv = check_used(s, conf->balancers, used,
                                 "there is no balancer of this name, define it with "
                                 "<Proxy \"balancer://",
                                 "\">", p);
    rv = rv == APR_SUCCESS ? check_used(s, conf->checks, used, lacks_balancer, "", p) : rv;
    return rv == APR_SUCCESS ? check_used(s, conf->zones, used, lacks_balancer, "", p) : rv;
}

apr_status_t mh_apps_build(apr_pool_t *p, server_rec *main_server)
{
    apr_hash_t *used = apr_hash_make(p);
    mh_apps = apr_array_make(p, 4, sizeof(mh_app_t *));
    by_balancer = apr_hash_make(p);
    for (server_rec *s = main_server; s; s = s->next) {
        apr_status_t rv = build_server(s, main_server, used, p);
        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
    for (server_rec *s = main_server; s; s = s->next) {
        apr_status_t rv = check_lines(s, used, p);
        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
    return check_room(main_server, p);
}

/* Saved by an operator's hand it stays, unless the configuration has been edited since. */
static void settle_admin(mh_member_t *member)
{
    hap_slot_t *slot = &mh_shared->view.slots[member->slot];
    hap_admin_word_t word = hap_shared_admin_word(slot);
    if (word.configured != member->configured) {
        word = (hap_admin_word_t){member->configured, member->configured, HAP_SOURCE_CONFIG,
                                  apr_time_sec(apr_time_now())};
    }
    /* Not only when it changed: the flags beside it are whatever children left there. */
    hap_shared_admin(&mh_shared->view, member->slot, &word);
    mh_admin_show(member->worker, word.state);
}

/* check_room has seen to it that this does not happen. */
static apr_status_t no_room(const mh_app_t *app, const char *what)
{
    ap_log_error(APLOG_MARK, APLOG_EMERG, 0, app->server,
                 "HAMaxMembers: there is no room for %s of %s, raise it above %u", what, app->name,
                 mh_main_conf.max_members);
    return APR_ENOSPC;
}

static apr_status_t attach_member(mh_app_t *app, mh_member_t *member)
{
    int slot = mh_shared_slot(app->name, member->name, member->configured);
    if (slot < 0) {
        return no_room(app, member->name);
    }
    member->slot = (uint32_t)slot;
    settle_admin(member);
    /* Whether a member can be used is decided here, so mod_proxy shall not decide it too. */
    if (!app->method_only) {
        member->worker->s->status |= PROXY_WORKER_IGNORE_ERRORS;
    }
    return APR_SUCCESS;
}

static apr_status_t attach(mh_app_t *app, apr_pool_t *p)
{
    int balancer = mh_shared_balancer(app->name);
    if (balancer < 0) {
        return no_room(app, "the counts");
    }
    app->balancer = (uint32_t)balancer;
    for (int i = 0; i < app->members->nelts; i++) {
        apr_status_t rv = attach_member(app, mh_app_member(app, i));
        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
    app->follows = mh_main_conf.map && !app->method_only;
    app->lineup = mh_lineup_configured(app, p);
    atomic_store(&app->schedule, hap_schedule_make(app->lineup->roster, &mh_shared->view, p));
    return APR_SUCCESS;
}

apr_status_t mh_apps_attach(apr_pool_t *p)
{
    for (int i = 0; i < mh_apps->nelts; i++) {
        apr_status_t rv = attach(mh_app_at(i), p);
        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
    return APR_SUCCESS;
}
