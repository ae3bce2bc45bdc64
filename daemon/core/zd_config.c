/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns reading config.json. Each key is a row of one table.
 */
#include "zd_config_int.h"

#include <stdarg.h>
#include <stdlib.h>

#include <apr_strings.h>

#include "hap_grammar.h"
#include "zd_slip.h"

/* jansson forgets where a value stood: the line of the first `"key":`, which is that of the only
 * one but for keys within "nodes". 0 if there is none. */
static int line_of(const zd_reading_t *reading, const char *key)
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

apr_status_t zd_config_refuse(const zd_reading_t *reading, const char *key, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    const char *why = apr_pvsprintf(reading->pool, fmt, args);
    va_end(args);
    hap_diag_set(reading->diag, line_of(reading, key), "\"%s\": %s", key, why);
    return APR_EINVAL;
}

/* --- values ----------------------------------------------------------------------------------- */

static apr_status_t read_text(const char **text, const zd_reading_t *reading, const char *key,
                              const json_t *value)
{
    if (!json_is_string(value)) {
        return zd_config_refuse(reading, key, "is not a text: write it between double quotes");
    }
    if (json_string_length(value) == 0) {
        return zd_config_refuse(reading, key, "is empty");
    }
    *text = apr_pstrdup(reading->pool, json_string_value(value));
    return APR_SUCCESS;
}

/* A number, or a text of digits as HAL has it. */
static apr_status_t read_number(unsigned *number, const zd_reading_t *reading, const char *key,
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
        return zd_config_refuse(reading, key, "is not a number from %u to %u", least, most);
    }
    *number = (unsigned)read;
    return APR_SUCCESS;
}

static apr_status_t refuse_no_program(const zd_reading_t *reading, const char *key)
{
    return zd_config_refuse(reading, key, "names no program: its first word is the path of one");
}

static apr_status_t read_words(zd_argv_t *argv, const zd_reading_t *reading, const char *key,
                               const json_t *words)
{
    size_t n = json_array_size(words);
    const char **made = apr_pcalloc(reading->pool, (n + 1) * sizeof(*made));
    for (size_t i = 0; i < n; i++) {
        const json_t *word = json_array_get(words, i);
        if (!json_is_string(word)) {
            return zd_config_refuse(reading, key,
                                    "its word %" APR_SIZE_T_FMT
                                    " is not a text: write it between double "
                                    "quotes",
                                    i + 1);
        }
        made[i] = apr_pstrdup(reading->pool, json_string_value(word));
    }
    if (n == 0 || made[0][0] == '\0') {
        return refuse_no_program(reading, key);
    }
    *argv = made;
    return APR_SUCCESS;
}

/* A text is cut at blanks that are not quoted; a list of texts is taken as it is. */
static apr_status_t read_command(zd_argv_t *argv, const zd_reading_t *reading, const char *key,
                                 const json_t *value)
{
    const char *command = json_string_value(value);
    char **words;
    if (json_is_array(value)) {
        return read_words(argv, reading, key, value);
    }
    if (!command) {
        return zd_config_refuse(
            reading, key, "is neither a text with a program and its arguments nor a list of texts");
    }
    if (hap_grammar_open_quote(command)) {
        return zd_config_refuse(reading, key, "a quote is not closed");
    }
    apr_status_t rv = apr_tokenize_to_argv(command, &words, reading->pool);
    if (rv != APR_SUCCESS || !words[0] || !words[0][0]) {
        return refuse_no_program(reading, key);
    }
    *argv = (zd_argv_t)words;
    return APR_SUCCESS;
}

/* --- keys ------------------------------------------------------------------------------------- */

static apr_status_t take_app(zd_reading_t *reading, const char *key, const json_t *value)
{
    hap_diag_t why;
    apr_status_t rv = read_text(&reading->config->app, reading, key, value);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = hap_grammar_app(hap_str(reading->config->app), "it", &why, reading->pool);
    return rv == APR_SUCCESS ? rv : zd_config_refuse(reading, key, "%s", why.why);
}

static apr_status_t take_timeout(zd_reading_t *reading, const char *key, const json_t *value)
{
    return read_number(&reading->config->timeout_ms, reading, key, value, ZD_TIMEOUT_MS_MIN,
                       ZD_TIMEOUT_MS_MAX);
}

