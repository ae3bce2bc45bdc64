/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the string slice that every parser in lib/ hands around. Does not own memory: a slice
 * borrows from the text it was cut out of.
 */
#ifndef HAP_STR_H
#define HAP_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <apr_pools.h>

/** A piece of text that need not end in NUL. Borrows from its source. */
typedef struct hap_str_t {
    const char *p; /* first byte; may be NULL only when n is 0 */
    size_t n;      /* length in bytes */
} hap_str_t;

/** Prints a slice with "%.*s". */
#define HAP_STR_ARG(s) (int)(s).n, ((s).n ? (s).p : "")

/** The slice of a string literal. */
#define HAP_STR_LIT(lit) ((hap_str_t){(lit), sizeof(lit) - 1})

/** The slice of a C string; NULL gives the empty slice. Borrows. */
static inline hap_str_t hap_str(const char *s)
{
    return (hap_str_t){s, s ? strlen(s) : 0};
}

/** The slice of n bytes at p. Borrows. */
static inline hap_str_t hap_strn(const char *p, size_t n)
{
    return (hap_str_t){p, n};
}

/** Same bytes. */
static inline bool hap_str_eq(hap_str_t a, hap_str_t b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/** Same bytes but for the case of ASCII letters. */
bool hap_str_eq_nocase(hap_str_t a, hap_str_t b);

/** Begins with these bytes. */
static inline bool hap_str_starts(hap_str_t s, hap_str_t prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

/** Orders by bytes, the shorter first when one begins the other. <0, 0 or >0 as memcmp. */
int hap_str_cmp(hap_str_t a, hap_str_t b);

/** Index of the first `c` at or after `from`, or s.n if there is none. */
size_t hap_str_find(hap_str_t s, char c, size_t from);

/** The slice from `from` up to `to`; both are cut to its length. Borrows. */
static inline hap_str_t hap_str_sub(hap_str_t s, size_t from, size_t to)
{
    if (to > s.n) {
        to = s.n;
    }
    if (from > to) {
        from = to;
    }
    return (hap_str_t){s.p ? s.p + from : NULL, to - from};
}

/** Without blanks and tabs at both ends. Borrows. */
hap_str_t hap_str_trim(hap_str_t s);

/** Cuts the first line, without its newline, off `rest`. False when `rest` is empty. Borrows. */
bool hap_str_line(hap_str_t *line, hap_str_t *rest);

/** Index of the first of `n` words that is `s`, or -1 if none is. */
int hap_str_word(hap_str_t s, const char *const *words, unsigned n);

/** A copy that ends in NUL, from `pool`. */
char *hap_str_dup(hap_str_t s, apr_pool_t *pool);

/**
 * The text made fit for a message: printable ASCII as it is, quotes and backslashes with a
 * backslash, everything else as \xNN; cut after 80 bytes of the source. Allocates from `pool`.
 */
const char *hap_str_show(hap_str_t s, apr_pool_t *pool);

/**
 * Reads a decimal number without sign or blanks. False, result untouched, if there is anything
 * else in it or it is beyond `max`.
 */
bool hap_str_uint(unsigned long *result, hap_str_t s, unsigned long max);

enum { HAP_STR_UINT_BYTES = 20 /* digits of the largest number */ };

/** The decimal digits of a number, written at the end of `room`. Borrows from that. */
hap_str_t hap_str_digits(char room[HAP_STR_UINT_BYTES], unsigned long long number);

/** 64-bit hash of the bytes (FNV-1a with a final avalanche): spreads well, is no secret. */
unsigned long long hap_str_hash(hap_str_t s);

#endif
