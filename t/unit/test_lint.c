/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hap_lint. */
#include "unit.h"

#include <apr_strings.h>

#include "golden.h"
#include "hap_lint.h"

/* A balancer that nothing is wrong with, and its mount. */
#define GOOD                                                                                       \
    "<Proxy \"balancer://app\">\nBalancerMember http://a:1 route=a\n"                              \
    "BalancerMember http://b:1 route=b\n</Proxy>\n"
#define MOUNT "ProxyPass /x balancer://app/x\nProxyPassReverse /x balancer://app/x\n"

/* All findings as LINE:RULE, an error with an exclamation mark. */
static const char *findings_of(const char *text)
{
    hap_diag_t diag;
    hap_conf_t conf;
    const char *shown = "";
    if (hap_conf_parse(&conf, hap_str(text), &diag, unit_pool) != APR_SUCCESS) {
        return apr_pstrdup(unit_pool, diag.why);
    }
    apr_array_header_t *findings = hap_lint_check(&conf, NULL, unit_pool);
    for (int i = 0; i < findings->nelts; i++) {
        const hap_lint_finding_t *finding = &APR_ARRAY_IDX(findings, i, hap_lint_finding_t);
        shown = apr_psprintf(unit_pool, "%s%s%d:%s%s", shown, i ? " " : "", finding->line,
                             finding->rule, finding->severity != HAP_LINT_WARNING ? "!" : "");
    }
    return shown;
}

static const char *first_why(const char *text)
{
    hap_diag_t diag;
    hap_conf_t conf;
    hap_conf_parse(&conf, hap_str(text), &diag, unit_pool);
    apr_array_header_t *findings = hap_lint_check(&conf, NULL, unit_pool);
    return findings->nelts ? APR_ARRAY_IDX(findings, 0, hap_lint_finding_t).why : "";
}

static void what_we_write_has_no_finding(void)
{
    UNIT_STR_EQ(findings_of(GOOD MOUNT), "");
    UNIT_STR_EQ(findings_of(unit_golden("merged-balancer.conf")), "");
    UNIT_STR_EQ(findings_of(unit_golden("merged-plain.conf")), "");
    UNIT_STR_EQ(findings_of(unit_golden("merged-zones.conf")), "");
    UNIT_STR_EQ(findings_of(unit_golden("fragment-full.conf")), "");
    UNIT_STR_EQ(findings_of(unit_golden("fragment-least.conf")), "");
    UNIT_STR_EQ(findings_of(unit_golden("fragment-path.conf")), "");
}

static void a_slash_on_one_side_only_is_found(void)
{
    UNIT_STR_EQ(findings_of("ProxyPass /a/ http://h/a\nProxyPassReverse /a/ http://h/a\n"),
                "1:slash!");
    UNIT_STR_EQ(findings_of("ProxyPass /a http://h/a/\nProxyPassReverse /a http://h/a/\n"),
                "1:slash");
    UNIT_STR_EQ(findings_of("ProxyPass /a !\n"), "");
}

static void routes_are_unique_short_and_complete(void)
{
    UNIT_STR_EQ(
        findings_of("<Proxy balancer://a>\nBalancerMember http://a:1 route=r\n"
                    "BalancerMember http://b:1 route=r\nBalancerMember http://c:1\n</Proxy>"),
        "3:route! 4:route");
    UNIT_STR_EQ(findings_of("BalancerMember balancer://a http://a:1 route="
                            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n"
                            "BalancerMember balancer://a http://b:1 route=b.c\n"),
                "1:route! 2:route!");
    UNIT_STR_EQ(findings_of("<Proxy balancer://a>\nBalancerMember http://a:1\n"
                            "ProxySet stickysession=x\n</Proxy>\n"),
                "2:route");
}

static void long_names_are_found(void)
{
    const char *name = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    UNIT_STR_EQ(findings_of(apr_pstrcat(
                    unit_pool, GOOD "ProxySet balancer://app stickysession=", name, "\n", NULL)),
                "5:sticky!");
    UNIT_STR_EQ(findings_of(apr_pstrcat(unit_pool, "BalancerMember balancer://a http://", name,
                                        ".example/", name, "\n", NULL)),
                "1:long-url");
}

static void a_reference_in_another_case_skips_the_sections_directives(void)
{
    const char *mount = "ProxyPass /x balancer://APP/x\nProxyPassReverse /x balancer://APP/x\n";
    UNIT_STR_EQ(findings_of(apr_pstrcat(unit_pool, GOOD, mount, NULL)), "5:case");
    UNIT_STR_EQ(findings_of(apr_pstrcat(unit_pool,
                                        "<Proxy balancer://app>\nRequire ip 10\n"
                                        "BalancerMember http://a:1\n</Proxy>\n",
                                        mount, NULL)),
                "5:case!");
}

