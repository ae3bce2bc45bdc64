/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of zd_replica: each cell of its table, and its rounds. */
#include "unit.h"

#include <apr_strings.h>

#include "zd_replica.h"

enum {
    TIMEOUT_MS = 10000,
    BEGAN_MS = 1000000,
    LEFT_MS = 1005000, /* when the guard of an earlier run would kill */
    EPOCH = 7,
    ROUND_MS = 2000,
    STOP_MS = 6000,
    KILL_MS = 8000,
    GUARD_MS = 9000
};

static zd_replica_t replica;
static uint64_t now;

/* What is to be done, in words. */
static const char *words(zd_orders_t orders)
{
    return apr_pstrcat(
        unit_pool, zd_role_names[replica.role], orders.kill_script ? " kill-script" : "",
        orders.kill_service ? " kill-service" : "", orders.run == ZD_RUN_NONE ? "" : " ",
        orders.run == ZD_RUN_NONE ? "" : zd_run_names[orders.run], orders.beat ? " beat" : "",
        NULL);
}

static const char *ticked(uint64_t ms)
{
    now += ms;
    return words(zd_replica_tick(&replica, now));
}

static const char *told(zd_word_t word)
{
    return words(zd_replica_told(&replica, &word, now));
}

static const char *ran(bool well)
{
    return words(zd_replica_ran(&replica, well, now));
}

/* The answer to a beat that was sent so long ago. */
static const char *renewed(uint64_t epoch, uint64_t ms_ago)
{
    return told((zd_word_t){.epoch = epoch, .proves = true, .sent_ms = now - ms_ago});
}

/* --- ways into each role ---------------------------------------------------------------------- */

static void unsure(unsigned retries)
{
    now = BEGAN_MS;
    zd_replica_begin(&replica, TIMEOUT_MS, retries, now);
}

/* An earlier run has left a lease. */
static void resumed(unsigned retries)
{
    static const zd_left_t left = {.kill_at_ms = LEFT_MS};
    unsure(retries);
    zd_replica_resume(&replica, &left);
}

static void passive(unsigned retries)
{
    unsure(retries);
    UNIT_STR_EQ(told((zd_word_t){.epoch = 0}), "stopping ensure-passive beat");
    UNIT_STR_EQ(ran(true), "passive kill-service beat");
}

static void taking(unsigned retries)
{
    passive(retries);
    now += TIMEOUT_MS;
    UNIT_STR_EQ(renewed(EPOCH, 0), "taking ensure-active beat");
}

static void active(unsigned retries)
{
    taking(retries);
    UNIT_STR_EQ(ran(true), "active beat");
    UNIT_STR_EQ(ticked(ROUND_MS), "active ensure-active");
}

static void stopping(unsigned retries)
{
    active(retries);
    UNIT_STR_EQ(ran(true), "active");
    UNIT_STR_EQ(renewed(EPOCH, 0), "active");
    UNIT_STR_EQ(told((zd_word_t){.epoch = EPOCH, .yield = true}), "stopping ensure-passive beat");
}

static void (*const into[ZD_ROLE_COUNT])(unsigned retries) = {
    [ZD_ROLE_UNSURE] = resumed, [ZD_ROLE_PASSIVE] = passive,   [ZD_ROLE_TAKING] = taking,
    [ZD_ROLE_ACTIVE] = active,  [ZD_ROLE_STOPPING] = stopping,
};

/* --- the table -------------------------------------------------------------------------------- */

typedef enum cause_t { PROVEN, FOREIGN, YIELD, LATE, GOOD, BAD, END, CAUSES } cause_t;

