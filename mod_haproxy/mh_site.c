/* SPDX-License-Identifier: Apache-2.0 */
/* Owns reading mod_proxy's configuration for the lane. */
#include "mh_site.h"

#include <apr_hash.h>
#include <apr_strings.h>
#include <http_core.h>

#include "mh_honour.h"
#include "mh_log.h"
#include "mh_rules.h"

static const char balancer_scheme[] = "balancer://";

/** What is to be said of a mount, or of a part of it. */
typedef struct note_t {
    server_rec *server;
    const hap_honour_server_t *judged;
    const char *subject; /* "NAME: PATH" */
    const char *verdict;
    bool hidden; /* it is about a ProxyPass that gets no requests of this path */
} note_t;

/* server_rec * -> mh_site_t * */
static apr_hash_t *sites;

/* Of note_t, kept until the logs are open. */
static apr_array_header_t *notes;

const mh_site_t *mh_site_of(const server_rec *s)
{
    return sites ? apr_hash_get(sites, &s, sizeof(s)) : NULL;
}

bool mh_sites_any(void)
{
    return sites && apr_hash_count(sites) > 0;
}

static bool is_part(const mh_mount_t *mount, hap_str_t path)
{
    for (int i = 0; i < mount->parts->nelts; i++) {
        const hap_honour_part_t *part = &APR_ARRAY_IDX(mount->parts, i, hap_honour_part_t);
        if (hap_relay_under(hap_str(part->path), path)) {
            return true;
        }
    }
    return false;
}

const mh_mount_t *mh_site_mount(const mh_site_t *site, const hap_http1_request_t *request)
{
    hap_str_t path = request->path;
    for (unsigned i = 0; i < site->mounts_n; i++) {
        const mh_mount_t *mount = &site->mounts[i];
        if (hap_relay_under(mount->path, path)) {
            bool fine = mount->app && !is_part(mount, path) &&
                        !hap_honour_by_extension(mount->values, path);
            return fine ? mount : NULL;
        }
    }
    return NULL;
}

bool mh_site_leaves(const mh_mount_t *mount, const char *agent)
{
    for (int i = 0; i < mount->agents->nelts; i++) {
        if (ap_regexec(APR_ARRAY_IDX(mount->agents, i, ap_regex_t *), agent, 0, NULL, 0) == 0) {
            return true;
        }
    }
    return false;
}

static hap_relay_maps_t make_maps(apr_array_header_t *rows)
{
    return (hap_relay_maps_t){(const hap_relay_map_t *)(void *)rows->elts, (unsigned)rows->nelts};
}

static void add_map(apr_array_header_t *rows, const char *real, const char *fake, size_t exact_n)
{
    APR_ARRAY_PUSH(rows, hap_relay_map_t) =
        (hap_relay_map_t){hap_str(real), hap_str(fake), exact_n};
}

/* In mod_proxy's records of cookies, what the member says is called fake. */
static hap_relay_maps_t cookie_maps(const apr_array_header_t *from, apr_pool_t *p)
{
    apr_array_header_t *rows = apr_array_make(p, from->nelts + 1, sizeof(hap_relay_map_t));
    for (int i = 0; i < from->nelts; i++) {
        const struct proxy_alias *entry = &APR_ARRAY_IDX(from, i, struct proxy_alias);
        add_map(rows, entry->fake, entry->real, 0);
    }
    return make_maps(rows);
}

static const char *without_slash(const char *url, apr_pool_t *p)
{
    size_t n = strlen(url);
    return n && url[n - 1] == '/' ? apr_pstrmemdup(p, url, n - 1) : url;
}

