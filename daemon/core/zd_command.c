/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns writing and reading commands: both go by the two tables of the header.
 */
#include "zd_command.h"

#include <stddef.h>
#include <stdlib.h>

#include <apr_strings.h>
#include <jansson.h>

typedef enum kind_t { TEXT, NUMBER, FLAG } kind_t;

static const struct {
    const char *key;
    kind_t kind;
    size_t at; /* in zd_command_t */
} fields[] = {
#define ZD_FIELD_ROW(name, member, kind) {#member, kind, offsetof(zd_command_t, member)},
    ZD_FIELDS(ZD_FIELD_ROW)
#undef ZD_FIELD_ROW
};

const char *const zd_do_names[] = {
#define ZD_DO_NAME(name, word, needs, may) [ZD_DO_##name] = word,
    ZD_DOES(ZD_DO_NAME)
#undef ZD_DO_NAME
};

enum { COMMON = 4 /* fields that all have */ };

static const uint32_t needs[] = {
#define ZD_DO_NEEDS(name, word, needs, may) [ZD_DO_##name] = (needs) | ((1u << COMMON) - 1),
    ZD_DOES(ZD_DO_NEEDS)
#undef ZD_DO_NEEDS
};

/* Any may say for which version of the map it is meant, and why. */
static const uint32_t may[] = {
#define ZD_DO_MAY(name, word, needs, may) [ZD_DO_##name] = (may) | ZD_BIT(EXPECT) | ZD_BIT(WHY),
    ZD_DOES(ZD_DO_MAY)
#undef ZD_DO_MAY
};

_Static_assert(ZD_FIELD_COUNT <= 32, "a bit each");

static const char *text_of(const zd_command_t *command, unsigned field)
{
    return *(const char *const *)((const char *)command + fields[field].at);
}

static uint64_t number_of(const zd_command_t *command, unsigned field)
{
    return *(const uint64_t *)((const char *)command + fields[field].at);
}

static bool flag_of(const zd_command_t *command, unsigned field)
{
    return *(const bool *)((const char *)command + fields[field].at);
}

/* --- writing ---------------------------------------------------------------------------------- */

/* NULL if it is not there, or cannot be written. */
static json_t *json_of(const zd_command_t *command, unsigned field)
{
    switch (fields[field].kind) {
    case TEXT:
        return text_of(command, field) ? json_string(text_of(command, field)) : NULL;
    case NUMBER:
        return number_of(command, field) <= INT64_MAX
                   ? json_integer((json_int_t)number_of(command, field))
                   : NULL;
    case FLAG:
        break;
    }
    return json_boolean(flag_of(command, field));
}

static bool is_given(const zd_command_t *command, unsigned field)
{
    switch (fields[field].kind) {
    case TEXT:
        return text_of(command, field) != NULL;
    case NUMBER:
        return number_of(command, field) != 0;
    case FLAG:
        break;
    }
    return flag_of(command, field);
}

static bool is_written(const zd_command_t *command, unsigned field)
{
    uint32_t bit = UINT32_C(1) << field;
    return (needs[command->what] & bit) || ((may[command->what] & bit) && is_given(command, field));
}

