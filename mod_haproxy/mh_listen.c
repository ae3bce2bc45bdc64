/* SPDX-License-Identifier: Apache-2.0 */
/* Owns opening, keeping and closing the sockets. */
#include "mh_listen.h"

#include <ap_listen.h>
#include <apr_network_io.h>
#include <apr_strings.h>
#include <errno.h>
#include <http_config.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mh_log.h"

enum { SOCKETS_MAX = 64, DEFER_ACCEPT_S = 30, NAME_BYTES = 128 };

/** One address. */
typedef struct listen_t {
    char name[NAME_BYTES]; /* host:port, host empty for all */
    char host[NAME_BYTES];
    char port[8];
    int fd; /* -1: not open */
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
    row->fd = bound_socket(found);
    apr_status_t rv = row->fd < 0 ? errno : APR_SUCCESS;
    freeaddrinfo(found);
    if (rv == EAFNOSUPPORT && !*row->host) {
        const struct addrinfo four = {
            .ai_family = AF_INET, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
        if (getaddrinfo(NULL, row->port, &four, &found) == 0) {
            row->fd = bound_socket(found);
            rv = row->fd < 0 ? errno : APR_SUCCESS;
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

apr_status_t mh_listen_open(apr_pool_t *ptemp, server_rec *s)
{
    listens_t *kept = retained(s);
    apr_status_t rv = APR_SUCCESS;
    for (unsigned i = 0; i < wanted.n && rv == APR_SUCCESS; i++) {
        listen_t *row = &wanted.rows[i];
        row->fd = take_open(kept, row->name);
        if (row->fd < 0) {
            rv = open_row(row);
        }
        if (rv != APR_SUCCESS) {
            ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s, "HAListen %s: could not be opened",
                         row->name);
        }
    }
    for (unsigned i = 0; i < kept->n; i++) {
        if (kept->rows[i].fd >= 0) {
            close(kept->rows[i].fd);
        }
    }
    *kept = wanted;
    return rv;
}

bool mh_listen_any(void)
{
    return wanted.n > 0;
}

int mh_listen_socket(unsigned i)
{
    return i < wanted.n ? wanted.rows[i].fd : -1;
}
