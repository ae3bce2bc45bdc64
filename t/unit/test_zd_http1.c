/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of zd_http1: what balancers send is taken, all else is refused with a status that says why.
 */
#include "unit.h"

#include <apr_strings.h>

#include "zd_http1.h"

#define DATE "Sun, 06 Nov 1994 08:49:37 GMT"

static zd_http1_t request;

/* Reads it as a whole: "more", the status of a refusal, or the method, the path and what becomes of
 * the connection. */
static const char *read_text(const char *text)
{
    size_t seen = 0;
    if (!zd_http1_read(&request, &seen, text, strlen(text))) {
        return "more";
    }
    if (request.refused) {
        return apr_psprintf(unit_pool, "%u%s", request.refused, request.keep ? ", keeps" : "");
    }
    return apr_psprintf(unit_pool, "%s %.*s%s", request.is_head ? "HEAD" : "GET",
                        HAP_STR_ARG(request.path), request.keep ? ", keeps" : "");
}

static const char *with_field(const char *field)
{
    return read_text(
        apr_pstrcat(unit_pool, "GET /leader HTTP/1.1\r\nHost: a\r\n", field, "\r\n\r\n", NULL));
}

static void what_balancers_send_is_taken(void)
{
    UNIT_STR_EQ(read_text("GET /active/Shop HTTP/1.0\r\n\r\n"), "GET /active/Shop");
    UNIT_STR_EQ(read_text("HEAD /leader HTTP/1.1\r\nhost: a:80\r\nconnection: close\r\n\r\n"),
                "HEAD /leader");
    UNIT_STR_EQ(read_text("GET /metrics?x=%20y HTTP/1.1\r\nHost: [::1]:80\r\nAccept: */*\r\n\r\n"),
                "GET /metrics, keeps");
    UNIT_STR_EQ(read_text("GET http://a.example/ready HTTP/1.1\r\nHost: a.example\r\n\r\n"),
                "GET /ready, keeps");
    UNIT_STR_EQ(read_text("GET http://a.example HTTP/1.1\r\nHost:\r\n\r\n"), "GET /, keeps");
    UNIT_STR_EQ(read_text("GET / HTTP/1.9\r\nHost: a\r\n\r\n"), "GET /, keeps");
}

