/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the shared segment's life: memory without a name that the kernel frees with the last process
 * of the server, so that nothing is ever left behind. The parent makes it once and keeps it over
 * restarts; children inherit it.
 */
#ifndef MH_SHARED_H
#define MH_SHARED_H

#include <apr_hash.h>
#include <httpd.h>

#include "hap_shared.h"

/** Who has a place in the segment: the parent's own memory, where no child can write. */
typedef struct mh_tenant_t {
    uint32_t generation;           /* last configuration that named it; 0 never used */
    char app[HAP_APP_MAX + 1];     /* balancer's name */
    char route[HAP_ROUTE_MAX + 1]; /* the member's name in it; empty: the balancer itself */
} mh_tenant_t;

/** Who has the places of one kind. Parent only. */
typedef struct mh_tenants_t {
    mh_tenant_t *at;   /* one a place */
    uint32_t n;        /* places */
    apr_hash_t *index; /* "app\0route" -> place + 1; made anew for each configuration */
} mh_tenants_t;

/** What the parent keeps from one configuration to the next, and children inherit. */
typedef struct mh_shared_t {
    hap_shared_t view;      /* the segment */
    uint32_t generation;    /* of this configuration; counts from 1 */
    int lock_fd;            /* the segment's own descriptor; a lock on it says who probes */
    int wake_fd;            /* eventfd: something for whoever probes */
    size_t size;            /* of the mapping */
    void *base;             /* of the mapping */
    mh_tenants_t members;   /* of the slots */
    mh_tenants_t balancers; /* of the balancers */
    apr_pool_t *pool;       /* of this record and the tenants */
} mh_shared_t;

/** The server's segment; NULL before post_config. */
extern mh_shared_t *mh_shared;

/**
 * Takes over the segment of the last configuration, or makes one when there is none or its size has
 * changed; what takes a place in the new one then finds there what the old one said of it, until
 * mh_shared_settled. Parent, post_config. Errors are the system's.
 */
apr_status_t mh_shared_open(server_rec *s, unsigned max_members);

/** All have their places: carries the rest over from a segment of another size, and frees that.
 * Parent, post_config. */
void mh_shared_settled(void);

/** Tells whoever probes that there is something to look at. Any process, any thread. */
void mh_shared_wake(void);

/**
 * Slot of the member with this route in this balancer: the one that it had, or else a free one with
 * the admin state `configured` in it. Parent, post_config. -1 when there is no room.
 */
int mh_shared_slot(const char *app, const char *route, hap_admin_t configured);

/**
 * Index of the balancer of this name: the one that it had, or else a free one with a full retry
 * budget. Parent, post_config. -1 when there is no room.
 */
int mh_shared_balancer(const char *app);

/** Tries to become the one process that probes; true while this process is it. */
bool mh_shared_lock(void);

/** Stops being the one that probes. */
void mh_shared_unlock(void);

#endif
