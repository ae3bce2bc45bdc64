/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the fields that the application and the proxy tell each other about sessions
 * (doc/zones.md, L1): reading the proxy's, writing its own. Does not know what a state means.
 */
#ifndef APP_ZONE_FIELD_H
#define APP_ZONE_FIELD_H

#include "app_http.h"

/** What the proxy says of a session. */
typedef enum app_zone_word_t {
    APP_ZONE_NOTHING, /* no HA-Session, or one that is none of these */
    APP_ZONE_RESTORE, /* here is its state */
    APP_ZONE_NONE,    /* there is no state */
    APP_ZONE_GONE,    /* it has ended */
    APP_ZONE_ERROR,   /* the store could not be asked */
} app_zone_word_t;

/** One request's fields, taken together. */
typedef struct app_zone_told_t {
    bool fenced;          /* there is HA-Fence */
    uint64_t epoch;       /* that it says; 0 without it */
    app_zone_word_t word; /* that HA-Session says */
    uint64_t version;     /* RESTORE: of the state */
    char *state;          /* RESTORE: ends in NUL, owned; NULL when it cannot be read */
} app_zone_told_t;

/** A state to be sent. Borrows. */
typedef struct app_zone_state_t {
    const char *text; /* any bytes */
    size_t n;         /* how many */
    uint64_t version; /* of the state */
    uint64_t ttl_s;   /* that it is to be kept */
} app_zone_state_t;

/** Reads the fields of a request. To be ended with app_zone_told_end. */
void app_zone_told_read(app_zone_told_t *told, const app_request_t *req);

/** Frees what it owns. */
void app_zone_told_end(app_zone_told_t *told);

/**
 * Writes the parameters of a state, `; ver=..; ttl=..; parts=..`, the end of that field, and the
 * fields with the state itself: in parts of 7,000 characters, as many as it takes.
 */
void app_zone_print_state(FILE *out, const app_zone_state_t *state);

#endif
