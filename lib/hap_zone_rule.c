/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the rule of records. Does not compare copies of a record: hap_zone_compare does, and its
 * caller brings the newest.
 */
#include "hap_zone_rule.h"

/* What is stored, as a wish sees it: the columns of the table in the header. */
typedef enum seen_t {
    SEEN_NONE,
    SEEN_TOMBSTONE,
    SEEN_SAME,  /* e == w, or w == 0 and the same owner */
    SEEN_NEWER, /* e > w, else */
    SEEN_OLDER, /* e < w */
    SEEN_KINDS
} seen_t;

/* A cell of the table: a verdict, or the question that decides between two. */
typedef enum cell_t {
    NONE,
    GONE,
    KEEP,
    LOST,
    FENCED,
    STORE,
    IF_FRESH, /* STORE, else UNISSUED */
    IF_SAME,  /* KEEP, else FENCED */
    IF_EARLY, /* STORE, else KEEP; so are all below */
    IF_RISES,
    IF_GAINS,
    IF_MOVES
} cell_t;

/* clang-format off */
static const cell_t table[HAP_ZONE_WRITE][SEEN_KINDS] = {
    /*                   none      tombstone  same      newer    older */
    [HAP_ZONE_LOOK]  = { NONE,     GONE,      KEEP,     KEEP,    LOST  },
    [HAP_ZONE_ISSUE] = { IF_FRESH, GONE,      KEEP,     KEEP,    KEEP  },
    [HAP_ZONE_PUT]   = { IF_FRESH, GONE,      IF_RISES, FENCED,  STORE },
    [HAP_ZONE_TOUCH] = { NONE,     GONE,      IF_GAINS, FENCED,  NONE  },
    [HAP_ZONE_DEL]   = { STORE,    IF_EARLY,  STORE,    STORE,   STORE },
    [HAP_ZONE_TAKE]  = { NONE,     GONE,      IF_MOVES, IF_SAME, LOST  },
};
/* clang-format on */

const char *hap_zone_verdict_why(hap_zone_verdict_t verdict)
{
    static const char *const why[] = {
#define HAP_ZONE_VERDICT(name, text) [HAP_ZONE_##name] = text,
        HAP_ZONE_VERDICTS(HAP_ZONE_VERDICT)
#undef HAP_ZONE_VERDICT
    };
    return why[verdict];
}

/* --- judging --- */

