/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the frame of every choice: session first, then the method, then whoever is left. */
#include "hap_pick.h"

const char *const hap_pick_whys[HAP_PICK_WHY_COUNT] = {
    [HAP_PICK_SESSION] = "holds the session",
    [HAP_PICK_METHOD] = "chosen by the method",
    [HAP_PICK_STRAY] = "chosen by the session's id, which names no member",
    [HAP_PICK_FAILOVER] = "takes over, the session's member cannot be used",
    [HAP_PICK_LAST_RESORT] = "is under suspicion, but no other member is left",
    [HAP_PICK_NONE] = "no member can be used",
    [HAP_PICK_STRICT] = "the session's member cannot be used and failover=strict",
    [HAP_PICK_FULL] = "every member that could be used is at its max",
};

static const hap_pick_method_t *const methods[] = {
    [HAP_METHOD_ROUND] = &hap_pick_round,
    [HAP_METHOD_LEAST] = &hap_pick_least,
    [HAP_METHOD_LATENCY] = &hap_pick_latency,
    [HAP_METHOD_HASH] = &hap_pick_hash,
};

enum {
    NOT_FOR_NEW = HAP_FLAG_DOWN | HAP_FLAG_SUSPECT | HAP_FLAG_DRAIN | HAP_FLAG_MAINT,
    NOT_FOR_SESSIONS = HAP_FLAG_DOWN | HAP_FLAG_SUSPECT | HAP_FLAG_MAINT
};

uint64_t hap_pick_redraw(uint64_t draw)
{
    draw ^= draw << 13;
    draw ^= draw >> 7;
    return draw ^ (draw << 17);
}

static uint32_t flags_of(const hap_selector_t *selector, uint32_t member)
{
    return hap_shared_flags_of(selector->shared, selector->roster->members[member].slot);
}

static bool was_tried(const hap_pick_request_t *request, uint32_t member)
{
    for (uint32_t i = 0; i < request->tried_n; i++) {
        if (request->tried[i] == member) {
            return true;
        }
    }
    return false;
}

static bool is_full(const hap_selector_t *selector, uint32_t member)
{
    uint32_t slot = selector->roster->members[member].slot;
    return selector->policy->max && hap_shared_sum(selector->shared, slot) >= selector->policy->max;
}

/* Whether a member could be used, its max= aside. */
static bool is_open(const hap_selector_t *selector, const hap_pick_request_t *request,
                    uint32_t member, uint32_t unusable)
{
    return !(flags_of(selector, member) & unusable) && !was_tried(request, member);
}

bool hap_pick_eligible(const hap_selector_t *selector, const hap_pick_request_t *request,
                       uint32_t member)
{
    return is_open(selector, request, member, NOT_FOR_NEW) && !is_full(selector, member);
}

bool hap_pick_ramped(const hap_selector_t *selector, const hap_pick_request_t *request,
                     uint32_t member)
{
    if (!(flags_of(selector, member) & HAP_FLAG_RAMP)) {
        return true;
    }
    const hap_slot_t *slot = &selector->shared->slots[selector->roster->members[member].slot];
    int64_t passed = request->now_us - atomic_load(&slot->up_since_us);
    apr_interval_time_t whole = selector->policy->slow_start;
    if (passed < 0 || passed >= whole) {
        return true;
    }
    uint64_t chance = hap_pick_redraw(request->draw ^ ((uint64_t)member << 32)) % (uint64_t)whole;
    return chance < (uint64_t)passed;
}

/** What looking through all members found. */
typedef struct found_t {
    int member; /* best one, or -1 */
    int lbset;  /* its set */
    bool standby;
    bool full; /* somebody was passed over only because of max= */
} found_t;

static bool is_better(const found_t *best, int lbset, bool standby)
{
    return best->member < 0 || lbset < best->lbset ||
           (lbset == best->lbset && best->standby && !standby);
}

/* The last way: looks at everybody, from a random place on, so that it is nobody's burden. */
static found_t look_through(const hap_selector_t *selector, const hap_pick_request_t *request,
                            uint32_t unusable)
{
    const hap_roster_t *roster = selector->roster;
    found_t best = {.member = -1};
    uint32_t start = roster->n ? (uint32_t)(request->draw % roster->n) : 0;
    for (uint32_t k = 0; k < roster->n; k++) {
        uint32_t i = (start + k) % roster->n;
        if (!is_open(selector, request, i, unusable)) {
            continue;
        }
        if (is_full(selector, i)) {
            best.full = true;
            continue;
        }
        bool standby = flags_of(selector, i) & HAP_FLAG_STANDBY;
        if (is_better(&best, roster->members[i].lbset, standby)) {
            best.member = (int)i;
            best.lbset = roster->members[i].lbset;
            best.standby = standby;
        }
    }
    return best;
}

