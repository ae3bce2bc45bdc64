/* SPDX-License-Identifier: Apache-2.0 */
/* Owns reading a golden file of t/golden for a unit test. */
#ifndef HAP_UNIT_GOLDEN_H
#define HAP_UNIT_GOLDEN_H

#include <stdio.h>
#include <stdlib.h>

#include <apr_strings.h>

#include "unit.h"

enum { UNIT_GOLDEN_MAX_BYTES = 65536 };

/** The file's text, or a sentence that it is not there. From the running test's pool. */
static inline const char *unit_golden(const char *name)
{
    const char *top = getenv("top_srcdir");
    char *text = apr_pcalloc(unit_pool, UNIT_GOLDEN_MAX_BYTES);
    const char *file = apr_pstrcat(unit_pool, top ? top : ".", "/t/golden/", name, NULL);
    FILE *in = fopen(file, "r");
    if (!in) {
        return apr_pstrcat(unit_pool, file, " cannot be read", NULL);
    }
    size_t n = fread(text, 1, UNIT_GOLDEN_MAX_BYTES - 1, in);
    text[n] = '\0';
    fclose(in);
    return text;
}

#endif
