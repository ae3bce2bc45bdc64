/* SPDX-License-Identifier: Apache-2.0 */
/* Owns opening, keeping and closing the sockets. */
#include "mh_listen.h"

#include <ap_listen.h>
#include <apr_network_io.h>
#include <apr_portable.h>
#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <http_config.h>
#include <mpm_common.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>
#include <unixd.h>

#include "mh_log.h"

enum {
    SOCKETS_MAX = 64,
    DEFER_ACCEPT_S = 30,
    NAME_BYTES = 128,
    DESCRIPTORS_MAX = 4096 /* of the parent, that are looked through */
};

/** One address. */
typedef struct listen_t {
    char name[NAME_BYTES]; /* host:port, host empty for all */
    char host[NAME_BYTES];
    char port[8];
    apr_port_t number; /* of the port */
    int fd;            /* -1: not open */
} listen_t;

typedef struct listens_t {
    listen_t rows[SOCKETS_MAX];
    unsigned n;
} listens_t;

static listens_t wanted;

/* Those that are open, kept by the process from one configuration to the next. */
static const char retained_key[] = "mod_haproxy-listen";

void mh_listen_reset(void)
{
    wanted.n = 0;
}

const char *mh_listen_add(apr_pool_t *p, const char *address)
{
    char *host;
    char *scope;
    apr_port_t port;
    if (wanted.n == SOCKETS_MAX) {
        return apr_psprintf(p, "HAListen: more than %d addresses", SOCKETS_MAX);
    }
    if (apr_parse_addr_port(&host, &scope, &port, address, p) != APR_SUCCESS || !port || scope) {
        return apr_psprintf(p, "HAListen: %s is no address, use [ADDRESS:]PORT as for Listen",
                            address);
    }
    bool all = !host || strcmp(host, "*") == 0;
    listen_t *row = &wanted.rows[wanted.n];
    apr_snprintf(row->host, sizeof(row->host), "%s", all ? "" : host);
    apr_snprintf(row->port, sizeof(row->port), "%u", port);
    apr_snprintf(row->name, sizeof(row->name), "%s:%s", row->host, row->port);
    row->number = port;
    row->fd = -1;
    for (unsigned i = 0; i < wanted.n; i++) {
        if (strcmp(wanted.rows[i].name, row->name) == 0) {
            return apr_psprintf(p, "HAListen: %s is given twice, keep one", address);
        }
    }
    wanted.n++;
    return NULL;
}

