/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what each child process has of its own: its row of in-flight counts, its event loop, and the
 * schedules that the loop keeps up to date. Does not probe: mh_health does, on the same loop.
 */
#ifndef MH_CHILD_H
#define MH_CHILD_H

#include "mh_app.h"

/** Starts the loop. child_init. */
void mh_child_start(apr_pool_t *p, server_rec *s);

/** The counts of this child; never NULL. Any thread. */
hap_row_t *mh_child_row(void);

/** Has the loop lay out a new schedule for an application, unless it knows. Any thread. */
void mh_child_schedule_is_stale(mh_app_t *app);

/** A child is gone: what it had in flight goes with it. Parent only, child_status. */
void mh_child_gone(pid_t pid);

#endif
