/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns load that wrk has no option for, and stands in where wrk is missing: clients that ask again
 * as soon as they are answered, all at once and once only, or at a given pace. At a pace, time
 * counts from when a request was due, so that a server that stalls is not spared the requests it
 * delayed.
 *
 *   load -p PORT -f REQUESTS -c CLIENTS -s SECONDS            as fast as answers come
 *   load -p PORT -f REQUESTS -c CLIENTS -s SECONDS -r RATE    RATE requests a second, evenly
 *   load -p PORT -f REQUESTS -c CLIENTS -n COUNT              so many requests and no more
 *   load -p PORT -f REQUESTS -c CLIENTS -1                    a request a client, all at once
 *
 * With -1 each client leaves when it is answered. -t SECONDS says how long an answer may take, 30
 * if not given. -l FILE gets a line for each answer: when it was there, on the monotonic clock, and
 * how long it took, in microseconds. Prints a line of JSON.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "client.h"
#include "net.h"

enum { EVENTS = 512, MOST_CLIENTS = 19000, MOST_PORTS = 65535, MOST_RATE = 10000000 };
enum { MOST_COUNT = 100000000 };
enum { US_A_SECOND = 1000000, NS_A_US = 1000, NS_A_SECOND = 1000000000, TICK_US = 50000 };
enum { TIMEOUT_SECONDS = 30, SHORTEST_WAIT_NS = 50000, TICK_MS = TICK_US / 1000 };

/* Times are counted in steps of 1/64 of a power of two. */
enum { STEP_BITS = 6, STEPS = 1 << STEP_BITS, POWERS = 40, MEDIAN = 50, NINETY_NINE = 99 };

/** What errors are counted by. */
typedef enum fault_t {
    ERR_CONNECT,
    ERR_READ,
    ERR_WRITE,
    ERR_STATUS,
    ERR_TIMEOUT,
    ERR_ANSWER,
    ERRS
} fault_t;

static const char *const error_names[ERRS] = {
    [ERR_CONNECT] = "connect", [ERR_READ] = "read",       [ERR_WRITE] = "write",
    [ERR_STATUS] = "status",   [ERR_TIMEOUT] = "timeout", [ERR_ANSWER] = "answer",
};

/** What was asked for. */
typedef struct load_t {
    uint16_t port;
    const char *file; /* of requests */
    size_t clients;
    double seconds; /* 0 with `once` or `count` */
    int64_t count;  /* of requests, 0 for as many as there is time for */
    double rate;    /* requests a second, 0 for as many as get answered */
    bool once;      /* a request a client */
    int64_t timeout_us;
    FILE *log; /* of answers; NULL: none */
} load_t;

static load_t load;
static int epoll_fd;
static requests_t requests;
static client_t *clients;
static client_t **idle; /* connected clients that a paced load has nothing to do for */
static size_t idle_n;
static int64_t begin_us;
static int64_t sent;
static int64_t answered;
static int64_t errors[ERRS];
static int64_t finished; /* of those sent, answered or not */
static int64_t times[POWERS * STEPS + STEPS];

/* --- statistics --------------------------------------------------------------------------------
 */

static void count_time(int64_t us)
{
    uint64_t t = us > 0 ? (uint64_t)us : 0;
    int power = t < STEPS ? 0 : 63 - __builtin_clzll(t) - STEP_BITS;
    size_t at = (size_t)power * STEPS + (size_t)(t >> power);
    times[at < sizeof(times) / sizeof(times[0]) ? at : sizeof(times) / sizeof(times[0]) - 1]++;
}

/* The time that so many percent of the answers took at most, within 1/64. */
static int64_t percentile(int percent)
{
    int64_t wanted = (answered * percent + 99) / 100;
    int64_t seen = 0;
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        seen += times[i];
        if (times[i] > 0 && seen >= wanted) {
            size_t power = i < 2 * STEPS ? 0 : i / STEPS - 1;
            return (int64_t)(i - power * STEPS) << power;
        }
    }
    return 0;
}

