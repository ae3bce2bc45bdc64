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
    ml_io_t io; /* not registered while the lane pauses, or when the socket has ended */
    bool ended;
    ml_listener_t *next;
};

static const ml_io_iface_t listener_iface;
static const ml_io_iface_t nudge_iface;

static apr_status_t watch(ml_io_t *io, ml_lane_t *lane, const ml_io_iface_t *iface, int fd)
{
    return io->loop ? APR_SUCCESS : ml_io_add(io, lane->loop, iface, fd, EPOLLIN | EPOLLEXCLUSIVE);
}

static apr_status_t watch_all(ml_lane_t *lane)
{
    apr_status_t rv = watch(&lane->nudge, lane, &nudge_iface, lane->nudge_fd);
    ml_listener_t *listener = lane->listeners;
    for (; listener && rv == APR_SUCCESS; listener = listener->next) {
        if (!listener->ended) {
            rv = watch(&listener->io, lane, &listener_iface, listener->fd);
        }
    }
    return rv;
}

static void watch_none(ml_lane_t *lane)
{
    ml_io_del(&lane->nudge);
    for (ml_listener_t *listener = lane->listeners; listener; listener = listener->next) {
        ml_io_del(&listener->io);
    }
}

/*
 * Of all loops of all children that watch a socket the system wakes one for a client, and no other
 * if that one does not accept him. So who cannot watches no more and has another one woken, which
 * does the same: whoever has room is found at once. When nobody has, the client waits until the
 * first who begins again to watch, which finds him there: within PAUSE_US of having room.
 */
static void leave_to_others(ml_lane_t *lane)
{
    watch_none(lane);
    ml_eventfd_wake(lane->nudge_fd);
}

static void pause_all(ml_lane_t *lane)
{
    leave_to_others(lane);
    ml_timer_set(lane->loop, &lane->pause, PAUSE_US);
}

static void on_pause_over(ml_timer_t *timer, ml_loop_t *loop)
{
    ml_lane_t *lane = ML_OWNER(timer, ml_lane_t, pause);
    (void)loop;
    if (watch_all(lane) != APR_SUCCESS) {
        pause_all(lane);
    }
}

/* Another loop's client that leaves is not heard of here: so the pause has an end in any case. */
static void wait_for_room(ml_lane_t *lane)
{
    lane->full = true;
    pause_all(lane);
}

void ml_listeners_retry(ml_lane_t *lane)
{
    lane->full = false;
    if (ml_timer_is_set(&lane->pause)) {
        ml_timer_set(lane->loop, &lane->pause, 0);
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
        wait_for_room(listener->lane);
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
        pause_all(listener->lane);
    }
    if (error == EINVAL) {
        ml_io_del(&listener->io); /* another process has ended it */
        listener->ended = true;
    }
    return error == ECONNABORTED || error == EINTR;
}

static void accept_some(ml_listener_t *listener)
{
    for (int i = 0; i < ACCEPTS_MAX && accept_one(listener); i++) {
    }
}

static void on_listener(ml_io_t *io, uint32_t events)
{
    (void)events;
    accept_some(ML_OWNER(io, ml_listener_t, io));
}

static const ml_io_iface_t listener_iface = {.name = "listener", .ready = on_listener};

/* Another loop could not take somebody; it does not say at which address. */
static void on_nudge(ml_io_t *io, uint32_t events)
{
    uint64_t count;
    ml_lane_t *lane = ML_OWNER(io, ml_lane_t, nudge);
    ml_listener_t *listener = lane->listeners;
    (void)events;
    if (read(io->fd, &count, sizeof(count)) < 0) {
        return; /* a third one was faster */
    }
    for (; listener && !ml_timer_is_set(&lane->pause); listener = listener->next) {
        if (!listener->ended) {
            accept_some(listener);
        }
    }
}

static const ml_io_iface_t nudge_iface = {.name = "nudge", .ready = on_nudge};

apr_status_t ml_lane_listen(ml_lane_t *lane, int fd, int nudge_fd)
{
    ml_listener_t *listener = calloc(1, sizeof(*listener));
    if (!listener) {
        return APR_ENOMEM;
    }
    *listener = (ml_listener_t){.lane = lane, .fd = fd, .next = lane->listeners};
    lane->listeners = listener;
    lane->nudge_fd = nudge_fd;
    lane->pause.fire = on_pause_over;
    return watch_all(lane);
}

void ml_listeners_stop(ml_lane_t *lane)
{
    if (!lane->listeners) {
        return;
    }
    leave_to_others(lane);
    ml_timer_cancel(lane->loop, &lane->pause);
    while (lane->listeners) {
        ml_listener_t *listener = lane->listeners;
        lane->listeners = listener->next;
        free(listener);
    }
}
