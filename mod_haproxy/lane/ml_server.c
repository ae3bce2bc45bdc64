/* SPDX-License-Identifier: Apache-2.0 */
/* Owns making, keeping and closing connections to members. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#include "ml_lane_int.h"

static const ml_io_iface_t server_iface;

static void hang_up(ml_server_t *server)
{
    if (server->naming) {
        ml_server_named(server);
    } else if (server->sock.fd >= 0) {
        ml_io_del(&server->io);
        close(server->sock.fd);
        server->sock.fd = -1;
    }
}

static void destroy(ml_server_t *server)
{
    hang_up(server);
    server->origin->servers_n--;
    free(server);
}

static void drop_spare(ml_server_t *server)
{
    ml_link_out(&server->link);
    server->origin->spare_n--;
    destroy(server);
}

void ml_origin_close_spare(ml_origin_t *origin)
{
    while (origin->spare.next != &origin->spare) {
        drop_spare(ML_OWNER(origin->spare.next, ml_server_t, link));
    }
}

bool ml_origins_yield(ml_lane_t *lane)
{
    bool any = false;
    for (ml_origin_t *origin = lane->origins; origin; origin = origin->next) {
        if (origin->spare_n) {
            drop_spare(ML_OWNER(origin->spare.prev, ml_server_t, link));
            any = true;
        }
    }
    return any;
}

/* Whatever comes on a spare connection, it is no answer to anything (RFC 9112 9.2). */
static bool ends_spare(uint32_t events)
{
    return events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR);
}

static void on_server(ml_io_t *io, uint32_t events)
{
    ml_server_t *server = ML_OWNER(io, ml_server_t, io);
    if (!server->user) {
        if (ends_spare(events)) {
            drop_spare(server);
        }
        return;
    }
    ml_sock_note(&server->sock, events);
    /* Before its end there may be more to read, and then the reason. */
    if (server->sock.eof && (events & EPOLLERR)) {
        server->sock.broken = true;
    }
    if (server->connecting) {
        ml_attempt_connected(server->user);
    } else {
        ml_exchange_run(server->user);
    }
}

static const ml_io_iface_t server_iface = {.name = "member", .ready = on_server};

/* The last used one. What has come on it may be known to the loop, and its turn be yet to come. */
static ml_server_t *newest_spare(ml_origin_t *origin)
{
    while (origin->spare_n) {
        ml_server_t *newest = ML_OWNER(origin->spare.next, ml_server_t, link);
        if (!ends_spare(ml_io_at_hand(&newest->io))) {
            return newest;
        }
        drop_spare(newest);
    }
    return NULL;
}

/* The ones that have waited too long are at the end of the list. */
static ml_server_t *take_spare(ml_origin_t *origin, apr_time_t now)
{
    while (origin->spare_n) {
        ml_server_t *oldest = ML_OWNER(origin->spare.prev, ml_server_t, link);
        if (oldest->expiry > now) {
            break;
        }
        drop_spare(oldest);
    }
    ml_server_t *server = newest_spare(origin);
    if (server) {
        ml_link_out(&server->link);
        origin->spare_n--;
    }
    return server;
}

/* Connections that only wait may have the descriptor that is needed now. */
static int open_socket(ml_lane_t *lane, int family)
{
    int one = 1;
    int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    int fd = socket(family, type, 0);
    if (fd < 0 && (errno == EMFILE || errno == ENFILE) && ml_origins_yield(lane)) {
        fd = socket(family, type, 0);
    }
    if (fd >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    }
    return fd;
}

/* 0 when it is connected or connecting. */
static int connect_to(ml_server_t *server, const ml_addr_t *to)
{
    int fd = open_socket(server->lane, to->sa.ss_family);
    if (fd < 0) {
        return errno;
    }
    int rv = ml_addr_connect(fd, to);
    int error = rv == EINPROGRESS ? 0 : rv;
    if (!error) {
        error = ml_io_add(&server->io, server->lane->loop, &server_iface, fd,
                          EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
    }
    if (error) {
        close(fd);
        return error;
    }
    server->sock = (ml_sock_t){.fd = fd, .writable = rv == 0};
    server->connecting = rv != 0;
    return 0;
}

int ml_server_connect(ml_server_t *server)
{
    const ml_origin_t *origin = server->origin;
    int error = EHOSTUNREACH;
    hang_up(server);
    if (server->version != origin->version) {
        server->version = origin->version;
        server->first = origin->best;
        server->tried = 0;
    }
    while (error && server->tried < origin->addrs.n) {
        unsigned i = (server->first + server->tried++) % origin->addrs.n;
        error = connect_to(server, &origin->addrs.list[i]);
    }
    return error;
}

static void wait_for_name(ml_server_t *server)
{
    server->naming = server->connecting = true;
    ml_link_in(&server->origin->waiting, &server->link);
}

void ml_server_named(ml_server_t *server)
{
    server->naming = false;
    ml_link_out(&server->link);
}

bool ml_server_await_name(ml_server_t *server, int error)
{
    if (server->asked || ml_is_shortage(error) || !ml_origin_ask(server->origin)) {
        return false;
    }
    server->asked = true;
    wait_for_name(server);
    return true;
}

static ml_server_t *open_server(ml_origin_t *origin, ml_client_t *user)
{
    ml_server_t *server = calloc(1, sizeof(*server));
    if (!server) {
        return NULL;
    }
    *server = (ml_server_t){.lane = user->lane,
                            .origin = origin,
                            .user = user,
                            .sock.fd = -1,
                            .first = origin->best,
                            .version = origin->version};
    origin->servers_n++;
    if (origin->question && !origin->answered) {
        wait_for_name(server);
        return server;
    }
    int error = ml_server_connect(server);
    if (error && !ml_server_await_name(server, error)) {
        destroy(server);
        errno = error;
        return NULL;
    }
    return server;
}

ml_server_t *ml_server_take(ml_origin_t *origin, ml_client_t *user, bool fresh)
{
    ml_server_t *server = fresh ? NULL : take_spare(origin, ml_loop_now(user->lane->loop));
    if (!server) {
        return open_server(origin, user);
    }
    server->user = user;
    server->reused = true;
    return server;
}

bool ml_server_quiet(const ml_server_t *server)
{
    char byte;
    ssize_t n = recv(server->sock.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

int ml_server_established(ml_server_t *server)
{
    int error = 0;
    socklen_t n = sizeof(error);
    if (getsockopt(server->sock.fd, SOL_SOCKET, SO_ERROR, &error, &n) != 0) {
        error = errno;
    }
    server->connecting = error != 0;
    if (!error && server->version == server->origin->version) {
        server->origin->best = (server->first + server->tried - 1) % server->origin->addrs.n;
    }
    return error;
}

/* What it has said behind its answer would be taken for the answer to the next request. */
static bool is_clean(const ml_sock_t *sock)
{
    return !sock->readable && sock->writable && !sock->ending && !sock->broken;
}

void ml_server_release(ml_server_t *server, bool keep)
{
    ml_origin_t *origin = server->origin;
    bool fine = keep && is_clean(&server->sock) && origin->keep > 0 && !server->lane->draining &&
                origin->spare_n < origin->spare_max && server->version == origin->version;
    if (!fine) {
        destroy(server);
        return;
    }
    server->user = NULL;
    server->expiry = ml_loop_now(server->lane->loop) + origin->keep;
    ml_link_in(&origin->spare, &server->link);
    origin->spare_n++;
}