static void report(int64_t end_us)
{
    long long bytes = 0;
    for (size_t i = 0; i < load.clients; i++) {
        bytes += clients[i].received;
    }
    printf("{\"requests\":%lld,\"seconds\":%.6f,\"bytes\":%lld,\"p50_us\":%lld,\"p99_us\":%lld,",
           (long long)answered, (double)(end_us - begin_us) / US_A_SECOND, bytes,
           (long long)percentile(MEDIAN), (long long)percentile(NINETY_NINE));
    printf("\"errors\":{");
    for (int i = 0; i < ERRS; i++) {
        printf("%s\"%s\":%lld", i > 0 ? "," : "", error_names[i], (long long)errors[i]);
    }
    printf("}}\n");
}

/* --- requests ----------------------------------------------------------------------------------
 */

static void fail(client_t *client, fault_t why)
{
    errors[why]++;
    finished += client->busy;
    client_close(client);
}

/* When the next request of a paced load is due. */
static int64_t due_us(void)
{
    return begin_us + (int64_t)((double)sent / load.rate * US_A_SECOND);
}

static void send_one(client_t *client, int64_t from_us)
{
    sent++;
    if (client_send(client, epoll_fd, &requests, from_us) == OUTCOME_WRITE) {
        fail(client, ERR_WRITE);
    }
}

static bool all_sent(int64_t now)
{
    if (load.once || load.count) {
        return sent >= (load.once ? (int64_t)load.clients : load.count);
    }
    return now >= begin_us + (int64_t)(load.seconds * US_A_SECOND);
}

/* A connected client that waits for no answer: gives it the next request, if there is one. */
static void use(client_t *client, int64_t now)
{
    if (all_sent(now)) {
        return;
    }
    if (load.rate == 0) {
        send_one(client, now);
    } else if (due_us() <= now) {
        send_one(client, due_us());
    } else {
        idle[idle_n++] = client;
    }
}

static void connect_and_use(client_t *client, int64_t now)
{
    if (all_sent(now)) {
        return;
    }
    if (client_open(client, epoll_fd, load.port)) {
        use(client, now);
    } else {
        fail(client, ERR_CONNECT);
    }
}

static void forget_idle(const client_t *client)
{
    for (size_t i = 0; i < idle_n; i++) {
        if (idle[i] == client) {
            idle[i] = idle[--idle_n];
            return;
        }
    }
}

static void count_answer(const client_t *client, int64_t now)
{
    answered++;
    finished++;
    count_time(now - client->from_us);
    if (load.log) {
        fprintf(load.log, "%lld %lld\n", (long long)now, (long long)(now - client->from_us));
    }
}

static void serve_event(client_t *client, uint32_t events)
{
    bool was_busy = client->busy;
    outcome_t outcome = client_go_on(client, epoll_fd, events);
    int64_t now = bench_now_us();
    switch (outcome) {
    case OUTCOME_MORE:
        return;
    case OUTCOME_ANSWERED:
        count_answer(client, now);
        if (load.once) {
            client_close(client);
        } else {
            use(client, now);
        }
        return;
    case OUTCOME_CLOSED:
        count_answer(client, now);
        client_close(client);
        connect_and_use(client, now);
        return;
    case OUTCOME_STATUS:
        fail(client, ERR_STATUS);
        return;
    case OUTCOME_READ:
        if (was_busy) {
            fail(client, errno == ECONNREFUSED ? ERR_CONNECT : ERR_READ);
            return;
        }
        /* A server may close a connection that it has answered on. */
        forget_idle(client);
        client_close(client);
        return;
    case OUTCOME_WRITE:
        fail(client, ERR_WRITE);
        return;
    case OUTCOME_ANSWER:
        fail(client, ERR_ANSWER);
        return;
    }
}

/* Now and then: ends what takes too long, and lets clients whose connection was lost try again. */
static void look_around(int64_t now)
{
    for (size_t i = 0; i < load.clients; i++) {
        client_t *client = &clients[i];
        if (client->busy && now - client->from_us > load.timeout_us) {
            fail(client, ERR_TIMEOUT);
        }
        if (client->fd < 0) {
            connect_and_use(client, now);
        }
    }
}

/* --- the loop ----------------------------------------------------------------------------------
 */

