/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the servers of the prober's tests. */
#include "probe_server.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

static void count(unsigned *counter)
{
    __atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
}

static int listen_unix(server_t *server)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", server->path);
    unlink(server->path);
    server->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool bound = bind(server->listener, (struct sockaddr *)&sun, sizeof(sun)) == 0;
    return bound && listen(server->listener, 64) == 0 ? 0 : errno;
}

static int listen_loopback(server_t *server)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sin);
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(server->listener, (struct sockaddr *)&sin, sizeof(sin)) < 0 ||
        listen(server->listener, 64) < 0 ||
        getsockname(server->listener, (struct sockaddr *)&sin, &len) < 0) {
        return errno;
    }
    server->port = ntohs(sin.sin_port);
    return 0;
}

uint16_t server_refused_port(void)
{
    server_t server = {0};
    listen_loopback(&server);
    close(server.listener);
    return server.port;
}

static void drop(struct conn_t *conn)
{
    close(conn->fd);
    conn->fd = -1;
}

static bool peer_is_there(const struct conn_t *conn)
{
    struct pollfd pfd = {.fd = conn->fd, .events = POLLRDHUP};
    return conn->fd >= 0 && poll(&pfd, 1, 0) == 0;
}

static void take_connection(server_t *server)
{
    int fd = accept4(server->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        return;
    }
    count(&server->connections);
    struct conn_t *unused = NULL;
    for (int i = 0; i < SERVER_CONNS; i++) {
        struct conn_t *conn = &server->conns[i];
        if (peer_is_there(conn)) {
            count(&server->overlaps);
        } else if (conn->fd < 0) {
            unused = conn;
        }
    }
    if (!unused) {
        close(fd);
        return;
    }
    *unused = (struct conn_t){.fd = fd};
    if (server->mode == SERVER_GREET) {
        unused->left = server->answer;
    }
}

static server_mode_t mode_now(server_t *server)
{
    static const server_mode_t some[] = {SERVER_ANSWER, SERVER_ANSWER, SERVER_HANG, SERVER_CLOSE,
                                         SERVER_ANSWER_CLOSE};
    if (server->mode == SERVER_SICK) {
        unsigned request = __atomic_load_n(&server->requests, __ATOMIC_RELAXED) + 1;
        return request >= 3 && request <= 5 ? SERVER_HANG : SERVER_ANSWER;
    }
    if (server->mode != SERVER_RANDOM) {
        return server->mode;
    }
    server->seed = server->seed * 6364136223846793005U + 1442695040888963407U;
    return some[(server->seed >> 33) % 5];
}

static void on_request(server_t *server, struct conn_t *conn)
{
    server_mode_t mode = mode_now(server);
    count(&server->requests);
    conn->seen++;
    if (mode == SERVER_CLOSE || (mode == SERVER_CLOSE_SECOND && conn->seen == 2)) {
        drop(conn);
        return;
    }
    if (mode == SERVER_HANG) {
        return;
    }
    conn->left = server->answer;
    if (mode == SERVER_ANSWER_CLOSE) {
        (void)!write(conn->fd, conn->left, strlen(conn->left));
        drop(conn);
    }
}

static void read_request(server_t *server, struct conn_t *conn)
{
    static const char end[] = "\r\n\r\n";
    char data[4096];
    ssize_t n = read(conn->fd, data, sizeof(data));
    if (n <= 0) {
        drop(conn);
        return;
    }
    for (ssize_t i = 0; i < n && conn->fd >= 0; i++) {
        conn->matched = data[i] == end[conn->matched] ? conn->matched + 1 : data[i] == '\r';
        if (conn->matched == 4) {
            conn->matched = 0;
            on_request(server, conn);
        }
    }
}

static void write_answer(server_t *server, struct conn_t *conn)
{
    size_t n = server->mode == SERVER_SLOW ? 1 : strlen(conn->left);
    ssize_t sent = send(conn->fd, conn->left, n, MSG_NOSIGNAL);
    if (sent < 0) {
        drop(conn);
        return;
    }
    conn->left += sent;
    if (*conn->left == '\0') {
        conn->left = server->mode == SERVER_REPEAT ? server->repeat : NULL;
    }
}

