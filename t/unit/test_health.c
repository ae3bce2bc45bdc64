/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hap_health, the timing ones on a simulated clock. */
#include "unit.h"

#include <stdio.h>

#include "hap_health.h"

static const hap_health_rule_t rule = {
    .rise = 2, .fall = 3, .interval = 1000000, .timeout = 500000};
static const hap_health_rule_t on_demand = {
    .rise = 2, .fall = 3, .interval = 1000000, .timeout = 500000, .on_demand = true};

static const char *line_of(hap_health_change_t change)
{
    static char line[HAP_HEALTH_LINE_BYTES];
    hap_health_line(line, sizeof(line), hap_str("hostA"), &change);
    return line;
}

/* Runs results, + good, - failed, ! suspect, and returns the verdicts: ? unknown, u up, s suspect,
 * d down. */
static const char *trace(hap_health_t *health, const char *events)
{
    static char seen[100];
    size_t n = 0;
    for (; events[n]; n++) {
        if (events[n] == '+') {
            hap_health_probed(health, &rule, HAP_CHECK_GOOD, (apr_time_t)n, "status 200");
        } else if (events[n] == '-') {
            hap_health_probed(health, &rule, HAP_CHECK_DEAD, (apr_time_t)n, "connect refused");
        } else {
            hap_health_suspect(health, "connect refused", 0);
        }
        seen[n] = health->suspect ? 's' : "?ud"[health->verdict];
    }
    seen[n] = '\0';
    return seen;
}

static void verdicts_follow_consecutive_results(void)
{
    static const char *const rows[][2] = {
        {"+", "u"},
        {"--+", "??u"},
        {"---", "??d"},
        {"+--+--+---", "uuuuuuuuud"},
        {"----++", "??dddu"},
        {"---+-+-++", "??ddddddu"},
        {"!+", "su"},
        {"!---", "sssd"},
        {"+!+", "usu"},
        {"+!--+---", "usssuuud"},
        {"+---!++", "uuudddu"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        hap_health_t health;
        hap_health_init(&health, 0);
        UNIT_STR_EQ(trace(&health, rows[i][0]), rows[i][1]);
    }
}

static void a_single_failed_probe_never_ejects(void)
{
    hap_health_t health;
    hap_health_init(&health, 0);
    trace(&health, "+");
    for (int i = 0; i < 1000; i++) {
        trace(&health, i % 2 ? "+" : "-");
        CU_ASSERT_NOT_EQUAL(health.verdict, HAP_HEALTH_DOWN);
    }
}

static void each_transition_makes_one_line_and_the_rest_none(void)
{
    hap_health_t health;
    hap_health_init(&health, 0);
    UNIT_STR_EQ(line_of(hap_health_probed(&health, &rule, HAP_CHECK_GOOD, 1, "status 200")),
                "member hostA: unknown -> up, status 200, 1 of 1 probe succeeded");
    UNIT_STR_EQ(line_of(hap_health_probed(&health, &rule, HAP_CHECK_GOOD, 2, "status 200")), "");
    UNIT_STR_EQ(line_of(hap_health_probed(&health, &rule, HAP_CHECK_DEAD, 3, "connect refused")),
                "");
    UNIT_STR_EQ(line_of(hap_health_probed(&health, &rule, HAP_CHECK_DEAD, 4, "connect refused")),
                "");
    UNIT_STR_EQ(line_of(hap_health_probed(&health, &rule, HAP_CHECK_DEAD, 5, "connect refused")),
                "member hostA: up -> down, connect refused, 3 of 3 probes failed");
    CU_ASSERT_EQUAL(health.since, 5);
    UNIT_STR_EQ(line_of(hap_health_suspect(&health, "connect refused", 0)), "");
    UNIT_STR_EQ(line_of(hap_health_probed(&health, &rule, HAP_CHECK_GOOD, 6, "status 200")), "");
    UNIT_STR_EQ(line_of(hap_health_probed(&health, &rule, HAP_CHECK_GOOD, 7, "status 200")),
                "member hostA: down -> up, status 200, 2 of 2 probes succeeded");
    UNIT_STR_EQ(line_of(hap_health_suspect(&health, "connect refused by a request", 0)),
                "member hostA: up, now suspect, connect refused by a request");
    UNIT_STR_EQ(line_of(hap_health_suspect(&health, "connect refused by a request", 0)), "");
    UNIT_STR_EQ(line_of(hap_health_probed(&health, &rule, HAP_CHECK_GOOD, 8, "status 200")),
                "member hostA: up, no longer suspect, status 200, 1 of 1 probe succeeded");
    CU_ASSERT_EQUAL(health.since, 7);
}

/* One good probe of two is no verdict yet, but an answer, as a wrong one is. */
static void a_member_answers_that_answered_its_last_probe(void)
{
    static const hap_check_end_t ends[] = {HAP_CHECK_DEAD, HAP_CHECK_SICK, HAP_CHECK_DEAD,
                                           HAP_CHECK_GOOD};
    hap_health_t health;
    hap_health_init(&health, 0);
    trace(&health, "---");
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        hap_health_probed(&health, &rule, ends[i], 1, "");
        CU_ASSERT_EQUAL(health.verdict, HAP_HEALTH_DOWN);
        CU_ASSERT_EQUAL(health.answers, ends[i] != HAP_CHECK_DEAD);
    }
}

