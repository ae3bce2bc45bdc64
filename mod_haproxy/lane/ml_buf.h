/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the memory that bytes are read into: blocks of two sizes, taken when there is something to
 * hold and given back when there is not, so that an idle connection has none. Loop thread only.
 */
#ifndef ML_BUF_H
#define ML_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ml_pipe.h"

enum {
    ML_BUF_SMALL_BYTES = (32 << 10) - 32,  /* a head, and a body of 16 KB with it */
    ML_BUF_LARGE_BYTES = (256 << 10) - 32, /* a long body: fewer system calls, still in the cache */
    ML_BUF_SLACK_BYTES = 16,               /* behind `size`, for the end of a chunk of our own */
    ML_BUF_SPARE_SMALL = 256,              /* how many free ones are kept */
    ML_BUF_SPARE_LARGE = 4
};

/** A block. */
typedef struct ml_buf_t {
    struct ml_buf_t *next; /* while it is free */
    uint32_t size;         /* of bytes, the slack not counted */
    char bytes[];
} ml_buf_t;

/** The free blocks of one loop. All zero is none. */
typedef struct ml_bufs_t {
    ml_buf_t *small, *large;
    unsigned small_n, large_n; /* how many are free */
    unsigned out;              /* how many are in use */
    ml_pipes_t pipes;
} ml_bufs_t;

/** A block of one size, or NULL when there is no memory. */
ml_buf_t *ml_buf_take(ml_bufs_t *bufs, bool large);

/** Gives it back. NULL is fine. */
void ml_buf_give(ml_bufs_t *bufs, ml_buf_t *buf);

/** Frees the free ones. */
void ml_bufs_clear(ml_bufs_t *bufs);

#endif
