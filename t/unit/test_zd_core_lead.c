/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of zd_core as a leader: what it answers, plans, offers and starts. */
#include "unit.h"

#include <inttypes.h>

#include <apr_strings.h>

#include "core.h"
#include "zd_plan.h"

enum { MAP_AGAIN_MS = 500 };

/* --- as a leader --- */

/* Node 0 leads, and has given the lease to node 1. */
static void begin_with_an_active_one(void)
{
    core_begin_leading(&core_three);
    for (int i = 1; i <= 2; i++) {
        core_hears(core_nodes[i].id, (zd_beat_t){.role = "passive",
                                                 .wants = true,
                                                 .well = true,
                                                 .waiting_ms = i == 1 ? 60000 : 0});
    }
    core_commit_all();
}

static void a_leader_that_was_not_looked_at_for_an_election_renews_nothing(void)
{
    begin_with_an_active_one();
    const uint64_t epoch = zd_cluster_app(zd_state_cluster(core_state), "Voting")->granted;
    UNIT_STR_EQ(zd_cluster_app(zd_state_cluster(core_state), "Voting")->map.active, "hostB");
    core_hears("1", (zd_beat_t){.seq = 1, .role = "passive", .claim = epoch});
    CU_ASSERT_TRUE(core_answer.renewed);
    core_now += CORE_ELECTION_MS;
    core_hears("1", (zd_beat_t){.seq = 2, .role = "taking", .claim = epoch});
    CU_ASSERT_TRUE(core_answer.renewed && core_answer.seq == 2);
    core_now += 1;
    core_hears("1", (zd_beat_t){.seq = 3, .role = "taking", .claim = epoch});
    CU_ASSERT_TRUE(!core_answer.renewed && core_answer.seq == 3);
    zd_core_tick(core, core_now);
    core_hears("1", (zd_beat_t){.seq = 4, .role = "taking", .claim = epoch});
    CU_ASSERT_TRUE(core_answer.renewed);
    core_finish();
}

/* Two that are started with one id, on two hosts or in two folders. */
static void of_two_daemons_that_say_they_are_one_node_only_the_first_is_heard(void)
{
    const zd_beat_t other = {.node = "1", .home = "bb", .stopped = 99};
    core_begin_leading(&core_three);
    core_hears("1", (zd_beat_t){.seq = 1, .home = "aa"});
    core_said();
    CU_ASSERT_TRUE(zd_core_is_other(core, &other, core_now));
    UNIT_STR_EQ(core_said(),
                "node 1: two daemons say that they are it; the second one is not heard");
    CU_ASSERT_TRUE(zd_core_is_other(core, &other, core_now + CORE_TIMEOUT_MS / 2));
    UNIT_STR_EQ(core_said(), "");
    CU_ASSERT_FALSE(
        zd_core_is_other(core, &other, core_now + CORE_TIMEOUT_MS + CORE_TIMEOUT_MS / 100 + 1));
    core_hears("1", (zd_beat_t){.seq = 2, .home = "aa"});
    CU_ASSERT_EQUAL(core_answer.seq, 2);
    core_finish();
}

static void who_does_not_lead_answers_nobody(void)
{
    core_begin_leading(&core_three);
    core_leads = false;
    core_hears("1", (zd_beat_t){.seq = 1});
    UNIT_STR_EQ(core_did(), "");
    zd_core_tick(core, core_now);
    UNIT_STR_EQ(core_said(), "term 1: leads no more");
    core_leads = true;
    core_hears("1", (zd_beat_t){.seq = 1});
    UNIT_STR_EQ(core_did(), "");
    core_finish();
}

static void g14_a_map_is_sent_once_until_it_is_acknowledged_and_again_after_half_a_second(void)
{
    core_begin_leading(&core_three);
    const uint64_t version = zd_state_cluster(core_state)->version;
    core_hears("1", (zd_beat_t){.seq = 1});
    UNIT_STR_EQ(core_answer.map, hap_str_dup(zd_state_map(core_state), unit_pool));
    core_now += MAP_AGAIN_MS - 1;
    core_hears("1", (zd_beat_t){.seq = 2});
    CU_ASSERT_PTR_NULL(core_answer.map);
    core_now += 1;
    core_hears("1", (zd_beat_t){.seq = 3});
    CU_ASSERT_PTR_NOT_NULL(core_answer.map);
    core_now += 10 * MAP_AGAIN_MS;
    core_hears("1", (zd_beat_t){.seq = 4, .version = version});
    CU_ASSERT_PTR_NULL(core_answer.map);
    core_hears("1", (zd_beat_t){.seq = 5, .version = version + 1});
    CU_ASSERT_PTR_NULL(core_answer.map);
    CU_ASSERT_EQUAL(core_answer.version, version);
    core_finish();
}

