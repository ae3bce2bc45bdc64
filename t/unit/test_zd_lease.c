/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of zd_lease: whom a leader gives the lease to, and when it is over. */
#include "unit.h"

#include <inttypes.h>

#include <apr_strings.h>

#include "zd_lease.h"

enum { TIMEOUT_MS = 10000, ELECTION_MS = 600, DRIFT_MS = 100, BEGAN_MS = 1000000, REPLICAS = 3 };

static const zd_replica_conf_t replicas[REPLICAS] = {
    {.id = "0", .route = "hostA"}, {.id = "1", .route = "hostB"}, {.id = "2", .route = "hostC"}};
static const hap_map_member_t members[REPLICAS] = {
    {.route = "hostA"}, {.route = "hostB"}, {.route = "hostC"}};
static const zd_config_t config = {
    .app = "Voting", .replicas = replicas, .replicas_n = REPLICAS, .timeout_ms = TIMEOUT_MS};

static zd_app_t app;
static zd_roll_t roll;
static zd_lease_t lease;
static uint64_t now;

/* A leader of a cluster in which nobody was ever active. */
static void begin(void)
{
    app = (zd_app_t){
        .map = {.name = "Voting", .single = true, .members = members, .members_n = REPLICAS}};
    roll = (zd_roll_t){.n = 0};
    now = BEGAN_MS;
    zd_lease_begin(&lease, TIMEOUT_MS, ELECTION_MS, now);
}

/* A beat of that replica, and whether it renewed the lease. */
static bool beats(unsigned replica, zd_beat_t beat)
{
    beat.node = replicas[replica].id;
    beat.role = beat.role ? beat.role : "passive";
    beat.home = beat.home ? beat.home : replicas[replica].id;
    const zd_heard_t *heard = zd_roll_hear(&roll, &beat, now);
    zd_lease_look(&lease, &app, now);
    return zd_lease_renew(&lease, &app, replicas[replica].route, &heard->beat, now);
}

static void waits(unsigned replica, uint64_t waiting_ms, bool well)
{
    beats(replica, (zd_beat_t){.wants = true, .well = well, .waiting_ms = waiting_ms});
}

/* What is to be agreed on now. */
static const char *next(void)
{
    zd_command_t command;
    zd_lease_look(&lease, &app, now);
    if (!zd_lease_next(&command, &lease, &app, &config, &roll, now)) {
        return "nothing";
    }
    UNIT_STR_EQ(command.app, "Voting");
    CU_ASSERT_EQUAL(command.epoch, app.granted);
    return command.what == ZD_DO_GRANT ? command.route
                                       : apr_pstrcat(unit_pool, "release: ", command.why, NULL);
}

/* That is agreed on. */
static void granted(const char *route)
{
    app.granted++;
    app.map.epoch = app.granted;
    app.map.active = route;
    app.home = replicas[zd_config_route(&config, route)].id;
    zd_lease_look(&lease, &app, now);
}

static void released(void)
{
    app.map.active = NULL;
    zd_lease_look(&lease, &app, now);
}

/* hostA has had the lease for a while, under this leader. */
static void begin_active(void)
{
    begin();
    granted("hostA");
    now += 10 * TIMEOUT_MS;
    zd_lease_begin(&lease, TIMEOUT_MS, ELECTION_MS, now - 5 * TIMEOUT_MS);
    zd_lease_look(&lease, &app, now);
    CU_ASSERT_TRUE(beats(0, (zd_beat_t){.claim = 1, .well = true}));
    waits(1, 20000, true);
    waits(2, 20000, true);
}

/* --- whom it is given to --- */

static void the_one_that_has_waited_longest_gets_it(void)
{
    begin();
    waits(0, 1000, true);
    waits(1, 1000, true);
    waits(2, 3001, true);
    UNIT_STR_EQ(next(), "hostC");
    waits(1, 6000, true);
    UNIT_STR_EQ(next(), "hostB");
}

