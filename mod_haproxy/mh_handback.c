/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns both ends of the way back. The sender is a loop, the receiver whichever child of the newest
 * generation accepts: from there on it is a connection like any other, with asynchronous keep-alive
 * and all that modules do to connections.
 */
#include "mh_handback.h"

#include <ap_listen.h>
#include <ap_mpm.h>
#include <apr_portable.h>
#include <apr_strings.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <http_config.h>
#include <http_connection.h>
#include <http_core.h>
#include <http_vhost.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <unixd.h>
#include <util_filter.h>

#include "mh_log.h"

enum {
    MAGIC = 0x68617031, /* "hap1" */
    BYTES_MAX = 256 << 10,
    WAIT_MS = 1000, /* for the message behind the connect: it is on its way */
    BACKLOG = 4096
};

/** What comes before the bytes. */
typedef struct letter_t {
    uint32_t magic;
    uint32_t status;
    uint32_t bytes_n;
} letter_t;

/** A connection that was given back; in its pool, found by our module's place in it. */
typedef struct given_t {
    unsigned status;    /* of the answer to the first request; 0 as usual */
    const char *unread; /* what the lane had read, until the core takes it */
    apr_size_t unread_n;
} given_t;

static struct sockaddr_un address;
static int listening = -1; /* where it is accepted; httpd has a duplicate */

/** The listening socket outlives every configuration, so that what waits in it does too. */
typedef struct retained_t {
    int fd;
    struct sockaddr_un address;
} retained_t;

static const char retained_key[] = "mod_haproxy-handback";

/* --- the listener ----------------------------------------------------------------------------- */

/* With the configuration, and the module, but only when the server ends. */
static apr_status_t remove_file(void *unused)
{
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_EXITING) {
        unlink(address.sun_path);
    }
    return APR_SUCCESS;
}

/* The process that the name says is gone, and no process of another name space listens either. */
static bool is_stale(const char *path, pid_t pid)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(at.sun_path) || kill(pid, 0) == 0 || errno != ESRCH) {
        return false;
    }
    apr_cpystrn(at.sun_path, path, sizeof(at.sun_path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool refused =
        fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof(at)) != 0 && errno == ECONNREFUSED;
    if (fd >= 0) {
        close(fd);
    }
    return refused;
}

/* Of the process whose socket has that name; 0: it is no such name. */
static pid_t pid_of(const char *name)
{
    const hap_str_t begin = HAP_STR_LIT("haproxy.");
    const hap_str_t end = HAP_STR_LIT(".sock");
    hap_str_t all = hap_str(name);
    unsigned long pid;
    if (all.n <= begin.n + end.n || !hap_str_starts(all, begin) ||
        !hap_str_eq(hap_str_sub(all, all.n - end.n, all.n), end)) {
        return 0;
    }
    hap_str_t number = hap_str_sub(all, begin.n, all.n - end.n);
    return hap_str_uint(&pid, number, INT32_MAX) ? (pid_t)pid : 0;
}

/* A server that was killed could not remove its own. `folder` ends with a slash. */
static void remove_stale(const char *folder, apr_pool_t *p)
{
    DIR *all = opendir(folder);
    const struct dirent *one;
    while (all && (one = readdir(all)) != NULL) {
        pid_t pid = pid_of(one->d_name);
        const char *path = pid ? apr_pstrcat(p, folder, one->d_name, NULL) : NULL;
        if (path && is_stale(path, pid)) {
            unlink(path);
        }
    }
    if (all) {
        closedir(all);
    }
}

