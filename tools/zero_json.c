/* SPDX-License-Identifier: Apache-2.0 */
/* Owns writing JSON. */
#include "zero_json.h"

#include <apr_strings.h>
#include <apr_tables.h>

#include "hap_grammar.h"
#include "hap_str.h"

struct zero_json_t {
    apr_array_header_t *parts; /* struct iovec */
    bool behind;               /* a value stands before the next one */
    apr_pool_t *pool;
};

static void put(zero_json_t *json, const char *text)
{
    APR_ARRAY_PUSH(json->parts, struct iovec) = (struct iovec){(void *)text, strlen(text)};
}

static const char *quoted(hap_str_t text, apr_pool_t *pool)
{
    static const char hex[] = "0123456789abcdef";
    char *quote = apr_palloc(pool, 6 * text.n + 3);
    char *out = quote;
    *out++ = '"';
    for (size_t i = 0; i < text.n;) {
        unsigned char c = (unsigned char)text.p[i];
        size_t n = c < 0x80 ? 1 : hap_grammar_utf8(text, i);
        if (n == 0) {
            memcpy(out, "\\ufffd", 6);
            out += 6;
        } else if (c == '"' || c == '\\') {
            *out++ = '\\';
            *out++ = (char)c;
        } else if (c < 0x20 || c == 0x7f) {
            memcpy(out, "\\u00", 4);
            out[4] = hex[c >> 4];
            out[5] = hex[c & 15];
            out += 6;
        } else {
            memcpy(out, text.p + i, n);
            out += n;
        }
        i += n ? n : 1;
    }
    *out++ = '"';
    *out = '\0';
    return quote;
}

zero_json_t *zero_json_make(apr_pool_t *pool)
{
    zero_json_t *json = apr_pcalloc(pool, sizeof(*json));
    json->parts = apr_array_make(pool, 64, sizeof(struct iovec));
    json->pool = pool;
    return json;
}

static void begin(zero_json_t *json, const char *name)
{
    if (json->behind) {
        put(json, ",");
    }
    if (name) {
        put(json, quoted(hap_str(name), json->pool));
        put(json, ":");
    }
    json->behind = true;
}

void zero_json_open(zero_json_t *json, const char *name, char bracket)
{
    begin(json, name);
    put(json, apr_psprintf(json->pool, "%c", bracket));
    json->behind = false;
}

void zero_json_close(zero_json_t *json, char bracket)
{
    put(json, apr_psprintf(json->pool, "%c", bracket));
    json->behind = true;
}

void zero_json_text(zero_json_t *json, const char *name, const char *text)
{
    begin(json, name);
    put(json, quoted(hap_str(text), json->pool));
}

void zero_json_number(zero_json_t *json, const char *name, uint64_t number)
{
    begin(json, name);
    put(json, apr_psprintf(json->pool, "%" APR_UINT64_T_FMT, (apr_uint64_t)number));
}

void zero_json_bool(zero_json_t *json, const char *name, bool value)
{
    begin(json, name);
    put(json, value ? "true" : "false");
}

const char *zero_json_done(const zero_json_t *json)
{
    apr_size_t n;
    const char *text = apr_pstrcatv(json->pool, (const struct iovec *)json->parts->elts,
                                    (apr_size_t)json->parts->nelts, &n);
    return apr_pstrcat(json->pool, text, "\n", NULL);
}
