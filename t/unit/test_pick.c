/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hap_pick, hap_roster and hap_schedule. */
#include "unit.h"

#include <stdio.h>

#include <apr_strings.h>

#include "farm.h"

enum { MEMBERS_MAX = 1000 };

/* "h0:15 h1:15" over n picks; "-" counts those that found nobody. */
static const char *spread(farm_t *farm, unsigned n)
{
    static unsigned count[MEMBERS_MAX];
    unsigned nobody = 0;
    memset(count, 0, sizeof(count));
    for (unsigned i = 0; i < n; i++) {
        hap_pick_t pick = farm_pick(farm);
        if (pick.member < 0) {
            nobody++;
        } else {
            count[pick.member]++;
        }
    }
    const char *text = "";
    for (uint32_t i = 0; i < farm->n; i++) {
        if (count[i]) {
            text = apr_psprintf(unit_pool, "%s%sh%u:%u", text, *text ? " " : "", i, count[i]);
        }
    }
    return nobody ? apr_psprintf(unit_pool, "%s -:%u", text, nobody) : text;
}

static void even_weights_share_evenly(void)
{
    farm_t farm;
    farm_make(&farm, 3, HAP_METHOD_ROUND, unit_pool);
    UNIT_STR_EQ(spread(&farm, 30), "h0:10 h1:10 h2:10");
}

static void weights_are_kept_exactly_and_turns_spread_evenly(void)
{
    farm_t farm;
    farm_make(&farm, 3, HAP_METHOD_ROUND, unit_pool);
    farm.members[0].weight = 500;
    farm_build(&farm);
    UNIT_STR_EQ(spread(&farm, 70), "h0:50 h1:10 h2:10");
    const char *order = "";
    for (int i = 0; i < 7; i++) {
        order = apr_psprintf(unit_pool, "%s%d", order, farm_pick(&farm).member);
    }
    UNIT_STR_EQ(order, "0001200");
}

static void odd_weights_of_a_thousand_members_make_a_round_of_bounded_length(void)
{
    farm_t farm;
    farm_make(&farm, MEMBERS_MAX, HAP_METHOD_ROUND, unit_pool);
    for (uint32_t i = 0; i < farm.n; i++) {
        farm.members[i].weight = 1 + i * 7 % 9973;
    }
    farm_build(&farm);
    CU_ASSERT_TRUE(farm.selector.schedule->length <= 2 * 32768);
    CU_ASSERT_EQUAL(farm.selector.schedule->ready_n, MEMBERS_MAX);
}

static void a_dead_member_gets_nothing_even_before_the_schedule_knows(void)
{
    farm_t farm;
    farm_make(&farm, 2, HAP_METHOD_ROUND, unit_pool);
    farm_flags(&farm, 0, HAP_FLAG_DOWN, 0);
    UNIT_STR_EQ(spread(&farm, 30), "h1:30");
    farm_schedule(&farm);
    UNIT_STR_EQ(spread(&farm, 30), "h1:30");
}

static void the_rest_shares_evenly_when_one_of_three_is_lost(void)
{
    farm_t farm;
    farm_make(&farm, 3, HAP_METHOD_ROUND, unit_pool);
    farm_flags(&farm, 1, HAP_FLAG_DOWN, 0);
    farm_schedule(&farm);
    UNIT_STR_EQ(spread(&farm, 30), "h0:15 h2:15");
}

static void z4_a_session_stays_on_its_member(void)
{
    farm_t farm;
    farm_make(&farm, 3, HAP_METHOD_ROUND, unit_pool);
    farm.request.wanted = 2;
    UNIT_STR_EQ(spread(&farm, 30), "h2:30");
    CU_ASSERT_EQUAL(farm_pick(&farm).why, HAP_PICK_SESSION);
}

