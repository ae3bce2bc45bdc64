/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns who would take the clients of a child that leaves gracefully: which others of the server
 * serve, and whether there will be some soon. Reads httpd's scoreboard. Does not give.
 */
#ifndef MH_TAKERS_H
#define MH_TAKERS_H

#include <apr_pools.h>
#include <apr_time.h>
#include <stdbool.h>

#include "lane/ml_lane.h"

/** Whether this end of the child is graceful, which child_stopping's `said` does not tell under
 * every MPM. In that hook. */
bool mh_takers_is_graceful(int said);

/** This child is none from here on. Before mh_takers_find; `p` lasts as long as the child. */
void mh_takers_leave(apr_pool_t *p);

/** The child's threads of the MPM have ended, and it stays for its clients. */
void mh_takers_stay(void);

/** Who there is now, for a child that leaves since then. Any thread. */
ml_takers_t mh_takers_find(apr_time_t since);

#endif
