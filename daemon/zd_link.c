/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns one connection: the socket with TLS on it, and a pair of sockets of which its user has the
 * other end. What a user sees is so a stream like any other.
 */
#include "zd_net_int.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    PIECE_BYTES = ZD_LINK_PIECE_BYTES,
    QUEUE_BYTES_MAX = 1 << 20, /* waiting to be written: then no more is read */
    HELLO_BYTES_MAX = ZD_LINK_HELLO_BYTES_MAX,
    UNHEARD_MS = 1500, /* after which what is sent and not acknowledged ends a connection */
    IDLE_SECONDS = 10, /* without a word, after which the other end is asked whether it is there */
};

static const char *const uses[ZD_NET_USES] = {"raft", "talk"};

/* --- ending ----------------------------------------------------------------------------------- */

void zd_link_release(zd_link_t *link)
{
    if (--link->handles > 0) {
        return;
    }
    zd_net_t *net = link->net;
    *link->at = link->next;
    if (link->next) {
        link->next->at = link->at;
    }
    zd_tls_free(link->tls);
    free(link);
    zd_net_maybe_free(net);
}

static void handle_closed(uv_handle_t *handle)
{
    zd_link_release(handle->data);
}

void zd_link_close(zd_link_t *link, const char *why)
{
    if (link->closing) {
        return;
    }
    link->closing = true;
    zd_net_known(link);
    if (link->server && !link->open && why) {
        zd_net_refuse(link, why);
    } else if (link->found && !link->open) {
        zd_net_reach(link, why ? why : "it has closed the connection");
    }
    zd_net_connected_fn *connected = link->connected;
    link->connected = NULL;
    uv_close((uv_handle_t *)&link->tcp, handle_closed);
    uv_close((uv_handle_t *)&link->timer, handle_closed);
    uv_close((uv_handle_t *)&link->inner, handle_closed);
    uv_cancel((uv_req_t *)&link->lookup);
    if (connected) {
        connected(link->baton, NULL, why ? why : "the other end has closed it");
    }
}

/* --- bytes ------------------------------------------------------------------------------------ */

/* A write with its bytes. */
typedef struct write_t {
    uv_write_t request;
    zd_link_t *link;
    bool to_tcp;
    char bytes[];
} write_t;

static void read_tcp(zd_link_t *link);
static void read_inner(zd_link_t *link);

static void written(uv_write_t *request, int status)
{
    write_t *write = (write_t *)request;
    zd_link_t *link = write->link;
    bool to_tcp = write->to_tcp;
    free(write);
    if (status != 0) {
        zd_link_close(link, uv_strerror(status));
    } else if (!link->closing && to_tcp) {
        read_inner(link);
    } else if (!link->closing) {
        read_tcp(link);
    }
    zd_link_release(link);
}

static bool write_out(zd_link_t *link, bool to_tcp, const char *bytes, size_t n)
{
    write_t *write = malloc(sizeof(*write) + n);
    if (!write) {
        zd_link_close(link, "no memory");
        return false;
    }
    *write = (write_t){.link = link, .to_tcp = to_tcp};
    memcpy(write->bytes, bytes, n);
    uv_buf_t buf = uv_buf_init(write->bytes, (unsigned)n);
    uv_stream_t *stream = to_tcp ? (uv_stream_t *)&link->tcp : (uv_stream_t *)&link->inner;
    link->handles++;
    int rv = uv_write(&write->request, stream, &buf, 1, written);
    if (rv != 0) {
        free(write);
        zd_link_close(link, uv_strerror(rv));
        zd_link_release(link);
        return false;
    }
    return true;
}

static bool flush(zd_link_t *link)
{
    char bytes[PIECE_BYTES];
    size_t n;
    while ((n = zd_tls_send(link->tls, bytes, sizeof(bytes))) > 0) {
        if (!write_out(link, true, bytes, n)) {
            return false;
        }
    }
    return true;
}

