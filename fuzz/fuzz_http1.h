/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what the parts of the fuzz target of HTTP/1 have in common. */
#ifndef FUZZ_HTTP1_H
#define FUZZ_HTTP1_H

#include "fuzz.h"
#include "hap_http1.h"
#include "reader.h"

/** Same bytes. */
static inline bool fuzz_same(hap_str_t a, reader_word_t b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/** Same bytes, where any blanks and line ends in a row are one space. */
bool fuzz_same_folded(hap_str_t a, reader_word_t b);

/** It is one of the names that only an instance and the proxy use. */
bool fuzz_is_zone(reader_word_t name);

/** Passes on a request that both readers have taken, and reads what comes out with both. */
void fuzz_pass_request(const hap_http1_request_t *request, const reader_message_t *message);

/** Passes on an answer that both readers have taken, and reads what comes out. */
void fuzz_pass_answer(const hap_http1_answer_t *answer, const reader_message_t *message, bool head);

#endif
