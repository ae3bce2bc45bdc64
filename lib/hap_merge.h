/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns joining fragments into one file (doc/merged-file.md): the model, which conflicts are
 * refused, the text, and reading that text back. Does not touch files.
 */
#ifndef HAP_MERGE_H
#define HAP_MERGE_H

#include <apr_tables.h>

#include "hap_fragment.h"
#include "hap_merge_zones.h"

/** The version of the format that is written, and the only one that is read. */
#define HAP_MERGE_VERSION "1"

enum {
    HAP_MERGE_MAX_MEMBERS = 10000,
    HAP_MERGE_DEFAULT_MEMBERS = 1024, /* room in mod_haproxy unless HAMaxMembers says more */
};

/** What a merged file says of the lane, in a HALane line for each of its balancers. */
typedef enum hap_merge_lane_t {
    HAP_MERGE_LANE_UNSAID, /* nothing: there are no balancers, or it was written before HALane */
    HAP_MERGE_LANE_ON,
    HAP_MERGE_LANE_OFF,
} hap_merge_lane_t;

/** An application: the members that agree on everything but host, port and route. */
typedef struct hap_merge_app_t {
    const hap_fragment_t *members; /* in the order of their routes; part of hap_merge_t.members */
    size_t count;                  /* at least 1; exactly 1 without balancers */
} hap_merge_app_t;

/** A merged file. Apps are in the order of their mounts: longest context first, then by name. */
typedef struct hap_merge_t {
    bool balancer;           /* each application is a balancer, even with one member */
    hap_merge_lane_t lane;   /* set by who builds it; without effect unless balancer */
    hap_merge_zones_t zones; /* likewise, after hap_merge_check_zones */
    hap_merge_app_t *apps;
    size_t app_count;
    hap_fragment_t *members;
    size_t member_count;
} hap_merge_t;

/**
 * Joins fragments; their order does not matter. Refuses, with APR_EINVAL and a sentence that names
 * the sources: no fragment or more than HAP_MERGE_MAX_MEMBERS; fragments of one application that
 * differ in context, path, cookie or health; a route or a host:port twice in one application; a
 * context twice; a loopback or unspecified host when more than one host is named; without
 * `balancer`, two fragments of one application; with it, balancer names that httpd cannot tell
 * apart. Copies the array into `pool`, borrows the strings.
 */
apr_status_t hap_merge_build(hap_merge_t *merge, const hap_fragment_t *fragments, size_t count,
                             bool balancer, hap_diag_t *diag, apr_pool_t *pool);

/**
 * Whether the applications can have these zones: USER needs a session cookie. APR_EINVAL and what
 * to do, if not.
 */
apr_status_t hap_merge_check_zones(const hap_merge_t *merge, const hap_merge_zones_t *zones,
                                   hap_diag_t *diag);

/** "On" or "Off", NULL when it is not said. */
const char *hap_merge_lane_word(hap_merge_lane_t lane);

/** The text of a merge. Allocates from `pool`. */
hap_str_t hap_merge_emit(const hap_merge_t *merge, apr_pool_t *pool);

/**
 * Reads a text that hap_merge_emit wrote, and nothing else. Copies into `pool`. APR_EINVAL with
 * the line in `diag`.
 */
apr_status_t hap_merge_parse(hap_merge_t *merge, hap_str_t text, hap_diag_t *diag,
                             apr_pool_t *pool);

/** Whether the text begins as a merged file of any version, well formed or not. */
bool hap_merge_is(hap_str_t text);

/**
 * Whether every one of the fragments, and no other, is a member of `merge` with all its fields.
 * APR_EINVAL and the one that is missing or changed, if not.
 */
apr_status_t hap_merge_prove(const hap_merge_t *merge, const hap_fragment_t *fragments,
                             size_t count, hap_diag_t *diag, apr_pool_t *pool);

/**
 * What changes from `before` to `after`, in sentences (const char *), by application and route;
 * empty when nothing does. Allocates from `pool`.
 */
apr_array_header_t *hap_merge_diff(const hap_merge_t *before, const hap_merge_t *after,
                                   apr_pool_t *pool);

#endif
