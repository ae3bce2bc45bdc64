/* SPDX-License-Identifier: Apache-2.0 */
/* Owns starting and ending a store, the ways into it, and what happens when. */
#include "hapstore_int.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "hap_thread.h"

enum { EVENTS = 32 };

/** Somebody who waits for the end of an operation. */
struct hapstore_waiter_t {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool over;
};

/* --- nodes ------------------------------------------------------------------------------------ */

static void node_ended(hapstore_asker_t *asker, hapstore_ask_t *ask)
{
    hapstore_breaker_t *breaker = ((hapstore_node_t *)asker)->breaker;
    if (ask->end == HAPSTORE_NODE_FAILED) {
        atomic_fetch_add_explicit(&breaker->failed, 1, memory_order_relaxed);
    }
    hapstore_run_heard((hapstore_copy_t *)ask);
}

static void look_after(hapstore_node_t *node)
{
    node->watched = true;
    hapstore_clock_set(node->store, hapstore_now_ms() + node->store->probe_ms);
}

static void node_failed(hapstore_asker_t *asker, const char *why)
{
    hapstore_node_t *node = (hapstore_node_t *)asker;
    hapstore_breaker_open(node, why);
    look_after(node);
}

static void node_answers(hapstore_asker_t *asker)
{
    hapstore_breaker_close((hapstore_node_t *)asker);
}

static void node_due(hapstore_asker_t *asker, int64_t due_ms)
{
    hapstore_clock_set(((hapstore_node_t *)asker)->store, due_ms);
}

static bool node_watch(hapstore_asker_t *asker, int fd, uint32_t events, bool change)
{
    const hapstore_node_t *node = (hapstore_node_t *)asker;
    struct epoll_event event = {.events = events, .data.ptr = asker};
    return epoll_ctl(node->store->fd, change ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) == 0;
}

static const hapstore_asker_iface_t asker_iface = {
    .ended = node_ended,
    .failed = node_failed,
    .answers = node_answers,
    .due = node_due,
    .watch = node_watch,
};

/* What another store has found out counts here too, and that one may have ended since. */
bool hapstore_is_down(hapstore_node_t *node)
{
    bool down = hapstore_breaker_is_open(node);
    if (down) {
        look_after(node);
    }
    return down;
}

void hapstore_ask(hapstore_node_t *node, hapstore_ask_t *ask)
{
    hapstore_t *store = node->store;
    if (store->closing || hapstore_is_down(node)) {
        ask->end = HAPSTORE_NODE_FAILED;
        hapstore_run_heard((hapstore_copy_t *)ask);
        return;
    }
    atomic_fetch_add_explicit(&node->breaker->asked, 1, memory_order_relaxed);
    node->asker.fresh = true;
    store->iface->ask(node->handle, ask);
}

/* --- a turn ----------------------------------------------------------------------------------- */

void hapstore_go_on(hapstore_run_t *run)
{
    hapstore_t *store = run->store;
    run->link = NULL;
    *store->going_end = run;
    store->going_end = &run->link;
}

void hapstore_op_ended(hapstore_t *store, hapstore_op_t *op)
{
    op->next = NULL;
    op->over = true;
    *store->ended_end = op;
    store->ended_end = &op->next;
}

static bool flush(hapstore_t *store)
{
    bool any = false;
    for (unsigned i = 0; i < store->nodes_n; i++) {
        hapstore_node_t *node = &store->nodes[i];
        if (node->asker.fresh && !store->closing && store->iface->flush) {
            any = true;
            store->iface->flush(node->handle);
        }
        node->asker.fresh = false;
    }
    return any;
}

static void go_all(hapstore_t *store)
{
    while (store->going) {
        hapstore_run_t *run = store->going;
        store->going = run->link;
        store->going_end = store->going ? store->going_end : &store->going;
        hapstore_run_go(run);
    }
}

/* Until there is nothing left that need not wait. */
static void settle(hapstore_t *store)
{
    do {
        go_all(store);
    } while (flush(store) || store->going);
}

static void tell_waiter(struct hapstore_waiter_t *waiter)
{
    pthread_mutex_lock(&waiter->lock);
    waiter->over = true;
    pthread_cond_signal(&waiter->ended);
    pthread_mutex_unlock(&waiter->lock);
}

