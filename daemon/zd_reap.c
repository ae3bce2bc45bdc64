/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns looking through /proc. A process is what has its number and its time of beginning. Those to
 * kill are all held by a descriptor each before they are looked at again, and killed through that:
 * a number that has become another one's in between is not hit.
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
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "zd_shim.h"

enum {
    SCANS_MAX = 20,  /* those that fork faster than that are nobody's service */
    DYING_MAX = 512, /* in one scan: each takes a descriptor, of which there are mostly 1024 */
    SHIM_MS = 100,   /* for shims to end by themselves */
    PATH_BYTES = 64,
    STAT_BYTES = 1 << 10,
    PROCESSES_MIN = 256,
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

/* --- what is in /proc ------------------------------------------------------------------------- */

typedef enum kind_t {
    UNKNOWN,
    LOOKED_AT, /* right now, for one below it */
    OTHER,
    SHIM,
    SERVICE
} kind_t;

typedef struct process_t {
    pid_t pid;
    pid_t parent;
    unsigned long long began; /* in ticks since the system did */
    bool is_shim;             /* by its name: somebody's */
    bool by_parent;           /* it is what it is because of the one above it */
    kind_t kind;
} process_t;

/* One look at all of them. */
typedef struct table_t {
    const char *const *marks;
    const struct stat *file; /* the shim's mark; NULL: there is none */
    process_t *processes;    /* by number */
    size_t n;
    size_t room;
} table_t;

/* False when it is gone: also when nobody has asked yet how it ended. The name between parentheses
 * may be anything. */
static bool read_stat(process_t *process, pid_t pid)
{
    char text[STAT_BYTES];
    char path[PATH_BYTES];
    char state;
    int parent;
    int threads;
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
    if (fd >= 0) {
        close(fd);
    }
    text[n > 0 ? n : 0] = '\0';
    const char *name = strchr(text, '(');
    const char *rest = strrchr(text, ')');
    *process = (process_t){.pid = pid};
    if (!name || !rest ||
        sscanf(rest,
               ") %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %d %*d %llu",
               &state, &parent, &threads, &process->began) != 4) {
        return false;
    }
    process->parent = parent;
    process->is_shim = strncmp(name, "(" ZD_SHIM_NAME ")", (size_t)(rest - name) + 1) == 0;
    return (state != 'Z' && state != 'X') || threads > 1;
}

/* Malloced, with a NUL behind it; NULL: it cannot be read. */
static char *read_environ(size_t *n, pid_t pid)
{
    char path[PATH_BYTES];
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

static bool is_shim_of(pid_t pid, const struct stat *file)
{
    char path[PATH_BYTES];
    struct stat own;
    snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, ZD_SHIM_MARK_FD);
    return file && stat(path, &own) == 0 && own.st_dev == file->st_dev &&
           own.st_ino == file->st_ino;
}

static bool append(table_t *table, pid_t pid)
{
    if (table->n == table->room) {
        size_t room = table->room ? table->room * 2 : PROCESSES_MIN;
        process_t *more = realloc(table->processes, room * sizeof(*more));
        if (!more) {
            return false;
        }
        table->processes = more;
        table->room = room;
    }
    table->n += read_stat(&table->processes[table->n], pid);
    return true;
}

static int by_number(const void *a, const void *b)
{
    const process_t *one = a;
    const process_t *other = b;
    return (one->pid > other->pid) - (one->pid < other->pid);
}

/* 0: it is not that of a process which may be killed. */
static pid_t pid_of(const struct dirent *entry)
{
    char *end;
    long pid = strtol(entry->d_name, &end, 10);
    return *end == '\0' && pid > 1 && pid != getpid() ? (pid_t)pid : 0;
}

static bool list(table_t *table)
{
    const struct dirent *entry;
    DIR *dir = opendir("/proc");
    bool good = dir != NULL;
    while (good && (entry = readdir(dir))) {
        pid_t pid = pid_of(entry);
        good = pid == 0 || append(table, pid);
    }
    if (dir) {
        closedir(dir);
    }
    if (table->n > 0) {
        qsort(table->processes, table->n, sizeof(*table->processes), by_number);
    }
    return good;
}

/* --- whose they are --------------------------------------------------------------------------- */

static process_t *find(const table_t *table, pid_t pid)
{
    const process_t key = {.pid = pid};
    return table->n ? bsearch(&key, table->processes, table->n, sizeof(key), by_number) : NULL;
}

/* From the top: the kernel has only the way up. */
static kind_t look(const table_t *table, process_t *process)
{
    if (process->kind != UNKNOWN) {
        return process->kind;
    }
    process->kind = LOOKED_AT;
    if (process->is_shim && is_shim_of(process->pid, table->file)) {
        return process->kind = SHIM;
    }
    if (is_marked(process->pid, table->marks)) {
        return process->kind = SERVICE;
    }
    process_t *parent = find(table, process->parent);
    kind_t above = parent ? look(table, parent) : OTHER;
    process->by_parent = above == SHIM || above == SERVICE;
    return process->kind = process->by_parent ? SERVICE : OTHER;
}

/* Whether it is still the one that was listed, and below the one that was listed, up to the one
 * that makes it one of ours: who has the same beginning before and after was there in between. */
static bool is_same(const table_t *table, const process_t *process)
{
    process_t now;
    for (;; process = find(table, process->parent)) {
        if (!read_stat(&now, process->pid) || now.began != process->began) {
            return false;
        }
        if (!process->by_parent) {
            return true;
        }
        if (now.parent != process->parent) {
            return false;
        }
    }
}

/* --- killing ---------------------------------------------------------------------------------- */

/* Processes that are being killed. */
typedef struct dying_t {
    struct pollfd fds[DYING_MAX];
    unsigned n;
} dying_t;

static void let_go(dying_t *dying)
{
    while (dying->n > 0) {
        close(dying->fds[--dying->n].fd);
    }
}

static void hold(dying_t *dying, const table_t *table, const process_t *process)
{
    int fd = dying->n < DYING_MAX ? (int)syscall(SYS_pidfd_open, process->pid, 0) : -1;
    if (fd >= 0 && is_same(table, process)) {
        dying->fds[dying->n++] = (struct pollfd){.fd = fd, .events = POLLIN};
    } else if (fd >= 0) {
        close(fd);
    }
}

/* Those of a kind. Whether there are any, held or not. */
static bool hold_all(dying_t *dying, const table_t *table, kind_t kind)
{
    bool found = false;
    for (size_t i = 0; i < table->n; i++) {
        if (look(table, &table->processes[i]) == kind) {
            hold(dying, table, &table->processes[i]);
            found = true;
        }
    }
    return found;
}

/* Nobody waits for those that may not be killed. */
static void kill_all(dying_t *dying)
{
    unsigned n = 0;
    for (unsigned i = 0; i < dying->n; i++) {
        if (syscall(SYS_pidfd_send_signal, dying->fds[i].fd, SIGKILL, NULL, 0) == 0) {
            dying->fds[n++] = dying->fds[i];
        } else {
            close(dying->fds[i].fd);
        }
    }
    dying->n = n;
}

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

/* All there is to do. */
typedef struct reap_t {
    const char *const *marks;
    const struct stat *file;
    long long until_ms;
    unsigned killed;
    bool shims_waited; /* the last scan has found nothing else, and given them time */
} reap_t;

/* All are held before any is sent the signal, since without its parent one may not be known any
 * more, and all are sent it before any is waited for: one may be there to start another one anew.
 * Whether there were any. */
static bool kill_services(reap_t *reap, const table_t *table)
{
    dying_t dying = {.n = 0};
    bool found = hold_all(&dying, table, SERVICE);
    kill_all(&dying);
    reap->killed += wait_ends(&dying, reap->until_ms);
    let_go(&dying);
    return found;
}

/* One that does not end may have a child that began just behind the scan: it is killed when the
 * next one finds none, either. */
static bool end_shims(reap_t *reap, const table_t *table)
{
    dying_t dying = {.n = 0};
    long long soon_ms = now_ms() + SHIM_MS;
    bool found = hold_all(&dying, table, SHIM);
    if (reap->shims_waited) {
        kill_all(&dying);
    }
    wait_ends(&dying, soon_ms < reap->until_ms ? soon_ms : reap->until_ms);
    let_go(&dying);
    return found;
}

/* Whether there was nobody. */
static bool scan(reap_t *reap)
{
    table_t table = {.marks = reap->marks, .file = reap->file};
    bool listed = list(&table);
    bool services = kill_services(reap, &table);
    bool shims = !services && end_shims(reap, &table);
    reap->shims_waited = shims;
    free(table.processes);
    return listed && !services && !shims;
}

bool zd_reap(unsigned *killed, const char *const *marks, const char *mark)
{
    struct stat file;
    bool has_file = mark && stat(mark, &file) == 0;
    reap_t reap = {
        .marks = marks,
        .file = has_file ? &file : NULL,
        .until_ms = now_ms() + ZD_REAP_MS_MAX,
    };
    bool clean = false;
    for (int i = 0; i < SCANS_MAX && !clean && now_ms() <= reap.until_ms; i++) {
        clean = scan(&reap);
    }
    *killed = reap.killed;
    return clean;
}