static void a_mount_of_a_balancer_without_members_is_found(void)
{
    UNIT_STR_EQ(findings_of(MOUNT), "1:undefined!");
    UNIT_STR_EQ(findings_of("Include other.conf\n" MOUNT), "2:undefined");
    UNIT_STR_EQ(findings_of(GOOD "<VirtualHost *:80>\n" MOUNT "</VirtualHost>\n"), "");
    UNIT_STR_EQ(findings_of("<VirtualHost a>\n" GOOD "</VirtualHost>\n<VirtualHost b>\n" MOUNT
                            "</VirtualHost>\n"),
                "8:undefined!");
}

static void a_missing_reverse_is_found(void)
{
    UNIT_STR_EQ(findings_of("ProxyPass /a http://h/a\n"), "1:reverse");
    UNIT_STR_EQ(findings_of("ProxyPass /a ajp://h/a\n"), "");
    UNIT_STR_EQ(findings_of("<Location /a>\nProxyPass http://h/a\nProxyPassReverse http://h/a\n"
                            "</Location>\n"),
                "");
    UNIT_STR_EQ(findings_of("<Location /a>\nProxyPass http://h/a\n</Location>\n"), "2:reverse");
}

static void a_context_behind_a_shorter_one_is_found(void)
{
    UNIT_STR_EQ(findings_of("ProxyPass /a !\nProxyPass /a/b !\n"), "2:shadowed!");
    UNIT_STR_EQ(findings_of("ProxyPass / !\nProxyPass /b !\n"), "2:shadowed!");
    UNIT_STR_EQ(findings_of("ProxyPass /a !\nProxyPass /a !\n"), "2:shadowed!");
    UNIT_STR_EQ(findings_of("ProxyPass /a/b !\nProxyPass /a !\n"), "");
    UNIT_STR_EQ(findings_of("ProxyPass /a !\nProxyPass /ab !\n"), "");
    UNIT_STR_EQ(findings_of("<VirtualHost a>\nProxyPass /a !\n</VirtualHost>\n"
                            "<VirtualHost b>\nProxyPass /a !\n</VirtualHost>\n"),
                "");
}

static void a_handler_under_a_mount_is_found(void)
{
#define ROOT          "ProxyPass / http://h/\nProxyPassReverse / http://h/\n"
#define HANDLER(more) "<Location /ha-health>\nSetHandler ha-health\n" more "</Location>\n"
    UNIT_STR_EQ(findings_of(ROOT HANDLER("")), "4:swallowed");
    UNIT_STR_EQ(findings_of(HANDLER("") ROOT), "2:swallowed");
    UNIT_STR_EQ(findings_of(ROOT HANDLER("ProxyPass !\n")), "");
    UNIT_STR_EQ(findings_of("ProxyPass /ha-health !\n" ROOT HANDLER("")), "");
    UNIT_STR_EQ(findings_of(GOOD MOUNT HANDLER("")), "");
    UNIT_STR_EQ(findings_of(HANDLER("") "<VirtualHost *>\n" ROOT "</VirtualHost>\n"),
                "2:swallowed");
    UNIT_STR_EQ(findings_of(ROOT "<Location /x*>\nSetHandler x\n</Location>\n"), "");
    UNIT_STR_EQ(first_why(ROOT HANDLER("")),
                "the handler for /ha-health gets no request: line 1 takes / first, add "
                "ProxyPass \"!\" to this <Location>");
}

static void max_is_per_child_and_the_sum_is_shown(void)
{
    const char *member = "BalancerMember balancer://a http://a:1 max=20\n";
    UNIT_STR_EQ(findings_of(member), "1:max");
    UNIT_STR_EQ(first_why(apr_pstrcat(unit_pool, "MaxRequestWorkers 400\nThreadsPerChild 50\n",
                                      member, NULL)),
                "max=20 holds per child: with MaxRequestWorkers 400 / ThreadsPerChild 50 there are "
                "up to 8 children, so up to 160 connections reach the instance; set max to what it "
                "can take divided by 8");
    CU_ASSERT_PTR_NOT_NULL(
        strstr(first_why(apr_pstrcat(unit_pool, "ServerLimit 4\n", member, NULL)), "up to 80 "));
}

static void a_directive_of_ours_for_an_unknown_balancer_is_found(void)
{
    UNIT_STR_EQ(findings_of(GOOD "HABalancer app\nHACheck App uri=/\n"), "");
    UNIT_STR_EQ(findings_of(GOOD "HABalancer ap\n"), "5:unknown!");
    UNIT_STR_EQ(findings_of(GOOD "HAZone ap\n"), "5:unknown!");
}

