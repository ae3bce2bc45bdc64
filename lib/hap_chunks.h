/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the chunked coding (RFC 9112 7.1): decoding, and writing it anew in the place where it was
 * read. What comes out is never longer than what went in, because extensions and trailers are left
 * out and sizes are written as short as they can be. Does no I/O and keeps no bytes.
 */
#ifndef HAP_CHUNKS_H
#define HAP_CHUNKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HAP_CHUNKS_LINE_BYTES = 1024,       /* longest line with a size and its extensions */
    HAP_CHUNKS_TRAILER_BYTES = 8 << 10, /* all trailers together */
    HAP_CHUNKS_TRAILERS_MAX = 100,      /* how many */
    HAP_CHUNKS_HEAD_BYTES = 18          /* room for a size of our own and its line end */
};

/** What it is waiting for. */
typedef enum hap_chunks_state_t {
    HAP_CHUNKS_SIZE,    /* the line with the size of the next chunk */
    HAP_CHUNKS_DATA,    /* more of the chunk */
    HAP_CHUNKS_END,     /* the line end after the data */
    HAP_CHUNKS_TRAILER, /* a trailer, or the empty line that ends it all */
    HAP_CHUNKS_DONE,    /* nothing: the body is complete */
    HAP_CHUNKS_BAD      /* nothing: it was malformed */
} hap_chunks_state_t;

/** A body that is being read. All zero, but for `bare`, is one that begins. */
typedef struct hap_chunks_t {
    hap_chunks_state_t state;
    bool bare;           /* give out the data alone, without the coding */
    uint64_t left;       /* bytes of the chunk still to come */
    size_t trailer_size; /* bytes of trailers so far */
    unsigned trailers_n; /* and how many */
} hap_chunks_t;

/**
 * Reads the n bytes at `p`, writes what is to be passed on to their beginning and says how much
 * that is; *used is how many were read. Those that were not are the beginning of a line: they come
 * again, with more behind them. After DONE, what was not used belongs to the next message.
 */
size_t hap_chunks_feed(hap_chunks_t *chunks, size_t *used, char *p, size_t n);

/** Writes the line that begins a chunk of `size` bytes, and says how long it is. */
size_t hap_chunks_head(char line[HAP_CHUNKS_HEAD_BYTES], uint64_t size);

#endif
