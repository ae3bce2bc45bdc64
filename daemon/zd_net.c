/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns listening, accepting and connecting: whose connections there are, and how many strangers.
 */
#include "zd_net_int.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "zd_log.h"

enum {
    STRANGERS_MAX = 64, /* connections that have not proven themselves; then the oldest one goes */
    REFUSED_SAID_MS = 10000, /* between two lines of the log about that */
    ACCEPTS_MAX = 16,        /* in a row; then all else has its turn */
    ACCEPTS_PAUSE_MS = 1,
    BACKLOG = 128
};

/* --- those that there are --------------------------------------------------------------------- */

void zd_net_maybe_free(zd_net_t *net)
{
    if (net->closing && net->handles == 0 && !net->links) {
        net->closed(net->closed_baton);
        zd_names_clear(&net->names);
        free(net);
    }
}

void zd_net_known(zd_link_t *link)
{
    link->net->strangers -= link->stranger;
    link->stranger = false;
}

/* Whoever likes may be refused, and must not fill the disk with that. */
void zd_net_refuse(const zd_link_t *link, const char *why)
{
    zd_net_t *net = link->net;
    uint64_t now = uv_now(net->conf.loop);
    struct sockaddr_storage peer;
    int n = sizeof(peer);
    char host[INET6_ADDRSTRLEN] = "somebody";
    net->refused++;
    net->refused_all++;
    if (net->said_ms && now - net->said_ms < REFUSED_SAID_MS) {
        return;
    }
    if (uv_tcp_getpeername(&link->tcp, (struct sockaddr *)&peer, &n) == 0) {
        uv_ip_name((struct sockaddr *)&peer, host, sizeof(host));
    }
    zd_log("%u connection%s refused, the last one: %s: %s", net->refused,
           net->refused == 1 ? "" : "s", host, why);
    net->said_ms = now ? now : 1;
    net->refused = 0;
}

void zd_net_reach(const zd_link_t *link, const char *why)
{
    zd_net_t *net = link->net;
    char address[ZD_NET_ADDRESS_BYTES + 2];
    const char *end = link->host[0] == '[' ? "]" : ""; /* that was cut off */
    snprintf(address, sizeof(address), "%s%s:%s", link->host, end, link->port);
    if (net->closing || !zd_names_changed(&net->names, address, !why)) {
        return;
    }
    if (why) {
        zd_log("%s: cannot be reached: %s; it is tried again", address, why);
    } else {
        zd_log("%s: can be reached again", address);
    }
}

/* --- those that come ------------------------------------------------------------------------- */

/* The one that has been here longest without saying who it is. */
static void drop_stranger(zd_net_t *net)
{
    zd_link_t *oldest = NULL;
    for (zd_link_t *link = net->links; link; link = link->next) {
        oldest = link->stranger ? link : oldest;
    }
    if (oldest) {
        zd_link_close(oldest, "it has not said who it is, and others wait");
    }
}

static void came_one(uv_stream_t *listener, int status);

/* Those that have proved nothing yet are few, or they would use up our descriptors. One that cannot
 * be accepted later than it came has stopped the listener. */
static void accept_one(zd_net_t *net, zd_link_t *link)
{
    uv_stream_t *listener = (uv_stream_t *)&net->listener;
    link->stranger = true;
    net->strangers++;
    if (uv_accept(listener, (uv_stream_t *)&link->tcp) != 0) {
        zd_link_close(link, NULL);
        uv_listen(listener, BACKLOG, came_one);
        return;
    }
    zd_link_begin(link);
    if (net->strangers > STRANGERS_MAX) {
        drop_stranger(net);
    }
}

static void accept_later(uv_timer_t *timer)
{
    zd_net_t *net = timer->data;
    zd_link_t *link = zd_link_make(net, true);
    if (!link) {
        uv_timer_start(timer, accept_later, ZD_NET_HELLO_MS, 0);
        return;
    }
    net->accepts = 1;
    accept_one(net, link);
}

/* The loop calls this for as long as others wait: while a crowd comes faster than it is refused,
 * that does not end, and nothing is freed that was closed. One that is not accepted here stops the
 * listener until it is. */
static void came_one(uv_stream_t *listener, int status)
{
    zd_net_t *net = listener->data;
    if (status != 0) {
        return;
    }
    zd_link_t *link = net->accepts < ACCEPTS_MAX ? zd_link_make(net, true) : NULL;
    if (!link) {
        uv_timer_start(&net->later, accept_later, ACCEPTS_PAUSE_MS, 0);
        return;
    }
    net->accepts++;
    accept_one(net, link);
}

/* --- those that are made ---------------------------------------------------------------------- */

static void connected_tcp(uv_connect_t *request, int status)
{
    zd_link_t *link = request->data;
    if (status != 0) {
        zd_link_close(link, uv_strerror(status));
    } else if (!link->closing) {
        zd_link_begin(link);
    }
    zd_link_release(link);
}

