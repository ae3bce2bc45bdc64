/* SPDX-License-Identifier: Apache-2.0 */
/* Owns one request on the standard path: its choice, waiting for room, and what is logged of it. */
#include "mh_request.h"

#include <apr_strings.h>

#include "mh_log.h"

static apr_status_t end_choice(void *choice)
{
    mh_choice_count_out(choice);
    mh_choice_end(choice);
    return APR_SUCCESS;
}

mh_request_t *mh_request_make(mh_app_t *app, request_rec *r, const char *url)
{
    mh_request_t *request = apr_pcalloc(r->pool, sizeof(*request));
    const mh_choice_from_t from = {
        .affinity =
            {
                .cookies = hap_str(apr_table_get(r->headers_in, "Cookie")),
                .path = hap_str(r->unparsed_uri),
                .now_s = apr_time_sec(r->request_time),
            },
        .client = hap_str(r->useragent_ip),
        .path = hap_str(r->uri),
    };
    request->r = r;
    request->url = apr_pstrdup(r->pool, url);
    /* A tunnel is open for as long as it likes, and its 101 goes past the filter that sees answers
     * begin. */
    request->choice.holds_thread = apr_table_get(r->headers_in, "Upgrade") == NULL;
    mh_choice_begin(&request->choice, app, &from);
    apr_pool_cleanup_register(r->pool, &request->choice, end_choice, apr_pool_cleanup_null);
    ap_set_module_config(r->request_config, &haproxy_module, request);
    return request;
}

mh_request_t *mh_request_of(const request_rec *r)
{
    return ap_get_module_config(r->request_config, &haproxy_module);
}

int mh_request_pick(mh_request_t *request)
{
    mh_choice_t *choice = &request->choice;
    bool picked = mh_choice_make(choice);
    while (!picked && mh_choice_may_wait(choice) && mh_queue_wait(choice->app, &request->ticket)) {
        picked = mh_choice_make(choice);
    }
    mh_queue_leave(choice->app, &request->ticket);
    if (picked) {
        return OK;
    }
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, request->r, "%s: no member for %s: %s",
                  choice->app->name, request->r->uri, hap_pick_whys[choice->why]);
    return HTTP_SERVICE_UNAVAILABLE;
}

bool mh_request_is_idempotent(const request_rec *r)
{
    static const int methods[] = {M_GET, M_OPTIONS, M_TRACE, M_PUT, M_DELETE};
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        if (r->method_number == methods[i]) {
            return true;
        }
    }
    return false;
}

bool mh_request_is_answer(const apr_bucket_brigade *first)
{
    const apr_bucket *bucket = APR_BRIGADE_FIRST(first);
    return bucket == APR_BRIGADE_SENTINEL(first) ||
           !(AP_BUCKET_IS_ERROR(bucket) || AP_BUCKET_IS_EOC(bucket));
}

/* The note that mod_proxy_http and mod_proxy_ajp leave. */
static const char overridden[] = "proxy-error-override";

bool mh_request_is_overridden(const request_rec *r)
{
    return apr_table_get(r->notes, overridden) != NULL;
}

void mh_request_forget_overridden(request_rec *r)
{
    apr_table_unset(r->notes, overridden);
}

bool mh_request_may_retry(mh_request_t *request)
{
    mh_retry_t retry = mh_choice_retry(&request->choice);
    if (retry == MH_RETRY_NO_BUDGET) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, request->r,
                      "%s: not tried again, the retry budget is used up",
                      request->choice.app->name);
    }
    return retry == MH_RETRY_YES;
}
