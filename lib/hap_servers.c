/* SPDX-License-Identifier: Apache-2.0 */
/* Owns reading config/servers, a host a line. */
#include "hap_servers.h"

/* What some editors put in front of a text. */
static const hap_str_t byte_order_mark = {"\xef\xbb\xbf", 3};

/* What stands in a line before its comment; the CR of another system's line is no part of it. */
static hap_str_t content_of(hap_str_t line)
{
    size_t end = 0;
    bool blank = true;
    while (end < line.n && !(blank && line.p[end] == '#')) {
        blank = line.p[end] == ' ' || line.p[end] == '\t';
        end++;
    }
    hap_str_t content = hap_str_trim(hap_str_sub(line, 0, end));
    if (content.n && content.p[content.n - 1] == '\r') {
        content.n--;
    }
    return hap_str_trim(content);
}

static bool is_one_word(hap_str_t text)
{
    return hap_str_find(text, ' ', 0) == text.n && hap_str_find(text, '\t', 0) == text.n;
}

/* Each line has one host, so that its place is the id of its replica. */
static apr_status_t refuse(hap_diag_t *diag, int line, const char *host, const char *why)
{
    hap_diag_set(diag, line, "\"%s\" %s", host, why);
    return APR_EINVAL;
}

static bool is_known(const apr_array_header_t *hosts, const char *host)
{
    for (int i = 0; i < hosts->nelts; i++) {
        if (strcmp(APR_ARRAY_IDX(hosts, i, const char *), host) == 0) {
            return true;
        }
    }
    return false;
}

static apr_status_t take_host(apr_array_header_t *hosts, hap_str_t word, int line, hap_diag_t *diag)
{
    const char *host;
    apr_pool_t *pool = hosts->pool;
    const char *shown = hap_str_show(word, pool);
    if (!is_one_word(word)) {
        return refuse(diag, line, shown, "is more than one word: write one host a line");
    }
    if (hap_grammar_host(&host, word, "host", diag, pool) != APR_SUCCESS) {
        diag->line = line;
        return APR_EINVAL;
    }
    if (hap_grammar_host_kind(host) == HAP_HOST_UNSPECIFIED) {
        return refuse(diag, line, shown, "is an address to listen at, write that of the host");
    }
    if (is_known(hosts, host)) {
        return refuse(diag, line, shown, "stands there twice, write it once");
    }
    if (hosts->nelts == HAP_SERVERS_MAX) {
        hap_diag_set(diag, line, "there are more than %d hosts", HAP_SERVERS_MAX);
        return APR_EINVAL;
    }
    APR_ARRAY_PUSH(hosts, const char *) = host;
    return APR_SUCCESS;
}

apr_status_t hap_servers_parse(apr_array_header_t **hosts, hap_str_t text, hap_diag_t *diag,
                               apr_pool_t *pool)
{
    apr_array_header_t *read = apr_array_make(pool, 4, sizeof(const char *));
    size_t front = hap_str_starts(text, byte_order_mark) ? byte_order_mark.n : 0;
    hap_str_t rest = hap_str_sub(text, front, text.n);
    hap_str_t line;
    for (int n = 1; hap_str_line(&line, &rest); n++) {
        hap_str_t word = content_of(line);
        apr_status_t rv = word.n ? take_host(read, word, n, diag) : APR_SUCCESS;
        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
    if (read->nelts == 0) {
        hap_diag_set(diag, 0, "names no host, write one host name or address a line");
        return APR_EINVAL;
    }
    *hosts = read;
    return APR_SUCCESS;
}