/* Each connection looks its name up anew: what comes of that is said when it changes. */
static void say_lookup(zd_net_t *net, const char *name, int status)
{
    if (status == UV_ECANCELED || !zd_names_changed(&net->names, name, status == 0)) {
        return;
    }
    if (status == 0) {
        zd_log("%s: can be looked up again", name);
    } else {
        zd_log("%s: cannot be looked up: %s; it is tried again", name, uv_strerror(status));
    }
}

static void found(uv_getaddrinfo_t *request, int status, struct addrinfo *all)
{
    zd_link_t *link = request->data;
    int rv = status;
    say_lookup(link->net, link->host, status);
    link->found = status == 0;
    if (rv == 0 && !link->closing) {
        rv = uv_tcp_connect(&link->connecting, &link->tcp, all->ai_addr, connected_tcp);
        link->handles += rv == 0;
    }
    if (rv != 0) {
        zd_link_close(link, uv_strerror(rv));
    }
    uv_freeaddrinfo(all);
    zd_link_release(link);
}

/* HOST:PORT with an IPv6 address in brackets; cut in place. */
static char *cut(char *address, const char **port)
{
    char *colon = strrchr(address, ':');
    if (!colon) {
        return NULL;
    }
    *colon = '\0';
    *port = colon + 1;
    if (address[0] == '[' && colon[-1] == ']') {
        colon[-1] = '\0';
        return address + 1;
    }
    return address;
}

static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};

bool zd_net_connect(zd_net_t *net, zd_net_use_t use, const char *address,
                    zd_net_connected_fn *connected, void *baton)
{
    zd_link_t *link = net->closing ? NULL : zd_link_make(net, false);
    if (!link) {
        return false;
    }
    link->use = use;
    link->connected = connected;
    link->baton = baton;
    snprintf(link->host, sizeof(link->host), "%s", address);
    const char *host = cut(link->host, &link->port);
    int rv = host ? uv_getaddrinfo(net->conf.loop, &link->lookup, found, host, link->port, &hints)
                  : UV_EINVAL;
    if (rv != 0) {
        link->connected = NULL;
        zd_link_close(link, NULL);
        return false;
    }
    link->handles++;
    return true;
}

/* --- beginning and ending --------------------------------------------------------------------- */

static void own_closed(uv_handle_t *handle)
{
    zd_net_t *net = handle->data;
    net->handles--;
    zd_net_maybe_free(net);
}

static void forgotten(void *baton)
{
    (void)baton;
}

int zd_net_listen(uv_tcp_t *listener, const char *address, uv_connection_cb connected)
{
    char text[ZD_NET_ADDRESS_BYTES];
    const char *port;
    uv_getaddrinfo_t lookup;
    snprintf(text, sizeof(text), "%s", address);
    const char *host = cut(text, &port);
    int rv = host ? uv_getaddrinfo(listener->loop, &lookup, NULL, host, port, &hints) : UV_EINVAL;
    if (rv != 0) {
        return rv;
    }
    rv = uv_tcp_bind(listener, lookup.addrinfo->ai_addr, 0);
    uv_freeaddrinfo(lookup.addrinfo);
    return rv ? rv : uv_listen((uv_stream_t *)listener, BACKLOG, connected);
}

uint64_t zd_net_refused(const zd_net_t *net)
{
    return net->refused_all;
}

zd_net_t *zd_net_open(const zd_net_conf_t *conf, hap_diag_t *diag)
{
    zd_net_t *net = calloc(1, sizeof(*net));
    if (!net) {
        hap_diag_set(diag, 0, "no memory for connections");
        return NULL;
    }
    net->conf = *conf;
    uv_tcp_init(conf->loop, &net->listener);
    uv_timer_init(conf->loop, &net->later);
    net->listener.data = net->later.data = net;
    net->handles = 2;
    int rv = zd_net_listen(&net->listener, conf->bind, came_one);
    if (rv != 0) {
        hap_diag_set(diag, 0,
                     "%s: cannot be listened at: %s; it is this node's address in config.json, or "
                     "its bind",
                     conf->bind, uv_strerror(rv));
        zd_net_close(net, forgotten, NULL);
        return NULL;
    }
    return net;
}

void zd_net_number(zd_net_t *net, uint64_t number)
{
    net->conf.number = number;
}

void zd_net_close(zd_net_t *net, void (*closed)(void *baton), void *baton)
{
    net->closing = true;
    net->closed = closed;
    net->closed_baton = baton;
    for (zd_link_t *link = net->links; link; link = link->next) {
        zd_link_close(link, "this node ends");
    }
    uv_close((uv_handle_t *)&net->later, own_closed);
    uv_close((uv_handle_t *)&net->listener, own_closed);
}
