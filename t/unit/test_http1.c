/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hap_http1. */
#include "unit.h"

#include <apr_strings.h>

#include "hap_http1.h"
#include "hap_http1_class.h"

static const hap_http1_limits_t limits = {.line_bytes = 200, .field_bytes = 200, .fields = 20};

static hap_http1_request_t request;
static hap_http1_answer_t answer;

/* "done", or what is strange; `head` without the line end that ends it. */
static const char *ask(const char *head)
{
    const char *bytes = apr_pstrcat(unit_pool, head, "\r\n", NULL);
    size_t seen = 0;
    size_t n = 0;
    hap_http1_end_t end = hap_http1_find_end(&n, &seen, bytes, strlen(bytes), true);
    if (end != HAP_HTTP1_DONE || n != strlen(bytes)) {
        return end == HAP_HTTP1_MORE ? "no end" : "a line that ends otherwise";
    }
    end = hap_http1_request(&request, bytes, n, &limits);
    return end == HAP_HTTP1_DONE ? "done" : request.head.why;
}

/* The same with a request line and a Host before it. */
static const char *ask_with(const char *fields)
{
    return ask(apr_pstrcat(unit_pool, "POST /App/x HTTP/1.1\r\nHost: a\r\n", fields, NULL));
}

static const char *hear(const char *bytes, bool head)
{
    size_t seen = 0;
    size_t n = 0;
    if (hap_http1_find_end(&n, &seen, bytes, strlen(bytes), false) != HAP_HTTP1_DONE ||
        n != strlen(bytes)) {
        return "no end";
    }
    hap_http1_end_t end = hap_http1_answer(&answer, apr_pstrdup(unit_pool, bytes), n, head);
    return end == HAP_HTTP1_DONE ? "done" : answer.head.why;
}

static const char *fields_of(const hap_http1_head_t *head)
{
    const char *text = "";
    for (unsigned i = 0; i < head->fields_n; i++) {
        const hap_field_t *field = &head->fields[i];
        text = apr_psprintf(unit_pool, "%s%.*s=%.*s%s;", text, HAP_STR_ARG(field->name),
                            HAP_STR_ARG(field->value), field->hop ? " hop" : "");
    }
    return text;
}

#define SAME(slice, text) CU_ASSERT_TRUE(hap_str_eq(slice, hap_str(text)))

static void a_request_is_read(void)
{
    UNIT_STR_EQ(ask("GET /App/page;zsessionid=1.a?q=%20x/../ HTTP/1.1\r\n"
                    "Host: app.example:8080\r\n"
                    "cookie:zsessionid=abc.hostA \t\r\n"
                    "X-Empty:\r\n"
                    "Accept: a, \"b\" \xc3\xa4\r\n"),
                "done");
    SAME(request.method, "GET");
    SAME(request.target, "/App/page;zsessionid=1.a?q=%20x/../");
    SAME(request.path, "/App/page;zsessionid=1.a");
    SAME(request.host, "app.example:8080");
    SAME(request.cookie, "zsessionid=abc.hostA");
    CU_ASSERT_TRUE(request.idempotent && request.head.keep && !request.is_head);
    CU_ASSERT_EQUAL(request.head.framing, HAP_FRAMING_NONE);
    UNIT_STR_EQ(fields_of(&request.head), "Host=app.example:8080;cookie=zsessionid=abc.hostA;"
                                          "X-Empty=;Accept=a, \"b\" \xc3\xa4;");
}

