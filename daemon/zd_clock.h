/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the two clocks of a daemon, in ms. */
#ifndef ZD_CLOCK_H
#define ZD_CLOCK_H

#include <stdint.h>

/** CLOCK_BOOTTIME, which never stops or steps: all that is decided goes by it. */
uint64_t zd_now_ms(void);

/** The wall clock, since 1970: for people. */
uint64_t zd_wall_ms(void);

#endif
