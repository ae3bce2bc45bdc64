/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns which virtual host a request of the lane is for: httpd says it, for each address that
 * clients come to and each value of Host, and it is remembered. Does not know mounts.
 */
#ifndef MH_LANE_HOSTS_H
#define MH_LANE_HOSTS_H

#include <httpd.h>
#include <stdbool.h>

#include "hap_str.h"
#include "mh_site.h"

/** Where connections come in: what httpd's choice of a virtual host starts from. */
typedef struct mh_place_t mh_place_t;

enum { MH_HOST_SELF_BYTES = 288 /* the longest `self`, and a few more */ };

/** What a value of Host stands for at one place. */
typedef struct mh_host_t {
    const mh_site_t *site; /* NULL: nothing for the lane; else it stays */
    hap_str_t self;        /* scheme, host and port for Location */
} mh_host_t;

/** The values of Host that one loop has met. Loop thread only. */
typedef struct mh_hosts_t mh_hosts_t;

/** Before the first place. child_init. */
void mh_places_start(apr_pool_t *p);

/** The place of a connection; stays as long as the process. NULL without memory. Any thread. */
const mh_place_t *mh_place_of(const conn_rec *c);

/** A virtual host that connections to this place may be for has something for the lane. */
bool mh_place_has_sites(const mh_place_t *place);

/** Allocates from p, and so does what is looked up: a pool of the loop's own. */
mh_hosts_t *mh_hosts_create(apr_pool_t *p);

/** Valid until the next call. NULL when it is too long: such requests are httpd's. */
const mh_host_t *mh_hosts_find(mh_hosts_t *hosts, const mh_place_t *place, hap_str_t name);

#endif
