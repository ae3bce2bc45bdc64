/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the waiting. */
#include "hapstore_alone.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "hapstore_time.h"

enum { WHY_BYTES = 128 };

struct hapstore_alone_t {
    hapstore_asker_t asker; /* first */
    const hapstore_node_iface_t *iface;
    void *handle;
    int fd; /* epoll */
    int64_t due_ms;
    bool over; /* what is waited for is there */
    bool answers;
    char why[WHY_BYTES];
};

static void on_ended(hapstore_asker_t *asker, hapstore_ask_t *ask)
{
    ((hapstore_alone_t *)asker)->over = true;
}

static void on_failed(hapstore_asker_t *asker, const char *why)
{
    hapstore_alone_t *alone = (hapstore_alone_t *)asker;
    snprintf(alone->why, sizeof(alone->why), "%s", why);
    alone->over = true;
}

static void on_answers(hapstore_asker_t *asker)
{
    hapstore_alone_t *alone = (hapstore_alone_t *)asker;
    alone->answers = alone->over = true;
}

static void on_due(hapstore_asker_t *asker, int64_t due_ms)
{
    hapstore_alone_t *alone = (hapstore_alone_t *)asker;
    alone->due_ms = due_ms < alone->due_ms ? due_ms : alone->due_ms;
}

static bool watch(hapstore_asker_t *asker, int fd, uint32_t events, bool change)
{
    struct epoll_event event = {.events = events};
    return epoll_ctl(((hapstore_alone_t *)asker)->fd, change ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd,
                     &event) == 0;
}

static const hapstore_asker_iface_t asker_iface = {
    .ended = on_ended,
    .failed = on_failed,
    .answers = on_answers,
    .due = on_due,
    .watch = watch,
};

static int wait_ms(const hapstore_alone_t *alone)
{
    if (alone->due_ms == INT64_MAX) {
        return -1;
    }
    int64_t left_ms = alone->due_ms - hapstore_now_ms();
    return left_ms > 0 ? (int)left_ms : 0;
}

static void wait_for_it(hapstore_alone_t *alone)
{
    const hapstore_node_iface_t *iface = alone->iface;
    struct epoll_event event;
    while (!alone->over) {
        if (iface->flush) {
            iface->flush(alone->handle);
        }
        if (!alone->over && epoll_wait(alone->fd, &event, 1, wait_ms(alone)) == 1) {
            iface->ready(alone->handle, event.events);
        }
        int64_t now_ms = hapstore_now_ms();
        if (now_ms >= alone->due_ms) {
            alone->due_ms = INT64_MAX;
            iface->tick(alone->handle, now_ms);
        }
    }
}

hapstore_node_end_t hapstore_alone_do(hapstore_alone_t *alone, hapstore_ask_t *ask)
{
    alone->over = false;
    alone->iface->ask(alone->handle, ask);
    wait_for_it(alone);
    return ask->end;
}

bool hapstore_alone_probe(hapstore_alone_t *alone)
{
    alone->over = alone->answers = false;
    alone->iface->probe(alone->handle);
    wait_for_it(alone);
    return alone->answers;
}

const char *hapstore_alone_why(const hapstore_alone_t *alone)
{
    return alone->why;
}

hapstore_alone_t *hapstore_alone_open(const hapstore_node_iface_t *iface,
                                      const hapstore_conf_t *conf, unsigned index)
{
    hapstore_alone_t *alone = calloc(1, sizeof(*alone));
    if (alone == NULL) {
        return NULL;
    }
    alone->asker.iface = &asker_iface;
    alone->iface = iface;
    alone->due_ms = INT64_MAX;
    alone->fd = epoll_create1(EPOLL_CLOEXEC);
    alone->handle = alone->fd >= 0 ? iface->open(&alone->asker, conf, index) : NULL;
    if (alone->handle == NULL) {
        hapstore_alone_close(alone);
        return NULL;
    }
    return alone;
}

void hapstore_alone_close(hapstore_alone_t *alone)
{
    if (alone->handle) {
        alone->iface->close(alone->handle);
    }
    if (alone->fd >= 0) {
        close(alone->fd);
    }
    free(alone);
}
