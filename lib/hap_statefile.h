/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the format of HAStateFile, and the rules by which saved state comes back. Does not read or
 * write files, nor shared memory: records and text come in, text and records go out.
 */
#ifndef HAP_STATEFILE_H
#define HAP_STATEFILE_H

#include <stdint.h>

#include <apr_errno.h>
#include <apr_pools.h>
#include <apr_time.h>

#include "hap_admin.h"
#include "hap_diag.h"
#include "hap_health.h"
#include "hap_str.h"

enum {
    HAP_STATE_APP_BYTES_MAX = 127,  /* a balancer's name, with its virtual host */
    HAP_STATE_ROUTE_BYTES_MAX = 63, /* httpd's limit of a route */
    HAP_STATE_WHY_BYTES_MAX = 255
};

/** One member's saved state. Times are microseconds of wall clock since 1970. */
typedef struct hap_state_member_t {
    hap_str_t app;             /* the balancer's name */
    hap_str_t route;           /* by which the member is known in it */
    hap_admin_t admin;         /* what it is told to do */
    hap_admin_source_t origin; /* who told it */
    hap_admin_t configured;    /* what the configuration told it when this was saved */
    apr_time_t admin_since;    /* when it was told */
    hap_str_t admin_why;       /* any bytes, for people */
    hap_verdict_t health;      /* verdict of its check */
    apr_time_t health_since;   /* when the verdict became that */
    apr_time_t checked;        /* when the check last confirmed it; 0 for never */
    int64_t window_ms;         /* how long that is worth anything: interval * fall + timeout */
    hap_str_t health_why;      /* any bytes, for people */
} hap_state_member_t;

/** A whole file. */
typedef struct hap_state_t {
    apr_time_t saved;            /* when it was written */
    hap_state_member_t *members; /* decoded ones in the order of app, then route */
    size_t n;
} hap_state_t;

/**
 * The file's text. The same records in any order give the same bytes; a `why` that is too long is
 * cut. Allocates from `pool`. APR_EINVAL with a sentence when a name is empty or too long, a member
 * is there twice, or a time is negative.
 */
apr_status_t hap_statefile_encode(hap_str_t *text, const hap_state_t *state, hap_diag_t *diag,
                                  apr_pool_t *pool);

/**
 * Reads a file's text: all of it or nothing. Takes exactly what hap_statefile_encode writes, byte
 * for byte. Copies into `pool`, in proportion to the text, which holds at most max_members. Fails
 * with APR_EINVAL, line and sentence on anything else: cut, damaged, another version, members out
 * of order, twice or too many, fields unknown, missing or too long.
 */
apr_status_t hap_statefile_decode(hap_state_t *state, hap_str_t text, size_t max_members,
                                  hap_diag_t *diag, apr_pool_t *pool);

/** What a member starts with after a restart. */
typedef struct hap_state_restored_t {
    hap_state_member_t member; /* borrows from the saved one; `why`s may be static */
    bool admin_kept;           /* its administrative state is the saved one */
    bool health_kept;          /* its verdict is the saved one */
} hap_state_restored_t;

/**
 * Decides what comes back of a member's saved state, with `configured` what the configuration tells
 * it now. If that differs from what it told when the state was saved, the edit wins; else an
 * operator's word stays. A verdict that was confirmed longer ago than its window, or that lies
 * further in the future than that because the clock was set back, is unknown. No time that comes
 * back is later than `now`.
 */
void hap_statefile_restore(hap_state_restored_t *restored, const hap_state_member_t *saved,
                           hap_admin_t configured, apr_time_t now);

#endif
