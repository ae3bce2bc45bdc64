/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of zd_script: how a script ends, what it gets and prints, its time. */
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <apr_strings.h>

#include "script.h"

/* --- how it ends ------------------------------------------------------------------------------ */

static void an_exit_code_is_given_as_it_is(void)
{
    static const int codes[] = {0, 2, 7, 255};
    script_setup();
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        script_sh(apr_psprintf(unit_pool, "exit %d", codes[i]), SCRIPT_LIMIT_MS);
        CU_ASSERT_EQUAL(script_end.code, codes[i]);
        CU_ASSERT_EQUAL(script_end.signal, 0);
        CU_ASSERT_FALSE(script_end.timed_out);
        CU_ASSERT_PTR_NULL(script_end.why);
    }
    script_finish();
}

static void the_signal_that_ended_it_is_said(void)
{
    script_setup();
    script_sh("kill -SEGV $$", SCRIPT_LIMIT_MS);
    CU_ASSERT_EQUAL(script_end.code, -1);
    CU_ASSERT_EQUAL(script_end.signal, SIGSEGV);
    CU_ASSERT_FALSE(script_end.timed_out);
    script_finish();
}

static void what_cannot_be_run_is_named_with_the_reason(void)
{
    const char *missing[] = {"/nowhere/ensure-active", NULL};
    const char *nameless[] = {"no-such-program-in-PATH", "x", NULL};
    const char *folder[] = {"/tmp", NULL};
    script_setup();
    script_run(missing, NULL, SCRIPT_LIMIT_MS);
    UNIT_STR_EQ(script_end.why, "/nowhere/ensure-active cannot be run: no such file or directory");
    CU_ASSERT_EQUAL(script_end.code, -1);
    CU_ASSERT_EQUAL(script_end.output.n, 0);
    script_run(nameless, NULL, SCRIPT_LIMIT_MS);
    UNIT_STR_EQ(script_end.why, "no-such-program-in-PATH cannot be run: no such file or directory");
    script_run(folder, NULL, SCRIPT_LIMIT_MS);
    UNIT_STR_EQ(script_end.why, "/tmp cannot be run: permission denied");
    script_finish();
}

static void its_time_is_told(void)
{
    script_setup();
    script_sh("sleep 0.3", SCRIPT_LIMIT_MS);
    CU_ASSERT_TRUE(script_end.ms >= 300 && script_end.ms < SCRIPT_LIMIT_MS);
    script_finish();
}

/* --- what it gets ----------------------------------------------------------------------------- */

static void arguments_are_passed_as_they_are(void)
{
    const char *argv[] = {"printf", "[%s]", "a b", "", "\"c\" 'd'", "$HOME *;\n", "\\", NULL};
    script_setup();
    script_run(argv, NULL, SCRIPT_LIMIT_MS);
    UNIT_STR_EQ(script_output(), "[a b][][\"c\" 'd'][$HOME *;\n][\\]");
    script_finish();
}

static void its_environment_is_the_daemons_and_more(void)
{
    const char *env[] = {"HA_ROLE=active", "HA_TEST_TWICE=new", NULL};
    const char *argv[] = {"sh", "-c", "echo $HA_ROLE $HA_TEST_TWICE $HA_TEST_OWN $HA_TEST_TWICER",
                          NULL};
    script_setup();
    setenv("HA_TEST_TWICE", "old", 1);
    setenv("HA_TEST_TWICER", "other", 1);
    setenv("HA_TEST_OWN", "own", 1);
    script_run(argv, env, SCRIPT_LIMIT_MS);
    UNIT_STR_EQ(script_output(), "active new own other\n");
    script_run(argv, NULL, SCRIPT_LIMIT_MS);
    UNIT_STR_EQ(script_output(), "old own other\n");
    unsetenv("HA_TEST_TWICE");
    unsetenv("HA_TEST_TWICER");
    unsetenv("HA_TEST_OWN");
    script_finish();
}

static void it_reads_nothing_and_prints_to_both(void)
{
    script_setup();
    script_sh("cat; echo out; echo err >&2; echo again >/dev/stderr", SCRIPT_LIMIT_MS);
    UNIT_STR_EQ(script_output(), "out\nerr\nagain\n");
    script_finish();
}

static void it_gets_none_of_the_daemons_descriptors(void)
{
    script_setup();
    int leaky = open("/dev/null", O_RDONLY);
    int high = fcntl(leaky, F_DUPFD, 200);
    script_sh("ls /proc/$$/fd", SCRIPT_LIMIT_MS);
    UNIT_STR_EQ(script_output(), "0\n1\n2\n");
    CU_ASSERT_EQUAL(close(leaky), 0);
    CU_ASSERT_EQUAL(close(high), 0);
    script_finish();
}

