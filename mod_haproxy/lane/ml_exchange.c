/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns one exchange: its beginning and end, and passing the request on. With whom is
 * ml_attempt.c's, the answer ml_answer.c's.
 */
#include <stdlib.h>
#include <string.h>

#include "ml_lane_int.h"

enum {
    TURNS_MAX = 16, /* reads and writes before other connections have their turn */
    SPARE_MAX = 64, /* exchanges that are kept for the next ones */
    BAD_REQUEST = 400,
    REQUEST_TIMEOUT = 408
};

void *ml_exchange_data(ml_exchange_t *x)
{
    return ((ml_inner_t *)(void *)x)->data;
}

bool ml_exchange_is_idempotent(const ml_exchange_t *x)
{
    return ((const ml_inner_t *)(const void *)x)->idempotent;
}

void *ml_exchange_owner(const ml_exchange_t *x)
{
    return x->client->lane->owner;
}

/* --- beginning and end ------------------------------------------------------------------------ */

static ml_inner_t *take_inner(ml_lane_t *lane)
{
    size_t size = sizeof(ml_inner_t) + lane->data_bytes;
    ml_inner_t *inner = lane->spare_inner;
    if (!inner) {
        return calloc(1, size);
    }
    lane->spare_inner = inner->next;
    lane->spare_inner_n--;
    memset(inner, 0, size);
    return inner;
}

static void give_inner(ml_lane_t *lane, ml_inner_t *inner)
{
    if (lane->spare_inner_n == SPARE_MAX) {
        free(inner);
        return;
    }
    inner->next = lane->spare_inner;
    lane->spare_inner = inner;
    lane->spare_inner_n++;
}

void ml_exchanges_clear(ml_lane_t *lane)
{
    while (lane->spare_inner) {
        ml_inner_t *inner = lane->spare_inner;
        lane->spare_inner = inner->next;
        free(inner);
    }
}

void ml_exchange_let_go(ml_inner_t *inner, bool keep)
{
    if (inner->server) {
        ml_server_release(inner->server, keep);
        inner->server = NULL;
    }
}

/* How much of the request's body has gone to the member. */
static uint64_t body_passed(const ml_client_t *client, const ml_inner_t *inner)
{
    uint64_t passed = client->in.passed;
    return passed > inner->head_n ? passed - inner->head_n : 0;
}

void ml_exchange_end(ml_client_t *client)
{
    ml_inner_t *inner = client->inner;
    ml_lane_t *lane = client->lane;
    if (!inner) {
        return;
    }
    client->inner = NULL;
    if (inner->server) {
        /* Nobody has said how it went: the client left, or we do. A tunnel is an answer. */
        bool served = client->state == ML_TUNNEL;
        lane->iface->settled(&inner->x, served ? ML_OUTCOME_SERVED : ML_OUTCOME_UNKNOWN, false);
        ml_exchange_let_go(inner, false);
    }
    inner->x.sent_bytes = inner->out.passed + inner->packed.passed;
    inner->x.received_bytes = inner->x.bytes.n + body_passed(client, inner);
    lane->iface->ended(&inner->x);
    ml_pack_drop(lane, inner);
    ml_half_clear(&inner->out, &lane->bufs);
    if (inner->held) {
        ml_buf_give(&lane->bufs, inner->held);
    }
    give_inner(lane, inner);
}

static const hap_http1_request_t *read_again(ml_exchange_t *x)
{
    static const hap_http1_limits_t any = {SIZE_MAX, SIZE_MAX, HAP_HTTP1_FIELDS_MAX};
    ml_lane_t *lane = x->client->lane;
    hap_http1_request(&lane->request, x->bytes.p, x->bytes.n, &any);
    lane->parsed = x->client;
    return &lane->request;
}

bool ml_exchange_edit(ml_exchange_t *x)
{
    ml_lane_t *lane = x->client->lane;
    hap_edit_text_t text = {lane->request_text, 0, ML_EDIT_BYTES};
    return !x->relay || x->relay->edits.request.n == 0 ||
           hap_edit_request(&lane->request, &x->relay->edits, &text);
}

/* In lane->request; read again when another one was read since. */
const hap_http1_request_t *ml_exchange_head(ml_exchange_t *x)
{
    ml_lane_t *lane = x->client->lane;
    if (lane->parsed != x->client) {
        read_again(x);
        ml_exchange_edit(x);
    }
    return &lane->request;
}

