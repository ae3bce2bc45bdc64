/* SPDX-License-Identifier: Apache-2.0 */
/* Owns moving bytes in one direction. */
#include "ml_half.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* A chunk of our own is read behind room for its head, and closed with a line end. */
enum { CHUNK_TAIL_BYTES = 2, LAST_CHUNK_BYTES = 5 };

enum {
    PIPE_LEAST_BYTES = 128 << 10, /* what is left of a body, that a pipe is worth the detour */
    /* Without the pace of copying the first bytes of a connection would overrun the window of a
     * client on the same host, whose kernel keeps it small from then on. */
    PIPE_AFTER_BYTES = 1 << 20
};

void ml_sock_note(ml_sock_t *sock, uint32_t events)
{
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
        sock->readable = true;
    }
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) {
        sock->writable = true;
    }
    /* Said once, maybe together with the last bytes: a short read is not the end then. */
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
        sock->ending = true;
    }
}

void ml_half_body(ml_half_t *half, hap_framing_t framing, uint64_t length)
{
    half->framing = framing;
    half->left = length;
    half->complete = framing == HAP_FRAMING_NONE;
    half->bad = false;
    half->chunks = (hap_chunks_t){.bare = half->chunks.bare};
    ml_half_decode(half, false);
}

/* What was passed on makes room; what is left of a line moves to the front. */
static void make_room(ml_half_t *half)
{
    if (half->begin == half->ready && half->begin > 0 && !half->hold) {
        uint32_t rest = half->end - half->ready;
        if (rest) {
            memmove(half->buf->bytes, half->buf->bytes + half->ready, rest);
        }
        half->begin = half->ready = 0;
        half->end = rest;
    }
}

/* A long body is worth a large block, once the small one holds nothing. */
static bool wants_large(const ml_half_t *half)
{
    return half->eager || (half->framing == HAP_FRAMING_LENGTH && half->left > ML_BUF_SMALL_BYTES);
}

bool ml_half_room(const ml_half_t *half)
{
    if (!half->buf || (half->begin == half->ready && !half->hold)) {
        return true;
    }
    return !half->rechunk && half->end < half->buf->size;
}

static ml_buf_t *move(ml_half_t *half, ml_bufs_t *bufs, bool large)
{
    ml_buf_t *old = half->buf;
    uint32_t rest = half->end - half->begin;
    ml_buf_t *buf = ml_buf_take(bufs, large);
    if (!buf) {
        return NULL;
    }
    memcpy(buf->bytes, old->bytes + half->begin, rest);
    half->ready -= half->begin;
    half->end = rest;
    half->begin = 0;
    half->buf = buf;
    half->hold = false;
    return old;
}

ml_buf_t *ml_half_move(ml_half_t *half, ml_bufs_t *bufs)
{
    return move(half, bufs, wants_large(half) || half->end - half->begin > ML_BUF_SMALL_BYTES);
}

bool ml_half_grow(ml_half_t *half, ml_bufs_t *bufs)
{
    ml_buf_t *old = half->buf->size < ML_BUF_LARGE_BYTES ? move(half, bufs, true) : NULL;
    ml_buf_give(bufs, old);
    return old != NULL;
}

static bool provide(ml_half_t *half, ml_bufs_t *bufs)
{
    if (half->buf && half->end == 0 && half->buf->size < ML_BUF_LARGE_BYTES && wants_large(half)) {
        ml_buf_give(bufs, half->buf);
        half->buf = NULL;
    }
    if (!half->buf) {
        half->begin = half->ready = half->end = 0;
        half->buf = ml_buf_take(bufs, wants_large(half));
    }
    return half->buf != NULL;
}

/*
 * Where a read goes, and how much may come. What follows a body of known length stays in the socket
 * but for one byte: a read that could have brought more shows that there was nothing more.
 */
static size_t space(const ml_half_t *half, char **at)
{
    uint32_t head = half->rechunk ? HAP_CHUNKS_HEAD_BYTES : 0;
    *at = half->buf->bytes + half->end + head;
    size_t room = half->buf->size - half->end - head;
    if (half->framing == HAP_FRAMING_LENGTH) {
        uint64_t wanted = half->left - (half->end - half->ready) + 1;
        return wanted < room ? (size_t)wanted : room;
    }
    return room;
}

/* A read has brought no byte: why, by what it returned. */
static ml_move_t nothing_came(ml_sock_t *from, ssize_t n)
{
    from->readable = false;
    if (n == 0) {
        from->eof = true;
        return ML_MOVE_END;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) {
        from->readable = errno == EINTR;
        return from->broken ? ML_MOVE_BROKEN : ML_MOVE_NOTHING;
    }
    from->broken = true;
    return ML_MOVE_BROKEN;
}