static void signals_act_as_they_do_by_default(void)
{
    sigset_t some;
    sigset_t before;
    script_setup();
    sigemptyset(&some);
    sigaddset(&some, SIGUSR1);
    sigprocmask(SIG_BLOCK, &some, &before);
    script_sh("sed -n 's/^Sig\\(Blk\\|Ign\\)://p' /proc/self/status", SCRIPT_LIMIT_MS);
    sigprocmask(SIG_SETMASK, &before, NULL);
    /* Those above 31 are not libuv's, and 32 and 33 are libc's own. */
    unsigned long long blocked = 1;
    unsigned long long ignored = 1;
    CU_ASSERT_EQUAL(sscanf(script_output(), "%llx %llx", &blocked, &ignored), 2);
    CU_ASSERT_EQUAL((blocked | ignored) & 0x7fffffff, 0);
    script_finish();
}

static void it_has_a_session_of_its_own(void)
{
    script_setup();
    script_sh("cut -d' ' -f5-6 /proc/$$/stat; echo $$", SCRIPT_LIMIT_MS);
    int group = 0;
    int session = 0;
    int pid = 0;
    CU_ASSERT_EQUAL(sscanf(script_output(), "%d %d\n%d", &group, &session, &pid), 3);
    CU_ASSERT_TRUE(pid > 0 && pid == group && pid == session);
    script_finish();
}

/* --- what it prints --------------------------------------------------------------------------- */

static void the_last_64_kb_of_10_mb_are_kept(void)
{
    script_setup();
    script_sh("seq 1 1500000", SCRIPT_LIMIT_MS);
    CU_ASSERT_EQUAL(script_end.code, 0);
    CU_ASSERT_EQUAL_FATAL(script_end.output.n, ZD_SCRIPT_OUTPUT_BYTES);
    char *want = apr_palloc(unit_pool, ZD_SCRIPT_OUTPUT_BYTES + 1);
    for (int at = ZD_SCRIPT_OUTPUT_BYTES, i = 1500000; at > 0; i--) {
        const char *line = apr_psprintf(unit_pool, "%d\n", i);
        int n = (int)strlen(line) < at ? (int)strlen(line) : at;
        at -= n;
        memcpy(want + at, line + strlen(line) - n, (size_t)n);
    }
    CU_ASSERT_EQUAL(memcmp(script_end.output.p, want, ZD_SCRIPT_OUTPUT_BYTES), 0);
    script_finish();
}

static unsigned long resident_kb(void)
{
    unsigned long pages = 0;
    FILE *in = fopen("/proc/self/statm", "r");
    if (in) {
        if (fscanf(in, "%*u %lu", &pages) != 1) {
            pages = 0;
        }
        fclose(in);
    }
    return pages * (unsigned long)getpagesize() / 1024;
}

static int ticks;

static void tick(uv_timer_t *timer)
{
    ticks++;
    if (script_ends) {
        uv_close((uv_handle_t *)timer, NULL);
    }
}

static void who_prints_without_end_uses_no_memory_and_does_not_stop_the_loop(void)
{
    uv_timer_t timer;
    script_setup();
    unsigned long before = resident_kb();
    ticks = 0;
    script_ends = 0;
    uv_timer_init(&script_loop, &timer);
    uv_timer_start(&timer, tick, UNIT_TURN_MS, UNIT_TURN_MS);
    script_sh("exec yes it-goes-on", SCRIPT_SHORT_MS);
    CU_ASSERT_TRUE(script_end.timed_out);
    CU_ASSERT_EQUAL(script_end.signal, SIGTERM);
    CU_ASSERT_EQUAL(script_end.output.n, ZD_SCRIPT_OUTPUT_BYTES);
    CU_ASSERT_TRUE(script_end.ms >= SCRIPT_SHORT_MS - SCRIPT_SHORT_MS / 10 &&
                   script_end.ms < SCRIPT_SOON_MS);
    CU_ASSERT_TRUE(ticks > 20);
    CU_ASSERT_TRUE(resident_kb() < before + 4096);
    script_finish();
}

static void somebody_who_goes_on_printing_does_not_hold_up_the_end(void)
{
    script_setup();
    script_sh("yes & exit 0", SCRIPT_LIMIT_MS);
    CU_ASSERT_EQUAL(script_end.code, 0);
    CU_ASSERT_TRUE(script_end.ms < SCRIPT_SOON_MS);
    CU_ASSERT_EQUAL(script_reap(NULL), 1);
    script_finish();
}

