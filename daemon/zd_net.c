/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the two halves of a connection: the socket with TLS on it, and a pair of sockets of which
 * the user of the connection has the other end. What a user sees is so a stream like any other.
 */
#include "zd_net.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "zd_log.h"
#include "zd_names.h"

enum {
    PIECE_BYTES = 16 << 10,
    QUEUE_BYTES_MAX = 1 << 20, /* waiting to be written: then no more is read */
    HELLO_BYTES_MAX = 320,
    CONNECT_MS = 1500,  /* to be connected at all; who is not tries again */
    UNHEARD_MS = 1500,  /* after which what is sent and not acknowledged ends a connection */
    IDLE_SECONDS = 10,  /* without a word, after which the other end is asked whether it is there */
    HELLO_MS = 5000,    /* to prove oneself, and say who one is */
    STRANGERS_MAX = 64, /* connections that have not done so yet; then the oldest one goes */
    REFUSED_SAID_MS = 1000, /* between two lines of the log about that */
    ACCEPTS_MAX = 16,       /* in a row; then all else has its turn */
    ACCEPTS_PAUSE_MS = 1,
    BACKLOG = 128
};

typedef struct link_t link_t;

static const char *const uses[ZD_NET_USES] = {"raft", "talk"};

struct zd_net_t {
    zd_net_conf_t conf;
    uv_tcp_t listener;
    uv_timer_t later; /* when the next one is accepted that waits */
    unsigned accepts; /* in a row, so far */
    link_t *links;
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

struct link_t {
    zd_net_t *net;
    link_t *next;
    link_t **at;
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
    char host[ZD_NET_ADDRESS_BYTES];
    const char *port; /* in host */
    char hello[HELLO_BYTES_MAX];
    size_t hello_n;
    zd_net_connected_fn *connected; /* NULL: it was called */
    void *baton;
    char piece[PIECE_BYTES];
};

/* --- ending ----------------------------------------------------------------------------------- */

static void net_maybe_free(zd_net_t *net)
{
    if (net->closing && net->handles == 0 && !net->links) {
        net->closed(net->closed_baton);
        zd_names_clear(&net->names);
        free(net);
    }
}

static void release(link_t *link)
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
    net_maybe_free(net);
}

static void handle_closed(uv_handle_t *handle)
{
    release(handle->data);
}

static void known(link_t *link)
{
    link->net->strangers -= link->stranger;
    link->stranger = false;
}

/* Whoever likes may be refused, and must not fill the disk with that. */
static void say_refused(zd_net_t *net, const char *why)
{
    uint64_t now = uv_now(net->conf.loop);
    net->refused++;
    net->refused_all++;
    if (net->said_ms && now - net->said_ms < REFUSED_SAID_MS) {
        return;
    }
    zd_log("%u connection%s refused, the last one: %s", net->refused, net->refused == 1 ? "" : "s",
           why);
    net->said_ms = now ? now : 1;
    net->refused = 0;
}

