/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the bytes of a whole state: what a daemon that is far behind gets from the leader, and what
 * lets the log be cut. `zero-cluster 1`, length and SHA-256, then JSON.
 */
#include <stdlib.h>

#include <apr_strings.h>

#include "hap_envelope.h"
#include "hap_map_json.h"
#include "zd_state_int.h"

static const hap_envelope_kind_t kind = {.name = "zero-cluster", .version = 1};

/* --- writing ---------------------------------------------------------------------------------- */

static json_t *node_json(const zd_node_t *node)
{
    json_t *json = hap_map_node_json(&node->map);
    if (json_object_set_new(json, "raft", json_integer((json_int_t)node->raft)) != 0 ||
        json_object_set_new(json, "present", json_boolean(node->present)) != 0) {
        json_decref(json);
        return NULL;
    }
    return json;
}

static json_t *app_json(const zd_app_t *app)
{
    return json_pack("{s:s, s:b, s:s?, s:s?, s:I, s:I, s:b, s:o}", "name", app->map.name, "single",
                     app->map.single, "active", app->map.active, "home", app->home, "epoch",
                     (json_int_t)app->map.epoch, "granted", (json_int_t)app->granted, "paused",
                     app->paused, "members", hap_map_members_json(&app->map));
}

static json_t *client_json(const zd_client_t *client)
{
    return json_pack("{s:s, s:I, s:I, s:s, s:I, s:I, s:s}", "client", client->name, "seq",
                     (json_int_t)client->seq, "index", (json_int_t)client->index, "end",
                     zd_end_names[client->result.end], "version",
                     (json_int_t)client->result.version, "epoch", (json_int_t)client->result.epoch,
                     "why", client->result.why);
}

static json_t *event_json(const zd_event_t *event)
{
    return json_pack("{s:I, s:I, s:s}", "index", (json_int_t)event->index, "at",
                     (json_int_t)event->at_ms, "what", event->what);
}

static json_t *state_json(const zd_state_t *state)
{
    const zd_cluster_t *cluster = state->cluster;
    json_t *nodes = json_array();
    json_t *apps = json_array();
    json_t *clients = json_array();
    json_t *history = json_array();
    for (unsigned i = 0; i < cluster->nodes_n; i++) {
        hap_json_append(&nodes, node_json(&cluster->nodes[i]));
    }
    for (unsigned i = 0; i < cluster->apps_n; i++) {
        hap_json_append(&apps, app_json(&cluster->apps[i]));
    }
    for (unsigned i = 0; i < state->clients_n; i++) {
        hap_json_append(&clients, client_json(&state->clients[i]));
    }
    for (unsigned i = 0; i < state->history_n; i++) {
        hap_json_append(&history, event_json(&state->history[i]));
    }
    return json_pack("{s:I, s:s?, s:I, s:I, s:s?, s:s?, s:I, s:I, s:o, s:o, s:o, s:o}", "index",
                     (json_int_t)state->index, "uuid", cluster->uuid, "version",
                     (json_int_t)cluster->version, "term", (json_int_t)cluster->term, "primary",
                     cluster->primary, "preferred", cluster->preferred, "epoch",
                     (json_int_t)cluster->epoch, "raft", (json_int_t)cluster->raft, "nodes", nodes,
                     "apps", apps, "clients", clients, "history", history);
}

apr_status_t zd_state_save(hap_str_t *bytes, const zd_state_t *state, hap_diag_t *diag,
                           apr_pool_t *pool)
{
    json_t *json = state_json(state);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    if (!text) {
        hap_diag_set(diag, 0, "no memory for a snapshot");
        return APR_ENOMEM;
    }
    hap_str_t body = hap_str(apr_pstrcat(pool, text, "\n", NULL));
    free(text);
    return hap_envelope_wrap(bytes, &kind, body, diag, pool);
}

/* --- reading ---------------------------------------------------------------------------------- */

static void read_node(hap_json_reader_t *reader, zd_node_t *node, const json_t *object)
{
    hap_map_read_node(&node->map, reader, object);
    node->raft = hap_json_number(reader, object, "raft");
    node->present = hap_json_flag(reader, object, "present");
}

static void read_app(hap_json_reader_t *reader, zd_app_t *app, const json_t *object)
{
    app->map.name = hap_json_text(reader, object, "name");
    app->map.single = hap_json_flag(reader, object, "single");
    app->map.active = hap_json_text_or_null(reader, object, "active");
    app->home = hap_json_text_or_null(reader, object, "home");
    app->map.epoch = hap_json_number(reader, object, "epoch");
    app->granted = hap_json_number(reader, object, "granted");
    app->paused = hap_json_flag(reader, object, "paused");
    hap_map_read_members(&app->map, reader, object);
}

