/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the list of those who wait, and their time. How many may is mh_queue's. */
#include "mh_lane_queue.h"

#include "mh_clock.h"

struct mh_lane_queue_t {
    mh_lane_wait_t list; /* its head */
    ml_loop_t *loop;
    ml_timer_t look; /* for an active member that has come back: nobody tells of that */
};

enum { LOOK_US = 50000 };

static void clear(mh_lane_wait_t *list)
{
    list->next = list->prev = list;
}

static void link_out(mh_lane_wait_t *wait)
{
    if (wait->next) {
        wait->prev->next = wait->next;
        wait->next->prev = wait->prev;
        wait->next = NULL;
    }
}

static void link_in(mh_lane_wait_t *list, mh_lane_wait_t *wait)
{
    wait->next = list;
    wait->prev = list->prev;
    list->prev->next = wait;
    list->prev = wait;
}

static void on_look(ml_timer_t *timer, ml_loop_t *loop)
{
    mh_lane_queue_wake(ML_OWNER(timer, mh_lane_queue_t, look));
}

mh_lane_queue_t *mh_lane_queue_create(ml_loop_t *loop, apr_pool_t *p)
{
    mh_lane_queue_t *queue = apr_pcalloc(p, sizeof(*queue));
    queue->loop = loop;
    queue->look.fire = on_look;
    clear(&queue->list);
    return queue;
}

static void on_time(ml_timer_t *timer, ml_loop_t *loop)
{
    mh_lane_wait_t *wait = ML_OWNER(timer, mh_lane_wait_t, timer);
    wait->over = true;
    link_out(wait);
    ml_exchange_resume(wait->x);
}

bool mh_lane_queue_wait(mh_lane_queue_t *queue, mh_lane_wait_t *wait, ml_exchange_t *x,
                        const mh_choice_t *choice)
{
    mh_app_t *app = choice->app;
    bool first = !wait->ticket.waiting;
    wait->app = app;
    wait->loop = queue->loop;
    wait->x = x;
    if (!mh_choice_may_wait(choice) || (first ? !mh_queue_wait(app, &wait->ticket) : wait->over)) {
        mh_lane_queue_leave(wait);
        return false;
    }
    if (first) {
        wait->timer.fire = on_time;
        ml_timer_set(queue->loop, &wait->timer, wait->ticket.deadline_us - mh_now_us());
    }
    link_in(&queue->list, wait);
    if (!ml_timer_is_set(&queue->look)) {
        ml_timer_set(queue->loop, &queue->look, LOOK_US);
    }
    return true;
}

void mh_lane_queue_leave(mh_lane_wait_t *wait)
{
    if (!wait->ticket.waiting) {
        return;
    }
    link_out(wait);
    ml_timer_cancel(wait->loop, &wait->timer);
    wait->over = false;
    mh_queue_leave(wait->app, &wait->ticket);
}

void mh_lane_queue_wake(mh_lane_queue_t *queue)
{
    mh_lane_wait_t woken;
    if (queue->list.next == &queue->list) {
        return;
    }
    /* Who finds nobody waits again, in the queue's own list. */
    woken.next = queue->list.next;
    woken.prev = queue->list.prev;
    woken.next->prev = woken.prev->next = &woken;
    clear(&queue->list);
    while (woken.next != &woken) {
        mh_lane_wait_t *wait = woken.next;
        link_out(wait);
        ml_exchange_resume(wait->x);
    }
}