static void link_close(link_t *link, const char *why)
{
    if (link->closing) {
        return;
    }
    link->closing = true;
    known(link);
    if (link->server && !link->open && why) {
        say_refused(link->net, why);
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
    link_t *link;
    bool to_tcp;
    char bytes[];
} write_t;

static void read_tcp(link_t *link);
static void read_inner(link_t *link);

static void written(uv_write_t *request, int status)
{
    write_t *write = (write_t *)request;
    link_t *link = write->link;
    bool to_tcp = write->to_tcp;
    free(write);
    if (status != 0) {
        link_close(link, uv_strerror(status));
    } else if (!link->closing && to_tcp) {
        read_inner(link);
    } else if (!link->closing) {
        read_tcp(link);
    }
    release(link);
}

static bool write_out(link_t *link, bool to_tcp, const char *bytes, size_t n)
{
    write_t *write = malloc(sizeof(*write) + n);
    if (!write) {
        link_close(link, "no memory");
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
        link_close(link, uv_strerror(rv));
        release(link);
        return false;
    }
    return true;
}

static bool flush(link_t *link)
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

static bool is_full(const link_t *link, bool tcp)
{
    const uv_stream_t *stream =
        tcp ? (const uv_stream_t *)&link->tcp : (const uv_stream_t *)&link->inner;
    return uv_stream_get_write_queue_size(stream) > QUEUE_BYTES_MAX;
}

/* --- who it is -------------------------------------------------------------------------------- */

/* The user's end, with free() for its memory. */
static uv_stream_t *make_pair(link_t *link)
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

static void open_up(link_t *link, uint64_t number, const char *address)
{
    uv_stream_t *stream = make_pair(link);
    if (!stream) {
        link_close(link, "no pair of sockets");
        return;
    }
    link->open = true;
    known(link);
    uv_timer_stop(&link->timer);
    read_inner(link);
    if (link->server) {
        link->net->conf.accepted(link->net->conf.baton, link->use, number, address, stream);
        return;
    }
    zd_net_connected_fn *connected = link->connected;
    link->connected = NULL;
    connected(link->baton, stream, NULL);
}

/* `zerod 1 USE NUMBER ADDRESS`, then a newline. */
static void take_hello(link_t *link)
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
        link_close(link, "it does not say who it is");
        return;
    }
    link->use = (zd_net_use_t)found;
    open_up(link, number, address);
}

/* What is behind its newline is for the user already. */
static void hear_hello(link_t *link)
{
    while (!link->open && !link->closing &&
           zd_tls_read(link->tls, link->hello + link->hello_n, 1) == 1) {
        bool ends = link->hello[link->hello_n++] == '\n';
        if (ends) {
            take_hello(link);
        } else if (link->hello_n == HELLO_BYTES_MAX - 1) {
            link_close(link, "it does not say who it is");
        }
    }
}

static void say_hello(link_t *link)
{
    char hello[HELLO_BYTES_MAX];
    int n = snprintf(hello, sizeof(hello), "zerod 1 %s %llu %s\n", uses[link->use],
                     (unsigned long long)link->net->conf.number, link->net->conf.address);
    zd_tls_write(link->tls, hello, (size_t)n);
}

static void pass_on(link_t *link)
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
    link_t *link = handle->data;
    *buf = uv_buf_init(link->piece, sizeof(link->piece));
}

static void came_tcp(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    link_t *link = stream->data;
    if (n < 0) {
        link_close(link, n == UV_EOF ? NULL : uv_strerror((int)n));
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
        link_close(link, zd_tls_why(link->tls));
    } else if (link->open && !link->closing && is_full(link, false)) {
        uv_read_stop(stream);
    }
}

/* Also when it is being read already. */
static void start(link_t *link, uv_stream_t *stream, uv_alloc_cb room, uv_read_cb came)
{
    int rv = uv_read_start(stream, room, came);
    if (rv != 0 && rv != UV_EALREADY) {
        link_close(link, uv_strerror(rv));
    }
}

static void read_tcp(link_t *link)
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
    link_t *link = stream->data;
    if (n < 0) {
        link_close(link, NULL);
        return;
    }
    if (!zd_tls_write(link->tls, buf->base, (size_t)n)) {
        link_close(link, zd_tls_why(link->tls));
        return;
    }
    if (flush(link) && is_full(link, true)) {
        uv_read_stop(stream);
    }
}

static void read_inner(link_t *link)
{
    if (link->open && !is_full(link, true)) {
        start(link, (uv_stream_t *)&link->inner, room_inner, came_inner);
    }
}

/* --- beginning -------------------------------------------------------------------------------- */

static void too_slow(uv_timer_t *timer)
{
    link_close(timer->data, "it takes too long");
}

