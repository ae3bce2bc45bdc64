/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns how far the log was written, as a page in its folder that the next run reads: libraft drops
 * what it cannot read at the end of a log, and says nothing.
 */
#ifndef ZD_RAFT_REACHED_H
#define ZD_RAFT_REACHED_H

#include <stdbool.h>
#include <stdint.h>

/** The page of a folder. NULL: it cannot be made. */
typedef struct zd_reached_t zd_reached_t;
zd_reached_t *zd_reached_open(const char *dir);

/** Index of the last entry that was written; 0: unknown. */
uint64_t zd_reached_get(const zd_reached_t *reached);

/** The same of a folder as it is, which is not changed. */
uint64_t zd_reached_read(const char *dir);

/** It is that from now on. To raise it costs nothing, and a host that dies may lose it; to lower it
 * is on the disk at the end. False: it could not be. */
bool zd_reached_set(zd_reached_t *reached, uint64_t index);

/** Of NULL nothing is. */
void zd_reached_close(zd_reached_t *reached);

#endif
