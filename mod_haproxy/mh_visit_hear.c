/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what becomes of what an instance says with its answer: kept, refused, or a reason to send
 * the request again.
 */
#include <stdlib.h>

#include "hap_cookie.h"
#include "mh_clock.h"
#include "mh_cookie.h"
#include "mh_log.h"
#include "mh_visit_int.h"

enum {
    AGAIN_MAX = 2,       /* a request is sent so often again */
    ISSUED_TTL_S = 7200, /* of a session without a state yet */
    GONE_S = HAP_ZONE_TOMBSTONE_S_MIN
};

static void complain(mh_visit_t *visit, const char *why)
{
    mh_zone_t *zone = visit->zone;
    if (mh_zone_may_say(&zone->refused_ms)) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, zone->app->server,
                     "%s: member %s: a state was not kept: %s", zone->app->name,
                     mh_visit_member(visit), why);
    }
}

static bool refuse_said(mh_visit_t *visit, const char *why)
{
    mh_visit_count(visit, MH_ZONE_REFUSED);
    complain(visit, why);
    return false;
}

/* The instance is not the owner any more, or has lost its memory: the client gets nothing of it. */
static bool turn_down(mh_visit_t *visit, bool repeatable)
{
    bool again = repeatable && visit->agains < AGAIN_MAX;
    visit->agains++;
    visit->verdict = again ? MH_VERDICT_AGAIN : MH_VERDICT_REFUSE;
    mh_visit_prefer_owner(visit);
    return false;
}

static bool fence(mh_visit_t *visit)
{
    mh_visit_count(visit, MH_ZONE_FENCED);
    visit->is_known = mh_zone_recall(visit->zone, &visit->key, &visit->known);
    return turn_down(visit, visit->repeatable);
}

/* What could not be stored was issued all the same: that has to be known when a later state of it
 * can be. */
static void remember_issued(mh_visit_t *visit)
{
    const hap_zone_wish_t *wish = &visit->op.wish;
    if (!wish->fresh || visit->op.end == HAPSTORE_DONE || visit->op.end == HAPSTORE_CONFLICT) {
        return;
    }
    const hap_zone_known_t known = {
        .state = HAP_ZONE_KNOWN_LIVE,
        .owner = mh_zone_owner(wish->owner),
        .epoch = wish->epoch ? wish->epoch : 1,
        .rest_s = wish->ttl_s ? wish->ttl_s : HAP_ZONE_TTL_S,
    };
    mh_zone_remember(visit->zone, &visit->op_key, &known);
}

/* What it came to, in counters; true if the record is as was wished. */
static bool settle(mh_visit_t *visit)
{
    remember_issued(visit);
    switch (visit->op.end) {
    case HAPSTORE_DONE:
        if (visit->op.verdict == HAP_ZONE_UNISSUED) {
            mh_visit_count(visit, MH_ZONE_UNISSUED);
        }
        return visit->op.verdict == HAP_ZONE_STORE || visit->op.verdict == HAP_ZONE_KEEP;
    case HAPSTORE_CONFLICT:
        mh_visit_count(visit, MH_ZONE_CONFLICT);
        mh_visit_count(visit, MH_ZONE_UNPROTECTED);
        break;
    case HAPSTORE_UNREACHED:
        mh_visit_count(visit, MH_ZONE_UNPROTECTED);
        break;
    case HAPSTORE_REFUSED:
        refuse_said(visit, "it is larger than the store takes");
        break;
    }
    return false;
}

/* Whether the operation says that somebody else has the session by now. */
static bool was_fenced(const mh_visit_t *visit)
{
    return visit->op.end == HAPSTORE_DONE && visit->op.verdict == HAP_ZONE_FENCED;
}

/* A logout was faster: what comes of a session that has ended is not kept, but the client may see
 * it. */
static bool put_ended(mh_visit_t *visit)
{
    if (was_fenced(visit)) {
        return fence(visit);
    }
    if (settle(visit)) {
        mh_visit_count(visit, MH_ZONE_PUT);
    } else if (visit->op.end == HAPSTORE_DONE && visit->op.verdict == HAP_ZONE_GONE) {
        mh_visit_count(visit, MH_ZONE_FENCED);
    }
    return false;
}

static bool touch_ended(mh_visit_t *visit)
{
    settle(visit);
    return was_fenced(visit) ? fence(visit) : false;
}

static bool issue_ended(mh_visit_t *visit)
{
    settle(visit);
    return false;
}

/* Even if no store has heard of it, this proxy has. */
static bool del_ended(mh_visit_t *visit)
{
    if (!settle(visit)) {
        const hap_zone_known_t gone = {
            .state = HAP_ZONE_KNOWN_GONE,
            .owner = HAP_ZONE_NOBODY,
            .epoch = visit->epoch + 1,
            .rest_s = GONE_S,
        };
        mh_zone_remember(visit->zone, &visit->op_key, &gone);
    }
    return false;
}

static bool is_own(const mh_visit_t *visit, hap_str_t id)
{
    return id.n > 0 && hap_str_eq(id, visit->sid);
}

