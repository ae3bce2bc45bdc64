/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hap_deflate, and of the streams in ml_deflate. */
#include "unit.h"

#include <apr_strings.h>
#include <zlib.h>

#include "hap_deflate.h"
#include "ml_deflate.h"

enum { TEXT_BYTES = 1024, LONG_BYTES = 300000 };

static const hap_str_t types[] = {{"text/html", 9}, {"text/css", 8}};

/* "-" not touched, "vary" when only that is said, else the fields of the compressed answer. */
static const char *made_of(const char *status, const char *fields, hap_deflate_etag_t etag,
                           bool accepted)
{
    static hap_http1_answer_t answer;
    static char bytes[TEXT_BYTES];
    const hap_deflate_t how = {.types = types, .types_n = 2, .etag = etag};
    char *head = apr_psprintf(unit_pool, "HTTP/1.1 %s OK\r\n%s\r\n", status, fields);
    hap_edit_text_t text = {bytes, 0, sizeof(bytes)};
    if (hap_http1_answer(&answer, head, strlen(head), false) != HAP_HTTP1_DONE) {
        return answer.head.why;
    }
    if (!hap_deflate_applies(&answer, &how)) {
        return "-";
    }
    if (!hap_deflate_head(&answer, &how, accepted, &text)) {
        return "no room";
    }
    const char *shown = "";
    for (unsigned i = 0; i < answer.head.fields_n; i++) {
        const hap_field_t *field = &answer.head.fields[i];
        shown = apr_psprintf(unit_pool, "%s%s%.*s=%.*s", shown, i ? "; " : "",
                             HAP_STR_ARG(field->name), HAP_STR_ARG(field->value));
    }
    return shown;
}

#define HTML "Content-Type: text/html\r\n"

static const char *html_with(const char *fields)
{
    const char *all = apr_pstrcat(unit_pool, HTML, fields, NULL);
    const char *made = made_of("200", all, HAP_DEFLATE_ETAG_SUFFIX, true);
    const char *type = "Content-Type=text/html; ";
    return strncmp(made, type, strlen(type)) == 0 ? made + strlen(type) : made;
}

static void a_200_of_one_of_the_types_is_compressed(void)
{
    const char *want = "Vary=Accept-Encoding; Content-Encoding=gzip";
    UNIT_STR_EQ(html_with(""), want);
    UNIT_STR_EQ(html_with("Content-Length: 500\r\nContent-MD5: x\r\n"), want);
    const char *const others[] = {"Content-Type: text/html2\r\n",
                                  "Content-Type: text/htm\r\n",
                                  "Content-Type: Text/HTML\r\n",
                                  "Content-Type:\r\n",
                                  "",
                                  HTML "Content-Range: bytes 0-1/9\r\n"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        UNIT_STR_EQ(made_of("200", others[i], HAP_DEFLATE_ETAG_SUFFIX, true), "-");
    }
    const char *const same[] = {"Content-Type: text/css;x\r\n", "Content-Type: text/css ; x\r\n",
                                "Content-Type: text/css\tx\r\n"};
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        CU_ASSERT_NOT_EQUAL(strcmp(made_of("200", same[i], HAP_DEFLATE_ETAG_SUFFIX, true), "-"), 0);
    }
    const char *const statuses[] = {"201", "203", "204", "206", "304", "404", "500"};
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        UNIT_STR_EQ(made_of(statuses[i], HTML, HAP_DEFLATE_ETAG_SUFFIX, true), "-");
    }
}

static void what_is_encoded_is_left_alone(void)
{
    UNIT_STR_EQ(html_with("Content-Encoding: gzip\r\n"), "-");
    UNIT_STR_EQ(html_with("Content-Encoding: identity, br\r\n"), "-");
    UNIT_STR_EQ(html_with("Content-Encoding: Identity\r\n"), "-");
    UNIT_STR_EQ(html_with("Content-Encoding: identity\r\n"),
                "Content-Encoding=gzip; Vary=Accept-Encoding");
    UNIT_STR_EQ(html_with("Content-Encoding: 8bit, binary\r\n"),
                "Content-Encoding=8bit, binary, gzip; Vary=Accept-Encoding");
}

