/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what a proxy remembers of the sessions that it has seen: a table of fixed size in memory
 * that its processes share. It is a memory, not the truth: entries make room for newer ones, and
 * one that somebody died in the middle of counts as unknown. Does not know stores; time comes in.
 */
#ifndef HAP_ZONE_TABLE_H
#define HAP_ZONE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HAP_ZONE_TABLE_KEY_BYTES = 16, /* a keyed hash of the session's id */
    HAP_ZONE_TABLE_WAYS = 4        /* entries that one key may be in */
};

#define HAP_ZONE_NOBODY UINT32_MAX

typedef enum hap_zone_known_state_t {
    HAP_ZONE_KNOWN_LIVE, /* there is a record */
    HAP_ZONE_KNOWN_NONE, /* there is none */
    HAP_ZONE_KNOWN_GONE  /* the session has ended */
} hap_zone_known_state_t;

/** What is known of a session. */
typedef struct hap_zone_known_t {
    hap_zone_known_state_t state;
    uint32_t owner; /* hash of its route; HAP_ZONE_NOBODY: nobody */
    uint64_t epoch; /* 0 with NONE */
    uint64_t version;
    uint32_t rest_s; /* seconds that the record is kept from now on */
    uint32_t age_ms; /* find: since it was seen in the store */
} hap_zone_known_t;

typedef struct hap_zone_table_t hap_zone_table_t; /* in the shared memory */

/** Memory for so many entries, rounded up to a power of two of buckets. */
size_t hap_zone_table_size(uint32_t entries);

/** Makes such memory, all zero, ready. Done once. */
void hap_zone_table_init(hap_zone_table_t *table, uint32_t entries);

/** What is known of a session at `now_ms` (monotonic, milliseconds, the same clock in all
 * processes). False when nothing is, or it has passed its time. Takes no lock; any process. */
bool hap_zone_table_find(const hap_zone_table_t *table,
                         const unsigned char key[HAP_ZONE_TABLE_KEY_BYTES], int64_t now_ms,
                         hap_zone_known_t *known);

/**
 * Notes what was seen. What is older than what is noted (by epoch, then GONE, then version) is not
 * taken; NONE beside something newer says only that the store was looked at. In a full bucket the
 * entry goes that was seen longest ago.
 */
void hap_zone_table_note(hap_zone_table_t *table, const unsigned char key[HAP_ZONE_TABLE_KEY_BYTES],
                         int64_t now_ms, const hap_zone_known_t *known);

#endif
