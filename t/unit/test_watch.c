/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of ml_probe and hap_health together: what becomes of a member that hangs for a while. */
#include "unit.h"

#include <apr_strings.h>

#include "hap_health.h"
#include "ml_probe.h"
#include "probe_server.h"

#define OK_ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static struct {
    hap_health_t health;
    char lines[1000]; /* the log that the member's changes would make */
    ml_prober_t *prober;
    ml_loop_t *loop;
} watched;

static const hap_health_rule_t quick = {.rise = 2, .fall = 3, .interval = 40000, .timeout = 200000};

static apr_interval_time_t on_health(void *owner, hap_check_end_t how, const char *why,
                                     apr_interval_time_t latency)
{
    apr_time_t now = ml_loop_now(watched.loop);
    hap_health_change_t change = hap_health_probed(&watched.health, &quick, how, now, why);
    size_t at = strlen(watched.lines);
    hap_health_line(watched.lines + at, sizeof(watched.lines) - at, hap_str(owner), &change);
    if (change.kind == HAP_HEALTH_SAME) {
        return hap_health_delay(&watched.health, &quick, 0x80000000U);
    }
    apr_cpystrn(watched.lines + strlen(watched.lines), "\n", 2);
    if (change.from == HAP_HEALTH_DOWN) {
        ml_loop_stop(watched.loop);
        return HAP_HEALTH_NEVER;
    }
    return hap_health_delay(&watched.health, &quick, 0);
}

static void a_hung_member_goes_down_and_comes_back(void)
{
    server_t server = {.mode = SERVER_SICK, .answer = OK_ANSWER};
    memset(&watched, 0, sizeof(watched));
    CU_ASSERT_EQUAL_FATAL(server_start(&server), 0);
    CU_ASSERT_EQUAL_FATAL(ml_loop_create(&watched.loop, unit_pool), APR_SUCCESS);
    CU_ASSERT_EQUAL_FATAL(ml_probe_create(&watched.prober, watched.loop, on_health, NULL), 0);
    hap_health_init(&watched.health, ml_loop_now(watched.loop));
    hap_check_t check = {.uri = HAP_STR_LIT("/health"), .expect = HAP_EXPECT_DEFAULT};
    ml_probe_target_t t = {.name = HAP_STR_LIT("hostA"),
                           .host = HAP_STR_LIT("127.0.0.1"),
                           .port = server.port,
                           .check = &check,
                           .timeout = quick.timeout,
                           .owner = (void *)(uintptr_t) "hostA"};
    ml_probe_set(watched.prober, &t, 1);
    CU_ASSERT_EQUAL(ml_loop_run(watched.loop), APR_SUCCESS);
    ml_probe_destroy(watched.prober);
    server_stop(&server);
    UNIT_STR_EQ(watched.lines,
                "member hostA: unknown -> up, status 200, 1 of 1 probe succeeded\n"
                "member hostA: up -> down, no answer within 200 ms, 3 of 3 probes failed\n"
                "member hostA: down -> up, status 200, 2 of 2 probes succeeded\n");
}

const unit_test_t suite_watch[] = {
    UNIT_TEST(a_hung_member_goes_down_and_comes_back),
    UNIT_END,
};
