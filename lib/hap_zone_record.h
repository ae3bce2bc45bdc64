/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the record of a zone: its bytes, sealed and open (doc/zone-record.md, version 1), and which
 * of two is newer. Nonces come as arguments. Does not know what may follow what: hap_zone_rule
 * does.
 */
#ifndef HAP_ZONE_RECORD_H
#define HAP_ZONE_RECORD_H

#include "hap_zone_keys.h"

enum {
    HAP_ZONE_NONCE_BYTES = 12,
    HAP_ZONE_OWNER_BYTES_MAX = 63,
    HAP_ZONE_DATA_BYTES_MAX = 900000,
    HAP_ZONE_TTL_S_MAX = 2592000, /* 30 days: memcached takes more for a date */
    /* What a record adds to its data at most. */
    HAP_ZONE_RECORD_EXTRA_BYTES = 4 + 8 + 12 + 16 + 34 + HAP_ZONE_OWNER_BYTES_MAX
};

/** A record. Borrows owner and data. */
typedef struct hap_zone_record_t {
    uint64_t epoch;   /* rises whenever an instance is given the state; from 1 */
    uint64_t version; /* of the state in this epoch; 0: issued, without a state */
    uint32_t ttl_s;   /* that it is kept, from when it was stored */
    int64_t stored_s; /* since 1970 */
    uint32_t tie;     /* random: settles which of two is newer that are equal else */
    bool tombstone;   /* the session has ended */
    hap_str_t owner;  /* route of the instance that has the session; empty: nobody's */
    hap_str_t data;
} hap_zone_record_t;

/** What came of opening. */
typedef enum hap_zone_open_t {
    HAP_ZONE_OPENED,
    HAP_ZONE_OTHER_VERSION, /* not of this format */
    HAP_ZONE_OTHER_KEY,     /* sealed with none of the keys */
    HAP_ZONE_FORGED,        /* changed since, or the record of another name */
    HAP_ZONE_MALFORMED      /* sealed with a key of ours, and yet no record */
} hap_zone_open_t;

/** Why, as a sentence for logs. Static. */
const char *hap_zone_open_why(hap_zone_open_t end);

/** How many bytes the record takes sealed. */
size_t hap_zone_sealed_bytes(const hap_zone_record_t *record);

/**
 * Seals a record under a name, with the first key, into hap_zone_sealed_bytes bytes at `out`. The
 * nonce is random and used once. 0 when it has an owner or data beyond the limits, or libcrypto
 * fails; else how many bytes it took.
 */
size_t hap_zone_seal(unsigned char *out, const hap_zone_record_t *record,
                     const hap_zone_keys_t *keys, hap_str_t name,
                     const unsigned char nonce[HAP_ZONE_NONCE_BYTES]);

/**
 * Opens what a store had under this name. `plain` has room for sealed.n bytes, and `record` borrows
 * from it. Untouched record unless OPENED.
 */
hap_zone_open_t hap_zone_open(hap_zone_record_t *record, unsigned char *plain, hap_str_t sealed,
                              const hap_zone_keys_t *keys, hap_str_t name);

/** The id of the key that it is sealed with; NULL if it is no record of this format. Borrows. */
const unsigned char *hap_zone_sealed_key(hap_str_t sealed);

/** Which is newer: above 0 if `a` is, below if `b` is, 0 if they are the same one. By epoch,
 * tombstone, version, tie. */
int hap_zone_compare(const hap_zone_record_t *a, const hap_zone_record_t *b);

/** Whether the record has had its time by this clock: a copy of it that is there is about to end,
 * or a clock was set. */
bool hap_zone_is_over(const hap_zone_record_t *record, int64_t now_s);

/** Whether `stored_s` may be so by this clock: neither in the future, but for an eighth of the ttl
 * that clocks of proxies may differ by, nor so long ago that the record would be gone. */
bool hap_zone_age_makes_sense(const hap_zone_record_t *record, int64_t now_s);

/** Seconds that a copy of the record has to be kept from now on: the rest of its time, or all of it
 * when `stored_s` makes no sense by this clock. */
uint32_t hap_zone_rest_s(const hap_zone_record_t *record, int64_t now_s);

#endif
