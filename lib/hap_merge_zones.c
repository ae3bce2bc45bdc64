/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the values of a merged file's HAZone lines. Does not know applications. */
#include "hap_merge_zones.h"

#include <apr_strings.h>

#include "hap_zone_spec.h"

static const char store_default[] = "shm";
static const char key_default[] = "zone.key";

/* It stands in a line without quotes, in which httpd looks for ${NAME}. */
static apr_status_t check_key(hap_str_t key, hap_diag_t *diag, apr_pool_t *pool)
{
    bool good =
        key.n > 0 && key.n <= HAP_MERGE_KEY_BYTES_MAX && !hap_str_eq(key, HAP_STR_LIT("none"));
    for (size_t i = 0; good && i < key.n; i++) {
        good = key.p[i] > ' ' && key.p[i] <= '~' && !strchr("\"'\\${}", key.p[i]);
    }
    if (!good) {
        hap_diag_set(diag, 0,
                     "-key: \"%s\" is not the name of a file without blanks, quotes, \\, $, { and "
                     "}, of at most %d bytes",
                     hap_str_show(key, pool), HAP_MERGE_KEY_BYTES_MAX);
    }
    return good ? APR_SUCCESS : APR_EINVAL;
}

static apr_status_t of_option(const char *option, hap_diag_t *diag)
{
    const hap_diag_t found = *diag;
    hap_diag_set(diag, 0, "%s: %s", option, found.why);
    return APR_EINVAL;
}

apr_status_t hap_merge_zones_make(hap_merge_zones_t *zones, hap_str_t kinds, hap_str_t store,
                                  hap_str_t key, hap_diag_t *diag, apr_pool_t *pool)
{
    hap_zone_spec_t spec;
    hap_merge_zones_t made = {.kinds = 0};
    hap_str_t text = store.n ? store : HAP_STR_LIT(store_default);
    if (hap_zone_kinds_parse(&made.kinds, kinds, diag) != APR_SUCCESS) {
        return of_option("-zones", diag);
    }
    if (hap_zone_spec_parse(&spec, text, diag, pool) != APR_SUCCESS) {
        return of_option("-store", diag);
    }
    if (!key.n && spec.kind == HAP_ZONE_MEMCACHED) {
        key = HAP_STR_LIT(key_default);
    }
    if (key.n && check_key(key, diag, pool) != APR_SUCCESS) {
        return APR_EINVAL;
    }
    bool is_default = spec.kind == HAP_ZONE_SHM && spec.shm_bytes == HAP_ZONE_SHM_BYTES;
    made.store = is_default ? store_default : hap_zone_spec_text(&spec, pool);
    made.key = key.n ? hap_str_dup(key, pool) : NULL;
    *zones = made;
    return APR_SUCCESS;
}

const char *hap_merge_zones_text(const hap_merge_zones_t *zones, apr_pool_t *pool)
{
    if (!zones->kinds) {
        return NULL;
    }
    return apr_pstrcat(pool, "zone=", hap_zone_kinds_text(zones->kinds), " store=", zones->store,
                       zones->key ? " key=" : NULL, zones->key, NULL);
}

/* The value of KEY= at the front of `rest`, up to a blank; empty if it is another one. */
static hap_str_t take(hap_str_t *rest, hap_str_t key)
{
    if (!hap_str_starts(*rest, key)) {
        return (hap_str_t){"", 0};
    }
    size_t end = hap_str_find(*rest, ' ', 0);
    hap_str_t value = hap_str_sub(*rest, key.n, end);
    *rest = hap_str_sub(*rest, end + 1, rest->n);
    return value;
}

bool hap_merge_zones_parse(hap_merge_zones_t *zones, hap_str_t text, apr_pool_t *pool)
{
    hap_diag_t unused;
    hap_str_t kinds = take(&text, HAP_STR_LIT("zone="));
    hap_str_t store = take(&text, HAP_STR_LIT("store="));
    hap_str_t key = take(&text, HAP_STR_LIT("key="));
    return hap_merge_zones_make(zones, kinds, store, key, &unused, pool) == APR_SUCCESS;
}