static void a_connection_is_kept_as_both_want(void)
{
    UNIT_STR_EQ(with_field("Connection: Close"), "GET /leader");
    UNIT_STR_EQ(with_field("Connection: x, close ,y"), "GET /leader");
    UNIT_STR_EQ(with_field("Connection: closed"), "GET /leader, keeps");
    UNIT_STR_EQ(read_text("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), "GET /, keeps");
    CU_ASSERT_TRUE(request.old);
    UNIT_STR_EQ(read_text("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n"), "GET /");
}

static void there_is_get_and_head(void)
{
    UNIT_STR_EQ(read_text("OPTIONS / HTTP/1.0\r\n\r\n"), "405");
    UNIT_STR_EQ(read_text("DELETE / HTTP/1.1\r\nHost: a\r\n\r\n"), "405, keeps");
    UNIT_STR_EQ(read_text("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"), "405, keeps");
    UNIT_STR_EQ(read_text("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na=b"), "405");
    UNIT_STR_EQ(read_text("GETS / HTTP/1.1\r\nHost: a\r\n\r\n"), "405, keeps");
}

static void a_body_is_refused_and_ends_the_connection(void)
{
    UNIT_STR_EQ(with_field("Content-Length: 1"), "413");
    UNIT_STR_EQ(with_field("Transfer-Encoding: chunked"), "413");
    UNIT_STR_EQ(with_field("Transfer-Encoding: chunked\r\nContent-Length: 0"), "413");
    UNIT_STR_EQ(with_field("Content-Length: 0"), "GET /leader, keeps");
    UNIT_STR_EQ(with_field("Content-Length: 0\r\nContent-Length: 0"), "400");
    UNIT_STR_EQ(with_field("Content-Length: +1"), "400");
    UNIT_STR_EQ(with_field("Content-Length:"), "400");
    UNIT_STR_EQ(with_field("Content-Length: 99999999999999999999999"), "400");
}

static void what_is_malformed_is_refused(void)
{
    static const char *const bad[] = {
        "\r\n\r\n",
        "get / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        "GET /\r\n\r\n",
        "GET / HTTP/1\r\n\r\n",
        "GET / HTTQ/1.1\r\nHost: a\r\n\r\n",
        "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET leader HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET ?x HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nx: a\r b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nno field\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n",
        "\x16\x03\x01\x02",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        UNIT_STR_EQ(apr_pstrcat(unit_pool, bad[i], read_text(bad[i]), NULL),
                    apr_pstrcat(unit_pool, bad[i], "400", NULL));
    }
    UNIT_STR_EQ(read_text("PRI * HTTP/2.0\r\n\r\n"), "505");
}

static void line_and_fields_have_8_kb(void)
{
    char text[ZD_HTTP1_BYTES_MAX + 1] = "GET / HTTP/1.0\r\nx: ";
    size_t n = strlen(text);
    memset(text + n, 'y', sizeof(text) - 1 - n);
    text[sizeof(text) - 2] = '\0';
    UNIT_STR_EQ(read_text(text), "more");
    text[sizeof(text) - 2] = 'y';
    UNIT_STR_EQ(read_text(text), "431");
    memcpy(text + sizeof(text) - 5, "\r\n\r\n", 4);
    UNIT_STR_EQ(read_text(text), "GET /");
}

/* However it comes, it is the same; and what follows is not part of it. */
static void a_request_may_come_in_pieces(void)
{
    static const char text[] = "GET /leader HTTP/1.1\r\nHost: a\r\n\r\nGET /ready";
    enum { BYTES = 33 };
    size_t seen = 0;
    for (size_t n = 0; n < BYTES; n++) {
        CU_ASSERT_FALSE(zd_http1_read(&request, &seen, text, n));
    }
    CU_ASSERT_TRUE(zd_http1_read(&request, &seen, text, sizeof(text) - 1));
    CU_ASSERT_EQUAL(request.bytes, BYTES);
    CU_ASSERT_TRUE(hap_str_eq(request.path, HAP_STR_LIT("/leader")));
}

static const char *answer(const char *text, unsigned status, const char *body)
{
    read_text(text);
    const zd_page_t page = {.status = status, .type = "text/plain", .text = body};
    const zd_page_t refusal = zd_http1_refusal(&request);
    hap_str_t bytes =
        zd_http1_answer(&request, request.refused ? &refusal : &page, DATE, unit_pool);
    return hap_str_dup(bytes, unit_pool);
}

static void an_answer_is_never_kept(void)
{
    UNIT_STR_EQ(answer("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 503, "no\n"),
                "HTTP/1.1 503 Service Unavailable\r\nDate: " DATE "\r\n"
                "Content-Type: text/plain\r\nContent-Length: 3\r\nCache-Control: no-store\r\n"
                "\r\nno\n");
    UNIT_STR_EQ(answer("HEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, "yes"),
                "HTTP/1.1 200 OK\r\nDate: " DATE "\r\n"
                "Content-Type: text/plain\r\nContent-Length: 4\r\nCache-Control: no-store\r\n"
                "Connection: keep-alive\r\n\r\n");
    UNIT_STR_EQ(answer("PUT / HTTP/1.0\r\n\r\n", 0, NULL),
                "HTTP/1.1 405 Method Not Allowed\r\nDate: " DATE "\r\n"
                "Content-Type: text/plain\r\nContent-Length: 30\r\nCache-Control: no-store\r\n"
                "Allow: GET, HEAD\r\nConnection: close\r\n\r\n"
                "GET and HEAD are all there is\n");
}

const unit_test_t suite_zd_http1[] = {
    UNIT_TEST(what_balancers_send_is_taken),
    UNIT_TEST(a_connection_is_kept_as_both_want),
    UNIT_TEST(there_is_get_and_head),
    UNIT_TEST(a_body_is_refused_and_ends_the_connection),
    UNIT_TEST(what_is_malformed_is_refused),
    UNIT_TEST(line_and_fields_have_8_kb),
    UNIT_TEST(a_request_may_come_in_pieces),
    UNIT_TEST(an_answer_is_never_kept),
    UNIT_END,
};
