/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of zd_script and zd_reap, on real processes. */
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_strings.h>

#include "folder.h"
#include "process.h"
#include "zd_reap.h"
#include "zd_script.h"

enum { LIMIT_MS = 20000, WAIT_MS = 20000, SOON_MS = 5000, SHORT_MS = 1000 };

static uv_loop_t loop;
static zd_script_end_t end; /* with texts in the test's pool */
static int done_n;
static char dir[FOLDER_BYTES];
static const char *mark; /* of this test's processes */
static const char *file; /* of the next script's shim */

/* --- running ---------------------------------------------------------------------------------- */

static void done(void *baton, const zd_script_end_t *how)
{
    CU_ASSERT_PTR_EQUAL(baton, &loop);
    end = *how;
    end.why = how->why ? apr_pstrdup(unit_pool, how->why) : NULL;
    end.output = hap_strn(apr_pstrmemdup(unit_pool, how->output.p, how->output.n), how->output.n);
    done_n++;
}

static const char *output(void)
{
    return apr_pstrmemdup(unit_pool, end.output.p, end.output.n);
}

static zd_script_t *begin(const char *const *argv, const char *const *env, unsigned limit_ms)
{
    const zd_script_conf_t conf = {
        .argv = argv, .env = env, .mark = file, .limit_ms = limit_ms, .done = done, .baton = &loop};
    done_n = 0;
    zd_script_t *script = zd_script_run(&loop, &conf);
    CU_ASSERT_PTR_NOT_NULL_FATAL(script);
    CU_ASSERT_EQUAL(done_n, 0);
    return script;
}

static void wait_done(void)
{
    uv_run(&loop, UV_RUN_DEFAULT);
    CU_ASSERT_EQUAL(done_n, 1);
}

static void run(const char *const *argv, const char *const *env, unsigned limit_ms)
{
    begin(argv, env, limit_ms);
    wait_done();
}

/* Its first argument is the test's folder. */
static void run_sh(const char *text, unsigned limit_ms)
{
    const char *env[] = {mark, NULL};
    const char *argv[] = {"/bin/sh", "-c", text, "sh", dir, NULL};
    run(argv, env, limit_ms);
}

static void setup(void)
{
    folder_make(dir, "script");
    mark = apr_pstrcat(unit_pool, "ZD_TEST=", dir, NULL);
    file = NULL;
    uv_loop_init(&loop);
    signal(SIGPIPE, SIG_IGN); /* as the daemon has it */
}

static unsigned reap(const char *more)
{
    unsigned killed;
    const char *marks[] = {mark, more, NULL};
    CU_ASSERT_TRUE(zd_reap(&killed, marks, NULL));
    return killed;
}

/* Those only who are below a shim. */
static unsigned reap_below(const char *name)
{
    unsigned killed;
    const char *nobody[] = {"ZD_TEST=nobody", NULL};
    CU_ASSERT_TRUE(zd_reap(&killed, nobody, folder_path(dir, name)));
    return killed;
}

static void finish(void)
{
    reap(NULL);
    reap_below("active");
    reap_below("other");
    CU_ASSERT_EQUAL(uv_loop_close(&loop), 0);
    signal(SIGPIPE, SIG_DFL);
    folder_remove(dir);
}

/* The number in a file of the folder, once it is there. */
static pid_t pid_in(const char *name)
{
    int pid = 0;
    for (int i = 0; i < UNIT_TURNS && pid == 0; i++) {
        FILE *in = fopen(folder_path(dir, name), "r");
        if (!in || fscanf(in, "%d\n", &pid) != 1) {
            pid = 0;
            unit_rest();
        }
        if (in) {
            fclose(in);
        }
    }
    CU_ASSERT_TRUE(pid > 0);
    return pid;
}

static pid_t parent_of(pid_t pid)
{
    pid_t parent;
    process_state(pid, &parent);
    CU_ASSERT_TRUE_FATAL(parent > 1); /* it is killed: 0 would be all of us */
    return parent;
}

/* --- how it ends ------------------------------------------------------------------------------ */

static void an_exit_code_is_given_as_it_is(void)
{
    static const int codes[] = {0, 2, 7, 255};
    setup();
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        run_sh(apr_psprintf(unit_pool, "exit %d", codes[i]), LIMIT_MS);
        CU_ASSERT_EQUAL(end.code, codes[i]);
        CU_ASSERT_EQUAL(end.signal, 0);
        CU_ASSERT_FALSE(end.timed_out);
        CU_ASSERT_PTR_NULL(end.why);
    }
    finish();
}