static hapstore_op_t *take_ended(hapstore_t *store)
{
    hapstore_op_t *first = store->ended;
    store->ended = NULL;
    store->ended_end = &store->ended;
    return first;
}

/* Without the lock: whoever is told may begin the next operation. */
static void tell(hapstore_op_t *first)
{
    while (first) {
        hapstore_op_t *op = first;
        first = op->next;
        if (op->waiter) {
            tell_waiter(op->waiter);
        } else {
            op->done(op);
        }
    }
}

static void serve(hapstore_t *store, const struct epoll_event *event)
{
    hapstore_node_t *node = event->data.ptr;
    if (node) {
        store->iface->ready(node->handle, event->events);
    } else {
        hapstore_clock_tick(store);
    }
}

void hapstore_turn(hapstore_t *store)
{
    struct epoll_event events[EVENTS];
    pthread_mutex_lock(&store->lock);
    int n = epoll_wait(store->fd, events, EVENTS, 0);
    for (int i = 0; i < n; i++) {
        serve(store, &events[i]);
    }
    settle(store);
    hapstore_op_t *ended = take_ended(store);
    pthread_mutex_unlock(&store->lock);
    tell(ended);
}

int hapstore_fd(const hapstore_t *store)
{
    return store->fd;
}

/* Takes it out of those that are still to be told. */
static void take_out(hapstore_t *store, const hapstore_op_t *op)
{
    hapstore_op_t **at = &store->ended;
    while (*at && *at != op) {
        at = &(*at)->next;
    }
    if (*at) {
        *at = op->next;
        store->ended_end = op->next ? store->ended_end : at;
    }
}

/* What ends without a turn is told in the next one, which comes at once. */
static void tell_soon(hapstore_t *store)
{
    if (store->ended) {
        hapstore_clock_set(store, 0);
    }
}

static bool begin(hapstore_t *store, hapstore_op_t *op)
{
    op->over = false;
    pthread_mutex_lock(&store->lock);
    hapstore_run_begin(store, op);
    store->serves ? settle(store) : go_all(store);
    bool over = op->over;
    if (over) {
        take_out(store, op);
    }
    tell_soon(store);
    pthread_mutex_unlock(&store->lock);
    return over;
}

void hapstore_flush(hapstore_t *store)
{
    pthread_mutex_lock(&store->lock);
    settle(store);
    tell_soon(store);
    pthread_mutex_unlock(&store->lock);
}

bool hapstore_run(hapstore_t *store, hapstore_op_t *op)
{
    op->waiter = NULL;
    return begin(store, op);
}

static void wait_for(struct hapstore_waiter_t *waiter)
{
    pthread_mutex_lock(&waiter->lock);
    while (!waiter->over) {
        pthread_cond_wait(&waiter->ended, &waiter->lock);
    }
    pthread_mutex_unlock(&waiter->lock);
}

void hapstore_wait(hapstore_t *store, hapstore_op_t *op)
{
    struct hapstore_waiter_t waiter = {.over = false};
    pthread_mutex_init(&waiter.lock, NULL);
    pthread_cond_init(&waiter.ended, NULL);
    op->waiter = &waiter;
    if (!begin(store, op)) {
        wait_for(&waiter);
    }
    pthread_cond_destroy(&waiter.ended);
    pthread_mutex_destroy(&waiter.lock);
}

void hapstore_op_clear(hapstore_op_t *op)
{
    free(op->plain);
    op->plain = NULL;
    op->found = false;
}

/* --- a thread --------------------------------------------------------------------------------- */

static void *turn_and_turn(void *data)
{
    hapstore_t *store = data;
    struct pollfd wait = {.fd = store->fd, .events = POLLIN};
    while (!atomic_load(&store->stop)) {
        poll(&wait, 1, -1);
        hapstore_turn(store);
    }
    return NULL;
}

apr_status_t hapstore_serve(hapstore_t *store)
{
    int rv = hap_thread_start(&store->thread, turn_and_turn, store);
    store->serves = rv == 0;
    return rv;
}

