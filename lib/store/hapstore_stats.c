/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the conversation in which a memcached says how it is. */
#include "hapstore_stats.h"

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hapstore_time.h"

enum { ANSWER_BYTES_MAX = 16 << 10 /* of which a memcached of today takes an eighth */ };

static const char question[] = "stats\r\n";
static const char end[] = "END\r\n";

/* --- the answer ------------------------------------------------------------------------------- */

static void take_version(hapstore_stats_t *stats, hap_str_t value)
{
    size_t n = 0;
    while (n < value.n && n < sizeof(stats->version) - 1 && value.p[n] > ' ' && value.p[n] <= '~') {
        stats->version[n] = value.p[n];
        n++;
    }
    stats->version[n] = '\0';
}

static void take(hapstore_stats_t *stats, hap_str_t name, hap_str_t value)
{
    const struct {
        const char *name;
        uint64_t *field;
    } numbers[] = {
        {"uptime", &stats->uptime_s},     {"curr_items", &stats->items},
        {"bytes", &stats->bytes},         {"limit_maxbytes", &stats->bytes_max},
        {"evictions", &stats->evictions},
    };
    unsigned long number;
    if (hap_str_eq(name, HAP_STR_LIT("version"))) {
        take_version(stats, value);
    }
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (hap_str_eq(name, hap_str(numbers[i].name)) && hap_str_uint(&number, value, ULONG_MAX)) {
            *numbers[i].field = number;
        }
    }
}

bool hapstore_stats_read(hapstore_stats_t *stats, hap_str_t answer)
{
    static const hap_str_t stat = {"STAT ", 5};
    hapstore_stats_t read = {.uptime_s = 0};
    hap_str_t line = {"", 0};
    while (hap_str_line(&line, &answer) && hap_str_starts(line, stat)) {
        size_t blank = hap_str_find(line, ' ', stat.n);
        if (line.p[line.n - 1] != '\r') {
            return false;
        }
        take(&read, hap_str_sub(line, stat.n, blank), hap_str_sub(line, blank + 1, line.n - 1));
    }
    if (answer.n || !hap_str_eq(line, HAP_STR_LIT("END\r"))) {
        return false;
    }
    *stats = read;
    return true;
}

/* --- the conversation ------------------------------------------------------------------------- */

/* One try. */
typedef struct talk_t {
    int fd;
    int64_t until_ms;
    int budget_ms;
    char *why;
} talk_t;

static bool fail(const talk_t *talk, const char *why)
{
    snprintf(talk->why, HAPSTORE_STATS_WHY_BYTES, "%s", why);
    return false;
}

static bool fail_by(const talk_t *talk, int error)
{
    char text[HAPSTORE_STATS_WHY_BYTES];
    return fail(talk, strerror_r(error, text, sizeof(text)));
}

static bool wait_for(const talk_t *talk, short events)
{
    struct pollfd event = {.fd = talk->fd, .events = events};
    for (;;) {
        int64_t left_ms = talk->until_ms - hapstore_now_ms();
        int ready = left_ms > 0 ? poll(&event, 1, (int)left_ms) : 0;
        if (ready > 0) {
            return true;
        }
        if (ready == 0) {
            snprintf(talk->why, HAPSTORE_STATS_WHY_BYTES, "no answer within %d ms",
                     talk->budget_ms);
            return false;
        }
        if (errno != EINTR) {
            return fail_by(talk, errno);
        }
    }
}

static bool reach(const talk_t *talk, const struct addrinfo *address)
{
    int error = 0;
    socklen_t n = sizeof(error);
    if (connect(talk->fd, address->ai_addr, address->ai_addrlen) == 0) {
        return true;
    }
    if (errno != EINPROGRESS) {
        return fail_by(talk, errno);
    }
    if (!wait_for(talk, POLLOUT)) {
        return false;
    }
    if (getsockopt(talk->fd, SOL_SOCKET, SO_ERROR, &error, &n) != 0 || error) {
        return fail_by(talk, error ? error : errno);
    }
    return true;
}

static bool is_whole(const char *answer, size_t n)
{
    size_t tail = sizeof(end) - 1;
    return n >= tail && memcmp(answer + n - tail, end, tail) == 0;
}

/* Takes what is there, or waits until there is something. */
static bool hear(const talk_t *talk, char answer[ANSWER_BYTES_MAX], size_t *n)
{
    ssize_t got = recv(talk->fd, answer + *n, ANSWER_BYTES_MAX - *n, 0);
    if (got > 0) {
        *n += (size_t)got;
        return true;
    }
    if (got == 0) {
        return fail(talk, "it closed the connection");
    }
    if (errno == EAGAIN) {
        return wait_for(talk, POLLIN);
    }
    return errno == EINTR || fail_by(talk, errno);
}

static bool listen_to(const talk_t *talk, hapstore_stats_t *stats)
{
    char answer[ANSWER_BYTES_MAX];
    size_t n = 0;
    while (!is_whole(answer, n)) {
        if (n == sizeof(answer)) {
            return fail(talk, "it says more than a memcached would");
        }
        if (!hear(talk, answer, &n)) {
            return false;
        }
    }
    return hapstore_stats_read(stats, hap_strn(answer, n)) ||
           fail(talk, "it does not talk as a memcached");
}

static bool talk_to(talk_t *talk, hapstore_stats_t *stats, const struct addrinfo *address)
{
    talk->fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (talk->fd < 0) {
        return fail_by(talk, errno);
    }
    bool good = reach(talk, address);
    /* So few bytes always fit into the buffer of a new connection. */
    if (good && send(talk->fd, question, sizeof(question) - 1, MSG_NOSIGNAL) < 0) {
        good = fail_by(talk, errno);
    }
    good = good && listen_to(talk, stats);
    close(talk->fd);
    return good;
}

bool hapstore_stats_ask(hapstore_stats_t *stats, char why[HAPSTORE_STATS_WHY_BYTES],
                        const hap_zone_node_t *node, apr_interval_time_t budget)
{
    char port[8];
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    talk_t talk = {.budget_ms = (int)apr_time_as_msec(budget), .why = why};
    snprintf(port, sizeof(port), "%u", (unsigned)node->port);
    int error = getaddrinfo(node->host, port, &hints, &found);
    if (error) {
        return fail(&talk, gai_strerror(error));
    }
    bool good = false;
    talk.until_ms = hapstore_now_ms() + talk.budget_ms;
    for (const struct addrinfo *one = found; one && !good; one = one->ai_next) {
        good = talk_to(&talk, stats, one);
    }
    freeaddrinfo(found);
    return good;
}
