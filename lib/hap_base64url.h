/* SPDX-License-Identifier: Apache-2.0 */
/* Owns base64url without padding (RFC 4648 5). Allocates nothing. */
#ifndef HAP_BASE64URL_H
#define HAP_BASE64URL_H

#include "hap_str.h"

/** How many characters n bytes take. */
#define HAP_BASE64URL_CHARS(n) (((n)*4 + 2) / 3)

/** Writes the n bytes at `in` as HAP_BASE64URL_CHARS(n) characters, without a NUL. */
void hap_base64url_encode(char *out, const void *in, size_t n);

/**
 * Decodes a text that is in pieces, wherever it was cut, into `out`, which has room for three bytes
 * for each four characters begun. False, `n` untouched, when a character is none of the 64, when
 * one is left over, or when bits are set that stand for nothing: each sequence of bytes has one
 * spelling (RFC 4648 3.5).
 */
bool hap_base64url_decode(char *out, size_t *n, const hap_str_t *pieces, unsigned pieces_n);

#endif
