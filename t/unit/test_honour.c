/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hap_honour: which directives keep which mounts on the standard path. */
#include "unit.h"

#include <apr_strings.h>

#include "golden.h"
#include "honour.h"

static void a_mount_alone_is_the_lanes(void)
{
    UNIT_STR_EQ(honour_verdict(""), "/App lane");
    UNIT_STR_EQ(honour_verdict_of(unit_golden("merged-balancer.conf"), HAP_HONOUR_CAN_ALL),
                "/App lane");
}

static void only_mounts_of_our_balancers_are_judged(void)
{
    UNIT_STR_EQ(honour_verdict("ProxyPass /x http://h/x\nProxyPass /y balancer://other/y\n"),
                "/App lane");
    UNIT_STR_EQ(honour_verdict_of("ProxyPass /App balancer://App/App\n", HAP_HONOUR_CAN_ALL), "");
}

/* --- what Debian enables --------------------------------------------------------------------- */

static void a_fresh_debian_with_a_merged_file_is_the_lanes(void)
{
    UNIT_STR_EQ(honour_verdict_of(unit_golden("debian-default.conf"), HAP_HONOUR_CAN_ALL),
                "/App lane 172| /App lane");
}

/* Each line of it, alone beside the mount; a section as a whole. */
static void each_directive_that_debian_enables_leaves_the_mount_to_the_lane(void)
{
    hap_str_t rest = hap_str(unit_golden("debian-default.conf"));
    hap_str_t line;
    int directives = 0;
    while (hap_str_line(&line, &rest)) {
        const char *text = hap_str_dup(hap_str_trim(line), unit_pool);
        bool of_section = strncmp(text, "Require", 7) == 0 || strncmp(text, "SetHandler", 10) == 0;
        if (!*text || *text == '#' || *text == '<' || of_section ||
            strncmp(text, "ProxyPass", 9) == 0 || strncmp(text, "HA", 2) == 0) {
            continue;
        }
        const char *verdict = honour_verdict(apr_pstrcat(unit_pool, text, "\n", NULL));
        if (strcmp(verdict, "/App lane") != 0) {
            UNIT_STR_EQ(apr_pstrcat(unit_pool, text, ": ", verdict, NULL), "/App lane");
        }
        directives++;
    }
    CU_ASSERT(directives > 90);
}

static void at_the_root_debian_keeps_some_paths_on_the_standard_path(void)
{
    const char *text = apr_pstrcat(unit_pool, HONOUR_APP "ProxyPass / balancer://App/\n",
                                   "Alias /icons/ /x\nScriptAlias /cgi-bin/ /y\n"
                                   "<Location /server-status>\nSetHandler server-status\n"
                                   "</Location>\n",
                                   NULL);
    UNIT_STR_EQ(honour_verdict_of(text, HAP_HONOUR_CAN_ALL),
                "/ lane /icons! Alias:6 /cgi-bin! ScriptAlias:7 /server-status! SetHandler:9");
}

/* --- classes --------------------------------------------------------------------------------- */

static void what_blocks_is_named_with_its_line(void)
{
    UNIT_STR_EQ(honour_verdict("Timeout 5\n\nRewriteRule ^/(.*) /x/$1\n"), "/App RewriteRule:8");
    UNIT_STR_EQ(honour_why("RewriteRule ^/(.*) /x/$1\n"), "RewriteRule (x.conf:6) acts on it");
    UNIT_STR_EQ(honour_verdict("SetOutputFilter X\nSubstitute s/a/b/\n"), "/App SetOutputFilter:6");
    UNIT_STR_EQ(honour_verdict("RemoteIPHeader X-Forwarded-For\n"), "/App RemoteIPHeader:6");
    UNIT_STR_EQ(honour_verdict("SecRuleEngine On\n"), "/App SecRuleEngine:6");
    UNIT_STR_EQ(honour_verdict("SetEnv x y\n"), "/App SetEnv:6");
    UNIT_STR_EQ(honour_verdict("proxyerroroverride ON\n"), "/App proxyerroroverride:6");
}

static void what_is_not_known_blocks(void)
{
    UNIT_STR_EQ(
        honour_why("QS_SrvMaxConn 100\n"),
        "QS_SrvMaxConn (x.conf:6) acts on it: it is not known here and may act on requests");
    UNIT_STR_EQ(honour_verdict("<Thing>\nTimeout 5\n</Thing>\n"), "/App Thing:6");
    UNIT_STR_EQ(honour_verdict("<Directory /x>\nQS_SrvMaxConn 100\n</Directory>\n"), "/App lane");
}

