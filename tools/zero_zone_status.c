/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns `zero zone status`: what the stores of a configuration's zones say of themselves. Does not
 * read records.
 */
#include "zero_zone.h"

#include <apr_strings.h>

#include "store/hapstore_stats.h"
#include "zero_json.h"

/** A node, and what came of asking it. */
typedef struct node_t {
    const char *name;
    bool up;
    char why[HAPSTORE_STATS_WHY_BYTES];
    hapstore_stats_t stats;
} node_t;

/** A zone, and what could be said of it. */
typedef struct report_t {
    const zero_zone_t *zone;
    const char *where;         /* FILE:LINE */
    hap_zone_keys_t *keys;     /* NULL: none, or `why` */
    hap_diag_t why;            /* when there is a key file */
    apr_array_header_t *nodes; /* node_t */
    int code;
} report_t;

static int worse(int a, int b)
{
    return a > b ? a : b;
}

/* --- asking ----------------------------------------------------------------------------------- */

static void ask_nodes(report_t *report)
{
    const hap_zone_spec_t *spec = &report->zone->spec;
    for (unsigned i = 0; i < spec->nodes_n; i++) {
        node_t *node = apr_array_push(report->nodes);
        *node = (node_t){.name = spec->nodes[i].name};
        node->up = hapstore_stats_ask(&node->stats, node->why, &spec->nodes[i],
                                      report->zone->policy.budget);
        report->code = worse(report->code, node->up ? ZERO_DONE : ZERO_REFUSED);
    }
}

static void read_keys(report_t *report, apr_pool_t *pool)
{
    if (report->zone->key) {
        report->code =
            worse(report->code, zero_zone_keys(&report->keys, report->zone, &report->why, pool));
    } else if (report->zone->spec.kind == HAP_ZONE_MEMCACHED) {
        report->code = worse(report->code, ZERO_REFUSED);
    }
}

static report_t look_at(const zero_zone_t *zone, apr_pool_t *pool)
{
    report_t report = {
        .zone = zone,
        .nodes = apr_array_make(pool, 2, sizeof(node_t)),
    };
    read_keys(&report, pool);
    ask_nodes(&report);
    return report;
}

/* --- text ------------------------------------------------------------------------------------- */

static const char *bytes_text(uint64_t bytes, apr_pool_t *pool)
{
    static const char units[] = "KMGT";
    int i = -1;
    while (bytes >= 10240 && units[i + 1]) {
        bytes /= 1024;
        i++;
    }
    const char unit[] = {i < 0 ? '\0' : units[i], '\0'};
    return apr_psprintf(pool, "%" APR_UINT64_T_FMT "%s", (apr_uint64_t)bytes, unit);
}

static const char *seconds_text(uint64_t seconds, apr_pool_t *pool)
{
    static const struct {
        uint64_t seconds;
        const char *name;
    } units[] = {{86400, "d"}, {3600, "h"}, {60, "m"}, {1, "s"}};
    size_t i = 0;
    while (i < sizeof(units) / sizeof(units[0]) - 1 && seconds < 2 * units[i].seconds) {
        i++;
    }
    return apr_psprintf(pool, "%" APR_UINT64_T_FMT " %s",
                        (apr_uint64_t)(seconds / units[i].seconds), units[i].name);
}

static const char *node_text(const node_t *node, apr_pool_t *pool)
{
    const hapstore_stats_t *stats = &node->stats;
    if (!node->up) {
        return apr_psprintf(pool, "    %s: down, %s\n", node->name, node->why);
    }
    return apr_psprintf(pool,
                        "    %s: up for %s, version %s, %" APR_UINT64_T_FMT
                        " items, %s of %s bytes, %" APR_UINT64_T_FMT " evictions\n",
                        node->name, seconds_text(stats->uptime_s, pool), stats->version,
                        (apr_uint64_t)stats->items, bytes_text(stats->bytes, pool),
                        bytes_text(stats->bytes_max, pool), (apr_uint64_t)stats->evictions);
}

static const char *keys_text(const report_t *report, apr_pool_t *pool)
{
    const zero_zone_t *zone = report->zone;
    if (!zone->key) {
        return zone->spec.kind == HAP_ZONE_SHM
                   ? "    no key file: a key is made at the start\n"
                   : "    no key file: the server does not start with this, add key=FILE\n";
    }
    if (!report->keys) {
        return apr_psprintf(pool, "    key file %s\n", report->why.why);
    }
    const char *text =
        apr_psprintf(pool, "    key file %s: seals with %s", zero_show(zone->key, pool),
                     hap_zone_key_id_text(hap_zone_keys_id(report->keys, 0), pool));
    for (unsigned i = 1; i < hap_zone_keys_count(report->keys); i++) {
        text = apr_pstrcat(pool, text, i == 1 ? ", opens " : " and ",
                           hap_zone_key_id_text(hap_zone_keys_id(report->keys, i), pool), " too",
                           NULL);
    }
    return apr_pstrcat(pool, text, "\n", NULL);
}

static const char *token_text(const zero_zone_t *zone, apr_pool_t *pool)
{
    if (!zone->token) {
        return "    no token file: SetHandler ha-zones does not serve it\n";
    }
    return apr_psprintf(pool, "    token file %s: given at %s:%d\n", zero_show(zone->token, pool),
                        zero_show(zone->token_conf, pool), zone->token_line);
}

