/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what httpd's logs say of requests that the lane carried: a record that is filled in as
 * httpd would have, for ap_run_log_transaction. Does not format or write anything itself.
 */
#ifndef MH_LANE_LOG_H
#define MH_LANE_LOG_H

#include <httpd.h>

#include "hap_http1.h"
#include "mh_choice.h"
#include "mh_log_batch.h"

/** One request that has ended. Borrows. */
typedef struct mh_lane_entry_t {
    server_rec *server; /* the virtual host */
    const mh_choice_t *choice;
    const hap_http1_request_t *request;
    const char *client; /* its address */
    unsigned served;    /* requests on this connection before */
    unsigned status;
    uint64_t received;        /* bytes from the client, head included */
    uint64_t sent;            /* bytes to the client, likewise */
    uint64_t body;            /* of them, bytes of the body */
    apr_interval_time_t took; /* from the request's head to the end of the answer */
    bool cut;                 /* the answer is not complete */
    bool keep;                /* the connection goes on */
} mh_lane_entry_t;

/** Looks whether the configuration has a log. Parent, check_config. */
void mh_lane_log_prepare(void);

/** It has: nothing needs to be put together otherwise. */
bool mh_lane_log_wanted(void);

/** Has the request logged; `scratch` is cleared. The thread of `batch`, which its lines go to. */
void mh_lane_log(const mh_lane_entry_t *entry, mh_log_batch_t *batch, apr_pool_t *scratch);

#endif
