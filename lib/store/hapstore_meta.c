/* SPDX-License-Identifier: Apache-2.0 */
/* Owns writing questions and reading answers. */
#include "hapstore_meta.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>

static size_t within(int n)
{
    return n < HAPSTORE_META_LINE_BYTES ? (size_t)n : 0;
}

size_t hapstore_meta_get(char line[HAPSTORE_META_LINE_BYTES], hap_str_t name, uint32_t number)
{
    return within(snprintf(line, HAPSTORE_META_LINE_BYTES, "mg %.*s c v O%" PRIu32 "\r\n",
                           HAP_STR_ARG(name), number));
}

size_t hapstore_meta_put(char line[HAPSTORE_META_LINE_BYTES], hap_str_t name, size_t value_n,
                         uint32_t ttl_s, uint64_t token, uint32_t number)
{
    char how[32] = "ME"; /* add */
    if (token) {
        snprintf(how, sizeof(how), "C%" PRIu64, token);
    }
    return within(snprintf(line, HAPSTORE_META_LINE_BYTES,
                           "ms %.*s %zu c O%" PRIu32 " T%" PRIu32 " %s\r\n", HAP_STR_ARG(name),
                           value_n, number, ttl_s, how));
}

/* --- answers ---------------------------------------------------------------------------------- */

/* The next word, and the rest behind its blank. */
static hap_str_t word(hap_str_t *rest)
{
    size_t blank = hap_str_find(*rest, ' ', 0);
    hap_str_t found = hap_str_sub(*rest, 0, blank);
    *rest = hap_str_sub(*rest, blank < rest->n ? blank + 1 : blank, rest->n);
    return found;
}

static bool read_flag(hapstore_meta_t *answer, hap_str_t flag)
{
    unsigned long number = 0;
    hap_str_t digits = hap_str_sub(flag, 1, flag.n);
    bool is_number = hap_str_uint(&number, digits, ULONG_MAX);
    switch (flag.p[0]) {
    case 'c':
        answer->token = number;
        return is_number;
    case 'O':
        answer->number = (uint32_t)number;
        answer->numbered = is_number && number <= UINT32_MAX;
        return answer->numbered;
    default:
        return true; /* of a memcached that says more than it was asked */
    }
}

static bool read_flags(hapstore_meta_t *answer, hap_str_t rest)
{
    while (rest.n) {
        hap_str_t flag = word(&rest);
        if (flag.n && !read_flag(answer, flag)) {
            return false;
        }
    }
    return true;
}

static hapstore_meta_says_t says(hap_str_t code)
{
    static const struct {
        const char *code;
        hapstore_meta_says_t says;
    } codes[] = {
        {"VA", HAPSTORE_META_VALUE},    {"HD", HAPSTORE_META_DONE},
        {"EN", HAPSTORE_META_NONE},     {"EX", HAPSTORE_META_NOT_DONE},
        {"NF", HAPSTORE_META_NOT_DONE}, {"NS", HAPSTORE_META_NOT_DONE},
    };
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        if (hap_str_eq(code, hap_str(codes[i].code))) {
            return codes[i].says;
        }
    }
    return HAPSTORE_META_NONSENSE;
}

static const struct {
    const char *line;
    hapstore_meta_says_t says;
} errors[] = {
    {"ERROR", HAPSTORE_META_OLD},
    /* With both it has read the value's bytes over. */
    {"SERVER_ERROR object too large for cache", HAPSTORE_META_TOO_LARGE},
    {"SERVER_ERROR out of memory storing object", HAPSTORE_META_TOO_LARGE},
};

hapstore_meta_t hapstore_meta_read(hap_str_t line)
{
    const hapstore_meta_t nonsense = {.says = HAPSTORE_META_NONSENSE};
    hapstore_meta_t answer = nonsense;
    hap_str_t rest = line;
    unsigned long bytes = 0;
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        if (hap_str_eq(line, hap_str(errors[i].line))) {
            answer.says = errors[i].says;
            return answer;
        }
    }
    answer.says = says(word(&rest));
    if (answer.says == HAPSTORE_META_VALUE && !hap_str_uint(&bytes, word(&rest), SIZE_MAX / 2)) {
        return nonsense;
    }
    answer.value_n = bytes;
    return answer.says != HAPSTORE_META_NONSENSE && read_flags(&answer, rest) ? answer : nonsense;
}
