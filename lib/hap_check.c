/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the parameters of a check and its request. Does not read answers: hap_answer does. */
#include "hap_check.h"

#include <apr_strings.h>

enum { STATUS_LEAST = 100, STATUS_MOST = 599 };

static const char *const methods[] = {
    [HAP_CHECK_GET] = "GET",
    [HAP_CHECK_HEAD] = "HEAD",
    [HAP_CHECK_OPTIONS] = "OPTIONS",
};

apr_status_t hap_check_method(hap_check_method_t *method, hap_str_t text, hap_diag_t *diag,
                              apr_pool_t *pool)
{
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        if (hap_str_eq(text, hap_str(methods[i]))) {
            *method = (hap_check_method_t)i;
            return APR_SUCCESS;
        }
    }
    hap_diag_set(diag, 0, "method=%s is not possible, use GET, HEAD or OPTIONS",
                 hap_str_show(text, pool));
    return APR_EINVAL;
}

const char *hap_check_method_name(hap_check_method_t method)
{
    return methods[method];
}

apr_status_t hap_check_uri(hap_str_t *uri, hap_str_t text, hap_diag_t *diag, apr_pool_t *pool)
{
    if (text.n == 0 || text.p[0] != '/') {
        hap_diag_set(diag, 0, "uri=%s has to begin with \"/\"", hap_str_show(text, pool));
        return APR_EINVAL;
    }
    if (text.n > HAP_CHECK_URI_BYTES) {
        hap_diag_set(diag, 0, "uri=%s is too long, use at most %d bytes", hap_str_show(text, pool),
                     HAP_CHECK_URI_BYTES);
        return APR_EINVAL;
    }
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] <= 0x20 || text.p[i] >= 0x7f || text.p[i] == '#') {
            hap_diag_set(diag, 0, "uri=%s has \"%s\" in it, write it as %%%02X",
                         hap_str_show(text, pool), hap_str_show(hap_strn(text.p + i, 1), pool),
                         (unsigned)(unsigned char)text.p[i]);
            return APR_EINVAL;
        }
    }
    *uri = text;
    return APR_SUCCESS;
}

static bool status_parse(uint16_t *status, hap_str_t text)
{
    unsigned long value;
    if (text.n != 3 || !hap_str_uint(&value, text, STATUS_MOST) || value < STATUS_LEAST) {
        return false;
    }
    *status = (uint16_t)value;
    return true;
}

static bool range_parse(uint16_t *first, uint16_t *last, hap_str_t text)
{
    size_t dash = hap_str_find(text, '-', 0);
    if (!status_parse(first, hap_str_sub(text, 0, dash))) {
        return false;
    }
    if (dash == text.n) {
        *last = *first;
        return true;
    }
    return status_parse(last, hap_str_sub(text, dash + 1, text.n)) && *first <= *last;
}

apr_status_t hap_expect_parse(hap_expect_t *expect, hap_str_t text, hap_diag_t *diag,
                              apr_pool_t *pool)
{
    hap_expect_t parsed = {0};
    for (size_t at = 0; at <= text.n;) {
        size_t comma = hap_str_find(text, ',', at);
        hap_str_t item = hap_str_sub(text, at, comma);
        uint16_t first, last;
        if (!range_parse(&first, &last, item)) {
            hap_diag_set(diag, 0,
                         "expect=%s: \"%s\" is no status from %d to %d and no range of them, "
                         "use for example 200-399,404",
                         hap_str_show(text, pool), hap_str_show(item, pool), STATUS_LEAST,
                         STATUS_MOST);
            return APR_EINVAL;
        }
        if (parsed.n == HAP_EXPECT_RANGES) {
            hap_diag_set(diag, 0, "expect=%s has too many parts, use at most %d",
                         hap_str_show(text, pool), HAP_EXPECT_RANGES);
            return APR_EINVAL;
        }
        parsed.ranges[parsed.n].first = first;
        parsed.ranges[parsed.n].last = last;
        parsed.n++;
        at = comma + 1;
    }
    *expect = parsed;
    return APR_SUCCESS;
}

bool hap_expect_has(const hap_expect_t *expect, unsigned status)
{
    for (unsigned i = 0; i < expect->n; i++) {
        if (status >= expect->ranges[i].first && status <= expect->ranges[i].last) {
            return true;
        }
    }
    return false;
}

hap_str_t hap_check_request(const hap_check_t *check, hap_str_t host, apr_pool_t *pool)
{
    hap_str_t name = check->host.n ? check->host : host;
    return hap_str(apr_psprintf(pool,
                                "%s %.*s HTTP/1.1\r\n"
                                "Host: %.*s\r\n"
                                "User-Agent: mod_haproxy\r\n"
                                "Accept: */*\r\n"
                                "Connection: keep-alive\r\n"
                                "\r\n",
                                hap_check_method_name(check->method), HAP_STR_ARG(check->uri),
                                HAP_STR_ARG(name)));
}
