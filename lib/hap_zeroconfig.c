/* SPDX-License-Identifier: Apache-2.0 */
/* Owns reading the keys of config/zero.config that concern a proxy. Does not touch files. */
#include "hap_zeroconfig.h"

#include <stddef.h>

/* What some editors put in front of a text. */
static const hap_str_t byte_order_mark = {"\xef\xbb\xbf", 3};

/* How deep in brackets a value that goes on over several lines is; strings are passed over. */
typedef struct depth_t {
    int brackets;
    int line; /* where the outermost one was opened */
} depth_t;

/* Whether a # here begins a comment: at the start, or after a blank. */
static bool is_comment(hap_str_t text, size_t at)
{
    return text.p[at] == '#' && (at == 0 || text.p[at - 1] == ' ' || text.p[at - 1] == '\t');
}

static void count_brackets(depth_t *depth, hap_str_t text, int line)
{
    char quote = '\0';
    for (size_t i = 0; i < text.n && (quote || !is_comment(text, i)); i++) {
        char c = text.p[i];
        if (quote) {
            i += c == '\\' ? 1 : 0;
            quote = c == quote ? '\0' : quote;
        } else if (c == '"' || c == '\'') {
            quote = c;
        } else if (c == '{' || c == '[') {
            depth->line = depth->brackets++ ? depth->line : line;
        } else if ((c == '}' || c == ']') && depth->brackets > 0) {
            depth->brackets--;
        }
    }
}

/*
 * A line that is no key of ours. A value that has a bracket somewhere, as a pattern or a password
 * may, is a text; one that begins with a bracket may go on over several lines.
 */
static void pass_over(depth_t *depth, hap_str_t content, hap_str_t value, int line)
{
    value = hap_str_trim(value);
    char first = value.n ? value.p[0] : '\0';
    bool opens = (first == '{' || first == '[') && content.p[0] != '#';
    if (depth->brackets > 0) {
        count_brackets(depth, content, line);
    } else if (opens) {
        count_brackets(depth, value, line);
    }
}

typedef apr_status_t check_fn(hap_str_t, const char *, hap_diag_t *, apr_pool_t *);

static const struct {
    const char *key;
    check_fn *check; /* NULL: host or port, which are read into something else than text */
    size_t offset;
} keys[] = {
    {"/config/name", hap_grammar_app, offsetof(hap_zeroconfig_t, name)},
    {"/config/http/ipAddress", NULL, offsetof(hap_zeroconfig_t, host)},
    {"/config/http/port", NULL, offsetof(hap_zeroconfig_t, port)},
    {"/config/contextRoot", hap_grammar_path, offsetof(hap_zeroconfig_t, context)},
    {"/config/externalUriPrefix", hap_grammar_path, offsetof(hap_zeroconfig_t, external)},
    {"/config/apacheRouteID", hap_grammar_route, offsetof(hap_zeroconfig_t, route)},
    {"/config/health", hap_grammar_path, offsetof(hap_zeroconfig_t, health)},
    {"/config/upgrade", hap_grammar_protocol, offsetof(hap_zeroconfig_t, upgrade)},
};
enum { KEYS = sizeof(keys) / sizeof(keys[0]) };

/* The value without its quotes and what follows it; false when a quote is not closed. */
static bool plain_value(hap_str_t *value, hap_str_t text)
{
    text = hap_str_trim(text);
    if (text.n && (text.p[0] == '"' || text.p[0] == '\'')) {
        size_t end = hap_str_find(text, text.p[0], 1);
        hap_str_t after = hap_str_trim(hap_str_sub(text, end + 1, text.n));
        *value = hap_str_sub(text, 1, end);
        return end < text.n && (after.n == 0 || after.p[0] == '#');
    }
    for (size_t i = 1; i < text.n; i++) {
        if (is_comment(text, i)) {
            text.n = i;
        }
    }
    *value = hap_str_trim(text);
    return true;
}

static apr_status_t set(hap_zeroconfig_t *config, int key, hap_str_t text, hap_diag_t *diag,
                        apr_pool_t *pool)
{
    void *field = (char *)config + keys[key].offset;
    const char *name = keys[key].key;
    hap_str_t value;
    if (!plain_value(&value, text)) {
        hap_diag_set(diag, 0, "%s: %s is not one value in quotes", name, hap_str_show(text, pool));
        return APR_EINVAL;
    }
    if (field == &config->port) {
        return hap_grammar_port(&config->port, value, name, diag, pool);
    }
    if (!keys[key].check) {
        return hap_grammar_host(&config->host, value, name, diag, pool);
    }
    apr_status_t rv = keys[key].check(value, name, diag, pool);
    if (rv == APR_SUCCESS) {
        *(const char **)field = hap_str_dup(value, pool);
    }
    return rv;
}

static int find_key(hap_str_t name)
{
    for (int i = 0; i < KEYS; i++) {
        if (hap_str_eq(name, hap_str(keys[i].key))) {
            return i;
        }
    }
    return KEYS;
}

static apr_status_t read_line(hap_zeroconfig_t *config, depth_t *depth, hap_str_t content, int line,
                              hap_diag_t *diag, apr_pool_t *pool)
{
    /* Else a file in UTF-16 would be one without any key of ours. */
    if (content.n && memchr(content.p, 0, content.n)) {
        hap_diag_set(diag, line, "has a NUL byte: this is not a text file");
        return APR_EINVAL;
    }
    if (content.n && content.p[content.n - 1] == '\r') {
        content.n--;
    }
    content = hap_str_trim(content);
    size_t equals = hap_str_find(content, '=', 0);
    hap_str_t name = hap_str_trim(hap_str_sub(content, 0, equals));
    hap_str_t value = equals < content.n ? hap_str_sub(content, equals + 1, content.n) : content;
    int key = depth->brackets == 0 && equals < content.n ? find_key(name) : KEYS;
    if (key == KEYS) {
        pass_over(depth, content, value, line);
        return APR_SUCCESS;
    }
    apr_status_t rv = set(config, key, value, diag, pool);
    if (rv != APR_SUCCESS) {
        diag->line = line;
    }
    return rv;
}

apr_status_t hap_zeroconfig_parse(hap_zeroconfig_t *config, hap_str_t text, hap_diag_t *diag,
                                  apr_pool_t *pool)
{
    hap_zeroconfig_t read = {0};
    depth_t depth = {0};
    hap_str_t content;
    if (hap_str_starts(text, byte_order_mark)) {
        text = hap_str_sub(text, byte_order_mark.n, text.n);
    }
    for (int line = 1; hap_str_line(&content, &text); line++) {
        apr_status_t rv = read_line(&read, &depth, content, line, diag, pool);
        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
    if (depth.brackets > 0) {
        hap_diag_set(diag, depth.line,
                     "opens a bracket that is never closed, so that no key behind it counts");
        return APR_EINVAL;
    }
    *config = read;
    return APR_SUCCESS;
}
