/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the table of known directives, made from hap_honour.def. Does not hold the readers. */
#include "hap_honour_model.h"

#include <stdlib.h>

#include <apr_strings.h>

/* Once for what the rows refer to ... */
#define GROUP(group, why) static const char group_##group[] = why;
#define NONE(name, group)
#define HELD(name, reader, why)           extern honour_read_fn honour_read_##reader;
#define LATER(name, reader, feature, why) extern honour_read_fn honour_read_##reader;
#define CHECK(name, reader, why)          extern honour_read_fn honour_read_##reader;
#define PATH(name, finder, why)           extern honour_path_fn honour_path_##finder;
#define BLOCK(name, why)
#define SECTION(name, kind, why)
#include "hap_honour.def"
#undef GROUP
#undef NONE
#undef HELD
#undef LATER
#undef CHECK
#undef PATH
#undef BLOCK
#undef SECTION

/* ... and once for the rows. */
#define GROUP(group, why)
#define NONE(name, group) {name, group_##group, NULL, NULL, HONOUR_NONE, HONOUR_NO_KIND, 0},
#define HELD(name, reader, why)                                                                    \
    {name, why, honour_read_##reader, NULL, HONOUR_HELD, HONOUR_NO_KIND, 0},
#define LATER(name, reader, feature, why)                                                          \
    {name, why, honour_read_##reader, NULL, HONOUR_LATER, HONOUR_NO_KIND, HAP_HONOUR_CAN_##feature},
#define CHECK(name, reader, why)                                                                   \
    {name, why, honour_read_##reader, NULL, HONOUR_CHECK, HONOUR_NO_KIND, 0},
#define PATH(name, finder, why)                                                                    \
    {name, why, NULL, honour_path_##finder, HONOUR_PATH, HONOUR_NO_KIND, 0},
#define BLOCK(name, why)         {name, why, NULL, NULL, HONOUR_BLOCK, HONOUR_NO_KIND, 0},
#define SECTION(name, kind, why) {name, why, NULL, NULL, HONOUR_SECTION, HONOUR_##kind, 0},

static const honour_row_t rows[] = {
#include "hap_honour.def"
};

enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static char *lower(const char *name, apr_pool_t *pool)
{
    char *key = apr_pstrdup(pool, name);
    for (char *c = key; *c; c++) {
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c | 0x20 : *c);
    }
    return key;
}

apr_hash_t *honour_index(apr_pool_t *pool)
{
    apr_hash_t *index = apr_hash_make(pool);
    for (size_t i = 0; i < ROWS; i++) {
        apr_hash_set(index, lower(rows[i].name, pool), APR_HASH_KEY_STRING, &rows[i]);
    }
    return index;
}

const honour_row_t *honour_row(apr_hash_t *index, const char *name)
{
    return apr_hash_get(index, lower(name, apr_hash_pool_get(index)), APR_HASH_KEY_STRING);
}

/* --- the page -------------------------------------------------------------------------------- */

static const char *const verdicts[] = {
    [HONOUR_NONE] = "no effect",    [HONOUR_HELD] = "honoured", [HONOUR_LATER] = "honoured",
    [HONOUR_CHECK] = "by value",    [HONOUR_PATH] = "by path",  [HONOUR_BLOCK] = "blocks",
    [HONOUR_SECTION] = "a section",
};

static int by_name(const void *left, const void *right)
{
    const honour_row_t *a = *(const honour_row_t *const *)left;
    const honour_row_t *b = *(const honour_row_t *const *)right;
    hap_str_t x = hap_str(a->name);
    hap_str_t y = hap_str(b->name);
    for (size_t i = 0; i < x.n && i < y.n; i++) {
        int diff = (x.p[i] | 0x20) - (y.p[i] | 0x20);
        if (diff) {
            return diff;
        }
    }
    return (x.n > y.n) - (x.n < y.n);
}

bool hap_honour_entry(hap_honour_entry_t *entry, size_t i)
{
    const honour_row_t *sorted[ROWS];
    if (i >= ROWS) {
        return false;
    }
    for (size_t k = 0; k < ROWS; k++) {
        sorted[k] = &rows[k];
    }
    qsort(sorted, ROWS, sizeof(sorted[0]), by_name);
    *entry = (hap_honour_entry_t){
        .name = sorted[i]->name,
        .verdict = verdicts[sorted[i]->class],
        .meaning = sorted[i]->why,
        .section = sorted[i]->class == HONOUR_SECTION,
    };
    return true;
}