static void two_seconds_make_no_difference_then_the_order_counts(void)
{
    begin();
    waits(2, 3000, true);
    waits(1, 1000, true);
    waits(0, 999, true);
    UNIT_STR_EQ(next(), "hostB");
    waits(0, 1000, true);
    UNIT_STR_EQ(next(), "hostA");
}

static void s1_the_first_of_the_list_is_the_first_active_when_nothing_else_is_known(void)
{
    begin();
    waits(2, 900, true);
    waits(1, 500, true);
    waits(0, 0, true);
    UNIT_STR_EQ(next(), "hostA");
}

static void those_whose_last_script_failed_come_last(void)
{
    begin();
    waits(0, 50000, false);
    waits(1, 0, true);
    waits(2, 0, false);
    UNIT_STR_EQ(next(), "hostB");
    beats(1, (zd_beat_t){.wants = false});
    now += ZD_FIRST_MS - 1;
    waits(0, 50000, false);
    waits(2, 0, false);
    UNIT_STR_EQ(next(), "nothing");
    now++;
    UNIT_STR_EQ(next(), "hostA");
}

static void nobody_gets_it_before_all_were_heard_or_two_seconds_have_passed(void)
{
    begin();
    waits(1, 0, true);
    waits(2, 0, true);
    UNIT_STR_EQ(next(), "nothing");
    now += ZD_FIRST_MS - 1;
    waits(1, 0, true);
    UNIT_STR_EQ(next(), "nothing");
    now += 1;
    UNIT_STR_EQ(next(), "hostB");
    begin();
    waits(1, 0, true);
    waits(2, 0, true);
    waits(0, 0, true);
    UNIT_STR_EQ(next(), "hostA");
}

static void later_ones_need_not_wait_for_all(void)
{
    begin_active();
    beats(0, (zd_beat_t){.stopped = 1, .well = true});
    released();
    now += ZD_PRESENT_MS;
    waits(2, 0, true);
    UNIT_STR_EQ(next(), "hostC");
}

static void who_does_not_want_it_is_gone_or_is_no_member_does_not_get_it(void)
{
    begin();
    beats(0, (zd_beat_t){.wants = false, .well = true});
    waits(1, 0, true);
    now += ZD_PRESENT_MS;
    waits(2, 0, true);
    UNIT_STR_EQ(next(), "hostC");
    app.map.members_n = 2;
    UNIT_STR_EQ(next(), "nothing");
}

static void an_application_that_is_active_everywhere_has_no_lease(void)
{
    begin();
    app.map.single = false;
    now += ZD_FIRST_MS;
    waits(0, 0, true);
    UNIT_STR_EQ(next(), "nothing");
}

/* --- when it is over --- */

static void h7_a_lease_that_is_not_renewed_is_over_after_its_time_and_not_before(void)
{
    begin_active();
    now += TIMEOUT_MS + DRIFT_MS - 1;
    UNIT_STR_EQ(next(), "nothing");
    now++;
    UNIT_STR_EQ(next(), "release: it has not renewed its lease");
}

static void each_renewal_counts_from_when_it_was_heard(void)
{
    begin_active();
    now += TIMEOUT_MS;
    CU_ASSERT_TRUE(beats(0, (zd_beat_t){.claim = 1}));
    now += TIMEOUT_MS + DRIFT_MS - 1;
    UNIT_STR_EQ(next(), "nothing");
    now++;
    UNIT_STR_EQ(next(), "release: it has not renewed its lease");
}

static void what_is_over_is_never_renewed(void)
{
    begin_active();
    now += TIMEOUT_MS + DRIFT_MS;
    CU_ASSERT_FALSE(beats(0, (zd_beat_t){.claim = 1}));
    now += 1;
    CU_ASSERT_FALSE(beats(0, (zd_beat_t){.claim = 1}));
    UNIT_STR_EQ(next(), "release: it has not renewed its lease");
}

