/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns `zero ha status`, `roles`, `acks`, `history` and `output`: what a daemon and its leader say,
 * for people. Changes nothing.
 */
#include "zero_ha.h"

#include <string.h>

#include <apr_strings.h>

#include "zero_table.h"

enum {
    LEADER_S = 4, /* for a leader that is not there: an election takes less */
    HISTORY_LINES = 20,
    HISTORY_MAX = 100000,
    TIME_BYTES = 32
};

/* --- pieces ----------------------------------------------------------------------------------- */

static const char *seconds_text(json_int_t ms, apr_pool_t *pool)
{
    return apr_psprintf(pool, "%" APR_INT64_T_FMT ".%d s", (apr_int64_t)(ms / 1000),
                        (int)(ms % 1000 / 100));
}

static bool is_true(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

/* "-" of a node that the leader has not heard. */
static const char *number_text(const json_t *object, const char *key, apr_pool_t *pool)
{
    const json_t *value = json_object_get(object, key);
    return value ? apr_psprintf(pool, "%" APR_INT64_T_FMT, (apr_int64_t)json_integer_value(value))
                 : "-";
}

static const char *heard_text(const json_t *node, apr_pool_t *pool)
{
    const json_t *value = json_object_get(node, "heard_ms");
    return value ? apr_pstrcat(pool, seconds_text(json_integer_value(value), pool), " ago", NULL)
                 : "not yet";
}

static const char *kind_text(const json_t *node, const zero_ha_t *ha)
{
    const char *kind = zero_ha_text(node, "kind", "-", ha);
    bool is_voter = strcmp(kind, "voter") == 0;
    return is_voter && !is_true(node, "electable") ? "voter, never leads" : kind;
}

static bool is_named(const json_t *cluster, const char *key, const json_t *node)
{
    const char *named = json_string_value(json_object_get(cluster, key));
    const char *id = json_string_value(json_object_get(node, "id"));
    return named && id && strcmp(named, id) == 0;
}

static const char *lead_text(const json_t *cluster, const json_t *node)
{
    if (is_named(cluster, "primary", node)) {
        return "leads";
    }
    return is_named(cluster, "preferred", node) ? "is to lead" : "-";
}

static const char *there_text(const json_t *node)
{
    return is_true(node, "present") ? "there" : "gone";
}

/* Of one that is gone the leader knows only what it was. */
static const char *role_text(const json_t *node, const zero_ha_t *ha)
{
    const char *role = zero_ha_text(node, "role", "-", ha);
    return is_true(node, "present") ? role : "unknown";
}

typedef zero_row_t row_fn(const json_t *cluster, const json_t *node, const zero_ha_t *ha);

/* A table with a line for each node. */
static void add_nodes(apr_array_header_t *lines, const json_t *cluster, const zero_ha_t *ha,
                      zero_row_t head, row_fn *row)
{
    size_t i;
    const json_t *node;
    const json_t *nodes = json_object_get(cluster, "nodes");
    apr_array_header_t *rows = zero_rows((int)json_array_size(nodes) + 1, lines->pool);
    zero_row_add(rows, head);
    json_array_foreach(nodes, i, node)
    {
        zero_row_add(rows, row(cluster, node, ha));
    }
    zero_table_add(lines, rows);
}

static int print_lines(const zero_ha_t *ha, const apr_array_header_t *lines)
{
    return zero_print(ha->args->command, hap_str(zero_lines_text(lines, ha->args->pool)));
}

/* With -json the answer as it came. */
static int print_json(const zero_ha_t *ha, const zero_ha_answer_t *answer)
{
    return zero_print(ha->args->command,
                      hap_str(apr_pstrcat(ha->args->pool, answer->text, "\n", NULL)));
}

/* Finds the daemon and asks it. */
static int find_and_ask(zero_ha_answer_t *answer, zero_ha_t *ha, const zero_args_t *args,
                        const char *what)
{
    int code = zero_ha_find(ha, args);
    return code == ZERO_DONE ? zero_ha_ask(answer, ha, json_pack("{s:s}", "ask", what)) : code;
}

/* --- status ----------------------------------------------------------------------------------- */

static const char *app_line(const json_t *app, const zero_ha_t *ha)
{
    apr_pool_t *pool = ha->args->pool;
    const char *name = zero_ha_text(app, "name", "-", ha);
    const char *to = zero_ha_text(app, "to", NULL, ha);
    if (!is_true(app, "single")) {
        return apr_pstrcat(pool, name, ": active on all members", NULL);
    }
    const char *line =
        apr_psprintf(pool, "%s: active on %s, epoch %s", name,
                     zero_ha_text(app, "active", "none", ha), number_text(app, "epoch", pool));
    if (json_object_get(app, "lease_ms")) {
        line = apr_psprintf(pool, "%s, %s of its lease left", line,
                            seconds_text(zero_ha_number(app, "lease_ms"), pool));
    }
    line = to ? apr_pstrcat(pool, line, ", moves to ", to, NULL) : line;
    return is_true(app, "paused") ? apr_pstrcat(pool, line, ", paused: nobody takes over", NULL)
                                  : line;
}

static zero_row_t status_row(const json_t *cluster, const json_t *node, const zero_ha_t *ha)
{
    apr_pool_t *pool = ha->args->pool;
    return (zero_row_t){{zero_ha_text(node, "id", "-", ha), kind_text(node, ha), there_text(node),
                         lead_text(cluster, node), role_text(node, ha), heard_text(node, pool),
                         number_text(node, "lag", pool), zero_ha_text(node, "address", "-", ha)}};
}

/* What speaks against a replica stands below the table: it may be long. */
static void add_unwell(apr_array_header_t *lines, const json_t *cluster, const zero_ha_t *ha)
{
    size_t i;
    const json_t *node;
    const json_t *nodes = json_object_get(cluster, "nodes");
    json_array_foreach(nodes, i, node)
    {
        if (is_true(node, "present") && json_is_false(json_object_get(node, "well"))) {
            zero_line_add(lines, apr_psprintf(lines->pool, "replica %s fails: %s",
                                              zero_ha_text(node, "id", "-", ha),
                                              zero_ha_text(node, "said", "-", ha)));
        }
    }
}

static int show_cluster(const zero_ha_t *ha, const json_t *cluster)
{
    size_t i;
    const json_t *app;
    const json_t *apps = json_object_get(cluster, "apps");
    apr_pool_t *pool = ha->args->pool;
    apr_array_header_t *lines = zero_lines(pool);
    json_array_foreach(apps, i, app)
    {
        zero_line_add(lines, app_line(app, ha));
    }
    zero_line_add(lines, apr_psprintf(pool, "cluster %s: map %s, term %s, led by %s",
                                      zero_ha_text(cluster, "uuid", "-", ha),
                                      number_text(cluster, "version", pool),
                                      number_text(cluster, "term", pool),
                                      zero_ha_text(cluster, "primary", "none", ha)));
    zero_line_add(lines, "");
    add_nodes(lines, cluster, ha,
              (zero_row_t){{"node", "kind", "", "lead", "replica", "heard", "lag", "address"}},
              status_row);
    add_unwell(lines, cluster, ha);
    return print_lines(ha, lines);
}

/* What this node knows by itself. */
static int show_local(const zero_ha_t *ha, const json_t *status)
{
    apr_pool_t *pool = ha->args->pool;
    const json_t *replica = json_object_get(status, "replica");
    apr_array_header_t *lines = zero_lines(pool);
    zero_line_add(
        lines, apr_psprintf(
                   pool, "node %s by itself: map %s, term %s, led by %s when it last heard",
                   zero_ha_text(status, "id", "-", ha), number_text(status, "version", pool),
                   number_text(status, "term", pool), zero_ha_text(status, "primary", "none", ha)));
    if (json_is_object(replica)) {
        zero_line_add(lines, apr_psprintf(pool, "its replica: %s for %s, %s, epoch %s%s",
                                          zero_ha_text(replica, "role", "-", ha),
                                          seconds_text(zero_ha_number(replica, "since_ms"), pool),
                                          zero_ha_text(replica, "why", "-", ha),
                                          number_text(replica, "epoch", pool),
                                          is_true(replica, "paused") ? ", paused" : ""));
    }
    return print_lines(ha, lines);
}

static int run_status(const zero_args_t *args)
{
    zero_ha_t ha;
    zero_ha_answer_t own;
    zero_ha_answer_t all;
    hap_diag_t diag;
    bool json = zero_opt(args, "json") != NULL;
    int code = find_and_ask(&own, &ha, args, "status");
    if (code != ZERO_DONE) {
        return code;
    }
    apr_status_t rv = zero_ha_try(&all, &ha, json_pack("{s:s}", "ask", "cluster"),
                                  apr_time_from_sec(LEADER_S), &diag);
    if (rv == APR_SUCCESS && !all.error) {
        return json ? print_json(&ha, &all) : show_cluster(&ha, all.object);
    }
    if (rv != APR_SUCCESS && rv != APR_TIMEUP) {
        return zero_fail(args->command, ZERO_IO, "%s", diag.why);
    }
    code = json ? print_json(&ha, &own) : show_local(&ha, own.object);
    if (code != ZERO_DONE) {
        return code;
    }
    return zero_fail(args->command, ZERO_REFUSED,
                     "no leader answers: one is being elected, or no more than half of the nodes "
                     "with a vote reach one another; start their daemons, or mend the network");
}

/* --- roles and acks --------------------------------------------------------------------------- */

static zero_row_t roles_row(const json_t *cluster, const json_t *node, const zero_ha_t *ha)
{
    return (zero_row_t){{zero_ha_text(node, "id", "-", ha), kind_text(node, ha),
                         lead_text(cluster, node), role_text(node, ha), there_text(node)}};
}

static zero_row_t acks_row(const json_t *cluster, const json_t *node, const zero_ha_t *ha)
{
    (void)cluster;
    apr_pool_t *pool = ha->args->pool;
    return (zero_row_t){{zero_ha_text(node, "id", "-", ha), number_text(node, "version", pool),
                         number_text(node, "lag", pool), heard_text(node, pool)}};
}

static int run_table(const zero_args_t *args, zero_row_t head, row_fn *row)
{
    zero_ha_t ha;
    zero_ha_answer_t answer;
    int code = find_and_ask(&answer, &ha, args, "cluster");
    if (code != ZERO_DONE || zero_opt(args, "json")) {
        return code == ZERO_DONE ? print_json(&ha, &answer) : code;
    }
    apr_array_header_t *lines = zero_lines(args->pool);
    add_nodes(lines, answer.object, &ha, head, row);
    return print_lines(&ha, lines);
}

static int run_roles(const zero_args_t *args)
{
    return run_table(args, (zero_row_t){{"node", "kind", "lead", "replica", ""}}, roles_row);
}

static int run_acks(const zero_args_t *args)
{
    return run_table(args, (zero_row_t){{"node", "version", "lag", "heard"}}, acks_row);
}

/* --- history ---------------------------------------------------------------------------------- */

/* In this host's time zone. */
static const char *time_text(json_int_t ms, apr_pool_t *pool)
{
    char text[TIME_BYTES];
    apr_time_exp_t time;
    apr_size_t n = 0;
    if (apr_time_exp_lt(&time, apr_time_from_msec(ms)) != APR_SUCCESS ||
        apr_strftime(text, &n, sizeof(text), "%Y-%m-%d %H:%M:%S", &time) != APR_SUCCESS) {
        return "-";
    }
    return apr_pstrdup(pool, text);
}

static int show_history(const zero_ha_t *ha, const json_t *events, size_t most)
{
    apr_pool_t *pool = ha->args->pool;
    apr_array_header_t *lines = zero_lines(pool);
    size_t n = json_array_size(events);
    for (size_t i = n < most ? n : most; i-- > 0;) {
        const json_t *event = json_array_get(events, i);
        zero_line_add(lines,
                      apr_psprintf(pool, "%s  %s  %s", time_text(zero_ha_number(event, "at"), pool),
                                   number_text(event, "index", pool),
                                   zero_ha_text(event, "what", "-", ha)));
    }
    return n ? print_lines(ha, lines) : ZERO_DONE;
}

static int run_history(const zero_args_t *args)
{
    zero_ha_t ha;
    zero_ha_answer_t answer;
    unsigned long most = HISTORY_LINES;
    const char *given = zero_opt(args, "n");
    if (given && (!hap_str_uint(&most, hap_str(given), HISTORY_MAX) || most == 0)) {
        return zero_fail(args->command, ZERO_USAGE, "-n=%s: use 1 to %d",
                         hap_str_show(hap_str(given), args->pool), HISTORY_MAX);
    }
    int code = find_and_ask(&answer, &ha, args, "history");
    if (code != ZERO_DONE || zero_opt(args, "json")) {
        return code == ZERO_DONE ? print_json(&ha, &answer) : code;
    }
    return show_history(&ha, json_object_get(answer.object, "history"), most);
}

/* --- output ----------------------------------------------------------------------------------- */

static int run_output(const zero_args_t *args)
{
    zero_ha_t ha;
    zero_ha_answer_t answer;
    const char *script;
    json_t *said;
    int code = find_and_ask(&answer, &ha, args, "output");
    if (code != ZERO_DONE || zero_opt(args, "json")) {
        return code == ZERO_DONE ? print_json(&ha, &answer) : code;
    }
    apr_array_header_t *lines = zero_lines(args->pool);
    json_object_foreach((json_t *)answer.object, script, said)
    {
        hap_str_t line;
        hap_str_t rest = hap_str(json_string_value(said));
        zero_line_add(lines, apr_pstrcat(args->pool, zero_show(script, args->pool),
                                         rest.n ? ":" : ": nothing", NULL));
        while (hap_str_line(&line, &rest)) {
            const char *text = zero_show(hap_str_dup(line, args->pool), args->pool);
            zero_line_add(lines, apr_pstrcat(args->pool, "  ", text, NULL));
        }
    }
    return lines->nelts ? print_lines(&ha, lines) : ZERO_DONE;
}

/* --- the commands ----------------------------------------------------------------------------- */

static const zero_option_t options[] = {
    {"json", NULL, "the daemon's answer as it is"},
    ZERO_HA_WHERE,
    {NULL, NULL, NULL},
};

static const zero_option_t history_options[] = {
    {"n", "NUMBER", "so many of the last events [20]"},
    {"json", NULL, "the daemon's answer as it is, with all events that it knows"},
    ZERO_HA_WHERE,
    {NULL, NULL, NULL},
};

const zero_command_t zero_ha_status_command = {
    .group = "ha",
    .name = "status",
    .operands = "",
    .options = options,
    .summary = "say who is active, who leads, and how the nodes are",
    .details =
        "Asks the leader, through the daemon of this host: which replica is active, with the "
        "epoch\n"
        "and what is left of its lease, and of each node whether it is there, what its replica "
        "does,\n"
        "when it was last heard, and by how many versions its map is behind.\n"
        "When no leader answers it says what this daemon knows by itself, and ends with 1.\n",
    .run = run_status,
};

const zero_command_t zero_ha_roles_command = {
    .group = "ha",
    .name = "roles",
    .operands = "",
    .options = options,
    .summary = "say what each node is: kind, lead, replica",
    .details = "A line for each node: voter, witness or observer; whether it leads or is to lead; "
               "the role\n"
               "of its replica; whether it is there.\n",
    .run = run_roles,
};

const zero_command_t zero_ha_acks_command = {
    .group = "ha",
    .name = "acks",
    .operands = "",
    .options = options,
    .summary = "say which version of the map each node has",
    .details = "A line for each node: the version that it has acknowledged to have on disk, by how "
               "many it\n"
               "is behind, and when it was last heard.\n",
    .run = run_acks,
};

const zero_command_t zero_ha_history_command = {
    .group = "ha",
    .name = "history",
    .operands = "",
    .options = history_options,
    .summary = "say what has happened, the newest last",
    .details = "A line for each event that was agreed on, as this daemon knows it: this host's "
               "local time,\n"
               "the event's number, what changed.\n",
    .run = run_history,
};

const zero_command_t zero_ha_output_command = {
    .group = "ha",
    .name = "output",
    .operands = "",
    .options = options,
    .summary = "show what the scripts on this host have printed last",
    .details = "The end of what the last ensure-active and the last ensure-passive of this node's\n"
               "replica have printed.\n",
    .run = run_output,
};
