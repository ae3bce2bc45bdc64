/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns connections from clients: their threads, buffers, and the list of all that are open. Does
 * not know HTTP.
 */
#ifndef APP_CONN_H
#define APP_CONN_H

#include <openssl/ssl.h>

#include "appd.h"

enum { APP_OUT_BYTES = 16384, APP_IN_MAX_BYTES = 65536 };

/** One connection; everything belongs to its thread unless said otherwise. */
typedef struct app_conn_t {
    int fd;                  /* the socket, closed by the thread after it left the list */
    SSL *ssl;                /* NULL on a plain-text connection */
    char *in;                /* bytes read and not yet used: in[in_at] up to in[in_end] */
    size_t in_cap;           /* bytes allocated at `in` */
    size_t in_at;            /* first unused byte */
    size_t in_end;           /* one past the last byte read */
    size_t out_n;            /* bytes waiting in `out` */
    bool served;             /* it has carried a request */
    bool idle;               /* guard: list; waits for a next request */
    struct app_conn_t *next; /* guard: list */
    struct app_conn_t *prev; /* guard: list */
    char out[APP_OUT_BYTES]; /* bytes not yet written */
} app_conn_t;

/** Carries one connection: returns when it is to be closed. */
typedef void app_conn_serve_t(app_conn_t *conn);

/** Starts a thread for the socket, with TLS when `tls` is not NULL. Takes `fd` in any case. */
void app_conn_start(int fd, SSL_CTX *tls, app_conn_serve_t *serve);

/** Closes the connections that wait for a next request; how many they were. Any thread. */
size_t app_conn_close_idle(void);

/** Connections that are open, and all there have been. Any thread. */
size_t app_conn_open(void);
size_t app_conn_total(void);

/** Everything is written in pieces of so many bytes, each a moment after the other; 0 ends it. Any
 * thread. */
void app_conn_pieces(size_t bytes);

/** What was read and is not yet used. Borrows until the next fill. */
app_text_t app_conn_input(const app_conn_t *conn);

/** Marks n bytes of the input as used. */
void app_conn_use(app_conn_t *conn, size_t n);

/** Writes what waits, then reads more input. False at the end, on errors, and beyond the limit. */
bool app_conn_fill(app_conn_t *conn);

/** As app_conn_fill, but counts as idle meanwhile when it has served before. */
bool app_conn_fill_idle(app_conn_t *conn);

/**
 * Puts bytes behind those that wait. Writes only when they do not fit, and then all but the last
 * few. False on errors.
 */
bool app_conn_put(app_conn_t *conn, const void *p, size_t n);

/** Writes what waits. False on errors. */
bool app_conn_flush(app_conn_t *conn);

/** Writes what waits, then makes the coming close a reset. */
void app_conn_reset(app_conn_t *conn);

/** Ends our side and reads on for a moment, so that an error answer is not lost in a reset. */
void app_conn_linger(app_conn_t *conn);

#endif