/* A write has failed: bytes behind the ones that are lost must not follow. What the other side has
 * said before can still be read, and so can the reason. */
static ml_move_t broken_by_write(ml_sock_t *to)
{
    to->broken = to->readable = true;
    to->writable = false;
    return ML_MOVE_BROKEN;
}

/* The n bytes at `at`, behind room for a head, become a chunk; there is slack for its end. */
static void wrap_chunk(ml_half_t *half, uint32_t at, size_t n)
{
    char line[HAP_CHUNKS_HEAD_BYTES];
    size_t line_n = hap_chunks_head(line, n);
    char *bytes = half->buf->bytes + at;
    memcpy(bytes - line_n, line, line_n);
    memcpy(bytes + n, "\r\n", CHUNK_TAIL_BYTES);
    half->begin = at - (uint32_t)line_n;
    half->ready = half->end = at + (uint32_t)n + CHUNK_TAIL_BYTES;
}

void ml_half_rechunk(ml_half_t *half)
{
    uint32_t n = half->end - half->ready;
    half->rechunk = true;
    if (n) {
        wrap_chunk(half, half->ready, n);
    }
}

static bool wants_pipe(const ml_half_t *half)
{
    return half->direct && half->warm && !half->hold && half->framing == HAP_FRAMING_LENGTH &&
           half->begin == half->end && half->left >= PIPE_LEAST_BYTES;
}

/* What follows the body stays in the socket, be it the end. That there is nothing is known after a
 * look. */
static void look_behind(ml_sock_t *from)
{
    char byte;
    ssize_t n = recv(from->fd, &byte, 1, MSG_PEEK);
    from->readable = n >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

/* False without a pipe, or where the kernel knows no such way: it is copied then. */
static bool splice_in(ml_half_t *half, ml_sock_t *from, ml_bufs_t *bufs, ml_move_t *move)
{
    half->pipe = half->pipe ? half->pipe : ml_pipe_take(&bufs->pipes);
    if (!half->pipe) {
        return false;
    }
    size_t most = half->left < ML_PIPE_BYTES ? (size_t)half->left : ML_PIPE_BYTES;
    ssize_t n = splice(from->fd, NULL, half->pipe->in, NULL, most, SPLICE_F_NONBLOCK);
    if (n < 0 && errno == EINVAL) {
        half->direct = false;
        return false;
    }
    if (n > 0) {
        half->pipe->n = (size_t)n;
        half->left -= (uint64_t)n;
        half->complete = half->left == 0;
        if (half->complete) {
            look_behind(from);
        }
    }
    *move = n > 0 ? ML_MOVE_SOME : nothing_came(from, n);
    half->bad = *move == ML_MOVE_END;
    return true;
}

ml_move_t ml_half_read(ml_half_t *half, ml_sock_t *from, ml_bufs_t *bufs)
{
    ml_move_t move;
    if (wants_pipe(half) && splice_in(half, from, bufs, &move)) {
        return move;
    }
    if (half->buf) {
        make_room(half);
    }
    if (!provide(half, bufs)) {
        return ML_MOVE_BROKEN;
    }
    char *at;
    size_t room = ml_half_room(half) ? space(half, &at) : 0;
    if (room == 0) {
        return ML_MOVE_NOTHING;
    }
    ssize_t n = recv(from->fd, at, room, 0);
    if (n > 0) {
        from->readable = (size_t)n == room || from->ending;
        if (half->rechunk) {
            wrap_chunk(half, HAP_CHUNKS_HEAD_BYTES, (size_t)n);
        } else {
            half->end += (uint32_t)n;
        }
        return ML_MOVE_SOME;
    }
    return nothing_came(from, n);
}

static void decode_chunks(ml_half_t *half)
{
    size_t used;
    char *at = half->buf->bytes + half->ready;
    size_t n = half->end - half->ready;
    size_t ready = hap_chunks_feed(&half->chunks, &used, at, n);
    if (used > ready) {
        memmove(at + ready, at + used, n - used);
        half->end -= (uint32_t)(used - ready);
    }
    half->ready += (uint32_t)ready;
    half->complete = half->chunks.state == HAP_CHUNKS_DONE;
    half->bad = half->chunks.state == HAP_CHUNKS_BAD;
}

static void decode_length(ml_half_t *half)
{
    uint64_t n = half->end - half->ready;
    if (n > half->left) {
        n = half->left;
    }
    half->ready += (uint32_t)n;
    half->left -= n;
    half->complete = half->left == 0;
}

static void decode_rest(ml_half_t *half, bool ended)
{
    half->ready = half->end;
    if (!ended) {
        return;
    }
    half->complete = true;
    if (half->rechunk) {
        memcpy(half->buf->bytes + half->end, "0\r\n\r\n", LAST_CHUNK_BYTES);
        half->end += LAST_CHUNK_BYTES;
        half->ready = half->end;
    }
}

void ml_half_decode(ml_half_t *half, bool ended)
{
    if (half->complete || half->bad || !half->buf) {
        return;
    }
    switch (half->framing) {
    case HAP_FRAMING_NONE:
        break;
    case HAP_FRAMING_LENGTH:
        decode_length(half);
        break;
    case HAP_FRAMING_CHUNKED:
        decode_chunks(half);
        break;
    case HAP_FRAMING_CLOSE:
        decode_rest(half, ended);
        break;
    }
    half->bad = half->bad || (ended && !half->complete);
}

/* What of the head was not written is kept until it can be. */
static bool keep_head(ml_half_t *half, const char *head, size_t head_n)
{
    half->head = malloc(head_n);
    if (!half->head) {
        return false;
    }
    memcpy(half->head, head, head_n);
    half->head_at = 0;
    half->head_n = (uint32_t)head_n;
    return true;
}

/* How much of the body went out, after `n` bytes in all; the head's part is taken off. */
static bool passed_on(ml_half_t *half, const char *head, size_t head_n, size_t n)
{
    half->passed += n;
    size_t of_head = n < head_n ? n : head_n;
    if (half->head) {
        half->head_at += (uint32_t)of_head;
        if (half->head_at == half->head_n) {
            free(half->head);
            half->head = NULL;
        }
    } else if (of_head < head_n && !keep_head(half, head + of_head, head_n - of_head)) {
        return false;
    }
    half->begin += (uint32_t)(n - of_head);
    return true;
}

/* A signal for a broken connection does not reach loops, which take none. */
static ml_move_t splice_out(ml_half_t *half, ml_sock_t *to)
{
    ml_pipe_t *pipe = half->pipe;
    if (!pipe->n) {
        return ML_MOVE_NOTHING;
    }
    ssize_t n = splice(pipe->out, NULL, to->fd, NULL, pipe->n, SPLICE_F_NONBLOCK);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        return broken_by_write(to);
    }
    size_t sent = n > 0 ? (size_t)n : 0;
    to->writable = sent == pipe->n;
    to->sent += sent;
    pipe->n -= sent;
    half->passed += sent;
    return sent ? ML_MOVE_SOME : ML_MOVE_NOTHING;
}

