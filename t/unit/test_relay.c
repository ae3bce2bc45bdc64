/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hap_relay: the heads that go out to members, byte for byte. */
#include "unit.h"

#include <stdlib.h>

#include <apr_strings.h>

#include "hap_relay.h"
#include "heads.h"

enum { OUT_BYTES = 8192 };

static hap_http1_request_t request;

/* Starting points, which tests change. */
static const hap_relay_t app = {
    .from = {"/App", 4},
    .to = {"/App", 4},
    .server_name = {"front", 5},
};
static const hap_relay_to_t to_hosta = {
    .relay = &app,
    .host = {"hosta:8080", 10},
    .client = {"192.0.2.1", 9},
};

static void read_request(const char *text)
{
    static const hap_http1_limits_t limits = {.line_bytes = 200, .field_bytes = 200, .fields = 20};
    hap_str_t bytes = unit_sent(text);
    CU_ASSERT_EQUAL(hap_http1_request(&request, bytes.p, bytes.n, &limits), HAP_HTTP1_DONE);
}

/* What a member gets. */
static const char *to_member(const char *text, const hap_relay_to_t *to)
{
    char out[OUT_BYTES];
    read_request(text);
    return unit_shown(out, hap_relay_request(out, sizeof(out), &request, to));
}

static void a_request_goes_to_the_member_it_is_for(void)
{
    UNIT_STR_EQ(to_member("GET /App/page;a=b?q=1 HTTP/1.1\n"
                          "Accept:  text/html \n"
                          "host: front\n"
                          "X-Empty:\n"
                          "Cookie: zsessionid=a.b\n"
                          "\n",
                          &to_hosta),
                "GET /App/page;a=b?q=1 HTTP/1.1\n"
                "Host: hosta:8080\n"
                "Accept: text/html\n"
                "X-Empty: \n"
                "Cookie: zsessionid=a.b\n"
                "Connection: Keep-Alive\n"
                "\n");
}

static void a_request_of_http10_becomes_one_of_http11(void)
{
    UNIT_STR_EQ(
        to_member("HEAD /App/ HTTP/1.0\nHost: front\nConnection: keep-alive\n\n", &to_hosta),
        "HEAD /App/ HTTP/1.1\nHost: hosta:8080\nConnection: Keep-Alive\n\n");
}

static void the_path_is_the_one_that_members_know(void)
{
    hap_relay_t relay = {.from = HAP_STR_LIT("/shop"), .to = HAP_STR_LIT("/App")};
    hap_relay_to_t to = to_hosta;
    to.relay = &relay;
    const char *rest = "\nHost: hosta:8080\nConnection: Keep-Alive\n\n";
    UNIT_STR_EQ(to_member("GET /shop HTTP/1.1\nHost: a\n\n", &to),
                apr_pstrcat(unit_pool, "GET /App HTTP/1.1", rest, NULL));
    UNIT_STR_EQ(to_member("GET /shop/x?/shop HTTP/1.1\nHost: a\n\n", &to),
                apr_pstrcat(unit_pool, "GET /App/x?/shop HTTP/1.1", rest, NULL));
    to.base = HAP_STR_LIT("/base");
    UNIT_STR_EQ(to_member("GET /shop/x HTTP/1.1\nHost: a\n\n", &to),
                apr_pstrcat(unit_pool, "GET /base/App/x HTTP/1.1", rest, NULL));
    relay.from = relay.to = HAP_STR_LIT("/");
    UNIT_STR_EQ(to_member("GET /x HTTP/1.1\nHost: a\n\n", &to),
                apr_pstrcat(unit_pool, "GET /base/x HTTP/1.1", rest, NULL));
}

