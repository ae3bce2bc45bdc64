/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns random numbers for property tests: the same ones in every run, so that a failure repeats.
 */
#ifndef HAP_UNIT_RANDOM_H
#define HAP_UNIT_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/** A generator; start it with any seed. */
typedef struct unit_random_t {
    uint64_t state;
} unit_random_t;

/** A number below `n`, which is not 0 (splitmix64). */
static inline size_t unit_random(unit_random_t *random, size_t n)
{
    uint64_t z = (random->state += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return (size_t)((z ^ (z >> 31)) % n);
}

#endif
