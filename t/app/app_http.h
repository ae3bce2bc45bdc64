/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns HTTP/1.x on a connection: reads and judges request heads and bodies (RFC 9112), writes
 * answers. Strict, so that a proxy that passes junk is noticed. Does not know the application.
 */
#ifndef APP_HTTP_H
#define APP_HTTP_H

#include "app_conn.h"
#include "app_state.h"

enum { APP_MAX_FIELDS = 128, APP_EXTRA_BYTES = 1024 };

/** What came of reading. */
typedef enum app_read_t {
    APP_READ_OK,        /* something that can be used */
    APP_READ_END,       /* the connection ended, orderly or not */
    APP_READ_MALFORMED, /* the request says why, and the status to answer with */
} app_read_t;

/** How a request's body is framed. */
typedef enum app_framing_t {
    APP_FRAMING_NONE,    /* no body */
    APP_FRAMING_SIZED,   /* Content-Length */
    APP_FRAMING_CHUNKED, /* chunked */
} app_framing_t;

/** One field line. Borrows from the request's head. */
typedef struct app_field_t {
    app_text_t name;  /* as received */
    app_text_t value; /* without blanks around it */
} app_field_t;

/** One request. Everything in it borrows from its copy of the head. */
typedef struct app_request_t {
    char *head;                         /* the head as received, with its last empty line; owned */
    size_t head_n;                      /* length of that */
    app_text_t method;                  /* a token */
    app_text_t target;                  /* as received */
    app_text_t path;                    /* of the target, not decoded */
    app_text_t query;                   /* of the target, without the question mark */
    int minor;                          /* 1 for HTTP/1.1, 0 for HTTP/1.0 */
    app_field_t fields[APP_MAX_FIELDS]; /* the first fields_n are set */
    size_t fields_n;                    /* how many field lines */
    app_framing_t framing;              /* how the body ends */
    uint64_t left;                      /* bytes of the body, or of its chunk, still to be read */
    uint64_t body_bytes;                /* bytes of the body read so far */
    bool body_done;                     /* nothing of it is left */
    bool expects_continue;              /* the client waits for a 100 before it sends the body */
    bool keep_alive;                    /* the connection may stay open after the answer */
    int status;                         /* of a malformed request: what to answer */
    const char *why;                    /* of a malformed request: a sentence */
} app_request_t;

/** How an answer's body ends. */
typedef enum app_ending_t {
    APP_ENDING_SIZED,   /* Content-Length */
    APP_ENDING_CHUNKED, /* chunked */
    APP_ENDING_CLOSE,   /* with the connection */
} app_ending_t;

/** One answer. */
typedef struct app_answer_t {
    int status;                  /* the code */
    const char *type;            /* Content-Type */
    const char *text;            /* the body; NULL for the deterministic content */
    uint64_t body_bytes;         /* length of the body */
    app_ending_t ending;         /* how it ends */
    uint64_t chunk_bytes;        /* of a chunked body */
    unsigned chunk_delay_ms;     /* wait between chunks, each written alone */
    bool trailer;                /* a chunked body ends with a trailer field */
    app_reset_t reset;           /* where it breaks off */
    char extra[APP_EXTRA_BYTES]; /* further field lines, each with CRLF; may be empty */
    const char *fields;          /* the same of any length, borrowed; NULL: none */
} app_answer_t;

/** Reads a head. On OK and MALFORMED the request is to be ended with app_http_end. */
app_read_t app_http_read_head(app_conn_t *conn, app_request_t *req);

/** Reads a piece of the body; empty at its end. Borrows until the next read. */
app_read_t app_http_read_body(app_conn_t *conn, app_request_t *req, app_text_t *piece);

/** A comma-separated list that holds this word, whatever the case of its letters. */
bool app_http_list_has(app_text_t list, const char *word);

/** The value of the first field of that name, or an empty one. */
app_text_t app_http_field(const app_request_t *req, const char *name);

/** The value of a parameter of the query, or an empty one. */
app_text_t app_http_param(const app_request_t *req, const char *name);

/** Writes the answer but for its last bytes, which wait for a flush. False when it broke off. */
bool app_http_answer(app_conn_t *conn, const app_request_t *req, const app_answer_t *answer);

/** The connection may carry a next request after this answer. */
bool app_http_stays_open(const app_request_t *req, const app_answer_t *answer);

/** Frees what the request owns. */
void app_http_end(app_request_t *req);

#endif
