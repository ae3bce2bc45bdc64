/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net.h"

enum { READ_BYTES = 256 * 1024, HEX_BASE = 16, OK_FROM = 200, OK_BELOW = 300 };

static char input[READ_BYTES];

/* --- requests ----------------------------------------------------------------------------------
 */

static char *read_file(const char *path, size_t *n)
{
    struct stat about;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &about) != 0) {
        bench_die(path);
    }
    char *text = malloc((size_t)about.st_size + 1);
    if (!text || read(fd, text, (size_t)about.st_size) != about.st_size) {
        bench_die(path);
    }
    close(fd);
    *n = (size_t)about.st_size;
    text[*n] = '\0';
    return text;
}

static void add_request(requests_t *requests, const char *data, size_t n)
{
    size_t count = requests->count + 1;
    requests->data = realloc(requests->data, count * sizeof(*requests->data));
    requests->n = realloc(requests->n, count * sizeof(*requests->n));
    if (!requests->data || !requests->n) {
        bench_die("memory for requests");
    }
    requests->data[requests->count] = data;
    requests->n[requests->count] = n;
    requests->count = count;
}

void requests_read(requests_t *requests, const char *path)
{
    size_t n;
    char *at = read_file(path, &n);
    const char *end = at + n;
    memset(requests, 0, sizeof(*requests));
    while (at < end) {
        size_t bytes = strtoul(at, &at, 10);
        if (*at != '\n' || bytes == 0 || bytes > (size_t)(end - at - 1)) {
            break;
        }
        add_request(requests, at + 1, bytes);
        at += 1 + bytes;
    }
    if (at != end || requests->count == 0) {
        fprintf(stderr, "%s: not a file of requests\n", path);
        exit(2);
    }
}

/* --- the connection ----------------------------------------------------------------------------
 */

bool client_open(client_t *client, int epoll, uint16_t port)
{
    client->fd = bench_connect(port);
    if (client->fd < 0) {
        return false;
    }
    client->events = EPOLLIN;
    bench_watch(epoll, client->fd, client->events, client);
    return true;
}

void client_close(client_t *client)
{
    if (client->fd >= 0) {
        close(client->fd);
    }
    client->fd = -1;
    client->busy = false;
}

static outcome_t flush(client_t *client, int epoll)
{
    ssize_t put = client->out_n > 0 ? send(client->fd, client->out, client->out_n, 0) : 0;
    if (put < 0 && errno != EAGAIN) {
        return OUTCOME_WRITE;
    }
    client->out += put > 0 ? put : 0;
    client->out_n -= put > 0 ? (size_t)put : 0;
    uint32_t events = client->out_n > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN;
    if (events != client->events) {
        client->events = events;
        bench_watch_again(epoll, client->fd, events, client);
    }
    return OUTCOME_MORE;
}

outcome_t client_send(client_t *client, int epoll, requests_t *requests, int64_t from_us)
{
    size_t which = requests->next++;
    requests->next %= requests->count;
    client->busy = true;
    client->part = PART_HEAD;
    client->head_n = 0;
    client->status = 0;
    client->from_us = from_us;
    client->out = requests->data[which];
    client->out_n = requests->n[which];
    return flush(client, epoll);
}

/* --- the answer --------------------------------------------------------------------------------
 */

static const char *field(const char *head, const char *name)
{
    size_t n = strlen(name);
    for (const char *at = strstr(head, "\r\n"); at; at = strstr(at, "\r\n")) {
        at += 2;
        if (strncasecmp(at, name, n) == 0 && at[n] == ':') {
            for (at += n + 1; *at == ' '; at++) {
            }
            return at;
        }
    }
    return NULL;
}

/* Reads the complete head of an answer. False when it is none, or has no end that could be seen. */
static bool read_head(client_t *client)
{
    const char *head = client->head;
    if (strncmp(head, "HTTP/1.", 7) != 0 || head[8] != ' ') {
        return false;
    }
    client->status = (int)strtol(head + 9, NULL, 10);
    const char *length = field(head, "Content-Length");
    const char *encoding = field(head, "Transfer-Encoding");
    const char *connection = field(head, "Connection");
    client->last = head[7] == '0' || (connection && strncasecmp(connection, "close", 5) == 0);
    if (encoding) {
        client->part = PART_CHUNK_SIZE;
        client->chunk_size = 0;
        client->chunk_size_over = false;
        return strncasecmp(encoding, "chunked", 7) == 0;
    }
    client->part = PART_BODY;
    client->left = length ? strtoll(length, NULL, 10) : 0;
    return length != NULL;
}

