/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the words of mod_headers, over an array of fields in place of a table.
 *
 * The order is that of httpd's filters: Header always on the table of errors, Header on the
 * answer's own, then both become one, and of that the core makes Vary and Content-Type.
 */
#include "hap_edit.h"

#define VARY         HAP_STR_LIT("Vary")
#define CONTENT_TYPE HAP_STR_LIT("Content-Type")

enum { FIELDS_ROOM = HAP_HTTP1_FIELDS_MAX + HAP_HTTP1_FIELDS_SPARE };

/* --- values ----------------------------------------------------------------------------------- */

/* Puts `s` behind what `value` is so far; that is the last one in the text. */
static bool grow(hap_str_t *value, hap_str_t s, hap_edit_text_t *text)
{
    if (s.n > text->room - text->n) {
        return false;
    }
    if (s.n) {
        memcpy(text->p + text->n, s.p, s.n);
    }
    text->n += s.n;
    value->n += s.n;
    return true;
}

static hap_str_t begin(const hap_edit_text_t *text)
{
    return hap_strn(text->p + text->n, 0);
}

/* "a" and "b" are "a, b". */
static bool join(hap_str_t *value, hap_str_t with, hap_edit_text_t *text)
{
    hap_str_t made = begin(text);
    if (!grow(&made, *value, text) || !grow(&made, HAP_STR_LIT(", "), text) ||
        !grow(&made, with, text)) {
        return false;
    }
    *value = made;
    return true;
}

/* As isspace in the C locale. */
static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Whether one of the list's members is exactly this: mod_headers' idea of a list, with quotes, and
 * with the blanks before a comma as part of the member. */
static bool has_member(hap_str_t list, hap_str_t value)
{
    size_t at = 0;
    while (at < list.n) {
        while (at < list.n && is_space(list.p[at])) {
            at++;
        }
        size_t first = at;
        while (at < list.n && list.p[at] != ',') {
            if (list.p[at++] == '"') {
                at = hap_str_find(list, '"', at) + 1;
            }
        }
        at = at < list.n ? at : list.n;
        if (hap_str_eq(hap_str_sub(list, first, at), value)) {
            return true;
        }
        at++;
    }
    return false;
}

/* --- fields ----------------------------------------------------------------------------------- */

static bool is_it(const hap_field_t *field, hap_str_t name)
{
    return hap_str_eq_nocase(field->name, name);
}

/* Index of the first field of this name at or behind `from`, or fields_n. Hop-by-hop fields of an
 * answer are gone when its fields are changed, those of a request are not. */
static unsigned find(const hap_http1_head_t *head, hap_str_t name, unsigned from, bool hop)
{
    while (from < head->fields_n &&
           !((hop || !head->fields[from].hop) && is_it(&head->fields[from], name))) {
        from++;
    }
    return from;
}

hap_field_t *hap_edit_find(hap_http1_head_t *head, hap_str_t name)
{
    unsigned i = find(head, name, 0, false);
    return i < head->fields_n ? &head->fields[i] : NULL;
}

static void remove_from(hap_http1_head_t *head, hap_str_t name, unsigned from, bool hop)
{
    unsigned kept = from;
    for (unsigned i = from; i < head->fields_n; i++) {
        bool goes = (hop || !head->fields[i].hop) && is_it(&head->fields[i], name);
        if (!goes && kept++ < i) {
            head->fields[kept - 1] = head->fields[i];
        }
    }
    head->fields_n = kept;
}

static hap_field_t made_field(hap_str_t name, hap_str_t value)
{
    return (hap_field_t){
        .name = name, .value = value, .id = hap_http1_field_id(name), .fixed = true};
}

static bool add(hap_http1_head_t *head, hap_str_t name, hap_str_t value)
{
    if (head->fields_n == FIELDS_ROOM) {
        return false;
    }
    head->fields[head->fields_n++] = made_field(name, value);
    return true;
}

