/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hap_site. */
#include "unit.h"

#include <apr_strings.h>

#include "hap_site.h"

static hap_diag_t diag;

static const hap_site_t *site_of(const char *text)
{
    hap_conf_t *conf = apr_palloc(unit_pool, sizeof(*conf));
    CU_ASSERT_EQUAL_FATAL(hap_conf_parse(conf, hap_str(text), &diag, unit_pool), APR_SUCCESS);
    return hap_site_read(conf, unit_pool);
}

/* The lines of the mounts that are asked for a host, in their order. */
static const char *asked(const char *text, const char *host)
{
    const hap_site_t *site = site_of(text);
    const char *shown = "";
    const hap_conf_section_t *vhost = hap_site_server(site, host);
    apr_array_header_t *mounts = hap_site_mounts(site, vhost, unit_pool);
    for (int i = 0; i < mounts->nelts; i++) {
        const hap_site_mount_t *mount = APR_ARRAY_IDX(mounts, i, const hap_site_mount_t *);
        shown = apr_psprintf(unit_pool, "%s%s%d", shown, i ? " " : "", mount->directive->line);
    }
    return shown;
}

static void a_context_takes_whole_segments(void)
{
    CU_ASSERT_EQUAL(hap_site_match("/App", "/App"), 4);
    CU_ASSERT_EQUAL(hap_site_match("/App/x", "/App"), 4);
    CU_ASSERT_EQUAL(hap_site_match("/Apple", "/App"), 0);
    CU_ASSERT_EQUAL(hap_site_match("/app", "/App"), 0);
    CU_ASSERT_EQUAL(hap_site_match("/App/x", "/App/"), 5);
    CU_ASSERT_EQUAL(hap_site_match("/App", "/App/"), 0);
    CU_ASSERT_EQUAL(hap_site_match("/", "/"), 1);
    CU_ASSERT_EQUAL(hap_site_match("/x", "/"), 1);
    CU_ASSERT_EQUAL(hap_site_match("/", "/x"), 0);
    CU_ASSERT_EQUAL(hap_site_match("/App;a=b", "/App"), 0);
}

static void any_number_of_slashes_is_any_other_number(void)
{
    CU_ASSERT_EQUAL(hap_site_match("//App///x", "/App/x"), 9);
    CU_ASSERT_EQUAL(hap_site_match("/App/x", "//App//x"), 6);
}

static void mounts_are_asked_as_they_stand(void)
{
    UNIT_STR_EQ(asked("ProxyPass /a/b !\nProxyPass /a http://a\nProxyPassReverse /a http://a\n"
                      "ProxyPass /c http://c\n",
                      NULL),
                "1 2 4");
}

static void a_location_comes_before_all_others_and_the_last_one_first(void)
{
    UNIT_STR_EQ(asked("ProxyPass /a http://a\n<Location /a>\nProxyPass http://b\n</Location>\n"
                      "<Location /a/b>\nProxyPass http://c\n</Location>\n",
                      NULL),
                "6 3 1");
}

static void a_virtual_host_asks_the_main_servers_mounts_before_its_own(void)
{
    const char *text = "ProxyPass / http://a\n<VirtualHost *:80>\nServerName one.example\n"
                       "ProxyPass /x http://b\n</VirtualHost>\n<VirtualHost *:80>\n"
                       "ServerName http://two.example:80\nServerAlias *.two.example\n"
                       "ProxyPass /x http://c\n</VirtualHost>\n";
    UNIT_STR_EQ(asked(text, "ONE.example"), "1 4");
    UNIT_STR_EQ(asked(text, "two.example"), "1 9");
    UNIT_STR_EQ(asked(text, "www.two.example"), "1 9");
    UNIT_STR_EQ(asked(text, "three.example"), "1");
    UNIT_STR_EQ(asked(text, NULL), "1");
    UNIT_STR_EQ(asked(strstr(text, "<Virt"), NULL), "3");
}

static void patterns_are_kept_apart(void)
{
    const hap_site_t *site = site_of("ProxyPassMatch ^/a http://a\nProxyPass ~ ^/b http://b\n"
                                     "<LocationMatch ^/c>\nProxyPass http://c\n</LocationMatch>\n"
                                     "<Location /d*>\nProxyPass http://d\n</Location>\n");
    CU_ASSERT_EQUAL(site->patterns->nelts, 4);
    CU_ASSERT_EQUAL(site->passes->nelts, 0);
}

static const char *duty(const char *params)
{
    const char *line =
        apr_pstrcat(unit_pool, "BalancerMember balancer://a http://a ", params, NULL);
    const hap_site_t *site = site_of(line);
    const hap_site_balancer_t *balancer = hap_site_balancer(site, NULL, "A");
    hap_site_duty_t d = hap_site_duty(&APR_ARRAY_IDX(balancer->members, 0, hap_site_member_t));
    return apr_psprintf(unit_pool, "%u %d %s%s", d.weight, d.lbset, hap_admin_names[d.admin],
                        d.spare ? " spare" : "");
}

