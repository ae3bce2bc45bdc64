/* SPDX-License-Identifier: Apache-2.0 */
/* Owns running scripts in a test, and what they leave. */
#include "script.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include <apr_strings.h>

#include "unit.h"
#include "zd_reap.h"

uv_loop_t script_loop;
zd_script_end_t script_end;
int script_ends;
char script_dir[FOLDER_BYTES];
const char *script_mark;
const char *script_shim;

static void done(void *baton, const zd_script_end_t *how)
{
    CU_ASSERT_PTR_EQUAL(baton, &script_loop);
    script_end = *how;
    script_end.why = how->why ? apr_pstrdup(unit_pool, how->why) : NULL;
    script_end.output =
        hap_strn(apr_pstrmemdup(unit_pool, how->output.p, how->output.n), how->output.n);
    script_ends++;
}

const char *script_output(void)
{
    return apr_pstrmemdup(unit_pool, script_end.output.p, script_end.output.n);
}

zd_script_t *script_begin(const char *const *argv, const char *const *env, unsigned limit_ms)
{
    const zd_script_conf_t conf = {.argv = argv,
                                   .env = env,
                                   .mark = script_shim,
                                   .limit_ms = limit_ms,
                                   .done = done,
                                   .baton = &script_loop};
    script_ends = 0;
    zd_script_t *script = zd_script_run(&script_loop, &conf);
    CU_ASSERT_PTR_NOT_NULL_FATAL(script);
    CU_ASSERT_EQUAL(script_ends, 0);
    return script;
}

void script_wait(void)
{
    uv_run(&script_loop, UV_RUN_DEFAULT);
    CU_ASSERT_EQUAL(script_ends, 1);
}

void script_run(const char *const *argv, const char *const *env, unsigned limit_ms)
{
    script_begin(argv, env, limit_ms);
    script_wait();
}

/* Its first argument is the test's folder. */
void script_sh(const char *text, unsigned limit_ms)
{
    const char *env[] = {script_mark, NULL};
    const char *argv[] = {"/bin/sh", "-c", text, "sh", script_dir, NULL};
    script_run(argv, env, limit_ms);
}

void script_setup(void)
{
    folder_make(script_dir, "script");
    script_mark = apr_pstrcat(unit_pool, "ZD_TEST=", script_dir, NULL);
    script_shim = NULL;
    uv_loop_init(&script_loop);
    signal(SIGPIPE, SIG_IGN); /* as the daemon has it */
}

unsigned script_reap(const char *more)
{
    unsigned killed;
    const char *marks[] = {script_mark, more, NULL};
    CU_ASSERT_TRUE(zd_reap(&killed, marks, NULL));
    return killed;
}

/* Those only who are below a shim. */
unsigned script_reap_below(const char *name)
{
    unsigned killed;
    const char *nobody[] = {"ZD_TEST=nobody", NULL};
    CU_ASSERT_TRUE(zd_reap(&killed, nobody, folder_path(script_dir, name)));
    return killed;
}

void script_finish(void)
{
    script_reap(NULL);
    script_reap_below("active");
    script_reap_below("other");
    CU_ASSERT_EQUAL(uv_loop_close(&script_loop), 0);
    signal(SIGPIPE, SIG_DFL);
    folder_remove(script_dir);
}

/* The number in a file of the folder, once it is there. */
pid_t script_pid(const char *name)
{
    int pid = 0;
    for (int i = 0; i < UNIT_TURNS && pid == 0; i++) {
        FILE *in = fopen(folder_path(script_dir, name), "r");
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

void script_touch(const char *name)
{
    int fd = open(folder_path(script_dir, name), O_WRONLY | O_CREAT, 0600);
    CU_ASSERT_TRUE(fd >= 0 && close(fd) == 0);
}
