/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns `zero ha join` and `leave`: which nodes a running cluster has. Does not start or stop
 * daemons.
 */
#include "zero_ha.h"

#include <string.h>

#include <apr_strings.h>

#include "hap_grammar.h"
#include "hap_map.h"

enum { NUMBERS_MAX = 256 /* attempts to find one that was nobody's */ };

/* --- join ------------------------------------------------------------------------------------- */

/* A node as it is asked for. */
typedef struct node_t {
    const char *id;
    const char *address;
    hap_map_role_t role;
    bool electable;
} node_t;

static int read_role(node_t *node, const zero_args_t *args)
{
    static const char *const words[] = {"no", "yes"};
    const char *role = zero_opt(args, "role");
    const char *electable = zero_opt(args, "electable");
    int kind =
        role ? hap_str_word(hap_str(role), hap_map_role_names, HAP_MAP_ROLE_COUNT) : HAP_MAP_VOTER;
    int may_lead = electable ? hap_str_word(hap_str(electable), words, 2) : kind == HAP_MAP_VOTER;
    if (kind < 0) {
        return zero_fail(args->command, ZERO_USAGE, "-role=%s: use voter, witness or observer",
                         hap_str_show(hap_str(role), args->pool));
    }
    if (may_lead < 0) {
        return zero_fail(args->command, ZERO_USAGE, "-electable=%s: use yes or no",
                         hap_str_show(hap_str(electable), args->pool));
    }
    if (may_lead && kind != HAP_MAP_VOTER) {
        return zero_fail(args->command, ZERO_USAGE, "-electable=yes: a node that is %s never leads",
                         hap_map_role_names[kind]);
    }
    node->role = (hap_map_role_t)kind;
    node->electable = may_lead;
    return ZERO_DONE;
}

static int read_node(node_t *node, const zero_args_t *args)
{
    hap_diag_t diag;
    const char *host;
    unsigned port;
    *node = (node_t){.id = zero_opt(args, "node"), .address = zero_opt(args, "address")};
    if (hap_grammar_route(hap_str(node->id), "-node", &diag, args->pool) != APR_SUCCESS ||
        hap_grammar_address(&host, &port, hap_str(node->address), "-address", &diag, args->pool) !=
            APR_SUCCESS) {
        return zero_fail(args->command, ZERO_USAGE, "%s", diag.why);
    }
    return read_role(node, args);
}

static bool is_same(const json_t *known, const node_t *node, const zero_ha_t *ha)
{
    return strcmp(zero_ha_text(known, "address", "", ha), node->address) == 0 &&
           strcmp(zero_ha_text(known, "kind", "", ha), hap_map_role_names[node->role]) == 0 &&
           json_is_true(json_object_get(known, "electable")) == node->electable;
}

/* A node that is there keeps its number in the engine, which nobody here knows. */
static int say_known(const zero_ha_t *ha, const json_t *known, const node_t *node)
{
    if (is_same(known, node, ha)) {
        return zero_ha_unchanged(ha, "%s is such a node already", node->id);
    }
    return zero_fail(ha->args->command, ZERO_REFUSED,
                     "%s is a node already, %s at %s; to change that, have it leave first: zero ha "
                     "leave -node=%s",
                     node->id, zero_ha_text(known, "kind", "-", ha),
                     zero_ha_text(known, "address", "-", ha), node->id);
}

static int order_join(zero_ha_end_t *end, const zero_ha_t *ha, const node_t *node,
                      json_int_t number)
{
    return zero_ha_order(end, ha,
                         json_pack("{s:s, s:s, s:s, s:s, s:b, s:I}", "do", "node-set", "node",
                                   node->id, "address", node->address, "role",
                                   hap_map_role_names[node->role], "electable",
                                   (int)node->electable, "raft", number));
}

/* Numbers of the engine are never used twice. A leader that does not tell the last one has given
 * its nodes those from 1; and another one may join at the same time. */