static zd_orders_t caused(cause_t cause)
{
    static const zd_word_t foreign = {.epoch = 0};
    const zd_word_t yield = {.epoch = EPOCH, .yield = true};
    const zd_word_t proof = {.epoch = EPOCH, .proves = true, .sent_ms = now};
    switch (cause) {
    case PROVEN:
        return zd_replica_told(&replica, &proof, now);
    case FOREIGN:
        return zd_replica_told(&replica, &foreign, now);
    case YIELD:
        return zd_replica_told(&replica, &yield, now);
    case LATE:
        return zd_replica_tick(&replica, replica.proven_ms + STOP_MS);
    case END:
        return zd_replica_tick(&replica, replica.proven_ms + KILL_MS);
    default:
        return zd_replica_ran(&replica, cause == GOOD, now);
    }
}

/* The role after each cause, `-` when it stays the same, `!` when all is killed. */
static const char *row(zd_role_t role)
{
    const char *all = "";
    for (int cause = 0; cause < CAUSES; cause++) {
        into[role](1);
        CU_ASSERT_EQUAL(replica.role, role);
        const zd_orders_t orders = caused((cause_t)cause);
        CU_ASSERT_EQUAL(orders.changed, replica.role != role);
        CU_ASSERT_TRUE(orders.beat || !orders.changed);
        all = apr_pstrcat(unit_pool, all, cause ? " " : "",
                          replica.role == role ? "-" : zd_role_names[replica.role],
                          orders.kill_service ? "!" : "", NULL);
    }
    return all;
}

/* At the end of a lease that was not known to be held the service is asked to stop first. */
static void each_role_goes_on_as_the_table_says_and_stays_where_that_is_silent(void)
{
    /*                                  proven  foreign  yield    late     good  bad     end */
    UNIT_STR_EQ(row(ZD_ROLE_UNSURE), "taking stopping stopping stopping - - stopping");
    UNIT_STR_EQ(row(ZD_ROLE_PASSIVE), "taking - - - - - -");
    UNIT_STR_EQ(row(ZD_ROLE_TAKING), "- stopping stopping stopping active stopping passive!");
    UNIT_STR_EQ(row(ZD_ROLE_ACTIVE), "- stopping stopping stopping - stopping passive!");
    UNIT_STR_EQ(row(ZD_ROLE_STOPPING), "- - - - passive! passive! passive!");
}

/* --- a lease counts from the time that was asked for it --- */

static void all_times_follow_from_that_of_the_lease(void)
{
    const zd_times_t times = zd_times(TIMEOUT_MS);
    CU_ASSERT_EQUAL(times.round_ms, ROUND_MS);
    CU_ASSERT_EQUAL(times.stop_ms, STOP_MS);
    CU_ASSERT_EQUAL(times.kill_ms, KILL_MS);
    CU_ASSERT_EQUAL(times.guard_ms, GUARD_MS);
    CU_ASSERT_EQUAL(zd_times(2000).round_ms, 400);
    CU_ASSERT_EQUAL(zd_times(500).round_ms, ZD_ROUND_MS_MIN);
    CU_ASSERT_EQUAL(zd_times(3600000).round_ms, ZD_ROUND_MS_MAX);
}

static void h8_a_lease_counts_from_when_its_renewal_was_sent(void)
{
    passive(3);
    now += TIMEOUT_MS;
    UNIT_STR_EQ(renewed(EPOCH, 1000), "taking ensure-active beat");
    CU_ASSERT_EQUAL(zd_replica_deadline(&replica), now - 1000 + GUARD_MS);
    UNIT_STR_EQ(ran(true), "active beat");
    UNIT_STR_EQ(ticked(STOP_MS - 1000 - 1), "active ensure-active");
    UNIT_STR_EQ(ran(true), "active");
    UNIT_STR_EQ(ticked(1), "stopping ensure-passive beat");
    UNIT_STR_EQ(ticked(KILL_MS - STOP_MS - 1), "stopping");
    UNIT_STR_EQ(ticked(1), "passive kill-script kill-service beat");
    CU_ASSERT_EQUAL(zd_replica_deadline(&replica), 0);
}

static void an_answer_that_came_too_late_proves_nothing(void)
{
    passive(3);
    now += TIMEOUT_MS;
    UNIT_STR_EQ(renewed(EPOCH, STOP_MS), "passive ensure-passive beat");
    UNIT_STR_EQ(renewed(EPOCH, STOP_MS - 1), "taking beat");
}

