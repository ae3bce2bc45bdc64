/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the grammar of every name that reaches an Apache configuration. Does not decide what a
 * bad name means for a command.
 */
#include "hap_grammar.h"

#include <arpa/inet.h>
#include <stdio.h>

#include <apr_strings.h>
#include <apr_uri.h>

static bool is_alpha(unsigned char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool is_digit(unsigned char c)
{
    return c >= '0' && c <= '9';
}

static bool is_app_byte(unsigned char c)
{
    return is_alpha(c) || is_digit(c) || c == '.' || c == '_' || c == '-';
}

static bool is_route_byte(unsigned char c)
{
    return is_alpha(c) || is_digit(c) || c == '_' || c == '-';
}

static bool is_cookie_byte(unsigned char c)
{
    return is_alpha(c) || is_digit(c) || (c && strchr("!&*+-.^_~", c));
}

static bool is_protocol_byte(unsigned char c)
{
    return is_alpha(c) || is_digit(c) || (c && strchr("+-._", c));
}

static bool is_path_byte(unsigned char c)
{
    return is_alpha(c) || is_digit(c) || (c && strchr("/-._~!&()*+,=:@", c));
}

static apr_status_t bad(hap_diag_t *diag, const char *field, hap_str_t value, const char *why,
                        apr_pool_t *pool)
{
    hap_diag_set(diag, 0, "%s: \"%s\" %s", field, hap_str_show(value, pool), why);
    return APR_EINVAL;
}

/* Length and alphabet, the part that all names share. */
static apr_status_t check_bytes(hap_str_t value, size_t max, bool (*allowed)(unsigned char),
                                const char *use, const char *field, hap_diag_t *diag,
                                apr_pool_t *pool)
{
    if (value.n == 0) {
        hap_diag_set(diag, 0, "%s: is empty, use %s", field, use);
        return APR_EINVAL;
    }
    for (size_t i = 0; i < value.n; i++) {
        if (!allowed((unsigned char)value.p[i])) {
            const char *byte = hap_str_show(hap_str_sub(value, i, i + 1), pool);
            return bad(diag, field, value,
                       apr_psprintf(pool, "has \"%s\" at byte %" APR_SIZE_T_FMT ", use %s", byte,
                                    i + 1, use),
                       pool);
        }
    }
    if (value.n > max) {
        return bad(diag, field, value,
                   apr_psprintf(pool,
                                "has %" APR_SIZE_T_FMT " bytes, at most %" APR_SIZE_T_FMT
                                " are allowed",
                                value.n, max),
                   pool);
    }
    return APR_SUCCESS;
}

apr_status_t hap_grammar_app(hap_str_t value, const char *field, hap_diag_t *diag, apr_pool_t *pool)
{
    static const char use[] = "a letter, then up to 62 of A-Z a-z 0-9 . _ -";
    apr_status_t rv = check_bytes(value, HAP_APP_MAX_BYTES, is_app_byte, use, field, diag, pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (!is_alpha((unsigned char)value.p[0])) {
        return bad(diag, field, value, apr_psprintf(pool, "must begin with a letter, use %s", use),
                   pool);
    }
    return APR_SUCCESS;
}

apr_status_t hap_grammar_route(hap_str_t value, const char *field, hap_diag_t *diag,
                               apr_pool_t *pool)
{
    return check_bytes(value, HAP_ROUTE_MAX_BYTES, is_route_byte, "1 to 63 of A-Z a-z 0-9 _ -",
                       field, diag, pool);
}

apr_status_t hap_grammar_cookie(hap_str_t value, const char *field, hap_diag_t *diag,
                                apr_pool_t *pool)
{
    return check_bytes(value, HAP_COOKIE_MAX_BYTES, is_cookie_byte,
                       "1 to 63 of A-Z a-z 0-9 ! & * + - . ^ _ ~", field, diag, pool);
}

apr_status_t hap_grammar_protocol(hap_str_t value, const char *field, hap_diag_t *diag,
                                  apr_pool_t *pool)
{
    return check_bytes(value, HAP_PROTOCOL_MAX_BYTES, is_protocol_byte,
                       "a protocol such as websocket, or ANY: 1 to 15 of A-Z a-z 0-9 + - . _",
                       field, diag, pool);
}

static bool has_bad_segment(hap_str_t path)
{
    size_t from = 1;
    while (from <= path.n) {
        size_t to = hap_str_find(path, '/', from);
        hap_str_t segment = hap_str_sub(path, from, to);
        if (segment.n == 0 || hap_str_eq(segment, HAP_STR_LIT(".")) ||
            hap_str_eq(segment, HAP_STR_LIT(".."))) {
            return true;
        }
        from = to + 1;
    }
    return false;
}

apr_status_t hap_grammar_path(hap_str_t value, const char *field, hap_diag_t *diag,
                              apr_pool_t *pool)
{
    static const char use[] =
        "an absolute decoded path of A-Z a-z 0-9 / - . _ ~ ! & ( ) * + , = : @";
    apr_status_t rv = check_bytes(value, HAP_PATH_MAX_BYTES, is_path_byte, use, field, diag, pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (value.p[0] != '/') {
        return bad(diag, field, value, "must begin with a slash", pool);
    }
    if (value.n == 1) {
        return APR_SUCCESS;
    }
    if (value.p[value.n - 1] == '/') {
        return bad(diag, field, value, "must not end in a slash", pool);
    }
    if (has_bad_segment(value)) {
        return bad(diag, field, value, "must not have a segment that is empty, \".\" or \"..\"",
                   pool);
    }
    return APR_SUCCESS;
}

apr_status_t hap_grammar_port(unsigned *port, hap_str_t value, const char *field, hap_diag_t *diag,
                              apr_pool_t *pool)
{
    unsigned long number = 0;
    if (!hap_str_uint(&number, value, 65535) || number == 0 || value.p[0] == '0') {
        return bad(diag, field, value, "is not a port, use 1 to 65535", pool);
    }
    *port = (unsigned)number;
    return APR_SUCCESS;
}

static const char *lower_dup(hap_str_t value, apr_pool_t *pool)
{
    char *text = hap_str_dup(value, pool);
    for (char *c = text; *c; c++) {
        if (*c >= 'A' && *c <= 'Z') {
            *c = (char)(*c | 0x20);
        }
    }
    return text;
}

static apr_status_t check_label(hap_str_t label, const char *field, hap_str_t host,
                                hap_diag_t *diag, apr_pool_t *pool)
{
    if (label.n == 0) {
        return bad(diag, field, host, "is not a host name: it has an empty label", pool);
    }
    if (label.n > HAP_LABEL_MAX_BYTES) {
        return bad(diag, field, host, "is not a host name: a label has more than 63 bytes", pool);
    }
    if (label.p[0] == '-' || label.p[label.n - 1] == '-') {
        return bad(diag, field, host, "is not a host name: a label begins or ends with a hyphen",
                   pool);
    }
    return APR_SUCCESS;
}

/* A name whose last label is a number is read as an IPv4 address by some resolvers (127.1). */
static bool looks_numeric(hap_str_t label)
{
    if (!is_digit((unsigned char)label.p[0])) {
        return false;
    }
    bool hex = label.n > 1 && label.p[0] == '0' && (label.p[1] | 0x20) == 'x';
    for (size_t i = 0; i < label.n; i++) {
        if (!hex && !is_digit((unsigned char)label.p[i])) {
            return false;
        }
    }
    return true;
}

static apr_status_t check_name(hap_str_t value, const char *field, hap_diag_t *diag,
                               apr_pool_t *pool)
{
    apr_status_t rv = check_bytes(value, HAP_HOST_MAX_BYTES, is_app_byte,
                                  "a host name or an IP address", field, diag, pool);
    hap_str_t label = {NULL, 0};
    for (size_t from = 0; rv == APR_SUCCESS && from <= value.n; from += label.n + 1) {
        label = hap_str_sub(value, from, hap_str_find(value, '.', from));
        rv = check_label(label, field, value, diag, pool);
    }
    if (rv == APR_SUCCESS && looks_numeric(label)) {
        return bad(diag, field, value, "is neither a host name nor a complete IPv4 address", pool);
    }
    return rv;
}

/* Whoever writes a colon means a URL or a port more often than an address. */
static const char *not_ipv6(hap_str_t value)
{
    size_t colon = hap_str_find(value, ':', 0);
    bool one = hap_str_find(value, ':', colon + 1) >= value.n;
    if (colon < value.n && hap_str_starts(hap_str_sub(value, colon, value.n), HAP_STR_LIT("://"))) {
        return "is a URL, name the host alone";
    }
    return colon < value.n && one && value.p[0] != '[' ? "has a port, name the host alone"
                                                       : "is not an IPv6 address";
}

static apr_status_t check_ipv6(const char **host, hap_str_t value, const char *field,
                               hap_diag_t *diag, apr_pool_t *pool)
{
    struct in6_addr address;
    char spelt[INET6_ADDRSTRLEN];
    hap_str_t inner = value;
    if (value.p[0] == '[' && value.p[value.n - 1] == ']') {
        inner = hap_str_sub(value, 1, value.n - 1);
    }
    if (memchr(inner.p, 0, inner.n) ||
        inet_pton(AF_INET6, hap_str_dup(inner, pool), &address) != 1 ||
        !inet_ntop(AF_INET6, &address, spelt, sizeof(spelt))) {
        return bad(diag, field, value, not_ipv6(value), pool);
    }
    *host = apr_psprintf(pool, "[%s]", spelt);
    return APR_SUCCESS;
}

apr_status_t hap_grammar_host(const char **host, hap_str_t value, const char *field,
                              hap_diag_t *diag, apr_pool_t *pool)
{
    struct in_addr address;
    if (hap_str_find(value, ':', 0) < value.n || (value.n && value.p[0] == '[')) {
        return check_ipv6(host, value, field, diag, pool);
    }
    if (value.n && !memchr(value.p, 0, value.n) &&
        inet_pton(AF_INET, hap_str_dup(value, pool), &address) == 1) {
        *host = hap_str_dup(value, pool);
        return APR_SUCCESS;
    }
    apr_status_t rv = check_name(value, field, diag, pool);
    if (rv == APR_SUCCESS) {
        *host = lower_dup(value, pool);
    }
    return rv;
}

static hap_host_kind_t kind_of_ipv4(const unsigned char *byte)
{
    if (byte[0] == 127) {
        return HAP_HOST_LOOPBACK;
    }
    return byte[0] == 0 ? HAP_HOST_UNSPECIFIED : HAP_HOST_REMOTE;
}

static hap_host_kind_t kind_of_ipv6(const struct in6_addr *address)
{
    if (IN6_IS_ADDR_UNSPECIFIED(address)) {
        return HAP_HOST_UNSPECIFIED;
    }
    if (IN6_IS_ADDR_LOOPBACK(address)) {
        return HAP_HOST_LOOPBACK;
    }
    if (IN6_IS_ADDR_V4MAPPED(address)) {
        return kind_of_ipv4(address->s6_addr + 12);
    }
    return HAP_HOST_REMOTE;
}

apr_status_t hap_grammar_address(const char **host, unsigned *port, hap_str_t value,
                                 const char *field, hap_diag_t *diag, apr_pool_t *pool)
{
    const char *spelt = NULL;
    size_t end = value.n;
    while (end > 0 && value.p[end - 1] != ':') {
        end--;
    }
    if (end == 0) {
        hap_diag_set(diag, 0, "%s: \"%s\" is not HOST:PORT", field, hap_str_show(value, pool));
        return APR_EINVAL;
    }
    hap_str_t name = hap_str_sub(value, 0, end - 1);
    apr_status_t rv = hap_grammar_host(&spelt, name, field, diag, pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (!hap_str_eq(name, hap_str(spelt))) {
        hap_diag_set(diag, 0, "%s: the host \"%s\" is written \"%s\"", field,
                     hap_str_show(name, pool), spelt);
        return APR_EINVAL;
    }
    rv = hap_grammar_port(port, hap_str_sub(value, end, value.n), field, diag, pool);
    if (rv == APR_SUCCESS) {
        *host = spelt;
    }
    return rv;
}

hap_host_kind_t hap_grammar_host_kind(const char *host)
{
    static const char *const loopback[] = {"localhost", "localhost.localdomain", "ip6-localhost",
                                           "ip6-loopback"};
    static const char suffix[] = ".localhost";
    struct in_addr four;
    struct in6_addr six;
    char inner[INET6_ADDRSTRLEN + 2];
    size_t n = strlen(host);
    if (host[0] == '[' && n < sizeof(inner)) {
        snprintf(inner, sizeof(inner), "%.*s", (int)n - 2, host + 1);
        return inet_pton(AF_INET6, inner, &six) == 1 ? kind_of_ipv6(&six) : HAP_HOST_REMOTE;
    }
    if (inet_pton(AF_INET, host, &four) == 1) {
        return kind_of_ipv4((const unsigned char *)&four);
    }
    for (size_t i = 0; i < sizeof(loopback) / sizeof(loopback[0]); i++) {
        if (strcmp(host, loopback[i]) == 0) {
            return HAP_HOST_LOOPBACK;
        }
    }
    bool below = n >= sizeof(suffix) && strcmp(host + n - (sizeof(suffix) - 1), suffix) == 0;
    return below ? HAP_HOST_LOOPBACK : HAP_HOST_REMOTE;
}

const char *hap_grammar_route_of_host(const char *host, apr_pool_t *pool)
{
    struct in_addr four;
    hap_str_t name = hap_str(host);
    if (name.n && name.p[0] == '[') {
        name = hap_str_sub(name, 1, name.n - 1);
    } else if (inet_pton(AF_INET, host, &four) != 1) {
        name = hap_str_sub(name, 0, hap_str_find(name, '.', 0));
    }
    char *route = hap_str_dup(hap_str_sub(name, 0, HAP_ROUTE_MAX_BYTES), pool);
    for (char *c = route; *c; c++) {
        if (!is_route_byte((unsigned char)*c)) {
            *c = '-';
        }
    }
    return route;
}

/* As mod_proxy has them: those of APR, and its own. */
static unsigned port_of_scheme(const char *scheme)
{
    static const struct {
        const char *scheme;
        unsigned port;
    } ports[] = {{"ajp", 8009}, {"fcgi", 8000}, {"scgi", 4000}, {"h2c", 80},
                 {"h2", 443},   {"ws", 80},     {"wss", 443}};
    for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
        if (hap_str_eq_nocase(hap_str(scheme), hap_str(ports[i].scheme))) {
            return ports[i].port;
        }
    }
    return scheme ? apr_uri_port_of_scheme(scheme) : 0;
}

const char *hap_grammar_route_by_hash(const char *url, apr_pool_t *pool)
{
    return apr_psprintf(pool, "m-%016" APR_UINT64_T_HEX_FMT,
                        (apr_uint64_t)hap_str_hash(hap_str(url)));
}

const char *hap_grammar_route_of_url(const char *url, apr_pool_t *pool)
{
    apr_uri_t uri;
    if (apr_uri_parse(pool, url, &uri) != APR_SUCCESS || !uri.hostname) {
        return hap_grammar_route_by_hash(url, pool);
    }
    unsigned port = uri.port ? uri.port : port_of_scheme(uri.scheme);
    char *route = apr_psprintf(pool, "%s-%u", uri.hostname, port);
    for (char *c = route; *c; c++) {
        if (!is_alpha((unsigned char)*c) && !is_digit((unsigned char)*c)) {
            *c = '-';
        }
    }
    return strlen(route) <= HAP_ROUTE_MAX_BYTES ? route : hap_grammar_route_by_hash(url, pool);
}

const char *hap_grammar_balancer_key(hap_str_t name, apr_pool_t *pool)
{
    char *key = hap_str_dup(name, pool);
    for (size_t i = 0; i < name.n; i++) {
        unsigned char c = (unsigned char)key[i];
        if (c >= 'A' && c <= 'Z') {
            key[i] = (char)(c | 0x20);
        } else if (!is_alpha(c) && !is_digit(c)) {
            key[i] = '_';
        }
    }
    return key;
}

bool hap_grammar_open_quote(const char *command)
{
    char quote = '\0';
    for (const char *c = command; *c; c++) {
        if (*c == '\\' && c[1]) {
            c++;
        } else if (!quote && (*c == '"' || *c == '\'')) {
            quote = *c;
        } else if (*c == quote) {
            quote = '\0';
        }
    }
    return quote != '\0';
}