static const char *text_of(const report_t *report, apr_pool_t *pool)
{
    const zero_zone_t *zone = report->zone;
    const char *kinds = hap_zone_kinds_text(zone->kinds);
    const char *text =
        apr_psprintf(pool, "%s: %s in %u memcached\n", zone->label, kinds, zone->spec.nodes_n);
    if (zone->spec.kind == HAP_ZONE_SHM) {
        text = apr_psprintf(pool,
                            "%s: %s in %s, which is memory of the server and cannot be read from "
                            "outside\n",
                            zone->label, kinds, hap_zone_spec_text(&zone->spec, pool));
    }
    text = apr_pstrcat(pool, text, keys_text(report, pool), token_text(zone, pool), NULL);
    for (int i = 0; i < report->nodes->nelts; i++) {
        text = apr_pstrcat(pool, text, node_text(&APR_ARRAY_IDX(report->nodes, i, node_t), pool),
                           NULL);
    }
    return text;
}

/* --- JSON ------------------------------------------------------------------------------------- */

static void node_json(zero_json_t *json, const node_t *node)
{
    zero_json_open(json, NULL, '{');
    zero_json_text(json, "node", node->name);
    zero_json_bool(json, "up", node->up);
    if (node->up) {
        zero_json_text(json, "version", node->stats.version);
        zero_json_number(json, "uptime_s", node->stats.uptime_s);
        zero_json_number(json, "items", node->stats.items);
        zero_json_number(json, "bytes", node->stats.bytes);
        zero_json_number(json, "bytes_max", node->stats.bytes_max);
        zero_json_number(json, "evictions", node->stats.evictions);
    } else {
        zero_json_text(json, "why", node->why);
    }
    zero_json_close(json, '}');
}

static void keys_json(zero_json_t *json, const report_t *report, apr_pool_t *pool)
{
    if (!report->zone->key) {
        return;
    }
    zero_json_open(json, "key", '{');
    zero_json_text(json, "file", report->zone->key);
    if (!report->keys) {
        zero_json_text(json, "why", report->why.why);
    }
    zero_json_open(json, "ids", '[');
    for (unsigned i = 0; report->keys && i < hap_zone_keys_count(report->keys); i++) {
        zero_json_text(json, NULL, hap_zone_key_id_text(hap_zone_keys_id(report->keys, i), pool));
    }
    zero_json_close(json, ']');
    zero_json_close(json, '}');
}

static void token_json(zero_json_t *json, const zero_zone_t *zone)
{
    if (!zone->token) {
        return;
    }
    zero_json_open(json, "token", '{');
    zero_json_text(json, "file", zone->token);
    zero_json_text(json, "conf", zone->token_conf);
    zero_json_number(json, "line", (uint64_t)zone->token_line);
    zero_json_close(json, '}');
}

static void report_json(zero_json_t *json, const report_t *report, apr_pool_t *pool)
{
    const zero_zone_t *zone = report->zone;
    zero_json_open(json, NULL, '{');
    zero_json_text(json, "app", zone->app);
    zero_json_text(json, "file", zone->file);
    zero_json_number(json, "line", (uint64_t)zone->line);
    zero_json_text(json, "zone", hap_zone_kinds_text(zone->kinds));
    zero_json_text(json, "store", hap_zone_spec_text(&zone->spec, pool));
    keys_json(json, report, pool);
    token_json(json, zone);
    zero_json_open(json, "nodes", '[');
    for (int i = 0; i < report->nodes->nelts; i++) {
        node_json(json, &APR_ARRAY_IDX(report->nodes, i, node_t));
    }
    zero_json_close(json, ']');
    zero_json_close(json, '}');
}

/* --- the command ------------------------------------------------------------------------------ */

static int report_file(zero_json_t *json, const char *path, const zero_args_t *args)
{
    apr_array_header_t *zones = NULL;
    int code = zero_zone_read(&zones, path, args);
    if (code == ZERO_DONE && zones->nelts == 0) {
        code = zero_fail(args->command, ZERO_REFUSED,
                         "%s: there is no HAZone in it, nor in what it includes",
                         zero_show(path, args->pool));
    }
    for (int i = 0; zones && i < zones->nelts; i++) {
        report_t report = look_at(&APR_ARRAY_IDX(zones, i, zero_zone_t), args->pool);
        code = worse(code, report.code);
        if (json) {
            report_json(json, &report, args->pool);
        } else {
            const char *text = text_of(&report, args->pool);
            code = worse(code, zero_print(args->command, hap_str(text)));
        }
    }
    return code;
}

static int run(const zero_args_t *args)
{
    int code = ZERO_DONE;
    zero_json_t *json = zero_opt(args, "json") ? zero_json_make(args->pool) : NULL;
    if (json) {
        zero_json_open(json, NULL, '{');
        zero_json_open(json, "zones", '[');
    }
    for (int i = 0; i < args->operand_count; i++) {
        code = worse(code, report_file(json, args->operands[i], args));
    }
    if (json) {
        zero_json_close(json, ']');
        zero_json_close(json, '}');
        code = worse(code, zero_print(args->command, hap_str(zero_json_done(json))));
    }
    return code;
}

static const zero_option_t options[] = {
    {"json", NULL, "say it in JSON"},
    {NULL, NULL, NULL},
};

const zero_command_t zero_zone_status_command = {
    .group = "zone",
    .name = "status",
    .operands = "FILE...",
    .min_operands = 1,
    .max_operands = -1,
    .options = options,
    .summary = "ask the stores of session zones how they are",
    .details =
        "Looks for HAZone in FILE, which is an httpd configuration or a merged file, and in what\n"
        "it includes, and asks each memcached that it names, as long as the zone's budget= "
        "allows.\n"
        "Says which keys the key file has, by their ids, which stand in records too, and where\n"
        "token= is given.\n"
        "Ends with 0 when all is well, with 1 when a node is down or what a file says is refused,\n"
        "with 2 for a wrong call, with 3 when a file cannot be read.\n",
    .run = run,
};
