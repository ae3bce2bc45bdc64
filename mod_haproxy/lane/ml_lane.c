/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the lane's beginning and end. */
#include "ml_lane.h"

#include <stdlib.h>

#include "ml_lane_int.h"

ml_lane_t *ml_lane_create(ml_loop_t *loop, const ml_lane_iface_t *iface, void *owner,
                          size_t data_bytes)
{
    ml_lane_t *lane = calloc(1, sizeof(*lane));
    if (lane) {
        lane->loop = loop;
        lane->iface = iface;
        lane->owner = owner;
        lane->data_bytes = data_bytes;
        lane->clients.next = lane->clients.prev = &lane->clients;
    }
    return lane;
}

unsigned ml_lane_clients(const ml_lane_t *lane)
{
    return __atomic_load_n(&lane->clients_n, __ATOMIC_RELAXED);
}

void ml_lane_drain(ml_lane_t *lane)
{
    lane->draining = true;
    ml_listeners_stop(lane);
    ml_link_t *next;
    for (ml_link_t *link = lane->clients.next; link != &lane->clients; link = next) {
        ml_client_t *client = ML_OWNER(link, ml_client_t, link);
        next = link->next;
        if (client->state == ML_IDLE) {
            ml_client_give(client, hap_strn(NULL, 0), 0);
        }
    }
}

void ml_lane_destroy(ml_lane_t *lane)
{
    ml_listeners_stop(lane);
    while (lane->clients.next != &lane->clients) {
        ml_client_close(ML_OWNER(lane->clients.next, ml_client_t, link));
    }
    ml_exchanges_clear(lane);
    ml_deflates_clear(&lane->deflates);
    ml_bufs_clear(&lane->bufs);
    free(lane);
}
