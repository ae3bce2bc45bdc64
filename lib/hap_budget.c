/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the arithmetic of the retry budget. Tokens are thousandths of a retry. */
#include "hap_budget.h"

enum { TOKENS = 1000, FULL = HAP_BUDGET_RESERVE * TOKENS };

void hap_budget_init(hap_balancer_t *balancer, int64_t now_us)
{
    atomic_store(&balancer->retry_tokens, FULL);
    atomic_store(&balancer->retry_refilled_us, now_us);
}

void hap_budget_copy(hap_balancer_t *to, const hap_balancer_t *from)
{
    atomic_store(&to->retry_tokens, atomic_load(&from->retry_tokens));
    atomic_store(&to->retry_refilled_us, atomic_load(&from->retry_refilled_us));
}

static void add(hap_balancer_t *balancer, int64_t tokens)
{
    int64_t old = atomic_load_explicit(&balancer->retry_tokens, memory_order_relaxed);
    int64_t filled;
    do {
        if (old >= FULL) {
            return;
        }
        filled = old + tokens > FULL ? FULL : old + tokens;
    } while (!atomic_compare_exchange_weak(&balancer->retry_tokens, &old, filled));
}

void hap_budget_earn(hap_balancer_t *balancer, unsigned percent)
{
    add(balancer, (int64_t)percent * TOKENS / 100);
}

static void refill(hap_balancer_t *balancer, int64_t now_us)
{
    int64_t last = atomic_load(&balancer->retry_refilled_us);
    int64_t passed_us = now_us - last;
    int64_t tokens = passed_us * HAP_BUDGET_PER_SECOND * TOKENS / APR_USEC_PER_SEC;
    /* Whoever moves the clock on adds what it was worth, so that nothing is added twice. */
    if (tokens > 0 && atomic_compare_exchange_strong(&balancer->retry_refilled_us, &last, now_us)) {
        add(balancer, tokens < FULL ? tokens : FULL);
    }
}

bool hap_budget_take(hap_balancer_t *balancer, unsigned percent, int64_t now_us)
{
    if (percent == 0) {
        return false;
    }
    refill(balancer, now_us);
    if (atomic_fetch_sub(&balancer->retry_tokens, TOKENS) >= TOKENS) {
        return true;
    }
    atomic_fetch_add(&balancer->retry_tokens, TOKENS);
    return false;
}