static link_t *make_link(zd_net_t *net, bool server)
{
    link_t *link = calloc(1, sizeof(*link));
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
    uv_timer_start(&link->timer, too_slow, server ? HELLO_MS : CONNECT_MS, 0);
    return link;
}

/* The kernel sends anew what was lost after a pause that doubles: a link that was cut for a minute
 * would be of use a minute after it is healed. A new connection has no such memory. */
static void notice_loss(link_t *link)
{
    unsigned unheard_ms = UNHEARD_MS;
    uv_os_fd_t fd;
    uv_tcp_keepalive(&link->tcp, 1, IDLE_SECONDS);
    if (uv_fileno((uv_handle_t *)&link->tcp, &fd) == 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unheard_ms, sizeof(unheard_ms));
    }
}

static void begin(link_t *link)
{
    uv_tcp_nodelay(&link->tcp, 1);
    notice_loss(link);
    uv_timer_start(&link->timer, too_slow, HELLO_MS, 0);
    if (!link->server) {
        say_hello(link);
    }
    read_tcp(link);
    flush(link);
}

/* The one that has been here longest without saying who it is. */
static void drop_stranger(zd_net_t *net)
{
    link_t *oldest = NULL;
    for (link_t *link = net->links; link; link = link->next) {
        oldest = link->stranger ? link : oldest;
    }
    if (oldest) {
        link_close(oldest, "it has not said who it is, and others wait");
    }
}

static void came_one(uv_stream_t *listener, int status);

/* Those that have proved nothing yet are few, or they would use up our descriptors. One that cannot
 * be accepted later than it came has stopped the listener. */
static void accept_one(zd_net_t *net, link_t *link)
{
    uv_stream_t *listener = (uv_stream_t *)&net->listener;
    link->stranger = true;
    net->strangers++;
    if (uv_accept(listener, (uv_stream_t *)&link->tcp) != 0) {
        link_close(link, NULL);
        uv_listen(listener, BACKLOG, came_one);
        return;
    }
    begin(link);
    if (net->strangers > STRANGERS_MAX) {
        drop_stranger(net);
    }
}

static void accept_later(uv_timer_t *timer)
{
    zd_net_t *net = timer->data;
    link_t *link = make_link(net, true);
    if (!link) {
        uv_timer_start(timer, accept_later, HELLO_MS, 0);
        return;
    }
    net->accepts = 1;
    accept_one(net, link);
}

/* The loop calls this for as long as others wait: while a crowd comes faster than it is refused,
 * that does not end, and nothing is freed that was closed. One that is not accepted here stops the
 * listener until it is. */
static void came_one(uv_stream_t *listener, int status)
{
    zd_net_t *net = listener->data;
    if (status != 0) {
        return;
    }
    link_t *link = net->accepts < ACCEPTS_MAX ? make_link(net, true) : NULL;
    if (!link) {
        uv_timer_start(&net->later, accept_later, ACCEPTS_PAUSE_MS, 0);
        return;
    }
    net->accepts++;
    accept_one(net, link);
}

static void connected_tcp(uv_connect_t *request, int status)
{
    link_t *link = request->data;
    if (status != 0) {
        link_close(link, uv_strerror(status));
    } else if (!link->closing) {
        begin(link);
    }
    release(link);
}

/* Each connection looks its name up anew: what comes of that is said when it changes. */
static void say_lookup(zd_net_t *net, const char *name, int status)
{
    if (status == UV_ECANCELED || !zd_names_changed(&net->names, name, status == 0)) {
        return;
    }
    if (status == 0) {
        zd_log("%s: can be looked up again", name);
    } else {
        zd_log("%s: cannot be looked up: %s; it is tried again", name, uv_strerror(status));
    }
}

