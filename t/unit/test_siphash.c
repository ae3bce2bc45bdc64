/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hap_siphash against libcrypto's. */
#include "hap_siphash.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>

#include "unit.h"

static bool theirs(unsigned char hash[HAP_SIPHASH_BYTES], const unsigned char *key, hap_str_t text)
{
    size_t n = HAP_SIPHASH_BYTES;
    size_t got = 0;
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "SIPHASH", NULL);
    EVP_MAC_CTX *ctx = mac ? EVP_MAC_CTX_new(mac) : NULL;
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &n),
                                 OSSL_PARAM_construct_end()};
    bool good = ctx && EVP_MAC_init(ctx, key, HAP_SIPHASH_BYTES, params) &&
                EVP_MAC_update(ctx, (const unsigned char *)text.p, text.n) &&
                EVP_MAC_final(ctx, hash, &got, n) && got == n;
    EVP_MAC_CTX_free(ctx);
    EVP_MAC_free(mac);
    return good;
}

static void hashes_of_all_lengths_are_those_of_libcrypto(void)
{
    enum { LONGEST = 300 };
    char text[LONGEST];
    unsigned char key[HAP_SIPHASH_BYTES];
    unsigned char own[HAP_SIPHASH_BYTES];
    unsigned char other[HAP_SIPHASH_BYTES];
    for (int i = 0; i < LONGEST; i++) {
        text[i] = (char)(i * 37 + 200);
    }
    for (int i = 0; i < HAP_SIPHASH_BYTES; i++) {
        key[i] = (unsigned char)(255 - i * 11);
    }
    for (size_t n = 0; n <= LONGEST; n++) {
        hap_siphash(own, key, hap_strn(text, n));
        CU_ASSERT_TRUE_FATAL(theirs(other, key, hap_strn(text, n)));
        CU_ASSERT_EQUAL(memcmp(own, other, sizeof(own)), 0);
    }
}

const unit_test_t suite_siphash[] = {
    UNIT_TEST(hashes_of_all_lengths_are_those_of_libcrypto),
    UNIT_END,
};
