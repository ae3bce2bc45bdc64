/* SPDX-License-Identifier: Apache-2.0 */
/* Owns starting and ending memcached servers. */
#include "memcached.h"

#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { START_TRIES = 5, LOOKS = 5000, LOOK_MS = 2 };

/* Free just now, as far as one can know. */
static uint16_t free_port(void)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(sin);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool found = bind(fd, (struct sockaddr *)&sin, n) == 0 &&
                 getsockname(fd, (struct sockaddr *)&sin, &n) == 0;
    close(fd);
    return found ? ntohs(sin.sin_port) : 0;
}

static int reach(uint16_t port)
{
    struct sockaddr_in sin = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&sin, sizeof(sin)) == 0) {
        return fd;
    }
    close(fd);
    return -1;
}

/* Ends with the tests, even if these crash; so it stays root's if they are. */
static void run(uint16_t port, const char *option)
{
    char number[8];
    snprintf(number, sizeof(number), "%u", port);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execlp("memcached", "memcached", "-u", "root", "-l", "127.0.0.1", "-p", number, "-U", "0", "-t",
           "1", option, (char *)NULL);
    _exit(127);
}

static int is_up(memcached_server_t *server)
{
    for (int i = 0; i < LOOKS; i++) {
        int fd = reach(server->port);
        if (fd >= 0) {
            close(fd);
            return 1;
        }
        if (waitpid(server->pid, NULL, WNOHANG) == server->pid) {
            return 0;
        }
        poll(NULL, 0, LOOK_MS);
    }
    return 0;
}

void memcached_up(memcached_server_t *server, const char *option)
{
    uint16_t port = server->port;
    for (int i = 0; i < START_TRIES; i++) {
        server->port = port ? port : free_port();
        server->pid = fork();
        if (server->pid == 0) {
            run(server->port, option);
        }
        if (is_up(server)) {
            return;
        }
    }
    fprintf(stderr, "memcached does not start on port %u\n", server->port);
    exit(EXIT_FAILURE);
}

void memcached_kill(memcached_server_t *server)
{
    if (server->pid) {
        kill(server->pid, SIGKILL);
        waitpid(server->pid, NULL, 0);
        server->pid = 0;
    }
}

void memcached_freeze(const memcached_server_t *server)
{
    kill(server->pid, SIGSTOP);
    waitpid(server->pid, NULL, WUNTRACED);
}

void memcached_thaw(const memcached_server_t *server)
{
    kill(server->pid, SIGCONT);
}

const char *memcached_says(const memcached_server_t *server, const char *command)
{
    static char line[512];
    size_t n = 0;
    int fd = reach(server->port);
    dprintf(fd, "%s\r\n", command);
    while (n < sizeof(line) - 1 && read(fd, line + n, 1) == 1 && line[n] != '\r') {
        n++;
    }
    line[n] = '\0';
    close(fd);
    return line;
}