static void an_older_answer_does_not_take_time_away(void)
{
    active(3);
    const uint64_t proven = replica.proven_ms;
    UNIT_STR_EQ(renewed(EPOCH, ROUND_MS + 500), "active");
    CU_ASSERT_EQUAL(replica.proven_ms, proven);
    UNIT_STR_EQ(renewed(EPOCH, 500), "active");
    CU_ASSERT_EQUAL(replica.proven_ms, now - 500);
}

static void a_word_that_answers_nothing_renews_nothing(void)
{
    active(3);
    const uint64_t proven = replica.proven_ms;
    UNIT_STR_EQ(told((zd_word_t){.epoch = EPOCH}), "active");
    CU_ASSERT_EQUAL(replica.proven_ms, proven);
}

static void h8_a_pause_longer_than_the_lease_kills_on_the_first_tick(void)
{
    active(3);
    UNIT_STR_EQ(ticked(1000000), "passive kill-script kill-service beat");
    UNIT_STR_EQ(ran(false), "passive ensure-passive");
    active(3);
    UNIT_STR_EQ(ran(true), "active");
    UNIT_STR_EQ(ticked(1000000), "passive kill-service ensure-passive beat");
}

static void the_first_thing_heard_after_a_pause_may_be_an_old_answer(void)
{
    active(3);
    UNIT_STR_EQ(ran(true), "active");
    now += 1000000;
    UNIT_STR_EQ(renewed(EPOCH, 1000000 - 10), "passive kill-service ensure-passive beat");
}

static void a_lease_once_stopped_is_never_held_again(void)
{
    stopping(3);
    CU_ASSERT_EQUAL(zd_replica_claim(&replica), EPOCH);
    UNIT_STR_EQ(ran(true), "passive kill-service beat");
    CU_ASSERT_EQUAL(zd_replica_claim(&replica), 0);
    CU_ASSERT_EQUAL(replica.stopped, EPOCH);
    UNIT_STR_EQ(renewed(EPOCH, 0), "passive");
    UNIT_STR_EQ(renewed(EPOCH - 1, 0), "passive");
    CU_ASSERT_EQUAL(zd_replica_claim(&replica), 0);
    UNIT_STR_EQ(told((zd_word_t){.epoch = EPOCH + 1}), "passive beat");
    CU_ASSERT_EQUAL(zd_replica_claim(&replica), EPOCH + 1);
    UNIT_STR_EQ(ticked(ROUND_MS), "passive ensure-passive");
    UNIT_STR_EQ(ran(true), "passive");
    UNIT_STR_EQ(renewed(EPOCH + 1, 0), "taking ensure-active beat");
}

static void while_it_stops_it_keeps_the_lease(void)
{
    stopping(3);
    now += 1000;
    UNIT_STR_EQ(renewed(EPOCH, 0), "stopping");
    CU_ASSERT_EQUAL(replica.proven_ms, now);
    CU_ASSERT_EQUAL(zd_replica_deadline(&replica), now + GUARD_MS);
}

static void another_lease_than_the_one_it_has_means_that_its_own_is_over(void)
{
    active(3);
    UNIT_STR_EQ(ran(true), "active");
    UNIT_STR_EQ(renewed(EPOCH + 1, 0), "stopping ensure-passive beat");
    UNIT_STR_EQ(ran(true), "passive kill-service beat");
    UNIT_STR_EQ(renewed(EPOCH + 1, 0), "taking ensure-active beat");
}

static void h9_a_restarted_daemon_keeps_the_lease_that_it_is_told_it_has(void)
{
    resumed(3);
    CU_ASSERT_EQUAL(zd_replica_claim(&replica), 0);
    CU_ASSERT_EQUAL(zd_replica_deadline(&replica), LEFT_MS);
    UNIT_STR_EQ(ticked(50), "unsure");
    UNIT_STR_EQ(told((zd_word_t){.epoch = EPOCH}), "unsure beat");
    CU_ASSERT_EQUAL(zd_replica_claim(&replica), EPOCH);
    UNIT_STR_EQ(renewed(EPOCH, 10), "taking ensure-active beat");
    UNIT_STR_EQ(ran(true), "active beat");
}

