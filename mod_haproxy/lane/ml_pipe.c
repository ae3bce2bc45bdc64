/* SPDX-License-Identifier: Apache-2.0 */
/* Owns making, keeping and closing pipes. */
#include "ml_pipe.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    PIPES_MAX = 32, /* of one loop: two descriptors each */
};

static ml_pipe_t *open_pipe(void)
{
    int ends[2];
    ml_pipe_t *pipe = calloc(1, sizeof(*pipe));
    if (!pipe || pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) {
        free(pipe);
        return NULL;
    }
    fcntl(ends[1], F_SETPIPE_SZ, ML_PIPE_BYTES);
    pipe->out = ends[0];
    pipe->in = ends[1];
    return pipe;
}

static void close_pipe(ml_pipes_t *pipes, ml_pipe_t *pipe)
{
    close(pipe->in);
    close(pipe->out);
    free(pipe);
    pipes->n--;
}

ml_pipe_t *ml_pipe_take(ml_pipes_t *pipes)
{
    ml_pipe_t *pipe = pipes->spare;
    if (pipe) {
        pipes->spare = pipe->next;
        pipe->next = NULL;
        return pipe;
    }
    pipe = pipes->n < PIPES_MAX ? open_pipe() : NULL;
    pipes->n += pipe != NULL;
    return pipe;
}

void ml_pipe_give(ml_pipes_t *pipes, ml_pipe_t *pipe)
{
    if (!pipe) {
        return;
    }
    if (pipe->n) {
        close_pipe(pipes, pipe);
        return;
    }
    pipe->next = pipes->spare;
    pipes->spare = pipe;
}

void ml_pipes_clear(ml_pipes_t *pipes)
{
    while (pipes->spare) {
        ml_pipe_t *pipe = pipes->spare;
        pipes->spare = pipe->next;
        close_pipe(pipes, pipe);
    }
}
