/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hap_honour: what the lane is told of the directives that it honours. */
#include "unit.h"

#include <apr_strings.h>

#include "honour.h"

static void without_directives_the_values_are_httpds_defaults(void)
{
    const hap_honour_values_t *v = honour_values("");
    CU_ASSERT_EQUAL(v->timeout, apr_time_from_sec(60));
    CU_ASSERT_EQUAL(v->keep_alive_timeout, apr_time_from_sec(5));
    CU_ASSERT(v->keep_alive);
    CU_ASSERT_EQUAL(v->requests_max, 100);
    CU_ASSERT_EQUAL(v->line_bytes_max, 8190);
    CU_ASSERT_EQUAL(v->field_bytes_max, 8190);
    CU_ASSERT_EQUAL(v->fields_max, 100);
    CU_ASSERT_EQUAL(v->proxy_timeout, 0);
    CU_ASSERT_FALSE(v->preserve_host);
    CU_ASSERT(v->add_headers);
    CU_ASSERT_EQUAL(v->via, HAP_HONOUR_VIA_OFF);
    CU_ASSERT_EQUAL(v->trace, HAP_HONOUR_TRACE_ON);
    CU_ASSERT_PTR_NULL(v->charset);
    CU_ASSERT_FALSE(v->header.set);
    CU_ASSERT_EQUAL(v->header.max_s, 40);
    CU_ASSERT_EQUAL(v->logs->nelts, 0);
}

static void numbers_times_and_switches_are_taken(void)
{
    const hap_honour_values_t *v =
        honour_values("Timeout 300\nKeepAlive Off\nKeepAliveTimeout 500ms\nMaxKeepAliveRequests 0\n"
                      "LimitRequestLine 4096\nLimitRequestFieldSize 1024\nLimitRequestFields 50\n"
                      "ProxyTimeout 7\nProxyPreserveHost on\nProxyAddHeaders Off\nProxyVia Full\n"
                      "TraceEnable extended\nUseCanonicalName On\nUseCanonicalPhysicalPort On\n"
                      "ServerTokens Prod\nServerSignature EMail\nAddDefaultCharset On\n");
    CU_ASSERT_EQUAL(v->timeout, apr_time_from_sec(300));
    CU_ASSERT_FALSE(v->keep_alive);
    CU_ASSERT_EQUAL(v->keep_alive_timeout, 500000);
    CU_ASSERT_EQUAL(v->requests_max, 0);
    CU_ASSERT_EQUAL(v->line_bytes_max, 4096);
    CU_ASSERT_EQUAL(v->field_bytes_max, 1024);
    CU_ASSERT_EQUAL(v->fields_max, 50);
    CU_ASSERT_EQUAL(v->proxy_timeout, apr_time_from_sec(7));
    CU_ASSERT(v->preserve_host);
    CU_ASSERT_FALSE(v->add_headers);
    CU_ASSERT_EQUAL(v->via, HAP_HONOUR_VIA_FULL);
    CU_ASSERT_EQUAL(v->trace, HAP_HONOUR_TRACE_EXTENDED);
    CU_ASSERT(v->canonical_name && v->physical_port);
    UNIT_STR_EQ(v->server_tokens, "Prod");
    UNIT_STR_EQ(v->server_signature, "EMail");
    UNIT_STR_EQ(v->charset, "iso-8859-1");
}

static void the_nearest_word_counts(void)
{
    const char *text = "Timeout 1\n<Location /App>\nProxyPreserveHost Off\n</Location>\n"
                       "<Proxy *>\nProxyPreserveHost On\n</Proxy>\nProxyPreserveHost On\n"
                       "<VirtualHost a>\nTimeout 2\n<Location />\nProxyAddHeaders Off\n"
                       "</Location>\n</VirtualHost>\n";
    const hap_honour_values_t *main = &honour_mount(text, 0, 0)->values;
    const hap_honour_values_t *host = &honour_mount(text, 1, 0)->values;
    CU_ASSERT_FALSE(main->preserve_host);
    CU_ASSERT(main->add_headers);
    CU_ASSERT_FALSE(host->add_headers);
    CU_ASSERT_EQUAL(main->timeout, apr_time_from_sec(1));
    CU_ASSERT_EQUAL(host->timeout, apr_time_from_sec(2));
}

