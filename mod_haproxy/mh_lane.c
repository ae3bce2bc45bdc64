/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the lane's dealings with httpd. The engine calls from its loop thread; what is asked here is
 * answered from what was made at startup, so that nothing blocks and nothing is locked.
 */
#include "mh_lane.h"

#include <apr_portable.h>
#include <apr_strings.h>
#include <fcntl.h>
#include <http_connection.h>
#include <http_core.h>
#include <http_ssl.h>
#include <http_vhost.h>
#include <mpm_common.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mh_agents.h"
#include "mh_child.h"
#include "mh_choice.h"
#include "mh_config.h"
#include "mh_cookie.h"
#include "mh_handback.h"
#include "mh_lane_hosts.h"
#include "mh_lane_log.h"
#include "mh_lane_queue.h"
#include "mh_lane_reach.h"
#include "mh_lane_stores.h"
#include "mh_lane_zone.h"
#include "mh_listen.h"
#include "mh_log.h"
#include "mh_rules.h"
#include "mh_site.h"
#include "mh_takers.h"

enum {
    DATE_BYTES = APR_RFC822_DATE_LEN,
    DRAIN_STEP_US = 5000,
    TAKERS_EVERY_US = 20000,
    LONGEST_S = 3600 /* a graceful end without GracefulShutdownTimeout */
};

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

/** A loop with its lane. Loop thread only, once it runs, but for what is marked. */
typedef struct engine_t {
    ml_lane_t *lane;        /* any thread, to add clients */
    ml_loop_t *loop;        /* any thread, to post */
    ml_work_t drain;        /* posted once */
    ml_work_t follow;       /* posted when the members may be others */
    _Atomic bool following; /* it is */
    apr_pool_t *pool;
    apr_pool_t *scratch; /* cleared for each use */
    mh_hosts_t *hosts;
    mh_agents_t *agents;
    mh_reaches_t *reaches;
    mh_lane_queue_t *queue;
    mh_lane_stores_t *stores;
    mh_log_batch_t *log;
    apr_time_t takers_seen; /* on the loop's clock: when takers was found out */
    apr_time_t wall_seen;   /* on the loop's clock: when wall was read */
    apr_time_t wall;        /* time of day, in this turn */
    ml_takers_t takers;     /* who there was then */
    bool draining;
    bool runs;         /* its loop has a thread of its own; in child_init only */
    apr_time_t date_s; /* of date */
    char date[DATE_BYTES];
} engine_t;

/* Made in child_init. */
static struct {
    server_rec *server;
    engine_t *engines;
    unsigned engines_n;
    ml_room_t room;        /* of all engines */
    _Atomic unsigned next; /* engine that gets the next client */
    _Atomic bool draining; /* the child ends, gracefully */
    apr_time_t draining_since;
    _Atomic unsigned drains; /* engines that accept nobody any more */
} self;

/* The child has been told to end at once. */
static volatile sig_atomic_t hurried;

/* --- what the engine asks --------------------------------------------------------------------- */

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
static apr_time_t wall_now(engine_t *engine)
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

static ml_route_t route(ml_exchange_t *x, const void *place)
{
    carried_t *carried = ml_exchange_data(x);
    const hap_http1_request_t *head = ml_exchange_head(x);
    engine_t *engine = ml_exchange_owner(x);
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
    const engine_t *engine = ml_exchange_owner(x);
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
    const engine_t *engine = ml_exchange_owner(x);
    const mh_choice_t *choice = &carried->choice;
    if (mh_choice_lacks_active(choice)) {
        if (mh_lane_queue_wait(engine->queue, &carried->wait, x, choice)) {
            return ML_CHOICE_LATER;
        }
    } else if (mh_choice_may_wait(choice)) {
        return ML_CHOICE_GIVE;
    }
    /* Who has failed on it was named before. */
    ap_log_error(APLOG_MARK, choice->tried_n ? APLOG_DEBUG : APLOG_ERR, 0, self.server,
                 "%s: no member for %.*s: %s", choice->app->name,
                 HAP_STR_ARG(ml_exchange_head(x)->path), hap_pick_whys[choice->why]);
    return ML_CHOICE_NOBODY;
}

