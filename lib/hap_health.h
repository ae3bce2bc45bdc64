/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the verdict on a member's health: what probes and reports make of it, and when the next
 * probe is due. Does not probe, has no clock and logs nothing.
 */
#ifndef HAP_HEALTH_H
#define HAP_HEALTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <apr_errno.h>
#include <apr_time.h>

#include "hap_check.h"
#include "hap_diag.h"
#include "hap_str.h"

/** What is believed of a member. UNKNOWN counts as usable. */
typedef enum hap_verdict_t {
    HAP_HEALTH_UNKNOWN,
    HAP_HEALTH_UP,
    HAP_HEALTH_DOWN,
    HAP_HEALTH_VERDICTS /* how many there are */
} hap_verdict_t;

/** How a member is judged. */
typedef struct hap_health_rule_t {
    unsigned rise;                /* consecutive good probes that bring a DOWN member UP */
    unsigned fall;                /* consecutive failed probes that take a member DOWN */
    apr_interval_time_t interval; /* from the start of a probe to the start of the next */
    apr_interval_time_t timeout;  /* a probe that takes longer has failed */
    bool on_demand;               /* no HACheck: probe only while suspect or DOWN */
    bool connects_only;           /* a probe asks for nothing: see hap_health_suspect */
} hap_health_rule_t;

/** The defaults of HACheck. */
#define HAP_HEALTH_RULE_DEFAULT                                                                    \
    ((hap_health_rule_t){.rise = 2, .fall = 3, .interval = 1000000, .timeout = 500000})

enum {
    HAP_HEALTH_WHY_BYTES = 96,   /* room for a reason, its NUL included */
    HAP_HEALTH_LINE_BYTES = 256, /* room for every line of hap_health_line */
    HAP_HEALTH_HISTORY = 64      /* probes that the history holds */
};

/** No probe is due (a delay). */
#define HAP_HEALTH_NEVER ((apr_interval_time_t)-1)

/** The health of one member: a value without pointers, written by one prober only. */
typedef struct hap_health_t {
    uint32_t verdict;               /* hap_verdict_t */
    uint32_t suspect;               /* 1: requests met trouble that no good probe followed yet */
    uint32_t answers;               /* 1: the last probe was answered, whatever with */
    int64_t unproved;               /* apr_time_t until which a mere connect proves nothing */
    uint32_t streak;                /* consecutive last results that contradict the verdict */
    uint32_t seen;                  /* results in history, at most HAP_HEALTH_HISTORY */
    uint64_t history;               /* the last results, the newest in bit 0; 1 = good */
    int64_t since;                  /* apr_time_t of the verdict; 0 = from the beginning */
    int64_t checked;                /* apr_time_t of the last result; 0 = none yet */
    char why[HAP_HEALTH_WHY_BYTES]; /* the newest reason; printable, ends in NUL */
} hap_health_t;

/** What an event changed. */
typedef enum hap_health_kind_t {
    HAP_HEALTH_SAME,    /* nothing worth a line */
    HAP_HEALTH_VERDICT, /* another verdict */
    HAP_HEALTH_DOUBT,   /* became suspect */
    HAP_HEALTH_TRUST    /* a good probe cleared the suspicion */
} hap_health_kind_t;

/** A transition: all that its log line needs. */
typedef struct hap_health_change_t {
    hap_health_kind_t kind;         /* SAME: the other fields mean nothing */
    hap_verdict_t from;             /* verdict before */
    hap_verdict_t to;               /* verdict after */
    unsigned count;                 /* consecutive probes that led here; 0 for DOUBT */
    unsigned needed;                /* how many the rule asks for; 0 for DOUBT */
    char why[HAP_HEALTH_WHY_BYTES]; /* the reason; printable, may be empty */
} hap_health_change_t;

/** The word for a verdict: unknown, up, down. */
const char *hap_verdict_name(hap_verdict_t verdict);

/**
 * Refuses a rule that cannot work, with a sentence that begins with the key at fault
 * (`interval=0 is too small, use 100ms or more`). APR_EINVAL, or APR_SUCCESS.
 */
apr_status_t hap_health_rule_check(const hap_health_rule_t *rule, hap_diag_t *diag);

/** UNKNOWN since `now`, nothing seen yet. */
void hap_health_init(hap_health_t *health, apr_time_t now);

/** A probe ended; `why` says with what (`status 200`, `connect refused`), and may be NULL. One that
 * could not be made (HAP_CHECK_NONE) changes nothing. */
hap_health_change_t hap_health_probed(hap_health_t *health, const hap_health_rule_t *rule,
                                      hap_check_end_t how, apr_time_t now, const char *why);

/**
 * Requests met trouble: a connect failure, or hap_passive_error() said so. The caller brings the
 * next probe forward to now unless `kind` is SAME. A member that hangs can still be connected to,
 * so where probes only connect they end a suspicion of another kind no sooner than `unproved`; 0
 * for a suspicion that a connect disproves.
 */
hap_health_change_t hap_health_suspect(hap_health_t *health, const char *why, apr_time_t unproved);

/**
 * From the START of the last probe to the start of the next: the interval +-10 %, by `draw` (any
 * 32 random bits); a quarter of it, without jitter, while results contradict the verdict or the
 * member is suspect. HAP_HEALTH_NEVER if none is due. Who probes never lets two overlap, so a
 * delay that is over before the last probe ended means: at once.
 */
apr_interval_time_t hap_health_delay(const hap_health_t *health, const hap_health_rule_t *rule,
                                     uint32_t draw);

/** To the first probe: spread over one interval by `draw`, NEVER for an on-demand rule. */
apr_interval_time_t hap_health_first(const hap_health_t *health, const hap_health_rule_t *rule,
                                     uint32_t draw);

/** How old a verdict may be before it is worth nothing. */
apr_interval_time_t hap_health_window(const hap_health_rule_t *rule);

/** The last result is older than the window (or from a future that cannot be): treat as UNKNOWN. */
bool hap_health_stale(const hap_health_t *health, const hap_health_rule_t *rule, apr_time_t now);

/**
 * The log line of a change, cut to `size` bytes:
 * `member hostA: up -> down, connect refused, 3 of 3 probes failed`. Empty for SAME.
 */
void hap_health_line(char *line, size_t size, hap_str_t member, const hap_health_change_t *change);

/** Consecutive server errors that requests met at one member. */
typedef struct hap_passive_t {
    uint32_t errors; /* shm, atomic; any thread of any process */
} hap_passive_t;

/** A request was answered without server error. Any thread. */
void hap_passive_ok(hap_passive_t *passive);

/** A request got a server error: true for the one that is the `limit`-th in a row. Any thread. */
bool hap_passive_error(hap_passive_t *passive, unsigned limit);

#endif
