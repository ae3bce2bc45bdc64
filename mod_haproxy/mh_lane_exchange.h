/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the answers to what the engine asks about an exchange: whether the lane carries it, on which
 * member, what is added to its answer, how the member did. The engine calls from its loop thread;
 * what is asked is answered from what was made at startup, so that nothing blocks and nothing is
 * locked. Does not know of connections and of the child's life: mh_lane does.
 */
#ifndef MH_LANE_EXCHANGE_H
#define MH_LANE_EXCHANGE_H

#include <httpd.h>

#include "lane/ml_lane.h"
#include "mh_agents.h"
#include "mh_lane_hosts.h"
#include "mh_lane_log.h"
#include "mh_lane_queue.h"
#include "mh_lane_reach.h"
#include "mh_lane_stores.h"
#include "mh_takers.h"

/** A loop with its lane. Loop thread only, once it runs, but for what is marked. */
typedef struct mh_engine_t {
    server_rec *server;
    ml_lane_t *lane;        /* any thread, to add clients */
    ml_loop_t *loop;        /* any thread, to post */
    ml_work_t drain;        /* posted once */
    ml_work_t follow;       /* posted when the members may be others */
    _Atomic bool following; /* it is */
    apr_pool_t *pool;
    apr_pool_t *scratch; /* cleared for each use */
    mh_hosts_t *hosts;
    mh_agents_t *agents;
    mh_reaches_t *reaches;
    mh_lane_queue_t *queue;
    mh_lane_stores_t *stores;
    mh_log_batch_t *log;
    apr_time_t takers_seen; /* on the loop's clock: when takers was found out */
    apr_time_t wall_seen;   /* on the loop's clock: when wall was read */
    apr_time_t wall;        /* time of day, in this turn */
    ml_takers_t takers;     /* who there was then */
    bool draining;
    bool runs;         /* its loop has a thread of its own; in child_init only */
    apr_time_t date_s; /* of date */
    char date[APR_RFC822_DATE_LEN];
} mh_engine_t;

/** What an exchange needs of ml_exchange_data. */
size_t mh_exchange_bytes(void);

/** Of ml_lane_iface_t. Their exchanges' owners are mh_engine_t. */
ml_route_t mh_exchange_route(ml_exchange_t *x, const void *place);
ml_choice_t mh_exchange_choose(ml_exchange_t *x);
bool mh_exchange_may_switch(ml_exchange_t *x, hap_str_t protocol);
ml_heard_t mh_exchange_heard(ml_exchange_t *x, const hap_http1_answer_t *answer);
size_t mh_exchange_answered(ml_exchange_t *x, const hap_http1_answer_t *answer, char *value,
                            size_t room);
bool mh_exchange_settled(ml_exchange_t *x, ml_outcome_t outcome, bool again);
void mh_exchange_ended(ml_exchange_t *x);
hap_str_t mh_exchange_date(void *owner);

#endif
