/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what a leader has heard of each node since it leads. Its memory alone: nothing of it is
 * agreed on. Pure.
 */
#ifndef ZD_ROLL_H
#define ZD_ROLL_H

#include "hap_grammar.h"
#include "hap_map.h"
#include "zd_beat.h"

enum {
    ZD_PRESENT_MS = 2000, /* a node is there so long after its last beat */
    ZD_SAID_BYTES = 256
};

/** One node. */
typedef struct zd_heard_t {
    char node[HAP_ROUTE_MAX_BYTES + 1];
    char role[16]; /* "": it has no replica */
    char said[ZD_SAID_BYTES];
    char first[HAP_ROUTE_MAX_BYTES + 1];
    char home[ZD_HOME_BYTES];
    zd_beat_t beat; /* its texts are those above */
    uint64_t at_ms; /* when that was heard */
    uint64_t map;   /* version of the last map that it was sent; 0: none */
    uint64_t map_ms;
} zd_heard_t;

/** All of them. Begins zeroed. */
typedef struct zd_roll_t {
    zd_heard_t nodes[HAP_MAP_NODES_MAX];
    unsigned n;
} zd_roll_t;

/** Takes a beat down; copies. Leases that the node has stopped stay so, whatever a later one says.
 * NULL: there are more nodes than there may be. */
zd_heard_t *zd_roll_hear(zd_roll_t *roll, const zd_beat_t *beat, uint64_t now_ms);

/** What was heard last of a node; NULL: nothing. Borrows until the next beat. */
const zd_heard_t *zd_roll_of(const zd_roll_t *roll, const char *node);

/** The same if that was within ZD_PRESENT_MS. */
const zd_heard_t *zd_roll_present(const zd_roll_t *roll, const char *node, uint64_t now_ms);

#endif
