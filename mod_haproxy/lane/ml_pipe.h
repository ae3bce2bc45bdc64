/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns pipes, through which the kernel passes the bytes of a long body from one socket to another
 * without copying them. They are few: who gets none copies. Loop thread only.
 */
#ifndef ML_PIPE_H
#define ML_PIPE_H

#include <stddef.h>

enum { ML_PIPE_BYTES = 256 << 10 /* at once; less where the system allows no more */ };

/** A pipe. */
typedef struct ml_pipe_t {
    struct ml_pipe_t *next; /* while it is free */
    size_t n;               /* bytes in it */
    int in;                 /* where they are written */
    int out;                /* where they are read */
} ml_pipe_t;

/** The pipes of one loop. All zero is none. */
typedef struct ml_pipes_t {
    ml_pipe_t *spare;
    unsigned n; /* how many there are, spare ones included */
} ml_pipes_t;

/** An empty one, or NULL when there are too many, or no descriptors. */
ml_pipe_t *ml_pipe_take(ml_pipes_t *pipes);

/** Gives it back; what is in it is lost. NULL is fine. */
void ml_pipe_give(ml_pipes_t *pipes, ml_pipe_t *pipe);

/** Closes the spare ones. */
void ml_pipes_clear(ml_pipes_t *pipes);

#endif
