/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns taking values out of JSON objects of our own formats: of the right type, or a sentence. Does
 * not parse: jansson does.
 */
#ifndef HAP_JSON_H
#define HAP_JSON_H

#include <stdint.h>

#include <apr_pools.h>
#include <jansson.h>

#include "hap_diag.h"
#include "hap_str.h"

/** A reading of one text. The first reason to refuse it is kept, and what follows can be read on
 * without looking: it is empty, 0 or false. */
typedef struct hap_json_reader_t {
    hap_diag_t *diag;  /* gets the sentence */
    apr_pool_t *pool;  /* of all that is read */
    const char *where; /* what the sentence says of the object that is being read */
    bool failed;
} hap_json_reader_t;

/** The value of `key` in `object`, of its type; else the reader has failed. Copies. */
const char *hap_json_text(hap_json_reader_t *reader, const json_t *object, const char *key);
uint64_t hap_json_number(hap_json_reader_t *reader, const json_t *object, const char *key);
bool hap_json_flag(hap_json_reader_t *reader, const json_t *object, const char *key);

/** The same, NULL for JSON's null. */
const char *hap_json_text_or_null(hap_json_reader_t *reader, const json_t *object, const char *key);

/** The place of the text among `words`. */
unsigned hap_json_word(hap_json_reader_t *reader, const json_t *object, const char *key,
                       const char *const *words, unsigned n);

/** The list of at most `n_max`, as `*array` of `*n`, and room for so many records of `bytes` each,
 * zeroed; NULL when there are none. */
void *hap_json_list(hap_json_reader_t *reader, const json_t **array, unsigned *n,
                    const json_t *object, const char *key, unsigned n_max, size_t bytes);

/** Appends `value`, which it takes. When there is no memory, or `value` is NULL, the array becomes
 * NULL; and what json_pack makes of a NULL is NULL. */
void hap_json_append(json_t **array, json_t *value);

#endif