/* The time counted anew from the daemon's beginning, and the guard that the one before had left
 * waited no more: a service that would not stop outlived its lease. */
static void a_restarted_daemon_gives_no_more_time_than_the_one_before(void)
{
    resumed(3);
    told((zd_word_t){.epoch = EPOCH, .yield = true});
    CU_ASSERT_EQUAL(replica.role, ZD_ROLE_STOPPING);
    CU_ASSERT_EQUAL(zd_replica_deadline(&replica), LEFT_MS);
    resumed(3);
    UNIT_STR_EQ(ticked(STOP_MS), "stopping ensure-passive beat");
    CU_ASSERT_EQUAL(zd_replica_deadline(&replica), LEFT_MS);
    resumed(3);
    told((zd_word_t){.epoch = EPOCH});
    UNIT_STR_EQ(ticked(STOP_MS), "stopping ensure-passive beat");
    CU_ASSERT_EQUAL(zd_replica_claim(&replica), EPOCH);
    UNIT_STR_EQ(renewed(EPOCH, 10), "stopping");
    CU_ASSERT_EQUAL(zd_replica_deadline(&replica), now - 10 + GUARD_MS);
}

/* What an earlier run has said of it may still be on its way, and the lease be given to another. */
static void a_lease_that_an_earlier_run_has_stopped_is_given_back(void)
{
    unsure(3);
    UNIT_STR_EQ(renewed(EPOCH, 10), "stopping ensure-passive beat");
    UNIT_STR_EQ(renewed(EPOCH, 10), "stopping");
    UNIT_STR_EQ(ran(true), "passive kill-service beat");
    CU_ASSERT_EQUAL(replica.stopped, EPOCH);
    unsure(3);
    UNIT_STR_EQ(ticked(STOP_MS), "stopping ensure-passive beat");
    UNIT_STR_EQ(ran(true), "passive kill-service beat");
    UNIT_STR_EQ(renewed(EPOCH, 10), "passive beat");
    CU_ASSERT_EQUAL(replica.stopped, EPOCH);
    unsure(3);
    UNIT_STR_EQ(ticked(STOP_MS), "stopping ensure-passive beat");
    UNIT_STR_EQ(renewed(EPOCH, 10), "stopping beat");
    UNIT_STR_EQ(ran(true), "passive kill-service beat");
    CU_ASSERT_EQUAL(replica.stopped, EPOCH);
}

/* --- rounds --- */

static void h5_scripts_run_every_round(void)
{
    active(3);
    UNIT_STR_EQ(ran(true), "active");
    UNIT_STR_EQ(ticked(ROUND_MS - 1), "active");
    UNIT_STR_EQ(ticked(1), "active ensure-active");
    UNIT_STR_EQ(ticked(500), "active");
    UNIT_STR_EQ(ran(true), "active");
    renewed(EPOCH, 0);
    UNIT_STR_EQ(ticked(ROUND_MS - 501), "active");
    UNIT_STR_EQ(ticked(1), "active ensure-active");
    passive(3);
    UNIT_STR_EQ(ticked(ROUND_MS - 1), "passive");
    UNIT_STR_EQ(ticked(1), "passive ensure-passive");
}

/* It was: once as what ends one role, and at once again as what the next one does each round. */
static void a_script_is_not_run_twice_when_the_role_changes(void)
{
    taking(3);
    UNIT_STR_EQ(ticked(300), "taking");
    UNIT_STR_EQ(ran(true), "active beat");
    UNIT_STR_EQ(ticked(ROUND_MS - 301), "active");
    UNIT_STR_EQ(ticked(1), "active ensure-active");
    stopping(3);
    UNIT_STR_EQ(ticked(300), "stopping");
    UNIT_STR_EQ(ran(true), "passive kill-service beat");
    UNIT_STR_EQ(ticked(ROUND_MS - 301), "passive");
    UNIT_STR_EQ(ticked(1), "passive ensure-passive");
}

