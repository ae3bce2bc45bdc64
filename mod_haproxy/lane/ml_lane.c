/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the lane's beginning and end. */
#include "ml_lane.h"

#include <stdlib.h>

#include "ml_lane_int.h"

enum { PASS_EVERY_US = 20000 };

static void pass_on(ml_timer_t *timer, ml_loop_t *loop);

ml_lane_t *ml_lane_create(ml_loop_t *loop, const ml_lane_iface_t *iface, void *owner,
                          ml_room_t *room, size_t data_bytes)
{
    ml_lane_t *lane = calloc(1, sizeof(*lane));
    if (lane) {
        lane->loop = loop;
        lane->iface = iface;
        lane->owner = owner;
        lane->room = room;
        lane->data_bytes = data_bytes;
        lane->passing.fire = pass_on;
        lane->clients.next = lane->clients.prev = &lane->clients;
    }
    return lane;
}

unsigned ml_room_taken(const ml_room_t *room)
{
    return __atomic_load_n(&room->taken, __ATOMIC_RELAXED);
}

/* Counted first and looked at then: of two that see the last place both, at most one gets it. */
bool ml_room_take(ml_lane_t *lane)
{
    if (__atomic_add_fetch(&lane->room->taken, 1, __ATOMIC_RELAXED) <= lane->room->most) {
        return true;
    }
    ml_room_give(lane);
    return false;
}

void ml_room_give(ml_lane_t *lane)
{
    __atomic_sub_fetch(&lane->room->taken, 1, __ATOMIC_RELAXED);
}

/* As many as can be given at once: what waits to be accepted is bounded by the system. */
static void pass_on(ml_timer_t *timer, ml_loop_t *loop)
{
    ml_lane_t *lane = ML_OWNER(timer, ml_lane_t, passing);
    ml_link_t *next;
    bool more = lane->iface->takers(lane->owner) != ML_TAKERS_SOON;
    for (ml_link_t *link = lane->clients.next; more && link != &lane->clients; link = next) {
        ml_client_t *client = ML_OWNER(link, ml_client_t, link);
        next = link->next;
        more = client->state != ML_IDLE || ml_client_pass_on(client);
    }
    ml_timer_set(loop, timer, PASS_EVERY_US);
}

void ml_lane_drain(ml_lane_t *lane)
{
    lane->draining = true;
    ml_listeners_stop(lane);
    pass_on(&lane->passing, lane->loop);
}

void ml_lane_destroy(ml_lane_t *lane)
{
    ml_listeners_stop(lane);
    ml_timer_cancel(lane->loop, &lane->passing);
    while (lane->clients.next != &lane->clients) {
        ml_client_close(ML_OWNER(lane->clients.next, ml_client_t, link));
    }
    ml_exchanges_clear(lane);
    if (lane->resolve) {
        ml_resolve_close(lane->resolve);
    }
    ml_deflates_clear(&lane->deflates);
    ml_bufs_clear(&lane->bufs);
    free(lane);
}