static uint64_t higher(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* e == w. For a state, or a sign of life, it has to be the same owner's too; a request that was
 * sent under none is of a session that was new, so of its first epoch. Others who know of no epoch
 * ask for their own record. */
static bool is_same(const hap_zone_record_t *now, const hap_zone_wish_t *wish)
{
    bool owners = hap_str_eq(now->owner, wish->owner);
    if (wish->act == HAP_ZONE_PUT || wish->act == HAP_ZONE_TOUCH) {
        return owners && now->epoch == higher(wish->epoch, 1);
    }
    return wish->epoch == 0 ? owners : now->epoch == wish->epoch;
}

static seen_t see(const hap_zone_record_t *now, const hap_zone_wish_t *wish)
{
    bool by_version = wish->act == HAP_ZONE_LOOK || wish->act == HAP_ZONE_TAKE;
    if (!now) {
        return SEEN_NONE;
    }
    if (now->tombstone) {
        return SEEN_TOMBSTONE;
    }
    if (now->epoch < wish->epoch ||
        (by_version && now->epoch == wish->epoch && now->version < wish->version)) {
        return SEEN_OLDER;
    }
    return is_same(now, wish) ? SEEN_SAME : SEEN_NEWER;
}

static bool has_ttl(const hap_zone_wish_t *wish)
{
    return wish->ttl_s > 0 && wish->act != HAP_ZONE_TAKE && wish->act != HAP_ZONE_DEL &&
           wish->act != HAP_ZONE_ERASE;
}

/* What is wished, else what is left, else the usual. */
static uint32_t ttl_of(const hap_zone_record_t *now, const hap_zone_wish_t *wish)
{
    if (has_ttl(wish)) {
        return wish->ttl_s < HAP_ZONE_TTL_S_MAX ? wish->ttl_s : HAP_ZONE_TTL_S_MAX;
    }
    return now ? hap_zone_rest_s(now, wish->now_s) : HAP_ZONE_TTL_S;
}

/* A touch in every answer costs a write for each eighth of a session's life. An age that cannot be
 * says that a clock was set: then the new one is written down. */
static bool gains(const hap_zone_record_t *now, const hap_zone_wish_t *wish)
{
    if (!hap_zone_age_makes_sense(now, wish->now_s)) {
        return true;
    }
    int64_t ttl_s = ttl_of(now, wish);
    int64_t age_s = wish->now_s - now->stored_s;
    return HAP_ZONE_TOUCH_PART * (ttl_s - (now->ttl_s - age_s)) >= ttl_s;
}

static hap_zone_verdict_t store_if(bool holds, hap_zone_verdict_t otherwise)
{
    return holds ? HAP_ZONE_STORE : otherwise;
}

static hap_zone_verdict_t judge(cell_t cell, const hap_zone_record_t *now,
                                const hap_zone_wish_t *wish)
{
    switch (cell) {
    case NONE:
        return HAP_ZONE_NONE;
    case GONE:
        return HAP_ZONE_GONE;
    case KEEP:
        return HAP_ZONE_KEEP;
    case LOST:
        return HAP_ZONE_LOST;
    case FENCED:
        return HAP_ZONE_FENCED;
    case STORE:
        return HAP_ZONE_STORE;
    case IF_FRESH:
        return store_if(wish->fresh, HAP_ZONE_UNISSUED);
    case IF_SAME:
        return hap_str_eq(now->owner, wish->owner) ? HAP_ZONE_KEEP : HAP_ZONE_FENCED;
    case IF_EARLY:
        return store_if(now->epoch < wish->epoch, HAP_ZONE_KEEP);
    case IF_RISES:
        return store_if(wish->version > now->version, HAP_ZONE_KEEP);
    case IF_GAINS:
        return store_if(gains(now, wish), HAP_ZONE_KEEP);
    case IF_MOVES:
        return store_if(!hap_str_eq(now->owner, wish->owner), HAP_ZONE_KEEP);
    }
    return HAP_ZONE_KEEP;
}

/* --- what is stored --- */

static void make_issue(hap_zone_record_t *next, const hap_zone_wish_t *wish)
{
    next->epoch = higher(wish->epoch, 1);
    next->owner = wish->owner;
}

static void make_put(hap_zone_record_t *next, const hap_zone_wish_t *wish)
{
    next->epoch = higher(higher(next->epoch, wish->epoch), 1);
    next->version = wish->version;
    next->owner = wish->owner;
    next->data = wish->data;
}

/* Newer than the copy that a node has kept which does not get this one; and random, so that two
 * touches at once are told apart. */
static void make_touch(hap_zone_record_t *next, const hap_zone_record_t *now,
                       const hap_zone_wish_t *wish)
{
    uint32_t step = 1 + wish->tie % 128;
    next->tie = now->tie < UINT32_MAX - step ? now->tie + step : UINT32_MAX;
}

static void make_take(hap_zone_record_t *next, const hap_zone_wish_t *wish)
{
    next->epoch++;
    next->owner = wish->owner;
}

/* Version 0 is what tells a session's tombstone from that of other data, which has one. */
static void make_end(hap_zone_record_t *next, const hap_zone_wish_t *wish, bool session)
{
    next->tombstone = true;
    next->data = hap_strn(NULL, 0);
    next->ttl_s = next->ttl_s > HAP_ZONE_TOMBSTONE_S_MIN ? next->ttl_s : HAP_ZONE_TOMBSTONE_S_MIN;
    if (session) {
        next->epoch = higher(next->epoch, wish->epoch) + 1;
        next->version = 0;
        next->owner = hap_strn(NULL, 0);
    } else {
        next->version++;
    }
}

/* A tombstone is newer than any version of its epoch. */
static void make_write(hap_zone_record_t *next, const hap_zone_wish_t *wish)
{
    next->epoch = next->tombstone ? next->epoch + 1 : higher(next->epoch, 1);
    next->version++;
    next->tombstone = false;
    next->data = wish->data;
}

/* Begins with what there is. */
static void make(hap_zone_record_t *next, const hap_zone_record_t *now, const hap_zone_wish_t *wish)
{
    hap_zone_record_t made = {.epoch = 0};
    if (now) {
        made = *now;
    }
    made.ttl_s = ttl_of(now, wish);
    made.stored_s = wish->now_s;
    made.tie = wish->tie;
    switch (wish->act) {
    case HAP_ZONE_ISSUE:
        make_issue(&made, wish);
        break;
    case HAP_ZONE_PUT:
        make_put(&made, wish);
        break;
    case HAP_ZONE_TOUCH:
        make_touch(&made, now, wish);
        break;
    case HAP_ZONE_TAKE:
        make_take(&made, wish);
        break;
    case HAP_ZONE_DEL:
    case HAP_ZONE_ERASE:
        make_end(&made, wish, wish->act == HAP_ZONE_DEL || wish->session);
        break;
    case HAP_ZONE_WRITE:
        make_write(&made, wish);
        break;
    case HAP_ZONE_LOOK:
    case HAP_ZONE_ACTS:
        break;
    }
    *next = made;
}

/* --- WRITE and ERASE --- */

static bool holds(const hap_zone_record_t *now, const hap_zone_wish_t *wish)
{
    bool live = now && !now->tombstone;
    switch (wish->condition) {
    case HAP_ZONE_ABSENT:
        return !live;
    case HAP_ZONE_PRESENT:
        return live;
    case HAP_ZONE_MATCH:
        return live && now->epoch == wish->epoch && now->version == wish->version &&
               now->tie == wish->match_tie;
    case HAP_ZONE_ANY:
        break;
    }
    return true;
}

static hap_zone_verdict_t judge_data(const hap_zone_record_t *now, const hap_zone_wish_t *wish)
{
    if (now && now->tombstone && now->version == 0) {
        return HAP_ZONE_GONE;
    }
    if (!holds(now, wish)) {
        return HAP_ZONE_UNMET;
    }
    bool live = now && !now->tombstone;
    return wish->act == HAP_ZONE_ERASE && !live ? HAP_ZONE_NONE : HAP_ZONE_STORE;
}

/* --- */

hap_zone_verdict_t hap_zone_decide(hap_zone_record_t *next, const hap_zone_record_t *now,
                                   const hap_zone_wish_t *wish)
{
    hap_zone_verdict_t verdict;
    if (wish->act >= HAP_ZONE_WRITE) {
        verdict = judge_data(now, wish);
    } else if (wish->act == HAP_ZONE_PUT && wish->alone && now && !now->tombstone) {
        verdict = HAP_ZONE_UNMET;
    } else {
        verdict = judge(table[wish->act][see(now, wish)], now, wish);
    }
    if (verdict == HAP_ZONE_STORE) {
        make(next, now, wish);
    }
    return verdict;
}
