/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hap_str. */
#include "unit.h"

static void lines_are_cut_off_one_by_one_and_the_last_needs_no_newline(void)
{
    hap_str_t rest = HAP_STR_LIT("one\n\ntwo");
    hap_str_t line;
    CU_ASSERT_TRUE(hap_str_line(&line, &rest) && hap_str_eq(line, hap_str("one")));
    CU_ASSERT_TRUE(hap_str_line(&line, &rest) && line.n == 0);
    CU_ASSERT_TRUE(hap_str_line(&line, &rest) && hap_str_eq(line, hap_str("two")));
    CU_ASSERT_FALSE(hap_str_line(&line, &rest));
}

static void show_makes_every_byte_visible_and_cuts_long_text(void)
{
    UNIT_STR_EQ(hap_str_show(hap_strn("a\"\\\n\0\xff", 6), unit_pool), "a\\\"\\\\\\x0a\\x00\\xff");
    char text[200];
    memset(text, 'x', sizeof(text));
    const char *shown = hap_str_show(hap_strn(text, sizeof(text)), unit_pool);
    CU_ASSERT_EQUAL(strlen(shown), 83);
    UNIT_STR_EQ(shown + 80, "...");
    UNIT_STR_EQ(hap_str_show(hap_str(NULL), unit_pool), "");
}

static bool digits_are(unsigned long long number, const char *text)
{
    char room[HAP_STR_UINT_BYTES];
    return hap_str_eq(hap_str_digits(room, number), hap_str(text));
}

static void digits_of_all_numbers_fit(void)
{
    CU_ASSERT_TRUE(digits_are(0, "0"));
    CU_ASSERT_TRUE(digits_are(10, "10"));
    CU_ASSERT_TRUE(digits_are(~0ULL, "18446744073709551615"));
}

static void uint_takes_digits_up_to_its_limit_and_nothing_else(void)
{
    unsigned long n = 7;
    CU_ASSERT_TRUE(hap_str_uint(&n, hap_str("65535"), 65535) && n == 65535);
    CU_ASSERT_FALSE(hap_str_uint(&n, hap_str("65536"), 65535));
    CU_ASSERT_FALSE(hap_str_uint(&n, hap_str("99999999999999999999999"), ~0UL));
    CU_ASSERT_FALSE(hap_str_uint(&n, hap_str(""), 10));
    CU_ASSERT_FALSE(hap_str_uint(&n, hap_str("+1"), 10));
    CU_ASSERT_FALSE(hap_str_uint(&n, hap_str("1 "), 10));
    CU_ASSERT_EQUAL(n, 65535);
    CU_ASSERT_TRUE(hap_str_uint(&n, hap_str("0"), 0) && n == 0);
}

static void order_is_by_bytes_and_the_shorter_comes_first(void)
{
    CU_ASSERT_TRUE(hap_str_cmp(hap_str("a"), hap_str("b")) < 0);
    CU_ASSERT_TRUE(hap_str_cmp(hap_str("a"), hap_str("aa")) < 0);
    CU_ASSERT_TRUE(hap_str_cmp(hap_str("\xff"), hap_str("a")) > 0);
    CU_ASSERT_TRUE(hap_str_cmp(hap_str(NULL), hap_str("")) == 0);
}

static void a_word_is_found_among_words_only_as_a_whole(void)
{
    static const char *const words[] = {"voter", "witness", "vote"};
    CU_ASSERT_EQUAL(hap_str_word(hap_str("voter"), words, 3), 0);
    CU_ASSERT_EQUAL(hap_str_word(hap_strn("voters", 4), words, 3), 2);
    CU_ASSERT_EQUAL(hap_str_word(hap_str("vote"), words, 2), -1);
    CU_ASSERT_EQUAL(hap_str_word(hap_str("Voter"), words, 3), -1);
    CU_ASSERT_EQUAL(hap_str_word(hap_str(NULL), words, 3), -1);
}

const unit_test_t suite_str[] = {
    UNIT_TEST(lines_are_cut_off_one_by_one_and_the_last_needs_no_newline),
    UNIT_TEST(show_makes_every_byte_visible_and_cuts_long_text),
    UNIT_TEST(digits_of_all_numbers_fit),
    UNIT_TEST(uint_takes_digits_up_to_its_limit_and_nothing_else),
    UNIT_TEST(order_is_by_bytes_and_the_shorter_comes_first),
    UNIT_TEST(a_word_is_found_among_words_only_as_a_whole),
    UNIT_END,
};
