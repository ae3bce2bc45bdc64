/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hap_zone_token. */
#include "unit.h"

#include <apr_strings.h>

#include "hap_zone_token.h"

#define TOKEN "abcdefghijklmno1"

static hap_zone_token_t read_token(const char *text)
{
    hap_diag_t diag;
    hap_zone_token_t token;
    CU_ASSERT_EQUAL_FATAL(hap_zone_token_parse(&token, hap_str(text), &diag), APR_SUCCESS);
    return token;
}

static const char *refusal(const char *text)
{
    hap_diag_t diag = {0, ""};
    hap_zone_token_t token;
    CU_ASSERT_EQUAL(hap_zone_token_parse(&token, hap_str(text), &diag), APR_EINVAL);
    return apr_psprintf(unit_pool, "%d: %s", diag.line, diag.why);
}

static const char *letters(int n)
{
    char *text = apr_palloc(unit_pool, (size_t)n + 1);
    memset(text, 'x', (size_t)n);
    text[n] = '\0';
    return text;
}

static void a_token_is_itself_and_nothing_else(void)
{
    hap_zone_token_t token = read_token(TOKEN "\n");
    hap_zone_token_t same = read_token("  " TOKEN "\t");
    hap_zone_token_t other = read_token(TOKEN "2");
    CU_ASSERT(hap_zone_token_is(&token, HAP_STR_LIT(TOKEN)));
    CU_ASSERT(!hap_zone_token_is(&token, HAP_STR_LIT("abcdefghijklmno2")));
    CU_ASSERT(!hap_zone_token_is(&token, HAP_STR_LIT(TOKEN "2")));
    CU_ASSERT(!hap_zone_token_is(&token, HAP_STR_LIT("")));
    CU_ASSERT(hap_zone_token_same(&token, &same));
    CU_ASSERT(!hap_zone_token_same(&token, &other));
}

static void what_is_kept_of_a_token_does_not_show_it(void)
{
    hap_zone_token_t token = read_token(TOKEN);
    CU_ASSERT(memcmp(token.digest, TOKEN, sizeof(TOKEN) - 1) != 0);
}

static void a_token_file_has_one_line_of_16_to_256_printable_characters(void)
{
    read_token(letters(16));
    read_token(letters(256));
    UNIT_STR_EQ(refusal(letters(15)),
                "1: a token is a line of 16 to 256 printable characters without blanks, this one "
                "has 15 characters or others than those: make one with `openssl rand -hex 32`");
    CU_ASSERT_PTR_NOT_NULL(strstr(refusal(letters(257)), "has 257 characters"));
    CU_ASSERT_PTR_NOT_NULL(strstr(refusal(""), "has 0 characters"));
    CU_ASSERT_PTR_NOT_NULL(strstr(refusal("\n"), "has 0 characters"));
    CU_ASSERT_EQUAL(refusal("abcdefgh ijklmnop")[0], '1');
    CU_ASSERT_EQUAL(refusal(TOKEN "\r\n")[0], '1');
    CU_ASSERT_EQUAL(refusal(TOKEN "\xc3\xa4")[0], '1');
    UNIT_STR_EQ(refusal(TOKEN "\n" TOKEN "\n"), "2: a token file has one line, this one has more");
    UNIT_STR_EQ(refusal(TOKEN "\n\n"), "2: a token file has one line, this one has more");
}

static void a_refusal_does_not_quote_a_token(void)
{
    CU_ASSERT_PTR_NULL(strstr(refusal("secret secret secret"), "secret"));
    CU_ASSERT_PTR_NULL(strstr(refusal("secretsecretsecret\nsecret"), "secret"));
}

static const char *shown(const char *field)
{
    hap_str_t token = HAP_STR_LIT("untouched");
    bool is_there = hap_zone_token_shown(&token, field);
    CU_ASSERT_EQUAL(is_there, !hap_str_eq(token, HAP_STR_LIT("untouched")) && token.n > 0);
    return is_there ? hap_str_dup(token, unit_pool) : NULL;
}

static void a_token_is_shown_behind_the_scheme_bearer(void)
{
    UNIT_STR_EQ(shown("Bearer " TOKEN), TOKEN);
    UNIT_STR_EQ(shown("bearer   " TOKEN " "), TOKEN);
    CU_ASSERT_PTR_NULL(shown(NULL));
    CU_ASSERT_PTR_NULL(shown(TOKEN));
    CU_ASSERT_PTR_NULL(shown("Basic " TOKEN));
    CU_ASSERT_PTR_NULL(shown("Bearer" TOKEN));
}

static void a_scheme_without_a_token_shows_none(void)
{
    hap_str_t token;
    CU_ASSERT(!hap_zone_token_shown(&token, "Bearer"));
    CU_ASSERT(!hap_zone_token_shown(&token, "Bearer  "));
}

const unit_test_t suite_zone_token[] = {
    UNIT_TEST(a_token_is_itself_and_nothing_else),
    UNIT_TEST(what_is_kept_of_a_token_does_not_show_it),
    UNIT_TEST(a_token_file_has_one_line_of_16_to_256_printable_characters),
    UNIT_TEST(a_refusal_does_not_quote_a_token),
    UNIT_TEST(a_token_is_shown_behind_the_scheme_bearer),
    UNIT_TEST(a_scheme_without_a_token_shows_none),
    UNIT_END,
};