static void a_module_that_is_not_known_blocks_though_it_has_no_directive(void)
{
    UNIT_STR_EQ(honour_why("LoadModule evasive20_module modules/mod_evasive20.so\n"),
                "LoadModule (x.conf:6) acts on it: it adds evasive20_module, which is not known "
                "here and may act by itself");
    UNIT_STR_EQ(honour_verdict("LoadModule rewrite_module modules/mod_rewrite.so\n"), "/App lane");
    UNIT_STR_EQ(honour_verdict("LoadModule evasive20_module x.so\n"
                               "HALane On ignore=Evasive20_module\n"),
                "/App lane");
}

static void a_value_that_does_nothing_does_not_block(void)
{
    static const char *const lines[] = {
        "ProxyErrorOverride Off",
        "HostnameLookups Off",
        "SetHandler none",
        "RemoteIPProxyProtocol Off",
        "Require all granted",
        "Order deny,allow",
        "Allow from all",
        "ProxyBadHeader IsError",
        "HttpProtocolOptions Strict Allow0.9",
        "ExpiresActive Off",
        "Proxy100Continue On",
        "AuthType None",
        "SSLEngine off",
        "RewriteEngine On",
        "RegexDefaultOptions +DOTALL",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        UNIT_STR_EQ(honour_verdict(apr_pstrcat(unit_pool, lines[i], "\n", NULL)), "/App lane");
    }
}

static void a_value_that_does_something_blocks(void)
{
    static const char *const lines[] = {
        "ProxyErrorOverride On 404",
        "HostnameLookups Double",
        "SetHandler server-info",
        "RemoteIPProxyProtocol On",
        "Require valid-user",
        "Order allow,deny",
        "Allow from 10.0.0.0/8",
        "ProxyBadHeader Ignore",
        "HttpProtocolOptions RegisteredMethods",
        "ExpiresActive On",
        "Proxy100Continue Off",
        "AuthType Basic",
        "SSLEngine on",
        "SSLRequireSSL",
        "RegexDefaultOptions ICASE",
        "Require all denied",
        "Require not ip 10",
        "Deny from all",
        "UseCanonicalName DNS",
        "RequestReadTimeout x=1",
        "KeepAlive perhaps",
        "MergeTrailers On",
        "ProxyPassInterpolateEnv On",
        "KeepAliveTimeout 5x",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        const char *name = apr_pstrmemdup(unit_pool, lines[i], strcspn(lines[i], " "));
        UNIT_STR_EQ(honour_verdict(apr_pstrcat(unit_pool, lines[i], "\n", NULL)),
                    apr_pstrcat(unit_pool, "/App ", name, ":6", NULL));
    }
}

static void access_of_the_old_kind_that_lets_all_in_does_not_block(void)
{
    UNIT_STR_EQ(honour_verdict("<Proxy *>\nOrder allow,deny\nAllow from all\n</Proxy>\n"),
                "/App lane");
    UNIT_STR_EQ(honour_verdict("<Proxy *>\nOrder allow,deny\nAllow from 10\n</Proxy>\n"),
                "/App Order:7");
    UNIT_STR_EQ(honour_verdict("<Location /App>\nOrder allow,deny\n</Location>\n"
                               "<Location />\nAllow from all\n</Location>\n"),
                "/App Order:7");
}

