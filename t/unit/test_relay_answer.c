/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hap_relay: the heads that go out to clients, byte for byte. */
#include "unit.h"

#include <stdlib.h>

#include <apr_strings.h>

#include "hap_relay.h"
#include "heads.h"

enum { OUT_BYTES = 8192 };

#define DATED "Date: Thu, 01 Jan 1970 00:00:00 GMT\n"

static hap_http1_answer_t answer;

/* Starting points, which tests change. */
static const hap_relay_t app = {.from = {"/App", 4}, .to = {"/App", 4}};
static const hap_relay_back_t back_kept = {
    .relay = &app,
    .self = {"http://front:81", 15},
    .date = {"Thu, 01 Jan 1970 00:00:00 GMT", 29},
    .keep = HAP_RELAY_KEEP,
};

static void read_answer(const char *text, bool head)
{
    hap_str_t bytes = unit_sent(text);
    char *copy = apr_pstrmemdup(unit_pool, bytes.p, bytes.n);
    CU_ASSERT_EQUAL(hap_http1_answer(&answer, copy, bytes.n, head), HAP_HTTP1_DONE);
}

/* What a client gets. */
static const char *to_client(const char *text, const hap_relay_back_t *back)
{
    char out[OUT_BYTES];
    read_answer(text, back->head);
    return unit_shown(out, hap_relay_answer(out, sizeof(out), &answer, back));
}

static const char *to_client_of(const char *text, const hap_relay_t *relay)
{
    hap_relay_back_t back = back_kept;
    back.relay = relay;
    return to_client(text, &back);
}

static void an_answer_goes_to_the_client_with_date_and_server_in_front(void)
{
    UNIT_STR_EQ(to_client("HTTP/1.0 200 Fine, thanks\n"
                          "Content-Type: text/html\n"
                          "server: Tomcat\n"
                          "Content-Length: 5\n"
                          "date: Sun, 06 Nov 1994 08:49:37 GMT\n"
                          "X : y\n"
                          "\n",
                          &back_kept),
                "HTTP/1.1 200 Fine, thanks\n"
                "Date: Sun, 06 Nov 1994 08:49:37 GMT\n"
                "Server: Tomcat\n"
                "Content-Type: text/html\n"
                "Content-Length: 5\n"
                "X: y\n"
                "\n");
}

static void date_and_server_are_ours_where_the_member_has_none(void)
{
    hap_relay_t relay = app;
    UNIT_STR_EQ(to_client_of("HTTP/1.1 200 OK\nContent-Length: 5\n\n", &relay),
                "HTTP/1.1 200 OK\nDate: Thu, 01 Jan 1970 00:00:00 GMT\nContent-Length: 5\n\n");
    relay.banner = HAP_STR_LIT("Apache");
    UNIT_STR_EQ(to_client_of("HTTP/1.1 200\nContent-Length: 5\n\n", &relay),
                "HTTP/1.1 200 \nDate: Thu, 01 Jan 1970 00:00:00 GMT\nServer: Apache\n"
                "Content-Length: 5\n\n");
}

static void what_is_for_the_members_connection_stays_there(void)
{
    UNIT_STR_EQ(to_client("HTTP/1.1 401 x\n"
                          "Connection: close, X-Own\n"
                          "X-Own: 1\n"
                          "Keep-Alive: timeout=5\n"
                          "Proxy-Authenticate: Basic\n"
                          "Trailer: X-Sum\n"
                          "Upgrade: h2c\n"
                          "WWW-Authenticate: Basic\n"
                          "Content-Length: 0\n"
                          "\n",
                          &back_kept),
                "HTTP/1.1 401 x\n" DATED "WWW-Authenticate: Basic\nContent-Length: 0\n\n");
}