static ml_choice_t choose(ml_exchange_t *x)
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
static bool may_switch(ml_exchange_t *x, hap_str_t protocol)
{
    const engine_t *engine = ml_exchange_owner(x);
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

static ml_heard_t heard(ml_exchange_t *x, const hap_http1_answer_t *answer)
{
    mh_lane_zone_t *zone = ((carried_t *)ml_exchange_data(x))->zone;
    return zone ? mh_lane_zone_heard(zone, answer) : ML_HEARD_PASS;
}

static size_t answered(ml_exchange_t *x, const hap_http1_answer_t *answer, char *value, size_t room)
{
    engine_t *engine = ml_exchange_owner(x);
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
        ap_log_error(APLOG_MARK, APLOG_INFO, 0, self.server, "%s: no affinity cookie set: %s",
                     choice->app->name, made.n ? "it is too long" : diag.why);
        return 0;
    }
    memcpy(value, made.p, made.n);
    return made.n;
}

static bool may_retry(mh_choice_t *choice)
{
    mh_retry_t retry = mh_choice_retry(choice);
    if (retry == MH_RETRY_NO_BUDGET) {
        ap_log_error(APLOG_MARK, APLOG_INFO, 0, self.server,
                     "%s: not tried again, the retry budget is used up", choice->app->name);
    }
    return retry == MH_RETRY_YES;
}

static bool settled(ml_exchange_t *x, ml_outcome_t outcome, bool again)
{
    static const mh_outcome_t outcomes[] = {
        [ML_OUTCOME_SERVED] = MH_OUTCOME_SERVED,   [ML_OUTCOME_NO_CONNECT] = MH_OUTCOME_NO_CONNECT,
        [ML_OUTCOME_FAILED] = MH_OUTCOME_FAILED,   [ML_OUTCOME_TIMED_OUT] = MH_OUTCOME_FAILED,
        [ML_OUTCOME_UNKNOWN] = MH_OUTCOME_UNKNOWN, [ML_OUTCOME_SHORTAGE] = MH_OUTCOME_UNKNOWN,
    };
    mh_choice_t *choice = &((carried_t *)ml_exchange_data(x))->choice;
    bool bad = outcome == ML_OUTCOME_SERVED && mh_app_fails_by_status(choice->app, (int)x->status);
    bool failed = outcome == ML_OUTCOME_NO_CONNECT || outcome == ML_OUTCOME_FAILED ||
                  outcome == ML_OUTCOME_TIMED_OUT;
    bool alarming = outcome == ML_OUTCOME_TIMED_OUT && choice->app->failontimeout;
    if (failed) {
        ap_log_error(APLOG_MARK, APLOG_ERR, x->error, self.server,
                     "%s: member %s failed on %.*s: %s", choice->app->name,
                     mh_choice_member(choice)->name, HAP_STR_ARG(ml_exchange_head(x)->path),
                     x->why);
    }
    if (outcome == ML_OUTCOME_SHORTAGE) {
        ap_log_error(APLOG_MARK, APLOG_ERR, x->error, self.server,
                     "%s: %.*s was not carried: no descriptor, port or memory for a connection",
                     choice->app->name, HAP_STR_ARG(ml_exchange_head(x)->path));
    }
    mh_choice_settle(choice, alarming ? MH_OUTCOME_TIMED_OUT
                             : bad    ? MH_OUTCOME_FAILED
                                      : outcomes[outcome]);
    return again && may_retry(choice);
}

