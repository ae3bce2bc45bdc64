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
    uv_pipe_t pipe; /* first: what is closed leads back here */
    zd_control_t *control;
    conn_t *next;
    conn_t **at;
    zd_question_t question;
    char by[NAME_BYTES];
    char line[LINE_BYTES_MAX];
    size_t n;
    bool asked; /* the question is not answered yet */
    bool closed;
    char *answer;
    uv_write_t write;
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

static void conn_free(conn_t *conn)
{
    free(conn->answer);
    free(conn);
}

/* A question outlives its connection: whoever has it will answer. */
static void conn_closed(uv_handle_t *handle)
{
    conn_t *conn = (conn_t *)handle;
    conn->closed = true;
    if (!conn->asked) {
        conn_free(conn);
    }
}

static void conn_close(conn_t *conn)
{
    if (uv_is_closing((uv_handle_t *)&conn->pipe)) {
        return;
    }
    *conn->at = conn->next;
    if (conn->next) {
        conn->next->at = conn->at;
    }
    uv_close((uv_handle_t *)&conn->pipe, conn_closed);
}

/* --- asking and answering --------------------------------------------------------------------- */

static void take_line(conn_t *conn);

static void written(uv_write_t *write, int status)
{
    conn_t *conn = write->data;
    free(conn->answer);
    conn->answer = NULL;
    if (status != 0) {
        conn_close(conn);
        return;
    }
    take_line(conn);
}

void zd_question_answer(zd_question_t *question, json_t *object)
{
    conn_t *conn = question->conn;
    json_decref(question->object);
    question->object = NULL;
    conn->asked = false;
    conn->answer = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    if (conn->closed) {
        conn_free(conn);
        return;
    }
    if (uv_is_closing((uv_handle_t *)&conn->pipe)) {
        return;
    }
    if (!conn->answer) {
        conn_close(conn);
        return;
    }
    uv_buf_t bufs[] = {uv_buf_init(conn->answer, (unsigned)strlen(conn->answer)),
                       uv_buf_init((char *)"\n", 1)};
    conn->write.data = conn;
    if (uv_write(&conn->write, (uv_stream_t *)&conn->pipe, bufs, 2, written) != 0) {
        conn_close(conn);
    }
}

static void ask(conn_t *conn, const char *line, size_t n)
{
    json_error_t error;
    json_t *object = json_loadb(line, n, JSON_REJECT_DUPLICATES, &error);
    conn->asked = true;
    conn->question = (zd_question_t){.conn = conn, .object = object};
    if (!json_is_object(object)) {
        zd_question_answer(&conn->question,
                           json_pack("{s:s}", "error", "a question is an object of JSON"));
        return;
    }
    conn->control->asked(conn->control->baton, &conn->question);
}

/* The first line that there is, if none is being answered. */
static void take_line(conn_t *conn)
{
    char *end = conn->asked || conn->answer ? NULL : memchr(conn->line, '\n', conn->n);
    if (!end) {
        if (conn->n == sizeof(conn->line) && !conn->asked && !conn->answer) {
            conn_close(conn);
        }
        return;
    }
    char line[LINE_BYTES_MAX];
    size_t n = (size_t)(end - conn->line);
    memcpy(line, conn->line, n);
    conn->n -= n + 1;
    memmove(conn->line, end + 1, conn->n);
    ask(conn, line, n);
}

static void room(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    conn_t *conn = (conn_t *)handle;
    *buf = uv_buf_init(conn->line + conn->n, (unsigned)(sizeof(conn->line) - conn->n));
}

static void came(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    conn_t *conn = (conn_t *)stream;
    if (n < 0) {
        conn_close(conn);
        return;
    }
    conn->n += (size_t)n;
    take_line(conn);
}

/* --- connections ------------------------------------------------------------------------------ */

/* The socket's mode keeps others out; this names who it is, and does not trust a folder that
 * somebody has opened up. */
static bool is_allowed(conn_t *conn)
{
    struct ucred peer;
    socklen_t n = sizeof(peer);
    uv_os_fd_t fd;
    if (uv_fileno((uv_handle_t *)&conn->pipe, &fd) != 0 ||
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
    conn_t *conn = status == 0 ? calloc(1, sizeof(*conn)) : NULL;
    if (!conn) {
        return;
    }
    conn->control = control;
    uv_pipe_init(listener->loop, &conn->pipe, 0);
    conn->next = control->conns;
    conn->at = &control->conns;
    if (conn->next) {
        conn->next->at = &conn->next;
    }
    control->conns = conn;
    if (uv_accept(listener, (uv_stream_t *)&conn->pipe) != 0 || !is_allowed(conn) ||
        uv_read_start((uv_stream_t *)&conn->pipe, room, came) != 0) {
        conn_close(conn);
    }
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
        conn_close(control->conns);
    }
    unlink(control->path);
    uv_close((uv_handle_t *)&control->pipe, control_closed);
}
