/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what all parts of the demo and test application share: its options and slices of text.
 * Does not own any state that changes after the start.
 */
#ifndef APPD_H
#define APPD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { APP_MAX_LISTENERS = 16 };

/** The options, as README.md describes them. Written by main() only, before any thread starts. */
typedef struct app_options_t {
    const char *name;                      /* the instance's name, said in every answer */
    const char *route;                     /* what follows the dot in the session cookie */
    const char *context;                   /* path of the application, "" for the root */
    const char *sticky;                    /* name of the session cookie */
    const char *health;                    /* path of the health check */
    const char *tls_cert;                  /* PEM chain, or NULL for plain text */
    const char *tls_key;                   /* PEM key, or NULL for plain text */
    const char *control;                   /* address of the control port, or NULL */
    const char *ports_file;                /* where the bound addresses are written, or NULL */
    const char *ledger;                    /* file that gets the ledger's lines as well, or NULL */
    const char *listen[APP_MAX_LISTENERS]; /* addresses for the application */
    size_t listen_n;                       /* how many of them */
    bool reissue;                          /* an adopted session gets a cookie with our route */
    const char *zones;                     /* NULL, or "l1" or "l2" of doc/zones.md */
    const char *zones_url;                 /* l2: the address of the handler, or NULL */
    const char *zones_token;               /* l2: file with the application's token, or NULL */
} app_options_t;

extern app_options_t app_options;

/** A piece of text that need not end in NUL. Borrows from its source. */
typedef struct app_text_t {
    const char *p; /* first byte */
    size_t n;      /* length in bytes */
} app_text_t;

/** Prints a piece of text with "%.*s". */
#define APP_TEXT_ARG(t) (int)(t).n, (t).p

/** The slice of a C string. Borrows. */
app_text_t app_text(const char *s);

/** Same bytes as the C string. */
bool app_text_is(app_text_t text, const char *s);

/** Same bytes as the C string but for the case of ASCII letters. */
bool app_text_is_nocase(app_text_t text, const char *s);

/** A hash of the bytes (FNV-1a). */
uint64_t app_text_hash(app_text_t text);

/** Reads a decimal number of at most `max`. False, result untouched, for anything else. */
bool app_number(uint64_t *result, app_text_t text, uint64_t max);

/** Sleeps for that many milliseconds; interrupted or not, all of them. */
void app_sleep_ms(unsigned ms);

#endif