static void only_what_needs_no_decoding_is_taken(void)
{
    static const struct {
        const char *line, *why;
    } rows[] = {
        {"GET / HTTP/1.1", "done"},
        {"GET /a/.b/c.d/..e HTTP/1.1", "a path that needs decoding"},
        {"GET /a/.b/c.d/e.. HTTP/1.1", "done"},
        {"GET /%41 HTTP/1.1", "a path that needs decoding"},
        {"GET //a HTTP/1.1", "a path that needs decoding"},
        {"GET /a//b HTTP/1.1", "a path that needs decoding"},
        {"GET /a/./b HTTP/1.1", "a path that needs decoding"},
        {"GET /a/. HTTP/1.1", "a path that needs decoding"},
        {"GET /a/../b HTTP/1.1", "a path that needs decoding"},
        {"GET /a/.;x/b HTTP/1.1", "a path that needs decoding"},
        {"GET /a/..;x/b HTTP/1.1", "a path that needs decoding"},
        {"GET /a\\b HTTP/1.1", "a path that needs decoding"},
        {"GET /a#b HTTP/1.1", "a path that needs decoding"},
        {"GET /\xc3\xa4 HTTP/1.1", "a path that needs decoding"},
        {"GET /a?b#c HTTP/1.1", "a query with bytes that should be encoded"},
        {"GET /a?{b} HTTP/1.1", "a query with bytes that should be encoded"},
        {"GET /a?%41%fF&?/ HTTP/1.1", "done"},
        {"GET /a? HTTP/1.1", "done"},
        {"GET /a?100% HTTP/1.1", "a query with bytes that should be encoded"},
        {"GET /a?100%2 HTTP/1.1", "a query with bytes that should be encoded"},
        {"GET /a?%g1 HTTP/1.1", "a query with bytes that should be encoded"},
        {"GET /a?%1g HTTP/1.1", "a query with bytes that should be encoded"},
        {"GET http://a/ HTTP/1.1", "a path that needs decoding"},
        {"OPTIONS * HTTP/1.1", "a path that needs decoding"},
        {"GET  / HTTP/1.1", "a path that needs decoding"},
        {"GET /  HTTP/1.1", "a path that needs decoding"},
        {"GET / HTTP/1.2", "another version of HTTP"},
        {"GET / HTTP/2.0", "another version of HTTP"},
        {"GET / http/1.1", "another version of HTTP"},
        {"GET / HTTP/1.1 ", "another version of HTTP"},
        {"GET /", "a request line without a version"},
        {"GET", "a request line without a version"},
        {"GET HTTP/1.1", "a request line without a version"},
        {"TRACE / HTTP/1.1", "another method"},
        {"CONNECT a:80 HTTP/1.1", "another method"},
        {"GETX / HTTP/1.1", "another method"},
        {"GET\t/ HTTP/1.1", "another method"},
        {"get / HTTP/1.1", "a line that ends otherwise"},
        {"\r\nGET / HTTP/1.1", "a line that ends otherwise"},
        {"GET / HTTP/1.1\n", "a line that ends otherwise"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        UNIT_STR_EQ(ask(apr_pstrcat(unit_pool, rows[i].line, "\r\nHost: a\r\n", NULL)),
                    rows[i].why);
    }
}

/* Every byte at every place beside a word's borders, among others that are looked at or not. */
static void values_end_at_the_first_byte_that_is_none(void)
{
    enum { BYTES = 20 };
    for (int byte = 0; byte < 256; byte++) {
        for (size_t at = 0; at < BYTES; at++) {
            char text[BYTES];
            memset(text, at % 2 ? 'x' : '\t', BYTES);
            text[at] = (char)byte;
            size_t wanted = hap_byte_is((char)byte, HAP_BYTE_VALUE) ? BYTES : at;
            CU_ASSERT_EQUAL(hap_byte_span_value(text, BYTES), wanted);
            CU_ASSERT_EQUAL(hap_byte_span_value(text, at), at);
        }
    }
}

static void framing_that_two_readers_could_see_differently_is_strange(void)
{
    static const struct {
        const char *fields, *why;
    } rows[] = {
        {"Content-Length: 5\r\n", "done"},
        {"Content-Length: 0\r\n", "done"},
        {"Transfer-Encoding: Chunked\r\n", "done"},
        {"Content-Length: 5\r\nContent-Length: 5\r\n", "more than one Content-Length"},
        {"Content-Length: 5, 5\r\n", "Content-Length is no number"},
        {"Content-Length: +5\r\n", "Content-Length is no number"},
        {"Content-Length: -5\r\n", "Content-Length is no number"},
        {"Content-Length: 0x5\r\n", "Content-Length is no number"},
        {"Content-Length: 5 5\r\n", "Content-Length is no number"},
        {"Content-Length:\r\n", "Content-Length is no number"},
        {"Content-Length: 99999999999999999999\r\n", "Content-Length is no number"},
        {"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
         "Transfer-Encoding where it cannot be"},
        {"Transfer-Encoding: gzip, chunked\r\n", "Transfer-Encoding other than chunked"},
        {"Transfer-Encoding: chunked, chunked\r\n", "Transfer-Encoding other than chunked"},
        {"Transfer-Encoding: xchunked\r\n", "Transfer-Encoding other than chunked"},
        {"Transfer-Encoding: \x0b"
         "chunked\r\n",
         "a control byte in a field"},
        {"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
         "more than one Transfer-Encoding"},
        {"Transfer-Encoding : chunked\r\n", "a line that is no field"},
        {" Transfer-Encoding: chunked\r\n", "a folded line"},
        {"X: a\r\n b\r\n", "a folded line"},
        {"X: a\rb\r\n", "a control byte in a field"},
        {"X: a\x01\r\n", "a control byte in a field"},
        {"X: a\x7f\r\n", "a control byte in a field"},
        {": x\r\n", "a line that is no field"},
        {"X Y: z\r\n", "a line that is no field"},
        {"X\r\n", "a line that is no field"},
        {"Host: b\r\n", "no single, plain Host"},
        {"Expect: 100-Continue\r\n", "done"},
        {"Expect: x\r\n", "another Expect"},
        {"Expect: 100-continue\r\nExpect: 100-continue\r\n", "another Expect"},
        {"Max-Forwards: 1\r\n", "Max-Forwards, which is counted down"},
        {"Range: bytes=0-1\r\n", "a Range, which may be cut out of the whole answer"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        UNIT_STR_EQ(ask_with(rows[i].fields), rows[i].why);
    }
    UNIT_STR_EQ(ask("GET / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"),
                "Transfer-Encoding where it cannot be");
    UNIT_STR_EQ(ask("GET / HTTP/1.1\r\n"), "no single, plain Host");
    UNIT_STR_EQ(ask("GET / HTTP/1.1\r\nHost:\r\n"), "no single, plain Host");
    UNIT_STR_EQ(ask("GET / HTTP/1.1\r\nHost: a/b\r\n"), "no single, plain Host");
    UNIT_STR_EQ(ask("GET / HTTP/1.1\r\nHost: [::1]:80\r\n"), "done");
}

/* What is taken here is compared, forwarded and told to the application. */
static void a_host_is_a_name_or_an_address_and_perhaps_a_port(void)
{
    static const char *const taken[] = {"a",           "a_b.c-d", "a:8080",
                                        "192.0.2.1:0", "[::1]",   "[::ffff:192.0.2.1]:65535"};
    static const char *const refused[] = {
        "",     ":80",  "::",     "a:",      "a:b", "a:1:2", "a:65536", "a:000080",
        "[::1", "::1]", "[::1]x", "[::1]:x", "[]",  "[.]",   "[x]",     "[",
        "]",    "a[b]", "a%41",   "a/b",     "u@a", "a, b",  "a b",     "a;b",
    };
    for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
        UNIT_STR_EQ(ask(apr_psprintf(unit_pool, "GET / HTTP/1.1\r\nHost: %s\r\n", taken[i])),
                    "done");
        SAME(request.host, taken[i]);
    }
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        UNIT_STR_EQ(ask(apr_psprintf(unit_pool, "GET / HTTP/1.1\r\nHost: %s\r\n", refused[i])),
                    "no single, plain Host");
    }
}

