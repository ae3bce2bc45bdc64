/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns running a script on the loop. Its output is a pipe, which the loop reads until the script
 * has ended: it does not wait for the end of the pipe, which a service that the script has left
 * running may keep open. From then on the shim reads it, which also says how the script has ended
 * (zd_shim.c).
 */
#include "config.h"
#include "zd_script.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "zd_shim.h"

enum {
    ROOM_BYTES = 2 * ZD_SCRIPT_OUTPUT_BYTES,
    REST_BYTES_MAX = 1 << 20, /* read at its end: somebody may print faster than we read */
    GRACE_MS_MAX = 1000,
    NS_A_MS = 1000000
};

struct zd_script_t {
    zd_script_conf_t conf; /* its texts have gone */
    zd_script_end_t end;
    zd_shim_t shim;
    uv_pipe_t output; /* the reading end */
    uv_timer_t timer;
    uv_poll_t says;   /* what the shim says */
    unsigned handles; /* that are not closed yet */
    bool has_shim;    /* its channel is open, and has a handle */
    bool runs;        /* its end has not been heard of */
    bool killed;      /* by zd_script_kill */
    unsigned grace_ms;
    uint64_t began_ns;
    char *name;
    char *why;
    size_t n; /* in bytes */
    char bytes[ROOM_BYTES];
};

/* --- ending ----------------------------------------------------------------------------------- */

static void keep_last(zd_script_t *script)
{
    if (script->n > ZD_SCRIPT_OUTPUT_BYTES) {
        memmove(script->bytes, script->bytes + script->n - ZD_SCRIPT_OUTPUT_BYTES,
                ZD_SCRIPT_OUTPUT_BYTES);
        script->n = ZD_SCRIPT_OUTPUT_BYTES;
    }
}

static void handle_closed(uv_handle_t *handle)
{
    zd_script_t *script = handle->data;
    if (--script->handles > 0) {
        return;
    }
    if (script->has_shim) {
        close(script->shim.channel);
    }
    keep_last(script);
    script->end.output = hap_strn(script->bytes, script->n);
    script->conf.done(script->conf.baton, &script->end);
    free(script->name);
    free(script->why);
    free(script);
}

static void finish(zd_script_t *script, uint64_t at_ns)
{
    script->runs = false;
    script->end.ms = (unsigned)((at_ns - script->began_ns) / NS_A_MS);
    uv_close((uv_handle_t *)&script->timer, handle_closed);
    uv_close((uv_handle_t *)&script->output, handle_closed);
    if (script->has_shim) {
        uv_close((uv_handle_t *)&script->says, handle_closed);
    }
}

static void fail(zd_script_t *script, int rv)
{
    static const char fmt[] = "%s cannot be run: %s";
    int n = snprintf(NULL, 0, fmt, script->name, uv_strerror(rv));
    script->why = malloc((size_t)n + 1);
    if (script->why) {
        snprintf(script->why, (size_t)n + 1, fmt, script->name, uv_strerror(rv));
    }
    script->end.why = script->why ? script->why : "no memory to run a script";
    script->end.code = -1;
    finish(script, uv_hrtime());
}

/* --- what it prints --------------------------------------------------------------------------- */

static void room(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    zd_script_t *script = handle->data;
    if (script->n == sizeof(script->bytes)) {
        keep_last(script);
    }
    *buf = uv_buf_init(script->bytes + script->n, (unsigned)(sizeof(script->bytes) - script->n));
}

static void came(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    zd_script_t *script = stream->data;
    if (n < 0) {
        uv_read_stop(stream);
        return;
    }
    script->n += (size_t)n;
}

/* What it had printed when it ended is in the pipe. */
static void read_rest(zd_script_t *script)
{
    uv_os_fd_t fd;
    uv_buf_t buf;
    ssize_t n = 1;
    if (uv_fileno((uv_handle_t *)&script->output, &fd) != 0) {
        return;
    }
    for (size_t all = 0; n > 0 && all < REST_BYTES_MAX; all += (size_t)n) {
        room((uv_handle_t *)&script->output, 0, &buf);
        n = read(fd, buf.base, buf.len);
        script->n += n > 0 ? (size_t)n : 0;
    }
}

/* --- its life --------------------------------------------------------------------------------- */

static void signal_group(zd_script_t *script, int number)
{
    kill(-script->shim.script, number);
}

/* One that has to end takes all of its group with it: also who has not heard SIGTERM. The group's
 * number is nobody else's as long as somebody is in it. */
static void ended(zd_script_t *script, int status, uint64_t at_ns)
{
    if (script->end.timed_out) {
        signal_group(script, SIGKILL);
    }
    script->end.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    script->end.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    read_rest(script);
    finish(script, at_ns);
}

/* Nobody will say how it ends: it must not go on. */
static void lost_shim(zd_script_t *script)
{
    signal_group(script, SIGKILL);
    ended(script, SIGKILL, uv_hrtime());
}

