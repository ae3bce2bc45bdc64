/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hap_shared, hap_budget and hap_epoch. */
#include "unit.h"

#include <pthread.h>
#include <stdlib.h>

#include "farm.h"
#include "hap_budget.h"
#include "hap_epoch.h"

static void a_dead_childs_requests_are_gone_with_its_row(void)
{
    farm_t farm;
    farm_make(&farm, 2, HAP_METHOD_ROUND, unit_pool);
    hap_row_t *first = hap_shared_claim_row(&farm.shared, 100);
    hap_row_t *second = hap_shared_claim_row(&farm.shared, 200);
    atomic_store(&first->count[1], 5);
    atomic_store(&second->count[1], 2);
    CU_ASSERT_EQUAL(hap_shared_sum(&farm.shared, 1), 7);
    hap_shared_release_row(&farm.shared, 100);
    CU_ASSERT_EQUAL(hap_shared_sum(&farm.shared, 1), 2);
    CU_ASSERT_PTR_EQUAL(hap_shared_claim_row(&farm.shared, 300), first);
}

static void rows_run_out_without_harm(void)
{
    farm_t farm;
    farm_make(&farm, 1, HAP_METHOD_ROUND, unit_pool);
    for (int pid = 1; pid <= 4; pid++) {
        CU_ASSERT_PTR_NOT_NULL(hap_shared_claim_row(&farm.shared, pid));
    }
    CU_ASSERT_PTR_NULL(hap_shared_claim_row(&farm.shared, 5));
}

static void garbage_in_shared_memory_gives_values_in_range(void)
{
    farm_t farm;
    farm_make(&farm, 1, HAP_METHOD_ROUND, unit_pool);
    atomic_store(&farm.shared.slots[0].admin, ~UINT64_C(0));
    hap_admin_word_t word = hap_shared_admin_word(&farm.shared.slots[0]);
    CU_ASSERT_TRUE(word.state < HAP_ADMIN_COUNT && word.configured < HAP_ADMIN_COUNT);
    atomic_store(&farm.shared.head->rows_used, UINT32_MAX);
    CU_ASSERT_EQUAL(hap_shared_sum(&farm.shared, 0), 0);
}

static void admin_states_are_stored_whole_and_kept_apart(void)
{
    farm_t farm;
    farm_make(&farm, 1, HAP_METHOD_ROUND, unit_pool);
    for (int state = 0; state < HAP_ADMIN_COUNT; state++) {
        const hap_admin_word_t word = {(hap_admin_t)state, HAP_ADMIN_DRAIN, HAP_SOURCE_OPERATOR,
                                       1700000000};
        hap_shared_admin(&farm.shared, 0, &word);
        hap_admin_word_t back = hap_shared_admin_word(&farm.shared.slots[0]);
        CU_ASSERT_EQUAL(back.state, word.state);
        CU_ASSERT_EQUAL(back.configured, HAP_ADMIN_DRAIN);
        CU_ASSERT_EQUAL(back.source, HAP_SOURCE_OPERATOR);
        CU_ASSERT_EQUAL(back.since_s, 1700000000);
    }
}

static void a_writer_that_died_halfway_leaves_no_verdict_and_stops_nobody(void)
{
    farm_t farm;
    hap_health_t health;
    farm_make(&farm, 1, HAP_METHOD_ROUND, unit_pool);
    hap_slot_t *slot = &farm.shared.slots[0];
    hap_health_init(&health, 1);
    health.verdict = HAP_HEALTH_DOWN;
    hap_shared_put_health(&farm.shared, 0, &health);
    CU_ASSERT_TRUE(hap_shared_flags_of(&farm.shared, 0) & HAP_FLAG_DOWN);
    atomic_fetch_add(&slot->health_seq, 1);
    CU_ASSERT_FALSE(hap_shared_get_health(slot, &health));
    health.verdict = HAP_HEALTH_UP;
    hap_shared_put_health(&farm.shared, 0, &health);
    CU_ASSERT_TRUE(hap_shared_get_health(slot, &health));
    CU_ASSERT_EQUAL(health.verdict, HAP_HEALTH_UP);
    CU_ASSERT_FALSE(hap_shared_flags_of(&farm.shared, 0) & HAP_FLAG_DOWN);
}