static apr_status_t open_listener(int *listener, server_rec *s)
{
    apr_pool_t *p = s->process->pool;
    char *path = apr_psprintf(p, "haproxy.%ld.sock", (long)getpid());
    path = ap_runtime_dir_relative(p, path);
    address.sun_family = AF_UNIX;
    if (!path || strlen(path) >= sizeof(address.sun_path)) {
        return APR_ENAMETOOLONG;
    }
    apr_cpystrn(address.sun_path, path, sizeof(address.sun_path));
    remove_stale(ap_make_dirstr_parent(p, path), p);
    unlink(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return errno;
    }
    mode_t before = umask(S_IRWXG | S_IRWXO);
    int rv = bind(fd, (struct sockaddr *)&address, sizeof(address));
    int error = errno;
    umask(before);
    if (rv != 0 || listen(fd, BACKLOG) != 0) {
        error = rv != 0 ? error : errno;
        close(fd);
        return error;
    }
    if (geteuid() == 0 && chown(path, ap_unixd_config.user_id, (gid_t)-1) != 0) {
        error = errno;
        close(fd);
        return error;
    }
    *listener = fd;
    return APR_SUCCESS;
}

/*
 * The address in httpd's record. prefork's parent connects to it, if it has no other, to wake a
 * child; that is refused as no letter is. The name is what duplicates for ListenCoresBucketsRatio
 * are bound to, which httpd cannot make of a Unix-domain one.
 */
static apr_status_t record_address(apr_sockaddr_t **made, apr_pool_t *p)
{
    apr_status_t rv = apr_sockaddr_info_get(made, address.sun_path, APR_UNIX, 0, 0, p);
    if (rv == APR_SUCCESS) {
        (*made)->hostname = apr_pstrdup(p, "127.0.0.1");
    }
    return rv;
}

/* As httpd makes its own records. httpd closes it with the configuration, so its descriptor is
 * another one. */
static apr_status_t add_listener(server_rec *s)
{
    ap_listen_rec *record = apr_pcalloc(s->process->pool, sizeof(*record));
    apr_status_t rv = record_address(&record->bind_addr, s->process->pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    int fd = fcntl(listening, F_DUPFD_CLOEXEC, 3);
    if (fd < 0) {
        return errno;
    }
    apr_os_sock_info_t info = {
        .os_sock = &fd,
        .local = (struct sockaddr *)&address,
        .family = AF_UNIX,
        .type = SOCK_STREAM,
    };
    apr_os_sock_make(&record->sd, &info, s->process->pool);
    record->accept_func = ap_unixd_accept;
    record->active = 1;
    record->protocol = "haproxy"; /* no accept filter */
    ap_listen_rec **last = &ap_listeners;
    while (*last) {
        last = &(*last)->next;
    }
    *last = record;
    return APR_SUCCESS;
}

/* prefork and worker do not poll a listener that is the only one, but call accept() at once, which
 * does not wait here: so there are two for the one socket then. */
static apr_status_t add_listeners(server_rec *s)
{
    bool alone = !ap_listeners;
    apr_status_t rv = add_listener(s);
    return rv == APR_SUCCESS && alone ? add_listener(s) : rv;
}

bool mh_handback_is_open(server_rec *s)
{
    retained_t *kept = NULL;
    apr_pool_userdata_get((void **)&kept, retained_key, s->process->pool);
    return kept != NULL;
}

apr_status_t mh_handback_open(apr_pool_t *pconf, server_rec *s)
{
    apr_status_t rv;
    retained_t *kept = NULL;
    apr_pool_userdata_get((void **)&kept, retained_key, s->process->pool);
    if (!kept) {
        kept = apr_palloc(s->process->pool, sizeof(*kept));
        rv = open_listener(&kept->fd, s);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        kept->address = address;
        apr_pool_userdata_set(kept, retained_key, NULL, s->process->pool);
    }
    address = kept->address;
    listening = kept->fd;
    rv = add_listeners(s);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    apr_pool_cleanup_register(pconf, NULL, remove_file, apr_pool_cleanup_null);
    return APR_SUCCESS;
}

/* --- giving ----------------------------------------------------------------------------------- */

static bool send_letter(int to, int fd, hap_str_t bytes, unsigned status)
{
    letter_t letter = {MAGIC, status, (uint32_t)bytes.n};
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec pieces[] = {{&letter, sizeof(letter)}, {(void *)(uintptr_t)bytes.p, bytes.n}};
    struct msghdr message = {
        .msg_iov = pieces,
        .msg_iovlen = 2,
        .msg_control = control.room,
        .msg_controllen = sizeof(control.room),
    };
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(rights), &fd, sizeof(fd));
    size_t all = sizeof(letter) + bytes.n;
    return sendmsg(to, &message, MSG_NOSIGNAL) == (ssize_t)all;
}

