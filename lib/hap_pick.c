/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the frame of every choice: session first, then the method, then whoever is left. */
#include "hap_pick.h"

const char *const hap_pick_whys[HAP_PICK_WHY_COUNT] = {
    [HAP_PICK_SESSION] = "holds the session",
    [HAP_PICK_METHOD] = "chosen by the method",
    [HAP_PICK_STRAY] = "chosen by the session's id, which names no member",
    [HAP_PICK_FAILOVER] = "takes over, the session's member cannot be used",
    [HAP_PICK_LAST_RESORT] = "is in doubt, but no other member is left",
    [HAP_PICK_NONE] = "no member can be used",
    [HAP_PICK_STRICT] = "the session's member cannot be used and failover=strict",
    [HAP_PICK_FULL] = "every member that could be used is at its max or has stopped to answer",
    [HAP_PICK_INACTIVE] = "no member is active",
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

/*
 * What is forgiven when nobody is left otherwise. Suspicion is no verdict. A verdict is not final
 * where the member answers: a check that asks for the wrong page fails on all members at once, and
 * any answer is better than none from us. Who does not answer probes will not answer requests.
 */
static const uint32_t forgiven_at[] = {0, HAP_FLAG_SUSPECT, HAP_FLAG_SUSPECT | HAP_FLAG_SICK};
enum { RESORTS = sizeof(forgiven_at) / sizeof(forgiven_at[0]) };

uint64_t hap_pick_redraw(uint64_t draw)
{
    draw ^= draw << 13;
    draw ^= draw >> 7;
    return draw ^ (draw << 17);
}

static uint32_t flags_of(const hap_selector_t *selector, uint32_t member)
{
    return hap_roster_flags(selector->roster, selector->shared, member);
}

static bool was_tried(const hap_pick_request_t *request, uint32_t slot)
{
    for (uint32_t i = 0; i < request->tried_n; i++) {
        if (request->tried[i] == slot) {
            return true;
        }
    }
    return false;
}

/* Stalled: its threads are spared for others, so there must be others. */
static bool is_stalled(const hap_selector_t *selector, const hap_pick_request_t *request,
                       uint32_t member)
{
    const hap_schedule_t *schedule = selector->schedule;
    return selector->stalls && schedule->ready_n > (schedule->is_ready[member] ? 1u : 0u) &&
           hap_stall_blocks(selector->stalls, selector->roster->members[member].slot,
                            request->now_us);
}

static bool is_full(const hap_selector_t *selector, const hap_pick_request_t *request,
                    uint32_t member)
{
    uint32_t max = selector->policy->max;
    uint32_t slot = selector->roster->members[member].slot;
    return (max && hap_shared_sum(selector->shared, slot) >= max) ||
           is_stalled(selector, request, member);
}

/* Whether a member could be used, its max= aside. SICK forgiven is DOWN forgiven who answers. */
static bool is_open(const hap_selector_t *selector, const hap_pick_request_t *request,
                    uint32_t member, uint32_t unusable, uint32_t forgiven)
{
    const hap_member_t *self = &selector->roster->members[member];
    uint32_t flags = flags_of(selector, member);
    if (flags & forgiven & HAP_FLAG_SICK) {
        forgiven |= HAP_FLAG_DOWN;
    }
    return self->standing == HAP_STANDING_SERVES && !(flags & unusable & ~forgiven) &&
           !was_tried(request, self->slot);
}

bool hap_pick_eligible(const hap_selector_t *selector, const hap_pick_request_t *request,
                       uint32_t member)
{
    return is_open(selector, request, member, NOT_FOR_NEW, 0) &&
           !is_full(selector, request, member);
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
                            int resort)
{
    const hap_roster_t *roster = selector->roster;
    found_t best = {.member = -1};
    uint32_t start = roster->n ? (uint32_t)(request->draw % roster->n) : 0;
    for (uint32_t k = 0; k < roster->n; k++) {
        uint32_t i = (start + k) % roster->n;
        if (!is_open(selector, request, i, NOT_FOR_NEW, forgiven_at[resort])) {
            continue;
        }
        if (is_full(selector, request, i)) {
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

/* The member that holds the session, with what is forgiven at this resort. */
static bool may_keep(const hap_selector_t *selector, const hap_pick_request_t *request, int resort)
{
    return request->wanted >= 0 && is_open(selector, request, (uint32_t)request->wanted,
                                           NOT_FOR_SESSIONS, forgiven_at[resort]);
}

/*
 * A session whose member is no worse than anybody who is left stays there: it gains nothing with
 * another one in the same state.
 */
static hap_pick_t pick_resort(const hap_selector_t *selector, const hap_pick_request_t *request,
                              hap_pick_why_t why)
{
    found_t found = look_through(selector, request, 0);
    for (int resort = 1; resort < RESORTS && found.member < 0 && !found.full; resort++) {
        if (may_keep(selector, request, resort) &&
            !is_full(selector, request, (uint32_t)request->wanted)) {
            return (hap_pick_t){request->wanted, HAP_PICK_SESSION};
        }
        why = HAP_PICK_LAST_RESORT;
        found = look_through(selector, request, resort);
    }
    if (found.member < 0) {
        why = found.full ? HAP_PICK_FULL : HAP_PICK_NONE;
    }
    return (hap_pick_t){found.member, why};
}

static hap_pick_t pick_any(const hap_selector_t *selector, const hap_pick_request_t *request)
{
    bool bound = request->wanted >= 0;
    int member = hap_pick_by_session(selector, request);
    if (member >= 0) {
        return (hap_pick_t){member, bound ? HAP_PICK_FAILOVER : HAP_PICK_STRAY};
    }
    hap_pick_why_t why = bound ? HAP_PICK_FAILOVER : HAP_PICK_METHOD;
    member = methods[selector->policy->method]->choose(selector, request);
    return member >= 0 ? (hap_pick_t){member, why} : pick_resort(selector, request, why);
}

/* Nobody else may serve it. So suspicion is forgiven at once, and a verdict where all have it. */
static hap_pick_t pick_strict(const hap_selector_t *selector, const hap_pick_request_t *request)
{
    bool keeps = may_keep(selector, request, 1);
    if (!keeps && may_keep(selector, request, RESORTS - 1)) {
        found_t better = look_through(selector, request, 1);
        keeps = better.member < 0 && !better.full;
    }
    if (!keeps) {
        return (hap_pick_t){-1, HAP_PICK_STRICT};
    }
    bool full = is_full(selector, request, (uint32_t)request->wanted);
    return full ? (hap_pick_t){-1, HAP_PICK_FULL} : (hap_pick_t){request->wanted, HAP_PICK_SESSION};
}

/*
 * Failed requests may be one client's doing, and silence a long computation, so they do not cost
 * others their sessions; a member that nobody can connect to has no sessions to keep.
 */
static uint32_t forgiven_for_session(const hap_selector_t *selector, uint32_t member)
{
    if (!(flags_of(selector, member) & HAP_FLAG_SUSPECT)) {
        return 0;
    }
    const hap_slot_t *slot = &selector->shared->slots[selector->roster->members[member].slot];
    uint32_t suspicion = atomic_load_explicit(&slot->suspicion, memory_order_relaxed);
    bool forgiven = suspicion == HAP_SUSPICION_ERRORS || suspicion == HAP_SUSPICION_TIMEOUT ||
                    suspicion == HAP_SUSPICION_SILENCE;
    return forgiven ? HAP_FLAG_SUSPECT : 0;
}

/* Why, where it is not for what is known of members' health. */
static hap_pick_t pick_none_active(const hap_selector_t *selector, hap_pick_t pick)
{
    const hap_roster_t *roster = selector->roster;
    bool active = !roster->kind.single || pick.member >= 0;
    for (uint32_t i = 0; i < roster->n && !active; i++) {
        active = roster->members[i].standing == HAP_STANDING_SERVES;
    }
    return active ? pick : (hap_pick_t){-1, HAP_PICK_INACTIVE};
}

hap_pick_t hap_pick(const hap_selector_t *selector, const hap_pick_request_t *request)
{
    const hap_roster_t *roster = selector->roster;
    if (request->wanted < 0 || roster->members[request->wanted].standing != HAP_STANDING_SERVES) {
        return pick_none_active(selector, pick_any(selector, request));
    }
    uint32_t member = (uint32_t)request->wanted;
    if (is_open(selector, request, member, NOT_FOR_SESSIONS,
                forgiven_for_session(selector, member))) {
        /* A session waits for its own member; elsewhere there is nothing for it. */
        return is_full(selector, request, member) ? (hap_pick_t){-1, HAP_PICK_FULL}
                                                  : (hap_pick_t){request->wanted, HAP_PICK_SESSION};
    }
    if (selector->policy->failover == HAP_FAILOVER_STRICT) {
        return pick_strict(selector, request);
    }
    return pick_any(selector, request);
}