static void vary_is_said_to_all(void)
{
    UNIT_STR_EQ(made_of("200", HTML "ETag: \"x\"\r\n", HAP_DEFLATE_ETAG_SUFFIX, false),
                "Content-Type=text/html; ETag=\"x\"; Vary=Accept-Encoding");
    UNIT_STR_EQ(html_with("Vary: Cookie\r\n"),
                "Vary=Cookie, Accept-Encoding; Content-Encoding=gzip");
}

static const char *tag(const char *etag, hap_deflate_etag_t how)
{
    const char *fields = apr_psprintf(unit_pool, HTML "ETag: %s\r\n", etag);
    const char *made = strstr(made_of("200", fields, how, true), "ETag=");
    return made ? apr_pstrmemdup(unit_pool, made + 5, strcspn(made + 5, ";")) : "none";
}

static void the_tag_is_another_one(void)
{
    UNIT_STR_EQ(tag("\"x\"", HAP_DEFLATE_ETAG_SUFFIX), "\"x-gzip\"");
    UNIT_STR_EQ(tag("W/\"x\"", HAP_DEFLATE_ETAG_SUFFIX), "W/\"x-gzip\"");
    UNIT_STR_EQ(tag("\"\"", HAP_DEFLATE_ETAG_SUFFIX), "\"\"");
    UNIT_STR_EQ(tag("x", HAP_DEFLATE_ETAG_SUFFIX), "x");
    UNIT_STR_EQ(tag("\"x\"", HAP_DEFLATE_ETAG_KEEP), "\"x\"");
    UNIT_STR_EQ(tag("\"x\"", HAP_DEFLATE_ETAG_REMOVE), "none");
}

static bool accepts(const char *fields)
{
    static hap_http1_request_t request;
    static const hap_http1_limits_t limits = {SIZE_MAX, SIZE_MAX, HAP_HTTP1_FIELDS_MAX};
    const char *head = apr_psprintf(unit_pool, "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", fields);
    CU_ASSERT_EQUAL_FATAL(hap_http1_request(&request, head, strlen(head), &limits), HAP_HTTP1_DONE);
    return hap_deflate_accepted(&request);
}

static void accept_encoding_is_read_as_mod_deflate_does(void)
{
    static const struct {
        const char *value;
        bool yes;
    } cases[] = {
        {"gzip", true},
        {"GZip", true},
        {"br, gzip", true},
        {"br;q=1, gzip;q=0.5", true},
        {"br;q=0;x , gzip", true},
        {"gzip;q=0.001", true},
        {"gzip;q", true},
        {"gzip;q=0 , br", true}, /* a blank in the weight is one too many for it */
        {"gzip;q=0", false},
        {"gzip; q=0.0", false},
        {"gzip ;q=0.000", false},
        {"x-gzip", false},
        {"*", false},
        {"identity", false},
        {"", false},
        {", gzip", false},
        {"br,,gzip", false},
        {"\"br, gzip", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *field = apr_psprintf(unit_pool, "Accept-Encoding: %s\r\n", cases[i].value);
        CU_ASSERT_EQUAL(accepts(field), cases[i].yes);
    }
    CU_ASSERT_FALSE(accepts(""));
    CU_ASSERT_TRUE(accepts("Accept-Encoding: br\r\nAccept-Encoding: gzip\r\n"));
    CU_ASSERT_FALSE(accepts("Accept-Encoding: gzip;q=0\r\nAccept-Encoding: gzip\r\n"));
}

/* --- streams ---------------------------------------------------------------------------------- */

static char *long_text(void)
{
    char *text = apr_palloc(unit_pool, LONG_BYTES);
    for (int i = 0; i < LONG_BYTES; i++) {
        text[i] = (char)('a' + (i * 7 + i / 100) % 26);
    }
    return text;
}

static size_t inflated(char *out, size_t room, const char *in, size_t n)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)in,
                  .avail_in = (uInt)n,
                  .next_out = (Bytef *)out,
                  .avail_out = (uInt)room};
    CU_ASSERT_EQUAL_FATAL(inflateInit2(&z, 15 + 16), Z_OK);
    inflate(&z, Z_SYNC_FLUSH);
    inflateEnd(&z);
    return room - z.avail_out;
}

