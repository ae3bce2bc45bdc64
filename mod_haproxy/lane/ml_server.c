/* SPDX-License-Identifier: Apache-2.0 */
/* Owns making, keeping and closing connections to members. */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#include "ml_lane_int.h"

static const ml_io_iface_t server_iface;

static void link_in(ml_link_t *list, ml_link_t *link)
{
    link->next = list->next;
    link->prev = list;
    list->next->prev = link;
    list->next = link;
}

static void link_out(ml_link_t *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
}

void ml_origin_init(ml_origin_t *origin)
{
    origin->spare.next = origin->spare.prev = &origin->spare;
    origin->spare_n = 0;
}

static void destroy(ml_server_t *server)
{
    ml_io_del(&server->io);
    close(server->sock.fd);
    free(server);
}

static void drop_spare(ml_server_t *server)
{
    link_out(&server->link);
    server->origin->spare_n--;
    destroy(server);
}

void ml_origin_close_spare(ml_lane_t *lane, ml_origin_t *origin)
{
    (void)lane;
    while (origin->spare.next != &origin->spare) {
        drop_spare(ML_OWNER(origin->spare.next, ml_server_t, link));
    }
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
        ml_exchange_connected(server->user);
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
        link_out(&server->link);
        origin->spare_n--;
    }
    return server;
}

static int open_socket(const ml_origin_t *origin)
{
    int one = 1;
    int family = origin->address.any.sa_family;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && family != AF_UNIX) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    }
    return fd;
}

static ml_server_t *open_server(ml_origin_t *origin, ml_client_t *user)
{
    if (origin->address_n == 0) {
        errno = EHOSTUNREACH;
        return NULL;
    }
    ml_server_t *server = calloc(1, sizeof(*server));
    if (!server) {
        return NULL;
    }
    *server = (ml_server_t){.lane = user->lane, .origin = origin, .user = user};
    server->sock.fd = open_socket(origin);
    if (server->sock.fd < 0) {
        free(server);
        return NULL;
    }
    int rv = connect(server->sock.fd, &origin->address.any, origin->address_n);
    server->connecting = rv != 0;
    server->sock.writable = rv == 0;
    int error = rv == 0 || errno == EINPROGRESS ? 0 : errno;
    if (!error) {
        error = ml_io_add(&server->io, user->lane->loop, &server_iface, server->sock.fd,
                          EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
    }
    if (error) {
        close(server->sock.fd);
        free(server);
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
                origin->spare_n < origin->spare_max;
    if (!fine) {
        destroy(server);
        return;
    }
    server->user = NULL;
    server->expiry = ml_loop_now(server->lane->loop) + origin->keep;
    link_in(&origin->spare, &server->link);
    origin->spare_n++;
}