static void each_feature_can_be_off(void)
{
    static const struct {
        unsigned can;
        const char *line;
    } rows[] = {
        {HAP_HONOUR_CAN_DEFLATE, "AddOutputFilterByType DEFLATE text/html"},
        {HAP_HONOUR_CAN_HEADER, "Header set X y"},
        {HAP_HONOUR_CAN_REQUEST_HEADER, "RequestHeader set X y"},
        {HAP_HONOUR_CAN_USER_AGENT, "BrowserMatch x y"},
        {HAP_HONOUR_CAN_USER_AGENT, "SetEnvIf User-Agent x y"},
        {HAP_HONOUR_CAN_CHARSET, "AddDefaultCharset utf-8"},
        {HAP_HONOUR_CAN_TRACE, "TraceEnable Off"},
        {HAP_HONOUR_CAN_CANONICAL_NAME, "UseCanonicalName On"},
        {HAP_HONOUR_CAN_CANONICAL_NAME, "UseCanonicalPhysicalPort On"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *text =
            apr_pstrcat(unit_pool, HONOUR_APP HONOUR_MOUNT, rows[i].line, "\n", NULL);
        const char *name = apr_pstrmemdup(unit_pool, rows[i].line, strcspn(rows[i].line, " "));
        UNIT_STR_EQ(honour_verdict_of(text, rows[i].can), "/App lane");
        UNIT_STR_EQ(honour_verdict_of(text, HAP_HONOUR_CAN_ALL & ~rows[i].can),
                    apr_pstrcat(unit_pool, "/App ", name, ":6", NULL));
    }
}

static void every_row_of_the_table_has_words(void)
{
    hap_honour_entry_t entry;
    hap_honour_entry_t before = {.name = ""};
    size_t n = 0;
    while (hap_honour_entry(&entry, n)) {
        CU_ASSERT(entry.verdict && *entry.verdict && entry.meaning && *entry.meaning);
        CU_ASSERT_FALSE(hap_str_eq_nocase(hap_str(before.name), hap_str(entry.name)));
        before = entry;
        n++;
    }
    CU_ASSERT(n > 700);
}

/* --- HALane ---------------------------------------------------------------------------------- */

static void a_directive_can_be_waived_by_its_name(void)
{
    const char *header = "Header edit X a b\nSetEnv x y\nQS_Thing 5\n";
    UNIT_STR_EQ(honour_verdict(apr_pstrcat(unit_pool, header,
                                           "HALane On ignore=HEADER,setenv,QS_thing\n", NULL)),
                "/App lane");
    UNIT_STR_EQ(honour_verdict(apr_pstrcat(unit_pool, header, "HALane On ignore=Header\n", NULL)),
                "/App SetEnv:7");
    UNIT_STR_EQ(honour_verdict(apr_pstrcat(
                    unit_pool, header, "HALane On ignore=Header ignore=SetEnv,QS_Thing\n", NULL)),
                "/App lane");
}

static void what_is_waived_must_be_a_directive(void)
{
    UNIT_STR_EQ(honour_verdict("HALane On ignore=Rewriterules\n"),
                "x.conf:6: HALane: ignore=Rewriterules names no directive, correct the name");
    UNIT_STR_EQ(honour_verdict("HALane On ignore=Location\n"),
                "x.conf:6: HALane: ignore=Location names a section, name the directives in it");
    UNIT_STR_EQ(
        honour_verdict("HALane On ignore=Header,\n"),
        "x.conf:6: HALane: ignore= takes names of directives, separated by commas without blanks");
    UNIT_STR_EQ(
        honour_verdict("HALane Perhaps\n"),
        "x.conf:6: HALane: \"Perhaps\" is not allowed, use On, Off or Require, and behind it "
        "the names of balancers");
    UNIT_STR_EQ(honour_verdict("HALane\n"),
                "x.conf:6: HALane: On, Off or Require is missing, as in HALane On");
    UNIT_STR_EQ(honour_verdict("HALane On balancer://App\n"),
                "x.conf:6: HALane: name the balancer without balancer://, as in HALane On App");
    UNIT_STR_EQ(honour_verdict("HALane On max=5\n"),
                "x.conf:6: HALane: \"max=5\" is not allowed, there are only names of balancers and "
                "ignore=NAME,...");
}

static void off_keeps_all_on_the_standard_path(void)
{
    UNIT_STR_EQ(honour_verdict("HALane Off\n<VirtualHost a>\nHALane On\n</VirtualHost>\n"),
                "/App HALane:6 7| /App HALane:6");
    UNIT_STR_EQ(honour_verdict("HALane Require ignore=SetEnv\n<VirtualHost a>\nHALane On\n"
                               "SetEnv x y\n</VirtualHost>\n"),
                "/App lane 7| /App lane");
}

/* What HALane says of App, and of Shop beside it, in each server. */
static const char *modes(const char *text)
{
    static const char *const words[] = {
        [HAP_HONOUR_UNSET] = "unset",
        [HAP_HONOUR_ON] = "on",
        [HAP_HONOUR_REQUIRE] = "require",
        [HAP_HONOUR_OFF] = "off",
    };
    const char *shown = "";
    const char *all = apr_pstrcat(unit_pool,
                                  HONOUR_APP HONOUR_MOUNT
                                  "BalancerMember balancer://Shop http://c\nHABalancer Shop\n"
                                  "ProxyPass /Shop balancer://Shop/Shop\n",
                                  text, NULL);
    apr_array_header_t *servers = honour_servers(&shown, all, HAP_HONOUR_CAN_ALL);
    for (int i = 0; servers && i < servers->nelts; i++) {
        const hap_honour_server_t *server = &APR_ARRAY_IDX(servers, i, hap_honour_server_t);
        shown = apr_pstrcat(unit_pool, shown, i ? " |" : "", NULL);
        for (int k = 0; k < server->mounts->nelts; k++) {
            const hap_honour_mount_t *mount = &APR_ARRAY_IDX(server->mounts, k, hap_honour_mount_t);
            shown = apr_pstrcat(unit_pool, shown, *shown ? " " : "", words[mount->mode], NULL);
        }
    }
    return shown;
}

static void halane_holds_for_the_balancers_that_it_names(void)
{
    UNIT_STR_EQ(modes(""), "unset unset");
    UNIT_STR_EQ(modes("HALane On\n"), "on on");
    UNIT_STR_EQ(modes("HALane On App\n"), "on unset");
    UNIT_STR_EQ(modes("HALane On aPP\n"), "on unset");
    UNIT_STR_EQ(modes("HALane On App Shop\n"), "on on");
    UNIT_STR_EQ(modes("HALane On App\nHALane Off Shop\n"), "on off");
    UNIT_STR_EQ(modes("HALane On ignore SetEnv\n"),
                "x.conf:9: HALane names ignore, but there is no HABalancer ignore: write "
                "ignore=NAME for directives that count as none");
    UNIT_STR_EQ(modes("HALane On Ap\n"),
                "x.conf:9: HALane names Ap, but there is no HABalancer Ap: correct the name");
}

static void what_several_say_of_a_balancer_does_not_depend_on_their_order(void)
{
    UNIT_STR_EQ(modes("HALane On App\nHALane Off\n"), "off off");
    UNIT_STR_EQ(modes("HALane Off\nHALane On App\n"), "off off");
    UNIT_STR_EQ(modes("HALane Off App\nHALane On\n"), "off on");
    UNIT_STR_EQ(modes("HALane On\nHALane Off App\n"), "off on");
    UNIT_STR_EQ(modes("HALane Off App\nHALane Require App\n"), "off unset");
    UNIT_STR_EQ(modes("HALane Require App\nHALane On App\n"), "require unset");
    UNIT_STR_EQ(honour_verdict("SetEnv x y\nHeader edit X a b\nHALane On App ignore=SetEnv\n"
                               "HALane On ignore=Header\n"),
                "/App lane");
}

static void the_main_server_says_it_for_virtual_hosts_too(void)
{
    const char *own = "<VirtualHost a>\nHALane Off App\n</VirtualHost>\n<VirtualHost b>\n"
                      "ServerName b\n</VirtualHost>\n";
    UNIT_STR_EQ(modes(apr_pstrcat(unit_pool, "HALane On App\n", own, NULL)),
                "on unset | off unset | on unset");
    UNIT_STR_EQ(modes("HALane Off App\n<VirtualHost a>\nHALane On App\n</VirtualHost>\n"),
                "off unset | off unset");
    UNIT_STR_EQ(modes("HALane Off\n<VirtualHost a>\nHALane On App\n</VirtualHost>\n"),
                "off off | off off");
    UNIT_STR_EQ(modes("HALane On App\n<VirtualHost a>\nHALane Off\n</VirtualHost>\n"),
                "on unset | off off");
    UNIT_STR_EQ(modes("<VirtualHost a>\nHABalancer Own\n</VirtualHost>\n<VirtualHost b>\n"
                      "HALane On Own\n</VirtualHost>\n"),
                "x.conf:13: HALane names Own, but there is no HABalancer Own: correct the name");
    UNIT_STR_EQ(modes("HALane On Own\n<VirtualHost a>\nHABalancer Own\n</VirtualHost>\n"),
                "unset unset | unset unset");
}

/* --- sections -------------------------------------------------------------------------------- */

static void a_location_acts_where_it_lies(void)
{
    static const struct {
        const char *path, *verdict;
    } rows[] = {
        {"/App", "/App Require:7"},
        {"/App/", "/App Require:7"},
        {"/", "/App Require:7"},
        {"/App/admin", "/App lane /App/admin! Require:7"},
        {"/App/a/b/", "/App lane /App/a/b! Require:7"},
        {"/Apple", "/App lane"},
        {"/Ap", "/App lane"},
        {"/other", "/App lane"},
        {"/app", "/App lane"},
        {"/A*", "/App Require:7"},
        {"/other/*", "/App lane"},
        {"/App/x/*", "/App lane /App/x! Require:7"},
        {"/App/ad*", "/App Require:7"},
        {"http://x/", "/App lane"},
        {"~ /admin", "/App Require:7"},
        {"~ ^/x", "/App lane"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        UNIT_STR_EQ(honour_verdict(apr_pstrcat(unit_pool, "<Location ", rows[i].path,
                                               ">\nRequire valid-user\n</Location>\n", NULL)),
                    rows[i].verdict);
    }
}

static void a_pattern_acts_unless_its_beginning_shows_that_it_cannot(void)
{
    static const struct {
        const char *pattern, *verdict;
    } rows[] = {
        {"\\.php$", "/App Require:7"},
        {"^/App", "/App Require:7"},
        {"^/other", "/App lane"},
        {"^/(App|x)", "/App Require:7"},
        {"^/x|^/App", "/App Require:7"},
        {"^/x/(a|b)", "/App lane"},
        {"^/App/x/", "/App lane /App/x! Require:7"},
        {"^/App/x/?$", "/App lane /App/x! Require:7"},
        {"^/App/xy?", "/App Require:7"},
        {"^/$", "/App lane"},
        {"^/?$", "/App lane"},
        {"^/A?pp", "/App Require:7"},
        {"^/x?App", "/App Require:7"},
        {"^/x+App", "/App lane"},
        {"^/[a|]x|", "/App Require:7"},
        {"^/APP/x/", "/App Require:7"},
        {"^/App$", "/App Require:7"},
        {"^/App\\.x", "/App lane"},
        {"^", "/App Require:7"},
        {"", "/App Require:7"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        UNIT_STR_EQ(
            honour_verdict(apr_pstrcat(unit_pool, "<LocationMatch \"", rows[i].pattern,
                                       "\">\nRequire valid-user\n</LocationMatch>\n", NULL)),
            rows[i].verdict);
    }
}

static void what_may_hold_or_not_blocks_with_all_that_is_in_it(void)
{
    UNIT_STR_EQ(honour_verdict("<If \"true\">\nHeader set X y\n</If>\n"), "/App Header:7");
    UNIT_STR_EQ(honour_verdict("<If \"true\">\nOptions None\n</If>\n<Else>\nProxyPreserveHost On\n"
                               "</Else>\n"),
                "/App ProxyPreserveHost:10");
    UNIT_STR_EQ(honour_verdict("<Location /App>\n<Limit POST>\nRequire valid-user\n</Limit>\n"
                               "</Location>\n"),
                "/App Require:8");
    UNIT_STR_EQ(honour_verdict("<Location /App/x>\n<LimitExcept GET>\nDeny from all\n"
                               "</LimitExcept>\n</Location>\n"),
                "/App lane /App/x! Deny:8");
}

static void files_and_directories_are_not_asked(void)
{
    UNIT_STR_EQ(
        honour_verdict("<Directory />\nRequire all denied\n<If \"1\">\nHeader set X y\n"
                       "</If>\n</Directory>\n<FilesMatch x>\nSetHandler y\n</FilesMatch>\n"),
        "/App lane");
}

static void sections_that_httpd_has_resolved_count_as_what_is_in_them(void)
{
    UNIT_STR_EQ(honour_verdict("<IfModule x>\n<IfDefine y>\n<Location /App>\n<RequireAny>\n"
                               "Require all granted\nRequire ip 10\n</RequireAny>\n</Location>\n"
                               "</IfDefine>\n</IfModule>\n"),
                "/App Require:11");
    UNIT_STR_EQ(honour_verdict("<Location /App>\n<RequireNone>\nRequire all granted\n"
                               "</RequireNone>\n</Location>\n"),
                "/App RequireNone:7");
}

static void a_proxy_section_acts_on_targets_that_begin_with_it(void)
{
    static const struct {
        const char *name, *verdict;
    } rows[] = {
        {"balancer://App", "/App SetEnv:7"},
        {"*", "/App SetEnv:7"},
        {"balancer://App/App", "/App SetEnv:7"},
        {"balancer://Other", "/App lane"},
        {"balancer://app", "/App SetEnv:7"},
        {"balancer://*", "/App SetEnv:7"},
        {"http://a:1", "/App lane"},
        {"balancer://App/x", "/App lane"},
        {"balancer://App/App/x/y", "/App lane /App/x! SetEnv:7"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        UNIT_STR_EQ(honour_verdict(apr_pstrcat(unit_pool, "<Proxy \"", rows[i].name,
                                               "\">\nSetEnv x y\n</Proxy>\n", NULL)),
                    rows[i].verdict);
    }
    UNIT_STR_EQ(honour_verdict("<ProxyMatch ^http:>\nSetEnv x y\n</ProxyMatch>\n"), "/App lane");
    UNIT_STR_EQ(honour_verdict("<ProxyMatch App>\nSetEnv x y\n</ProxyMatch>\n"), "/App SetEnv:7");
}

static void a_virtual_host_has_what_the_main_server_has(void)
{
    UNIT_STR_EQ(honour_verdict("<VirtualHost a>\nServerName a\n</VirtualHost>\n<VirtualHost b>\n"
                               "SetEnv x y\n</VirtualHost>\n"),
                "/App lane 6| /App lane 9| /App SetEnv:10");
    UNIT_STR_EQ(honour_verdict("<VirtualHost a>\nProxyPass /b balancer://App/b\n</VirtualHost>\n"
                               "SetEnv x y\n"),
                "/App SetEnv:9 6| /App SetEnv:9 /b SetEnv:9");
    UNIT_STR_EQ(honour_verdict("<VirtualHost a>\n<Location /App/x>\nRequire valid-user\n"
                               "</Location>\n</VirtualHost>\n<Location /App/y>\n"
                               "Require valid-user\n</Location>\n"),
                "/App lane /App/y! Require:12 6| /App lane /App/y! Require:12 /App/x! Require:8");
}

static void a_part_within_a_part_is_one_part(void)
{
    UNIT_STR_EQ(honour_verdict("<Location /App/x/y>\nDeny from a\n</Location>\n"
                               "<Location /App/x>\nDeny from b\n</Location>\n"
                               "<Location /App/x/z>\nDeny from c\n</Location>\n"),
                "/App lane /App/x! Deny:10");
}

/* --- trees that are not from a file ---------------------------------------------------------- */

static void a_tree_can_be_filled_as_httpd_has_it(void)
{
    hap_diag_t diag;
    apr_array_header_t *servers = NULL;
    hap_honour_tree_t *tree = hap_honour_tree_make(unit_pool);
    hap_honour_node_t *proxy =
        hap_honour_add(tree, NULL, "<Proxy", "\"balancer://App\">", "/etc/a.conf", 3);
    hap_honour_add(tree, proxy, "BalancerMember", "\"http://a:1\" route=a", "/etc/a.conf", 4);
    hap_honour_add(tree, NULL, "ProxyPass", "\"/App\" \"balancer://App/App\"", "/etc/a.conf", 6);
    hap_honour_add(tree, NULL, "HABalancer", "App", "/etc/a.conf", 7);
    hap_honour_node_t *vhost =
        hap_honour_add(tree, NULL, "<VirtualHost", "*:80>", "/etc/b.conf", 1);
    hap_honour_add(tree, vhost, "Header", "edit X a b", "/etc/b.conf", 2);
    CU_ASSERT_EQUAL(hap_honour_judge(&servers, tree, HAP_HONOUR_CAN_ALL, &diag, unit_pool),
                    APR_SUCCESS);
    const hap_honour_server_t *main = &APR_ARRAY_IDX(servers, 0, hap_honour_server_t);
    const hap_honour_server_t *host = &APR_ARRAY_IDX(servers, 1, hap_honour_server_t);
    CU_ASSERT(APR_ARRAY_IDX(main->mounts, 0, hap_honour_mount_t).lane);
    const hap_honour_mount_t *mount = &APR_ARRAY_IDX(host->mounts, 0, hap_honour_mount_t);
    CU_ASSERT_FALSE(mount->lane);
    UNIT_STR_EQ(hap_honour_reason_text(&mount->reason, NULL, unit_pool),
                "Header (/etc/b.conf:2) acts on it: it edits, copies or tests fields, which only "
                "httpd does");
}

static void what_stands_in_no_file_is_named_alone(void)
{
    hap_diag_t diag;
    apr_array_header_t *servers = NULL;
    hap_honour_tree_t *tree = hap_honour_tree_make(unit_pool);
    hap_honour_add(tree, NULL, "LoadModule", "x_module", NULL, 0);
    hap_honour_add(tree, NULL, "BalancerMember", "balancer://App http://a:1", "a", 1);
    hap_honour_add(tree, NULL, "ProxyPass", "/App balancer://App/App", "a", 2);
    hap_honour_add(tree, NULL, "HABalancer", "App", "a", 3);
    hap_honour_judge(&servers, tree, HAP_HONOUR_CAN_ALL, &diag, unit_pool);
    const hap_honour_server_t *server = &APR_ARRAY_IDX(servers, 0, hap_honour_server_t);
    const hap_honour_mount_t *mount = &APR_ARRAY_IDX(server->mounts, 0, hap_honour_mount_t);
    UNIT_STR_EQ(hap_honour_reason_text(&mount->reason, NULL, unit_pool),
                "LoadModule acts on it: it adds x_module, which is not known here and may act by "
                "itself");
}

static void endless_nesting_is_refused(void)
{
    hap_diag_t diag;
    hap_conf_t conf;
    const char *text = "Timeout 5\n";
    for (int i = 0; i < 70; i++) {
        text = apr_pstrcat(unit_pool, "<IfDefine x>\n", text, "</IfDefine>\n", NULL);
    }
    CU_ASSERT_EQUAL(hap_conf_parse(&conf, hap_str(text), &diag, unit_pool), APR_SUCCESS);
    CU_ASSERT_PTR_NULL(
        hap_honour_add_conf(hap_honour_tree_make(unit_pool), NULL, &conf.directives[0], "x.conf"));
}

const unit_test_t suite_honour[] = {
    UNIT_TEST(a_mount_alone_is_the_lanes),
    UNIT_TEST(only_mounts_of_our_balancers_are_judged),
    UNIT_TEST(a_fresh_debian_with_a_merged_file_is_the_lanes),
    UNIT_TEST(each_directive_that_debian_enables_leaves_the_mount_to_the_lane),
    UNIT_TEST(at_the_root_debian_keeps_some_paths_on_the_standard_path),
    UNIT_TEST(what_blocks_is_named_with_its_line),
    UNIT_TEST(what_is_not_known_blocks),
    UNIT_TEST(a_module_that_is_not_known_blocks_though_it_has_no_directive),
    UNIT_TEST(a_value_that_does_nothing_does_not_block),
    UNIT_TEST(a_value_that_does_something_blocks),
    UNIT_TEST(access_of_the_old_kind_that_lets_all_in_does_not_block),
    UNIT_TEST(each_feature_can_be_off),
    UNIT_TEST(every_row_of_the_table_has_words),
    UNIT_TEST(a_directive_can_be_waived_by_its_name),
    UNIT_TEST(what_is_waived_must_be_a_directive),
    UNIT_TEST(off_keeps_all_on_the_standard_path),
    UNIT_TEST(halane_holds_for_the_balancers_that_it_names),
    UNIT_TEST(what_several_say_of_a_balancer_does_not_depend_on_their_order),
    UNIT_TEST(the_main_server_says_it_for_virtual_hosts_too),
    UNIT_TEST(a_location_acts_where_it_lies),
    UNIT_TEST(a_pattern_acts_unless_its_beginning_shows_that_it_cannot),
    UNIT_TEST(what_may_hold_or_not_blocks_with_all_that_is_in_it),
    UNIT_TEST(files_and_directories_are_not_asked),
    UNIT_TEST(sections_that_httpd_has_resolved_count_as_what_is_in_them),
    UNIT_TEST(a_proxy_section_acts_on_targets_that_begin_with_it),
    UNIT_TEST(a_virtual_host_has_what_the_main_server_has),
    UNIT_TEST(a_part_within_a_part_is_one_part),
    UNIT_TEST(a_tree_can_be_filled_as_httpd_has_it),
    UNIT_TEST(what_stands_in_no_file_is_named_alone),
    UNIT_TEST(endless_nesting_is_refused),
    UNIT_END,
};
