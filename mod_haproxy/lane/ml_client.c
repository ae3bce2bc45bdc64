/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a client's connection between its exchanges: reading heads, giving away, closing. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ml_lane_int.h"

/* How long, and in which steps, what a client still sends is thrown away before it is closed: as
 * long as httpd does it. */
enum {
    LINGER_US = 2000000,       /* without a byte */
    LINGER_MOST_US = 30000000, /* in all */
    LINGER_TURNS = 16,
    NOWHERE_BYTES = 4096
};

static const char request_of_nobody[] = "GET / HTTP/1.0\r\n\r\n";
enum { REQUEST_TIMEOUT = 408 };

static const ml_io_iface_t client_iface;

static void on_timer(ml_timer_t *timer, ml_loop_t *loop);

const char *ml_client_address(const ml_client_t *client)
{
    return client->address;
}

unsigned ml_client_served(const ml_client_t *client)
{
    return client->served;
}

/* The timer is left alone when it fires early enough: it looks at the deadline then. */
void ml_client_await(ml_client_t *client, apr_interval_time_t most)
{
    ml_loop_t *loop = client->lane->loop;
    apr_time_t before = client->deadline;
    client->deadline = ml_loop_now(loop) + most;
    if (!ml_timer_is_set(&client->timer) || client->deadline < before) {
        ml_timer_set(loop, &client->timer, most);
    }
}

apr_interval_time_t ml_pace_left(const ml_pace_t *pace, apr_interval_time_t passed, uint64_t bytes,
                                 apr_interval_time_t most)
{
    if (pace->first == 0) {
        return most;
    }
    apr_interval_time_t all = pace->first + (apr_interval_time_t)bytes * pace->per_byte;
    all = pace->most && all > pace->most ? pace->most : all;
    return all - passed < most ? all - passed : most;
}

/* For all of a head where there is no pace: without mod_reqtimeout httpd would take each byte for a
 * sign of life. */
static apr_interval_time_t head_left(const ml_client_t *client)
{
    const ml_rules_t *rules = client->rules;
    apr_interval_time_t passed = ml_loop_now(client->lane->loop) - client->began;
    if (rules->head.first == 0) {
        return rules->idle - passed;
    }
    return ml_pace_left(&rules->head, passed, client->in.end, rules->idle);
}

static void forget(ml_client_t *client)
{
    ml_lane_t *lane = client->lane;
    ml_timer_cancel(lane->loop, &client->timer);
    /* Before it is closed: another descriptor of the same socket would keep the registration. */
    ml_io_del(&client->io);
    close(client->sock.fd);
    ml_half_clear(&client->in, &lane->bufs);
    client->link.prev->next = client->link.next;
    client->link.next->prev = client->link.prev;
    client->state = ML_GONE;
    free(client);
    ml_room_give(lane);
    if (lane->full) {
        ml_listeners_retry(lane);
    }
}

void ml_client_close(ml_client_t *client)
{
    ml_exchange_end(client);
    forget(client);
}

void ml_client_give(ml_client_t *client, hap_str_t bytes, unsigned status)
{
    ml_lane_t *lane = client->lane;
    ml_io_del(&client->io);
    if (!lane->iface->give(lane->owner, client->sock.fd, client->place, bytes, status)) {
        ml_client_close(client);
        return;
    }
    ml_exchange_end(client);
    forget(client);
}