/* All rows as FAKE<REAL, with commas. */
static const char *maps(const apr_array_header_t *list)
{
    const char *shown = "";
    for (int i = 0; i < list->nelts; i++) {
        const hap_honour_map_t *map = &APR_ARRAY_IDX(list, i, hap_honour_map_t);
        shown = apr_pstrcat(unit_pool, shown, i ? ", " : "", map->fake, "<", map->real, NULL);
    }
    return shown;
}

static void reverse_maps_are_collected_from_servers_and_locations(void)
{
    const hap_honour_values_t *v =
        honour_values("ProxyPassReverse /App balancer://App/App\n<Location /App>\n"
                      "ProxyPassReverse http://a:1/App\nProxyPassReverseCookiePath /in /App\n"
                      "</Location>\nProxyPassReverseCookieDomain in.example out.example\n");
    UNIT_STR_EQ(maps(v->reverses), "/App<balancer://App/App, /App<http://a:1/App");
    UNIT_STR_EQ(maps(v->cookie_paths), "/App</in");
    UNIT_STR_EQ(maps(v->cookie_domains), "out.example<in.example");
}

static void a_value_for_a_part_keeps_that_part_on_the_standard_path(void)
{
    UNIT_STR_EQ(honour_verdict("<Location /App/x>\nProxyPassReverse http://a:1/x\n</Location>\n"),
                "/App lane /App/x! ProxyPassReverse:7");
    UNIT_STR_EQ(honour_verdict("<Proxy balancer://App>\nProxyPassReverse http://a:1/x\n</Proxy>\n"),
                "/App ProxyPassReverse:7");
    UNIT_STR_EQ(honour_verdict("<LocationMatch x>\nProxyPreserveHost On\n</LocationMatch>\n"),
                "/App ProxyPreserveHost:7");
}

static void read_timeouts_are_taken_by_stage(void)
{
    const hap_honour_values_t *v =
        honour_values("RequestReadTimeout header=20-40,MinRate=500 body=10,minrate=100\n"
                      "RequestReadTimeout handshake=0 BODY=7\n");
    CU_ASSERT(v->header.set && v->header.timeout_s == 20 && v->header.max_s == 40);
    CU_ASSERT_EQUAL(v->header.rate_bytes, 500);
    CU_ASSERT(v->body.set && v->body.timeout_s == 7 && v->body.rate_bytes == 0);
    CU_ASSERT(v->handshake.set && v->handshake.timeout_s == 0);
    UNIT_STR_EQ(honour_verdict("RequestReadTimeout header=20-40\n"), "/App RequestReadTimeout:6");
    UNIT_STR_EQ(honour_verdict("RequestReadTimeout header=\n"), "/App RequestReadTimeout:6");
}

