/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what a store does at a time: operations that begin anew after a pause, those that last too
 * long, probes. The timer is set when something is due before what it is set to, and looked at when
 * it has fired: in a store that is busy that is once a budget, and in one with nothing to do never.
 */
#include "hapstore_int.h"

#include <sys/timerfd.h>
#include <unistd.h>

enum { MS_PER_S = 1000, NS_PER_MS = 1000000 };

/* A time of zero would stop it. */
void hapstore_clock_set(hapstore_t *store, int64_t due_ms)
{
    if (due_ms >= store->due_ms) {
        return;
    }
    store->due_ms = due_ms;
    struct itimerspec when = {
        .it_value = {.tv_sec = due_ms / MS_PER_S, .tv_nsec = 1 + due_ms % MS_PER_S * NS_PER_MS}};
    timerfd_settime(store->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

void hapstore_clock_add(hapstore_run_t *run, int64_t due_ms)
{
    hapstore_t *store = run->store;
    run->due_ms = due_ms;
    run->link = store->paused;
    store->paused = run;
    hapstore_clock_set(store, due_ms);
}

static void go_on_with_due(hapstore_t *store, int64_t now_ms)
{
    for (hapstore_run_t **at = &store->paused; *at;) {
        hapstore_run_t *run = *at;
        if (run->due_ms > now_ms) {
            hapstore_clock_set(store, run->due_ms);
            at = &run->link;
        } else {
            *at = run->link;
            hapstore_go_on(run);
        }
    }
}

/* Whoever has met it down looks after it until it is up. */
static void watch(hapstore_node_t *node, int64_t now_ms)
{
    hapstore_t *store = node->store;
    if (!hapstore_breaker_is_open(node)) {
        node->watched = false;
        return;
    }
    if (hapstore_breaker_claim(node, now_ms)) {
        store->iface->probe(node->handle);
    }
    hapstore_clock_set(store, hapstore_breaker_due(node));
}

void hapstore_clock_tick(hapstore_t *store)
{
    uint64_t fired;
    (void)!read(store->timer, &fired, sizeof(fired));
    int64_t now_ms = hapstore_now_ms();
    store->due_ms = INT64_MAX;
    go_on_with_due(store, now_ms);
    for (unsigned i = 0; i < store->nodes_n; i++) {
        hapstore_node_t *node = &store->nodes[i];
        if (store->iface->tick) {
            store->iface->tick(node->handle, now_ms);
        }
        if (node->watched) {
            watch(node, now_ms);
        }
    }
}
