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
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include <unixd.h>

#include "mh_address.h"
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
    int nudge; /* as in ml_lane_listen; 0: not made yet */
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
        return apr_psprintf(
            p,
            "HAListen: %s is no address, use [ADDRESS:]PORT as for Listen, a port being 1 to "
            "65535",
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

/* It stays: httpd's in this configuration, or one of ours. */
static bool is_in_use(int fd)
{
    for (const ap_listen_rec *listener = ap_listeners; listener; listener = listener->next) {
        int its = -1;
        if (listener->active && apr_os_sock_get(&its, listener->sd) == APR_SUCCESS && its == fd) {
            return true;
        }
    }
    for (unsigned i = 0; i < wanted.n; i++) {
        if (wanted.rows[i].fd == fd) {
            return true;
        }
    }
    return false;
}

/* At a graceful restart Listen may have become HAListen: httpd's socket is still open, and its old
 * children accept from it for a moment. It goes on as ours, with all who wait in it. */
static int take_httpds(const struct sockaddr *address)
{
    mh_address_t its;
    for (int fd = 3; fd < DESCRIPTORS_MAX; fd++) {
        if (mh_address_of(&its, fd) && mh_address_same(&its.any, address) && !is_in_use(fd)) {
            int ours = fcntl(fd, F_DUPFD_CLOEXEC, 3);
            if (ours >= 0) {
                fcntl(ours, F_SETFL, fcntl(ours, F_GETFL) | O_NONBLOCK);
            }
            return ours;
        }
    }
    return -1;
}

/* One that is not for the same address would serve more than it should, or less. httpd, which is
 * about to close it, does so too late for us to have ours. */
static void end_httpds(const listen_t *row, const struct sockaddr *address, server_rec *s)
{
    mh_address_t its;
    char text[MH_ADDRESS_BYTES];
    for (int fd = 3; fd < DESCRIPTORS_MAX; fd++) {
        if (mh_address_of(&its, fd) && mh_address_overlap(&its.any, address) && !is_in_use(fd)) {
            mh_address_write(text, &its);
            ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s,
                         "Listen %s has become HAListen %s, which is not the same: clients that "
                         "waited to be accepted were refused",
                         text, row->name);
            shutdown(fd, SHUT_RDWR);
        }
    }
}

static apr_status_t open_at(listen_t *row, const struct addrinfo *address, server_rec *s)
{
    row->fd = bound_socket(address);
    if (row->fd >= 0 || errno != EADDRINUSE) {
        return row->fd < 0 ? errno : APR_SUCCESS;
    }
    row->fd = take_httpds(address->ai_addr);
    if (row->fd >= 0) {
        return APR_SUCCESS;
    }
    end_httpds(row, address->ai_addr, s);
    row->fd = bound_socket(address);
    return row->fd < 0 ? errno : APR_SUCCESS;
}

static apr_status_t open_row(listen_t *row, server_rec *s)
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
    apr_status_t rv = open_at(row, found, s);
    freeaddrinfo(found);
    if (rv == EAFNOSUPPORT && !*row->host) {
        const struct addrinfo four = {
            .ai_family = AF_INET, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
        if (getaddrinfo(NULL, row->port, &four, &found) == 0) {
            rv = open_at(row, found, s);
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
            listen(fd, SOMAXCONN); /* a stop may have ended it that a restart overtook */
            return fd;
        }
    }
    return -1;
}

static bool overlaps(const listen_t *row, const ap_listen_rec *listener, apr_pool_t *p)
{
    apr_sockaddr_t *own;
    const apr_sockaddr_t *its = listener->bind_addr;
    if (!*row->host) {
        return its->port == row->number;
    }
    return apr_sockaddr_info_get(&own, row->host, APR_UNSPEC, row->number, 0, p) == APR_SUCCESS &&
           mh_address_overlap((struct sockaddr *)&own->sa, (struct sockaddr *)&its->sa);
}

/* Of the records that httpd has no socket for yet: the one for the same address, and one that has
 * to do with that address and is for another one, which the heir does not serve too. NULL none. */
