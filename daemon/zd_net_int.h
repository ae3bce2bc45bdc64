/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what the two halves of connections share: zd_net.c, which listens, looks names up and knows
 * them all, and zd_link.c, which is about one of them. For these two alone.
 */
#ifndef ZD_NET_INT_H
#define ZD_NET_INT_H

#include "zd_names.h"
#include "zd_net.h"

enum { ZD_LINK_PIECE_BYTES = 16 << 10, ZD_LINK_HELLO_BYTES_MAX = 320 };

typedef struct zd_link_t zd_link_t;

struct zd_net_t {
    zd_net_conf_t conf;
    uv_tcp_t listener;
    uv_timer_t later; /* when the next one is accepted that waits */
    unsigned accepts; /* in a row, so far */
    zd_link_t *links;
    unsigned strangers;
    unsigned handles; /* that are not closed yet */
    unsigned refused; /* since the last line about it */
    uint64_t refused_all;
    uint64_t said_ms; /* the loop's time of that; 0: never */
    zd_names_t names;
    void (*closed)(void *baton);
    void *closed_baton;
    bool closing;
};

/** One connection: the socket with TLS on it, and a pair of sockets of which the user has the other
 * end. */
struct zd_link_t {
    zd_net_t *net;
    zd_link_t *next;
    zd_link_t **at;
    uv_tcp_t tcp;
    uv_timer_t timer;
    uv_pipe_t inner; /* our end of the pair */
    uv_getaddrinfo_t lookup;
    uv_connect_t connecting;
    zd_tls_t *tls;
    unsigned handles; /* open, and requests that lead back here */
    zd_net_use_t use;
    bool server;
    bool open; /* the user has its end */
    bool closing;
    bool stranger; /* counted as one */
    bool found;    /* its name has an address */
    char host[ZD_NET_ADDRESS_BYTES];
    const char *port; /* in host */
    char hello[ZD_LINK_HELLO_BYTES_MAX];
    size_t hello_n;
    zd_net_connected_fn *connected; /* NULL: it was called */
    void *baton;
    char piece[ZD_LINK_PIECE_BYTES];
};

/** One that has no socket yet, of this node or, as a `server`, of another one. NULL: there is no
 * memory. */
zd_link_t *zd_link_make(zd_net_t *net, bool server);

/** Its socket is connected: it proves itself, and is opened for its user. */
void zd_link_begin(zd_link_t *link);

/** It ends, if it has not. `why` is told to who waits for it; NULL: the other end has closed it. */
void zd_link_close(zd_link_t *link, const char *why);

/** A handle is closed, or a request that leads to it has ended: the last one frees it. */
void zd_link_release(zd_link_t *link);

/** It is no stranger any more. */
void zd_net_known(zd_link_t *link);

/** One has not proven itself. */
void zd_net_refuse(const zd_link_t *link, const char *why);

/** This node has got through to another one, or not: `why` says so then. */
void zd_net_reach(const zd_link_t *link, const char *why);

/** Frees it once it is closing and all that belongs to it is closed. */
void zd_net_maybe_free(zd_net_t *net);

#endif