static void the_client_is_told_what_becomes_of_its_connection(void)
{
    static const char said[] = "HTTP/1.1 200 OK\nContent-Length: 0\n\n";
    hap_relay_back_t back = back_kept;
    back.keep = HAP_RELAY_CLOSE;
    UNIT_STR_EQ(to_client(said, &back),
                "HTTP/1.1 200 OK\n" DATED "Content-Length: 0\nConnection: close\n\n");
    back.keep = HAP_RELAY_KEEP_SAID;
    back.timeout_s = 5;
    UNIT_STR_EQ(to_client(said, &back), "HTTP/1.1 200 OK\n" DATED "Content-Length: 0\n"
                                        "Keep-Alive: timeout=5\nConnection: Keep-Alive\n\n");
    back.left = 99;
    UNIT_STR_EQ(to_client(said, &back), "HTTP/1.1 200 OK\n" DATED "Content-Length: 0\n"
                                        "Keep-Alive: timeout=5, max=99\n"
                                        "Connection: Keep-Alive\n\n");
    back.timeout_s = back.left = UINT32_MAX;
    UNIT_STR_EQ(to_client(said, &back), "HTTP/1.1 200 OK\n" DATED "Content-Length: 0\n"
                                        "Keep-Alive: timeout=4294967295, max=4294967295\n"
                                        "Connection: Keep-Alive\n\n");
}

static void a_switch_of_protocols_is_passed_on(void)
{
    hap_relay_back_t back = back_kept;
    back.keep = HAP_RELAY_UPGRADE;
    UNIT_STR_EQ(to_client("HTTP/1.1 101 Switching Protocols\nUpgrade: websocket\n"
                          "Connection: Upgrade\nSec-WebSocket-Accept: x\n\n",
                          &back),
                "HTTP/1.1 101 Switching Protocols\nUpgrade: websocket\nSec-WebSocket-Accept: x\n"
                "Connection: Upgrade\n\n");
}

static void a_protocol_that_may_be_asked_for_is_named(void)
{
    static const char asks[] = "HTTP/1.1 426 Upgrade Required\nUpgrade: websocket\n"
                               "Connection: Upgrade\nUpgrade: other\nContent-Length: 0\n\n";
    hap_relay_back_t back = back_kept;
    UNIT_STR_EQ(to_client(asks, &back),
                "HTTP/1.1 426 Upgrade Required\n" DATED "Content-Length: 0\n\n");
    back.offers = true;
    UNIT_STR_EQ(to_client(asks, &back),
                "HTTP/1.1 426 Upgrade Required\n" DATED "Upgrade: websocket\nContent-Length: 0\n"
                "Connection: Upgrade\n\n");
    back.keep = HAP_RELAY_CLOSE;
    UNIT_STR_EQ(to_client(asks, &back),
                "HTTP/1.1 426 Upgrade Required\n" DATED "Upgrade: websocket\nContent-Length: 0\n"
                "Connection: Upgrade, close\n\n");
    back.keep = HAP_RELAY_KEEP_SAID;
    back.timeout_s = 5;
    UNIT_STR_EQ(to_client(asks, &back),
                "HTTP/1.1 426 Upgrade Required\n" DATED "Upgrade: websocket\nContent-Length: 0\n"
                "Keep-Alive: timeout=5\n"
                "Connection: Upgrade, Keep-Alive\n\n");
}

static void an_interim_answer_says_nothing_of_the_connection(void)
{
    hap_relay_back_t back = back_kept;
    back.keep = HAP_RELAY_CLOSE;
    back.cookie = HAP_STR_LIT("zsessionid=a.b");
    UNIT_STR_EQ(to_client("HTTP/1.1 103 Early Hints\nLink: </a>\nServer: Tomcat\n\n", &back),
                "HTTP/1.1 103 Early Hints\nLink: </a>\n\n");
}

static void lengths_stay_where_they_are_of_a_body(void)
{
    static const struct {
        const char *status;
        bool head;
        const char *fields;
        const char *left;
    } rows[] = {
        {"200 x", false, "Content-Length: 5\n", "Content-Length: 5\n"},
        {"200 x", false, "Content-Length: 0\n", "Content-Length: 0\n"},
        {"200 x", true, "Content-Length: 5\n", "Content-Length: 5\n"},
        {"200 x", true, "Content-Length: 0\n", ""},
        {"204 x", false, "Content-Length: 0\n", ""},
        {"304 x", false, "Content-Length: 5\n", ""},
        {"200 x", false, "Content-Length: 5\nTransfer-Encoding: chunked\n", ""},
    };
    hap_relay_back_t back = back_kept;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        back.head = rows[i].head;
        const char *text =
            apr_pstrcat(unit_pool, "HTTP/1.1 ", rows[i].status, "\n", rows[i].fields, "\n", NULL);
        UNIT_STR_EQ(to_client(text, &back), apr_pstrcat(unit_pool, "HTTP/1.1 ", rows[i].status,
                                                        "\n" DATED, rows[i].left, "\n", NULL));
    }
}

