/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns method=round: members take turns by weight, one counter for all children of the server.
 *
 * The counter says how many turns were taken; the schedule says whose turn that is. A member that
 * cannot be used right now (the schedule is made anew a moment after a state changed) passes its
 * turn to the next one that can.
 */
#include "hap_pick.h"

enum { PASSES_MAX = 16 };

static int choose(const hap_selector_t *selector, const hap_pick_request_t *request)
{
    const hap_schedule_t *schedule = selector->schedule;
    if (schedule->length == 0) {
        return -1;
    }
    hap_balancer_t *balancer = &selector->shared->balancers[selector->balancer];
    uint64_t turn = atomic_fetch_add_explicit(&balancer->turn, 1, memory_order_relaxed);
    uint32_t at = (uint32_t)(turn % schedule->length);
    uint32_t passes = schedule->length < PASSES_MAX ? schedule->length : PASSES_MAX;
    for (uint32_t pass = 0; pass < passes; pass++) {
        uint32_t member = schedule->turns[at];
        if (hap_pick_eligible(selector, request, member) &&
            hap_pick_ramped(selector, request, member)) {
            return (int)member;
        }
        at = at + 1 == schedule->length ? 0 : at + 1;
    }
    return -1;
}

const hap_pick_method_t hap_pick_round = {.choose = choose};