static void z4_a_session_that_names_no_member_goes_by_its_id(void)
{
    farm_t farm;
    farm_make(&farm, 3, HAP_METHOD_ROUND, unit_pool);
    unsigned met[3] = {0};
    for (uint64_t id = 1; id <= 30; id++) {
        farm.request.session = hap_str(apr_psprintf(unit_pool, "s%d", (int)id));
        int member = farm_pick(&farm).member;
        met[member]++;
        for (int again = 0; again < 5; again++) {
            CU_ASSERT_EQUAL(farm_pick(&farm).member, member);
        }
    }
    CU_ASSERT_TRUE(met[0] && met[1] && met[2]);
    farm_flags(&farm, 0, HAP_FLAG_DOWN, 0);
    CU_ASSERT_NOT_EQUAL(farm_pick(&farm).member, 0);
}

static void z5_parallel_requests_of_a_session_fail_over_to_the_same_member(void)
{
    farm_t farm;
    farm_make(&farm, 4, HAP_METHOD_ROUND, unit_pool);
    farm_flags(&farm, 0, HAP_FLAG_DOWN, 0);
    farm_schedule(&farm);
    farm.request.wanted = 0;
    farm.request.session = hap_str("abc");
    int member = farm_pick(&farm).member;
    for (int again = 0; again < 20; again++) {
        hap_pick_t pick = farm_pick(&farm);
        CU_ASSERT_EQUAL(pick.member, member);
        CU_ASSERT_EQUAL(pick.why, HAP_PICK_FAILOVER);
    }
}

static void a_draining_member_keeps_its_sessions_and_takes_no_new_ones(void)
{
    farm_t farm;
    farm_make(&farm, 2, HAP_METHOD_ROUND, unit_pool);
    farm_flags(&farm, 0, HAP_FLAG_DRAIN, 0);
    farm_schedule(&farm);
    UNIT_STR_EQ(spread(&farm, 10), "h1:10");
    farm.request.wanted = 0;
    UNIT_STR_EQ(spread(&farm, 10), "h0:10");
}

static void maintenance_takes_nothing_and_its_sessions_move(void)
{
    farm_t farm;
    farm_make(&farm, 2, HAP_METHOD_ROUND, unit_pool);
    farm_flags(&farm, 0, HAP_FLAG_MAINT, 0);
    farm_schedule(&farm);
    farm.request.wanted = 0;
    UNIT_STR_EQ(spread(&farm, 10), "h1:10");
    CU_ASSERT_EQUAL(farm_pick(&farm).why, HAP_PICK_FAILOVER);
}

static void strict_sessions_get_nobody_else(void)
{
    farm_t farm;
    farm_make(&farm, 2, HAP_METHOD_ROUND, unit_pool);
    farm.policy.failover = HAP_FAILOVER_STRICT;
    farm_flags(&farm, 0, HAP_FLAG_DOWN, 0);
    farm.request.wanted = 0;
    CU_ASSERT_EQUAL(farm_pick(&farm).why, HAP_PICK_STRICT);
    farm_flags(&farm, 0, HAP_FLAG_SUSPECT, HAP_FLAG_DOWN);
    CU_ASSERT_EQUAL(farm_pick(&farm).member, 0);
}

static void a_suspect_is_left_alone_unless_it_is_the_last(void)
{
    farm_t farm;
    farm_make(&farm, 2, HAP_METHOD_ROUND, unit_pool);
    farm_flags(&farm, 0, HAP_FLAG_SUSPECT, 0);
    farm_schedule(&farm);
    UNIT_STR_EQ(spread(&farm, 10), "h1:10");
    farm_flags(&farm, 1, HAP_FLAG_DOWN, 0);
    farm_schedule(&farm);
    UNIT_STR_EQ(spread(&farm, 10), "h0:10");
    CU_ASSERT_EQUAL(farm_pick(&farm).why, HAP_PICK_LAST_RESORT);
    farm_flags(&farm, 0, HAP_FLAG_DOWN, 0);
    CU_ASSERT_EQUAL(farm_pick(&farm).why, HAP_PICK_NONE);
}

