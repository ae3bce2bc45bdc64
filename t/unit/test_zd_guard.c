/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of zd_guard, on real processes: a daemon is a child of the test that holds, and is killed.
 */
#include "unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <apr_strings.h>

#include "folder.h"
#include "process.h"
#include "zd_guard.h"

enum {
    CUT_MS = 10, /* what /proc/uptime leaves out, at most */
    KILL_MS = 2400,
    BEFORE_MS = 1200,
    LONG_MS = 600000
};

static char dir[FOLDER_BYTES];
static zd_guard_conf_t conf;
static pid_t service; /* a process that is marked */

enum { SECONDS = 1, AFTER_MS = 200, FEEDS_MS = 1000 /* five times as long as between two */ };

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* --- processes -------------------------------------------------------------------------------- */

/* The guard of that daemon, another one than `before`, once it is there. */
static pid_t guard_of(pid_t daemon, pid_t before)
{
    pid_t found = 0;
    for (int i = 0; i < UNIT_TURNS && !found; i++) {
        DIR *proc = opendir("/proc");
        for (struct dirent *entry; (entry = readdir(proc));) {
            pid_t parent = 0;
            pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
            bool child = pid > 0 && process_state(pid, &parent) && parent == daemon;
            found = child && pid != before && process_lives(pid) ? pid : found;
        }
        closedir(proc);
        unit_rest();
    }
    CU_ASSERT_TRUE_FATAL(found > 0);
    return found;
}

/* --- what a watchdog was told: a file in its place --- */

static const char *told(void)
{
    static char text[4096];
    FILE *in = fopen(folder_path(dir, "dog"), "r");
    size_t n = in ? fread(text, 1, sizeof(text) - 1, in) : 0;
    if (in) {
        fclose(in);
    }
    text[n] = '\0';
    return text;
}

static size_t fed_times(void)
{
    return strspn(told(), ".");
}

static bool is_stopped(void)
{
    const char *stop = strchr(told(), 'V');
    return stop && !stop[1];
}

static bool comes_to_stop(void)
{
    for (int i = 0; i < UNIT_TURNS && !is_stopped(); i++) {
        unit_rest();
    }
    return is_stopped();
}

static bool comes_to_be_fed(void)
{
    size_t before = strlen(told());
    for (int i = 0; i < UNIT_TURNS && strlen(told()) < before + 2; i++) {
        unit_rest();
    }
    return strlen(told()) >= before + 2;
}

static bool is_fed_no_more(void)
{
    size_t before = strlen(told());
    usleep(FEEDS_MS * 1000);
    return strlen(told()) == before;
}

/* --- daemons ---------------------------------------------------------------------------------- */

static void be_daemon(uint64_t kill_at_ms, int ready)
{
    hap_diag_t diag;
    zd_guard_t *guard = zd_guard_open(&conf, &diag);
    if (!guard) {
        _exit(1);
    }
    zd_guard_hold(guard, kill_at_ms);
    if (write(ready, "", 1) != 1) {
        _exit(1);
    }
    for (;;) {
        unit_rest();
        zd_guard_check(guard);
    }
}

