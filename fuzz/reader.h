/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns a second reader of HTTP/1, to judge the one in lib/ by: RFC 9112 a byte at a time, with a
 * state for each place in the grammar. Slow and obvious, and nothing in it is shared with lib/.
 * Does not refuse what is only unusual: whatever follows the grammar and has one meaning is valid.
 */
#ifndef READER_H
#define READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    READER_FIELDS_MAX = 300,
    READER_TEXT_BYTES = 128 << 10 /* a longer head or body is not for this reader */
};

/** What reading came to. */
typedef enum reader_end_t {
    READER_VALID,
    READER_SHORT, /* valid so far, but more has to come */
    READER_INVALID
} reader_end_t;

/** Some bytes of a message. Borrows from its text. */
typedef struct reader_word_t {
    const char *p;
    size_t n;
} reader_word_t;

typedef struct reader_field_t {
    reader_word_t name;
    reader_word_t value; /* without blanks at its ends; a fold is a space and what blanks it has */
    bool named;          /* Connection names it */
} reader_field_t;

/** How the end of a body is known (RFC 9112 6.3). */
typedef enum reader_framing_t {
    READER_NO_BODY,
    READER_LENGTH,
    READER_CHUNKED,
    READER_UNTIL_CLOSE
} reader_framing_t;

/** The head of a message. */
typedef struct reader_message_t {
    reader_word_t method; /* requests */
    reader_word_t target; /* likewise; in origin-form */
    unsigned status;      /* answers */
    reader_word_t reason; /* likewise */
    unsigned minor;       /* HTTP/1.minor */
    reader_field_t fields[READER_FIELDS_MAX];
    unsigned fields_n;
    size_t bytes; /* of the head, its empty line included */
    reader_framing_t framing;
    uint64_t length; /* for READER_LENGTH */
    bool faulty;     /* framed in one way, but not as it should be: the connection cannot go on */
    bool close;      /* Connection says so */
    bool keep_alive; /* likewise */
    char text[READER_TEXT_BYTES]; /* what the words lie in; private from here on */
    size_t text_n;
    int state;
    bool request;
    bool forgiving;
} reader_message_t;

/** A body in chunks. */
typedef struct reader_body_t {
    char content[READER_TEXT_BYTES]; /* decoded; as far as it goes, when it is short or invalid */
    size_t content_n;
    size_t bytes;        /* of the body as it is coded, its trailers included */
    unsigned extensions; /* how many */
    unsigned trailers;   /* how many */
    uint64_t left;       /* of the chunk; private from here on */
    int state;
} reader_body_t;

/** How to read an answer. */
typedef struct reader_how_t {
    bool head;   /* it answers a HEAD */
    bool strict; /* no LF alone, fold, blank before a colon, length said twice, or odd Connection */
} reader_how_t;

/** Reads the head of a request, which may end before the n bytes at `p` do. */
reader_end_t reader_request(reader_message_t *message, const char *p, size_t n);

/** Reads the head of an answer, likewise. */
reader_end_t reader_answer(reader_message_t *message, const char *p, size_t n, reader_how_t how);

/** Reads a body in chunks, likewise. */
reader_end_t reader_chunked(reader_body_t *body, const char *p, size_t n);

/** Same bytes but for the case of ASCII letters. */
bool reader_is(reader_word_t word, const char *text);

/** The bytes that names, methods and codings are made of (RFC 9110 5.6.2). */
bool reader_is_tchar(unsigned char c);

/** The bytes that values are made of, blanks among them (RFC 9110 5.5). */
bool reader_is_value(unsigned char c);

#endif