/* It went to any suspect, and got a new cookie each time. */
static void a_session_stays_on_its_suspect_when_only_suspects_are_left(void)
{
    farm_t farm;
    farm_make(&farm, 2, HAP_METHOD_ROUND, unit_pool);
    farm.request.wanted = 0;
    farm_flags(&farm, 0, HAP_FLAG_SUSPECT, 0);
    CU_ASSERT_EQUAL(farm_pick(&farm).member, 1);
    farm_flags(&farm, 1, HAP_FLAG_SUSPECT, 0);
    UNIT_STR_EQ(spread(&farm, 20), "h0:20");
    CU_ASSERT_EQUAL(farm_pick(&farm).why, HAP_PICK_SESSION);
    farm_flags(&farm, 1, HAP_FLAG_DOWN, 0);
    farm_flags(&farm, 0, HAP_FLAG_DRAIN, 0);
    UNIT_STR_EQ(spread(&farm, 20), "h0:20");
    farm_flags(&farm, 0, HAP_FLAG_MAINT, 0);
    CU_ASSERT_EQUAL(farm_pick(&farm).why, HAP_PICK_NONE);
}

/* A check that asked for the wrong page took the whole application off the net. */
static void when_all_are_down_those_that_answer_their_probes_serve(void)
{
    const uint32_t sick = HAP_FLAG_DOWN | HAP_FLAG_SICK;
    farm_t farm;
    farm_make(&farm, 3, HAP_METHOD_ROUND, unit_pool);
    farm_flags(&farm, 0, sick, 0);
    farm_flags(&farm, 1, sick, 0);
    farm_schedule(&farm);
    UNIT_STR_EQ(spread(&farm, 10), "h2:10");
    farm_flags(&farm, 2, HAP_FLAG_SUSPECT, 0);
    UNIT_STR_EQ(spread(&farm, 10), "h2:10");
    farm_flags(&farm, 2, HAP_FLAG_DOWN, HAP_FLAG_SUSPECT);
    farm_schedule(&farm);
    for (int i = 0; i < 50; i++) {
        hap_pick_t pick = farm_pick(&farm);
        CU_ASSERT_TRUE(pick.member == 0 || pick.member == 1);
        CU_ASSERT_EQUAL(pick.why, HAP_PICK_LAST_RESORT);
    }
    farm.request.wanted = 1;
    UNIT_STR_EQ(spread(&farm, 10), "h1:10");
    CU_ASSERT_EQUAL(farm_pick(&farm).why, HAP_PICK_SESSION);
    farm_flags(&farm, 1, HAP_FLAG_MAINT, 0);
    UNIT_STR_EQ(spread(&farm, 10), "h0:10");
}

static void a_strict_session_stays_on_a_sick_member_when_all_are(void)
{
    const uint32_t sick = HAP_FLAG_DOWN | HAP_FLAG_SICK;
    farm_t farm;
    farm_make(&farm, 2, HAP_METHOD_ROUND, unit_pool);
    farm.policy.failover = HAP_FAILOVER_STRICT;
    farm.request.wanted = 0;
    farm_flags(&farm, 0, sick, 0);
    CU_ASSERT_EQUAL(farm_pick(&farm).why, HAP_PICK_STRICT);
    farm_flags(&farm, 1, sick, 0);
    UNIT_STR_EQ(spread(&farm, 10), "h0:10");
}

static void failed_requests_do_not_cost_others_their_sessions(void)
{
    farm_t farm;
    farm_make(&farm, 2, HAP_METHOD_ROUND, unit_pool);
    farm_flags(&farm, 0, HAP_FLAG_SUSPECT, 0);
    farm_schedule(&farm);
    farm.request.wanted = 0;
    atomic_store(&farm.shared.slots[0].suspicion, HAP_SUSPICION_ERRORS);
    UNIT_STR_EQ(spread(&farm, 10), "h0:10");
    atomic_store(&farm.shared.slots[0].suspicion, HAP_SUSPICION_TIMEOUT);
    UNIT_STR_EQ(spread(&farm, 10), "h0:10");
    atomic_store(&farm.shared.slots[0].suspicion, HAP_SUSPICION_CONNECT);
    UNIT_STR_EQ(spread(&farm, 10), "h1:10");
}

