/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hap_servers. */
#include "unit.h"

#include <apr_strings.h>

#include "hap_servers.h"

static hap_diag_t diag;

/* The hosts with blanks between them, or why there are none: LINE: SENTENCE. */
static const char *reads(const char *text)
{
    apr_array_header_t *hosts = NULL;
    if (hap_servers_parse(&hosts, hap_str(text), &diag, unit_pool) == APR_SUCCESS) {
        return apr_array_pstrcat(unit_pool, hosts, ' ');
    }
    CU_ASSERT_PTR_NULL(hosts);
    return apr_psprintf(unit_pool, "%d: %s", diag.line, diag.why);
}

static void the_order_of_the_lines_is_kept(void)
{
    UNIT_STR_EQ(reads("hostb\nhosta\n192.0.2.3\n"), "hostb hosta 192.0.2.3");
    UNIT_STR_EQ(reads("hostb"), "hostb");
}

static void comments_blanks_and_empty_lines_do_not_count(void)
{
    UNIT_STR_EQ(reads("# the servers\n\n \t\n  hosta\t \nhostb # the second\n#hostc\n"),
                "hosta hostb");
    UNIT_STR_EQ(reads("\xef\xbb\xbfhosta\r\n\r\nhostb \r\n# x\r\n"), "hosta hostb");
}

static void a_host_has_one_spelling(void)
{
    UNIT_STR_EQ(reads("HostA.Example\n2001:DB8::0:1\n"), "hosta.example [2001:db8::1]");
    UNIT_STR_EQ(reads("hosta\nHOSTA\n"), "2: \"HOSTA\" stands there twice, write it once");
    UNIT_STR_EQ(reads("::1\n\n[0::1]\n"), "3: \"[0::1]\" stands there twice, write it once");
}

static void what_is_no_host_is_refused_with_its_line(void)
{
    UNIT_STR_EQ(reads("hosta hostb\n"),
                "1: \"hosta hostb\" is more than one word: write one host a line");
    UNIT_STR_EQ(reads("hosta\n0.0.0.0\n"),
                "2: \"0.0.0.0\" is an address to listen at, write that of the host");
    UNIT_STR_EQ(reads("[::]\n"), "1: \"[::]\" is an address to listen at, write that of the host");
    const char *const lines[] = {"hosta:7946",  "10.1",        "hosta#1", "-hosta",
                                 "hosta,hostb", "h\xc3\xb6st", "\x01"};
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        const char *why = reads(apr_pstrcat(unit_pool, "# x\n", lines[i], "\n", NULL));
        CU_ASSERT_TRUE(strncmp(why, "2: host", 7) == 0);
    }
}

static void no_host_at_all_and_too_many_are_refused(void)
{
    UNIT_STR_EQ(reads(""), "0: names no host, write one host name or address a line");
    UNIT_STR_EQ(reads("# none\n"), "0: names no host, write one host name or address a line");
    const char *text = "";
    for (int i = 0; i < HAP_SERVERS_MAX; i++) {
        text = apr_psprintf(unit_pool, "%shost%d\n", text, i);
    }
    CU_ASSERT_TRUE(strncmp(reads(text), "host0 host1 ", 12) == 0);
    UNIT_STR_EQ(reads(apr_pstrcat(unit_pool, text, "more\n", NULL)),
                "65: there are more than 64 hosts");
}

const unit_test_t suite_servers[] = {
    UNIT_TEST(the_order_of_the_lines_is_kept),
    UNIT_TEST(comments_blanks_and_empty_lines_do_not_count),
    UNIT_TEST(a_host_has_one_spelling),
    UNIT_TEST(what_is_no_host_is_refused_with_its_line),
    UNIT_TEST(no_host_at_all_and_too_many_are_refused),
    UNIT_END,
};
