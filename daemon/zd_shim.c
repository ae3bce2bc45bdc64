/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the shim, which is to a service what containerd's is to a container:
 *
 *   zerod --- shim --- script --- service         while the script runs
 *   zerod --- shim --- service                    when it has ended
 *             shim --- service                    when the daemon has been killed
 *
 * A service leaves its script's session, and writes over its environment to show a better name in
 * ps. What it cannot leave is the shim: the kernel gives it each orphan below it, as it gives all
 * others to number 1 (prctl(2), PR_SET_CHILD_SUBREAPER).
 *
 * A script that starts a service often leaves it the script's standard output, too. What it has
 * there must never hurt it:
 *
 *   a pipe that nobody reads      blocks it when 64 KB are in it
 *   a pipe that nobody has open   kills it with SIGPIPE, as soon as the daemon is killed
 *   a file                        fills the disk, or the memory, when the daemon that would cut it
 *                                 is dead
 *
 * So there is a pipe, and always somebody who reads it: the daemon while the script runs, then the
 * shim.
 *
 * It is forked from a process with threads, and so makes nothing but system calls.
 */
#include "config.h"
#include "zd_shim.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "zd_fds.h"

enum { PIECE_BYTES = 4 << 10, NS_A_S = 1000000000, EXIT_NOT_RUN = 127 };

static void say(int channel, zd_shim_kind_t kind, int value)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    const zd_shim_said_t said = {
        .kind = kind,
        .value = value,
        .at_ns = (uint64_t)now.tv_sec * NS_A_S + (uint64_t)now.tv_nsec,
    };
    send(channel, &said, sizeof(said), MSG_NOSIGNAL); /* the daemon may be dead */
}

static void refuse(int channel)
{
    say(channel, ZD_SHIM_FAILED, errno);
    _exit(EXIT_NOT_RUN);
}

/* --- the script's process, before it is the script -------------------------------------------- */

static void default_signals(void)
{
    sigset_t none;
    for (int number = 1; number < NSIG; number++) {
        signal(number, SIG_DFL);
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The lowest numbers are free. */
static void be_script(const zd_shim_conf_t *conf, int channel)
{
    setsid();
    say(channel, ZD_SHIM_STARTED, getpid());
    if (open("/dev/null", O_RDONLY) == STDIN_FILENO && dup2(conf->writes, STDOUT_FILENO) >= 0 &&
        dup2(conf->writes, STDERR_FILENO) >= 0) {
        default_signals();
        environ = (char **)conf->env;
        execvp(conf->argv[0], (char *const *)conf->argv);
    }
    refuse(channel);
}

/* --- the shim --------------------------------------------------------------------------------- */

/* Out of the way of the mark. */
static void lift(int *fd, int channel)
{
    int lifted = *fd > ZD_SHIM_MARK_FD ? *fd : fcntl(*fd, F_DUPFD_CLOEXEC, ZD_SHIM_MARK_FD + 1);
    if (lifted < 0) {
        refuse(channel);
    }
    *fd = lifted;
}

/* The daemon's descriptors are not to be held by somebody who may live for years. */
static void keep_own(zd_shim_conf_t *conf, int *channel, int mark, int highest)
{
    lift(channel, *channel);
    lift(&conf->reads, *channel);
    lift(&conf->writes, *channel);
    if (mark >= 0 && mark != ZD_SHIM_MARK_FD && dup3(mark, ZD_SHIM_MARK_FD, O_CLOEXEC) < 0) {
        refuse(*channel);
    }
    for (int fd = 0; fd <= highest; fd++) {
        bool is_mark = mark >= 0 && fd == ZD_SHIM_MARK_FD;
        if (!is_mark && fd != *channel && fd != conf->reads && fd != conf->writes) {
            close(fd);
        }
    }
}

/* Whether there are any left. */
static bool wait_children(pid_t script, int channel)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == script) {
            say(channel, ZD_SHIM_ENDED, status);
        }
    }
    return pid == 0;
}

/* Without POLLIN only the end of the other side is heard of. A child's end wakes it up, too; all
 * other signals stay blocked, so that it ends with the service and not before. */