static void a_probe_that_could_not_be_made_changes_nothing(void)
{
    hap_health_t health;
    hap_health_init(&health, 0);
    trace(&health, "+--");
    const hap_health_t before = health;
    UNIT_STR_EQ(line_of(hap_health_probed(&health, &rule, HAP_CHECK_NONE, 9, "out of resources")),
                "");
    CU_ASSERT_EQUAL(memcmp(&health, &before, sizeof(health)), 0);
}

static void a_reason_is_cut_and_made_printable(void)
{
    char why[300];
    memset(why, 'x', sizeof(why) - 1);
    why[sizeof(why) - 1] = '\0';
    why[0] = '\n';
    hap_health_t health;
    hap_health_init(&health, 0);
    hap_health_probed(&health, &rule, HAP_CHECK_DEAD, 1, why);
    CU_ASSERT_EQUAL(strlen(health.why), HAP_HEALTH_WHY_BYTES - 1);
    CU_ASSERT_EQUAL(health.why[0], '?');
    hap_health_change_t change = hap_health_suspect(&health, why, 0);
    char line[20];
    hap_health_line(line, sizeof(line), hap_str("hostA"), &change);
    UNIT_STR_EQ(line, "member hostA: unkno");
    hap_health_probed(&health, &rule, HAP_CHECK_DEAD, 1, NULL);
    UNIT_STR_EQ(health.why, "");
}

static void history_keeps_the_last_64_results(void)
{
    hap_health_t health;
    hap_health_init(&health, 0);
    trace(&health, "+-+");
    CU_ASSERT_EQUAL(health.history, 5);
    CU_ASSERT_EQUAL(health.seen, 3);
    for (int i = 0; i < 100; i++) {
        trace(&health, "+");
    }
    CU_ASSERT_EQUAL(health.history, ~(uint64_t)0);
    CU_ASSERT_EQUAL(health.seen, 64);
}

static void the_interval_is_jittered_by_a_tenth_and_quartered_in_transition(void)
{
    hap_health_t health;
    hap_health_init(&health, 0);
    CU_ASSERT_EQUAL(hap_health_delay(&health, &rule, 0), 900000);
    CU_ASSERT_EQUAL(hap_health_delay(&health, &rule, 0x80000000U), 1000000);
    CU_ASSERT_EQUAL(hap_health_delay(&health, &rule, 0xffffffffU), 1099999);
    trace(&health, "-");
    CU_ASSERT_EQUAL(hap_health_delay(&health, &rule, 0xffffffffU), 250000);
    trace(&health, "+!");
    CU_ASSERT_EQUAL(hap_health_delay(&health, &rule, 0), 250000);
    trace(&health, "---");
    CU_ASSERT_EQUAL(hap_health_delay(&health, &rule, 0), 900000);
    trace(&health, "+");
    CU_ASSERT_EQUAL(hap_health_delay(&health, &rule, 0), 250000);
}

static void an_on_demand_member_is_probed_only_while_suspect_or_down(void)
{
    hap_health_t health;
    hap_health_init(&health, 0);
    CU_ASSERT_EQUAL(hap_health_first(&health, &on_demand, 7), HAP_HEALTH_NEVER);
    CU_ASSERT_EQUAL(hap_health_delay(&health, &on_demand, 7), HAP_HEALTH_NEVER);
    trace(&health, "!");
    CU_ASSERT_EQUAL(hap_health_first(&health, &on_demand, 7), 0);
    CU_ASSERT_EQUAL(hap_health_delay(&health, &on_demand, 7), 250000);
    trace(&health, "+");
    CU_ASSERT_EQUAL(hap_health_delay(&health, &on_demand, 7), HAP_HEALTH_NEVER);
    trace(&health, "---");
    CU_ASSERT_TRUE(hap_health_first(&health, &on_demand, 0x80000000U) == 500000);
    CU_ASSERT_TRUE(hap_health_delay(&health, &on_demand, 7) >= 900000);
}