/* The lines of one name become one. */
static bool gather(hap_http1_head_t *head, hap_str_t name, unsigned first, hap_edit_text_t *text)
{
    unsigned i = find(head, name, first + 1, true);
    if (i == head->fields_n) {
        return true;
    }
    hap_str_t made = begin(text);
    bool fits = grow(&made, head->fields[first].value, text);
    for (; fits && i < head->fields_n; i = find(head, name, i + 1, true)) {
        fits = grow(&made, HAP_STR_LIT(", "), text) && grow(&made, head->fields[i].value, text);
    }
    head->fields[first].value = made;
    remove_from(head, name, first + 1, true);
    return fits;
}

static bool apply(hap_http1_head_t *head, const hap_edit_t *edit, bool request,
                  hap_edit_text_t *text)
{
    unsigned i = find(head, edit->name, 0, request);
    bool is_there = i < head->fields_n;
    hap_field_t *field = &head->fields[i];
    switch (edit->op) {
    case HAP_EDIT_UNSET:
        remove_from(head, edit->name, i, request);
        return true;
    case HAP_EDIT_ADD:
        return add(head, edit->name, edit->value);
    case HAP_EDIT_SET:
        if (!is_there) {
            return add(head, edit->name, edit->value);
        }
        *field = made_field(field->name, edit->value);
        remove_from(head, edit->name, i + 1, request);
        return true;
    case HAP_EDIT_APPEND:
    case HAP_EDIT_MERGE:
        break;
    }
    if (!is_there) {
        return add(head, edit->name, edit->value);
    }
    if (request && !gather(head, edit->name, i, text)) {
        return false;
    }
    if (edit->op == HAP_EDIT_MERGE && has_member(field->value, edit->value)) {
        return true;
    }
    field->hop = false;
    field->fixed = true;
    return join(&field->value, edit->value, text);
}

static bool apply_all(hap_http1_head_t *head, const hap_edits_t *edits, bool request,
                      hap_edit_text_t *text)
{
    for (unsigned i = 0; i < edits->n; i++) {
        if (!apply(head, &edits->rows[i], request, text)) {
            return false;
        }
    }
    return true;
}

bool hap_edit_one(hap_http1_head_t *head, hap_edit_op_t op, hap_str_t name, hap_str_t value,
                  hap_edit_text_t *text)
{
    const hap_edit_t edit = {op, name, value};
    return apply(head, &edit, false, text);
}

bool hap_edit_length(hap_http1_head_t *head, uint64_t length, hap_edit_text_t *text)
{
    char digits[HAP_STR_UINT_BYTES];
    hap_str_t made = begin(text);
    return grow(&made, hap_str_digits(digits, length), text) &&
           hap_edit_one(head, HAP_EDIT_SET, HAP_STR_LIT("Content-Length"), made, text);
}

bool hap_edit_request(hap_http1_request_t *request, const hap_edit_rules_t *rules,
                      hap_edit_text_t *text)
{
    if (!apply_all(&request->head, &rules->request, true, text)) {
        return false;
    }
    unsigned cookie = find(&request->head, HAP_STR_LIT("Cookie"), 0, false);
    bool is_there = cookie < request->head.fields_n;
    request->cookie = is_there ? request->head.fields[cookie].value : hap_strn("", 0);
    return true;
}

/* --- answers ---------------------------------------------------------------------------------- */

/* The answer's type: the first one, or what the last `set` made of it. */
static hap_str_t type_of(hap_http1_head_t *head, const hap_edit_rules_t *rules)
{
    const hap_field_t *field = hap_edit_find(head, CONTENT_TYPE);
    hap_str_t type = field ? field->value : hap_strn("", 0);
    const hap_edits_t *const lists[] = {&rules->always, &rules->answer};
    for (unsigned list = 0; list < sizeof(lists) / sizeof(lists[0]); list++) {
        for (unsigned i = 0; i < lists[list]->n; i++) {
            const hap_edit_t *edit = &lists[list]->rows[i];
            if (edit->op == HAP_EDIT_SET && hap_str_eq_nocase(edit->name, CONTENT_TYPE)) {
                type = edit->value;
            }
        }
    }
    return type;
}

