/* SPDX-License-Identifier: Apache-2.0 */
/* Owns cutting what comes into lines, and writing lines in one piece each. */
#include "zd_lines.h"

#include <stdlib.h>
#include <string.h>

enum {
    ROOM_BYTES = 4096,
    QUEUE_BYTES_MAX = 8 << 20 /* that are to be sent; more than that is an end that hangs */
};

struct zd_lines_t {
    uv_stream_t *stream;
    zd_lines_conf_t conf;
    char *bytes; /* what has come and is no line yet */
    size_t n;
    size_t room;
    unsigned users; /* the stream, writes, and a caller's turn */
    bool closed;
    bool waits;
    bool turns;      /* lines are being taken */
    bool left;       /* by its owner */
    const char *why; /* it was closed, when it was not the owner who did */
};

static void release(zd_lines_t *lines)
{
    if (--lines->users == 0) {
        free(lines->bytes);
        free(lines->stream);
        free(lines);
    }
}

static void stream_closed(uv_handle_t *handle)
{
    zd_lines_t *lines = handle->data;
    if (!lines->left) {
        lines->conf.ended(lines->conf.baton, lines->why);
    }
    release(lines);
}

/* The owner is told when the loop has turned: who says something is not called back at once. */
static void end(zd_lines_t *lines, const char *why)
{
    if (!lines->closed) {
        lines->closed = true;
        lines->why = why;
        uv_close((uv_handle_t *)lines->stream, stream_closed);
    }
}

void zd_lines_close(zd_lines_t *lines)
{
    lines->left = true;
    end(lines, NULL);
}

/* --- reading ---------------------------------------------------------------------------------- */

static void take(zd_lines_t *lines, size_t n)
{
    json_error_t error;
    json_t *object = json_loadb(lines->bytes, n, JSON_REJECT_DUPLICATES, &error);
    lines->n -= n + 1;
    memmove(lines->bytes, lines->bytes + n + 1, lines->n);
    lines->conf.came(lines->conf.baton, json_is_object(object) ? object : NULL);
    json_decref(object);
}

static void take_all(zd_lines_t *lines)
{
    char *newline;
    lines->users++;
    lines->turns = true;
    while (!lines->closed && !lines->waits && lines->n &&
           (newline = memchr(lines->bytes, '\n', lines->n))) {
        take(lines, (size_t)(newline - lines->bytes));
    }
    lines->turns = false;
    if (lines->n >= lines->conf.bytes_max && !lines->waits) {
        end(lines, "its line is too long");
    }
    release(lines);
}

/* One byte more than a line may have is never needed. */
static void make_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    zd_lines_t *lines = handle->data;
    if (lines->n == lines->room && lines->room < lines->conf.bytes_max) {
        size_t room = lines->room ? lines->room * 2 : ROOM_BYTES;
        room = room < lines->conf.bytes_max ? room : lines->conf.bytes_max;
        char *bytes = realloc(lines->bytes, room);
        lines->bytes = bytes ? bytes : lines->bytes;
        lines->room = bytes ? room : lines->room;
    }
    *buf = uv_buf_init(lines->bytes ? lines->bytes + lines->n : NULL,
                       (unsigned)(lines->room - lines->n));
}

static void came(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    zd_lines_t *lines = stream->data;
    if (n == UV_ENOBUFS && lines->waits) {
        uv_read_stop(stream);
        return;
    }
    if (n < 0) {
        end(lines, n == UV_EOF ? "it has hung up" : uv_strerror((int)n));
        return;
    }
    lines->n += (size_t)n;
    take_all(lines);
}

void zd_lines_wait(zd_lines_t *lines)
{
    lines->waits = true;
}

/* Within a line that is being taken the next one is taken when that is done. */
void zd_lines_go(zd_lines_t *lines)
{
    bool waited = lines->waits;
    lines->waits = false;
    if (!waited || lines->closed || lines->turns) {
        return;
    }
    lines->users++;
    take_all(lines);
    if (!lines->closed && !lines->waits) {
        uv_read_start(lines->stream, make_room, came);
    }
    release(lines);
}

zd_lines_t *zd_lines_open(uv_stream_t *stream, const zd_lines_conf_t *conf)
{
    zd_lines_t *lines = calloc(1, sizeof(*lines));
    if (!lines) {
        uv_close((uv_handle_t *)stream, (uv_close_cb)free);
        return NULL;
    }
    lines->stream = stream;
    lines->conf = *conf;
    lines->users = 1;
    stream->data = lines;
    uv_read_start(stream, make_room, came);
    return lines;
}

/* --- writing ---------------------------------------------------------------------------------- */

typedef struct write_t {
    uv_write_t request;
    zd_lines_t *lines;
    char *text;
} write_t;

static void written(uv_write_t *request, int status)
{
    write_t *write = (write_t *)request;
    zd_lines_t *lines = write->lines;
    free(write->text);
    free(write);
    if (status != 0) {
        end(lines, uv_strerror(status));
    }
    release(lines);
}

static bool write_line(zd_lines_t *lines, json_t *object)
{
    write_t *write = calloc(1, sizeof(*write));
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    if (!write || !text) {
        free(write);
        free(text);
        return false;
    }
    *write = (write_t){.lines = lines, .text = text};
    uv_buf_t bufs[] = {uv_buf_init(text, (unsigned)strlen(text)), uv_buf_init((char *)"\n", 1)};
    if (uv_write(&write->request, lines->stream, bufs, 2, written) != 0) {
        free(text);
        free(write);
        return false;
    }
    lines->users++;
    return true;
}

void zd_lines_say(zd_lines_t *lines, json_t *object)
{
    if (!lines->closed && uv_stream_get_write_queue_size(lines->stream) > QUEUE_BYTES_MAX) {
        end(lines, "it does not read what it is told");
    } else if (!lines->closed && !write_line(lines, object)) {
        end(lines, "no memory, or it cannot be written to");
    }
    json_decref(object);
}
