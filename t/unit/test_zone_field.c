/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hap_zone_field: which names are the family's, what is read and what is refused, and that
 * a state comes back as it was. */
#include "unit.h"

#include <apr_strings.h>

#include "hap_base64url.h"
#include "hap_zone_field.h"
#include "random.h"

static hap_zone_said_t said;

/* --- names --- */

static void names_of_the_family_are_known_however_they_are_spelt(void)
{
    static const char *const family[] = {
        "HA-Session",      "ha-session", "HA_SESSION",     "hA_sEsSiOn-dAtA", "HA-Session-Data",
        "HA-Session_Data", "HA-Fence",   "ha_fence",       "HA-FENCE-2",      "HA-Session-Foo",
        "HA-Sessions",     "HA-FenceX",  "ha-session:foo",
    };
    static const char *const others[] = {
        "",           "H",           "HA",           "HA-",        "HA-Sessio",   "HA-Fenc",
        "HASession",  "HA--Session", "X-HA-Session", "Host",       "Hamburg",     "HA-TTL",
        "HA Session", "HA-Ses-sion", "HA\rSession",  "ha~session", "h\0-session", "JA-Session",
    };
    for (size_t i = 0; i < sizeof(family) / sizeof(family[0]); i++) {
        if (!hap_zone_is_family(hap_str(family[i]))) {
            UNIT_STR_EQ(family[i], "a name of the family");
        }
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (hap_zone_is_family(hap_str(others[i]))) {
            UNIT_STR_EQ(others[i], "no name of the family");
        }
    }
    CU_ASSERT_FALSE(hap_zone_is_family(hap_strn("HA-Session", 9)));
    CU_ASSERT_FALSE(hap_zone_is_family(hap_strn(NULL, 0)));
}

static void other_fields_are_left_alone(void)
{
    hap_zone_said_begin(&said);
    CU_ASSERT_FALSE(hap_zone_said_add(&said, hap_str("Set-Cookie"), hap_str("put; nonsense")));
    CU_ASSERT_TRUE(hap_zone_said_add(&said, hap_str("HA-Session-Foo"), hap_str("nonsense")));
    CU_ASSERT_TRUE(hap_zone_said_add(&said, hap_str("HA_Session"), hap_str("nonsense")));
    CU_ASSERT_TRUE(hap_zone_said_add(&said, hap_str("HA-Fence"), hap_str("nonsense")));
    CU_ASSERT_TRUE(hap_zone_said_end(&said));
    CU_ASSERT_EQUAL(said.word, HAP_ZONE_SAYS_NOTHING);
}

/* --- what applications say --- */

static const char *shown(void)
{
    const char *text =
        apr_psprintf(unit_pool, "%s id=%.*s new=%.*s ttl=%u", hap_zone_word_text(said.word),
                     HAP_STR_ARG(said.id), HAP_STR_ARG(said.new_id), said.ttl_s);
    if (!said.state) {
        return text;
    }
    text = apr_psprintf(unit_pool, "%s ver=%" APR_UINT64_T_FMT " parts=", text,
                        (apr_uint64_t)said.version);
    for (unsigned i = 0; i < said.parts; i++) {
        text = apr_psprintf(unit_pool, "%s[%.*s]", text, HAP_STR_ARG(said.part[i]));
    }
    return text;
}

/* One answer. A line that begins with a digit is a HA-Session-Data. */
static const char *read_lines(const char *text)
{
    hap_str_t rest = hap_str(text);
    hap_str_t line;
    hap_zone_said_begin(&said);
    while (hap_str_line(&line, &rest)) {
        bool data = line.n && line.p[0] >= '0' && line.p[0] <= '9';
        hap_str_t name = data ? HAP_STR_LIT("ha-session-data") : HAP_STR_LIT("Ha-Session");
        CU_ASSERT_TRUE(hap_zone_said_add(&said, name, line));
    }
    return hap_zone_said_end(&said) ? shown() : said.why;
}

typedef struct row_t {
    const char *says;
    const char *reads;
} row_t;

