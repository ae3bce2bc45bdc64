/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the order of timers: a hierarchical wheel, where adding, cancelling and re-arming take the
 * same time for any number of timers. Has no clock: time is a count of ticks that is passed in.
 */
#ifndef ML_WHEEL_H
#define ML_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

typedef struct ml_loop_t ml_loop_t;

/** A place in a circular list. Private to the wheel. */
typedef struct ml_link_t {
    struct ml_link_t *next, *prev;
} ml_link_t;

/** A timer, embedded in what it belongs to. All zero but for `fire` is a timer that is not set. */
typedef struct ml_timer_t {
    ml_link_t link; /* private; first, so that a link is a timer */
    uint64_t tick;  /* private: when it fires */
    unsigned place; /* private: 0 not set, else where it waits */
    void (*fire)(struct ml_timer_t *timer, ml_loop_t *loop); /* no longer set when called */
} ml_timer_t;

enum {
    ML_WHEEL_BITS = 6,
    ML_WHEEL_SLOTS = 1 << ML_WHEEL_BITS,
    ML_WHEEL_LEVELS = 7 /* 2^42 ticks: 139 years of milliseconds */
};

typedef struct ml_wheel_t {
    uint64_t now;                                     /* the last tick that was processed */
    uint64_t used[ML_WHEEL_LEVELS];                   /* a bit for each slot that is not empty */
    ml_link_t slots[ML_WHEEL_LEVELS][ML_WHEEL_SLOTS]; /* heads of the lists */
} ml_wheel_t;

/** Empty, at tick `now`. The wheel must not move in memory. */
void ml_wheel_init(ml_wheel_t *wheel, uint64_t now);

/** Sets a timer, or sets it anew, to fire at `tick`, or at the next one if that has passed. */
void ml_wheel_set(ml_wheel_t *wheel, ml_timer_t *timer, uint64_t tick);

/** The timer will not fire. Does nothing if it is not set. */
void ml_wheel_cancel(ml_wheel_t *wheel, ml_timer_t *timer);

/** The tick by which the wheel has to advance again: no timer is due before. False if it is empty.
 */
bool ml_wheel_next(uint64_t *tick, const ml_wheel_t *wheel);

/**
 * Moves on to tick `now` and fires what is due, by tick, those of one tick as they were set. A
 * timer that is set meanwhile to a time that has passed fires at the next advance.
 */
void ml_wheel_advance(ml_wheel_t *wheel, uint64_t now, ml_loop_t *loop);

#endif