static void a_new_leader_waits_for_what_the_one_before_may_have_renewed(void)
{
    const uint64_t floor = TIMEOUT_MS + 2 * ELECTION_MS + DRIFT_MS;
    begin();
    granted("hostA");
    now = BEGAN_MS;
    zd_lease_begin(&lease, TIMEOUT_MS, ELECTION_MS, now);
    waits(1, 0, true);
    now = BEGAN_MS + floor - 1;
    UNIT_STR_EQ(next(), "nothing");
    now++;
    UNIT_STR_EQ(next(), "release: it has not renewed its lease");
}

static void before_its_floor_a_new_leader_renews_what_it_knows_nothing_of(void)
{
    begin();
    granted("hostA");
    zd_lease_begin(&lease, TIMEOUT_MS, ELECTION_MS, now);
    now += TIMEOUT_MS + 2 * ELECTION_MS + DRIFT_MS - 1;
    CU_ASSERT_TRUE(beats(0, (zd_beat_t){.claim = 1}));
    now += TIMEOUT_MS;
    UNIT_STR_EQ(next(), "nothing");
}

static void the_drift_is_a_hundredth_and_never_less_than_20_ms(void)
{
    zd_lease_begin(&lease, 2000, ELECTION_MS, 0);
    CU_ASSERT_EQUAL(lease.drift_ms, 20);
    zd_lease_begin(&lease, 3600000, ELECTION_MS, 0);
    CU_ASSERT_EQUAL(lease.drift_ms, 36000);
}

static void only_the_holder_renews_and_only_the_lease_that_it_has(void)
{
    begin_active();
    CU_ASSERT_FALSE(beats(0, (zd_beat_t){.claim = 0}));
    CU_ASSERT_FALSE(beats(0, (zd_beat_t){.claim = 2}));
    CU_ASSERT_FALSE(beats(1, (zd_beat_t){.claim = 1}));
    CU_ASSERT_TRUE(beats(0, (zd_beat_t){.claim = 1}));
    const zd_beat_t beat = {.node = "web", .claim = 1};
    CU_ASSERT_FALSE(zd_lease_renew(&lease, &app, NULL, &beat, now));
    CU_ASSERT_FALSE(zd_lease_renew(&lease, NULL, "hostA", &beat, now));
    released();
    CU_ASSERT_FALSE(beats(0, (zd_beat_t){.claim = 1}));
}

/* Two that are started with one id. Another leader may hear the other one first, which has a lease
 * of its own to stop, or none. */
static void of_two_daemons_with_one_id_the_lease_is_that_ones_who_was_given_it(void)
{
    begin_active();
    zd_lease_begin(&lease, TIMEOUT_MS, ELECTION_MS, now);
    zd_lease_look(&lease, &app, now);
    roll.n = 0;
    CU_ASSERT_FALSE(beats(0, (zd_beat_t){.home = "other", .claim = 1, .well = true}));
    CU_ASSERT_FALSE(beats(0, (zd_beat_t){.home = "other", .stopped = 1, .well = true}));
    CU_ASSERT_FALSE(zd_lease_is_holder(&app, "hostA", &roll.nodes[0].beat));
    waits(1, 20000, true);
    UNIT_STR_EQ(next(), "nothing");
    now = lease.floor_ms - 1;
    waits(1, 20000, true);
    UNIT_STR_EQ(next(), "nothing");
    now = lease.floor_ms;
    waits(1, 20000, true);
    UNIT_STR_EQ(next(), "release: it has not renewed its lease");
}

static void a_claim_of_who_has_stopped_renews_nothing(void)
{
    begin_active();
    CU_ASSERT_FALSE(beats(0, (zd_beat_t){.claim = 1, .stopped = 1}));
}

/* The release was on its way to the log, a daemon that was started again claimed the lease, which
 * it was told it still had, and got it for a moment longer than the leader knew. */