/* ProxyPassReverse of a balancer stands for each of its members. */
static void add_members(apr_array_header_t *rows, const struct proxy_alias *entry, server_rec *s,
                        apr_pool_t *p)
{
    proxy_server_conf *conf = ap_get_module_config(s->module_config, &proxy_module);
    const proxy_balancer *balancer = ap_proxy_get_balancer(p, conf, entry->real, 0);
    const char *path = strchr(entry->real + sizeof(balancer_scheme) - 1, '/');
    for (int i = 0; balancer && i < balancer->workers->nelts; i++) {
        const proxy_worker *worker = APR_ARRAY_IDX(balancer->workers, i, proxy_worker *);
        const char *name = worker->s->name_ex;
        bool all = !path || !path[1];
        const char *real = all ? name : apr_pstrcat(p, without_slash(name, p), path, NULL);
        /* "/" stands for nothing before a path. */
        bool root = all && strcmp(entry->fake, "/") == 0;
        if (root) {
            add_map(rows, apr_pstrcat(p, without_slash(name, p), "/", NULL), "/", 0);
        }
        add_map(rows, real, entry->fake, all ? 0 : strlen(path));
    }
}

static hap_relay_maps_t location_maps(const proxy_dir_conf *dir, server_rec *s, apr_pool_t *p)
{
    apr_array_header_t *rows = apr_array_make(p, 8, sizeof(hap_relay_map_t));
    for (int i = 0; i < dir->raliases->nelts; i++) {
        const struct proxy_alias *entry = &APR_ARRAY_IDX(dir->raliases, i, struct proxy_alias);
        if (ap_cstr_casecmpn(entry->real, balancer_scheme, sizeof(balancer_scheme) - 1) == 0) {
            add_members(rows, entry, s, p);
        } else {
            add_map(rows, entry->real, entry->fake, 0);
        }
    }
    return make_maps(rows);
}

/* Every member must be one that the lane can talk to. */
static bool speaks_plain_http(const mh_app_t *app)
{
    for (int i = 0; i < app->members->nelts; i++) {
        const proxy_worker_shared *worker = mh_app_member(app, i)->worker->s;
        if (ap_cstr_casecmp(worker->scheme, "http") != 0 || *worker->uds_path) {
            return false;
        }
    }
    return true;
}

static mh_app_t *app_for(const struct proxy_alias *alias, server_rec *s, apr_pool_t *p)
{
    proxy_server_conf *conf = ap_get_module_config(s->module_config, &proxy_module);
    if (alias->regex ||
        ap_cstr_casecmpn(alias->real, balancer_scheme, sizeof(balancer_scheme) - 1) != 0) {
        return NULL;
    }
    proxy_balancer *balancer = ap_proxy_get_balancer(p, conf, alias->real, 0);
    mh_app_t *app = balancer ? mh_app_of(balancer) : NULL;
    return app && !app->method_only && speaks_plain_http(app) ? app : NULL;
}

static const char *via_of(const proxy_server_conf *conf, server_rec *s, apr_pool_t *p)
{
    if (conf->viaopt != via_on && conf->viaopt != via_full) {
        return "";
    }
    const char *port =
        s->port && s->port != DEFAULT_HTTP_PORT ? apr_psprintf(p, ":%d", s->port) : "";
    const char *name = apr_pstrcat(p, s->server_hostname, port, NULL);
    if (conf->viaopt != via_full) {
        return name;
    }
    ap_version_t v;
    ap_get_server_revision(&v);
    return apr_psprintf(p, "%s (" AP_SERVER_BASEPRODUCT "/%d.%d.%d%s)", name, v.major, v.minor,
                        v.patch, v.add_string);
}

static void set_relay(mh_mount_t *mount, const struct proxy_alias *alias, server_rec *s,
                      apr_pool_t *p)
{
    const proxy_server_conf *conf = ap_get_module_config(s->module_config, &proxy_module);
    const proxy_dir_conf *dir = ap_get_module_config(s->lookup_defaults, &proxy_module);
    const char *path = strchr(alias->real + sizeof(balancer_scheme) - 1, '/');
    mount->relay = (hap_relay_t){
        .from = mount->path,
        .to = hap_str(path ? path : ""),
        .preserve_host = dir->preserve_host,
        .add_forwarded = dir->add_forwarded_headers,
        .via_block = conf->viaopt == via_block,
        .via = hap_str(via_of(conf, s, p)),
        .server_name = hap_str(s->server_hostname),
        .locations = location_maps(dir, s, p),
        .paths = cookie_maps(dir->cookie_paths, p),
        .domains = cookie_maps(dir->cookie_domains, p),
    };
}

