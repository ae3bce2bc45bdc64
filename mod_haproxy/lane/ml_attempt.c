/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the attempts of an exchange: finding a member, connecting to it, and what follows when that
 * or more fails. What the client is told when there is no answer is httpd's to say: such a request
 * is given to it.
 */
#include <errno.h>
#include <stdlib.h>

#include "ml_lane_int.h"

enum { BAD_GATEWAY = 502, UNAVAILABLE = 503 };

static const char no_connection[] = "no connection";

/* A connection to the chosen member. What must not be sent twice goes on one that is alive. */
static ml_server_t *take_server(ml_client_t *client)
{
    ml_inner_t *inner = client->inner;
    ml_origin_t *origin = inner->x.origin;
    ml_server_t *server = ml_server_take(origin, client, inner->fresh);
    inner->fresh = false;
    while (server && server->reused && !inner->idempotent && !ml_server_quiet(server)) {
        ml_server_release(server, false);
        server = ml_server_take(origin, client, false);
    }
    return server;
}

static ml_outcome_t not_connected(int error)
{
    return ml_is_shortage(error) ? ML_OUTCOME_SHORTAGE : ML_OUTCOME_NO_CONNECT;
}

/* False when there is no member for it yet, or none at all: then it was given away. */
static bool choose(ml_client_t *client)
{
    const ml_inner_t *inner = client->inner;
    switch (client->lane->iface->choose(&client->inner->x)) {
    case ML_CHOICE_MEMBER:
        return true;
    case ML_CHOICE_LATER:
        client->state = ML_HOLD;
        ml_client_await(client, inner->x.times->idle);
        return false;
    case ML_CHOICE_GIVE:
        if (!inner->begun) {
            ml_client_give_all(client, 0);
            return false;
        }
        break;
    case ML_CHOICE_NOBODY:
        break;
    }
    ml_exchange_give(client, inner->trouble ? inner->trouble : UNAVAILABLE);
    return false;
}

/* Until one is reached, or is being connected to, or there is none left. */
void ml_attempt_begin(ml_client_t *client)
{
    ml_lane_t *lane = client->lane;
    ml_inner_t *inner = client->inner;
    for (;;) {
        if (!inner->fresh && !choose(client)) {
            return;
        }
        inner->server = take_server(client);
        if (inner->server) {
            break;
        }
        inner->x.error = errno;
        inner->x.why = no_connection;
        inner->trouble = UNAVAILABLE;
        ml_outcome_t outcome = not_connected(inner->x.error);
        bool may = lane->iface->settled(&inner->x, outcome, outcome != ML_OUTCOME_SHORTAGE);
        inner->x.error = 0;
        if (!may) {
            ml_exchange_give(client, UNAVAILABLE);
            return;
        }
    }
    if (inner->server->connecting) {
        client->state = ML_CONNECT;
        ml_client_await(client, inner->x.origin->connect_timeout);
    } else {
        ml_exchange_go(client);
    }
}

/* All of it is still held, and the client has seen nothing yet. */
static bool can_repeat(const ml_client_t *client)
{
    const ml_inner_t *inner = client->inner;
    return client->in.hold && !inner->answered && !inner->informed;
}

static bool may_repeat(const ml_client_t *client)
{
    const ml_inner_t *inner = client->inner;
    return can_repeat(client) && (inner->idempotent || inner->written == 0);
}

/* Half of an interim head cannot be followed by anything else. */
static bool has_begun_answer(const ml_inner_t *inner)
{
    return inner->answered || inner->out.head;
}

/* The request begins anew, from the bytes that are still held. */
static void rewind_request(ml_client_t *client)
{
    ml_half_t *in = &client->in;
    ml_half_t *out = &client->inner->out;
    uint64_t passed = out->passed; /* an invitation for the body, which the client has had */
    in->begin = (uint32_t)client->inner->x.bytes.n;
    free(in->head);
    in->head = NULL;
    in->passed = 0;
    client->inner->written = 0;
    client->inner->head_n = 0;
    ml_pack_drop(client->lane, client->inner);
    ml_half_clear(out, &client->lane->bufs);
    out->passed = passed;
    client->inner->seen = 0;
}