/* ProxyPass "/App" "balancer://App": it was "GET  HTTP/1.1", and "GET ?q HTTP/1.1". */
static void a_mount_that_stands_for_the_root_leaves_a_path(void)
{
    hap_relay_t relay = {.from = HAP_STR_LIT("/App")};
    hap_relay_to_t to = to_hosta;
    to.relay = &relay;
    const char *rest = "\nHost: hosta:8080\nConnection: Keep-Alive\n\n";
    UNIT_STR_EQ(to_member("GET /App HTTP/1.1\nHost: a\n\n", &to),
                apr_pstrcat(unit_pool, "GET / HTTP/1.1", rest, NULL));
    UNIT_STR_EQ(to_member("GET /App?q HTTP/1.1\nHost: a\n\n", &to),
                apr_pstrcat(unit_pool, "GET /?q HTTP/1.1", rest, NULL));
    UNIT_STR_EQ(to_member("GET /App/x HTTP/1.1\nHost: a\n\n", &to),
                apr_pstrcat(unit_pool, "GET /x HTTP/1.1", rest, NULL));
}

static void the_host_is_kept_when_that_is_configured(void)
{
    hap_relay_t relay = app;
    hap_relay_to_t to = to_hosta;
    to.relay = &relay;
    relay.preserve_host = true;
    UNIT_STR_EQ(to_member("GET /App HTTP/1.1\nX: y\nHost: front:81\n\n", &to),
                "GET /App HTTP/1.1\nHost: front:81\nX: y\nConnection: Keep-Alive\n\n");
}

static void what_is_for_this_connection_stays_here(void)
{
    UNIT_STR_EQ(to_member("GET /App HTTP/1.1\n"
                          "Host: a\n"
                          "Connection: close, X-Own, x-two\n"
                          "X-Own: 1\n"
                          "X-TWO: 2\n"
                          "x-own: 3\n"
                          "X-Other: 4\n"
                          "Keep-Alive: 5\n"
                          "Proxy-Connection: keep-alive\n"
                          "TE: trailers\n"
                          "Trailer: X-Sum\n"
                          "Upgrade: h2c\n"
                          "\n",
                          &to_hosta),
                "GET /App HTTP/1.1\n"
                "Host: hosta:8080\n"
                "X-Other: 4\n"
                "Connection: Keep-Alive\n"
                "\n");
}

static void the_framing_of_a_request_and_its_expectation_stay(void)
{
    UNIT_STR_EQ(to_member("POST /App HTTP/1.1\nHost: a\nContent-Length: 05\n"
                          "Expect: 100-continue\n\n",
                          &to_hosta),
                "POST /App HTTP/1.1\nHost: hosta:8080\nContent-Length: 05\n"
                "Expect: 100-continue\nConnection: Keep-Alive\n\n");
    UNIT_STR_EQ(to_member("POST /App HTTP/1.1\nHost: a\nTransfer-Encoding: Chunked\n"
                          "Connection: transfer-encoding\n\n",
                          &to_hosta),
                "POST /App HTTP/1.1\nHost: hosta:8080\nTransfer-Encoding: Chunked\n"
                "Connection: Keep-Alive\n\n");
}

static void an_upgrade_is_passed_on_only_where_it_may(void)
{
    static const char asked[] = "GET /App/ws HTTP/1.1\nHost: a\nUpgrade: websocket\n"
                                "Connection: Upgrade\nSec-WebSocket-Version: 13\n\n";
    hap_relay_to_t to = to_hosta;
    to.upgrade = true;
    UNIT_STR_EQ(to_member(asked, &to),
                "GET /App/ws HTTP/1.1\nHost: hosta:8080\nSec-WebSocket-Version: 13\n"
                "Upgrade: websocket\nConnection: Upgrade\n\n");
    UNIT_STR_EQ(to_member(asked, &to_hosta),
                "GET /App/ws HTTP/1.1\nHost: hosta:8080\nSec-WebSocket-Version: 13\n"
                "Connection: Keep-Alive\n\n");
}

