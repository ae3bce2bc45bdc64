/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what all our text formats have in common: which bytes a file may hold at all, and where
 * two texts part. Does not know any one format.
 */
#include "hap_grammar.h"

/* Bytes that follow the first one of a UTF-8 sequence, or -1; least code point in *least. */
static int utf8_tail(unsigned char c, unsigned *least, unsigned *point)
{
    if (c >= 0xc2 && c <= 0xdf) {
        *least = 0x80;
        *point = c & 0x1fu;
        return 1;
    }
    if (c >= 0xe0 && c <= 0xef) {
        *least = 0x800;
        *point = c & 0x0fu;
        return 2;
    }
    if (c >= 0xf0 && c <= 0xf4) {
        *least = 0x10000;
        *point = c & 0x07u;
        return 3;
    }
    return -1;
}

size_t hap_grammar_utf8(hap_str_t text, size_t i)
{
    unsigned least = 0;
    unsigned point = 0;
    int tail = utf8_tail((unsigned char)text.p[i], &least, &point);
    if (tail < 0 || i + (size_t)tail >= text.n) {
        return 0;
    }
    for (int k = 1; k <= tail; k++) {
        unsigned char c = (unsigned char)text.p[i + (size_t)k];
        if ((c & 0xc0) != 0x80) {
            return 0;
        }
        point = point << 6 | (c & 0x3fu);
    }
    bool surrogate = point >= 0xd800 && point <= 0xdfff;
    return point >= least && point <= 0x10ffff && !surrogate ? (size_t)tail + 1 : 0;
}

static apr_status_t bad_byte(hap_diag_t *diag, int line, unsigned char c)
{
    if (c == 0) {
        hap_diag_set(diag, line, "has a NUL byte: this is not a text file");
    } else if (c == '\r') {
        hap_diag_set(diag, line, "ends in CR LF: copy the file without changing its line ends");
    } else if (c < 0x80) {
        hap_diag_set(diag, line, "has the control byte \\x%02x", c);
    } else {
        hap_diag_set(diag, line, "has the byte \\x%02x, which is not UTF-8", c);
    }
    return APR_EINVAL;
}

static apr_status_t check_line(hap_str_t text, int line, hap_diag_t *diag)
{
    if (text.n > HAP_LINE_MAX_BYTES) {
        hap_diag_set(diag, line, "the line has %" APR_SIZE_T_FMT " bytes, at most %d are allowed",
                     text.n, HAP_LINE_MAX_BYTES);
        return APR_EINVAL;
    }
    for (size_t i = 0; i < text.n;) {
        unsigned char c = (unsigned char)text.p[i];
        size_t length = c >= 0x80 ? hap_grammar_utf8(text, i) : 1;
        if (length == 0 || c < 0x20 || c == 0x7f) {
            return bad_byte(diag, line, c);
        }
        i += length;
    }
    return APR_SUCCESS;
}

apr_status_t hap_grammar_text(hap_str_t text, hap_diag_t *diag)
{
    if (text.n == 0) {
        hap_diag_set(diag, 0, "is empty");
        return APR_EINVAL;
    }
    hap_str_t rest = text;
    hap_str_t content;
    int line = 0;
    while (hap_str_line(&content, &rest)) {
        apr_status_t rv = check_line(content, ++line, diag);
        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
    if (text.p[text.n - 1] != '\n') {
        hap_diag_set(diag, line, "the last line has no newline: the file was cut short");
        return APR_EINVAL;
    }
    return APR_SUCCESS;
}

bool hap_grammar_same_text(int *line, hap_str_t *got, hap_str_t text, hap_str_t want)
{
    hap_str_t got_line = {NULL, 0};
    hap_str_t want_line = {NULL, 0};
    if (hap_str_eq(text, want)) {
        return true;
    }
    for (int n = 1;; n++) {
        bool more = hap_str_line(&got_line, &text);
        bool wanted = hap_str_line(&want_line, &want);
        if (!more || !wanted || !hap_str_eq(got_line, want_line)) {
            *line = n;
            *got = more ? got_line : (hap_str_t){NULL, 0};
            return false;
        }
    }
}
