/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns asking a memcached how it is. Does this without libmemcached, which reads beyond its buffer
 * when a node answers `stats` with a long line. Does not touch records.
 */
#ifndef HAPSTORE_STATS_H
#define HAPSTORE_STATS_H

#include <stdbool.h>
#include <stdint.h>

#include <apr_time.h>

#include "hap_str.h"
#include "hap_zone_spec.h"

enum { HAPSTORE_STATS_VERSION_BYTES = 32, HAPSTORE_STATS_WHY_BYTES = 128 };

/** What a memcached says of itself; what it does not say is 0. */
typedef struct hapstore_stats_t {
    char version[HAPSTORE_STATS_VERSION_BYTES]; /* printable */
    uint64_t uptime_s;
    uint64_t items;
    uint64_t bytes;
    uint64_t bytes_max;
    uint64_t evictions;
} hapstore_stats_t;

/**
 * Reads a whole answer to `stats`: lines `STAT NAME VALUE` and `END`, each with CR LF. False, with
 * `stats` untouched, when it is anything else.
 */
bool hapstore_stats_read(hapstore_stats_t *stats, hap_str_t answer);

/**
 * Asks a memcached, within `budget` for all of it but looking up its name. False when it could not
 * be asked, with why as part of a sentence.
 */
bool hapstore_stats_ask(hapstore_stats_t *stats, char why[HAPSTORE_STATS_WHY_BYTES],
                        const hap_zone_node_t *node, apr_interval_time_t budget);

#endif