static void the_signal_that_ended_it_is_said(void)
{
    setup();
    run_sh("kill -SEGV $$", LIMIT_MS);
    CU_ASSERT_EQUAL(end.code, -1);
    CU_ASSERT_EQUAL(end.signal, SIGSEGV);
    CU_ASSERT_FALSE(end.timed_out);
    finish();
}

static void what_cannot_be_run_is_named_with_the_reason(void)
{
    const char *missing[] = {"/nowhere/ensure-active", NULL};
    const char *nameless[] = {"no-such-program-in-PATH", "x", NULL};
    const char *folder[] = {"/tmp", NULL};
    setup();
    run(missing, NULL, LIMIT_MS);
    UNIT_STR_EQ(end.why, "/nowhere/ensure-active cannot be run: no such file or directory");
    CU_ASSERT_EQUAL(end.code, -1);
    CU_ASSERT_EQUAL(end.output.n, 0);
    run(nameless, NULL, LIMIT_MS);
    UNIT_STR_EQ(end.why, "no-such-program-in-PATH cannot be run: no such file or directory");
    run(folder, NULL, LIMIT_MS);
    UNIT_STR_EQ(end.why, "/tmp cannot be run: permission denied");
    finish();
}

static void its_time_is_told(void)
{
    setup();
    run_sh("sleep 0.3", LIMIT_MS);
    CU_ASSERT_TRUE(end.ms >= 300 && end.ms < WAIT_MS);
    finish();
}

/* --- what it gets ----------------------------------------------------------------------------- */

static void arguments_are_passed_as_they_are(void)
{
    const char *argv[] = {"printf", "[%s]", "a b", "", "\"c\" 'd'", "$HOME *;\n", "\\", NULL};
    setup();
    run(argv, NULL, LIMIT_MS);
    UNIT_STR_EQ(output(), "[a b][][\"c\" 'd'][$HOME *;\n][\\]");
    finish();
}

static void its_environment_is_the_daemons_and_more(void)
{
    const char *env[] = {"HA_ROLE=active", "HA_TEST_TWICE=new", NULL};
    const char *argv[] = {"sh", "-c", "echo $HA_ROLE $HA_TEST_TWICE $HA_TEST_OWN $HA_TEST_TWICER",
                          NULL};
    setup();
    setenv("HA_TEST_TWICE", "old", 1);
    setenv("HA_TEST_TWICER", "other", 1);
    setenv("HA_TEST_OWN", "own", 1);
    run(argv, env, LIMIT_MS);
    UNIT_STR_EQ(output(), "active new own other\n");
    run(argv, NULL, LIMIT_MS);
    UNIT_STR_EQ(output(), "old own other\n");
    unsetenv("HA_TEST_TWICE");
    unsetenv("HA_TEST_TWICER");
    unsetenv("HA_TEST_OWN");
    finish();
}

static void it_reads_nothing_and_prints_to_both(void)
{
    setup();
    run_sh("cat; echo out; echo err >&2; echo again >/dev/stderr", LIMIT_MS);
    UNIT_STR_EQ(output(), "out\nerr\nagain\n");
    finish();
}

static void it_gets_none_of_the_daemons_descriptors(void)
{
    setup();
    int leaky = open("/dev/null", O_RDONLY);
    int high = fcntl(leaky, F_DUPFD, 200);
    run_sh("ls /proc/$$/fd", LIMIT_MS);
    UNIT_STR_EQ(output(), "0\n1\n2\n");
    CU_ASSERT_EQUAL(close(leaky), 0);
    CU_ASSERT_EQUAL(close(high), 0);
    finish();
}

static void signals_act_as_they_do_by_default(void)
{
    sigset_t some;
    sigset_t before;
    setup();
    sigemptyset(&some);
    sigaddset(&some, SIGUSR1);
    sigprocmask(SIG_BLOCK, &some, &before);
    run_sh("sed -n 's/^Sig\\(Blk\\|Ign\\)://p' /proc/self/status", LIMIT_MS);
    sigprocmask(SIG_SETMASK, &before, NULL);
    /* Those above 31 are not libuv's, and 32 and 33 are libc's own. */
    unsigned long long blocked = 1;
    unsigned long long ignored = 1;
    CU_ASSERT_EQUAL(sscanf(output(), "%llx %llx", &blocked, &ignored), 2);
    CU_ASSERT_EQUAL((blocked | ignored) & 0x7fffffff, 0);
    finish();
}

