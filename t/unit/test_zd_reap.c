/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of zd_reap: who is found by marks and by shims, on real processes. */
#include "unit.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_strings.h>

#include "script.h"
#include "zd_reap.h"

static const char wiped_chatty[] = SCRIPT_CHATTY("env -i");

static void who_left_the_session_is_found_by_its_marks(void)
{
    const char *argv[] = {"sh",
                          "-c",
                          "(setsid sh -c '(setsid sh -c \"echo \\$\\$ >$1/$2; exec sleep 60\" sh "
                          "$1 $2 >/dev/null 2>&1 &)' sh $1 $2 &); "
                          "while [ ! -s $1/$2 ]; do sleep 0.01; done",
                          "sh",
                          script_dir,
                          "marked",
                          NULL};
    script_setup();
    const char *active[] = {script_mark, "HA_ROLE=active", NULL};
    const char *other[] = {script_mark, "HA_ROLE=active-not", NULL};
    script_run(argv, active, SCRIPT_LIMIT_MS);
    argv[5] = "passive";
    script_run(argv, other, SCRIPT_LIMIT_MS);
    pid_t marked = script_pid("marked");
    pid_t passive = script_pid("passive");
    CU_ASSERT_TRUE(process_lives(marked) && process_lives(passive));
    CU_ASSERT_TRUE(script_reap("HA_ROLE=active") >= 1);
    CU_ASSERT_FALSE(process_lives(marked));
    CU_ASSERT_TRUE(process_lives(passive));
    CU_ASSERT_EQUAL(script_reap("HA_ROLE=active"), 0);
    CU_ASSERT_TRUE(script_reap(NULL) >= 1);
    script_finish();
}

static void who_is_started_anew_meanwhile_is_killed_too(void)
{
    script_setup();
    script_sh("cat >$1/again <<'END'\n"
              "while :; do sh -c 'sleep 60; :'; done\n"
              "END\n"
              "for i in 1 2 3 4 5 6 7 8; do (setsid sh $1/again >/dev/null 2>&1 &); done",
              SCRIPT_LIMIT_MS);
    CU_ASSERT_TRUE(script_reap(NULL) >= 8);
    CU_ASSERT_EQUAL(script_reap(NULL), 0);
    script_finish();
}

/* Starts a service that has nothing of what it was started with, and waits for that. */
static pid_t run_wiped(const char *name)
{
    script_sh(
        apr_psprintf(unit_pool,
                     "(setsid env -i sh -c '(sh -c \"echo \\$\\$ >$1; sleep 60; :\" sh $1 &)' sh "
                     "$1/%s >/dev/null 2>&1 &); while [ ! -s $1/%s ]; do sleep 0.01; done",
                     name, name),
        SCRIPT_LIMIT_MS);
    return script_pid(name);
}

static void who_wiped_its_environment_is_found_by_its_shim(void)
{
    script_setup();
    script_shim = folder_path(script_dir, "active");
    pid_t active = run_wiped("pid");
    script_shim = folder_path(script_dir, "other");
    pid_t other = run_wiped("other-pid");
    script_shim = NULL;
    pid_t nobodys = run_wiped("nobodys-pid");
    CU_ASSERT_EQUAL(script_reap(NULL), 0);
    pid_t shim = process_parent(active);
    CU_ASSERT_TRUE(script_reap_below("active") >= 2);
    CU_ASSERT_FALSE(process_lives(active));
    /* One that has closed its descriptors is none any more. */
    CU_ASSERT_TRUE(process_comes_to_end(shim));
    CU_ASSERT_TRUE(process_lives(other) && process_lives(nobodys));
    CU_ASSERT_EQUAL(script_reap_below("active"), 0);
    CU_ASSERT_EQUAL(script_reap_below("nothing-was-run-with-it"), 0);
    CU_ASSERT_TRUE(script_reap_below("other") >= 2);
    CU_ASSERT_FALSE(process_lives(other));
    CU_ASSERT_TRUE(process_lives(nobodys));
    shim = process_parent(nobodys);
    pid_t group = getpgid(nobodys);
    CU_ASSERT_TRUE_FATAL(group > 1 && group != getpgrp());
    kill(-group, SIGKILL);
    CU_ASSERT_TRUE(process_comes_to_end(shim));
    script_finish();
}

static void who_is_below_a_marked_one_is_killed_too(void)
{
    script_setup();
    script_sh("cat >$1/service <<'END'\n"
              "env -i sh -c 'echo $$ >$1/pid; sleep 60; :' sh $1\n"
              "exit\n"
              "END\n"
              "(setsid sh $1/service $1 >/dev/null 2>&1 &)",
              SCRIPT_LIMIT_MS);
    pid_t wiped = script_pid("pid");
    CU_ASSERT_TRUE(script_reap(NULL) >= 2);
    CU_ASSERT_FALSE(process_lives(wiped));
    script_finish();
}

