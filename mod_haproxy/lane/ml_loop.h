/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the event loop: one thread that waits for descriptors, timers and work posted by other
 * threads. Knows nothing of httpd or of what it carries, and never logs.
 *
 * Every function says who may call it: the loop thread (callbacks; also the creating thread until
 * the loop was started, and any one thread after it was joined), or any thread.
 */
#ifndef ML_LOOP_H
#define ML_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

#include <apr_errno.h>
#include <apr_pools.h>
#include <apr_time.h>

#include "ml_wheel.h"

/** The struct of `type` whose member `field` is at `ptr`. */
#define ML_OWNER(ptr, type, field) ((type *)(void *)((char *)(ptr)-offsetof(type, field)))

typedef struct ml_io_t ml_io_t;

/** What a kind of descriptor does; a const record of the file that implements it. */
typedef struct ml_io_iface_t {
    const char *name;                            /* for debugging */
    void (*ready)(ml_io_t *io, uint32_t events); /* EPOLL* bits; may delete or free any handle */
} ml_io_iface_t;

/** A registered descriptor, embedded in what it belongs to. All zero is one not registered. */
struct ml_io_t {
    const ml_io_iface_t *iface; /* set by ml_io_add */
    ml_loop_t *loop;            /* NULL: not registered */
    int fd;                     /* not owned */
    uint32_t events;            /* EPOLL* bits that it waits for */
    unsigned batch;             /* private: its place + 1 in the batch at hand, 0 if it has none */
};

/** Work for the loop thread, embedded in what it belongs to. */
typedef struct ml_work_t {
    struct ml_work_t *next;                               /* private */
    void (*run)(struct ml_work_t *work, ml_loop_t *loop); /* may free or post the work again */
} ml_work_t;

/** A loop that does not run yet. Allocates from `pool`, whose cleanup closes its descriptors. */
apr_status_t ml_loop_create(ml_loop_t **loop, apr_pool_t *pool);

/** Starts the thread, with all signals blocked. The creating thread, once. */
apr_status_t ml_loop_start(ml_loop_t *loop);

/** Runs in the calling thread until stopped, instead of ml_loop_start; signals blocked meanwhile.
 */
apr_status_t ml_loop_run(ml_loop_t *loop);

/** Asks the loop to end after this turn and after all work posted so far. Any thread. */
void ml_loop_stop(ml_loop_t *loop);

/**
 * Waits for the end of the thread, but not longer than `at_most`, and returns what ended it, or
 * ETIMEDOUT. Not the loop thread; once.
 */
apr_status_t ml_loop_join(ml_loop_t *loop, apr_interval_time_t at_most);

/**
 * Closes a loop that was never started, or was joined: it takes no work from now on, and what was
 * posted to it so far runs here.
 */
void ml_loop_close(ml_loop_t *loop);

/**
 * Has `work` run in the loop thread, in the order of posting; the loop holds it until then. False
 * once the loop has ended: the work will not run and stays the caller's. Any thread.
 */
bool ml_loop_post(ml_loop_t *loop, ml_work_t *work);

/**
 * Has `work` run at the end of this turn, before the loop waits; the loop holds it until then. Not
 * for work that it holds already. Loop thread.
 */
void ml_loop_defer(ml_loop_t *loop, ml_work_t *work);

/** Microseconds of the monotonic clock, read once a turn. Loop thread. */
apr_time_t ml_loop_now(const ml_loop_t *loop);

/**
 * Registers `fd` for `events`; the handle must stay until ml_io_del. The errors of epoll_ctl.
 * Loop thread.
 */
apr_status_t ml_io_add(ml_io_t *io, ml_loop_t *loop, const ml_io_iface_t *iface, int fd,
                       uint32_t events);

/** Waits for other events. Loop thread. */
apr_status_t ml_io_set(ml_io_t *io, uint32_t events);

/**
 * Ends the registration, before the descriptor is closed: `ready` is not called again, not even
 * for events at hand, and the handle may be freed. Nothing if it is not registered. Loop thread.
 */
void ml_io_del(ml_io_t *io);

/** Events of this turn that `ready` was not called with yet; EPOLL* bits, 0 none. Loop thread. */
uint32_t ml_io_at_hand(const ml_io_t *io);

/** Wakes one who waits for an eventfd. Any thread. */
void ml_eventfd_wake(int fd);

/** Of what this error is about the process or the system has too little: it says nothing of whom it
 * was for. */
bool ml_is_shortage(int error);

/** Fires `timer` once, not earlier than `delay` after ml_loop_now; replaces an earlier setting.
 * Loop thread. */
void ml_timer_set(ml_loop_t *loop, ml_timer_t *timer, apr_interval_time_t delay);

/** The timer will not fire; nothing if it is not set. Loop thread. */
void ml_timer_cancel(ml_loop_t *loop, ml_timer_t *timer);

/** It is set and will fire. Loop thread. */
static inline bool ml_timer_is_set(const ml_timer_t *timer)
{
    return timer->place != 0;
}

#endif