static void standbys_and_higher_sets_wait_until_they_are_needed(void)
{
    farm_t farm;
    farm_make(&farm, 4, HAP_METHOD_ROUND, unit_pool);
    farm.members[2].lbset = 1;
    farm.members[3].lbset = 1;
    farm_flags(&farm, 1, HAP_FLAG_STANDBY, 0);
    farm_build(&farm);
    UNIT_STR_EQ(spread(&farm, 12), "h0:12");
    farm_flags(&farm, 0, HAP_FLAG_DOWN, 0);
    UNIT_STR_EQ(spread(&farm, 12), "h1:12");
    farm_schedule(&farm);
    UNIT_STR_EQ(spread(&farm, 12), "h1:12");
    farm_flags(&farm, 1, HAP_FLAG_DOWN, 0);
    farm_schedule(&farm);
    UNIT_STR_EQ(spread(&farm, 12), "h2:6 h3:6");
}

static void a_spare_takes_the_place_of_a_lost_member_only(void)
{
    farm_t farm;
    farm_make(&farm, 3, HAP_METHOD_ROUND, unit_pool);
    farm.members[2].spare = true;
    farm_build(&farm);
    UNIT_STR_EQ(spread(&farm, 12), "h0:6 h1:6");
    farm_flags(&farm, 0, HAP_FLAG_DOWN, 0);
    farm_schedule(&farm);
    UNIT_STR_EQ(spread(&farm, 12), "h1:6 h2:6");
}

static void least_takes_the_less_busy_of_two(void)
{
    farm_t farm;
    farm_make(&farm, 2, HAP_METHOD_LEAST, unit_pool);
    hap_row_t *row = hap_shared_claim_row(&farm.shared, 1);
    atomic_store(&row->count[0], 3);
    UNIT_STR_EQ(spread(&farm, 20), "h1:20");
    farm.members[0].weight = 400;
    atomic_store(&row->count[1], 1);
    farm_build(&farm);
    UNIT_STR_EQ(spread(&farm, 20), "h0:20");
}

static void latency_takes_the_faster_of_two(void)
{
    farm_t farm;
    farm_make(&farm, 2, HAP_METHOD_LATENCY, unit_pool);
    atomic_store(&farm.shared.slots[0].latency_us, 2000);
    atomic_store(&farm.shared.slots[1].latency_us, 500);
    UNIT_STR_EQ(spread(&farm, 20), "h1:20");
}

static void latency_measures_again_who_was_slow_long_ago(void)
{
    farm_t farm;
    farm_make(&farm, 2, HAP_METHOD_LATENCY, unit_pool);
    atomic_store(&farm.shared.slots[0].latency_us, 8000);
    atomic_store(&farm.shared.slots[1].latency_us, 1000);
    farm.request.now_us = 2999999;
    atomic_store(&farm.shared.slots[1].measured_us, farm.request.now_us);
    UNIT_STR_EQ(spread(&farm, 20), "h1:20");
    farm.request.now_us = 4000000;
    atomic_store(&farm.shared.slots[1].measured_us, farm.request.now_us);
    UNIT_STR_EQ(spread(&farm, 20), "h0:20");
    CU_ASSERT_EQUAL(hap_pick_latency_us(&farm.shared.slots[0], 40000000), 0);
    CU_ASSERT_EQUAL(hap_pick_latency_us(&farm.shared.slots[0], -1), 8000);
}

/* Member of each of the first n keys. */
static int *hash_all(farm_t *farm, int n)
{
    int *members = apr_palloc(unit_pool, (size_t)n * sizeof(int));
    for (int i = 0; i < n; i++) {
        farm->request.hash = hap_str_hash(hap_str(apr_psprintf(unit_pool, "10.0.0.%d", i)));
        members[i] = farm_pick(farm).member;
    }
    return members;
}