ml_move_t ml_half_write(ml_half_t *half, ml_sock_t *to, const char *head, size_t head_n)
{
    if (half->head) {
        head = half->head + half->head_at;
        head_n = half->head_n - half->head_at;
    }
    size_t body_n = half->ready - half->begin;
    struct iovec pieces[2];
    size_t count = 0;
    if (head_n) {
        pieces[count++] = (struct iovec){(void *)(uintptr_t)head, head_n};
    }
    if (body_n) {
        pieces[count++] = (struct iovec){half->buf->bytes + half->begin, body_n};
    }
    if (count == 0) {
        return half->pipe ? splice_out(half, to) : ML_MOVE_NOTHING;
    }
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = count};
    ssize_t n = count == 1 ? send(to->fd, pieces[0].iov_base, pieces[0].iov_len, MSG_NOSIGNAL)
                           : sendmsg(to->fd, &message, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
        return broken_by_write(to);
    }
    size_t sent = n > 0 ? (size_t)n : 0;
    to->writable = sent == head_n + body_n;
    to->sent += sent;
    half->warm = to->sent >= PIPE_AFTER_BYTES;
    /* Who is slow is not read for in advance. */
    half->eager = half->eager && to->writable;
    if (!passed_on(half, head, head_n, sent)) {
        return broken_by_write(to);
    }
    return sent ? ML_MOVE_SOME : ML_MOVE_NOTHING;
}

void ml_half_rest(ml_half_t *half, ml_bufs_t *bufs)
{
    if (half->pipe && !half->pipe->n) {
        ml_pipe_give(&bufs->pipes, half->pipe);
        half->pipe = NULL;
    }
    if (half->buf && half->begin == half->end && !half->hold) {
        ml_buf_give(bufs, half->buf);
        half->buf = NULL;
        half->begin = half->ready = half->end = 0;
    }
}

void ml_half_clear(ml_half_t *half, ml_bufs_t *bufs)
{
    ml_buf_give(bufs, half->buf);
    ml_pipe_give(&bufs->pipes, half->pipe);
    free(half->head);
    *half = (ml_half_t){0};
}
