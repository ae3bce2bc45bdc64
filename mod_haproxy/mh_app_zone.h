/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns joining an application with its HAZone lines: what does not fit is refused, its files are
 * read. Does not open stores.
 */
#ifndef MH_APP_ZONE_H
#define MH_APP_ZONE_H

#include "mh_app.h"

/**
 * Fills the application's zone_* fields from what HAZone says; its policy and name are known by
 * now. Says what is wrong, with file and line, in the log. Parent, check_config.
 */
apr_status_t mh_app_set_zone(mh_app_t *app, const proxy_balancer *balancer, const mh_named_t *conf,
                             apr_pool_t *p);

#endif
