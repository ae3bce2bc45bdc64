/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what the commands about daemons share: where a daemon is, asking it through its control
 * socket (doc/zerod.md), and waiting until something has come about. Does not print answers.
 */
#ifndef ZERO_HA_H
#define ZERO_HA_H

#include <apr_time.h>
#include <jansson.h>

#include "zero.h"

enum {
    ZERO_HA_ASK_S = 15 /* a daemon itself waits 10 s for a leader */
};

/** Options that say where the daemon is: every command but init has them. */
#define ZERO_HA_WHERE                                                                              \
    {"c", "FILE", "the daemon's config.json [/etc/zerod/config.json]"},                            \
        {"i", "ID", "id of the daemon on this host [the only one]"},                               \
    {                                                                                              \
        "socket", "PATH", "its control socket, in place of -c and -i"                              \
    }

/** Likewise of each that changes something. */
#define ZERO_HA_DOES {"json", NULL, "say what was done in JSON"}, ZERO_HA_WHERE

/** A daemon of this host. */
typedef struct zero_ha_t {
    const zero_args_t *args;
    const char *socket;        /* path of its control socket */
    const char *app;           /* as config.json says; NULL: that was not read */
    apr_interval_time_t lease; /* the same; 0: that was not read */
} zero_ha_t;

/** An answer. */
typedef struct zero_ha_answer_t {
    const json_t *object; /* borrows until the pool goes */
    const char *text;     /* the line, without its newline */
    const char *error;    /* what the daemon says against it, fit for a terminal; NULL: nothing */
} zero_ha_answer_t;

/** Finds the daemon that the options mean. The exit code, explained, unless it is ZERO_DONE. */
int zero_ha_find(zero_ha_t *ha, const zero_args_t *args);

/**
 * Asks, and waits for so long; takes `question`. APR_SUCCESS with an answer, be it an error.
 * APR_TIMEUP with a sentence when there is none in time; the system's status, or APR_EOF, with one
 * that says what to do, when there is nobody to be asked.
 */
apr_status_t zero_ha_try(zero_ha_answer_t *answer, const zero_ha_t *ha, json_t *question,
                         apr_interval_time_t patience, hap_diag_t *diag);

/** The same with ZERO_HA_ASK_S: the exit code, explained, unless it is ZERO_DONE; an error is
 * explained, too, and ZERO_REFUSED. */
int zero_ha_ask(zero_ha_answer_t *answer, const zero_ha_t *ha, json_t *question);

/** How a command has ended. */
typedef struct zero_ha_end_t {
    const char *end; /* "done", "unchanged", "refused" or "conflict" */
    const char *why; /* of the last two, fit for a terminal */
} zero_ha_end_t;

/** Has a command agreed on, once, however often it has to be asked for; takes `command`. The exit
 * code, explained, unless it is ZERO_DONE. */
int zero_ha_order(zero_ha_end_t *end, const zero_ha_t *ha, json_t *command);

/** How the command that was answered has ended. Borrows from the pool. */
zero_ha_end_t zero_ha_end(const zero_ha_answer_t *answer, const zero_ha_t *ha);

/** ZERO_DONE for what is done, or was so before; else ZERO_REFUSED, explained. */
int zero_ha_judge(const zero_ha_t *ha, const zero_ha_end_t *end);

/** The cluster by its leader's word. The exit code, explained, unless it is ZERO_DONE. */
int zero_ha_cluster(const json_t **cluster, const zero_ha_t *ha);

/** What an answer says of a node; NULL: there is none. Borrows. */
const json_t *zero_ha_node(const json_t *cluster, const char *id);

/** A text of it, fit for a terminal; `or` when there is none. */
const char *zero_ha_text(const json_t *object, const char *key, const char * or,
                         const zero_ha_t *ha);

/** A number of it; 0 when there is none. */
json_int_t zero_ha_number(const json_t *object, const char *key);

/** Looks at the cluster, which goes when it returns: true ends the waiting. */
typedef bool zero_ha_look_fn(void *baton, const json_t *cluster);

/**
 * Looks again and again, for so long; nobody leads for a while when the lead changes. *came is
 * whether the look was true. The exit code, explained, unless it is ZERO_DONE.
 */
int zero_ha_wait(bool *came, const zero_ha_t *ha, apr_interval_time_t patience,
                 zero_ha_look_fn *look, void *baton);

/** -wait=SECONDS, or `otherwise`. ZERO_DONE or ZERO_USAGE. */
int zero_ha_patience(apr_interval_time_t *patience, const zero_args_t *args,
                     apr_interval_time_t otherwise);

/** Says what was done: a sentence on stdout, with -json an object. ZERO_DONE or ZERO_IO. */
int zero_ha_done(const zero_ha_t *ha, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** Likewise what was so before: nothing is changed. */
int zero_ha_unchanged(const zero_ha_t *ha, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
