/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns changing the fields of heads that were read, as mod_headers and httpd's core do it for a
 * proxied request: RequestHeader, Header, AddDefaultCharset, Vary. Pure: values that are made stand
 * in the caller's memory. Does not map cookies or locations, nor write heads (hap_relay does).
 */
#ifndef HAP_EDIT_H
#define HAP_EDIT_H

#include "hap_http1.h"

typedef enum hap_edit_op_t {
    HAP_EDIT_SET,    /* the only line of this name */
    HAP_EDIT_APPEND, /* ", " and the value behind the first line, else as ADD */
    HAP_EDIT_ADD,    /* one more line */
    HAP_EDIT_UNSET,  /* no line */
    HAP_EDIT_MERGE   /* as APPEND, unless the value stands in the first line's list */
} hap_edit_op_t;

/** One Header or RequestHeader. */
typedef struct hap_edit_t {
    hap_edit_op_t op;
    hap_str_t name;
    hap_str_t value; /* empty for UNSET */
} hap_edit_t;

typedef struct hap_edits_t {
    const hap_edit_t *rows; /* in order */
    unsigned n;
} hap_edits_t;

/** What is changed under one mount. Made at startup, read-only since. */
typedef struct hap_edit_rules_t {
    hap_edits_t request; /* RequestHeader */
    hap_edits_t answer;  /* Header */
    hap_edits_t always;  /* Header always: on a table of their own, that stands in front */
    hap_str_t charset;   /* AddDefaultCharset; empty: none */
} hap_edit_rules_t;

/** Where made values stand; `n` of `room` bytes are taken. */
typedef struct hap_edit_text_t {
    char *p;
    size_t n;
    size_t room;
} hap_edit_text_t;

/**
 * Changes the fields of a request; lines of one name count as one, as they do in httpd. What was
 * set is passed on, whatever Connection names. False, with the head half changed, if something does
 * not fit: into `text`, or beyond HAP_HTTP1_FIELDS_SPARE more fields. Borrows from both.
 */
bool hap_edit_request(hap_http1_request_t *request, const hap_edit_rules_t *rules,
                      hap_edit_text_t *text);

/**
 * Changes the fields of a final answer, likewise. What was set is marked as `fixed`. Its
 * Content-Type is what `set` made of it, whatever else was done to that, and gets the charset; the
 * lines of Vary become one.
 */
bool hap_edit_answer(hap_http1_answer_t *answer, const hap_edit_rules_t *rules,
                     hap_edit_text_t *text);

/** The first field of this name that is to be passed on, or NULL. */
hap_field_t *hap_edit_find(hap_http1_head_t *head, hap_str_t name);

/** One edit by itself, with `fixed` marked. False if it does not fit. */
bool hap_edit_one(hap_http1_head_t *head, hap_edit_op_t op, hap_str_t name, hap_str_t value,
                  hap_edit_text_t *text);

/** The only Content-Length is this one. False if it does not fit. */
bool hap_edit_length(hap_http1_head_t *head, uint64_t length, hap_edit_text_t *text);

#endif
