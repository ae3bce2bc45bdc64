/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the moment in which an answer begins, and the cookies that are set then: our own for
 * affinity=insert, and the application's session cookie with its new route after a failover. Does
 * not decide which member a request wants.
 *
 * The filter runs when the answer's headers are there and before they are sent, and behind
 * mod_cache's: what is stored for everybody must not carry one client's session.
 */
#include "mh_request.h"

#include <apr_strings.h>
#include <http_connection.h>
#include <http_protocol.h>
#include <http_ssl.h>
#include <openssl/rand.h>
#include <util_filter.h>

#include "hap_cookie.h"
#include "mh_log.h"

static ap_filter_rec_t *filter;

/* A signed cookie is renewed when half of its life is over. */
static bool renewal_due(const mh_request_t *request)
{
    const mh_app_t *app = request->app;
    int64_t left = request->session.expiry_s - apr_time_sec(request->r->request_time);
    return app->affinity.sign && left < apr_time_sec(app->policy.sign_lifetime) / 2;
}

void mh_affinity_prepare(mh_request_t *request)
{
    if (!request->filtered) {
        request->filtered = true;
        ap_add_output_filter_handle(filter, request, request->r, request->r->connection);
    }
}

static int is_our_cookie(void *name_, const char *key, const char *value)
{
    const hap_str_t *name = name_;
    hap_str_t set = hap_str(value);
    size_t eq = hap_str_find(set, '=', 0);
    return !hap_str_eq(hap_str_trim(hap_str_sub(set, 0, eq)), *name);
}

/* apr_table_do ends early, with 0, when the callback found one. */
static bool application_sets(const mh_request_t *request)
{
    const request_rec *r = request->r;
    void *name = (void *)&request->app->affinity.cookie;
    return !apr_table_do(is_our_cookie, name, r->headers_out, "Set-Cookie", NULL) ||
           !apr_table_do(is_our_cookie, name, r->err_headers_out, "Set-Cookie", NULL);
}

static bool needs_cookie(const mh_request_t *request)
{
    bool moved = request->why != HAP_PICK_SESSION;
    switch (request->app->affinity.mode) {
    case HAP_AFFINITY_INSERT:
        return moved || renewal_due(request);
    case HAP_AFFINITY_APP:
        return moved && request->session.verdict == HAP_AFFINITY_FOUND &&
               request->session.source == HAP_AFFINITY_FROM_COOKIE && !application_sets(request);
    case HAP_AFFINITY_NONE:
        break;
    }
    return false;
}

static const char *cookie_value(const mh_request_t *request)
{
    const mh_app_t *app = request->app;
    apr_pool_t *p = request->r->pool;
    hap_str_t route = hap_str(mh_request_member(request)->name);
    if (app->affinity.mode == HAP_AFFINITY_APP) {
        return hap_affinity_rewrite(&request->session, route, p);
    }
    unsigned char random[HAP_SIGN_RANDOM_BYTES];
    if (RAND_bytes(random, sizeof(random)) != 1) {
        return NULL;
    }
    int64_t expiry = apr_time_sec(request->r->request_time + app->policy.sign_lifetime);
    return hap_affinity_mint(&app->affinity, route, random, expiry, p);
}

static void add_cookie(const mh_request_t *request)
{
    const mh_app_t *app = request->app;
    request_rec *r = request->r;
    const char *value = cookie_value(request);
    hap_diag_t diag = {.why = "its value cannot stand in a cookie"};
    const char *header = NULL;
    if (value) {
        unsigned secure = ap_ssl_conn_is_ssl(r->connection) ? HAP_COOKIE_SECURE : 0u;
        /* Whether other sites may send the application's own cookie is for the application to say.
         */
        unsigned lax = app->affinity.mode == HAP_AFFINITY_INSERT ? HAP_COOKIE_SAME_SITE_LAX : 0u;
        const hap_set_cookie_t cookie = {
            .name = app->affinity.cookie,
            .value = hap_str(value),
            .path = hap_str(app->cookie_path),
            .attributes = HAP_COOKIE_HTTP_ONLY | lax | secure,
        };
        hap_cookie_set(&header, &cookie, &diag, r->pool);
    }
    if (!header) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "%s: no affinity cookie set: %s", app->name,
                      diag.why);
        return;
    }
    apr_table_addn(r->headers_out, "Set-Cookie", header);
    if (!apr_table_get(r->headers_out, "Cache-Control")) {
        apr_table_setn(r->headers_out, "Cache-Control", "private");
    }
}

/* A member that closed the connection instead: mod_proxy passes word of it on to the client's end.
 */
static bool is_answer(const apr_bucket_brigade *brigade)
{
    const apr_bucket *first = APR_BRIGADE_FIRST(brigade);
    return first == APR_BRIGADE_SENTINEL(brigade) ||
           !(AP_BUCKET_IS_ERROR(first) || AP_BUCKET_IS_EOC(first));
}

static apr_status_t on_answer(ap_filter_t *f, apr_bucket_brigade *brigade)
{
    mh_request_t *request = f->ctx;
    ap_filter_t *next = f->next;
    ap_remove_output_filter(f);
    /* What comes after the handler is a page of httpd's own about a failure. */
    bool answered = request->serving && request->member >= 0 && is_answer(brigade);
    if (answered) {
        mh_request_answered(request);
    }
    if (answered && needs_cookie(request)) {
        add_cookie(request);
    }
    return ap_pass_brigade(next, brigade);
}

void mh_affinity_register(void)
{
    filter = ap_register_output_filter("HA_AFFINITY", on_answer, NULL, AP_FTYPE_PROTOCOL - 1);
}