static void chunks_are_announced_when_the_body_goes_out_in_them(void)
{
    hap_relay_back_t back = back_kept;
    back.chunked = true;
    UNIT_STR_EQ(to_client("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTrailer: X\n\n", &back),
                "HTTP/1.1 200 OK\n" DATED "Transfer-Encoding: chunked\n\n");
    UNIT_STR_EQ(to_client("HTTP/1.1 200 OK\nX: y\n\n", &back),
                "HTTP/1.1 200 OK\n" DATED "X: y\nTransfer-Encoding: chunked\n\n");
    back.chunked = false;
    UNIT_STR_EQ(to_client("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n", &back),
                "HTTP/1.1 200 OK\n" DATED "\n");
}

static void via_is_added_to_answers(void)
{
    hap_relay_t relay = app;
    relay.via = HAP_STR_LIT("front:81");
    UNIT_STR_EQ(to_client_of("HTTP/1.0 200 OK\nVia: 1.0 a\nContent-Length: 0\n\n", &relay),
                "HTTP/1.1 200 OK\n" DATED "Via: 1.0 a\nContent-Length: 0\nVia: 1.1 front:81\n\n");
    hap_relay_back_t back = back_kept;
    back.relay = &relay;
    back.old = true; /* as mod_proxy has it, that is the version of the request */
    UNIT_STR_EQ(to_client("HTTP/1.1 200 OK\nContent-Length: 0\n\n", &back),
                "HTTP/1.1 200 OK\n" DATED "Content-Length: 0\nVia: 1.0 front:81\n\n");
    relay.via = HAP_STR_LIT("");
    relay.via_block = true;
    UNIT_STR_EQ(to_client_of("HTTP/1.1 200 OK\nVia: 1.0 a\nContent-Length: 0\n\n", &relay),
                "HTTP/1.1 200 OK\n" DATED "Via: 1.0 a\nContent-Length: 0\n\n");
}

/* The shared caches in front must not hand one client's cookie to others. */
static void a_cookie_of_ours_makes_the_answer_private(void)
{
    hap_relay_back_t back = back_kept;
    back.cookie = HAP_STR_LIT("zsessionid=a.b; Path=/App");
    UNIT_STR_EQ(to_client("HTTP/1.1 200 OK\nSet-Cookie: a=b\nContent-Length: 0\n\n", &back),
                "HTTP/1.1 200 OK\n" DATED "Set-Cookie: a=b\nContent-Length: 0\n"
                "Set-Cookie: zsessionid=a.b; Path=/App\nCache-Control: private\n\n");
    UNIT_STR_EQ(
        to_client("HTTP/1.1 200 OK\ncache-control: max-age=60\nContent-Length: 0\n\n", &back),
        "HTTP/1.1 200 OK\n" DATED "cache-control: max-age=60\nContent-Length: 0\n"
        "Set-Cookie: zsessionid=a.b; Path=/App\n\n");
    UNIT_STR_EQ(to_client("HTTP/1.1 200 OK\nContent-Length: 0\n\n", &back_kept),
                "HTTP/1.1 200 OK\n" DATED "Content-Length: 0\n\n");
}

/* RFC 9110 8.6 and RFC 9112 6.3: a reader could take such a length for that of a body. */
static void lengths_that_no_server_may_send_are_not_passed_on(void)
{
    hap_relay_back_t back = back_kept;
    UNIT_STR_EQ(to_client("HTTP/1.1 103 x\nContent-Length: 5\nLink: </a>\n\n", &back),
                "HTTP/1.1 103 x\nLink: </a>\n\n");
    back.head = true;
    UNIT_STR_EQ(
        to_client("HTTP/1.1 200 x\nContent-Length: 5\nTransfer-Encoding: chunked\n\n", &back),
        "HTTP/1.1 200 x\n" DATED "\n");
}

/* A shared cache could have kept a cookie of ours: a Cache-Control that stayed behind was enough.
 */
static void what_connection_names_does_not_stand_for_our_own(void)
{
    hap_relay_t relay = app;
    hap_relay_back_t back = back_kept;
    relay.banner = HAP_STR_LIT("Apache");
    back.relay = &relay;
    back.cookie = HAP_STR_LIT("zsessionid=a.b");
    UNIT_STR_EQ(to_client("HTTP/1.1 200 OK\nConnection: Cache-Control, Date, Server\n"
                          "Cache-Control: public\nDate: x\nServer: y\nContent-Length: 0\n\n",
                          &back),
                "HTTP/1.1 200 OK\n" DATED "Server: Apache\nContent-Length: 0\n"
                "Set-Cookie: zsessionid=a.b\nCache-Control: private\n\n");
}