/* They hold on a connection before it is known which virtual host is meant. */
static void each_server_has_its_time_for_heads(void)
{
    const char *why;
    const apr_array_header_t *servers =
        honour_servers(&why,
                       "<VirtualHost *>\nRequestReadTimeout body=1\n</VirtualHost>\n"
                       "<VirtualHost *>\nRequestReadTimeout header=5\n</VirtualHost>\n"
                       "RequestReadTimeout header=20-40,minrate=500\n",
                       0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(servers);
    CU_ASSERT_EQUAL_FATAL(servers->nelts, 3);
    const hap_honour_server_t *server = (const void *)servers->elts;
    CU_ASSERT_EQUAL(server[0].header.max_s, 40);
    CU_ASSERT_EQUAL(server[1].header.max_s, 40);
    CU_ASSERT(server[2].header.timeout_s == 5 && server[2].header.max_s == 0);
}

/* All edits as OP FIELD=VALUE, with "!" for always and "<" for early. */
static const char *edits(const apr_array_header_t *list)
{
    static const char *const ops[] = {"set", "append", "add", "unset", "merge"};
    const char *shown = "";
    for (int i = 0; i < list->nelts; i++) {
        const hap_honour_edit_t *edit = &APR_ARRAY_IDX(list, i, hap_honour_edit_t);
        shown = apr_psprintf(unit_pool, "%s%s%s %s=%s%s%s", shown, i ? ", " : "", ops[edit->op],
                             edit->field, edit->value ? edit->value : "", edit->always ? "!" : "",
                             edit->early ? "<" : "");
    }
    return shown;
}

static void constant_headers_are_taken_in_order(void)
{
    const hap_honour_values_t *v =
        honour_values("Header set X-A: \"a b\"\nHeader always append X-B 100%%\n"
                      "Header onsuccess unset X-C\n<Location /App>\nHeader merge X-D d\n"
                      "</Location>\nHeader add X-E e\nRequestHeader unset Proxy early\n"
                      "RequestHeader set X-Forwarded-Proto https\n");
    UNIT_STR_EQ(edits(v->headers),
                "set X-A=a b, append X-B=100%!, unset X-C=, add X-E=e, merge X-D=d");
    UNIT_STR_EQ(edits(v->request_headers), "unset Proxy=<, set X-Forwarded-Proto=https");
}

static void headers_that_depend_on_the_request_block(void)
{
    static const char *const lines[] = {
        "Header set X y env=z",
        "Header set X %t",
        "Header set X \"%{FOO}e\"",
        "Header edit X a b",
        "Header edit* X a b",
        "Header echo ^X",
        "Header note X y",
        "Header set X y expr=true",
        "Header set X expr=%{HTTP_HOST}",
        "Header unset X env=z",
        "Header setifempty X y",
        "Header set Connection close",
        "Header unset Content-Length",
        "Header set X y z",
        "Header set X 5%",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        UNIT_STR_EQ(honour_verdict(apr_pstrcat(unit_pool, lines[i], "\n", NULL)), "/App Header:6");
        UNIT_STR_EQ(honour_verdict(apr_pstrcat(unit_pool, "Request", lines[i], "\n", NULL)),
                    "/App RequestHeader:6");
    }
    UNIT_STR_EQ(honour_verdict("RequestHeader always set X y\n"), "/App RequestHeader:6");
}

static void headers_that_the_lane_writes_or_cannot_see_in_time_block(void)
{
    static const char *const answers[] = {
        "Header append Location /x", "Header merge Set-Cookie a=b", "Header unset Via",
        "Header unset Content-Type", "Header always set X y early",
    };
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        UNIT_STR_EQ(honour_verdict(apr_pstrcat(unit_pool, answers[i], "\n", NULL)),
                    "/App Header:6");
    }
    UNIT_STR_EQ(honour_verdict("Header set Location /x\nHeader unset Set-Cookie\n"), "/App lane");
    UNIT_STR_EQ(honour_verdict("RequestHeader unset User-Agent early\n"), "/App RequestHeader:6");
    UNIT_STR_EQ(honour_verdict("<Location /App>\nRequestHeader set X y early\n</Location>\n"),
                "/App RequestHeader:7");
    UNIT_STR_EQ(honour_verdict("RequestHeader unset User-Agent\nRequestHeader set Via x\n"),
                "/App lane");
}

static void patterns_on_user_agent_are_collected(void)
{
    const hap_honour_values_t *v =
        honour_values("BrowserMatch MSIE nokeepalive\nBrowserMatchNoCase Old a b\n"
                      "SetEnvIf User-Agent ^x y\nSetEnvIfNoCase user-agent z !y\n");
    const char *shown = "";
    for (int i = 0; i < v->agents->nelts; i++) {
        const hap_honour_agent_t *agent = &APR_ARRAY_IDX(v->agents, i, hap_honour_agent_t);
        shown = apr_pstrcat(unit_pool, shown, agent->pattern, agent->nocase ? "/i " : "/ ", NULL);
    }
    UNIT_STR_EQ(shown, "MSIE/ Old/i ^x/ z/i ");
    UNIT_STR_EQ(honour_why("SetEnvIf Request_URI x y\n"),
                "SetEnvIf (x.conf:6) acts on it: it sets variables by something else than "
                "User-Agent");
    UNIT_STR_EQ(honour_verdict("SetEnvIf ^User-Agent$ x y\n"), "/App SetEnvIf:6");
}

static const char *types(const hap_honour_values_t *v)
{
    return apr_array_pstrcat(unit_pool, v->deflate, ',');
}