static void a_marked_one_is_found_without_its_shim(void)
{
    script_setup();
    script_shim = folder_path(script_dir, "active");
    script_sh("(setsid sh -c 'echo $$ >$1/pid; exec sleep 60' sh $1 >/dev/null 2>&1 &); "
              "while [ ! -s $1/pid ]; do sleep 0.01; done",
              SCRIPT_LIMIT_MS);
    pid_t service = script_pid("pid");
    pid_t shim = process_parent(service);
    kill(shim, SIGKILL);
    CU_ASSERT_TRUE(process_comes_to_end(shim));
    CU_ASSERT_TRUE(process_lives(service));
    CU_ASSERT_EQUAL(script_reap(NULL), 1);
    CU_ASSERT_FALSE(process_lives(service));
    script_finish();
}

/* The end of ensure-passive is heard of, as it stops what is being killed. */
static void another_script_that_runs_meanwhile_is_not_hit(void)
{
    const char *argv[] = {"sh", "-c", "sleep 0.3; echo stopped", NULL};
    script_setup();
    script_shim = folder_path(script_dir, "active");
    run_wiped("pid");
    script_shim = NULL;
    script_begin(argv, NULL, SCRIPT_LIMIT_MS);
    CU_ASSERT_TRUE(script_reap_below("active") >= 2);
    script_wait();
    CU_ASSERT_TRUE(script_end.code == 0 && !script_end.why);
    UNIT_STR_EQ(script_output(), "stopped\n");
    script_finish();
}

static void a_script_that_is_killed_with_its_service_says_so(void)
{
    const char *argv[] = {
        "sh", "-c", "echo before; echo $$ >$1/pid; sleep 60; :", "sh", script_dir, NULL};
    script_setup();
    script_shim = folder_path(script_dir, "active");
    script_begin(argv, NULL, SCRIPT_LIMIT_MS);
    script_pid("pid");
    CU_ASSERT_TRUE(script_reap_below("active") >= 2);
    script_wait();
    CU_ASSERT_EQUAL(script_end.signal, SIGKILL);
    UNIT_STR_EQ(script_output(), "before\n");
    script_finish();
}

static void who_outlived_the_daemon_is_found_by_its_shim(void)
{
    script_setup();
    pid_t daemon = fork();
    if (daemon == 0) {
        uv_loop_fork(&script_loop);
        script_shim = folder_path(script_dir, "active");
        script_sh(apr_pstrcat(unit_pool, wiped_chatty, "sleep 60", NULL), 60000);
        _exit(0);
    }
    pid_t service = script_pid("pid");
    kill(daemon, SIGKILL);
    waitpid(daemon, NULL, 0);
    script_touch("go");
    CU_ASSERT_TRUE(folder_comes_to_have(script_dir, "printed"));
    pid_t shim = process_parent(service);
    CU_ASSERT_TRUE(process_lives(service) && process_lives(shim));
    CU_ASSERT_TRUE(script_reap_below("active") >= 3); /* the script and its sleep, too */
    CU_ASSERT_FALSE(process_lives(service));
    CU_ASSERT_TRUE(process_comes_to_end(shim));
    script_finish();
}

static void two_hundred_that_begin_anew_are_killed_in_time(void)
{
    script_setup();
    script_shim = folder_path(script_dir, "active");
    script_sh("i=0; while [ $i -lt 200 ]; do\n"
              "(setsid env -i sh -c 'while :; do sleep 60; done' >/dev/null 2>&1 &); i=$((i + 1))\n"
              "done",
              SCRIPT_LIMIT_MS);
    uint64_t began_ns = uv_hrtime();
    CU_ASSERT_TRUE(script_reap_below("active") >= 200);
    CU_ASSERT_TRUE(uv_hrtime() - began_ns < ZD_REAP_MS_MAX * 1000000ULL);
    CU_ASSERT_EQUAL(script_reap_below("active"), 0);
    script_finish();
}

static void without_a_mark_nobody_is_killed(void)
{
    unsigned killed = 1;
    const char *marks[] = {NULL};
    CU_ASSERT_TRUE(zd_reap(&killed, marks, NULL));
    CU_ASSERT_EQUAL(killed, 0);
}

const unit_test_t suite_zd_reap[] = {
    UNIT_TEST(who_left_the_session_is_found_by_its_marks),
    UNIT_TEST(who_is_started_anew_meanwhile_is_killed_too),
    UNIT_TEST(who_wiped_its_environment_is_found_by_its_shim),
    UNIT_TEST(who_is_below_a_marked_one_is_killed_too),
    UNIT_TEST(a_marked_one_is_found_without_its_shim),
    UNIT_TEST(another_script_that_runs_meanwhile_is_not_hit),
    UNIT_TEST(a_script_that_is_killed_with_its_service_says_so),
    UNIT_TEST(who_outlived_the_daemon_is_found_by_its_shim),
    UNIT_TEST(two_hundred_that_begin_anew_are_killed_in_time),
    UNIT_TEST(without_a_mark_nobody_is_killed),
    UNIT_END,
};
