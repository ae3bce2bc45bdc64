/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the memcached servers of the tests: real ones, each on a loopback port of its own. */
#ifndef UNIT_MEMCACHED_H
#define UNIT_MEMCACHED_H

#include <stdint.h>
#include <sys/types.h>

typedef struct memcached_server_t {
    pid_t pid; /* 0: it does not run */
    uint16_t port;
} memcached_server_t;

/** Starts one, empty, and waits until it takes connections; on the port that it has if it has one.
 * `option` is one more of its options, or NULL. Ends the tests if that fails. */
void memcached_up(memcached_server_t *server, const char *option);

/** Kills it at once, as a crash does. */
void memcached_kill(memcached_server_t *server);

/** Stops it in its tracks, and lets it go on. */
void memcached_freeze(const memcached_server_t *server);
void memcached_thaw(const memcached_server_t *server);

/** Sends one command, as text; its answer's first line, in static memory. */
const char *memcached_says(const memcached_server_t *server, const char *command);

#endif
