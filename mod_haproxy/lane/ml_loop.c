/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the turn of the event loop. Does not own the descriptors, timers and work it is given. */
#include "ml_loop.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <apr_strings.h>

#include "hap_thread.h"

enum {
    BATCH = 128,
    BATCHES_MAX = 16, /* before timers have their turn */
    TICK_US = 1000
};

struct ml_loop_t {
    int epoll;                        /* -1: closed */
    int event;                        /* wakes the loop for posted work and for its end */
    ml_io_t wake;                     /* the handle of `event` */
    apr_time_t now;                   /* loop thread only; monotonic, of this turn */
    ml_wheel_t wheel;                 /* loop thread only; in milliseconds */
    struct epoll_event events[BATCH]; /* loop thread only; the batch at hand */
    ml_work_t *deferred; /* loop thread only; for the end of this turn, the newest first */
    ml_work_t *posted;   /* atomic; the newest first; &closed once the loop has ended */
    int stop;            /* atomic; 1: end after this turn */
    pthread_t thread;    /* after ml_loop_start */
    apr_status_t ended;  /* what ended the thread; read after the join */
};

/* Stands in `posted` of a loop that takes no more work. */
static ml_work_t closed;

static apr_time_t clock_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (apr_time_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

void ml_eventfd_wake(int fd)
{
    static const uint64_t one = 1;
    /* It fails only when the counter is full, and then whoever waits is woken already. */
    if (write(fd, &one, sizeof(one)) < 0) {
        return;
    }
}

static void run_posted(ml_loop_t *loop, ml_work_t *leave)
{
    ml_work_t *newest = __atomic_exchange_n(&loop->posted, leave, __ATOMIC_ACQ_REL);
    ml_work_t *oldest = NULL;
    while (newest) {
        ml_work_t *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        ml_work_t *work = oldest;
        oldest = work->next;
        work->run(work, loop);
    }
}

static void run_deferred(ml_loop_t *loop)
{
    ml_work_t *work = loop->deferred;
    loop->deferred = NULL;
    while (work) {
        ml_work_t *next = work->next;
        work->run(work, loop);
        work = next;
    }
}

static void on_wake(ml_io_t *io, uint32_t events)
{
    uint64_t count;
    (void)events;
    /* Read before the list is taken: who posts to the empty list then wakes the loop again. */
    if (read(io->fd, &count, sizeof(count)) < 0 && errno != EAGAIN) {
        return;
    }
    run_posted(io->loop, NULL);
}

static const ml_io_iface_t wake_iface = {.name = "wake", .ready = on_wake};

static apr_status_t close_all(void *data)
{
    ml_loop_t *loop = data;
    if (loop->epoll >= 0) {
        close(loop->epoll);
    }
    if (loop->event >= 0) {
        close(loop->event);
    }
    loop->epoll = loop->event = -1;
    return APR_SUCCESS;
}

apr_status_t ml_loop_create(ml_loop_t **loop, apr_pool_t *pool)
{
    ml_loop_t *made = apr_pcalloc(pool, sizeof(*made));
    made->epoll = epoll_create1(EPOLL_CLOEXEC);
    made->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    apr_pool_cleanup_register(pool, made, close_all, apr_pool_cleanup_null);
    if (made->epoll < 0 || made->event < 0) {
        return errno;
    }
    made->now = clock_us();
    ml_wheel_init(&made->wheel, (uint64_t)made->now / TICK_US);
    apr_status_t rv = ml_io_add(&made->wake, made, &wake_iface, made->event, EPOLLIN);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    *loop = made;
    return APR_SUCCESS;
}

/* Until the next timer, in whole milliseconds, rounded up so that none is met early; -1: none. */
static int wait_ms(const ml_loop_t *loop)
{
    static const uint64_t longest = 3600000;
    uint64_t tick;
    if (!ml_wheel_next(&tick, &loop->wheel)) {
        return -1;
    }
    uint64_t at = tick * TICK_US;
    uint64_t now = (uint64_t)clock_us();
    if (at <= now) {
        return 0;
    }
    uint64_t ms = (at - now + 999) / 1000;
    return (int)(ms < longest ? ms : longest);
}

/* Each handle learns its place first, so that deleting one blanks its event without a search. */
static void dispatch(ml_loop_t *loop, int n)
{
    for (int i = 0; i < n; i++) {
        ((ml_io_t *)loop->events[i].data.ptr)->batch = (unsigned)i + 1;
    }
    for (int i = 0; i < n; i++) {
        ml_io_t *io = loop->events[i].data.ptr;
        if (!io) {
            continue;
        }
        io->batch = 0;
        io->iface->ready(io, loop->events[i].events);
    }
}

/*
 * A full batch says that more events wait. After a pause these come before the timers: what has
 * come in time must not be found missing.
 */
static apr_status_t turns(ml_loop_t *loop)
{
    unsigned batches = 0;
    while (!__atomic_load_n(&loop->stop, __ATOMIC_ACQUIRE)) {
        int n = epoll_wait(loop->epoll, loop->events, BATCH, wait_ms(loop));
        if (n < 0 && errno != EINTR) {
            return errno;
        }
        loop->now = clock_us();
        dispatch(loop, n);
        batches = n == BATCH ? batches + 1 : 0;
        if (batches % BATCHES_MAX == 0) {
            ml_wheel_advance(&loop->wheel, (uint64_t)loop->now / TICK_US, loop);
        }
        run_deferred(loop);
    }
    return APR_SUCCESS;
}

apr_status_t ml_loop_run(ml_loop_t *loop)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    apr_status_t rv = turns(loop);
    run_posted(loop, &closed);
    run_deferred(loop);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rv;
}

