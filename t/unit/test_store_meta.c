/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hapstore_meta: the lines that are exchanged with a memcached. */
#include "unit.h"

#include <apr_strings.h>

#include "hapstore_meta.h"

#define NAME "haz1:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/* `SAYS value_n token number`, a `-` where there is none. */
static const char *read_line(const char *line)
{
    static const char *const says[] = {"VALUE",     "DONE", "NONE",    "NOT_DONE",
                                       "TOO_LARGE", "OLD",  "NONSENSE"};
    hapstore_meta_t answer = hapstore_meta_read(hap_str(line));
    const char *number = answer.numbered ? apr_psprintf(unit_pool, "%u", answer.number) : "-";
    return apr_psprintf(unit_pool, "%s %lu %lu %s", says[answer.says],
                        (unsigned long)answer.value_n, (unsigned long)answer.token, number);
}

static void an_answer_is_its_code_and_its_flags(void)
{
    UNIT_STR_EQ(read_line("VA 1102 c21441 O16031"), "VALUE 1102 21441 16031");
    UNIT_STR_EQ(read_line("VA 0 O7 c1"), "VALUE 0 1 7");
    UNIT_STR_EQ(read_line("VA 3 c18446744073709551615 O4294967295"),
                "VALUE 3 18446744073709551615 4294967295");
    UNIT_STR_EQ(read_line("HD c5 O3"), "DONE 0 5 3");
    UNIT_STR_EQ(read_line("HD O3"), "DONE 0 0 3"); /* one that tells no token of what it stores */
    UNIT_STR_EQ(read_line("EN"), "NONE 0 0 -");
    UNIT_STR_EQ(read_line("EN O3"), "NONE 0 0 3");
    UNIT_STR_EQ(read_line("EX c0 O3"), "NOT_DONE 0 0 3");
    UNIT_STR_EQ(read_line("NF c0 O3"), "NOT_DONE 0 0 3");
    UNIT_STR_EQ(read_line("NS c0 O3"), "NOT_DONE 0 0 3");
    UNIT_STR_EQ(read_line("HD c5 O3 W khaz1:a"), "DONE 0 5 3"); /* more than was asked for */
    UNIT_STR_EQ(read_line("ERROR"), "OLD 0 0 -");
    UNIT_STR_EQ(read_line("SERVER_ERROR object too large for cache"), "TOO_LARGE 0 0 -");
    UNIT_STR_EQ(read_line("SERVER_ERROR out of memory storing object"), "TOO_LARGE 0 0 -");
}

static void what_is_none_is_nonsense(void)
{
    static const char *const lines[] = {
        "",
        "VA",
        "VA x c1 O1",
        "VA -1 c1 O1",
        "VA 3 cx O1",
        "HD c O1",
        "HD c-1 O1",
        "HD Ox",
        "HD O4294967296",
        "VA 18446744073709551615 c7",
        "hd c1",
        "STORED",
        "VALUE a",
        "SERVER_ERROR no",
        "CLIENT_ERROR bad data chunk",
        "HDD c1",
        "HD c18446744073709551616 O1",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        UNIT_STR_EQ(read_line(lines[i]), "NONSENSE 0 0 -");
    }
}

static void a_question_says_what_it_wants_back(void)
{
    char line[HAPSTORE_META_LINE_BYTES];
    hap_str_t name = HAP_STR_LIT(NAME);
    size_t n = hapstore_meta_get(line, name, 7);
    UNIT_STR_EQ(apr_pstrmemdup(unit_pool, line, n), "mg " NAME " c v O7\r\n");
    n = hapstore_meta_put(line, name, 900100, 1801, 0, 8);
    UNIT_STR_EQ(apr_pstrmemdup(unit_pool, line, n), "ms " NAME " 900100 c O8 T1801 ME\r\n");
    n = hapstore_meta_put(line, name, 0, 1, 5, 9);
    UNIT_STR_EQ(apr_pstrmemdup(unit_pool, line, n), "ms " NAME " 0 c O9 T1 C5\r\n");
}

static void the_longest_question_has_room(void)
{
    char line[HAPSTORE_META_LINE_BYTES];
    size_t n =
        hapstore_meta_put(line, HAP_STR_LIT(NAME), SIZE_MAX, UINT32_MAX, UINT64_MAX, UINT32_MAX);
    CU_ASSERT_TRUE(n > 0 && n < HAPSTORE_META_LINE_BYTES);
    CU_ASSERT_EQUAL(line[n - 1], '\n');
}

const unit_test_t suite_store_meta[] = {
    UNIT_TEST(an_answer_is_its_code_and_its_flags),
    UNIT_TEST(what_is_none_is_nonsense),
    UNIT_TEST(a_question_says_what_it_wants_back),
    UNIT_TEST(the_longest_question_has_room),
    UNIT_END,
};
