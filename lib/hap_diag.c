/* SPDX-License-Identifier: Apache-2.0 */
/* Owns filling a diag. Does not decide what is an error. */
#include "hap_diag.h"

#include <stdarg.h>
#include <stdio.h>

void hap_diag_set(hap_diag_t *diag, int line, const char *fmt, ...)
{
    va_list args;
    diag->line = line;
    va_start(args, fmt);
    vsnprintf(diag->why, sizeof(diag->why), fmt, args);
    va_end(args);
}