/* One socket for both protocols where no address is named, as httpd has it. */
static int bound_socket(const struct addrinfo *address)
{
    int one = 1;
    int none = 0;
    int defer = DEFER_ACCEPT_S;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    /* Inherited by what is accepted. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &defer, sizeof(defer));
    if (address->ai_family == AF_INET6) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &none, sizeof(none));
    }
    if (bind(fd, address->ai_addr, address->ai_addrlen) != 0 || listen(fd, SOMAXCONN) != 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static bool is_listening_at(int fd, const struct addrinfo *address)
{
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } at = {0};
    int listens = 0;
    socklen_t n = sizeof(listens);
    socklen_t at_n = sizeof(at);
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &n) != 0 || !listens ||
        getsockname(fd, &at.any, &at_n) != 0 || at.any.sa_family != address->ai_family) {
        return false;
    }
    if (at.any.sa_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)address->ai_addr;
        return at.in.sin_port == in->sin_port && at.in.sin_addr.s_addr == in->sin_addr.s_addr;
    }
    const struct sockaddr_in6 *in6 = (const void *)address->ai_addr;
    return at.in6.sin6_port == in6->sin6_port &&
           memcmp(&at.in6.sin6_addr, &in6->sin6_addr, sizeof(in6->sin6_addr)) == 0;
}

/* At a graceful restart Listen may have become HAListen: httpd's socket is still open, and its old
 * children accept from it for a moment. It goes on as ours, with all who wait in it. */
static int take_httpds(const struct addrinfo *address)
{
    for (int fd = 3; fd < DESCRIPTORS_MAX; fd++) {
        if (is_listening_at(fd, address)) {
            int ours = fcntl(fd, F_DUPFD_CLOEXEC, 3);
            if (ours >= 0) {
                fcntl(ours, F_SETFL, fcntl(ours, F_GETFL) | O_NONBLOCK);
            }
            return ours;
        }
    }
    return -1;
}

static apr_status_t open_at(listen_t *row, const struct addrinfo *address)
{
    row->fd = bound_socket(address);
    int error = errno;
    if (row->fd < 0 && error == EADDRINUSE) {
        row->fd = take_httpds(address);
    }
    return row->fd < 0 ? error : APR_SUCCESS;
}

static apr_status_t open_row(listen_t *row)
{
    struct addrinfo *found = NULL;
    const struct addrinfo hints = {
        .ai_family = *row->host ? AF_UNSPEC : AF_INET6,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = AI_PASSIVE | AI_NUMERICSERV,
    };
    if (getaddrinfo(*row->host ? row->host : NULL, row->port, &hints, &found) != 0) {
        return APR_EINVAL;
    }
    apr_status_t rv = open_at(row, found);
    freeaddrinfo(found);
    if (rv == EAFNOSUPPORT && !*row->host) {
        const struct addrinfo four = {
            .ai_family = AF_INET, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
        if (getaddrinfo(NULL, row->port, &four, &found) == 0) {
            rv = open_at(row, found);
            freeaddrinfo(found);
        }
    }
    return rv;
}

static listens_t *retained(server_rec *s)
{
    listens_t *kept = NULL;
    apr_pool_userdata_get((void **)&kept, retained_key, s->process->pool);
    if (!kept) {
        kept = apr_pcalloc(s->process->pool, sizeof(*kept));
        apr_pool_userdata_set(kept, retained_key, NULL, s->process->pool);
    }
    return kept;
}

static int take_open(listens_t *kept, const char *name)
{
    for (unsigned i = 0; i < kept->n; i++) {
        if (kept->rows[i].fd >= 0 && strcmp(kept->rows[i].name, name) == 0) {
            int fd = kept->rows[i].fd;
            kept->rows[i].fd = -1;
            return fd;
        }
    }
    return -1;
}

static bool overlaps(const listen_t *row, const ap_listen_rec *listener, apr_pool_t *p)
{
    apr_sockaddr_t *own;
    if (listener->bind_addr->port != row->number) {
        return false;
    }
    if (!*row->host || apr_sockaddr_is_wildcard(listener->bind_addr)) {
        return true;
    }
    return apr_sockaddr_info_get(&own, row->host, APR_UNSPEC, listener->bind_addr->port, 0, p) ==
               APR_SUCCESS &&
           apr_sockaddr_equal(own, listener->bind_addr);
}

/* At a restart HAListen may have become Listen: old children have our socket open for a moment, so
 * httpd could not bind another one. It goes on as httpd's, with all who wait in it. */
static bool give_httpd(const listen_t *row, apr_pool_t *p)
{
    for (ap_listen_rec *listener = ap_listeners; listener; listener = listener->next) {
        if (!listener->active && overlaps(row, listener, p)) {
            int fd = row->fd;
            apr_socket_close(listener->sd);
            apr_os_sock_info_t info = {
                .os_sock = &fd,
                .local = (struct sockaddr *)&listener->bind_addr->sa,
                .family = listener->bind_addr->family,
                .type = SOCK_STREAM,
            };
            listener->accept_func = ap_unixd_accept;
            listener->active = 1;
            return apr_os_sock_make(&listener->sd, &info, p) == APR_SUCCESS;
        }
    }
    return false;
}

/* For all processes at once: old children, which have it open for a moment or for as long as they
 * have clients, would leave whoever comes waiting, and the address could not be bound again. */
static void end(int fd)
{
    shutdown(fd, SHUT_RDWR);
    close(fd);
}

apr_status_t mh_listen_open(apr_pool_t *ptemp, server_rec *s)
{
    listens_t *kept = retained(s);
    apr_status_t rv = APR_SUCCESS;
    for (unsigned i = 0; i < wanted.n && rv == APR_SUCCESS; i++) {
        listen_t *row = &wanted.rows[i];
        row->fd = take_open(kept, row->name);
        if (row->fd < 0) {
            rv = open_row(row);
        } else {
            listen(row->fd, SOMAXCONN); /* a stop may have ended it that a restart overtook */
        }
        if (rv != APR_SUCCESS) {
            ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s, "HAListen %s: could not be opened",
                         row->name);
        }
    }
    for (unsigned i = 0; i < kept->n; i++) {
        if (kept->rows[i].fd >= 0 && !give_httpd(&kept->rows[i], s->process->pool)) {
            end(kept->rows[i].fd);
        }
    }
    *kept = wanted;
    return rv;
}

apr_status_t mh_listen_check(server_rec *s, apr_pool_t *ptemp)
{
    for (unsigned i = 0; i < wanted.n; i++) {
        for (const ap_listen_rec *listener = ap_listeners; listener; listener = listener->next) {
            if (overlaps(&wanted.rows[i], listener, ptemp)) {
                ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s,
                             "HAListen %s: a Listen has that address too, which is for the lane "
                             "or for httpd: keep one",
                             wanted.rows[i].name);
                return APR_EINVAL;
            }
        }
    }
    return APR_SUCCESS;
}