static void it_has_a_session_of_its_own(void)
{
    setup();
    run_sh("cut -d' ' -f5-6 /proc/$$/stat; echo $$", LIMIT_MS);
    int group = 0;
    int session = 0;
    int pid = 0;
    CU_ASSERT_EQUAL(sscanf(output(), "%d %d\n%d", &group, &session, &pid), 3);
    CU_ASSERT_TRUE(pid > 0 && pid == group && pid == session);
    finish();
}

/* --- what it prints --------------------------------------------------------------------------- */

static void the_last_64_kb_of_10_mb_are_kept(void)
{
    setup();
    run_sh("seq 1 1500000", LIMIT_MS);
    CU_ASSERT_EQUAL(end.code, 0);
    CU_ASSERT_EQUAL_FATAL(end.output.n, ZD_SCRIPT_OUTPUT_BYTES);
    char *want = apr_palloc(unit_pool, ZD_SCRIPT_OUTPUT_BYTES + 1);
    for (int at = ZD_SCRIPT_OUTPUT_BYTES, i = 1500000; at > 0; i--) {
        const char *line = apr_psprintf(unit_pool, "%d\n", i);
        int n = (int)strlen(line) < at ? (int)strlen(line) : at;
        at -= n;
        memcpy(want + at, line + strlen(line) - n, (size_t)n);
    }
    CU_ASSERT_EQUAL(memcmp(end.output.p, want, ZD_SCRIPT_OUTPUT_BYTES), 0);
    finish();
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
    if (done_n) {
        uv_close((uv_handle_t *)timer, NULL);
    }
}

static void who_prints_without_end_uses_no_memory_and_does_not_stop_the_loop(void)
{
    uv_timer_t timer;
    setup();
    unsigned long before = resident_kb();
    ticks = 0;
    done_n = 0;
    uv_timer_init(&loop, &timer);
    uv_timer_start(&timer, tick, UNIT_TURN_MS, UNIT_TURN_MS);
    run_sh("exec yes it-goes-on", SHORT_MS);
    CU_ASSERT_TRUE(end.timed_out);
    CU_ASSERT_EQUAL(end.signal, SIGTERM);
    CU_ASSERT_EQUAL(end.output.n, ZD_SCRIPT_OUTPUT_BYTES);
    CU_ASSERT_TRUE(end.ms >= SHORT_MS - SHORT_MS / 10 && end.ms < SOON_MS);
    CU_ASSERT_TRUE(ticks > 20);
    CU_ASSERT_TRUE(resident_kb() < before + 4096);
    finish();
}

static void somebody_who_goes_on_printing_does_not_hold_up_the_end(void)
{
    setup();
    run_sh("yes & exit 0", LIMIT_MS);
    CU_ASSERT_EQUAL(end.code, 0);
    CU_ASSERT_TRUE(end.ms < SOON_MS);
    CU_ASSERT_EQUAL(reap(NULL), 1);
    finish();
}

/* --- time ------------------------------------------------------------------------------------- */

static void who_hangs_is_ended_in_time(void)
{
    setup();
    run_sh("echo before; exec sleep 60", SHORT_MS);
    CU_ASSERT_TRUE(end.timed_out);
    CU_ASSERT_EQUAL(end.code, -1);
    CU_ASSERT_EQUAL(end.signal, SIGTERM);
    CU_ASSERT_TRUE(end.ms >= SHORT_MS - SHORT_MS / 10 && end.ms < SOON_MS);
    UNIT_STR_EQ(output(), "before\n");
    finish();
}

static void who_does_something_about_sigterm_has_the_time_for_it(void)
{
    setup();
    run_sh("trap 'echo cleaned; exit 3' TERM; sleep 60 & echo $! >$1/child; wait", 5000);
    CU_ASSERT_TRUE(end.timed_out);
    CU_ASSERT_EQUAL(end.code, 3);
    UNIT_STR_EQ(output(), "cleaned\n");
    CU_ASSERT_TRUE(process_comes_to_end(pid_in("child")));
    finish();
}

