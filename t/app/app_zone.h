/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the sessions of an application that speaks L1 (doc/zones.md): visits and a shopping cart,
 * whole snapshots with epoch and version, and the six rules by which they come and go. Does not
 * know cookies or pages. Every function may be called from any thread.
 */
#ifndef APP_ZONE_H
#define APP_ZONE_H

#include "app_session.h"
#include "app_zone_field.h"

/** What a page does with its session. */
typedef enum app_zone_act_t {
    APP_ZONE_VISIT,  /* counts a visit */
    APP_ZONE_CART,   /* looks at the cart, or adds to it */
    APP_ZONE_TOUCH,  /* says that it lives on */
    APP_ZONE_LOGIN,  /* gives it a new id, and may add to the cart */
    APP_ZONE_LOGOUT, /* ends it */
} app_zone_act_t;

/** One request. Borrows. */
typedef struct app_zone_ask_t {
    app_zone_act_t act;          /* what the page does */
    app_text_t id;               /* of the session cookie; empty without one */
    app_text_t add;              /* what goes into the cart; empty: nothing */
    const app_zone_told_t *told; /* what the proxy says */
} app_zone_ask_t;

/** What comes of it. */
typedef struct app_zone_said_t {
    bool miss;                         /* the request was not served: the state is needed first */
    bool failed;                       /* it was not served: L2 does not answer as it should */
    bool issued;                       /* the client is to get the cookie */
    char id[APP_SESSION_ID_BYTES + 1]; /* of the session now; empty: there is none */
    uint64_t epoch;                    /* that it is had under */
    uint64_t version;                  /* of the state */
    uint64_t visits;                   /* so far */
    char *items;                       /* in the cart, with commas between; owned, may be NULL */
    char *fields;                      /* HA-Session and what belongs to it; owned */
} app_zone_said_t;

/** Serves a request by the rules. To be ended with app_zone_said_end. */
void app_zone_serve(app_zone_said_t *said, const app_zone_ask_t *ask);

/** Frees what it owns. */
void app_zone_said_end(app_zone_said_t *said);

/** A name that can go into the cart: 1 to 64 of [A-Za-z0-9_-]. */
bool app_zone_item_is_valid(app_text_t item);

/** Reads a state, `visits=N items=A,B` and blanks; `items` is from the heap then. */
bool app_zone_read_text(uint64_t *visits, char **items, const char *text);

/** How long states are to be kept. */
uint64_t app_zone_ttl_s(void);

/** Forgets all sessions, as a restart does. */
void app_zone_forget(void);

/** Without rules it hears nothing of what the proxy says, and takes any id for its own. */
void app_zone_rules(bool obeyed);

/** States are padded with blanks to so many bytes at least. */
void app_zone_pad(size_t bytes);

/** States are to be kept for so many seconds. */
void app_zone_ttl(uint64_t seconds);

/** The next `count` answers of the application, 0 for all of them, have these field lines instead
 * of its own about sessions; NULL ends it. Takes `lines`. */
void app_zone_say(char *lines, uint64_t count);

/** The field lines that the next answer has instead of its own, owned; NULL: its own. */
char *app_zone_take_say(void);

/** Prints `NAME VALUE`, a line each: what was heard and said. */
void app_zone_print_count(FILE *out);

/** Prints `ID EPOCH VERSION VISITS ITEMS`, a line each, in no order; `-` for an empty cart. */
void app_zone_print_sessions(FILE *out);

#endif
