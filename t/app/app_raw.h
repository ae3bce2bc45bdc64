/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns answers that are no good HTTP: bytes given by the control port, and floods. Does not judge
 * them, that is what they are for.
 */
#ifndef APP_RAW_H
#define APP_RAW_H

#include "app_conn.h"

/** What an answer is made of, if it is not what the application says. */
typedef enum app_raw_kind_t {
    APP_RAW_NONE,    /* the application answers */
    APP_RAW_STAY,    /* the bytes, and the connection carries a next request */
    APP_RAW_CLOSE,   /* the bytes, and it is closed */
    APP_RAW_RESET,   /* the bytes, and it is reset */
    APP_RAW_HEAD,    /* a head without an end */
    APP_RAW_INTERIM, /* interim answers without an end */
    APP_RAW_CHUNK,   /* a chunk's extension without an end */
    APP_RAW_TRAILER  /* trailers without an end */
} app_raw_kind_t;

/** One such answer. */
typedef struct app_raw_t {
    app_raw_kind_t kind;
    char *bytes; /* owned; NULL with a flood */
    size_t n;    /* length of that */
} app_raw_t;

/**
 * The next `count` answers are of this kind, 0 for all of them. `text` has the bytes, where a
 * backslash begins \r, \n, \t, \s (a blank), \\ and \xHH; NULL for a flood. Copies. False when the
 * text is none. Any thread.
 */
bool app_raw_set(app_raw_kind_t kind, const char *text, uint64_t count);

/** Reads such text into `bytes`, which is then the caller's, with a NUL behind them. False, nothing
 * allocated, when it is none. */
bool app_raw_read(char **bytes, size_t *n, const char *text);

/** What the next answer is made of; to be ended with app_raw_end. Any thread. */
app_raw_t app_raw_take(void);

/** Writes it, flushed. False when the connection is to be closed. */
bool app_raw_answer(app_conn_t *conn, const app_raw_t *raw);

/** Frees what it owns. */
void app_raw_end(app_raw_t *raw);

#endif
