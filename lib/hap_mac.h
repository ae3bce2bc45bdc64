/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns HMAC-SHA256 with keys of 32 bytes, and how such keys and MACs are written. Does not know
 * what is signed: hap_sign and hap_zone_keys do.
 */
#ifndef HAP_MAC_H
#define HAP_MAC_H

#include <openssl/evp.h>

#include "hap_str.h"

enum { HAP_MAC_KEY_BYTES = 32, HAP_MAC_BYTES = 32 };

/** Reads a key of 64 hex digits of either case. False if it is anything else. */
bool hap_mac_key_read(unsigned char key[HAP_MAC_KEY_BYTES], hap_str_t hex);

/** A context with this key in it, to be copied by hap_mac_make. The caller's, to be freed with
 * EVP_MAC_CTX_free, which wipes it. NULL when libcrypto fails. */
EVP_MAC_CTX *hap_mac_keyed(const unsigned char key[HAP_MAC_KEY_BYTES]);

/** The MAC of a message. Leaves the context as it is: any number of threads may use one. False when
 * libcrypto fails. */
bool hap_mac_make(unsigned char mac[HAP_MAC_BYTES], const EVP_MAC_CTX *keyed, hap_str_t message);

#endif
