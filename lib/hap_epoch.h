/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns replacing an immutable object that many threads read without a lock: readers announce
 * themselves, and what was replaced is freed only when no reader can still hold it.
 *
 * A reader counts itself in on one of two counters before it loads the pointer. After the pointer
 * was replaced, both counters must each have been seen at zero once; newcomers are sent to the
 * other counter each time so that this happens soon under any load.
 */
#ifndef HAP_EPOCH_H
#define HAP_EPOCH_H

#include <stdatomic.h>
#include <stdbool.h>

typedef struct hap_epoch_t {
    _Atomic unsigned side;       /* where newcomers count themselves in */
    _Atomic unsigned readers[2]; /* how many are inside, by side */
} hap_epoch_t;

/** Any thread. Returns the side to hand to hap_epoch_leave; load the pointer after it. */
static inline unsigned hap_epoch_enter(hap_epoch_t *epoch)
{
    unsigned side = atomic_load_explicit(&epoch->side, memory_order_relaxed) & 1;
    atomic_fetch_add(&epoch->readers[side], 1);
    return side;
}

/** Any thread. What was loaded since hap_epoch_enter must not be used any more. */
static inline void hap_epoch_leave(hap_epoch_t *epoch, unsigned side)
{
    atomic_fetch_sub_explicit(&epoch->readers[side], 1, memory_order_release);
}

/** What the replacing thread remembers of one replacement. */
typedef struct hap_epoch_wait_t {
    unsigned quiet; /* bit i: counter i was seen at zero since */
} hap_epoch_wait_t;

/**
 * The replacing thread only, after it replaced the pointer; again and again until it says true:
 * then nobody holds the old object. Never waits.
 */
static inline bool hap_epoch_quiet(hap_epoch_t *epoch, hap_epoch_wait_t *wait)
{
    for (unsigned side = 0; side < 2; side++) {
        if (atomic_load(&epoch->readers[side]) == 0) {
            wait->quiet |= 1u << side;
        }
    }
    if (wait->quiet == 3) {
        return true;
    }
    /* Send newcomers where it was quiet already, so that the other side empties. */
    atomic_store(&epoch->side, wait->quiet & 1 ? 0 : 1);
    return false;
}

#endif
