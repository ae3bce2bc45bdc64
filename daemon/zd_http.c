/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns connections of the HTTP server. One request at a time on each: the next one is read when the
 * answer is on its way, and what comes meanwhile waits in the kernel.
 */
#include "zd_http.h"

#include <stdlib.h>
#include <string.h>

#include <apr_time.h>

#include "zd_net.h"

enum { CONNS_MAX = 64 };

typedef struct conn_t conn_t;

/* What a connection does. Where there are too many, the last of these go first. */
typedef enum phase_t {
    WRITES, /* an answer, which has to be taken */
    READS,  /* a request, which has to come; the first one from the beginning */
    IDLES,  /* between two requests */
    DRAINS, /* reads what is not looked at until the other end has the answer, too */
    PHASES
} phase_t;

static const unsigned limit_ms[PHASES] = {
    [WRITES] = 5000,
    [READS] = 5000,
    [IDLES] = 30000,
    [DRAINS] = 1000,
};

struct zd_http_t {
    uv_tcp_t listener;
    zd_http_page_fn *page;
    void *baton;
    conn_t *conns;
    unsigned conns_n;  /* that are not being closed */
    unsigned blocks_n; /* that are not freed yet: those of connections, and its own listener */
};

struct conn_t {
    zd_http_t *http;
    conn_t *next;
    conn_t **at;
    uv_tcp_t tcp;
    uv_timer_t timer;
    unsigned handles; /* that are not closed yet */
    phase_t phase;
    uint64_t since_ms; /* of that, by the loop */
    bool last;         /* it ends behind the answer that is being written */
    char bytes[ZD_HTTP1_BYTES_MAX];
    size_t n;         /* of them that have come */
    size_t seen;      /* of those that the reader knows */
    apr_pool_t *pool; /* of the answer; NULL: none is being written */
    uv_write_t write;
    uv_shutdown_t shutdown;
};

/* --- ending ----------------------------------------------------------------------------------- */

static void release(zd_http_t *http)
{
    if (--http->blocks_n == 0) {
        free(http);
    }
}

static void forget_answer(conn_t *conn)
{
    if (conn->pool) {
        apr_pool_destroy(conn->pool);
    }
    conn->pool = NULL;
}

static void handle_closed(uv_handle_t *handle)
{
    conn_t *conn = handle->data;
    if (--conn->handles > 0) {
        return;
    }
    zd_http_t *http = conn->http;
    forget_answer(conn);
    free(conn);
    release(http);
}

static void conn_close(conn_t *conn)
{
    if (uv_is_closing((uv_handle_t *)&conn->tcp)) {
        return;
    }
    *conn->at = conn->next;
    if (conn->next) {
        conn->next->at = conn->at;
    }
    conn->http->conns_n--;
    uv_close((uv_handle_t *)&conn->tcp, handle_closed);
    uv_close((uv_handle_t *)&conn->timer, handle_closed);
}

static void too_slow(uv_timer_t *timer)
{
    conn_close(timer->data);
}

/* A request that comes byte by byte does not get more time with each of them. */
static void enter(conn_t *conn, phase_t phase)
{
    if (conn->phase == phase) {
        return;
    }
    conn->phase = phase;
    conn->since_ms = uv_now(conn->tcp.loop);
    uv_timer_start(&conn->timer, too_slow, limit_ms[phase], 0);
}

/* --- requests and answers --------------------------------------------------------------------- */

static void read_on(conn_t *conn);
static void answer_next(conn_t *conn);

static void is_shut(uv_shutdown_t *shutdown, int status)
{
    (void)shutdown;
    (void)status;
}

/* To close while something is unread would reset the connection, and lose the answer with it (RFC
 * 9112 9.6). */
static void drain(conn_t *conn)
{
    if (uv_shutdown(&conn->shutdown, (uv_stream_t *)&conn->tcp, is_shut) != 0) {
        conn_close(conn);
        return;
    }
    enter(conn, DRAINS);
    read_on(conn);
}

static void written(uv_write_t *write, int status)
{
    conn_t *conn = write->data;
    forget_answer(conn);
    if (status != 0) {
        conn_close(conn);
    } else if (conn->last) {
        drain(conn);
    } else {
        answer_next(conn);
    }
}

static hap_str_t make_answer(const conn_t *conn, const zd_http1_t *request)
{
    const zd_http_t *http = conn->http;
    char date[APR_RFC822_DATE_LEN];
    zd_page_t page = zd_http1_refusal(request);
    if (!request->refused) {
        http->page(http->baton, &page, request->path, conn->pool);
    }
    apr_rfc822_date(date, apr_time_now());
    return zd_http1_answer(request, &page, date, conn->pool);
}