static void read_cluster(hap_json_reader_t *reader, zd_cluster_t *cluster, const json_t *object)
{
    const json_t *array;
    cluster->uuid = hap_json_text_or_null(reader, object, "uuid");
    cluster->version = hap_json_number(reader, object, "version");
    cluster->term = hap_json_number(reader, object, "term");
    cluster->primary = hap_json_text_or_null(reader, object, "primary");
    cluster->preferred = hap_json_text_or_null(reader, object, "preferred");
    cluster->epoch = hap_json_number(reader, object, "epoch");
    cluster->raft = hap_json_number(reader, object, "raft");
    cluster->nodes = hap_json_list(reader, &array, &cluster->nodes_n, object, "nodes",
                                   HAP_MAP_NODES_MAX, sizeof(*cluster->nodes));
    for (unsigned i = 0; i < cluster->nodes_n; i++) {
        read_node(reader, &cluster->nodes[i], json_array_get(array, i));
    }
    cluster->apps = hap_json_list(reader, &array, &cluster->apps_n, object, "apps",
                                  HAP_MAP_APPS_MAX, sizeof(*cluster->apps));
    for (unsigned i = 0; i < cluster->apps_n; i++) {
        read_app(reader, &cluster->apps[i], json_array_get(array, i));
    }
}

static void read_client(hap_json_reader_t *reader, zd_client_t *client, const json_t *object)
{
    apr_cpystrn(client->name, hap_json_text(reader, object, "client"), sizeof(client->name));
    client->seq = hap_json_number(reader, object, "seq");
    client->index = hap_json_number(reader, object, "index");
    client->result.end = hap_json_word(reader, object, "end", zd_end_names, ZD_END_COUNT);
    client->result.version = hap_json_number(reader, object, "version");
    client->result.epoch = hap_json_number(reader, object, "epoch");
    apr_cpystrn(client->result.why, hap_json_text(reader, object, "why"),
                sizeof(client->result.why));
}

static void read_event(hap_json_reader_t *reader, zd_event_t *event, const json_t *object)
{
    event->index = hap_json_number(reader, object, "index");
    event->at_ms = hap_json_number(reader, object, "at");
    apr_cpystrn(event->what, hap_json_text(reader, object, "what"), sizeof(event->what));
}

/* The lists of fixed size; room for them is thrown away. */
static void read_lists(hap_json_reader_t *reader, zd_state_t *state, const json_t *object)
{
    const json_t *array;
    hap_json_list(reader, &array, &state->clients_n, object, "clients", ZD_CLIENTS_MAX, 1);
    for (unsigned i = 0; i < state->clients_n; i++) {
        read_client(reader, &state->clients[i], json_array_get(array, i));
    }
    hap_json_list(reader, &array, &state->history_n, object, "history", ZD_HISTORY_MAX, 1);
    for (unsigned i = 0; i < state->history_n; i++) {
        read_event(reader, &state->history[i], json_array_get(array, i));
    }
}

static bool read_state(zd_state_t *state, const json_t *object, hap_diag_t *diag)
{
    hap_json_reader_t reader = {.diag = diag, .pool = state->pool, .where = "snapshot"};
    zd_cluster_t *cluster = apr_pcalloc(state->pool, sizeof(*cluster));
    state->index = hap_json_number(&reader, object, "index");
    read_cluster(&reader, cluster, object);
    read_lists(&reader, state, object);
    state->cluster = cluster;
    return !reader.failed;
}

/* The map is not in it: it is made of what is. */
static bool make_map(zd_state_t *state, hap_diag_t *diag)
{
    if (state->cluster->version == 0) {
        return true;
    }
    hap_map_t map = zd_cluster_map(state->cluster, state->pool);
    return hap_map_encode(&state->map, &map, diag, state->pool) == APR_SUCCESS;
}

static bool load(zd_state_t *state, hap_str_t bytes, hap_diag_t *diag)
{
    hap_str_t body;
    hap_str_t again;
    json_error_t error;
    if (hap_envelope_open(&body, &kind, bytes, diag) != APR_SUCCESS) {
        return false;
    }
    json_t *object = json_loadb(body.p, body.n, JSON_REJECT_DUPLICATES, &error);
    if (!object) {
        hap_diag_set(diag, error.line + 1, "is not JSON: %s", error.text);
        return false;
    }
    bool read = read_state(state, object, diag);
    json_decref(object);
    if (!read || !make_map(state, diag) ||
        zd_state_save(&again, state, diag, state->pool) != APR_SUCCESS) {
        return false;
    }
    if (!hap_str_eq(again, bytes)) {
        hap_diag_set(diag, 2, "is not how a snapshot is written");
        return false;
    }
    return true;
}

zd_state_t *zd_state_load(hap_str_t bytes, hap_diag_t *diag)
{
    zd_state_t *state = zd_state_make();
    if (state == NULL) {
        hap_diag_set(diag, 0, "no memory for a snapshot");
        return NULL;
    }
    if (!load(state, bytes, diag)) {
        zd_state_free(state);
        return NULL;
    }
    return state;
}
