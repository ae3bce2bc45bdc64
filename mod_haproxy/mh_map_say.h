/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the lines of the log about what a map has changed. */
#ifndef MH_MAP_SAY_H
#define MH_MAP_SAY_H

#include "mh_lineup.h"

/** Says what is another thing in `now` than in `was`, by this version of the map. `p` is for
 * scratch. */
void mh_map_say(const mh_lineup_t *was, const mh_lineup_t *now, uint64_t version, apr_pool_t *p);

#endif
