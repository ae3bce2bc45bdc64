/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the way of a request to its balancer, and the order of the replay. The balancer itself is
 * rebuilt in hap_explain_farm.c.
 */
#include "hap_explain.h"

#include <apr_strings.h>

#include "hap_explain_farm.h"
#include "hap_cookie.h"

static int hex(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static apr_status_t refuse_path(hap_diag_t *diag, hap_str_t raw, const char *why, apr_pool_t *pool)
{
    hap_diag_set(diag, 0, "\"%s\" %s", hap_str_show(raw, pool), why);
    return APR_EINVAL;
}

/* Decodes one byte; -1 for an escape that httpd refuses. */
static int decode(hap_str_t raw, size_t *i)
{
    if (raw.p[*i] != '%') {
        return (unsigned char)raw.p[*i];
    }
    int high = *i + 2 < raw.n ? hex(raw.p[*i + 1]) : -1;
    int low = high >= 0 ? hex(raw.p[*i + 2]) : -1;
    int byte = low < 0 ? 0 : high * 16 + low;
    *i += 2;
    return byte == 0 || byte == '/' ? -1 : byte;
}

static bool has_dot_segment(const char *path)
{
    for (const char *at = path; (at = strstr(at, "/.")); at += 2) {
        const char *end = at + (at[2] == '.' ? 3 : 2);
        if (*end == '/' || *end == '\0') {
            return true;
        }
    }
    return false;
}

/* httpd answers such a request line with 400. */
static bool has_blank_or_control(hap_str_t target)
{
    for (size_t i = 0; i < target.n; i++) {
        unsigned char c = (unsigned char)target.p[i];
        if (c <= 0x20 || c == 0x7f) {
            return true;
        }
    }
    return false;
}

apr_status_t hap_explain_path(const char **path, hap_str_t target, hap_diag_t *diag,
                              apr_pool_t *pool)
{
    hap_str_t raw = hap_path_only(target);
    char *text = apr_palloc(pool, raw.n + 1);
    size_t n = 0;
    if (raw.n == 0 || raw.p[0] != '/') {
        return refuse_path(diag, raw, "is not a path that begins with /", pool);
    }
    if (has_blank_or_control(target)) {
        return refuse_path(diag, target,
                           "has a blank or a control byte: write it as % and two hex digits", pool);
    }
    for (size_t i = 0; i < raw.n; i++) {
        int byte = decode(raw, &i);
        if (byte < 0) {
            return refuse_path(diag, raw,
                               "has an escape that httpd does not pass on: %2F, %00 or one "
                               "without two hex digits",
                               pool);
        }
        if (!(byte == '/' && n > 0 && text[n - 1] == '/')) {
            text[n++] = (char)byte;
        }
    }
    text[n] = '\0';
    if (has_dot_segment(text)) {
        return refuse_path(diag, raw, "has a . or .. segment, which httpd resolves first", pool);
    }
    *path = text;
    return APR_SUCCESS;
}

/* As mod_proxy encodes what goes to a member. */
static const char *encode(const char *path, apr_pool_t *pool)
{
    static const char digits[] = "0123456789ABCDEF";
    static const char plain[] = "/~$-_.+!*'(),;:@&=";
    char *text = apr_palloc(pool, 3 * strlen(path) + 1);
    char *out = text;
    for (const unsigned char *c = (const unsigned char *)path; *c; c++) {
        unsigned char lower = (unsigned char)(*c | 0x20);
        bool alnum = (*c >= '0' && *c <= '9') || (lower >= 'a' && lower <= 'z');
        if (alnum || strchr(plain, *c)) {
            *out++ = (char)*c;
            continue;
        }
        *out++ = '%';
        *out++ = digits[*c >> 4];
        *out++ = digits[*c & 15];
    }
    *out = '\0';
    return text;
}

/* What stands behind host and port in the URL that goes out. */
static const char *outgoing(const hap_explain_t *result, const char *target_path, hap_str_t target,
                            apr_pool_t *pool)
{
    size_t taken = hap_site_match(result->path, result->mount->context);
    const char *path = apr_pstrcat(pool, target_path, result->path + taken, NULL);
    size_t query = hap_str_find(target, '?', 0);
    size_t end = hap_str_find(target, '#', 0);
    return apr_pstrcat(pool, encode(path, pool), hap_str_dup(hap_str_sub(target, query, end), pool),
                       NULL);
}

/* The part of a URL behind its host; "" if there is none. */
static const char *path_of(const char *url)
{
    const char *host = strstr(url, "://");
    const char *path = host ? strchr(host + 3, '/') : NULL;
    return path ? path : "";
}

static const char *plain_url(const hap_explain_t *result, hap_str_t target, apr_pool_t *pool)
{
    const char *url = result->mount->target;
    const char *path = path_of(url);
    const char *host = *path ? apr_pstrmemdup(pool, url, (size_t)(path - url)) : url;
    return apr_pstrcat(pool, hap_site_worker_url(host, pool), outgoing(result, path, target, pool),
                       NULL);
}

static void find_mount(hap_explain_t *result, const hap_explain_request_t *request,
                       apr_pool_t *pool)
{
    apr_array_header_t *mounts = hap_site_mounts(request->site, result->vhost, pool);
    result->passed = apr_array_make(pool, 4, sizeof(const hap_site_mount_t *));
    for (int i = 0; i < mounts->nelts; i++) {
        const hap_site_mount_t *mount = APR_ARRAY_IDX(mounts, i, const hap_site_mount_t *);
        if (hap_site_match(result->path, mount->context)) {
            result->mount = mount;
            return;
        }
        APR_ARRAY_PUSH(result->passed, const hap_site_mount_t *) = mount;
    }
}

static hap_explain_end_t end_of(const hap_explain_t *result)
{
    if (!result->mount) {
        return HAP_EXPLAIN_NO_MOUNT;
    }
    if (strcmp(result->mount->target, "!") == 0) {
        return HAP_EXPLAIN_EXCLUDED;
    }
    if (!result->name) {
        return HAP_EXPLAIN_PLAIN;
    }
    if (!result->balancer || result->balancer->members->nelts == 0) {
        return HAP_EXPLAIN_UNKNOWN;
    }
    return result->policy.directive ? HAP_EXPLAIN_MODULE : HAP_EXPLAIN_STOCK;
}

static apr_status_t find_balancer(hap_explain_t *result, const hap_explain_request_t *request,
                                  hap_diag_t *diag, apr_pool_t *pool)
{
    const hap_site_t *site = request->site;
    result->name = hap_site_balancer_name(result->mount->target, pool);
    if (!result->name) {
        return APR_SUCCESS;
    }
    result->balancer = hap_site_balancer(site, result->vhost, result->name);
    /* A balancer of the main server has one policy, in all virtual hosts. */
    const hap_conf_section_t *vhost = result->balancer ? result->balancer->vhost : result->vhost;
    apr_status_t rv = hap_site_policy(&result->policy, site, vhost, result->name,
                                      &hap_policy_options, diag, pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = hap_site_policy(&result->check, site, vhost, result->name, &hap_check_options, diag, pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    return hap_site_policy(&result->zone, site, vhost, result->name, &hap_zone_options, diag, pool);
}

static apr_status_t find(hap_explain_t *result, const hap_explain_request_t *request,
                         hap_diag_t *diag, apr_pool_t *pool)
{
    *result = (hap_explain_t){.end = HAP_EXPLAIN_NO_MOUNT};
    apr_status_t rv = hap_explain_path(&result->path, request->target, diag, pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    result->vhost = hap_site_server(request->site, request->host);
    find_mount(result, request, pool);
    if (result->mount) {
        rv = find_balancer(result, request, diag, pool);
    }
    if (rv == APR_SUCCESS) {
        result->end = end_of(result);
    }
    return rv;
}

apr_status_t hap_explain_policy(const hap_policy_t **policy, const hap_explain_request_t *request,
                                hap_diag_t *diag, apr_pool_t *pool)
{
    hap_explain_t *found = apr_palloc(pool, sizeof(*found));
    apr_status_t rv = find(found, request, diag, pool);
    if (rv == APR_SUCCESS) {
        *policy = found->end == HAP_EXPLAIN_MODULE ? &found->policy.policy : NULL;
    }
    return rv;
}

/* Address and cookie of a choice: both follow from who was chosen. */
static void settle(hap_explain_choice_t *choice, const hap_explain_t *result,
                   const hap_explain_request_t *request, apr_pool_t *pool)
{
    if (choice->pick.member < 0) {
        return;
    }
    const hap_explain_member_t *member = &result->members[choice->pick.member];
    const char *path = outgoing(result, path_of(result->mount->target), request->target, pool);
    choice->url = apr_pstrcat(pool, member->url, path, NULL);
    choice->cookie = hap_explain_cookie(result, request, choice->pick, pool);
}

apr_status_t hap_explain(hap_explain_t *result, const hap_explain_request_t *request,
                         hap_diag_t *diag, apr_pool_t *pool)
{
    apr_status_t rv = find(result, request, diag, pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (result->end == HAP_EXPLAIN_PLAIN) {
        result->url = plain_url(result, request->target, pool);
    }
    if (result->end != HAP_EXPLAIN_MODULE) {
        return APR_SUCCESS;
    }
    rv = hap_explain_choose(result, request, diag, pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    settle(&result->first, result, request, pool);
    if (result->retry == HAP_EXPLAIN_RETRY) {
        settle(&result->next, result, request, pool);
    }
    return APR_SUCCESS;
}