static void attend(int output, int channel, pid_t script)
{
    char piece[PIECE_BYTES];
    sigset_t but_children;
    struct pollfd fds[] = {{.fd = output}, {.fd = channel}};
    sigfillset(&but_children);
    sigdelset(&but_children, SIGCHLD);
    while (wait_children(script, channel) || fds[0].fd >= 0) {
        if (ppoll(fds, 2, NULL, &but_children) < 0) {
            continue;
        }
        if (fds[1].revents) {
            fds[1].fd = -1;
            fds[0].events = POLLIN;
        } else if (fds[0].revents & POLLIN) {
            (void)!read(output, piece, sizeof(piece));
        } else if (fds[0].revents) {
            fds[0].fd = -1;
        }
    }
}

static void wake(int number)
{
    (void)number;
}

static void be_shim(zd_shim_conf_t conf, int channel, int mark, int highest)
{
    setsid();
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    keep_own(&conf, &channel, mark, highest);
    prctl(PR_SET_NAME, ZD_SHIM_NAME); /* or who kills all daemons by their name kills it, too */
    signal(SIGCHLD, wake);
    pid_t script = _Fork(); /* fork would have libuv close numbers that are not its own any more */
    if (script == 0) {
        be_script(&conf, channel);
    }
    if (script < 0) {
        refuse(channel);
    }
    close(conf.writes);
    (void)!chdir("/");
    attend(conf.reads, channel, script);
    _exit(0);
}

/* --- the daemon's side ------------------------------------------------------------------------ */

/* Shims that have not been waited for. The loop does not do that for who is none of its own. */
typedef struct child_t {
    struct child_t *next;
    pid_t pid;
} child_t;

static child_t *children; /* loop thread only */

static void forget_ended(void)
{
    for (child_t **at = &children; *at;) {
        child_t *child = *at;
        if (waitpid(child->pid, NULL, WNOHANG) == 0) {
            at = &child->next;
            continue;
        }
        *at = child->next;
        free(child);
    }
}

static int fork_shim(const zd_shim_conf_t *conf, int channel, int mark)
{
    sigset_t all;
    sigset_t before;
    int highest = zd_fds_seal();
    child_t *child = malloc(sizeof(*child));
    if (!child) {
        return -ENOMEM;
    }
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    child->pid = fork();
    if (child->pid == 0) {
        be_shim(*conf, channel, mark, highest);
    }
    int why = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (child->pid < 0) {
        free(child);
        return -why;
    }
    child->next = children;
    children = child;
    return 0;
}

static int hear(zd_shim_said_t *said, int channel, int flags)
{
    ssize_t n;
    do {
        n = recv(channel, said, sizeof(*said), flags);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return errno == EAGAIN ? 0 : -1;
    }
    return n == (ssize_t)sizeof(*said) ? 1 : -1;
}

int zd_shim_hear(zd_shim_said_t *said, int channel)
{
    return hear(said, channel, MSG_DONTWAIT);
}

/* That it has a pid, or why not. */
static int hear_first(zd_shim_t *shim, int channel)
{
    zd_shim_said_t said;
    if (hear(&said, channel, 0) != 1) {
        return -ECHILD;
    }
    if (said.kind != ZD_SHIM_STARTED) {
        return -said.value;
    }
    *shim = (zd_shim_t){.script = said.value, .channel = channel};
    return 0;
}

static int start(zd_shim_t *shim, const zd_shim_conf_t *conf, int mark)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        return -errno;
    }
    int rv = fork_shim(conf, ends[1], mark);
    close(ends[1]);
    rv = rv ? rv : hear_first(shim, ends[0]);
    if (rv != 0) {
        close(ends[0]);
    }
    return rv;
}

int zd_shim_start(zd_shim_t *shim, const zd_shim_conf_t *conf)
{
    int mark = -1;
    forget_ended();
    if (conf->mark && (mark = open(conf->mark, O_RDONLY | O_CREAT | O_CLOEXEC, 0600)) < 0) {
        return -errno;
    }
    int rv = start(shim, conf, mark);
    if (mark >= 0) {
        close(mark);
    }
    return rv;
}