/* Header always begins with a table that is empty, which then stands before the answer's own. */
static bool put_always(hap_http1_head_t *head, const hap_edits_t *edits, hap_edit_text_t *text)
{
    unsigned own_n = head->fields_n;
    if (edits->n == 0) {
        return true;
    }
    if (own_n + edits->n > FIELDS_ROOM) {
        return false;
    }
    /* Each edit makes one field at most. */
    hap_field_t *own = &head->fields[edits->n];
    memmove(own, head->fields, own_n * sizeof(*own));
    head->fields_n = 0;
    if (!apply_all(head, edits, false, text)) {
        return false;
    }
    memmove(&head->fields[head->fields_n], own, own_n * sizeof(*own));
    head->fields_n += own_n;
    return true;
}

static bool contains_nocase(hap_str_t s, hap_str_t part)
{
    for (size_t i = 0; i + part.n <= s.n; i++) {
        if (hap_str_eq_nocase(hap_str_sub(s, i, i + part.n), part)) {
            return true;
        }
    }
    return false;
}

/* AddDefaultCharset looks for its two types anywhere in the value, as the core does. */
static bool wants_charset(hap_str_t type)
{
    return !contains_nocase(type, HAP_STR_LIT("charset=")) &&
           (contains_nocase(type, HAP_STR_LIT("text/plain")) ||
            contains_nocase(type, HAP_STR_LIT("text/html")));
}

static bool set_type(hap_http1_answer_t *answer, hap_str_t type, hap_str_t charset,
                     hap_edit_text_t *text)
{
    enum { NO_CONTENT = 204, NOT_MODIFIED = 304 };
    if (type.n == 0 || answer->status == NO_CONTENT || answer->status == NOT_MODIFIED) {
        return true;
    }
    if (charset.n && wants_charset(type)) {
        hap_str_t made = begin(text);
        if (!grow(&made, type, text) || !grow(&made, HAP_STR_LIT("; charset="), text) ||
            !grow(&made, charset, text)) {
            return false;
        }
        type = made;
    }
    return hap_edit_one(&answer->head, HAP_EDIT_SET, CONTENT_TYPE, type, text);
}

/* The next name in a list of them, from *at on; empty at its end. */
static hap_str_t next_name(hap_str_t list, size_t *at)
{
    while (*at < list.n && (list.p[*at] == ',' || is_space(list.p[*at]))) {
        (*at)++;
    }
    size_t first = *at;
    while (*at < list.n && list.p[*at] != ',' && !is_space(list.p[*at])) {
        (*at)++;
    }
    return hap_str_sub(list, first, *at);
}

static bool has_name(hap_str_t list, hap_str_t name)
{
    size_t at = 0;
    for (;;) {
        hap_str_t one = next_name(list, &at);
        if (one.n == 0) {
            return false;
        }
        if (hap_str_eq_nocase(one, name)) {
            return true;
        }
    }
}

/* Its lines become one, with each name once. */
static bool unite_vary(hap_http1_head_t *head, hap_edit_text_t *text)
{
    unsigned i = find(head, VARY, 0, false);
    if (i == head->fields_n) {
        return true;
    }
    hap_str_t made = begin(text);
    for (; i < head->fields_n; i = find(head, VARY, i + 1, false)) {
        hap_str_t list = head->fields[i].value;
        size_t at = 0;
        for (hap_str_t name = next_name(list, &at); name.n; name = next_name(list, &at)) {
            if (has_name(made, name)) {
                continue;
            }
            if ((made.n && !grow(&made, HAP_STR_LIT(","), text)) || !grow(&made, name, text)) {
                return false;
            }
        }
    }
    return made.n == 0 || hap_edit_one(head, HAP_EDIT_SET, VARY, made, text);
}

bool hap_edit_answer(hap_http1_answer_t *answer, const hap_edit_rules_t *rules,
                     hap_edit_text_t *text)
{
    hap_http1_head_t *head = &answer->head;
    hap_str_t type = type_of(head, rules);
    return apply_all(head, &rules->answer, false, text) && put_always(head, &rules->always, text) &&
           unite_vary(head, text) && set_type(answer, type, rules->charset, text);
}
