/* SPDX-License-Identifier: Apache-2.0 */
/* Owns reading values of JSON objects with a sentence for what is wrong. */
#include "hap_json.h"

#include <apr_strings.h>

static void refuse(hap_json_reader_t *reader, const char *key, const char *want)
{
    if (!reader->failed) {
        hap_diag_set(reader->diag, 0, "%s: \"%s\" is not there, or not %s", reader->where, key,
                     want);
        reader->failed = true;
    }
}

const char *hap_json_text(hap_json_reader_t *reader, const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_string(value)) {
        refuse(reader, key, "a text");
        return "";
    }
    return apr_pstrdup(reader->pool, json_string_value(value));
}

const char *hap_json_text_or_null(hap_json_reader_t *reader, const json_t *object, const char *key)
{
    return json_is_null(json_object_get(object, key)) ? NULL : hap_json_text(reader, object, key);
}

uint64_t hap_json_number(hap_json_reader_t *reader, const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_integer(value) || json_integer_value(value) < 0) {
        refuse(reader, key, "a number from 0");
        return 0;
    }
    return (uint64_t)json_integer_value(value);
}

bool hap_json_flag(hap_json_reader_t *reader, const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_boolean(value)) {
        refuse(reader, key, "true or false");
    }
    return json_is_true(value);
}

unsigned hap_json_word(hap_json_reader_t *reader, const json_t *object, const char *key,
                       const char *const *words, unsigned n)
{
    int at = hap_str_word(hap_str(hap_json_text(reader, object, key)), words, n);
    if (at < 0) {
        refuse(reader, key, "a word that is known");
        return 0;
    }
    return (unsigned)at;
}

void *hap_json_list(hap_json_reader_t *reader, const json_t **array, unsigned *n,
                    const json_t *object, const char *key, unsigned n_max, size_t bytes)
{
    *array = json_object_get(object, key);
    if (!json_is_array(*array) || json_array_size(*array) > n_max) {
        refuse(reader, key, "a list of what there may be");
        *n = 0;
        return NULL;
    }
    *n = (unsigned)json_array_size(*array);
    return *n ? apr_pcalloc(reader->pool, *n * bytes) : NULL;
}

void hap_json_append(json_t **array, json_t *value)
{
    if (!value || json_array_append_new(*array, value) != 0) {
        json_decref(*array);
        *array = NULL;
    }
}
