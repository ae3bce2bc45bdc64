/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the lane's requests that wait for an active member (doc/map.md): they need no thread. Those
 * that wait for room are given to the standard path. Loop thread, but for what is marked.
 */
#ifndef MH_LANE_QUEUE_H
#define MH_LANE_QUEUE_H

#include "lane/ml_lane.h"
#include "mh_choice.h"
#include "mh_queue.h"

/** Those of one loop. */
typedef struct mh_lane_queue_t mh_lane_queue_t;

/** One request. All zero while it does not wait. */
typedef struct mh_lane_wait_t {
    struct mh_lane_wait_t *next; /* in the queue's list; NULL: it is not in it */
    struct mh_lane_wait_t *prev;
    ml_loop_t *loop;
    ml_timer_t timer; /* its time */
    bool over;        /* that has passed */
    ml_exchange_t *x;
    mh_app_t *app;
    mh_queue_ticket_t ticket;
} mh_lane_wait_t;

/** Allocates from p. */
mh_lane_queue_t *mh_lane_queue_create(ml_loop_t *loop, apr_pool_t *p);

/** Has a request wait for which there is nobody: `choose` is to say LATER, and is asked again when
 * there may be. False: the queue is full, or its time is over. */
bool mh_lane_queue_wait(mh_lane_queue_t *queue, mh_lane_wait_t *wait, ml_exchange_t *x,
                        const mh_choice_t *choice);

/** It does not wait any more. Nothing if it has not. */
void mh_lane_queue_leave(mh_lane_wait_t *wait);

/** All look again. Not within a call of the lane's. */
void mh_lane_queue_wake(mh_lane_queue_t *queue);

#endif
