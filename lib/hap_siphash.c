/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the rounds. Words are little-endian, whatever the machine's are. */
#include "hap_siphash.h"

#include <endian.h>

enum { WORD_BYTES = 8, ROUNDS = 2, LAST_ROUNDS = 4 };

/* Of n bytes, at most WORD_BYTES. */
static uint64_t read_word(const unsigned char *p, size_t n)
{
    uint64_t word = 0;
    memcpy(&word, p, n);
    return le64toh(word);
}

static void write_word(unsigned char *p, uint64_t word)
{
    word = htole64(word);
    memcpy(p, &word, WORD_BYTES);
}

static uint64_t rotate(uint64_t word, int by)
{
    return word << by | word >> (64 - by);
}

static void mix(uint64_t v[4], int rounds)
{
    for (int i = 0; i < rounds; i++) {
        v[0] += v[1];
        v[2] += v[3];
        v[1] = rotate(v[1], 13) ^ v[0];
        v[3] = rotate(v[3], 16) ^ v[2];
        v[0] = rotate(v[0], 32);
        v[2] += v[1];
        v[0] += v[3];
        v[1] = rotate(v[1], 17) ^ v[2];
        v[3] = rotate(v[3], 21) ^ v[0];
        v[2] = rotate(v[2], 32);
    }
}

static void take(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    mix(v, ROUNDS);
    v[0] ^= word;
}

void hap_siphash(unsigned char hash[HAP_SIPHASH_BYTES], const unsigned char key[HAP_SIPHASH_BYTES],
                 hap_str_t text)
{
    const unsigned char *p = (const unsigned char *)text.p;
    uint64_t k0 = read_word(key, WORD_BYTES);
    uint64_t k1 = read_word(key + WORD_BYTES, WORD_BYTES);
    /* "somepseudorandomlygeneratedbytes"; 0xee is for 128 bits. */
    uint64_t v[4] = {k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d ^ 0xee,
                     k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573};
    size_t whole = text.n - text.n % WORD_BYTES;
    for (size_t i = 0; i < whole; i += WORD_BYTES) {
        take(v, read_word(p + i, WORD_BYTES));
    }
    take(v, read_word(p + whole, text.n - whole) | (uint64_t)text.n << 56);
    v[2] ^= 0xee;
    mix(v, LAST_ROUNDS);
    write_word(hash, v[0] ^ v[1] ^ v[2] ^ v[3]);
    v[1] ^= 0xdd;
    mix(v, LAST_ROUNDS);
    write_word(hash + WORD_BYTES, v[0] ^ v[1] ^ v[2] ^ v[3]);
}
