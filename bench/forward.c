/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the floor of bench/compare: a proxy that does nothing but carry bytes. It accepts a client,
 * connects upstream, and copies both ways; one upstream connection a client, one loop. Does not
 * look at what it copies, so it cannot balance, stick or keep upstream connections for others.
 *
 *   forward PORT-FILE UPSTREAM-PORT
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net.h"

enum { EVENTS = 256, BUFFER_BYTES = 64 * 1024, ACCEPTS = 64, MOST_PORTS = 65535 };

/** One end of a connection, and what could not be written to it yet. */
typedef struct end_t {
    struct end_t *peer;
    int fd;
    bool has_input;  /* there may be bytes to read */
    bool ending;     /* the last bytes of it are on their way, so reading goes on up to the end */
    bool input_over; /* it sends no more */
    bool dead;       /* closed; freed after the events of this turn */
    char *waiting;   /* bytes for it, NULL unless it once was slow */
    size_t waiting_at;
    size_t waiting_n;
    struct end_t *next_dead;
} end_t;

static int epoll_fd;
static int listener_fd;
static uint16_t upstream;
static char buffer[BUFFER_BYTES];
static end_t *dead;

static void bury(end_t *end)
{
    close(end->fd);
    end->dead = true;
    end->next_dead = dead;
    dead = end;
}

static void end_both(end_t *end)
{
    if (!end->dead) {
        bury(end);
        bury(end->peer);
    }
}

static void free_dead(void)
{
    while (dead) {
        end_t *end = dead;
        dead = end->next_dead;
        free(end->waiting);
        free(end);
    }
}

/* Keeps what `to` has no room for. */
static void keep(end_t *to, const char *at, size_t n)
{
    if (!to->waiting) {
        to->waiting = malloc(BUFFER_BYTES);
    }
    if (!to->waiting) {
        end_both(to);
        return;
    }
    memcpy(to->waiting, at, n);
    to->waiting_at = 0;
    to->waiting_n = n;
}

/* Writes what waits. False when some still does, or both ends are closed. */
static bool flush(end_t *to)
{
    if (to->waiting_n == 0) {
        return true;
    }
    ssize_t put = send(to->fd, to->waiting + to->waiting_at, to->waiting_n, 0);
    if (put < 0) {
        if (errno != EAGAIN) {
            end_both(to);
        }
        return false;
    }
    to->waiting_at += (size_t)put;
    to->waiting_n -= (size_t)put;
    return to->waiting_n == 0;
}

static void hand_on(end_t *to, const char *at, size_t n)
{
    ssize_t put = send(to->fd, at, n, 0);
    if (put < 0 && errno != EAGAIN) {
        end_both(to);
    } else if (put < (ssize_t)n) {
        size_t done = put > 0 ? (size_t)put : 0;
        keep(to, at + done, n - done);
    }
}

/* One side has said all: the other is told so, or both are closed. */
static void end_input(end_t *from)
{
    from->input_over = true;
    if (from->peer->input_over) {
        end_both(from);
    } else {
        shutdown(from->peer->fd, SHUT_WR);
    }
}

/* Copies until the sender has no more or the receiver has no room. Events come at the edge, so what
 * is left in the sender has to be remembered. */
static void copy(end_t *from)
{
    end_t *to = from->peer;
    while (from->has_input && !from->dead && !from->input_over && flush(to)) {
        ssize_t got = recv(from->fd, buffer, sizeof(buffer), 0);
        if (got == 0) {
            end_input(from);
            return;
        }
        if (got < 0) {
            from->has_input = false;
            if (errno != EAGAIN) {
                end_both(from);
            }
            return;
        }
        /* A read that did not fill the buffer emptied the socket; the next bytes make an event.
         * The end made its event already. */
        from->has_input = got == (ssize_t)sizeof(buffer) || from->ending;
        hand_on(to, buffer, (size_t)got);
    }
}

static end_t *make_end(int fd)
{
    end_t *end = calloc(1, sizeof(*end));
    if (!end) {
        bench_die("memory for a connection");
    }
    end->fd = fd;
    return end;
}

static void accept_some(void)
{
    for (int i = 0; i < ACCEPTS; i++) {
        int fd = bench_accept(listener_fd);
        if (fd < 0) {
            return;
        }
        int up = bench_connect(upstream);
        if (up < 0) {
            close(fd);
            continue;
        }
        end_t *client = make_end(fd);
        end_t *server = make_end(up);
        client->peer = server;
        server->peer = client;
        bench_watch(epoll_fd, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, client);
        bench_watch(epoll_fd, up, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, server);
    }
}

static void serve_event(end_t *end, uint32_t events)
{
    if (end->dead) {
        return;
    }
    if (events & ~(uint32_t)EPOLLOUT) {
        end->has_input = true;
        end->ending |= (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
        copy(end);
    }
    if ((events & EPOLLOUT) && !end->dead && end->peer->has_input) {
        copy(end->peer);
    } else if ((events & EPOLLOUT) && !end->dead) {
        flush(end);
    }
}

static _Noreturn void serve(void)
{
    struct epoll_event events[EVENTS];
    for (;;) {
        int n = epoll_wait(epoll_fd, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr) {
                serve_event(events[i].data.ptr, events[i].events);
            } else {
                accept_some();
            }
        }
        free_dead();
    }
}

int main(int argc, char **argv)
{
    uint16_t port;
    if (argc != 3) {
        fprintf(stderr, "usage: forward PORT-FILE UPSTREAM-PORT\n");
        return 2;
    }
    upstream = (uint16_t)bench_number("UPSTREAM-PORT", argv[2], MOST_PORTS);
    bench_begin();
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    listener_fd = bench_listen(&port);
    bench_watch(epoll_fd, listener_fd, EPOLLIN, NULL);
    bench_tell_ports(argv[1], &port, 1);
    serve();
}
