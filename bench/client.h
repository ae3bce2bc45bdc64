/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns one client's side of HTTP/1.1: requests read from a file as they are sent, one connection,
 * and finding the end of an answer. Does not own a loop, pace or statistics.
 */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CLIENT_HEAD_BYTES = 4096 };

/** Requests, which are sent in turn. */
typedef struct requests_t {
    const char **data;
    size_t *n; /* of each, in bytes */
    size_t count;
    size_t next; /* which one is sent next */
} requests_t;

/** Reads requests from a file: for each a line with its length in bytes, then its bytes. Ends the
 * program when the file is none. */
void requests_read(requests_t *requests, const char *path);

/** What became of an event on a connection. */
typedef enum outcome_t {
    OUTCOME_MORE,     /* the answer is not complete yet */
    OUTCOME_ANSWERED, /* it is, and the connection takes the next request */
    OUTCOME_CLOSED,   /* an answer is complete, and with it the connection is over */
    OUTCOME_STATUS,   /* as ANSWERED, but the status is not 2xx; the connection is over */
    OUTCOME_READ,     /* an error: reading failed, or the connection ended before the answer did */
    OUTCOME_WRITE,    /* an error: writing failed */
    OUTCOME_ANSWER,   /* an error: the answer is no HTTP */
} outcome_t;

/** Where in an answer a client is. */
typedef enum part_t {
    PART_HEAD,
    PART_BODY,       /* with a known length */
    PART_CHUNK_SIZE, /* in the line before a chunk */
    PART_CHUNK,      /* in a chunk or the line end after it */
    PART_TRAILER,
} part_t;

/** A connection that sends a request at a time. */
typedef struct client_t {
    int fd;          /* -1 while there is none */
    uint32_t events; /* what it waits for in the epoll set */
    bool busy;       /* a request is on its way */
    const char *out; /* what is still to be sent of it */
    size_t out_n;    /* in bytes */
    part_t part;
    int status;           /* of the answer, 0 before its head is complete */
    bool last;            /* the answer ends the connection */
    long long left;       /* of the body, or of the chunk with its line end */
    long long chunk_size; /* as far as it is read */
    bool chunk_size_over; /* the rest of the line says nothing */
    size_t line_n;        /* of a trailer's line */
    char head[CLIENT_HEAD_BYTES];
    size_t head_n;
    int64_t from_us;    /* when the request was due or sent */
    long long received; /* bytes of all answers */
} client_t;

/** Begins to connect, in an epoll set with the client as data. False with errno when it cannot. */
bool client_open(client_t *client, int epoll, uint16_t port);

/** Closes the connection, if there is one. */
void client_close(client_t *client);

/** Sends the next request, now or as soon as it can. OUTCOME_MORE, or OUTCOME_WRITE. */
outcome_t client_send(client_t *client, int epoll, requests_t *requests, int64_t from_us);

/** Goes on after an event of epoll. */
outcome_t client_go_on(client_t *client, int epoll, uint32_t events);

#endif
