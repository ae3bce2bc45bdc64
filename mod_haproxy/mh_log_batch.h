/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the lines of access logs that a loop has made in its turn: mod_log_config hands them here
 * instead of writing each, and many of them are written at once, before the loop waits. Does not
 * make the lines.
 */
#ifndef MH_LOG_BATCH_H
#define MH_LOG_BATCH_H

#include <apr_pools.h>

#include "lane/ml_loop.h"

/** Of one loop, and its thread's only. */
typedef struct mh_log_batch_t mh_log_batch_t;

/** Learns who writes if nobody else wants to. pre_config, right after mod_log_config. */
void mh_log_batch_prepare(void);

/** Takes that one's place, unless somebody else has. child_init. */
void mh_log_batch_start(void);

/** Allocates from p. */
mh_log_batch_t *mh_log_batch_create(ml_loop_t *loop, apr_pool_t *p);

/** What this thread logs from here on is kept in `batch` until the turn ends; NULL: is written at
 * once. */
void mh_log_batch_use(mh_log_batch_t *batch);

#endif