static void first_probes_spread_over_one_interval(void)
{
    hap_health_t health;
    hap_health_init(&health, 0);
    CU_ASSERT_EQUAL(hap_health_first(&health, &rule, 0), 0);
    CU_ASSERT_EQUAL(hap_health_first(&health, &rule, 0x80000000U), 500000);
    CU_ASSERT_EQUAL(hap_health_first(&health, &rule, 0xffffffffU), 999999);
}

static void a_verdict_is_worth_nothing_after_its_window(void)
{
    hap_health_t health;
    hap_health_init(&health, 0);
    CU_ASSERT_EQUAL(hap_health_window(&rule), 3500000);
    health.checked = 10000000;
    CU_ASSERT_FALSE(hap_health_stale(&health, &rule, 13500000));
    CU_ASSERT_TRUE(hap_health_stale(&health, &rule, 13500001));
    CU_ASSERT_FALSE(hap_health_stale(&health, &rule, 9000000));
    CU_ASSERT_TRUE(hap_health_stale(&health, &rule, 1000000));
}

static void a_record_with_an_impossible_verdict_counts_as_unknown(void)
{
    hap_health_t health;
    memset(&health, 0xff, sizeof(health));
    health.suspect = 0;
    hap_health_suspect(&health, "x", 0);
    CU_ASSERT_EQUAL(health.verdict, HAP_HEALTH_UNKNOWN);
    UNIT_STR_EQ(hap_verdict_name((hap_verdict_t)77), "unknown");
}

static void a_rule_that_cannot_work_is_refused_with_a_sentence(void)
{
    hap_diag_t diag;
    hap_health_rule_t r = HAP_HEALTH_RULE_DEFAULT;
    CU_ASSERT_EQUAL(hap_health_rule_check(&r, &diag), APR_SUCCESS);
    r.interval = 0;
    CU_ASSERT_EQUAL(hap_health_rule_check(&r, &diag), APR_EINVAL);
    UNIT_STR_EQ(diag.why, "interval=0 is too small, use 100ms or more");
    r = HAP_HEALTH_RULE_DEFAULT;
    r.fall = 1000;
    CU_ASSERT_EQUAL(hap_health_rule_check(&r, &diag), APR_EINVAL);
    UNIT_STR_EQ(diag.why, "fall=1000 is too large, use 100 or less");
    r = HAP_HEALTH_RULE_DEFAULT;
    r.timeout = -1000;
    CU_ASSERT_EQUAL(hap_health_rule_check(&r, &diag), APR_EINVAL);
    UNIT_STR_EQ(diag.why, "timeout=-1ms is too small, use 10ms or more");
}

static void only_errors_in_a_row_make_a_member_suspect(void)
{
    hap_passive_t passive = {0};
    CU_ASSERT_FALSE(hap_passive_error(&passive, 3));
    CU_ASSERT_FALSE(hap_passive_error(&passive, 3));
    hap_passive_ok(&passive);
    CU_ASSERT_FALSE(hap_passive_error(&passive, 3));
    CU_ASSERT_FALSE(hap_passive_error(&passive, 3));
    CU_ASSERT_TRUE(hap_passive_error(&passive, 3));
    CU_ASSERT_FALSE(hap_passive_error(&passive, 3));
}

/* A prober on a simulated clock. From `event` on a probe that starts has the result `ok` after
 * `takes`; the one in flight at the event still has the old result. Returns the time from the
 * event to the verdict `until`. */
static apr_interval_time_t simulate(hap_health_t *health, bool ok, apr_interval_time_t takes,
                                    apr_interval_time_t phase, uint32_t draw)
{
    hap_verdict_t until = ok ? HAP_HEALTH_UP : HAP_HEALTH_DOWN;
    apr_time_t event = 1000000000;
    apr_time_t start = event - phase; /* of the last probe before the event */
    apr_time_t end = start + (ok ? rule.timeout : 1000);
    for (int i = 0; i < 100; i++) {
        apr_time_t next = start + hap_health_delay(health, &rule, draw);
        start = next > end ? next : end;
        bool after = start >= event;
        end = start + (after ? takes : ok ? rule.timeout : 1000);
        if (after == ok) {
            hap_health_probed(health, &rule, HAP_CHECK_GOOD, end, "status 200");
        } else {
            hap_health_probed(health, &rule, HAP_CHECK_DEAD, end, "no answer within 500 ms");
        }
        if (health->verdict == until) {
            return end - event;
        }
    }
    return event;
}

