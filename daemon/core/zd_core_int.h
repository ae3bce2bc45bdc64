/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what the two halves of a node's decisions share: zd_core.c, which every node does, and
 * zd_core_lead.c, which the one does that leads.
 */
#ifndef ZD_CORE_INT_H
#define ZD_CORE_INT_H

#include "zd_core.h"
#include "zd_plan.h"

enum { ZD_CORE_SENT = 32 }; /* beats whose times are known */

/* The daemon of another replica, which may be dead. */
typedef struct peer_t {
    uint64_t next_ms; /* it is not started before */
    unsigned leases;  /* that are waited for then; 0: it was heard */
} peer_t;

struct zd_core_t {
    zd_core_conf_t conf;
    unsigned beat_ms;
    /* As a leader. */
    uint64_t began_ms;
    bool led;            /* when it was last looked */
    uint64_t term;       /* of that */
    uint64_t ready_ms;   /* since when */
    uint64_t elections;  /* that it has won */
    uint64_t looked_ms;  /* when that was */
    uint64_t index;      /* of the state that the others were told of */
    uint64_t tried;      /* nodes that the lead was offered to, a bit for each place */
    uint64_t offered_ms; /* when that was; 0: it is not on offer */
    bool may_lead;
    uint64_t member_ms; /* of the last change of the engine's list */
    zd_roll_t roll;
    zd_lease_t lease;
    zd_wish_t plan; /* what it says next */
    bool planning;  /* that is on its way */
    uint64_t seq;
    uint64_t rest_ms;      /* nothing is said before */
    const char *unplanned; /* why it was not committed, once that is said */
    /* As a node. */
    int own; /* its replica; -1: none */
    zd_replica_t replica;
    char said[ZD_SAID_BYTES]; /* by its last script; "": none has run */
    bool well;
    char leader[HAP_ROUTE_MAX_BYTES + 1];
    uint64_t leader_term;
    uint64_t over_term; /* of the last one that was not listened to */
    uint64_t leader_ms; /* when it was last heard, or this node began */
    bool settled;       /* that one is the primary: who is to be the first one has had his say */
    uint64_t beats;     /* that were sent */
    uint64_t sent_ms[ZD_CORE_SENT];
    uint64_t last_ms;   /* of the last one */
    bool answered;      /* that one was; else it is said again soon: a leader may just become one */
    uint64_t wrote;     /* version of the map on disk */
    uint64_t tick_ms;   /* of the last one */
    uint64_t undead_ms; /* until then the lease of what would not die may hold; 0: all is dead */
    uint64_t stopped;   /* leases up to this one are over here, as far as others may know */
    uint64_t held_ms;   /* what the guard was told */
    uint64_t other_ms;  /* when it was last said that a node is two */
    peer_t peers[HAP_MAP_NODES_MAX];
};

/** Says a line to people. */
void zd_core_log(zd_core_t *core, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** What is agreed on; NULL where there is no log of it. */
const zd_state_t *zd_core_state(const zd_core_t *core);

/** The cluster of that, an empty one without. */
const zd_cluster_t *zd_core_cluster(const zd_core_t *core);

/** The application of the replicas; NULL: it is not agreed on yet. */
const zd_app_t *zd_core_app(const zd_core_t *core);

/** What the engine says now. */
bool zd_core_engine_leads(const zd_core_t *core);

/** Says a beat. */
void zd_core_beat(zd_core_t *core, uint64_t now);

/** Whether this node leads, and since when. */
bool zd_core_look_at_lead(zd_core_t *core, uint64_t now);

/** As a leader: sees what is to be done, and begins it. */
void zd_core_lead(zd_core_t *core, uint64_t now);

/** As a leader: tells all that are there what has changed. */
void zd_core_tell_all(zd_core_t *core, uint64_t now);

#endif
