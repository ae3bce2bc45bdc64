/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what there is to say about the engine's own list of nodes, which follows the one that is
 * agreed on.
 */
#ifndef ZD_MEMBER_H
#define ZD_MEMBER_H

#include <stdbool.h>
#include <stdint.h>

/** A node as the engine knows it. */
typedef struct zd_member_t {
    uint64_t number;
    const char *address;
    bool votes;
} zd_member_t;

typedef enum zd_member_change_t {
    ZD_MEMBER_ADD,  /* without a vote yet */
    ZD_MEMBER_VOTE, /* it gets one, when it has all of the log */
    ZD_MEMBER_DROP
} zd_member_change_t;

#endif
