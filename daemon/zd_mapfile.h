/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the map on disk (doc/map.md): the daemon's own, and the copy for a proxy on the same host.
 */
#ifndef ZD_MAPFILE_H
#define ZD_MAPFILE_H

#include <stdbool.h>
#include <stdint.h>

#include <apr_pools.h>

#include "hap_map.h"
#include "hap_str.h"

typedef struct zd_mapfile_t zd_mapfile_t;

/** Reads what an earlier run has left in `dir`; what is damaged is said, and counts as none. `copy`
 * is a path, or NULL. From `pool`; borrows the paths. */
zd_mapfile_t *zd_mapfile_open(const char *dir, const char *copy, apr_pool_t *pool);

/** What is on disk: its version, 0: none; its cluster, NULL: none. Borrows until the next put. */
uint64_t zd_mapfile_version(const zd_mapfile_t *file);
const char *zd_mapfile_uuid(const zd_mapfile_t *file);

/** The map itself, on disk or about to be; NULL: none. Borrows likewise. */
const hap_map_t *zd_mapfile_map(const zd_mapfile_t *file);

/** Writes a map that is newer; what cannot be written is said once, and tried again by
 * zd_mapfile_retry. Copies. */
void zd_mapfile_put(zd_mapfile_t *file, hap_str_t text, uint64_t version);
void zd_mapfile_retry(zd_mapfile_t *file);

/** The same for a map that came from another node: it is read first. What is no map, older, of
 * another cluster or contradicts is refused, and said. */
void zd_mapfile_offer(zd_mapfile_t *file, hap_str_t text);

#endif