static void a_script_longer_than_a_round_is_followed_by_the_next_one_at_once(void)
{
    active(3);
    UNIT_STR_EQ(ticked(ROUND_MS + 500), "active");
    UNIT_STR_EQ(ran(true), "active ensure-active");
}

static void ensure_active_is_killed_when_the_service_has_to_stop(void)
{
    active(3);
    UNIT_STR_EQ(told((zd_word_t){.epoch = EPOCH, .yield = true}), "stopping kill-script beat");
    UNIT_STR_EQ(ticked(50), "stopping kill-script");
    UNIT_STR_EQ(ran(false), "stopping ensure-passive");
    CU_ASSERT_EQUAL(replica.fails, 0);
}

/* It is told of its end a little later, when another lease may be there already. */
static void how_a_script_ends_that_was_killed_counts_for_nothing(void)
{
    for (int well = 0; well < 2; well++) {
        active(1);
        UNIT_STR_EQ(ticked(KILL_MS), "passive kill-script kill-service beat");
        UNIT_STR_EQ(renewed(EPOCH + 1, 0), "taking beat");
        UNIT_STR_EQ(ran(well), "taking ensure-active");
    }
}

static void ensure_passive_is_waited_for_before_ensure_active_runs(void)
{
    passive(3);
    UNIT_STR_EQ(ticked(ROUND_MS), "passive ensure-passive");
    UNIT_STR_EQ(renewed(EPOCH, 0), "taking beat");
    UNIT_STR_EQ(ticked(500), "taking");
    UNIT_STR_EQ(ran(false), "taking ensure-active");
    CU_ASSERT_EQUAL(replica.fails, 0);
}

static void ensure_passive_that_fails_too_often_kills(void)
{
    stopping(3);
    UNIT_STR_EQ(ran(false), "stopping");
    UNIT_STR_EQ(ticked(ROUND_MS), "stopping ensure-passive");
    UNIT_STR_EQ(ran(false), "stopping");
    renewed(EPOCH, 0);
    UNIT_STR_EQ(ticked(ROUND_MS), "stopping ensure-passive");
    UNIT_STR_EQ(ran(false), "passive kill-service beat");
    CU_ASSERT_EQUAL(replica.stopped, EPOCH);
}

static void h6_a_replica_that_failed_too_often_gives_up_and_does_not_ask_for_a_leases_time(void)
{
    taking(3);
    UNIT_STR_EQ(ran(false), "taking");
    UNIT_STR_EQ(ticked(ROUND_MS), "taking ensure-active");
    UNIT_STR_EQ(ran(false), "taking");
    renewed(EPOCH, 0);
    UNIT_STR_EQ(ticked(ROUND_MS), "taking ensure-active");
    UNIT_STR_EQ(ran(false), "stopping ensure-passive beat");
    const uint64_t gave_up = now;
    now += 100;
    UNIT_STR_EQ(ran(true), "passive kill-service beat");
    CU_ASSERT_EQUAL(replica.waiting_ms, now);
    CU_ASSERT_FALSE(zd_replica_wants(&replica, now));
    CU_ASSERT_FALSE(zd_replica_wants(&replica, gave_up + TIMEOUT_MS - 1));
    CU_ASSERT_TRUE(zd_replica_wants(&replica, gave_up + TIMEOUT_MS));
}

static void failures_count_only_in_a_row(void)
{
    active(2);
    UNIT_STR_EQ(ran(false), "active");
    UNIT_STR_EQ(ticked(ROUND_MS), "active ensure-active");
    UNIT_STR_EQ(ran(true), "active");
    renewed(EPOCH, 0);
    UNIT_STR_EQ(ticked(ROUND_MS), "active ensure-active");
    UNIT_STR_EQ(ran(false), "active");
}