static bool is_issued(const mh_visit_t *visit, hap_str_t id)
{
    return id.n > 0 && hap_str_eq(id, visit->issued);
}

/* The id that is meant: that one, or the client's, or the one that was just issued. */
static hap_str_t meant(const mh_visit_t *visit)
{
    if (visit->said->id.n) {
        return visit->said->id;
    }
    return visit->sid.n ? visit->sid : visit->issued;
}

static bool is_remembered(const mh_visit_t *visit, hap_str_t sid)
{
    hap_zone_known_t known;
    const mh_zone_key_t key = mh_zone_key(visit->zone, sid);
    return mh_zone_recall(visit->zone, &key, &known) && known.state != HAP_ZONE_KNOWN_NONE;
}

/* A session that the answer begins is known from here on, with its state or without. */
static bool issue(mh_visit_t *visit)
{
    if (visit->issued.n == 0 || is_remembered(visit, visit->issued)) {
        return false;
    }
    const hap_zone_wish_t wish = {
        .act = HAP_ZONE_ISSUE,
        .owner = hap_str(mh_visit_member(visit)),
        .ttl_s = ISSUED_TTL_S,
        .fresh = true,
    };
    return mh_visit_run(visit, visit->issued, wish, issue_ended);
}

/* What breaks the rules is no state, but the session may have begun all the same. */
static bool refuse_state(mh_visit_t *visit, const char *why)
{
    refuse_said(visit, why);
    return issue(visit);
}

static bool decode(mh_visit_t *visit, size_t *n)
{
    visit->state = visit->state ? visit->state : malloc(HAP_ZONE_STATE_BYTES_MAX);
    return visit->state && hap_zone_said_state(visit->said, visit->state, n);
}

static bool put(mh_visit_t *visit)
{
    const hap_zone_said_t *said = visit->said;
    size_t n;
    hap_str_t id = meant(visit);
    bool own = is_own(visit, id);
    if (id.n == 0) {
        return refuse_said(visit, "it is of no session");
    }
    if (!decode(visit, &n)) {
        return refuse_state(visit, said->why ? said->why : "there is no memory for it");
    }
    bool was_known = visit->is_known && visit->known.state == HAP_ZONE_KNOWN_LIVE;
    const hap_zone_wish_t wish = {
        .act = HAP_ZONE_PUT,
        .epoch = own ? visit->epoch : 0,
        .version = said->version,
        .ttl_s = said->ttl_s,
        .owner = hap_str(mh_visit_member(visit)),
        .data = hap_strn(visit->state, n),
        .fresh = !own || was_known || is_issued(visit, id),
    };
    return mh_visit_run(visit, id, wish, put_ended);
}

static bool touch(mh_visit_t *visit)
{
    uint32_t ttl_s = visit->said->ttl_s;
    hap_zone_known_t known;
    if (!is_own(visit, meant(visit)) || !mh_zone_recall(visit->zone, &visit->key, &known) ||
        ttl_s < known.rest_s + ttl_s / HAP_ZONE_TOUCH_PART) {
        return false;
    }
    const hap_zone_wish_t wish = {
        .act = HAP_ZONE_TOUCH,
        .epoch = visit->epoch,
        .ttl_s = ttl_s,
        .owner = hap_str(mh_visit_member(visit)),
    };
    return mh_visit_run(visit, visit->sid, wish, touch_ended);
}

static bool del(mh_visit_t *visit)
{
    hap_str_t id = meant(visit);
    if (id.n == 0) {
        return refuse_said(visit, "it ends no session");
    }
    const hap_zone_wish_t wish = {
        .act = HAP_ZONE_DEL,
        .epoch = is_own(visit, id) ? visit->epoch : 0,
    };
    return mh_visit_run(visit, id, wish, del_ended);
}

/* --- a session gets a new id: look at the old one, make the new one, end the old one -----------
 */

static bool new_taken_back(mh_visit_t *visit)
{
    del_ended(visit);
    return fence(visit);
}

/* A logout that was faster than the login counts for both ids. */
static bool old_ended(mh_visit_t *visit)
{
    bool was_over = visit->op.end == HAPSTORE_DONE && visit->op.verdict == HAP_ZONE_KEEP;
    if (!was_over) {
        return del_ended(visit);
    }
    const hap_zone_wish_t wish = {.act = HAP_ZONE_DEL};
    return mh_visit_run(visit, visit->said->new_id, wish, new_taken_back);
}

/* Whatever came of the new one: who knows the old id must not have the session. */
static bool new_ended(mh_visit_t *visit)
{
    bool made = settle(visit);
    if (made) {
        mh_visit_count(visit, MH_ZONE_PUT);
    } else if (visit->op.end == HAPSTORE_DONE) {
        refuse_said(visit, "there is a session of the new id already");
    }
    const hap_zone_wish_t wish = {.act = HAP_ZONE_DEL, .epoch = visit->epoch};
    return mh_visit_run(visit, visit->sid, wish, made ? old_ended : del_ended);
}

