/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns which answers are compressed, and what becomes of their heads then, as AddOutputFilterByType
 * DEFLATE has it. Does not compress: the lane does.
 */
#ifndef HAP_DEFLATE_H
#define HAP_DEFLATE_H

#include "hap_edit.h"

/** A body of no more bytes is not compressed, if all of it is there: it would grow. */
enum { HAP_DEFLATE_SMALL_BYTES = 68 };

typedef enum hap_deflate_etag_t {
    HAP_DEFLATE_ETAG_SUFFIX, /* "x" becomes "x-gzip" */
    HAP_DEFLATE_ETAG_KEEP,
    HAP_DEFLATE_ETAG_REMOVE
} hap_deflate_etag_t;

/** How answers under one mount are compressed. Made at startup, read-only since. */
typedef struct hap_deflate_t {
    const hap_str_t *types; /* content types, without parameters, by case */
    unsigned types_n;
    int level, window, memory; /* as deflateInit2 takes them; window without a sign */
    hap_deflate_etag_t etag;   /* DeflateAlterETag */
} hap_deflate_t;

/** Whether the request's Accept-Encoding has gzip, as mod_deflate reads it. */
bool hap_deflate_accepted(const hap_http1_request_t *request);

/**
 * Whether compression has a say in this answer: a 200 with one of the types, not a part of
 * something, not encoded. Then its head is to be told so, whatever the client accepts.
 */
bool hap_deflate_applies(const hap_http1_answer_t *answer, const hap_deflate_t *how);

/**
 * The head says that it depends on Accept-Encoding and, if the body is to be compressed, that it
 * is, without what does not hold any more: its length, its digest, its tag. False if that does not
 * fit.
 */
bool hap_deflate_head(hap_http1_answer_t *answer, const hap_deflate_t *how, bool compressed,
                      hap_edit_text_t *text);

#endif
