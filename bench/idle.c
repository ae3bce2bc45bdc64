/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns clients that ask once and then hold their connection open without a word. Does not measure:
 * it says when they all are there, and at the end how many the server has closed.
 *
 *   idle PORT REQUESTS CLIENTS
 *
 * Prints "ready N" and, on SIGTERM, "held N lost M".
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "client.h"
#include "net.h"

enum { EVENTS = 256, MOST_CLIENTS = 19000, MOST_PORTS = 65535, AT_ONCE = 64 };
enum { US_A_SECOND = 1000000, SETUP_SECONDS = 60, TICK_MS = 100 };

static int epoll_fd;
static client_t *clients;
static size_t clients_n;
static size_t opened;
static size_t answered;
static size_t lost;
static requests_t requests;

/* Keeps some on their way, not all: a server's backlog is not what is measured here. */
static void open_some(uint16_t port)
{
    while (opened < clients_n && opened - answered - lost < AT_ONCE) {
        client_t *client = &clients[opened++];
        if (!client_open(client, epoll_fd, port) ||
            client_send(client, epoll_fd, &requests, 0) != OUTCOME_MORE) {
            client_close(client);
            lost++;
        }
    }
}

static void serve_event(client_t *client, uint32_t events)
{
    bool was_busy = client->busy;
    outcome_t outcome = client_go_on(client, epoll_fd, events);
    if (outcome == OUTCOME_MORE) {
        return;
    }
    if (outcome == OUTCOME_ANSWERED) {
        answered++;
        return;
    }
    answered -= !was_busy;
    lost++;
    client_close(client);
}

static int end_on_sigterm(void)
{
    sigset_t stops;
    sigemptyset(&stops);
    sigaddset(&stops, SIGTERM);
    sigprocmask(SIG_BLOCK, &stops, NULL);
    return signalfd(-1, &stops, SFD_CLOEXEC);
}

static void hold(uint16_t port)
{
    struct epoll_event events[EVENTS];
    int64_t give_up = bench_now_us() + (int64_t)SETUP_SECONDS * US_A_SECOND;
    bool ready = false;
    for (;;) {
        open_some(port);
        if (!ready && (answered + lost == clients_n || bench_now_us() > give_up)) {
            ready = true;
            printf("ready %zu\n", answered);
            fflush(stdout);
        }
        int n = epoll_wait(epoll_fd, events, EVENTS, TICK_MS);
        for (int i = 0; i < n; i++) {
            if (!events[i].data.ptr) {
                return;
            }
            serve_event(events[i].data.ptr, events[i].events);
        }
    }
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: idle PORT REQUESTS CLIENTS\n");
        return 2;
    }
    uint16_t port = (uint16_t)bench_number("PORT", argv[1], MOST_PORTS);
    clients_n = (size_t)bench_number("CLIENTS", argv[3], MOST_CLIENTS);
    bench_begin();
    requests_read(&requests, argv[2]);
    clients = calloc(clients_n, sizeof(*clients));
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (!clients || epoll_fd < 0) {
        bench_die("idle");
    }
    bench_watch(epoll_fd, end_on_sigterm(), EPOLLIN, NULL);
    hold(port);
    printf("held %zu lost %zu\n", answered, lost);
    return 0;
}
