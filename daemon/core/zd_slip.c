/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the slips of hands that have a sentence of their own; of the others what jansson says is
 * said.
 */
#include "zd_slip.h"

#include <apr_strings.h>

#include "hap_str.h"

/* By how jansson's sentence begins. With `behind`, the name that stands there between double quotes
 * goes between the two. */
static const struct {
    const char *theirs;
    const char *ours;
    const char *behind;
} slips[] = {
    {"'}' expected near '\"", "a comma is missing before \"", "\""},
    {"']' expected near '\"", "a comma is missing before \"", "\""},
    {"duplicate object key near '\"", "\"", "\" is there twice: remove one of the two"},
    {"':' expected near", "a colon is missing between a key and its value", NULL},
    {"string or '}' expected near '}'", "a comma stands before }: remove it", NULL},
    {"unexpected token near ']'", "a comma stands before ]: remove it", NULL},
    {"unexpected newline near", "a double quote is missing at the end of a text", NULL},
    {"too big integer near", "a number is too big", NULL},
    {"'}' expected near end of file", "a } is missing at the end", NULL},
    {"end of file expected near", "more stands behind the last }: remove it", NULL},
};

void zd_slip_say(hap_diag_t *diag, const json_error_t *error, apr_pool_t *pool)
{
    hap_str_t why = hap_str(error->text);
    for (size_t i = 0; i < sizeof(slips) / sizeof(slips[0]); i++) {
        hap_str_t theirs = hap_str(slips[i].theirs);
        if (!hap_str_starts(why, theirs)) {
            continue;
        }
        hap_str_t name = hap_str_sub(why, theirs.n, hap_str_find(why, '"', theirs.n));
        bool named = slips[i].behind != NULL;
        hap_diag_set(diag, error->line, "%s%s%s", slips[i].ours,
                     named ? hap_str_show(name, pool) : "", named ? slips[i].behind : "");
        return;
    }
    hap_diag_set(diag, error->line, "is not JSON: %s", error->text);
}