static void end_thread(hapstore_t *store)
{
    if (store->serves) {
        atomic_store(&store->stop, true);
        pthread_mutex_lock(&store->lock);
        hapstore_clock_set(store, 0);
        pthread_mutex_unlock(&store->lock);
        pthread_join(store->thread, NULL);
    }
}

/* --- start and end ---------------------------------------------------------------------------- */

static void end_all(hapstore_t *store)
{
    pthread_mutex_lock(&store->lock);
    store->closing = true;
    for (unsigned i = 0; i < store->nodes_n; i++) {
        if (store->nodes[i].handle) {
            store->iface->close(store->nodes[i].handle);
            store->nodes[i].handle = NULL;
        }
    }
    settle(store);
    while (store->paused) {
        hapstore_run_t *run = store->paused;
        store->paused = run->link;
        hapstore_go_on(run);
        settle(store);
    }
    hapstore_op_t *ended = take_ended(store);
    pthread_mutex_unlock(&store->lock);
    tell(ended);
}

static void close_fd(int fd)
{
    if (fd >= 0) {
        close(fd);
    }
}

static void finish(hapstore_t *store)
{
    end_thread(store);
    end_all(store);
    close_fd(store->timer);
    close_fd(store->fd);
    pthread_mutex_destroy(&store->lock);
    free(store->recent);
    free(store);
}

static apr_status_t on_pool_end(void *data)
{
    finish(data);
    return APR_SUCCESS;
}

void hapstore_destroy(hapstore_t *store)
{
    apr_pool_cleanup_run(store->pool, store, on_pool_end);
}

static apr_status_t open_timer(hapstore_t *store)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    store->fd = epoll_create1(EPOLL_CLOEXEC);
    store->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    return store->fd >= 0 && store->timer >= 0 &&
                   epoll_ctl(store->fd, EPOLL_CTL_ADD, store->timer, &event) == 0
               ? APR_SUCCESS
               : APR_FROM_OS_ERROR(errno);
}

/* Each is asked at once, so that what is wrong is said at the start. */
static apr_status_t open_nodes(hapstore_t *store, bool named)
{
    const hapstore_conf_t *conf = store->conf;
    for (unsigned i = 0; i < store->nodes_n; i++) {
        hapstore_node_t *node = &store->nodes[i];
        node->asker.iface = &asker_iface;
        node->store = store;
        node->name = named ? conf->spec->nodes[i].name : NULL;
        node->breaker = &conf->breakers[i];
        node->handle = store->iface->open(&node->asker, conf, i);
        if (node->handle == NULL) {
            return APR_ENOMEM;
        }
        store->iface->probe(node->handle);
    }
    hapstore_clock_set(store, 0);
    return APR_SUCCESS;
}

apr_status_t hapstore_create(hapstore_t **store, const hapstore_conf_t *conf, apr_pool_t *pool)
{
    bool shm = conf->spec->kind == HAP_ZONE_SHM;
    unsigned nodes_n = shm ? 1 : conf->spec->nodes_n;
    hapstore_t *made = calloc(1, sizeof(*made) + nodes_n * sizeof(made->nodes[0]));
    if (made == NULL) {
        return APR_ENOMEM;
    }
    made->conf = conf;
    made->iface = shm ? &hapstore_shm : &hapstore_memcached;
    made->pool = pool;
    made->budget_ms = (int)apr_time_as_msec(conf->budget);
    made->probe_ms = (int)apr_time_as_msec(conf->probe);
    made->fd = made->timer = -1;
    made->due_ms = INT64_MAX;
    made->going_end = &made->going;
    made->ended_end = &made->ended;
    made->recent = hapstore_recent_make();
    made->nodes_n = nodes_n;
    pthread_mutex_init(&made->lock, NULL);
    apr_status_t rv = made->recent ? open_timer(made) : APR_ENOMEM;
    if (rv == APR_SUCCESS) {
        rv = open_nodes(made, !shm);
    }
    if (rv != APR_SUCCESS) {
        finish(made);
        return rv;
    }
    apr_pool_cleanup_register(pool, made, on_pool_end, apr_pool_cleanup_null);
    *store = made;
    return APR_SUCCESS;
}
