/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the addresses of members: asking for them, again and again, without waiting, and telling
 * connections that need one. Does not connect.
 */
#include <string.h>

#include "ml_lane_int.h"

void ml_link_in(ml_link_t *list, ml_link_t *link)
{
    link->next = list->next;
    link->prev = list;
    list->next->prev = link;
    list->next = link;
}

void ml_link_out(ml_link_t *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
}

static bool holds(const ml_addrs_t *addrs, const ml_addr_t *addr)
{
    for (unsigned i = 0; i < addrs->n; i++) {
        if (addrs->list[i].len == addr->len &&
            memcmp(&addrs->list[i].sa, &addr->sa, addr->len) == 0) {
            return true;
        }
    }
    return false;
}

/* In whatever order: name servers turn them, and nothing has changed then. */
static bool same_addresses(const ml_addrs_t *a, const ml_addrs_t *b)
{
    bool same = a->n == b->n;
    for (unsigned i = 0; same && i < a->n; i++) {
        same = holds(b, &a->list[i]);
    }
    return same;
}

static void move(ml_origin_t *origin, const ml_addrs_t *addrs)
{
    bool first = origin->addrs.n == 0;
    origin->addrs = *addrs;
    origin->version++;
    ml_origin_close_spare(origin);
    if (!first) {
        origin->lane->iface->moved(origin->lane->owner, origin);
    }
}

/* Those that wait have their turn with what is known now, if only an old answer. */
static void on_named(void *baton, const ml_addrs_t *addrs)
{
    ml_origin_t *origin = baton;
    origin->question = NULL;
    origin->answered = true;
    if (addrs) {
        origin->best = 0;
        if (!same_addresses(&origin->addrs, addrs)) {
            move(origin, addrs);
        }
    }
    /* Who waits again meanwhile does so in the origin's own list. */
    ml_link_t waiting;
    waiting.next = waiting.prev = &waiting;
    if (origin->waiting.next != &origin->waiting) {
        waiting = origin->waiting;
        waiting.next->prev = waiting.prev->next = &waiting;
        origin->waiting.next = origin->waiting.prev = &origin->waiting;
    }
    while (waiting.next != &waiting) {
        ml_server_t *server = ML_OWNER(waiting.next, ml_server_t, link);
        ml_server_named(server);
        ml_attempt_named(server->user);
    }
}

bool ml_origin_ask(ml_origin_t *origin)
{
    ml_lane_t *lane = origin->lane;
    apr_time_t now = ml_loop_now(lane->loop);
    bool just = origin->answered && now - origin->asked < apr_time_from_sec(ML_RESOLVE_LEAST_S);
    if (!origin->named || origin->question || just) {
        return false;
    }
    if (!lane->resolve && ml_resolve_create(&lane->resolve, lane->loop, NULL) != APR_SUCCESS) {
        return false;
    }
    origin->asked = now;
    origin->question = ml_resolve_ask(lane->resolve, origin->name, origin->port, on_named, origin);
    return origin->question != NULL;
}

static void on_again(ml_timer_t *timer, ml_loop_t *loop)
{
    ml_origin_t *origin = ML_OWNER(timer, ml_origin_t, again);
    ml_origin_ask(origin);
    ml_timer_set(loop, timer, origin->name_keep);
}

void ml_origin_retire(ml_origin_t *origin)
{
    origin->retired = true;
    origin->keep = 0;
    ml_timer_cancel(origin->lane->loop, &origin->again);
    ml_origin_close_spare(origin);
}

bool ml_origin_is_over(const ml_origin_t *origin)
{
    return origin->retired && origin->servers_n == 0;
}

void ml_origin_end(ml_origin_t *origin)
{
    ml_origin_t **at = &origin->lane->origins;
    while (*at != origin) {
        at = &(*at)->next;
    }
    *at = origin->next;
    ml_resolve_forget(origin->question);
    origin->question = NULL;
}

void ml_origin_begin(ml_lane_t *lane, ml_origin_t *origin)
{
    origin->lane = lane;
    origin->next = lane->origins;
    lane->origins = origin;
    origin->spare.next = origin->spare.prev = &origin->spare;
    origin->waiting.next = origin->waiting.prev = &origin->waiting;
    origin->named = !ml_addrs_literal(&origin->addrs, origin->name, origin->port);
    origin->again.fire = on_again;
    if (origin->named) {
        on_again(&origin->again, lane->loop);
    }
}
