/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns SipHash-2-4 with 128 bits: a hash of short texts for tables, which who does not know its key
 * cannot make collide. Not a signature.
 */
#ifndef HAP_SIPHASH_H
#define HAP_SIPHASH_H

#include <stdint.h>

#include "hap_str.h"

enum { HAP_SIPHASH_BYTES = 16 };

/** The hash of `text` under a random key (Aumasson and Bernstein, 2012). */
void hap_siphash(unsigned char hash[HAP_SIPHASH_BYTES], const unsigned char key[HAP_SIPHASH_BYTES],
                 hap_str_t text);

#endif
