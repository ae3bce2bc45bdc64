/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the listening sockets. Does not read from what it accepts. */
#include "app_net.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 4096, ADDRESS_BYTES = 128 };

/** One listening socket. */
typedef struct listener_t {
    const char *wanted;            /* the address as the option said */
    int fd;                        /* -1 while closed; guard: net_lock */
    struct sockaddr_storage bound; /* where it listens, with the real port */
    socklen_t bound_n;             /* length of that, 0 before the first bind */
    char address[ADDRESS_BYTES];   /* the same for people */
} listener_t;

/* Polling holds no lock, so a descriptor counts only when it is still the listener's afterwards. */
static pthread_mutex_t net_lock = PTHREAD_MUTEX_INITIALIZER;
static listener_t listeners[APP_MAX_LISTENERS];
static listener_t control = {.fd = -1};
static int changed_fd = -1; /* eventfd: the set of listeners changed */
static app_net_accepted_t *application_accepted;
static app_net_accepted_t *control_accepted;

static bool unix_address(listener_t *listener, const char *path)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&listener->bound;
    if (strlen(path) >= sizeof(un->sun_path)) {
        return false;
    }
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, strlen(path) + 1);
    listener->bound_n = sizeof(*un);
    return true;
}

/* HOST:PORT or [HOST]:PORT with a numeric host, or unix:PATH. */
static bool resolve(listener_t *listener)
{
    char host[ADDRESS_BYTES];
    const char *wanted = listener->wanted;
    const char *colon = strrchr(wanted, ':');
    if (strncmp(wanted, "unix:", 5) == 0) {
        return unix_address(listener, wanted + 5);
    }
    if (!colon || (size_t)(colon - wanted) >= sizeof(host)) {
        return false;
    }
    bool bracketed = wanted[0] == '[' && colon > wanted + 1 && colon[-1] == ']';
    snprintf(host, sizeof(host), "%.*s", (int)(colon - wanted) - 2 * bracketed, wanted + bracketed);

    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
                             .ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    if (getaddrinfo(host, colon + 1, &hints, &found) != 0) {
        return false;
    }
    memcpy(&listener->bound, found->ai_addr, found->ai_addrlen);
    listener->bound_n = found->ai_addrlen;
    freeaddrinfo(found);
    return true;
}

