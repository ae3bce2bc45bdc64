/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns one non-blocking byte stream to a member: TCP or Unix-domain, plain or TLS. Does not wait:
 * every call says what to wait for, and the caller watches `fd`.
 */
#ifndef ML_WIRE_H
#define ML_WIRE_H

#include <stddef.h>

#include <openssl/types.h>

#include <apr_errno.h>

#include "ml_resolve.h"

/** What came of a call. */
typedef enum ml_flow_t {
    ML_FLOW_OK,     /* done, or some bytes moved */
    ML_FLOW_READ,   /* call again when readable */
    ML_FLOW_WRITE,  /* call again when writable */
    ML_FLOW_CLOSED, /* the other side closed in order */
    ML_FLOW_FAILED  /* of no more use but to be closed */
} ml_flow_t;

/** A stream. {.fd = -1} is one that is closed. Loop thread only. */
typedef struct ml_wire_t {
    int fd;   /* owned */
    SSL *ssl; /* owned; NULL: plain */
} ml_wire_t;

/** The TLS settings of a client that verifies nothing, as mod_ssl does towards members. NULL on
 * failure. Free with SSL_CTX_free. */
SSL_CTX *ml_wire_ctx(void);

/** Begins to connect; OK, WRITE, or FAILED with the errno in `error`. */
ml_flow_t ml_wire_connect(ml_wire_t *wire, int *error, const ml_addr_t *addr);

/** The connect that waited for WRITE: OK, or FAILED with the errno in `error`. */
ml_flow_t ml_wire_connected(const ml_wire_t *wire, int *error);

/** Puts TLS on a connected stream; `sni` may be NULL. OK or FAILED. */
ml_flow_t ml_wire_tls(ml_wire_t *wire, SSL_CTX *ctx, const char *sni);

/** The TLS handshake: OK, READ, WRITE or FAILED. */
ml_flow_t ml_wire_handshake(ml_wire_t *wire);

/** Sends; OK with how many in `sent`. */
ml_flow_t ml_wire_send(ml_wire_t *wire, size_t *sent, const char *data, size_t n);

/** Receives up to n > 0 bytes; OK with how many in `got`. */
ml_flow_t ml_wire_recv(ml_wire_t *wire, size_t *got, char *data, size_t n);

/** Nothing received is waiting inside of it, where watching the descriptor does not show it. */
bool ml_wire_quiet(const ml_wire_t *wire);

/** Closes; nothing if it is closed. Before it the descriptor leaves the loop. */
void ml_wire_close(ml_wire_t *wire);

#endif
