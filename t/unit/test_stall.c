/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hap_stall, and of what hap_pick makes of it. */
#include "unit.h"

#include "farm.h"

enum { LIMIT = 4, MOST = 8, SECOND_US = 1000000 };

static struct {
    hap_stall_t members[2];
    hap_stalls_t stalls;
    int64_t now_us;
} child;

static void begin(void)
{
    memset(&child, 0, sizeof(child));
    child.stalls = (hap_stalls_t){child.members, LIMIT, MOST};
    child.now_us = 1000 * (int64_t)SECOND_US;
}

static void give(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        hap_stall_begin(&child.stalls, 0, child.now_us);
    }
}

static bool blocks(void)
{
    return hap_stall_blocks(&child.stalls, 0, child.now_us);
}

/* It is tried now, and then no more. */
static void try_it(void)
{
    CU_ASSERT_FALSE(blocks());
    CU_ASSERT_TRUE(hap_stall_begin(&child.stalls, 0, child.now_us));
    CU_ASSERT_TRUE(blocks());
}

static void many_requests_are_no_silence(void)
{
    begin();
    give(100);
    child.now_us += HAP_STALL_SILENCE_US - 1;
    CU_ASSERT_FALSE(blocks());
}

static void few_requests_may_take_as_long_as_they_like(void)
{
    begin();
    give(LIMIT - 1);
    child.now_us += 60 * (int64_t)SECOND_US;
    CU_ASSERT_FALSE(blocks());
}

static void a_silent_member_is_asked_once_in_half_a_second(void)
{
    begin();
    give(LIMIT);
    child.now_us += HAP_STALL_SILENCE_US;
    try_it();
    child.now_us += HAP_STALL_SILENCE_US - 1;
    CU_ASSERT_TRUE(blocks());
    child.now_us++;
    try_it();
}

/* However long the silence: the last threads are for others. */
static void trials_are_not_without_end(void)
{
    begin();
    give(LIMIT);
    for (int i = 0; i < 100; i++) {
        child.now_us += HAP_STALL_SILENCE_US;
        give(blocks() ? 0 : 1);
    }
    CU_ASSERT_EQUAL(atomic_load(&child.members[0].waiting), MOST);
    hap_stall_end(&child.stalls, 0, true, false);
    CU_ASSERT_FALSE(blocks());
}

/* Requests that all take long are no reason for good: each trial that is answered makes room. */
static void a_trial_that_is_answered_makes_room_for_others(void)
{
    begin();
    give(LIMIT + 100);
    for (int i = 0; i < 100; i++) {
        child.now_us += HAP_STALL_SILENCE_US;
        CU_ASSERT_FALSE(blocks());
        CU_ASSERT_TRUE(hap_stall_begin(&child.stalls, 0, child.now_us));
        hap_stall_end(&child.stalls, 0, true, true);
        CU_ASSERT_FALSE(hap_stall_begin(&child.stalls, 0, child.now_us));
    }
}

static void one_answer_ends_the_silence(void)
{
    begin();
    give(LIMIT + 1);
    child.now_us += SECOND_US;
    try_it();
    hap_stall_end(&child.stalls, 0, false, true);
    CU_ASSERT_FALSE(blocks());
    CU_ASSERT_FALSE(hap_stall_begin(&child.stalls, 0, child.now_us));
}

static void a_request_that_ended_without_an_answer_is_no_sign_of_life(void)
{
    begin();
    give(LIMIT + 2);
    child.now_us += SECOND_US;
    hap_stall_end(&child.stalls, 0, false, false);
    try_it();
}

/* Silence is counted from when there was something to say. */
static void a_member_that_was_idle_is_not_silent(void)
{
    begin();
    give(1);
    hap_stall_end(&child.stalls, 0, false, true);
    child.now_us += 60 * (int64_t)SECOND_US;
    give(LIMIT);
    CU_ASSERT_FALSE(blocks());
}