static void hash_moves_only_the_keys_of_the_member_that_is_lost(void)
{
    enum { KEYS = 2000 };
    farm_t farm;
    farm_make(&farm, 5, HAP_METHOD_HASH, unit_pool);
    int *before = hash_all(&farm, KEYS);
    int had = 0;
    farm_flags(&farm, 3, HAP_FLAG_DOWN, 0);
    farm_schedule(&farm);
    int *after = hash_all(&farm, KEYS);
    for (int i = 0; i < KEYS; i++) {
        had += before[i] == 3;
        CU_ASSERT_TRUE_FATAL(before[i] == 3 ? after[i] != 3 : after[i] == before[i]);
    }
    CU_ASSERT_TRUE(had > KEYS / 5 / 2 && had < KEYS / 5 * 2);
    farm_flags(&farm, 3, 0, HAP_FLAG_DOWN);
    farm_schedule(&farm);
    int *again = hash_all(&farm, KEYS);
    CU_ASSERT_EQUAL(memcmp(before, again, KEYS * sizeof(int)), 0);
}

/* The members that score higher than this one: how far down it stands. */
static uint32_t rank_of(const hap_roster_t *roster, uint32_t member, uint32_t bucket)
{
    double score = hap_roster_score(&roster->members[member], bucket);
    uint32_t above = 0;
    for (uint32_t i = 0; i < roster->n; i++) {
        above += hap_roster_score(&roster->members[i], bucket) > score;
    }
    return above;
}

static void the_remembered_choices_are_the_highest_scores(void)
{
    static const uint32_t sizes[] = {1, 3, 4, 5, 60};
    for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
        farm_t farm;
        farm_make(&farm, sizes[k], HAP_METHOD_HASH, unit_pool);
        for (uint32_t i = 0; i < farm.n; i++) {
            farm.members[i].weight = i % 7 == 6 ? HAP_WEIGHT_MAX : 1 + 100 * (i % 7);
        }
        farm_build(&farm);
        const hap_roster_t *roster = farm.selector.roster;
        unsigned wrong = 0;
        for (uint32_t bucket = 0; bucket <= roster->rank_mask; bucket++) {
            const uint16_t *ranks = &roster->ranks[(size_t)bucket * HAP_HASH_RANKS];
            for (uint32_t rank = 0; rank < HAP_HASH_RANKS; rank++) {
                wrong += rank_of(roster, ranks[rank], bucket) != (rank < farm.n ? rank : 0);
            }
        }
        CU_ASSERT_EQUAL(wrong, 0);
    }
}

static void hash_leaves_standbys_and_later_sets_alone(void)
{
    farm_t farm;
    farm_make(&farm, 3, HAP_METHOD_HASH, unit_pool);
    farm.members[2].lbset = 1;
    farm_build(&farm);
    farm_flags(&farm, 1, HAP_FLAG_STANDBY, 0);
    farm_schedule(&farm);
    int *members = hash_all(&farm, 100);
    for (int i = 0; i < 100; i++) {
        CU_ASSERT_EQUAL(members[i], 0);
    }
    farm_flags(&farm, 0, HAP_FLAG_DOWN, 0);
    farm_schedule(&farm);
    CU_ASSERT_EQUAL(hash_all(&farm, 1)[0], 1);
}

static void hash_finds_the_last_member_when_all_its_choices_are_lost(void)
{
    farm_t farm;
    farm_make(&farm, 20, HAP_METHOD_HASH, unit_pool);
    for (uint32_t i = 0; i < 19; i++) {
        farm_flags(&farm, i, HAP_FLAG_DOWN, 0);
    }
    UNIT_STR_EQ(spread(&farm, 10), "h19:10");
}

