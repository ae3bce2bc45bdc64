/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns a command on its way to the log, between who wants it and the engine.
 */
#ifndef ZD_WISH_H
#define ZD_WISH_H

#include "zd_state.h"

/** The sender's until `done` was called. */
typedef struct zd_wish_t zd_wish_t;
struct zd_wish_t {
    zd_command_t command; /* borrowed until then */
    bool full;            /* it is not in any log, as too many disks are full */
    bool committed;       /* else it may be, or not: send it again with the same client and seq */
    const char *why;      /* when it is not; static */
    zd_result_t result;   /* when it is */
    void (*done)(zd_wish_t *wish);
    void *baton;
    zd_wish_t *next; /* the engine's */
};

#endif
