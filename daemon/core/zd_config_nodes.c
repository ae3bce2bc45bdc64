/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns reading "nodes" of config.json.
 */
#include "zd_config_int.h"

#include <string.h>

#include <apr_strings.h>

#include "hap_grammar.h"

/* What is wrong within a node is said with its id: others have the same keys. */
static apr_status_t read_part(const char **text, const zd_reading_t *reading, const char *id,
                              const char *part, const json_t *value)
{
    if (!json_is_string(value) || json_string_length(value) == 0) {
        return zd_config_refuse(
            reading, id, "its %s is %s", part,
            json_is_string(value) ? "empty" : "not a text: write it between double quotes");
    }
    *text = apr_pstrdup(reading->pool, json_string_value(value));
    return APR_SUCCESS;
}

static apr_status_t read_address(const char **address, const zd_reading_t *reading, const char *id,
                                 const char *part, const json_t *value)
{
    const char *host;
    unsigned port;
    hap_diag_t why;
    apr_status_t rv = read_part(address, reading, id, part, value);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    const char *label = apr_pstrcat(reading->pool, "its ", part, NULL);
    rv = hap_grammar_address(&host, &port, hap_str(*address), label, &why, reading->pool);
    return rv == APR_SUCCESS ? rv : zd_config_refuse(reading, id, "%s", why.why);
}

static apr_status_t read_role(hap_map_node_t *node, const zd_reading_t *reading,
                              const json_t *value)
{
    hap_str_t word = hap_str(json_string_value(value));
    int role = hap_str_word(word, hap_map_role_names, HAP_MAP_ROLE_COUNT);
    if (role < 0) {
        return zd_config_refuse(reading, node->id, "its role is not voter, witness or observer");
    }
    node->role = (hap_map_role_t)role;
    return APR_SUCCESS;
}

static apr_status_t read_electable(hap_map_node_t *node, const zd_reading_t *reading,
                                   const json_t *value)
{
    if (!json_is_boolean(value)) {
        return zd_config_refuse(reading, node->id, "its electable is not true or false");
    }
    node->electable = json_is_true(value);
    return APR_SUCCESS;
}

static apr_status_t take_node_key(zd_reading_t *reading, unsigned i, const char *key,
                                  const json_t *value)
{
    hap_map_node_t *node = &reading->nodes[i];
    bool is_replica = i < reading->config->replicas_n;
    if (strcmp(key, "address") == 0) {
        return read_address(&node->address, reading, node->id, key, value);
    }
    if (strcmp(key, "bind") == 0) {
        return read_address(&reading->binds[i], reading, node->id, key, value);
    }
    if (strcmp(key, "http") == 0) {
        return read_address(&reading->https[i], reading, node->id, key, value);
    }
    if (strcmp(key, "mapFile") == 0) {
        return read_part(&reading->maps[i], reading, node->id, key, value);
    }
    if (is_replica && strcmp(key, "route") == 0) {
        return read_part(&reading->replicas[i].route, reading, node->id, key, value);
    }
    if (is_replica && strcmp(key, "url") == 0) {
        return read_part(&reading->replicas[i].url, reading, node->id, key, value);
    }
    if (strcmp(key, "role") == 0) {
        return read_role(node, reading, value);
    }
    if (strcmp(key, "electable") == 0) {
        return read_electable(node, reading, value);
    }
    return zd_config_refuse(
        reading, node->id,
        "%s is not one of address, bind, http, role, electable and mapFile, or, of a "
        "replica, route and url",
        key);
}

/* "HOST:PORT", or an object with more. Witnesses and observers do not lead. */
static apr_status_t take_node(zd_reading_t *reading, unsigned i, const char *id,
                              const json_t *value)
{
    const char *key;
    json_t *one;
    hap_diag_t why;
    hap_map_node_t *node = &reading->nodes[i];
    node->id = apr_pstrdup(reading->pool, id);
    if (hap_grammar_route(hap_str(id), "it", &why, reading->pool) != APR_SUCCESS) {
        return zd_config_refuse(reading, id, "%s", why.why);
    }
    node->electable = true;
    if (json_is_string(value)) {
        return read_address(&node->address, reading, id, "address", value);
    }
    if (!json_is_object(value)) {
        return zd_config_refuse(reading, id,
                                "is neither \"HOST:PORT\" nor an object with an address");
    }
    json_object_foreach((json_t *)value, key, one)
    {
        apr_status_t rv = take_node_key(reading, i, key, one);
        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
    node->electable = node->electable && node->role == HAP_MAP_VOTER;
    return node->address
               ? APR_SUCCESS
               : zd_config_refuse(reading, id, "it has no address: add \"address\": \"HOST:PORT\"");
}

/* Where one listens no other one can, nor can its health URLs. */
static apr_status_t check_addresses(const zd_reading_t *reading, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        const hap_map_node_t *node = &reading->nodes[i];
        const char *http = reading->https[i];
        if (http && strcmp(http, node->address) == 0) {
            return zd_config_refuse(reading, node->id,
                                    "its http is its address, %s: use another port", http);
        }
        for (unsigned j = 0; j < i; j++) {
            if (strcmp(reading->nodes[j].address, node->address) == 0) {
                return zd_config_refuse(reading, node->id, "%s is the address of node %s, too",
                                        node->address, reading->nodes[j].id);
            }
        }
    }
    return APR_SUCCESS;
}

/* --- all of them --------------------------------------------------------------------------------
 */

apr_status_t zd_config_nodes(zd_reading_t *reading, const char *key, const json_t *value)
{
    unsigned n = 0;
    const char *id;
    json_t *node;
    if (!json_is_object(value) || json_object_size(value) > HAP_MAP_NODES_MAX) {
        return zd_config_refuse(reading, key, "is not an object of at most %d nodes",
                                HAP_MAP_NODES_MAX);
    }
    reading->nodes = apr_pcalloc(reading->pool, HAP_MAP_NODES_MAX * sizeof(*reading->nodes));
    reading->binds = apr_pcalloc(reading->pool, HAP_MAP_NODES_MAX * sizeof(*reading->binds));
    reading->maps = apr_pcalloc(reading->pool, HAP_MAP_NODES_MAX * sizeof(*reading->maps));
    reading->https = apr_pcalloc(reading->pool, HAP_MAP_NODES_MAX * sizeof(*reading->https));
    for (unsigned i = 0; i < reading->config->replicas_n; i++) {
        const char *name = reading->replicas[i].id;
        const json_t *one = json_object_get(value, name);
        if (!one) {
            return zd_config_refuse(
                reading, key,
                "the replica \"%s\" is not in it: say where its daemon is reached, as in "
                "\"%s\": \"192.0.2.1:7946\"",
                name, name);
        }
        apr_status_t rv = take_node(reading, n++, name, one);
        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
    json_object_foreach((json_t *)value, id, node)
    {
        if (zd_config_replica(reading->config, id) >= 0) {
            continue;
        }
        apr_status_t rv = take_node(reading, n++, id, node);
        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
    reading->config->nodes = reading->nodes;
    reading->config->binds = reading->binds;
    reading->config->maps = reading->maps;
    reading->config->https = reading->https;
    reading->config->nodes_n = n;
    return check_addresses(reading, n);
}
