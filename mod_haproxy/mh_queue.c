/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the queue: counts of those who wait and a futex on the number of releases. */
#include "mh_queue.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "mh_child.h"
#include "mh_clock.h"
#include "mh_request.h"
#include "mh_shared.h"

/* A release that slips between looking and sleeping costs at most this much. */
enum { NAP_MAX_US = 50000 };

static hap_balancer_t *balancer_of(const mh_app_t *app)
{
    return &mh_shared->view.balancers[app->balancer];
}

/* In this child's own row, which is cleared when it dies. */
static _Atomic uint32_t *waiting_here(const mh_app_t *app)
{
    return &mh_child_row()->count[hap_shared_waiting(&mh_shared->view, app->balancer)];
}

static uint32_t waiting(const mh_app_t *app)
{
    return hap_shared_sum(&mh_shared->view, hap_shared_waiting(&mh_shared->view, app->balancer));
}

static bool join(const mh_app_t *app, mh_queue_ticket_t *ticket)
{
    atomic_fetch_add(waiting_here(app), 1);
    ticket->waiting = true;
    ticket->seen = atomic_load(&balancer_of(app)->released);
    int64_t now_us = mh_now_us();
    if (!ticket->deadline_us) {
        ticket->deadline_us = now_us + app->policy.queue_timeout;
    }
    return waiting(app) <= app->policy.queue && now_us < ticket->deadline_us;
}

bool mh_queue_wait(const mh_app_t *app, mh_queue_ticket_t *ticket)
{
    if (!ticket->waiting) {
        return join(app, ticket);
    }
    int64_t left = ticket->deadline_us - mh_now_us();
    if (left <= 0) {
        return false;
    }
    left = left < NAP_MAX_US ? left : NAP_MAX_US;
    const struct timespec nap = {.tv_nsec = left * 1000};
    _Atomic uint32_t *released = &balancer_of(app)->released;
    /* Returns at once when something was released since the last look. */
    syscall(SYS_futex, released, FUTEX_WAIT, ticket->seen, &nap, NULL, 0);
    ticket->seen = atomic_load(released);
    return true;
}

void mh_queue_leave(const mh_app_t *app, mh_queue_ticket_t *ticket)
{
    if (ticket->waiting) {
        ticket->waiting = false;
        atomic_fetch_sub(waiting_here(app), 1);
    }
}

void mh_queue_release(const mh_app_t *app)
{
    if (waiting(app) > 0) {
        /* All of them: the first may be a session that waits for another member. */
        hap_balancer_t *balancer = balancer_of(app);
        atomic_fetch_add(&balancer->released, 1);
        syscall(SYS_futex, &balancer->released, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    }
}