/* Those of one kind: `always` of answers, `early` of requests. */
static void add_edits(apr_array_header_t *rows, const apr_array_header_t *from, bool always,
                      bool early)
{
    static const hap_edit_op_t ops[] = {
        [HAP_HONOUR_SET] = HAP_EDIT_SET,     [HAP_HONOUR_APPEND] = HAP_EDIT_APPEND,
        [HAP_HONOUR_ADD] = HAP_EDIT_ADD,     [HAP_HONOUR_UNSET_FIELD] = HAP_EDIT_UNSET,
        [HAP_HONOUR_MERGE] = HAP_EDIT_MERGE,
    };
    for (int i = 0; i < from->nelts; i++) {
        const hap_honour_edit_t *edit = &APR_ARRAY_IDX(from, i, hap_honour_edit_t);
        if (edit->always == always && edit->early == early) {
            APR_ARRAY_PUSH(rows, hap_edit_t) =
                (hap_edit_t){ops[edit->op], hap_str(edit->field), hap_str(edit->value)};
        }
    }
}

static hap_edits_t make_edits(const apr_array_header_t *rows)
{
    return (hap_edits_t){(const hap_edit_t *)(void *)rows->elts, (unsigned)rows->nelts};
}

static void set_edits(hap_relay_t *relay, const hap_honour_values_t *values, apr_pool_t *p)
{
    apr_array_header_t *request = apr_array_make(p, 4, sizeof(hap_edit_t));
    apr_array_header_t *answer = apr_array_make(p, 4, sizeof(hap_edit_t));
    apr_array_header_t *always = apr_array_make(p, 4, sizeof(hap_edit_t));
    add_edits(request, values->request_headers, false, true);
    add_edits(request, values->request_headers, false, false);
    add_edits(answer, values->headers, false, false);
    add_edits(always, values->headers, true, false);
    relay->edits = (hap_edit_rules_t){
        .request = make_edits(request),
        .answer = make_edits(answer),
        .always = make_edits(always),
        .charset = hap_str(values->charset),
    };
}

static hap_deflate_etag_t etag_of(const char *word)
{
    return !word                                    ? HAP_DEFLATE_ETAG_SUFFIX
           : ap_cstr_casecmp(word, "NoChange") == 0 ? HAP_DEFLATE_ETAG_KEEP
           : ap_cstr_casecmp(word, "Remove") == 0   ? HAP_DEFLATE_ETAG_REMOVE
                                                    : HAP_DEFLATE_ETAG_SUFFIX;
}

/* Where nothing is said, mod_deflate's own. */
static hap_deflate_t deflate_of(const hap_honour_values_t *values, apr_pool_t *p)
{
    enum { LEVEL = -1, WINDOW = 15, MEMORY = 9 };
    int n = values->deflate->nelts;
    hap_str_t *types = apr_palloc(p, ((size_t)n + 1) * sizeof(*types));
    for (int i = 0; i < n; i++) {
        types[i] = hap_str(APR_ARRAY_IDX(values->deflate, i, const char *));
    }
    return (hap_deflate_t){
        .types = types,
        .types_n = (unsigned)n,
        .level = values->deflate_level ? (int)values->deflate_level : LEVEL,
        .window = values->deflate_window ? (int)values->deflate_window : WINDOW,
        .memory = values->deflate_memory ? (int)values->deflate_memory : MEMORY,
        .etag = etag_of(values->deflate_etag),
    };
}

static ml_times_t times_of(const hap_honour_values_t *values)
{
    return (ml_times_t){
        .body = mh_rules_body(&values->body),
        .keep_alive = values->keep_alive ? values->keep_alive_timeout : 0,
        .idle = values->timeout,
        .requests = values->requests_max,
    };
}

static apr_array_header_t *compile(const hap_honour_values_t *values, apr_pool_t *p)
{
    apr_array_header_t *patterns = apr_array_make(p, 4, sizeof(ap_regex_t *));
    for (int i = 0; i < values->agents->nelts; i++) {
        const hap_honour_agent_t *agent = &APR_ARRAY_IDX(values->agents, i, hap_honour_agent_t);
        int flags = AP_REG_NOSUB | (agent->nocase ? AP_REG_ICASE : 0);
        ap_regex_t *pattern = ap_pregcomp(p, agent->pattern, flags);
        if (pattern) {
            APR_ARRAY_PUSH(patterns, ap_regex_t *) = pattern;
        }
    }
    return patterns;
}