static void a_directive_of_ours_in_a_virtual_host_has_its_balancer_there(void)
{
#define VHOST(text) "<VirtualHost *>\n" text "</VirtualHost>\n"
    UNIT_STR_EQ(findings_of(VHOST(GOOD MOUNT "HABalancer app\nHACheck app\n")), "");
    UNIT_STR_EQ(findings_of(GOOD "HABalancer app\n" VHOST(MOUNT)), "");
    UNIT_STR_EQ(findings_of(GOOD VHOST(MOUNT "HABalancer app\n")), "8:place!");
    UNIT_STR_EQ(findings_of(GOOD "HABalancer app\n" VHOST(MOUNT "HACheck app\n")), "9:place!");
    UNIT_STR_EQ(findings_of("ProxyInherit Off\n" GOOD VHOST(GOOD MOUNT "HABalancer app\n")), "");
}

static void lines_of_a_balancer_are_joined_and_a_key_stands_once(void)
{
    const char *host = "<VirtualHost *>\nHABalancer app max=2\n" GOOD "</VirtualHost>\n";
    UNIT_STR_EQ(findings_of(GOOD "HABalancer app max=1\nHABalancer App retries=1\n"), "");
    UNIT_STR_EQ(findings_of(GOOD "HABalancer app max=1\nHABalancer App retries=1 max=1\n"),
                "6:twice!");
    UNIT_STR_EQ(findings_of(GOOD "HACheck app uri=/a\nHABalancer app\nhacheck app uri=/b\n"),
                "7:twice!");
    UNIT_STR_EQ(first_why(GOOD "HACheck app uri=/a\nHABalancer app\nHACheck app uri=/b\n"),
                "HACheck app: uri= is given in line 5 already: the module does not start with "
                "both, keep one");
    UNIT_STR_EQ(findings_of(apr_pstrcat(unit_pool, "ProxyInherit off\nHABalancer app max=1\n" GOOD,
                                        host, NULL)),
                "");
}

static void a_map_for_one_host_or_twice_is_found(void)
{
    UNIT_STR_EQ(findings_of(GOOD "HAMap /map\nHABalancer app queue=1\n"), "");
    UNIT_STR_EQ(findings_of(GOOD "HAMap /map\nhamap /other\n"), "6:twice!");
    UNIT_STR_EQ(findings_of(GOOD "<VirtualHost *>\nHAMap /map\n</VirtualHost>\n"), "6:place!");
}

static void a_method_that_no_module_brings_is_found(void)
{
#define LOAD(name) "LoadModule " name "_module x.so\n"
    UNIT_STR_EQ(findings_of(LOAD("proxy_balancer") GOOD), "2:lbmethod!");
    UNIT_STR_EQ(findings_of(LOAD("proxy_balancer") GOOD "HABalancer app\n"), "2:lbmethod!");
    UNIT_STR_EQ(findings_of(LOAD("proxy_balancer") LOAD("lbmethod_byrequests") GOOD), "");
    UNIT_STR_EQ(findings_of(LOAD("proxy_balancer") GOOD LOAD("haproxy") "HABalancer App\n"), "");
    UNIT_STR_EQ(findings_of(LOAD("proxy_balancer") GOOD "ProxySet balancer://app lbmethod=x\n"),
                "");
    UNIT_STR_EQ(findings_of(LOAD("proxy_balancer") GOOD "Include x\n"), "");
    UNIT_STR_EQ(findings_of(LOAD("proxy") GOOD), "");
}

static void loopback_beside_other_hosts_is_found(void)
{
    UNIT_STR_EQ(findings_of("<Proxy balancer://a>\nBalancerMember http://localhost:1\n"
                            "BalancerMember http://b:1\n</Proxy>\n"),
                "2:loopback");
    UNIT_STR_EQ(findings_of("<Proxy balancer://a>\nBalancerMember http://127.0.0.1:1\n"
                            "BalancerMember http://[::1]:2\n</Proxy>\n"),
                "");
    UNIT_STR_EQ(findings_of("BalancerMember balancer://a http://0.0.0.0:1\n"), "1:loopback");
}

static void balancers_that_stop_httpd_from_starting_are_found(void)
{
    UNIT_STR_EQ(findings_of("BalancerMember balancer://a-b http://a:1\n"
                            "BalancerMember balancer://a_b http://b:1\n"),
                "2:names!");
}

#define ZONES "ProxySet balancer://app stickysession=id\nHABalancer app\nHAZone app "
#define STORE "key=k store=memcached:"

static void a_store_that_other_proxies_cannot_share_is_found(void)
{
    UNIT_STR_EQ(findings_of(GOOD ZONES STORE "h:1,i\n"), "");
    UNIT_STR_EQ(findings_of(GOOD ZONES STORE "h:1,0.0.0.0:1\n"), "7:zone");
    UNIT_STR_EQ(findings_of(GOOD ZONES STORE "[::],h\n"), "7:zone");
    UNIT_STR_EQ(findings_of(GOOD ZONES STORE "h,localhost\n"), "7:zone");
    UNIT_STR_EQ(findings_of(GOOD ZONES STORE "127.0.0.1:1,[::1]:2\n"), "");
    UNIT_STR_EQ(findings_of(GOOD ZONES STORE "h\n"), "7:zone");
    UNIT_STR_EQ(first_why(GOOD ZONES STORE "h\n"),
                "there is one memcached, so no second copy, and its loss is the loss of all: name "
                "another one that runs elsewhere");
}