static void tried_members_are_not_tried_again(void)
{
    farm_t farm;
    const uint32_t tried[] = {0, 2};
    for (int method = HAP_METHOD_ROUND; method <= HAP_METHOD_HASH; method++) {
        farm_make(&farm, 3, (hap_method_t)method, unit_pool);
        farm.request.tried = tried;
        farm.request.tried_n = 2;
        UNIT_STR_EQ(spread(&farm, 9), "h1:9");
        farm.request.wanted = 0;
        CU_ASSERT_EQUAL(farm_pick(&farm).member, 1);
    }
}

static void full_members_are_passed_over_and_sessions_wait_for_theirs(void)
{
    farm_t farm;
    farm_make(&farm, 2, HAP_METHOD_ROUND, unit_pool);
    farm.policy.max = 2;
    hap_row_t *row = hap_shared_claim_row(&farm.shared, 1);
    atomic_store(&row->count[0], 2);
    UNIT_STR_EQ(spread(&farm, 10), "h1:10");
    farm.request.wanted = 0;
    CU_ASSERT_EQUAL(farm_pick(&farm).why, HAP_PICK_FULL);
    farm.request.wanted = -1;
    atomic_store(&row->count[1], 2);
    CU_ASSERT_EQUAL(farm_pick(&farm).why, HAP_PICK_FULL);
}

static void a_member_that_came_back_ramps_up(void)
{
    farm_t farm;
    farm_make(&farm, 2, HAP_METHOD_ROUND, unit_pool);
    farm.policy.slow_start = 10 * APR_USEC_PER_SEC;
    farm_flags(&farm, 0, HAP_FLAG_RAMP, 0);
    unsigned share[3];
    for (int i = 0; i < 3; i++) {
        farm.request.now_us = (1 + i * 4) * APR_USEC_PER_SEC;
        unsigned hits = 0;
        for (int k = 0; k < 1000; k++) {
            hits += farm_pick(&farm).member == 0;
        }
        share[i] = hits;
    }
    CU_ASSERT_TRUE(share[0] > 10 && share[0] < 120);
    CU_ASSERT_TRUE(share[0] < share[1] && share[1] < share[2]);
    farm.request.now_us = 11 * APR_USEC_PER_SEC;
    UNIT_STR_EQ(spread(&farm, 10), "h0:5 h1:5");
}

static void routes_are_found_whole_or_not_at_all(void)
{
    farm_t farm;
    farm_make(&farm, MEMBERS_MAX, HAP_METHOD_ROUND, unit_pool);
    for (uint32_t i = 0; i < farm.n; i++) {
        CU_ASSERT_EQUAL_FATAL(hap_roster_find(farm.selector.roster, farm.members[i].route), (int)i);
    }
    CU_ASSERT_EQUAL(hap_roster_find(farm.selector.roster, hap_str("h")), -1);
    CU_ASSERT_EQUAL(hap_roster_find(farm.selector.roster, hap_str("h00")), -1);
    CU_ASSERT_EQUAL(hap_roster_find(farm.selector.roster, hap_str("")), -1);
    CU_ASSERT_EQUAL(hap_roster_find(farm.selector.roster, hap_str("H1")), -1);
}

