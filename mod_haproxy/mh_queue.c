/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the queue: a counter of those who wait and a futex on the number of releases. */
#include "mh_queue.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "mh_request.h"
#include "mh_shared.h"

/* A release that slips between looking and sleeping costs at most this much. */
enum { NAP_MAX_US = 50000 };

static hap_balancer_t *balancer_of(const mh_app_t *app)
{
    return &mh_shared->view.balancers[app->balancer];
}

static bool join(const mh_app_t *app, mh_queue_ticket_t *ticket)
{
    hap_balancer_t *balancer = balancer_of(app);
    if (atomic_fetch_add(&balancer->waiting, 1) >= app->policy.queue) {
        atomic_fetch_sub(&balancer->waiting, 1);
        return false;
    }
    ticket->waiting = true;
    ticket->deadline_us = mh_now_us() + app->policy.queue_timeout;
    return true;
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
    syscall(SYS_futex, released, FUTEX_WAIT, atomic_load(released), &nap, NULL, 0);
    return true;
}

void mh_queue_leave(const mh_app_t *app, mh_queue_ticket_t *ticket)
{
    if (ticket->waiting) {
        ticket->waiting = false;
        atomic_fetch_sub(&balancer_of(app)->waiting, 1);
    }
}

void mh_queue_release(const mh_app_t *app)
{
    hap_balancer_t *balancer = balancer_of(app);
    if (atomic_load(&balancer->waiting) > 0) {
        atomic_fetch_add(&balancer->released, 1);
        syscall(SYS_futex, &balancer->released, FUTEX_WAKE, 1, NULL, NULL, 0);
    }
}
