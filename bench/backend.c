/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the application that stands behind what bench/compare measures: an HTTP/1.1 server that is
 * as cheap as can be, one loop, one port a member, every answer made beforehand. Does not check
 * what it is sent: whoever asks here has understood the request already.
 *
 *   backend MEMBERS PORTS-FILE [FIRST]
 *
 *   FIRST is the number of the first member, 1 if not given, for farms of several processes
 *
 *   GET /          100 bytes, which begin with the member's route (m001, m002, ...)
 *   GET /64k       64 KB           GET /1m       1 MB, both with their length
 *   GET /chunked   64 KB in chunks of 4 KB
 *   GET /slow      as / but a second later; thousands may wait
 *   GET /login     as / with cookies that name the member: zsessionid=ID.ROUTE and SRV=ROUTE
 *   GET /begin/N   begins a session, and puts a state of N bytes into its zone
 *   GET /put/N     puts a state of N bytes into the session's zone
 *   GET /told      what the proxy has said of the session
 *   anything with a body: reads it, and says how many bytes it was
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend_answers.h"
#include "backend_zone.h"
#include "net.h"

enum { EVENTS = 256, SCRATCH_BYTES = 256 * 1024, PARTIAL_BYTES = 16 * 1024, ACCEPTS = 64 };
enum { ROUTE_BYTES = 32 };
enum { SLOW_US = 1000000, US_A_MS = 1000, WAIT_MS = 500 };

/** What the application waits for on a connection. */
typedef enum state_t {
    READ_HEAD,
    READ_BODY,
    SLOW,  /* for the time to answer */
    WRITE, /* for room to write the rest of an answer */
} state_t;

/** One member's listening socket. */
typedef struct listener_t {
    int fd;
    size_t member;
} listener_t;

/** A connection. */
typedef struct conn_t {
    listener_t *listener; /* who accepted it */
    int fd;
    state_t state;
    bool last;                   /* the request's answer ends the connection */
    long long body;              /* of the request, in bytes */
    long long body_left;         /* what is still to come of it */
    const char *out;             /* what is still to be written, in the answers or in `own` */
    size_t out_n;                /* in bytes */
    char *partial;               /* what came of a next request, NULL if nothing */
    size_t partial_n;            /* in bytes */
    int64_t due_us;              /* when a slow answer is due */
    struct conn_t *slow_before;  /* in the list of slow ones, which is in order of time */
    struct conn_t *slow_after;   /* same */
    char own[ANSWERS_OWN_BYTES]; /* an answer that is not shared */
    char *zone;                  /* one with a state, from malloc; NULL none so far */
} conn_t;

/** The parts of a request's head that matter here. */
typedef struct head_t {
    const char *path;
    size_t path_n;
    long long body; /* Content-Length, -1 for a body without one */
    bool last;
    backend_told_t told;
} head_t;

static int epoll_fd;
static listener_t listeners[ANSWERS_MAX_MEMBERS];
static char scratch[SCRATCH_BYTES];
static conn_t *slow_first;
static conn_t *slow_last;

/* --- one connection ----------------------------------------------------------------------------
 */

static void slow_remove(conn_t *conn)
{
    *(conn->slow_before ? &conn->slow_before->slow_after : &slow_first) = conn->slow_after;
    *(conn->slow_after ? &conn->slow_after->slow_before : &slow_last) = conn->slow_before;
    conn->slow_before = conn->slow_after = NULL;
}

static void slow_add(conn_t *conn)
{
    conn->state = SLOW;
    conn->due_us = bench_now_us() + SLOW_US;
    conn->slow_before = slow_last;
    *(slow_last ? &slow_last->slow_after : &slow_first) = conn;
    slow_last = conn;
}

static void conn_end(conn_t *conn)
{
    if (conn->state == SLOW) {
        slow_remove(conn);
    }
    close(conn->fd);
    free(conn->partial);
    free(conn->zone);
    free(conn);
}

