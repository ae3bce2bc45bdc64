/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what one request has to do with the zone of its session, on the standard path and in the
 * lane alike: who has the session, what its instance is told of it, and what becomes of what the
 * instance says (doc/zones.md, L1). Never waits: where the store has to be asked it says so, and
 * its caller runs `op` in his own way.
 *
 *      mh_visit_find     before a member is chosen
 *      mh_visit_send     each time that one was chosen
 *      mh_visit_hear_*   when the head of his answer is there
 *      mh_visit_ran      after each operation
 */
#ifndef MH_VISIT_H
#define MH_VISIT_H

#include "hap_zone_field.h"
#include "mh_choice.h"
#include "mh_zone.h"

/** What is to be done with an answer. */
typedef enum mh_verdict_t {
    MH_VERDICT_PASS,
    MH_VERDICT_AGAIN, /* the request is to be sent again, if it can be, else REFUSE */
    MH_VERDICT_REFUSE /* 503 */
} mh_verdict_t;

/** One request's visit. Its thread only, but for `op` while it runs. Borrows from the request and
 * its answer until mh_visit_end. */
typedef struct mh_visit_t mh_visit_t;
struct mh_visit_t {
    mh_zone_t *zone;
    mh_choice_t *choice;
    hapstore_t *store; /* where `op` is run; NULL: there is none */
    hapstore_op_t op;  /* to be run where a function says so; its `done` is the caller's */

    /* what is told to the instance */
    hap_zone_line_t lines[HAP_ZONE_LINES_MAX];
    unsigned lines_n;
    bool elsewhere; /* nothing: another one has got the session meanwhile, and a member is to be
                       chosen again */

    /* what came of its answer; after mh_visit_hear_end and all operations */
    mh_verdict_t verdict;

    /* private */
    hap_str_t sid;                    /* of the client's session; empty none */
    mh_zone_key_t key;                /* of that */
    mh_zone_key_t op_key;             /* of the session that `op` is about */
    hap_zone_known_t known;           /* what is known of the client's session */
    bool is_known;                    /* `known` is there */
    bool unreached;                   /* the store could not be asked */
    bool single;                      /* the body is too long for the request to be sent again */
    bool missed;                      /* the instance has said that it needs the state */
    bool repeatable;                  /* the request may be sent twice */
    unsigned agains;                  /* how often it was sent again */
    uint64_t epoch;                   /* that it was sent under; 0: none */
    bool (*then)(mh_visit_t *visit);  /* takes in what the operation has brought */
    char *room;                       /* of lines with a state; from malloc, NULL none yet */
    char few[HAP_ZONE_SAY_FEW_BYTES]; /* of lines without */
    hap_zone_said_t *said;            /* what the instance says; from malloc, NULL nothing so far */
    bool lent;                        /* `said` is the caller's */
    hap_str_t issued;                 /* id that its answer sets; empty none */
    char *state;                      /* that it has sent; from malloc, NULL none yet */
};

enum { MH_VISIT_BODY_BYTES = 16 << 10 /* a request with a body up to here can be sent again */ };

/** Begins the visit of a request whose session was read, with a body of so many bytes, UINT64_MAX
 * if that is not known. `store` is the caller's one of the zone, or NULL. False: the application
 * has no zone for it. */
bool mh_visit_begin(mh_visit_t *visit, mh_choice_t *choice, hapstore_t *store, uint64_t body_bytes);

/** Frees what the visit has taken. */
void mh_visit_end(mh_visit_t *visit);

/** Finds out who has the session, and has the choice go there. True if `op` is to be run first. */
bool mh_visit_find(mh_visit_t *visit);

/** The same before a member is chosen once more: by what is remembered, without an operation. */
void mh_visit_find_again(mh_visit_t *visit);

/** Finds out what the chosen member is told: `lines`, or `elsewhere`. Likewise. */
bool mh_visit_send(mh_visit_t *visit);

/** The head of a final answer is there. */
void mh_visit_hear_begin(mh_visit_t *visit);

/** One field of it of the zones' family. Stays until the last operation after mh_visit_hear_end. */
void mh_visit_hear(mh_visit_t *visit, hap_str_t name, hap_str_t value);

/** All of them, which the caller has added to `said` himself; it is borrowed likewise. NULL: there
 * are none. */
void mh_visit_hear_said(mh_visit_t *visit, hap_zone_said_t *said);

/** One Set-Cookie of it, likewise. */
void mh_visit_hear_cookie(mh_visit_t *visit, hap_str_t value);

/** All of them are there; `repeatable` says that the request may be sent twice. Likewise. */
bool mh_visit_hear_end(mh_visit_t *visit, bool repeatable);

/** `op` has ended. True if it is to be run once more, with what it is now. */
bool mh_visit_ran(mh_visit_t *visit);

#endif