static void ended(ml_exchange_t *x)
{
    engine_t *engine = ml_exchange_owner(x);
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

/* Looked for now and then. At a stop a client may have been given to one who left in that moment.
 */
static ml_takers_t takers(void *owner)
{
    engine_t *engine = owner;
    apr_time_t now = ml_loop_now(engine->loop);
    if (now - engine->takers_seen >= TAKERS_EVERY_US) {
        engine->takers_seen = now;
        engine->takers = mh_takers_find(self.draining_since);
        if (engine->takers == ML_TAKERS_NONE) {
            mh_handback_refuse();
        }
    }
    return engine->takers;
}

static bool give(void *owner, int fd, const void *place, hap_str_t bytes, unsigned status)
{
    const engine_t *engine = owner;
    if (engine->draining && takers(owner) == ML_TAKERS_NONE) {
        return false;
    }
    return mh_handback_give(fd, bytes, status);
}

static void moved(void *owner, const ml_origin_t *origin)
{
    mh_reach_moved(origin);
}

static hap_str_t date(void *owner)
{
    engine_t *engine = owner;
    apr_time_t now = wall_now(engine);
    if (apr_time_sec(now) != engine->date_s) {
        engine->date_s = apr_time_sec(now);
        apr_rfc822_date(engine->date, now);
    }
    return hap_strn(engine->date, DATE_BYTES - 1);
}

/* --- connections ------------------------------------------------------------------------------ */

/* httpd finds the virtual hosts by the address that the client came to. */
static const void *arrived(void *owner, int fd, const ml_rules_t **rules)
{
    engine_t *engine = owner;
    apr_pool_t *p = engine->scratch;
    apr_socket_t *socket = NULL;
    conn_rec c = {.base_server = self.server};
    apr_pool_clear(p);
    c.pool = p;
    apr_os_sock_put(&socket, &fd, p);
    if (apr_socket_addr_get(&c.local_addr, APR_LOCAL, socket) != APR_SUCCESS) {
        return NULL;
    }
    ap_update_vhost_given_ip(&c);
    *rules = mh_rules_of(c.base_server);
    return mh_place_of(&c);
}

static int own_descriptor(conn_rec *c)
{
    int fd = -1;
    int one = 1;
    apr_os_sock_get(&fd, ap_get_conn_socket(c));
    fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (fd >= 0) {
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    }
    return fd;
}

/*
 * Closed without shutdown(), which would end it for both descriptors. httpd hands its memory from
 * thread to thread by means that the sanitizer of threads does not see.
 */
__attribute__((no_sanitize("thread"))) static void end_for_httpd(conn_rec *c)
{
    c->aborted = 1;
    c->keepalive = AP_CONN_CLOSE;
    if (c->cs) {
        c->cs->state = CONN_STATE_LINGER;
    }
}

/* event comes here again for each request of a connection that was left to it, and may have read of
 * that request. */
static bool is_new(const conn_rec *c)
{
    return !c->master && c->keepalives == 0 && !c->data_in_input_filters &&
           !mh_handback_was_given(c);
}

/* The connection goes on in a loop, on a descriptor of its own: for the MPM it has ended. */
static int take_over(conn_rec *c)
{
    if (!self.engines_n || !is_new(c) || ap_ssl_conn_is_ssl(c)) {
        return DECLINED;
    }
    unsigned turn = atomic_fetch_add_explicit(&self.next, 1, memory_order_relaxed);
    const engine_t *engine = &self.engines[turn % self.engines_n];
    const mh_place_t *place = mh_place_of(c);
    int fd = place && mh_place_has_sites(place) ? own_descriptor(c) : -1;
    if (fd < 0) {
        return DECLINED;
    }
    if (!ml_lane_add(engine->lane, fd, place, c->client_ip, mh_rules_of(c->base_server))) {
        close(fd);
        return DECLINED;
    }
    end_for_httpd(c);
    return DONE;
}

static const ml_lane_iface_t iface = {
    .route = route,
    .choose = choose,
    .may_switch = may_switch,
    .heard = heard,
    .answered = answered,
    .settled = settled,
    .ended = ended,
    .give = give,
    .arrived = arrived,
    .takers = takers,
    .moved = moved,
    .date = date,
};

/* --- the child's life ------------------------------------------------------------------------- */

static apr_status_t listen_too(engine_t *engine)
{
    apr_status_t rv = APR_SUCCESS;
    for (unsigned i = 0; mh_listen_socket(i) >= 0 && rv == APR_SUCCESS; i++) {
        rv = ml_lane_listen(engine->lane, mh_listen_socket(i), mh_listen_nudge());
    }
    return rv;
}

static apr_status_t start_engine(engine_t *engine, ml_loop_t *loop, apr_pool_t *p)
{
    engine->loop = loop;
    engine->pool = p;
    apr_pool_create(&engine->scratch, p);
    engine->hosts = mh_hosts_create(p);
    engine->agents = mh_agents_create(p);
    engine->log = mh_log_batch_create(loop, p);
    engine->lane = ml_lane_create(loop, &iface, engine, &self.room, sizeof(carried_t));
    if (!engine->lane) {
        return APR_ENOMEM;
    }
    engine->reaches = mh_reaches_create(engine->lane, p);
    engine->queue = mh_lane_queue_create(loop, p);
    engine->stores = mh_lane_stores_create(loop, p);
    return listen_too(engine);
}

/* How many the process may have, and its children. */
static unsigned descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > MH_LANE_CONNECTIONS_MAX * 2) {
        return MH_LANE_CONNECTIONS_MAX * 2;
    }
    return limit.rlim_cur > 2 ? (unsigned)limit.rlim_cur : 2;
}