static void who_ignores_sigterm_is_killed_at_the_limit(void)
{
    setup();
    run_sh("trap '' TERM; sleep 60 & echo $! >$1/child; wait", SHORT_MS);
    CU_ASSERT_TRUE(end.timed_out);
    CU_ASSERT_EQUAL(end.signal, SIGKILL);
    CU_ASSERT_TRUE(end.ms >= SHORT_MS && end.ms < SOON_MS);
    CU_ASSERT_TRUE(process_comes_to_end(pid_in("child")));
    finish();
}

static void a_stopped_one_is_killed_too(void)
{
    setup();
    run_sh("kill -STOP $$", SHORT_MS);
    CU_ASSERT_TRUE(end.timed_out);
    CU_ASSERT_EQUAL(end.signal, SIGKILL);
    finish();
}

static void its_group_goes_with_it(void)
{
    setup();
    run_sh("(trap '' TERM; sh -c 'echo $$ >$1/child; sleep 60' sh $1; :) & sleep 60", SHORT_MS);
    CU_ASSERT_TRUE(end.timed_out);
    CU_ASSERT_TRUE(process_comes_to_end(pid_in("child")));
    finish();
}

static void killing_it_takes_its_group_and_is_done_once(void)
{
    const char *argv[] = {
        "sh", "-c", "sh -c 'echo $$ >$1/child; sleep 60; :' sh $1; :", "sh", dir, NULL};
    setup();
    zd_script_t *script = begin(argv, NULL, LIMIT_MS);
    pid_t child = pid_in("child");
    zd_script_kill(script);
    zd_script_kill(script);
    wait_done();
    CU_ASSERT_EQUAL(end.signal, SIGKILL);
    CU_ASSERT_FALSE(end.timed_out);
    CU_ASSERT_TRUE(process_comes_to_end(child));
    finish();
}

static void one_that_could_not_be_started_may_be_killed(void)
{
    const char *missing[] = {"/nowhere", NULL};
    setup();
    zd_script_kill(begin(missing, NULL, LIMIT_MS));
    wait_done();
    CU_ASSERT_TRUE(end.why || end.signal == SIGKILL); /* whichever is first */
    finish();
}

/* One that hangs in the kernel cannot be made here: its shim does not hear of its end. */
static void who_does_not_end_is_given_up(void)
{
    const char *argv[] = {"sh", "-c", "echo before; echo $$ >$1/pid; exec sleep 60",
                          "sh", dir,  NULL};
    setup();
    file = folder_path(dir, "active");
    begin(argv, NULL, SHORT_MS);
    pid_t shim = parent_of(pid_in("pid"));
    kill(shim, SIGSTOP);
    wait_done();
    CU_ASSERT_TRUE(end.lives && end.timed_out);
    CU_ASSERT_EQUAL(end.code, -1);
    CU_ASSERT_EQUAL(end.signal, 0);
    CU_ASSERT_TRUE(end.ms >= SHORT_MS + ZD_SCRIPT_GIVE_UP_MS && end.ms < SOON_MS);
    UNIT_STR_EQ(output(), "before\n");
    CU_ASSERT_EQUAL(reap_below("active"), 0);
    CU_ASSERT_FALSE(process_lives(shim));
    run_sh("exit 3", LIMIT_MS);
    CU_ASSERT_TRUE(end.code == 3 && !end.lives);
    finish();
}

static void who_loses_the_shim_is_killed(void)
{
    const char *argv[] = {"sh", "-c", "sleep 60 & echo $! >$1/child; echo $$ >$1/pid; wait",
                          "sh", dir,  NULL};
    setup();
    begin(argv, NULL, LIMIT_MS);
    pid_t script = pid_in("pid");
    kill(parent_of(script), SIGKILL);
    wait_done();
    CU_ASSERT_EQUAL(end.signal, SIGKILL);
    CU_ASSERT_TRUE(process_comes_to_end(script));
    CU_ASSERT_TRUE(process_comes_to_end(pid_in("child")));
    finish();
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
    setup();
    run_sh("exit 0", LIMIT_MS);
    unsigned before = count_descriptors();
    file = folder_path(dir, "active");
    run_sh("exit 0", LIMIT_MS);
    run_sh("sleep 60 &", LIMIT_MS);
    run_sh("sleep 60", UNIT_TURN_MS);
    run(missing, NULL, LIMIT_MS);
    file = folder_path(dir, "no/such/folder");
    run_sh("exit 0", LIMIT_MS);
    CU_ASSERT_PTR_NOT_NULL(end.why);
    CU_ASSERT_EQUAL(count_descriptors(), before);
    finish();
}

