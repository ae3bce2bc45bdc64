/* SPDX-License-Identifier: Apache-2.0 */
/* Owns connections from clients, a thread for each. Does not know HTTP. */
#include "app_conn.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/sockios.h>

enum {
    STACK_BYTES = 512 * 1024,
    IN_FIRST_BYTES = 4096,
    TAIL_BYTES = 1024,
    LINGER_MS = 500,
    DRAIN_TRIES = 50,
    PIECE_MS = 1,
};

/** What a new thread needs to know. */
typedef struct start_t {
    app_conn_t *conn;        /* its connection */
    SSL_CTX *tls;            /* NULL for plain text */
    app_conn_serve_t *serve; /* what to run */
} start_t;

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static app_conn_t list = {.next = &list, .prev = &list}; /* guard: list_lock */
static atomic_size_t open_n;
static atomic_size_t total_n;
static atomic_size_t piece_bytes;

static void list_add(app_conn_t *conn)
{
    pthread_mutex_lock(&list_lock);
    conn->next = &list;
    conn->prev = list.prev;
    list.prev->next = conn;
    list.prev = conn;
    pthread_mutex_unlock(&list_lock);
    atomic_fetch_add(&open_n, 1);
    atomic_fetch_add(&total_n, 1);
}

static void list_remove(app_conn_t *conn)
{
    pthread_mutex_lock(&list_lock);
    conn->prev->next = conn->next;
    conn->next->prev = conn->prev;
    pthread_mutex_unlock(&list_lock);
    atomic_fetch_sub(&open_n, 1);
}

static void set_idle(app_conn_t *conn, bool idle)
{
    pthread_mutex_lock(&list_lock);
    conn->idle = idle;
    pthread_mutex_unlock(&list_lock);
}

static bool handshake(app_conn_t *conn, SSL_CTX *tls)
{
    if (!tls) {
        return true;
    }
    conn->ssl = SSL_new(tls);
    return conn->ssl && SSL_set_fd(conn->ssl, conn->fd) == 1 && SSL_accept(conn->ssl) == 1;
}

static void *conn_main(void *arg)
{
    start_t start = *(start_t *)arg;
    app_conn_t *conn = start.conn;
    free(arg);
    if (handshake(conn, start.tls)) {
        start.serve(conn);
        app_conn_flush(conn);
    }
    list_remove(conn);
    SSL_free(conn->ssl);
    close(conn->fd);
    free(conn->in);
    free(conn);
    return NULL;
}

void app_conn_start(int fd, SSL_CTX *tls, app_conn_serve_t *serve)
{
    app_conn_t *conn = malloc(sizeof(*conn));
    start_t *start = malloc(sizeof(*start));
    if (!conn || !start) {
        abort();
    }
    memset(conn, 0, offsetof(app_conn_t, out));
    conn->fd = fd;
    *start = (start_t){conn, tls, serve};
    list_add(conn);

    pthread_t thread;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&thread, &attr, conn_main, start) != 0) {
        list_remove(conn);
        close(fd);
        free(conn);
        free(start);
    }
    pthread_attr_destroy(&attr);
}

size_t app_conn_close_idle(void)
{
    size_t closed = 0;
    pthread_mutex_lock(&list_lock);
    for (app_conn_t *conn = list.next; conn != &list; conn = conn->next) {
        if (conn->idle) {
            shutdown(conn->fd, SHUT_RDWR);
            conn->idle = false; /* it is still in the list until its thread has seen that */
            closed++;
        }
    }
    pthread_mutex_unlock(&list_lock);
    return closed;
}

size_t app_conn_open(void)
{
    return atomic_load(&open_n);
}

size_t app_conn_total(void)
{
    return atomic_load(&total_n);
}

void app_conn_pieces(size_t bytes)
{
    atomic_store(&piece_bytes, bytes);
}

app_text_t app_conn_input(const app_conn_t *conn)
{
    return (app_text_t){conn->in ? conn->in + conn->in_at : "", conn->in_end - conn->in_at};
}

void app_conn_use(app_conn_t *conn, size_t n)
{
    conn->in_at += n;
    if (conn->in_at == conn->in_end) {
        conn->in_at = conn->in_end = 0;
    }
}

static ssize_t conn_read(app_conn_t *conn, void *p, size_t n)
{
    if (conn->ssl) {
        return SSL_read(conn->ssl, p, (int)n);
    }
    ssize_t got;
    do {
        got = read(conn->fd, p, n);
    } while (got < 0 && errno == EINTR);
    return got;
}

