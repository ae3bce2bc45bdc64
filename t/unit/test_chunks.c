/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hap_chunks. */
#include "unit.h"

#include <apr_strings.h>

#include "hap_chunks.h"

/* Feeds a body in pieces of `piece` bytes, as it would come; what came out, then why it ended. */
static const char *feed(const char *body, size_t piece, bool bare)
{
    static char out[4096];
    char held[4096];
    size_t held_n = 0;
    size_t out_n = 0;
    size_t n = strlen(body);
    hap_chunks_t chunks = {.bare = bare};
    for (size_t at = 0; at < n && chunks.state < HAP_CHUNKS_DONE; at += piece) {
        size_t more = n - at < piece ? n - at : piece;
        memcpy(held + held_n, body + at, more);
        held_n += more;
        size_t used;
        size_t ready = hap_chunks_feed(&chunks, &used, held, held_n);
        memcpy(out + out_n, held, ready);
        out_n += ready;
        memmove(held, held + used, held_n - used);
        held_n -= used;
    }
    const char *end = chunks.state == HAP_CHUNKS_DONE  ? "done"
                      : chunks.state == HAP_CHUNKS_BAD ? "bad"
                                                       : "more";
    return apr_psprintf(unit_pool, "%.*s|%.*s|%s", (int)out_n, out, (int)held_n, held, end);
}

static void a_body_comes_out_as_it_is_whole_and_in_pieces(void)
{
    static const char body[] = "5\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n";
    for (size_t piece = 1; piece <= sizeof(body); piece++) {
        UNIT_STR_EQ(feed(body, piece, false), apr_pstrcat(unit_pool, body, "||done", NULL));
        UNIT_STR_EQ(feed(body, piece, true), "hello0123456789abcdef||done");
    }
}

static void sizes_are_written_as_short_as_they_can_be_and_extensions_left_out(void)
{
    static const char body[] =
        "0005;a=b;c=\"d\"\r\nhello\r\n0A \t; x\r\n0123456789\r\n1  \r\nx\r\n000;y\r\n\r\n";
    for (size_t piece = 1; piece <= sizeof(body); piece++) {
        UNIT_STR_EQ(feed(body, piece, false),
                    "5\r\nhello\r\na\r\n0123456789\r\n1\r\nx\r\n0\r\n\r\n||done");
    }
    UNIT_STR_EQ(feed("5;a\r\nhello\r\n5 a\r\n", 100, true), "hello|5 a\r\n|bad");
}

static void trailers_are_read_and_left_out(void)
{
    static const char body[] = "1\r\nx\r\n0\r\nX-Sum: 1\r\nContent-Length: 5\r\n\r\n";
    for (size_t piece = 1; piece <= sizeof(body); piece++) {
        UNIT_STR_EQ(feed(body, piece, false), "1\r\nx\r\n0\r\n\r\n||done");
    }
}

/* What follows is the next message, and is not touched. */
/* Either side may announce, and send, what only the proxy may say. */
static void trailers_carry_no_fields_of_zones(void)
{
    static const char body[] = "1\r\nx\r\n0\r\nHA-Session: gone\r\nha_fence: 9\r\n"
                               "HA-Session-Data: 0; QQ\r\n\r\n";
    for (size_t piece = 1; piece <= sizeof(body); piece++) {
        UNIT_STR_EQ(feed(body, piece, false), "1\r\nx\r\n0\r\n\r\n||done");
        UNIT_STR_EQ(feed(body, piece, true), "x||done");
    }
}

static void the_next_message_is_left_alone(void)
{
    char bytes[] = "0;longer-than-what-is-written\r\n\r\nGET / HTTP/1.1\r\n";
    hap_chunks_t chunks = {0};
    size_t used;
    size_t ready = hap_chunks_feed(&chunks, &used, bytes, strlen(bytes));
    CU_ASSERT_EQUAL(ready, 5);
    CU_ASSERT_EQUAL(chunks.state, HAP_CHUNKS_DONE);
    UNIT_STR_EQ(bytes + used, "GET / HTTP/1.1\r\n");
    char last[] = "\r\nGET";
    chunks = (hap_chunks_t){.state = HAP_CHUNKS_TRAILER};
    hap_chunks_feed(&chunks, &used, last, strlen(last));
    UNIT_STR_EQ(last, "\r\nGET");
    CU_ASSERT_EQUAL(used, 2);
}

static void malformed_chunks_are_refused(void)
{
    static const char *const bodies[] = {
        "\r\n",
        "x\r\n",
        "-1\r\n",
        " 1\r\nx\r\n",
        "1 x\r\nx\r\n",
        "1\nx\r\n",
        "0x1\r\nx\r\n",
        "1\r\nxy\r\n",
        "1\r\nx\n0\r\n\r\n",
        "1\r\nx\rX",
        "1;\x01\r\nx\r\n",
        "1;a\rb\r\n",
        "1000000000000000\r\n",
        "0\r\nX: \x7f\r\n\r\n",
        "0\r\n\n",
        "0\r\nX\r\n\r\n",
        "0\r\nX : 1\r\n\r\n",
        "0\r\n: 1\r\n\r\n",
        "0\r\nX: 1\r\n 2\r\n\r\n",
        "0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        for (size_t piece = 1; piece <= strlen(bodies[i]); piece++) {
            const char *result = feed(bodies[i], piece, false);
            UNIT_STR_EQ(result + strlen(result) - 3, "bad");
        }
    }
}

