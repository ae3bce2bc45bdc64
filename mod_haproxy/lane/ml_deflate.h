/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns streams that compress to gzip, with zlib, and the few that are kept for the next answer: a
 * stream is up to 400 KB of memory. Knows neither heads nor sockets. Loop thread only.
 */
#ifndef ML_DEFLATE_H
#define ML_DEFLATE_H

#include <stdbool.h>
#include <stddef.h>

enum {
    ML_DEFLATE_MAX = 256, /* streams at a time; beyond that answers go out as they are */
    ML_DEFLATE_SPARE = 4  /* how many free ones are kept */
};

typedef struct ml_deflate_t ml_deflate_t;

/** The streams of one loop. All zero is none. */
typedef struct ml_deflates_t {
    ml_deflate_t *spare;
    unsigned spare_n;
    unsigned out; /* how many are in use */
} ml_deflates_t;

/** What becomes of what was put in. */
typedef enum ml_deflate_end_t {
    ML_DEFLATE_MORE,  /* it may wait for more */
    ML_DEFLATE_FLUSH, /* it goes out: more may take a while */
    ML_DEFLATE_LAST   /* that was all */
} ml_deflate_end_t;

/** A stream at its beginning, with these arguments of deflateInit2. NULL: no memory, too many, or
 * zlib does not take them. */
ml_deflate_t *ml_deflate_take(ml_deflates_t *all, int level, int window, int memory);

/** Gives it back, in whatever state. NULL is fine. */
void ml_deflate_give(ml_deflates_t *all, ml_deflate_t *stream);

/**
 * Compresses *in_n bytes at *in, which are moved on, into `room` bytes (some dozens at least) at
 * `out`; *made of them were. True when there is nothing left to do for this `end`; else it is
 * called again, with the same one, until it is.
 */
bool ml_deflate_run(ml_deflate_t *stream, const char **in, size_t *in_n, char *out, size_t room,
                    size_t *made, ml_deflate_end_t end);

/** Frees the spare ones. */
void ml_deflates_clear(ml_deflates_t *all);

#endif
