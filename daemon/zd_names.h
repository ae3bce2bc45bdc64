/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns which names of hosts cannot be looked up, and which addresses not be reached, so that each
 * is said once. Does not look them up, and does not say it.
 */
#ifndef ZD_NAMES_H
#define ZD_NAMES_H

#include <stdbool.h>

#include "hap_map.h"

enum { ZD_NAMES_MAX = 2 * HAP_MAP_NODES_MAX /* more are forgotten, and not said */ };

/** All zero: every name can be looked up. */
typedef struct zd_names_t {
    char *lost[ZD_NAMES_MAX]; /* names that cannot be; NULL: a free place */
} zd_names_t;

/** Notes how a look-up has ended. Whether that is another end than the last time; a name that
 * is looked up for the first time is expected to be found. */
bool zd_names_changed(zd_names_t *names, const char *name, bool found);

/** Forgets all. */
void zd_names_clear(zd_names_t *names);

#endif