/* Each of them was taken: who stands in front may see another end of the line, or of the body. */
static void extensions_and_trailers_that_follow_no_grammar_are_refused(void)
{
    static const char *const bodies[] = {
        "1;\r\nx\r\n",
        "1;;a\r\nx\r\n",
        "1;=a\r\nx\r\n",
        "1;a=\r\nx\r\n",
        "1;a b\r\nx\r\n",
        "1;a \r\nx\r\n",
        "1;a=b=c\r\nx\r\n",
        "1;a=\"\r\nx\r\n",
        "1;a=\"b\\\"\r\nx\r\n",
        "1;a=\"b\\\r\nx\r\n",
        "1;a=\"b\"c\r\nx\r\n",
        "1;[a]\r\nx\r\n",
        "0\r\nGET / HTTP/1.1\r\n",
        "0\r\nX\r\n",
        "0\r\n: x\r\n",
        "0\r\nX : y\r\n",
        "0\r\nX: y\r\n z\r\n",
        "0\r\n x\r\n",
    };
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        for (size_t piece = 1; piece <= strlen(bodies[i]); piece++) {
            const char *result = feed(bodies[i], piece, false);
            UNIT_STR_EQ(result + strlen(result) - 3, "bad");
        }
    }
    UNIT_STR_EQ(
        feed("1; a\t= \"b\\\"; \xc3\"; c;d=\"\"\r\nx\r\n0\r\nX:\r\nY:z\r\n\r\n", 100, false),
        "1\r\nx\r\n0\r\n\r\n||done");
}

static void lines_without_end_are_refused(void)
{
    char line[HAP_CHUNKS_LINE_BYTES + 2];
    memset(line, ' ', sizeof(line));
    memcpy(line, "5;", 2);
    hap_chunks_t chunks = {0};
    size_t used;
    hap_chunks_feed(&chunks, &used, line, HAP_CHUNKS_LINE_BYTES - 1);
    CU_ASSERT_EQUAL(chunks.state, HAP_CHUNKS_SIZE);
    hap_chunks_feed(&chunks, &used, line, HAP_CHUNKS_LINE_BYTES);
    CU_ASSERT_EQUAL(chunks.state, HAP_CHUNKS_BAD);
    chunks = (hap_chunks_t){.state = HAP_CHUNKS_TRAILER};
    unsigned lines = 0;
    while (chunks.state == HAP_CHUNKS_TRAILER && lines < 10000) {
        char field[] = "X-Field: value\r\n";
        hap_chunks_feed(&chunks, &used, field, strlen(field));
        lines++;
    }
    CU_ASSERT_EQUAL(chunks.state, HAP_CHUNKS_BAD);
    CU_ASSERT_EQUAL(lines, HAP_CHUNKS_TRAILERS_MAX + 1);
    chunks = (hap_chunks_t){.state = HAP_CHUNKS_TRAILER};
    lines = 0;
    while (chunks.state == HAP_CHUNKS_TRAILER && lines < 10000) {
        char field[] = "X-Field: a value of a certain length that is not short, repeated, and "
                       "then repeated until it is too long for all of them together\r\n";
        hap_chunks_feed(&chunks, &used, field, strlen(field));
        lines++;
    }
    CU_ASSERT_EQUAL(chunks.state, HAP_CHUNKS_BAD);
    CU_ASSERT_EQUAL(lines, HAP_CHUNKS_TRAILER_BYTES / 131 + 1);
}

static void heads_of_chunks_are_hexadecimal(void)
{
    static const struct {
        uint64_t size;
        const char *line;
    } rows[] = {{0, "0\r\n"}, {10, "a\r\n"}, {16, "10\r\n"}, {UINT64_MAX, "ffffffffffffffff\r\n"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char line[HAP_CHUNKS_HEAD_BYTES + 1] = {0};
        CU_ASSERT_EQUAL(hap_chunks_head(line, rows[i].size), strlen(rows[i].line));
        UNIT_STR_EQ(line, rows[i].line);
    }
}

const unit_test_t suite_chunks[] = {
    UNIT_TEST(a_body_comes_out_as_it_is_whole_and_in_pieces),
    UNIT_TEST(sizes_are_written_as_short_as_they_can_be_and_extensions_left_out),
    UNIT_TEST(trailers_are_read_and_left_out),
    UNIT_TEST(trailers_carry_no_fields_of_zones),
    UNIT_TEST(the_next_message_is_left_alone),
    UNIT_TEST(malformed_chunks_are_refused),
    UNIT_TEST(extensions_and_trailers_that_follow_no_grammar_are_refused),
    UNIT_TEST(lines_without_end_are_refused),
    UNIT_TEST(heads_of_chunks_are_hexadecimal),
    UNIT_END,
};