static void bodies_of_requests_are_framed(void)
{
    ask_with("Content-Length: 5\r\n");
    CU_ASSERT_EQUAL(request.head.framing, HAP_FRAMING_LENGTH);
    CU_ASSERT_EQUAL(request.head.length, 5);
    CU_ASSERT_FALSE(request.idempotent);
    ask_with("Content-Length: 0\r\n");
    CU_ASSERT_EQUAL(request.head.framing, HAP_FRAMING_NONE);
    ask_with("Transfer-Encoding: chunked\r\n");
    CU_ASSERT_EQUAL(request.head.framing, HAP_FRAMING_CHUNKED);
}

static void connection_says_what_stays_and_what_goes(void)
{
    UNIT_STR_EQ(ask_with("Connection: close, X-Own,, Keep-Alive\r\nX-Own: 1\r\nX-Other: 2\r\n"
                         "Keep-Alive: 5\r\nTE: trailers\r\nProxy-Connection: x\r\n"),
                "done");
    CU_ASSERT_FALSE(request.head.keep);
    UNIT_STR_EQ(fields_of(&request.head),
                "Host=a;Connection=close, X-Own,, Keep-Alive hop;X-Own=1 hop;X-Other=2;"
                "Keep-Alive=5 hop;TE=trailers hop;Proxy-Connection=x hop;");
    UNIT_STR_EQ(ask_with("Connection: Host\r\n"), "Connection names a field that is not its own");
    UNIT_STR_EQ(ask_with("Connection: content-length\r\n"),
                "Connection names a field that is not its own");
    UNIT_STR_EQ(ask_with("Connection: cookie\r\n"), "Connection names a field that is not its own");
    UNIT_STR_EQ(ask_with("Connection: a b\r\n"), "Connection is no list of tokens");
    UNIT_STR_EQ(ask_with("Connection: a,b,c,d,e,f,g,h\r\n"), "done");
    UNIT_STR_EQ(ask_with("Connection: a,b,c,d,e,f,g,h,i\r\n"), "Connection names too many fields");
    ask_with("Connection: X-Forwarded-For\r\nX-Forwarded-For: 1.2.3.4\r\n");
    UNIT_STR_EQ(fields_of(&request.head),
                "Host=a;Connection=X-Forwarded-For hop;X-Forwarded-For=1.2.3.4 hop;");
    ask("GET / HTTP/1.0\r\nHost: a\r\n");
    CU_ASSERT_FALSE(request.head.keep);
    ask("GET / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n");
    CU_ASSERT_TRUE(request.head.keep);
    ask_with("Connection: Upgrade\r\nUpgrade: websocket\r\n");
    CU_ASSERT_TRUE(request.head.upgrade);
    SAME(request.head.protocol, "websocket");
    ask_with("Upgrade: websocket\r\n");
    CU_ASSERT_FALSE(request.head.upgrade);
    ask_with("Upgrade: a\r\nConnection: Upgrade\r\nUpgrade: b\r\n");
    SAME(request.head.protocol, "a");
    ask_with("Upgrade:\r\nUpgrade: b\r\nConnection: Upgrade\r\n");
    CU_ASSERT_FALSE(request.head.upgrade);
}

