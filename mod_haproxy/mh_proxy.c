/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the standard path: mod_proxy carries the request, this chooses who gets it.
 *
 * mod_proxy asks for a member in pre_request and then runs the scheme's handler, once. Trying
 * another member is done here, around that handler, and not by mod_proxy's own loop: that one goes
 * by a flag of the worker that every other request may set or clear at any moment, so a request
 * could find its member usable again just when it asks whether to try another.
 */
#include "mh_proxy.h"

#include <ap_provider.h>
#include <apr_strings.h>
#include <http_request.h>
#include <mod_proxy.h>

#include "mh_env.h"
#include "mh_log.h"
#include "mh_request.h"
#include "mh_request_zone.h"
#include "mh_strip.h"

/* Not in the installed headers, and not in every 2.4: older ones have no second canonicalisation.
 */
extern int ap_proxy_canon_url(request_rec *r) __attribute__((weak));

static const char balancer_scheme[] = "balancer://";

/* The note that mod_proxy_http and mod_proxy_ajp leave when no answer came in time. */
static const char timed_out[] = "proxy_timedout";

/* Puts the member into the URL: balancer://App/path becomes http://hosta:8080/path. */
static int address(const mh_request_t *request, char **url)
{
    request_rec *r = request->r;
    const char *path = strchr(request->url + sizeof(balancer_scheme) - 1, '/');
    const mh_member_t *member = mh_choice_member(&request->choice);
    r->filename = apr_pstrcat(r->pool, "proxy:", member->worker->s->name_ex, path, NULL);
    if (ap_proxy_canon_url) {
        int rv = ap_proxy_canon_url(r);
        if (rv != OK) {
            return rv;
        }
    }
    *url = apr_pstrdup(r->pool, r->filename + sizeof("proxy:") - 1);
    return OK;
}

/* Who was chosen may have lost the session to another one by the time he can be told of it. */
static int pick(mh_request_t *request)
{
    int rv = mh_request_pick(request);
    while (rv == OK && !mh_request_zone_send(request)) {
        mh_choice_count_out(&request->choice);
        rv = mh_request_pick(request);
    }
    return rv;
}

static int choose(mh_request_t *request, proxy_worker **worker, char **url)
{
    int rv = pick(request);
    if (rv != OK) {
        return rv;
    }
    *worker = mh_choice_member(&request->choice)->worker;
    mh_env_set(&request->choice, request->r);
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, request->r, "%s: member %s: %s",
                  request->choice.app->name, mh_choice_member(&request->choice)->name,
                  hap_pick_whys[request->choice.why]);
    return address(request, url);
}

static int pre_request(proxy_worker **worker, proxy_balancer **balancer, request_rec *r,
                       proxy_server_conf *conf, char **url)
{
    if (*balancer && mh_request_of(r)) {
        /* mod_proxy's own loop: what could be tried has been tried, and nobody else shall try. */
        return HTTP_SERVICE_UNAVAILABLE;
    }
    if (*balancer || ap_cstr_casecmpn(*url, balancer_scheme, sizeof(balancer_scheme) - 1) != 0) {
        return DECLINED;
    }
    proxy_balancer *found = ap_proxy_get_balancer(r->pool, conf, *url, 1);
    mh_app_t *app = found ? mh_app_of(found) : NULL;
    if (!app || app->method_only) {
        return DECLINED;
    }
    *worker = NULL;
    *balancer = found;
    mh_request_t *request = mh_request_make(app, r, *url);
    mh_request_zone_find(request);
    int rv = choose(request, worker, url);
    if (rv == OK) {
        mh_affinity_prepare(request);
    }
    return rv;
}

/*
 * An application's own 503 is an answer, and OK here unless httpd makes the page for it. Else the
 * 503 of a handler means that there was no connection, with exceptions: mod_proxy_http says it too
 * when nothing came back for a head that was sent with Expect: 100-continue, and leaves a note
 * then; the handlers of FastCGI, SCGI and uwsgi say it whenever the talk broke down, so there it
 * means nothing.
 */
static bool was_not_sent(const request_rec *r, const proxy_worker *worker)
{
    if (mh_speaks_http(worker)) {
        return !apr_table_get(r->notes, timed_out);
    }
    return ap_cstr_casecmp(worker->s->scheme, "ajp") == 0;
}

/* Without a connection any request may go to another member, else only what is harmless twice. */
static bool may_be_repeated(request_rec *r, const proxy_worker *worker)
{
    return was_not_sent(r, worker) || (mh_request_is_idempotent(r) && !ap_request_has_body(r));
}

static mh_outcome_t judge(const mh_request_t *request, const proxy_worker *worker, int status)
{
    const request_rec *r = request->r;
    if (request->refused) {
        return MH_OUTCOME_SERVED; /* it has answered, if not for the client */
    }
    bool answered = mh_request_is_overridden(r);
    int answer = status == OK || status == DONE ? r->status : status;
    if (request->choice.app->failontimeout && apr_table_get(r->notes, timed_out)) {
        return MH_OUTCOME_TIMED_OUT;
    }
    if (status == HTTP_SERVICE_UNAVAILABLE && !answered) {
        /* The child's own connections may be used up, or an operator has just said no. */
        bool unsure = worker->s->acquire_set || !PROXY_WORKER_IS_USABLE(worker);
        return unsure                    ? MH_OUTCOME_UNKNOWN
               : was_not_sent(r, worker) ? MH_OUTCOME_NO_CONNECT
                                         : MH_OUTCOME_FAILED;
    }
    bool broke = status == HTTP_BAD_GATEWAY || status == HTTP_GATEWAY_TIME_OUT ||
                 status == HTTP_INTERNAL_SERVER_ERROR;
    bool failed = (broke && !answered) || mh_app_fails_by_status(request->choice.app, answer);
    return failed ? MH_OUTCOME_FAILED : MH_OUTCOME_SERVED;
}

