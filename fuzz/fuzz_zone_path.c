/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target of what a request for a zone's value says. Input: a line with the target, one with
 * the path that httpd has made of it, one with a list of tags, and a merge patch. Ids that were
 * read lie within their limits and lead, written again, to the same address; a tag put in front of
 * a good list is in it; what a patch makes is changed no more by the same patch.
 */
#include <stdio.h>

#include <apr_strings.h>

#include "fuzz.h"
#include "hap_zone_etag.h"
#include "hap_zone_patch.h"
#include "hap_zone_path.h"

enum { ENCODED_MAX = 3 * HAP_ZONE_SID_BYTES_MAX };

static void check_id(hap_str_t id)
{
    must(id.n <= HAP_ZONE_SID_BYTES_MAX);
    for (size_t i = 0; i < id.n; i++) {
        must(id.p[i] != '\0');
    }
}

/* Each byte encoded. */
static size_t write_id(char *out, hap_str_t id)
{
    size_t n = 0;
    for (size_t i = 0; i < id.n; i++) {
        n += (size_t)snprintf(out + n, 4, "%%%02X", (unsigned char)id.p[i]);
    }
    return n;
}

static void check_path(hap_str_t target, hap_str_t uri)
{
    static hap_zone_path_t path, again;
    static char written[2 * ENCODED_MAX + 16];
    static char plain[2 * HAP_ZONE_SID_BYTES_MAX + 16];
    if (hap_zone_path_read(&path, target, uri) != HAP_ZONE_PATH_VALUE) {
        return;
    }
    check_id(path.sid);
    check_id(path.key);
    must(path.sid.n > 0 && (path.zone == HAP_ZONE_USER || path.zone == HAP_ZONE_STORAGE));
    const char *zone = hap_zone_kinds_text(path.zone);
    size_t n = (size_t)snprintf(written, sizeof(written), "/%s/", zone);
    n += write_id(written + n, path.sid);
    n += path.key.n ? (size_t)snprintf(written + n, 2, "/") : 0;
    n += write_id(written + n, path.key);
    int plain_n = snprintf(plain, sizeof(plain), "/%s/%.*s%s%.*s", zone, HAP_STR_ARG(path.sid),
                           path.key.n ? "/" : "", HAP_STR_ARG(path.key));
    must(hap_zone_path_read(&again, hap_strn(written, n), hap_strn(plain, (size_t)plain_n)) ==
         HAP_ZONE_PATH_VALUE);
    must(again.zone == path.zone && hap_str_eq(again.sid, path.sid) &&
         hap_str_eq(again.key, path.key));
}

static void check_tags(hap_str_t list, apr_pool_t *pool)
{
    static const char tag[] = "\"3-18\"";
    const char *text = hap_str_dup(list, pool);
    hap_zone_holds_t match = hap_zone_if_match(text, tag);
    hap_zone_holds_t none = hap_zone_if_none_match(text, tag);
    must((match == HAP_ZONE_HOLDS_MALFORMED) == (none == HAP_ZONE_HOLDS_MALFORMED));
    must(match != HAP_ZONE_HOLDS || none == HAP_ZONE_HOLDS_NOT);
    if (match == HAP_ZONE_HOLDS_MALFORMED || hap_zone_is_any(text)) {
        return;
    }
    char *more = apr_pstrcat(pool, tag, ",", text, NULL);
    must(hap_zone_if_match(more, tag) == HAP_ZONE_HOLDS);
    must(hap_zone_if_none_match(more, tag) == HAP_ZONE_HOLDS_NOT);
}

static void check_patch(hap_str_t patch, apr_pool_t *pool)
{
    static const hap_str_t value = {"{\"a\":{\"b\":1},\"c\":[2]}", 21};
    hap_str_t once, twice;
    hap_diag_t diag;
    hap_zone_patch_end_t end = hap_zone_patch(&once, &value, patch, &diag, pool);
    must(end == HAP_ZONE_PATCH_DONE || end == HAP_ZONE_PATCH_MALFORMED);
    if (end == HAP_ZONE_PATCH_DONE) {
        must(hap_zone_patch(&twice, &once, patch, &diag, pool) == HAP_ZONE_PATCH_DONE);
        must(hap_str_eq(once, twice));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *pool = fuzz_pool();
    hap_str_t rest = fuzz_text(data, size);
    hap_str_t target = fuzz_line(&rest);
    hap_str_t uri = fuzz_line(&rest);
    hap_str_t tags = fuzz_line(&rest);
    check_path(target, uri);
    check_tags(tags, pool);
    check_patch(rest, pool);
    apr_pool_destroy(pool);
    return 0;
}
