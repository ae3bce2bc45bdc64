/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns waiting for a member with max= to have room: over all children, in no particular order. Does
 * not choose the member: who wakes up chooses again.
 */
#ifndef MH_QUEUE_H
#define MH_QUEUE_H

#include "mh_app.h"

/** A request's place in the queue. Zeroed at first, and kept for the request's whole life: who
 * comes again has the rest of its time. */
typedef struct mh_queue_ticket_t {
    bool waiting;        /* counted in */
    uint32_t seen;       /* releases before the last look */
    int64_t deadline_us; /* monotonic; 0: it has not waited yet */
} mh_queue_ticket_t;

/**
 * Waits until there may be room; false when the queue is full or the time is up. The first call
 * only joins the queue and returns at once, so that room made meanwhile is not missed.
 */
bool mh_queue_wait(const mh_app_t *app, mh_queue_ticket_t *ticket);

/** Leaves the queue, if it was joined. */
void mh_queue_leave(const mh_app_t *app, mh_queue_ticket_t *ticket);

/** A request of this application ended: lets one that waits look again. */
void mh_queue_release(const mh_app_t *app);

#endif