/* Writes what is left of the answer. False when that ended the connection. */
static bool conn_write(conn_t *conn)
{
    ssize_t put = send(conn->fd, conn->out, conn->out_n, 0);
    if (put < 0 && errno != EAGAIN) {
        conn_end(conn);
        return false;
    }
    conn->out += put > 0 ? put : 0;
    conn->out_n -= put > 0 ? (size_t)put : 0;
    if (conn->out_n > 0) {
        if (conn->state != WRITE) {
            conn->state = WRITE;
            bench_watch_again(epoll_fd, conn->fd, EPOLLOUT, conn);
        }
        return true;
    }
    if (conn->last) {
        conn_end(conn);
        return false;
    }
    if (conn->state == WRITE) {
        bench_watch_again(epoll_fd, conn->fd, EPOLLIN, conn);
    }
    conn->state = READ_HEAD;
    return true;
}

static bool conn_answer(conn_t *conn, answers_kind_t kind)
{
    answer_t answer = answers_get(kind, conn->listener->member, conn->last);
    conn->out = answer.data;
    conn->out_n = answer.n;
    return conn_write(conn);
}

static bool conn_answer_own(conn_t *conn, size_t n)
{
    conn->out = conn->own;
    conn->out_n = n;
    return conn_write(conn);
}

static bool conn_answer_upload(conn_t *conn)
{
    size_t member = conn->listener->member;
    return conn_answer_own(conn, answers_upload(conn->own, member, conn->body, conn->last));
}

/* A path's answer about the session of the request: a state of `bytes`, or none and what was told.
 */
static bool conn_answer_zone(conn_t *conn, const head_t *head, size_t bytes, bool begins)
{
    conn->zone = conn->zone ? conn->zone : malloc(BACKEND_ZONE_ANSWER_BYTES);
    if (!conn->zone) {
        bench_die("memory for an answer");
    }
    char route[ROUTE_BYTES];
    snprintf(route, sizeof(route), "m%03zu", conn->listener->member + 1);
    conn->out = conn->zone;
    conn->out_n = bytes ? backend_zone_put(conn->zone, route, bytes, begins, conn->last)
                        : backend_zone_tell(conn->zone, route, &head->told, conn->last);
    return conn_write(conn);
}

/* --- requests ----------------------------------------------------------------------------------
 */

static bool has_prefix(const char *at, const char *end, const char *prefix)
{
    size_t n = strlen(prefix);
    return (size_t)(end - at) >= n && strncasecmp(at, prefix, n) == 0;
}

/* At most one of each kind counts: the first part of a state is enough to know it by. */
static void read_told(backend_told_t *told, const char *at, const char *end)
{
    static const char session[] = "ha-session: ";
    static const char data[] = "ha-session-data: ";
    if (has_prefix(at, end, session)) {
        told->session = at + sizeof(session) - 1;
    } else if (!told->data && has_prefix(at, end, data)) {
        told->data = at + sizeof(data) - 1;
    }
}

static void read_field(head_t *head, const char *at, const char *end)
{
    static const char length[] = "content-length:";
    static const char encoding[] = "transfer-encoding:";
    static const char connection[] = "connection:";
    if (has_prefix(at, end, length)) {
        head->body = strtoll(at + sizeof(length) - 1, NULL, 10);
    } else if (has_prefix(at, end, encoding)) {
        head->body = -1;
    } else if (has_prefix(at, end, connection)) {
        for (at += sizeof(connection) - 1; at < end && isspace((unsigned char)*at); at++) {
        }
        head->last = has_prefix(at, end, "close");
    } else {
        read_told(&head->told, at, end);
    }
}

/* Reads the head of a request, which ends before `end` with an empty line. */
static void read_head(head_t *head, const char *at, const char *end)
{
    const char *line_end = memchr(at, '\r', (size_t)(end - at));
    const char *space = memchr(at, ' ', (size_t)(line_end - at));
    memset(head, 0, sizeof(*head));
    if (space) {
        const char *path_end = memchr(space + 1, ' ', (size_t)(line_end - space - 1));
        head->path = space + 1;
        head->path_n = path_end ? (size_t)(path_end - head->path) : 0;
    }
    head->last = line_end > at && line_end[-1] == '0'; /* HTTP/1.0 */
    for (at = line_end + 2; at < end - 2; at = line_end + 2) {
        line_end = memchr(at, '\r', (size_t)(end - at));
        /* Few fields matter, and most others are told apart by their first letter. */
        if (strchr("cCtThH", *at)) {
            read_field(head, at, line_end);
        }
    }
}

