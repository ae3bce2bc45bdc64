/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what HABalancer, HACheck and HAZone can say about a balancer. Does not act on it: selection
 * is in hap_pick, health in hap_health, what zones are in hap_zone_spec.
 */
#ifndef HAP_POLICY_H
#define HAP_POLICY_H

#include <stdint.h>

#include <apr_time.h>

#include "hap_option.h"

/** How a request without a session finds a member; in the order of the words in the table. */
typedef enum hap_method_t {
    HAP_METHOD_ROUND,
    HAP_METHOD_LEAST,
    HAP_METHOD_LATENCY,
    HAP_METHOD_HASH
} hap_method_t;

typedef enum hap_hash_key_t { HAP_HASH_CLIENT, HAP_HASH_PATH } hap_hash_key_t;

typedef enum hap_failover_t { HAP_FAILOVER_ON, HAP_FAILOVER_STRICT } hap_failover_t;

/** What HABalancer says; the fields' meaning is in hap_policy.def. */
typedef struct hap_policy_t {
    uint64_t set; /* which keys were given */
    int method;   /* hap_method_t */
    int hash_key; /* hap_hash_key_t */
    hap_option_affinity_t affinity;
    int failover;     /* hap_failover_t */
    const char *sign; /* NULL: none */
    apr_interval_time_t sign_lifetime;
    unsigned retries;
    unsigned retry_budget; /* percent */
    unsigned max;
    unsigned queue;
    apr_interval_time_t queue_timeout;
    apr_interval_time_t slow_start;
} hap_policy_t;

/** What HACheck says; the fields' meaning is in hap_policy.def. */
typedef struct hap_check_policy_t {
    uint64_t set; /* which keys were given */
    const char *uri;
    apr_interval_time_t interval;
    apr_interval_time_t timeout;
    unsigned rise;
    unsigned fall;
    const char *expect;
    int method; /* index into GET, HEAD, OPTIONS */
} hap_check_policy_t;

/** What HAZone says; the fields' meaning is in hap_policy.def. */
typedef struct hap_zone_policy_t {
    uint64_t set;      /* which keys were given */
    const char *zone;  /* for hap_zone_kinds_parse */
    const char *store; /* for hap_zone_spec_parse */
    const char *key;   /* NULL: none */
    const char *token; /* NULL: none */
    apr_interval_time_t budget;
    apr_interval_time_t recheck;
} hap_zone_policy_t;

extern const hap_options_t hap_policy_options;
extern const hap_options_t hap_check_options;
extern const hap_options_t hap_zone_options;

/** The words of method=, by hap_method_t. */
extern const char *const hap_method_names[];

/** Two keys that do not go together as they are. */
typedef struct hap_policy_clash_t {
    const char *key;
    const char *needs; /* the other one, which has to be given or changed */
} hap_policy_clash_t;

/**
 * Looks at what no single key shows: keys that contradict each other. `mapped`: there is HAMap.
 * APR_EINVAL with a diag, and which keys they are.
 */
apr_status_t hap_policy_check(const hap_policy_t *policy, bool mapped, hap_policy_clash_t *clash,
                              hap_diag_t *diag);

#endif