static int join(const zero_ha_t *ha, const json_t *cluster, const node_t *node)
{
    zero_ha_end_t end;
    json_int_t most = zero_ha_number(cluster, "raft_max");
    json_int_t nodes = (json_int_t)json_array_size(json_object_get(cluster, "nodes"));
    json_int_t number = most > nodes ? most : nodes;
    for (int i = 0; i < NUMBERS_MAX; i++) {
        int code = order_join(&end, ha, node, ++number);
        if (code != ZERO_DONE) {
            return code;
        }
        if (strcmp(end.end, "conflict") != 0) {
            break;
        }
    }
    return zero_ha_judge(ha, &end);
}

static int run_join(const zero_args_t *args)
{
    zero_ha_t ha;
    node_t node;
    const json_t *cluster = NULL;
    int code = read_node(&node, args);
    code = code == ZERO_DONE ? zero_ha_find(&ha, args) : code;
    code = code == ZERO_DONE ? zero_ha_cluster(&cluster, &ha) : code;
    if (code != ZERO_DONE) {
        return code;
    }
    const json_t *known = zero_ha_node(cluster, node.id);
    if (known) {
        return say_known(&ha, known, &node);
    }
    code = join(&ha, cluster, &node);
    if (code != ZERO_DONE) {
        return code;
    }
    return zero_ha_done(&ha,
                        "%s joins as %s at %s: start its daemon with zerod -j, and add it to "
                        "\"nodes\" in config.json of all nodes",
                        node.id, hap_map_role_names[node.role], node.address);
}

/* --- leave ------------------------------------------------------------------------------------ */

static int run_leave(const zero_args_t *args)
{
    zero_ha_t ha;
    zero_ha_end_t end;
    hap_diag_t diag;
    const char *id = zero_opt(args, "node");
    if (hap_grammar_route(hap_str(id), "-node", &diag, args->pool) != APR_SUCCESS) {
        return zero_fail(args->command, ZERO_USAGE, "%s", diag.why);
    }
    int code = zero_ha_find(&ha, args);
    code = code == ZERO_DONE
               ? zero_ha_order(&end, &ha, json_pack("{s:s, s:s}", "do", "node-remove", "node", id))
               : code;
    if (code != ZERO_DONE) {
        return code;
    }
    if (strcmp(end.end, "unchanged") == 0) {
        return zero_ha_unchanged(&ha, "there is no node %s", id);
    }
    code = zero_ha_judge(&ha, &end);
    if (code != ZERO_DONE) {
        return code;
    }
    return zero_ha_done(&ha, "%s has left: stop its daemon, and take it out of config.json", id);
}

/* --- the commands ----------------------------------------------------------------------------- */

static const char *const join_needed[] = {"node", "address", NULL};
static const char *const leave_needed[] = {"node", NULL};

static const zero_option_t join_options[] = {
    {"node", "ID", "its id, as in config.json"},
    {"address", "HOST:PORT", "where the other nodes reach it"},
    {"role", "ROLE", "voter, witness (never leads) or observer (has no vote) [voter]"},
    {"electable", "no", "a voter that is not to lead"},
    ZERO_HA_DOES,
    {NULL, NULL, NULL},
};

static const zero_option_t leave_options[] = {
    {"node", "ID", "the node that leaves"},
    ZERO_HA_DOES,
    {NULL, NULL, NULL},
};

const zero_command_t zero_ha_join_command = {
    .group = "ha",
    .name = "join",
    .operands = "",
    .options = join_options,
    .needed = join_needed,
    .summary = "take a node into a running cluster",
    .details = "The leader takes it in. Start its daemon there, with zerod -j and a config.json "
               "that has it\n"
               "among its nodes; it gets a vote when it has all that was agreed on.\n"
               "Nothing is changed when there is such a node already.\n",
    .run = run_join,
};

const zero_command_t zero_ha_leave_command = {
    .group = "ha",
    .name = "leave",
    .operands = "",
    .options = leave_options,
    .needed = leave_needed,
    .summary = "have a node leave a running cluster",
    .details =
        "It has no vote and gets no map any more. The node that leads cannot leave: hand the "
        "lead on\n"
        "with zero ha set-primary first.\n",
    .run = run_leave,
};
