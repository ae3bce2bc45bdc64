/* SPDX-License-Identifier: Apache-2.0 */
/* Owns writing lines of the log, each in one piece. */
#include "zd_log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { LINE_BYTES = 2048 };

static const char *own_id = "?";

void zd_log_open(const char *id)
{
    own_id = id;
}

void zd_log(const char *fmt, ...)
{
    char line[LINE_BYTES];
    struct timespec now;
    struct tm utc;
    va_list args;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t n = strftime(line, sizeof(line), "%Y-%m-%dT%H:%M:%S", &utc);
    n += (size_t)snprintf(line + n, sizeof(line) - n, ".%03ldZ zerod[%s]: ", now.tv_nsec / 1000000,
                          own_id);
    va_start(args, fmt);
    int said = vsnprintf(line + n, sizeof(line) - n - 1, fmt, args);
    va_end(args);
    n = said < 0 ? n : n + (size_t)said;
    n = n < sizeof(line) - 1 ? n : sizeof(line) - 2;
    line[n++] = '\n';
    if (write(STDERR_FILENO, line, n) < 0) {
        return; /* there is nowhere else to say it */
    }
}