static bool make_new(mh_visit_t *visit, hap_zone_wish_t wish)
{
    wish.owner = hap_str(mh_visit_member(visit));
    wish.fresh = wish.alone = true;
    return mh_visit_run(visit, visit->said->new_id, wish, new_ended);
}

/* Of a later epoch than that of the request; or, if it had none, of another instance. */
static bool is_others(const mh_visit_t *visit, const hap_zone_record_t *record)
{
    return record->epoch > visit->epoch &&
           (visit->epoch || !hap_str_eq(record->owner, hap_str(mh_visit_member(visit))));
}

static bool old_looked_at(mh_visit_t *visit)
{
    const hap_zone_said_t *said = visit->said;
    hap_zone_record_t record = visit->op.record;
    bool found = visit->op.end == HAPSTORE_DONE && visit->op.found;
    if (found && (record.tombstone || is_others(visit, &record))) {
        return fence(visit);
    }
    size_t n = 0;
    hap_zone_wish_t wish = {.act = HAP_ZONE_PUT, .version = said->version, .ttl_s = said->ttl_s};
    if (said->state && !decode(visit, &n)) {
        return refuse_state(visit, said->why ? said->why : "there is no memory for it");
    }
    if (!said->state && found && record.data.n <= HAP_ZONE_STATE_BYTES_MAX) {
        visit->state = visit->state ? visit->state : malloc(HAP_ZONE_STATE_BYTES_MAX);
        n = visit->state ? record.data.n : 0;
        memcpy(visit->state, record.data.p, n);
        wish.version = record.version;
    }
    wish.ttl_s = wish.ttl_s ? wish.ttl_s : found ? record.ttl_s : ISSUED_TTL_S;
    wish.data = hap_strn(visit->state, n);
    return make_new(visit, wish);
}

static bool rekey(mh_visit_t *visit)
{
    const hap_zone_said_t *said = visit->said;
    if (!is_own(visit, meant(visit)) || is_own(visit, said->new_id)) {
        return refuse_state(visit, "rekey is for the request's own session, to another id");
    }
    return mh_visit_run(visit, visit->sid, (hap_zone_wish_t){.act = HAP_ZONE_LOOK}, old_looked_at);
}

/* --- hearing ---------------------------------------------------------------------------------- */

void mh_visit_hear_begin(mh_visit_t *visit)
{
    visit->verdict = MH_VERDICT_PASS;
    visit->issued = hap_strn(NULL, 0);
    if (!visit->lent) {
        free(visit->said);
    }
    visit->said = NULL;
    visit->lent = false;
}

void mh_visit_hear_said(mh_visit_t *visit, hap_zone_said_t *said)
{
    visit->said = said;
    visit->lent = said != NULL;
}

void mh_visit_hear(mh_visit_t *visit, hap_str_t name, hap_str_t value)
{
    if (!visit->said) {
        visit->said = malloc(sizeof(*visit->said));
        if (!visit->said) {
            return;
        }
        hap_zone_said_begin(visit->said);
    }
    hap_zone_said_add(visit->said, name, value);
}

void mh_visit_hear_cookie(mh_visit_t *visit, hap_str_t value)
{
    hap_str_t set;
    if (visit->issued.n == 0 && mh_cookie_is_sessions(visit->choice, value) &&
        hap_cookie_is_set(&set, value)) {
        visit->issued = hap_affinity_cut(set);
    }
}

/* It was not processed, so that it may be sent again whatever it is; but only once. */
static bool miss(mh_visit_t *visit)
{
    bool first = visit->sid.n > 0 && !visit->missed;
    mh_visit_count(visit, MH_ZONE_MISS);
    visit->missed = true;
    visit->is_known = mh_zone_recall(visit->zone, &visit->key, &visit->known);
    return turn_down(visit, first);
}

/* Somebody else has had the session since the request was sent. */
static bool is_overtaken(mh_visit_t *visit)
{
    hap_zone_known_t now;
    return visit->epoch && mh_zone_recall(visit->zone, &visit->key, &now) &&
           now.state == HAP_ZONE_KNOWN_LIVE && now.epoch > visit->epoch;
}

static bool obey(mh_visit_t *visit)
{
    switch (visit->said->word) {
    case HAP_ZONE_SAYS_PUT:
        return put(visit);
    case HAP_ZONE_SAYS_TOUCH:
        return touch(visit);
    case HAP_ZONE_SAYS_DEL:
        return del(visit);
    case HAP_ZONE_SAYS_REKEY:
        return rekey(visit);
    case HAP_ZONE_SAYS_NOTHING:
    case HAP_ZONE_SAYS_MISS:
        break;
    }
    return issue(visit);
}

bool mh_visit_hear_end(mh_visit_t *visit, bool repeatable)
{
    hap_zone_said_t *said = visit->said;
    bool valid = said && hap_zone_said_end(said);
    visit->repeatable = repeatable;
    if (valid && said->word == HAP_ZONE_SAYS_MISS) {
        return miss(visit);
    }
    if (is_overtaken(visit)) {
        return fence(visit);
    }
    if (said && !valid) {
        return refuse_state(visit, said->why);
    }
    return valid ? obey(visit) : issue(visit);
}