/* A daemon that holds until then; 0: nothing. */
static pid_t begin_daemon(uint64_t kill_at_ms)
{
    int ready[2];
    char byte;
    CU_ASSERT_EQUAL_FATAL(pipe2(ready, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        be_daemon(kill_at_ms, ready[1]);
    }
    close(ready[1]);
    CU_ASSERT_EQUAL(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

static void kill_daemon(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static pid_t begin_service(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        putenv((char *)conf.marks[0]);
        execlp("sleep", "sleep", "600", (char *)NULL);
        _exit(127);
    }
    return pid;
}

static void begin(const char *passive)
{
    folder_make(dir, "guard");
    const char **argv = apr_pcalloc(unit_pool, 4 * sizeof(*argv));
    const char **env = apr_pcalloc(unit_pool, 2 * sizeof(*env));
    const char **marks = apr_pcalloc(unit_pool, 2 * sizeof(*marks));
    argv[0] = "/bin/sh";
    argv[1] = "-c";
    argv[2] = passive;
    env[0] = apr_pstrcat(unit_pool, "HA_TEST_TO=", dir, NULL);
    marks[0] = apr_pstrcat(unit_pool, "HA_TEST=", dir, NULL);
    conf = (zd_guard_conf_t){.dir = apr_pstrdup(unit_pool, dir),
                             .ensure_passive = argv,
                             .env = env,
                             .marks = marks,
                             .before_ms = BEFORE_MS};
    service = begin_service();
}

/* It is told to all daemons that begin from now on. */
static void begin_watched(const char *passive)
{
    begin(passive);
    fclose(fopen(folder_path(dir, "dog"), "w"));
    conf.watchdog = folder_path(dir, "dog");
    conf.watchdog_s = SECONDS;
    conf.after_ms = AFTER_MS;
}

static void finish(void)
{
    kill_daemon(service);
    folder_remove(dir);
}

/* When it runs: the seconds since boot that the guard counts in, too. */
static const char notes[] = "read up rest </proc/uptime; echo $up >$HA_TEST_TO/at && "
                            "mv $HA_TEST_TO/at $HA_TEST_TO/passive";

/* The number that the script has written down. */
static double noted(void)
{
    double number = 0;
    FILE *in = fopen(folder_path(dir, "passive"), "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(in);
    CU_ASSERT_EQUAL(fscanf(in, "%lf", &number), 1);
    fclose(in);
    return number;
}

/* Less CUT_MS at most. */
static uint64_t noted_ms(void)
{
    return (uint64_t)(noted() * 1000 + 0.5);
}

/* A daemon that holds until then, and its guard, which feeds the watchdog. */
static pid_t begin_fed(pid_t *guard, uint64_t kill_at_ms)
{
    begin_watched(notes);
    pid_t daemon = begin_daemon(kill_at_ms);
    *guard = guard_of(daemon, 0);
    CU_ASSERT_TRUE(comes_to_be_fed());
    return daemon;
}

/* --- tests ------------------------------------------------------------------------------------ */

static void h8_when_the_daemon_dies_the_service_is_stopped_and_then_killed_in_time(void)
{
    begin(notes);
    const uint64_t at = now_ms() + KILL_MS;
    pid_t daemon = begin_daemon(at);
    pid_t guard = guard_of(daemon, 0);
    kill_daemon(daemon);
    CU_ASSERT_TRUE(folder_comes_to_have(dir, "passive"));
    CU_ASSERT_TRUE(noted_ms() + CUT_MS > at - BEFORE_MS);
    CU_ASSERT_TRUE(noted_ms() + CUT_MS <= at);
    CU_ASSERT_TRUE(process_comes_to_end(service));
    CU_ASSERT_TRUE(now_ms() >= at);
    CU_ASSERT_TRUE(process_comes_to_end(guard));
    finish();
}

static void a_script_that_hangs_does_not_keep_the_service_alive(void)
{
    begin("echo done >$HA_TEST_TO/passive; exec sleep 600 & echo $! >$HA_TEST_TO/hangs; wait");
    const uint64_t at = now_ms() + KILL_MS;
    pid_t daemon = begin_daemon(at);
    pid_t guard = guard_of(daemon, 0);
    kill_daemon(daemon);
    CU_ASSERT_TRUE(folder_comes_to_have(dir, "passive"));
    CU_ASSERT_TRUE(process_comes_to_end(service));
    CU_ASSERT_TRUE(now_ms() >= at);
    CU_ASSERT_TRUE(process_lives(guard)); /* it waits for the script */
    kill(guard, SIGKILL);
    CU_ASSERT_EQUAL(system(apr_pstrcat(unit_pool, "kill -9 $(cat ", dir, "/hangs)", NULL)), 0);
    finish();
}

/* A daemon that is stopped lives, and does nothing. */
static void h8_a_daemon_that_is_stopped_does_not_keep_the_service_alive(void)
{
    begin(notes);
    const uint64_t at = now_ms() + KILL_MS;
    pid_t daemon = begin_daemon(at);
    pid_t guard = guard_of(daemon, 0);
    kill(daemon, SIGSTOP);
    CU_ASSERT_TRUE(process_comes_to_end(service));
    CU_ASSERT_TRUE(now_ms() >= at);
    CU_ASSERT_TRUE(folder_comes_to_have(dir, "passive"));
    CU_ASSERT_TRUE(process_lives(guard));
    kill_daemon(daemon);
    CU_ASSERT_TRUE(process_comes_to_end(guard));
    finish();
}

static void h9_a_new_daemon_that_holds_ends_the_guard_of_the_one_before(void)
{
    begin(notes);
    const uint64_t at = now_ms() + KILL_MS;
    pid_t daemon = begin_daemon(at);
    pid_t guard = guard_of(daemon, 0);
    kill_daemon(daemon);
    pid_t next = begin_daemon(now_ms() + LONG_MS);
    CU_ASSERT_TRUE(process_comes_to_end(guard));
    while (now_ms() < at + 10 * UNIT_TURN_MS) {
        unit_rest();
    }
    CU_ASSERT_TRUE(process_lives(service));
    CU_ASSERT_FALSE(folder_has(dir, "passive"));
    pid_t other = guard_of(next, 0);
    kill_daemon(next);
    CU_ASSERT_TRUE(process_lives(other));
    kill(other, SIGKILL);
    finish();
}

static void a_new_daemon_that_only_looks_leaves_the_guard_of_the_one_before(void)
{
    hap_diag_t diag;
    begin(notes);
    pid_t daemon = begin_daemon(now_ms() + KILL_MS);
    kill_daemon(daemon);
    zd_guard_t *next = zd_guard_open(&conf, &diag);
    CU_ASSERT_PTR_NOT_NULL_FATAL(next);
    zd_guard_check(next);
    CU_ASSERT_TRUE(process_comes_to_end(service));
    zd_guard_close(next);
    CU_ASSERT_TRUE(folder_has(dir, "passive"));
    finish();
}

static void a_guard_that_nothing_is_held_for_just_ends(void)
{
    begin(notes);
    pid_t daemon = begin_daemon(0);
    pid_t guard = guard_of(daemon, 0);
    CU_ASSERT_TRUE(process_lives(guard));
    kill_daemon(daemon);
    CU_ASSERT_TRUE(process_comes_to_end(guard));
    CU_ASSERT_TRUE(process_lives(service));
    CU_ASSERT_FALSE(folder_has(dir, "passive"));
    finish();
}

static void a_guard_that_was_killed_has_a_follower_that_knows_the_time(void)
{
    begin(notes);
    const uint64_t at = now_ms() + KILL_MS;
    pid_t daemon = begin_daemon(at);
    pid_t guard = guard_of(daemon, 0);
    kill(guard, SIGKILL);
    pid_t next = guard_of(daemon, guard);
    kill_daemon(daemon);
    CU_ASSERT_TRUE(process_comes_to_end(service));
    CU_ASSERT_TRUE(now_ms() >= at);
    CU_ASSERT_TRUE(folder_comes_to_have(dir, "passive"));
    CU_ASSERT_TRUE(process_comes_to_end(next));
    finish();
}

static void a_folder_that_is_not_there_is_said(void)
{
    hap_diag_t diag = {0, ""};
    const zd_guard_conf_t nowhere = {.dir = "/nowhere/at/all"};
    CU_ASSERT_PTR_NULL(zd_guard_open(&nowhere, &diag));
    UNIT_STR_EQ(diag.why, "/nowhere/at/all/guard: No such file or directory");
}

/* The daemon holds once, and lives: nobody renews. */
static void the_watchdog_is_fed_while_what_it_counts_ends_before_another_may_have_the_lease(void)
{
    pid_t guard;
    const uint64_t at = now_ms() + KILL_MS;
    pid_t daemon = begin_fed(&guard, at);
    while (now_ms() < at + AFTER_MS - SECONDS * 1000) {
        unit_rest();
    }
    size_t fed = fed_times();
    CU_ASSERT_TRUE(fed >= 2);
    unit_rest();
    while (now_ms() < at - 2 * UNIT_TURN_MS) {
        CU_ASSERT_TRUE(fed_times() <= fed + 1); /* what was on its way */
        unit_rest();
    }
    CU_ASSERT_TRUE(process_comes_to_end(service));
    CU_ASSERT_TRUE(comes_to_stop());
    CU_ASSERT_TRUE(folder_comes_to_have(dir, "passive"));
    kill_daemon(daemon);
    CU_ASSERT_TRUE(process_comes_to_end(guard));
    finish();
}

static void the_watchdog_is_not_fed_by_who_stands_still(void)
{
    pid_t guard;
    pid_t daemon = begin_fed(&guard, now_ms() + LONG_MS);
    kill(daemon, SIGSTOP);
    CU_ASSERT_TRUE(comes_to_be_fed());
    kill(guard, SIGSTOP);
    unit_rest();
    CU_ASSERT_TRUE(is_fed_no_more());
    CU_ASSERT_PTR_NULL(strchr(told(), 'V'));
    kill_daemon(daemon);
    kill(guard, SIGKILL);
    finish();
}

static void h9_a_guard_hands_the_watchdog_on_and_never_stops_it_between(void)
{
    pid_t guard;
    pid_t daemon = begin_fed(&guard, now_ms() + LONG_MS);
    kill_daemon(daemon);
    CU_ASSERT_TRUE(comes_to_be_fed());
    pid_t next = begin_daemon(now_ms() + LONG_MS);
    CU_ASSERT_TRUE(process_comes_to_end(guard));
    pid_t other = guard_of(next, 0);
    CU_ASSERT_TRUE(comes_to_be_fed());
    kill(other, SIGKILL);
    pid_t third = guard_of(next, other);
    CU_ASSERT_TRUE(comes_to_be_fed());
    CU_ASSERT_PTR_NULL(strchr(told(), 'V'));
    kill_daemon(next);
    kill(third, SIGKILL);
    finish();
}

/* One whose end somebody traces is not gone before he lets it: as one that waits for a disk. */
static void the_watchdog_is_left_to_reset_a_host_where_something_would_not_die(void)
{
    begin_watched(notes);
    CU_ASSERT_EQUAL_FATAL(ptrace(PTRACE_SEIZE, service, NULL, PTRACE_O_TRACEEXIT), 0);
    pid_t daemon = begin_daemon(now_ms() + KILL_MS);
    pid_t guard = guard_of(daemon, 0);
    CU_ASSERT_TRUE(comes_to_be_fed());
    kill_daemon(daemon);
    CU_ASSERT_TRUE(process_comes_to_end(guard));
    CU_ASSERT_TRUE(process_lives(service));
    CU_ASSERT_PTR_NULL(strchr(told(), 'V'));
    CU_ASSERT_EQUAL(waitpid(service, NULL, 0), service);
    ptrace(PTRACE_CONT, service, NULL, NULL);
    finish();
}

/* What a guard before has begun goes on without it. */
static void a_daemon_that_becomes_passive_stops_the_watchdog_of_the_one_before(void)
{
    pid_t guard;
    pid_t daemon = begin_fed(&guard, now_ms() + LONG_MS);
    kill_daemon(daemon);
    kill(guard, SIGKILL);
    CU_ASSERT_TRUE(process_comes_to_end(guard));
    pid_t next = begin_daemon(0);
    CU_ASSERT_TRUE(comes_to_stop());
    CU_ASSERT_TRUE(is_fed_no_more());
    kill_daemon(next);
    finish();
}

static void a_daemon_without_a_watchdog_has_the_one_before_stop_it(void)
{
    pid_t guard;
    kill_daemon(begin_fed(&guard, now_ms() + LONG_MS));
    conf.watchdog = NULL;
    pid_t next = begin_daemon(now_ms() + LONG_MS);
    CU_ASSERT_TRUE(comes_to_stop());
    CU_ASSERT_TRUE(process_comes_to_end(guard));
    pid_t other = guard_of(next, 0);
    kill_daemon(next);
    kill(other, SIGKILL);
    finish();
}

/* What zd_guard_counts says in the end of a watchdog of that path. */
static const char *counts(const char *path)
{
    hap_diag_t diag = {0, ""};
    conf.watchdog = path;
    zd_guard_t *guard = zd_guard_open(&conf, &diag);
    CU_ASSERT_PTR_NOT_NULL_FATAL(guard);
    CU_ASSERT_FALSE(zd_guard_counts(guard, &diag));
    UNIT_STR_EQ(diag.why, "it is not there");
    zd_guard_hold(guard, now_ms() + LONG_MS);
    bool good = false;
    for (int i = 0; i < UNIT_TURNS && !good; i++) {
        good = zd_guard_counts(guard, &diag);
        if (!good && strcmp(diag.why, "it does not answer") != 0) {
            break;
        }
        unit_rest();
    }
    zd_guard_hold(guard, 0);
    pid_t pid = guard_of(getpid(), service);
    zd_guard_close(guard);
    CU_ASSERT_EQUAL(waitpid(pid, NULL, 0), pid);
    return good ? "yes" : apr_pstrdup(unit_pool, diag.why);
}

static void a_watchdog_that_cannot_be_had_is_said(void)
{
    begin_watched(notes);
    UNIT_STR_EQ(counts(folder_path(dir, "dog")), "yes");
    UNIT_STR_EQ(counts("/nowhere/watchdog"), "/nowhere/watchdog: No such file or directory");
    UNIT_STR_EQ(counts("/dev/null"), "/dev/null: it is no watchdog");
    CU_ASSERT_TRUE(is_stopped());
    finish();
}

/* Once it is: there is no service without one. */
static void a_guard_that_cannot_be_started_is_tried_again(void)
{
    hap_diag_t diag = {0, ""};
    struct rlimit had;
    begin(notes);
    zd_guard_t *guard = zd_guard_open(&conf, &diag);
    CU_ASSERT_PTR_NOT_NULL_FATAL(guard);
    getrlimit(RLIMIT_NOFILE, &had);
    const struct rlimit none = {.rlim_cur = 0, .rlim_max = had.rlim_max};
    setrlimit(RLIMIT_NOFILE, &none);
    zd_guard_hold(guard, now_ms() + LONG_MS);
    zd_guard_check(guard);
    CU_ASSERT_FALSE(zd_guard_counts(guard, &diag));
    UNIT_STR_EQ(diag.why, "it is not there");
    setrlimit(RLIMIT_NOFILE, &had);
    zd_guard_check(guard);
    CU_ASSERT_TRUE(zd_guard_counts(guard, &diag));
    zd_guard_hold(guard, 0);
    pid_t pid = guard_of(getpid(), service);
    zd_guard_close(guard);
    CU_ASSERT_EQUAL(waitpid(pid, NULL, 0), pid);
    finish();
}

/* What it has begun to stop the service of a lease that is over must not stop the next one. */
static void while_a_script_hangs_the_next_lease_is_guarded_all_the_same(void)
{
    hap_diag_t diag = {0, ""};
    begin("echo $$ >$HA_TEST_TO/at && mv $HA_TEST_TO/at $HA_TEST_TO/passive; exec sleep 600");
    zd_guard_t *guard = zd_guard_open(&conf, &diag);
    CU_ASSERT_PTR_NOT_NULL_FATAL(guard);
    zd_guard_hold(guard, now_ms());
    CU_ASSERT_TRUE(process_comes_to_end(service));
    CU_ASSERT_TRUE(folder_comes_to_have(dir, "passive"));
    pid_t script = (pid_t)noted();
    CU_ASSERT_TRUE(process_lives(script));
    pid_t next = begin_service();
    zd_guard_hold(guard, now_ms() + KILL_MS);
    CU_ASSERT_TRUE(process_comes_to_end(script));
    CU_ASSERT_TRUE(process_lives(next));
    CU_ASSERT_TRUE(process_comes_to_end(next));
    pid_t pid = guard_of(getpid(), service);
    zd_guard_close(guard);
    kill_daemon(pid);
    waitpid(next, NULL, 0);
    finish();
}

const unit_test_t suite_zd_guard[] = {
    UNIT_TEST(h8_when_the_daemon_dies_the_service_is_stopped_and_then_killed_in_time),
    UNIT_TEST(a_script_that_hangs_does_not_keep_the_service_alive),
    UNIT_TEST(h8_a_daemon_that_is_stopped_does_not_keep_the_service_alive),
    UNIT_TEST(h9_a_new_daemon_that_holds_ends_the_guard_of_the_one_before),
    UNIT_TEST(a_new_daemon_that_only_looks_leaves_the_guard_of_the_one_before),
    UNIT_TEST(a_guard_that_nothing_is_held_for_just_ends),
    UNIT_TEST(a_guard_that_was_killed_has_a_follower_that_knows_the_time),
    UNIT_TEST(a_folder_that_is_not_there_is_said),
    UNIT_TEST(the_watchdog_is_fed_while_what_it_counts_ends_before_another_may_have_the_lease),
    UNIT_TEST(the_watchdog_is_not_fed_by_who_stands_still),
    UNIT_TEST(h9_a_guard_hands_the_watchdog_on_and_never_stops_it_between),
    UNIT_TEST(the_watchdog_is_left_to_reset_a_host_where_something_would_not_die),
    UNIT_TEST(a_daemon_that_becomes_passive_stops_the_watchdog_of_the_one_before),
    UNIT_TEST(a_daemon_without_a_watchdog_has_the_one_before_stop_it),
    UNIT_TEST(a_watchdog_that_cannot_be_had_is_said),
    UNIT_TEST(a_guard_that_cannot_be_started_is_tried_again),
    UNIT_TEST(while_a_script_hangs_the_next_lease_is_guarded_all_the_same),
    UNIT_END,
};
