/* SPDX-License-Identifier: Apache-2.0 */
/* Owns asking one node by itself, and waiting for what it says: for tools and tests. */
#ifndef HAPSTORE_ALONE_H
#define HAPSTORE_ALONE_H

#include "hapstore_node.h"

typedef struct hapstore_alone_t hapstore_alone_t;

/** The node of this index of the store's. NULL without memory or descriptors. */
hapstore_alone_t *hapstore_alone_open(const hapstore_node_iface_t *iface,
                                      const hapstore_conf_t *conf, unsigned index);

/** Carries it out: `ask` has what came of it. */
hapstore_node_end_t hapstore_alone_do(hapstore_alone_t *alone, hapstore_ask_t *ask);

/** It answers, within the budget. */
bool hapstore_alone_probe(hapstore_alone_t *alone);

/** Why it FAILED last, as part of a sentence; borrowed until the next use. */
const char *hapstore_alone_why(const hapstore_alone_t *alone);

void hapstore_alone_close(hapstore_alone_t *alone);

#endif
