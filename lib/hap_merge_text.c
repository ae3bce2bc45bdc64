/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns writing and reading a merged file. Does not decide what may be merged: reading goes
 * through hap_merge_build again.
 */
#include "hap_merge.h"

#include <apr_strings.h>

static const char prefix[] = "# zero-merge:";

static void put(apr_array_header_t *parts, const char *text)
{
    APR_ARRAY_PUSH(parts, struct iovec) = (struct iovec){(void *)text, strlen(text)};
}

/* What mod_haproxy is told, when it is there. */
static void put_module(apr_array_header_t *parts, const hap_merge_app_t *app,
                       const hap_merge_t *merge, apr_pool_t *pool)
{
    const hap_fragment_t *one = app->members;
    const char *word = hap_merge_lane_word(merge->lane);
    const char *zones = hap_merge_zones_text(&merge->zones, pool);
    put(parts, apr_psprintf(pool, "<IfModule haproxy_module>\n    HABalancer %s\n", one->app));
    if (one->health) {
        put(parts, apr_psprintf(pool, "    HACheck    %s uri=%s\n", one->app, one->health));
    }
    if (zones) {
        put(parts, apr_psprintf(pool, "    HAZone     %s %s\n", one->app, zones));
    }
    if (word) {
        put(parts, apr_psprintf(pool, "    HALane     %s %s\n", word, one->app));
    }
    put(parts, "</IfModule>\n");
}

static void put_balancer(apr_array_header_t *parts, const hap_merge_app_t *app,
                         const hap_merge_t *merge, apr_pool_t *pool)
{
    const hap_fragment_t *one = app->members;
    put(parts, apr_psprintf(pool, "<Proxy \"balancer://%s\">\n", one->app));
    for (size_t i = 0; i < app->count; i++) {
        const hap_fragment_t *member = &app->members[i];
        put(parts,
            apr_psprintf(pool, "    BalancerMember \"http://%s:%u\" route=%s%s\n", member->host,
                         member->port, member->route, hap_fragment_params(member, pool)));
    }
    if (one->sticky) {
        put(parts, apr_psprintf(pool, "    ProxySet stickysession=%s\n", one->sticky));
    }
    put(parts, "</Proxy>\n");
    put(parts, hap_fragment_mount(one, apr_pstrcat(pool, "balancer://", one->app, NULL), "", pool));
    put_module(parts, app, merge, pool);
}

static void put_plain(apr_array_header_t *parts, const hap_merge_app_t *app, apr_pool_t *pool)
{
    const hap_fragment_t *one = app->members;
    const char *params = hap_fragment_params(one, pool);
    put(parts,
        apr_pstrcat(pool, "# app: ", one->app, " route=", one->route, one->sticky ? " sticky=" : "",
                    one->sticky ? one->sticky : "", one->health ? " health=" : "",
                    one->health ? one->health : "", params, "\n", NULL));
    put(parts, hap_fragment_mount(one, hap_fragment_url(one, pool), params, pool));
}

hap_str_t hap_merge_emit(const hap_merge_t *merge, apr_pool_t *pool)
{
    apr_size_t length = 0;
    apr_array_header_t *parts = apr_array_make(
        pool, (int)(merge->member_count + 8 * merge->app_count), sizeof(struct iovec));
    put(parts, apr_pstrcat(pool, prefix, " " HAP_MERGE_VERSION "\n", NULL));
    for (size_t i = 0; i < merge->app_count; i++) {
        if (merge->balancer) {
            put_balancer(parts, &merge->apps[i], merge, pool);
        } else {
            put_plain(parts, &merge->apps[i], pool);
        }
    }
    const char *text =
        apr_pstrcatv(pool, (const struct iovec *)parts->elts, (apr_size_t)parts->nelts, &length);
    return hap_strn(text, length);
}

bool hap_merge_is(hap_str_t text)
{
    return hap_str_starts(text, HAP_STR_LIT(prefix));
}

