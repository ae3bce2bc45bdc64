/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the way of an answer: its interim and final heads, its body, and the tunnel that it may
 * begin. What becomes of an attempt that fails is ml_attempt.c's.
 */
#include <string.h>
#include <sys/socket.h>

#include "ml_lane_int.h"

enum {
    INTERIM_MAX = 9,     /* 1xx answers before they are taken for endless, as in mod_proxy_http */
    HEAD_MAX = 60 << 10, /* of a member's head, so that what is added fits in ML_HEAD_BYTES */
    COOKIE_BYTES = 4096, /* of a Set-Cookie of ours */
    FEW_BYTES = 2048,    /* of a body that is copied rather than sent in a piece of its own */
    CONTINUE = 100,
    SWITCHING_PROTOCOLS = 101,
    FINAL = 200
};

static const char long_head[] = "a head that is too long";
static const char bad_body[] = "a body that breaks its framing";

static hap_relay_keep_t keep_word(const ml_client_t *client)
{
    const ml_inner_t *inner = client->inner;
    return !inner->keep_client ? HAP_RELAY_CLOSE
           : inner->said       ? HAP_RELAY_KEEP_SAID
                               : HAP_RELAY_KEEP;
}

/* Whether the client's connection can go on is known now: its head tells the client. */
static void decide_keep(ml_client_t *client, const hap_http1_answer_t *answer)
{
    static const unsigned dropping[] = {400, 408, 411, 413, 414, 500, 501, 503};
    ml_inner_t *inner = client->inner;
    const ml_lane_t *lane = client->lane;
    const ml_times_t *times = inner->x.times;
    bool ending = lane->draining && lane->iface->takers(lane->owner) == ML_TAKERS_NONE;
    bool last = times->requests && client->served >= times->requests;
    bool open_end = answer->head.framing == HAP_FRAMING_CLOSE && inner->old_client;
    bool old_chunks = answer->head.framing == HAP_FRAMING_CHUNKED && inner->old_client;
    if (ending || last || open_end || old_chunks || inner->pack_open || times->keep_alive == 0 ||
        inner->expects || client->sock.eof) {
        inner->keep_client = false;
    }
    for (size_t i = 0; i < sizeof(dropping) / sizeof(dropping[0]); i++) {
        if (answer->status == dropping[i]) {
            inner->keep_client = false;
        }
    }
}

/* In lane->scratch, as the client gets it; 0 when it is too long. Before its body is touched: what
 * is made of that may reach into the head. */
static size_t write_head(ml_client_t *client, const hap_http1_answer_t *answer, bool chunked)
{
    ml_lane_t *lane = client->lane;
    ml_inner_t *inner = client->inner;
    char cookie[COOKIE_BYTES];
    size_t cookie_n = 0;
    bool offers = false;
    if (answer->status >= FINAL) {
        hap_str_t protocol = answer->head.protocol;
        cookie_n = lane->iface->answered(&inner->x, answer, cookie, sizeof(cookie));
        offers = protocol.n && lane->iface->may_switch(&inner->x, protocol);
    }
    const ml_times_t *times = inner->x.times;
    const hap_relay_back_t back = {
        .relay = inner->x.relay,
        .self = inner->x.self,
        .date = lane->iface->date(lane->owner),
        .cookie = hap_strn(cookie, cookie_n),
        .head = inner->is_head,
        .chunked = chunked,
        .old = inner->old_client,
        .offers = offers,
        .alias = inner->x.alias,
        .keep = answer->status == SWITCHING_PROTOCOLS ? HAP_RELAY_UPGRADE : keep_word(client),
        .timeout_s = (unsigned)apr_time_sec(times->keep_alive),
        .left = times->requests ? times->requests - client->served : 0,
    };
    return hap_relay_answer(lane->scratch, ML_HEAD_BYTES, answer, &back);
}

/* A few bytes of body are worth a copy: they go in one piece with the head. */
static void send_head(ml_client_t *client, size_t n)
{
    ml_inner_t *inner = client->inner;
    ml_half_t *to = inner->packs ? &inner->packed : &inner->out;
    size_t body_n = to->ready - to->begin;
    inner->x.sent_heads += n;
    if (body_n && body_n <= FEW_BYTES && body_n <= ML_SCRATCH_BYTES - n) {
        memcpy(client->lane->scratch + n, to->buf->bytes + to->begin, body_n);
        to->begin += (uint32_t)body_n;
        n += body_n;
    }
    ml_half_write(to, &client->sock, client->lane->scratch, n);
}

/* Bytes pass both ways from here on, until both sides have ended. The request's head stays where it
 * is, for the log; what came behind it does not. False without memory. */
static bool begin_tunnel(ml_client_t *client)
{
    ml_half_t *in = &client->in;
    ml_half_t *out = &client->inner->out;
    ml_buf_t *held = ml_half_move(in, &client->lane->bufs);
    if (!held) {
        return false;
    }
    client->inner->held = held;
    client->state = ML_TUNNEL;
    in->complete = false;
    in->framing = HAP_FRAMING_CLOSE;
    ml_half_decode(in, false);
    ml_half_body(out, HAP_FRAMING_CLOSE, 0);
    return true;
}

