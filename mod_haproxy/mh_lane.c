/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the engines of a child: connections that are taken over, who they are given back to, and
 * their beginning and end.
 */
#include "mh_lane.h"

#include <apr_portable.h>
#include <fcntl.h>
#include <http_connection.h>
#include <http_core.h>
#include <http_ssl.h>
#include <http_vhost.h>
#include <mpm_common.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mh_child.h"
#include "mh_config.h"
#include "mh_handback.h"
#include "mh_lane_exchange.h"
#include "mh_listen.h"
#include "mh_log.h"
#include "mh_rules.h"
#include "mh_site.h"
#include "mh_takers.h"

enum {
    DRAIN_STEP_US = 5000,
    TAKERS_EVERY_US = 20000,
    LONGEST_S = 3600 /* a graceful end without GracefulShutdownTimeout */
};

/* Made in child_init. */
static struct {
    server_rec *server;
    mh_engine_t *engines;
    unsigned engines_n;
    ml_room_t room;        /* of all engines */
    _Atomic unsigned next; /* engine that gets the next client */
    _Atomic bool draining; /* the child ends, gracefully */
    apr_time_t draining_since;
    _Atomic unsigned drains; /* engines that accept nobody any more */
} self;

/* The child has been told to end at once. */
static volatile sig_atomic_t hurried;

/* --- who takes connections back --------------------------------------------------------------- */

/* Looked for now and then. At a stop a client may have been given to one who left in that moment.
 */
static ml_takers_t takers(void *owner)
{
    mh_engine_t *engine = owner;
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
    const mh_engine_t *engine = owner;
    if (engine->draining && takers(owner) == ML_TAKERS_NONE) {
        return false;
    }
    return mh_handback_give(fd, bytes, status);
}

static void moved(void *owner, const ml_origin_t *origin)
{
    mh_reach_moved(origin);
}

/* --- connections ------------------------------------------------------------------------------ */

/* httpd finds the virtual hosts by the address that the client came to. */
static const void *arrived(void *owner, int fd, const ml_rules_t **rules)
{
    mh_engine_t *engine = owner;
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
    const mh_engine_t *engine = &self.engines[turn % self.engines_n];
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
    .route = mh_exchange_route,
    .choose = mh_exchange_choose,
    .may_switch = mh_exchange_may_switch,
    .heard = mh_exchange_heard,
    .answered = mh_exchange_answered,
    .settled = mh_exchange_settled,
    .ended = mh_exchange_ended,
    .give = give,
    .arrived = arrived,
    .takers = takers,
    .moved = moved,
    .date = mh_exchange_date,
};

/* --- the child's life ------------------------------------------------------------------------- */

static apr_status_t listen_too(mh_engine_t *engine)
{
    apr_status_t rv = APR_SUCCESS;
    for (unsigned i = 0; mh_listen_socket(i) >= 0 && rv == APR_SUCCESS; i++) {
        rv = ml_lane_listen(engine->lane, mh_listen_socket(i), mh_listen_nudge());
    }
    return rv;
}

static apr_status_t start_engine(mh_engine_t *engine, ml_loop_t *loop, apr_pool_t *p)
{
    engine->server = self.server;
    engine->loop = loop;
    engine->pool = p;
    apr_pool_create(&engine->scratch, p);
    engine->hosts = mh_hosts_create(p);
    engine->agents = mh_agents_create(p);
    engine->log = mh_log_batch_create(loop, p);
    engine->lane = ml_lane_create(loop, &iface, engine, &self.room, mh_exchange_bytes());
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

static apr_status_t make_engine(mh_engine_t *engine)
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
        mh_engine_t *engine = &self.engines[i];
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
    mh_engine_t *engine = ML_OWNER(work, mh_engine_t, follow);
    atomic_store(&engine->following, false);
    mh_reaches_follow(engine->reaches);
    mh_lane_queue_wake(engine->queue);
}

void mh_lane_follow(void)
{
    for (unsigned i = 0; i < self.engines_n; i++) {
        mh_engine_t *engine = &self.engines[i];
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
    mh_engine_t *engine = ML_OWNER(work, mh_engine_t, drain);
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