static void many_at_once_are_told_apart(void)
{
    const char *argv[] = {"sh", "-c", "sleep 0.2", NULL};
    setup();
    for (int i = 0; i < 20; i++) {
        begin(argv, NULL, LIMIT_MS);
    }
    uv_run(&loop, UV_RUN_DEFAULT);
    CU_ASSERT_EQUAL(done_n, 20);
    finish();
}

/* --- services --------------------------------------------------------------------------------- */

/* Prints more than a pipe holds once somebody tells it to, and says so. */
#define CHATTY(run)                                                                                \
    "cat >$1/service <<'END'\n"                                                                    \
    "echo $$ >$1/pid\n"                                                                            \
    "echo started\n"                                                                               \
    "while [ ! -e $1/go ]; do sleep 0.01; done\n"                                                  \
    "seq 1 300000 && touch $1/printed\n"                                                           \
    "exec sleep 60\n"                                                                              \
    "END\n"                                                                                        \
    "(setsid " run " sh $1/service $1 &)\n"                                                        \
    "while [ ! -s $1/pid ]; do sleep 0.01; done\n"
static const char chatty[] = CHATTY("");
static const char wiped_chatty[] = CHATTY("env -i");

static void touch(const char *name)
{
    int fd = open(folder_path(dir, name), O_WRONLY | O_CREAT, 0600);
    CU_ASSERT_TRUE(fd >= 0 && close(fd) == 0);
}

static void a_service_that_keeps_the_output_holds_up_nothing_and_may_go_on_printing(void)
{
    setup();
    run_sh(chatty, LIMIT_MS);
    CU_ASSERT_EQUAL(end.code, 0);
    CU_ASSERT_TRUE(end.ms < SOON_MS);
    pid_t service = pid_in("pid");
    CU_ASSERT_TRUE(process_lives(service));
    touch("go");
    CU_ASSERT_TRUE(folder_comes_to_have(dir, "printed"));
    CU_ASSERT_TRUE(process_lives(service));
    CU_ASSERT_TRUE(reap(NULL) >= 1);
    CU_ASSERT_FALSE(process_lives(service));
    finish();
}

/* The daemon is a process of its own here, which is killed while its script runs. */
static void a_service_outlives_the_daemon_that_is_killed(void)
{
    setup();
    pid_t daemon = fork();
    if (daemon == 0) {
        uv_loop_fork(&loop);
        run_sh(apr_pstrcat(unit_pool, chatty, "sleep 60", NULL), 60000);
        _exit(0);
    }
    pid_t service = pid_in("pid");
    kill(daemon, SIGKILL);
    waitpid(daemon, NULL, 0);
    touch("go");
    CU_ASSERT_TRUE(folder_comes_to_have(dir, "printed"));
    CU_ASSERT_TRUE(process_lives(service));
    CU_ASSERT_TRUE(reap(NULL) >= 3); /* the script and its sleep, too */
    finish();
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
    setup();
    while (waitpid(-1, NULL, 0) > 0) {
    }
    run_sh(chatty, LIMIT_MS);
    CU_ASSERT_EQUAL(count_shims(), 1);
    run_sh("exit 0", LIMIT_MS);
    CU_ASSERT_TRUE(count_shims() <= 2);
    CU_ASSERT_TRUE(reap(NULL) >= 1);
    while (waitpid(-1, NULL, 0) > 0) {
    }
    CU_ASSERT_EQUAL(count_shims(), 0);
    finish();
}

static void a_shim_stays_as_long_as_anybody_whom_nobody_hears(void)
{
    setup();
    run_sh("(setsid sleep 60 >/dev/null 2>&1 & echo $! >$1/last); (sleep 0.1 & echo $! >$1/first);",
           LIMIT_MS);
    pid_t last = pid_in("last");
    pid_t shim = parent_of(last);
    for (int i = 0; i < UNIT_TURNS && process_state(pid_in("first"), NULL); i++) {
        unit_rest();
    }
    CU_ASSERT_EQUAL(process_state(pid_in("first"), NULL), 0); /* it was waited for */
    CU_ASSERT_TRUE(process_lives(shim));
    kill(last, SIGKILL);
    CU_ASSERT_TRUE(process_comes_to_end(shim));
    finish();
}

static void shims_that_have_ended_are_waited_for(void)
{
    setup();
    for (int i = 0; i < 20; i++) {
        run_sh("exit 0", LIMIT_MS);
        unit_rest();
    }
    CU_ASSERT_TRUE(count_shims() <= 5);
    finish();
}

