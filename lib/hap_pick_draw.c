/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns method=least and method=latency: the better of two members drawn at random.
 *
 * Two draws are enough to keep the longest queue short (the gain over one draw is exponential, a
 * third adds little), and unlike "the least of all" they do not send everybody to the same member
 * between two updates of its count.
 *
 * A slow member would lose every draw and so never be measured again, however fast it has become
 * since. So an average fades while nobody adds to it: the member is tried with a request now and
 * then, and either was slow and fades again, or is fast and has its share back.
 */
#include "hap_pick.h"

enum { HALVES_EVERY_US = 1000000 };

typedef double cost_fn(const hap_selector_t *selector, const hap_pick_request_t *request,
                       const hap_member_t *member);

static double load_of(const hap_selector_t *selector, const hap_pick_request_t *request,
                      const hap_member_t *member)
{
    (void)request;
    uint32_t in_flight = hap_shared_sum(selector->shared, member->slot);
    return ((double)in_flight + 1.0) / (double)member->weight;
}

uint32_t hap_pick_latency_us(const hap_slot_t *slot, int64_t now_us)
{
    uint32_t latency = atomic_load_explicit(&slot->latency_us, memory_order_relaxed);
    int64_t age = now_us - atomic_load_explicit(&slot->measured_us, memory_order_relaxed);
    int64_t halvings = age > 0 ? age / HALVES_EVERY_US : 0;
    return halvings < 32 ? latency >> halvings : 0;
}

/* A member that was never measured counts as fastest, so that it is measured soon. */
static double delay_of(const hap_selector_t *selector, const hap_pick_request_t *request,
                       const hap_member_t *member)
{
    const hap_slot_t *slot = &selector->shared->slots[member->slot];
    double latency = hap_pick_latency_us(slot, request->now_us);
    return (latency + 1.0) * load_of(selector, request, member);
}

static bool may_take(const hap_selector_t *selector, const hap_pick_request_t *request,
                     uint32_t member)
{
    return hap_pick_eligible(selector, request, member) &&
           hap_pick_ramped(selector, request, member);
}

static int better_of_two(const hap_selector_t *selector, const hap_pick_request_t *request,
                         cost_fn *cost)
{
    const hap_schedule_t *schedule = selector->schedule;
    uint32_t n = schedule->ready_n;
    if (n == 0) {
        return -1;
    }
    uint64_t draw = hap_pick_redraw(request->draw | 1);
    uint32_t first = (uint32_t)((draw >> 32) % n);
    uint32_t second = n > 1 ? (first + 1 + (uint32_t)(draw & 0xffffffff) % (n - 1)) % n : first;
    uint32_t a = schedule->ready[first];
    uint32_t b = schedule->ready[second];
    bool a_may = may_take(selector, request, a);
    bool b_may = may_take(selector, request, b);
    if (!a_may || !b_may) {
        return a_may ? (int)a : b_may ? (int)b : -1;
    }
    const hap_member_t *members = selector->roster->members;
    return cost(selector, request, &members[b]) < cost(selector, request, &members[a]) ? (int)b
                                                                                       : (int)a;
}

static int choose_least(const hap_selector_t *selector, const hap_pick_request_t *request)
{
    return better_of_two(selector, request, load_of);
}

static int choose_latency(const hap_selector_t *selector, const hap_pick_request_t *request)
{
    return better_of_two(selector, request, delay_of);
}

const hap_pick_method_t hap_pick_least = {.choose = choose_least};
const hap_pick_method_t hap_pick_latency = {.choose = choose_latency};
