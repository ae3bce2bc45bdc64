/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the parsed form of an active check, the bytes it sends and what it reads from an answer.
 * Does not connect, and does not judge the member: hap_health does.
 */
#ifndef HAP_CHECK_H
#define HAP_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <apr_errno.h>

#include "hap_diag.h"
#include "hap_str.h"

enum {
    HAP_EXPECT_RANGES = 16,           /* ranges in one expect= */
    HAP_CHECK_URI_BYTES = 2048,       /* longest uri= */
    HAP_ANSWER_HEAD_BYTES = 16 << 10, /* most of an answer's head that is read */
    HAP_ANSWER_BODY_BYTES = 64 << 10, /* most of its body that is skipped to reuse a connection */
    HAP_ANSWER_LINE_BYTES = 512       /* what is kept of one line */
};

typedef enum hap_check_method_t {
    HAP_CHECK_GET,
    HAP_CHECK_HEAD,
    HAP_CHECK_OPTIONS
} hap_check_method_t;

/** How a check ended. */
typedef enum hap_check_end_t {
    HAP_CHECK_GOOD, /* as expected */
    HAP_CHECK_SICK, /* it was answered, with a status that is not expected */
    HAP_CHECK_DEAD, /* nothing came that could be called an answer */
    HAP_CHECK_NONE  /* there were no means for it: nothing can be said */
} hap_check_end_t;

/** Statuses that count as healthy. */
typedef struct hap_expect_t {
    unsigned n; /* ranges in use */
    struct {
        uint16_t first, last; /* both included */
    } ranges[HAP_EXPECT_RANGES];
} hap_expect_t;

/** 200-399, the default. */
#define HAP_EXPECT_DEFAULT ((hap_expect_t){.n = 1, .ranges = {{200, 399}}})

/** One active check. */
typedef struct hap_check_t {
    hap_str_t uri;             /* origin-form target; empty: a connect is all there is */
    hap_str_t host;            /* Host; empty: the member's own */
    hap_check_method_t method; /* of the request */
    hap_expect_t expect;       /* statuses that count as healthy */
} hap_check_t;

/** GET, HEAD or OPTIONS; else APR_EINVAL and a sentence that begins with `method=`. */
apr_status_t hap_check_method(hap_check_method_t *method, hap_str_t text, hap_diag_t *diag,
                              apr_pool_t *pool);

/** The method's name. */
const char *hap_check_method_name(hap_check_method_t method);

/**
 * An origin-form target (RFC 9112 3.2.1) of visible ASCII without `#`; else APR_EINVAL and a
 * sentence that begins with `uri=`. Borrows from `text`.
 */
apr_status_t hap_check_uri(hap_str_t *uri, hap_str_t text, hap_diag_t *diag, apr_pool_t *pool);

/**
 * Statuses and ranges of them, `200-399,404`; else APR_EINVAL and a sentence that begins with
 * `expect=`.
 */
apr_status_t hap_expect_parse(hap_expect_t *expect, hap_str_t text, hap_diag_t *diag,
                              apr_pool_t *pool);

/** The status counts as healthy. */
bool hap_expect_has(const hap_expect_t *expect, unsigned status);

/**
 * The request of a check with an uri, `host` being the member's own name for Host. Allocates from
 * `pool`.
 */
hap_str_t hap_check_request(const hap_check_t *check, hap_str_t host, apr_pool_t *pool);

/** How far an answer is. */
typedef enum hap_answer_end_t {
    HAP_ANSWER_MORE, /* needs more bytes */
    HAP_ANSWER_DONE, /* status and reusable are final */
    HAP_ANSWER_BAD   /* not HTTP; stays so */
} hap_answer_end_t;

/**
 * Reads the answer to a probe, in pieces of any size (RFC 9112 4 to 7). Interim answers are
 * skipped. The status counts as soon as it is clear that the connection will not be reused: with
 * `Connection: close`, a body that only the close ends, a head or body beyond the limits above.
 */
typedef struct hap_answer_t {
    hap_answer_end_t end;             /* how far it is */
    unsigned status;                  /* 0 until the status line was read */
    bool reusable;                    /* DONE: the connection may carry the next probe */
    bool begun;                       /* at least one byte was read */
    bool no_body;                     /* the request was HEAD */
    unsigned char state;              /* private from here on */
    bool cr, cut;                     /* CR was last; the line is longer than what is kept */
    bool has_length, chunked, opaque; /* framing that the head declared; opaque: not understood */
    uint64_t left;                    /* bytes of body, or of the chunk, to skip */
    size_t head_bytes, body_bytes;    /* read so far, against the limits */
    size_t line_n;                    /* bytes in line */
    char line[HAP_ANSWER_LINE_BYTES]; /* the beginning of the current line */
} hap_answer_t;

/** Starts to read the answer to a request by `method`. */
void hap_answer_init(hap_answer_t *answer, hap_check_method_t method);

/** Reads on. Bytes that follow the end of an answer make the connection unfit for reuse. */
hap_answer_end_t hap_answer_feed(hap_answer_t *answer, const char *data, size_t n);

#endif
