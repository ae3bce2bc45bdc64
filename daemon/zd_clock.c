/* SPDX-License-Identifier: Apache-2.0 */
/* Owns asking the system for the time. */
#include "zd_clock.h"

#include <time.h>

static uint64_t clock_ms(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t zd_now_ms(void)
{
    return clock_ms(CLOCK_BOOTTIME);
}

uint64_t zd_wall_ms(void)
{
    return clock_ms(CLOCK_REALTIME);
}
