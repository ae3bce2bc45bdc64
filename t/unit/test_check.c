/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hap_check: its parameters, its request, and the reading of answers. */
#include "unit.h"

#include <apr_strings.h>

#include "hap_check.h"

static void expect_takes_statuses_and_ranges(void)
{
    hap_expect_t expect = HAP_EXPECT_DEFAULT;
    hap_diag_t diag;
    CU_ASSERT_TRUE(hap_expect_has(&expect, 200) && hap_expect_has(&expect, 399));
    CU_ASSERT_FALSE(hap_expect_has(&expect, 199) || hap_expect_has(&expect, 400));
    CU_ASSERT_EQUAL(hap_expect_parse(&expect, hap_str("200-299,404"), &diag, unit_pool), 0);
    CU_ASSERT_TRUE(hap_expect_has(&expect, 404) && hap_expect_has(&expect, 204));
    CU_ASSERT_FALSE(hap_expect_has(&expect, 302) || hap_expect_has(&expect, 403));
}

static void expect_refuses_what_is_no_status_and_keeps_the_old_value(void)
{
    static const char *const wrong[] = {"",         ",",        "200,",     "2xx",  "99",
                                        "600",      "399-200",  "200-",     "-200", "200--300",
                                        "200-300-", "200 -300", "200, 404", "0200", "+200"};
    hap_expect_t expect = HAP_EXPECT_DEFAULT;
    hap_diag_t diag;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        CU_ASSERT_EQUAL(hap_expect_parse(&expect, hap_str(wrong[i]), &diag, unit_pool), APR_EINVAL);
    }
    CU_ASSERT_TRUE(hap_expect_has(&expect, 302));
    hap_expect_parse(&expect, hap_str("200,2xx"), &diag, unit_pool);
    UNIT_STR_EQ(diag.why, "expect=200,2xx: \"2xx\" is no status from 100 to 599 and no range of "
                          "them, use for example 200-399,404");
    hap_str_t many = hap_str("200,200,200,200,200,200,200,200,200,200,200,200,200,200,200,200,200");
    CU_ASSERT_EQUAL(hap_expect_parse(&expect, many, &diag, unit_pool), APR_EINVAL);
}

static void method_and_uri_are_checked_with_a_sentence(void)
{
    hap_check_method_t method = HAP_CHECK_GET;
    hap_diag_t diag;
    CU_ASSERT_EQUAL(hap_check_method(&method, hap_str("OPTIONS"), &diag, unit_pool), APR_SUCCESS);
    CU_ASSERT_EQUAL(method, HAP_CHECK_OPTIONS);
    CU_ASSERT_EQUAL(hap_check_method(&method, hap_str("get"), &diag, unit_pool), APR_EINVAL);
    UNIT_STR_EQ(diag.why, "method=get is not possible, use GET, HEAD or OPTIONS");
    hap_str_t uri;
    CU_ASSERT_EQUAL(hap_check_uri(&uri, hap_str("/App/health?a=b"), &diag, unit_pool), 0);
    CU_ASSERT_EQUAL(hap_check_uri(&uri, hap_str("App"), &diag, unit_pool), APR_EINVAL);
    UNIT_STR_EQ(diag.why, "uri=App has to begin with \"/\"");
    CU_ASSERT_EQUAL(hap_check_uri(&uri, hap_str("/a\r\nX: y"), &diag, unit_pool), APR_EINVAL);
    UNIT_STR_EQ(diag.why, "uri=/a\\x0d\\x0aX: y has \"\\x0d\" in it, write it as %0D");
    CU_ASSERT_EQUAL(hap_check_uri(&uri, hap_str("/\xc3\xa4"), &diag, unit_pool), APR_EINVAL);
}

