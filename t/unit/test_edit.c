/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hap_edit. */
#include "unit.h"

#include <apr_strings.h>

#include "hap_edit.h"

enum { EDITS_MAX = 80, TEXT_BYTES = 2048 };

static char bytes[TEXT_BYTES];
static hap_edit_t rows[EDITS_MAX];

/* "set X=y; !unset Z": those with "!" if `always`, else the others. */
static hap_edits_t edits(const char *text, bool always, hap_edit_t *at)
{
    static const char *const ops[] = {"set ", "append ", "add ", "unset ", "merge "};
    hap_str_t rest = hap_str(text);
    hap_edits_t list = {at, 0};
    while (rest.n) {
        size_t end = hap_str_find(rest, ';', 0);
        hap_str_t one = hap_str_trim(hap_str_sub(rest, 0, end));
        rest = hap_str_sub(rest, end + 1, rest.n);
        bool marked = one.n && one.p[0] == '!';
        one = hap_str_sub(one, marked ? 1 : 0, one.n);
        for (unsigned op = 0; op < sizeof(ops) / sizeof(ops[0]); op++) {
            if (marked == always && hap_str_starts(one, hap_str(ops[op]))) {
                hap_str_t text_ = hap_str_sub(one, strlen(ops[op]), one.n);
                size_t eq = hap_str_find(text_, '=', 0);
                at[list.n++] = (hap_edit_t){(hap_edit_op_t)op, hap_str_sub(text_, 0, eq),
                                            hap_str_sub(text_, eq + 1, text_.n)};
            }
        }
    }
    return list;
}

static const char *fields_of(const hap_http1_head_t *head)
{
    const char *text = "";
    for (unsigned i = 0; i < head->fields_n; i++) {
        const hap_field_t *field = &head->fields[i];
        text = apr_psprintf(unit_pool, "%s%s%.*s=%.*s", text, i ? "; " : "",
                            HAP_STR_ARG(field->name), HAP_STR_ARG(field->value));
    }
    return text;
}

/* Fields as lines, from "A=b; C=d". */
static const char *lines(const char *text)
{
    const char *head = "";
    hap_str_t rest = hap_str(text);
    while (rest.n) {
        size_t end = hap_str_find(rest, ';', 0);
        hap_str_t one = hap_str_trim(hap_str_sub(rest, 0, end));
        size_t eq = hap_str_find(one, '=', 0);
        rest = hap_str_sub(rest, end + 1, rest.n);
        head =
            apr_psprintf(unit_pool, "%s%.*s: %.*s\r\n", head, HAP_STR_ARG(hap_str_sub(one, 0, eq)),
                         HAP_STR_ARG(hap_str_sub(one, eq + 1, one.n)));
    }
    return head;
}

static const char *answer_of(unsigned status, const char *fields, const char *how,
                             const char *charset)
{
    static hap_http1_answer_t answer;
    char *head = apr_psprintf(unit_pool, "HTTP/1.1 %u OK\r\n%s\r\n", status, lines(fields));
    hap_edit_text_t text = {bytes, 0, sizeof(bytes)};
    hap_edit_rules_t rules = {.charset = hap_str(charset)};
    rules.answer = edits(how, false, rows);
    rules.always = edits(how, true, rows + rules.answer.n);
    if (hap_http1_answer(&answer, head, strlen(head), false) != HAP_HTTP1_DONE) {
        return answer.head.why;
    }
    return hap_edit_answer(&answer, &rules, &text) ? fields_of(&answer.head) : "no room";
}

static hap_http1_request_t request;

static const char *request_of(const char *fields, const char *how)
{
    static const hap_http1_limits_t limits = {SIZE_MAX, SIZE_MAX, HAP_HTTP1_FIELDS_MAX};
    const char *head =
        apr_psprintf(unit_pool, "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", lines(fields));
    hap_edit_text_t text = {bytes, 0, sizeof(bytes)};
    hap_edit_rules_t rules = {.request = edits(how, false, rows)};
    if (hap_http1_request(&request, head, strlen(head), &limits) != HAP_HTTP1_DONE) {
        return request.head.why;
    }
    return hap_edit_request(&request, &rules, &text) ? fields_of(&request.head) : "no room";
}

