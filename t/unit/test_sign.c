/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hap_sign. */
#include "unit.h"

#include <apr_strings.h>

#include "hap_sign.h"

#define KEY_1 "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define KEY_2 "FFFEFDFCFBFAF9F8F7F6F5F4F3F2F1F0EFEEEDECEBEAE9E8E7E6E5E4E3E2E1E0"

static const unsigned char random_bytes[HAP_SIGN_RANDOM_BYTES] = "0123456789abcde";

static hap_sign_t *keys(const char *text)
{
    hap_sign_t *sign = NULL;
    hap_diag_t diag;
    CU_ASSERT_EQUAL_FATAL(hap_sign_parse(&sign, hap_str(text), &diag, unit_pool), APR_SUCCESS);
    return sign;
}

static const char *refusal(const char *text)
{
    hap_sign_t *sign = NULL;
    hap_diag_t diag = {0, ""};
    CU_ASSERT_EQUAL(hap_sign_parse(&sign, hap_str(text), &diag, unit_pool), APR_EINVAL);
    CU_ASSERT_PTR_NULL(sign);
    return apr_psprintf(unit_pool, "%d: %s", diag.line, diag.why);
}

static const char *minted(const hap_sign_t *sign)
{
    return hap_sign_mint(sign, random_bytes, 2000, hap_str("App"), hap_str("hostA"), unit_pool);
}

static hap_sign_verdict_t verdict(const hap_sign_t *sign, const char *text, const char *app,
                                  const char *route)
{
    hap_sign_token_t token;
    return hap_sign_verify(&token, sign, hap_str(text), hap_str(app), hap_str(route));
}

static void a_key_file_has_a_key_a_line_and_comments(void)
{
    keys("# made in May\n\n  " KEY_1 "\t\n# older\n" KEY_2);
    keys(KEY_1 "\n");
}

static void a_key_file_with_anything_else_is_refused_by_line(void)
{
    UNIT_STR_EQ(refusal(""), "0: there is no key: make one with `openssl rand -hex 32`");
    UNIT_STR_EQ(refusal("# none\n"), "0: there is no key: make one with `openssl rand -hex 32`");
    CU_ASSERT_EQUAL(refusal(KEY_1 "\nsecret\n")[0], '2');
    CU_ASSERT_EQUAL(refusal(KEY_1 "0")[0], '1');
    CU_ASSERT_EQUAL(refusal(KEY_1 "\r\n")[0], '1');
    CU_ASSERT_EQUAL(refusal("\ng" KEY_1)[0], '2');
    CU_ASSERT_EQUAL(refusal("# \n\n" KEY_1 KEY_2)[0], '3');
    UNIT_STR_EQ(refusal(KEY_2 "\n" KEY_1 "\n"
                              "fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0efeeedecebeae9e8e7e6e5e4e3e2e1e0"),
                "3: this key is there twice");
}

static void more_keys_than_can_be_tried_quickly_are_refused(void)
{
    const char *text = "";
    for (int i = 0; i <= HAP_SIGN_KEYS_MAX; i++) {
        text = apr_psprintf(unit_pool, "%s%064d\n", text, i);
    }
    UNIT_STR_EQ(refusal(text),
                "5: there are more than 4 keys: take out the oldest, which are last");
}

static void a_refusal_never_quotes_the_key(void)
{
    CU_ASSERT_PTR_NULL(strstr(refusal("topsecret" KEY_1), "topsecret"));
}

/* Computed apart from this code, with another implementation of HMAC. */
static void a_token_has_the_documented_form_and_bytes(void)
{
    UNIT_STR_EQ(minted(keys(KEY_1)), "MDEyMzQ1Njc4OWFiY2RlAA~2000~_RIJtQY-Q_nrRcn5LG3xAA");
}

static void a_token_verifies_for_its_app_and_route_only(void)
{
    hap_sign_t *sign = keys(KEY_1);
    const char *token = minted(sign);
    CU_ASSERT_EQUAL(verdict(sign, token, "App", "hostA"), HAP_SIGN_GENUINE);
    CU_ASSERT_EQUAL(verdict(sign, token, "App", "hostB"), HAP_SIGN_FORGED);
    CU_ASSERT_EQUAL(verdict(sign, token, "App2", "hostA"), HAP_SIGN_FORGED);
    CU_ASSERT_EQUAL(verdict(sign, token, "Ap", "phostA"), HAP_SIGN_FORGED);
    CU_ASSERT_EQUAL(verdict(sign, token, "App", ""), HAP_SIGN_FORGED);
}

