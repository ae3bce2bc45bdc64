/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the lines of memcached's meta protocol that the store speaks, as memcached 1.6's
 * doc/protocol.txt has them. Pure.
 */
#ifndef HAPSTORE_META_H
#define HAPSTORE_META_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hap_str.h"

enum {
    HAPSTORE_META_LINE_BYTES = 160,      /* room for a question */
    HAPSTORE_META_ANSWER_BYTES_MAX = 512 /* what is longer is no answer */
};

/** What an answer says. */
typedef enum hapstore_meta_says_t {
    HAPSTORE_META_VALUE,     /* VA: `value_n` bytes and a line's end follow */
    HAPSTORE_META_DONE,      /* HD: it was stored */
    HAPSTORE_META_NONE,      /* EN: there is no value */
    HAPSTORE_META_NOT_DONE,  /* EX, NF, NS: the value is another one, is not there, is there */
    HAPSTORE_META_TOO_LARGE, /* SERVER_ERROR: the value was not taken, which has no end in it */
    HAPSTORE_META_OLD,       /* ERROR: it knows no such question */
    HAPSTORE_META_NONSENSE
} hapstore_meta_says_t;

typedef struct hapstore_meta_t {
    hapstore_meta_says_t says;
    size_t value_n;
    uint64_t token; /* CAS, 0 if none was said */
    bool numbered;  /* `number` was said */
    uint32_t number;
} hapstore_meta_t;

/** Reads a line without its end. */
hapstore_meta_t hapstore_meta_read(hap_str_t line);

/** A question for the value, its length. The number comes back with the answer. */
size_t hapstore_meta_get(char line[HAPSTORE_META_LINE_BYTES], hap_str_t name, uint32_t number);

/** One to store so many bytes, which follow with a line's end behind them; token 0: if there is
 * none. `ttl_s` is not 0. */
size_t hapstore_meta_put(char line[HAPSTORE_META_LINE_BYTES], hap_str_t name, size_t value_n,
                         uint32_t ttl_s, uint64_t token, uint32_t number);

#endif
