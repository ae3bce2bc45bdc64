/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what is carried with each exchange, and each answer to the engine about one. */
#include "mh_lane_exchange.h"

#include <http_core.h>
#include <stdlib.h>

#include "mh_choice.h"
#include "mh_cookie.h"
#include "mh_lane_zone.h"
#include "mh_log.h"
#include "mh_site.h"

/** The owner's part of an exchange. */
typedef struct carried_t {
    mh_choice_t choice;
    const mh_site_t *site;
    char self[MH_HOST_SELF_BYTES]; /* what the exchange borrows */
    char *session; /* what choice.session borrows from, where RequestHeader may have made it; or
                      NULL; on the heap */
    mh_lane_zone_t *zone; /* NULL: there is none for it */
    mh_lane_wait_t wait;
    char fence[MH_FENCE_BYTES]; /* what the exchange borrows */
} carried_t;

size_t mh_exchange_bytes(void)
{
    return sizeof(carried_t);
}

/* --- which member ----------------------------------------------------------------------------- */

/* httpd itself may switch to it, such as mod_http2 to h2c. */
static bool is_httpds(const server_rec *s, hap_str_t protocol)
{
    const core_server_config *conf = ap_get_core_module_config(s->module_config);
    for (int i = 0; i < conf->protocols->nelts; i++) {
        if (hap_str_eq_nocase(protocol, hap_str(APR_ARRAY_IDX(conf->protocols, i, const char *)))) {
            return true;
        }
    }
    return false;
}

/* The lane carries plain requests for another protocol: one that is named once, to begin with the
 * next byte. What else has an Upgrade, in HTTP/1.0 or with a body, is httpd's. */
static bool asks_httpd(const mh_site_t *site, const hap_http1_head_t *head)
{
    hap_str_t protocol = head->protocol;
    unsigned n = 0;
    for (unsigned i = 0; protocol.p && i < head->fields_n; i++) {
        n += head->fields[i].id == HAP_FIELD_UPGRADE;
    }
    bool single = n == 1 && hap_str_find(protocol, ',', 0) == protocol.n;
    bool plain = head->upgrade && head->minor > 0 && head->framing == HAP_FRAMING_NONE && single;
    return n > 0 && (!plain || is_httpds(site->server, protocol));
}

/* The time of day, read once a turn. */
static apr_time_t wall_now(mh_engine_t *engine)
{
    apr_time_t now = ml_loop_now(engine->loop);
    if (engine->wall_seen != now) {
        engine->wall_seen = now;
        engine->wall = apr_time_now();
    }
    return engine->wall;
}

/* What RequestHeader has made of a head is there until the next head is read: the session must be
 * this client's for as long as the request lasts. False without memory. */
static bool keep_session(carried_t *carried)
{
    hap_affinity_t *session = &carried->choice.session;
    if (session->value.n == 0) {
        return true;
    }
    carried->session = malloc(session->value.n);
    if (carried->session) {
        hap_affinity_move(session, carried->session);
    }
    return carried->session != NULL;
}

ml_route_t mh_exchange_route(ml_exchange_t *x, const void *place)
{
    carried_t *carried = ml_exchange_data(x);
    const hap_http1_request_t *head = ml_exchange_head(x);
    mh_engine_t *engine = ml_exchange_owner(x);
    const mh_host_t *host = head->cookies ? NULL : mh_hosts_find(engine->hosts, place, head->host);
    const mh_mount_t *mount = host && host->site ? mh_site_mount(host->site, head) : NULL;
    if (!mount || asks_httpd(host->site, &head->head) ||
        mh_agents_leave(engine->agents, mount, head)) {
        return ML_ROUTE_GIVE;
    }
    x->relay = &mount->relay;
    if (!ml_exchange_edit(x)) {
        return ML_ROUTE_GIVE;
    }
    const mh_choice_from_t from = {
        .affinity = {.cookies = head->cookie,
                     .path = head->target,
                     .now_s = apr_time_sec(wall_now(engine))},
        .client = hap_str(ml_client_address(x->client)),
        .path = head->path,
    };
    x->times = &mount->times;
    x->deflate = mount->deflate.types_n ? &mount->deflate : NULL;
    mh_choice_begin(&carried->choice, mount->app, &from);
    bool edited = mount->relay.edits.request.n > 0;
    if (host->self.n > sizeof(carried->self) || (edited && !keep_session(carried))) {
        mh_choice_end(&carried->choice);
        return ML_ROUTE_GIVE;
    }
    carried->zone = mh_lane_zone_begin(x, engine->stores, &carried->choice);
    carried->site = host->site;
    x->self = hap_strn(carried->self, host->self.n);
    memcpy(carried->self, host->self.p, host->self.n);
    return ML_ROUTE_TAKE;
}

