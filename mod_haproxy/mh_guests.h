/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns who of the members that only a map names has which slot of the shared segment: all children
 * give them out to each other, under a lock that the kernel frees. Does not read maps.
 */
#ifndef MH_GUESTS_H
#define MH_GUESTS_H

#include <httpd.h>

/** Giving out slots for one map. */
typedef struct mh_guests_t mh_guests_t;

/** Takes the lock. From `p`. One thread of a process at a time. */
mh_guests_t *mh_guests_open(uint64_t version, apr_pool_t *p);

/** Gives the lock back. */
void mh_guests_close(mh_guests_t *guests);

/** The slot of this member: the one that it has, or a free one, as of a member that nothing is
 * known of; else that of one that no map names any more and that has no requests. -1 when there is
 * none. */
int mh_guests_slot(mh_guests_t *guests, const char *app, const char *route);

/** Routes that maps have added to this balancer, as far as they are still known. From `p`. */
apr_array_header_t *mh_guests_of(const mh_guests_t *guests, const char *app, apr_pool_t *p);

#endif