static void said(uv_poll_t *says, int status, int events)
{
    zd_script_t *script = says->data;
    zd_shim_said_t said;
    int rv = zd_shim_hear(&said, script->shim.channel);
    if (rv < 0) {
        lost_shim(script);
    } else if (rv > 0 && said.kind == ZD_SHIM_FAILED) {
        fail(script, -said.value);
    } else if (rv > 0) {
        ended(script, said.value, said.at_ns);
    }
}

/* Somebody waits for the end, to have others take over. */
static void give_up(uv_timer_t *timer)
{
    zd_script_t *script = timer->data;
    script->end.lives = true;
    script->end.code = -1;
    read_rest(script);
    finish(script, uv_hrtime());
}

static void kill_group(zd_script_t *script)
{
    signal_group(script, SIGKILL);
    uv_timer_start(&script->timer, give_up, ZD_SCRIPT_GIVE_UP_MS, 0);
}

static void limit_is_over(uv_timer_t *timer)
{
    kill_group(timer->data);
}

static void limit_is_near(uv_timer_t *timer)
{
    zd_script_t *script = timer->data;
    script->end.timed_out = true;
    signal_group(script, SIGTERM);
    uv_timer_start(timer, limit_is_over, script->grace_ms, 0);
}

void zd_script_kill(zd_script_t *script)
{
    if (script->runs && !script->killed) {
        script->killed = true;
        kill_group(script);
    }
}

/* --- beginning -------------------------------------------------------------------------------- */

static bool has_name_of(const char *const *env, const char *variable)
{
    size_t n = strcspn(variable, "=") + 1;
    for (; env && *env; env++) {
        if (strncmp(*env, variable, n) == 0) {
            return true;
        }
    }
    return false;
}

static size_t count(const char *const *texts)
{
    size_t n = 0;
    while (texts && texts[n]) {
        n++;
    }
    return n;
}

/* Borrows its texts. */
static char **make_env(const char *const *own)
{
    const char *const *inherited = (const char *const *)environ;
    size_t n = 0;
    const char **env = calloc(count(own) + count(inherited) + 1, sizeof(*env));
    for (const char *const *at = inherited; env && at && *at; at++) {
        if (!has_name_of(own, *at)) {
            env[n++] = *at;
        }
    }
    for (const char *const *at = own; env && at && *at; at++) {
        env[n++] = *at;
    }
    return (char **)env;
}

/* Both of its outputs are a pipe, which unlike libuv's own sockets can be opened again by its name
 * in /dev. */
static int start_shim(zd_script_t *script, const int *fds)
{
    char **env = make_env(script->conf.env);
    const zd_shim_conf_t conf = {.argv = script->conf.argv,
                                 .env = env,
                                 .mark = script->conf.mark,
                                 .reads = fds[0],
                                 .writes = fds[1]};
    if (!env) {
        return UV_ENOMEM;
    }
    int rv = zd_shim_start(&script->shim, &conf);
    free(env);
    return rv;
}

static int listen_to(zd_script_t *script, uv_loop_t *loop)
{
    int rv = uv_poll_init(loop, &script->says, script->shim.channel);
    if (rv != 0) {
        close(script->shim.channel);
        return rv;
    }
    script->has_shim = true;
    script->handles++;
    script->says.data = script;
    rv = uv_poll_start(&script->says, UV_READABLE, said);
    return rv ? rv : uv_read_start((uv_stream_t *)&script->output, room, came);
}

static int start(zd_script_t *script, uv_loop_t *loop)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0) {
        return -errno;
    }
    int rv = uv_pipe_open(&script->output, fds[0]);
    if (rv != 0) {
        close(fds[0]);
    }
    rv = rv ? rv : start_shim(script, fds);
    close(fds[1]);
    if (rv != 0) {
        return rv;
    }
    rv = listen_to(script, loop);
    if (rv != 0) {
        signal_group(script, SIGKILL);
    }
    return rv;
}

static void set_limit(zd_script_t *script, uv_loop_t *loop)
{
    unsigned limit = script->conf.limit_ms;
    script->grace_ms = limit / 10 < GRACE_MS_MAX ? limit / 10 : GRACE_MS_MAX;
    uv_update_time(loop); /* it may be what it was before the loop's last turn began */
    uv_timer_start(&script->timer, limit_is_near, limit - script->grace_ms, 0);
}

zd_script_t *zd_script_run(uv_loop_t *loop, const zd_script_conf_t *conf)
{
    zd_script_t *script = calloc(1, sizeof(*script));
    if (!script || !(script->name = strdup(conf->argv[0]))) {
        free(script);
        return NULL;
    }
    script->conf = *conf;
    script->began_ns = uv_hrtime();
    uv_timer_init(loop, &script->timer);
    uv_pipe_init(loop, &script->output, 0);
    script->timer.data = script->output.data = script;
    script->handles = 2;
    int rv = start(script, loop);
    if (rv != 0) {
        fail(script, rv);
        return script;
    }
    script->runs = true;
    set_limit(script, loop);
    return script;
}
