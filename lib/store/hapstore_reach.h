/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns getting a connection to a node: its name, its addresses one after the other. Waits for
 * nothing; each step says where it stands.
 */
#ifndef HAPSTORE_REACH_H
#define HAPSTORE_REACH_H

#include "hapstore_lookup.h"
#include "hapstore_node.h"

typedef enum hapstore_reach_state_t {
    HAPSTORE_REACH_DOWN,       /* nothing was begun, or it failed: `why` */
    HAPSTORE_REACH_LOOKING,    /* its name is looked up */
    HAPSTORE_REACH_CONNECTING, /* to one address after the other */
    HAPSTORE_REACH_UP          /* `fd` is connected, and watched for EPOLLIN and EPOLLOUT */
} hapstore_reach_state_t;

enum { HAPSTORE_REACH_WHY_BYTES = 96 };

/** All zero before hapstore_reach_init. */
typedef struct hapstore_reach_t {
    hapstore_reach_state_t state;
    int fd;                             /* CONNECTING, UP; else -1 */
    bool hurry;                         /* the owner's: somebody waits for the name */
    char why[HAPSTORE_REACH_WHY_BYTES]; /* part of a sentence */

    /* private */
    hapstore_asker_t *asker;
    const hap_zone_node_t *where;
    int connect_ms; /* to one address */
    bool digits;    /* the name is an address */
    bool astray;    /* no connection was had: the name may mean another address by now */
    hapstore_lookup_t *lookup;
    hapstore_addresses_t addresses;
    unsigned address_at;     /* which of them is tried, or was last */
    unsigned addresses_left; /* that were not tried yet */
    int64_t until_ms;        /* CONNECTING */
} hapstore_reach_t;

/** Begins to look the name up, if it is one. `where` is borrowed. */
void hapstore_reach_init(hapstore_reach_t *reach, hapstore_asker_t *asker,
                         const hap_zone_node_t *where, int connect_ms);

/** Goes on: DOWN begins anew; the others look whether there is a next step. Where it stands then.
 */
hapstore_reach_state_t hapstore_reach_go(hapstore_reach_t *reach);

/** Closes the connection, or gives up to make it; a look-up goes on. */
void hapstore_reach_close(hapstore_reach_t *reach);

/** Ends it. */
void hapstore_reach_end(hapstore_reach_t *reach);

#endif
