/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns operations on string slices. Does not know what the text means: grammars are in
 * hap_grammar.
 */
#include "hap_str.h"

#include <stdint.h>

#include <apr_strings.h>

enum { SHOW_MAX_BYTES = 80 };

static unsigned char lower(unsigned char c)
{
    return c >= 'A' && c <= 'Z' ? (unsigned char)(c | 0x20) : c;
}

/* Most are spelt alike, or differ at once. */
bool hap_str_eq_nocase(hap_str_t a, hap_str_t b)
{
    if (a.n != b.n) {
        return false;
    }
    if (a.n == 0 || memcmp(a.p, b.p, a.n) == 0) {
        return true;
    }
    for (size_t i = 0; i < a.n; i++) {
        if (lower((unsigned char)a.p[i]) != lower((unsigned char)b.p[i])) {
            return false;
        }
    }
    return true;
}

int hap_str_cmp(hap_str_t a, hap_str_t b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int diff = n ? memcmp(a.p, b.p, n) : 0;
    if (diff != 0) {
        return diff;
    }
    return (a.n > b.n) - (a.n < b.n);
}

size_t hap_str_find(hap_str_t s, char c, size_t from)
{
    if (from >= s.n) {
        return s.n;
    }
    const char *hit = memchr(s.p + from, c, s.n - from);
    return hit ? (size_t)(hit - s.p) : s.n;
}

hap_str_t hap_str_trim(hap_str_t s)
{
    while (s.n && (s.p[0] == ' ' || s.p[0] == '\t')) {
        s.p++;
        s.n--;
    }
    while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t')) {
        s.n--;
    }
    return s;
}

bool hap_str_line(hap_str_t *line, hap_str_t *rest)
{
    if (rest->n == 0) {
        return false;
    }
    size_t end = hap_str_find(*rest, '\n', 0);
    *line = hap_str_sub(*rest, 0, end);
    *rest = hap_str_sub(*rest, end + 1, rest->n);
    return true;
}

int hap_str_word(hap_str_t s, const char *const *words, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (hap_str_eq(s, hap_str(words[i]))) {
            return (int)i;
        }
    }
    return -1;
}

char *hap_str_dup(hap_str_t s, apr_pool_t *pool)
{
    return apr_pstrmemdup(pool, s.n ? s.p : "", s.n);
}

const char *hap_str_show(hap_str_t s, apr_pool_t *pool)
{
    static const char hex[] = "0123456789abcdef";
    size_t n = s.n < SHOW_MAX_BYTES ? s.n : SHOW_MAX_BYTES;
    char *text = apr_palloc(pool, 4 * n + sizeof("..."));
    char *out = text;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '"' || c == '\\') {
            *out++ = '\\';
            *out++ = (char)c;
        } else if (c >= 0x20 && c < 0x7f) {
            *out++ = (char)c;
        } else {
            *out++ = '\\';
            *out++ = 'x';
            *out++ = hex[c >> 4];
            *out++ = hex[c & 15];
        }
    }
    memcpy(out, s.n > n ? "..." : "", s.n > n ? sizeof("...") : 1);
    return text;
}

bool hap_str_uint(unsigned long *result, hap_str_t s, unsigned long max)
{
    if (s.n == 0) {
        return false;
    }
    unsigned long value = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') {
            return false;
        }
        unsigned long digit = (unsigned long)(s.p[i] - '0');
        if (digit > max || value > (max - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    *result = value;
    return true;
}

hap_str_t hap_str_digits(char room[HAP_STR_UINT_BYTES], unsigned long long number)
{
    char *end = room + HAP_STR_UINT_BYTES;
    char *p = end;
    do {
        *--p = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    return hap_strn(p, (size_t)(end - p));
}

unsigned long long hap_str_hash(hap_str_t s)
{
    uint64_t h = 0xcbf29ce484222325ULL;
    for (size_t i = 0; i < s.n; i++) {
        h = (h ^ (unsigned char)s.p[i]) * 0x100000001b3ULL;
    }
    h ^= h >> 33;
    h *= 0xff51afd7ed558ccdULL;
    h ^= h >> 33;
    h *= 0xc4ceb9fe1a85ec53ULL;
    return h ^ (h >> 33);
}
