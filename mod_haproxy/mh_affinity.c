/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the moment in which an answer begins, on the standard path, and has the cookie set then that
 * it needs. What is in the cookie is mh_cookie's.
 *
 * The filter runs when the answer's headers are there and before they are sent, and behind
 * mod_cache's: what is stored for everybody must not carry one client's session.
 */
#include "mh_request.h"

#include <http_connection.h>
#include <http_protocol.h>
#include <http_ssl.h>
#include <util_filter.h>

#include "mh_cookie.h"
#include "mh_log.h"
#include "mh_strip.h"

static ap_filter_rec_t *filter;

void mh_affinity_prepare(mh_request_t *request)
{
    if (!request->filtered) {
        request->filtered = true;
        ap_add_output_filter_handle(filter, request, request->r, request->r->connection);
    }
}

static int is_sessions_cookie(void *choice, const char *key, const char *value)
{
    return !mh_cookie_is_sessions(choice, hap_str(value));
}

/* apr_table_do ends early, with 0, when the callback found one. */
static bool application_sets(mh_request_t *request)
{
    const request_rec *r = request->r;
    void *choice = &request->choice;
    return !apr_table_do(is_sessions_cookie, choice, r->headers_out, "Set-Cookie", NULL) ||
           !apr_table_do(is_sessions_cookie, choice, r->err_headers_out, "Set-Cookie", NULL);
}

static void add_cookie(const mh_request_t *request)
{
    request_rec *r = request->r;
    hap_diag_t diag;
    const char *header = mh_cookie_make(&request->choice, ap_ssl_conn_is_ssl(r->connection),
                                        apr_time_sec(r->request_time), &diag, r->pool);
    if (!header) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "%s: no affinity cookie set: %s",
                      request->choice.app->name, diag.why);
        return;
    }
    apr_table_addn(r->headers_out, "Set-Cookie", header);
    if (!apr_table_get(r->headers_out, "Cache-Control")) {
        apr_table_setn(r->headers_out, "Cache-Control", "private");
    }
}

static apr_status_t on_answer(ap_filter_t *f, apr_bucket_brigade *brigade)
{
    mh_request_t *request = f->ctx;
    ap_filter_t *next = f->next;
    ap_remove_output_filter(f);
    /* What comes after the handler is a page of httpd's own about a failure. */
    bool answered =
        request->serving && request->choice.member >= 0 && mh_request_is_answer(brigade);
    if (answered) {
        mh_choice_answered(&request->choice, (unsigned)request->r->status);
    }
    mh_strip_answer(request->r); /* nor what Header has set */
    int64_t now_s = apr_time_sec(request->r->request_time);
    if (answered && mh_cookie_is_needed(&request->choice, now_s) && !application_sets(request)) {
        add_cookie(request);
    }
    return ap_pass_brigade(next, brigade);
}

void mh_affinity_register(void)
{
    filter = ap_register_output_filter("HA_AFFINITY", on_answer, NULL, AP_FTYPE_PROTOCOL - 1);
}
