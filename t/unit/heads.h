/* SPDX-License-Identifier: Apache-2.0 */
/* Owns how heads of messages stand in tests: with the line ends that a test is read with. */
#ifndef HAP_UNIT_HEADS_H
#define HAP_UNIT_HEADS_H

#include <apr_strings.h>

#include "unit.h"

/** The head as it is sent, every line end with its CR. From the running test's pool. */
static inline hap_str_t unit_sent(const char *text)
{
    char *bytes = apr_palloc(unit_pool, 2 * strlen(text) + 1);
    size_t n = 0;
    for (; *text; text++) {
        if (*text == '\n') {
            bytes[n++] = '\r';
        }
        bytes[n++] = *text;
    }
    return hap_strn(bytes, n);
}

/** The other way round. Likewise. */
static inline const char *unit_shown(const char *bytes, size_t n)
{
    char *text = apr_palloc(unit_pool, n + 1);
    size_t end = 0;
    for (size_t i = 0; i < n; i++) {
        if (bytes[i] != '\r' || i + 1 == n || bytes[i + 1] != '\n') {
            text[end++] = bytes[i];
        }
    }
    text[end] = '\0';
    return text;
}

#endif
