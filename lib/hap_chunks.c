/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the steps of reading chunks: each takes one line, or what there is of the data. */
#include "hap_chunks.h"

#include <string.h>

#include "hap_http1_class.h"

/** Where reading and writing are, in the same bytes. */
typedef struct place_t {
    char *from; /* next byte to read */
    char *to;   /* where the next one goes; never behind `from` */
    char *end;
} place_t;

/* False when there is not enough to go on. */
typedef bool step_fn(hap_chunks_t *chunks, place_t *at);

static bool bad(hap_chunks_t *chunks)
{
    chunks->state = HAP_CHUNKS_BAD;
    return false;
}

static void put(place_t *at, const char *bytes, size_t n)
{
    if (at->to != bytes) {
        memmove(at->to, bytes, n);
    }
    at->to += n;
}

/* The length of the line at hand without its CRLF; -1 none yet, -2 it cannot become one. */
static long line_length(const place_t *at, size_t most)
{
    size_t n = (size_t)(at->end - at->from);
    const char *lf = memchr(at->from, '\n', n < most ? n : most);
    if (!lf) {
        return n >= most ? -2 : -1;
    }
    return lf > at->from && lf[-1] == '\r' ? lf - at->from - 1 : -2;
}

static unsigned hex_value(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a' + 10);
}

size_t hap_chunks_head(char line[HAP_CHUNKS_HEAD_BYTES], uint64_t size)
{
    static const char digits[] = "0123456789abcdef";
    unsigned n = 1;
    while (n < 16 && size >> (4 * n)) {
        n++;
    }
    for (unsigned i = 0; i < n; i++) {
        line[i] = digits[size >> (4 * (n - 1 - i)) & 15];
    }
    line[n] = '\r';
    line[n + 1] = '\n';
    return n + 2;
}

static size_t skip_blanks(const char *p, size_t at, size_t n)
{
    while (at < n && (p[at] == ' ' || p[at] == '\t')) {
        at++;
    }
    return at;
}

/* Where a token or a quoted-string (RFC 9110 5.6.4) ends; `at` when there is none. */
static size_t value_end(const char *p, size_t at, size_t n)
{
    if (at == n || p[at] != '"') {
        return at + hap_byte_span(p + at, n - at, HAP_BYTE_TOKEN);
    }
    size_t end = at + 1;
    while (end < n && p[end] != '"') {
        end += p[end] == '\\' ? 2 : 1;
    }
    return end < n ? end + 1 : at;
}

/*
 * *( ";" token [ "=" ( token / quoted-string ) ] )   (RFC 9112 7.1.1), with blanks but before the
 * semicolon. They are left out, but whoever stands in front may not see the same end of the line in
 * a quote that is not closed.
 */
static bool is_extensions(const char *p, size_t n)
{
    size_t at = 0;
    while (at < n && p[at] == ';') {
        size_t name = skip_blanks(p, at + 1, n);
        at = name + hap_byte_span(p + name, n - name, HAP_BYTE_TOKEN);
        if (at == name) {
            return false;
        }
        size_t equals = skip_blanks(p, at, n);
        if (equals < n && p[equals] == '=') {
            size_t value = skip_blanks(p, equals + 1, n);
            at = value_end(p, value, n);
            if (at == value) {
                return false;
            }
        }
    }
    return at == n;
}

/* token ":" value, or nothing */
static bool is_trailer(const char *p, size_t n)
{
    size_t name = hap_byte_span(p, n, HAP_BYTE_TOKEN);
    return n == 0 || (name > 0 && name < n && p[name] == ':');
}

/* 1*HEXDIG *blank [ extensions ] CRLF; there are servers that pad their sizes with blanks */
static bool size_line(hap_chunks_t *chunks, place_t *at)
{
    enum { DIGITS_MAX = 15 };
    long n = line_length(at, HAP_CHUNKS_LINE_BYTES);
    if (n < 0) {
        return n == -1 ? false : bad(chunks);
    }
    size_t digits = hap_byte_span(at->from, (size_t)n, HAP_BYTE_HEX);
    size_t end = skip_blanks(at->from, digits, (size_t)n);
    size_t rest = (size_t)n - end;
    if (digits == 0 || digits > DIGITS_MAX || hap_byte_span_value(at->from + end, rest) != rest ||
        !is_extensions(at->from + end, rest)) {
        return bad(chunks);
    }
    uint64_t size = 0;
    for (size_t i = 0; i < digits; i++) {
        size = size * 16 + hex_value(at->from[i]);
    }
    at->from += n + 2;
    chunks->left = size;
    chunks->state = size ? HAP_CHUNKS_DATA : HAP_CHUNKS_TRAILER;
    if (!chunks->bare) {
        char line[HAP_CHUNKS_HEAD_BYTES];
        put(at, line, hap_chunks_head(line, size));
    }
    return true;
}

static bool data(hap_chunks_t *chunks, place_t *at)
{
    size_t n = (size_t)(at->end - at->from);
    if (n > chunks->left) {
        n = (size_t)chunks->left;
    }
    put(at, at->from, n);
    at->from += n;
    chunks->left -= n;
    if (chunks->left > 0) {
        return false;
    }
    chunks->state = HAP_CHUNKS_END;
    return true;
}

static bool data_end(hap_chunks_t *chunks, place_t *at)
{
    size_t n = (size_t)(at->end - at->from);
    if ((n > 0 && at->from[0] != '\r') || (n > 1 && at->from[1] != '\n')) {
        return bad(chunks);
    }
    if (n < 2) {
        return false;
    }
    at->from += 2;
    if (!chunks->bare) {
        put(at, "\r\n", 2);
    }
    chunks->state = HAP_CHUNKS_SIZE;
    return true;
}

/* Trailers are read and left out: who forwards them lets one side write the other's fields. */
static bool trailer(hap_chunks_t *chunks, place_t *at)
{
    long n = line_length(at, HAP_CHUNKS_TRAILER_BYTES - chunks->trailer_size);
    if (n < 0) {
        return n == -1 ? false : bad(chunks);
    }
    if (hap_byte_span_value(at->from, (size_t)n) != (size_t)n || !is_trailer(at->from, (size_t)n)) {
        return bad(chunks);
    }
    at->from += n + 2;
    chunks->trailer_size += (size_t)n + 2;
    if (n > 0) {
        return ++chunks->trailers_n <= HAP_CHUNKS_TRAILERS_MAX || bad(chunks);
    }
    chunks->state = HAP_CHUNKS_DONE;
    if (!chunks->bare) {
        put(at, "\r\n", 2);
    }
    return false;
}

size_t hap_chunks_feed(hap_chunks_t *chunks, size_t *used, char *p, size_t n)
{
    static step_fn *const steps[] = {
        [HAP_CHUNKS_SIZE] = size_line,  /* -> DATA, TRAILER, BAD */
        [HAP_CHUNKS_DATA] = data,       /* -> END */
        [HAP_CHUNKS_END] = data_end,    /* -> SIZE, BAD */
        [HAP_CHUNKS_TRAILER] = trailer, /* -> DONE, BAD */
        [HAP_CHUNKS_DONE] = NULL,       [HAP_CHUNKS_BAD] = NULL,
    };
    place_t at = {p, p, p + n};
    while (steps[chunks->state] && steps[chunks->state](chunks, &at)) {
    }
    *used = (size_t)(at.from - p);
    return (size_t)(at.to - p);
}