bool mh_lane_wanted(void)
{
    return mh_sites_any() || mh_listen_any();
}

/* The other half is for their requests' connections to members and for httpd itself. */
unsigned mh_lane_limit(void)
{
    return mh_main_conf.lane_connections ? mh_main_conf.lane_connections : descriptors() / 2;
}

void mh_lane_say(server_rec *s, apr_pool_t *p)
{
    unsigned limit = mh_lane_limit();
    unsigned most = descriptors();
    if (!mh_lane_wanted()) {
        return;
    }
    if (mh_listen_any()) {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s, "HAListen: the lane accepts by itself on %s%s",
                     mh_listen_names(p),
                     mh_sites_any() ? ""
                                    : ", and gives all of it to httpd: no mount is in the lane");
    }
    if (limit > most / 2) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     "HALaneConnections %u: a child may have no more than %u descriptors, and each "
                     "connection can take two: raise the limit of descriptors (ulimit -n) or use "
                     "%u or less",
                     limit, most, most / 2);
        return;
    }
    ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s,
                 "the lane holds up to %u connections in each child, which may have %u descriptors",
                 limit, most);
}

static apr_status_t make_engine(engine_t *engine)
{
    apr_pool_t *p = mh_child_own_pool(self.server);
    ml_loop_t *loop;
    apr_status_t rv = ml_loop_create(&loop, p);
    if (rv != APR_SUCCESS) {
        apr_pool_destroy(p);
        return rv;
    }
    return start_engine(engine, loop, p);
}

/* What is needed for another engine may be what the child cannot do without. */
static void end_engines(unsigned n)
{
    for (unsigned i = 0; i < n && self.engines[i].loop; i++) {
        engine_t *engine = &self.engines[i];
        if (engine->runs) {
            ml_loop_stop(engine->loop);
            ml_loop_join(engine->loop, APR_USEC_PER_SEC);
        }
        ml_loop_close(engine->loop);
        if (engine->lane) {
            ml_lane_destroy(engine->lane);
        }
    }
}

/* The first one lives in the loop that is there already. None runs before all are there. */
static apr_status_t start_engines(unsigned n, ml_loop_t *loop)
{
    apr_status_t rv = start_engine(&self.engines[0], loop, mh_child_own_pool(self.server));
    for (unsigned i = 1; i < n && rv == APR_SUCCESS; i++) {
        rv = make_engine(&self.engines[i]);
    }
    for (unsigned i = 1; i < n && rv == APR_SUCCESS; i++) {
        rv = ml_loop_start(self.engines[i].loop);
        self.engines[i].runs = rv == APR_SUCCESS;
    }
    return rv;
}

