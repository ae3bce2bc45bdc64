/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what happens in a probe, from start to result. Does not know when the next one starts. */
#include "ml_probe_run.h"

#include <errno.h>
#include <stdio.h>

enum { PIECE_BYTES = 4096, WHY_BYTES = 96 };

typedef enum state_t {
    IDLE,
    NAMING,
    OPENING,
    CONNECTING,
    HANDSHAKE,
    SENDING,
    RECEIVING,
    STATES
} state_t;

/* What a step leaves behind. */
typedef enum next_t {
    GO_ON, /* take the step of the state that is set now */
    WAIT,  /* for the descriptor, the name or the timer */
    ENDED  /* the owner was told; the probe may be gone */
} next_t;

static void on_ready(ml_io_t *io, uint32_t events);
static const ml_io_iface_t probe_iface = {.name = "probe", .ready = on_ready};

static void hang_up(ml_probe_t *probe)
{
    ml_io_del(&probe->io);
    ml_wire_close(&probe->wire);
}

static next_t end(ml_probe_t *probe, hap_check_end_t how, const char *why, bool keep)
{
    if (!keep || probe->moved || ml_io_set(&probe->io, EPOLLIN | EPOLLRDHUP) != APR_SUCCESS) {
        hang_up(probe);
    }
    ml_timer_cancel(probe->prober->loop, &probe->timer);
    probe->state = IDLE;
    ml_probe_next(probe, how, why);
    return ENDED;
}

static next_t fail(ml_probe_t *probe, const char *why)
{
    return end(probe, HAP_CHECK_DEAD, why, false);
}

/* Whether it is there cannot be found out for want of what is ours. */
static next_t cannot(ml_probe_t *probe)
{
    return end(probe, HAP_CHECK_NONE, "out of resources", false);
}

static next_t no_answer(ml_probe_t *probe)
{
    char why[WHY_BYTES];
    snprintf(why, sizeof(why), "no answer within %lld ms", (long long)(probe->timeout / 1000));
    return fail(probe, why);
}

static next_t wait_for(ml_probe_t *probe, uint32_t events)
{
    return ml_io_set(&probe->io, events) == APR_SUCCESS ? WAIT : cannot(probe);
}

/* --- names ---------------------------------------------------------------------------------------
 */

static void drive(ml_probe_t *probe);

static void begin_clock(ml_probe_t *probe)
{
    probe->started = ml_loop_now(probe->prober->loop);
    probe->deadline = probe->started + probe->timeout;
    ml_timer_set(probe->prober->loop, &probe->timer, probe->timeout);
}

static void on_named(void *baton, const ml_addrs_t *addrs)
{
    ml_probe_t *probe = baton;
    probe->question = NULL;
    if (addrs && !ml_addrs_eq(&probe->addrs, addrs)) {
        probe->addrs = *addrs;
        probe->moved = true; /* the next probe goes to where the member is now */
        if (probe->state == IDLE) {
            hang_up(probe);
        }
    }
    if (probe->state == NAMING) {
        probe->moved = false; /* it has not been anywhere yet */
        begin_clock(probe);
        probe->state = OPENING;
        drive(probe);
    }
}

/* Asks for the name's addresses unless that was done a moment ago. */
static void ask(ml_probe_t *probe, unsigned not_within_s)
{
    ml_prober_t *prober = probe->prober;
    apr_time_t now = ml_loop_now(prober->loop);
    if (!probe->named || probe->question ||
        (probe->asked && now - probe->asked < apr_time_from_sec(not_within_s))) {
        return;
    }
    if (!prober->resolve &&
        ml_resolve_create(&prober->resolve, prober->loop, prober->lookup) != APR_SUCCESS) {
        return;
    }
    probe->asked = now;
    probe->question = ml_resolve_ask(prober->resolve, probe->host, probe->port, on_named, probe);
}

/* --- the steps -----------------------------------------------------------------------------------
 */

static next_t start(ml_probe_t *probe)
{
    begin_clock(probe);
    hap_answer_init(&probe->answer, probe->method);
    probe->sent = 0;
    probe->tried = 0;
    probe->trouble = NULL;
    probe->moved = false;
    /* The probe goes out on the connection of the last one: a fresh connect would measure the
     * accept queue, not the application. */
    probe->reused = probe->wire.fd >= 0;
    ask(probe, probe->addrs.n ? ML_RESOLVE_EVERY_S : ML_RESOLVE_LEAST_S);
    if (probe->reused) {
        probe->state = SENDING;
        return GO_ON;
    }
    if (probe->addrs.n == 0 && probe->question) {
        /* Without an address the member was not asked anything yet: the clock starts later. */
        ml_timer_cancel(probe->prober->loop, &probe->timer);
        probe->state = NAMING;
        return WAIT;
    }
    probe->state = OPENING;
    return GO_ON;
}