/* Whatever the states are: nobody unusable is picked, and somebody usable always is. */
static void property_random_states_never_give_an_unusable_member(void)
{
    uint64_t draw = 7;
    for (int round = 0; round < 400; round++) {
        farm_t farm;
        apr_pool_t *pool;
        apr_pool_create(&pool, unit_pool);
        farm_make(&farm, 1 + round % 9, (hap_method_t)(round % 4), pool);
        for (int step = 0; step < 20; step++) {
            draw = hap_pick_redraw(draw);
            uint32_t member = (uint32_t)(draw >> 8) % farm.n;
            farm_flags(&farm, member, (uint32_t)(draw >> 32) & 0x1f, (uint32_t)(draw >> 40) & 0x1f);
            if (draw & 1) {
                farm_schedule(&farm);
            }
            farm.request.wanted = draw & 2 ? (int)((draw >> 20) % farm.n) : -1;
            farm.request.hash = draw;
            hap_pick_t pick = farm_pick(&farm);
            bool usable = false;
            bool suspects = false;
            for (uint32_t i = 0; i < farm.n; i++) {
                uint32_t flags = hap_shared_flags_of(&farm.shared, i);
                uint32_t hard = HAP_FLAG_DOWN | HAP_FLAG_DRAIN | HAP_FLAG_MAINT;
                usable |= !(flags & (hard | HAP_FLAG_SUSPECT));
                suspects |= !(flags & hard);
            }
            if (pick.member < 0) {
                CU_ASSERT_FALSE_FATAL(usable || suspects);
                continue;
            }
            uint32_t flags = hap_shared_flags_of(&farm.shared, (uint32_t)pick.member);
            CU_ASSERT_FALSE_FATAL(flags & (HAP_FLAG_DOWN | HAP_FLAG_MAINT));
            bool own = pick.why == HAP_PICK_SESSION;
            CU_ASSERT_FALSE_FATAL((flags & HAP_FLAG_DRAIN) && !own);
            bool last = pick.why == HAP_PICK_LAST_RESORT || own;
            CU_ASSERT_FALSE_FATAL((flags & HAP_FLAG_SUSPECT) && (usable || !last));
        }
        apr_pool_destroy(pool);
    }
}

const unit_test_t suite_pick[] = {
    UNIT_TEST(even_weights_share_evenly),
    UNIT_TEST(weights_are_kept_exactly_and_turns_spread_evenly),
    UNIT_TEST(odd_weights_of_a_thousand_members_make_a_round_of_bounded_length),
    UNIT_TEST(a_dead_member_gets_nothing_even_before_the_schedule_knows),
    UNIT_TEST(the_rest_shares_evenly_when_one_of_three_is_lost),
    UNIT_TEST(z4_a_session_stays_on_its_member),
    UNIT_TEST(z5_parallel_requests_of_a_session_fail_over_to_the_same_member),
    UNIT_TEST(z4_a_session_that_names_no_member_goes_by_its_id),
    UNIT_TEST(a_draining_member_keeps_its_sessions_and_takes_no_new_ones),
    UNIT_TEST(maintenance_takes_nothing_and_its_sessions_move),
    UNIT_TEST(strict_sessions_get_nobody_else),
    UNIT_TEST(a_suspect_is_left_alone_unless_it_is_the_last),
    UNIT_TEST(a_session_stays_on_its_suspect_when_only_suspects_are_left),
    UNIT_TEST(when_all_are_down_those_that_answer_their_probes_serve),
    UNIT_TEST(a_strict_session_stays_on_a_sick_member_when_all_are),
    UNIT_TEST(failed_requests_do_not_cost_others_their_sessions),
    UNIT_TEST(standbys_and_higher_sets_wait_until_they_are_needed),
    UNIT_TEST(a_spare_takes_the_place_of_a_lost_member_only),
    UNIT_TEST(least_takes_the_less_busy_of_two),
    UNIT_TEST(latency_takes_the_faster_of_two),
    UNIT_TEST(latency_measures_again_who_was_slow_long_ago),
    UNIT_TEST(hash_moves_only_the_keys_of_the_member_that_is_lost),
    UNIT_TEST(the_remembered_choices_are_the_highest_scores),
    UNIT_TEST(hash_leaves_standbys_and_later_sets_alone),
    UNIT_TEST(hash_finds_the_last_member_when_all_its_choices_are_lost),
    UNIT_TEST(tried_members_are_not_tried_again),
    UNIT_TEST(full_members_are_passed_over_and_sessions_wait_for_theirs),
    UNIT_TEST(a_member_that_came_back_ramps_up),
    UNIT_TEST(routes_are_found_whole_or_not_at_all),
    UNIT_TEST(property_random_states_never_give_an_unusable_member),
    UNIT_END,
};