static void compressed_types_of_the_nearest_scope_count(void)
{
    const char *text = "AddOutputFilterByType DEFLATE text/html text/plain\n"
                       "AddOutputFilterByType deflate text/css\nDeflateCompressionLevel 9\n"
                       "<VirtualHost a>\nAddOutputFilterByType DEFLATE a/b\n</VirtualHost>\n";
    UNIT_STR_EQ(types(honour_values(text)), "text/html,text/plain,text/css");
    CU_ASSERT_EQUAL(honour_values(text)->deflate_level, 9);
    UNIT_STR_EQ(types(&honour_mount(text, 1, 0)->values), "a/b");
    UNIT_STR_EQ(honour_why("AddOutputFilterByType DEFLATE;SUBSTITUTE text/html\n"),
                "AddOutputFilterByType (x.conf:6) acts on it: it puts the filter SUBSTITUTE in "
                "place");
    UNIT_STR_EQ(honour_verdict("AddOutputFilterByType BROTLI_COMPRESS text/html\n"),
                "/App AddOutputFilterByType:6");
}

static void error_documents_of_a_status_replace_each_other(void)
{
    const hap_honour_values_t *v =
        honour_values("ErrorDocument 503 /sorry.html\nErrorDocument 404 \"not here\"\n"
                      "<Location /App>\nErrorDocument 503 default\n</Location>\n");
    CU_ASSERT_EQUAL(v->error_answers->nelts, 2);
    UNIT_STR_EQ(APR_ARRAY_IDX(v->error_answers, 0, hap_honour_error_t).document, "default");
    CU_ASSERT_EQUAL(APR_ARRAY_IDX(v->error_answers, 1, hap_honour_error_t).status, 404);
}

static void extensions_that_mod_mime_acts_on_are_for_httpd(void)
{
    const hap_honour_values_t *v =
        honour_values("AddLanguage de .de\nAddLanguage pt-BR .pt-br\nAddEncoding x-gzip GZ tgz\n"
                      "AddOutputFilter INCLUDES .shtml\nAddType text/html .htm\n");
    static const struct {
        const char *path;
        bool acts;
    } rows[] = {{"/App/a.de", true},    {"/App/a.DE.html", true}, {"/App/a.html.pt-br", true},
                {"/App/a.tgz", true},   {"/App/.de", false},      {"/App/..gz.x", false},
                {"/App/x.de/a", false}, {"/App/a.htm", false},    {"/App/de", false},
                {"/App/a..gz", true},   {"/App/a.", false},       {"/", false},
                {"/App/a.shtml", true}, {"/App/.a.gz", true}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CU_ASSERT_EQUAL(hap_honour_by_extension(v, hap_str(rows[i].path)), rows[i].acts);
    }
}

/* --- logs ------------------------------------------------------------------------------------ */

static const char *logs(const hap_honour_values_t *v)
{
    const char *shown = "";
    for (int i = 0; i < v->logs->nelts; i++) {
        const hap_honour_log_t *log = &APR_ARRAY_IDX(v->logs, i, hap_honour_log_t);
        shown = apr_pstrcat(unit_pool, shown, i ? ", " : "", log->to, "=", log->format,
                            log->env ? " " : "", log->env, NULL);
    }
    return shown;
}

static void logs_have_their_formats_whatever_the_order(void)
{
    UNIT_STR_EQ(logs(honour_values("CustomLog a.log short\nLogFormat \"%h %s\" short\n"
                                   "CustomLog b.log %U env=!quiet\nTransferLog c.log\n")),
                "a.log=%h %s, b.log=%U !quiet, c.log=%h %l %u %t \"%r\" %>s %b");
    UNIT_STR_EQ(logs(honour_values("TransferLog c.log\nLogFormat \"%m\"\n")), "c.log=%m");
}