apr_status_t mh_lane_start(ml_loop_t *loop, apr_pool_t *p, server_rec *s)
{
    if (!mh_lane_wanted()) {
        return APR_SUCCESS;
    }
    unsigned n = mh_main_conf.lane_threads;
    self.server = s;
    self.room.most = mh_lane_limit();
    self.engines = apr_pcalloc(p, n * sizeof(*self.engines));
    mh_places_start(p);
    mh_log_batch_start();
    apr_status_t rv = start_engines(n, loop);
    if (rv != APR_SUCCESS) {
        end_engines(n);
        return rv;
    }
    self.engines_n = n;
    return APR_SUCCESS;
}

static void follow(ml_work_t *work, ml_loop_t *loop)
{
    engine_t *engine = ML_OWNER(work, engine_t, follow);
    atomic_store(&engine->following, false);
    mh_reaches_follow(engine->reaches);
    mh_lane_queue_wake(engine->queue);
}

void mh_lane_follow(void)
{
    for (unsigned i = 0; i < self.engines_n; i++) {
        engine_t *engine = &self.engines[i];
        if (!atomic_exchange(&engine->following, true)) {
            engine->follow.run = follow;
            ml_loop_post(engine->loop, &engine->follow);
        }
    }
}

void mh_lane_cancel(void)
{
    unsigned n = self.engines_n;
    self.engines_n = 0;
    end_engines(n);
}

static void drain(ml_work_t *work, ml_loop_t *loop)
{
    engine_t *engine = ML_OWNER(work, engine_t, drain);
    engine->draining = true;
    ml_lane_drain(engine->lane);
    if (atomic_fetch_add_explicit(&self.drains, 1, memory_order_acq_rel) + 1 == self.engines_n) {
        mh_listen_leave();
    }
}

static void on_stopping(apr_pool_t *pchild, int graceful)
{
    if (!mh_takers_is_graceful(graceful) || atomic_exchange(&self.draining, true)) {
        return;
    }
    mh_takers_leave(pchild);
    self.draining_since = apr_time_now();
    for (unsigned i = 0; i < self.engines_n; i++) {
        self.engines[i].drain.run = drain;
        ml_loop_post(self.engines[i].loop, &self.engines[i].drain);
    }
    if (self.engines_n == 0) {
        mh_listen_leave();
    }
}

/* An engine that has not heard of it yet may still accept. */
static bool is_drained(void)
{
    return atomic_load_explicit(&self.drains, memory_order_acquire) == self.engines_n &&
           ml_room_taken(&self.room) == 0;
}

static void on_hurry(int signal)
{
    (void)signal;
    hurried = 1;
}

/* The MPM has done with signals by now: without this, a hard stop would have to kill. */
static void heed_sigterm(void)
{
    const struct sigaction action = {.sa_handler = on_hurry};
    sigset_t term;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigaction(SIGTERM, &action, NULL);
    pthread_sigmask(SIG_UNBLOCK, &term, NULL);
}

static void stay_for_clients(void)
{
    int at_most_s = ap_graceful_shutdown_timeout;
    apr_time_t end = apr_time_now() + apr_time_from_sec(at_most_s > 0 ? at_most_s : LONGEST_S);
    mh_takers_stay();
    heed_sigterm();
    while (!is_drained() && !hurried && apr_time_now() < end) {
        apr_sleep(DRAIN_STEP_US);
    }
}

void mh_lane_finish(void)
{
    if (self.draining) {
        stay_for_clients();
    }
    for (unsigned i = 1; i < self.engines_n; i++) {
        ml_loop_stop(self.engines[i].loop);
        ml_loop_join(self.engines[i].loop, APR_USEC_PER_SEC);
    }
}

void mh_lane_register(void)
{
    ap_hook_process_connection(take_over, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_child_stopping(on_stopping, NULL, NULL, APR_HOOK_MIDDLE);
}
