/* SPDX-License-Identifier: Apache-2.0 */
/* Owns taking down beats. */
#include "zd_roll.h"

#include <string.h>

#include <apr_strings.h>

static zd_heard_t *find(zd_roll_t *roll, const char *node)
{
    for (unsigned i = 0; i < roll->n; i++) {
        if (strcmp(roll->nodes[i].node, node) == 0) {
            return &roll->nodes[i];
        }
    }
    return NULL;
}

static const char *keep(char *room, size_t bytes, const char *text)
{
    apr_cpystrn(room, text ? text : "", bytes);
    return text ? room : NULL;
}

zd_heard_t *zd_roll_hear(zd_roll_t *roll, const zd_beat_t *beat, uint64_t now_ms)
{
    zd_heard_t *heard = find(roll, beat->node);
    if (!heard && roll->n == HAP_MAP_NODES_MAX) {
        return NULL;
    }
    if (!heard) {
        heard = &roll->nodes[roll->n++];
        *heard = (zd_heard_t){.at_ms = now_ms};
    }
    const uint64_t stopped = heard->beat.stopped;
    heard->beat = *beat;
    heard->beat.stopped = stopped > beat->stopped ? stopped : beat->stopped;
    heard->beat.node = keep(heard->node, sizeof(heard->node), beat->node);
    heard->beat.role = keep(heard->role, sizeof(heard->role), beat->role);
    heard->beat.said = keep(heard->said, sizeof(heard->said), beat->said);
    heard->beat.first = keep(heard->first, sizeof(heard->first), beat->first);
    heard->beat.home = keep(heard->home, sizeof(heard->home), beat->home);
    heard->at_ms = now_ms;
    return heard;
}

const zd_heard_t *zd_roll_of(const zd_roll_t *roll, const char *node)
{
    return find((zd_roll_t *)roll, node);
}

const zd_heard_t *zd_roll_present(const zd_roll_t *roll, const char *node, uint64_t now_ms)
{
    const zd_heard_t *heard = zd_roll_of(roll, node);
    return heard && now_ms - heard->at_ms < ZD_PRESENT_MS ? heard : NULL;
}