/* What mod_headers makes of these tables. */
static void header_edits_answers_as_mod_headers(void)
{
    static const struct {
        const char *fields, *how, *want;
    } cases[] = {
        {"A=1; B=2", "set A=x", "A=x; B=2"},
        {"A=1; B=2", "set C=x", "A=1; B=2; C=x"},
        {"A=1; B=2; a=3", "set A=x", "A=x; B=2"},
        {"A=1; B=2; A=3", "unset a", "B=2"},
        {"A=1", "unset C", "A=1"},
        {"A=1", "add A=2", "A=1; A=2"},
        {"A=1", "append A=2", "A=1, 2"},
        {"A=1; A=2", "append A=3", "A=1, 3; A=2"},
        {"B=1", "append A=3", "B=1; A=3"},
        {"B=1", "merge A=3", "B=1; A=3"},
        {"A=1, 3", "merge A=3", "A=1, 3"},
        {"A=1,3 ", "merge A=3", "A=1,3"},
        {"A=3 , 1", "merge A=3", "A=3 , 1, 3"},
        {"A=1, 33", "merge A=3", "A=1, 33, 3"},
        {"A=1; A=3", "merge A=3", "A=1, 3; A=3"},
        {"A=\"x, 3\"", "merge A=3", "A=\"x, 3\", 3"},
        {"A=\"x, 3", "merge A=3", "A=\"x, 3, 3"},
        {"A=x", "merge A=X", "A=x, X"},
        {"A=1", "set A=", "A="},
        {"A=1", "unset A; set A=2; append A=3; add A=4", "A=2, 3; A=4"},
        {"A=1; A=2; B=3; A=4", "set A=9", "A=9; B=3"},
        {"Connection=A; A=1", "append A=2", "Connection=A; A=1; A=2"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        UNIT_STR_EQ(answer_of(200, cases[i].fields, cases[i].how, NULL), cases[i].want);
    }
}

static void header_always_is_a_table_of_its_own(void)
{
    UNIT_STR_EQ(answer_of(200, "A=1; B=2", "!set A=x", NULL), "A=x; A=1; B=2");
    UNIT_STR_EQ(answer_of(200, "A=1; B=2", "!unset A", NULL), "A=1; B=2");
    UNIT_STR_EQ(answer_of(200, "A=1", "!append A=x; !append A=y", NULL), "A=x, y; A=1");
    UNIT_STR_EQ(answer_of(200, "A=1", "!add A=x; !add A=y; set A=2", NULL), "A=x; A=y; A=2");
    UNIT_STR_EQ(answer_of(200, "A=1", "!set B=x; unset B", NULL), "B=x; A=1");
    UNIT_STR_EQ(answer_of(200, "", "!set B=x; !unset B", NULL), "");
}

static void content_type_is_what_set_made_of_it(void)
{
    const char *type = "Content-Type=text/css; A=1";
    UNIT_STR_EQ(answer_of(200, type, "set Content-Type=a/b", NULL), "Content-Type=a/b; A=1");
    UNIT_STR_EQ(answer_of(200, type, "append Content-Type=x", NULL), type);
    UNIT_STR_EQ(answer_of(200, type, "add Content-Type=x", NULL), type);
    UNIT_STR_EQ(answer_of(200, type, "!set Content-Type=a/b", NULL), "Content-Type=a/b; A=1");
    UNIT_STR_EQ(answer_of(200, type, "!set Content-Type=a/b; set Content-Type=c/d", NULL),
                "Content-Type=c/d; A=1");
    UNIT_STR_EQ(answer_of(304, type, "unset Content-Type", NULL), "A=1");
    UNIT_STR_EQ(answer_of(304, type, "append Content-Type=x", NULL),
                "Content-Type=text/css, x; A=1");
    UNIT_STR_EQ(answer_of(204, "A=1", "add Content-Type=x", NULL), "A=1; Content-Type=x");
    UNIT_STR_EQ(answer_of(200, "Content-Type=a/b; Content-Type=c/d", "", NULL), "Content-Type=a/b");
}

static void the_default_charset_is_for_plain_and_html_without_one(void)
{
    static const struct {
        const char *type, *want;
    } cases[] = {
        {"text/html", "text/html; charset=utf-8"},
        {"Text/Plain", "Text/Plain; charset=utf-8"},
        {"text/html,x=y", "text/html,x=y; charset=utf-8"},
        {"text/html,Charset=x", "text/html,Charset=x"},
        {"text/css", "text/css"},
        {"text/htm", "text/htm"},
        {"x-text/html5", "x-text/html5; charset=utf-8"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *field = apr_pstrcat(unit_pool, "Content-Type=", cases[i].type, NULL);
        UNIT_STR_EQ(answer_of(404, field, "", "utf-8"),
                    apr_pstrcat(unit_pool, "Content-Type=", cases[i].want, NULL));
    }
    UNIT_STR_EQ(answer_of(200, "A=1", "", "utf-8"), "A=1");
    UNIT_STR_EQ(answer_of(304, "Content-Type=text/html", "", "utf-8"), "Content-Type=text/html");
    UNIT_STR_EQ(answer_of(200, "Content-Type=a/b", "set Content-Type=text/html", "utf-8"),
                "Content-Type=text/html; charset=utf-8");
}

static void vary_is_one_line_with_each_name_once(void)
{
    UNIT_STR_EQ(answer_of(200, "Vary=A, B; X=1; vary= b,C a", "", NULL), "Vary=A,B,C; X=1");
    UNIT_STR_EQ(answer_of(200, "Vary=A", "!set Vary=B; append Vary=a", NULL), "Vary=B,A");
    UNIT_STR_EQ(answer_of(200, "Vary=", "", NULL), "Vary=");
}

static void requests_are_lists_to_requestheader(void)
{
    UNIT_STR_EQ(request_of("A=1; A=2; B=3", "append A=4"), "Host=a; A=1, 2, 4; B=3");
    UNIT_STR_EQ(request_of("A=1; A=4", "merge A=4"), "Host=a; A=1, 4");
    UNIT_STR_EQ(request_of("A=1; A=2", "set A=4"), "Host=a; A=4");
    UNIT_STR_EQ(request_of("A=1; A=2", "unset A; add B=c"), "Host=a; B=c");
    UNIT_STR_EQ(request_of("Connection=A; A=1", "append A=2"), "Host=a; Connection=A; A=1, 2");
    CU_ASSERT_FALSE(request.head.fields[2].hop);
    request_of("X-Forwarded-For=1", "set X-Forwarded-For=2");
    CU_ASSERT_EQUAL(request.head.fields[1].id, HAP_FIELD_FORWARDED_FOR);
    request_of("Cookie=a", "unset Cookie");
    CU_ASSERT_EQUAL(request.cookie.n, 0);
    request_of("A=1", "set Cookie=b");
    CU_ASSERT_TRUE(hap_str_eq(request.cookie, HAP_STR_LIT("b")));
}

static void what_does_not_fit_is_said(void)
{
    char *long_value = apr_pcalloc(unit_pool, 1200);
    memset(long_value, 'x', 1199);
    const char *field = apr_pstrcat(unit_pool, "A=", long_value, NULL);
    UNIT_STR_EQ(request_of(field, "append A=1; append A=2"), "no room");
    UNIT_STR_EQ(answer_of(200, field, "append A=1; append A=2", NULL), "no room");
    const char *many = "";
    const char *full = "";
    for (int i = 0; i < HAP_HTTP1_FIELDS_SPARE + 1; i++) {
        many = apr_pstrcat(unit_pool, many, "add A=1;", NULL);
    }
    for (int i = 0; i < HAP_HTTP1_FIELDS_MAX; i++) {
        full = apr_pstrcat(unit_pool, full, "A=1;", NULL);
    }
    UNIT_STR_EQ(answer_of(200, full, many, NULL), "no room");
    CU_ASSERT_NOT_EQUAL(strcmp(answer_of(200, "A=1", many, NULL), "no room"), 0);
}

const unit_test_t suite_edit[] = {
    UNIT_TEST(header_edits_answers_as_mod_headers),
    UNIT_TEST(header_always_is_a_table_of_its_own),
    UNIT_TEST(content_type_is_what_set_made_of_it),
    UNIT_TEST(the_default_charset_is_for_plain_and_html_without_one),
    UNIT_TEST(vary_is_one_line_with_each_name_once),
    UNIT_TEST(requests_are_lists_to_requestheader),
    UNIT_TEST(what_does_not_fit_is_said),
    UNIT_END,
};
