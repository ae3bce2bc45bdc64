/* SPDX-License-Identifier: Apache-2.0 */
/* Owns which bytes may stand where in an HTTP/1 head: one table, a bit for each place. */
#ifndef HAP_HTTP1_CLASS_H
#define HAP_HTTP1_CLASS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    HAP_BYTE_TOKEN = 1 << 0, /* RFC 9110 5.6.2 tchar */
    HAP_BYTE_VALUE = 1 << 1, /* field-vchar, obs-text, blank, tab */
    HAP_BYTE_PATH = 1 << 2,  /* RFC 3986 pchar without %, and / */
    HAP_BYTE_QUERY = 1 << 3, /* RFC 3986 query */
    HAP_BYTE_HEX = 1 << 4
};

extern const uint8_t hap_byte_class[256];

static inline bool hap_byte_is(char c, unsigned classes)
{
    return hap_byte_class[(unsigned char)c] & classes;
}

/** How many of the first bytes are of a class. */
static inline size_t hap_byte_span(const char *p, size_t n, unsigned classes)
{
    size_t i = 0;
    while (i < n && hap_byte_is(p[i], classes)) {
        i++;
    }
    return i;
}

/**
 * The same for HAP_BYTE_VALUE, which most bytes of a head are looked at for: eight at a time. Those
 * that may be none (below a blank, or DEL) are looked at one by one.
 */
static inline size_t hap_byte_span_value(const char *p, size_t n)
{
    const uint64_t ones = UINT64_MAX / 0xff; /* each byte is 1 */
    const uint64_t highs = ones << 7;
    size_t i = 0;
    while (n - i >= sizeof(uint64_t)) {
        uint64_t eight;
        memcpy(&eight, p + i, sizeof(eight));
        uint64_t del = eight ^ ones * 0x7f;
        uint64_t doubtful = ((eight - ones * ' ') & ~eight) | ((del - ones) & ~del);
        if (doubtful & highs &&
            hap_byte_span(p + i, sizeof(eight), HAP_BYTE_VALUE) < sizeof(eight)) {
            break;
        }
        i += sizeof(eight);
    }
    return i + hap_byte_span(p + i, n - i, HAP_BYTE_VALUE);
}

#endif