static bool path_is(const head_t *head, const char *path)
{
    return head->path_n == strlen(path) && memcmp(head->path, path, head->path_n) == 0;
}

/* The bytes of state in a path that begins like this; 0 if it is none. */
static size_t path_state(const head_t *head, const char *prefix)
{
    size_t n = strlen(prefix);
    if (head->path_n <= n || memcmp(head->path, prefix, n) != 0) {
        return 0;
    }
    unsigned long bytes = strtoul(head->path + n, NULL, 10);
    bytes = bytes > BACKEND_ZONE_STATE_BYTES_MIN ? bytes : BACKEND_ZONE_STATE_BYTES_MIN;
    return bytes < BACKEND_ZONE_STATE_BYTES_MAX ? bytes : BACKEND_ZONE_STATE_BYTES_MAX;
}

/* Answers a request without a body, at once or later. False when that ended the connection. */
static bool conn_serve(conn_t *conn, const head_t *head)
{
    if (path_is(head, "/64k")) {
        return conn_answer(conn, ANSWERS_64K);
    }
    if (path_is(head, "/1m")) {
        return conn_answer(conn, ANSWERS_1M);
    }
    if (path_is(head, "/chunked")) {
        return conn_answer(conn, ANSWERS_CHUNKED);
    }
    if (path_is(head, "/login")) {
        size_t member = conn->listener->member;
        return conn_answer_own(conn, answers_login(conn->own, member, conn->last));
    }
    if (path_is(head, "/slow")) {
        slow_add(conn);
        return true;
    }
    size_t begun = path_state(head, "/begin/");
    size_t put = path_state(head, "/put/");
    if (begun || put || path_is(head, "/told")) {
        return conn_answer_zone(conn, head, begun + put, begun > 0);
    }
    return conn_answer(conn, ANSWERS_SMALL);
}

/* Takes bytes that came. Returns how many, 0 when more are needed first; -1 when the connection
 * ended. */
static ssize_t conn_take(conn_t *conn, const char *at, size_t n)
{
    if (conn->state == READ_BODY) {
        size_t take = (long long)n < conn->body_left ? n : (size_t)conn->body_left;
        conn->body_left -= (long long)take;
        return conn->body_left > 0 || conn_answer_upload(conn) ? (ssize_t)take : -1;
    }
    const char *end = memmem(at, n, "\r\n\r\n", 4);
    if (!end) {
        return 0;
    }
    end += 4;
    head_t head;
    read_head(&head, at, end);
    conn->last = head.last;
    if (head.body < 0) {
        conn->last = true;
        return conn_answer(conn, ANSWERS_LENGTH_REQUIRED) ? end - at : -1;
    }
    if (head.body > 0) {
        conn->state = READ_BODY;
        conn->body = conn->body_left = head.body;
        return end - at;
    }
    return conn_serve(conn, &head) ? end - at : -1;
}

/* Keeps bytes for later. False when there are too many of them, which ended the connection. */
static bool conn_keep(conn_t *conn, const char *at, size_t n)
{
    if (!conn->partial) {
        conn->partial = malloc(PARTIAL_BYTES);
    }
    if (!conn->partial || n > PARTIAL_BYTES) {
        conn_end(conn);
        return false;
    }
    memcpy(conn->partial, at, n);
    conn->partial_n = n;
    return true;
}

/* Serves `n` bytes in scratch. */
static void conn_consume(conn_t *conn, size_t n)
{
    const char *at = scratch;
    conn->partial_n = 0;
    while (n > 0 && (conn->state == READ_HEAD || conn->state == READ_BODY)) {
        ssize_t took = conn_take(conn, at, n);
        if (took < 0) {
            return;
        }
        if (took == 0) {
            break;
        }
        at += took;
        n -= (size_t)took;
    }
    if (n > 0) {
        conn_keep(conn, at, n);
    }
}