/* What httpd shall answer with `status`: the request as it came, or what stands for it when its
 * body was passed on already. */
void ml_exchange_give(ml_client_t *client, unsigned status)
{
    const ml_half_t *in = &client->in;
    if (!client->inner->begun || (in->hold && in->framing == HAP_FRAMING_NONE)) {
        ml_client_give_all(client, status);
        return;
    }
    /* As it came: httpd edits it by itself. */
    size_t n = hap_relay_alone(client->lane->scratch, ML_HEAD_BYTES, read_again(&client->inner->x));
    client->lane->parsed = NULL;
    ml_client_give(client, hap_strn(client->lane->scratch, n), status);
}

static void reset_at_close(const ml_sock_t *sock)
{
    const struct linger reset = {.l_onoff = 1, .l_linger = 0};
    setsockopt(sock->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
}

/* Who knows an end by the end of the connection must not see that: an old client that of a body,
 * and both sides of a tunnel that of the other one. */
ml_go_t ml_exchange_cut(ml_client_t *client)
{
    const ml_inner_t *inner = client->inner;
    bool tunnel = client->state == ML_TUNNEL;
    if (tunnel || (inner && inner->answered && inner->old_client)) {
        reset_at_close(&client->sock);
    }
    if (tunnel) {
        reset_at_close(&inner->server->sock);
    }
    ml_client_close(client);
    return ML_GO_OVER;
}

ml_go_t ml_exchange_finish(ml_client_t *client)
{
    ml_lane_t *lane = client->lane;
    ml_inner_t *inner = client->inner;
    const ml_half_t *out = &inner->out;
    bool whole = client->in.complete && !ml_half_pending(&client->in);
    bool quiet = out->end == out->ready;
    bool keep = inner->keep_client && whole;
    inner->x.whole = true;
    inner->x.keep = keep;
    lane->iface->settled(&inner->x, ML_OUTCOME_SERVED, false);
    ml_exchange_let_go(inner, inner->keep_server && whole && quiet);
    ml_exchange_end(client);
    ml_client_next(client, keep);
    return ML_GO_OVER;
}

ml_go_t ml_exchange_part(ml_client_t *client)
{
    client->inner->x.whole = true;
    ml_client_close(client);
    return ML_GO_OVER;
}

/* --- the head --------------------------------------------------------------------------------- */

/* Not before there is a member: until then all that was read can be given to httpd as it came. */
static void begin_body(ml_client_t *client)
{
    ml_inner_t *inner = client->inner;
    if (!inner->begun) {
        const hap_http1_head_t *head = &ml_exchange_head(&inner->x)->head;
        inner->begun = true;
        ml_half_body(&client->in, head->framing, head->length);
    }
}

/* Members may differ in the protocols that they can switch to: the request goes without Upgrade to
 * one that cannot. */
static bool start_sending(ml_client_t *client)
{
    ml_lane_t *lane = client->lane;
    ml_inner_t *inner = client->inner;
    const hap_http1_request_t *head = ml_exchange_head(&inner->x);
    inner->upgrade = inner->asks && lane->iface->may_switch(&inner->x, head->head.protocol);
    const hap_relay_to_t to = {
        .relay = inner->x.relay,
        .host = inner->x.host,
        .base = inner->x.base,
        .client = hap_str(client->address),
        .extra = inner->x.extra,
        .upgrade = inner->upgrade,
    };
    size_t n = hap_relay_request(lane->scratch, ML_HEAD_BYTES + to.extra.n, head, &to);
    if (n == 0) {
        return false;
    }
    begin_body(client);
    client->state = ML_EXCHANGE;
    inner->out.eager = true;
    uint64_t before = client->in.passed;
    ml_half_write(&client->in, &inner->server->sock, lane->scratch, n);
    inner->written += client->in.passed - before;
    inner->head_n = n;
    return true;
}

/* More of the body is waited for: not while the client waits for its 100 (Continue), which it does
 * no more once it has sent some of it. */
static bool is_asked(const ml_client_t *client)
{
    const ml_inner_t *inner = client->inner;
    bool waits = inner->expects && !inner->begins;
    return !client->in.complete && !waits && !ml_half_pending(&client->in);
}

/* Whose turn it is to move something. The member's once it has all that there is. */
static bool is_clients_turn(const ml_client_t *client)
{
    const ml_inner_t *inner = client->inner;
    return is_asked(client) || ml_half_pending(&inner->out) || ml_half_pending(&inner->packed);
}

static apr_interval_time_t longer(apr_interval_time_t a, apr_interval_time_t b)
{
    return a > b ? a : b;
}

/* The time for a body begins when it is waited for first. */
static apr_interval_time_t body_left(ml_client_t *client)
{
    ml_inner_t *inner = client->inner;
    const ml_half_t *in = &client->in;
    apr_time_t now = ml_loop_now(client->lane->loop);
    if (!inner->asked) {
        inner->asked = now;
    }
    uint64_t bytes = body_passed(client, inner) + ml_half_waits(in);
    const ml_times_t *times = inner->x.times;
    return ml_pace_left(&times->body, now - inner->asked, bytes, times->idle);
}

/* In a tunnel nobody's turn is known: the longer time counts, as in mod_proxy_http. */
static apr_interval_time_t patience(ml_client_t *client)
{
    const ml_inner_t *inner = client->inner;
    if (client->state == ML_TUNNEL) {
        return longer(inner->x.times->idle, inner->x.origin->timeout);
    }
    if (client->state == ML_EXCHANGE && is_asked(client)) {
        return body_left(client);
    }
    return is_clients_turn(client) ? inner->x.times->idle : inner->x.origin->timeout;
}

/* The connection is there. */
void ml_exchange_go(ml_client_t *client)
{
    if (!start_sending(client)) {
        ml_attempt_give_up(client, BAD_REQUEST);
        return;
    }
    ml_client_await(client, patience(client));
    ml_exchange_run(client);
}

/* Chunks that came with the head are judged before a member hears of it, on a copy. */
static bool has_bad_chunks(ml_client_t *client, size_t head_bytes)
{
    ml_lane_t *lane = client->lane;
    const ml_half_t *in = &client->in;
    size_t n = in->end - head_bytes;
    hap_chunks_t chunks = {.state = HAP_CHUNKS_SIZE};
    size_t used;
    if (lane->request.head.framing != HAP_FRAMING_CHUNKED || n > ML_SCRATCH_BYTES) {
        return false;
    }
    memcpy(lane->scratch, in->buf->bytes + head_bytes, n);
    hap_chunks_feed(&chunks, &used, lane->scratch, n);
    return chunks.state == HAP_CHUNKS_BAD;
}

void ml_exchange_begin(ml_client_t *client, size_t bytes)
{
    ml_lane_t *lane = client->lane;
    ml_half_t *in = &client->in;
    hap_http1_request_t *head = &lane->request;
    lane->parsed = client;
    ml_inner_t *inner = NULL;
    if (hap_http1_request(head, in->buf->bytes, bytes, &client->rules->limits) == HAP_HTTP1_DONE &&
        !has_bad_chunks(client, bytes)) {
        inner = take_inner(lane);
    }
    if (!inner) {
        ml_client_give_all(client, 0);
        return;
    }
    inner->x.client = client;
    inner->x.bytes = hap_strn(in->buf->bytes, bytes);
    inner->x.began = ml_loop_now(lane->loop);
    if (lane->iface->route(&inner->x, client->place) == ML_ROUTE_GIVE) {
        give_inner(lane, inner);
        ml_client_give_all(client, 0);
        return;
    }
    client->inner = inner;
    client->times = inner->x.times;
    inner->idempotent = head->idempotent;
    inner->is_head = head->is_head;
    inner->expects = head->expects;
    inner->begins = in->end > bytes;
    inner->said = head->head.minor == 0 || head->head.said_keep;
    inner->old_client = head->head.minor == 0;
    inner->keep_client = head->head.keep;
    inner->asks = head->head.upgrade;
    inner->gzip = inner->x.deflate && !inner->is_head && hap_deflate_accepted(head);
    in->begin = in->ready = (uint32_t)bytes;
    in->hold = true;
    in->passed = 0;
    ml_attempt_begin(client);
}

/* --- the request ------------------------------------------------------------------------------ */

/* When the block is full, or the body is long, what was passed on is let go. */
static bool make_room(ml_client_t *client)
{
    ml_half_t *in = &client->in;
    bool drained = in->begin == in->ready;
    if (!in->hold || !drained || (ml_half_room(in) && in->left < in->buf->size - in->end)) {
        return true;
    }
    ml_buf_t *old = ml_half_move(in, &client->lane->bufs);
    client->inner->held = old;
    in->direct = old != NULL;
    return old != NULL;
}

static ml_go_t read_request(ml_client_t *client)
{
    ml_half_t *in = &client->in;
    if (!make_room(client)) {
        return ml_exchange_cut(client);
    }
    switch (ml_half_read(in, &client->sock, &client->lane->bufs)) {
    case ML_MOVE_SOME:
        client->inner->begins = true;
        ml_half_decode(in, false);
        return ML_GO_ON;
    case ML_MOVE_NOTHING:
        return ML_GO_WAIT;
    case ML_MOVE_END:
        ml_half_decode(in, true);
        return ML_GO_ON;
    case ML_MOVE_BROKEN:
        break;
    }
    return ml_exchange_cut(client);
}

static ml_go_t pump_request(ml_client_t *client)
{
    ml_half_t *in = &client->in;
    ml_inner_t *inner = client->inner;
    if (ml_half_pending(in)) {
        if (!inner->server->sock.writable) {
            return ML_GO_WAIT;
        }
        uint64_t before = in->passed;
        ml_move_t move = ml_half_write(in, &inner->server->sock, NULL, 0);
        inner->written += in->passed - before;
        /* Whoever does not listen may have answered: that is read first. */
        return move == ML_MOVE_SOME ? ML_GO_ON : ML_GO_WAIT;
    }
    if (in->bad) {
        return ml_attempt_give_up(client, BAD_REQUEST);
    }
    if (in->complete || !client->sock.readable || inner->server->sock.broken) {
        return ML_GO_WAIT;
    }
    return read_request(client);
}

/* --- turns ------------------------------------------------------------------------------------ */

/* Most tunnels are silent most of the time, and so are some answers. */
static void rest(ml_client_t *client)
{
    ml_half_rest(&client->in, &client->lane->bufs);
    ml_half_rest(&client->inner->out, &client->lane->bufs);
}

void ml_exchange_run(ml_client_t *client)
{
    if (client->state == ML_CONNECT || client->state == ML_HOLD) {
        return;
    }
    for (int turn = 0; turn < TURNS_MAX; turn++) {
        if (client->sock.broken) {
            ml_exchange_cut(client);
            return;
        }
        ml_go_t request = pump_request(client);
        ml_go_t answer = request == ML_GO_OVER ? ML_GO_OVER : ml_answer_pump(client);
        if (answer != ML_GO_OVER && client->state == ML_TUNNEL) {
            ml_go_t tunnel = ml_answer_end_tunnel(client);
            answer = tunnel == ML_GO_OVER ? ML_GO_OVER : answer;
        }
        if (answer == ML_GO_OVER) {
            return;
        }
        if (answer == ML_GO_LATER) {
            break;
        }
        if (request == ML_GO_WAIT && answer == ML_GO_WAIT && !client->sock.broken) {
            rest(client);
            return;
        }
        ml_client_await(client, patience(client));
    }
    ml_client_run_later(client); /* others have their turn */
}

/* With a member it is his answer that was held. */
void ml_exchange_resume(ml_exchange_t *x)
{
    ml_client_t *client = x->client;
    if (client->state != ML_HOLD) {
        return;
    }
    if (!client->inner->server) {
        ml_attempt_begin(client);
        return;
    }
    client->state = ML_EXCHANGE;
    ml_client_await(client, patience(client));
    ml_exchange_run(client);
}

void ml_exchange_timeout(ml_client_t *client)
{
    if (client->state == ML_TUNNEL) {
        bool open = ml_half_pending(&client->in) || ml_half_pending(&client->inner->out);
        open ? ml_exchange_cut(client) : ml_exchange_part(client);
    } else if (client->state == ML_HOLD) {
        ml_client_await(client, client->inner->x.times->idle); /* the owner's time is its own */
    } else if (client->state == ML_CONNECT) {
        ml_attempt_timeout(client);
    } else if (is_clients_turn(client)) {
        ml_attempt_give_up(client, REQUEST_TIMEOUT);
    } else {
        ml_attempt_failed(client, ML_OUTCOME_TIMED_OUT, "no answer in time");
    }
}