/* What `Location: VALUE` becomes. */
static const char *located(const char *value, const hap_relay_t *relay)
{
    const char *text = apr_pstrcat(unit_pool, "HTTP/1.1 302 x\nLocation: ", value,
                                   "\nContent-Length: 0\n\n", NULL);
    const char *out = to_client_of(text, relay);
    const char *begin = strstr(out, "Location: ") + strlen("Location: ");
    return apr_pstrmemdup(unit_pool, begin, strcspn(begin, "\n"));
}

static void locations_of_members_become_the_clients(void)
{
    static const hap_relay_map_t rows[] = {
        {{"http://hosta:8080/App", 21}, {"/shop", 5}, 0},
        {{"http://hostb:8080/App", 21}, {"/shop", 5}, 0},
        {{"http://hosta:8080", 17}, {"https://other.example", 21}, 0},
    };
    hap_relay_t relay = app;
    relay.locations = (hap_relay_maps_t){rows, 3};
    UNIT_STR_EQ(located("http://hosta:8080/App/x?y#z", &relay), "http://front:81/shop/x?y#z");
    UNIT_STR_EQ(located("http://hostb:8080/App", &relay), "http://front:81/shop");
    UNIT_STR_EQ(located("HTTP://HostB:8080/App/x", &relay), "http://front:81/shop/x");
    UNIT_STR_EQ(located("http://hosta:8080/else", &relay), "https://other.example/else");
    UNIT_STR_EQ(located("http://hostc:8080/App", &relay), "http://hostc:8080/App");
    UNIT_STR_EQ(located("http://hosta", &relay), "http://hosta");
    UNIT_STR_EQ(located("/App/x", &relay), "/App/x");
    UNIT_STR_EQ(located("", &relay), "");
}

/* A member that only the cluster's map has stands for a configured one. */
static void locations_of_an_alias_are_mapped_as_those_of_what_it_stands_for(void)
{
    static const hap_relay_map_t rows[] = {
        {{"http://hosta:8080/App", 21}, {"/shop", 5}, 4},
        {{"http://hosta:8080", 17}, {"https://other.example", 21}, 0},
    };
    hap_relay_t relay = app;
    relay.locations = (hap_relay_maps_t){rows, 2};
    hap_relay_back_t back = back_kept;
    back.relay = &relay;
    back.alias =
        (hap_relay_map_t){HAP_STR_LIT("http://hostc:81"), HAP_STR_LIT("http://hosta:8080"), 0};
#define MOVED(url) "HTTP/1.1 302 Found\nLocation: " url "\nContent-Length: 0\n\n"
    CU_ASSERT_PTR_NOT_NULL(strstr(to_client(MOVED("http://HostC:81/App/x"), &back),
                                  "Location: http://front:81/shop/x\n"));
    CU_ASSERT_PTR_NOT_NULL(
        strstr(to_client(MOVED("http://hostc:81/else"), &back), "https://other.example/else\n"));
    CU_ASSERT_PTR_NOT_NULL(
        strstr(to_client(MOVED("http://hosta:8080/App/x"), &back), "http://front:81/shop/x\n"));
    CU_ASSERT_PTR_NOT_NULL(
        strstr(to_client(MOVED("http://hostc:8100/App"), &back), "http://hostc:8100/App\n"));
#undef MOVED
}

/* ProxyPassReverse "/shop" "balancer://App/App" */
static void the_path_of_a_location_has_its_case(void)
{
    static const hap_relay_map_t row = {{"http://hosta/App", 16}, {"/shop", 5}, .exact_n = 4};
    hap_relay_t relay = app;
    relay.locations = (hap_relay_maps_t){&row, 1};
    UNIT_STR_EQ(located("HTTP://HOSTA/App/x", &relay), "http://front:81/shop/x");
    UNIT_STR_EQ(located("http://hosta/app/x", &relay), "http://hosta/app/x");
    UNIT_STR_EQ(located("http://hosta/Ap", &relay), "http://hosta/Ap");
}

