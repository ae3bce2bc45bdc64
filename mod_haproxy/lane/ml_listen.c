/* SPDX-License-Identifier: Apache-2.0 */
/* Owns accepting clients in the loop itself, and pausing where there is no room or no descriptor
 * for one. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "ml_lane_int.h"

enum {
    ACCEPTS_MAX = 64, /* before others have their turn */
    PAUSE_US = 100000 /* when there is no room, descriptor or memory for a client */
};

/** A listening socket in one loop. */
struct ml_listener_t {
    ml_lane_t *lane;
    int fd;
    ml_io_t io;
    ml_timer_t pause;
    ml_listener_t *next;
};

static const ml_io_iface_t listener_iface;

/* Children share the socket: one of them is woken for a client. */
static apr_status_t watch(ml_listener_t *listener)
{
    return ml_io_add(&listener->io, listener->lane->loop, &listener_iface, listener->fd,
                     EPOLLIN | EPOLLEXCLUSIVE);
}

static void on_pause_over(ml_timer_t *timer, ml_loop_t *loop)
{
    ml_listener_t *listener = ML_OWNER(timer, ml_listener_t, pause);
    if (watch(listener) != APR_SUCCESS) {
        ml_timer_set(loop, timer, PAUSE_US);
    }
}

static void pause_listener(ml_listener_t *listener)
{
    ml_io_del(&listener->io);
    ml_timer_set(listener->lane->loop, &listener->pause, PAUSE_US);
}

/* Another loop's client that leaves is not heard of here: so the pause has an end in any case. */
static void wait_for_room(ml_listener_t *listener)
{
    listener->lane->full = true;
    pause_listener(listener);
}

void ml_listeners_retry(ml_lane_t *lane)
{
    lane->full = false;
    for (ml_listener_t *listener = lane->listeners; listener; listener = listener->next) {
        if (ml_timer_is_set(&listener->pause)) {
            ml_timer_set(lane->loop, &listener->pause, 0);
        }
    }
}

static void write_address(char text[ML_ADDRESS_BYTES], const struct sockaddr_storage *from)
{
    const void *bytes = from->ss_family == AF_INET6
                            ? (const void *)&((const struct sockaddr_in6 *)from)->sin6_addr
                            : (const void *)&((const struct sockaddr_in *)from)->sin_addr;
    const struct in6_addr *six = bytes;
    /* As httpd has it: an IPv4 client of an IPv6 socket is an IPv4 client. */
    if (from->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(six)) {
        inet_ntop(AF_INET, &six->s6_addr[12], text, ML_ADDRESS_BYTES);
    } else if (!inet_ntop(from->ss_family, bytes, text, ML_ADDRESS_BYTES)) {
        text[0] = '\0';
    }
}

static void welcome(ml_lane_t *lane, int fd, const struct sockaddr_storage *from)
{
    char address[ML_ADDRESS_BYTES];
    const ml_rules_t *rules = NULL;
    const void *place = lane->iface->arrived(lane->owner, fd, &rules);
    write_address(address, from);
    if (!place || !ml_client_begin(lane, fd, place, address, rules)) {
        ml_room_give(lane);
        close(fd);
    }
}

/* False when there is nobody, or nothing to take him with. */
static bool accept_one(ml_listener_t *listener)
{
    struct sockaddr_storage from;
    socklen_t from_n = sizeof(from);
    if (!ml_room_take(listener->lane)) {
        wait_for_room(listener);
        return false;
    }
    int fd = accept4(listener->fd, (struct sockaddr *)&from, &from_n, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        welcome(listener->lane, fd, &from);
        return true;
    }
    int error = errno;
    ml_room_give(listener->lane);
    if (ml_is_shortage(error)) {
        pause_listener(listener);
    }
    if (error == EINVAL) {
        ml_io_del(&listener->io); /* another process has ended it */
    }
    return error == ECONNABORTED || error == EINTR;
}

static void on_listener(ml_io_t *io, uint32_t events)
{
    ml_listener_t *listener = ML_OWNER(io, ml_listener_t, io);
    (void)events;
    for (int i = 0; i < ACCEPTS_MAX && accept_one(listener); i++) {
    }
}

static const ml_io_iface_t listener_iface = {.name = "listener", .ready = on_listener};

apr_status_t ml_lane_listen(ml_lane_t *lane, int fd)
{
    ml_listener_t *listener = calloc(1, sizeof(*listener));
    if (!listener) {
        return APR_ENOMEM;
    }
    *listener = (ml_listener_t){
        .lane = lane, .fd = fd, .pause.fire = on_pause_over, .next = lane->listeners};
    apr_status_t rv = watch(listener);
    if (rv != APR_SUCCESS) {
        free(listener);
        return rv;
    }
    lane->listeners = listener;
    return APR_SUCCESS;
}

void ml_listeners_stop(ml_lane_t *lane)
{
    while (lane->listeners) {
        ml_listener_t *listener = lane->listeners;
        lane->listeners = listener->next;
        ml_io_del(&listener->io);
        ml_timer_cancel(lane->loop, &listener->pause);
        free(listener);
    }
}
