/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the way of an answer through compression: what was read into `out` comes bare out of its
 * framing, goes through the stream, and waits in `packed` for the client, in chunks unless all of
 * it fits there at once. A slice is compressed at a time, so that others have their turn.
 */
#include <string.h>

#include "ml_lane_int.h"

enum { SLICE_BYTES = 32 << 10, TAIL_BYTES = 2, LAST_BYTES = 5 };

_Static_assert(TAIL_BYTES + LAST_BYTES <= ML_BUF_SLACK_BYTES, "the end of a chunk needs the slack");

static size_t waiting(const ml_inner_t *inner)
{
    return inner->out.ready - inner->out.begin;
}

static void let_stream_go(ml_lane_t *lane, ml_inner_t *inner)
{
    ml_deflate_give(&lane->deflates, inner->stream);
    inner->stream = NULL;
}

void ml_pack_drop(ml_lane_t *lane, ml_inner_t *inner)
{
    let_stream_go(lane, inner);
    ml_half_clear(&inner->packed, &lane->bufs);
    inner->packs = inner->pack_open = inner->pack_chunks = false;
    inner->unflushed = false;
    inner->sliced = 0;
}

/* What would grow by it. A chunked body goes through whatever its size, as long as it has one. */
static bool is_small(const ml_inner_t *inner, const hap_http1_head_t *head)
{
    const ml_half_t *out = &inner->out;
    const char *at = out->buf->bytes + head->bytes;
    switch (head->framing) {
    case HAP_FRAMING_NONE:
        return true;
    case HAP_FRAMING_LENGTH:
        return head->length <= HAP_DEFLATE_SMALL_BYTES;
    case HAP_FRAMING_CHUNKED:
        return out->end > head->bytes + 1 && at[0] == '0' && (at[1] == '\r' || at[1] == ';');
    case HAP_FRAMING_CLOSE:
        break;
    }
    return false;
}

bool ml_pack_begin(ml_client_t *client, hap_http1_answer_t *answer, hap_edit_text_t *text)
{
    ml_inner_t *inner = client->inner;
    const hap_http1_head_t *head = &answer->head;
    const hap_deflate_t *how = inner->x.deflate;
    if (!how || inner->is_head || is_small(inner, head) || !hap_deflate_applies(answer, how)) {
        return true;
    }
    if (inner->gzip) {
        ml_deflates_t *all = &client->lane->deflates;
        inner->stream = ml_deflate_take(all, how->level, how->window, how->memory);
        inner->packs = inner->stream != NULL;
    }
    if (inner->packs) {
        inner->out.begin = inner->out.ready = (uint32_t)head->bytes;
        inner->out.chunks.bare = true;
        ml_half_body(&inner->out, head->framing, head->length);
    }
    return hap_deflate_head(answer, how, inner->packs, text);
}

/* What is in `packed` becomes a chunk; behind the last one stands the end of all. */
static void wrap(ml_half_t *packed)
{
    char line[HAP_CHUNKS_HEAD_BYTES];
    char *bytes = packed->buf->bytes;
    if (packed->ready > packed->begin) {
        size_t line_n = hap_chunks_head(line, packed->ready - packed->begin);
        packed->begin -= (uint32_t)line_n;
        memcpy(bytes + packed->begin, line, line_n);
        memcpy(bytes + packed->ready, "\r\n", TAIL_BYTES);
        packed->ready += TAIL_BYTES;
    }
    if (packed->complete) {
        memcpy(bytes + packed->ready, "0\r\n\r\n", LAST_BYTES);
        packed->ready += LAST_BYTES;
    }
    packed->end = packed->ready;
}

static ml_deflate_end_t end_of(const ml_inner_t *inner, size_t slice)
{
    bool all = slice == waiting(inner);
    return all && inner->out.complete             ? ML_DEFLATE_LAST
           : all && !inner->server->sock.readable ? ML_DEFLATE_FLUSH
                                                  : ML_DEFLATE_MORE;
}

/* Compresses a slice into the empty `packed`. False without memory. */
static bool fill(ml_client_t *client)
{
    ml_inner_t *inner = client->inner;
    ml_half_t *out = &inner->out;
    ml_half_t *packed = &inner->packed;
    if (!packed->buf) {
        packed->buf = ml_buf_take(&client->lane->bufs, false);
        if (!packed->buf) {
            return false;
        }
    }
    size_t slice = waiting(inner) < SLICE_BYTES ? waiting(inner) : SLICE_BYTES;
    ml_deflate_end_t end = end_of(inner, slice);
    const char *in = out->buf ? out->buf->bytes + out->begin : NULL;
    size_t left = slice;
    size_t made;
    bool done =
        ml_deflate_run(inner->stream, &in, &left, packed->buf->bytes + HAP_CHUNKS_HEAD_BYTES,
                       packed->buf->size - HAP_CHUNKS_HEAD_BYTES, &made, end);
    out->begin += (uint32_t)(slice - left);
    inner->sliced += slice - left;
    inner->unflushed = !(done && end == ML_DEFLATE_FLUSH);
    packed->begin = HAP_CHUNKS_HEAD_BYTES;
    packed->ready = packed->end = HAP_CHUNKS_HEAD_BYTES + (uint32_t)made;
    packed->complete = done && end == ML_DEFLATE_LAST;
    if (packed->complete) {
        let_stream_go(client->lane, inner);
    }
    return true;
}

bool ml_pack_first(ml_client_t *client, hap_http1_answer_t *answer, hap_edit_text_t *text)
{
    ml_inner_t *inner = client->inner;
    ml_half_t *packed = &inner->packed;
    bool whole = inner->out.complete;
    if (whole && !fill(client)) {
        return false;
    }
    if (packed->complete) {
        return hap_edit_length(&answer->head, packed->ready - packed->begin, text);
    }
    inner->pack_chunks = !inner->old_client;
    inner->pack_open = inner->old_client;
    if (whole && inner->pack_chunks) {
        wrap(packed);
    }
    return true;
}

ml_go_t ml_pack_pump(ml_client_t *client)
{
    ml_inner_t *inner = client->inner;
    if (inner->packed.complete) {
        return ml_exchange_finish(client);
    }
    bool due = waiting(inner) || inner->out.complete ||
               (inner->unflushed && !inner->server->sock.readable && !inner->out.bad);
    if (!due) {
        return ML_GO_WAIT;
    }
    if (!fill(client)) {
        return ml_exchange_cut(client);
    }
    if (inner->pack_chunks) {
        wrap(&inner->packed);
    }
    if (inner->sliced < SLICE_BYTES) {
        return ML_GO_ON;
    }
    inner->sliced = 0;
    return ML_GO_LATER;
}
