/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the steps of a visit before its request is sent. Each ends with nothing more to do, or with
 * an operation on the store and the step that comes after it.
 */
#include "mh_visit_int.h"

#include <stdlib.h>

/* The session's id as the application calls it. */
static hap_str_t clients_id(const hap_affinity_t *session)
{
    return session->verdict == HAP_AFFINITY_FOUND ? session->id : hap_affinity_cut(session->value);
}

/* The state of one of several sessions might be taken for another's. */
bool mh_visit_begin(mh_visit_t *visit, mh_choice_t *choice, hapstore_t *store, uint64_t body_bytes)
{
    mh_zone_t *zone = mh_zone_of(choice->app);
    if (!zone || !(choice->app->zone_kinds & HAP_ZONE_USER) || choice->doubtful) {
        return false;
    }
    hap_str_t sid = clients_id(&choice->session);
    *visit = (mh_visit_t){.zone = zone, .choice = choice, .store = store};
    visit->single = body_bytes > MH_VISIT_BODY_BYTES;
    if (sid.n > 0 && sid.n <= HAP_ZONE_SID_BYTES_MAX) {
        visit->sid = sid;
        visit->key = mh_zone_key(zone, sid);
    }
    return true;
}

void mh_visit_end(mh_visit_t *visit)
{
    hapstore_op_clear(&visit->op);
    free(visit->room);
    if (!visit->lent) {
        free(visit->said);
    }
    free(visit->state);
}

/* --- operations ------------------------------------------------------------------------------- */

const char *mh_visit_member(const mh_visit_t *visit)
{
    return mh_choice_member(visit->choice)->name;
}

void mh_visit_count(mh_visit_t *visit, mh_zone_count_t what)
{
    mh_zone_count(visit->zone, what, 1);
}

/* Without a store it is as if none of its nodes could be reached. True if the operation is to be
 * run. */
bool mh_visit_run(mh_visit_t *visit, hap_str_t sid, hap_zone_wish_t wish,
                  bool (*then)(mh_visit_t *visit))
{
    hapstore_op_clear(&visit->op);
    visit->op = (hapstore_op_t){.wish = wish, .done = visit->op.done};
    visit->op_key = mh_zone_key(visit->zone, sid);
    visit->then = then;
    if (visit->store && mh_zone_name(visit->zone, visit->op.name, sid)) {
        return true;
    }
    visit->op.end = HAPSTORE_UNREACHED;
    return mh_visit_ran(visit);
}

bool mh_visit_ran(mh_visit_t *visit)
{
    mh_zone_note(visit->zone, &visit->op_key, &visit->op);
    return visit->then(visit);
}

/* --- who has the session ---------------------------------------------------------------------- */

static int member_of_owner(const mh_choice_t *choice, uint32_t owner)
{
    const hap_roster_t *roster = mh_choice_lineup(choice)->roster;
    for (int i = 0; i < (int)roster->n; i++) {
        if (mh_zone_owner(roster->members[i].route) == owner) {
            return i;
        }
    }
    return -1;
}

/* A session that lives is with the member that the cookie names. */
static bool cookie_agrees(const mh_visit_t *visit)
{
    const hap_affinity_t *session = &visit->choice->session;
    return visit->known.state != HAP_ZONE_KNOWN_LIVE ||
           (session->member >= 0 && mh_zone_owner(session->route) == visit->known.owner);
}

/* The owner counts before the cookie: a client whose cookie is from before a failover does not move
 * the session back. And what is known now, before what was known when one was preferred. */
void mh_visit_prefer_owner(mh_visit_t *visit)
{
    bool moved = visit->is_known && (visit->choice->preferred || !cookie_agrees(visit));
    int owner = moved ? member_of_owner(visit->choice, visit->known.owner) : -1;
    if (owner >= 0) {
        mh_choice_prefer(visit->choice, owner);
    }
}

/* What is remembered is of the owner that the session began with, no store has anything newer, and
 * the cookie names another one: so another proxy has moved the session since. */
static bool has_moved(const mh_visit_t *visit)
{
    return visit->is_known && visit->known.epoch == 1 && !cookie_agrees(visit) &&
           visit->choice->session.member >= 0;
}