static void what_came_as_forwarded_is_merged_with_our_own(void)
{
    static const char asked[] = "GET /App HTTP/1.1\n"
                                "X-Forwarded-For: 198.51.100.1\n"
                                "Host: front:81\n"
                                "x-forwarded-for: 198.51.100.2, 198.51.100.3\n"
                                "X-Forwarded-Server: edge\n"
                                "\n";
    hap_relay_t relay = app;
    hap_relay_to_t to = to_hosta;
    to.relay = &relay;
    UNIT_STR_EQ(to_member(asked, &to), "GET /App HTTP/1.1\n"
                                       "Host: hosta:8080\n"
                                       "X-Forwarded-For: 198.51.100.1\n"
                                       "x-forwarded-for: 198.51.100.2, 198.51.100.3\n"
                                       "X-Forwarded-Server: edge\n"
                                       "Connection: Keep-Alive\n"
                                       "\n");
    relay.add_forwarded = true;
    UNIT_STR_EQ(to_member(asked, &to), "GET /App HTTP/1.1\n"
                                       "Host: hosta:8080\n"
                                       "X-Forwarded-For: 198.51.100.1, 198.51.100.2, 198.51.100.3, "
                                       "192.0.2.1\n"
                                       "X-Forwarded-Host: front:81\n"
                                       "X-Forwarded-Server: edge, front\n"
                                       "Connection: Keep-Alive\n"
                                       "\n");
}

/* Who names X-Forwarded-For in Connection has its own taken off, never ours. */
static void connection_cannot_take_our_own_forwarded_off(void)
{
    static const char asked[] = "GET /App HTTP/1.1\nHost: a\nX-Forwarded-For: 198.51.100.1\n"
                                "Connection: X-Forwarded-For, X-Forwarded-Host\n\n";
    hap_relay_t relay = app;
    hap_relay_to_t to = to_hosta;
    to.relay = &relay;
    UNIT_STR_EQ(to_member(asked, &to),
                "GET /App HTTP/1.1\nHost: hosta:8080\nConnection: Keep-Alive\n\n");
    relay.add_forwarded = true;
    UNIT_STR_EQ(to_member(asked, &to), "GET /App HTTP/1.1\n"
                                       "Host: hosta:8080\n"
                                       "X-Forwarded-For: 192.0.2.1\n"
                                       "X-Forwarded-Host: a\n"
                                       "X-Forwarded-Server: front\n"
                                       "Connection: Keep-Alive\n"
                                       "\n");
}

static void via_is_added_kept_or_blocked(void)
{
    static const char asked[] = "GET /App HTTP/1.0\nHost: a\nVia: 1.1 b\nX: y\nvia: 1.0 c (d)\n\n";
    hap_relay_t relay = app;
    hap_relay_to_t to = to_hosta;
    to.relay = &relay;
    UNIT_STR_EQ(to_member(asked, &to), "GET /App HTTP/1.1\nHost: hosta:8080\nVia: 1.1 b\nX: y\n"
                                       "via: 1.0 c (d)\nConnection: Keep-Alive\n\n");
    relay.via = HAP_STR_LIT("front:81");
    UNIT_STR_EQ(to_member(asked, &to), "GET /App HTTP/1.1\nHost: hosta:8080\nX: y\n"
                                       "Via: 1.1 b, 1.0 c (d), 1.0 front:81\n"
                                       "Connection: Keep-Alive\n\n");
    UNIT_STR_EQ(to_member("GET /App HTTP/1.1\nHost: a\n\n", &to),
                "GET /App HTTP/1.1\nHost: hosta:8080\nVia: 1.1 front:81\n"
                "Connection: Keep-Alive\n\n");
    relay.via = HAP_STR_LIT("");
    relay.via_block = true;
    UNIT_STR_EQ(to_member(asked, &to),
                "GET /App HTTP/1.1\nHost: hosta:8080\nX: y\nConnection: Keep-Alive\n\n");
}

