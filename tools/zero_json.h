/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns writing JSON (RFC 8259), value after value. Does not read any.
 */
#ifndef ZERO_JSON_H
#define ZERO_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include <apr_pools.h>

/** A text that is being written. */
typedef struct zero_json_t zero_json_t;

/** An empty one. Allocates from `pool`. */
zero_json_t *zero_json_make(apr_pool_t *pool);

/* Each adds a value: with `name` in an object, with NULL in an array or alone. */

/** Begins an object or an array, by its bracket. */
void zero_json_open(zero_json_t *json, const char *name, char bracket);

void zero_json_close(zero_json_t *json, char bracket);

/** Any bytes; what is no UTF-8 becomes U+FFFD. */
void zero_json_text(zero_json_t *json, const char *name, const char *text);

void zero_json_number(zero_json_t *json, const char *name, uint64_t number);
void zero_json_bool(zero_json_t *json, const char *name, bool value);

/** All of it, with a newline at the end. */
const char *zero_json_done(const zero_json_t *json);

#endif