bool mh_handback_give(int fd, hap_str_t bytes, unsigned status)
{
    int room = BYTES_MAX + (int)sizeof(letter_t);
    if (bytes.n > BYTES_MAX) {
        return false;
    }
    int to = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (to < 0) {
        return false;
    }
    if (bytes.n > (64 << 10)) {
        setsockopt(to, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
    }
    bool given = connect(to, (struct sockaddr *)&address, sizeof(address)) == 0 &&
                 send_letter(to, fd, bytes, status);
    close(to);
    return given;
}

/* With its message each takes the descriptor that is in it. */
void mh_handback_refuse(void)
{
    int fd;
    while ((fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        close(fd);
    }
}

/* --- receiving -------------------------------------------------------------------------------- */

/* Only this server's own processes run as its user and can be trusted with what they say. */
static bool is_ours(int fd)
{
    struct ucred peer;
    socklen_t n = sizeof(peer);
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0 && peer.uid == geteuid();
}

static int take_descriptor(struct msghdr *message)
{
    int fd = -1;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_RIGHTS) {
            memcpy(&fd, CMSG_DATA(part), sizeof(fd));
        }
    }
    return fd;
}

static bool read_full(int fd, char *to, size_t n)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    while (n) {
        if (poll(&wait, 1, WAIT_MS) != 1) {
            return false;
        }
        ssize_t got = recv(fd, to, n, 0);
        if (got <= 0) {
            return false;
        }
        to += got;
        n -= (size_t)got;
    }
    return true;
}

/* The letter, its bytes and the descriptor; -1 if it is none. */
static int read_letter(int from, letter_t *letter, char **bytes, apr_pool_t *p)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec piece = {letter, sizeof(*letter)};
    struct msghdr message = {
        .msg_iov = &piece,
        .msg_iovlen = 1,
        .msg_control = control.room,
        .msg_controllen = CMSG_LEN(sizeof(int)), /* no second one */
    };
    struct pollfd wait = {.fd = from, .events = POLLIN};
    if (poll(&wait, 1, WAIT_MS) != 1) {
        return -1;
    }
    ssize_t n = recvmsg(from, &message, MSG_CMSG_CLOEXEC);
    int fd = n > 0 ? take_descriptor(&message) : -1;
    bool fine =
        n == sizeof(*letter) && fd >= 0 && letter->magic == MAGIC && letter->bytes_n <= BYTES_MAX;
    if (fine) {
        *bytes = apr_palloc(p, letter->bytes_n + 1);
        fine = read_full(from, *bytes, letter->bytes_n);
    }
    if (!fine && fd >= 0) {
        close(fd);
    }
    return fine ? fd : -1;
}