static void conn_readable(conn_t *conn)
{
    size_t before = conn->partial_n;
    if (before > 0) {
        memcpy(scratch, conn->partial, before);
    }
    ssize_t got = recv(conn->fd, scratch + before, sizeof(scratch) - before, 0);
    if (got > 0) {
        conn_consume(conn, before + (size_t)got);
    } else if (got == 0 || errno != EAGAIN) {
        conn_end(conn);
    }
}

/* An answer is complete: what came in the meantime is next. */
static void conn_go_on(conn_t *conn)
{
    size_t before = conn->partial_n;
    if (before > 0 && conn->state == READ_HEAD) {
        memcpy(scratch, conn->partial, before);
        conn_consume(conn, before);
    }
}

/* --- the loop ----------------------------------------------------------------------------------
 */

static void accept_some(listener_t *listener)
{
    for (int i = 0; i < ACCEPTS; i++) {
        int fd = bench_accept(listener->fd);
        if (fd < 0) {
            return;
        }
        conn_t *conn = calloc(1, sizeof(*conn));
        if (!conn) {
            bench_die("memory for a connection");
        }
        conn->listener = listener;
        conn->fd = fd;
        bench_watch(epoll_fd, fd, EPOLLIN, conn);
    }
}

static bool is_listener(const void *data)
{
    const listener_t *listener = data;
    return listener >= listeners && listener < listeners + ANSWERS_MAX_MEMBERS;
}

static void serve_event(const struct epoll_event *event)
{
    if (is_listener(event->data.ptr)) {
        accept_some(event->data.ptr);
        return;
    }
    conn_t *conn = event->data.ptr;
    if (conn->state != WRITE) {
        conn_readable(conn);
    } else if (conn_write(conn)) {
        conn_go_on(conn);
    }
}

static void answer_slow_ones(int64_t now)
{
    while (slow_first && slow_first->due_us <= now) {
        conn_t *conn = slow_first;
        slow_remove(conn);
        conn->state = READ_HEAD;
        if (conn_answer(conn, ANSWERS_SMALL)) {
            conn_go_on(conn);
        }
    }
}

/* Never below 0, which would be for ever: what is overdue came due while others were answered. */
static int wait_ms(int64_t now)
{
    if (!slow_first) {
        return WAIT_MS;
    }
    if (slow_first->due_us <= now) {
        return 0;
    }
    int64_t ms = (slow_first->due_us - now + US_A_MS - 1) / US_A_MS;
    return ms < WAIT_MS ? (int)ms : WAIT_MS;
}

static _Noreturn void serve(void)
{
    struct epoll_event events[EVENTS];
    time_t dated = 0;
    for (;;) {
        int n =
            epoll_wait(epoll_fd, events, EVENTS, slow_first ? wait_ms(bench_now_us()) : WAIT_MS);
        struct timespec now;
        clock_gettime(CLOCK_REALTIME_COARSE, &now);
        if (now.tv_sec != dated) {
            dated = now.tv_sec;
            answers_set_date(dated);
        }
        for (int i = 0; i < n; i++) {
            serve_event(&events[i]);
        }
        if (slow_first) {
            answer_slow_ones(bench_now_us());
        }
    }
}

int main(int argc, char **argv)
{
    uint16_t ports[ANSWERS_MAX_MEMBERS];
    if (argc != 3 && argc != 4) {
        fprintf(stderr, "usage: backend MEMBERS PORTS-FILE [FIRST]\n");
        return 2;
    }
    size_t first = argc > 3 ? (size_t)bench_number("FIRST", argv[3], ANSWERS_MAX_MEMBERS) - 1 : 0;
    size_t members = (size_t)bench_number("MEMBERS", argv[1], ANSWERS_MAX_MEMBERS - (long)first);
    bench_begin();
    answers_make(first + members);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    for (size_t i = 0; i < members; i++) {
        listeners[i] = (listener_t){bench_listen(&ports[i]), first + i};
        bench_watch(epoll_fd, listeners[i].fd, EPOLLIN, &listeners[i]);
    }
    bench_tell_ports(argv[2], ports, members);
    serve();
}
