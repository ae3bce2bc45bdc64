/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns clients: each wants one thing after the other, asks any node that thinks that it leads, and
 * asks again with the same number when no answer came.
 */
#include "sim.h"

#include <inttypes.h>
#include <stdlib.h>

#include <apr_strings.h>

enum {
    PAUSE_MS_MIN = 20,
    PAUSE_MS_MAX = 700,
    LOST_PERCENT = 15,
    EXPECTS_PERCENT = 30,
    WEIGHTS = 100,
    ROUTES = 4
};

typedef struct sim_client_t {
    unsigned place;
    uint64_t seq;
    bool wants; /* it waits for an answer */
    bool last;  /* of all that it wants */
    zd_command_t command;
    apr_pool_t *pool; /* of that */
} sim_client_t;

/* A command on its way through a node. */
typedef struct order_t {
    zd_wish_t wish; /* first */
    sim_client_t *client;
    sim_node_t *node;
    uint64_t run;
} order_t;

static void done(zd_wish_t *wish)
{
    order_t *order = (order_t *)wish;
    sim_t *sim = order->node->sim;
    sim_client_t *client = order->client;
    bool is_heard = order->node->up && order->node->run == order->run &&
                    (sim->calm || !sim_chance(sim, LOST_PERCENT));
    if (wish->committed && is_heard) {
        sim_check_acknowledged(sim, client->place, wish->command.seq, &wish->result);
        client->wants &= wish->command.seq != client->seq;
    }
    free(order);
}

static void asked(sim_node_t *node, void *baton, uint64_t number)
{
    sim_client_t *client = baton;
    sim_t *sim = node->sim;
    if (!sim_node_leads(node)) {
        return;
    }
    order_t *order = calloc(1, sizeof(*order));
    sim_must(order != NULL, "no memory");
    *order = (order_t){.client = client, .node = node, .run = node->run};
    order->wish.command = client->command;
    order->wish.done = done;
    if (sim->conf.broken == SIM_BREAK_ACK) {
        const zd_result_t result = {.end = ZD_DONE};
        sim_check_acknowledged(sim, client->place, client->seq, &result);
    }
    zd_raft_send(node->raft, &order->wish);
}

/* --- what they want --------------------------------------------------------------------------- */

static zd_command_t member(sim_t *sim, apr_pool_t *pool)
{
    return (zd_command_t){
        .what = sim_chance(sim, 80) ? ZD_DO_MEMBER_SET : ZD_DO_MEMBER_REMOVE,
        .app = "Other",
        .route = apr_psprintf(pool, "r%" PRIu64, sim_random(sim, ROUTES)),
        .url = NULL,
        .weight = 1 + sim_random(sim, WEIGHTS),
        .admin = "enabled",
    };
}

static zd_command_t anything(sim_t *sim, apr_pool_t *pool)
{
    uint64_t chance = sim_random(sim, 20);
    if (chance == 0) {
        return (zd_command_t){
            .what = ZD_DO_APP_PAUSE, .app = sim->config->app, .paused = sim_chance(sim, 30)};
    }
    if (chance == 1) {
        return (zd_command_t){.what = ZD_DO_PREFER, .node = sim->nodes[sim_random(sim, sim->n)].id};
    }
    if (chance < 6) {
        return (zd_command_t){.what = ZD_DO_APP_SET, .app = "Other", .single = chance == 2};
    }
    return member(sim, pool);
}

static void want(sim_t *sim, sim_client_t *client, const zd_command_t *command)
{
    client->wants = true;
    client->seq++;
    client->command = *command;
    client->command.client = apr_psprintf(client->pool, "c%u", client->place);
    client->command.seq = client->seq;
    client->command.by = "client";
}

static void want_next(sim_t *sim, sim_client_t *client)
{
    const sim_node_t *node = &sim->nodes[sim_random(sim, sim->n)];
    zd_command_t command = {.what = ZD_DO_APP_PAUSE, .app = sim->config->app, .paused = false};
    if (sim->calm && client->last) {
        return;
    }
    /* An answer to what it wanted before may still be on its way, and reads the command. */
    apr_pool_create(&client->pool, sim->pool);
    client->last = sim->calm;
    if (!sim->calm) {
        command = anything(sim, client->pool);
    }
    if (node->raft && command.what == ZD_DO_MEMBER_SET && sim_chance(sim, EXPECTS_PERCENT)) {
        command.expect = zd_state_cluster(zd_raft_state(node->raft))->version;
    }
    want(sim, client, &command);
}

static void acts(sim_node_t *none, void *baton, uint64_t number)
{
    sim_client_t *client = baton;
    sim_t *sim = sim_now;
    sim_node_t *node = &sim->nodes[sim_random(sim, sim->n)];
    if (!client->wants) {
        want_next(sim, client);
    }
    if (client->wants && node->up) {
        sim_in(sim, SIM_MESSAGE, node, 0, asked, client, 0);
    }
    sim_in(sim, SIM_WORLD, NULL, sim_between(sim, PAUSE_MS_MIN, PAUSE_MS_MAX) * SIM_US_A_MS, acts,
           client, 0);
}

void sim_clients_begin(sim_t *sim)
{
    sim->clients = calloc(SIM_CLIENTS, sizeof(*sim->clients));
    sim_must(sim->clients != NULL, "no memory");
    for (unsigned i = 0; i < SIM_CLIENTS; i++) {
        sim->clients[i].place = i;
        acts(NULL, &sim->clients[i], 0);
    }
}

bool sim_clients_rest(const sim_t *sim)
{
    for (unsigned i = 0; i < SIM_CLIENTS; i++) {
        if (sim->clients[i].wants || !sim->clients[i].last) {
            return false;
        }
    }
    return true;
}

void sim_clients_free(sim_t *sim)
{
    free(sim->clients);
}