/* --- killing by marks ------------------------------------------------------------------------- */

static void who_left_the_session_is_found_by_its_marks(void)
{
    const char *argv[] = {"sh",
                          "-c",
                          "(setsid sh -c '(setsid sh -c \"echo \\$\\$ >$1/$2; exec sleep 60\" sh "
                          "$1 $2 >/dev/null 2>&1 &)' sh $1 $2 &); "
                          "while [ ! -s $1/$2 ]; do sleep 0.01; done",
                          "sh",
                          dir,
                          "marked",
                          NULL};
    setup();
    const char *active[] = {mark, "HA_ROLE=active", NULL};
    const char *other[] = {mark, "HA_ROLE=active-not", NULL};
    run(argv, active, LIMIT_MS);
    argv[5] = "passive";
    run(argv, other, LIMIT_MS);
    pid_t marked = pid_in("marked");
    pid_t passive = pid_in("passive");
    CU_ASSERT_TRUE(process_lives(marked) && process_lives(passive));
    CU_ASSERT_TRUE(reap("HA_ROLE=active") >= 1);
    CU_ASSERT_FALSE(process_lives(marked));
    CU_ASSERT_TRUE(process_lives(passive));
    CU_ASSERT_EQUAL(reap("HA_ROLE=active"), 0);
    CU_ASSERT_TRUE(reap(NULL) >= 1);
    finish();
}

static void who_is_started_anew_meanwhile_is_killed_too(void)
{
    setup();
    run_sh("cat >$1/again <<'END'\n"
           "while :; do sh -c 'sleep 60; :'; done\n"
           "END\n"
           "for i in 1 2 3 4 5 6 7 8; do (setsid sh $1/again >/dev/null 2>&1 &); done",
           LIMIT_MS);
    CU_ASSERT_TRUE(reap(NULL) >= 8);
    CU_ASSERT_EQUAL(reap(NULL), 0);
    finish();
}

/* Starts a service that has nothing of what it was started with, and waits for that. */
static pid_t run_wiped(const char *name)
{
    run_sh(
        apr_psprintf(unit_pool,
                     "(setsid env -i sh -c '(sh -c \"echo \\$\\$ >$1; sleep 60; :\" sh $1 &)' sh "
                     "$1/%s >/dev/null 2>&1 &); while [ ! -s $1/%s ]; do sleep 0.01; done",
                     name, name),
        LIMIT_MS);
    return pid_in(name);
}

static void who_wiped_its_environment_is_found_by_its_shim(void)
{
    setup();
    file = folder_path(dir, "active");
    pid_t active = run_wiped("pid");
    file = folder_path(dir, "other");
    pid_t other = run_wiped("other-pid");
    file = NULL;
    pid_t nobodys = run_wiped("nobodys-pid");
    CU_ASSERT_EQUAL(reap(NULL), 0);
    pid_t shim = parent_of(active);
    CU_ASSERT_TRUE(reap_below("active") >= 2);
    CU_ASSERT_FALSE(process_lives(active));
    /* One that has closed its descriptors is none any more. */
    CU_ASSERT_TRUE(process_comes_to_end(shim));
    CU_ASSERT_TRUE(process_lives(other) && process_lives(nobodys));
    CU_ASSERT_EQUAL(reap_below("active"), 0);
    CU_ASSERT_EQUAL(reap_below("nothing-was-run-with-it"), 0);
    CU_ASSERT_TRUE(reap_below("other") >= 2);
    CU_ASSERT_FALSE(process_lives(other));
    CU_ASSERT_TRUE(process_lives(nobodys));
    shim = parent_of(nobodys);
    pid_t group = getpgid(nobodys);
    CU_ASSERT_TRUE_FATAL(group > 1 && group != getpgrp());
    kill(-group, SIGKILL);
    CU_ASSERT_TRUE(process_comes_to_end(shim));
    finish();
}

static void who_is_below_a_marked_one_is_killed_too(void)
{
    setup();
    run_sh("cat >$1/service <<'END'\n"
           "env -i sh -c 'echo $$ >$1/pid; sleep 60; :' sh $1\n"
           "exit\n"
           "END\n"
           "(setsid sh $1/service $1 >/dev/null 2>&1 &)",
           LIMIT_MS);
    pid_t wiped = pid_in("pid");
    CU_ASSERT_TRUE(reap(NULL) >= 2);
    CU_ASSERT_FALSE(process_lives(wiped));
    finish();
}

