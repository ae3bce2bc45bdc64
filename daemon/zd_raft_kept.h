/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the segments that are written to as they were before libraft has read them, and putting them
 * back: it changes them before it refuses the log.
 */
#ifndef ZD_RAFT_KEPT_H
#define ZD_RAFT_KEPT_H

#include <stddef.h>

/** Segments that are written to, as they are. NULL: there is no memory. */
typedef struct zd_kept_t zd_kept_t;
zd_kept_t *zd_kept_read(const char *dir);

/** Libraft has closed some of them, cut off what it could not read, or removed them: undoes that.
 * Of NULL nothing is. What cannot be written stays as it is. */
void zd_kept_put_back(const zd_kept_t *kept);
void zd_kept_free(zd_kept_t *kept);

/** The name of the oldest of them; "" for none. */
void zd_kept_oldest(char *name, size_t bytes, const zd_kept_t *kept);

#endif