/* --- time ------------------------------------------------------------------------------------- */

static void who_hangs_is_ended_in_time(void)
{
    script_setup();
    script_sh("echo before; exec sleep 60", SCRIPT_SHORT_MS);
    CU_ASSERT_TRUE(script_end.timed_out);
    CU_ASSERT_EQUAL(script_end.code, -1);
    CU_ASSERT_EQUAL(script_end.signal, SIGTERM);
    CU_ASSERT_TRUE(script_end.ms >= SCRIPT_SHORT_MS - SCRIPT_SHORT_MS / 10 &&
                   script_end.ms < SCRIPT_SOON_MS);
    UNIT_STR_EQ(script_output(), "before\n");
    script_finish();
}

static void who_does_something_about_sigterm_has_the_time_for_it(void)
{
    script_setup();
    script_sh("trap 'echo cleaned; exit 3' TERM; sleep 60 & echo $! >$1/child; wait", 5000);
    CU_ASSERT_TRUE(script_end.timed_out);
    CU_ASSERT_EQUAL(script_end.code, 3);
    UNIT_STR_EQ(script_output(), "cleaned\n");
    CU_ASSERT_TRUE(process_comes_to_end(script_pid("child")));
    script_finish();
}

static void who_ignores_sigterm_is_killed_at_the_limit(void)
{
    script_setup();
    script_sh("trap '' TERM; sleep 60 & echo $! >$1/child; wait", SCRIPT_SHORT_MS);
    CU_ASSERT_TRUE(script_end.timed_out);
    CU_ASSERT_EQUAL(script_end.signal, SIGKILL);
    CU_ASSERT_TRUE(script_end.ms >= SCRIPT_SHORT_MS && script_end.ms < SCRIPT_SOON_MS);
    CU_ASSERT_TRUE(process_comes_to_end(script_pid("child")));
    script_finish();
}

static void a_stopped_one_is_killed_too(void)
{
    script_setup();
    script_sh("kill -STOP $$", SCRIPT_SHORT_MS);
    CU_ASSERT_TRUE(script_end.timed_out);
    CU_ASSERT_EQUAL(script_end.signal, SIGKILL);
    script_finish();
}

static void its_group_goes_with_it(void)
{
    script_setup();
    script_sh("(trap '' TERM; sh -c 'echo $$ >$1/child; sleep 60' sh $1; :) & sleep 60",
              SCRIPT_SHORT_MS);
    CU_ASSERT_TRUE(script_end.timed_out);
    CU_ASSERT_TRUE(process_comes_to_end(script_pid("child")));
    script_finish();
}

static void killing_it_takes_its_group_and_is_done_once(void)
{
    const char *argv[] = {
        "sh", "-c", "sh -c 'echo $$ >$1/child; sleep 60; :' sh $1; :", "sh", script_dir, NULL};
    script_setup();
    zd_script_t *script = script_begin(argv, NULL, SCRIPT_LIMIT_MS);
    pid_t child = script_pid("child");
    zd_script_kill(script);
    zd_script_kill(script);
    script_wait();
    CU_ASSERT_EQUAL(script_end.signal, SIGKILL);
    CU_ASSERT_FALSE(script_end.timed_out);
    CU_ASSERT_TRUE(process_comes_to_end(child));
    script_finish();
}

static void one_that_could_not_be_started_may_be_killed(void)
{
    const char *missing[] = {"/nowhere", NULL};
    script_setup();
    zd_script_kill(script_begin(missing, NULL, SCRIPT_LIMIT_MS));
    script_wait();
    CU_ASSERT_TRUE(script_end.why || script_end.signal == SIGKILL); /* whichever is first */
    script_finish();
}

/* One that hangs in the kernel cannot be made here: its shim does not hear of its end. */
static void who_does_not_end_is_given_up(void)
{
    const char *argv[] = {"sh", "-c",       "echo before; echo $$ >$1/pid; exec sleep 60",
                          "sh", script_dir, NULL};
    script_setup();
    script_shim = folder_path(script_dir, "active");
    script_begin(argv, NULL, SCRIPT_SHORT_MS);
    pid_t shim = process_parent(script_pid("pid"));
    kill(shim, SIGSTOP);
    script_wait();
    CU_ASSERT_TRUE(script_end.lives && script_end.timed_out);
    CU_ASSERT_EQUAL(script_end.code, -1);
    CU_ASSERT_EQUAL(script_end.signal, 0);
    CU_ASSERT_TRUE(script_end.ms >= SCRIPT_SHORT_MS + ZD_SCRIPT_GIVE_UP_MS &&
                   script_end.ms < SCRIPT_SOON_MS);
    UNIT_STR_EQ(script_output(), "before\n");
    CU_ASSERT_EQUAL(script_reap_below("active"), 0);
    CU_ASSERT_FALSE(process_lives(shim));
    script_sh("exit 3", SCRIPT_LIMIT_MS);
    CU_ASSERT_TRUE(script_end.code == 3 && !script_end.lives);
    script_finish();
}