static void answer(conn_t *conn, const zd_http1_t *request)
{
    if (apr_pool_create(&conn->pool, NULL) != APR_SUCCESS) {
        conn->pool = NULL;
        conn_close(conn);
        return;
    }
    hap_str_t text = make_answer(conn, request);
    uv_buf_t buf = uv_buf_init((char *)text.p, (unsigned)text.n);
    conn->last = !request->keep;
    conn->n -= request->bytes;
    conn->seen = 0;
    memmove(conn->bytes, conn->bytes + request->bytes, conn->n);
    uv_read_stop((uv_stream_t *)&conn->tcp);
    enter(conn, WRITES);
    conn->write.data = conn;
    if (uv_write(&conn->write, (uv_stream_t *)&conn->tcp, &buf, 1, written) != 0) {
        conn_close(conn);
    }
}

static void answer_next(conn_t *conn)
{
    zd_http1_t request;
    if (conn->n > 0 && zd_http1_read(&request, &conn->seen, conn->bytes, conn->n)) {
        answer(conn, &request);
        return;
    }
    enter(conn, conn->n > 0 ? READS : IDLES);
    read_on(conn);
}

/* There is room: a request that fills it all is refused, and none is read on behind that. */
static void room(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    conn_t *conn = handle->data;
    size_t used = conn->phase == DRAINS ? 0 : conn->n;
    (void)suggested;
    *buf = uv_buf_init(conn->bytes + used, (unsigned)(sizeof(conn->bytes) - used));
}

static void came(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    conn_t *conn = stream->data;
    (void)buf;
    if (n < 0) {
        conn_close(conn);
    } else if (n > 0 && conn->phase != DRAINS) {
        conn->n += (size_t)n;
        answer_next(conn);
    }
}

/* Also when it is being read already. */
static void read_on(conn_t *conn)
{
    int rv = uv_read_start((uv_stream_t *)&conn->tcp, room, came);
    if (rv != 0 && rv != UV_EALREADY) {
        conn_close(conn);
    }
}

/* --- connections ------------------------------------------------------------------------------ */

/* The one that is missed least. */
static void drop_one(const zd_http_t *http)
{
    conn_t *least = http->conns;
    for (conn_t *conn = http->conns; conn; conn = conn->next) {
        bool older = conn->phase == least->phase && conn->since_ms <= least->since_ms;
        if (conn->phase > least->phase || older) {
            least = conn;
        }
    }
    conn_close(least);
}

static conn_t *make_conn(zd_http_t *http)
{
    conn_t *conn = calloc(1, sizeof(*conn));
    if (!conn) {
        return NULL;
    }
    conn->http = http;
    uv_tcp_init(http->listener.loop, &conn->tcp);
    uv_timer_init(http->listener.loop, &conn->timer);
    conn->tcp.data = conn->timer.data = conn;
    conn->handles = 2;
    conn->next = http->conns;
    conn->at = &http->conns;
    if (conn->next) {
        conn->next->at = &conn->next;
    }
    http->conns = conn;
    http->conns_n++;
    http->blocks_n++;
    return conn;
}

static void connected(uv_stream_t *listener, int status)
{
    zd_http_t *http = listener->data;
    if (status != 0) {
        return;
    }
    if (http->conns_n == CONNS_MAX) {
        drop_one(http);
    }
    conn_t *conn = make_conn(http);
    if (!conn) {
        return;
    }
    if (uv_accept(listener, (uv_stream_t *)&conn->tcp) != 0) {
        conn_close(conn);
        return;
    }
    uv_tcp_nodelay(&conn->tcp, 1);
    enter(conn, READS);
    read_on(conn);
}

static void listener_closed(uv_handle_t *handle)
{
    release(handle->data);
}

zd_http_t *zd_http_open(uv_loop_t *loop, const char *address, zd_http_page_fn *page, void *baton,
                        hap_diag_t *diag)
{
    zd_http_t *http = calloc(1, sizeof(*http));
    if (!http) {
        hap_diag_set(diag, 0, "no memory for an HTTP server");
        return NULL;
    }
    http->page = page;
    http->baton = baton;
    http->blocks_n = 1;
    uv_tcp_init(loop, &http->listener);
    http->listener.data = http;
    int rv = zd_net_listen(&http->listener, address, connected);
    if (rv != 0) {
        hap_diag_set(diag, 0, "%s: cannot be listened at for HTTP: %s", address, uv_strerror(rv));
        zd_http_close(http);
        return NULL;
    }
    return http;
}

void zd_http_close(zd_http_t *http)
{
    while (http->conns) {
        conn_close(http->conns);
    }
    uv_close((uv_handle_t *)&http->listener, listener_closed);
}
