/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the bytes that the backend answers with, made before the first request. Does not own
 * connections.
 */
#ifndef BENCH_BACKEND_ANSWERS_H
#define BENCH_BACKEND_ANSWERS_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

/* Member 0 has the route m001. */
enum { ANSWERS_MAX_MEMBERS = 999, ANSWERS_SMALL_BODY_BYTES = 100, ANSWERS_OWN_BYTES = 512 };

/** What can be answered without looking at the request any further. */
typedef enum answers_kind_t {
    ANSWERS_SMALL,           /* 100 bytes that begin with the member's route */
    ANSWERS_64K,             /* 64 KB, with its length */
    ANSWERS_1M,              /* 1 MB, with its length */
    ANSWERS_CHUNKED,         /* 64 KB in chunks of 4 KB */
    ANSWERS_LENGTH_REQUIRED, /* 411 */
    ANSWERS_KINDS
} answers_kind_t;

/** A whole response, head and body. */
typedef struct answer_t {
    char *data;
    size_t n;
} answer_t;

/** Makes the answers of that many members. */
void answers_make(size_t members);

/** A whole answer; `last` has "Connection: close" in it. Valid for ever. */
answer_t answers_get(answers_kind_t kind, size_t member, bool last);

/** Writes an answer to an upload of `received` bytes into `to`, of ANSWERS_OWN_BYTES. Its length.
 */
size_t answers_upload(char *to, size_t member, long long received, bool last);

/** Writes an answer that begins a session: `Set-Cookie` names the member. Its length. */
size_t answers_login(char *to, size_t member, bool last);

/** Puts the time into the Date field of all answers. */
void answers_set_date(time_t now);

#endif
