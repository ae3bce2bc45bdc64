/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns `key=value` options: a table of rows says which keys a record has, what they take and what
 * they mean; parsing, defaults, merging and the reference pages all read that one table. Does not
 * know any particular key: those are in hap_policy.
 */
#ifndef HAP_OPTION_H
#define HAP_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <apr_errno.h>
#include <apr_pools.h>

#include "hap_affinity.h"
#include "hap_diag.h"
#include "hap_str.h"

/** What the value of a key looks like, and with it the C type of the field. */
typedef enum hap_option_kind_t {
    HAP_OPTION_CHOICE,   /* one of the words in `choices`; int, the word's index */
    HAP_OPTION_COUNT,    /* decimal number within min..max; unsigned */
    HAP_OPTION_PERCENT,  /* as COUNT, a trailing % allowed; unsigned */
    HAP_OPTION_DURATION, /* number with ms, s, m or h, bare numbers are seconds; microseconds */
    HAP_OPTION_TEXT,     /* what `check` accepts, or any printable text; const char * */
    HAP_OPTION_FILE,     /* a path, or the word none; const char *, NULL for none */
    HAP_OPTION_AFFINITY  /* app, none, insert or insert:COOKIE; hap_option_affinity_t */
} hap_option_kind_t;

/** The value of an AFFINITY option. */
typedef struct hap_option_affinity_t {
    hap_affinity_mode_t mode;
    const char *cookie; /* name of our own cookie */
} hap_option_affinity_t;

/** One key. */
typedef struct hap_option_t {
    const char *name;           /* what stands before the = */
    hap_option_kind_t kind;     /* what stands after it */
    size_t offset;              /* of the field in the record */
    int64_t min;                /* smallest number, in the field's unit */
    int64_t max;                /* largest number, in the field's unit */
    const char *const *choices; /* words of a CHOICE, ends in NULL */
    const char *fallback;       /* default, as the user would write it; "" is unset */
    const char *doc;            /* what it means, for the reference page */
} hap_option_t;

/** The keys of one kind of record. The record begins with a uint64_t: bit i says row i was set. */
typedef struct hap_options_t {
    const char *what; /* name of the directive, for messages */
    const hap_option_t *rows;
    size_t n;    /* at most 64 */
    size_t size; /* of the record in bytes */
} hap_options_t;

/** Fills a record with the defaults and marks all keys unset. Borrows the table's texts. */
void hap_option_defaults(void *record, const hap_options_t *options);

/**
 * Sets one key from `key=value`. APR_EINVAL with a diag that names directive, key and what is
 * allowed for unknown, doubled, empty or malformed ones; the record is then untouched. Texts are
 * copied to `pool`.
 */
apr_status_t hap_option_set(void *record, const hap_options_t *options, hap_str_t pair,
                            hap_diag_t *diag, apr_pool_t *pool);

/** What `over` sets, over what `base` has. `result` may be either. */
void hap_option_merge(void *result, const void *base, const void *over,
                      const hap_options_t *options);

/** The first key that both records set, NULL if there is none. Borrows from the table. */
const hap_option_t *hap_option_common(const void *a, const void *b, const hap_options_t *options);

/** What a row's value may be, in words: "on or off", "1 to 100", "100ms to 1h". From `pool`. */
const char *hap_option_allowed(const hap_option_t *row, apr_pool_t *pool);

/** Reads a duration such as 500ms, 2s, 1m, 1h; bare numbers are seconds. Microseconds. */
bool hap_option_duration(int64_t *result, hap_str_t text);

#endif
