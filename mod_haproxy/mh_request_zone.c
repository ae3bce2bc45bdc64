/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the way from a request_rec to its visit and back. */
#include "mh_request_zone.h"

#include <apr_strings.h>
#include <http_protocol.h>
#include <limits.h>

#include "mh_body.h"
#include "mh_visit.h"

static apr_status_t end_visit(void *visit)
{
    mh_visit_end(visit);
    return APR_SUCCESS;
}

/* Each operation, one after the other. */
static void run_all(mh_visit_t *visit, bool more)
{
    while (more) {
        hapstore_wait(visit->store, &visit->op);
        more = mh_visit_ran(visit);
    }
}

static uint64_t body_bytes(request_rec *r)
{
    hap_str_t length = hap_str(apr_table_get(r->headers_in, "Content-Length"));
    unsigned long bytes = 0;
    bool known = hap_str_uint(&bytes, length, ULONG_MAX);
    return known || !ap_request_has_body(r) ? bytes : UINT64_MAX;
}

void mh_request_zone_find(mh_request_t *request)
{
    request_rec *r = request->r;
    const mh_zone_t *zone = mh_zone_of(request->choice.app);
    if (!zone) {
        return;
    }
    mh_visit_t *visit = apr_palloc(r->pool, sizeof(*visit));
    if (!mh_visit_begin(visit, &request->choice, zone->store, body_bytes(r))) {
        return;
    }
    request->visit = visit;
    apr_pool_cleanup_register(r->pool, visit, end_visit, apr_pool_cleanup_null);
    run_all(visit, mh_visit_find(visit));
    request->body = mh_body_keep(r);
}

void mh_request_zone_find_again(mh_request_t *request)
{
    if (request->visit) {
        mh_visit_find_again(request->visit);
    }
}

bool mh_request_zone_send(mh_request_t *request)
{
    if (!request->visit) {
        return true;
    }
    run_all(request->visit, mh_visit_send(request->visit));
    return !request->visit->elsewhere;
}

void mh_request_zone_tell(mh_request_t *request)
{
    const mh_visit_t *visit = request->visit;
    request_rec *r = request->r;
    uint64_t epoch = mh_choice_epoch(&request->choice);
    if (epoch) {
        apr_table_setn(r->headers_in, mh_choice_fence(&request->choice),
                       apr_psprintf(r->pool, "%" APR_UINT64_T_FMT, (apr_uint64_t)epoch));
    }
    for (unsigned i = 0; visit && i < visit->lines_n; i++) {
        apr_table_addn(r->headers_in, visit->lines[i].name,
                       apr_pstrmemdup(r->pool, visit->lines[i].value.p, visit->lines[i].value.n));
    }
}

void mh_request_zone_stripped(mh_request_t *request)
{
    if (request->visit) {
        mh_zone_count(request->visit->zone, MH_ZONE_STRIPPED, 1);
    }
}

static int hear_cookie(void *visit, const char *name, const char *value)
{
    mh_visit_hear_cookie(visit, hap_str(value));
    return 1;
}

void mh_request_zone_hear(mh_request_t *request)
{
    mh_visit_t *visit = request->visit;
    request_rec *r = request->r;
    if (!visit) {
        return;
    }
    mh_visit_hear_begin(visit);
    mh_visit_hear_said(visit, request->said);
    apr_table_do(hear_cookie, visit, r->headers_out, "Set-Cookie", NULL);
    apr_table_do(hear_cookie, visit, r->err_headers_out, "Set-Cookie", NULL);
    run_all(visit, mh_visit_hear_end(visit, mh_request_is_idempotent(r)));
    request->refused = visit->verdict != MH_VERDICT_PASS;
}

/* What the handlers have set for an answer that nobody has seen. */
static void forget_answer(request_rec *r)
{
    apr_table_clear(r->headers_out);
    apr_table_clear(r->err_headers_out);
    apr_table_clear(r->trailers_out);
    r->status = HTTP_OK;
    r->status_line = NULL;
    r->content_type = NULL;
    r->content_encoding = NULL;
    r->content_languages = NULL;
    r->eos_sent = 0;
}

bool mh_request_zone_again(mh_request_t *request)
{
    bool again = request->visit->verdict == MH_VERDICT_AGAIN && mh_body_rewind(request->body);
    forget_answer(request->r);
    request->refused = false;
    return again;
}

void mh_request_zone_register(void)
{
    mh_body_register();
}