static apr_status_t take_script_timeout(zd_reading_t *reading, const char *key, const json_t *value)
{
    return read_number(&reading->config->script_ms, reading, key, value, ZD_SCRIPT_MS_MIN,
                       ZD_TIMEOUT_MS_MAX);
}

static apr_status_t take_retries(zd_reading_t *reading, const char *key, const json_t *value)
{
    return read_number(&reading->config->retries, reading, key, value, 1, ZD_RETRIES_MAX);
}

/* MUSIC was what HAL kept its state in; here the daemons do. */
static apr_status_t take_music(zd_reading_t *reading, const char *key, const json_t *value)
{
    const char *location;
    reading->config->ignored = "musicLocation";
    return read_text(&location, reading, key, value);
}

static apr_status_t take_secret(zd_reading_t *reading, const char *key, const json_t *value)
{
    return read_text(&reading->config->secret_file, reading, key, value);
}

static apr_status_t take_data_dir(zd_reading_t *reading, const char *key, const json_t *value)
{
    return read_text(&reading->config->data_dir, reading, key, value);
}

/* The device counts whole seconds, and is fed for half of the time that a lease holds. */
static apr_status_t take_watchdog(zd_reading_t *reading, const char *key, const json_t *value)
{
    apr_status_t rv = read_text(&reading->config->watchdog, reading, key, value);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (reading->config->watchdog[0] != '/') {
        return zd_config_refuse(reading, key, "is not the path of a device, such as /dev/watchdog");
    }
    if (reading->config->timeout_ms < ZD_WATCHDOG_TIMEOUT_MS_MIN) {
        return zd_config_refuse(
            reading, key,
            "needs a \"timeout\" of %d or more: the device counts whole seconds, from "
            "half of it, and a host that is busy for less is not to be reset",
            ZD_WATCHDOG_TIMEOUT_MS_MIN);
    }
    return APR_SUCCESS;
}

/* How many there are is known before the other keys are read. */
static apr_status_t take_ids(zd_reading_t *reading, const char *key, const json_t *value)
{
    size_t n = json_array_size(value);
    if (!json_is_array(value) || n == 0 || n > HAP_MAP_NODES_MAX) {
        return zd_config_refuse(reading, key, "is not a list of 1 to %d ids, as in [\"0\", \"1\"]",
                                HAP_MAP_NODES_MAX);
    }
    for (size_t i = 0; i < n; i++) {
        const char *id = json_string_value(json_array_get(value, i));
        if (!id || strcmp(id, apr_psprintf(reading->pool, "%" APR_SIZE_T_FMT, i)) != 0) {
            return zd_config_refuse(reading, key,
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

static const struct {
    const char *key;
    const char *needed; /* what may stand there; NULL: it may be missing */
    apr_status_t (*take)(zd_reading_t *reading, const char *key, const json_t *value);
} keys[] = {
    {"appName", "\"Shop\"", take_app},
    {"replicaIdList", "[\"0\", \"1\"]", take_ids}, /* before all that has an id in it */
    {"timeout", "5000", take_timeout},
    {"noOfRetryAttempts", "3", take_retries},
    {"scriptTimeout", NULL, take_script_timeout},
    {"musicLocation", NULL, take_music},
    {"nodes", NULL, zd_config_nodes},
    {"secretFile", NULL, take_secret},
    {"dataDir", NULL, take_data_dir},
    {"watchdog", NULL, take_watchdog}, /* after "timeout" */
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

/* Before those that are missing: one that is misspelt is both. */
static apr_status_t check_names(const zd_reading_t *reading)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)reading->root, key, value)
    {
        hap_str_t id;
        if (!is_key(key) && command_of(&id, hap_str(key)) < 0) {
            return zd_config_refuse(reading, key, "is not a key of config.json, see doc/zerod.md");
        }
    }
    return APR_SUCCESS;
}

static apr_status_t check_id(const zd_reading_t *reading, const char *key)
{
    hap_str_t id;
    unsigned long number;
    if (is_key(key) || command_of(&id, hap_str(key)) < 0) {
        return APR_SUCCESS;
    }
    if (!hap_str_uint(&number, id, reading->config->replicas_n - 1) ||
        (id.n > 1 && id.p[0] == '0')) {
        return zd_config_refuse(reading, key, "\"replicaIdList\" has no id %s",
                                hap_str_show(id, reading->pool));
    }
    return APR_SUCCESS;
}

static apr_status_t take_keys(zd_reading_t *reading)
{
    for (int i = 0; i < KEYS; i++) {
        const json_t *value = json_object_get(reading->root, keys[i].key);
        apr_status_t rv = APR_SUCCESS;
        if (value) {
            rv = keys[i].take(reading, keys[i].key, value);
        } else if (keys[i].needed) {
            rv = zd_config_refuse(reading, keys[i].key, "is missing: add it, as in \"%s\": %s",
                                  keys[i].key, keys[i].needed);
        }
        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
    return APR_SUCCESS;
}

static apr_status_t take_commands(zd_reading_t *reading)
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
            rv = zd_config_refuse(
                reading, key,
                "is missing: \"replicaIdList\" has the id %u, say which program to run", id);
        }
        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
    return APR_SUCCESS;
}

/* What the map would not take as a member is no replica. */
static apr_status_t check_replica(const zd_reading_t *reading, unsigned i)
{
    hap_diag_t why;
    const zd_replica_conf_t *replica = &reading->replicas[i];
    const hap_map_member_t member = {.route = replica->route, .url = replica->url, .weight = 1};
    if (hap_map_check_member(&member, reading->config->app, &why, reading->pool) != APR_SUCCESS) {
        return zd_config_refuse(reading, replica->id, "%s", why.why);
    }
    if (zd_config_route(reading->config, replica->route) != (int)i) {
        return zd_config_refuse(reading, replica->id, "another replica has the route %s, too",
                                replica->route);
    }
    return APR_SUCCESS;
}

/* HAL's own file says only how a peer is started, not where it can be reached. */
static apr_status_t check_whole(const zd_reading_t *reading)
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
        apr_status_t rv = check_id(reading, key);
        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
    if (config->replicas_n > 1 && config->nodes_n == 0) {
        return zd_config_refuse(
            reading, "nodes",
            "is missing: say where each replica's daemon is reached, as in "
            "\"nodes\": {\"0\": \"192.0.2.1:7946\", \"1\": \"192.0.2.2:7946\"}");
    }
    if (config->nodes_n > 1 && !config->secret_file) {
        return zd_config_refuse(
            reading, "secretFile",
            "is missing: daemons of several nodes prove with it that they belong "
            "together; \"openssl rand -hex 32\" makes one");
    }
    return APR_SUCCESS;
}

