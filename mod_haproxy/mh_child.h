/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what each child process has of its own: its row of in-flight counts, its event loop, and the
 * schedules that the loop keeps up to date. Does not probe: mh_health does, on the same loop.
 */
#ifndef MH_CHILD_H
#define MH_CHILD_H

#include "lane/ml_loop.h"
#include "mh_app.h"

/** Starts the loop. child_init. */
void mh_child_start(apr_pool_t *p, server_rec *s);

/**
 * A pool for one thread, with memory of its own: others use the child's pool meanwhile. It is never
 * destroyed before the process ends, as a thread may still run then that could not be waited for.
 */
apr_pool_t *mh_child_own_pool(server_rec *s);

/** The MPM serves connections with threads: not prefork. */
bool mh_child_is_threaded(void);

/** The counts of this child; never NULL. Any thread. */
hap_row_t *mh_child_row(void);

/** Has the loop lay out a new schedule for an application, unless it knows. Any thread. */
void mh_child_schedule_is_stale(mh_app_t *app);

/** The line-up that is in force, or will be in a moment. Likewise. */
mh_lineup_t *mh_child_lineup(const mh_app_t *app);

/** Puts a line-up in force; takes it. Loop thread, or while the child has no other threads yet. */
void mh_child_follow(mh_lineup_t *lineup);

/** Has work run in the loop; what cannot is left to the end of the process. Any thread. */
void mh_child_post(ml_work_t *work);

/** A child is gone: what it had in flight goes with it. Parent only, child_status. */
void mh_child_gone(pid_t pid);

#endif
