/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the look-ups: a thread for each, which nobody waits for. What it shares with who asked is
 * freed by the last of the two.
 */
#include "hapstore_lookup.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "hap_thread.h"

struct hapstore_lookup_t {
    _Atomic unsigned holders; /* who asked, and the thread */
    _Atomic bool ended;       /* the thread is done with what follows */
    struct addrinfo *all;     /* NULL: there are none */
    char host[];
};

static const struct addrinfo any_stream = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};

static void set_port(struct sockaddr_storage *at, uint16_t port)
{
    if (at->ss_family == AF_INET6) {
        ((struct sockaddr_in6 *)at)->sin6_port = htons(port);
    } else {
        ((struct sockaddr_in *)at)->sin_port = htons(port);
    }
}

static void take(hapstore_addresses_t *found, const struct addrinfo *all, uint16_t port)
{
    found->n = 0;
    for (const struct addrinfo *one = all; one && found->n < HAPSTORE_ADDRESSES_MAX;
         one = one->ai_next) {
        if (one->ai_family == AF_INET || one->ai_family == AF_INET6) {
            memcpy(&found->at[found->n], one->ai_addr, one->ai_addrlen);
            found->n_of[found->n] = one->ai_addrlen;
            set_port(&found->at[found->n], port);
            found->n++;
        }
    }
}

bool hapstore_lookup_digits(hapstore_addresses_t *found, const char *host, uint16_t port)
{
    struct addrinfo hints = any_stream;
    struct addrinfo *all = NULL;
    hints.ai_flags = AI_NUMERICHOST;
    if (getaddrinfo(host, NULL, &hints, &all) != 0) {
        return false;
    }
    take(found, all, port);
    freeaddrinfo(all);
    return true;
}

static void drop(hapstore_lookup_t *lookup)
{
    if (atomic_fetch_sub(&lookup->holders, 1) == 1) {
        if (lookup->all) {
            freeaddrinfo(lookup->all);
        }
        free(lookup);
    }
}

static void *look_up(void *data)
{
    hapstore_lookup_t *lookup = data;
    if (getaddrinfo(lookup->host, NULL, &any_stream, &lookup->all) != 0) {
        lookup->all = NULL;
    }
    atomic_store(&lookup->ended, true);
    drop(lookup);
    return NULL;
}

hapstore_lookup_t *hapstore_lookup_begin(const char *host)
{
    size_t n = strlen(host) + 1;
    hapstore_lookup_t *lookup = calloc(1, sizeof(*lookup) + n);
    if (lookup == NULL) {
        return NULL;
    }
    memcpy(lookup->host, host, n);
    lookup->holders = 2;
    if (hap_thread_start(NULL, look_up, lookup) != 0) {
        free(lookup);
        return NULL;
    }
    return lookup;
}

bool hapstore_lookup_ended(hapstore_lookup_t *lookup, hapstore_addresses_t *found, uint16_t port)
{
    if (!atomic_load(&lookup->ended)) {
        return false;
    }
    take(found, lookup->all, port);
    return true;
}

void hapstore_lookup_free(hapstore_lookup_t *lookup)
{
    if (lookup) {
        drop(lookup);
    }
}
