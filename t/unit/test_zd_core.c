/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of zd_core: how what is heard, planned, claimed and run goes together in one node. */
#include "unit.h"

#include <apr_strings.h>

#include "core.h"

/* --- alone --- */

static void o8_a_node_alone_begins_a_cluster_and_becomes_active(void)
{
    core_begin(&core_alone, NULL);
    core_leads = true;
    zd_core_changed(core, core_now);
    core_commit_all();
    UNIT_STR_EQ(core_did(), "ensure-passive 0, init, node-set, lead, app-set, member-set");
    core_ran(true);
    UNIT_STR_EQ(core_did(), "kill service, let go, grant");
    core_commit_all();
    UNIT_STR_EQ(core_did(), "hold 9000, ensure-active 1");
    CU_ASSERT_EQUAL(core_role(), ZD_ROLE_TAKING);
    core_ran(true);
    CU_ASSERT_EQUAL(core_role(), ZD_ROLE_ACTIVE);
    UNIT_STR_EQ(zd_cluster_app(zd_state_cluster(core_state), "Voting")->map.active, "hostA");
    core_ticks(10 * CORE_TIMEOUT_MS);
    CU_ASSERT_EQUAL(core_role(), ZD_ROLE_ACTIVE);
    CU_ASSERT_PTR_NULL(core_wish);
    core_finish();
}

static void each_change_of_the_replica_is_one_line(void)
{
    core_begin_leading(&core_alone);
    core_ran(true);
    UNIT_STR_EQ(core_said(), "replica 0: active, ensure-active succeeded, epoch 1");
    core_ran(false);
    UNIT_STR_EQ(core_said(), "replica 0: ensure: exit 1");
    core_ran(false);
    UNIT_STR_EQ(core_said(), "");
    core_ran(true);
    UNIT_STR_EQ(core_said(), "replica 0: ensure: exit 0");
    core_finish();
}

/* --- as a node --- */

static void what_is_dead_is_dead_before_anybody_is_told(void)
{
    core_begin_active();
    core_ticks(2000);
    CU_ASSERT_EQUAL(core_runs, ZD_RUN_ACTIVE);
    core_did();
    core_now += CORE_TIMEOUT_MS;
    zd_core_tick(core, core_now);
    UNIT_STR_EQ(core_did(), "doubt, kill script, kill service, let go, beat, restart 1, restart 2");
    CU_ASSERT_EQUAL(core_beat.stopped, 7);
    CU_ASSERT_EQUAL(core_beat.claim, 0);
    core_finish();
}

static void what_would_not_die_has_its_lease_run_out(void)
{
    core_begin_active();
    const uint64_t deadline = zd_replica_deadline(zd_core_replica(core));
    core_undead = true;
    core_answered((zd_answer_t){.epoch = 7, .yield = true});
    core_ran(true);
    UNIT_STR_EQ(core_did(), "ensure-passive 7, beat, kill service, beat");
    CU_ASSERT_EQUAL(core_role(), ZD_ROLE_PASSIVE);
    CU_ASSERT_TRUE(core_beat.stopped == 0 && core_beat.claim == 0 && !core_beat.wants);
    CU_ASSERT_TRUE(deadline > core_now);
    core_undead = false;
    core_ticks(2 * CORE_TIMEOUT_MS);
    CU_ASSERT_PTR_NOT_NULL(strstr(core_did(), "let go"));
    CU_ASSERT_TRUE(core_beat.stopped == 7 && core_beat.wants);
    core_finish();
}

static void a_beat_says_what_the_replica_is_and_claims(void)
{
    core_begin_active();
    core_ticks(500);
    UNIT_STR_EQ(core_beat.node, "0");
    UNIT_STR_EQ(core_beat.role, "active");
    CU_ASSERT_EQUAL(core_beat.claim, 7);
    CU_ASSERT_TRUE(core_beat.well && !core_beat.wants);
    UNIT_STR_EQ(core_beat.said, "ensure: exit 0");
    core_finish();
}

/* A message in Latin-1, or one that was cut within a character, made a beat that JSON cannot have:
 * the node could say nothing any more, and lost its lease. */
