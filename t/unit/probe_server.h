/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the small servers that the tests of the prober talk to, each in a thread. */
#ifndef PROBE_SERVER_H
#define PROBE_SERVER_H

#include <pthread.h>
#include <stdint.h>

#include <openssl/types.h>

/** What a server does with a request. */
typedef enum server_mode_t {
    SERVER_ANSWER,       /* sends the answer */
    SERVER_ANSWER_CLOSE, /* sends the answer, then closes */
    SERVER_CLOSE,        /* closes without a word */
    SERVER_CLOSE_SECOND, /* answers the first request of a connection, closes at the second */
    SERVER_HANG,         /* reads, and never says a word */
    SERVER_DEAF,         /* does not even accept */
    SERVER_REPEAT,       /* sends the answer, then `repeat` for ever */
    SERVER_GREET,        /* sends the answer as soon as it has accepted */
    SERVER_SLOW,         /* sends the answer byte by byte */
    SERVER_SICK,         /* answers, but hangs at its third to fifth request */
    SERVER_RANDOM        /* answers, hangs or closes */
} server_mode_t;

enum { SERVER_CONNS = 32 };

typedef struct server_t {
    server_mode_t mode;   /* set before the start */
    const char *answer;   /* likewise */
    const char *repeat;   /* likewise */
    const char *path;     /* likewise; Unix-domain socket, NULL: loopback */
    uint16_t port;        /* where it listens */
    unsigned connections; /* atomic: accepted so far */
    unsigned requests;    /* atomic: complete requests so far */
    unsigned overlaps;    /* atomic: connections accepted while another one was open */
    pthread_t thread;     /* private from here on */
    int listener, stop;
    SSL_CTX *ctx;
    uint64_t seed;
    struct conn_t {
        int fd;
        unsigned seen, matched; /* requests; bytes of the empty line that ends the next */
        const char *left;       /* of the answer, still to be sent */
    } conns[SERVER_CONNS];
} server_t;

/** Listens and starts; 0, or an errno. */
int server_start(server_t *server);

/** The same with TLS and a self-made certificate; it answers every request, one connection at a
 * time. */
int server_start_tls(server_t *server);

/** Ends it and all its connections. */
void server_stop(server_t *server);

/** A loopback port that refuses, as far as one can know. */
uint16_t server_refused_port(void);

#endif