/* The verdict on a ProxyPass: the one of the same path and target. */
static const hap_honour_mount_t *verdict_of(const hap_honour_server_t *judged,
                                            const struct proxy_alias *alias)
{
    for (int i = 0; i < judged->mounts->nelts; i++) {
        const hap_honour_mount_t *mount = &APR_ARRAY_IDX(judged->mounts, i, hap_honour_mount_t);
        if (strcmp(mount->path, alias->fake) == 0 && strcmp(mount->target, alias->real) == 0) {
            return mount;
        }
    }
    return NULL;
}

/* Whether the lane is asked for, and not only able to. */
static bool is_wanted(const hap_honour_mount_t *mount)
{
    return mount->mode == HAP_HONOUR_ON || mount->mode == HAP_HONOUR_REQUIRE;
}

static const char *verdict_text(const hap_honour_mount_t *mount, apr_pool_t *p)
{
    if (mount->before) {
        return hap_honour_hidden_text(mount, p);
    }
    return apr_pstrcat(p, "on the standard path, ",
                       mount->lane ? "it has a member that does not speak plain HTTP"
                                   : hap_honour_reason_text(&mount->reason, NULL, p),
                       NULL);
}

static apr_status_t judge(const hap_honour_mount_t *mount, const mh_app_t *app,
                          const hap_honour_server_t *judged, server_rec *s, apr_pool_t *p)
{
    const char *name = app ? app->name : mount->balancer;
    bool lane = app && mount->lane;
    note_t said = {
        .server = s,
        .judged = judged,
        .subject = apr_pstrcat(p, name, ": ", mount->path, NULL),
        .verdict = lane ? "in the lane" : verdict_text(mount, p),
        .hidden = mount->before != NULL,
    };
    if (!lane && mount->mode == HAP_HONOUR_REQUIRE) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s,
                     "%s: %s; HALane Require (%s:%d) wants it in the lane", said.subject,
                     said.verdict, mount->said->file, mount->said->line);
        return APR_EINVAL;
    }
    APR_ARRAY_PUSH(notes, note_t) = said;
    for (int i = 0; lane && i < mount->parts->nelts; i++) {
        const hap_honour_part_t *part = &APR_ARRAY_IDX(mount->parts, i, hap_honour_part_t);
        said.subject = apr_pstrcat(p, name, ": ", part->path, NULL);
        said.verdict = apr_pstrcat(p, "on the standard path, ",
                                   hap_honour_reason_text(&part->reason, NULL, p), NULL);
        APR_ARRAY_PUSH(notes, note_t) = said;
    }
    return APR_SUCCESS;
}

static const char *subject_in_log(const note_t *one, apr_pool_t *p)
{
    return apr_psprintf(p, "%pp %d %s", (void *)one->server->error_log, one->hidden, one->subject);
}

/* By log and subject: the verdict of all servers, "" when they have several. */
static apr_hash_t *agreed(apr_pool_t *p)
{
    apr_hash_t *verdicts = apr_hash_make(p);
    for (int i = 0; i < notes->nelts; i++) {
        const note_t *one = &APR_ARRAY_IDX(notes, i, note_t);
        const char *key = subject_in_log(one, p);
        const char *known = apr_hash_get(verdicts, key, APR_HASH_KEY_STRING);
        bool same = !known || strcmp(known, one->verdict) == 0;
        apr_hash_set(verdicts, key, APR_HASH_KEY_STRING, same ? one->verdict : "");
    }
    return verdicts;
}

/* A mount of the main server is judged for each virtual host: one log hears a verdict once, and
 * whose it is where servers differ. */