static bool is_full(const zd_link_t *link, bool tcp)
{
    const uv_stream_t *stream =
        tcp ? (const uv_stream_t *)&link->tcp : (const uv_stream_t *)&link->inner;
    return uv_stream_get_write_queue_size(stream) > QUEUE_BYTES_MAX;
}

/* --- who it is -------------------------------------------------------------------------------- */

/* The user's end, with free() for its memory. */
static uv_stream_t *make_pair(zd_link_t *link)
{
    uv_os_sock_t fds[2];
    uv_pipe_t *theirs = malloc(sizeof(*theirs));
    if (!theirs || uv_socketpair(SOCK_STREAM, 0, fds, UV_NONBLOCK_PIPE, UV_NONBLOCK_PIPE) != 0) {
        free(theirs);
        return NULL;
    }
    uv_pipe_init(link->net->conf.loop, theirs, 0);
    if (uv_pipe_open(&link->inner, fds[0]) != 0 || uv_pipe_open(theirs, fds[1]) != 0) {
        uv_close((uv_handle_t *)theirs, (uv_close_cb)free);
        return NULL;
    }
    return (uv_stream_t *)theirs;
}

static void open_up(zd_link_t *link, uint64_t number, const char *address)
{
    uv_stream_t *stream = make_pair(link);
    if (!stream) {
        zd_link_close(link, "no pair of sockets");
        return;
    }
    link->open = true;
    zd_net_known(link);
    uv_timer_stop(&link->timer);
    read_inner(link);
    if (link->server) {
        link->net->conf.accepted(link->net->conf.baton, link->use, number, address, stream);
        return;
    }
    zd_net_connected_fn *connected = link->connected;
    link->connected = NULL;
    zd_net_reach(link, NULL);
    connected(link->baton, stream, NULL);
}

/* `zerod 1 USE NUMBER ADDRESS`, then a newline. */
static void take_hello(zd_link_t *link)
{
    unsigned long long number = 0;
    char use[8];
    char address[ZD_NET_ADDRESS_BYTES];
    char end = 0;
    link->hello[link->hello_n] = '\0';
    bool read = sscanf(link->hello, "zerod 1 %7[a-z] %llu %261[^ \n]%c", use, &number, address,
                       &end) == 4 &&
                end == '\n';
    int found = read ? hap_str_word(hap_str(use), uses, ZD_NET_USES) : -1;
    if (found < 0 || (found == ZD_NET_RAFT && number == 0)) {
        zd_link_close(link, "it does not say who it is");
        return;
    }
    link->use = (zd_net_use_t)found;
    open_up(link, number, address);
}

/* What is behind its newline is for the user already. */
static void hear_hello(zd_link_t *link)
{
    while (!link->open && !link->closing &&
           zd_tls_read(link->tls, link->hello + link->hello_n, 1) == 1) {
        bool ends = link->hello[link->hello_n++] == '\n';
        if (ends) {
            take_hello(link);
        } else if (link->hello_n == HELLO_BYTES_MAX - 1) {
            zd_link_close(link, "it does not say who it is");
        }
    }
}

static void say_hello(zd_link_t *link)
{
    char hello[HELLO_BYTES_MAX];
    int n = snprintf(hello, sizeof(hello), "zerod 1 %s %llu %s\n", uses[link->use],
                     (unsigned long long)link->net->conf.number, link->net->conf.address);
    zd_tls_write(link->tls, hello, (size_t)n);
}

static void pass_on(zd_link_t *link)
{
    char plain[PIECE_BYTES];
    size_t n;
    while (!link->closing && (n = zd_tls_read(link->tls, plain, sizeof(plain))) > 0) {
        write_out(link, false, plain, n);
    }
}

/* --- the socket ------------------------------------------------------------------------------- */

static void room_tcp(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    zd_link_t *link = handle->data;
    *buf = uv_buf_init(link->piece, sizeof(link->piece));
}