static size_t take_head(client_t *client, const char *at, size_t n)
{
    size_t room = sizeof(client->head) - 1 - client->head_n;
    size_t take = n < room ? n : room;
    size_t before = client->head_n;
    memcpy(client->head + before, at, take);
    client->head[before + take] = '\0';
    size_t from = before > 3 ? before - 3 : 0;
    const char *end = strstr(client->head + from, "\r\n\r\n");
    if (!end) {
        client->head_n += take;
        return take;
    }
    client->head_n = (size_t)(end - client->head) + 4;
    client->head[client->head_n] = '\0';
    if (!read_head(client)) {
        client->status = -1;
    }
    return client->head_n - before;
}

static void take_chunk_size(client_t *client, char c)
{
    if (c == '\n') {
        client->part = client->chunk_size > 0 ? PART_CHUNK : PART_TRAILER;
        client->left = client->chunk_size + 2;
        client->line_n = 0;
    } else if (isxdigit((unsigned char)c) && !client->chunk_size_over) {
        int digit = isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
        client->chunk_size = client->chunk_size * HEX_BASE + digit;
    } else {
        client->chunk_size_over = true;
    }
}

/* True when that was the empty line at the end. */
static bool take_trailer(client_t *client, char c)
{
    if (c != '\n') {
        client->line_n += c != '\r';
        return false;
    }
    bool empty = client->line_n == 0;
    client->line_n = 0;
    return empty;
}

static size_t take_body(client_t *client, size_t n)
{
    size_t take = (long long)n < client->left ? n : (size_t)client->left;
    client->left -= (long long)take;
    if (client->part == PART_CHUNK && client->left == 0) {
        client->part = PART_CHUNK_SIZE;
        client->chunk_size = 0;
        client->chunk_size_over = false;
    }
    return take;
}

static outcome_t finish(client_t *client)
{
    if (client->status < OK_FROM || client->status >= OK_BELOW) {
        return OUTCOME_STATUS;
    }
    client->busy = false;
    return client->last ? OUTCOME_CLOSED : OUTCOME_ANSWERED;
}

/* Takes bytes of the answer. Nothing may follow it. */
static outcome_t take(client_t *client, const char *at, size_t n)
{
    bool complete = false;
    while (n > 0 && !complete) {
        size_t took = 1;
        switch (client->part) {
        case PART_HEAD:
            took = take_head(client, at, n);
            break;
        case PART_BODY:
        case PART_CHUNK:
            took = take_body(client, n);
            break;
        case PART_CHUNK_SIZE:
            take_chunk_size(client, *at);
            break;
        case PART_TRAILER:
            complete = take_trailer(client, *at);
            break;
        }
        if (took == 0 || client->status < 0) {
            return OUTCOME_ANSWER;
        }
        complete = complete || (client->part == PART_BODY && client->left == 0);
        at += took;
        n -= took;
    }
    if (!complete) {
        return OUTCOME_MORE;
    }
    return n == 0 ? finish(client) : OUTCOME_ANSWER;
}

outcome_t client_go_on(client_t *client, int epoll, uint32_t events)
{
    if ((events & EPOLLOUT) && flush(client, epoll) == OUTCOME_WRITE) {
        return OUTCOME_WRITE;
    }
    if (!(events & ~(uint32_t)EPOLLOUT)) {
        return OUTCOME_MORE;
    }
    ssize_t got = recv(client->fd, input, sizeof(input), 0);
    if (got < 0 && errno == EAGAIN) {
        return OUTCOME_MORE;
    }
    if (got <= 0) {
        return OUTCOME_READ;
    }
    client->received += got;
    return client->busy ? take(client, input, (size_t)got) : OUTCOME_ANSWER;
}