static void check_rows(const row_t *rows)
{
    for (; rows->says; rows++) {
        const char *got = read_lines(rows->says);
        if (strcmp(got, rows->reads) != 0) {
            UNIT_STR_EQ(apr_pstrcat(unit_pool, rows->says, " -> ", got, NULL), rows->reads);
        }
        bool wrong = said.why != NULL;
        CU_ASSERT_TRUE(!wrong || (said.word == HAP_ZONE_SAYS_NOTHING && !said.state));
    }
}

static void what_applications_say_is_read(void)
{
    static const row_t rows[] = {
        {"", " id= new= ttl=0"},
        {"put; id=\"abc\"; ver=18; ttl=1800; parts=2\n0; QUJD\n1; REVG",
         "put id=abc new= ttl=1800 ver=18 parts=[QUJD][REVG]"},
        {"0; QQ\nput;parts=1;ttl=1;ver=999999999999999",
         "put id= new= ttl=1 ver=999999999999999 parts=[QQ]"},
        {"put; ver=1; ttl=2592000; parts=0", "put id= new= ttl=2592000 ver=1 parts="},
        {"put; ver=1; ttl=999999999999999; parts=0", "put id= new= ttl=2592000 ver=1 parts="},
        {"touch; ttl=60", "touch id= new= ttl=60"},
        {" touch;   id=\"a b\";ttl=060\t", "touch id=a b new= ttl=60"},
        {"del", "del id= new= ttl=0"},
        {"del; id=\"a\"", "del id=a new= ttl=0"},
        {"rekey; new=\"b\"", "rekey id= new=b ttl=0"},
        {"rekey; new=\"b\"; id=\"a\"; parts=1; ver=2; ttl=3\n0; QQ",
         "rekey id=a new=b ttl=3 ver=2 parts=[QQ]"},
        {"miss", "miss id= new= ttl=0"},
        {NULL, NULL},
    };
    check_rows(rows);
}

static void unknown_parameters_are_ignored_and_others_where_they_have_no_use(void)
{
    static const row_t rows[] = {
        {"del; a; *b=?1; c-d_e.f*0=tok/en:x; f=\"x;y=\\\"\\\\\"; g=-1.5; h=:QUI=:; i=?0; a=-12; a",
         "del id= new= ttl=0"},
        {"miss; parts=3; ver=7; id=\"a\"", "miss id=a new= ttl=0"},
        {NULL, NULL},
    };
    check_rows(rows);
}

static void strings_are_unescaped(void)
{
    static const row_t rows[] = {
        {"rekey; id=\"a\\\"b\\\\\"; new=\"\\\\\\\\c\"", "rekey id=a\"b\\ new=\\\\c ttl=0"},
        {"del; id=\"\\\"\"", "del id=\" new= ttl=0"},
        {NULL, NULL},
    };
    check_rows(rows);
}

static const char *of_length(const char *before, char c, size_t n, const char *after)
{
    char *text = apr_palloc(unit_pool, n + 1);
    memset(text, c, n);
    text[n] = '\0';
    return apr_pstrcat(unit_pool, before, text, after, NULL);
}

static void ids_have_1_to_256_bytes(void)
{
    const char *why = "id is no string of 1 to 256 bytes";
    UNIT_STR_EQ(read_lines("del; id=\"\""), why);
    UNIT_STR_EQ(read_lines(of_length("del; id=\"", 'x', 257, "\"")), why);
    UNIT_STR_EQ(read_lines(of_length("del; id=\"\\\"", 'x', 256, "\"")), why);
    UNIT_STR_EQ(read_lines(of_length("del; id=\"", '\\', 514, "\"")), why);
    UNIT_STR_EQ(read_lines(of_length("rekey; new=\"", 'x', 257, "\"")),
                "new is no string of 1 to 256 bytes");
    read_lines(of_length("del; id=\"", 'x', 256, "\""));
    CU_ASSERT_EQUAL(said.id.n, 256);
    read_lines(of_length(of_length("rekey; id=\"", '\\', 512, "\"; new=\""), '\\', 512, "\""));
    CU_ASSERT_EQUAL(said.id.n, 256);
    CU_ASSERT_EQUAL(said.new_id.n, 256);
    CU_ASSERT_PTR_NULL(said.why);
}