static void believe_cookie(mh_visit_t *visit)
{
    visit->known.owner = mh_zone_owner(visit->choice->session.route);
    visit->known.epoch++;
    visit->known.version = 0;
    mh_zone_remember(visit->zone, &visit->key, &visit->known);
}

static bool found(mh_visit_t *visit)
{
    const hapstore_op_t *op = &visit->op;
    bool lost = op->verdict == HAP_ZONE_LOST;
    visit->unreached = op->end != HAPSTORE_DONE;
    if (!visit->unreached && !lost) {
        visit->is_known = mh_zone_recall(visit->zone, &visit->key, &visit->known);
    }
    if ((visit->unreached || lost || !op->found) && has_moved(visit)) {
        believe_cookie(visit);
    }
    mh_visit_prefer_owner(visit);
    return false;
}

/* A cookie that says otherwise may be from another proxy, which has seen a failover. */
static bool is_fresh(const mh_visit_t *visit)
{
    bool recent = visit->known.age_ms < visit->zone->recheck_ms && cookie_agrees(visit);
    return visit->is_known && (visit->zone->alone || recent);
}

bool mh_visit_find(mh_visit_t *visit)
{
    if (visit->sid.n == 0) {
        return false;
    }
    visit->is_known = mh_zone_recall(visit->zone, &visit->key, &visit->known);
    if (is_fresh(visit)) {
        mh_visit_prefer_owner(visit);
        return false;
    }
    hap_zone_wish_t wish = {.act = HAP_ZONE_LOOK};
    if (visit->is_known) {
        wish.epoch = visit->known.epoch;
        wish.version = visit->known.version;
    }
    return mh_visit_run(visit, visit->sid, wish, found);
}

void mh_visit_find_again(mh_visit_t *visit)
{
    if (visit->sid.n && mh_zone_recall(visit->zone, &visit->key, &visit->known)) {
        visit->is_known = true;
        mh_visit_prefer_owner(visit);
    }
}

/* --- what the member is told ------------------------------------------------------------------ */

static void tell(mh_visit_t *visit, hap_zone_tell_t what, uint64_t epoch,
                 const hap_zone_record_t *record, hap_str_t from)
{
    visit->epoch = epoch;
    if (record && !visit->room) {
        visit->room = malloc(HAP_ZONE_SAY_BYTES);
    }
    char *room = record ? visit->room : visit->few;
    visit->lines_n = room ? hap_zone_say(visit->lines, room, what, epoch, record, from) : 0;
}

static void tell_word(mh_visit_t *visit, hap_zone_tell_t what, uint64_t epoch)
{
    tell(visit, what, epoch, NULL, hap_strn(NULL, 0));
}

static void follow(mh_visit_t *visit)
{
    visit->elsewhere = true;
    mh_visit_prefer_owner(visit);
}

/* The state is older than what was seen of it, or gone from the store: the session begins anew with
 * this member, above every epoch that was. Unless it has it already, and asks; or others have found
 * that out too, and were faster. */
static void begin_anew(mh_visit_t *visit)
{
    hap_zone_known_t *known = &visit->known;
    uint32_t owner = mh_zone_owner(hap_str(mh_visit_member(visit)));
    bool begun = known->epoch > visit->op.wish.epoch;
    bool has = known->owner == owner && (begun || visit->op.verdict == HAP_ZONE_NONE);
    if (begun && !has) {
        follow(visit);
        return;
    }
    if (!has) {
        known->state = HAP_ZONE_KNOWN_LIVE;
        known->owner = owner;
        known->epoch++;
        known->version = 0;
        mh_zone_remember(visit->zone, &visit->key, known);
    }
    tell_word(visit, HAP_ZONE_TELL_NONE, known->epoch);
}

/* Of many requests that find an instance dead the first one moves the session, and the others
 * follow it: were each to move it, all would be fenced but the last. */
static void follow_record(mh_visit_t *visit)
{
    const hap_zone_record_t *record = &visit->op.record;
    visit->known.epoch = record->epoch;
    visit->known.version = record->version;
    visit->known.owner = mh_zone_owner(record->owner);
    follow(visit);
}

