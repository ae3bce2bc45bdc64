/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns sessions that are kept by L2 (doc/zones.md): the instance has none itself, it reads and
 * writes each at the address of zones, for each request. Any thread.
 */
#ifndef APP_ZONE_L2_H
#define APP_ZONE_L2_H

#include "app_zone.h"

/** Reads -zones-url and the file of -zones-token. False, with the reason on stderr. */
bool app_zone_l2_start(void);

/** It was started. */
bool app_zone_l2_is_on(void);

/** As app_zone_serve, but for what the proxy says in heads, which is nothing. */
void app_zone_l2_serve(app_zone_said_t *said, const app_zone_ask_t *ask);

#endif