static void found(uv_getaddrinfo_t *request, int status, struct addrinfo *all)
{
    link_t *link = request->data;
    int rv = status;
    say_lookup(link->net, link->host, status);
    if (rv == 0 && !link->closing) {
        rv = uv_tcp_connect(&link->connecting, &link->tcp, all->ai_addr, connected_tcp);
        link->handles += rv == 0;
    }
    if (rv != 0) {
        link_close(link, uv_strerror(rv));
    }
    uv_freeaddrinfo(all);
    release(link);
}

/* HOST:PORT with an IPv6 address in brackets; cut in place. */
static char *cut(char *address, const char **port)
{
    char *colon = strrchr(address, ':');
    if (!colon) {
        return NULL;
    }
    *colon = '\0';
    *port = colon + 1;
    if (address[0] == '[' && colon[-1] == ']') {
        colon[-1] = '\0';
        return address + 1;
    }
    return address;
}

static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};

bool zd_net_connect(zd_net_t *net, zd_net_use_t use, const char *address,
                    zd_net_connected_fn *connected, void *baton)
{
    link_t *link = net->closing ? NULL : make_link(net, false);
    if (!link) {
        return false;
    }
    link->use = use;
    link->connected = connected;
    link->baton = baton;
    snprintf(link->host, sizeof(link->host), "%s", address);
    const char *host = cut(link->host, &link->port);
    int rv = host ? uv_getaddrinfo(net->conf.loop, &link->lookup, found, host, link->port, &hints)
                  : UV_EINVAL;
    if (rv != 0) {
        link->connected = NULL;
        link_close(link, NULL);
        return false;
    }
    link->handles++;
    return true;
}

static void own_closed(uv_handle_t *handle)
{
    zd_net_t *net = handle->data;
    net->handles--;
    net_maybe_free(net);
}

static void forgotten(void *baton)
{
    (void)baton;
}

int zd_net_listen(uv_tcp_t *listener, const char *address, uv_connection_cb connected)
{
    char text[ZD_NET_ADDRESS_BYTES];
    const char *port;
    uv_getaddrinfo_t lookup;
    snprintf(text, sizeof(text), "%s", address);
    const char *host = cut(text, &port);
    int rv = host ? uv_getaddrinfo(listener->loop, &lookup, NULL, host, port, &hints) : UV_EINVAL;
    if (rv != 0) {
        return rv;
    }
    rv = uv_tcp_bind(listener, lookup.addrinfo->ai_addr, 0);
    uv_freeaddrinfo(lookup.addrinfo);
    return rv ? rv : uv_listen((uv_stream_t *)listener, BACKLOG, connected);
}

uint64_t zd_net_refused(const zd_net_t *net)
{
    return net->refused_all;
}

zd_net_t *zd_net_open(const zd_net_conf_t *conf, hap_diag_t *diag)
{
    zd_net_t *net = calloc(1, sizeof(*net));
    if (!net) {
        hap_diag_set(diag, 0, "no memory for connections");
        return NULL;
    }
    net->conf = *conf;
    uv_tcp_init(conf->loop, &net->listener);
    uv_timer_init(conf->loop, &net->later);
    net->listener.data = net->later.data = net;
    net->handles = 2;
    int rv = zd_net_listen(&net->listener, conf->bind, came_one);
    if (rv != 0) {
        hap_diag_set(diag, 0,
                     "%s: cannot be listened at: %s; it is this node's address in config.json, or "
                     "its bind",
                     conf->bind, uv_strerror(rv));
        zd_net_close(net, forgotten, NULL);
        return NULL;
    }
    return net;
}

void zd_net_number(zd_net_t *net, uint64_t number)
{
    net->conf.number = number;
}

void zd_net_close(zd_net_t *net, void (*closed)(void *baton), void *baton)
{
    net->closing = true;
    net->closed = closed;
    net->closed_baton = baton;
    for (link_t *link = net->links; link; link = link->next) {
        link_close(link, "this node ends");
    }
    uv_close((uv_handle_t *)&net->later, own_closed);
    uv_close((uv_handle_t *)&net->listener, own_closed);
}
