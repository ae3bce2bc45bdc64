/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what the control port steers and reports: faults, the barrier, the ledger of requests and
 * the counters. Does not know sockets. Every function may be called from any thread.
 */
#ifndef APP_STATE_H
#define APP_STATE_H

#include <stdio.h>

#include "appd.h"

/** Where an answer ends in a reset. */
typedef enum app_reset_t {
    APP_RESET_NONE,   /* it does not */
    APP_RESET_BEFORE, /* before its first byte */
    APP_RESET_HEAD,   /* in the middle of its head */
    APP_RESET_BODY,   /* in the middle of its body */
} app_reset_t;

/** Which requests hang. */
typedef enum app_hang_t {
    APP_HANG_NONE, /* none */
    APP_HANG_HEAD, /* application requests, before their body is read */
    APP_HANG_BODY, /* application requests, after their body was read */
    APP_HANG_ALL,  /* as BODY, and health requests too */
} app_hang_t;

/** How health requests are answered. */
typedef enum app_health_t {
    APP_HEALTH_OK,   /* 200 */
    APP_HEALTH_FAIL, /* 503 */
    APP_HEALTH_HANG, /* not, until this changes */
} app_health_t;

/** How far a request got. */
typedef enum app_phase_t {
    APP_PHASE_HEAD,     /* its head was read */
    APP_PHASE_BODY,     /* its body was read, or it has none */
    APP_PHASE_ANSWERED, /* its whole answer was written */
} app_phase_t;

/** What is wrong with one answer. */
typedef struct app_fault_t {
    app_reset_t reset; /* where it ends */
    int status;        /* its status, 0 for the right one */
} app_fault_t;

/** A line in the ledger; stale once the ledger was cleared, and then nothing is noted. */
typedef struct app_entry_t {
    uint64_t sequence; /* 0 for none */
} app_entry_t;

/** Every application request waits that long before its answer. */
void app_fault_slow(unsigned ms);

/** Lets requests hang, or releases those that do. */
void app_fault_hang(app_hang_t hang);

/** The next `count` answers end in a reset; 0 for all of them. */
void app_fault_reset(app_reset_t reset, uint64_t count);

/** The next `count` answers have this status; 0 for all of them. */
void app_fault_status(int status, uint64_t count);

/** How health requests are answered from now on. */
void app_fault_health(app_health_t health);

/** Waits as a request whose head was read has to. */
void app_fault_at_head(void);

/** Waits as a request has to before its answer, and says what is wrong with that. */
app_fault_t app_fault_at_answer(void);

/** Waits as a health request has to; true when the answer is a good one. */
bool app_fault_at_health(void);

/** Closes the barrier: requests stop before their answers. */
void app_barrier_hold(void);

/** Opens it. */
void app_barrier_open(void);

/** Waits until `count` requests are held, but not longer than `ms`. How many are held. */
uint64_t app_barrier_wait(uint64_t count, unsigned ms);

/** The next `count` answers, 0 for all of them, are made and then wait before their first byte. */
void app_answers_hold(uint64_t count);

/** Lets those that wait go, and holds no more. */
void app_answers_open(void);

/** Waits until `count` answers are held, but not longer than `ms`. How many are held. */
uint64_t app_answers_wait(uint64_t count, unsigned ms);

/** Waits as an answer that was made has to. */
void app_answers_at_first_byte(void);

/** Lines go to the end of this file too, as their heads are read. False, errno set, if it cannot be
 * opened. Before other threads run. */
bool app_ledger_open(const char *path);

/** Notes a request whose head was read. Copies. */
app_entry_t app_ledger_add(app_text_t method, app_text_t target, app_text_t tag);

/** Notes how far it got, and how much of its body was read. */
void app_ledger_note(app_entry_t entry, app_phase_t phase, uint64_t body_bytes);

/** Prints `SEQUENCE METHOD TARGET TAG BODY-LENGTH PHASE`, a line each. */
void app_ledger_print(FILE *out);

/** Forgets all of them; the sequence goes on. */
void app_ledger_clear(void);

/** Counts a health request, and one that could not be understood. */
void app_count_health(void);
void app_count_malformed(void);

/** Prints `NAME VALUE`, a line each. */
void app_count_print(FILE *out);

#endif