static void a_change_is_told_to_all_that_are_there(void)
{
    core_begin_leading(&core_three);
    core_hears("1", (zd_beat_t){.seq = 1});
    core_hears("2", (zd_beat_t){.seq = 1});
    core_did();
    zd_command_t command = {.what = ZD_DO_APP_PAUSE,
                            .client = "me",
                            .seq = 1,
                            .by = "me",
                            .app = "Voting",
                            .paused = true};
    CU_ASSERT_EQUAL(zd_state_apply(core_state, &command).end, ZD_DONE);
    zd_core_changed(core, core_now);
    UNIT_STR_EQ(core_did(), "answer 1, answer 2");
    CU_ASSERT_TRUE(core_answer.paused && core_answer.seq == 0 && !core_answer.renewed);
    zd_core_changed(core, core_now);
    UNIT_STR_EQ(core_did(), "");
    core_finish();
}

static void what_is_refused_rests_for_a_second(void)
{
    core_begin_leading(&core_three);
    core_ticks(ZD_PRESENT_MS);
    UNIT_STR_EQ(zd_do_names[core_wish->command.what], "grant");
    zd_wish_t *ends = core_wish;
    core_wish = NULL;
    ends->committed = true;
    ends->result = (zd_result_t){.end = ZD_REFUSED, .why = "for a test"};
    ends->done(ends);
    UNIT_STR_EQ(core_said(), "grant: refused: for a test");
    core_ticks(1000 - ZD_TICK_MS);
    CU_ASSERT_PTR_NULL(core_wish);
    core_ticks(ZD_TICK_MS);
    CU_ASSERT_PTR_NOT_NULL_FATAL(core_wish);
    core_finish();
}

static void what_is_not_committed_is_tried_again_and_said_once(void)
{
    core_begin_leading(&core_three);
    core_ticks(ZD_PRESENT_MS);
    core_said();
    for (int i = 0; i < 3; i++) {
        const uint64_t seq = core_wish->command.seq;
        zd_wish_t *ends = core_wish;
        core_wish = NULL;
        ends->committed = false;
        ends->why = "no majority";
        ends->done(ends);
        UNIT_STR_EQ(core_said(), i ? "" : "grant: not committed: no majority; it is tried again");
        core_ticks(1000);
        CU_ASSERT_PTR_NOT_NULL_FATAL(core_wish);
        CU_ASSERT_EQUAL(core_wish->command.seq, seq + 1);
    }
    core_finish();
}

static void the_lead_is_offered_to_one_after_the_other(void)
{
    core_begin_leading(&core_three);
    zd_command_t command = {
        .what = ZD_DO_PREFER, .client = "me", .seq = 1, .by = "me", .node = "2"};
    CU_ASSERT_EQUAL(zd_state_apply(core_state, &command).end, ZD_DONE);
    core_hears("1", (zd_beat_t){.seq = 1});
    core_hears("2", (zd_beat_t){.seq = 1});
    CU_ASSERT_PTR_NOT_NULL(strstr(core_did(), "transfer to 3"));
    UNIT_STR_EQ(core_said(), "term 1: the lead is offered to 2");
    core_ticks(1000 - ZD_TICK_MS);
    CU_ASSERT_PTR_NULL(strstr(core_did(), "transfer"));
    core_ticks(ZD_TICK_MS);
    UNIT_STR_EQ(core_said(), "");
    UNIT_STR_EQ(zd_state_cluster(core_state)->primary, "0");
    core_finish();
}

static void h11_a_move_by_hand_is_told_at_once(void)
{
    begin_with_an_active_one();
    core_did();
    UNIT_STR_EQ(zd_core_move(core, 1, core_now), "it is the active one");
    UNIT_STR_EQ(core_did(), "");
    CU_ASSERT_PTR_NULL(zd_core_move(core, 2, core_now));
    CU_ASSERT_PTR_NOT_NULL(strstr(core_did(), "answer 1"));
    core_hears("1", (zd_beat_t){.seq = 9, .claim = 1});
    CU_ASSERT_TRUE(core_answer.yield);
    core_finish();
}

