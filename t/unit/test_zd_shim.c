/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of zd_shim: services outlive the script that begins them, and the daemon. */
#include "unit.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_strings.h>

#include "script.h"

static const char chatty[] = SCRIPT_CHATTY("");

static void a_service_that_keeps_the_output_holds_up_nothing_and_may_go_on_printing(void)
{
    script_setup();
    script_sh(chatty, SCRIPT_LIMIT_MS);
    CU_ASSERT_EQUAL(script_end.code, 0);
    CU_ASSERT_TRUE(script_end.ms < SCRIPT_SOON_MS);
    pid_t service = script_pid("pid");
    CU_ASSERT_TRUE(process_lives(service));
    script_touch("go");
    CU_ASSERT_TRUE(folder_comes_to_have(script_dir, "printed"));
    CU_ASSERT_TRUE(process_lives(service));
    CU_ASSERT_TRUE(script_reap(NULL) >= 1);
    CU_ASSERT_FALSE(process_lives(service));
    script_finish();
}

/* The daemon is a process of its own here, which is killed while its script runs. */
static void a_service_outlives_the_daemon_that_is_killed(void)
{
    script_setup();
    pid_t daemon = fork();
    if (daemon == 0) {
        uv_loop_fork(&script_loop);
        script_sh(apr_pstrcat(unit_pool, chatty, "sleep 60", NULL), 60000);
        _exit(0);
    }
    pid_t service = script_pid("pid");
    kill(daemon, SIGKILL);
    waitpid(daemon, NULL, 0);
    script_touch("go");
    CU_ASSERT_TRUE(folder_comes_to_have(script_dir, "printed"));
    CU_ASSERT_TRUE(process_lives(service));
    CU_ASSERT_TRUE(script_reap(NULL) >= 3); /* the script and its sleep, too */
    script_finish();
}

/* Those that have become this process's own. */
static unsigned count_shims(void)
{
    unsigned n = 0;
    FILE *in = popen(apr_psprintf(unit_pool, "pgrep -c -x zd-shim -P %d", (int)getpid()), "r");
    if (in) {
        if (fscanf(in, "%u", &n) != 1) {
            n = 0;
        }
        pclose(in);
    }
    return n;
}

static void a_shim_ends_with_the_service_that_it_is_for(void)
{
    script_setup();
    while (waitpid(-1, NULL, 0) > 0) {
    }
    script_sh(chatty, SCRIPT_LIMIT_MS);
    CU_ASSERT_EQUAL(count_shims(), 1);
    script_sh("exit 0", SCRIPT_LIMIT_MS);
    CU_ASSERT_TRUE(count_shims() <= 2);
    CU_ASSERT_TRUE(script_reap(NULL) >= 1);
    while (waitpid(-1, NULL, 0) > 0) {
    }
    CU_ASSERT_EQUAL(count_shims(), 0);
    script_finish();
}

static void a_shim_stays_as_long_as_anybody_whom_nobody_hears(void)
{
    script_setup();
    script_sh(
        "(setsid sleep 60 >/dev/null 2>&1 & echo $! >$1/last); (sleep 0.1 & echo $! >$1/first);",
        SCRIPT_LIMIT_MS);
    pid_t last = script_pid("last");
    pid_t shim = process_parent(last);
    for (int i = 0; i < UNIT_TURNS && process_state(script_pid("first"), NULL); i++) {
        unit_rest();
    }
    CU_ASSERT_EQUAL(process_state(script_pid("first"), NULL), 0); /* it was waited for */
    CU_ASSERT_TRUE(process_lives(shim));
    kill(last, SIGKILL);
    CU_ASSERT_TRUE(process_comes_to_end(shim));
    script_finish();
}

static void shims_that_have_ended_are_waited_for(void)
{
    script_setup();
    for (int i = 0; i < 20; i++) {
        script_sh("exit 0", SCRIPT_LIMIT_MS);
        unit_rest();
    }
    CU_ASSERT_TRUE(count_shims() <= 5);
    script_finish();
}

const unit_test_t suite_zd_shim[] = {
    UNIT_TEST(a_service_that_keeps_the_output_holds_up_nothing_and_may_go_on_printing),
    UNIT_TEST(a_service_outlives_the_daemon_that_is_killed),
    UNIT_TEST(a_shim_ends_with_the_service_that_it_is_for),
    UNIT_TEST(a_shim_stays_as_long_as_anybody_whom_nobody_hears),
    UNIT_TEST(shims_that_have_ended_are_waited_for),
    UNIT_END,
};