static void what_is_no_item_of_ours_is_refused(void)
{
    static const char no_item[] = "HA-Session is no item with parameters";
    static const char no_word[] = "HA-Session begins with none of put, touch, del, rekey and miss";
    static const char malformed[] = "a parameter is malformed";
    static const row_t rows[] = {
        {"restore; ver=1; parts=0", no_word},
        {"PUT; ver=1; ttl=1; parts=0", no_word},
        {"\n", no_word},
        {"\"del\"", no_word},
        {"puts; ver=1; ttl=1; parts=0", no_word},
        {"del ; id=\"a\"", no_item},
        {"del x", no_item},
        {"del, touch; ttl=1", no_item},
        {"del; id=\"a\" ; b", no_item},
        {"del; a=?2", malformed},
        {"del;", malformed},
        {"del;;a", malformed},
        {"del;\ta", malformed},
        {"del; Id=\"a\"", malformed},
        {"del; 1=2", malformed},
        {"del; a=", malformed},
        {"del; a= 1", malformed},
        {"del; a=\"x", malformed},
        {"del; a=\"x\\\"", malformed},
        {"del; a=\"x\\", malformed},
        {"del; a=\"\\x\"", malformed},
        {"del; a=\"\xc3\xa4\"", malformed},
        {"del; a=\"\t\"", malformed},
        {"del; a=\"\x7f\"", malformed},
        {"del; a=1234567890123456", malformed},
        {"del; a=1234567890123.1", malformed},
        {"del; a=1.", malformed},
        {"del; a=1.1234", malformed},
        {"del; a=-", malformed},
        {"del; a=:QQ", malformed},
        {"del; a=:Q-:", malformed},
        {"del; a=(1)", malformed},
        {"touch; ttl=60\ntouch; ttl=60", "there is more than one HA-Session"},
        {"touch; ttl=60; ttl=60", "a parameter is there twice"},
        {"del; id=\"a\"; x; id=\"a\"", "a parameter is there twice"},
        {NULL, NULL},
    };
    check_rows(rows);
}

static void parameters_that_are_missing_or_no_values_are_refused(void)
{
    static const char put[] = "put without ver, ttl or parts";
    static const char some[] = "rekey with some of ver, ttl and parts, but not all";
    static const char ver[] = "ver is no integer from 1 to 999999999999999";
    static const char ttl[] = "ttl is no integer from 1";
    static const char parts[] = "parts is no integer from 0 to 4";
    static const row_t rows[] = {
        {"put", put},
        {"put; ver=1; ttl=1", put},
        {"put; ver=1; parts=0", put},
        {"put; ttl=1; parts=0", put},
        {"touch; id=\"a\"", "touch without ttl"},
        {"rekey; id=\"a\"", "rekey without new"},
        {"rekey; new=\"a\"; ver=1", some},
        {"rekey; new=\"a\"; ver=1; ttl=1", some},
        {"rekey; new=\"a\"; ttl=1; parts=0", some},
        {"put; ver=0; ttl=1; parts=0", ver},
        {"put; ver=-1; ttl=1; parts=0", ver},
        {"put; ver=1.0; ttl=1; parts=0", ver},
        {"put; ver=\"1\"; ttl=1; parts=0", ver},
        {"put; ver; ttl=1; parts=0", ver},
        {"touch; ttl=0", ttl},
        {"touch; ttl=-1", ttl},
        {"touch; ttl=x", ttl},
        {"put; ver=1; ttl=1; parts=5", parts},
        {"put; ver=1; ttl=1; parts=-0", parts},
        {"del; id=a", "id is no string of 1 to 256 bytes"},
        {"del; id", "id is no string of 1 to 256 bytes"},
        {"rekey; new=7", "new is no string of 1 to 256 bytes"},
        {NULL, NULL},
    };
    check_rows(rows);
}

