/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns TLS between daemons: version 1.3, with a key made of the cluster's secret on both sides (RFC
 * 8446 2.2, external PSK with ECDHE), and no certificates. Does not touch sockets: bytes come in
 * and go out.
 */
#ifndef ZD_TLS_H
#define ZD_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include "hap_diag.h"
#include "hap_str.h"

enum {
    ZD_TLS_SECRET_BYTES_MIN = 32, /* of the secret's text */
    ZD_TLS_BACKLOG_BYTES_MAX =
        4 << 20 /* that are to be sent; more than that is a peer that hangs */
};

/** What all connections of a daemon share. */
typedef struct zd_tls_ctx_t zd_tls_ctx_t;

/** Makes the key of the secret's text, less blanks around it; the caller wipes that. NULL with a
 * sentence, which never quotes the secret, when it is too short or libssl fails. */
zd_tls_ctx_t *zd_tls_ctx_make(hap_str_t secret, hap_diag_t *diag);
void zd_tls_ctx_free(zd_tls_ctx_t *ctx);

/** The cluster that this daemon belongs to, once it is known: who belongs to another one is
 * refused. Copies. */
void zd_tls_ctx_belongs(zd_tls_ctx_t *ctx, const char *uuid);

/** One end of a connection. */
typedef struct zd_tls_t zd_tls_t;

/** Begins; the client has something to send at once. `ctx` has to outlive it. NULL: no memory. */
zd_tls_t *zd_tls_open(zd_tls_ctx_t *ctx, bool server);
void zd_tls_free(zd_tls_t *tls);

/** What came from the other end. False when the connection has failed or is at its end; what can be
 * sent is still to be sent then. */
bool zd_tls_came(zd_tls_t *tls, const void *bytes, size_t n);

/** Whether the other end has proved that it knows the secret. Nothing can be read before. */
bool zd_tls_is_ready(const zd_tls_t *tls);

/** Takes up to `room` bytes of what the other end has said; 0: there is nothing now. */
size_t zd_tls_read(zd_tls_t *tls, void *plain, size_t room);

/** Says something to the other end, before it is ready too. False as zd_tls_came. */
bool zd_tls_write(zd_tls_t *tls, const void *plain, size_t n);

/** Takes up to `room` bytes that are to be sent; 0: there is nothing now. */
size_t zd_tls_send(zd_tls_t *tls, void *bytes, size_t room);

/** Why it has failed; NULL when it has not, or the other end has closed it. Borrows. */
const char *zd_tls_why(const zd_tls_t *tls);

#endif