/* What has been read of the application at hand; its members wait for what follows them. */
typedef struct reader_t {
    apr_array_header_t *members; /* hap_fragment_t */
    int first;                   /* index of the application's first member */
    int line;                    /* where the application began; 0 before the first one */
    hap_fragment_t app;          /* what the members share */
    bool balancer;
    hap_merge_lane_t lane;   /* of the application that said it last; all have to say the same */
    hap_merge_zones_t zones; /* likewise */
    apr_pool_t *pool;
} reader_t;

/* Takes what is between `start` and `end` at the front of `rest`; `end` "" means all of it. */
static bool between(hap_str_t *value, hap_str_t *rest, const char *start, const char *end)
{
    size_t n = strlen(start);
    if (!hap_str_starts(*rest, hap_str(start))) {
        return false;
    }
    hap_str_t after = hap_str_sub(*rest, n, rest->n);
    const char *stop = *end ? memmem(after.p, after.n, end, strlen(end)) : after.p + after.n;
    if (!stop) {
        return false;
    }
    *value = hap_str_sub(after, 0, (size_t)(stop - after.p));
    *rest = hap_str_sub(after, value->n + strlen(end), after.n);
    return true;
}

static apr_status_t not_ours(hap_str_t content, int line, hap_diag_t *diag, apr_pool_t *pool)
{
    hap_diag_set(diag, line, "\"%s\" is not what zero modproxy merge writes",
                 hap_str_show(content, pool));
    return APR_EINVAL;
}

/* A value that no fragment can have, such as a route with hand-written parameters behind it. */
static bool is_value(hap_str_t value,
                     apr_status_t (*check)(hap_str_t, const char *, hap_diag_t *, apr_pool_t *),
                     apr_pool_t *pool)
{
    hap_diag_t unused;
    return check(value, "", &unused, pool) == APR_SUCCESS;
}

static apr_status_t close_app(reader_t *reader, hap_diag_t *diag)
{
    if (!reader->line) {
        return APR_SUCCESS;
    }
    if (!reader->app.context || reader->first == reader->members->nelts) {
        hap_diag_set(diag, reader->line, "the application has no %s: merge the fragments again",
                     reader->app.context ? "member" : "ProxyPass");
        return APR_EINVAL;
    }
    for (int i = reader->first; i < reader->members->nelts; i++) {
        hap_fragment_t *member = &APR_ARRAY_IDX(reader->members, i, hap_fragment_t);
        member->context = reader->app.context;
        member->path = reader->app.path;
        member->sticky = reader->app.sticky;
        member->health = reader->app.health;
        member->upgrade = reader->app.upgrade;
    }
    return APR_SUCCESS;
}

static apr_status_t open_app(reader_t *reader, hap_str_t name, int line, hap_diag_t *diag)
{
    apr_status_t rv = close_app(reader, diag);
    if (rv == APR_SUCCESS) {
        reader->line = line;
        reader->first = reader->members->nelts;
        reader->app = (hap_fragment_t){.app = hap_str_dup(name, reader->pool)};
    }
    return rv;
}

static apr_status_t add_member(reader_t *reader, hap_str_t route, hap_str_t url, int line,
                               hap_diag_t *diag)
{
    hap_fragment_t member = {.app = reader->app.app};
    apr_status_t rv = hap_fragment_parse_url(&member.host, &member.port, url, "BalancerMember",
                                             diag, reader->pool);
    if (rv != APR_SUCCESS) {
        diag->line = line;
        return rv;
    }
    member.route = hap_str_dup(route, reader->pool);
    APR_ARRAY_PUSH(reader->members, hap_fragment_t) = member;
    return APR_SUCCESS;
}