/*
 * A session that has no member it could go to (its own cannot be used, was taken out, or never was
 * named) must not meet another one with each request: it goes by its id, so that all its requests,
 * parallel ones too, meet the same member as long as the same are ready.
 */
int hap_pick_by_session(const hap_selector_t *selector, const hap_pick_request_t *request)
{
    const hap_schedule_t *schedule = selector->schedule;
    if (request->session.n == 0 || schedule->length == 0) {
        return -1;
    }
    uint64_t hash = hap_str_hash(request->session);
    uint32_t member = schedule->turns[hash % schedule->length];
    return hap_pick_eligible(selector, request, member) ? (int)member : -1;
}

static hap_pick_t pick_new(const hap_selector_t *selector, const hap_pick_request_t *request,
                           hap_pick_why_t why)
{
    int member = methods[selector->policy->method]->choose(selector, request);
    if (member >= 0) {
        return (hap_pick_t){member, why};
    }
    found_t usable = look_through(selector, request, NOT_FOR_NEW);
    if (usable.member >= 0) {
        return (hap_pick_t){usable.member, why};
    }
    if (usable.full) {
        return (hap_pick_t){-1, HAP_PICK_FULL};
    }
    /* Suspicion is no verdict: the last members are never taken out by it. */
    found_t suspect = look_through(selector, request, NOT_FOR_NEW & ~HAP_FLAG_SUSPECT);
    if (suspect.member >= 0) {
        return (hap_pick_t){suspect.member, HAP_PICK_LAST_RESORT};
    }
    return (hap_pick_t){-1, suspect.full ? HAP_PICK_FULL : HAP_PICK_NONE};
}

/*
 * Where only suspicion keeps a session from its member and there is nobody better, it stays: it
 * gains nothing with another suspect.
 */
static hap_pick_t pick_failover(const hap_selector_t *selector, const hap_pick_request_t *request)
{
    uint32_t member = (uint32_t)request->wanted;
    uint32_t verdicts = NOT_FOR_SESSIONS & ~(uint32_t)HAP_FLAG_SUSPECT;
    int other = hap_pick_by_session(selector, request);
    hap_pick_t pick = other >= 0 ? (hap_pick_t){other, HAP_PICK_FAILOVER}
                                 : pick_new(selector, request, HAP_PICK_FAILOVER);
    bool better = pick.why == HAP_PICK_FAILOVER || pick.why == HAP_PICK_FULL;
    if (better || !is_open(selector, request, member, verdicts) || is_full(selector, member)) {
        return pick;
    }
    return (hap_pick_t){request->wanted, HAP_PICK_SESSION};
}

static hap_pick_t pick_strict(const hap_selector_t *selector, const hap_pick_request_t *request)
{
    uint32_t member = (uint32_t)request->wanted;
    uint32_t verdicts = NOT_FOR_SESSIONS & ~(uint32_t)HAP_FLAG_SUSPECT;
    if (!is_open(selector, request, member, verdicts)) {
        return (hap_pick_t){-1, HAP_PICK_STRICT};
    }
    return (hap_pick_t){request->wanted, HAP_PICK_SESSION};
}

/*
 * Failed requests may be one client's doing, so they do not cost others their sessions; a member
 * that nobody can connect to has no sessions to keep.
 */
static uint32_t not_for_session(const hap_selector_t *selector, uint32_t member)
{
    if (!(flags_of(selector, member) & HAP_FLAG_SUSPECT)) {
        return NOT_FOR_SESSIONS;
    }
    const hap_slot_t *slot = &selector->shared->slots[selector->roster->members[member].slot];
    uint32_t suspicion = atomic_load_explicit(&slot->suspicion, memory_order_relaxed);
    return suspicion == HAP_SUSPICION_ERRORS ? NOT_FOR_SESSIONS & ~(uint32_t)HAP_FLAG_SUSPECT
                                             : NOT_FOR_SESSIONS;
}

hap_pick_t hap_pick(const hap_selector_t *selector, const hap_pick_request_t *request)
{
    if (request->wanted < 0) {
        int other = hap_pick_by_session(selector, request);
        return other >= 0 ? (hap_pick_t){other, HAP_PICK_STRAY}
                          : pick_new(selector, request, HAP_PICK_METHOD);
    }
    uint32_t member = (uint32_t)request->wanted;
    if (is_open(selector, request, member, not_for_session(selector, member))) {
        /* A session waits for its own member; elsewhere there is nothing for it. */
        return is_full(selector, member) ? (hap_pick_t){-1, HAP_PICK_FULL}
                                         : (hap_pick_t){request->wanted, HAP_PICK_SESSION};
    }
    if (selector->policy->failover == HAP_FAILOVER_STRICT) {
        return pick_strict(selector, request);
    }
    return pick_failover(selector, request);
}
