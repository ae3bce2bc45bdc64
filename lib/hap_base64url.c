/* SPDX-License-Identifier: Apache-2.0 */
/* Owns both directions of base64url. */
#include "hap_base64url.h"

#include <stdint.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

enum { NO = 64 /* no digit: a bit that no value has */ };

/* What each character stands for. */
/* clang-format off */
static const uint8_t values[256] = {
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, /* 00 */
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, /* 10 */
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, 62, NO, NO, /* 20 */
    52, 53, 54, 55, 56, 57, 58, 59, 60, 61, NO, NO, NO, NO, NO, NO, /* 30 */
    NO,  0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14, /* 40 */
    15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, NO, NO, NO, NO, 63, /* 50 */
    NO, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, /* 60 */
    41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, NO, NO, NO, NO, NO, /* 70 */
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, /* 80 */
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, /* 90 */
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, /* a0 */
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, /* b0 */
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, /* c0 */
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, /* d0 */
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, /* e0 */
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, /* f0 */
};
/* clang-format on */

static unsigned value_of(char c)
{
    return values[(unsigned char)c];
}

void hap_base64url_encode(char *out, const void *in, size_t n)
{
    const unsigned char *from = in;
    for (; n >= 3; n -= 3, from += 3) {
        unsigned bits = (unsigned)from[0] << 16 | (unsigned)from[1] << 8 | from[2];
        *out++ = digits[bits >> 18];
        *out++ = digits[bits >> 12 & 63];
        *out++ = digits[bits >> 6 & 63];
        *out++ = digits[bits & 63];
    }
    if (n == 0) {
        return;
    }
    unsigned bits = (unsigned)from[0] << 16 | (n == 2 ? (unsigned)from[1] << 8 : 0);
    *out++ = digits[bits >> 18];
    *out++ = digits[bits >> 12 & 63];
    if (n == 2) {
        *out = digits[bits >> 6 & 63];
    }
}

/* The last two or three characters, which stand for a byte less. */
static bool decode_rest(char **to, unsigned bits, unsigned chars)
{
    switch (chars) {
    case 0:
        return true;
    case 2:
        *(*to)++ = (char)(bits >> 4);
        return (bits & 15) == 0;
    case 3:
        *(*to)++ = (char)(bits >> 10);
        *(*to)++ = (char)(bits >> 2);
        return (bits & 3) == 0;
    default:
        return false;
    }
}

/* As many fours as there are. NO is above all values, so it shows in what all of them make. */
static unsigned decode_fours(char **to, hap_str_t piece, size_t *at)
{
    unsigned all = 0;
    char *out = *to;
    size_t i = *at;
    for (; piece.n - i >= 4; i += 4, out += 3) {
        unsigned a = value_of(piece.p[i]);
        unsigned b = value_of(piece.p[i + 1]);
        unsigned c = value_of(piece.p[i + 2]);
        unsigned d = value_of(piece.p[i + 3]);
        unsigned bits = a << 18 | b << 12 | c << 6 | d;
        all |= a | b | c | d;
        out[0] = (char)(bits >> 16);
        out[1] = (char)(bits >> 8);
        out[2] = (char)bits;
    }
    *to = out;
    *at = i;
    return all;
}

bool hap_base64url_decode(char *out, size_t *n, const hap_str_t *pieces, unsigned pieces_n)
{
    char *to = out;
    unsigned bits = 0;
    unsigned chars = 0; /* that `bits` holds */
    unsigned all = 0;
    for (unsigned i = 0; i < pieces_n; i++) {
        size_t at = 0;
        while (at < pieces[i].n) {
            if (chars == 0 && pieces[i].n - at >= 4) {
                all |= decode_fours(&to, pieces[i], &at);
                continue;
            }
            unsigned value = value_of(pieces[i].p[at++]);
            all |= value;
            bits = bits << 6 | value;
            if (++chars == 4) {
                *to++ = (char)(bits >> 16);
                *to++ = (char)(bits >> 8);
                *to++ = (char)bits;
                chars = bits = 0;
            }
        }
    }
    if (all & NO || !decode_rest(&to, bits, chars)) {
        return false;
    }
    *n = (size_t)(to - out);
    return true;
}
