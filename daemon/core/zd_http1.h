/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the requests that the daemon's small HTTP server takes, and the heads of its answers
 * (doc/zerod.md, RFC 9110, RFC 9112). Pure. Does not know what is asked for.
 */
#ifndef ZD_HTTP1_H
#define ZD_HTTP1_H

#include <stdbool.h>

#include <apr_pools.h>

#include "hap_str.h"

enum { ZD_HTTP1_BYTES_MAX = 8 << 10 /* of a request line and its fields */ };

/** A request. */
typedef struct zd_http1_t {
    unsigned refused; /* status that it is answered with; 0: it may be looked at */
    const char *why;  /* of that, a sentence; static */
    bool is_head;     /* the method is HEAD; else it is GET, or refused */
    hap_str_t path;   /* of its target, as it came, without a query; borrows from the request */
    bool keep;        /* the connection goes on behind it; never when it may have a body */
    bool old;         /* it is HTTP/1.0: that the connection goes on has to be said */
    size_t bytes;     /* of it; 0: where it ends is not known */
} zd_http1_t;

/** What is answered. Borrows. */
typedef struct zd_page_t {
    unsigned status;
    const char *type; /* Content-Type */
    const char *text;
} zd_page_t;

/**
 * Reads the first request of the n bytes at `p`. The first *seen of them have been looked at
 * before, and it is moved on. False, `request` untouched: more of it is to come. Bodies are not
 * read: who sends one is refused.
 */
bool zd_http1_read(zd_http1_t *request, size_t *seen, const char *p, size_t n);

/** What a refused request is answered. Borrows from it. */
zd_page_t zd_http1_refusal(const zd_http1_t *request);

/** The whole answer, in bytes from `pool`. `date` as in RFC 9110 5.6.7. */
hap_str_t zd_http1_answer(const zd_http1_t *request, const zd_page_t *page, const char *date,
                          apr_pool_t *pool);

#endif
