/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the way from an exchange to the store and back. */
#include "mh_lane_zone.h"

#include <stdlib.h>

#include "mh_visit.h"

/** Where the visit stands. */
typedef enum stage_t {
    NEW,     /* who has the session was not asked yet */
    FINDING, /* that is being asked */
    FOUND,   /* a member may be chosen */
    SENDING, /* one was, and what he is told is being asked */
    SENT,    /* and is known */
    HEARING, /* what he says is being stored */
    HEARD    /* and is */
} stage_t;

enum { FEW_BYTES = 128 /* an epoch and a word */ };

struct mh_lane_zone_t {
    mh_visit_t visit;
    ml_exchange_t *x; /* NULL: it has ended */
    mh_lane_stores_t *stores;
    stage_t stage;
    bool runs;   /* an operation does */
    char *extra; /* what x->extra borrows: `few`, or from the heap */
    char few[FEW_BYTES];
};

static void free_extra(mh_lane_zone_t *zone)
{
    if (zone->extra != zone->few) {
        free(zone->extra);
    }
    zone->extra = zone->few;
}

static void discard(mh_lane_zone_t *zone)
{
    mh_visit_end(&zone->visit);
    free_extra(zone);
    free(zone);
}

/* The operation, and those that follow from it. True if all have ended. */
static bool run(mh_lane_zone_t *zone)
{
    mh_visit_t *visit = &zone->visit;
    zone->runs = true;
    while (mh_lane_stores_run(zone->stores, visit->zone, &visit->op)) {
        if (!mh_visit_ran(visit)) {
            zone->runs = false;
            return true;
        }
    }
    return false;
}

/* What the visit borrows is gone with the exchange: then there is no next step. */
static void on_done(hapstore_op_t *op)
{
    mh_lane_zone_t *zone = ML_OWNER(op, mh_lane_zone_t, visit.op);
    mh_visit_t *visit = &zone->visit;
    if (mh_lane_stores_ended(zone->stores)) {
        return;
    }
    zone->runs = false;
    if (!zone->x) {
        mh_zone_note(visit->zone, &visit->op_key, op);
        discard(zone);
    } else if (!mh_visit_ran(visit) || run(zone)) {
        zone->stage++;
        ml_exchange_resume(zone->x);
    }
}

static uint64_t body_bytes(const hap_http1_head_t *head)
{
    return head->framing == HAP_FRAMING_CHUNKED  ? UINT64_MAX
           : head->framing == HAP_FRAMING_LENGTH ? head->length
                                                 : 0;
}

mh_lane_zone_t *mh_lane_zone_begin(ml_exchange_t *x, mh_lane_stores_t *stores, mh_choice_t *choice)
{
    const mh_zone_t *of = mh_zone_of(choice->app);
    mh_lane_zone_t *zone = of ? malloc(sizeof(*zone)) : NULL;
    uint64_t bytes = body_bytes(&ml_exchange_head(x)->head);
    if (!zone || !mh_visit_begin(&zone->visit, choice, mh_lane_store(stores, of), bytes)) {
        free(zone);
        return NULL;
    }
    zone->visit.op.done = on_done;
    zone->x = x;
    zone->stores = stores;
    zone->stage = NEW;
    zone->runs = false;
    zone->extra = zone->few;
    if (ml_exchange_head(x)->head.zone) {
        mh_zone_count(zone->visit.zone, MH_ZONE_STRIPPED, 1);
    }
    return zone;
}

/* True if nothing has to be waited for: then the stage is the one after. */
static bool go(mh_lane_zone_t *zone, stage_t stage, bool runs)
{
    bool over = !runs || run(zone);
    zone->stage = over ? stage + 1 : stage;
    return over;
}

bool mh_lane_zone_find(mh_lane_zone_t *zone)
{
    if (zone->stage == NEW) {
        return go(zone, FINDING, mh_visit_find(&zone->visit));
    }
    mh_visit_find_again(&zone->visit);
    return true;
}

static char *append(char *at, hap_str_t text)
{
    memcpy(at, text.p, text.n);
    return at + text.n;
}

/* With the colon, the blank and the line's end. */
static size_t line_bytes(const hap_zone_line_t *line)
{
    return strlen(line->name) + line->value.n + 4;
}

/* Without memory the instance is told nothing, and asks for the state if it needs it. */
static void set_extra(mh_lane_zone_t *zone)
{
    const mh_visit_t *visit = &zone->visit;
    char fence[MH_FENCE_BYTES];
    hap_str_t line = mh_choice_fence_line(fence, visit->choice);
    size_t bytes = line.n;
    for (unsigned i = 0; i < visit->lines_n; i++) {
        bytes += line_bytes(&visit->lines[i]);
    }
    free_extra(zone);
    zone->extra = bytes > FEW_BYTES ? malloc(bytes) : zone->few;
    char *at = zone->extra ? append(zone->extra, line) : NULL;
    for (unsigned i = 0; at && i < visit->lines_n; i++) {
        at = append(at, hap_str(visit->lines[i].name));
        at = append(at, HAP_STR_LIT(": "));
        at = append(at, visit->lines[i].value);
        at = append(at, HAP_STR_LIT("\r\n"));
    }
    zone->x->extra = hap_strn(zone->extra, at ? bytes : 0);
}

bool mh_lane_zone_send(mh_lane_zone_t *zone)
{
    if (!go(zone, SENDING, mh_visit_send(&zone->visit))) {
        return false;
    }
    set_extra(zone);
    zone->stage = FOUND;
    return true;
}

bool mh_lane_zone_is_elsewhere(mh_lane_zone_t *zone)
{
    if (zone->stage != SENT || !zone->visit.elsewhere) {
        return false;
    }
    zone->stage = FOUND;
    return true;
}

bool mh_lane_zone_is_sent(mh_lane_zone_t *zone)
{
    if (zone->stage != SENT) {
        return false;
    }
    set_extra(zone);
    zone->stage = FOUND;
    return true;
}

static bool hear(mh_lane_zone_t *zone, const hap_http1_answer_t *answer)
{
    mh_visit_t *visit = &zone->visit;
    mh_visit_hear_begin(visit);
    for (unsigned i = 0; i < answer->head.fields_n; i++) {
        const hap_field_t *field = &answer->head.fields[i];
        if (field->id == HAP_FIELD_ZONE) {
            mh_visit_hear(visit, field->name, field->value);
        } else if (field->id == HAP_FIELD_SET_COOKIE) {
            mh_visit_hear_cookie(visit, field->value);
        }
    }
    return mh_visit_hear_end(visit, ml_exchange_is_idempotent(zone->x));
}

ml_heard_t mh_lane_zone_heard(mh_lane_zone_t *zone, const hap_http1_answer_t *answer)
{
    static const ml_heard_t ends[] = {
        [MH_VERDICT_PASS] = ML_HEARD_PASS,
        [MH_VERDICT_AGAIN] = ML_HEARD_AGAIN,
        [MH_VERDICT_REFUSE] = ML_HEARD_REFUSE,
    };
    if (zone->stage != HEARD && !go(zone, HEARING, hear(zone, answer))) {
        return ML_HEARD_LATER;
    }
    zone->stage = FOUND;
    return ends[zone->visit.verdict];
}

void mh_lane_zone_end(mh_lane_zone_t *zone)
{
    if (!zone) {
        return;
    }
    zone->x = NULL;
    if (!zone->runs) {
        discard(zone);
    }
}