static const char *connect_trouble(int error)
{
    switch (error) {
    case ECONNREFUSED:
        return "connect refused";
    case ETIMEDOUT:
        return "connect timed out";
    case EHOSTUNREACH:
    case ENETUNREACH:
        return "no route to host";
    case ENOENT:
        return "socket not found";
    case EACCES:
    case EPERM:
        return "connect not permitted";
    case EAGAIN:
        return "accept queue full"; /* of a Unix-domain socket */
    default:
        return "connect failed";
    }
}

static next_t next_address(ml_probe_t *probe, int error)
{
    if (ml_is_shortage(error)) {
        return cannot(probe);
    }
    probe->trouble = probe->trouble ? probe->trouble : connect_trouble(error);
    hang_up(probe);
    ask(probe, ML_RESOLVE_LEAST_S);
    probe->state = OPENING;
    return GO_ON;
}

static next_t connected(ml_probe_t *probe)
{
    ml_prober_t *prober = probe->prober;
    if (probe->request.n == 0) {
        return end(probe, HAP_CHECK_GOOD, "connected", false);
    }
    ml_timer_set(prober->loop, &probe->timer, probe->deadline - ml_loop_now(prober->loop));
    if (probe->scheme != ML_PROBE_HTTPS) {
        probe->state = SENDING;
        return GO_ON;
    }
    if (!prober->ctx) {
        prober->ctx = ml_wire_ctx();
    }
    if (ml_wire_tls(&probe->wire, prober->ctx, probe->named ? probe->host : NULL) != ML_FLOW_OK) {
        return fail(probe, "tls handshake failed");
    }
    probe->state = HANDSHAKE;
    return GO_ON;
}

static next_t no_address(ml_probe_t *probe)
{
    if (probe->trouble) {
        return fail(probe, probe->trouble);
    }
    return fail(probe, probe->named ? "name not found" : "address not possible");
}

/* Each address gets an equal share of the time that is left, so that one which swallows packets
 * does not hide the ones behind it. */
static next_t open_next(ml_probe_t *probe)
{
    ml_loop_t *loop = probe->prober->loop;
    if (probe->tried >= probe->addrs.n) {
        return no_address(probe);
    }
    apr_interval_time_t left = probe->deadline - ml_loop_now(loop);
    ml_timer_set(loop, &probe->timer, left / (probe->addrs.n - probe->tried));
    int error = 0;
    ml_flow_t flow = ml_wire_connect(&probe->wire, &error, &probe->addrs.list[probe->tried++]);
    if (flow == ML_FLOW_FAILED) {
        return next_address(probe, error);
    }
    if (ml_io_add(&probe->io, loop, &probe_iface, probe->wire.fd, EPOLLOUT) != APR_SUCCESS) {
        return cannot(probe);
    }
    if (flow == ML_FLOW_OK) {
        return connected(probe);
    }
    probe->state = CONNECTING;
    return WAIT;
}

static next_t connecting(ml_probe_t *probe)
{
    int error = 0;
    if (ml_wire_connected(&probe->wire, &error) != ML_FLOW_OK) {
        return next_address(probe, error);
    }
    return connected(probe);
}

static next_t handshake(ml_probe_t *probe)
{
    switch (ml_wire_handshake(&probe->wire)) {
    case ML_FLOW_OK:
        probe->state = SENDING;
        return GO_ON;
    case ML_FLOW_READ:
        return wait_for(probe, EPOLLIN);
    case ML_FLOW_WRITE:
        return wait_for(probe, EPOLLOUT);
    default:
        return fail(probe, "tls handshake failed");
    }
}

/* The member may close an idle connection at any time, also while a request is on its way: that
 * says nothing about its health, so this probe tries once more on a connection of its own. */
static next_t broken(ml_probe_t *probe)
{
    if (probe->answer.begun) {
        return fail(probe, "answer cut short");
    }
    if (!probe->reused) {
        return fail(probe, "closed before an answer");
    }
    hang_up(probe);
    probe->reused = false;
    probe->sent = 0;
    probe->state = OPENING;
    return GO_ON;
}