static void parts_are_put_together_in_the_order_of_their_numbers(void)
{
    static const row_t rows[] = {
        {"put; ver=1; ttl=1; parts=3\n2; CC\n0;AA\n1;  BB",
         "put id= new= ttl=1 ver=1 parts=[AA][BB][CC]"},
        {"0; AA,1; BB ,\t2;CC\nput; ver=1; ttl=1; parts=4\n3; DD",
         "put id= new= ttl=1 ver=1 parts=[AA][BB][CC][DD]"},
        {NULL, NULL},
    };
    check_rows(rows);
}

static void parts_that_are_not_those_announced_are_refused(void)
{
    static const char others[] = "the parts are not those that were announced";
    static const char twice[] = "a part is there twice";
    static const char begins[] =
        "HA-Session-Data does not begin with a number from 0 to 3 and a semicolon";
    static const char length[] = "HA-Session-Data has not 1 to 7000 characters";
    static const row_t rows[] = {
        {"0; AA", "HA-Session-Data without HA-Session"},
        {"put; ver=1; ttl=1; parts=1", others},
        {"put; ver=1; ttl=1; parts=2\n0; AA", others},
        {"put; ver=1; ttl=1; parts=2\n1; AA", others},
        {"put; ver=1; ttl=1; parts=1\n0; AA\n1; AA", others},
        {"put; ver=1; ttl=1; parts=0\n0; AA", others},
        {"touch; ttl=1; parts=1\n0; AA", others},
        {"rekey; new=\"a\"\n0; AA", others},
        {"miss\n0; AA", others},
        {"put; ver=1; ttl=1; parts=1\n0; AA\n0; AA", twice},
        {"put; ver=1; ttl=1; parts=1\n0; AA, 0; AA", twice},
        {"put; ver=1; ttl=1; parts=4\n4; AA", begins},
        {"put; ver=1; ttl=1; parts=1\n00; AA", begins},
        {"put; ver=1; ttl=1; parts=1\n0 ; AA", begins},
        {"put; ver=1; ttl=1; parts=1\n0", begins},
        {"put; ver=1; ttl=1; parts=1\n0; AA,", begins},
        {"put; ver=1; ttl=1; parts=1\n0; AA,,1; AA", begins},
        {"put; ver=1; ttl=1; parts=1\n0;", length},
        {"put; ver=1; ttl=1; parts=1\n0;  ", length},
        {NULL, NULL},
    };
    check_rows(rows);
}

static void a_part_has_7000_characters_at_most(void)
{
    static const char put[] = "put; ver=1; ttl=1; parts=1\n0; ";
    read_lines(of_length(put, 'A', 7000, ""));
    CU_ASSERT_PTR_NULL(said.why);
    CU_ASSERT_EQUAL(said.part[0].n, 7000);
    UNIT_STR_EQ(read_lines(of_length(put, 'A', 7001, "")),
                "HA-Session-Data has not 1 to 7000 characters");
}

/* --- states --- */

static const char *state_of(const char *lines)
{
    static char room[HAP_ZONE_STATE_BYTES_MAX];
    size_t n = 0;
    read_lines(lines);
    CU_ASSERT_TRUE(said.state);
    return hap_zone_said_state(&said, room, &n) ? apr_pstrmemdup(unit_pool, room, n) : said.why;
}

static void a_state_is_base64url_wherever_it_is_cut(void)
{
    static const char bad[] = "the state is no base64url";
    UNIT_STR_EQ(state_of("put; ver=1; ttl=1; parts=1\n0; Pz8_fn5-"), "???~~~");
    UNIT_STR_EQ(state_of("put; ver=1; ttl=1; parts=4\n0; P\n1; z8\n2; _fn5\n3; -YQ"), "???~~~a");
    UNIT_STR_EQ(state_of("put; ver=1; ttl=1; parts=1\n0; YWI"), "ab");
    UNIT_STR_EQ(state_of("put; ver=1; ttl=1; parts=0"), "");
    static const char *const rows[] = {"YQ==", "Y",    "YWJjZ", "YR",     "YWJ",
                                       "Pz8/", "Pz8+", "YW Jj", "YWJ\tj", "YW\xc3\xa4",
                                       "YW@j", "YW[j", "YWJj;x"};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        UNIT_STR_EQ(
            state_of(apr_pstrcat(unit_pool, "put; ver=1; ttl=1; parts=1\n0; ", rows[i], NULL)),
            bad);
    }
}