static void the_request_keeps_the_connection_and_says_who_asks(void)
{
    hap_check_t check = {.uri = hap_str("/App/health"), .method = HAP_CHECK_HEAD};
    UNIT_STR_EQ(hap_check_request(&check, hap_str("hosta:8080"), unit_pool).p,
                "HEAD /App/health HTTP/1.1\r\nHost: hosta:8080\r\nUser-Agent: mod_haproxy\r\n"
                "Accept: */*\r\nConnection: keep-alive\r\n\r\n");
    check.host = hap_str("www.example");
    CU_ASSERT_PTR_NOT_NULL(
        strstr(hap_check_request(&check, hap_str("x"), unit_pool).p, "\r\nHost: www.example\r\n"));
}

/* "done 200 reuse", "done 200", "more 0", "bad"; the same for every way to cut the answer. */
static const char *read_answer(const char *text, hap_check_method_t method)
{
    static char first[40];
    size_t n = strlen(text);
    for (size_t piece = n ? n : 1; piece > 0; piece = piece > 7 ? piece / 3 : piece - 1) {
        hap_answer_t a;
        hap_answer_init(&a, method);
        for (size_t at = 0; at < n; at += piece) {
            hap_answer_feed(&a, text + at, n - at < piece ? n - at : piece);
        }
        const char *seen =
            a.end == HAP_ANSWER_BAD
                ? "bad"
                : apr_psprintf(unit_pool, "%s %u%s", a.end == HAP_ANSWER_DONE ? "done" : "more",
                               a.status, a.end == HAP_ANSWER_DONE && a.reusable ? " reuse" : "");
        if (piece == n || n == 0) {
            apr_cpystrn(first, seen, sizeof(first));
        }
        UNIT_STR_EQ(seen, first);
    }
    return first;
}

#define H11 "HTTP/1.1 200 OK\r\n"

