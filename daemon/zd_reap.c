/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns looking through /proc. A process is held by a descriptor before its environment is read and
 * killed through that: a number that has become another one's in between is not hit.
 */
#include "config.h"
#include "zd_reap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    SCANS_MAX = 20, /* those that fork faster than that are nobody's service */
    DYING_MAX = 64, /* in one scan */
    PIECE_BYTES = 16 << 10,
    ENVIRON_BYTES_MAX = 8 << 20, /* Linux: a quarter of the stack's limit, at most 6 MB */
    MS_A_S = 1000,
    NS_A_MS = 1000000
};

static long long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * MS_A_S + now.tv_nsec / NS_A_MS;
}

/* Malloced, with a NUL behind it; NULL: it cannot be read. */
static char *read_environ(size_t *n, pid_t pid)
{
    char path[64];
    char *text = NULL;
    ssize_t got = 1;
    snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    for (*n = 0; fd >= 0 && got > 0 && *n < ENVIRON_BYTES_MAX; *n += (size_t)got) {
        char *more = realloc(text, *n + PIECE_BYTES + 1);
        if (!more) {
            break;
        }
        text = more;
        got = read(fd, text + *n, PIECE_BYTES);
        got = got > 0 ? got : 0;
    }
    if (fd >= 0) {
        close(fd);
    }
    if (text) {
        text[*n] = '\0';
    }
    return text;
}

static bool has(const char *text, size_t n, const char *mark)
{
    for (size_t at = 0; at < n; at += strlen(text + at) + 1) {
        if (strcmp(text + at, mark) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_marked(pid_t pid, const char *const *marks)
{
    size_t n;
    char *text = read_environ(&n, pid);
    bool marked = text && *marks;
    for (; marked && *marks; marks++) {
        marked = has(text, n, *marks);
    }
    free(text);
    return marked;
}

/* Processes that are being killed. */
typedef struct dying_t {
    struct pollfd fds[DYING_MAX];
    unsigned n;
} dying_t;

/* How many of them are gone in time; those that are not stay. */
static unsigned wait_ends(dying_t *dying, long long until_ms)
{
    unsigned gone = 0;
    while (dying->n > 0) {
        long long left = until_ms - now_ms();
        int rv = poll(&dying->fds[dying->n - 1], 1, left > 0 ? (int)left : 0);
        if (rv == 0 || (rv < 0 && errno != EINTR)) {
            return gone;
        }
        if (rv == 1) {
            close(dying->fds[--dying->n].fd);
            gone++;
        }
    }
    return gone;
}

/* False when it cannot be told what it is, or it cannot be killed. */
static bool reap_one(dying_t *dying, pid_t pid, const char *const *marks)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0) {
        return errno == ESRCH;
    }
    bool marked = is_marked(pid, marks);
    if (marked && syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) == 0) {
        dying->fds[dying->n++] = (struct pollfd){.fd = fd, .events = POLLIN};
        return true;
    }
    bool gone = marked && errno == ESRCH;
    close(fd);
    return gone || !marked;
}

/* 0: it is not that of a process which may be killed. */
static pid_t pid_of(const struct dirent *entry)
{
    char *end;
    long pid = strtol(entry->d_name, &end, 10);
    return *end == '\0' && pid > 1 && pid != getpid() ? (pid_t)pid : 0;
}

/* All of them are sent the signal before any is waited for: one may be there to start another one
 * anew. How many have died; `clean` says whether there was none. */
static unsigned scan(bool *clean, const char *const *marks, long long until_ms)
{
    dying_t dying = {.n = 0};
    const struct dirent *entry;
    DIR *dir = opendir("/proc");
    *clean = dir != NULL;
    while (dir && dying.n < DYING_MAX && (entry = readdir(dir))) {
        pid_t pid = pid_of(entry);
        *clean = (pid == 0 || reap_one(&dying, pid, marks)) && *clean;
    }
    if (dir) {
        closedir(dir);
    }
    *clean = *clean && dying.n == 0;
    unsigned gone = wait_ends(&dying, until_ms);
    while (dying.n > 0) {
        close(dying.fds[--dying.n].fd);
    }
    return gone;
}

bool zd_reap(unsigned *killed, const char *const *marks)
{
    bool clean = false;
    long long until_ms = now_ms() + ZD_REAP_MS_MAX;
    *killed = 0;
    for (int i = 0; i < SCANS_MAX && !clean && now_ms() <= until_ms; i++) {
        *killed += scan(&clean, marks, until_ms);
    }
    return clean;
}