static void parameters_of_members_are_read_as_mod_proxy_reads_them(void)
{
    UNIT_STR_EQ(duty(""), "100 0 enabled");
    UNIT_STR_EQ(duty("loadfactor=2.5 lbset=3"), "250 3 enabled");
    UNIT_STR_EQ(duty("loadfactor=0"), "100 0 enabled");
    UNIT_STR_EQ(duty("status=+H"), "100 0 standby");
    UNIT_STR_EQ(duty("status=NR"), "100 0 drain spare");
    UNIT_STR_EQ(duty("status=+D+N"), "100 0 maint");
    UNIT_STR_EQ(duty("status=D-D"), "100 0 enabled");
    UNIT_STR_EQ(duty("status=s"), "100 0 maint");
}

static void worker_urls_have_one_spelling(void)
{
    UNIT_STR_EQ(hap_site_worker_url("HTTP://HostA.Example:80", unit_pool), "http://hosta.example");
    UNIT_STR_EQ(hap_site_worker_url("https://a:8443/P", unit_pool), "https://a:8443/P");
    UNIT_STR_EQ(hap_site_worker_url("http://[::1]:8080", unit_pool), "http://[::1]:8080");
    UNIT_STR_EQ(hap_site_worker_url("unix:/run/a.sock|http://a", unit_pool),
                "unix:/run/a.sock|http://a");
}

static const char *cookie_path(const char *text)
{
    const hap_site_t *site = site_of(text);
    return hap_site_cookie_path(site, hap_site_balancer(site, NULL, "a"), unit_pool);
}

static void the_cookie_s_path_is_the_one_mount(void)
{
#define MEMBER "BalancerMember balancer://A http://a\n"
    UNIT_STR_EQ(cookie_path(MEMBER "ProxyPass /App balancer://a/App\n"), "/App");
    UNIT_STR_EQ(cookie_path(MEMBER "ProxyPass /App/ balancer://A/\n"), "/App");
    UNIT_STR_EQ(cookie_path(MEMBER "ProxyPass / balancer://A/\n"), "/");
    UNIT_STR_EQ(cookie_path(MEMBER "ProxyPass /x balancer://a/\nProxyPass /y balancer://a/\n"),
                "/");
    UNIT_STR_EQ(cookie_path(MEMBER "ProxyPass /x balancer://ab/\n"), "/");
}

static const char *policy(const char *text, const char *host)
{
    const hap_site_t *site = site_of(text);
    hap_site_policy_t got;
    apr_status_t rv = hap_site_policy(&got, site, hap_site_server(site, host), "App",
                                      &hap_policy_options, &diag, unit_pool);
    if (rv != APR_SUCCESS) {
        return apr_psprintf(unit_pool, "%d: %s", diag.line, diag.why);
    }
    return apr_psprintf(unit_pool, "%s %u%s", hap_method_names[got.policy.method],
                        got.policy.retries, got.directive ? "" : " none");
}

static void policies_are_inherited_key_by_key(void)
{
    const char *text = "HABalancer app method=least retries=1\n<VirtualHost *>\nServerName v\n"
                       "HABalancer App retries=2\n</VirtualHost>\n";
    UNIT_STR_EQ(policy(text, "v"), "least 2");
    UNIT_STR_EQ(policy(text, NULL), "least 1");
    UNIT_STR_EQ(policy("HABalancer Other\n", NULL), "round 3 none");
}

static void lines_for_one_balancer_are_joined(void)
{
    const char *text = "HABalancer App\nHABalancer app method=least\nHABalancer App retries=1\n"
                       "<VirtualHost *>\nServerName v\nHABalancer App\nHABalancer App retries=2\n"
                       "</VirtualHost>\n";
    UNIT_STR_EQ(policy(text, NULL), "least 1");
    UNIT_STR_EQ(policy(text, "v"), "least 2");
    UNIT_STR_EQ(
        policy("HABalancer App retries=1\nHABalancer App\nHABalancer App retries=1\n", NULL),
        "3: HABalancer: retries= is given in line 1 already, keep one");
    UNIT_STR_EQ(policy("HABalancer App\nHABalancer App queue=5\nHABalancer App max=1\n", NULL),
                "round 3");
    CU_ASSERT_PTR_NOT_NULL(strstr(policy("HABalancer App\nHABalancer App queue=5\n"
                                         "HABalancer App\n",
                                         NULL),
                                  "2: "));
}

static void bad_policies_are_refused_with_their_line(void)
{
    UNIT_STR_EQ(policy("\nHABalancer App method=best\n", NULL),
                "2: HABalancer: method=best is not allowed, use round, least, latency or hash");
    CU_ASSERT_PTR_NOT_NULL(strstr(policy("HABalancer App queue=5\n", NULL), "1: "));
}

const unit_test_t suite_site[] = {
    UNIT_TEST(a_context_takes_whole_segments),
    UNIT_TEST(any_number_of_slashes_is_any_other_number),
    UNIT_TEST(mounts_are_asked_as_they_stand),
    UNIT_TEST(a_location_comes_before_all_others_and_the_last_one_first),
    UNIT_TEST(a_virtual_host_asks_the_main_servers_mounts_before_its_own),
    UNIT_TEST(patterns_are_kept_apart),
    UNIT_TEST(parameters_of_members_are_read_as_mod_proxy_reads_them),
    UNIT_TEST(worker_urls_have_one_spelling),
    UNIT_TEST(the_cookie_s_path_is_the_one_mount),
    UNIT_TEST(policies_are_inherited_key_by_key),
    UNIT_TEST(lines_for_one_balancer_are_joined),
    UNIT_TEST(bad_policies_are_refused_with_their_line),
    UNIT_END,
};
