/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the system calls and the TLS calls of a stream to a member. */
#include "ml_wire.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

SSL_CTX *ml_wire_ctx(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (!ctx) {
        ERR_clear_error();
        return NULL;
    }
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return ctx;
}

ml_flow_t ml_wire_connect(ml_wire_t *wire, int *error, const ml_addr_t *addr)
{
    int family = addr->sa.ss_family;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        *error = errno;
        return ML_FLOW_FAILED;
    }
    if (family != AF_UNIX) {
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    }
    ml_flow_t flow = ML_FLOW_OK;
    int rv = ml_addr_connect(fd, addr);
    if (rv == EINPROGRESS) {
        flow = ML_FLOW_WRITE;
    } else if (rv != 0) {
        *error = rv;
        close(fd);
        return ML_FLOW_FAILED;
    }
    *wire = (ml_wire_t){.fd = fd};
    return flow;
}

ml_flow_t ml_wire_connected(const ml_wire_t *wire, int *error)
{
    int pending = 0;
    socklen_t len = sizeof(pending);
    if (getsockopt(wire->fd, SOL_SOCKET, SO_ERROR, &pending, &len) < 0) {
        pending = errno;
    }
    if (pending == 0) {
        return ML_FLOW_OK;
    }
    *error = pending;
    return ML_FLOW_FAILED;
}

ml_flow_t ml_wire_tls(ml_wire_t *wire, SSL_CTX *ctx, const char *sni)
{
    SSL *ssl = ctx ? SSL_new(ctx) : NULL;
    if (!ssl || SSL_set_fd(ssl, wire->fd) != 1 ||
        (sni && SSL_set_tlsext_host_name(ssl, sni) != 1)) {
        SSL_free(ssl);
        ERR_clear_error();
        return ML_FLOW_FAILED;
    }
    SSL_set_connect_state(ssl);
    wire->ssl = ssl;
    return ML_FLOW_OK;
}

static ml_flow_t tls_flow(const ml_wire_t *wire, int result)
{
    switch (SSL_get_error(wire->ssl, result)) {
    case SSL_ERROR_NONE:
        return ML_FLOW_OK;
    case SSL_ERROR_WANT_READ:
        return ML_FLOW_READ;
    case SSL_ERROR_WANT_WRITE:
        return ML_FLOW_WRITE;
    case SSL_ERROR_ZERO_RETURN:
        return ML_FLOW_CLOSED;
    default:
        ERR_clear_error();
        return ML_FLOW_FAILED;
    }
}

ml_flow_t ml_wire_handshake(ml_wire_t *wire)
{
    ERR_clear_error();
    return tls_flow(wire, SSL_do_handshake(wire->ssl));
}

static ml_flow_t socket_flow(ssize_t result, ml_flow_t again)
{
    if (result > 0) {
        return ML_FLOW_OK;
    }
    if (result == 0) {
        return ML_FLOW_CLOSED;
    }
    return errno == EAGAIN || errno == EINTR ? again : ML_FLOW_FAILED;
}

static int int_size(size_t n)
{
    return n < INT_MAX ? (int)n : INT_MAX;
}

ml_flow_t ml_wire_send(ml_wire_t *wire, size_t *sent, const char *data, size_t n)
{
    ssize_t result;
    ml_flow_t flow;
    if (wire->ssl) {
        ERR_clear_error();
        result = SSL_write(wire->ssl, data, int_size(n));
        flow = tls_flow(wire, (int)result);
    } else {
        result = send(wire->fd, data, n, MSG_NOSIGNAL);
        flow = socket_flow(result, ML_FLOW_WRITE);
    }
    if (flow == ML_FLOW_OK) {
        *sent = (size_t)result;
    }
    return flow;
}

ml_flow_t ml_wire_recv(ml_wire_t *wire, size_t *got, char *data, size_t n)
{
    ssize_t result;
    ml_flow_t flow;
    if (wire->ssl) {
        ERR_clear_error();
        result = SSL_read(wire->ssl, data, int_size(n));
        flow = tls_flow(wire, (int)result);
    } else {
        result = recv(wire->fd, data, n, 0);
        flow = socket_flow(result, ML_FLOW_READ);
    }
    if (flow == ML_FLOW_OK) {
        *got = (size_t)result;
    }
    return flow;
}

bool ml_wire_quiet(const ml_wire_t *wire)
{
    return !wire->ssl || SSL_pending(wire->ssl) == 0;
}

void ml_wire_close(ml_wire_t *wire)
{
    if (wire->ssl) {
        /* Only told, not awaited: a member's log should not show a broken stream. */
        if (SSL_is_init_finished(wire->ssl)) {
            SSL_shutdown(wire->ssl);
        }
        SSL_free(wire->ssl);
        ERR_clear_error();
    }
    if (wire->fd >= 0) {
        close(wire->fd);
    }
    *wire = (ml_wire_t){.fd = -1};
}