/* Whether the request goes to a member once more; else `status` is what came of it. */
static bool goes_again(mh_request_t *request, const proxy_worker *worker, int *status)
{
    if (request->refused) {
        *status = HTTP_SERVICE_UNAVAILABLE;
        return mh_request_zone_again(request);
    }
    bool answered = mh_request_is_overridden(request->r);
    return *status == HTTP_SERVICE_UNAVAILABLE && !answered &&
           may_be_repeated(request->r, worker) && mh_request_may_retry(request);
}

static int scheme_handler(request_rec *r, proxy_worker *worker, proxy_server_conf *conf, char *url,
                          const char *proxyname, apr_port_t proxyport)
{
    mh_request_t *request = mh_request_of(r);
    if (!request || request->serving || request->choice.member < 0) {
        return DECLINED;
    }
    request->serving = true;
    int status;
    for (;;) {
        apr_table_unset(r->notes, timed_out);
        mh_strip_begin(request, worker);
        mh_request_zone_tell(request);
        status = proxy_run_scheme_handler(r, worker, conf, url, proxyname, proxyport);
        mh_strip_end(request);
        if (status == DECLINED) {
            break;
        }
        mh_choice_settle(&request->choice, judge(request, worker, status));
        if (!goes_again(request, worker, &status)) {
            break;
        }
        mh_request_zone_find_again(request);
        if (choose(request, &worker, &url) != OK) {
            break;
        }
        ap_proxy_initialize_worker(worker, r->server, conf->pool);
        mh_affinity_prepare(request);
    }
    request->serving = false;
    return status;
}

/* Keeps mod_proxy_balancer's lock out of the end of our requests. */
static int post_request(proxy_worker *worker, proxy_balancer *balancer, request_rec *r,
                        proxy_server_conf *conf)
{
    return mh_request_of(r) ? OK : DECLINED;
}

/* As mod_proxy's own methods: a worker in error is given another try when its retry= has passed. */
static bool is_usable(proxy_worker *worker, APR_OPTIONAL_FN_TYPE(ap_proxy_retry_worker) * retry,
                      server_rec *s)
{
    if (!PROXY_WORKER_IS_USABLE(worker) && retry) {
        retry("BALANCER", worker, s);
    }
    return PROXY_WORKER_IS_USABLE(worker);
}

/*
 * ProxySet lbmethod=ha: mod_proxy_balancer keeps sessions and errors to itself and only asks for
 * the next member, so what it holds unusable is passed over. It holds a lock while it asks.
 */
static proxy_worker *find_member(proxy_balancer *balancer, request_rec *r)
{
    mh_app_t *app = mh_app_of(balancer);
    APR_OPTIONAL_FN_TYPE(ap_proxy_retry_worker) *retry =
        APR_RETRIEVE_OPTIONAL_FN(ap_proxy_retry_worker);
    if (!app) {
        return NULL;
    }
    /* Its members are the configured ones, ever. */
    mh_choice_t choice = {.app = app, .session = {.member = -1}, .member = -1};
    choice.lineups[choice.lineups_n++] = app->lineup;
    while (choice.tried_n < MH_TRIED_MAX && mh_choice_peek(&choice)) {
        proxy_worker *worker = mh_choice_member(&choice)->worker;
        if (is_usable(worker, retry, r->server)) {
            return worker;
        }
        choice.tried[choice.tried_n++] = mh_choice_member(&choice)->slot;
    }
    for (int i = 0; i < app->members->nelts; i++) {
        proxy_worker *worker = mh_app_member(app, i)->worker;
        if (!PROXY_WORKER_IS_DRAINING(worker) && is_usable(worker, retry, r->server)) {
            return worker;
        }
    }
    return NULL;
}

static apr_status_t nothing_to_reset(proxy_balancer *balancer, server_rec *s)
{
    return APR_SUCCESS;
}

static apr_status_t nothing_to_update(proxy_balancer *balancer, proxy_worker *elected,
                                      server_rec *s)
{
    return APR_SUCCESS;
}

static const proxy_balancer_method ha_method = {
    .name = "ha",
    .finder = find_member,
    .reset = nothing_to_reset,
    .age = nothing_to_reset,
    .updatelbstatus = nothing_to_update,
};

void mh_proxy_register(void)
{
    static const char *const before_balancer[] = {"mod_proxy_balancer.c", NULL};
    proxy_hook_pre_request(pre_request, NULL, before_balancer, APR_HOOK_FIRST);
    proxy_hook_post_request(post_request, NULL, before_balancer, APR_HOOK_FIRST);
    proxy_hook_scheme_handler(scheme_handler, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_register_provider(apr_hook_global_pool, PROXY_LBMETHOD, "ha", "0", &ha_method);
}
