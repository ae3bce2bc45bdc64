/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns connections between daemons: TCP, a name that is looked up anew for each of them, TLS, and
 * who is at the other end. Behind that a connection is a stream of the loop, in plain bytes. Does
 * not know what goes over it.
 */
#ifndef ZD_NET_H
#define ZD_NET_H

#include <stdint.h>

#include <uv.h>

#include "zd_tls.h"

enum {
    ZD_NET_ADDRESS_BYTES = 262, /* HOST:PORT and a NUL */
    ZD_NET_CONNECT_MS = 1500,   /* to be connected at all; who is not tries again */
    ZD_NET_HELLO_MS = 5000      /* to prove oneself, and say who one is */
};

typedef struct zd_net_t zd_net_t;

/** What a connection is for. */
typedef enum zd_net_use_t {
    ZD_NET_RAFT, /* the engine's messages */
    ZD_NET_TALK, /* beats, answers and questions: zd_talk */
    ZD_NET_USES
} zd_net_use_t;

/** Somebody who knows the secret has connected. `stream` is the receiver's: to be closed with
 * uv_close, and then freed with free(). `address` is borrowed until the return. */
typedef void zd_net_accepted_fn(void *baton, zd_net_use_t use, uint64_t number, const char *address,
                                uv_stream_t *stream);

/** A connection is there, or is not: `stream` is NULL then, and `why` says why. */
typedef void zd_net_connected_fn(void *baton, uv_stream_t *stream, const char *why);

/** What a daemon's connections have in common. Texts are borrowed for its life. */
typedef struct zd_net_conf_t {
    uv_loop_t *loop;
    zd_tls_ctx_t *tls;
    uint64_t number;     /* this node's, in the engine; 0: it has none */
    const char *address; /* at which others reach it */
    const char *bind;    /* HOST:PORT to listen at */
    zd_net_accepted_fn *accepted;
    void *baton;
} zd_net_conf_t;

/** Listens. NULL with a sentence when it cannot. */
zd_net_t *zd_net_open(const zd_net_conf_t *conf, hap_diag_t *diag);

/** This node's number, when it was not known at the beginning. */
void zd_net_number(zd_net_t *net, uint64_t number);

/** Listens at HOST:PORT, with a handle that was initialised. 0, or an error of libuv's. */
int zd_net_listen(uv_tcp_t *listener, const char *address, uv_connection_cb connected);

/** How many connections have not proven themselves since it was opened. */
uint64_t zd_net_refused(const zd_net_t *net);

/** Connects to HOST:PORT; `connected` is called later, once. False: there is no memory. */
bool zd_net_connect(zd_net_t *net, zd_net_use_t use, const char *address,
                    zd_net_connected_fn *connected, void *baton);

/** Ends: connections that are not there yet fail, others break. `closed` is called when all is
 * freed. */
void zd_net_close(zd_net_t *net, void (*closed)(void *baton), void *baton);

#endif