const char *mh_listen_names(apr_pool_t *p)
{
    const char *names = "";
    for (unsigned i = 0; i < wanted.n; i++) {
        const listen_t *row = &wanted.rows[i];
        bool six = strchr(row->host, ':') != NULL;
        names = apr_pstrcat(p, names, i ? ", " : "", six ? "[" : "", *row->host ? row->host : "*",
                            six ? "]:" : ":", row->port, NULL);
    }
    return names;
}

bool mh_listen_any(void)
{
    return wanted.n > 0;
}

int mh_listen_socket(unsigned i)
{
    return i < wanted.n ? wanted.rows[i].fd : -1;
}

void mh_listen_leave(void)
{
    for (unsigned i = 0; i < wanted.n; i++) {
        close(wanted.rows[i].fd);
        wanted.rows[i].fd = -1;
    }
}

/* --- a graceful stop -------------------------------------------------------------------------- */

static struct sigaction httpds; /* what httpd does on the signal */
static pid_t watching;          /* the process that has on_graceful_stop; 0 none */

/* Children have inherited it. */
static void on_graceful_stop(int number)
{
    int error = errno;
    for (unsigned i = 0; i < wanted.n && getpid() == watching; i++) {
        shutdown(wanted.rows[i].fd, SHUT_RDWR);
    }
    errno = error;
    httpds.sa_handler(number);
}

/* Before the module is unloaded. */
static apr_status_t watch_no_more(void *unused)
{
    sigaction(AP_SIG_GRACEFUL_STOP, &httpds, NULL);
    watching = 0;
    return APR_SUCCESS;
}

/* httpd closes its own sockets when the signal has come, calls no module then, and waits for its
 * children. It sets its handler anew in each generation, before the first child; a stop before that
 * leaves ours open until the last child has gone. */
void mh_listen_watch_stop(apr_pool_t *pconf)
{
    if (watching || sigaction(AP_SIG_GRACEFUL_STOP, NULL, &httpds) != 0 ||
        httpds.sa_handler == SIG_DFL || httpds.sa_handler == SIG_IGN) {
        return;
    }
    struct sigaction ours = httpds;
    ours.sa_handler = on_graceful_stop;
    watching = getpid();
    sigaction(AP_SIG_GRACEFUL_STOP, &ours, NULL);
    apr_pool_cleanup_register(pconf, NULL, watch_no_more, apr_pool_cleanup_null);
}
