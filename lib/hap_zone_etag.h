/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the tags of zones' values, and the conditions that requests make with them (RFC 9110 8.8.3
 * and 13.1). Does not know requests.
 */
#ifndef HAP_ZONE_ETAG_H
#define HAP_ZONE_ETAG_H

#include "hap_zone_record.h"

enum { HAP_ZONE_ETAG_BYTES = 2 * HAP_STR_UINT_BYTES + sizeof("\"--00000000\"") };

/** The tag of a value: `"<epoch>-<version>-<tie>"`, ended by NUL. Two who write at once make the
 * same version, but not the same tie. Returns `room`. */
const char *hap_zone_etag(char room[HAP_ZONE_ETAG_BYTES], const hap_zone_record_t *record);

/** Whether a field's condition holds. */
typedef enum hap_zone_holds_t {
    HAP_ZONE_HOLDS,
    HAP_ZONE_HOLDS_NOT,
    HAP_ZONE_HOLDS_MALFORMED /* it is no list of tags */
} hap_zone_holds_t;

/** If-Match, of the value with this tag; NULL: there is none. Weak tags never match (13.1.1). NULL
 * for `field` holds always. */
hap_zone_holds_t hap_zone_if_match(const char *field, const char *etag);

/** If-None-Match, likewise; weak tags match what they are (13.1.2). */
hap_zone_holds_t hap_zone_if_none_match(const char *field, const char *etag);

/** A field is a star, and no list of tags. NULL is none. */
bool hap_zone_is_any(const char *field);

#endif