static void a_lease_that_was_stopped_stays_so_when_the_daemon_is_started_again(void)
{
    begin_active();
    beats(0, (zd_beat_t){.claim = 0, .stopped = 1, .well = true});
    UNIT_STR_EQ(next(), "release: it has stopped");
    CU_ASSERT_FALSE(beats(0, (zd_beat_t){.claim = 1, .stopped = 0}));
    UNIT_STR_EQ(next(), "release: it has stopped");
    granted("hostA");
    CU_ASSERT_TRUE(beats(0, (zd_beat_t){.claim = 2, .stopped = 0}));
}

static void a_release_skips_the_wait(void)
{
    begin_active();
    UNIT_STR_EQ(next(), "nothing");
    beats(0, (zd_beat_t){.stopped = 1, .well = true});
    UNIT_STR_EQ(next(), "release: it has stopped");
    released();
    UNIT_STR_EQ(next(), "hostB");
    begin();
    granted("hostA");
    zd_lease_begin(&lease, TIMEOUT_MS, ELECTION_MS, now);
    beats(0, (zd_beat_t){.stopped = 1, .well = true});
    UNIT_STR_EQ(next(), "release: it has stopped");
}

static void a_route_that_is_no_replica_any_more_loses_it_when_its_time_is_over(void)
{
    begin_active();
    app.map.active = "hostZ";
    UNIT_STR_EQ(next(), "nothing");
    now += TIMEOUT_MS + DRIFT_MS;
    UNIT_STR_EQ(next(), "release: it has not renewed its lease");
}

/* --- by hand --- */

static void while_it_is_paused_nobody_loses_it_or_gets_it(void)
{
    begin_active();
    app.paused = true;
    now += 2 * TIMEOUT_MS;
    UNIT_STR_EQ(next(), "nothing");
    released();
    waits(1, 0, true);
    UNIT_STR_EQ(next(), "nothing");
    app.paused = false;
    UNIT_STR_EQ(next(), "hostB");
}

static const char *moved(unsigned replica)
{
    const char *why = zd_lease_move(&lease, &app, &config, &roll, replica, now);
    return why ? why : "moves";
}

static void h11_a_lease_is_moved_by_hand(void)
{
    begin_active();
    CU_ASSERT_FALSE(zd_lease_yields(&lease, &app));
    UNIT_STR_EQ(moved(2), "moves");
    CU_ASSERT_TRUE(zd_lease_yields(&lease, &app));
    UNIT_STR_EQ(next(), "nothing");
    beats(0, (zd_beat_t){.stopped = 1, .wants = true, .well = true});
    UNIT_STR_EQ(next(), "release: it was told to");
    released();
    CU_ASSERT_FALSE(zd_lease_yields(&lease, &app));
    UNIT_STR_EQ(next(), "hostC");
    granted("hostC");
    UNIT_STR_EQ(lease.to, "");
}

static void h11_it_moves_while_it_is_paused(void)
{
    begin_active();
    app.paused = true;
    UNIT_STR_EQ(moved(1), "moves");
    beats(0, (zd_beat_t){.stopped = 1, .well = true});
    UNIT_STR_EQ(next(), "release: it was told to");
    released();
    UNIT_STR_EQ(next(), "hostB");
}

static void a_move_that_cannot_be_is_refused_with_the_reason(void)
{
    begin_active();
    UNIT_STR_EQ(moved(0), "it is the active one");
    beats(1, (zd_beat_t){.role = "stopping"});
    UNIT_STR_EQ(moved(1), "it is not passive");
    now += ZD_PRESENT_MS;
    UNIT_STR_EQ(moved(2), "it is not there");
    UNIT_STR_EQ(zd_lease_move(&lease, NULL, &config, &roll, 1, now),
                "the application has not begun");
}

