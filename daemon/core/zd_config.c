/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns reading config.json. Each key is a row of one table.
 */
#include "zd_config.h"

#include <stdarg.h>
#include <stdlib.h>

#include <apr_strings.h>
#include <jansson.h>

#include "hap_grammar.h"

/* One reading of one file. */
typedef struct reading_t {
    hap_str_t text; /* all of it, to find lines in */
    const json_t *root;
    zd_config_t *config;
    zd_replica_conf_t *replicas;
    hap_map_node_t *nodes;
    const char **binds;
    const char **maps;
    const char **https;
    hap_diag_t *diag;
    apr_pool_t *pool;
} reading_t;

/* jansson forgets where a value stood: the line of the first `"key":`, which is that of the only
 * one but for keys within "nodes". 0 if there is none. */
static int line_of(const reading_t *reading, const char *key)
{
    hap_str_t quoted = hap_str(apr_pstrcat(reading->pool, "\"", key, "\"", NULL));
    hap_str_t rest = reading->text;
    hap_str_t line;
    for (int n = 1; hap_str_line(&line, &rest); n++) {
        for (size_t i = 0; i < line.n; i++) {
            hap_str_t from = hap_str_sub(line, i, line.n);
            hap_str_t behind = hap_str_trim(hap_str_sub(from, quoted.n, from.n));
            if (hap_str_starts(from, quoted) && behind.n && behind.p[0] == ':') {
                return n;
            }
        }
    }
    return 0;
}

