/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns finding the handler in httpd's tree of the configuration, authorization, and the page of
 * counters.
 */
#include "mh_zones_handler.h"

#include <apr_optional_hooks.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>

#include "mh_log.h"
#include "mh_zones_value.h"

#define HANDLER "ha-zones"

/* --- where it serves -------------------------------------------------------------------------- */

static bool is(const ap_directive_t *directive, const char *name)
{
    return ap_cstr_casecmp(directive->directive, name) == 0;
}

static bool authorizes(const ap_directive_t *directive)
{
    return is(directive, "Require") || is(directive, "<RequireAll") ||
           is(directive, "<RequireAny") || is(directive, "<RequireNone");
}

/* In this section or one around it. In <Limit> it would hold for some methods only. */
static bool is_covered(const ap_directive_t *directive)
{
    for (const ap_directive_t *section = directive->parent; section; section = section->parent) {
        for (const ap_directive_t *in = section->first_child; in; in = in->next) {
            if (authorizes(in)) {
                return true;
            }
        }
    }
    return false;
}

static bool sets_handler(const ap_directive_t *directive, apr_pool_t *p)
{
    const char *args = directive->args;
    return is(directive, "SetHandler") && strcmp(ap_getword_conf(p, &args), HANDLER) == 0;
}

/* The next line that sets the handler, from this one on; NULL: there is none. */
static const ap_directive_t *find(const ap_directive_t *first, bool uncovered, apr_pool_t *p)
{
    for (const ap_directive_t *directive = first; directive; directive = directive->next) {
        if (sets_handler(directive, p) && !(uncovered && is_covered(directive))) {
            return directive;
        }
        const ap_directive_t *inner = find(directive->first_child, uncovered, p);
        if (inner) {
            return inner;
        }
    }
    return NULL;
}

apr_status_t mh_zones_handler_check(server_rec *s, apr_pool_t *p)
{
    const ap_directive_t *line = find(ap_conftree, true, p);
    if (!line) {
        return APR_SUCCESS;
    }
    ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s,
                 "SetHandler " HANDLER " (%s:%d): no Require covers it, so whoever reaches this "
                 "server could try tokens: put one into its own section or one around it, such as "
                 "Require ip 127.0.0.1",
                 line->filename, line->line_num);
    return APR_EINVAL;
}

static bool has_tokens(void)
{
    for (int i = 0; i < mh_apps->nelts; i++) {
        if (mh_app_at(i)->zone_token) {
            return true;
        }
    }
    return false;
}

void mh_zones_handler_say(server_rec *s, apr_pool_t *p)
{
    const ap_directive_t *line = find(ap_conftree, false, p);
    if (line && !has_tokens()) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     "SetHandler " HANDLER " (%s:%d): no HAZone has token=, so it answers 503 to "
                     "all",
                     line->filename, line->line_num);
    }
}

/* mod_authz_core's. A .htaccess may have set the handler after all was checked. */
static APR_OPTIONAL_FN_TYPE(authz_some_auth_required) * is_authorized;

static void find_functions(void)
{
    is_authorized = APR_RETRIEVE_OPTIONAL_FN(authz_some_auth_required);
}

void mh_zones_handler_register(void)
{
    ap_hook_optional_fn_retrieve(find_functions, NULL, NULL, APR_HOOK_MIDDLE);
}

/* --- whose zone ------------------------------------------------------------------------------- */

/* All are compared, so that the time says nothing about which one it was. */
static const mh_app_t *find_app(hap_str_t token)
{
    const mh_app_t *found = NULL;
    for (int i = 0; i < mh_apps->nelts; i++) {
        const mh_app_t *app = mh_app_at(i);
        bool same = app->zone_token && hap_zone_token_is(app->zone_token, token);
        found = same ? app : found;
    }
    return found;
}

static int refuse_unknown(request_rec *r)
{
    apr_table_setn(r->headers_out, "WWW-Authenticate", "Bearer realm=\"zones\"");
    return mh_zones_refuse(r, HTTP_UNAUTHORIZED,
                           "say Authorization: Bearer with the application's token");
}

