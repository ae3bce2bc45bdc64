/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns a stream on which both ends say objects of JSON, one a line. Does not know what they mean.
 */
#ifndef ZD_LINES_H
#define ZD_LINES_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>
#include <uv.h>

typedef struct zd_lines_t zd_lines_t;

/** What a stream of lines calls. */
typedef struct zd_lines_conf_t {
    size_t bytes_max; /* of a line; who says more is hung up on */
    /* An object has come; NULL: what came is none. Borrows. */
    void (*came)(void *baton, json_t *object);
    /* The stream was at its end, or broken, or a line too long: the lines are freed after
     * this. `why` is static. Never called from within a call of the owner's, nor after
     * zd_lines_close. */
    void (*ended)(void *baton, const char *why);
    void *baton;
} zd_lines_conf_t;

/** Begins to read. Takes `stream`, with free() for its memory, also on failure. NULL: no memory. */
zd_lines_t *zd_lines_open(uv_stream_t *stream, const zd_lines_conf_t *conf);

/** Says an object, which it takes; NULL is no object. What cannot be sent ends the stream later. */
void zd_lines_say(zd_lines_t *lines, json_t *object);

/** Does not read on until zd_lines_go: what has come waits. */
void zd_lines_wait(zd_lines_t *lines);
void zd_lines_go(zd_lines_t *lines);

/** Hangs up. Nothing more is called, and the lines are the owner's no more. */
void zd_lines_close(zd_lines_t *lines);

#endif