static next_t sending(ml_probe_t *probe)
{
    while (probe->sent < probe->request.n) {
        size_t sent = 0;
        ml_flow_t flow = ml_wire_send(&probe->wire, &sent, probe->request.p + probe->sent,
                                      probe->request.n - probe->sent);
        if (flow == ML_FLOW_READ || flow == ML_FLOW_WRITE) {
            return wait_for(probe, flow == ML_FLOW_READ ? EPOLLIN : EPOLLOUT);
        }
        if (flow != ML_FLOW_OK) {
            return broken(probe);
        }
        probe->sent += sent;
    }
    probe->state = RECEIVING;
    return GO_ON;
}

static next_t judge(ml_probe_t *probe)
{
    char why[WHY_BYTES];
    bool ok = hap_expect_has(&probe->expect, probe->answer.status);
    snprintf(why, sizeof(why), "status %u", probe->answer.status);
    return end(probe, ok ? HAP_CHECK_GOOD : HAP_CHECK_SICK, why,
               probe->answer.reusable && ml_wire_quiet(&probe->wire));
}

static next_t receiving(ml_probe_t *probe)
{
    char piece[PIECE_BYTES];
    size_t got = 0;
    ml_flow_t flow = ml_wire_recv(&probe->wire, &got, piece, sizeof(piece));
    if (flow == ML_FLOW_READ || flow == ML_FLOW_WRITE) {
        return wait_for(probe, flow == ML_FLOW_READ ? EPOLLIN : EPOLLOUT);
    }
    if (flow != ML_FLOW_OK) {
        return broken(probe);
    }
    switch (hap_answer_feed(&probe->answer, piece, got)) {
    case HAP_ANSWER_MORE:
        return GO_ON;
    case HAP_ANSWER_DONE:
        return judge(probe);
    default:
        return fail(probe, "bad response");
    }
}

/* At rest nothing is said but TLS's own business; all else means that the connection is over. */
static next_t resting(ml_probe_t *probe)
{
    char byte;
    size_t got;
    if (ml_wire_recv(&probe->wire, &got, &byte, 1) != ML_FLOW_READ) {
        hang_up(probe);
    }
    return WAIT;
}

/* --- when time is up ---------------------------------------------------------------------------
 */

static next_t connect_late(ml_probe_t *probe)
{
    return next_address(probe, ETIMEDOUT);
}

static next_t handshake_late(ml_probe_t *probe)
{
    return fail(probe, "tls handshake timed out");
}

/* What a state does when its descriptor is ready, and when its timer fires. NULL: cannot be. */
/* clang-format off */
static const struct {
    next_t (*ready)(ml_probe_t *probe);
    next_t (*late)(ml_probe_t *probe);
} states[STATES] = {
    /*              ready        late           */
    [IDLE]       = {resting,     start},
    [NAMING]     = {NULL,        NULL},           /* neither is set: on_named() goes on */
    [OPENING]    = {open_next,   NULL},           /* passed through, never waited in */
    [CONNECTING] = {connecting,  connect_late},
    [HANDSHAKE]  = {handshake,   handshake_late},
    [SENDING]    = {sending,     no_answer},
    [RECEIVING]  = {receiving,   no_answer},
};
/* clang-format on */

static void drive(ml_probe_t *probe)
{
    while (states[probe->state].ready(probe) == GO_ON) {
    }
}

static void on_ready(ml_io_t *io, uint32_t events)
{
    (void)events;
    drive(ML_OWNER(io, ml_probe_t, io));
}

static void on_timer(ml_timer_t *timer, ml_loop_t *loop)
{
    ml_probe_t *probe = ML_OWNER(timer, ml_probe_t, timer);
    (void)loop;
    if (states[probe->state].late(probe) == GO_ON) {
        drive(probe);
    }
}

void ml_probe_init(ml_probe_t *probe)
{
    probe->state = IDLE;
    probe->wire.fd = -1;
    probe->timer.fire = on_timer;
}

bool ml_probe_idle(const ml_probe_t *probe)
{
    return probe->state == IDLE;
}

void ml_probe_abandon(ml_probe_t *probe)
{
    ml_resolve_forget(probe->question);
    probe->question = NULL;
    ml_timer_cancel(probe->prober->loop, &probe->timer);
    hang_up(probe);
    probe->state = IDLE;
}