static void who_loses_the_shim_is_killed(void)
{
    const char *argv[] = {"sh", "-c",       "sleep 60 & echo $! >$1/child; echo $$ >$1/pid; wait",
                          "sh", script_dir, NULL};
    script_setup();
    script_begin(argv, NULL, SCRIPT_LIMIT_MS);
    pid_t script = script_pid("pid");
    kill(process_parent(script), SIGKILL);
    script_wait();
    CU_ASSERT_EQUAL(script_end.signal, SIGKILL);
    CU_ASSERT_TRUE(process_comes_to_end(script));
    CU_ASSERT_TRUE(process_comes_to_end(script_pid("child")));
    script_finish();
}

static unsigned count_descriptors(void)
{
    unsigned n = 0;
    for (int fd = 0; fd < 1024; fd++) {
        n += fcntl(fd, F_GETFD) >= 0;
    }
    return n;
}

static void none_of_its_descriptors_stay_open(void)
{
    const char *missing[] = {"/nowhere", NULL};
    script_setup();
    script_sh("exit 0", SCRIPT_LIMIT_MS);
    unsigned before = count_descriptors();
    script_shim = folder_path(script_dir, "active");
    script_sh("exit 0", SCRIPT_LIMIT_MS);
    script_sh("sleep 60 &", SCRIPT_LIMIT_MS);
    script_sh("sleep 60", UNIT_TURN_MS);
    script_run(missing, NULL, SCRIPT_LIMIT_MS);
    script_shim = folder_path(script_dir, "no/such/folder");
    script_sh("exit 0", SCRIPT_LIMIT_MS);
    CU_ASSERT_PTR_NOT_NULL(script_end.why);
    CU_ASSERT_EQUAL(count_descriptors(), before);
    script_finish();
}

static void many_at_once_are_told_apart(void)
{
    const char *argv[] = {"sh", "-c", "sleep 0.2", NULL};
    script_setup();
    for (int i = 0; i < 20; i++) {
        script_begin(argv, NULL, SCRIPT_LIMIT_MS);
    }
    uv_run(&script_loop, UV_RUN_DEFAULT);
    CU_ASSERT_EQUAL(script_ends, 20);
    script_finish();
}

const unit_test_t suite_zd_script[] = {
    UNIT_TEST(an_exit_code_is_given_as_it_is),
    UNIT_TEST(the_signal_that_ended_it_is_said),
    UNIT_TEST(what_cannot_be_run_is_named_with_the_reason),
    UNIT_TEST(its_time_is_told),
    UNIT_TEST(arguments_are_passed_as_they_are),
    UNIT_TEST(its_environment_is_the_daemons_and_more),
    UNIT_TEST(it_reads_nothing_and_prints_to_both),
    UNIT_TEST(it_gets_none_of_the_daemons_descriptors),
    UNIT_TEST(signals_act_as_they_do_by_default),
    UNIT_TEST(it_has_a_session_of_its_own),
    UNIT_TEST(the_last_64_kb_of_10_mb_are_kept),
    UNIT_TEST(who_prints_without_end_uses_no_memory_and_does_not_stop_the_loop),
    UNIT_TEST(somebody_who_goes_on_printing_does_not_hold_up_the_end),
    UNIT_TEST(who_hangs_is_ended_in_time),
    UNIT_TEST(who_does_something_about_sigterm_has_the_time_for_it),
    UNIT_TEST(who_ignores_sigterm_is_killed_at_the_limit),
    UNIT_TEST(a_stopped_one_is_killed_too),
    UNIT_TEST(its_group_goes_with_it),
    UNIT_TEST(killing_it_takes_its_group_and_is_done_once),
    UNIT_TEST(one_that_could_not_be_started_may_be_killed),
    UNIT_TEST(who_does_not_end_is_given_up),
    UNIT_TEST(who_loses_the_shim_is_killed),
    UNIT_TEST(none_of_its_descriptors_stay_open),
    UNIT_TEST(many_at_once_are_told_apart),
    UNIT_END,
};