static void version_rises_with_each_change_and_not_without(void)
{
    farm_t farm;
    farm_make(&farm, 1, HAP_METHOD_ROUND, unit_pool);
    uint64_t version = atomic_load(&farm.shared.head->version);
    CU_ASSERT_TRUE(hap_shared_flags(&farm.shared, 0, HAP_FLAG_DOWN, 0));
    CU_ASSERT_EQUAL(atomic_load(&farm.shared.head->version), version + 1);
    CU_ASSERT_FALSE(hap_shared_flags(&farm.shared, 0, HAP_FLAG_DOWN, 0));
    CU_ASSERT_EQUAL(atomic_load(&farm.shared.head->version), version + 1);
}

static unsigned take_all(hap_balancer_t *balancer, unsigned percent, int64_t now_us)
{
    unsigned taken = 0;
    while (taken < 10000 && hap_budget_take(balancer, percent, now_us)) {
        taken++;
    }
    return taken;
}

static void retries_are_a_reserve_plus_a_share_of_requests_plus_ten_a_second(void)
{
    static hap_balancer_t balancer;
    hap_budget_init(&balancer, 0);
    CU_ASSERT_EQUAL(take_all(&balancer, 20, 0), 100);
    for (int i = 0; i < 50; i++) {
        hap_budget_earn(&balancer, 20);
    }
    CU_ASSERT_EQUAL(take_all(&balancer, 20, 0), 10);
    CU_ASSERT_EQUAL(take_all(&balancer, 20, 2 * APR_USEC_PER_SEC), 20);
    CU_ASSERT_EQUAL(take_all(&balancer, 20, INT64_C(3600) * APR_USEC_PER_SEC), 100);
    hap_budget_init(&balancer, 0);
    CU_ASSERT_EQUAL(take_all(&balancer, 0, 0), 0);
}

/** What readers look at: two halves that must always be equal. */
typedef struct pair_t {
    unsigned a;
    unsigned b;
} pair_t;

static struct {
    hap_epoch_t epoch;
    _Atomic(pair_t *) current;
    _Atomic bool stop;
    _Atomic unsigned torn;
} race;

static void *read_on(void *unused)
{
    while (!atomic_load(&race.stop)) {
        unsigned side = hap_epoch_enter(&race.epoch);
        const pair_t *pair = atomic_load(&race.current);
        if (pair->a != pair->b) {
            atomic_fetch_add(&race.torn, 1);
        }
        hap_epoch_leave(&race.epoch, side);
    }
    return NULL;
}

static void readers_never_see_a_freed_object(void)
{
    enum { READERS = 3, REPLACEMENTS = 3000 };
    pthread_t readers[READERS];
    memset(&race, 0, sizeof(race));
    atomic_store(&race.current, calloc(1, sizeof(pair_t)));
    for (int i = 0; i < READERS; i++) {
        pthread_create(&readers[i], NULL, read_on, NULL);
    }
    for (unsigned i = 1; i <= REPLACEMENTS; i++) {
        pair_t *next = malloc(sizeof(*next));
        *next = (pair_t){i, i};
        pair_t *old = atomic_exchange(&race.current, next);
        hap_epoch_wait_t wait = {0};
        while (!hap_epoch_quiet(&race.epoch, &wait)) {
        }
        *old = (pair_t){0xdead, 0xbeef};
        free(old);
    }
    atomic_store(&race.stop, true);
    for (int i = 0; i < READERS; i++) {
        pthread_join(readers[i], NULL);
    }
    free(atomic_load(&race.current));
    CU_ASSERT_EQUAL(atomic_load(&race.torn), 0);
}

const unit_test_t suite_shared[] = {
    UNIT_TEST(a_dead_childs_requests_are_gone_with_its_row),
    UNIT_TEST(rows_run_out_without_harm),
    UNIT_TEST(garbage_in_shared_memory_gives_values_in_range),
    UNIT_TEST(admin_states_are_stored_whole_and_kept_apart),
    UNIT_TEST(a_writer_that_died_halfway_leaves_no_verdict_and_stops_nobody),
    UNIT_TEST(version_rises_with_each_change_and_not_without),
    UNIT_TEST(retries_are_a_reserve_plus_a_share_of_requests_plus_ten_a_second),
    UNIT_TEST(readers_never_see_a_freed_object),
    UNIT_END,
};
