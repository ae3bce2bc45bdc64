/* SPDX-License-Identifier: Apache-2.0 */
/* Owns cutting a target into the parts of an address, and percent-decoding (RFC 3986 2.1). */
#include "hap_zone_path.h"

/* --- decoding --------------------------------------------------------------------------------- */

static int hex(char c)
{
    char low = (char)(c | 0x20);
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

/* The byte at `at`, and how many characters it is written with; 0: it is malformed. */
static size_t decode(char *byte, hap_str_t text, size_t at)
{
    enum { ENCODED_CHARS = 3 };
    if (text.p[at] != '%') {
        *byte = text.p[at];
        return 1;
    }
    if (text.n - at < ENCODED_CHARS) {
        return 0;
    }
    int high = hex(text.p[at + 1]);
    int low = hex(text.p[at + 2]);
    *byte = (char)(high * 16 + low);
    return high < 0 || low < 0 ? 0 : ENCODED_CHARS;
}

/* An id: 1 to HAP_ZONE_SID_BYTES_MAX bytes and no NUL. */
static bool read_id(hap_str_t *id, char *room, hap_str_t segment)
{
    size_t n = 0;
    size_t took = 0;
    for (size_t at = 0; at < segment.n; at += took) {
        char byte;
        took = decode(&byte, segment, at);
        if (took == 0 || byte == '\0' || n == HAP_ZONE_SID_BYTES_MAX) {
            return false;
        }
        room[n++] = byte;
    }
    *id = hap_strn(room, n);
    return n > 0;
}

/*
 * Whoever decides by `uri` who may do what must not decide about another value than the one that is
 * served: segments with dots, or a path that was written anew, make them differ.
 */
static bool is_same(hap_str_t path, hap_str_t uri)
{
    size_t in_uri = 0;
    size_t took = 0;
    for (size_t at = 0; at < path.n; at += took) {
        char byte;
        took = decode(&byte, path, at);
        if (took == 0) {
            return false;
        }
        hap_str_t rest = hap_str_sub(uri, in_uri, uri.n);
        bool kept = byte == '/' && hap_str_starts(rest, hap_str_sub(path, at, at + took));
        if (!kept && (rest.n == 0 || rest.p[0] != byte)) {
            return false;
        }
        in_uri += kept ? took : 1;
    }
    return in_uri == uri.n;
}

/* --- cutting ---------------------------------------------------------------------------------- */

/* Its path: without what absolute form begins with (RFC 9112 3.2.2), and without the query. */
static hap_str_t path_of(hap_str_t target)
{
    size_t begin = 0;
    if (target.n > 0 && target.p[0] != '/') {
        size_t scheme = hap_str_find(target, ':', 0);
        begin = hap_str_find(target, '/', scheme + sizeof("//"));
    }
    return hap_str_sub(target, begin, hap_str_find(target, '?', begin));
}

/* Cuts the first segment, and the slash behind it, off `rest`. */
static hap_str_t cut(hap_str_t *rest)
{
    size_t slash = hap_str_find(*rest, '/', 0);
    hap_str_t segment = hap_str_sub(*rest, 0, slash);
    *rest = hap_str_sub(*rest, slash + 1, rest->n);
    return segment;
}

static unsigned zone_of(hap_str_t segment)
{
    if (hap_str_eq(segment, HAP_STR_LIT("USER"))) {
        return HAP_ZONE_USER;
    }
    return hap_str_eq(segment, HAP_STR_LIT("STORAGE")) ? HAP_ZONE_STORAGE : 0;
}

static hap_zone_path_end_t read_value(hap_zone_path_t *path, unsigned zone, hap_str_t rest)
{
    size_t slash = hap_str_find(rest, '/', 0);
    bool has_key = slash < rest.n;
    hap_str_t sid = hap_str_sub(rest, 0, slash);
    hap_str_t key = hap_str_sub(rest, slash + 1, rest.n);
    if (sid.n == 0 || has_key != (key.n > 0) || hap_str_find(key, '/', 0) < key.n) {
        return HAP_ZONE_PATH_NONE;
    }
    path->zone = zone;
    path->key = hap_strn(NULL, 0);
    bool read = read_id(&path->sid, path->room, sid) &&
                (!has_key || read_id(&path->key, path->room + HAP_ZONE_SID_BYTES_MAX, key));
    return read ? HAP_ZONE_PATH_VALUE : HAP_ZONE_PATH_MALFORMED;
}

hap_zone_path_end_t hap_zone_path_read(hap_zone_path_t *path, hap_str_t target, hap_str_t uri)
{
    hap_str_t whole = path_of(target);
    if (!is_same(whole, uri)) {
        return HAP_ZONE_PATH_MALFORMED;
    }
    for (hap_str_t rest = whole; rest.n > 0;) {
        hap_str_t segment = cut(&rest);
        unsigned zone = zone_of(segment);
        if (zone) {
            return read_value(path, zone, rest);
        }
    }
    bool at_slash = whole.n > 0 && whole.p[whole.n - 1] == '/';
    return at_slash ? HAP_ZONE_PATH_STATUS : HAP_ZONE_PATH_NONE;
}