static void only_a_passive_replica_wants_the_lease(void)
{
    for (int role = 0; role < ZD_ROLE_COUNT; role++) {
        into[role](3);
        CU_ASSERT_EQUAL(zd_replica_wants(&replica, now), role == ZD_ROLE_PASSIVE);
    }
}

static void while_it_is_paused_rounds_rest_and_nobody_gives_up(void)
{
    const zd_word_t pause = {.epoch = EPOCH, .paused = true};
    active(1);
    told(pause);
    UNIT_STR_EQ(ran(false), "active");
    UNIT_STR_EQ(ticked(ROUND_MS), "active");
    UNIT_STR_EQ(told((zd_word_t){.epoch = EPOCH}), "active ensure-active");
    passive(1);
    told((zd_word_t){.epoch = 0, .paused = true});
    UNIT_STR_EQ(ticked(ROUND_MS), "passive");
}

static void while_it_is_paused_a_lease_still_ends_and_what_was_begun_is_finished(void)
{
    const zd_word_t pause = {.epoch = EPOCH, .paused = true};
    active(1);
    ran(true);
    told(pause);
    UNIT_STR_EQ(ticked(STOP_MS - ROUND_MS), "stopping ensure-passive beat");
    UNIT_STR_EQ(ran(false), "passive kill-service beat");
    taking(2);
    told(pause);
    UNIT_STR_EQ(ran(false), "taking");
    UNIT_STR_EQ(ticked(ROUND_MS), "taking ensure-active");
}

const unit_test_t suite_zd_replica[] = {
    UNIT_TEST(each_role_goes_on_as_the_table_says_and_stays_where_that_is_silent),
    UNIT_TEST(all_times_follow_from_that_of_the_lease),
    UNIT_TEST(h8_a_lease_counts_from_when_its_renewal_was_sent),
    UNIT_TEST(an_answer_that_came_too_late_proves_nothing),
    UNIT_TEST(an_older_answer_does_not_take_time_away),
    UNIT_TEST(a_word_that_answers_nothing_renews_nothing),
    UNIT_TEST(h8_a_pause_longer_than_the_lease_kills_on_the_first_tick),
    UNIT_TEST(the_first_thing_heard_after_a_pause_may_be_an_old_answer),
    UNIT_TEST(a_lease_once_stopped_is_never_held_again),
    UNIT_TEST(while_it_stops_it_keeps_the_lease),
    UNIT_TEST(another_lease_than_the_one_it_has_means_that_its_own_is_over),
    UNIT_TEST(h9_a_restarted_daemon_keeps_the_lease_that_it_is_told_it_has),
    UNIT_TEST(a_restarted_daemon_gives_no_more_time_than_the_one_before),
    UNIT_TEST(a_lease_that_an_earlier_run_has_stopped_is_given_back),
    UNIT_TEST(h5_scripts_run_every_round),
    UNIT_TEST(a_script_is_not_run_twice_when_the_role_changes),
    UNIT_TEST(a_script_longer_than_a_round_is_followed_by_the_next_one_at_once),
    UNIT_TEST(ensure_active_is_killed_when_the_service_has_to_stop),
    UNIT_TEST(how_a_script_ends_that_was_killed_counts_for_nothing),
    UNIT_TEST(ensure_passive_is_waited_for_before_ensure_active_runs),
    UNIT_TEST(ensure_passive_that_fails_too_often_kills),
    UNIT_TEST(h6_a_replica_that_failed_too_often_gives_up_and_does_not_ask_for_a_leases_time),
    UNIT_TEST(failures_count_only_in_a_row),
    UNIT_TEST(only_a_passive_replica_wants_the_lease),
    UNIT_TEST(while_it_is_paused_rounds_rest_and_nobody_gives_up),
    UNIT_TEST(while_it_is_paused_a_lease_still_ends_and_what_was_begun_is_finished),
    UNIT_END,
};