static void limits_are_kept(void)
{
    const char *long200 = apr_psprintf(unit_pool, "%0200d", 0);
    UNIT_STR_EQ(ask(apr_pstrcat(unit_pool, "GET /", long200, " HTTP/1.1\r\nHost: a\r\n", NULL)),
                "a request line that is too long");
    UNIT_STR_EQ(ask_with(apr_pstrcat(unit_pool, "X: ", long200, "\r\n", NULL)),
                "a field that is too long");
    const char *fields = "";
    for (unsigned i = 1; i < limits.fields; i++) {
        fields = apr_pstrcat(unit_pool, fields, "X: y\r\n", NULL);
    }
    UNIT_STR_EQ(ask_with(fields), "done");
    UNIT_STR_EQ(ask_with(apr_pstrcat(unit_pool, fields, "X: y\r\n", NULL)), "too many fields");
}

static void the_end_of_a_head_is_found_wherever_it_is_cut(void)
{
    static const char bytes[] = "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\nPOST";
    for (size_t cut = 0; cut < sizeof(bytes); cut++) {
        size_t seen = 0;
        size_t n = 0;
        hap_http1_end_t end = hap_http1_find_end(&n, &seen, bytes, cut, true);
        bool whole = cut >= sizeof(bytes) - 1 - 4;
        CU_ASSERT_EQUAL(end, whole ? HAP_HTTP1_DONE : HAP_HTTP1_MORE);
        if (!whole) {
            end = hap_http1_find_end(&n, &seen, bytes, sizeof(bytes) - 1, true);
        }
        CU_ASSERT_EQUAL(end, HAP_HTTP1_DONE);
        CU_ASSERT_EQUAL(n, sizeof(bytes) - 1 - 4);
    }
}

static void an_answer_is_read(void)
{
    UNIT_STR_EQ(hear("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nSet-Cookie: a=b\r\n"
                     "Connection: X-Hop\r\nX-Hop: 1\r\n\r\n",
                     false),
                "done");
    CU_ASSERT_EQUAL(answer.status, 200);
    SAME(answer.reason, "OK");
    CU_ASSERT_EQUAL(answer.head.framing, HAP_FRAMING_LENGTH);
    CU_ASSERT_EQUAL(answer.head.length, 5);
    CU_ASSERT_TRUE(answer.head.keep);
    UNIT_STR_EQ(fields_of(&answer.head),
                "Content-Length=5;Set-Cookie=a=b;Connection=X-Hop hop;X-Hop=1 hop;");
}