static void g13_nothing_is_ready_before_all_that_are_there_have_the_map(void)
{
    core_begin_leading(&core_three);
    const uint64_t version = zd_state_cluster(core_state)->version;
    zd_core_wrote(core, version, core_now);
    core_hears("1", (zd_beat_t){.seq = 1, .version = version});
    UNIT_STR_EQ(zd_core_unready(core, core_now), "2");
    core_hears("2", (zd_beat_t){.seq = 1, .version = version - 1});
    UNIT_STR_EQ(zd_core_unready(core, core_now), "2");
    core_hears("2", (zd_beat_t){.seq = 1, .version = version});
    CU_ASSERT_PTR_NULL(zd_core_unready(core, core_now));
    core_finish();
}

/* --- other daemons --- */

/* When daemon 1 is started, in leases of time since the first time. */
static const char *attempts(uint64_t ms)
{
    const char *all = "";
    uint64_t first = 0;
    for (const uint64_t end = core_now + ms; core_now < end;) {
        core_ticks(ZD_TICK_MS);
        if (core_wish) {
            core_commit_all();
        }
        if (strstr(core_did(), "restart 1")) {
            first = first ? first : core_now;
            all = apr_psprintf(unit_pool, "%s%s%" PRIu64, all, *all ? " " : "",
                               (core_now - first) / CORE_TIMEOUT_MS);
        }
    }
    return all;
}

static void h10_a_peer_that_stays_dead_is_started_ever_more_seldom(void)
{
    core_begin_leading(&core_three);
    core_ticks(CORE_TIMEOUT_MS - ZD_HEIR_MS - ZD_TICK_MS);
    CU_ASSERT_PTR_NULL(strstr(core_did(), "restart"));
    UNIT_STR_EQ(attempts(66 * CORE_TIMEOUT_MS), "0 1 3 7 15 31 47 63");
    core_hears("1", (zd_beat_t){.seq = 1});
    UNIT_STR_EQ(attempts(5 * CORE_TIMEOUT_MS), "0 1 3");
    core_finish();
}

static void h10_a_peer_that_is_heard_is_not_started(void)
{
    core_begin_leading(&core_three);
    for (int i = 0; i < 100; i++) {
        core_hears("1", (zd_beat_t){.seq = 1});
        core_ticks(500);
        core_commit_all();
    }
    const char *did = core_did();
    CU_ASSERT_PTR_NULL(strstr(did, "restart 1"));
    CU_ASSERT_PTR_NOT_NULL(strstr(did, "restart 2"));
    core_finish();
}

static void h3_a_node_without_a_leader_starts_all_others(void)
{
    core_begin(&core_three, NULL);
    core_ticks(3000 - ZD_TICK_MS);
    CU_ASSERT_PTR_NULL(strstr(core_did(), "restart"));
    core_ticks(ZD_TICK_MS);
    CU_ASSERT_PTR_NOT_NULL(strstr(core_did(), "restart 1, restart 2"));
    core_answered((zd_answer_t){.epoch = 0});
    core_did();
    core_ticks(3000 - ZD_TICK_MS);
    CU_ASSERT_PTR_NULL(strstr(core_did(), "restart"));
    core_finish();
}

const unit_test_t suite_zd_core_lead[] = {
    UNIT_TEST(a_leader_that_was_not_looked_at_for_an_election_renews_nothing),
    UNIT_TEST(of_two_daemons_that_say_they_are_one_node_only_the_first_is_heard),
    UNIT_TEST(who_does_not_lead_answers_nobody),
    UNIT_TEST(g14_a_map_is_sent_once_until_it_is_acknowledged_and_again_after_half_a_second),
    UNIT_TEST(a_change_is_told_to_all_that_are_there),
    UNIT_TEST(what_is_refused_rests_for_a_second),
    UNIT_TEST(what_is_not_committed_is_tried_again_and_said_once),
    UNIT_TEST(the_lead_is_offered_to_one_after_the_other),
    UNIT_TEST(h11_a_move_by_hand_is_told_at_once),
    UNIT_TEST(g13_nothing_is_ready_before_all_that_are_there_have_the_map),
    UNIT_TEST(h10_a_peer_that_stays_dead_is_started_ever_more_seldom),
    UNIT_TEST(h10_a_peer_that_is_heard_is_not_started),
    UNIT_TEST(h3_a_node_without_a_leader_starts_all_others),
    UNIT_END,
};