static void zones_that_the_module_would_refuse_are_found(void)
{
    UNIT_STR_EQ(findings_of(GOOD ZONES "\n"), "");
    UNIT_STR_EQ(findings_of(GOOD ZONES "store=memcached:h,i\n"), "7:zone!");
    UNIT_STR_EQ(findings_of(GOOD ZONES "store=memcached:h,i\nHAZone app key=k\n"), "");
    UNIT_STR_EQ(findings_of(GOOD ZONES "store=memcache:h,i\n"), "7:zone!");
    UNIT_STR_EQ(findings_of(GOOD ZONES "zone=USERS\n"), "7:zone!");
    UNIT_STR_EQ(findings_of(GOOD ZONES "budget=60ms\nHAZone app budget=70ms\n"), "8:twice!");
    UNIT_STR_EQ(findings_of(GOOD "HABalancer app\nHAZone app\n"), "6:zone!");
    UNIT_STR_EQ(findings_of(GOOD "HABalancer app\nHAZone app zone=STORAGE\n"), "");
    UNIT_STR_EQ(findings_of(GOOD "HAZone app\n"), "5:zone!");
    UNIT_STR_EQ(findings_of(GOOD ZONES "\nHABalancer app affinity=none\n"), "7:zone!");
    UNIT_STR_EQ(findings_of(GOOD ZONES "\nHABalancer app affinity=insert\n"), "7:zone!");
}

static void what_a_zone_lacks_is_told_with_the_line_of_the_key_that_wants_it(void)
{
    UNIT_STR_EQ(findings_of(GOOD ZONES "store=memcached:h,i\nHAZone app budget=60ms\n"), "7:zone!");
    UNIT_STR_EQ(findings_of(GOOD ZONES "budget=60ms\nHAZone app store=memcached:h,i\n"), "8:zone!");
    UNIT_STR_EQ(findings_of(GOOD "HABalancer app\nHAZone app zone=USER\nHAZone APP budget=60ms\n"),
                "6:zone!");
    UNIT_STR_EQ(findings_of(GOOD "HABalancer app\nHAZone app store=shm\nHAZone app budget=60ms\n"),
                "7:zone!");
}

static void what_a_zone_lacks_here_may_be_in_an_included_file(void)
{
    UNIT_STR_EQ(findings_of(GOOD "Include x.conf\nHAZone app\n"), "");
    UNIT_STR_EQ(findings_of(GOOD "Include x.conf\nHAZone app store=memcached:h,i\n"), "");
    UNIT_STR_EQ(findings_of(GOOD "Include x.conf\nHAZone app store=memcached:h\n"), "6:zone");
}

const unit_test_t suite_lint[] = {
    UNIT_TEST(what_we_write_has_no_finding),
    UNIT_TEST(a_slash_on_one_side_only_is_found),
    UNIT_TEST(routes_are_unique_short_and_complete),
    UNIT_TEST(long_names_are_found),
    UNIT_TEST(a_reference_in_another_case_skips_the_sections_directives),
    UNIT_TEST(a_mount_of_a_balancer_without_members_is_found),
    UNIT_TEST(a_missing_reverse_is_found),
    UNIT_TEST(a_context_behind_a_shorter_one_is_found),
    UNIT_TEST(a_handler_under_a_mount_is_found),
    UNIT_TEST(max_is_per_child_and_the_sum_is_shown),
    UNIT_TEST(a_directive_of_ours_for_an_unknown_balancer_is_found),
    UNIT_TEST(a_store_that_other_proxies_cannot_share_is_found),
    UNIT_TEST(zones_that_the_module_would_refuse_are_found),
    UNIT_TEST(what_a_zone_lacks_is_told_with_the_line_of_the_key_that_wants_it),
    UNIT_TEST(what_a_zone_lacks_here_may_be_in_an_included_file),
    UNIT_TEST(a_directive_of_ours_in_a_virtual_host_has_its_balancer_there),
    UNIT_TEST(lines_of_a_balancer_are_joined_and_a_key_stands_once),
    UNIT_TEST(a_map_for_one_host_or_twice_is_found),
    UNIT_TEST(a_method_that_no_module_brings_is_found),
    UNIT_TEST(loopback_beside_other_hosts_is_found),
    UNIT_TEST(balancers_that_stop_httpd_from_starting_are_found),
    UNIT_END,
};
