/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the addresses of zones' values (doc/zones.md, L2): which zone, session and key a request's
 * target names. Does not know where the address of the handler begins: it ends where the zone does.
 */
#ifndef HAP_ZONE_PATH_H
#define HAP_ZONE_PATH_H

#include "hap_str.h"
#include "hap_zone_keys.h"
#include "hap_zone_spec.h"

/** What a target names. */
typedef enum hap_zone_path_end_t {
    HAP_ZONE_PATH_VALUE,    /* a session, or a key of one */
    HAP_ZONE_PATH_STATUS,   /* no zone, and a slash at the end: the handler itself */
    HAP_ZONE_PATH_NONE,     /* nothing that there is */
    HAP_ZONE_PATH_MALFORMED /* what it should be cannot be told, or is beyond the limits */
} hap_zone_path_end_t;

/** A value's address, decoded into `room`. */
typedef struct hap_zone_path_t {
    unsigned zone; /* HAP_ZONE_USER or HAP_ZONE_STORAGE */
    hap_str_t sid;
    hap_str_t key; /* empty: the session itself */
    char room[2 * HAP_ZONE_SID_BYTES_MAX];
} hap_zone_path_t;

/**
 * Reads a request's target, as it came. `uri` is the path that httpd has made of it, by which it
 * has judged who may do this: where decoding alone does not lead from the one to the other, it is
 * MALFORMED. A slash in an id stands encoded, and may be so in `uri` too. `path` is set with VALUE
 * only.
 */
hap_zone_path_end_t hap_zone_path_read(hap_zone_path_t *path, hap_str_t target, hap_str_t uri);

#endif