static void fields_of_zones_never_reach_a_member_unless_the_proxy_adds_them(void)
{
    static const char asked[] = "GET /App HTTP/1.1\n"
                                "Host: a\n"
                                "HA-Session: 1\n"
                                "ha_session: 2\n"
                                "X-Own: 3\n"
                                "HA-Session_data: 4\n"
                                "Ha-FENCE: 5\n"
                                "HA_Session-Foo: 6\n"
                                "HA-Sessio: 7\n"
                                "Connection: HA-Session, ha_fence\n"
                                "\n";
    hap_relay_to_t to = to_hosta;
    UNIT_STR_EQ(to_member(asked, &to), "GET /App HTTP/1.1\n"
                                       "Host: hosta:8080\n"
                                       "X-Own: 3\n"
                                       "HA-Sessio: 7\n"
                                       "Connection: Keep-Alive\n"
                                       "\n");
    CU_ASSERT_TRUE(request.head.zone);
    to.extra = HAP_STR_LIT("HA-Fence: 8\r\nHA-Session: none\r\n");
    UNIT_STR_EQ(to_member(asked, &to), "GET /App HTTP/1.1\n"
                                       "Host: hosta:8080\n"
                                       "X-Own: 3\n"
                                       "HA-Sessio: 7\n"
                                       "HA-Fence: 8\n"
                                       "HA-Session: none\n"
                                       "Connection: Keep-Alive\n"
                                       "\n");
    read_request("GET /App HTTP/1.1\nHost: a\nX-Own: 3\n\n");
    CU_ASSERT_FALSE(request.head.zone);
}

static void requestheader_makes_no_field_of_zones(void)
{
    static const hap_edit_t rows[] = {
        {HAP_EDIT_SET, {"HA-Session", 10}, {"set", 3}},
        {HAP_EDIT_ADD, {"ha_session_data", 15}, {"added", 5}},
        {HAP_EDIT_APPEND, {"HA-Fence", 8}, {"appended", 8}},
        {HAP_EDIT_MERGE, {"HA-Session-Foo", 14}, {"merged", 6}},
        {HAP_EDIT_UNSET, {"HA-Session-Bar", 14}, {NULL, 0}},
    };
    static const hap_edit_rules_t rules = {.request = {rows, sizeof(rows) / sizeof(rows[0])}};
    static char made[OUT_BYTES];
    char out[OUT_BYTES];
    hap_edit_text_t text = {made, 0, sizeof(made)};
    read_request("GET /App HTTP/1.1\nHost: a\nHA-Session: 1\nHA-Fence: 2\nHA-Session-Foo: 3\n"
                 "HA-Session-Bar: 4\nConnection: HA-Fence\n\n");
    CU_ASSERT_TRUE(hap_edit_request(&request, &rules, &text));
    UNIT_STR_EQ(unit_shown(out, hap_relay_request(out, sizeof(out), &request, &to_hosta)),
                "GET /App HTTP/1.1\nHost: hosta:8080\nConnection: Keep-Alive\n\n");
}

/* As the client wrote it, but nothing follows it. */
static void a_request_alone_has_no_body_and_ends_the_connection(void)
{
    char out[OUT_BYTES];
    read_request("POST /App/x?y HTTP/1.1\nHost: front:81\nExpect: 100-continue\n"
                 "content-length: 7\nConnection: keep-alive, X-Own\nX-Own: 1\nCookie: a=b\n"
                 "ha_session: 1\n\n");
    UNIT_STR_EQ(unit_shown(out, hap_relay_alone(out, sizeof(out), &request)),
                "POST /App/x?y HTTP/1.1\nHost: front:81\nCookie: a=b\nConnection: close\n\n");
    read_request("POST /App HTTP/1.1\nTransfer-Encoding: chunked\nHost: front\n\n");
    UNIT_STR_EQ(unit_shown(out, hap_relay_alone(out, sizeof(out), &request)),
                "POST /App HTTP/1.1\nHost: front\nConnection: close\n\n");
    read_request("GET /App HTTP/1.0\nHost: front\n\n");
    UNIT_STR_EQ(unit_shown(out, hap_relay_alone(out, sizeof(out), &request)),
                "GET /App HTTP/1.0\nHost: front\nConnection: close\n\n");
}