/* Who has waited in vain is told so: the next member would be slow with it too. And what we have
 * not got for one we hardly have for another. */
ml_go_t ml_attempt_failed(ml_client_t *client, ml_outcome_t outcome, const char *why)
{
    ml_inner_t *inner = client->inner;
    bool shortage = outcome == ML_OUTCOME_SHORTAGE;
    bool again = may_repeat(client) && outcome != ML_OUTCOME_TIMED_OUT && !shortage;
    inner->x.why = why;
    inner->trouble = outcome == ML_OUTCOME_NO_CONNECT || shortage ? UNAVAILABLE : BAD_GATEWAY;
    bool may = client->lane->iface->settled(&inner->x, outcome, again);
    inner->x.error = 0;
    ml_exchange_let_go(inner, false);
    if (has_begun_answer(inner)) {
        return ml_exchange_cut(client);
    }
    if (again && may) {
        rewind_request(client);
        ml_attempt_begin(client);
    } else {
        ml_exchange_give(client, inner->trouble);
    }
    return ML_GO_OVER;
}

/* The member has answered, so nothing is wrong with it; what follows of its answer is not read. */
static void turn_down(ml_client_t *client)
{
    client->lane->iface->settled(&client->inner->x, ML_OUTCOME_SERVED, false);
    ml_exchange_let_go(client->inner, false);
}

ml_go_t ml_attempt_again(ml_client_t *client)
{
    if (!can_repeat(client)) {
        return ml_attempt_refused(client);
    }
    turn_down(client);
    rewind_request(client);
    ml_attempt_begin(client);
    return ML_GO_OVER;
}

ml_go_t ml_attempt_refused(ml_client_t *client)
{
    if (client->inner->out.head) {
        return ml_exchange_cut(client); /* half of an interim head: nothing else can follow */
    }
    turn_down(client);
    ml_exchange_give(client, UNAVAILABLE);
    return ML_GO_OVER;
}

/* What cannot be told from a member's failure is none of his: the client does not go on. */
ml_go_t ml_attempt_give_up(ml_client_t *client, unsigned status)
{
    ml_inner_t *inner = client->inner;
    if (has_begun_answer(inner)) {
        return ml_exchange_cut(client);
    }
    client->lane->iface->settled(&inner->x, ML_OUTCOME_UNKNOWN, false);
    ml_exchange_let_go(inner, false);
    ml_exchange_give(client, status);
    return ML_GO_OVER;
}

static void connect_again(ml_client_t *client)
{
    ml_inner_t *inner = client->inner;
    int error = ml_server_connect(inner->server);
    if (!error || ml_server_await_name(inner->server, error)) {
        inner->server->connecting = true; /* even if it is there: it will be told so */
        ml_client_await(client, inner->x.origin->connect_timeout);
        return;
    }
    ml_outcome_t outcome = not_connected(error);
    /* What was wrong before counts, if there is no other address. */
    bool first = inner->x.error == 0 || outcome == ML_OUTCOME_SHORTAGE;
    inner->x.error = first ? error : inner->x.error;
    ml_attempt_failed(client, outcome, no_connection);
}

void ml_attempt_connected(ml_client_t *client)
{
    ml_server_t *server = client->inner->server;
    if (!server->sock.writable && !server->sock.readable) {
        return;
    }
    int error = ml_server_established(server);
    if (error) {
        client->inner->x.error = error;
        connect_again(client);
        return;
    }
    client->inner->x.error = 0;
    ml_exchange_go(client);
}

void ml_attempt_named(ml_client_t *client)
{
    connect_again(client);
}

void ml_attempt_timeout(ml_client_t *client)
{
    client->inner->x.error = ETIMEDOUT;
    connect_again(client);
}

ml_go_t ml_attempt_stale(ml_client_t *client)
{
    ml_inner_t *inner = client->inner;
    bool stale = inner->server->reused && inner->out.end == 0 && !inner->interim;
    if (stale && may_repeat(client)) {
        ml_exchange_let_go(inner, false);
        rewind_request(client);
        inner->fresh = true;
        ml_attempt_begin(client);
        return ML_GO_OVER;
    }
    return ml_attempt_failed(client, ML_OUTCOME_FAILED, "ended before its answer");
}