/* The connection becomes the client's: its descriptor, its addresses, its virtual host. */
static apr_status_t become(conn_rec *c, int accepted, int fd)
{
    if (dup2(fd, accepted) < 0) {
        return errno;
    }
    int flags = fcntl(accepted, F_GETFL);
    fcntl(accepted, F_SETFL, flags | O_NONBLOCK);
    fcntl(accepted, F_SETFD, FD_CLOEXEC);
    apr_socket_t *probe = NULL;
    apr_sockaddr_t *remote;
    apr_sockaddr_t *local;
    apr_os_sock_put(&probe, &accepted, c->pool);
    apr_status_t rv = apr_socket_addr_get(&remote, APR_REMOTE, probe);
    if (rv == APR_SUCCESS) {
        rv = apr_socket_addr_get(&local, APR_LOCAL, probe);
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    c->client_addr = remote;
    c->local_addr = local;
    apr_sockaddr_ip_get(&c->client_ip, remote);
    apr_sockaddr_ip_get(&c->local_ip, local);
    ap_update_vhost_given_ip(c);
    return APR_SUCCESS;
}

static given_t *given_of(const conn_rec *c)
{
    return ap_get_module_config(c->conn_config, &haproxy_module);
}

bool mh_handback_was_given(const conn_rec *c)
{
    return given_of(c) != NULL;
}

/* It was accepted by our listener: connections to members may be Unix-domain ones too. */
static bool came_to_us(int fd)
{
    struct sockaddr_un local = {0};
    socklen_t n = sizeof(local);
    return *address.sun_path && getsockname(fd, (struct sockaddr *)&local, &n) == 0 &&
           local.sun_family == AF_UNIX && strcmp(local.sun_path, address.sun_path) == 0;
}

static int receive(conn_rec *c, void *csd)
{
    apr_socket_t *socket = csd;
    int accepted = -1;
    if (c->master || !socket || c->client_addr->family == APR_INET ||
        c->client_addr->family == APR_INET6) {
        return DECLINED;
    }
    apr_os_sock_get(&accepted, socket);
    if (!came_to_us(accepted)) {
        return DECLINED;
    }
    letter_t letter;
    char *bytes = NULL;
    int fd = is_ours(accepted) ? read_letter(accepted, &letter, &bytes, c->pool) : -1;
    apr_status_t rv = fd >= 0 ? become(c, accepted, fd) : APR_EINVAL;
    if (fd >= 0) {
        close(fd);
    }
    if (rv != APR_SUCCESS) {
        ap_log_cerror(APLOG_MARK, APLOG_DEBUG, rv, c, "a connection was given back in vain");
        c->aborted = 1;
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    ap_log_cerror(APLOG_MARK, APLOG_DEBUG, 0, c, "given back by the lane: %u bytes, status %u",
                  letter.bytes_n, letter.status);
    if (letter.bytes_n == 0 && letter.status == 0) {
        return DECLINED; /* an idle client of a lane that ends: as if it had just come */
    }
    given_t *given = apr_pcalloc(c->pool, sizeof(*given));
    given->status = letter.status;
    given->unread = bytes;
    given->unread_n = letter.bytes_n;
    ap_set_module_config(c->conn_config, &haproxy_module, given);
    return DECLINED;
}

/*
 * The core reads these bytes first, and then the socket, as if all had come from there. A filter of
 * our own below the core's could not do it: where httpd throws input away after a malformed
 * request, it takes for granted that the core's filter was the one that read it.
 */
static apr_status_t put_unread(conn_rec *c, apr_bucket_brigade *to, apr_socket_t *socket)
{
    given_t *given = given_of(c);
    if (given && given->unread_n) {
        APR_BRIGADE_INSERT_TAIL(
            to, apr_bucket_pool_create(given->unread, given->unread_n, c->pool, c->bucket_alloc));
        given->unread_n = 0;
    }
    return AP_DECLINED;
}

/* What mod_proxy has its page say of a member that did not answer, see ap_proxyerror(). That one
 * would log it too, which the lane has done. */
static void say_as_mod_proxy(request_rec *r)
{
    r->status_line = "502 Proxy Error";
    apr_table_setn(r->notes, "error-notes",
                   "The proxy server could not handle the request<p>Reason: "
                   "<strong>Error reading from remote server</strong></p>");
    apr_table_setn(r->notes, "verbose-error-to", "*");
}

/* The lane could not have it served: the answer, and the page for it, are httpd's. */
static int answer_with_status(request_rec *r)
{
    given_t *given = given_of(r->connection);
    if (!given || !given->status || r->main || r->prev) {
        return DECLINED;
    }
    unsigned status = given->status;
    given->status = 0;
    if (status == HTTP_BAD_GATEWAY) {
        say_as_mod_proxy(r);
    }
    return (int)status;
}

void mh_handback_register(void)
{
    ap_hook_pre_connection(receive, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_handler(answer_with_status, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_insert_network_bucket(put_unread, NULL, NULL, APR_HOOK_FIRST);
}