static void whatever_a_script_prints_the_node_can_still_say_something(void)
{
    core_begin_active();
    zd_core_ran(core, false, "caf\xe9 \x1b[31m caf\xc3\xa9\n", core_now);
    zd_core_connected(core, core_now);
    UNIT_STR_EQ(core_beat.said, "caf? ?[31m caf\xc3\xa9?");
    UNIT_STR_EQ(core_said(), "replica 0: caf? ?[31m caf\xc3\xa9?");
    for (size_t cut = 1; cut <= 4; cut++) {
        char *text = apr_pcalloc(unit_pool, ZD_SAID_BYTES + 8);
        memset(text, 'x', ZD_SAID_BYTES - cut);
        memcpy(text + ZD_SAID_BYTES - cut, "\xe2\x82\xac", sizeof("\xe2\x82\xac"));
        zd_core_ran(core, false, text, core_now);
        zd_core_connected(core, core_now);
        json_t *object = zd_beat_json(&core_beat);
        CU_ASSERT_PTR_NOT_NULL(object);
        CU_ASSERT_EQUAL(strlen(core_beat.said), cut == 4 ? ZD_SAID_BYTES - 1 : ZD_SAID_BYTES - cut);
        json_decref(object);
    }
    core_finish();
}

static void the_guard_hears_of_each_renewal_and_of_nothing_else(void)
{
    core_begin_active();
    core_ticks(100); /* the last beat has no answer yet, so it is said again soon */
    UNIT_STR_EQ(core_did(), "beat");
    core_now += 10;
    core_answered((zd_answer_t){.epoch = 7, .renewed = true});
    UNIT_STR_EQ(core_did(), "hold 8990");
    core_ticks(450);
    UNIT_STR_EQ(core_did(), "");
    core_answered((zd_answer_t){.epoch = 7});
    UNIT_STR_EQ(core_did(), "");
    core_finish();
}

static void h9_a_restarted_daemon_has_a_guard_for_the_time_of_the_one_before(void)
{
    core_begin_anew(&core_three, NULL, CORE_LEFT_MS);
    zd_core_connected(core, core_now);
    core_answered((zd_answer_t){.epoch = 7, .yield = true});
    UNIT_STR_EQ(core_did(), "beat, hold 8000, ensure-passive 7, beat");
    core_ran(true);
    UNIT_STR_EQ(core_did(), "kill service, let go, beat");
    core_finish();
}

static void what_answers_no_beat_or_one_of_long_ago_proves_nothing(void)
{
    enum { SENT = 32 };
    core_begin_active();
    const uint64_t proven = zd_core_replica(core)->proven_ms;
    const zd_answer_t old = {
        .seq = core_beat.seq, .leader = "1", .term = core_term, .epoch = 7, .renewed = true};
    zd_answer_t unknown = old;
    unknown.seq = core_beat.seq + 1;
    zd_core_answered(core, &unknown, core_now);
    for (int i = 0; i < SENT; i++) {
        zd_core_connected(core, ++core_now);
    }
    zd_core_answered(core, &old, core_now);
    CU_ASSERT_EQUAL(zd_core_replica(core)->proven_ms, proven);
    core_answered((zd_answer_t){.epoch = 7, .renewed = true});
    CU_ASSERT_EQUAL(zd_core_replica(core)->proven_ms, core_now);
    core_finish();
}

static void g15_answers_of_older_terms_are_dropped_and_said_once(void)
{
    core_begin_active();
    CU_ASSERT_TRUE(core_answered((zd_answer_t){.term = 3, .epoch = 7}));
    CU_ASSERT_FALSE(core_answered((zd_answer_t){.term = 2, .epoch = 0}));
    UNIT_STR_EQ(core_said(),
                "1 led in term 2, which is over: what it says is dropped, it is term 3");
    CU_ASSERT_FALSE(core_answered((zd_answer_t){.term = 2, .epoch = 0}));
    UNIT_STR_EQ(core_said(), "");
    core_term = 5;
    CU_ASSERT_FALSE(core_answered((zd_answer_t){.term = 4, .epoch = 0}));
    UNIT_STR_EQ(core_said(),
                "1 led in term 4, which is over: what it says is dropped, it is term 5");
    CU_ASSERT_EQUAL(core_role(), ZD_ROLE_ACTIVE);
    core_finish();
}