/* False: there is no memory for it, or the member does not speak what the lane does. */
static bool set_reach(ml_exchange_t *x, carried_t *carried)
{
    const mh_engine_t *engine = ml_exchange_owner(x);
    const mh_member_t *member = mh_choice_member(&carried->choice);
    x->origin = member->plain ? mh_reaches_origin(engine->reaches, &carried->choice) : NULL;
    x->host = member->host;
    x->base = member->base;
    x->extra = mh_choice_fence_line(carried->fence, &carried->choice);
    x->alias = (hap_relay_map_t){.real = hap_strn("", 0)};
    if (member->hired) {
        x->alias = (hap_relay_map_t){.real = member->own_url, .fake = member->like_url};
    }
    return x->origin != NULL;
}

/* Waiting for room is the standard path's affair: it has threads for that. Who waits for an active
 * member may be one of very many, and waits here. */
static ml_choice_t find_nobody(ml_exchange_t *x, carried_t *carried)
{
    const mh_engine_t *engine = ml_exchange_owner(x);
    const mh_choice_t *choice = &carried->choice;
    if (mh_choice_lacks_active(choice)) {
        if (mh_lane_queue_wait(engine->queue, &carried->wait, x, choice)) {
            return ML_CHOICE_LATER;
        }
    } else if (mh_choice_may_wait(choice)) {
        return ML_CHOICE_GIVE;
    }
    ap_log_error(APLOG_MARK, choice->failed ? APLOG_DEBUG : APLOG_ERR, 0, engine->server,
                 "%s: no member for %.*s: %s", choice->app->name,
                 HAP_STR_ARG(ml_exchange_head(x)->path), hap_pick_whys[choice->why]);
    return ML_CHOICE_NOBODY;
}

ml_choice_t mh_exchange_choose(ml_exchange_t *x)
{
    carried_t *carried = ml_exchange_data(x);
    mh_choice_t *choice = &carried->choice;
    if (carried->zone && mh_lane_zone_is_elsewhere(carried->zone)) {
        mh_choice_count_out(choice);
    } else if (carried->zone && mh_lane_zone_is_sent(carried->zone)) {
        return ML_CHOICE_MEMBER;
    }
    if (carried->zone && !mh_lane_zone_find(carried->zone)) {
        return ML_CHOICE_LATER;
    }
    if (!mh_choice_make(choice)) {
        return find_nobody(x, carried);
    }
    mh_lane_queue_leave(&carried->wait);
    if (!set_reach(x, carried)) {
        mh_choice_count_out(choice);
        return ML_CHOICE_GIVE;
    }
    bool waits = carried->zone && !mh_lane_zone_send(carried->zone);
    return waits ? ML_CHOICE_LATER : ML_CHOICE_MEMBER;
}

/* As mod_proxy_http sees it: by upgrade= of the member. */
bool mh_exchange_may_switch(ml_exchange_t *x, hap_str_t protocol)
{
    const mh_engine_t *engine = ml_exchange_owner(x);
    const carried_t *carried = ml_exchange_data(x);
    const proxy_worker *worker = mh_choice_member(&carried->choice)->worker;
    if (!*worker->s->upgrade) {
        return false;
    }
    apr_pool_clear(engine->scratch);
    const char *name = hap_str_dup(protocol, engine->scratch);
    return ap_proxy_worker_can_upgrade(engine->scratch, worker, name, NULL);
}

static bool application_sets(const mh_choice_t *choice, const hap_http1_answer_t *answer)
{
    for (unsigned i = 0; i < answer->head.fields_n; i++) {
        const hap_field_t *field = &answer->head.fields[i];
        if (field->id == HAP_FIELD_SET_COOKIE && mh_cookie_is_sessions(choice, field->value)) {
            return true;
        }
    }
    return false;
}

ml_heard_t mh_exchange_heard(ml_exchange_t *x, const hap_http1_answer_t *answer)
{
    mh_lane_zone_t *zone = ((carried_t *)ml_exchange_data(x))->zone;
    return zone ? mh_lane_zone_heard(zone, answer) : ML_HEARD_PASS;
}

