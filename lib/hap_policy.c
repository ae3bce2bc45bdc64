/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the tables of HABalancer's, HACheck's and HAZone's keys. Does not read them: hap_option
 * does. */
#include "hap_policy.h"

#include <stddef.h>

const char *const hap_method_names[] = {"round", "least", "latency", "hash", NULL};
#define methods hap_method_names
static const char *const hash_keys[] = {"client", "path", NULL};
static const char *const failovers[] = {"on", "strict", NULL};
static const char *const check_methods[] = {"GET", "HEAD", "OPTIONS", NULL};
static const char *const key_allowed[] = {"the path of a key file or none", NULL};
static const char *const uri_allowed[] = {"a path that begins with /", NULL};
static const char *const zones_allowed[] = {"USER, STORAGE or USER,STORAGE", NULL};
static const char *const stores_allowed[] = {"shm, shm:SIZE or memcached:HOST:PORT,...", NULL};
static const char *const token_allowed[] = {"the path of a token file or none", NULL};
static const char *const expect_allowed[] = {"statuses such as 200-399,404", NULL};

#define ROW(type, name, field, kind, min, max, choices, fallback, doc)                             \
    {name, kind, offsetof(type, field), min, max, choices, fallback, doc},

#define KEY(...) ROW(hap_policy_t, __VA_ARGS__)
#define HAP_BALANCER_KEYS
static const hap_option_t policy_rows[] = {
#include "hap_policy.def"
};
#undef HAP_BALANCER_KEYS
#undef KEY

#define KEY(...) ROW(hap_check_policy_t, __VA_ARGS__)
#define HAP_CHECK_KEYS
static const hap_option_t check_rows[] = {
#include "hap_policy.def"
};
#undef HAP_CHECK_KEYS
#undef KEY

#define KEY(...) ROW(hap_zone_policy_t, __VA_ARGS__)
#define HAP_ZONE_KEYS
static const hap_option_t zone_rows[] = {
#include "hap_policy.def"
};
#undef HAP_ZONE_KEYS
#undef KEY

const hap_options_t hap_policy_options = {
    .what = "HABalancer",
    .rows = policy_rows,
    .n = sizeof(policy_rows) / sizeof(policy_rows[0]),
    .size = sizeof(hap_policy_t),
};

const hap_options_t hap_check_options = {
    .what = "HACheck",
    .rows = check_rows,
    .n = sizeof(check_rows) / sizeof(check_rows[0]),
    .size = sizeof(hap_check_policy_t),
};

const hap_options_t hap_zone_options = {
    .what = "HAZone",
    .rows = zone_rows,
    .n = sizeof(zone_rows) / sizeof(zone_rows[0]),
    .size = sizeof(hap_zone_policy_t),
};

apr_status_t hap_policy_check(const hap_policy_t *policy, bool mapped, hap_policy_clash_t *clash,
                              hap_diag_t *diag)
{
    if (policy->sign && policy->affinity.mode != HAP_AFFINITY_INSERT) {
        *clash = (hap_policy_clash_t){.key = "sign", .needs = "affinity"};
        hap_diag_set(diag, 0,
                     "sign= signs the proxy's own cookie, so it needs "
                     "affinity=insert, or sign=none where it is inherited");
        return APR_EINVAL;
    }
    if (policy->queue && !policy->max && !mapped) {
        *clash = (hap_policy_clash_t){.key = "queue", .needs = "max"};
        hap_diag_set(diag, 0,
                     "queue= waits for members that are at their max=, so it "
                     "needs max=, or HAMap, whose active members it waits for too");
        return APR_EINVAL;
    }
    return APR_SUCCESS;
}
