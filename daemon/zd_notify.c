/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the protocol of sd_notify(3): a datagram for each thing to say. It is that small that
 * libsystemd is not needed for it.
 */
#include "config.h"
#include "zd_notify.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "hap_str.h"

enum { US_A_MS = 1000, SEND_SECONDS = 1 };

static struct {
    int front;  /* -1: nobody waits there */
    int socket; /* -1: there is none */
    unsigned alive_ms;
} told = {-1, -1, 0};

/* --- beginning -------------------------------------------------------------------------------- */

/* unix(7): a name that begins with @ is in no folder, and has a NUL in its place. */
static bool set_address(struct sockaddr_un *address, socklen_t *length, const char *name)
{
    size_t n = strlen(name);
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if ((name[0] != '/' && name[0] != '@') || n < 2 || n >= sizeof(address->sun_path)) {
        return false;
    }
    memcpy(address->sun_path, name, n);
    if (name[0] == '@') {
        address->sun_path[0] = '\0';
    }
    *length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (name[0] == '/'));
    return true;
}

static int open_socket(const char *name, hap_diag_t *diag)
{
    struct sockaddr_un address;
    socklen_t length;
    const struct timeval patience = {.tv_sec = SEND_SECONDS};
    if (!set_address(&address, &length, name)) {
        hap_diag_set(diag, 0, "NOTIFY_SOCKET is neither a path nor @NAME: nobody is told");
        return EINVAL;
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, length) != 0) {
        hap_diag_set(diag, 0, "NOTIFY_SOCKET: %s: nobody is told", strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return EINVAL;
    }
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    told.socket = fd;
    return 0;
}

/* Those of another process are none of ours. */
static int read_watchdog(const char *us, const char *pid, hap_diag_t *diag)
{
    unsigned long number;
    unsigned long limit_us;
    if (!us || (pid && hap_str_uint(&number, hap_str(pid), LONG_MAX) &&
                number != (unsigned long)getpid())) {
        return 0;
    }
    if ((pid && !hap_str_uint(&number, hap_str(pid), LONG_MAX)) ||
        !hap_str_uint(&limit_us, hap_str(us), LONG_MAX) || limit_us < 2 * US_A_MS) {
        hap_diag_set(diag, 0, "WATCHDOG_USEC or WATCHDOG_PID is no number: there is no watchdog");
        return EINVAL;
    }
    unsigned long ms = limit_us / 2 / US_A_MS;
    told.alive_ms = ms < INT_MAX ? (unsigned)ms : INT_MAX;
    return 0;
}

static void close_one(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
    *fd = -1;
}

int zd_notify_open(int front, hap_diag_t *diag)
{
    const char *name = getenv("NOTIFY_SOCKET");
    close_one(&told.socket);
    close_one(&told.front);
    told.front = front;
    told.alive_ms = 0;
    int rv = name ? open_socket(name, diag) : 0;
    if (rv == 0 && name) {
        rv = read_watchdog(getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID"), diag);
    }
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    return rv;
}

/* --- telling ---------------------------------------------------------------------------------- */

/* Who does not hear it will do what he does with a daemon that says nothing. */
static void tell(const char *text, int flags)
{
    if (told.socket >= 0) {
        while (send(told.socket, text, strlen(text), MSG_NOSIGNAL | flags) < 0 && errno == EINTR) {
        }
    }
}

unsigned zd_notify_alive_ms(void)
{
    return told.alive_ms;
}

void zd_notify_ready(void)
{
    tell("READY=1", 0);
    if (told.front >= 0 && write(told.front, "", 1) < 0) {
        /* he has not waited so long */
    }
    close_one(&told.front);
}

void zd_notify_alive(void)
{
    tell("WATCHDOG=1", MSG_DONTWAIT); /* it is said again soon */
}

void zd_notify_stopping(void)
{
    tell("STOPPING=1", 0);
}