static void serve_conn(server_t *server, struct conn_t *conn, short events)
{
    if (conn->fd >= 0 && (events & (POLLIN | POLLHUP | POLLERR))) {
        read_request(server, conn);
    }
    if (conn->fd >= 0 && (events & POLLOUT) && conn->left) {
        write_answer(server, conn);
    }
}

static void *serve(void *data)
{
    enum { STOP = SERVER_CONNS, LISTENER };
    server_t *server = data;
    struct pollfd fds[SERVER_CONNS + 2];
    for (;;) {
        for (int i = 0; i < SERVER_CONNS; i++) {
            short out = server->conns[i].left ? POLLOUT : 0;
            fds[i] = (struct pollfd){.fd = server->conns[i].fd, .events = POLLIN | out};
        }
        fds[STOP] = (struct pollfd){.fd = server->stop, .events = POLLIN};
        fds[LISTENER] = (struct pollfd){.fd = server->mode == SERVER_DEAF ? -1 : server->listener,
                                        .events = POLLIN};
        if (poll(fds, SERVER_CONNS + 2, -1) < 0 || fds[STOP].revents) {
            return NULL;
        }
        for (int i = 0; i < SERVER_CONNS; i++) {
            serve_conn(server, &server->conns[i], fds[i].revents);
        }
        if (fds[LISTENER].revents) {
            take_connection(server);
        }
    }
}

static int start(server_t *server, void *(*run)(void *))
{
    int rv = server->path ? listen_unix(server) : listen_loopback(server);
    server->stop = eventfd(0, EFD_CLOEXEC);
    for (int i = 0; i < SERVER_CONNS; i++) {
        server->conns[i].fd = -1;
    }
    return rv ? rv : pthread_create(&server->thread, NULL, run, server);
}

int server_start(server_t *server)
{
    return start(server, serve);
}

/* --- TLS ---------------------------------------------------------------------------------------
 */

static bool readable(server_t *server, int fd)
{
    struct pollfd fds[] = {{.fd = fd, .events = POLLIN}, {.fd = server->stop, .events = POLLIN}};
    return poll(fds, 2, -1) > 0 && !fds[1].revents;
}

static void serve_tls_conn(server_t *server, int fd)
{
    char data[4096];
    SSL *ssl = SSL_new(server->ctx);
    SSL_set_fd(ssl, fd);
    bool good = readable(server, fd) && SSL_accept(ssl) == 1;
    while (good && (SSL_pending(ssl) || readable(server, fd)) &&
           SSL_read(ssl, data, sizeof(data)) > 0) {
        count(&server->requests);
        good = SSL_write(ssl, server->answer, (int)strlen(server->answer)) > 0;
    }
    SSL_free(ssl);
    close(fd);
}

static void *serve_tls(void *data)
{
    server_t *server = data;
    while (readable(server, server->listener)) {
        int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) {
            count(&server->connections);
            serve_tls_conn(server, fd);
        }
    }
    return NULL;
}

static SSL_CTX *self_made(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_NAME *name = X509_get_subject_name(cert);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1, 0);
    X509_set_issuer_name(cert, name);
    X509_set_pubkey(cert, key);
    X509_sign(cert, key, EVP_sha256());
    SSL_CTX_use_certificate(ctx, cert);
    SSL_CTX_use_PrivateKey(ctx, key);
    X509_free(cert);
    EVP_PKEY_free(key);
    return ctx;
}

int server_start_tls(server_t *server)
{
    server->ctx = self_made();
    return start(server, serve_tls);
}

void server_stop(server_t *server)
{
    uint64_t one = 1;
    (void)!write(server->stop, &one, sizeof(one));
    pthread_join(server->thread, NULL);
    for (int i = 0; i < SERVER_CONNS; i++) {
        if (server->conns[i].fd >= 0) {
            close(server->conns[i].fd);
        }
    }
    close(server->listener);
    close(server->stop);
    SSL_CTX_free(server->ctx);
    if (server->path) {
        unlink(server->path);
    }
}