/* "/" stands for nothing before a path: no slash is doubled. */
static void locations_at_the_root_are_mapped_without_a_second_slash(void)
{
    static const hap_relay_map_t rows[] = {
        {{"http://hosta:8080/", 18}, {"/", 1}, 0},
        {{"http://hosta:8080", 17}, {"/", 1}, 0},
    };
    hap_relay_t relay = app;
    relay.locations = (hap_relay_maps_t){rows, 2};
    UNIT_STR_EQ(located("http://hosta:8080/x", &relay), "http://front:81/x");
    UNIT_STR_EQ(located("http://hosta:8080", &relay), "http://front:81/");
}

/* ProxyPassReverse "/shop" "/App" */
static void a_location_is_mapped_by_its_path_whatever_its_host(void)
{
    static const hap_relay_map_t rows[] = {
        {{"", 0}, {"/never", 6}, 0},
        {{"/App", 4}, {"/shop", 5}, 0},
    };
    hap_relay_t relay = app;
    relay.locations = (hap_relay_maps_t){rows, 2};
    UNIT_STR_EQ(located("/App/x", &relay), "http://front:81/shop/x");
    UNIT_STR_EQ(located("http://any:1/App/x?u=http://a/App", &relay),
                "http://front:81/shop/x?u=http://a/App");
    UNIT_STR_EQ(located("http://any/other/App", &relay), "http://any/other/App");
    UNIT_STR_EQ(located("http://any", &relay), "http://any");
    UNIT_STR_EQ(located("x/App", &relay), "x/App");
    UNIT_STR_EQ(located("/x?http://a/App", &relay), "/x?http://a/App");
    UNIT_STR_EQ(located("?http://a/App", &relay), "?http://a/App");
    UNIT_STR_EQ(located("http:/App", &relay), "http:/App");
}

static void every_field_that_holds_a_location_is_mapped(void)
{
    static const hap_relay_map_t row = {{"http://a", 8}, {"/b", 2}, 0};
    hap_relay_t relay = app;
    relay.locations = (hap_relay_maps_t){&row, 1};
    UNIT_STR_EQ(to_client_of("HTTP/1.1 201 x\nlocation: http://a/1\nContent-Location: http://a/2\n"
                             "URI: http://a/3\nDestination: http://a/5\nX-Location: "
                             "http://a/4\nContent-Length: 0\n\n",
                             &relay),
                "HTTP/1.1 201 x\n" DATED "location: http://front:81/b/1\n"
                "Content-Location: http://front:81/b/2\nURI: http://front:81/b/3\n"
                "Destination: http://front:81/b/5\n"
                "X-Location: http://a/4\nContent-Length: 0\n\n");
}

/* What `Set-Cookie: VALUE` becomes. */
static const char *set(const char *value, const hap_relay_t *relay)
{
    const char *text = apr_pstrcat(
        unit_pool, "HTTP/1.1 200 x\nContent-Length: 0\nSet-Cookie: ", value, "\n\n", NULL);
    const char *out = to_client_of(text, relay);
    const char *begin = strstr(out, "Set-Cookie: ") + strlen("Set-Cookie: ");
    CU_ASSERT_EQUAL(strcspn(begin, "\n") + 2, strlen(begin));
    return apr_pstrmemdup(unit_pool, begin, strcspn(begin, "\n"));
}

/* As mod_proxy: what begins with the member's is replaced as a whole. */
static void paths_and_domains_of_cookies_become_the_clients(void)
{
    static const hap_relay_map_t paths[] = {{{"/App", 4}, {"/shop", 5}, 0},
                                            {{"/", 1}, {"/all", 4}, 0}};
    static const hap_relay_map_t domains[] = {{{"hosta", 5}, {"front.example", 13}, 0}};
    hap_relay_t relay = app;
    relay.paths = (hap_relay_maps_t){paths, 2};
    relay.domains = (hap_relay_maps_t){domains, 1};
    UNIT_STR_EQ(set("a=b; Path=/App; HttpOnly", &relay), "a=b; Path=/shop; HttpOnly");
    UNIT_STR_EQ(set("a=b;PATH=/App/x;\tDomain=HostA", &relay),
                "a=b;PATH=/shop;\tDomain=front.example");
    UNIT_STR_EQ(set("a=b; path=/Other", &relay), "a=b; path=/all");
    UNIT_STR_EQ(set("a=b; path=/app", &relay), "a=b; path=/all");
    UNIT_STR_EQ(set("a=b; domain=hostb; path=", &relay), "a=b; domain=hostb; path=");
    UNIT_STR_EQ(set("a=Path; Path /App;;", &relay), "a=Path; Path /App;;");
    UNIT_STR_EQ(set("", &relay), "");
    relay.paths.n = relay.domains.n = 0;
    UNIT_STR_EQ(set("a=b; Path=/App; Domain=hosta", &relay), "a=b; Path=/App; Domain=hosta");
}

