/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns one value of a zone at its address (doc/zones.md, L2): reading, writing, changing and
 * deleting it, under a request's conditions. Who may do so is mh_zones_handler's.
 */
#ifndef MH_ZONES_VALUE_H
#define MH_ZONES_VALUE_H

#include <httpd.h>

#include "hap_zone_path.h"
#include "mh_zone.h"

#define MH_ZONES_METHODS "GET, HEAD, PUT, PATCH, DELETE"

/** Answers a request for the value with this address in the application's zone, waiting for the
 * store. What a handler returns. */
int mh_zones_value(request_rec *r, mh_zone_t *zone, const hap_zone_path_t *path);

/** Answers with this status and a line that says why, and reads what is left of the request. What a
 * handler returns. */
int mh_zones_refuse(request_rec *r, int status, const char *why);

#endif
