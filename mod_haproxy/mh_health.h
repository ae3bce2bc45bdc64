/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns watching the members: the one child that holds the lock probes them all, writes the verdicts
 * into shared memory and says each transition once. Does not speak HTTP: lane/ml_probe does.
 */
#ifndef MH_HEALTH_H
#define MH_HEALTH_H

#include <stdbool.h>

#include <httpd.h>

#include "lane/ml_loop.h"
#include "mh_app.h"

/** Sets the loop up to probe whenever this child holds the lock. Before the loop is started. */
apr_status_t mh_health_start(ml_loop_t *loop, apr_pool_t *p, server_rec *s);

/** This child probes. Loop thread. */
bool mh_health_leads(void);

/** The application has another line-up now; `old` is there still. Loop thread. */
void mh_health_follow(mh_app_t *app, const mh_lineup_t *old);

#endif