static void an_attribute_on_a_line_of_its_own_is_mapped_too(void)
{
    static const hap_relay_map_t path = {{"/App", 4}, {"/shop", 5}, 0};
    static const hap_relay_map_t domain = {{"hosta", 5}, {"front.example", 13}, 0};
    hap_relay_t relay = app;
    relay.paths = (hap_relay_maps_t){&path, 1};
    relay.domains = (hap_relay_maps_t){&domain, 1};
    UNIT_STR_EQ(set("a=b;\n Path=/App;\n\tDomain=hosta\n .x", &relay),
                "a=b;   Path=/shop;  \tDomain=front.example");
}

/* Whoever does not know folds would read another field in them. */
static void a_folded_value_comes_out_on_one_line(void)
{
    static const hap_relay_map_t path = {{"/App", 4}, {"/shop", 5}, 0};
    hap_relay_t relay = app;
    static const char said[] = "HTTP/1.1 200 x\nX: a\n Set-Cookie: evil\nY:\n b\n\t\n"
                               "Set-Cookie: c\n =d;\n\tLocation: e\nContent-Length: 0\n\n";
    static const char want[] = "HTTP/1.1 200 x\n" DATED "X: a   Set-Cookie: evil\nY: b\n"
                               "Set-Cookie: c   =d;  \tLocation: e\nContent-Length: 0\n\n";
    UNIT_STR_EQ(to_client_of(said, &relay), want);
    relay.paths = (hap_relay_maps_t){&path, 1};
    UNIT_STR_EQ(to_client_of(said, &relay), want);
}

static size_t write_answer(char *out, size_t room)
{
    static const hap_relay_map_t map = {{"/App", 4}, {"/shop", 5}, 0};
    static const hap_relay_t all = {
        .via = {"front", 5},
        .locations = {&map, 1},
        .paths = {&map, 1},
        .domains = {&map, 1},
    };
    static const hap_relay_back_t back = {
        .relay = &all,
        .self = {"http://front", 12},
        .date = {"now", 3},
        .cookie = {"a=b", 3},
        .chunked = true,
        .keep = HAP_RELAY_KEEP_SAID,
        .timeout_s = 5,
        .left = 7,
    };
    return hap_relay_answer(out, room, &answer, &back);
}

static void fields_of_zones_never_reach_a_client(void)
{
    static const char fields[] = "HA-Session: put; ver=1; ttl=1; parts=0\n"
                                 "ha_session_data : 0; QQ\n"
                                 "X-Own: 1\n"
                                 "Ha-FENCE:\n"
                                 " folded\n"
                                 "HA-Session-Foo: 2\n"
                                 "Connection: Upgrade, HA-Session\n"
                                 "Upgrade: websocket\n";
    hap_relay_back_t back = back_kept;
    const char *said = apr_pstrcat(unit_pool, "HTTP/1.1 200 OK\n", fields, "\n", NULL);
    UNIT_STR_EQ(to_client(said, &back), "HTTP/1.1 200 OK\n" DATED "X-Own: 1\n\n");
    CU_ASSERT_TRUE(answer.head.zone);
    said = apr_pstrcat(unit_pool, "HTTP/1.1 103 Early Hints\n", fields, "\n", NULL);
    UNIT_STR_EQ(to_client(said, &back), "HTTP/1.1 103 Early Hints\nX-Own: 1\n\n");
    back.keep = HAP_RELAY_UPGRADE;
    said = apr_pstrcat(unit_pool, "HTTP/1.1 101 x\n", fields, "\n", NULL);
    UNIT_STR_EQ(to_client(said, &back), "HTTP/1.1 101 x\nX-Own: 1\nUpgrade: websocket\n"
                                        "Connection: Upgrade\n\n");
    read_answer("HTTP/1.1 200 OK\nX-Own: 1\n\n", false);
    CU_ASSERT_FALSE(answer.head.zone);
}