/* RFC 4648 10, without padding. */
static void base64url_is_that_of_its_specification(void)
{
    static const char *const rows[][2] = {
        {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
        {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xfb\xff", "-_8"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[16] = {0};
        char back[16] = {0};
        size_t n = 99;
        hap_base64url_encode(text, rows[i][0], strlen(rows[i][0]));
        UNIT_STR_EQ(text, rows[i][1]);
        CU_ASSERT_EQUAL(HAP_BASE64URL_CHARS(strlen(rows[i][0])), strlen(text));
        hap_str_t piece = hap_str(text);
        CU_ASSERT_TRUE(hap_base64url_decode(back, &n, &piece, 1));
        CU_ASSERT_EQUAL(n, strlen(rows[i][0]));
        UNIT_STR_EQ(back, rows[i][0]);
    }
}

/* --- what the proxy says --- */

static char room[HAP_ZONE_SAY_BYTES];
static hap_zone_line_t lines[HAP_ZONE_LINES_MAX];

static const char *say(hap_zone_tell_t tell, uint64_t epoch, const hap_zone_record_t *record,
                       const char *from)
{
    const char *text = "";
    unsigned n = hap_zone_say(lines, room, tell, epoch, record, hap_str(from));
    for (unsigned i = 0; i < n; i++) {
        CU_ASSERT_EQUAL(lines[i].value.p[lines[i].value.n], '\0');
        text = apr_pstrcat(unit_pool, text, lines[i].name, ": ", lines[i].value.p, "\n", NULL);
    }
    return text;
}

static void the_proxy_says_what_it_has(void)
{
    hap_zone_record_t record = {.epoch = 7, .version = 17, .data = HAP_STR_LIT("???~~~")};
    UNIT_STR_EQ(say(HAP_ZONE_TELL_FENCE, 0, NULL, ""), "");
    UNIT_STR_EQ(say(HAP_ZONE_TELL_FENCE, UINT64_MAX, NULL, ""), "HA-Fence: 18446744073709551615\n");
    UNIT_STR_EQ(say(HAP_ZONE_TELL_NONE, 0, NULL, ""), "HA-Session: none\n");
    UNIT_STR_EQ(say(HAP_ZONE_TELL_GONE, 3, NULL, ""), "HA-Fence: 3\nHA-Session: gone\n");
    UNIT_STR_EQ(say(HAP_ZONE_TELL_ERROR, 0, NULL, ""), "HA-Session: error\n");
    UNIT_STR_EQ(say(HAP_ZONE_TELL_RESTORE, 7, &record, "hostA"),
                "HA-Fence: 7\nHA-Session: restore; ver=17; from=\"hostA\"; parts=1\n"
                "HA-Session-Data: 0; Pz8_fn5-\n");
    record.data = HAP_STR_LIT("");
    UNIT_STR_EQ(say(HAP_ZONE_TELL_RESTORE, 7, &record, ""),
                "HA-Fence: 7\nHA-Session: restore; ver=17; parts=0\n");
    record.version = 0;
    UNIT_STR_EQ(say(HAP_ZONE_TELL_RESTORE, 7, &record, "hostA"), "HA-Fence: 7\nHA-Session: none\n");
}

static void an_owner_that_is_no_route_is_not_told(void)
{
    static const char *const owners[] = {"a\"b", "a\\b", "a\r\nX: y", "a b", "\xc3\xa4", "\x7f"};
    hap_zone_record_t record = {.epoch = 7, .version = 1};
    const char *without = "HA-Session: restore; ver=1; parts=0\n";
    for (size_t i = 0; i < sizeof(owners) / sizeof(owners[0]); i++) {
        UNIT_STR_EQ(say(HAP_ZONE_TELL_RESTORE, 0, &record, owners[i]), without);
    }
    UNIT_STR_EQ(say(HAP_ZONE_TELL_RESTORE, 0, &record, of_length("", 'x', 64, "")), without);
    UNIT_STR_EQ(say(HAP_ZONE_TELL_RESTORE, 0, &record, of_length("", 'x', 63, "")),
                of_length("HA-Session: restore; ver=1; from=\"", 'x', 63, "\"; parts=0\n"));
}

/* What is told, as an application would say it. */
static void say_back(unsigned n)
{
    hap_zone_said_begin(&said);
    for (unsigned i = 1; i < n; i++) {
        hap_str_t value = lines[i].value;
        if (i == 1) {
            const char *put =
                apr_pstrcat(unit_pool, "put; ttl=1", value.p + strlen("restore"), NULL);
            value = hap_str(put);
        }
        CU_ASSERT_TRUE(value.n <= HAP_ZONE_PART_CHARS_MAX + 3);
        CU_ASSERT_TRUE(hap_zone_said_add(&said, hap_str(lines[i].name), value));
    }
    CU_ASSERT_TRUE(hap_zone_said_end(&said));
}

static void a_state_of_up_to_21000_bytes_is_read_again_as_it_was_told(void)
{
    static const struct {
        size_t bytes;
        unsigned parts;
    } rows[] = {{0, 0},    {1, 1},     {5250, 1},  {5251, 2},  {6999, 2}, {7000, 2},
                {7001, 2}, {10501, 3}, {15751, 4}, {20999, 4}, {21000, 4}};
    static char data[HAP_ZONE_STATE_BYTES_MAX + 1];
    static char back[HAP_ZONE_STATE_BYTES_MAX];
    unit_random_t random = {1};
    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = (char)unit_random(&random, 256);
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const hap_zone_record_t record = {.version = 9, .data = {data, rows[i].bytes}};
        unsigned n = hap_zone_say(lines, room, HAP_ZONE_TELL_RESTORE, 1, &record, hap_str("a"));
        CU_ASSERT_EQUAL(n, 2 + rows[i].parts);
        say_back(n);
        CU_ASSERT_EQUAL(said.parts, rows[i].parts);
        CU_ASSERT_EQUAL(said.version, 9);
        size_t bytes = 0;
        CU_ASSERT_TRUE(hap_zone_said_state(&said, back, &bytes));
        CU_ASSERT_TRUE(hap_str_eq(hap_strn(back, bytes), record.data));
    }
    const hap_zone_record_t beyond = {.version = 9, .data = {data, sizeof(data)}};
    UNIT_STR_EQ(say(HAP_ZONE_TELL_RESTORE, 2, &beyond, "a"), "HA-Fence: 2\nHA-Session: none\n");
}

const unit_test_t suite_zone_field[] = {
    UNIT_TEST(names_of_the_family_are_known_however_they_are_spelt),
    UNIT_TEST(other_fields_are_left_alone),
    UNIT_TEST(what_applications_say_is_read),
    UNIT_TEST(unknown_parameters_are_ignored_and_others_where_they_have_no_use),
    UNIT_TEST(strings_are_unescaped),
    UNIT_TEST(ids_have_1_to_256_bytes),
    UNIT_TEST(what_is_no_item_of_ours_is_refused),
    UNIT_TEST(parameters_that_are_missing_or_no_values_are_refused),
    UNIT_TEST(parts_are_put_together_in_the_order_of_their_numbers),
    UNIT_TEST(parts_that_are_not_those_announced_are_refused),
    UNIT_TEST(a_part_has_7000_characters_at_most),
    UNIT_TEST(a_state_is_base64url_wherever_it_is_cut),
    UNIT_TEST(base64url_is_that_of_its_specification),
    UNIT_TEST(the_proxy_says_what_it_has),
    UNIT_TEST(an_owner_that_is_no_route_is_not_told),
    UNIT_TEST(a_state_of_up_to_21000_bytes_is_read_again_as_it_was_told),
    UNIT_END,
};
