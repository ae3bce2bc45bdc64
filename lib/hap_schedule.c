/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns laying out the round: who is ready, and in which order they take their turns.
 *
 * The order is "earliest deadline first": a member of weight w has its k-th turn due at
 * (k + 1/2) / w, and turns are taken in the order of their due times, the earlier member first when
 * two are equal. Weights 5, 1, 1 (due a: .1 .3 .5 .7 .9, b: .5, c: .5) give a a a b c a a, evenly
 * spread instead of a a a a a b c; equal weights give a b c.
 */
#include "hap_roster.h"

/* Longer rounds are shortened by rounding the weights: 1 % is finer than anybody can measure. */
enum { LENGTH_MAX = 32768 };

/** One member's place in the heap of due turns. */
typedef struct due_t {
    double at;       /* when its next turn is due, in rounds */
    double step;     /* 1 / weight */
    uint32_t left;   /* turns still to take in this round */
    uint32_t member; /* index in the roster */
} due_t;

static bool earlier(const due_t *a, const due_t *b)
{
    return a->at < b->at || (a->at == b->at && a->member < b->member);
}

static void sift_down(due_t *heap, uint32_t n, uint32_t i)
{
    for (;;) {
        uint32_t least = i;
        for (uint32_t child = 2 * i + 1; child <= 2 * i + 2 && child < n; child++) {
            if (earlier(&heap[child], &heap[least])) {
                least = child;
            }
        }
        if (least == i) {
            return;
        }
        due_t tmp = heap[i];
        heap[i] = heap[least];
        heap[least] = tmp;
        i = least;
    }
}

static uint32_t gcd(uint32_t a, uint32_t b)
{
    while (b) {
        uint32_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* The smallest turns that keep the proportions, or nearly so when there would be too many. */
static uint32_t turns_of(const hap_roster_t *roster, const hap_schedule_t *schedule, due_t *heap)
{
    uint32_t divisor = 0;
    uint64_t total = 0;
    for (uint32_t i = 0; i < schedule->ready_n; i++) {
        uint32_t weight = roster->members[schedule->ready[i]].weight;
        divisor = gcd(weight, divisor);
        total += weight;
    }
    double scale = 1.0 / divisor;
    if (total / divisor > LENGTH_MAX) {
        scale = (double)LENGTH_MAX / (double)total;
    }
    uint32_t length = 0;
    for (uint32_t i = 0; i < schedule->ready_n; i++) {
        uint32_t member = schedule->ready[i];
        uint32_t turns = (uint32_t)(roster->members[member].weight * scale + 0.5);
        turns = turns ? turns : 1;
        heap[i] = (due_t){0.5 / turns, 1.0 / turns, turns, member};
        length += turns;
    }
    return length;
}

static void lay_out(const hap_roster_t *roster, hap_schedule_t *schedule, apr_pool_t *pool)
{
    due_t *heap = apr_palloc(pool, schedule->ready_n * sizeof(*heap));
    uint32_t n = schedule->ready_n;
    schedule->length = turns_of(roster, schedule, heap);
    schedule->turns = apr_palloc(pool, schedule->length * sizeof(uint32_t));
    for (uint32_t i = n / 2; i-- > 0;) {
        sift_down(heap, n, i);
    }
    for (uint32_t turn = 0; turn < schedule->length; turn++) {
        schedule->turns[turn] = heap[0].member;
        heap[0].at += heap[0].step;
        if (--heap[0].left == 0) {
            heap[0] = heap[--n];
        }
        sift_down(heap, n, 0);
    }
}

/* The members of one set that may take new sessions: spares only in place of lost ones. */
static void collect(const hap_roster_t *roster, const hap_shared_t *shared, int lbset,
                    bool standbys, hap_schedule_t *schedule)
{
    const uint32_t unusable = HAP_FLAG_DOWN | HAP_FLAG_SUSPECT | HAP_FLAG_DRAIN | HAP_FLAG_MAINT;
    uint32_t lost = 0;
    for (int spares = 0; spares <= 1; spares++) {
        for (uint32_t i = 0; i < roster->n; i++) {
            const hap_member_t *member = &roster->members[i];
            uint32_t flags = hap_roster_flags(roster, shared, i);
            bool standby = flags & HAP_FLAG_STANDBY;
            if (member->lbset != lbset || member->spare != spares || standby != standbys ||
                member->standing != HAP_STANDING_SERVES) {
                continue;
            }
            if (flags & unusable) {
                lost += !spares;
            } else if (!spares || lost > 0) {
                schedule->ready[schedule->ready_n++] = i;
                schedule->is_ready[i] = true;
                lost -= spares;
            }
        }
    }
}

/* The next higher set, or false when there is none. */
static bool next_set(const hap_roster_t *roster, int *lbset)
{
    bool found = false;
    int next = 0;
    for (uint32_t i = 0; i < roster->n; i++) {
        int set = roster->members[i].lbset;
        if (set > *lbset && (!found || set < next)) {
            next = set;
            found = true;
        }
    }
    *lbset = found ? next : *lbset;
    return found;
}

const hap_schedule_t *hap_schedule_make(const hap_roster_t *roster, const hap_shared_t *shared,
                                        apr_pool_t *pool)
{
    hap_schedule_t *schedule = apr_pcalloc(pool, sizeof(*schedule));
    /* Before the flags: a change in between makes this schedule old at once, never wrongly new. */
    schedule->version = atomic_load(&shared->head->version);
    schedule->roster = roster;
    schedule->ready = apr_palloc(pool, (roster->n ? roster->n : 1) * sizeof(uint32_t));
    schedule->is_ready = apr_pcalloc(pool, (roster->n ? roster->n : 1) * sizeof(bool));
    int lbset = INT32_MIN;
    while (schedule->ready_n == 0 && next_set(roster, &lbset)) {
        collect(roster, shared, lbset, false, schedule);
        if (schedule->ready_n == 0) {
            collect(roster, shared, lbset, true, schedule);
        }
    }
    if (schedule->ready_n > 0) {
        lay_out(roster, schedule, pool);
    }
    return schedule;
}