/* Exactly the room it gets, so that a sanitizer sees a write beyond it. */
typedef size_t write_fn(char *out, size_t room);

static void must_need(size_t n, write_fn *write)
{
    CU_ASSERT_TRUE(n > 0 && n < OUT_BYTES);
    for (size_t room = 0; room <= n; room++) {
        char *out = malloc(room ? room : 1);
        CU_ASSERT_EQUAL(write(out, room), room < n ? 0 : n);
        free(out);
    }
    CU_ASSERT_EQUAL(write(NULL, 0), 0);
}

static size_t write_request(char *out, size_t room)
{
    static const hap_relay_t all = {
        .preserve_host = true,
        .add_forwarded = true,
        .via = {"front", 5},
        .server_name = {"front", 5},
    };
    static const hap_relay_to_t to = {
        .relay = &all, .base = {"/b", 2}, .extra = {"X: y\r\n", 6}, .upgrade = true};
    return hap_relay_request(out, room, &request, &to);
}

static size_t write_alone(char *out, size_t room)
{
    return hap_relay_alone(out, room, &request);
}

static void a_request_that_does_not_fit_is_not_written(void)
{
    char out[OUT_BYTES];
    read_request("GET /App/x HTTP/1.1\nHost: a\nX-Forwarded-For: b\nVia: c\nConnection: Upgrade\n"
                 "Upgrade: d\nX-Empty:\n\n");
    must_need(write_request(out, sizeof(out)), write_request);
    must_need(write_alone(out, sizeof(out)), write_alone);
}

static void a_mount_holds_what_is_behind_a_slash(void)
{
    static const struct {
        const char *mount, *path;
        bool under;
    } rows[] = {
        {"/App", "/App", true},    {"/App", "/App/", true},   {"/App", "/App/x", true},
        {"/App", "/Apple", false}, {"/App", "/Ap", false},    {"/App", "/app", false},
        {"/App/", "/App/x", true}, {"/App/", "/App", false},  {"/", "/x", true},
        {"", "/x", true},          {"/App", "/x/App", false}, {"/App", "/App;x", false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CU_ASSERT_EQUAL(hap_relay_under(hap_str(rows[i].mount), hap_str(rows[i].path)),
                        rows[i].under);
    }
}

const unit_test_t suite_relay[] = {
    UNIT_TEST(a_request_goes_to_the_member_it_is_for),
    UNIT_TEST(a_request_of_http10_becomes_one_of_http11),
    UNIT_TEST(the_path_is_the_one_that_members_know),
    UNIT_TEST(a_mount_that_stands_for_the_root_leaves_a_path),
    UNIT_TEST(the_host_is_kept_when_that_is_configured),
    UNIT_TEST(what_is_for_this_connection_stays_here),
    UNIT_TEST(the_framing_of_a_request_and_its_expectation_stay),
    UNIT_TEST(an_upgrade_is_passed_on_only_where_it_may),
    UNIT_TEST(what_came_as_forwarded_is_merged_with_our_own),
    UNIT_TEST(connection_cannot_take_our_own_forwarded_off),
    UNIT_TEST(via_is_added_kept_or_blocked),
    UNIT_TEST(fields_of_zones_never_reach_a_member_unless_the_proxy_adds_them),
    UNIT_TEST(requestheader_makes_no_field_of_zones),
    UNIT_TEST(a_request_alone_has_no_body_and_ends_the_connection),
    UNIT_TEST(a_request_that_does_not_fit_is_not_written),
    UNIT_TEST(a_mount_holds_what_is_behind_a_slash),
    UNIT_END,
};
