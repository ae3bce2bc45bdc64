/* SPDX-License-Identifier: Apache-2.0 */
/* Owns looking up and connecting, as steps. */
#include "hapstore_reach.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <apr_errno.h>

#include "hapstore_time.h"

enum {
    LOOK_EVERY_MS = 5, /* while somebody waits for the name */
    LOOK_IDLE_MS = 50
};

static hapstore_reach_state_t fail(hapstore_reach_t *reach, const char *why)
{
    hapstore_reach_close(reach);
    snprintf(reach->why, sizeof(reach->why), "%s", why);
    return reach->state = HAPSTORE_REACH_DOWN;
}

/* --- its name --------------------------------------------------------------------------------- */

static hapstore_reach_state_t look_again_later(hapstore_reach_t *reach)
{
    int after_ms = reach->hurry ? LOOK_EVERY_MS : LOOK_IDLE_MS;
    hapstore_tell_due(reach->asker, hapstore_now_ms() + after_ms);
    return reach->state = HAPSTORE_REACH_LOOKING;
}

static hapstore_reach_state_t begin_lookup(hapstore_reach_t *reach)
{
    reach->lookup = hapstore_lookup_begin(reach->where->host);
    return reach->lookup ? look_again_later(reach) : fail(reach, "its name cannot be looked up");
}

static hapstore_reach_state_t connect_next(hapstore_reach_t *reach, int error);

/* Where it was last is still the best guess when nothing was found. */
static hapstore_reach_state_t end_lookup(hapstore_reach_t *reach)
{
    hapstore_addresses_t found;
    if (!hapstore_lookup_ended(reach->lookup, &found, reach->where->port)) {
        return look_again_later(reach);
    }
    hapstore_lookup_free(reach->lookup);
    reach->lookup = NULL;
    if (found.n) {
        reach->addresses = found;
        reach->address_at = 0;
    }
    if (reach->addresses.n == 0) {
        return fail(reach, "its name has no address");
    }
    reach->addresses_left = reach->addresses.n;
    return connect_next(reach, 0);
}

/* --- its addresses ---------------------------------------------------------------------------- */

static bool connect_to(hapstore_reach_t *reach, unsigned i)
{
    const hapstore_addresses_t *to = &reach->addresses;
    int one = 1;
    reach->fd =
        socket(to->at[i].ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    if (reach->fd < 0) {
        return false;
    }
    setsockopt(reach->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(reach->fd, (const struct sockaddr *)&to->at[i], to->n_of[i]) != 0 &&
        errno != EINPROGRESS) {
        return false;
    }
    return hapstore_tell_watch(reach->asker, reach->fd, EPOLLIN | EPOLLOUT, false);
}

static hapstore_reach_state_t fail_by(hapstore_reach_t *reach, int error)
{
    char why[HAPSTORE_REACH_WHY_BYTES];
    reach->astray = true;
    if (error == ETIMEDOUT) {
        snprintf(why, sizeof(why), "no connection within %d ms", reach->connect_ms);
    } else if (error == ECONNREFUSED || error == 0) {
        snprintf(why, sizeof(why), "no connection");
    } else {
        apr_strerror(error, why, sizeof(why));
    }
    return fail(reach, why);
}

/* To the address that was good last, then to the others. `error`: of the one before. */
static hapstore_reach_state_t connect_next(hapstore_reach_t *reach, int error)
{
    while (reach->addresses_left) {
        reach->addresses_left--;
        if (connect_to(reach, reach->address_at)) {
            reach->until_ms = hapstore_now_ms() + reach->connect_ms;
            hapstore_tell_due(reach->asker, reach->until_ms);
            return reach->state = HAPSTORE_REACH_CONNECTING;
        }
        error = errno;
        hapstore_reach_close(reach);
        reach->address_at = (reach->address_at + 1) % reach->addresses.n;
    }
    return fail_by(reach, error);
}

static hapstore_reach_state_t connect_failed(hapstore_reach_t *reach, int error)
{
    hapstore_reach_close(reach);
    reach->address_at = (reach->address_at + 1) % reach->addresses.n;
    return connect_next(reach, error);
}

/* What made it ready may have been the end of another connection, in the same turn. */
static bool is_connected(int fd)
{
    struct sockaddr_storage peer;
    socklen_t n = sizeof(peer);
    return getpeername(fd, (struct sockaddr *)&peer, &n) == 0;
}

static hapstore_reach_state_t end_connect(hapstore_reach_t *reach)
{
    int error = 0;
    socklen_t n = sizeof(error);
    if (getsockopt(reach->fd, SOL_SOCKET, SO_ERROR, &error, &n) != 0 || error != 0) {
        return connect_failed(reach, error);
    }
    if (is_connected(reach->fd)) {
        reach->astray = false;
        return reach->state = HAPSTORE_REACH_UP;
    }
    if (hapstore_now_ms() >= reach->until_ms) {
        return connect_failed(reach, ETIMEDOUT);
    }
    hapstore_tell_due(reach->asker, reach->until_ms);
    return HAPSTORE_REACH_CONNECTING;
}

/* --- the steps -------------------------------------------------------------------------------- */

hapstore_reach_state_t hapstore_reach_go(hapstore_reach_t *reach)
{
    switch (reach->state) {
    case HAPSTORE_REACH_DOWN:
        if (!reach->digits && (reach->astray || reach->addresses.n == 0)) {
            return begin_lookup(reach);
        }
        reach->addresses_left = reach->addresses.n;
        return connect_next(reach, 0);
    case HAPSTORE_REACH_LOOKING:
        return end_lookup(reach);
    case HAPSTORE_REACH_CONNECTING:
        return end_connect(reach);
    case HAPSTORE_REACH_UP:
        break;
    }
    return HAPSTORE_REACH_UP;
}

void hapstore_reach_close(hapstore_reach_t *reach)
{
    if (reach->fd >= 0) {
        close(reach->fd);
        reach->fd = -1;
    }
    if (reach->state != HAPSTORE_REACH_LOOKING) {
        reach->state = HAPSTORE_REACH_DOWN;
    }
}

void hapstore_reach_init(hapstore_reach_t *reach, hapstore_asker_t *asker,
                         const hap_zone_node_t *where, int connect_ms)
{
    *reach = (hapstore_reach_t){.asker = asker, .where = where, .connect_ms = connect_ms, .fd = -1};
    reach->digits = hapstore_lookup_digits(&reach->addresses, where->host, where->port);
    if (!reach->digits) {
        begin_lookup(reach);
    }
}

void hapstore_reach_end(hapstore_reach_t *reach)
{
    hapstore_reach_close(reach);
    hapstore_lookup_free(reach->lookup);
}
