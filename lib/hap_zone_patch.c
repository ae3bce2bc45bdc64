/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the algorithm of RFC 7396 2, on jansson's values. */
#include "hap_zone_patch.h"

#include <stdlib.h>

#include <jansson.h>

/* Any value, and strings with \u0000 in them, are JSON (RFC 8259). */
static json_t *load(hap_str_t text, hap_diag_t *diag)
{
    json_error_t error;
    json_t *value =
        json_loadb(text.p ? text.p : "", text.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (!value) {
        hap_diag_set(diag, error.line > 0 ? error.line : 0, "%s", error.text);
    }
    return value;
}

/*
 * Takes `target`, NULL for none, and borrows `patch`; NULL without memory. jansson reads no more
 * than 2048 values in each other, so that is how deep this goes.
 */
static json_t *merge(json_t *target, json_t *patch)
{
    if (!json_is_object(patch)) {
        json_decref(target);
        return json_incref(patch);
    }
    if (!json_is_object(target)) {
        json_decref(target);
        target = json_object();
    }
    const char *name;
    json_t *change;
    json_object_foreach(patch, name, change)
    {
        if (json_is_null(change)) {
            json_object_del(target, name);
        } else if (json_object_set_new_nocheck(
                       target, name, merge(json_incref(json_object_get(target, name)), change))) {
            json_decref(target);
            return NULL;
        }
    }
    return target;
}

/* As compact as it can be; in its own memory, of which `patched` is a copy. */
static hap_zone_patch_end_t dump(hap_str_t *patched, const json_t *value, apr_pool_t *pool)
{
    const size_t flags = JSON_COMPACT | JSON_ENCODE_ANY;
    size_t n = json_dumpb(value, NULL, 0, flags);
    if (n == 0) {
        return HAP_ZONE_PATCH_NO_MEMORY;
    }
    char *text = apr_palloc(pool, n);
    if (json_dumpb(value, text, n, flags) != n) {
        return HAP_ZONE_PATCH_NO_MEMORY;
    }
    *patched = hap_strn(text, n);
    return HAP_ZONE_PATCH_DONE;
}

hap_zone_patch_end_t hap_zone_patch(hap_str_t *patched, const hap_str_t *value, hap_str_t patch,
                                    hap_diag_t *diag, apr_pool_t *pool)
{
    json_t *change = load(patch, diag);
    if (!change) {
        return HAP_ZONE_PATCH_MALFORMED;
    }
    json_t *target = value ? load(*value, diag) : NULL;
    hap_zone_patch_end_t end = HAP_ZONE_PATCH_NOT_JSON;
    if (target || !value) {
        target = merge(target, change);
        end = target ? dump(patched, target, pool) : HAP_ZONE_PATCH_NO_MEMORY;
    }
    json_decref(target);
    json_decref(change);
    return end;
}
