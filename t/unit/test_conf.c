/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hap_conf. */
#include "unit.h"

#include <apr_strings.h>

#include "hap_conf.h"

static hap_diag_t diag;

/* Every directive as LINE:NAME(ARG)(ARG)@SECTION, or the line and the sentence of a refusal. */
static const char *read_as(const char *text)
{
    hap_conf_t conf;
    const char *shown = "";
    if (hap_conf_parse(&conf, hap_str(text), &diag, unit_pool) != APR_SUCCESS) {
        return apr_psprintf(unit_pool, "%d: %s", diag.line, diag.why);
    }
    for (int i = 0; i < conf.count; i++) {
        const hap_conf_directive_t *d = &conf.directives[i];
        shown = apr_psprintf(unit_pool, "%s%s%d:%s", shown, i ? " " : "", d->line, d->name);
        for (int k = 0; k < d->argc; k++) {
            shown = apr_pstrcat(unit_pool, shown, "(", d->argv[k], ")", NULL);
        }
        if (d->section) {
            shown = apr_pstrcat(unit_pool, shown, "@", d->section->name, NULL);
        }
    }
    return shown;
}

static void words_are_cut_as_httpd_cuts_them(void)
{
    UNIT_STR_EQ(read_as("A b  \"c d\" 'e \"f' g=\"h i\"\n"), "1:A(b)(c d)(e \"f)(g=\"h)(i\")");
    UNIT_STR_EQ(read_as("A \"b\\\"c\" \"d\\\\\" e\\\\f\n"), "1:A(b\"c)(d\\)(e\\f)");
    UNIT_STR_EQ(read_as("A \"not closed\n"), "1:A(not closed)");
    UNIT_STR_EQ(read_as("A \"\" b\n"), "1:A()(b)");
}

static void a_continued_line_counts_from_its_first(void)
{
    UNIT_STR_EQ(read_as("A b \\\n c\\\nd\nE\n"), "1:A(b)(cd) 4:E");
    UNIT_STR_EQ(read_as("# no \\\nA b\nC\r\n"), "3:C");
}

static void comments_are_whole_lines_only(void)
{
    UNIT_STR_EQ(read_as("  # x\nA b # c\n\n"), "2:A(b)(#)(c)");
}

static void sections_nest_and_are_known_to_their_directives(void)
{
    hap_conf_t conf;
    const char *text = "<VirtualHost *:80>\n<IfModule x>\n<Proxy \"balancer://A\" a=b>\nB c\n"
                       "</Proxy>\n</IfModule>\nD\n</virtualhost>\nE\n";
    UNIT_STR_EQ(read_as(text), "4:B(c)@Proxy 7:D@VirtualHost 9:E");
    CU_ASSERT_EQUAL(hap_conf_parse(&conf, hap_str(text), &diag, unit_pool), APR_SUCCESS);
    UNIT_STR_EQ(hap_conf_within(&conf.directives[0], "proxy")->argv[0], "balancer://A");
    CU_ASSERT_EQUAL(hap_conf_within(&conf.directives[0], "proxy")->argc, 2);
    CU_ASSERT_EQUAL(hap_conf_within(&conf.directives[0], "VirtualHost")->line, 1);
    CU_ASSERT_PTR_NULL(hap_conf_within(&conf.directives[2], "VirtualHost"));
}

static void broken_sections_are_refused_with_their_line(void)
{
    UNIT_STR_EQ(read_as("A\n<Proxy x>\nB\n"), "2: the section <Proxy> is not closed");
    UNIT_STR_EQ(read_as("</Proxy>\n"), "1: </Proxy> closes no section");
    UNIT_STR_EQ(read_as("<A>\n</B>\n"), "2: </B> closes the section A");
    UNIT_STR_EQ(read_as("<Proxy x\n"), "1: the section has no closing >: \"<Proxy x\"");
}

static void params_are_found_without_case(void)
{
    hap_conf_t conf;
    CU_ASSERT_EQUAL(hap_conf_parse(&conf, hap_str("B u Route=a route=b\n"), &diag, unit_pool),
                    APR_SUCCESS);
    UNIT_STR_EQ(hap_conf_param(&conf.directives[0], 1, "route"), "a");
    CU_ASSERT_PTR_NULL(hap_conf_param(&conf.directives[0], 1, "rout"));
}

static void endless_continuations_cost_no_more_than_their_bytes(void)
{
    size_t n = 300000;
    char *text = apr_palloc(unit_pool, 3 * n + 1);
    for (size_t i = 0; i < n; i++) {
        memcpy(text + 3 * i, "a\\\n", 4);
    }
    hap_conf_t conf;
    CU_ASSERT_EQUAL(hap_conf_parse(&conf, hap_strn(text, 3 * n), &diag, unit_pool), APR_SUCCESS);
    CU_ASSERT_EQUAL(conf.count, 1);
}

const unit_test_t suite_conf[] = {
    UNIT_TEST(words_are_cut_as_httpd_cuts_them),
    UNIT_TEST(a_continued_line_counts_from_its_first),
    UNIT_TEST(comments_are_whole_lines_only),
    UNIT_TEST(sections_nest_and_are_known_to_their_directives),
    UNIT_TEST(broken_sections_are_refused_with_their_line),
    UNIT_TEST(params_are_found_without_case),
    UNIT_TEST(endless_continuations_cost_no_more_than_their_bytes),
    UNIT_END,
};