static void *thread_main(void *data)
{
    ml_loop_t *loop = data;
    loop->ended = ml_loop_run(loop);
    return NULL;
}

apr_status_t ml_loop_start(ml_loop_t *loop)
{
    return hap_thread_start(&loop->thread, thread_main, loop);
}

void ml_loop_stop(ml_loop_t *loop)
{
    __atomic_store_n(&loop->stop, 1, __ATOMIC_RELEASE);
    ml_eventfd_wake(loop->event);
}

/* Not pthread_clockjoin_np, which the thread sanitizer does not know: a clock that is set back in
 * that second prolongs the wait for a loop that hangs, and httpd ends such a child. */
apr_status_t ml_loop_join(ml_loop_t *loop, apr_interval_time_t at_most)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    int64_t nsec = until.tv_nsec + at_most % APR_USEC_PER_SEC * 1000;
    until.tv_sec += at_most / APR_USEC_PER_SEC + nsec / 1000000000;
    until.tv_nsec = nsec % 1000000000;
    int rv = pthread_timedjoin_np(loop->thread, NULL, &until);
    return rv ? rv : loop->ended;
}

void ml_loop_close(ml_loop_t *loop)
{
    if (__atomic_load_n(&loop->posted, __ATOMIC_ACQUIRE) != &closed) {
        run_posted(loop, &closed);
    }
    close_all(loop);
}

bool ml_loop_post(ml_loop_t *loop, ml_work_t *work)
{
    ml_work_t *newest = __atomic_load_n(&loop->posted, __ATOMIC_ACQUIRE);
    do {
        if (newest == &closed) {
            return false;
        }
        work->next = newest;
    } while (!__atomic_compare_exchange_n(&loop->posted, &newest, work, true, __ATOMIC_ACQ_REL,
                                          __ATOMIC_ACQUIRE));
    if (newest == NULL) {
        ml_eventfd_wake(loop->event);
    }
    return true;
}

void ml_loop_defer(ml_loop_t *loop, ml_work_t *work)
{
    work->next = loop->deferred;
    loop->deferred = work;
}

apr_time_t ml_loop_now(const ml_loop_t *loop)
{
    return loop->now;
}

apr_status_t ml_io_add(ml_io_t *io, ml_loop_t *loop, const ml_io_iface_t *iface, int fd,
                       uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = io};
    if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
        return errno;
    }
    *io = (ml_io_t){.iface = iface, .loop = loop, .fd = fd, .events = events};
    return APR_SUCCESS;
}

apr_status_t ml_io_set(ml_io_t *io, uint32_t events)
{
    if (io->events == events) {
        return APR_SUCCESS;
    }
    struct epoll_event event = {.events = events, .data.ptr = io};
    if (epoll_ctl(io->loop->epoll, EPOLL_CTL_MOD, io->fd, &event) < 0) {
        return errno;
    }
    io->events = events;
    return APR_SUCCESS;
}

void ml_io_del(ml_io_t *io)
{
    ml_loop_t *loop = io->loop;
    if (!loop) {
        return;
    }
    epoll_ctl(loop->epoll, EPOLL_CTL_DEL, io->fd, NULL);
    if (io->batch) {
        loop->events[io->batch - 1].data.ptr = NULL;
    }
    io->loop = NULL;
    io->batch = 0;
}

uint32_t ml_io_at_hand(const ml_io_t *io)
{
    return io->batch ? io->loop->events[io->batch - 1].events : 0;
}

bool ml_is_shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS ||
           error == EADDRNOTAVAIL;
}

void ml_timer_set(ml_loop_t *loop, ml_timer_t *timer, apr_interval_time_t delay)
{
    uint64_t at = (uint64_t)(loop->now + (delay > 0 ? delay : 0));
    ml_wheel_set(&loop->wheel, timer, (at + TICK_US - 1) / TICK_US);
}

void ml_timer_cancel(ml_loop_t *loop, ml_timer_t *timer)
{
    ml_wheel_cancel(&loop->wheel, timer);
}