static void a_verified_token_is_taken_apart(void)
{
    hap_sign_t *sign = keys(KEY_1);
    hap_sign_token_t token;
    hap_str_t text = hap_str(minted(sign));
    CU_ASSERT_EQUAL(hap_sign_verify(&token, sign, text, hap_str("App"), hap_str("hostA")),
                    HAP_SIGN_GENUINE);
    CU_ASSERT_EQUAL(token.expiry_s, 2000);
    CU_ASSERT_TRUE(hap_str_eq(token.random, hap_str("MDEyMzQ1Njc4OWFiY2RlAA")));
}

static void a_token_with_any_byte_changed_is_not_genuine(void)
{
    hap_sign_t *sign = keys(KEY_1);
    char *token = apr_pstrdup(unit_pool, minted(sign));
    int genuine = 0;
    for (size_t i = 0; i < strlen(token); i++) {
        char kept = token[i];
        for (int c = 1; c < 256; c++) {
            token[i] = (char)c;
            genuine += (char)c != kept && verdict(sign, token, "App", "hostA") == HAP_SIGN_GENUINE;
        }
        token[i] = kept;
    }
    CU_ASSERT_EQUAL(genuine, 0);
}

static void a_token_of_another_form_is_malformed(void)
{
    hap_sign_t *sign = keys(KEY_1);
    const char *token = minted(sign);
    CU_ASSERT_EQUAL(verdict(sign, "", "App", "hostA"), HAP_SIGN_MALFORMED);
    CU_ASSERT_EQUAL(verdict(sign, "~~", "App", "hostA"), HAP_SIGN_MALFORMED);
    CU_ASSERT_EQUAL(verdict(sign, token + 1, "App", "hostA"), HAP_SIGN_MALFORMED);
    for (size_t n = 0; n < strlen(token); n++) {
        CU_ASSERT_EQUAL(verdict(sign, apr_pstrndup(unit_pool, token, n), "App", "hostA"),
                        HAP_SIGN_MALFORMED);
    }
    CU_ASSERT_EQUAL(verdict(sign, apr_pstrcat(unit_pool, token, "A", NULL), "App", "hostA"),
                    HAP_SIGN_MALFORMED);
}

static void the_first_key_signs_and_all_keys_verify(void)
{
    hap_sign_t *old = keys(KEY_1);
    hap_sign_t *both = keys(KEY_2 "\n" KEY_1);
    hap_sign_t *new = keys(KEY_2);
    UNIT_STR_EQ(minted(both), minted(new));
    CU_ASSERT_EQUAL(verdict(both, minted(old), "App", "hostA"), HAP_SIGN_GENUINE);
    CU_ASSERT_EQUAL(verdict(both, minted(new), "App", "hostA"), HAP_SIGN_GENUINE);
    CU_ASSERT_EQUAL(verdict(new, minted(old), "App", "hostA"), HAP_SIGN_FORGED);
}

static void nothing_is_minted_for_no_route_or_no_expiry(void)
{
    hap_sign_t *sign = keys(KEY_1);
    hap_str_t app = hap_str("App");
    hap_str_t longest = hap_strn(apr_pcalloc(unit_pool, 256), 256);
    CU_ASSERT_PTR_NULL(hap_sign_mint(sign, random_bytes, 1, app, hap_str(""), unit_pool));
    CU_ASSERT_PTR_NULL(hap_sign_mint(sign, random_bytes, 1, app, longest, unit_pool));
    CU_ASSERT_PTR_NULL(hap_sign_mint(sign, random_bytes, 0, app, hap_str("r"), unit_pool));
    CU_ASSERT_PTR_NULL(hap_sign_mint(sign, random_bytes, -1, app, hap_str("r"), unit_pool));
    CU_ASSERT_PTR_NULL(hap_sign_mint(sign, random_bytes, INT64_MAX, app, hap_str("r"), unit_pool));
}

const unit_test_t suite_sign[] = {
    UNIT_TEST(a_key_file_has_a_key_a_line_and_comments),
    UNIT_TEST(a_key_file_with_anything_else_is_refused_by_line),
    UNIT_TEST(more_keys_than_can_be_tried_quickly_are_refused),
    UNIT_TEST(a_refusal_never_quotes_the_key),
    UNIT_TEST(a_token_has_the_documented_form_and_bytes),
    UNIT_TEST(a_token_verifies_for_its_app_and_route_only),
    UNIT_TEST(a_verified_token_is_taken_apart),
    UNIT_TEST(a_token_with_any_byte_changed_is_not_genuine),
    UNIT_TEST(a_token_of_another_form_is_malformed),
    UNIT_TEST(the_first_key_signs_and_all_keys_verify),
    UNIT_TEST(nothing_is_minted_for_no_route_or_no_expiry),
    UNIT_END,
};