/* What compression and edits make of the head. Compression comes before the edits, which see what
 * it says. */
static bool edit(ml_client_t *client, hap_http1_answer_t *answer)
{
    ml_lane_t *lane = client->lane;
    ml_inner_t *inner = client->inner;
    hap_edit_text_t text = {lane->answer_text, 0, ML_EDIT_BYTES};
    return ml_pack_begin(client, answer, &text) &&
           hap_edit_answer(answer, &inner->x.relay->edits, &text) &&
           (!inner->packs || ml_pack_first(client, answer, &text));
}

/* A body that is compressed has begun already. */
static void begin_body(ml_inner_t *inner, const hap_http1_head_t *head, bool rechunk)
{
    ml_half_t *out = &inner->out;
    if (inner->packs) {
        return;
    }
    out->begin = out->ready = (uint32_t)head->bytes;
    if (rechunk) {
        ml_half_rechunk(out);
    }
    out->chunks.bare = inner->old_client;
    out->direct = true;
    ml_half_body(out, head->framing, head->length);
}

/* ON when it is passed on. What is held is read again from its first byte. */
static ml_go_t hear(ml_client_t *client, const hap_http1_answer_t *answer)
{
    switch (client->lane->iface->heard(&client->inner->x, answer)) {
    case ML_HEARD_PASS:
        return ML_GO_ON;
    case ML_HEARD_LATER:
        client->state = ML_HOLD;
        client->inner->seen = 0;
        return ML_GO_OVER;
    case ML_HEARD_AGAIN:
        return ml_attempt_again(client);
    case ML_HEARD_REFUSE:
        break;
    }
    return ml_attempt_refused(client);
}

static ml_go_t final_answer(ml_client_t *client, hap_http1_answer_t *answer)
{
    ml_inner_t *inner = client->inner;
    ml_go_t heard = hear(client, answer);
    if (heard != ML_GO_ON) {
        return heard;
    }
    const hap_http1_head_t *head = &answer->head;
    bool rechunk = head->framing == HAP_FRAMING_CLOSE && !inner->old_client;
    bool chunked = rechunk || (head->framing == HAP_FRAMING_CHUNKED && !inner->old_client);
    if (!edit(client, answer)) {
        return ml_attempt_failed(client, ML_OUTCOME_FAILED, long_head);
    }
    inner->keep_server = head->keep;
    decide_keep(client, answer);
    size_t n = write_head(client, answer, inner->packs ? inner->pack_chunks : chunked);
    if (n == 0) {
        return ml_attempt_failed(client, ML_OUTCOME_FAILED, long_head);
    }
    begin_body(inner, head, rechunk);
    if (inner->out.bad) {
        return ml_attempt_failed(client, ML_OUTCOME_FAILED, bad_body);
    }
    inner->answered = true;
    inner->x.status = answer->status;
    send_head(client, n);
    return ML_GO_ON;
}

/* To what was asked for, and nothing else (RFC 9110 7.8). */
static bool switches(ml_client_t *client, const hap_http1_answer_t *answer)
{
    ml_inner_t *inner = client->inner;
    return inner->upgrade &&
           hap_str_eq_nocase(answer->head.protocol, ml_exchange_head(&inner->x)->head.protocol);
}

static void invite(ml_client_t *client)
{
    static const char continue_head[] = "HTTP/1.1 100 Continue\r\n\r\n";
    ml_inner_t *inner = client->inner;
    inner->expects = false;
    inner->x.sent_heads += sizeof(continue_head) - 1;
    ml_half_write(&inner->out, &client->sock, continue_head, sizeof(continue_head) - 1);
}

/* 101. */
static ml_go_t switch_protocols(ml_client_t *client, const hap_http1_answer_t *answer)
{
    ml_inner_t *inner = client->inner;
    ml_half_t *out = &inner->out;
    if (!switches(client, answer)) {
        return ml_attempt_failed(client, ML_OUTCOME_FAILED, "another protocol, unasked");
    }
    ml_go_t heard = hear(client, answer);
    if (heard != ML_GO_ON) {
        return heard;
    }
    size_t n = write_head(client, answer, false);
    if (n == 0) {
        return ml_attempt_failed(client, ML_OUTCOME_FAILED, long_head);
    }
    out->begin = out->ready = (uint32_t)answer->head.bytes;
    if (!begin_tunnel(client)) {
        return ml_exchange_cut(client);
    }
    inner->answered = true;
    inner->x.status = answer->status;
    inner->keep_client = inner->keep_server = false;
    send_head(client, n);
    return ML_GO_ON;
}

