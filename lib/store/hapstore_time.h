/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the clock of the store: milliseconds that only go forward, the same in all processes. */
#ifndef HAPSTORE_TIME_H
#define HAPSTORE_TIME_H

#include <stdint.h>
#include <time.h>

static inline int64_t hapstore_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

#endif