size_t mh_exchange_answered(ml_exchange_t *x, const hap_http1_answer_t *answer, char *value,
                            size_t room)
{
    mh_engine_t *engine = ml_exchange_owner(x);
    mh_choice_t *choice = &((carried_t *)ml_exchange_data(x))->choice;
    int64_t now_s = apr_time_sec(wall_now(engine));
    hap_diag_t diag;
    mh_choice_answered(choice, answer->status);
    if (!mh_cookie_is_needed(choice, now_s) || application_sets(choice, answer)) {
        return 0;
    }
    apr_pool_clear(engine->scratch);
    hap_str_t made = hap_str(mh_cookie_make(choice, false, now_s, &diag, engine->scratch));
    if (made.n == 0 || made.n > room) {
        ap_log_error(APLOG_MARK, APLOG_INFO, 0, engine->server, "%s: no affinity cookie set: %s",
                     choice->app->name, made.n ? "it is too long" : diag.why);
        return 0;
    }
    memcpy(value, made.p, made.n);
    return made.n;
}

static bool may_retry(const mh_engine_t *engine, mh_choice_t *choice)
{
    mh_retry_t retry = mh_choice_retry(choice);
    if (retry == MH_RETRY_NO_BUDGET) {
        ap_log_error(APLOG_MARK, APLOG_INFO, 0, engine->server,
                     "%s: not tried again, the retry budget is used up", choice->app->name);
    }
    return retry == MH_RETRY_YES;
}

bool mh_exchange_settled(ml_exchange_t *x, ml_outcome_t outcome, bool again)
{
    static const mh_outcome_t outcomes[] = {
        [ML_OUTCOME_SERVED] = MH_OUTCOME_SERVED,   [ML_OUTCOME_NO_CONNECT] = MH_OUTCOME_NO_CONNECT,
        [ML_OUTCOME_FAILED] = MH_OUTCOME_FAILED,   [ML_OUTCOME_TIMED_OUT] = MH_OUTCOME_FAILED,
        [ML_OUTCOME_UNKNOWN] = MH_OUTCOME_UNKNOWN, [ML_OUTCOME_SHORTAGE] = MH_OUTCOME_UNKNOWN,
    };
    const mh_engine_t *engine = ml_exchange_owner(x);
    mh_choice_t *choice = &((carried_t *)ml_exchange_data(x))->choice;
    bool bad = outcome == ML_OUTCOME_SERVED && mh_app_fails_by_status(choice->app, (int)x->status);
    bool failed = outcome == ML_OUTCOME_NO_CONNECT || outcome == ML_OUTCOME_FAILED ||
                  outcome == ML_OUTCOME_TIMED_OUT;
    bool alarming = outcome == ML_OUTCOME_TIMED_OUT && choice->app->failontimeout;
    if (failed) {
        ap_log_error(APLOG_MARK, APLOG_ERR, x->error, engine->server,
                     "%s: member %s failed on %.*s: %s", choice->app->name,
                     mh_choice_member(choice)->name, HAP_STR_ARG(ml_exchange_head(x)->path),
                     x->why);
    }
    if (outcome == ML_OUTCOME_SHORTAGE) {
        ap_log_error(APLOG_MARK, APLOG_ERR, x->error, engine->server,
                     "%s: %.*s was not carried: no descriptor, port or memory for a connection",
                     choice->app->name, HAP_STR_ARG(ml_exchange_head(x)->path));
    }
    mh_choice_settle(choice, alarming ? MH_OUTCOME_TIMED_OUT
                             : bad    ? MH_OUTCOME_FAILED
                                      : outcomes[outcome]);
    return again && may_retry(engine, choice);
}

void mh_exchange_ended(ml_exchange_t *x)
{
    mh_engine_t *engine = ml_exchange_owner(x);
    carried_t *carried = ml_exchange_data(x);
    mh_choice_count_out(&carried->choice);
    if (x->status && mh_lane_log_wanted()) {
        const mh_lane_entry_t entry = {
            .server = carried->site->server,
            .choice = &carried->choice,
            .request = ml_exchange_head(x),
            .client = ml_client_address(x->client),
            .served = ml_client_served(x->client),
            .status = x->status,
            .received = x->received_bytes,
            .sent = x->sent_bytes,
            .body = x->sent_bytes > x->sent_heads ? x->sent_bytes - x->sent_heads : 0,
            .took = ml_loop_now(engine->loop) - x->began,
            .cut = !x->whole,
            .keep = x->keep,
        };
        mh_lane_log(&entry, engine->log, engine->scratch);
    }
    mh_lane_queue_leave(&carried->wait);
    mh_lane_zone_end(carried->zone);
    mh_choice_end(&carried->choice);
    free(carried->session);
}

/* --- the time of day -------------------------------------------------------------------------- */

hap_str_t mh_exchange_date(void *owner)
{
    mh_engine_t *engine = owner;
    apr_time_t now = wall_now(engine);
    if (apr_time_sec(now) != engine->date_s) {
        engine->date_s = apr_time_sec(now);
        apr_rfc822_date(engine->date, now);
    }
    return hap_strn(engine->date, sizeof(engine->date) - 1);
}