static void header_makes_no_field_of_zones(void)
{
    static const hap_edit_t rows[] = {
        {HAP_EDIT_SET, {"HA-Session", 10}, {"set", 3}},
        {HAP_EDIT_ADD, {"ha_session_data", 15}, {"added", 5}},
        {HAP_EDIT_APPEND, {"HA-Fence", 8}, {"appended", 8}},
        {HAP_EDIT_MERGE, {"HA-Session-Foo", 14}, {"merged", 6}},
        {HAP_EDIT_UNSET, {"HA-Session-Bar", 14}, {NULL, 0}},
    };
    static const hap_edits_t edits = {rows, sizeof(rows) / sizeof(rows[0])};
    const hap_edit_rules_t rules = {.answer = edits, .always = edits};
    static char made[OUT_BYTES];
    char out[OUT_BYTES];
    hap_edit_text_t text = {made, 0, sizeof(made)};
    read_answer("HTTP/1.1 200 OK\nHA-Session: 1\nHA-Fence: 2\nHA-Session-Foo: 3\n"
                "HA-Session-Bar: 4\nConnection: HA-Fence\n\n",
                false);
    CU_ASSERT_TRUE(hap_edit_answer(&answer, &rules, &text));
    UNIT_STR_EQ(unit_shown(out, hap_relay_answer(out, sizeof(out), &answer, &back_kept)),
                "HTTP/1.1 200 OK\n" DATED "\n");
}

static void an_answer_that_does_not_fit_is_not_written(void)
{
    char some[OUT_BYTES];
    read_answer("HTTP/1.1 200 OK\nLocation: /App/x\nSet-Cookie: a=b; Path=/App; Domain=/App;\n e\n"
                "X: a\n b\nServer: c\nTransfer-Encoding: chunked\n\n",
                false);
    size_t n = write_answer(some, sizeof(some));
    CU_ASSERT_TRUE(n > 0);
    /* Exactly the room it gets, so that a sanitizer sees a write beyond it. */
    for (size_t room = 0; room <= n; room++) {
        char *out = malloc(room ? room : 1);
        CU_ASSERT_EQUAL(write_answer(out, room), room < n ? 0 : n);
        free(out);
    }
    CU_ASSERT_EQUAL(write_answer(NULL, 0), 0);
}

const unit_test_t suite_relay_answer[] = {
    UNIT_TEST(an_answer_goes_to_the_client_with_date_and_server_in_front),
    UNIT_TEST(date_and_server_are_ours_where_the_member_has_none),
    UNIT_TEST(what_is_for_the_members_connection_stays_there),
    UNIT_TEST(the_client_is_told_what_becomes_of_its_connection),
    UNIT_TEST(a_switch_of_protocols_is_passed_on),
    UNIT_TEST(a_protocol_that_may_be_asked_for_is_named),
    UNIT_TEST(an_interim_answer_says_nothing_of_the_connection),
    UNIT_TEST(lengths_stay_where_they_are_of_a_body),
    UNIT_TEST(lengths_that_no_server_may_send_are_not_passed_on),
    UNIT_TEST(chunks_are_announced_when_the_body_goes_out_in_them),
    UNIT_TEST(via_is_added_to_answers),
    UNIT_TEST(a_cookie_of_ours_makes_the_answer_private),
    UNIT_TEST(what_connection_names_does_not_stand_for_our_own),
    UNIT_TEST(locations_of_members_become_the_clients),
    UNIT_TEST(locations_of_an_alias_are_mapped_as_those_of_what_it_stands_for),
    UNIT_TEST(the_path_of_a_location_has_its_case),
    UNIT_TEST(locations_at_the_root_are_mapped_without_a_second_slash),
    UNIT_TEST(a_location_is_mapped_by_its_path_whatever_its_host),
    UNIT_TEST(every_field_that_holds_a_location_is_mapped),
    UNIT_TEST(paths_and_domains_of_cookies_become_the_clients),
    UNIT_TEST(an_attribute_on_a_line_of_its_own_is_mapped_too),
    UNIT_TEST(a_folded_value_comes_out_on_one_line),
    UNIT_TEST(fields_of_zones_never_reach_a_client),
    UNIT_TEST(header_makes_no_field_of_zones),
    UNIT_TEST(an_answer_that_does_not_fit_is_not_written),
    UNIT_END,
};