static void h11_by_hand_who_has_just_given_up_is_asked_too(void)
{
    begin_active();
    beats(1, (zd_beat_t){.wants = false});
    UNIT_STR_EQ(moved(1), "moves");
    beats(0, (zd_beat_t){.stopped = 1, .wants = true, .well = true});
    released();
    UNIT_STR_EQ(next(), "hostB");
}

static void a_move_is_given_up_after_the_time_of_two_leases(void)
{
    begin_active();
    UNIT_STR_EQ(moved(2), "moves");
    now += 2 * TIMEOUT_MS - 1;
    zd_lease_look(&lease, &app, now);
    CU_ASSERT_TRUE(zd_lease_yields(&lease, &app));
    now++;
    zd_lease_look(&lease, &app, now);
    CU_ASSERT_FALSE(zd_lease_yields(&lease, &app));
}

/* The one that it is to move to has gone meanwhile: nobody else is given it before the move is. */
static void what_moves_is_kept_for_the_one_it_moves_to(void)
{
    begin_active();
    UNIT_STR_EQ(moved(2), "moves");
    beats(0, (zd_beat_t){.stopped = 1, .wants = true, .well = true});
    released();
    now += ZD_PRESENT_MS;
    waits(0, 0, true);
    waits(1, 0, true);
    UNIT_STR_EQ(next(), "nothing");
    now += 2 * TIMEOUT_MS;
    waits(0, 0, true);
    waits(1, 3000, true);
    UNIT_STR_EQ(next(), "hostB");
}

const unit_test_t suite_zd_lease[] = {
    UNIT_TEST(the_one_that_has_waited_longest_gets_it),
    UNIT_TEST(two_seconds_make_no_difference_then_the_order_counts),
    UNIT_TEST(s1_the_first_of_the_list_is_the_first_active_when_nothing_else_is_known),
    UNIT_TEST(those_whose_last_script_failed_come_last),
    UNIT_TEST(nobody_gets_it_before_all_were_heard_or_two_seconds_have_passed),
    UNIT_TEST(later_ones_need_not_wait_for_all),
    UNIT_TEST(who_does_not_want_it_is_gone_or_is_no_member_does_not_get_it),
    UNIT_TEST(an_application_that_is_active_everywhere_has_no_lease),
    UNIT_TEST(h7_a_lease_that_is_not_renewed_is_over_after_its_time_and_not_before),
    UNIT_TEST(each_renewal_counts_from_when_it_was_heard),
    UNIT_TEST(what_is_over_is_never_renewed),
    UNIT_TEST(a_new_leader_waits_for_what_the_one_before_may_have_renewed),
    UNIT_TEST(before_its_floor_a_new_leader_renews_what_it_knows_nothing_of),
    UNIT_TEST(the_drift_is_a_hundredth_and_never_less_than_20_ms),
    UNIT_TEST(only_the_holder_renews_and_only_the_lease_that_it_has),
    UNIT_TEST(of_two_daemons_with_one_id_the_lease_is_that_ones_who_was_given_it),
    UNIT_TEST(a_claim_of_who_has_stopped_renews_nothing),
    UNIT_TEST(a_lease_that_was_stopped_stays_so_when_the_daemon_is_started_again),
    UNIT_TEST(a_release_skips_the_wait),
    UNIT_TEST(a_route_that_is_no_replica_any_more_loses_it_when_its_time_is_over),
    UNIT_TEST(while_it_is_paused_nobody_loses_it_or_gets_it),
    UNIT_TEST(h11_a_lease_is_moved_by_hand),
    UNIT_TEST(h11_it_moves_while_it_is_paused),
    UNIT_TEST(a_move_that_cannot_be_is_refused_with_the_reason),
    UNIT_TEST(h11_by_hand_who_has_just_given_up_is_asked_too),
    UNIT_TEST(a_move_is_given_up_after_the_time_of_two_leases),
    UNIT_TEST(what_moves_is_kept_for_the_one_it_moves_to),
    UNIT_END,
};
