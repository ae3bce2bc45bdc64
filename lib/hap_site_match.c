/* SPDX-License-Identifier: Apache-2.0 */
/* Owns finding the server and the mount of a request, by mod_proxy's rules. */
#include "hap_site.h"

#include <apr_fnmatch.h>
#include <apr_strings.h>

#define PASS(site, i)  (&APR_ARRAY_IDX((site)->passes, i, hap_site_mount_t))
#define VHOST(site, i) (&APR_ARRAY_IDX((site)->vhosts, i, hap_site_vhost_t))

/* ServerName may be scheme://name:port. */
static const char *bare_host(const char *name, apr_pool_t *pool)
{
    const char *host = strstr(name, "://");
    host = host ? host + 3 : name;
    hap_str_t text = hap_str(host);
    size_t from = text.n && text.p[0] == '[' ? hap_str_find(text, ']', 0) : 0;
    return hap_str_dup(hap_str_sub(text, 0, hap_str_find(text, ':', from)), pool);
}

static bool has_name(const hap_site_vhost_t *vhost, const char *host, apr_pool_t *pool)
{
    for (int i = 0; i < vhost->names->nelts; i++) {
        const char *name = bare_host(APR_ARRAY_IDX(vhost->names, i, const char *), pool);
        if (apr_fnmatch(name, host, APR_FNM_CASE_BLIND) == APR_SUCCESS) {
            return true;
        }
    }
    return false;
}

const hap_conf_section_t *hap_site_server(const hap_site_t *site, const char *host)
{
    for (int i = 0; host && i < site->vhosts->nelts; i++) {
        if (has_name(VHOST(site, i), host, site->pool)) {
            return VHOST(site, i)->section;
        }
    }
    for (int i = 0; i < site->passes->nelts; i++) {
        if (!PASS(site, i)->vhost) {
            return NULL;
        }
    }
    return site->passes->nelts ? PASS(site, 0)->vhost : NULL;
}

static void add_mounts(apr_array_header_t *mounts, const hap_site_t *site,
                       const hap_conf_section_t *vhost, bool in_location)
{
    int n = site->passes->nelts;
    for (int k = 0; k < n; k++) {
        /* Of several <Location> sections that match, the last one is merged over the others. */
        const hap_site_mount_t *mount = PASS(site, in_location ? n - 1 - k : k);
        if (mount->vhost == vhost && mount->in_location == in_location) {
            APR_ARRAY_PUSH(mounts, const hap_site_mount_t *) = mount;
        }
    }
}

apr_array_header_t *hap_site_mounts(const hap_site_t *site, const hap_conf_section_t *vhost,
                                    apr_pool_t *pool)
{
    apr_array_header_t *mounts = apr_array_make(pool, 8, sizeof(const hap_site_mount_t *));
    /* A virtual host's sections are merged over the main server's, its ProxyPass rows appended. */
    add_mounts(mounts, site, vhost, true);
    if (vhost) {
        add_mounts(mounts, site, NULL, true);
        add_mounts(mounts, site, NULL, false);
    }
    add_mounts(mounts, site, vhost, false);
    return mounts;
}

size_t hap_site_match(const char *path, const char *context)
{
    const char *at = path;
    const char *want = context;
    while (*want && *at) {
        if (*want != '/') {
            if (*at++ != *want++) {
                return 0;
            }
            continue;
        }
        if (*at != '/') {
            return 0;
        }
        while (*want == '/') {
            want++;
        }
        while (*at == '/') {
            at++;
        }
    }
    bool whole = want > context && (want[-1] == '/' || *at == '\0' || *at == '/');
    return *want || !whole ? 0 : (size_t)(at - path);
}

const char *hap_site_cookie_path(const hap_site_t *site, const hap_site_balancer_t *balancer,
                                 apr_pool_t *pool)
{
    const char *path = NULL;
    apr_array_header_t *mounts = hap_site_mounts(site, balancer->vhost, pool);
    for (int i = 0; i < mounts->nelts; i++) {
        const hap_site_mount_t *mount = APR_ARRAY_IDX(mounts, i, const hap_site_mount_t *);
        const char *name = hap_site_balancer_name(mount->target, pool);
        if (mount->in_location || !name ||
            !hap_str_eq_nocase(hap_str(name), hap_str(balancer->name))) {
            continue;
        }
        if (path) {
            return "/";
        }
        path = mount->context;
    }
    size_t n = path ? strlen(path) : 0;
    return n < 2 ? "/" : apr_pstrmemdup(pool, path, path[n - 1] == '/' ? n - 1 : n);
}