static int start_clock(void)
{
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    long ns = (long)(NS_A_SECOND / load.rate);
    ns = ns < SHORTEST_WAIT_NS ? SHORTEST_WAIT_NS : ns;
    struct timespec every = {ns / NS_A_SECOND, ns % NS_A_SECOND};
    struct itimerspec timer = {every, every};
    if (fd < 0 || timerfd_settime(fd, 0, &timer, NULL) != 0) {
        bench_die("timerfd");
    }
    bench_watch(epoll_fd, fd, EPOLLIN, NULL);
    return fd;
}

static void send_what_is_due(int clock_fd)
{
    uint64_t expired;
    ssize_t got = read(clock_fd, &expired, sizeof(expired));
    int64_t now = bench_now_us();
    while (got > 0 && idle_n > 0 && !all_sent(now) && due_us() <= now) {
        send_one(idle[--idle_n], due_us());
    }
}

static bool is_over(int64_t now)
{
    if (!all_sent(now)) {
        return false;
    }
    /* As fast as answers come: what is under way now is not counted, as wrk does it. */
    if (!load.once && !load.count && load.rate == 0) {
        return true;
    }
    return finished >= sent ||
           now - begin_us > load.timeout_us + (int64_t)(load.seconds * US_A_SECOND);
}

static void run(void)
{
    struct epoll_event events[EVENTS];
    int clock_fd = load.rate > 0 ? start_clock() : -1;
    int64_t now = begin_us = bench_now_us();
    int64_t tick = begin_us + TICK_US;
    for (size_t i = 0; i < load.clients; i++) {
        connect_and_use(&clients[i], now);
    }
    while (!is_over(now)) {
        int n = epoll_wait(epoll_fd, events, EVENTS, TICK_MS);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr) {
                serve_event(events[i].data.ptr, events[i].events);
            } else {
                send_what_is_due(clock_fd);
            }
        }
        now = bench_now_us();
        if (now >= tick) {
            tick = now + TICK_US;
            look_around(now);
        }
    }
    report(now);
}

static double positive(const char *what, const char *text)
{
    char *end;
    double number = strtod(text, &end);
    if (end == text || *end != '\0' || !(number > 0) || number > MOST_RATE) {
        fprintf(stderr, "%s: \"%s\" is no positive number\n", what, text);
        exit(2);
    }
    return number;
}

static FILE *open_log(const char *path)
{
    FILE *log = fopen(path, "w");
    if (!log) {
        bench_die(path);
    }
    return log;
}

static void read_options(int argc, char **argv)
{
    int option;
    load.timeout_us = (int64_t)TIMEOUT_SECONDS * US_A_SECOND;
    while ((option = getopt(argc, argv, "p:f:c:s:r:n:t:l:1")) != -1) {
        switch (option) {
        case 'p':
            load.port = (uint16_t)bench_number("-p", optarg, MOST_PORTS);
            break;
        case 'f':
            load.file = optarg;
            break;
        case 'c':
            load.clients = (size_t)bench_number("-c", optarg, MOST_CLIENTS);
            break;
        case 's':
            load.seconds = positive("-s", optarg);
            break;
        case 'r':
            load.rate = positive("-r", optarg);
            break;
        case 'n':
            load.count = bench_number("-n", optarg, MOST_COUNT);
            break;
        case 'l':
            load.log = open_log(optarg);
            break;
        case 't':
            load.timeout_us = (int64_t)(positive("-t", optarg) * US_A_SECOND);
            break;
        case '1':
            load.once = true;
            break;
        default:
            exit(2);
        }
    }
    if (optind != argc || !load.port || !load.file || !load.clients ||
        load.once + (load.seconds > 0) + (load.count > 0) != 1) {
        fprintf(stderr, "usage: load -p PORT -f REQUESTS -c CLIENTS [-t SECONDS] [-l FILE] "
                        "{-s SECONDS [-r RATE] | -n COUNT | -1}\n");
        exit(2);
    }
}

int main(int argc, char **argv)
{
    read_options(argc, argv);
    bench_begin();
    requests_read(&requests, load.file);
    clients = calloc(load.clients, sizeof(*clients));
    idle = calloc(load.clients, sizeof(client_t *));
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (!clients || !idle || epoll_fd < 0) {
        bench_die("load");
    }
    for (size_t i = 0; i < load.clients; i++) {
        clients[i].fd = -1;
    }
    run();
    if (load.log && fclose(load.log) != 0) {
        bench_die("-l");
    }
    return 0;
}