static void a_virtual_host_with_a_log_has_no_other(void)
{
    const char *text = "CustomLog main.log %h\nGlobalLog all.log %h\n<VirtualHost a>\n"
                       "CustomLog own.log x\nLogFormat %U x\n</VirtualHost>\n<VirtualHost b>\n"
                       "LogFormat %U x\n</VirtualHost>\n";
    UNIT_STR_EQ(logs(&honour_mount(text, 0, 0)->values), "main.log=%h, all.log=%h");
    UNIT_STR_EQ(logs(&honour_mount(text, 1, 0)->values), "all.log=%h, own.log=%U");
    UNIT_STR_EQ(logs(&honour_mount(text, 2, 0)->values), "main.log=%h, all.log=%h");
    UNIT_STR_EQ(honour_verdict("CustomLog main.log %h expr=true\n<VirtualHost a>\n"
                               "CustomLog own.log %h\n</VirtualHost>\n"),
                "/App CustomLog:6 7| /App lane");
}

static void a_log_that_the_lane_cannot_fill_in_blocks(void)
{
    UNIT_STR_EQ(honour_why("LogFormat \"%h %{ratio}n\" x\nCustomLog a.log x\n"),
                "CustomLog (x.conf:7) acts on it: it logs %{ratio}n, which the lane does not know");
    UNIT_STR_EQ(honour_why("CustomLog a.log %{UNIQUE_ID}e\n"),
                "CustomLog (x.conf:6) acts on it: it logs the variable UNIQUE_ID, which the lane "
                "does not know");
    UNIT_STR_EQ(honour_why("CustomLog a.log %h expr=true\n"),
                "CustomLog (x.conf:6) acts on it: it has a condition that only httpd can test");
    UNIT_STR_EQ(honour_verdict("CustomLog a.log %^FB\n"), "/App CustomLog:6");
    UNIT_STR_EQ(honour_verdict("CustomLog a.log %f\n"), "/App CustomLog:6");
    UNIT_STR_EQ(
        honour_why("CustomLog a.log \"%h %{Set-Cookie}o\"\n"),
        "CustomLog (x.conf:6) acts on it: it logs %{Set-Cookie}o, which the lane does not know");
    UNIT_STR_EQ(honour_verdict("CustomLog a.log \"%!200,304{Referer}i %{BALANCER_WORKER_ROUTE}e "
                               "%{ms}T %% \\%n %I %S %{SSL_PROTOCOL}x\"\n"),
                "/App lane");
    UNIT_STR_EQ(honour_verdict("LogFormat %{x}n unused\n"), "/App lane");
}

static void a_waived_directive_is_honoured_as_far_as_can_be(void)
{
    const hap_honour_values_t *v =
        honour_values("CustomLog a.log %h\nCustomLog b.log %{x}n\nHeader set A b\n"
                      "Header set A %t\n<Thing>\nOther 5\n</Thing>\nProxyPreserveHost On\n"
                      "HALane On ignore=CustomLog,Header,Thing\n");
    UNIT_STR_EQ(logs(v), "a.log=%h");
    UNIT_STR_EQ(edits(v->headers), "set A=b");
    CU_ASSERT(v->preserve_host);
}

const unit_test_t suite_honour_values[] = {
    UNIT_TEST(without_directives_the_values_are_httpds_defaults),
    UNIT_TEST(numbers_times_and_switches_are_taken),
    UNIT_TEST(the_nearest_word_counts),
    UNIT_TEST(reverse_maps_are_collected_from_servers_and_locations),
    UNIT_TEST(a_value_for_a_part_keeps_that_part_on_the_standard_path),
    UNIT_TEST(read_timeouts_are_taken_by_stage),
    UNIT_TEST(each_server_has_its_time_for_heads),
    UNIT_TEST(constant_headers_are_taken_in_order),
    UNIT_TEST(headers_that_depend_on_the_request_block),
    UNIT_TEST(headers_that_the_lane_writes_or_cannot_see_in_time_block),
    UNIT_TEST(patterns_on_user_agent_are_collected),
    UNIT_TEST(compressed_types_of_the_nearest_scope_count),
    UNIT_TEST(error_documents_of_a_status_replace_each_other),
    UNIT_TEST(extensions_that_mod_mime_acts_on_are_for_httpd),
    UNIT_TEST(logs_have_their_formats_whatever_the_order),
    UNIT_TEST(a_virtual_host_with_a_log_has_no_other),
    UNIT_TEST(a_log_that_the_lane_cannot_fill_in_blocks),
    UNIT_TEST(a_waived_directive_is_honoured_as_far_as_can_be),
    UNIT_END,
};
