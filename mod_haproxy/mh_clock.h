/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the monotonic clock of all that is timed but not told. */
#ifndef MH_CLOCK_H
#define MH_CLOCK_H

#include <stdint.h>

/** Monotonic time in microseconds. Any thread. */
int64_t mh_now_us(void);

#endif
