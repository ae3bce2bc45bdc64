/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns turning names into addresses without blocking the loop: a thread asks, the loop is told.
 * Does not cache: who asks keeps the answer and decides when to ask again.
 */
#ifndef ML_RESOLVE_H
#define ML_RESOLVE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "ml_loop.h"

enum {
    ML_ADDRS_MAX = 8,
    ML_RESOLVE_EVERY_S = 30, /* how often a name is asked for again, where nothing else is said */
    ML_RESOLVE_LEAST_S = 1   /* and how often at most, when there is trouble */
};

/** One address to connect to. */
typedef struct ml_addr_t {
    socklen_t len;
    struct sockaddr_storage sa;
} ml_addr_t;

/** The addresses of a name, in the order in which to try them. */
typedef struct ml_addrs_t {
    unsigned n; /* in use; 0: none known */
    ml_addr_t list[ML_ADDRS_MAX];
} ml_addrs_t;

/** Asks for the stream addresses of host and port; false if there are none. Resolver thread. */
typedef bool ml_lookup_fn(ml_addrs_t *addrs, const char *host, uint16_t port);

/** Told the addresses, or NULL when there are none; `addrs` is borrowed for the call. Loop thread.
 */
typedef void ml_resolved_fn(void *baton, const ml_addrs_t *addrs);

typedef struct ml_resolve_t ml_resolve_t;
typedef struct ml_question_t ml_question_t;

/** Reads an IP literal, brackets allowed; false for anything else. Never blocks. Any thread. */
bool ml_addrs_literal(ml_addrs_t *addrs, const char *host, uint16_t port);

/** The address of a Unix-domain socket; false if the path is too long or empty. Any thread. */
bool ml_addrs_unix(ml_addrs_t *addrs, const char *path);

/**
 * Begins to connect a non-blocking socket: 0 connected, EINPROGRESS, or why it cannot be. A host
 * without IPv6 says of all its addresses what it says of IPv4's when the ports have run out; here
 * that is ENETUNREACH. Any thread.
 */
int ml_addr_connect(int fd, const ml_addr_t *addr);

/** The same addresses in the same order. */
bool ml_addrs_eq(const ml_addrs_t *a, const ml_addrs_t *b);

/**
 * A resolver with its thread; `lookup` NULL is getaddrinfo. Allocates on the heap, freed by
 * ml_resolve_close. Loop thread.
 */
apr_status_t ml_resolve_create(ml_resolve_t **resolve, ml_loop_t *loop, ml_lookup_fn *lookup);

/**
 * Ends it without waiting: a lookup that still blocks ends its thread when it returns. Every
 * question was answered or forgotten before. Loop thread.
 */
void ml_resolve_close(ml_resolve_t *resolve);

/** Asks; copies `host`. The question is gone when `on_answer` is called. NULL: out of memory. Loop
 * thread. */
ml_question_t *ml_resolve_ask(ml_resolve_t *resolve, const char *host, uint16_t port,
                              ml_resolved_fn *on_answer, void *baton);

/** `on_answer` will not be called; the question is gone. NULL is fine. Loop thread. */
void ml_resolve_forget(ml_question_t *question);

#endif
