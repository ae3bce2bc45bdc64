/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns mod_deflate's decisions, its reading of lists included: that is not the one of RFC 9110, and
 * who changed it would give other answers than httpd.
 */
#include "hap_deflate.h"

#define CONTENT_ENCODING HAP_STR_LIT("Content-Encoding")

/* As isspace in the C locale. */
static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static size_t skip_space(hap_str_t s, size_t at)
{
    while (at < s.n && is_space(s.p[at])) {
        at++;
    }
    return at;
}

/* ap_get_token: up to a comma, a semicolon or, unless `white`, a blank; quotes hide them. */
static hap_str_t take_token(hap_str_t s, size_t *at, bool white)
{
    size_t first = skip_space(s, *at);
    size_t i = first;
    while (i < s.n && (white || !is_space(s.p[i])) && s.p[i] != ';' && s.p[i] != ',') {
        if (s.p[i++] == '"') {
            i = hap_str_find(s, '"', i) + 1;
        }
    }
    i = i < s.n ? i : s.n;
    *at = skip_space(s, i);
    return hap_str_sub(s, first, i);
}

/* --- Accept-Encoding -------------------------------------------------------------------------- */

/* "q=0", "q=0.", "q=0.0", "q=0.00" and "q=0.000". */
static bool is_refusal(hap_str_t q)
{
    return q.n >= 3 && hap_str_starts(HAP_STR_LIT("q=0.000"), q);
}

typedef enum found_t { FOUND_NOTHING, FOUND_YES, FOUND_NO } found_t;

static found_t look_for_gzip(hap_str_t line)
{
    size_t at = 0;
    hap_str_t token = take_token(line, &at, false);
    while (token.n && !hap_str_eq_nocase(token, HAP_STR_LIT("gzip"))) {
        while (at < line.n && line.p[at] == ';') {
            at++;
            take_token(line, &at, true);
        }
        if (at < line.n && line.p[at] == ',') {
            at++;
        }
        if (at >= line.n) {
            return FOUND_NOTHING;
        }
        token = take_token(line, &at, false);
    }
    if (!token.n) {
        return FOUND_NO;
    }
    while (at < line.n && line.p[at] == ';') {
        at++;
    }
    return is_refusal(take_token(line, &at, true)) ? FOUND_NO : FOUND_YES;
}

/* Several lines are one list. */
bool hap_deflate_accepted(const hap_http1_request_t *request)
{
    found_t found = FOUND_NOTHING;
    for (unsigned i = 0; i < request->head.fields_n && found == FOUND_NOTHING; i++) {
        const hap_field_t *field = &request->head.fields[i];
        if (hap_http1_is(field, HAP_STR_LIT("Accept-Encoding"))) {
            found = look_for_gzip(field->value);
        }
    }
    return found == FOUND_YES;
}

/* --- answers ---------------------------------------------------------------------------------- */

static const hap_field_t *find(const hap_http1_answer_t *answer, hap_str_t name)
{
    for (unsigned i = 0; i < answer->head.fields_n; i++) {
        const hap_field_t *field = &answer->head.fields[i];
        if (!field->hop && hap_http1_is(field, name)) {
            return field;
        }
    }
    return NULL;
}

/* Up to its parameters, and by case: mod_filter compares so. */
static bool has_type(const hap_http1_answer_t *answer, const hap_deflate_t *how)
{
    const hap_field_t *field = find(answer, HAP_STR_LIT("Content-Type"));
    size_t n = 0;
    while (field && n < field->value.n && !memchr("; \t", field->value.p[n], 3)) {
        n++;
    }
    for (unsigned i = 0; field && i < how->types_n; i++) {
        if (hap_str_eq(how->types[i], hap_str_sub(field->value, 0, n))) {
            return true;
        }
    }
    return false;
}

static bool is_encoded(const hap_http1_answer_t *answer)
{
    static const char *const plain[] = {"identity", "7bit", "8bit", "binary"};
    const hap_field_t *field = find(answer, CONTENT_ENCODING);
    for (size_t at = 0; field && at < field->value.n; at++) {
        hap_str_t token = take_token(field->value, &at, false);
        bool is_plain = false;
        for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
            is_plain = is_plain || hap_str_eq(token, hap_str(plain[i]));
        }
        if (!is_plain) {
            return token.n > 0;
        }
    }
    return false;
}

bool hap_deflate_applies(const hap_http1_answer_t *answer, const hap_deflate_t *how)
{
    enum { OK = 200 };
    return answer->status == OK && has_type(answer, how) &&
           !find(answer, HAP_STR_LIT("Content-Range")) && !is_encoded(answer);
}

static bool change_etag(hap_http1_head_t *head, hap_deflate_etag_t how, hap_edit_text_t *text)
{
    static const char suffix[] = "-gzip\"";
    const hap_str_t name = HAP_STR_LIT("ETag");
    const hap_field_t *field = hap_edit_find(head, name);
    if (!field || how == HAP_DEFLATE_ETAG_KEEP) {
        return true;
    }
    if (how == HAP_DEFLATE_ETAG_REMOVE) {
        return hap_edit_one(head, HAP_EDIT_UNSET, name, hap_strn("", 0), text);
    }
    hap_str_t tag = field->value;
    if (tag.n <= 2 || tag.p[tag.n - 1] != '"') {
        return true;
    }
    size_t n = tag.n - 1 + sizeof(suffix) - 1;
    if (n > text->room - text->n) {
        return false;
    }
    char *made = text->p + text->n;
    memcpy(made, tag.p, tag.n - 1);
    memcpy(made + tag.n - 1, suffix, sizeof(suffix) - 1);
    text->n += n;
    return hap_edit_one(head, HAP_EDIT_SET, name, hap_strn(made, n), text);
}

bool hap_deflate_head(hap_http1_answer_t *answer, const hap_deflate_t *how, bool compressed,
                      hap_edit_text_t *text)
{
    const hap_str_t none = hap_strn("", 0);
    hap_http1_head_t *head = &answer->head;
    if (!hap_edit_one(head, HAP_EDIT_APPEND, HAP_STR_LIT("Vary"), HAP_STR_LIT("Accept-Encoding"),
                      text)) {
        return false;
    }
    if (!compressed) {
        return true;
    }
    const hap_field_t *encoding = hap_edit_find(head, CONTENT_ENCODING);
    bool stays = encoding && !hap_str_eq_nocase(encoding->value, HAP_STR_LIT("identity"));
    return hap_edit_one(head, stays ? HAP_EDIT_APPEND : HAP_EDIT_SET, CONTENT_ENCODING,
                        HAP_STR_LIT("gzip"), text) &&
           hap_edit_one(head, HAP_EDIT_UNSET, HAP_STR_LIT("Content-Length"), none, text) &&
           hap_edit_one(head, HAP_EDIT_UNSET, HAP_STR_LIT("Content-MD5"), none, text) &&
           change_etag(head, how->etag, text);
}
