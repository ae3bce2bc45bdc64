/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns whether a node is asked: one failure is enough to leave it alone, in all processes at once,
 * until it answers a probe. Whose probe it is is settled by moving the time of the next one on, so
 * a process that died or hangs leaves the one after it to another.
 */
#include "hapstore_int.h"

#include <stdio.h>

enum { LINE_BYTES = 512 };

static void say(hapstore_node_t *node, const char *line)
{
    const hapstore_conf_t *conf = node->store->conf;
    if (conf->say) {
        conf->say(conf->say_data, line);
    }
}

/* `memcached hostA:11211`; of the shared memory there is only one. */
static int subject(const hapstore_node_t *node, char *line)
{
    const char *kind = node->store->iface->kind;
    return node->name ? snprintf(line, LINE_BYTES, "%s %s", kind, node->name)
                      : snprintf(line, LINE_BYTES, "%s", kind);
}

bool hapstore_breaker_is_open(const hapstore_node_t *node)
{
    return atomic_load_explicit(&node->breaker->open, memory_order_relaxed) != 0;
}

void hapstore_breaker_open(hapstore_node_t *node, const char *why)
{
    hapstore_breaker_t *breaker = node->breaker;
    atomic_store(&breaker->probe_ms, hapstore_now_ms() + node->store->probe_ms);
    if (atomic_exchange(&breaker->open, 1)) {
        return;
    }
    atomic_fetch_add(&breaker->opened, 1);
    char line[LINE_BYTES];
    int n = subject(node, line);
    snprintf(line + n, sizeof(line) - (size_t)n, ": up -> down, %s", why);
    say(node, line);
}

void hapstore_breaker_close(hapstore_node_t *node)
{
    if (!hapstore_breaker_is_open(node) || !atomic_exchange(&node->breaker->open, 0)) {
        return;
    }
    char line[LINE_BYTES];
    int n = subject(node, line);
    snprintf(line + n, sizeof(line) - (size_t)n, ": down -> up");
    say(node, line);
}

bool hapstore_breaker_claim(hapstore_node_t *node, int64_t now_ms)
{
    int64_t due_ms = atomic_load(&node->breaker->probe_ms);
    return hapstore_breaker_is_open(node) && due_ms <= now_ms &&
           atomic_compare_exchange_strong(&node->breaker->probe_ms, &due_ms,
                                          now_ms + node->store->probe_ms);
}

int64_t hapstore_breaker_due(const hapstore_node_t *node)
{
    return atomic_load(&node->breaker->probe_ms);
}