/* --- the page --------------------------------------------------------------------------------- */

static void print_counters(request_rec *r, const mh_zone_t *zone)
{
    for (int i = 0; i < MH_ZONE_COUNTS_N; i++) {
        ap_rprintf(r, "%s\"%s\":%" APR_UINT64_T_FMT, i ? "," : "", mh_zone_count_names[i],
                   (apr_uint64_t)atomic_load(&zone->counts->n[i]));
    }
}

/* Names of nodes are names of hosts or addresses, in which JSON has nothing to escape. */
static void print_nodes(request_rec *r, const mh_zone_t *zone)
{
    const hap_zone_spec_t *spec = &zone->app->zone_spec;
    unsigned n = spec->kind == HAP_ZONE_SHM ? 1 : spec->nodes_n;
    for (unsigned i = 0; i < n; i++) {
        const char *name = spec->kind == HAP_ZONE_SHM ? "shm" : spec->nodes[i].name;
        bool up = zone->store && !atomic_load(&zone->breakers[i].open);
        ap_rprintf(r, "%s{\"name\":\"%s\",\"up\":%s}", i ? "," : "", name, up ? "true" : "false");
    }
}

static int show(request_rec *r, const mh_zone_t *zone)
{
    if (r->method_number != M_GET) {
        apr_table_setn(r->headers_out, "Allow", "GET, HEAD");
        return mh_zones_refuse(r, HTTP_METHOD_NOT_ALLOWED, "this page is for reading");
    }
    ap_set_content_type(r, "application/json");
    apr_table_setn(r->headers_out, "Cache-Control", "no-store");
    ap_rputs("{\"counters\":{", r);
    print_counters(r, zone);
    ap_rputs("},\"nodes\":[", r);
    print_nodes(r, zone);
    ap_rputs("]}\n", r);
    return OK;
}

/* --- the request ------------------------------------------------------------------------------ */

static int serve(request_rec *r, mh_zone_t *zone)
{
    hap_zone_path_t path;
    switch (hap_zone_path_read(&path, hap_str(r->unparsed_uri), hap_str(r->uri))) {
    case HAP_ZONE_PATH_VALUE:
        break;
    case HAP_ZONE_PATH_STATUS:
        return show(r, zone);
    case HAP_ZONE_PATH_NONE:
        return mh_zones_refuse(r, HTTP_NOT_FOUND,
                               "an address is USER or STORAGE, a session's id, and perhaps a key");
    case HAP_ZONE_PATH_MALFORMED:
        return mh_zones_refuse(
            r, HTTP_BAD_REQUEST,
            "an id is 1 to 256 bytes but NUL, percent-encoded where needed, in a "
            "path without . and .. and empty segments");
    }
    if (!(zone->app->zone_kinds & path.zone)) {
        return mh_zones_refuse(r, HTTP_NOT_FOUND, "HAZone does not give the application this zone");
    }
    return mh_zones_value(r, zone, &path);
}

int mh_zones_handler(request_rec *r)
{
    hap_str_t token;
    if (!r->handler || strcmp(r->handler, HANDLER) != 0) {
        return DECLINED;
    }
    if (!is_authorized || !is_authorized(r)) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      HANDLER ": no Require covers %s, so it is not served", r->uri);
        return mh_zones_refuse(r, HTTP_FORBIDDEN, "no Require covers this address");
    }
    if (!has_tokens()) {
        return mh_zones_refuse(r, HTTP_SERVICE_UNAVAILABLE, "no application has a token");
    }
    if (!hap_zone_token_shown(&token, apr_table_get(r->headers_in, "Authorization"))) {
        return refuse_unknown(r);
    }
    const mh_app_t *app = find_app(token);
    if (!app) {
        return mh_zones_refuse(r, HTTP_FORBIDDEN, "no application has this token");
    }
    return serve(r, mh_zone_of(app));
}