static apr_interval_time_t worst(const char *before, bool ok, apr_interval_time_t takes)
{
    static const uint32_t draws[] = {0, 0x40000000U, 0x80000000U, 0xffffffffU};
    apr_interval_time_t longest = 0;
    for (size_t d = 0; d < sizeof(draws) / sizeof(draws[0]); d++) {
        for (apr_interval_time_t phase = 0; phase < 1100000; phase += 1000) {
            hap_health_t health;
            hap_health_init(&health, 0);
            trace(&health, before);
            apr_interval_time_t took = simulate(&health, ok, takes, phase, draws[d]);
            longest = took > longest ? took : longest;
        }
    }
    return longest;
}

static void a_hung_member_is_down_within_3_seconds(void)
{
    apr_interval_time_t took = worst("+", false, rule.timeout);
    CU_ASSERT_TRUE(took <= 3000000);
    CU_ASSERT_TRUE(took > 2000000); /* the simulation does find the bad case */
}

static void a_refusing_member_is_down_within_2_seconds_without_passive_help(void)
{
    CU_ASSERT_TRUE(worst("+", false, 1000) <= 2000000);
}

static void a_recovered_member_is_up_within_2_seconds(void)
{
    CU_ASSERT_TRUE(worst("---", true, 50000) <= 2000000);
}

/* A member that hangs is connected to as ever: it was suspected and trusted in turn, for ever. */
static void a_mere_connect_does_not_disprove_that_requests_fail(void)
{
    hap_health_rule_t connects = rule;
    hap_health_t health;
    connects.connects_only = true;
    hap_health_init(&health, 0);
    hap_health_suspect(&health, "requests failed", 100);
    hap_health_suspect(&health, "requests failed", 500);
    hap_health_probed(&health, &connects, HAP_CHECK_GOOD, 99, "connected");
    CU_ASSERT_TRUE(health.suspect);
    UNIT_STR_EQ(health.why, "requests failed");
    hap_health_probed(&health, &connects, HAP_CHECK_GOOD, 100, "connected");
    CU_ASSERT_FALSE(health.suspect);
    hap_health_suspect(&health, "requests failed", 500);
    hap_health_probed(&health, &rule, HAP_CHECK_GOOD, 200, "status 200");
    CU_ASSERT_FALSE(health.suspect);
    hap_health_suspect(&health, "no connection", 0);
    hap_health_probed(&health, &connects, HAP_CHECK_GOOD, 201, "connected");
    CU_ASSERT_FALSE(health.suspect);
}

const unit_test_t suite_health[] = {
    UNIT_TEST(verdicts_follow_consecutive_results),
    UNIT_TEST(a_single_failed_probe_never_ejects),
    UNIT_TEST(each_transition_makes_one_line_and_the_rest_none),
    UNIT_TEST(a_member_answers_that_answered_its_last_probe),
    UNIT_TEST(a_probe_that_could_not_be_made_changes_nothing),
    UNIT_TEST(a_reason_is_cut_and_made_printable),
    UNIT_TEST(history_keeps_the_last_64_results),
    UNIT_TEST(the_interval_is_jittered_by_a_tenth_and_quartered_in_transition),
    UNIT_TEST(an_on_demand_member_is_probed_only_while_suspect_or_down),
    UNIT_TEST(first_probes_spread_over_one_interval),
    UNIT_TEST(a_verdict_is_worth_nothing_after_its_window),
    UNIT_TEST(a_record_with_an_impossible_verdict_counts_as_unknown),
    UNIT_TEST(a_rule_that_cannot_work_is_refused_with_a_sentence),
    UNIT_TEST(only_errors_in_a_row_make_a_member_suspect),
    UNIT_TEST(a_hung_member_is_down_within_3_seconds),
    UNIT_TEST(a_refusing_member_is_down_within_2_seconds_without_passive_help),
    UNIT_TEST(a_recovered_member_is_up_within_2_seconds),
    UNIT_TEST(a_mere_connect_does_not_disprove_that_requests_fail),
    UNIT_END,
};