static bool taken(mh_visit_t *visit)
{
    const hapstore_op_t *op = &visit->op;
    if (op->end != HAPSTORE_DONE) {
        mh_visit_count(visit,
                       op->end == HAPSTORE_CONFLICT ? MH_ZONE_CONFLICT : MH_ZONE_UNPROTECTED);
        visit->unreached = true;
        /* What it may have from before is stale; but it has not become the owner. */
        tell_word(visit, HAP_ZONE_TELL_ERROR, visit->known.epoch);
        visit->epoch = 0;
        return false;
    }
    visit->is_known = mh_zone_recall(visit->zone, &visit->key, &visit->known) || visit->is_known;
    switch (op->verdict) {
    case HAP_ZONE_STORE:
    case HAP_ZONE_KEEP:
        mh_visit_count(visit, MH_ZONE_RESTORE);
        tell(visit, HAP_ZONE_TELL_RESTORE, op->record.epoch, &op->record, hap_str(op->from));
        break;
    case HAP_ZONE_FENCED:
        follow_record(visit);
        break;
    case HAP_ZONE_GONE:
        tell_word(visit, HAP_ZONE_TELL_GONE, 0);
        break;
    default:
        mh_visit_count(visit, MH_ZONE_UNPROTECTED);
        begin_anew(visit);
        break;
    }
    return false;
}

static bool is_cookies_member(const mh_visit_t *visit)
{
    return hap_str_eq(visit->choice->session.route, hap_str(mh_visit_member(visit)));
}

static bool seen(mh_visit_t *visit)
{
    const hapstore_op_t *op = &visit->op;
    bool done = op->end == HAPSTORE_DONE;
    if (done && op->verdict == HAP_ZONE_GONE) {
        tell_word(visit, HAP_ZONE_TELL_GONE, 0);
    } else if (done && op->found && op->record.epoch > visit->epoch) {
        follow_record(visit);
    } else if (done && op->found && op->record.epoch == visit->epoch) {
        mh_visit_count(visit, MH_ZONE_RESTORE);
        tell(visit, HAP_ZONE_TELL_RESTORE, visit->epoch, &op->record, op->record.owner);
    } else {
        tell_word(visit, done ? HAP_ZONE_TELL_NONE : HAP_ZONE_TELL_ERROR, visit->epoch);
    }
    return false;
}

/* An owner has its state, or asks for it; but what comes with a long body could not be sent again
 * then, now or ever. */
static bool send_owner(mh_visit_t *visit)
{
    const hap_zone_wish_t wish = {
        .act = HAP_ZONE_LOOK,
        .epoch = visit->known.epoch,
        .version = visit->known.version,
    };
    tell_word(visit, HAP_ZONE_TELL_FENCE, visit->known.epoch);
    return visit->single && mh_visit_run(visit, visit->sid, wish, seen);
}

static bool send_live(mh_visit_t *visit)
{
    hap_str_t route = hap_str(mh_visit_member(visit));
    if (visit->known.owner == mh_zone_owner(route) && !visit->missed) {
        return send_owner(visit);
    }
    const hap_zone_wish_t wish = {
        .act = HAP_ZONE_TAKE,
        .epoch = visit->known.epoch,
        .version = visit->known.version,
        .owner = route,
    };
    return mh_visit_run(visit, visit->sid, wish, taken);
}

bool mh_visit_send(mh_visit_t *visit)
{
    visit->lines_n = 0;
    visit->elsewhere = false;
    visit->epoch = 0;
    if (visit->sid.n == 0) {
        return false;
    }
    if (visit->is_known && visit->known.state == HAP_ZONE_KNOWN_LIVE) {
        return send_live(visit);
    }
    if (visit->is_known && visit->known.state == HAP_ZONE_KNOWN_GONE) {
        tell_word(visit, HAP_ZONE_TELL_GONE, 0);
    } else if (visit->unreached) {
        tell_word(visit, HAP_ZONE_TELL_ERROR, 0);
    } else if (visit->missed || !is_cookies_member(visit)) {
        tell_word(visit, HAP_ZONE_TELL_NONE, 0);
    }
    return false;
}
