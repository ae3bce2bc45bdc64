/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what the helpers of bench/compare need of sockets, clock and limits: loopback only, IPv4,
 * non-blocking. Does not speak HTTP.
 */
#ifndef BENCH_NET_H
#define BENCH_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Microseconds of the monotonic clock. */
int64_t bench_now_us(void);

/** Ends the program with a sentence about `what` and errno. */
_Noreturn void bench_die(const char *what);

/** The number in `text`, between 1 and `most`; ends the program, naming `what`, when it is none. */
long bench_number(const char *what, const char *text, long most);

/** Raises the limit of open descriptors as far as it goes, and leaves SIGPIPE to errno. */
void bench_begin(void);

/** Listens on a free port of 127.0.0.1. The descriptor, and the port in `port`. */
int bench_listen(uint16_t *port);

/** Takes the next connection of a listener; -1 when there is none. */
int bench_accept(int listener);

/** Begins to connect to a port of 127.0.0.1; -1 with errno when that cannot be. */
int bench_connect(uint16_t port);

/** Writes ports, a line each, to a file that appears when it is complete. */
void bench_tell_ports(const char *path, const uint16_t *ports, size_t n);

/** Puts a descriptor into an epoll set, for `events` and with `data`. */
void bench_watch(int epoll, int fd, uint32_t events, void *data);

/** Changes the events of a descriptor that is in the set. */
void bench_watch_again(int epoll, int fd, uint32_t events, void *data);

#endif
