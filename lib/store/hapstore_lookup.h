/* SPDX-License-Identifier: Apache-2.0 */
/* Owns looking a node's name up without waiting for it. */
#ifndef HAPSTORE_LOOKUP_H
#define HAPSTORE_LOOKUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum { HAPSTORE_ADDRESSES_MAX = 4 };

/** Where a node may be. */
typedef struct hapstore_addresses_t {
    struct sockaddr_storage at[HAPSTORE_ADDRESSES_MAX];
    socklen_t n_of[HAPSTORE_ADDRESSES_MAX];
    unsigned n;
} hapstore_addresses_t;

typedef struct hapstore_lookup_t hapstore_lookup_t;

/** An address in digits needs no looking up. False if it is a name. */
bool hapstore_lookup_digits(hapstore_addresses_t *found, const char *host, uint16_t port);

/** Begins to look a name up, which is copied. NULL without memory or threads. */
hapstore_lookup_t *hapstore_lookup_begin(const char *host);

/** True when that has ended, well or not: `found` has none then. */
bool hapstore_lookup_ended(hapstore_lookup_t *lookup, hapstore_addresses_t *found, uint16_t port);

/** Frees it, at any time, without waiting for it. NULL is fine. */
void hapstore_lookup_free(hapstore_lookup_t *lookup);

#endif