static void find_heirs(ap_listen_rec **heir, ap_listen_rec **rival, const struct sockaddr *address)
{
    ap_listen_rec *included = NULL;
    *heir = *rival = NULL;
    for (ap_listen_rec *listener = ap_listeners; listener; listener = listener->next) {
        const struct sockaddr *its = (struct sockaddr *)&listener->bind_addr->sa;
        if (listener->active || !mh_address_overlap(address, its)) {
            continue;
        }
        if (mh_address_same(address, its)) {
            *heir = listener;
        } else if (mh_address_includes(address, its)) {
            included = listener;
        } else {
            *rival = listener;
        }
    }
    *rival = *heir || *rival ? *rival : included;
}

/* httpd drops the record for IPv4 likewise when a socket for IPv6 has its address too. */
static void drop_included(const struct sockaddr *address)
{
    ap_listen_rec **place = &ap_listeners;
    while (*place) {
        ap_listen_rec *listener = *place;
        if (listener->active ||
            !mh_address_includes(address, (struct sockaddr *)&listener->bind_addr->sa)) {
            place = &listener->next;
            continue;
        }
        *place = listener->next;
        apr_socket_close(listener->sd);
    }
}

static void give(ap_listen_rec *heir, int fd, apr_pool_t *p)
{
    apr_os_sock_info_t info = {
        .os_sock = &fd,
        .local = (struct sockaddr *)&heir->bind_addr->sa,
        .family = heir->bind_addr->family,
        .type = SOCK_STREAM,
    };
    apr_socket_close(heir->sd);
    apr_os_sock_make(&heir->sd, &info, p);
    heir->accept_func = ap_unixd_accept;
    heir->active = 1;
}

/* For all processes at once: old children, which have it open for a moment or for as long as they
 * have clients, would leave whoever comes waiting, and the address could not be bound again. */
static void end(int fd)
{
    shutdown(fd, SHUT_RDWR);
    close(fd);
}

/*
 * At a restart HAListen may have become Listen: old children have our socket open for a moment, so
 * httpd could not bind another one. It goes on as httpd's, with all who wait in it; but not for
 * another address, where it would serve more than it should, or less: httpd can have its own once
 * ours has ended.
 */
static void let_go(const listen_t *row, server_rec *s)
{
    mh_address_t address;
    ap_listen_rec *heir = NULL;
    ap_listen_rec *rival = NULL;
    if (mh_address_of(&address, row->fd)) {
        find_heirs(&heir, &rival, &address.any);
    }
    if (heir && !rival) {
        give(heir, row->fd, s->process->pool);
        drop_included(&address.any);
        return;
    }
    if (rival) {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s,
                     "HAListen %s has become Listen %pI, which is not the same: clients that "
                     "waited to be accepted were refused",
                     row->name, rival->bind_addr);
    }
    end(row->fd);
}

static apr_status_t make_nudge(listens_t *kept, server_rec *s)
{
    if (wanted.n > 0 && kept->nudge == 0) {
        int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (fd < 0) {
            apr_status_t rv = errno;
            ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s, "HAListen: no eventfd for the loops");
            return rv;
        }
        kept->nudge = fd;
    }
    wanted.nudge = kept->nudge;
    return APR_SUCCESS;
}

apr_status_t mh_listen_open(apr_pool_t *ptemp, server_rec *s)
{
    listens_t *kept = retained(s);
    apr_status_t rv = make_nudge(kept, s);
    for (unsigned i = 0; i < wanted.n; i++) {
        wanted.rows[i].fd = take_open(kept, wanted.rows[i].name);
    }
    for (unsigned i = 0; i < kept->n; i++) {
        if (kept->rows[i].fd >= 0) {
            let_go(&kept->rows[i], s);
        }
    }
    for (unsigned i = 0; i < wanted.n && rv == APR_SUCCESS; i++) {
        listen_t *row = &wanted.rows[i];
        rv = row->fd < 0 ? open_row(row, s) : APR_SUCCESS;
        if (rv != APR_SUCCESS) {
            ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s, "HAListen %s: could not be opened",
                         row->name);
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
                             "HAListen %s: Listen %pI has that address, too: keep one of them, "
                             "HAListen for the lane or Listen for httpd",
                             wanted.rows[i].name, listener->bind_addr);
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

int mh_listen_nudge(void)
{
    return wanted.nudge;
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