static void name_bound(listener_t *listener)
{
    char host[64];
    char port[8];
    if (listener->bound.ss_family == AF_UNIX) {
        snprintf(listener->address, sizeof(listener->address), "%s", listener->wanted);
        return;
    }
    listener->bound_n = sizeof(listener->bound);
    getsockname(listener->fd, (struct sockaddr *)&listener->bound, &listener->bound_n);
    getnameinfo((struct sockaddr *)&listener->bound, listener->bound_n, host, sizeof(host), port,
                sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(listener->address, sizeof(listener->address),
             listener->bound.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

static void forget_old_unix_socket(const listener_t *listener)
{
    struct stat st;
    const struct sockaddr_un *un = (const struct sockaddr_un *)&listener->bound;
    if (un->sun_family == AF_UNIX && stat(un->sun_path, &st) == 0 && S_ISSOCK(st.st_mode)) {
        unlink(un->sun_path);
    }
}

static bool listener_open(listener_t *listener)
{
    int yes = 1;
    if (listener->bound_n == 0 && !resolve(listener)) {
        fprintf(stderr, "appd: %s is no address, use 127.0.0.1:8080, [::1]:8080 or unix:/path\n",
                listener->wanted);
        return false;
    }
    forget_old_unix_socket(listener);
    int family = listener->bound.ss_family;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) != 0 ||
        bind(fd, (struct sockaddr *)&listener->bound, listener->bound_n) != 0 ||
        listen(fd, BACKLOG) != 0) {
        fprintf(stderr, "appd: cannot listen on %s: %s\n", listener->wanted, strerror(errno));
        close(fd);
        return false;
    }
    listener->fd = fd;
    name_bound(listener);
    return true;
}

bool app_net_open(void)
{
    for (size_t i = 0; i < app_options.listen_n; i++) {
        listeners[i].wanted = app_options.listen[i];
        listeners[i].fd = -1;
        if (!listener_open(&listeners[i])) {
            return false;
        }
    }
    control.wanted = app_options.control;
    return !control.wanted || listener_open(&control);
}

static void changed(void)
{
    uint64_t one = 1;
    if (write(changed_fd, &one, sizeof(one)) < 0) {
        perror("appd: eventfd");
    }
}

void app_net_refuse(void)
{
    pthread_mutex_lock(&net_lock);
    for (size_t i = 0; i < app_options.listen_n; i++) {
        if (listeners[i].fd >= 0) {
            /* The poll in the other thread holds the socket; only shutdown closes it for peers. */
            shutdown(listeners[i].fd, SHUT_RDWR);
            close(listeners[i].fd);
            listeners[i].fd = -1;
        }
    }
    pthread_mutex_unlock(&net_lock);
    changed();
}

bool app_net_accept(void)
{
    bool all = true;
    pthread_mutex_lock(&net_lock);
    for (size_t i = 0; i < app_options.listen_n; i++) {
        all = (listeners[i].fd >= 0 || listener_open(&listeners[i])) && all;
    }
    pthread_mutex_unlock(&net_lock);
    changed();
    return all;
}

static int accept_one(listener_t *listener, int polled_fd)
{
    int fd = -1;
    pthread_mutex_lock(&net_lock);
    if (listener->fd == polled_fd) {
        fd = accept4(polled_fd, NULL, NULL, SOCK_CLOEXEC);
    }
    int failed = fd < 0 ? errno : 0;
    pthread_mutex_unlock(&net_lock);
    if (failed == EMFILE || failed == ENFILE) {
        app_sleep_ms(1);
    }
    return fd;
}

static void accept_all(listener_t *listener, int polled_fd, app_net_accepted_t *accepted)
{
    int yes = 1;
    int fd;
    while ((fd = accept_one(listener, polled_fd)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
        accepted(fd);
    }
}

static void *application_main(void *unused)
{
    struct pollfd polled[APP_MAX_LISTENERS + 1];
    for (;;) {
        pthread_mutex_lock(&net_lock);
        for (size_t i = 0; i < app_options.listen_n; i++) {
            polled[i] = (struct pollfd){.fd = listeners[i].fd, .events = POLLIN};
        }
        pthread_mutex_unlock(&net_lock);
        polled[app_options.listen_n] = (struct pollfd){.fd = changed_fd, .events = POLLIN};
        if (poll(polled, app_options.listen_n + 1, -1) < 0) {
            continue;
        }
        uint64_t times;
        if (polled[app_options.listen_n].revents && read(changed_fd, &times, sizeof(times)) < 0) {
            continue;
        }
        for (size_t i = 0; i < app_options.listen_n; i++) {
            if (polled[i].revents & POLLIN) {
                accept_all(&listeners[i], polled[i].fd, application_accepted);
            }
        }
    }
    return unused;
}

static void *control_main(void *unused)
{
    struct pollfd polled = {.fd = control.fd, .events = POLLIN};
    for (;;) {
        if (poll(&polled, 1, -1) > 0) {
            accept_all(&control, control.fd, control_accepted);
        }
    }
    return unused;
}

bool app_net_start(app_net_accepted_t *application, app_net_accepted_t *for_control)
{
    pthread_t thread;
    application_accepted = application;
    control_accepted = for_control;
    changed_fd = eventfd(0, EFD_CLOEXEC);
    return changed_fd >= 0 && pthread_create(&thread, NULL, application_main, NULL) == 0 &&
           (!control.wanted || pthread_create(&thread, NULL, control_main, NULL) == 0);
}

void app_net_print(FILE *out, char end)
{
    pthread_mutex_lock(&net_lock);
    for (size_t i = 0; i < app_options.listen_n; i++) {
        fprintf(out, "listen %s%c", listeners[i].address, end);
    }
    if (control.wanted) {
        fprintf(out, "control %s%c", control.address, end);
    }
    pthread_mutex_unlock(&net_lock);
}