/* One takes long, as a long poll does; what comes after a pause has not waited at all. */
static void a_burst_after_a_pause_is_not_silence(void)
{
    begin();
    give(2);
    hap_stall_end(&child.stalls, 0, false, true);
    child.now_us += 60 * (int64_t)SECOND_US;
    give(LIMIT);
    CU_ASSERT_FALSE(blocks());
    CU_ASSERT_FALSE(hap_stall_begin(&child.stalls, 0, child.now_us));
    CU_ASSERT_FALSE(blocks());
    child.now_us += HAP_STALL_SILENCE_US;
    try_it();
}

static void no_limit_is_no_watch(void)
{
    begin();
    child.stalls.limit = 0;
    give(100);
    child.now_us += 60 * (int64_t)SECOND_US;
    CU_ASSERT_FALSE(blocks());
    CU_ASSERT_FALSE(hap_stall_begin(&child.stalls, 0, child.now_us));
}

/* A member of two has stalled. */
static void make_silent(farm_t *farm, hap_method_t method)
{
    begin();
    farm_make(farm, 2, method, unit_pool);
    farm->selector.stalls = &child.stalls;
    give(LIMIT);
    child.now_us += SECOND_US;
    farm->request.now_us = child.now_us;
}

/* And the trial is on its way. */
static void make_stalled(farm_t *farm)
{
    make_silent(farm, HAP_METHOD_ROUND);
    try_it();
}

/* It is only looked at when the better of two is chosen, and nobody is sent there. */
static void a_trial_is_left_to_who_needs_it(void)
{
    farm_t farm;
    make_silent(&farm, HAP_METHOD_LEAST);
    atomic_store(&hap_shared_claim_row(&farm.shared, 1)->count[0], LIMIT);
    for (int i = 0; i < 10; i++) {
        CU_ASSERT_EQUAL(farm_pick(&farm).member, 1);
    }
    farm.request.wanted = 0;
    CU_ASSERT_EQUAL(farm_pick(&farm).why, HAP_PICK_SESSION);
}

static void a_stalled_member_gets_nothing_while_another_is_ready(void)
{
    farm_t farm;
    make_stalled(&farm);
    for (int i = 0; i < 10; i++) {
        CU_ASSERT_EQUAL(farm_pick(&farm).member, 1);
    }
    farm.request.wanted = 0;
    hap_pick_t pick = farm_pick(&farm);
    CU_ASSERT_EQUAL(pick.member, -1);
    CU_ASSERT_EQUAL(pick.why, HAP_PICK_FULL);
    /* The suspicion that comes of it changes nothing in this. */
    farm_flags(&farm, 0, HAP_FLAG_SUSPECT, 0);
    atomic_store(&farm.shared.slots[0].suspicion, HAP_SUSPICION_SILENCE);
    farm_schedule(&farm);
    CU_ASSERT_EQUAL(farm_pick(&farm).why, HAP_PICK_FULL);
}

static void a_stalled_member_that_is_the_last_gets_all(void)
{
    farm_t farm;
    make_stalled(&farm);
    farm_flags(&farm, 1, HAP_FLAG_DRAIN, 0);
    farm_schedule(&farm);
    for (int i = 0; i < 10; i++) {
        CU_ASSERT_EQUAL(farm_pick(&farm).member, 0);
    }
}

const unit_test_t suite_stall[] = {
    UNIT_TEST(many_requests_are_no_silence),
    UNIT_TEST(few_requests_may_take_as_long_as_they_like),
    UNIT_TEST(a_silent_member_is_asked_once_in_half_a_second),
    UNIT_TEST(trials_are_not_without_end),
    UNIT_TEST(a_trial_that_is_answered_makes_room_for_others),
    UNIT_TEST(one_answer_ends_the_silence),
    UNIT_TEST(a_request_that_ended_without_an_answer_is_no_sign_of_life),
    UNIT_TEST(a_member_that_was_idle_is_not_silent),
    UNIT_TEST(a_burst_after_a_pause_is_not_silence),
    UNIT_TEST(no_limit_is_no_watch),
    UNIT_TEST(a_trial_is_left_to_who_needs_it),
    UNIT_TEST(a_stalled_member_gets_nothing_while_another_is_ready),
    UNIT_TEST(a_stalled_member_that_is_the_last_gets_all),
    UNIT_END,
};
