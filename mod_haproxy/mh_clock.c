/* SPDX-License-Identifier: Apache-2.0 */
/* Owns reading it. */
#include "mh_clock.h"

#include <apr_time.h>
#include <time.h>

int64_t mh_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * APR_USEC_PER_SEC + now.tv_nsec / 1000;
}