static json_t *object_of(const zd_command_t *command, hap_diag_t *diag)
{
    json_t *object = json_object();
    json_object_set_new(object, "v", json_integer(ZD_COMMAND_VERSION));
    json_object_set_new(object, "do", json_string(zd_do_names[command->what]));
    for (unsigned i = 0; i < ZD_FIELD_COUNT; i++) {
        if (!is_written(command, i)) {
            continue;
        }
        if (json_object_set_new(object, fields[i].key, json_of(command, i)) != 0) {
            hap_diag_set(diag, 0, "%s: %s is missing, or not what can be written",
                         zd_do_names[command->what], fields[i].key);
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

apr_status_t zd_command_encode(hap_str_t *bytes, const zd_command_t *command, hap_diag_t *diag,
                               apr_pool_t *pool)
{
    char text[ZD_COMMAND_BYTES_MAX];
    json_t *object = object_of(command, diag);
    if (!object) {
        return APR_EINVAL;
    }
    size_t n = json_dumpb(object, text, sizeof(text), JSON_COMPACT);
    json_decref(object);
    if (n == 0 || n > sizeof(text)) {
        hap_diag_set(diag, 0, "%s: it has more than %d bytes", zd_do_names[command->what],
                     ZD_COMMAND_BYTES_MAX);
        return APR_EINVAL;
    }
    while (n % ZD_COMMAND_ALIGN) {
        text[n++] = ' ';
    }
    *bytes = hap_strn(apr_pmemdup(pool, text, n), n);
    return APR_SUCCESS;
}

/* --- reading ---------------------------------------------------------------------------------- */

static bool read_field(zd_command_t *command, unsigned field, const json_t *value, apr_pool_t *pool)
{
    void *at = (char *)command + fields[field].at;
    switch (fields[field].kind) {
    case TEXT:
        if (json_is_string(value)) {
            *(const char **)at = apr_pstrdup(pool, json_string_value(value));
            return true;
        }
        return false;
    case NUMBER:
        if (json_is_integer(value) && json_integer_value(value) >= 0) {
            *(uint64_t *)at = (uint64_t)json_integer_value(value);
            return true;
        }
        return false;
    case FLAG:
        break;
    }
    *(bool *)at = json_is_true(value);
    return json_is_boolean(value);
}

static apr_status_t read_fields(zd_command_t *command, const json_t *object, hap_diag_t *diag,
                                apr_pool_t *pool)
{
    size_t known = 2; /* v and do */
    for (unsigned i = 0; i < ZD_FIELD_COUNT; i++) {
        uint32_t bit = UINT32_C(1) << i;
        const json_t *value = json_object_get(object, fields[i].key);
        bool needed = needs[command->what] & bit;
        if (!value && !needed) {
            continue;
        }
        if (!((needs[command->what] | may[command->what]) & bit) || !value ||
            !read_field(command, i, value, pool)) {
            hap_diag_set(diag, 0, "%s: %s is missing, of a wrong type, or not its own",
                         zd_do_names[command->what], fields[i].key);
            return APR_EINVAL;
        }
        known++;
    }
    if (known != json_object_size(object)) {
        hap_diag_set(diag, 0, "%s: it has a field that is unknown", zd_do_names[command->what]);
        return APR_EINVAL;
    }
    return APR_SUCCESS;
}

static apr_status_t read_object(zd_command_t *command, const json_t *object, hap_diag_t *diag,
                                apr_pool_t *pool)
{
    const json_t *version = json_object_get(object, "v");
    hap_str_t word = hap_str(json_string_value(json_object_get(object, "do")));
    int what = hap_str_word(word, zd_do_names, ZD_DO_COUNT);
    if (!json_is_integer(version) || json_integer_value(version) != ZD_COMMAND_VERSION) {
        hap_diag_set(diag, 0, "it is no command of version %d", ZD_COMMAND_VERSION);
        return APR_EINVAL;
    }
    if (what < 0) {
        hap_diag_set(diag, 0, "\"%s\" is no command", hap_str_show(word, pool));
        return APR_EINVAL;
    }
    zd_command_t read = {.what = (zd_do_t)what};
    apr_status_t rv = read_fields(&read, object, diag, pool);
    if (rv == APR_SUCCESS) {
        *command = read;
    }
    return rv;
}

apr_status_t zd_command_decode(zd_command_t *command, hap_str_t bytes, hap_diag_t *diag,
                               apr_pool_t *pool)
{
    json_error_t error;
    json_t *object = bytes.n <= ZD_COMMAND_BYTES_MAX ? json_loadb(bytes.p ? bytes.p : "", bytes.n,
                                                                  JSON_REJECT_DUPLICATES, &error)
                                                     : NULL;
    if (!object) {
        hap_diag_set(diag, 0, "it is no command: no JSON, or more than %d bytes",
                     ZD_COMMAND_BYTES_MAX);
        return APR_EINVAL;
    }
    apr_status_t rv = read_object(command, object, diag, pool);
    json_decref(object);
    return rv;
}
