/* SPDX-License-Identifier: Apache-2.0 */
/* Owns writing a tag, and reading lists of them. */
#include "hap_zone_etag.h"

#include <inttypes.h>
#include <stdio.h>

const char *hap_zone_etag(char room[HAP_ZONE_ETAG_BYTES], const hap_zone_record_t *record)
{
    snprintf(room, HAP_ZONE_ETAG_BYTES, "\"%" PRIu64 "-%" PRIu64 "-%08" PRIx32 "\"", record->epoch,
             record->version, record->tie);
    return room;
}

/** One tag of a list. Borrows. */
typedef struct tag_t {
    bool weak;
    hap_str_t text; /* with its quotes */
} tag_t;

static hap_str_t skip(hap_str_t rest, size_t n)
{
    return hap_str_sub(rest, n, rest.n);
}

/* etagc: %x21 / %x23-7E / obs-text */
static bool is_tag_char(char c)
{
    return (unsigned char)c > ' ' && c != '"' && c != 0x7f;
}

/* [ W/ ] " *etagc " */
static bool take_tag(tag_t *tag, hap_str_t *rest)
{
    tag->weak = hap_str_starts(*rest, HAP_STR_LIT("W/"));
    *rest = skip(*rest, tag->weak ? 2 : 0);
    size_t end = 1;
    while (end < rest->n && is_tag_char(rest->p[end])) {
        end++;
    }
    if (end >= rest->n || rest->p[0] != '"' || rest->p[end] != '"') {
        return false;
    }
    tag->text = hap_str_sub(*rest, 0, end + 1);
    *rest = skip(*rest, end + 1);
    return true;
}

/* Whether the tag is in the list; empty elements are ignored (RFC 9110 5.6.1.2). */
static hap_zone_holds_t find(hap_str_t list, const char *etag, bool weak_too)
{
    unsigned n = 0;
    bool found = false;
    for (hap_str_t rest = hap_str_trim(list); rest.n > 0;) {
        tag_t tag;
        if (rest.p[0] == ',') {
            rest = hap_str_trim(skip(rest, 1));
            continue;
        }
        if (!take_tag(&tag, &rest)) {
            return HAP_ZONE_HOLDS_MALFORMED;
        }
        rest = hap_str_trim(rest);
        if (rest.n > 0 && rest.p[0] != ',') {
            return HAP_ZONE_HOLDS_MALFORMED;
        }
        n++;
        found |= etag && (weak_too || !tag.weak) && hap_str_eq(tag.text, hap_str(etag));
    }
    if (n == 0) {
        return HAP_ZONE_HOLDS_MALFORMED;
    }
    return found ? HAP_ZONE_HOLDS : HAP_ZONE_HOLDS_NOT;
}

bool hap_zone_is_any(const char *field)
{
    return field && hap_str_eq(hap_str_trim(hap_str(field)), HAP_STR_LIT("*"));
}

hap_zone_holds_t hap_zone_if_match(const char *field, const char *etag)
{
    if (!field) {
        return HAP_ZONE_HOLDS;
    }
    if (hap_zone_is_any(field)) {
        return etag ? HAP_ZONE_HOLDS : HAP_ZONE_HOLDS_NOT;
    }
    return find(hap_str(field), etag, false);
}

hap_zone_holds_t hap_zone_if_none_match(const char *field, const char *etag)
{
    static const hap_zone_holds_t none[] = {
        [HAP_ZONE_HOLDS] = HAP_ZONE_HOLDS_NOT,
        [HAP_ZONE_HOLDS_NOT] = HAP_ZONE_HOLDS,
        [HAP_ZONE_HOLDS_MALFORMED] = HAP_ZONE_HOLDS_MALFORMED,
    };
    if (!field) {
        return HAP_ZONE_HOLDS;
    }
    if (hap_zone_is_any(field)) {
        return etag ? HAP_ZONE_HOLDS_NOT : HAP_ZONE_HOLDS;
    }
    return none[find(hap_str(field), etag, true)];
}
