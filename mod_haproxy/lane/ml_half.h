/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns one direction of an exchange: a head that goes first, then a body that is read from one
 * socket, checked against its framing, and written to another, with one block in between. Knows
 * neither clients nor members. Loop thread only.
 *
 *      bytes:  | passed on | to be passed on | read, not understood yet | free |
 *              0         begin             ready                      end    size
 */
#ifndef ML_HALF_H
#define ML_HALF_H

#include "hap_chunks.h"
#include "hap_http1.h"
#include "ml_buf.h"

/** A non-blocking socket as the loop knows it: edges set these, reading and writing clear them. */
typedef struct ml_sock_t {
    int fd;
    bool readable; /* there may be something to read */
    bool writable; /* there may be room to write */
    bool ending;   /* its end was announced: it comes behind what there is to read */
    bool eof;      /* the other side has ended its direction, and all before that was read */
    bool broken;   /* it is of no use any more */
    uint64_t sent; /* bytes that were written to it */
} ml_sock_t;

/** Notes what epoll says of it. */
void ml_sock_note(ml_sock_t *sock, uint32_t events);

/** One direction. All zero is one that holds nothing. */
typedef struct ml_half_t {
    ml_buf_t *buf;  /* NULL: holds nothing */
    uint32_t begin; /* first byte to be passed on */
    uint32_t ready; /* end of what may be passed on */
    uint32_t end;   /* end of what was read */

    hap_framing_t framing;
    bool eager;    /* reads as much as comes, a body into large blocks */
    bool direct;   /* nobody looks at the body: a long one goes through a pipe */
    bool warm;     /* enough was written to the receiver for that */
    bool hold;     /* what was passed on stays in the block, so that it can be sent again */
    bool rechunk;  /* the body ends with its connection and goes out in chunks */
    bool complete; /* all of the body is ready or passed on */
    bool bad;      /* the body breaks its framing */
    uint64_t left; /* LENGTH: bytes that are not ready yet */
    hap_chunks_t chunks;

    ml_pipe_t *pipe; /* what is in it is ready, behind the block; NULL none */

    char *head;       /* goes first; on the heap, NULL none left */
    uint32_t head_at; /* first byte of it that was not passed on */
    uint32_t head_n;  /* its length */

    uint64_t passed; /* bytes that were passed on, heads included */
} ml_half_t;

/** What reading or writing came to. */
typedef enum ml_move_t {
    ML_MOVE_SOME,    /* bytes were moved */
    ML_MOVE_NOTHING, /* none: the socket has to be waited for, or there is no room or nothing to do
                      */
    ML_MOVE_END,     /* the other side has ended its direction */
    ML_MOVE_BROKEN   /* the connection is of no use any more */
} ml_move_t;

/** Begins a body of this framing behind what is in the block; what was read is looked at. Without
 * its coding if `chunks.bare` is set. */
void ml_half_body(ml_half_t *half, hap_framing_t framing, uint64_t length);

/**
 * The body that begins with what was read behind a head, which has been passed on or copied, and
 * that ends with its connection, goes out in chunks from here on.
 */
void ml_half_rechunk(ml_half_t *half);

/** Reads once into what is free of the block, taking one if there is none. */
ml_move_t ml_half_read(ml_half_t *half, ml_sock_t *from, ml_bufs_t *bufs);

/** Makes ready what was read; after ML_MOVE_END of a body that ends so, with `ended`. */
void ml_half_decode(ml_half_t *half, bool ended);

/** Writes once what is ready, `head` (of `head_n` bytes, not kept) first: the rest of it is copied.
 */
ml_move_t ml_half_write(ml_half_t *half, ml_sock_t *to, const char *head, size_t head_n);

/** There is something to be passed on. */
static inline bool ml_half_pending(const ml_half_t *half)
{
    return half->head != NULL || half->begin < half->ready || (half->pipe && half->pipe->n);
}

/** How many bytes of the body were read and not passed on. */
static inline uint64_t ml_half_waits(const ml_half_t *half)
{
    return half->end - half->begin + (half->pipe ? half->pipe->n : 0);
}

/** All of it is passed on. */
static inline bool ml_half_done(const ml_half_t *half)
{
    return half->complete && !ml_half_pending(half);
}

/** There is room to read into. */
bool ml_half_room(const ml_half_t *half);

/**
 * Moves what is left to another block and lets go of this one, which is returned: what was held in
 * it cannot be sent again. NULL without memory, and nothing has changed.
 */
ml_buf_t *ml_half_move(ml_half_t *half, ml_bufs_t *bufs);

/** Moves what there is to a large block. False when it is in one, or without memory. */
bool ml_half_grow(ml_half_t *half, ml_bufs_t *bufs);

/** Gives back the block if there is nothing in it: who is silent needs none. */
void ml_half_rest(ml_half_t *half, ml_bufs_t *bufs);

/** Gives back the block and forgets everything. */
void ml_half_clear(ml_half_t *half, ml_bufs_t *bufs);

#endif