static apr_status_t read_all(zd_reading_t *reading)
{
    if (!json_is_object(reading->root)) {
        hap_diag_set(reading->diag, 1, "is not a JSON object, which begins with {");
        return APR_EINVAL;
    }
    apr_status_t rv = check_names(reading);
    if (rv == APR_SUCCESS) {
        rv = take_keys(reading);
    }
    if (reading->config->script_ms == 0) {
        reading->config->script_ms = reading->config->timeout_ms;
    }
    if (rv == APR_SUCCESS) {
        rv = check_whole(reading);
    }
    return rv == APR_SUCCESS ? take_commands(reading) : rv;
}

/* Keys and pieces of the text are shown in it as they are: it is one line all the same, and does
 * nothing to a terminal. */
static void make_fit(hap_diag_t *diag)
{
    for (char *at = diag->why; *at; at++) {
        if ((unsigned char)*at < ' ' || *at == '\x7f') {
            *at = '?';
        }
    }
}

apr_status_t zd_config_parse(const zd_config_t **config, hap_str_t text, hap_diag_t *diag,
                             apr_pool_t *pool)
{
    json_error_t error;
    json_t *root = json_loadb(text.p ? text.p : "", text.n, JSON_REJECT_DUPLICATES, &error);
    if (!root) {
        zd_slip_say(diag, &error, pool);
        make_fit(diag);
        return APR_EINVAL;
    }
    zd_reading_t reading = {
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
    } else {
        make_fit(diag);
    }
    return rv;
}

/* A secret is for others: who joins a cluster may not know of them yet. */
bool zd_config_may_run(const zd_config_t *config, bool loses, hap_diag_t *diag)
{
    if (!loses || (config->nodes_n < 2 && !config->secret_file)) {
        return true;
    }
    hap_diag_set(diag, 0,
                 "zerod was built with a libraft before 0.18, which can lose what several nodes "
                 "have agreed on: build it with a newer one, as tools/setup brings it, or, for one "
                 "host, have one of \"nodes\" and no \"secretFile\"");
    return false;
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