/* # app: NAME route=ROUTE [sticky=COOKIE] [health=PATH] [upgrade=PROTOCOL] */
static apr_status_t read_plain(reader_t *reader, hap_str_t content, int line, hap_diag_t *diag)
{
    hap_str_t rest = content;
    hap_str_t name = {NULL, 0};
    hap_str_t word = {NULL, 0};
    if (!between(&name, &rest, "# app: ", " ")) {
        return not_ours(content, line, diag, reader->pool);
    }
    apr_status_t rv = open_app(reader, name, line, diag);
    while (rv == APR_SUCCESS && rest.n) {
        size_t end = hap_str_find(rest, ' ', 0);
        hap_str_t pair = hap_str_sub(rest, 0, end);
        rest = hap_str_sub(rest, end + 1, rest.n);
        if (between(&word, &pair, "route=", "")) {
            reader->app.route = hap_str_dup(word, reader->pool);
        } else if (between(&word, &pair, "sticky=", "")) {
            reader->app.sticky = hap_str_dup(word, reader->pool);
        } else if (between(&word, &pair, "health=", "")) {
            reader->app.health = hap_str_dup(word, reader->pool);
        } else if (between(&word, &pair, "upgrade=", "")) {
            reader->app.upgrade = hap_str_dup(word, reader->pool);
        }
    }
    return rv;
}

/* BalancerMember "URL" route=ROUTE [upgrade=PROTOCOL], with what is behind the URL in `params`. */
static apr_status_t read_member(reader_t *reader, hap_str_t content, hap_str_t url,
                                hap_str_t params, int line, hap_diag_t *diag)
{
    hap_str_t upgrade = {NULL, 0};
    size_t end = hap_str_find(params, ' ', 0);
    hap_str_t route = hap_str_sub(params, 0, end);
    hap_str_t more = hap_str_sub(params, end, params.n);
    bool ours = is_value(route, hap_grammar_route, reader->pool);
    reader->app.upgrade = NULL;
    if (more.n) {
        ours = ours && between(&upgrade, &more, " upgrade=", "") &&
               is_value(upgrade, hap_grammar_protocol, reader->pool);
        reader->app.upgrade = hap_str_dup(upgrade, reader->pool);
    }
    return ours ? add_member(reader, route, url, line, diag)
                : not_ours(content, line, diag, reader->pool);
}

/* ProxyPass "CONTEXT" "BASE/SUFFIX", where BASE is the balancer or the only member. */
static apr_status_t read_mount(reader_t *reader, hap_str_t content, int line, hap_diag_t *diag)
{
    hap_str_t rest = content;
    hap_str_t context = {NULL, 0};
    hap_str_t target = {NULL, 0};
    if (!reader->line || !between(&context, &rest, "ProxyPass        \"", "\" \"") ||
        !between(&target, &rest, "", "\"")) {
        return not_ours(content, line, diag, reader->pool);
    }
    if (!is_value(context, hap_grammar_path, reader->pool)) {
        return not_ours(content, line, diag, reader->pool);
    }
    hap_str_t scheme = reader->balancer ? HAP_STR_LIT("balancer://") : HAP_STR_LIT("http://");
    size_t slash = hap_str_find(target, '/', scheme.n);
    const char *path =
        hap_fragment_path_of(context, hap_str_sub(target, slash, target.n), reader->pool);
    if (!hap_str_starts(target, scheme) || !path) {
        return not_ours(content, line, diag, reader->pool);
    }
    reader->app.context = hap_str_dup(context, reader->pool);
    reader->app.path = path;
    if (reader->balancer) {
        return APR_SUCCESS;
    }
    hap_str_t route = hap_str(reader->app.route);
    return add_member(reader, route, hap_str_sub(target, 0, slash), line, diag);
}