void mh_sites_say(apr_pool_t *p)
{
    apr_hash_t *said = apr_hash_make(p);
    apr_hash_t *verdicts = agreed(p);
    for (int i = 0; i < notes->nelts; i++) {
        const note_t *one = &APR_ARRAY_IDX(notes, i, note_t);
        const char *all = apr_hash_get(verdicts, subject_in_log(one, p), APR_HASH_KEY_STRING);
        const char *where =
            *all ? "" : apr_pstrcat(p, " in ", hap_honour_server_text(one->judged, p), NULL);
        const char *text = apr_pstrcat(p, one->subject, where, ": ", one->verdict, NULL);
        const char *key = apr_psprintf(p, "%pp %s", (void *)one->server->error_log, text);
        if (!apr_hash_get(said, key, APR_HASH_KEY_STRING)) {
            apr_hash_set(said, key, APR_HASH_KEY_STRING, one);
            ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, one->server, "%s", text);
        }
    }
}

static apr_status_t build_mount(mh_mount_t *mount, const hap_honour_server_t *judged,
                                const struct proxy_alias *alias, server_rec *s, apr_pool_t *p)
{
    const hap_honour_mount_t *verdict = alias->regex ? NULL : verdict_of(judged, alias);
    /* What a pattern matches is mod_proxy's to say: nothing behind it is for the lane. */
    mount->path = hap_str(alias->regex ? "/" : alias->fake);
    /* Nobody has asked, so nobody is told. */
    if (!verdict || verdict->mode == HAP_HONOUR_UNSET) {
        return APR_SUCCESS;
    }
    mh_app_t *app = is_wanted(verdict) ? app_for(alias, s, p) : NULL;
    if (app && verdict->lane) {
        mount->app = app;
        mount->parts = verdict->parts;
        mount->values = &verdict->values;
        mount->times = times_of(mount->values);
        mount->agents = compile(mount->values, p);
        set_relay(mount, alias, s, p);
        set_edits(&mount->relay, mount->values, p);
        mount->deflate = deflate_of(mount->values, p);
    }
    return judge(verdict, app, judged, s, p);
}

static apr_status_t build_site(const hap_honour_server_t *judged, server_rec *s, apr_pool_t *p)
{
    const proxy_server_conf *conf = ap_get_module_config(s->module_config, &proxy_module);
    mh_site_t *site = apr_pcalloc(p, sizeof(*site));
    mh_mount_t *mounts = apr_pcalloc(p, (size_t)(conf->aliases->nelts + 1) * sizeof(*mounts));
    apr_status_t rv = APR_SUCCESS;
    bool any = false;
    site->server = s;
    site->mounts = mounts;
    for (int i = 0; i < conf->aliases->nelts && rv == APR_SUCCESS; i++) {
        const struct proxy_alias *alias = &APR_ARRAY_IDX(conf->aliases, i, struct proxy_alias);
        mh_mount_t *mount = &mounts[site->mounts_n++];
        rv = build_mount(mount, judged, alias, s, p);
        any = any || mount->app;
    }
    if (any) {
        apr_hash_set(sites, &site->server, sizeof(site->server), site);
    }
    return rv;
}

void mh_sites_name(apr_pool_t *p)
{
    for (apr_hash_index_t *at = apr_hash_first(p, sites); at; at = apr_hash_next(at)) {
        const mh_site_t *site = apr_hash_this_val(at);
        for (unsigned i = 0; i < site->mounts_n; i++) {
            site->mounts[i].relay.banner = hap_str(ap_get_server_banner());
        }
    }
}

apr_status_t mh_sites_build(apr_pool_t *p, server_rec *s)
{
    apr_array_header_t *servers;
    hap_diag_t diag;
    sites = apr_hash_make(p);
    notes = apr_array_make(p, 8, sizeof(note_t));
    apr_status_t rv = hap_honour_judge(&servers, mh_honour_tree(p), HAP_HONOUR_CAN_NOW, &diag, p);
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, "%s", diag.why);
        return rv;
    }
    mh_rules_build(p, servers, s);
    for (; s && rv == APR_SUCCESS; s = s->next) {
        const hap_honour_server_t *judged = mh_honour_server(servers, s);
        if (judged) {
            rv = build_site(judged, s, p);
        }
    }
    return rv;
}
