/* SPDX-License-Identifier: Apache-2.0 */
/* Owns reading and writing a fragment. Does not touch files. */
#include "hap_fragment.h"

#include <apr_strings.h>

static const char prefix[] = "# zero-fragment:";

const char *hap_fragment_url(const hap_fragment_t *fragment, apr_pool_t *pool)
{
    return apr_psprintf(pool, "http://%s:%u", fragment->host, fragment->port);
}

const char *hap_fragment_suffix(const hap_fragment_t *fragment, apr_pool_t *pool)
{
    bool root = strcmp(fragment->path, "/") == 0;
    if (strcmp(fragment->context, "/") == 0) {
        return root ? "/" : apr_pstrcat(pool, fragment->path, "/", NULL);
    }
    return root ? "" : fragment->path;
}

const char *hap_fragment_path_of(hap_str_t context, hap_str_t suffix, apr_pool_t *pool)
{
    if (!hap_str_eq(context, HAP_STR_LIT("/"))) {
        return suffix.n ? hap_str_dup(suffix, pool) : "/";
    }
    if (suffix.n == 0 || suffix.p[suffix.n - 1] != '/') {
        return NULL;
    }
    return suffix.n == 1 ? "/" : hap_str_dup(hap_str_sub(suffix, 0, suffix.n - 1), pool);
}

/* An instance that sets its cookie's Path to its own path would lose it on another public one. */
static const char *cookie_path(const hap_fragment_t *fragment, apr_pool_t *pool)
{
    if (strcmp(fragment->context, fragment->path) == 0) {
        return "";
    }
    return apr_pstrcat(pool, "ProxyPassReverseCookiePath \"", fragment->path, "\" \"",
                       fragment->context, "\"\n", NULL);
}

const char *hap_fragment_params(const hap_fragment_t *fragment, apr_pool_t *pool)
{
    return fragment->upgrade ? apr_pstrcat(pool, " upgrade=", fragment->upgrade, NULL) : "";
}

const char *hap_fragment_mount(const hap_fragment_t *fragment, const char *base, const char *params,
                               apr_pool_t *pool)
{
    const char *suffix = hap_fragment_suffix(fragment, pool);
    return apr_pstrcat(pool, "ProxyPass        \"", fragment->context, "\" \"", base, suffix, "\"",
                       params, "\nProxyPassReverse \"", fragment->context, "\" \"", base, suffix,
                       "\"\n", cookie_path(fragment, pool), NULL);
}

hap_str_t hap_fragment_emit(const hap_fragment_t *fragment, apr_pool_t *pool)
{
    const char *url = hap_fragment_url(fragment, pool);
    bool other_path = strcmp(fragment->context, fragment->path) != 0;
    const char *sticky = fragment->sticky;
    const char *health = fragment->health;
    const char *upgrade = fragment->upgrade;
    const char *text = apr_pstrcat(
        pool, prefix, " " HAP_FRAGMENT_VERSION "\n# app: ", fragment->app,
        "\n# context: ", fragment->context, other_path ? "\n# path: " : "",
        other_path ? fragment->path : "", "\n# url: ", url, "\n# route: ", fragment->route,
        sticky ? "\n# sticky: " : "", sticky ? sticky : "", health ? "\n# health: " : "",
        health ? health : "", upgrade ? "\n# upgrade: " : "", upgrade ? upgrade : "", "\n",
        hap_fragment_mount(fragment, url, hap_fragment_params(fragment, pool), pool), NULL);
    return hap_str(text);
}

static apr_status_t check_lengths(const hap_fragment_t *fragment, hap_diag_t *diag,
                                  apr_pool_t *pool)
{
    const char *target = apr_pstrcat(pool, hap_fragment_url(fragment, pool),
                                     hap_fragment_suffix(fragment, pool), NULL);
    if (strlen(target) > HAP_WORKER_URL_MAX_BYTES) {
        hap_diag_set(diag, 0,
                     "\"%s\" has %" APR_SIZE_T_FMT
                     " bytes, httpd takes at most %d in a worker's URL: use a shorter host or path",
                     target, strlen(target), HAP_WORKER_URL_MAX_BYTES);
        return APR_EINVAL;
    }
    return APR_SUCCESS;
}