/* In pieces of `step` bytes, into rooms of `room`; what came out, and how much of it. */
static char *deflated(size_t *n, ml_deflate_t *stream, const char *text, size_t step, size_t room,
                      ml_deflate_end_t between)
{
    char *out = apr_palloc(unit_pool, LONG_BYTES * 4);
    *n = 0;
    for (size_t at = 0; at < LONG_BYTES;) {
        size_t left = LONG_BYTES - at < step ? LONG_BYTES - at : step;
        const char *in = text + at;
        at += left;
        ml_deflate_end_t end = at == LONG_BYTES ? ML_DEFLATE_LAST : between;
        for (bool done = false; !done;) {
            size_t made;
            done = ml_deflate_run(stream, &in, &left, out + *n, room, &made, end);
            *n += made;
        }
        CU_ASSERT_EQUAL(left, 0);
    }
    return out;
}

static void a_stream_is_gzip_whatever_the_pieces(void)
{
    static const size_t steps[] = {1000, 32768, LONG_BYTES};
    static const size_t rooms[] = {64, 1000, 16000};
    ml_deflates_t all = {0};
    char *text = long_text();
    char *back = apr_palloc(unit_pool, LONG_BYTES + 1);
    for (size_t i = 0; i < 9; i++) {
        ml_deflate_t *stream = ml_deflate_take(&all, -1, 15, 9);
        size_t n;
        char *out = deflated(&n, stream, text, steps[i / 3], rooms[i % 3],
                             i % 2 ? ML_DEFLATE_FLUSH : ML_DEFLATE_MORE);
        CU_ASSERT_EQUAL(inflated(back, LONG_BYTES + 1, out, n), LONG_BYTES);
        CU_ASSERT_EQUAL(memcmp(back, text, LONG_BYTES), 0);
        ml_deflate_give(&all, stream);
    }
    CU_ASSERT_EQUAL(all.spare_n, 1);
    CU_ASSERT_EQUAL(all.out, 0);
    ml_deflates_clear(&all);
}

static void what_is_flushed_can_be_read(void)
{
    ml_deflates_t all = {0};
    ml_deflate_t *stream = ml_deflate_take(&all, 1, 9, 1);
    char out[200];
    char back[100];
    const char *in = "so far";
    size_t left = 6;
    size_t made;
    size_t more;
    CU_ASSERT_TRUE(ml_deflate_run(stream, &in, &left, out, sizeof(out), &made, ML_DEFLATE_FLUSH));
    CU_ASSERT_EQUAL(inflated(back, sizeof(back), out, made), 6);
    /* A second time there is nothing to flush. */
    CU_ASSERT_TRUE(ml_deflate_run(stream, &in, &left, out, sizeof(out), &more, ML_DEFLATE_FLUSH));
    CU_ASSERT_EQUAL(more, 0);
    ml_deflate_give(&all, stream);
    ml_deflates_clear(&all);
}

static void streams_are_bounded_and_kept(void)
{
    ml_deflates_t all = {0};
    ml_deflate_t *streams[ML_DEFLATE_MAX];
    for (int i = 0; i < ML_DEFLATE_MAX; i++) {
        streams[i] = ml_deflate_take(&all, 1, 9, 1);
        CU_ASSERT_PTR_NOT_NULL_FATAL(streams[i]);
    }
    CU_ASSERT_PTR_NULL(ml_deflate_take(&all, 1, 9, 1));
    for (int i = 0; i < ML_DEFLATE_MAX; i++) {
        ml_deflate_give(&all, streams[i]);
    }
    CU_ASSERT_EQUAL(all.spare_n, ML_DEFLATE_SPARE);
    ml_deflate_t *other = ml_deflate_take(&all, 9, 15, 9);
    CU_ASSERT_EQUAL(all.spare_n, ML_DEFLATE_SPARE);
    ml_deflate_give(&all, other);
    CU_ASSERT_PTR_NULL(ml_deflate_take(&all, 1, 3, 1)); /* zlib knows no such window */
    CU_ASSERT_EQUAL(all.out, 0);
    ml_deflates_clear(&all);
    CU_ASSERT_EQUAL(all.spare_n, 0);
}

const unit_test_t suite_deflate[] = {
    UNIT_TEST(a_200_of_one_of_the_types_is_compressed),
    UNIT_TEST(what_is_encoded_is_left_alone),
    UNIT_TEST(vary_is_said_to_all),
    UNIT_TEST(the_tag_is_another_one),
    UNIT_TEST(accept_encoding_is_read_as_mod_deflate_does),
    UNIT_TEST(a_stream_is_gzip_whatever_the_pieces),
    UNIT_TEST(what_is_flushed_can_be_read),
    UNIT_TEST(streams_are_bounded_and_kept),
    UNIT_END,
};
