/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the lists of free blocks. */
#include "ml_buf.h"

#include <stdlib.h>

ml_buf_t *ml_buf_take(ml_bufs_t *bufs, bool large)
{
    ml_buf_t **list = large ? &bufs->large : &bufs->small;
    ml_buf_t *buf = *list;
    if (buf) {
        *list = buf->next;
        *(large ? &bufs->large_n : &bufs->small_n) -= 1;
    } else {
        uint32_t size = large ? ML_BUF_LARGE_BYTES : ML_BUF_SMALL_BYTES;
        buf = malloc(sizeof(*buf) + size + ML_BUF_SLACK_BYTES);
        if (!buf) {
            return NULL;
        }
        buf->size = size;
    }
    buf->next = NULL;
    bufs->out++;
    return buf;
}

void ml_buf_give(ml_bufs_t *bufs, ml_buf_t *buf)
{
    if (!buf) {
        return;
    }
    bool large = buf->size == ML_BUF_LARGE_BYTES;
    unsigned *n = large ? &bufs->large_n : &bufs->small_n;
    bufs->out--;
    if (*n == (large ? ML_BUF_SPARE_LARGE : ML_BUF_SPARE_SMALL)) {
        free(buf);
        return;
    }
    ml_buf_t **list = large ? &bufs->large : &bufs->small;
    buf->next = *list;
    *list = buf;
    *n += 1;
}

static void free_list(ml_buf_t *buf)
{
    while (buf) {
        ml_buf_t *next = buf->next;
        free(buf);
        buf = next;
    }
}

void ml_bufs_clear(ml_bufs_t *bufs)
{
    free_list(bufs->small);
    free_list(bufs->large);
    bufs->small = bufs->large = NULL;
    bufs->small_n = bufs->large_n = 0;
    ml_pipes_clear(&bufs->pipes);
}
