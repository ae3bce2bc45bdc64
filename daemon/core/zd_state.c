/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the state between commands: the cluster, who has had which result, and what happened.
 */
#include "zd_state.h"

#include <stdlib.h>

#include <apr_strings.h>

#include "zd_apply.h"
#include "zd_state_int.h"

#define ZD_END_NAME(name, word) [ZD_##name] = word,
const char *const zd_end_names[] = {ZD_ENDS(ZD_END_NAME)};
#undef ZD_END_NAME

zd_state_t *zd_state_make(void)
{
    static const zd_cluster_t nothing = {.version = 0};
    zd_state_t *state = calloc(1, sizeof(*state));
    if (state == NULL) {
        return NULL;
    }
    if (apr_pool_create_unmanaged_ex(&state->pool, NULL, NULL) != APR_SUCCESS) {
        free(state);
        return NULL;
    }
    state->cluster = zd_cluster_copy(&nothing, state->pool);
    return state;
}

void zd_state_free(zd_state_t *state)
{
    if (state) {
        apr_pool_destroy(state->pool);
        free(state);
    }
}

const zd_cluster_t *zd_state_cluster(const zd_state_t *state)
{
    return state->cluster;
}

hap_str_t zd_state_map(const zd_state_t *state)
{
    return state->map;
}

uint64_t zd_state_index(const zd_state_t *state)
{
    return state->index;
}

const zd_event_t *zd_state_event(const zd_state_t *state, unsigned i)
{
    return i < state->history_n ? &state->history[state->history_n - 1 - i] : NULL;
}

/* --- texts of a fixed size -------------------------------------------------------------------- */

/* A sequence of UTF-8 that was cut in two is no text: it goes as a whole. */
static void end_well(char *text, size_t bytes)
{
    size_t n = strlen(text);
    if (n + 1 < bytes) {
        return;
    }
    while (n > 0 && ((unsigned char)text[n - 1] & 0xc0) == 0x80) {
        n--;
    }
    if (n > 0 && (unsigned char)text[n - 1] >= 0xc0) {
        n--;
    }
    text[n] = '\0';
}

/* --- clients ---------------------------------------------------------------------------------- */

static zd_client_t *find_client(zd_state_t *state, const char *name)
{
    for (unsigned i = 0; i < state->clients_n; i++) {
        if (strcmp(state->clients[i].name, name) == 0) {
            return &state->clients[i];
        }
    }
    return NULL;
}

static zd_client_t *room_for_client(zd_state_t *state)
{
    if (state->clients_n < ZD_CLIENTS_MAX) {
        return &state->clients[state->clients_n++];
    }
    zd_client_t *oldest = &state->clients[0];
    for (unsigned i = 1; i < state->clients_n; i++) {
        oldest = state->clients[i].index < oldest->index ? &state->clients[i] : oldest;
    }
    return oldest;
}

static void remember(zd_state_t *state, zd_client_t *client, const zd_command_t *command,
                     const zd_result_t *result)
{
    client = client ? client : room_for_client(state);
    apr_cpystrn(client->name, command->client, sizeof(client->name));
    client->seq = command->seq;
    client->index = state->index;
    client->result = *result;
}

/* --- history ---------------------------------------------------------------------------------- */

static void record(zd_state_t *state, const zd_change_t *change)
{
    const zd_command_t *command = change->command;
    if (!change->event) {
        return;
    }
    if (state->history_n == ZD_HISTORY_MAX) {
        memmove(state->history, state->history + 1,
                (ZD_HISTORY_MAX - 1) * sizeof(state->history[0]));
        state->history_n--;
    }
    zd_event_t *event = &state->history[state->history_n++];
    event->index = state->index;
    event->at_ms = command->at_ms;
    apr_snprintf(event->what, sizeof(event->what), "%s%s%s, by %s", change->event,
                 command->why ? ", " : "", command->why ? command->why : "", command->by);
    end_well(event->what, sizeof(event->what));
}

/* --- commands --------------------------------------------------------------------------------- */

/* Whether the draft's map is another one than there is; REFUSED if it is none. */
static zd_end_t next_map(hap_str_t *text, zd_state_t *state, zd_change_t *change)
{
    hap_diag_t diag;
    hap_str_t same;
    hap_map_t map = zd_cluster_map(change->cluster, change->pool);
    map.version = map.version ? map.version : 1;
    if (hap_map_encode(&same, &map, &diag, change->pool) != APR_SUCCESS) {
        return zd_ends(change, ZD_REFUSED, "%s", diag.why);
    }
    if (hap_str_eq(same, state->map)) {
        *text = same;
        return change->beside ? ZD_DONE : ZD_UNCHANGED;
    }
    map.version = ++change->cluster->version;
    apr_status_t rv = hap_map_encode(text, &map, &diag, change->pool);
    return rv == APR_SUCCESS ? ZD_DONE : zd_ends(change, ZD_REFUSED, "%s", diag.why);
}

/* Makes the draft what there is. */
static zd_end_t take(zd_state_t *state, const zd_change_t *change, hap_str_t map)
{
    apr_pool_t *pool;
    if (apr_pool_create_unmanaged_ex(&pool, NULL, NULL) != APR_SUCCESS) {
        abort();
    }
    state->cluster = zd_cluster_copy(change->cluster, pool);
    state->map = hap_strn(apr_pmemdup(pool, map.p, map.n), map.n);
    apr_pool_destroy(state->pool);
    state->pool = pool;
    record(state, change);
    return ZD_DONE;
}

static zd_result_t run(zd_state_t *state, const zd_command_t *command)
{
    zd_result_t result = {.end = ZD_REFUSED};
    zd_change_t change = {.command = command, .result = &result};
    hap_str_t map;
    if (apr_pool_create_unmanaged_ex(&change.pool, NULL, NULL) != APR_SUCCESS) {
        abort();
    }
    change.cluster = zd_cluster_draft(state->cluster, change.pool);
    result.end = zd_apply(&change);
    if (result.end == ZD_DONE) {
        result.end = next_map(&map, state, &change);
    }
    if (result.end == ZD_DONE) {
        take(state, &change, map);
    } else {
        result.epoch = 0;
    }
    apr_pool_destroy(change.pool);
    end_well(result.why, sizeof(result.why));
    result.version = state->cluster->version;
    return result;
}

zd_result_t zd_state_apply(zd_state_t *state, const zd_command_t *command)
{
    zd_client_t *client = find_client(state, command->client);
    state->index++;
    if (client && command->seq == client->seq) {
        client->index = state->index;
        return client->result;
    }
    if (client && command->seq < client->seq) {
        return (zd_result_t){.end = ZD_REPEATED,
                             .version = state->cluster->version,
                             .why = "a later command of this client was carried out already"};
    }
    zd_result_t result = run(state, command);
    remember(state, client, command, &result);
    return result;
}
