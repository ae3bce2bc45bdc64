/* SPDX-License-Identifier: Apache-2.0 */
/* Owns reading `key=value` options by table. Does not know any particular key. */
#include "hap_option.h"

#include <apr_strings.h>
#include <apr_time.h>

static const char default_cookie[] = "HAROUTE";

enum { COOKIE_NAME_MAX = 63 };

static uint64_t *set_bits(void *record)
{
    return record;
}

static void *field(void *record, const hap_option_t *row)
{
    return (char *)record + row->offset;
}

static size_t field_size(hap_option_kind_t kind)
{
    switch (kind) {
    case HAP_OPTION_CHOICE:
        return sizeof(int);
    case HAP_OPTION_COUNT:
    case HAP_OPTION_PERCENT:
        return sizeof(unsigned);
    case HAP_OPTION_DURATION:
        return sizeof(apr_interval_time_t);
    case HAP_OPTION_TEXT:
    case HAP_OPTION_FILE:
        return sizeof(const char *);
    case HAP_OPTION_AFFINITY:
        return sizeof(hap_option_affinity_t);
    }
    return 0;
}

bool hap_option_duration(int64_t *result, hap_str_t text)
{
    static const struct {
        const char *suffix;
        int64_t us;
    } units[] = {{"ms", 1000}, {"s", 1000000}, {"m", 60000000}, {"h", INT64_C(3600000000)}};
    int64_t unit = 1000000;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        size_t n = strlen(units[i].suffix);
        bool digit_before =
            text.n > n && text.p[text.n - n - 1] >= '0' && text.p[text.n - n - 1] <= '9';
        if (digit_before && memcmp(text.p + text.n - n, units[i].suffix, n) == 0) {
            unit = units[i].us;
            text.n -= n;
            break;
        }
    }
    unsigned long number;
    if (!hap_str_uint(&number, text, (unsigned long)(INT64_MAX / INT64_C(3600000000)))) {
        return false;
    }
    *result = (int64_t)number * unit;
    return true;
}

static const char *show_duration(int64_t us, apr_pool_t *pool)
{
    if (us % INT64_C(3600000000) == 0 && us > 0) {
        return apr_psprintf(pool, "%" APR_INT64_T_FMT "h", us / INT64_C(3600000000));
    }
    if (us % 1000000 == 0) {
        return apr_psprintf(pool, "%" APR_INT64_T_FMT "s", us / 1000000);
    }
    return apr_psprintf(pool, "%" APR_INT64_T_FMT "ms", us / 1000);
}

static const char *list_choices(const char *const *choices, apr_pool_t *pool)
{
    const char *list = choices[0];
    for (int i = 1; choices[i]; i++) {
        list = apr_pstrcat(pool, list, choices[i + 1] ? ", " : " or ", choices[i], NULL);
    }
    return list;
}

const char *hap_option_allowed(const hap_option_t *row, apr_pool_t *pool)
{
    switch (row->kind) {
    case HAP_OPTION_CHOICE:
        return list_choices(row->choices, pool);
    case HAP_OPTION_COUNT:
        return apr_psprintf(pool, "%" APR_INT64_T_FMT " to %" APR_INT64_T_FMT, row->min, row->max);
    case HAP_OPTION_PERCENT:
        return apr_psprintf(pool, "%" APR_INT64_T_FMT "%% to %" APR_INT64_T_FMT "%%", row->min,
                            row->max);
    case HAP_OPTION_DURATION:
        return apr_psprintf(pool, "%s to %s", show_duration(row->min, pool),
                            show_duration(row->max, pool));
    case HAP_OPTION_AFFINITY:
        return "app, none, insert or insert:COOKIE";
    case HAP_OPTION_TEXT:
    case HAP_OPTION_FILE:
        break;
    }
    return row->choices ? row->choices[0] : "text without blanks or control characters";
}

static bool is_token(hap_str_t s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!alnum && (c == '\0' || !strchr("!#$%&'*+-.^_`|~", c))) {
            return false;
        }
    }
    return s.n > 0 && s.n <= COOKIE_NAME_MAX;
}

static bool read_affinity(hap_option_affinity_t *result, hap_str_t value, apr_pool_t *pool)
{
    static const hap_str_t insert_named = {"insert:", 7};
    if (hap_str_eq(value, HAP_STR_LIT("app"))) {
        *result = (hap_option_affinity_t){HAP_AFFINITY_APP, default_cookie};
        return true;
    }
    if (hap_str_eq(value, HAP_STR_LIT("none"))) {
        *result = (hap_option_affinity_t){HAP_AFFINITY_NONE, default_cookie};
        return true;
    }
    if (hap_str_eq(value, HAP_STR_LIT("insert"))) {
        *result = (hap_option_affinity_t){HAP_AFFINITY_INSERT, default_cookie};
        return true;
    }
    hap_str_t cookie = hap_str_sub(value, insert_named.n, value.n);
    if (!hap_str_starts(value, insert_named) || !is_token(cookie)) {
        return false;
    }
    *result = (hap_option_affinity_t){HAP_AFFINITY_INSERT, hap_str_dup(cookie, pool)};
    return true;
}

static bool read_choice(int *result, const hap_option_t *row, hap_str_t value)
{
    for (int i = 0; row->choices[i]; i++) {
        if (hap_str_eq(value, hap_str(row->choices[i]))) {
            *result = i;
            return true;
        }
    }
    return false;
}

