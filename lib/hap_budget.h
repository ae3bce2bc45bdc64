/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the retry budget: retries in proportion to requests, so that a failing application is not
 * hit harder the more it fails. A token bucket in the shared balancer; exact enough without a lock.
 */
#ifndef HAP_BUDGET_H
#define HAP_BUDGET_H

#include "hap_shared.h"

enum {
    HAP_BUDGET_RESERVE = 100,  /* retries that a full bucket holds */
    HAP_BUDGET_PER_SECOND = 10 /* retries that time adds, however few requests there are */
};

/** Fills the bucket of a new balancer. */
void hap_budget_init(hap_balancer_t *balancer, int64_t now_us);

/** Fills the bucket of `to` as that of `from` is, which others may be using. */
void hap_budget_copy(hap_balancer_t *to, const hap_balancer_t *from);

/** A request came: adds `percent` hundredths of a retry. */
void hap_budget_earn(hap_balancer_t *balancer, unsigned percent);

/** Takes one retry; false when there is none, or when `percent` is 0. */
bool hap_budget_take(hap_balancer_t *balancer, unsigned percent, int64_t now_us);

#endif