/* 1xx. The member's 100 (Continue) is for the client if he waits for one. */
static ml_go_t interim_answer(ml_client_t *client, const hap_http1_answer_t *answer)
{
    ml_inner_t *inner = client->inner;
    ml_half_t *out = &inner->out;
    if (++inner->interim > INTERIM_MAX) {
        return ml_attempt_failed(client, ML_OUTCOME_FAILED, "interim answers without an end");
    }
    if (answer->status == SWITCHING_PROTOCOLS) {
        return switch_protocols(client, answer);
    }
    size_t n = 0;
    if (answer->status != CONTINUE && !inner->old_client) {
        n = write_head(client, answer, false);
    }
    out->begin = out->ready = (uint32_t)answer->head.bytes;
    inner->seen = 0;
    if (answer->status == CONTINUE) {
        if (inner->expects) {
            invite(client);
        }
    } else if (n > 0) {
        inner->informed = true;
        send_head(client, n);
    }
    return ML_GO_ON;
}

/* Looks at what there is of the answer's head. */
static ml_go_t read_head(ml_client_t *client)
{
    ml_lane_t *lane = client->lane;
    ml_inner_t *inner = client->inner;
    ml_half_t *out = &inner->out;
    size_t bytes;
    size_t n = out->end - out->ready;
    char *at = out->buf ? out->buf->bytes + out->ready : NULL;
    if (n && hap_http1_find_end(&bytes, &inner->seen, at, n, false) == HAP_HTTP1_DONE) {
        if (hap_http1_answer(&lane->answer, at, bytes, inner->is_head) != HAP_HTTP1_DONE) {
            return ml_attempt_failed(client, ML_OUTCOME_FAILED, lane->answer.head.why);
        }
        lane->answer.head.bytes += out->ready;
        return lane->answer.status < FINAL ? interim_answer(client, &lane->answer)
                                           : final_answer(client, &lane->answer);
    }
    if (n >= HEAD_MAX || (n && out->end == out->buf->size && !ml_half_grow(out, &lane->bufs))) {
        return ml_attempt_failed(client, ML_OUTCOME_FAILED, long_head);
    }
    if (!inner->server->sock.readable) {
        return ML_GO_WAIT;
    }
    switch (ml_half_read(out, &inner->server->sock, &lane->bufs)) {
    case ML_MOVE_SOME:
        return ML_GO_ON;
    case ML_MOVE_NOTHING:
        return ML_GO_WAIT;
    case ML_MOVE_END:
    case ML_MOVE_BROKEN:
        break;
    }
    return ml_attempt_stale(client);
}

static ml_go_t broken_off(ml_client_t *client)
{
    return client->state == ML_TUNNEL
               ? ml_exchange_cut(client)
               : ml_attempt_failed(client, ML_OUTCOME_FAILED, "broken off within its answer");
}

static ml_go_t read_body(ml_client_t *client)
{
    ml_inner_t *inner = client->inner;
    ml_half_t *out = &inner->out;
    switch (ml_half_read(out, &inner->server->sock, &client->lane->bufs)) {
    case ML_MOVE_SOME:
        ml_half_decode(out, false);
        return ML_GO_ON;
    case ML_MOVE_NOTHING:
        return inner->packs && inner->unflushed ? ML_GO_ON : ML_GO_WAIT;
    case ML_MOVE_END:
        /* A write has taken the reason of a loss, which then reads like an end. */
        if (client->state == ML_TUNNEL && inner->server->sock.broken) {
            break;
        }
        ml_half_decode(out, true);
        return ML_GO_ON;
    case ML_MOVE_BROKEN:
        break;
    }
    return broken_off(client);
}

ml_go_t ml_answer_pump(ml_client_t *client)
{
    ml_inner_t *inner = client->inner;
    ml_half_t *out = &inner->out;
    ml_half_t *to = inner->packs ? &inner->packed : out;
    if (ml_half_pending(to)) {
        if (!client->sock.writable) {
            return ML_GO_WAIT;
        }
        return ml_half_write(to, &client->sock, NULL, 0) == ML_MOVE_SOME ? ML_GO_ON : ML_GO_WAIT;
    }
    if (inner->x.status == 0) {
        return read_head(client);
    }
    ml_go_t packed = inner->packs ? ml_pack_pump(client) : ML_GO_WAIT;
    if (packed != ML_GO_WAIT) {
        return packed;
    }
    if (out->complete) {
        return client->state == ML_TUNNEL ? ML_GO_WAIT : ml_exchange_finish(client);
    }
    if (out->bad) {
        return ml_attempt_failed(client, ML_OUTCOME_FAILED, bad_body);
    }
    return inner->server->sock.readable ? read_body(client) : ML_GO_WAIT;
}

ml_go_t ml_answer_end_tunnel(ml_client_t *client)
{
    ml_inner_t *inner = client->inner;
    bool in_done = ml_half_done(&client->in);
    bool out_done = ml_half_done(&inner->out);
    /* A member that has said all and is gone then has been heard. */
    if (out_done && (in_done || inner->server->sock.broken)) {
        return ml_exchange_part(client);
    }
    if (in_done && !inner->told_member) {
        inner->told_member = true;
        shutdown(inner->server->sock.fd, SHUT_WR);
    }
    if (out_done && !inner->told_client) {
        inner->told_client = true;
        shutdown(client->sock.fd, SHUT_WR);
    }
    return ML_GO_WAIT;
}