static void answers_are_read_with_forgiveness(void)
{
    UNIT_STR_EQ(hear("HTTP/1.1 404\nX : y\nSet-Cookie: a\r\n =b\n\n", false), "done");
    CU_ASSERT_EQUAL(answer.status, 404);
    SAME(answer.reason, "");
    UNIT_STR_EQ(fields_of(&answer.head), "X=y;Set-Cookie=a   =b;");
    UNIT_STR_EQ(
        hear("HTTP/1.1 200 OK\r\nContent-Type: text/html;\r\n\tcharset=x\r\nLocation:\r\n /a\n"
             " b\r\n\r\n",
             false),
        "done");
    UNIT_STR_EQ(fields_of(&answer.head), "Content-Type=text/html;  \tcharset=x;Location=/a  b;");
    UNIT_STR_EQ(hear("HTTP/1.1 299 \r\n\r\n", false), "done");
    UNIT_STR_EQ(hear("HTTP/1.1 200 OK\r\nContent-Length: 05\r\nContent-Length: 5\r\n\r\n", false),
                "done");
    CU_ASSERT_EQUAL(answer.head.length, 5);
    UNIT_STR_EQ(
        hear("HTTP/1.1 200 OK\r\nConnection: (, Set-Cookie\r\nSet-Cookie: a=b\r\n\r\n", false),
        "done");
    UNIT_STR_EQ(fields_of(&answer.head), "Connection=(, Set-Cookie hop;Set-Cookie=a=b hop;");
}

static void answers_that_cannot_be_trusted_are_strange(void)
{
    static const char *const heads[] = {
        "HTTP/2 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
        "HTTP/1.1 099 x\r\n\r\n",
        "HTTP/1.1 200 O\x01K\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno field\r\n\r\n",
        "HTTP/1.1 200 OK\r\n: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\n X: y\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: Content-Length\r\nContent-Length: 1\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        const char *why = hear(heads[i], false);
        CU_ASSERT_STRING_NOT_EQUAL(why, "done");
        CU_ASSERT_STRING_NOT_EQUAL(why, "no end");
    }
}

static void bodies_of_answers_are_framed(void)
{
    static const struct {
        const char *bytes;
        bool head;
        hap_framing_t framing;
        bool keep;
    } rows[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true, HAP_FRAMING_NONE, true},
        {"HTTP/1.1 204 x\r\nContent-Length: 0\r\n\r\n", false, HAP_FRAMING_NONE, true},
        {"HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n", false, HAP_FRAMING_NONE, true},
        {"HTTP/1.1 103 x\r\n\r\n", false, HAP_FRAMING_NONE, true},
        {"HTTP/1.1 200 x\r\nContent-Length: 0\r\n\r\n", false, HAP_FRAMING_NONE, true},
        {"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n", false, HAP_FRAMING_CHUNKED, true},
        {"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", false,
         HAP_FRAMING_CHUNKED, false},
        {"HTTP/1.1 200 x\r\n\r\n", false, HAP_FRAMING_CLOSE, false},
        {"HTTP/1.1 200 x\r\nContent-Length: 3\r\nConnection: close\r\n\r\n", false,
         HAP_FRAMING_LENGTH, false},
        {"HTTP/1.0 200 x\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\n", false,
         HAP_FRAMING_LENGTH, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        UNIT_STR_EQ(hear(rows[i].bytes, rows[i].head), "done");
        CU_ASSERT_EQUAL(answer.head.framing, rows[i].framing);
        CU_ASSERT_EQUAL(answer.head.keep, rows[i].keep);
    }
}

/* RFC 9110 8.6, RFC 9112 6.1: what follows it would be read as the next client's answer. */
static void a_connection_is_not_kept_after_a_204_that_announces_a_body(void)
{
    static const char *const heads[] = {
        "HTTP/1.1 204 x\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        UNIT_STR_EQ(hear(heads[i], false), "done");
        CU_ASSERT_EQUAL(answer.head.framing, HAP_FRAMING_NONE);
        CU_ASSERT_FALSE(answer.head.keep);
    }
}

const unit_test_t suite_http1[] = {
    UNIT_TEST(a_request_is_read),
    UNIT_TEST(only_what_needs_no_decoding_is_taken),
    UNIT_TEST(values_end_at_the_first_byte_that_is_none),
    UNIT_TEST(framing_that_two_readers_could_see_differently_is_strange),
    UNIT_TEST(a_host_is_a_name_or_an_address_and_perhaps_a_port),
    UNIT_TEST(bodies_of_requests_are_framed),
    UNIT_TEST(connection_says_what_stays_and_what_goes),
    UNIT_TEST(limits_are_kept),
    UNIT_TEST(the_end_of_a_head_is_found_wherever_it_is_cut),
    UNIT_TEST(an_answer_is_read),
    UNIT_TEST(answers_are_read_with_forgiveness),
    UNIT_TEST(answers_that_cannot_be_trusted_are_strange),
    UNIT_TEST(bodies_of_answers_are_framed),
    UNIT_TEST(a_connection_is_not_kept_after_a_204_that_announces_a_body),
    UNIT_END,
};
