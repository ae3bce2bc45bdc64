/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns noticing, within one child and long before its probes can, that a member has stopped to
 * answer while it holds a large part of the child's threads. Such a member gets no more of them,
 * so that the others are still served.
 *
 * The test is for silence, not for many requests or long ones: a busy member answers all the time,
 * and one whose requests all take long shows it by answering the one request that is let through
 * now and then.
 */
#ifndef HAP_STALL_H
#define HAP_STALL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "hap_shared.h"

enum { HAP_STALL_SILENCE_US = 500000 /* without any answer, then it is stalled */ };

/** One member as one child sees it. Any thread of the child. */
typedef struct hap_stall_t {
    _Alignas(HAP_CACHE_LINE) _Atomic uint32_t
        waiting;              /* requests that were given to it and not answered yet */
    _Atomic int64_t asked_us; /* monotonic; its first request since its last answer; 0 none */
    _Atomic int64_t trial_us; /* monotonic; when one was last let through */
    _Atomic uint32_t trials;  /* those of the waiting that were let through while it was silent */
} hap_stall_t;

/** All members, by their slots. */
typedef struct hap_stalls_t {
    hap_stall_t *members;
    uint32_t limit; /* requests that wait, from which on silence counts; 0 never */
    uint32_t most;  /* requests that wait, from which on one trial waits at a time */
} hap_stalls_t;

/* Not counted from the last answer: who was not asked since has nothing to say. */
static inline bool hap_stall_is_silent(const hap_stall_t *stall, int64_t now_us)
{
    int64_t asked_us = atomic_load(&stall->asked_us);
    return asked_us && now_us - asked_us >= HAP_STALL_SILENCE_US;
}

/**
 * The member shall get no request now. Lets one through for each HAP_STALL_SILENCE_US, whoever asks
 * first; but trials that are not answered must not take, one by one, what is to be spared.
 */
static inline bool hap_stall_blocks(const hap_stalls_t *stalls, uint32_t slot, int64_t now_us)
{
    const hap_stall_t *stall = &stalls->members[slot];
    uint32_t waiting = atomic_load_explicit(&stall->waiting, memory_order_relaxed);
    if (stalls->limit == 0 || waiting < stalls->limit || !hap_stall_is_silent(stall, now_us)) {
        return false;
    }
    if (waiting >= stalls->most && atomic_load(&stall->trials) > 0) {
        return true;
    }
    return now_us - atomic_load(&stall->trial_us) < HAP_STALL_SILENCE_US;
}

/** A request is given to the member. True if it has stalled: this one is a trial. */
static inline bool hap_stall_begin(const hap_stalls_t *stalls, uint32_t slot, int64_t now_us)
{
    hap_stall_t *stall = &stalls->members[slot];
    uint32_t waiting = atomic_fetch_add_explicit(&stall->waiting, 1, memory_order_relaxed);
    bool trial = stalls->limit && waiting >= stalls->limit && hap_stall_is_silent(stall, now_us);
    int64_t nothing = 0;
    if (waiting == 0) {
        atomic_store(&stall->asked_us, now_us);
    } else if (atomic_load(&stall->asked_us) == 0) {
        atomic_compare_exchange_strong(&stall->asked_us, &nothing, now_us);
    }
    if (trial) {
        atomic_fetch_add(&stall->trials, 1);
        atomic_store(&stall->trial_us, now_us);
    }
    return trial;
}

/**
 * The request is answered, or has ended without an answer. Once for each hap_stall_begin, with what
 * that has said.
 */
static inline void hap_stall_end(const hap_stalls_t *stalls, uint32_t slot, bool trial,
                                 bool answered)
{
    hap_stall_t *stall = &stalls->members[slot];
    atomic_fetch_sub_explicit(&stall->waiting, 1, memory_order_relaxed);
    if (trial) {
        atomic_fetch_sub(&stall->trials, 1);
    }
    if (answered) {
        atomic_store(&stall->asked_us, 0);
    }
}

#endif
