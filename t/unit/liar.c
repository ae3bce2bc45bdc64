/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the lies, a thread for each connection. */
#include "liar.h"

#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    NUMBER_BYTES = 32,
    LINE_BYTES = 4096,
    TRICKLE_MS = 10,
    SLOW_MS = 50,
    BATCH_MS = 20,
    TRICKLED_BYTES = 100000,
    EARLY_BYTES = 100000,
    ROOM_BYTES = 4096
};

/* A line without its end; NULL when there is no more. */
static char *read_line(int fd, char line[LINE_BYTES])
{
    size_t n = 0;
    while (n < LINE_BYTES - 1 && recv(fd, line + n, 1, 0) == 1) {
        if (line[n++] == '\n') {
            line[n - 2] = '\0';
            return line;
        }
    }
    return NULL;
}

static void say(int fd, const char *text)
{
    (void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
}

/* `VA`, and what follows, with %s for the number of the question. */
static void say_numbered(int fd, const char *format, const char *number)
{
    char text[LINE_BYTES];
    const char *mark = strstr(format, "%s");
    snprintf(text, sizeof(text), "%.*s%s%s", (int)(mark - format), format, number, mark + 2);
    say(fd, text);
}

static void trickle(liar_t *liar, int fd, const char *number)
{
    say_numbered(fd, "VA 100000 c7 %s\r\n", number);
    for (int i = 0; i < TRICKLED_BYTES && !liar->stop; i++) {
        if (send(fd, "x", 1, MSG_NOSIGNAL) != 1) {
            return;
        }
        poll(NULL, 0, TRICKLE_MS);
    }
}

static void babble(liar_t *liar, int fd)
{
    while (!liar->stop && send(fd, "xxxxxxxxxxxxxxxx", 16, MSG_NOSIGNAL) == 16) {
    }
}

/* The question that came first is answered when another one has come, in that one's words or its
 * own. */
static void answer_late(liar_t *liar, int fd, const char *number, int turn)
{
    while (turn == 1 && liar->asked < 2 && !liar->stop) {
        poll(NULL, 0, 1);
    }
    say_numbered(fd, turn == 1 ? "VA 5 c1 %s\r\nfirst\r\n" : "VA 6 c2 %s\r\nsecond\r\n", number);
}

static const char *const lines[LIES] = {
    [LIE_OTHER_NUMBER] = "VA 3 c7 %s1\r\nabc\r\n",
    [LIE_NO_NUMBER] = "VA 3 c7\r\nabc\r\n%s",
    [LIE_GARBAGE] = "\x01\x02 what?\r\n%s",
    [LIE_HUGE] = "VA 1099511627776 c7 %s\r\nabc",
    [LIE_WRAPPED] = "VA 18446744073709551615 c7 %s\r\nabc\r\n",
    [LIE_NO_TOKEN] = "VA 3 %s\r\nabc\r\n",
    [LIE_NO_END] = "VA 3 c7 %s\r\nabc, and more\r\n",
    [LIE_STORED] = "HD c7 %s\r\n",
    [LIE_TOO_LARGE] = "SERVER_ERROR object too large for cache\r\n%s",
    [LIE_OLD] = "ERROR\r\n%s",
    [LIE_HALF] = "VA 100 c7 %s\r\nabc",
};

static void answer(liar_t *liar, int fd, const char *number)
{
    int turn = ++liar->asked;
    char twice[LINE_BYTES];
    switch (liar->lie) {
    case LIE_NOTHING:
    case LIES:
        break;
    case LIE_TWICE:
        snprintf(twice, sizeof(twice), "VA 3 c7 %s\r\nabc\r\nVA 3 c7 %s\r\nabc\r\n", number,
                 number);
        say(fd, twice);
        break;
    case LIE_ENDLESS:
        babble(liar, fd);
        break;
    case LIE_TRICKLE:
        trickle(liar, fd, number);
        break;
    case LIE_LATE:
        answer_late(liar, fd, number, turn);
        break;
    case LIE_SLOW:
        poll(NULL, 0, SLOW_MS);
        say_numbered(fd, "EN %s\r\n", number);
        break;
    case LIE_CLOSE:
        shutdown(fd, SHUT_RDWR);
        break;
    default:
        say_numbered(fd, lines[liar->lie] ? lines[liar->lie] : "EN %s\r\n", number);
        break;
    }
}

static void answer_put(liar_t *liar, int fd, const char *number)
{
    int turn = ++liar->puts;
    switch (liar->lie) {
    case LIE_PUT_NOTHING:
        break;
    case LIE_PUT_CLOSE:
        shutdown(fd, SHUT_RDWR);
        break;
    case LIE_PUT_OTHER:
        say_numbered(fd, "EX %s\r\n", number);
        break;
    case LIE_PUT_GARBAGE:
        say(fd, "\x01\x02 what?\r\n");
        break;
    case LIE_PUT_NUMBER:
        say_numbered(fd, "HD c7 %s1\r\n", number);
        break;
    case LIE_PUT_VALUE:
        say_numbered(fd, "VA 3 c7 %s\r\nabc\r\n", number);
        break;
    case LIE_PUT_NONE:
        say_numbered(fd, "EN %s\r\n", number);
        break;
    case LIE_PUT_SECOND:
        say_numbered(fd, turn == 1 ? "NS %s\r\n" : "HD c7 %s\r\n", number);
        break;
    default:
        say_numbered(fd, "HD c7 %s\r\n", number);
        break;
    }
}

static bool skip(int fd, size_t bytes)
{
    char some[LINE_BYTES];
    while (bytes) {
        ssize_t got = recv(fd, some, bytes < sizeof(some) ? bytes : sizeof(some), 0);
        if (got <= 0) {
            return false;
        }
        bytes -= (size_t)got;
    }
    return true;
}

/* The rest is on its way when it comes. */
static bool refuse_early(const liar_t *liar, int fd, size_t bytes)
{
    bool refuses = liar->lie == LIE_PUT_EARLY && bytes > EARLY_BYTES;
    if (refuses) {
        say(fd, "SERVER_ERROR object too large for cache\r\n");
        poll(NULL, 0, SLOW_MS);
    }
    return refuses;
}

/* Waits until there is nothing more to read. */
static void batch(struct liar_conn_t *conn, const char *number)
{
    struct pollfd more = {.fd = conn->fd, .events = POLLIN};
    char *end = conn->batch + strlen(conn->batch);
    snprintf(end, sizeof(conn->batch) - (size_t)(end - conn->batch), "EN %s\r\n", number);
    if (strlen(conn->batch) > sizeof(conn->batch) - NUMBER_BYTES || poll(&more, 1, BATCH_MS) == 0) {
        say(conn->fd, conn->batch);
        conn->batch[0] = '\0';
    }
}

static void *converse(void *data)
{
    struct liar_conn_t *conn = data;
    char line[LINE_BYTES];
    char number[NUMBER_BYTES];
    size_t bytes;
    while (read_line(conn->fd, line)) {
        if (sscanf(line, "mg %*s c v %31s", number) == 1) {
            if (conn->liar->lie == LIE_BATCH) {
                batch(conn, number);
            } else {
                answer(conn->liar, conn->fd, number);
            }
        } else if (sscanf(line, "ms %*s %zu c %31s", &bytes, number) == 2) {
            bool refused = refuse_early(conn->liar, conn->fd, bytes);
            if (skip(conn->fd, bytes + 2) && !refused) {
                answer_put(conn->liar, conn->fd, number);
            }
        }
    }
    shutdown(conn->fd, SHUT_RDWR);
    return NULL;
}

static void *listen_for(void *data)
{
    liar_t *liar = data;
    while (liar->conns_n < LIAR_CONNS) {
        int fd = accept4(liar->listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0) {
            return NULL;
        }
        struct liar_conn_t *conn = &liar->conns[liar->conns_n++];
        conn->liar = liar;
        conn->fd = fd;
        pthread_create(&conn->thread, NULL, converse, conn);
    }
    return NULL;
}

void liar_start(liar_t *liar)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(sin);
    int room = ROOM_BYTES; /* so that much of what is sent to it waits */
    liar->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(liar->listener, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
    if (bind(liar->listener, (struct sockaddr *)&sin, n) < 0 || listen(liar->listener, 64) < 0 ||
        getsockname(liar->listener, (struct sockaddr *)&sin, &n) < 0 ||
        pthread_create(&liar->thread, NULL, listen_for, liar) != 0) {
        perror("liar");
        exit(EXIT_FAILURE);
    }
    liar->port = ntohs(sin.sin_port);
}

void liar_stop(liar_t *liar)
{
    liar->stop = true;
    shutdown(liar->listener, SHUT_RDWR);
    pthread_join(liar->thread, NULL);
    close(liar->listener);
    for (int i = 0; i < liar->conns_n; i++) {
        shutdown(liar->conns[i].fd, SHUT_RDWR);
        pthread_join(liar->conns[i].thread, NULL);
        close(liar->conns[i].fd);
    }
}