static void a_gap_longer_than_an_election_is_a_doubt(void)
{
    core_begin_leading(&core_alone);
    core_now += CORE_ELECTION_MS;
    zd_core_tick(core, core_now);
    CU_ASSERT_PTR_NULL(strstr(core_did(), "doubt"));
    core_now += CORE_ELECTION_MS + 1;
    zd_core_tick(core, core_now);
    CU_ASSERT_PTR_NOT_NULL(strstr(core_did(), "doubt"));
    core_finish();
}

/* The cluster has node 1 alone, which is the primary. */
static void one_is_primary(void)
{
    const zd_command_t commands[] = {{.what = ZD_DO_INIT, .uuid = CORE_UUID},
                                     {.what = ZD_DO_NODE_SET,
                                      .node = "1",
                                      .address = "b:1",
                                      .role = "voter",
                                      .electable = true,
                                      .raft = 2},
                                     {.what = ZD_DO_LEAD, .node = "1", .term = 1}};
    for (unsigned i = 0; i < 3; i++) {
        zd_command_t command = commands[i];
        command.client = "leader";
        command.by = "1";
        command.seq = i + 1;
        CU_ASSERT_EQUAL(zd_state_apply(core_state, &command).end, ZD_DONE);
    }
}

static void who_is_to_be_first_is_said_until_a_primary_has_answered(void)
{
    core_begin(&core_three, "2");
    zd_core_connected(core, core_now);
    UNIT_STR_EQ(core_beat.first, "2");
    core_answered((zd_answer_t){.epoch = 0});
    UNIT_STR_EQ(core_beat.first, "2");
    one_is_primary();
    core_answered((zd_answer_t){.epoch = 0});
    zd_core_connected(core, core_now);
    CU_ASSERT_PTR_NULL(core_beat.first);
    core_finish();
}

static void g4_a_named_node_that_the_map_has_not_is_said_once(void)
{
    core_begin(&core_three, "2");
    one_is_primary();
    zd_core_connected(core, core_now);
    core_answered((zd_answer_t){.epoch = 0});
    CU_ASSERT_PTR_NOT_NULL(
        strstr(core_said(), "AIS_PRIMARY_ID=2: the map has no such node, it is ignored"));
    core_answered((zd_answer_t){.epoch = 0});
    UNIT_STR_EQ(core_said(), "");
    core_finish();
    core_begin(&core_three, "1");
    one_is_primary();
    zd_core_connected(core, core_now);
    core_answered((zd_answer_t){.epoch = 0});
    CU_ASSERT_PTR_NULL(strstr(core_said(), "AIS_PRIMARY_ID"));
    core_finish();
}

/* It has no log to see from that the cluster has begun long ago, and would have named the first one
 * to each new leader for ever: failback is by hand (G13). */
static void an_observer_names_nobody_who_is_to_be_first(void)
{
    core_begin(&core_three, "2");
    zd_state_free(core_state);
    core_state = NULL;
    zd_core_connected(core, core_now);
    CU_ASSERT_PTR_NULL(core_beat.first);
    zd_core_free(core);
}

const unit_test_t suite_zd_core[] = {
    UNIT_TEST(o8_a_node_alone_begins_a_cluster_and_becomes_active),
    UNIT_TEST(each_change_of_the_replica_is_one_line),
    UNIT_TEST(what_is_dead_is_dead_before_anybody_is_told),
    UNIT_TEST(what_would_not_die_has_its_lease_run_out),
    UNIT_TEST(a_beat_says_what_the_replica_is_and_claims),
    UNIT_TEST(whatever_a_script_prints_the_node_can_still_say_something),
    UNIT_TEST(the_guard_hears_of_each_renewal_and_of_nothing_else),
    UNIT_TEST(h9_a_restarted_daemon_has_a_guard_for_the_time_of_the_one_before),
    UNIT_TEST(what_answers_no_beat_or_one_of_long_ago_proves_nothing),
    UNIT_TEST(g15_answers_of_older_terms_are_dropped_and_said_once),
    UNIT_TEST(a_gap_longer_than_an_election_is_a_doubt),
    UNIT_TEST(who_is_to_be_first_is_said_until_a_primary_has_answered),
    UNIT_TEST(g4_a_named_node_that_the_map_has_not_is_said_once),
    UNIT_TEST(an_observer_names_nobody_who_is_to_be_first),
    UNIT_END,
};