static void answers_are_read_by_their_framing(void)
{
    static const char *const rows[][2] = {
        {H11 "Content-Length: 2\r\n\r\nok", "done 200 reuse"},
        {H11 "Content-Length: 0\r\n\r\n", "done 200 reuse"},
        {H11 "Content-Length: 3\r\n\r\nok", "more 200"},
        {H11 "content-length: 2\r\nContent-Length: 2\r\n\r\nok", "done 200 reuse"},
        {H11 "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "done 200 reuse"},
        {H11 "Transfer-Encoding: Chunked\r\n\r\n2;a=\"b\"\r\nok\r\nA\r\n0123456789\r\n0\r\nX: "
             "y\r\n\r\n",
         "done 200 reuse"},
        {H11 "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n", "more 200"},
        {"HTTP/1.1 204 No Content\r\n\r\n", "done 204 reuse"},
        {"HTTP/1.1 304\r\nContent-Length: 10\r\n\r\n", "done 304 reuse"},
        {"HTTP/1.1 503 \r\nContent-Length: 1\r\n\r\nx", "done 503 reuse"},
        {"HTTP/1.1 100 Continue\r\n\r\n" H11 "Content-Length: 1\r\n\r\nx", "done 200 reuse"},
        {"HTTP/1.1 100 Continue\r\nContent-Length: 7\r\n\r\n" H11 "Content-Length: 1\r\n\r\nx",
         "done 200 reuse"},
        {"", "more 0"},
        {"HTTP/1.1 20", "more 0"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        UNIT_STR_EQ(read_answer(rows[i][0], HAP_CHECK_GET), rows[i][1]);
    }
    UNIT_STR_EQ(read_answer(H11 "Content-Length: 99\r\n\r\n", HAP_CHECK_HEAD), "done 200 reuse");
    UNIT_STR_EQ(read_answer(H11 "\r\n", HAP_CHECK_HEAD), "done 200 reuse");
}

static void a_status_counts_where_the_connection_cannot_be_reused(void)
{
    static const char *const rows[] = {
        H11 "\r\nuntil close",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        H11 "Connection: foo , Close\r\nContent-Length: 2\r\n\r\nok",
        H11 "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        H11 "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        H11 "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        H11 "Content-Length: 65537\r\n\r\n",
        H11 "Content-Length: 2\r\n\r\nok, and more",
        H11 "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffffff\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        UNIT_STR_EQ(read_answer(rows[i], HAP_CHECK_GET), "done 200");
    }
}

static void what_is_not_http_is_bad(void)
{
    static const char *const rows[] = {
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/2 200\r\n",
        "HTTP/1.1 200OK\r\n",
        "HTTP/1.1  200 OK\r\n",
        "HTTP/1.1 099 x\r\n",
        "HTTP/1.1 600 x\r\n",
        "HTTP/1.1 20x OK\r\n",
        "\r\n" H11,
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        H11 "no colon\r\n",
        H11 ": no name\r\n",
        H11 "a b: c\r\n",
        H11 "A: b\r\n folded\r\n",
        H11 "A: b\rc\r\n",
        H11 "A: \x01\r\n",
        H11 "Content-Length: 2\r\nContent-Length: 3\r\n",
        H11 "Content-Length: -1\r\n",
        H11 "Content-Length: 2, 2\r\n",
        H11 "Content-Length: 99999999999999999999\r\n",
        H11 "Transfer-Encoding: chunked\r\n\r\n\r\n",
        H11 "Transfer-Encoding: chunked\r\n\r\n0x2\r\n",
        H11 "Transfer-Encoding: chunked\r\n\r\n2\r\nokay\r\n",
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        UNIT_STR_EQ(read_answer(rows[i], HAP_CHECK_GET), "bad");
    }
}

static const char *repeated(const char *head, const char *part, size_t times)
{
    size_t n = strlen(part);
    char *text = apr_palloc(unit_pool, strlen(head) + n * times + 1);
    char *end = apr_cpystrn(text, head, strlen(head) + 1);
    for (size_t i = 0; i < times; i++) {
        end = apr_cpystrn(end, part, n + 1);
    }
    return text;
}

static void endless_answers_end_at_the_limits(void)
{
    UNIT_STR_EQ(read_answer(repeated(H11, "X-More: and more\r\n", 2000), HAP_CHECK_GET),
                "done 200");
    UNIT_STR_EQ(read_answer(repeated(H11 "X: ", "x", 20000), HAP_CHECK_GET), "done 200");
    UNIT_STR_EQ(read_answer(repeated("HTTP/1.1 200 ", "x", 20000), HAP_CHECK_GET), "bad");
    UNIT_STR_EQ(read_answer(repeated("", "HTTP/1.1 100 x\r\n\r\n", 2000), HAP_CHECK_GET), "bad");
    UNIT_STR_EQ(read_answer(repeated(H11 "Transfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n", 20000),
                            HAP_CHECK_GET),
                "done 200");
    UNIT_STR_EQ(
        read_answer(repeated(H11 "Content-Length: 65536\r\n\r\n", "12345678", 8192), HAP_CHECK_GET),
        "done 200 reuse");
    UNIT_STR_EQ(read_answer(repeated(H11 "Content-Length: 1\r\nX: ", "x", 1000), HAP_CHECK_GET),
                "more 200");
    UNIT_STR_EQ(read_answer(apr_pstrcat(unit_pool, repeated(H11 "Connection: ", "x", 1000),
                                        "\r\nContent-Length: 1\r\n\r\n1", NULL),
                            HAP_CHECK_GET),
                "done 200");
}

const unit_test_t suite_check[] = {
    UNIT_TEST(expect_takes_statuses_and_ranges),
    UNIT_TEST(expect_refuses_what_is_no_status_and_keeps_the_old_value),
    UNIT_TEST(method_and_uri_are_checked_with_a_sentence),
    UNIT_TEST(the_request_keeps_the_connection_and_says_who_asks),
    UNIT_TEST(answers_are_read_by_their_framing),
    UNIT_TEST(a_status_counts_where_the_connection_cannot_be_reused),
    UNIT_TEST(what_is_not_http_is_bad),
    UNIT_TEST(endless_answers_end_at_the_limits),
    UNIT_END,
};