static void came_tcp(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    zd_link_t *link = stream->data;
    if (n < 0) {
        zd_link_close(link, n == UV_EOF ? NULL : uv_strerror((int)n));
        return;
    }
    bool good = zd_tls_came(link->tls, buf->base, (size_t)n);
    if (!flush(link)) {
        return;
    }
    if (link->server) {
        hear_hello(link);
    } else if (!link->open && zd_tls_is_ready(link->tls)) {
        open_up(link, 0, NULL);
    }
    if (link->open && !link->closing) {
        pass_on(link);
    }
    if (!good) {
        zd_link_close(link, zd_tls_why(link->tls));
    } else if (link->open && !link->closing && is_full(link, false)) {
        uv_read_stop(stream);
    }
}

/* Also when it is being read already. */
static void start(zd_link_t *link, uv_stream_t *stream, uv_alloc_cb room, uv_read_cb came)
{
    int rv = uv_read_start(stream, room, came);
    if (rv != 0 && rv != UV_EALREADY) {
        zd_link_close(link, uv_strerror(rv));
    }
}

static void read_tcp(zd_link_t *link)
{
    if (!is_full(link, false)) {
        start(link, (uv_stream_t *)&link->tcp, room_tcp, came_tcp);
    }
}

/* --- the user's end --------------------------------------------------------------------------- */

static void room_inner(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    static char piece[PIECE_BYTES]; /* is used up in the call that follows */
    *buf = uv_buf_init(piece, sizeof(piece));
}

static void came_inner(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    zd_link_t *link = stream->data;
    if (n < 0) {
        zd_link_close(link, NULL);
        return;
    }
    if (!zd_tls_write(link->tls, buf->base, (size_t)n)) {
        zd_link_close(link, zd_tls_why(link->tls));
        return;
    }
    if (flush(link) && is_full(link, true)) {
        uv_read_stop(stream);
    }
}

static void read_inner(zd_link_t *link)
{
    if (link->open && !is_full(link, true)) {
        start(link, (uv_stream_t *)&link->inner, room_inner, came_inner);
    }
}

/* --- beginning -------------------------------------------------------------------------------- */

static void too_slow(uv_timer_t *timer)
{
    zd_link_close(timer->data, "it takes too long");
}

zd_link_t *zd_link_make(zd_net_t *net, bool server)
{
    zd_link_t *link = calloc(1, sizeof(*link));
    if (!link || !(link->tls = zd_tls_open(net->conf.tls, server))) {
        free(link);
        return NULL;
    }
    link->net = net;
    link->server = server;
    uv_tcp_init(net->conf.loop, &link->tcp);
    uv_timer_init(net->conf.loop, &link->timer);
    uv_pipe_init(net->conf.loop, &link->inner, 0);
    link->tcp.data = link->timer.data = link->inner.data = link;
    link->lookup.data = link->connecting.data = link;
    link->handles = 3;
    link->next = net->links;
    link->at = &net->links;
    if (link->next) {
        link->next->at = &link->next;
    }
    net->links = link;
    uv_timer_start(&link->timer, too_slow, server ? ZD_NET_HELLO_MS : ZD_NET_CONNECT_MS, 0);
    return link;
}

/* The kernel sends anew what was lost after a pause that doubles: a link that was cut for a minute
 * would be of use a minute after it is healed. A new connection has no such memory. */
static void notice_loss(zd_link_t *link)
{
    unsigned unheard_ms = UNHEARD_MS;
    uv_os_fd_t fd;
    uv_tcp_keepalive(&link->tcp, 1, IDLE_SECONDS);
    if (uv_fileno((uv_handle_t *)&link->tcp, &fd) == 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unheard_ms, sizeof(unheard_ms));
    }
}

void zd_link_begin(zd_link_t *link)
{
    uv_tcp_nodelay(&link->tcp, 1);
    notice_loss(link);
    uv_timer_start(&link->timer, too_slow, ZD_NET_HELLO_MS, 0);
    if (!link->server) {
        say_hello(link);
    }
    read_tcp(link);
    flush(link);
}