static apr_status_t refuse(const reading_t *reading, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static apr_status_t refuse(const reading_t *reading, const char *key, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    const char *why = apr_pvsprintf(reading->pool, fmt, args);
    va_end(args);
    hap_diag_set(reading->diag, line_of(reading, key), "\"%s\": %s", key, why);
    return APR_EINVAL;
}

/* --- values ----------------------------------------------------------------------------------- */

static apr_status_t read_text(const char **text, const reading_t *reading, const char *key,
                              const json_t *value)
{
    if (!json_is_string(value) || json_string_length(value) == 0) {
        return refuse(reading, key, "is not a text");
    }
    *text = apr_pstrdup(reading->pool, json_string_value(value));
    return APR_SUCCESS;
}

/* A number, or a text of digits as HAL has it. */
static apr_status_t read_number(unsigned *number, const reading_t *reading, const char *key,
                                const json_t *value, unsigned least, unsigned most)
{
    unsigned long read = 0;
    bool good =
        json_is_string(value) && hap_str_uint(&read, hap_str(json_string_value(value)), most);
    if (json_is_integer(value) && json_integer_value(value) >= 0) {
        good = json_integer_value(value) <= most;
        read = good ? (unsigned long)json_integer_value(value) : 0;
    }
    if (!good || read < least) {
        return refuse(reading, key, "is not a number from %u to %u", least, most);
    }
    *number = (unsigned)read;
    return APR_SUCCESS;
}

static apr_status_t read_words(zd_argv_t *argv, const reading_t *reading, const char *key,
                               const json_t *words)
{
    size_t n = json_array_size(words);
    const char **made = apr_pcalloc(reading->pool, (n + 1) * sizeof(*made));
    for (size_t i = 0; i < n; i++) {
        const json_t *word = json_array_get(words, i);
        if (!json_is_string(word)) {
            return refuse(reading, key, "is not a list of texts");
        }
        made[i] = apr_pstrdup(reading->pool, json_string_value(word));
    }
    if (n == 0 || made[0][0] == '\0') {
        return refuse(reading, key, "names no program");
    }
    *argv = made;
    return APR_SUCCESS;
}

/* A text is cut at blanks that are not quoted; a list of texts is taken as it is. */
static apr_status_t read_command(zd_argv_t *argv, const reading_t *reading, const char *key,
                                 const json_t *value)
{
    const char *command;
    char **words;
    if (json_is_array(value)) {
        return read_words(argv, reading, key, value);
    }
    apr_status_t rv = read_text(&command, reading, key, value);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (hap_grammar_open_quote(command)) {
        return refuse(reading, key, "a quote is not closed");
    }
    rv = apr_tokenize_to_argv(command, &words, reading->pool);
    if (rv != APR_SUCCESS || words[0] == NULL) {
        return refuse(reading, key, "names no program");
    }
    *argv = (zd_argv_t)words;
    return APR_SUCCESS;
}

/* --- keys ------------------------------------------------------------------------------------- */

static apr_status_t take_app(reading_t *reading, const char *key, const json_t *value)
{
    hap_diag_t why;
    apr_status_t rv = read_text(&reading->config->app, reading, key, value);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = hap_grammar_app(hap_str(reading->config->app), "it", &why, reading->pool);
    return rv == APR_SUCCESS ? rv : refuse(reading, key, "%s", why.why);
}

static apr_status_t take_timeout(reading_t *reading, const char *key, const json_t *value)
{
    return read_number(&reading->config->timeout_ms, reading, key, value, ZD_TIMEOUT_MS_MIN,
                       ZD_TIMEOUT_MS_MAX);
}

static apr_status_t take_script_timeout(reading_t *reading, const char *key, const json_t *value)
{
    return read_number(&reading->config->script_ms, reading, key, value, ZD_SCRIPT_MS_MIN,
                       ZD_TIMEOUT_MS_MAX);
}

static apr_status_t take_retries(reading_t *reading, const char *key, const json_t *value)
{
    return read_number(&reading->config->retries, reading, key, value, 1, ZD_RETRIES_MAX);
}

/* MUSIC was what HAL kept its state in; here the daemons do. */
static apr_status_t take_music(reading_t *reading, const char *key, const json_t *value)
{
    const char *location;
    reading->config->ignored = "musicLocation";
    return read_text(&location, reading, key, value);
}

static apr_status_t take_secret(reading_t *reading, const char *key, const json_t *value)
{
    return read_text(&reading->config->secret_file, reading, key, value);
}

static apr_status_t take_data_dir(reading_t *reading, const char *key, const json_t *value)
{
    return read_text(&reading->config->data_dir, reading, key, value);
}

/* How many there are is known before the other keys are read. */
static apr_status_t take_ids(reading_t *reading, const char *key, const json_t *value)
{
    size_t n = json_array_size(value);
    if (!json_is_array(value) || n == 0 || n > HAP_MAP_NODES_MAX) {
        return refuse(reading, key, "is not a list of 1 to %d ids", HAP_MAP_NODES_MAX);
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *id = json_array_get(value, i);
        unsigned long number = 0;
        bool good = json_is_string(id) && hap_str_uint(&number, hap_str(json_string_value(id)), n);
        if (!good || number != i) {
            return refuse(reading, key,
                          "ids count from \"0\" without a gap; \"%" APR_SIZE_T_FMT
                          "\" is expected at place %" APR_SIZE_T_FMT,
                          i, i + 1);
        }
    }
    reading->config->replicas_n = (unsigned)n;
    reading->replicas = apr_pcalloc(reading->pool, n * sizeof(*reading->replicas));
    for (unsigned i = 0; i < n; i++) {
        reading->replicas[i].id = apr_psprintf(reading->pool, "%u", i);
        reading->replicas[i].route = reading->replicas[i].id;
    }
    reading->config->replicas = reading->replicas;
    return APR_SUCCESS;
}

static apr_status_t take_node(reading_t *reading, unsigned i, const char *id, const json_t *value);

static apr_status_t take_nodes(reading_t *reading, const char *key, const json_t *value)
{
    unsigned n = 0;
    const char *id;
    json_t *node;
    if (!json_is_object(value) || json_object_size(value) > HAP_MAP_NODES_MAX) {
        return refuse(reading, key, "is not an object of at most %d nodes", HAP_MAP_NODES_MAX);
    }
    reading->nodes = apr_pcalloc(reading->pool, HAP_MAP_NODES_MAX * sizeof(*reading->nodes));
    reading->binds = apr_pcalloc(reading->pool, HAP_MAP_NODES_MAX * sizeof(*reading->binds));
    reading->maps = apr_pcalloc(reading->pool, HAP_MAP_NODES_MAX * sizeof(*reading->maps));
    reading->https = apr_pcalloc(reading->pool, HAP_MAP_NODES_MAX * sizeof(*reading->https));
    for (unsigned i = 0; i < reading->config->replicas_n; i++) {
        const char *name = reading->replicas[i].id;
        const json_t *one = json_object_get(value, name);
        if (!one) {
            return refuse(reading, key, "the replica \"%s\" is not in it", name);
        }
        apr_status_t rv = take_node(reading, n++, name, one);
        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
    json_object_foreach((json_t *)value, id, node)
    {
        unsigned long number;
        if (hap_str_uint(&number, hap_str(id), reading->config->replicas_n - 1)) {
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
    return APR_SUCCESS;
}

static const struct {
    const char *key;
    bool needed;
    apr_status_t (*take)(reading_t *reading, const char *key, const json_t *value);
} keys[] = {
    {"appName", true, take_app},
    {"replicaIdList", true, take_ids}, /* before all that has an id in it */
    {"timeout", true, take_timeout},
    {"noOfRetryAttempts", true, take_retries},
    {"scriptTimeout", false, take_script_timeout},
    {"musicLocation", false, take_music},
    {"nodes", false, take_nodes},
    {"secretFile", false, take_secret},
    {"dataDir", false, take_data_dir},
};

/* Keys that end in a replica's id. */
static const struct {
    const char *prefix;
    bool needed;
    size_t at; /* of the command in zd_replica_conf_t */
} commands[] = {
    {"ensure-active-", true, offsetof(zd_replica_conf_t, ensure_active)},
    {"ensure-passive-", true, offsetof(zd_replica_conf_t, ensure_passive)},
    {"restart-hal-", false, offsetof(zd_replica_conf_t, restart)},
};

enum { KEYS = sizeof(keys) / sizeof(keys[0]), COMMANDS = sizeof(commands) / sizeof(commands[0]) };

/* --- a node ----------------------------------------------------------------------------------- */

static apr_status_t read_address(const char **address, const reading_t *reading, const char *id,
                                 const json_t *value)
{
    const char *host;
    unsigned port;
    hap_diag_t why;
    apr_status_t rv = read_text(address, reading, id, value);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = hap_grammar_address(&host, &port, hap_str(*address), "its address", &why, reading->pool);
    return rv == APR_SUCCESS ? rv : refuse(reading, id, "%s", why.why);
}

static apr_status_t read_role(hap_map_node_t *node, const reading_t *reading, const json_t *value)
{
    hap_str_t word = hap_str(json_string_value(value));
    int role = hap_str_word(word, hap_map_role_names, HAP_MAP_ROLE_COUNT);
    if (role < 0) {
        return refuse(reading, node->id, "its role is not voter, witness or observer");
    }
    node->role = (hap_map_role_t)role;
    return APR_SUCCESS;
}

static apr_status_t take_node_key(reading_t *reading, unsigned i, const char *key,
                                  const json_t *value)
{
    hap_map_node_t *node = &reading->nodes[i];
    if (strcmp(key, "address") == 0) {
        return read_address(&node->address, reading, node->id, value);
    }
    if (strcmp(key, "bind") == 0) {
        return read_address(&reading->binds[i], reading, node->id, value);
    }
    if (strcmp(key, "http") == 0) {
        return read_address(&reading->https[i], reading, node->id, value);
    }
    if (strcmp(key, "mapFile") == 0) {
        return read_text(&reading->maps[i], reading, key, value);
    }
    if (i < reading->config->replicas_n && strcmp(key, "route") == 0) {
        return read_text(&reading->replicas[i].route, reading, key, value);
    }
    if (i < reading->config->replicas_n && strcmp(key, "url") == 0) {
        return read_text(&reading->replicas[i].url, reading, key, value);
    }
    if (strcmp(key, "role") == 0) {
        return read_role(node, reading, value);
    }
    if (strcmp(key, "electable") == 0 && json_is_boolean(value)) {
        node->electable = json_is_true(value);
        return APR_SUCCESS;
    }
    return refuse(reading, node->id,
                  "%s is not one of address, bind, http, role, electable and mapFile, or, of a "
                  "replica, route and url, or has the wrong type",
                  key);
}

/* What the map would not take as a member is no replica. */
static apr_status_t check_replica(const reading_t *reading, unsigned i)
{
    hap_diag_t why;
    const zd_replica_conf_t *replica = &reading->replicas[i];
    const hap_map_member_t member = {.route = replica->route, .url = replica->url, .weight = 1};
    if (hap_map_check_member(&member, reading->config->app, &why, reading->pool) != APR_SUCCESS) {
        return refuse(reading, replica->id, "%s", why.why);
    }
    if (zd_config_route(reading->config, replica->route) != (int)i) {
        return refuse(reading, replica->id, "another replica has the route %s, too",
                      replica->route);
    }
    return APR_SUCCESS;
}

/* "HOST:PORT", or an object with more. Witnesses and observers do not lead. */
static apr_status_t take_node(reading_t *reading, unsigned i, const char *id, const json_t *value)
{
    const char *key;
    json_t *one;
    hap_diag_t why;
    hap_map_node_t *node = &reading->nodes[i];
    node->id = apr_pstrdup(reading->pool, id);
    if (hap_grammar_route(hap_str(id), "it", &why, reading->pool) != APR_SUCCESS) {
        return refuse(reading, id, "%s", why.why);
    }
    if (!json_is_object(value)) {
        node->electable = true;
        return read_address(&node->address, reading, id, value);
    }
    node->electable = true;
    json_object_foreach((json_t *)value, key, one)
    {
        apr_status_t rv = take_node_key(reading, i, key, one);
        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
    node->electable = node->electable && node->role == HAP_MAP_VOTER;
    return node->address ? APR_SUCCESS : refuse(reading, id, "it has no address");
}

/* --- the whole -------------------------------------------------------------------------------- */

/* Which command this key gives, and to which replica; -1: none. */
static int command_of(hap_str_t *id, hap_str_t key)
{
    for (int i = 0; i < COMMANDS; i++) {
        hap_str_t prefix = hap_str(commands[i].prefix);
        if (hap_str_starts(key, prefix)) {
            *id = hap_str_sub(key, prefix.n, key.n);
            return i;
        }
    }
    return -1;
}

static bool is_key(const char *key)
{
    for (int i = 0; i < KEYS; i++) {
        if (strcmp(keys[i].key, key) == 0) {
            return true;
        }
    }
    return false;
}

static apr_status_t check_key(const reading_t *reading, const char *key)
{
    hap_str_t id;
    unsigned long number;
    if (is_key(key)) {
        return APR_SUCCESS;
    }
    if (command_of(&id, hap_str(key)) < 0) {
        return refuse(reading, key, "is not a key of config.json, see doc/zerod.md");
    }
    if (!hap_str_uint(&number, id, reading->config->replicas_n - 1) ||
        (id.n > 1 && id.p[0] == '0')) {
        return refuse(reading, key, "\"replicaIdList\" has no id %s",
                      hap_str_show(id, reading->pool));
    }
    return APR_SUCCESS;
}

static apr_status_t take_keys(reading_t *reading)
{
    for (int i = 0; i < KEYS; i++) {
        const json_t *value = json_object_get(reading->root, keys[i].key);
        apr_status_t rv = APR_SUCCESS;
        if (value) {
            rv = keys[i].take(reading, keys[i].key, value);
        } else if (keys[i].needed) {
            rv = refuse(reading, keys[i].key, "is missing");
        }
        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
    return APR_SUCCESS;
}

static apr_status_t take_commands(reading_t *reading)
{
    for (unsigned i = 0; i < reading->config->replicas_n * COMMANDS; i++) {
        unsigned id = i / COMMANDS;
        unsigned kind = i % COMMANDS;
        const char *key = apr_psprintf(reading->pool, "%s%u", commands[kind].prefix, id);
        const json_t *value = json_object_get(reading->root, key);
        zd_argv_t *argv = (zd_argv_t *)((char *)&reading->replicas[id] + commands[kind].at);
        apr_status_t rv = APR_SUCCESS;
        if (value) {
            rv = read_command(argv, reading, key, value);
        } else if (commands[kind].needed) {
            rv = refuse(reading, key, "is missing, \"replicaIdList\" has the id %u", id);
        }
        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
    return APR_SUCCESS;
}

/* HAL's own file says only how a peer is started, not where it can be reached. */
static apr_status_t check_whole(const reading_t *reading)
{
    const zd_config_t *config = reading->config;
    const char *key;
    json_t *value;
    for (unsigned i = 0; i < config->replicas_n; i++) {
        apr_status_t rv = check_replica(reading, i);
        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
    json_object_foreach((json_t *)reading->root, key, value)
    {
        apr_status_t rv = check_key(reading, key);
        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
    if (config->replicas_n > 1 && config->nodes_n == 0) {
        return refuse(reading, "nodes",
                      "is missing: say where each replica's daemon is reached, as in "
                      "\"nodes\": {\"0\": \"192.0.2.1:7946\", \"1\": \"192.0.2.2:7946\"}");
    }
    if (config->nodes_n > 1 && !config->secret_file) {
        return refuse(reading, "secretFile",
                      "is missing: daemons of several nodes prove with it that they belong "
                      "together");
    }
    return APR_SUCCESS;
}

static void say_syntax(hap_diag_t *diag, const json_error_t *error, apr_pool_t *pool)
{
    hap_str_t why = hap_str(error->text);
    hap_str_t front = HAP_STR_LIT("'}' expected near '\"");
    if (hap_str_starts(why, front)) {
        size_t end = hap_str_find(why, '"', front.n);
        hap_diag_set(diag, error->line, "a comma is missing before \"%s\"",
                     hap_str_show(hap_str_sub(why, front.n, end), pool));
        return;
    }
    hap_diag_set(diag, error->line, "is not JSON: %s", error->text);
}

static apr_status_t read_all(reading_t *reading)
{
    if (!json_is_object(reading->root)) {
        hap_diag_set(reading->diag, 1, "is not a JSON object, which begins with {");
        return APR_EINVAL;
    }
    apr_status_t rv = take_keys(reading);
    if (reading->config->script_ms == 0) {
        reading->config->script_ms = reading->config->timeout_ms;
    }
    if (rv == APR_SUCCESS) {
        rv = check_whole(reading);
    }
    return rv == APR_SUCCESS ? take_commands(reading) : rv;
}

apr_status_t zd_config_parse(const zd_config_t **config, hap_str_t text, hap_diag_t *diag,
                             apr_pool_t *pool)
{
    json_error_t error;
    json_t *root = json_loadb(text.p ? text.p : "", text.n, JSON_REJECT_DUPLICATES, &error);
    if (!root) {
        say_syntax(diag, &error, pool);
        return APR_EINVAL;
    }
    reading_t reading = {
        .text = text,
        .root = root,
        .config = apr_pcalloc(pool, sizeof(*reading.config)),
        .diag = diag,
        .pool = pool,
    };
    apr_status_t rv = read_all(&reading);
    json_decref(root);
    if (rv == APR_SUCCESS) {
        *config = reading.config;
    }
    return rv;
}

int zd_config_node(const zd_config_t *config, hap_str_t id)
{
    for (unsigned i = 0; i < config->nodes_n; i++) {
        if (hap_str_eq(hap_str(config->nodes[i].id), id)) {
            return (int)i;
        }
    }
    return -1;
}

int zd_config_route(const zd_config_t *config, const char *route)
{
    for (unsigned i = 0; i < config->replicas_n; i++) {
        if (strcmp(config->replicas[i].route, route) == 0) {
            return (int)i;
        }
    }
    return -1;
}

int zd_config_replica(const zd_config_t *config, const char *id)
{
    for (unsigned i = 0; i < config->replicas_n; i++) {
        if (strcmp(config->replicas[i].id, id) == 0) {
            return (int)i;
        }
    }
    return -1;
}
