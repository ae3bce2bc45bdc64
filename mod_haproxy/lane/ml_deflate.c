/* SPDX-License-Identifier: Apache-2.0 */
/* Owns zlib. */
#include "ml_deflate.h"

#include <stdint.h>
#include <stdlib.h>
#include <zlib.h>

enum { GZIP = 16 /* added to the window: zlib writes gzip's head and end */ };

struct ml_deflate_t {
    ml_deflate_t *next; /* while it is free */
    z_stream z;
    int level, window, memory;
};

static void end(ml_deflate_t *stream)
{
    deflateEnd(&stream->z);
    free(stream);
}

static ml_deflate_t *begin(int level, int window, int memory)
{
    ml_deflate_t *stream = calloc(1, sizeof(*stream));
    if (!stream) {
        return NULL;
    }
    if (deflateInit2(&stream->z, level, Z_DEFLATED, window + GZIP, memory, Z_DEFAULT_STRATEGY) !=
        Z_OK) {
        free(stream);
        return NULL;
    }
    stream->level = level;
    stream->window = window;
    stream->memory = memory;
    return stream;
}

static ml_deflate_t *take_spare(ml_deflates_t *all, int level, int window, int memory)
{
    for (ml_deflate_t **at = &all->spare; *at; at = &(*at)->next) {
        ml_deflate_t *stream = *at;
        if (stream->level == level && stream->window == window && stream->memory == memory) {
            *at = stream->next;
            all->spare_n--;
            return stream;
        }
    }
    return NULL;
}

ml_deflate_t *ml_deflate_take(ml_deflates_t *all, int level, int window, int memory)
{
    if (all->out == ML_DEFLATE_MAX) {
        return NULL;
    }
    ml_deflate_t *stream = take_spare(all, level, window, memory);
    if (!stream) {
        stream = begin(level, window, memory);
    }
    all->out += stream ? 1 : 0;
    return stream;
}

void ml_deflate_give(ml_deflates_t *all, ml_deflate_t *stream)
{
    if (!stream) {
        return;
    }
    all->out--;
    if (all->spare_n == ML_DEFLATE_SPARE || deflateReset(&stream->z) != Z_OK) {
        end(stream);
        return;
    }
    stream->next = all->spare;
    all->spare = stream;
    all->spare_n++;
}

bool ml_deflate_run(ml_deflate_t *stream, const char **in, size_t *in_n, char *out, size_t room,
                    size_t *made, ml_deflate_end_t end_)
{
    static const int flushes[] = {
        [ML_DEFLATE_MORE] = Z_NO_FLUSH,
        [ML_DEFLATE_FLUSH] = Z_SYNC_FLUSH,
        [ML_DEFLATE_LAST] = Z_FINISH,
    };
    z_stream *z = &stream->z;
    z->next_in = (Bytef *)(uintptr_t)*in;
    z->avail_in = (uInt)*in_n;
    z->next_out = (Bytef *)out;
    z->avail_out = (uInt)room;
    int rv = deflate(z, flushes[end_]);
    *in += *in_n - z->avail_in;
    *in_n = z->avail_in;
    *made = room - z->avail_out;
    return end_ == ML_DEFLATE_LAST ? rv == Z_STREAM_END : z->avail_out > 0;
}

void ml_deflates_clear(ml_deflates_t *all)
{
    while (all->spare) {
        ml_deflate_t *stream = all->spare;
        all->spare = stream->next;
        end(stream);
    }
    all->spare_n = 0;
}
