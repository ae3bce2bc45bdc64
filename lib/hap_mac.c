/* SPDX-License-Identifier: Apache-2.0 */
/* Owns HMAC-SHA256 through libcrypto. Does not keep keys. */
#include "hap_mac.h"

#include <openssl/core_names.h>

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    char low = (char)(c | 0x20);
    return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

bool hap_mac_key_read(unsigned char key[HAP_MAC_KEY_BYTES], hap_str_t hex)
{
    if (hex.n != 2 * HAP_MAC_KEY_BYTES) {
        return false;
    }
    for (size_t i = 0; i < HAP_MAC_KEY_BYTES; i++) {
        int high = hex_value(hex.p[2 * i]);
        int low = hex_value(hex.p[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        key[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}

/* A context is keyed once here, because keying costs more than a short message's MAC. */
EVP_MAC_CTX *hap_mac_keyed(const unsigned char key[HAP_MAC_KEY_BYTES])
{
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *ctx = mac ? EVP_MAC_CTX_new(mac) : NULL;
    EVP_MAC_free(mac);
    char digest[] = "SHA256";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    if (ctx && EVP_MAC_init(ctx, key, HAP_MAC_KEY_BYTES, params)) {
        return ctx;
    }
    EVP_MAC_CTX_free(ctx);
    return NULL;
}

/* Copying a keyed context is what makes one key usable by all threads without a lock. */
bool hap_mac_make(unsigned char mac[HAP_MAC_BYTES], const EVP_MAC_CTX *keyed, hap_str_t message)
{
    size_t n = 0;
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_dup(keyed);
    bool ok = ctx && EVP_MAC_update(ctx, (const unsigned char *)message.p, message.n) &&
              EVP_MAC_final(ctx, mac, &n, HAP_MAC_BYTES) && n == HAP_MAC_BYTES;
    EVP_MAC_CTX_free(ctx);
    return ok;
}