static void a_marked_one_is_found_without_its_shim(void)
{
    setup();
    file = folder_path(dir, "active");
    run_sh("(setsid sh -c 'echo $$ >$1/pid; exec sleep 60' sh $1 >/dev/null 2>&1 &); "
           "while [ ! -s $1/pid ]; do sleep 0.01; done",
           LIMIT_MS);
    pid_t service = pid_in("pid");
    pid_t shim = parent_of(service);
    kill(shim, SIGKILL);
    CU_ASSERT_TRUE(process_comes_to_end(shim));
    CU_ASSERT_TRUE(process_lives(service));
    CU_ASSERT_EQUAL(reap(NULL), 1);
    CU_ASSERT_FALSE(process_lives(service));
    finish();
}

/* The end of ensure-passive is heard of, as it stops what is being killed. */
static void another_script_that_runs_meanwhile_is_not_hit(void)
{
    const char *argv[] = {"sh", "-c", "sleep 0.3; echo stopped", NULL};
    setup();
    file = folder_path(dir, "active");
    run_wiped("pid");
    file = NULL;
    begin(argv, NULL, LIMIT_MS);
    CU_ASSERT_TRUE(reap_below("active") >= 2);
    wait_done();
    CU_ASSERT_TRUE(end.code == 0 && !end.why);
    UNIT_STR_EQ(output(), "stopped\n");
    finish();
}

static void a_script_that_is_killed_with_its_service_says_so(void)
{
    const char *argv[] = {"sh", "-c", "echo before; echo $$ >$1/pid; sleep 60; :", "sh", dir, NULL};
    setup();
    file = folder_path(dir, "active");
    begin(argv, NULL, LIMIT_MS);
    pid_in("pid");
    CU_ASSERT_TRUE(reap_below("active") >= 2);
    wait_done();
    CU_ASSERT_EQUAL(end.signal, SIGKILL);
    UNIT_STR_EQ(output(), "before\n");
    finish();
}

static void who_outlived_the_daemon_is_found_by_its_shim(void)
{
    setup();
    pid_t daemon = fork();
    if (daemon == 0) {
        uv_loop_fork(&loop);
        file = folder_path(dir, "active");
        run_sh(apr_pstrcat(unit_pool, wiped_chatty, "sleep 60", NULL), 60000);
        _exit(0);
    }
    pid_t service = pid_in("pid");
    kill(daemon, SIGKILL);
    waitpid(daemon, NULL, 0);
    touch("go");
    CU_ASSERT_TRUE(folder_comes_to_have(dir, "printed"));
    pid_t shim = parent_of(service);
    CU_ASSERT_TRUE(process_lives(service) && process_lives(shim));
    CU_ASSERT_TRUE(reap_below("active") >= 3); /* the script and its sleep, too */
    CU_ASSERT_FALSE(process_lives(service));
    CU_ASSERT_TRUE(process_comes_to_end(shim));
    finish();
}

static void two_hundred_that_begin_anew_are_killed_in_time(void)
{
    setup();
    file = folder_path(dir, "active");
    run_sh("i=0; while [ $i -lt 200 ]; do\n"
           "(setsid env -i sh -c 'while :; do sleep 60; done' >/dev/null 2>&1 &); i=$((i + 1))\n"
           "done",
           LIMIT_MS);
    uint64_t began_ns = uv_hrtime();
    CU_ASSERT_TRUE(reap_below("active") >= 200);
    CU_ASSERT_TRUE(uv_hrtime() - began_ns < ZD_REAP_MS_MAX * 1000000ULL);
    CU_ASSERT_EQUAL(reap_below("active"), 0);
    finish();
}

static void without_a_mark_nobody_is_killed(void)
{
    unsigned killed = 1;
    const char *marks[] = {NULL};
    CU_ASSERT_TRUE(zd_reap(&killed, marks, NULL));
    CU_ASSERT_EQUAL(killed, 0);
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
    UNIT_TEST(a_service_that_keeps_the_output_holds_up_nothing_and_may_go_on_printing),
    UNIT_TEST(a_service_outlives_the_daemon_that_is_killed),
    UNIT_TEST(a_shim_ends_with_the_service_that_it_is_for),
    UNIT_TEST(a_shim_stays_as_long_as_anybody_whom_nobody_hears),
    UNIT_TEST(shims_that_have_ended_are_waited_for),
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
