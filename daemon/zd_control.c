/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns connections to the control socket. One question at a time on each: the next line is read
 * when the answer is on its way.
 */
#include "zd_control.h"

#include <errno.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "zd_lines.h"

enum { LINE_BYTES_MAX = 64 << 10, BACKLOG = 16, NAME_BYTES = 64 };

typedef struct conn_t conn_t;

struct zd_question_t {
    conn_t *conn;
    json_t *object;
};

struct zd_control_t {
    uv_pipe_t pipe;
    zd_asked_fn *asked;
    void *baton;
    conn_t *conns;
    char path[108];
};

struct conn_t {
    zd_control_t *control;
    conn_t *next;
    zd_lines_t *lines; /* NULL: it has ended */
    zd_question_t question;
    char by[NAME_BYTES];
    bool asked; /* the question is not answered yet */
};

const json_t *zd_question_object(const zd_question_t *question)
{
    return question->object;
}

const char *zd_question_by(const zd_question_t *question)
{
    return question->conn->by;
}

/* --- ending ----------------------------------------------------------------------------------- */

static void forget(conn_t *conn)
{
    conn_t **at = &conn->control->conns;
    while (*at != conn) {
        at = &(*at)->next;
    }
    *at = conn->next;
}

/* A question outlives its connection: whoever has it will answer. */
static void conn_ended(void *baton, const char *why)
{
    conn_t *conn = baton;
    forget(conn);
    conn->lines = NULL;
    if (!conn->asked) {
        free(conn);
    }
}

/* --- asking and answering --------------------------------------------------------------------- */

/* The next line is read in another turn of the loop, as who answers may be in the middle of this
 * one. */
void zd_question_answer(zd_question_t *question, json_t *object)
{
    conn_t *conn = question->conn;
    json_decref(question->object);
    question->object = NULL;
    conn->asked = false;
    if (!conn->lines) {
        json_decref(object);
        free(conn);
        return;
    }
    zd_lines_say(conn->lines, object);
    zd_lines_go(conn->lines);
}

static void ask(void *baton, json_t *object)
{
    conn_t *conn = baton;
    if (!object) {
        zd_lines_say(conn->lines, json_pack("{s:s}", "error", "a question is an object of JSON"));
        return;
    }
    zd_lines_wait(conn->lines);
    conn->asked = true;
    conn->question = (zd_question_t){.conn = conn, .object = json_incref(object)};
    conn->control->asked(conn->control->baton, &conn->question);
}

/* --- connections ------------------------------------------------------------------------------ */

/* The socket's mode keeps others out; this names who it is, and does not trust a folder that
 * somebody has opened up. */
static bool is_allowed(conn_t *conn, const uv_pipe_t *pipe)
{
    struct ucred peer;
    socklen_t n = sizeof(peer);
    uv_os_fd_t fd;
    if (uv_fileno((const uv_handle_t *)pipe, &fd) != 0 ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) != 0) {
        return false;
    }
    const struct passwd *user = getpwuid(peer.uid);
    if (user) {
        snprintf(conn->by, sizeof(conn->by), "%s", user->pw_name);
    } else {
        snprintf(conn->by, sizeof(conn->by), "uid %u", (unsigned)peer.uid);
    }
    return peer.uid == 0 || peer.uid == geteuid();
}

static void connected(uv_stream_t *listener, int status)
{
    zd_control_t *control = listener->data;
    uv_pipe_t *pipe = status == 0 ? malloc(sizeof(*pipe)) : NULL;
    conn_t *conn = pipe ? calloc(1, sizeof(*conn)) : NULL;
    const zd_lines_conf_t conf = {
        .bytes_max = LINE_BYTES_MAX, .came = ask, .ended = conn_ended, .baton = conn};
    if (!conn) {
        free(pipe);
        return;
    }
    uv_pipe_init(listener->loop, pipe, 0);
    if (uv_accept(listener, (uv_stream_t *)pipe) != 0 || !is_allowed(conn, pipe)) {
        uv_close((uv_handle_t *)pipe, (uv_close_cb)free);
        free(conn);
        return;
    }
    conn->control = control;
    conn->lines = zd_lines_open((uv_stream_t *)pipe, &conf);
    if (!conn->lines) {
        free(conn);
        return;
    }
    conn->next = control->conns;
    control->conns = conn;
}

static int fails(hap_diag_t *diag, const char *path, int rv)
{
    hap_diag_set(diag, 0, "%s: no control socket there: %s", path, uv_strerror(rv));
    return EIO;
}

static void control_closed(uv_handle_t *handle)
{
    free(handle->data);
}

int zd_control_open(zd_control_t **control, uv_loop_t *loop, const char *path, zd_asked_fn *asked,
                    void *baton, hap_diag_t *diag)
{
    zd_control_t *made = calloc(1, sizeof(*made));
    if (made == NULL) {
        return fails(diag, path, UV_ENOMEM);
    }
    if (strlen(path) >= sizeof(made->path)) {
        free(made);
        return fails(diag, path, UV_ENAMETOOLONG);
    }
    memcpy(made->path, path, strlen(path) + 1);
    made->asked = asked;
    made->baton = baton;
    uv_pipe_init(loop, &made->pipe, 0);
    made->pipe.data = made;
    unlink(path);
    mode_t before = umask(0177);
    int rv = uv_pipe_bind(&made->pipe, path);
    umask(before);
    rv = rv ? rv : uv_listen((uv_stream_t *)&made->pipe, BACKLOG, connected);
    if (rv != 0) {
        uv_close((uv_handle_t *)&made->pipe, control_closed);
        return fails(diag, path, rv);
    }
    *control = made;
    return 0;
}

void zd_control_close(zd_control_t *control)
{
    while (control->conns) {
        zd_lines_close(control->conns->lines);
        conn_ended(control->conns, NULL);
    }
    unlink(control->path);
    uv_close((uv_handle_t *)&control->pipe, control_closed);
}
