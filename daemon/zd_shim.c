/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the shim, which is to a service what containerd's is to a container.
 *
 * A script that starts a service often leaves it the script's standard output. What the service has
 * there must never hurt it:
 *
 *   a pipe that nobody reads      blocks it when 64 KB are in it
 *   a pipe that nobody has open   kills it with SIGPIPE, as soon as the daemon is killed
 *   a file                        fills the disk, or the memory, when the daemon that would cut it
 *                                 is dead, and at any time by as much as is printed between two
 * cuts
 *
 * So there is a pipe, and always somebody who reads it.
 */
#include "config.h"
#include "zd_shim.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "zd_fds.h"

enum { PIECE_BYTES = 64 << 10 };

/* The daemon's descriptors are not to be held by somebody who may live for years. */
static void close_others(int output, int alive, int highest)
{
    for (int fd = 0; fd <= highest; fd++) {
        if (fd != output && fd != alive) {
            close(fd);
        }
    }
}

/* Without POLLIN only the end of the other side wakes it up. */
static void drain(int output, int alive)
{
    char piece[PIECE_BYTES];
    struct pollfd fds[] = {{.fd = output}, {.fd = alive}};
    for (;;) {
        poll(fds, 2, -1);
        if (fds[1].revents) {
            fds[1].fd = -1;
            fds[0].events = POLLIN;
        } else if (fds[0].revents & POLLIN) {
            while (read(output, piece, sizeof(piece)) > 0) {
            }
        } else if (fds[0].revents) {
            return;
        }
    }
}

/* In what was forked from a process with threads: nothing but system calls. All signals are
 * blocked, so that it ends with the service and not before. It has a name of its own, or who kills
 * all daemons by theirs kills it, too. */
static void be_shim(int output, int alive, int highest)
{
    setsid();
    close_others(output, alive, highest);
    prctl(PR_SET_NAME, "zd-shim");
    if (chdir("/") == 0) {
        drain(output, alive);
    }
    _exit(0);
}

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

static int fork_shim(child_t *child, int output, int alive)
{
    sigset_t all;
    sigset_t before;
    int highest = zd_fds_seal();
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    child->pid = fork();
    if (child->pid == 0) {
        be_shim(output, alive, highest);
    }
    int why = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return child->pid < 0 ? -why : 0;
}

int zd_shim_start(int output)
{
    int alive[2];
    child_t *child = malloc(sizeof(*child));
    forget_ended();
    if (!child || pipe2(alive, O_CLOEXEC) != 0) {
        free(child);
        return -errno;
    }
    int rv = fork_shim(child, output, alive[0]);
    close(alive[0]);
    if (rv != 0) {
        close(alive[1]);
        free(child);
        return rv;
    }
    child->next = children;
    children = child;
    return alive[1];
}