static bool read_number(unsigned *result, const hap_option_t *row, hap_str_t value)
{
    unsigned long number;
    if (row->kind == HAP_OPTION_PERCENT && value.n && value.p[value.n - 1] == '%') {
        value.n--;
    }
    if (!hap_str_uint(&number, value, (unsigned long)row->max) || (int64_t)number < row->min) {
        return false;
    }
    *result = (unsigned)number;
    return true;
}

static bool is_text(hap_str_t value)
{
    for (size_t i = 0; i < value.n; i++) {
        if ((unsigned char)value.p[i] <= 0x20 || value.p[i] == 0x7f) {
            return false;
        }
    }
    return value.n > 0;
}

static bool read_value(void *out, const hap_option_t *row, hap_str_t value, apr_pool_t *pool)
{
    switch (row->kind) {
    case HAP_OPTION_CHOICE:
        return read_choice(out, row, value);
    case HAP_OPTION_COUNT:
    case HAP_OPTION_PERCENT:
        return read_number(out, row, value);
    case HAP_OPTION_DURATION: {
        int64_t us;
        if (!hap_option_duration(&us, value) || us < row->min || us > row->max) {
            return false;
        }
        *(apr_interval_time_t *)out = us;
        return true;
    }
    case HAP_OPTION_TEXT:
        if (!is_text(value)) {
            return false;
        }
        *(const char **)out = hap_str_dup(value, pool);
        return true;
    case HAP_OPTION_FILE:
        if (!is_text(value)) {
            return false;
        }
        *(const char **)out =
            hap_str_eq(value, HAP_STR_LIT("none")) ? NULL : hap_str_dup(value, pool);
        return true;
    case HAP_OPTION_AFFINITY:
        return read_affinity(out, value, pool);
    }
    return false;
}

void hap_option_defaults(void *record, const hap_options_t *options)
{
    memset(record, 0, options->size);
    for (size_t i = 0; i < options->n; i++) {
        const hap_option_t *row = &options->rows[i];
        if (row->fallback[0] == '\0') {
            continue;
        }
        if (row->kind == HAP_OPTION_TEXT) {
            *(const char **)field(record, row) = row->fallback;
        } else {
            /* Defaults need no memory of their own: only a named cookie or a text would. */
            read_value(field(record, row), row, hap_str(row->fallback), NULL);
        }
    }
}

static const char *list_keys(const hap_options_t *options, apr_pool_t *pool)
{
    const char *list = options->rows[0].name;
    for (size_t i = 1; i < options->n; i++) {
        list = apr_pstrcat(pool, list, ", ", options->rows[i].name, NULL);
    }
    return list;
}

apr_status_t hap_option_set(void *record, const hap_options_t *options, hap_str_t pair,
                            hap_diag_t *diag, apr_pool_t *pool)
{
    size_t eq = hap_str_find(pair, '=', 0);
    hap_str_t key = hap_str_sub(pair, 0, eq);
    hap_str_t value = hap_str_sub(pair, eq + 1, pair.n);
    size_t i = 0;
    while (i < options->n && !hap_str_eq(key, hap_str(options->rows[i].name))) {
        i++;
    }
    if (eq == pair.n && i < options->n) {
        hap_diag_set(diag, 0, "%s: %s has no value, write %s=VALUE without blanks", options->what,
                     options->rows[i].name, options->rows[i].name);
        return APR_EINVAL;
    }
    if (i == options->n) {
        hap_diag_set(diag, 0, "%s: \"%s\" is not one of its key=value arguments: %s", options->what,
                     hap_str_show(pair, pool), list_keys(options, pool));
        return APR_EINVAL;
    }
    const hap_option_t *row = &options->rows[i];
    if (*set_bits(record) & (UINT64_C(1) << i)) {
        hap_diag_set(diag, 0, "%s: %s= is given twice, keep one", options->what, row->name);
        return APR_EINVAL;
    }
    if (!read_value(field(record, row), row, value, pool)) {
        const char *units = row->kind == HAP_OPTION_DURATION ? ", in ms, s, m or h" : "";
        hap_diag_set(diag, 0, "%s: %s=%s is not allowed, use %s%s", options->what, row->name,
                     hap_str_show(value, pool), hap_option_allowed(row, pool), units);
        return APR_EINVAL;
    }
    *set_bits(record) |= UINT64_C(1) << i;
    return APR_SUCCESS;
}

const hap_option_t *hap_option_common(const void *a, const void *b, const hap_options_t *options)
{
    uint64_t both = *(const uint64_t *)a & *(const uint64_t *)b;
    for (size_t i = 0; i < options->n; i++) {
        if (both & (UINT64_C(1) << i)) {
            return &options->rows[i];
        }
    }
    return NULL;
}

void hap_option_merge(void *result, const void *base, const void *over,
                      const hap_options_t *options)
{
    uint64_t base_set = *(const uint64_t *)base;
    uint64_t over_set = *(const uint64_t *)over;
    for (size_t i = 0; i < options->n; i++) {
        const hap_option_t *row = &options->rows[i];
        const void *from = over_set & (UINT64_C(1) << i) ? over : base;
        memmove(field(result, row), (const char *)from + row->offset, field_size(row->kind));
    }
    *set_bits(result) = base_set | over_set;
}