static apr_status_t watch(ml_client_t *client)
{
    return ml_io_add(&client->io, client->lane->loop, &client_iface, client->sock.fd,
                     EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

bool ml_client_pass_on(ml_client_t *client)
{
    ml_lane_t *lane = client->lane;
    ml_takers_t takers = lane->iface->takers(lane->owner);
    if (takers == ML_TAKERS_NONE) {
        ml_client_close(client);
        return true;
    }
    if (takers == ML_TAKERS_SOON) {
        return false;
    }
    ml_io_del(&client->io);
    if (lane->iface->give(lane->owner, client->sock.fd, client->place, hap_strn(NULL, 0), 0)) {
        forget(client);
        return true;
    }
    if (watch(client) == APR_SUCCESS) {
        return false;
    }
    ml_client_close(client);
    return true;
}

void ml_client_give_all(ml_client_t *client, unsigned status)
{
    ml_client_give(client, hap_strn(client->in.buf->bytes, client->in.end), status);
}

/* He goes on in the loop's next turn. */
void ml_client_run_later(ml_client_t *client)
{
    client->again = true;
    ml_timer_set(client->lane->loop, &client->timer, 0);
}

static void run_linger(ml_client_t *client)
{
    char nowhere[NOWHERE_BYTES];
    ssize_t n = sizeof(nowhere);
    bool any = false;
    for (int turns = 0; turns < LINGER_TURNS && n > 0; turns++) {
        n = recv(client->sock.fd, nowhere, sizeof(nowhere), MSG_DONTWAIT);
        any = any || n > 0;
    }
    if (n == 0 || client->sock.broken) {
        ml_client_close(client);
        return;
    }
    if (any) {
        apr_interval_time_t left = client->began + LINGER_MOST_US - ml_loop_now(client->lane->loop);
        ml_client_await(client, left < LINGER_US ? left : LINGER_US);
    }
    if (n > 0) {
        ml_client_run_later(client);
    }
}

/* Closing with bytes unread makes the kernel reset the connection, and the answer may be lost. So
 * may it be when the client cannot send what it has to before it reads. */
static void linger(ml_client_t *client)
{
    client->state = ML_LINGER;
    client->began = ml_loop_now(client->lane->loop);
    shutdown(client->sock.fd, SHUT_WR);
    ml_half_clear(&client->in, &client->lane->bufs);
    ml_client_await(client, LINGER_US);
    run_linger(client);
}

/* No byte of a request is there: the block goes back. Who could not be passed on is the draining
 * lane's to try again: his socket says at once that it is writable when it is watched anew. */
static void be_idle(ml_client_t *client)
{
    ml_lane_t *lane = client->lane;
    ml_half_clear(&client->in, &lane->bufs);
    if (lane->draining && client->state != ML_IDLE && ml_client_pass_on(client)) {
        return;
    }
    if (client->state != ML_IDLE || !ml_timer_is_set(&client->timer)) {
        client->state = ML_IDLE;
        ml_client_await(client, client->served ? client->times->keep_alive : head_left(client));
    }
}

static void be_reading(ml_client_t *client)
{
    if (client->state != ML_HEAD) {
        client->state = ML_HEAD;
        client->began = client->served ? ml_loop_now(client->lane->loop) : client->began;
    }
    ml_client_await(client, head_left(client));
}

/* Looks at what is there. True when more has to be read; else the client may be gone. */
static bool look(ml_client_t *client)
{
    size_t bytes;
    ml_half_t *in = &client->in;
    if (in->end == 0) {
        return true;
    }
    switch (hap_http1_find_end(&bytes, &client->seen, in->buf->bytes, in->end, true)) {
    case HAP_HTTP1_DONE:
        ml_exchange_begin(client, bytes);
        return false;
    case HAP_HTTP1_STRANGE:
        ml_client_give_all(client, 0);
        return false;
    case HAP_HTTP1_MORE:
        break;
    }
    if (in->end == in->buf->size) {
        ml_client_give_all(client, 0);
        return false;
    }
    return true;
}

static void run_head(ml_client_t *client)
{
    ml_half_t *in = &client->in;
    while (look(client)) {
        ml_move_t move = client->sock.readable
                             ? ml_half_read(in, &client->sock, &client->lane->bufs)
                             : ML_MOVE_NOTHING;
        if (move == ML_MOVE_SOME) {
            continue;
        }
        if (move == ML_MOVE_END && in->end > 0) {
            ml_client_give_all(client, 0); /* httpd knows what to say to half a head */
        } else if (move != ML_MOVE_NOTHING || client->sock.broken) {
            ml_client_close(client);
        } else if (in->end == 0) {
            be_idle(client);
        } else {
            be_reading(client);
        }
        return;
    }
}

/* What came behind the request is the beginning of the next one. */
static bool carry_on(ml_client_t *client)
{
    ml_half_t *in = &client->in;
    uint32_t rest = in->buf ? in->end - in->ready : 0;
    in->hold = in->direct = false;
    in->framing = HAP_FRAMING_NONE;
    in->chunks = (hap_chunks_t){0};
    in->passed = 0;
    client->seen = 0;
    if (rest == 0) {
        in->begin = in->ready = in->end = 0;
        return true;
    }
    in->begin = in->ready;
    ml_buf_t *old = ml_half_move(in, &client->lane->bufs);
    ml_buf_give(&client->lane->bufs, old);
    in->begin = in->ready = 0;
    return old != NULL && in->end <= ML_BUF_SMALL_BYTES;
}

void ml_client_next(ml_client_t *client, bool keep)
{
    bool unread = !client->in.complete || client->sock.readable;
    client->served++;
    if (keep && carry_on(client)) {
        client->state = ML_STATES; /* none: what comes sets it, and its deadline */
        run_head(client);
    } else if (unread && !client->sock.eof && !client->sock.broken) {
        linger(client);
    } else {
        ml_client_close(client);
    }
}

void ml_client_run(ml_client_t *client)
{
    switch (client->state) {
    case ML_IDLE:
    case ML_HEAD:
        run_head(client);
        break;
    case ML_HOLD:
    case ML_CONNECT:
        /* Nothing to do for it until the owner knows, or the member is there; but it may have gone.
         */
        if (client->sock.broken) {
            ml_client_close(client);
        }
        break;
    case ML_EXCHANGE:
    case ML_TUNNEL:
        ml_exchange_run(client);
        break;
    case ML_LINGER:
        run_linger(client);
        break;
    case ML_GONE:
    case ML_STATES:
        break;
    }
}

/* Our side has ended: when the client's does too that is announced like a loss. */
static bool is_told(const ml_client_t *client)
{
    return client->state == ML_LINGER || (client->state == ML_TUNNEL && client->inner->told_client);
}

static void on_client(ml_io_t *io, uint32_t events)
{
    ml_client_t *client = ML_OWNER(io, ml_client_t, io);
    ml_sock_note(&client->sock, events);
    if ((events & EPOLLERR) || ((events & EPOLLHUP) && !is_told(client))) {
        client->sock.broken = true;
    }
    ml_client_run(client);
}

static const ml_io_iface_t client_iface = {.name = "client", .ready = on_client};

static void on_timer(ml_timer_t *timer, ml_loop_t *loop)
{
    ml_client_t *client = ML_OWNER(timer, ml_client_t, timer);
    apr_interval_time_t left = client->deadline - ml_loop_now(loop);
    if (left > 0) {
        ml_timer_set(loop, timer, left);
        if (client->again) {
            client->again = false;
            ml_client_run(client);
        }
        return;
    }
    switch (client->state) {
    case ML_HEAD:
        ml_client_give(client, HAP_STR_LIT(request_of_nobody), REQUEST_TIMEOUT);
        break;
    case ML_HOLD:
    case ML_CONNECT:
    case ML_EXCHANGE:
    case ML_TUNNEL:
        ml_exchange_timeout(client);
        break;
    case ML_IDLE:
    case ML_LINGER:
    case ML_GONE:
    case ML_STATES:
        ml_client_close(client);
        break;
    }
}

static void on_added(ml_work_t *work, ml_loop_t *loop)
{
    ml_client_t *client = ML_OWNER(work, ml_client_t, work);
    ml_lane_t *lane = client->lane;
    client->link.next = lane->clients.next;
    client->link.prev = &lane->clients;
    lane->clients.next->prev = &client->link;
    lane->clients.next = &client->link;
    client->began = ml_loop_now(loop);
    if (watch(client) != APR_SUCCESS) {
        ml_client_close(client);
        return;
    }
    client->sock.readable = client->sock.writable = true;
    ml_client_run(client);
}

static ml_client_t *make(ml_lane_t *lane, int fd, const void *place, const char *address,
                         const ml_rules_t *rules)
{
    ml_client_t *client = calloc(1, sizeof(*client));
    if (!client) {
        return NULL;
    }
    *client = (ml_client_t){
        .lane = lane,
        .sock.fd = fd,
        .timer.fire = on_timer,
        .work.run = on_added,
        .place = place,
        .rules = rules,
        .state = ML_IDLE,
    };
    strncpy(client->address, address, sizeof(client->address) - 1);
    return client;
}

bool ml_client_begin(ml_lane_t *lane, int fd, const void *place, const char *address,
                     const ml_rules_t *rules)
{
    ml_client_t *client = make(lane, fd, place, address, rules);
    if (client) {
        on_added(&client->work, lane->loop);
    }
    return client != NULL;
}

bool ml_lane_add(ml_lane_t *lane, int fd, const void *place, const char *address,
                 const ml_rules_t *rules)
{
    if (!ml_room_take(lane)) {
        return false;
    }
    ml_client_t *client = make(lane, fd, place, address, rules);
    if (client && ml_loop_post(lane->loop, &client->work)) {
        return true;
    }
    free(client);
    ml_room_give(lane);
    return false;
}