/* Room for at least one byte behind the input: moves it to the front, then doubles the buffer. */
static bool make_room(app_conn_t *conn)
{
    if (conn->in_end < conn->in_cap) {
        return true;
    }
    if (conn->in_at > 0) {
        memmove(conn->in, conn->in + conn->in_at, conn->in_end - conn->in_at);
        conn->in_end -= conn->in_at;
        conn->in_at = 0;
        return true;
    }
    if (conn->in_cap >= APP_IN_MAX_BYTES) {
        return false;
    }
    size_t cap = conn->in_cap ? conn->in_cap * 2 : IN_FIRST_BYTES;
    char *in = realloc(conn->in, cap);
    if (!in) {
        return false;
    }
    conn->in = in;
    conn->in_cap = cap;
    return true;
}

bool app_conn_fill(app_conn_t *conn)
{
    if (!app_conn_flush(conn) || !make_room(conn)) {
        return false;
    }
    ssize_t got = conn_read(conn, conn->in + conn->in_end, conn->in_cap - conn->in_end);
    if (got <= 0) {
        return false;
    }
    conn->in_end += (size_t)got;
    return true;
}

bool app_conn_fill_idle(app_conn_t *conn)
{
    if (!conn->served) {
        return app_conn_fill(conn);
    }
    set_idle(conn, true);
    bool filled = app_conn_fill(conn);
    set_idle(conn, false);
    return filled;
}

/* One system call, or a piece after a moment in which the peer reads the one before. */
static ssize_t write_some(int fd, const struct iovec iov[2])
{
    size_t piece = atomic_load(&piece_bytes);
    const struct iovec *first = iov[0].iov_len ? &iov[0] : &iov[1];
    if (piece == 0) {
        return writev(fd, iov, 2);
    }
    app_sleep_ms(PIECE_MS);
    return write(fd, first->iov_base, piece < first->iov_len ? piece : first->iov_len);
}

/* Writes what waits and then n bytes at p, in one system call as far as the socket takes it. */
static bool write_plain(app_conn_t *conn, const char *p, size_t n)
{
    struct iovec iov[2] = {{conn->out, conn->out_n}, {(void *)(uintptr_t)p, n}};
    conn->out_n = 0;
    while (iov[0].iov_len + iov[1].iov_len > 0) {
        ssize_t put = write_some(conn->fd, iov);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put < 0) {
            return false;
        }
        for (int i = 0; i < 2; i++) {
            size_t part = (size_t)put < iov[i].iov_len ? (size_t)put : iov[i].iov_len;
            iov[i].iov_base = (char *)iov[i].iov_base + part;
            iov[i].iov_len -= part;
            put -= (ssize_t)part;
        }
    }
    return true;
}

static bool write_tls(app_conn_t *conn, const char *p, size_t n)
{
    size_t put;
    size_t waiting = conn->out_n;
    conn->out_n = 0;
    return (waiting == 0 || SSL_write_ex(conn->ssl, conn->out, waiting, &put) == 1) &&
           (n == 0 || SSL_write_ex(conn->ssl, p, n, &put) == 1);
}

static bool conn_write(app_conn_t *conn, const void *p, size_t n)
{
    if (conn->out_n + n == 0) {
        return true;
    }
    return conn->ssl ? write_tls(conn, p, n) : write_plain(conn, p, n);
}

bool app_conn_put(app_conn_t *conn, const void *p, size_t n)
{
    if (conn->out_n + n > sizeof(conn->out)) {
        size_t now = n - (n < TAIL_BYTES ? n : TAIL_BYTES);
        if (!conn_write(conn, p, now)) {
            return false;
        }
        p = (const char *)p + now;
        n -= now;
    }
    memcpy(conn->out + conn->out_n, p, n);
    conn->out_n += n;
    return true;
}

bool app_conn_flush(app_conn_t *conn)
{
    return conn_write(conn, "", 0);
}

void app_conn_reset(app_conn_t *conn)
{
    /* A reset discards what the peer has not acknowledged: let that reach it first. */
    int unacked = 0;
    app_conn_flush(conn);
    for (int i = 0; i < DRAIN_TRIES; i++) {
        if (ioctl(conn->fd, SIOCOUTQ, &unacked) != 0 || unacked == 0) {
            break;
        }
        app_sleep_ms(1);
    }
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

void app_conn_linger(app_conn_t *conn)
{
    char waste[4096];
    struct pollfd readable = {.fd = conn->fd, .events = POLLIN};
    if (!app_conn_flush(conn) || shutdown(conn->fd, SHUT_WR) != 0) {
        return;
    }
    while (poll(&readable, 1, LINGER_MS) > 0) {
        if (read(conn->fd, waste, sizeof(waste)) <= 0) {
            return;
        }
    }
}
