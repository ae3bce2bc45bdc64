/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the grammar of Cookie, Set-Cookie and path parameters. Does not judge what it finds. */
#include "hap_cookie.h"

#include <apr_strings.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool is_token_char(char c)
{
    return c != '\0' && (is_alnum(c) || strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_cookie_octet(char c)
{
    return c > 0x20 && c < 0x7f && c != '"' && c != ',' && c != ';' && c != '\\';
}

static bool is_path_octet(char c)
{
    return c >= 0x20 && c < 0x7f && c != ';';
}

static bool all(hap_str_t s, bool (*fits)(char))
{
    for (size_t i = 0; i < s.n; i++) {
        if (!fits(s.p[i])) {
            return false;
        }
    }
    return true;
}

bool hap_cookie_name_ok(hap_str_t name)
{
    return name.n > 0 && all(name, is_token_char);
}

bool hap_cookie_value_ok(hap_str_t value)
{
    return all(value, is_cookie_octet);
}

/* --- reading --- */

static bool name_begins_at(hap_str_t s, size_t at)
{
    while (at < s.n && is_blank(s.p[at])) {
        at++;
    }
    size_t start = at;
    while (at < s.n && is_token_char(s.p[at])) {
        at++;
    }
    size_t end = at;
    while (at < s.n && is_blank(s.p[at])) {
        at++;
    }
    return end > start && at < s.n && s.p[at] == '=';
}

/* Index behind which a comma may end the value: a closing quote if there is one before the `;`. */
static size_t quotes_end(hap_str_t s)
{
    size_t open = 0;
    while (open < s.n && is_blank(s.p[open])) {
        open++;
    }
    if (open == s.n || s.p[open] != '"') {
        return 0;
    }
    size_t i = open + 1;
    while (i < s.n && s.p[i] != '"' && s.p[i] != ';') {
        i++;
    }
    return i < s.n && s.p[i] == '"' ? i : 0;
}

/* Where the value that begins `s` ends. Linear over a whole header: what is looked at behind a
 * comma ends at the next one, and a quote that is not closed before the `;` is the last before it.
 */
static size_t value_end(hap_str_t s)
{
    size_t i = quotes_end(s);
    while (i < s.n && s.p[i] != ';' && !(s.p[i] == ',' && name_begins_at(s, i + 1))) {
        i++;
    }
    return i;
}

static hap_str_t unquoted(hap_str_t value)
{
    value = hap_str_trim(value);
    if (value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"') {
        return hap_str_sub(value, 1, value.n - 1);
    }
    return value;
}

static size_t name_end(hap_str_t s)
{
    size_t i = 0;
    while (i < s.n && s.p[i] != '=' && s.p[i] != ';' && s.p[i] != ',') {
        i++;
    }
    return i;
}

bool hap_cookie_next(hap_cookie_t *cookie, hap_str_t *rest)
{
    while (rest->n > 0) {
        size_t end = name_end(*rest);
        hap_str_t name = hap_str_trim(hap_str_sub(*rest, 0, end));
        bool has_value = end < rest->n && rest->p[end] == '=';
        *rest = hap_str_sub(*rest, end + 1, rest->n);
        if (!has_value) {
            continue;
        }
        end = value_end(*rest);
        hap_str_t value = hap_str_sub(*rest, 0, end);
        *rest = hap_str_sub(*rest, end + 1, rest->n);
        if (name.n > 0) {
            *cookie = (hap_cookie_t){name, unquoted(value)};
            return true;
        }
    }
    return false;
}

bool hap_cookie_find(hap_str_t *value, hap_str_t name, hap_str_t *rest)
{
    hap_cookie_t cookie;
    while (hap_cookie_next(&cookie, rest)) {
        if (hap_str_eq(cookie.name, name)) {
            *value = cookie.value;
            return true;
        }
    }
    return false;
}

hap_str_t hap_path_only(hap_str_t target)
{
    size_t query = hap_str_find(target, '?', 0);
    size_t fragment = hap_str_find(target, '#', 0);
    return hap_str_sub(target, 0, query < fragment ? query : fragment);
}

bool hap_path_param_find(hap_str_t *value, hap_str_t name, hap_str_t *rest)
{
    for (size_t i = rest->n; i-- > 0;) {
        if (rest->p[i] != ';') {
            continue;
        }
        hap_str_t param = hap_str_sub(*rest, i + 1, rest->n);
        rest->n = i;
        param.n = hap_str_find(param, '/', 0);
        size_t equals = hap_str_find(param, '=', 0);
        if (equals < param.n && hap_str_eq(hap_str_sub(param, 0, equals), name)) {
            *value = hap_str_sub(param, equals + 1, param.n);
            return true;
        }
    }
    rest->n = 0;
    return false;
}

/* Whether the attribute says that the cookie is over: one of RFC 6265 5.2.1 in 1970, or of 5.2.2.
 */
static bool takes_back(hap_str_t attribute)
{
    size_t eq = hap_str_find(attribute, '=', 0);
    hap_str_t name = hap_str_trim(hap_str_sub(attribute, 0, eq));
    hap_str_t value = hap_str_trim(hap_str_sub(attribute, eq + 1, attribute.n));
    if (hap_str_eq_nocase(name, HAP_STR_LIT("Max-Age"))) {
        return value.n > 0 && (value.p[0] == '-' || hap_str_eq(value, HAP_STR_LIT("0")));
    }
    return hap_str_eq_nocase(name, HAP_STR_LIT("Expires")) && value.n > 0 &&
           memmem(value.p, value.n, "1970", sizeof("1970") - 1) != NULL;
}

bool hap_cookie_is_set(hap_str_t *value, hap_str_t set_cookie)
{
    size_t end = hap_str_find(set_cookie, ';', 0);
    size_t eq = hap_str_find(hap_str_sub(set_cookie, 0, end), '=', 0);
    hap_str_t found = unquoted(hap_str_sub(set_cookie, eq + 1, end));
    for (size_t at = end + 1; at < set_cookie.n; at = end + 1) {
        end = hap_str_find(set_cookie, ';', at);
        if (takes_back(hap_str_sub(set_cookie, at, end))) {
            return false;
        }
    }
    if (found.n > 0) {
        *value = found;
    }
    return found.n > 0;
}

/* --- writing --- */

static const char *fault(const hap_set_cookie_t *cookie)
{
    if (!hap_cookie_name_ok(cookie->name)) {
        return "a cookie's name takes letters, digits and !#$%&'*+-.^_`|~ only";
    }
    if (!hap_cookie_value_ok(cookie->value)) {
        return "a cookie's value takes printable ASCII without blanks, quotes, commas, "
               "semicolons and backslashes";
    }
    if (cookie->name.n + cookie->value.n > HAP_COOKIE_BYTES_MAX) {
        return "a cookie's name and value take at most 4096 bytes together";
    }
    if (cookie->path.n > 0 && cookie->path.p[0] != '/') {
        return "a cookie's path begins with a slash";
    }
    if (!all(cookie->path, is_path_octet)) {
        return "a cookie's path takes printable ASCII without semicolons";
    }
    if (cookie->path.n > HAP_COOKIE_PATH_BYTES_MAX) {
        return "a cookie's path takes at most 1024 bytes";
    }
    return NULL;
}

apr_status_t hap_cookie_set(const char **header, const hap_set_cookie_t *cookie, hap_diag_t *diag,
                            apr_pool_t *pool)
{
    const char *why = fault(cookie);
    if (why) {
        hap_diag_set(diag, 0, "%s", why);
        return APR_EINVAL;
    }
    unsigned attributes = cookie->attributes;
    *header =
        apr_pstrcat(pool, hap_str_dup(cookie->name, pool), "=", hap_str_dup(cookie->value, pool),
                    cookie->path.n ? "; Path=" : "", hap_str_dup(cookie->path, pool),
                    attributes & HAP_COOKIE_HTTP_ONLY ? "; HttpOnly" : "",
                    attributes & HAP_COOKIE_SAME_SITE_LAX ? "; SameSite=Lax" : "",
                    attributes & HAP_COOKIE_SECURE ? "; Secure" : "", NULL);
    return APR_SUCCESS;
}
