/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hap_honour: mounts, and directives that are about paths. */
#include "unit.h"

#include <apr_strings.h>

#include "honour.h"

static void directives_about_paths_act_where_they_overlap(void)
{
    static const struct {
        const char *line, *verdict;
    } rows[] = {
        {"Alias /icons/ /x", "/App lane"},
        {"Alias /App/icons/ /x", "/App lane /App/icons! Alias:6"},
        {"Alias / /x", "/App Alias:6"},
        {"AliasMatch ^/x/ /x", "/App lane"},
        {"AliasMatch x /x", "/App AliasMatch:6"},
        {"ScriptAlias /App/cgi /x", "/App lane /App/cgi! ScriptAlias:6"},
        {"Redirect /other http://h/", "/App lane"},
        {"Redirect permanent /App/old /new", "/App lane /App/old! Redirect:6"},
        {"Redirect 301 /App/old /new", "/App lane /App/old! Redirect:6"},
        {"Redirect gone /App", "/App Redirect:6"},
        {"RedirectTemp /App/a /b", "/App lane /App/a! RedirectTemp:6"},
        {"RedirectMatch ^/$ /App/", "/App lane"},
        {"RedirectMatch 302 ^/App/a/ /b", "/App lane /App/a! RedirectMatch:6"},
        {"RedirectMatch (.*)\\.gif$ /x", "/App RedirectMatch:6"},
        {"RewriteRule ^/old/(.*)$ /x/$1 [R]", "/App lane"},
        {"RewriteRule ^/App/old/ /x", "/App lane /App/old! RewriteRule:6"},
        {"RewriteRule ^/App/old/ /x [NC]", "/App RewriteRule:6"},
        {"RewriteRule !^/x /y", "/App RewriteRule:6"},
        {"CacheEnable disk /", "/App CacheEnable:6"},
        {"CacheEnable disk /x", "/App lane"},
        {"CacheEnable disk http://h/", "/App CacheEnable:6"},
        {"MDomain example.org", "/App lane"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        UNIT_STR_EQ(honour_verdict(apr_pstrcat(unit_pool, rows[i].line, "\n", NULL)),
                    rows[i].verdict);
    }
    UNIT_STR_EQ(honour_verdict_of(HONOUR_APP "ProxyPass / balancer://App/\nMDomain example.org\n",
                                  HAP_HONOUR_CAN_ALL),
                "/ lane /.well-known/acme-challenge! MDomain:6 /.httpd! MDomain:6");
    UNIT_STR_EQ(honour_verdict("<MDomainSet example.org>\nMDMember auto\nMDRequireHttps off\n"
                               "</MDomainSet>\n"),
                "/App lane");
    UNIT_STR_EQ(honour_verdict("<MDomainSet example.org>\nMDRequireHttps permanent\n"
                               "</MDomainSet>\n"),
                "/App MDRequireHttps:7");
    UNIT_STR_EQ(honour_verdict("<Location /App/x>\nRedirect /y /z\n</Location>\n"),
                "/App lane /App/x! Redirect:7");
}

static const char *passes(const char *lines)
{
    return honour_verdict_of(apr_pstrcat(unit_pool, HONOUR_APP, lines, NULL), HAP_HONOUR_CAN_ALL);
}

static void the_first_proxypass_that_fits_has_the_request(void)
{
    UNIT_STR_EQ(passes("ProxyPass /App/static !\nProxyPass /App balancer://App/App\n"),
                "/App lane /App/static! ProxyPass:5");
    UNIT_STR_EQ(passes("ProxyPass /App balancer://App/App\nProxyPass /App/static !\n"),
                "/App lane");
    UNIT_STR_EQ(passes("ProxyPass / http://h/\nProxyPass /App balancer://App/App\n"),
                "/App ProxyPass:5");
    UNIT_STR_EQ(passes("ProxyPass /Apple !\nProxyPass /App balancer://App/App\n"), "/App lane");
    UNIT_STR_EQ(passes("ProxyPassMatch \\.png$ !\nProxyPass /App balancer://App/App\n"),
                "/App ProxyPassMatch:5");
    UNIT_STR_EQ(passes("ProxyPass ~ ^/App/x/ !\nProxyPass /App balancer://App/App\n"),
                "/App lane /App/x! ProxyPass:5");
    UNIT_STR_EQ(passes("ProxyPass /App/shop balancer://App/shop\n"
                       "ProxyPass /App balancer://App/App\n"),
                "/App/shop lane /App lane");
    UNIT_STR_EQ(passes("ProxyPass /App balancer://App/App\n"
                       "ProxyPass /App/shop balancer://App/shop\n"),
                "/App lane /App/shop ProxyPass:5");
}

static void the_main_servers_proxypass_comes_before_the_virtual_hosts(void)
{
    UNIT_STR_EQ(passes("<VirtualHost a>\nProxyPass /App balancer://App/App\n</VirtualHost>\n"
                       "ProxyPass /App/x !\n"),
                "5| /App lane /App/x! ProxyPass:8");
    UNIT_STR_EQ(passes("ProxyPass /App balancer://App/App\n<VirtualHost a>\nProxyPass /App/x !\n"
                       "</VirtualHost>\n"),
                "/App lane 6| /App lane");
}

static void a_proxypass_in_a_location_or_with_mapping_comes_first(void)
{
    UNIT_STR_EQ(passes("ProxyPass /App balancer://App/App\n<Location /App/x>\nProxyPass !\n"
                       "</Location>\n"),
                "/App lane /App/x! ProxyPass:7");
    UNIT_STR_EQ(passes("ProxyPass /App balancer://App/App\n"
                       "ProxyPass /App/x http://h/ mapping=encoded\n"),
                "/App lane /App/x! ProxyPass:6");
}

static void a_proxypass_that_maps_in_its_own_way_is_not_the_lanes(void)
{
    UNIT_STR_EQ(passes("<Location /App>\nProxyPass balancer://App/App\n</Location>\n"),
                "/App ProxyPass:6");
    UNIT_STR_EQ(passes("ProxyPassMatch ^/App(.*) balancer://App/App$1\n"),
                "^/App(.*) ProxyPassMatch:5");
    UNIT_STR_EQ(passes("ProxyPass /App/ balancer://App/App\n"), "/App/ ProxyPass:5");
    UNIT_STR_EQ(passes("ProxyPass / balancer://App\n"), "/ ProxyPass:5");
    UNIT_STR_EQ(passes("ProxyPass /App balancer://App\n"), "/App lane");
    UNIT_STR_EQ(passes("ProxyPass /App balancer://App/App noquery\n"), "/App ProxyPass:5");
    UNIT_STR_EQ(passes("ProxyPass /App balancer://App/App interpolate\n"), "/App ProxyPass:5");
    UNIT_STR_EQ(passes("ProxyPass /App balancer://App/App nocanon timeout=5\n"), "/App lane");
    UNIT_STR_EQ(passes("ProxyPass /App balancer://App/App mapping=servlet\n"), "/App ProxyPass:5");
}

static void members_that_do_not_speak_http_are_not_the_lanes(void)
{
    UNIT_STR_EQ(passes("BalancerMember balancer://app ajp://b:1\nProxyPass /App balancer://App/\n"
                       "ProxyPass /x balancer://App/x\n"),
                "/App ProxyPass:6 /x BalancerMember:5");
    UNIT_STR_EQ(passes("BalancerMember balancer://App https://b:1\n" HONOUR_MOUNT),
                "/App BalancerMember:5");
    UNIT_STR_EQ(honour_verdict_of("HABalancer App\n" HONOUR_MOUNT, HAP_HONOUR_CAN_ALL),
                "/App ProxyPass:2");
}

static void a_mount_says_where_it_leads(void)
{
    const hap_honour_mount_t *mount =
        honour_mount("<VirtualHost a>\nServerName a\n</VirtualHost>", 1, 0);
    UNIT_STR_EQ(mount->path, "/App");
    UNIT_STR_EQ(mount->target, "balancer://App/App");
    UNIT_STR_EQ(mount->balancer, "App");
    UNIT_STR_EQ(mount->to, "/App");
    CU_ASSERT_EQUAL(mount->pass->line, 5);
}

const unit_test_t suite_honour_paths[] = {
    UNIT_TEST(directives_about_paths_act_where_they_overlap),
    UNIT_TEST(the_first_proxypass_that_fits_has_the_request),
    UNIT_TEST(the_main_servers_proxypass_comes_before_the_virtual_hosts),
    UNIT_TEST(a_proxypass_in_a_location_or_with_mapping_comes_first),
    UNIT_TEST(a_proxypass_that_maps_in_its_own_way_is_not_the_lanes),
    UNIT_TEST(members_that_do_not_speak_http_are_not_the_lanes),
    UNIT_TEST(a_mount_says_where_it_leads),
    UNIT_END,
};