/* Takes the values out of a line; that everything around them is right shows when re-written. */
static apr_status_t read_line(reader_t *reader, hap_str_t content, int line, hap_diag_t *diag)
{
    hap_str_t rest = content;
    hap_str_t first = {NULL, 0};
    hap_str_t second = {NULL, 0};
    if (hap_str_starts(content, HAP_STR_LIT("# app: "))) {
        return read_plain(reader, content, line, diag);
    }
    if (hap_str_starts(content, HAP_STR_LIT("ProxyPass "))) {
        return read_mount(reader, content, line, diag);
    }
    if (between(&first, &rest, "<Proxy \"balancer://", "\">")) {
        if (!is_value(first, hap_grammar_app, reader->pool)) {
            return not_ours(content, line, diag, reader->pool);
        }
        reader->balancer = true;
        return open_app(reader, first, line, diag);
    }
    if (!reader->line) {
        return not_ours(content, line, diag, reader->pool);
    }
    if (between(&first, &rest, "    BalancerMember \"", "\" route=")) {
        return read_member(reader, content, first, rest, line, diag);
    }
    bool ours = true;
    if (between(&first, &rest, "    ProxySet stickysession=", "")) {
        ours = is_value(first, hap_grammar_cookie, reader->pool);
        reader->app.sticky = hap_str_dup(first, reader->pool);
    } else if (between(&first, &rest, "    HACheck    ", " uri=") &&
               between(&second, &rest, "", "")) {
        ours = is_value(second, hap_grammar_path, reader->pool);
        reader->app.health = hap_str_dup(second, reader->pool);
    } else if (between(&first, &rest, "    HAZone     ", " ")) {
        ours = hap_merge_zones_parse(&reader->zones, rest, reader->pool);
    } else if (hap_str_starts(content, HAP_STR_LIT("    HALane     On "))) {
        reader->lane = HAP_MERGE_LANE_ON;
    } else if (hap_str_starts(content, HAP_STR_LIT("    HALane     Off "))) {
        reader->lane = HAP_MERGE_LANE_OFF;
    }
    return ours ? APR_SUCCESS : not_ours(content, line, diag, reader->pool);
}

static apr_status_t read_version(hap_str_t *rest, hap_diag_t *diag, apr_pool_t *pool)
{
    hap_str_t line;
    hap_str_line(&line, rest);
    if (!hap_merge_is(line)) {
        hap_diag_set(diag, 1,
                     "is not a merged file: its first line is not \"%s " HAP_MERGE_VERSION "\"",
                     prefix);
        return APR_EINVAL;
    }
    hap_str_t version = hap_str_trim(hap_str_sub(line, sizeof(prefix) - 1, line.n));
    if (!hap_str_eq(version, HAP_STR_LIT(HAP_MERGE_VERSION))) {
        hap_diag_set(
            diag, 1,
            "is a merged file of version \"%s\", this zero reads version " HAP_MERGE_VERSION
            ": merge the fragments again",
            hap_str_show(version, pool));
        return APR_EINVAL;
    }
    return APR_SUCCESS;
}

apr_status_t hap_merge_parse(hap_merge_t *merge, hap_str_t text, hap_diag_t *diag, apr_pool_t *pool)
{
    reader_t reader = {.members = apr_array_make(pool, 16, sizeof(hap_fragment_t)), .pool = pool};
    hap_merge_t read;
    hap_str_t rest = text;
    hap_str_t content;
    apr_status_t rv = hap_grammar_text(text, diag);
    if (rv == APR_SUCCESS) {
        rv = read_version(&rest, diag, pool);
    }
    for (int line = 2; rv == APR_SUCCESS && hap_str_line(&content, &rest); line++) {
        rv = read_line(&reader, content, line, diag);
    }
    if (rv == APR_SUCCESS) {
        rv = close_app(&reader, diag);
    }
    if (rv == APR_SUCCESS) {
        rv = hap_merge_build(&read, (const hap_fragment_t *)reader.members->elts,
                             (size_t)reader.members->nelts, reader.balancer, diag, pool);
    }
    if (rv == APR_SUCCESS) {
        rv = hap_merge_check_zones(&read, &reader.zones, diag);
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    read.lane = reader.lane;
    read.zones = reader.zones;
    int line = 0;
    if (!hap_grammar_same_text(&line, &content, text, hap_merge_emit(&read, pool))) {
        return not_ours(content, line, diag, pool);
    }
    *merge = read;
    return APR_SUCCESS;
}