static apr_status_t check_host(const char *host, hap_diag_t *diag, apr_pool_t *pool)
{
    const char *spelt = NULL;
    apr_status_t rv = hap_grammar_host(&spelt, hap_str(host), "host", diag, pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (strcmp(spelt, host) != 0) {
        hap_diag_set(diag, 0, "host: \"%s\" is written \"%s\"", hap_str_show(hap_str(host), pool),
                     spelt);
        return APR_EINVAL;
    }
    return APR_SUCCESS;
}

apr_status_t hap_fragment_check(const hap_fragment_t *fragment, hap_diag_t *diag, apr_pool_t *pool)
{
    apr_status_t rv = hap_grammar_app(hap_str(fragment->app), "app", diag, pool);
    if (rv == APR_SUCCESS) {
        rv = hap_grammar_path(hap_str(fragment->context), "context", diag, pool);
    }
    if (rv == APR_SUCCESS) {
        rv = hap_grammar_path(hap_str(fragment->path), "path", diag, pool);
    }
    if (rv == APR_SUCCESS) {
        rv = check_host(fragment->host, diag, pool);
    }
    if (rv == APR_SUCCESS) {
        rv = hap_grammar_route(hap_str(fragment->route), "route", diag, pool);
    }
    if (rv == APR_SUCCESS && fragment->sticky) {
        rv = hap_grammar_cookie(hap_str(fragment->sticky), "sticky", diag, pool);
    }
    if (rv == APR_SUCCESS && fragment->health) {
        rv = hap_grammar_path(hap_str(fragment->health), "health", diag, pool);
    }
    if (rv == APR_SUCCESS && fragment->upgrade) {
        rv = hap_grammar_protocol(hap_str(fragment->upgrade), "upgrade", diag, pool);
    }
    return rv == APR_SUCCESS ? check_lengths(fragment, diag, pool) : rv;
}

apr_status_t hap_fragment_parse_url(const char **host, unsigned *port, hap_str_t url,
                                    const char *field, hap_diag_t *diag, apr_pool_t *pool)
{
    hap_str_t scheme = HAP_STR_LIT("http://");
    hap_str_t address = hap_str_sub(url, scheme.n, url.n);
    if (!hap_str_starts(url, scheme) || hap_str_find(address, ':', 0) == address.n) {
        hap_diag_set(diag, 0, "%s: \"%s\" is not http://HOST:PORT", field, hap_str_show(url, pool));
        return APR_EINVAL;
    }
    return hap_grammar_address(host, port, address, field, diag, pool);
}

void hap_fragment_copy(hap_fragment_t *copy, const hap_fragment_t *fragment, apr_pool_t *pool)
{
    *copy = *fragment;
    copy->app = apr_pstrdup(pool, fragment->app);
    copy->context = apr_pstrdup(pool, fragment->context);
    copy->path = apr_pstrdup(pool, fragment->path);
    copy->host = apr_pstrdup(pool, fragment->host);
    copy->route = apr_pstrdup(pool, fragment->route);
    copy->sticky = apr_pstrdup(pool, fragment->sticky);
    copy->health = apr_pstrdup(pool, fragment->health);
    copy->upgrade = apr_pstrdup(pool, fragment->upgrade);
}

bool hap_fragment_is(hap_str_t text)
{
    return hap_str_starts(text, HAP_STR_LIT(prefix));
}

/* The header's keys, in the order in which they are written. */
enum {
    KEY_APP,
    KEY_CONTEXT,
    KEY_PATH,
    KEY_URL,
    KEY_ROUTE,
    KEY_STICKY,
    KEY_HEALTH,
    KEY_UPGRADE,
    KEYS
};

static const struct {
    hap_str_t start; /* the line up to the value */
    const char *name;
    bool required;
} keys[KEYS] = {
    [KEY_APP] = {HAP_STR_LIT("# app: "), "app", true},
    [KEY_CONTEXT] = {HAP_STR_LIT("# context: "), "context", true},
    [KEY_PATH] = {HAP_STR_LIT("# path: "), "path", false},
    [KEY_URL] = {HAP_STR_LIT("# url: "), "url", true},
    [KEY_ROUTE] = {HAP_STR_LIT("# route: "), "route", true},
    [KEY_STICKY] = {HAP_STR_LIT("# sticky: "), "sticky", false},
    [KEY_HEALTH] = {HAP_STR_LIT("# health: "), "health", false},
    [KEY_UPGRADE] = {HAP_STR_LIT("# upgrade: "), "upgrade", false},
};

typedef struct header_t {
    hap_str_t value[KEYS];
    int line[KEYS]; /* 0: the key is not there */
} header_t;

static apr_status_t read_version(hap_str_t *rest, hap_diag_t *diag, apr_pool_t *pool)
{
    hap_str_t line;
    hap_str_line(&line, rest);
    if (hap_str_starts(line, HAP_STR_LIT("# zero-merge:"))) {
        hap_diag_set(diag, 1, "is a merged file, not a fragment: merge the fragments themselves");
        return APR_EINVAL;
    }
    if (!hap_fragment_is(line)) {
        hap_diag_set(diag, 1,
                     "is not a fragment: its first line is not \"%s " HAP_FRAGMENT_VERSION "\"",
                     prefix);
        return APR_EINVAL;
    }
    hap_str_t version = hap_str_trim(hap_str_sub(line, sizeof(prefix) - 1, line.n));
    if (!hap_str_eq(version, HAP_STR_LIT(HAP_FRAGMENT_VERSION))) {
        hap_diag_set(
            diag, 1,
            "is a fragment of version \"%s\", this zero reads version " HAP_FRAGMENT_VERSION
            ": run zero modproxy generate again",
            hap_str_show(version, pool));
        return APR_EINVAL;
    }
    return APR_SUCCESS;
}

static apr_status_t read_header(header_t *header, hap_str_t rest, hap_diag_t *diag)
{
    int line = 1;
    hap_str_t content;
    for (int key = 0; hap_str_line(&content, &rest); line++) {
        while (key < KEYS && !hap_str_starts(content, keys[key].start)) {
            key++;
        }
        if (key == KEYS) {
            break;
        }
        header->value[key] = hap_str_sub(content, keys[key].start.n, content.n);
        header->line[key] = line + 1;
        key++;
    }
    for (int key = 0; key < KEYS; key++) {
        if (keys[key].required && !header->line[key]) {
            hap_diag_set(diag, line + 1,
                         "has no line \"# %s: ...\" where it belongs: run zero modproxy generate "
                         "again",
                         keys[key].name);
            return APR_EINVAL;
        }
    }
    return APR_SUCCESS;
}

typedef apr_status_t check_fn(hap_str_t, const char *, hap_diag_t *, apr_pool_t *);

/* Checks one value and copies it; leaves *result alone when the key is not there. */
static apr_status_t take(const char **result, const header_t *header, int key, check_fn *check,
                         hap_diag_t *diag, apr_pool_t *pool)
{
    if (!header->line[key]) {
        return APR_SUCCESS;
    }
    apr_status_t rv = check(header->value[key], keys[key].name, diag, pool);
    if (rv != APR_SUCCESS) {
        diag->line = header->line[key];
        return rv;
    }
    *result = hap_str_dup(header->value[key], pool);
    return APR_SUCCESS;
}

static apr_status_t take_all(hap_fragment_t *read, const header_t *header, hap_diag_t *diag,
                             apr_pool_t *pool)
{
    const struct {
        const char **result;
        int key;
        check_fn *check;
    } fields[] = {
        {&read->app, KEY_APP, hap_grammar_app},
        {&read->context, KEY_CONTEXT, hap_grammar_path},
        {&read->path, KEY_PATH, hap_grammar_path},
        {&read->route, KEY_ROUTE, hap_grammar_route},
        {&read->sticky, KEY_STICKY, hap_grammar_cookie},
        {&read->health, KEY_HEALTH, hap_grammar_path},
        {&read->upgrade, KEY_UPGRADE, hap_grammar_protocol},
    };
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        apr_status_t rv =
            take(fields[i].result, header, fields[i].key, fields[i].check, diag, pool);
        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
    apr_status_t rv =
        hap_fragment_parse_url(&read->host, &read->port, header->value[KEY_URL], "url", diag, pool);
    if (rv != APR_SUCCESS) {
        diag->line = header->line[KEY_URL];
    }
    return rv;
}

apr_status_t hap_fragment_parse(hap_fragment_t *fragment, hap_str_t text, hap_diag_t *diag,
                                apr_pool_t *pool)
{
    header_t header = {0};
    hap_fragment_t read = {.source = fragment->source};
    hap_str_t rest = text;
    apr_status_t rv = hap_grammar_text(text, diag);
    if (rv == APR_SUCCESS) {
        rv = read_version(&rest, diag, pool);
    }
    if (rv == APR_SUCCESS) {
        rv = read_header(&header, rest, diag);
    }
    if (rv == APR_SUCCESS) {
        rv = take_all(&read, &header, diag, pool);
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (!read.path) {
        read.path = read.context;
    }
    rv = hap_fragment_check(&read, diag, pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    int line = 0;
    hap_str_t got;
    if (!hap_grammar_same_text(&line, &got, text, hap_fragment_emit(&read, pool))) {
        hap_diag_set(diag, line, "edited by hand at \"%s\": run zero modproxy generate again",
                     hap_str_show(got, pool));
        return APR_EINVAL;
    }
    *fragment = read;
    return APR_SUCCESS;
}
