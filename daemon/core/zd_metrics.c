/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the names and the spelling of what is measured. None of the labels' values needs escaping:
 * all are words of ours.
 */
#include "zd_health.h"

#include <stdarg.h>

#include <apr_strings.h>
#include <apr_tables.h>

enum { LINES = 64 /* about how many there are */ };

/* Lines, each a text. */
typedef apr_array_header_t lines_t;

static const char *const result_names[ZD_RESULT_COUNT] = {
#define RESULT_NAME(name, word) [ZD_RESULT_##name] = word,
    ZD_RESULTS(RESULT_NAME)
#undef RESULT_NAME
};

static const char *const script_names[ZD_RUN_COUNT] = {"restart-hal", "ensure-active",
                                                       "ensure-passive"};

static void add(lines_t *lines, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void add(lines_t *lines, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    APR_ARRAY_PUSH(lines, const char *) = apr_pvsprintf(lines->pool, fmt, args);
    va_end(args);
}

static void head(lines_t *lines, const char *name, const char *type, const char *help)
{
    add(lines, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void number(lines_t *lines, const char *name, const char *type, const char *help,
                   uint64_t value)
{
    head(lines, name, type, help);
    add(lines, "%s %" APR_UINT64_T_FMT "\n", name, value);
}

/* With three digits behind the point. */
static void seconds(lines_t *lines, const char *name, const char *labels, uint64_t ms)
{
    add(lines, "%s%s %" APR_UINT64_T_FMT ".%03u\n", name, labels, ms / 1000, (unsigned)(ms % 1000));
}

static void add_cluster(lines_t *lines, const zd_health_t *health)
{
    number(lines, "zerod_leads", "gauge", "Whether this node leads.", health->leads);
    number(lines, "zerod_term", "gauge", "The highest term that this node has heard of.",
           health->term);
    number(lines, "zerod_map_version", "gauge", "Version of the map that this node knows.",
           health->map ? health->map->version : 0);
    number(lines, "zerod_map_written", "gauge", "Version of the map on this node's disk.",
           health->written);
    if (health->leads) {
        number(lines, "zerod_peers_present", "gauge",
               "Other nodes that the leader hears; on the leader only.", health->present);
    }
}

static void add_replica(lines_t *lines, const zd_health_t *health)
{
    const zd_replica_t *replica = health->replica;
    if (!replica) {
        return;
    }
    head(lines, "zerod_replica_role", "gauge", "What this node's replica is: 1 for one role.");
    for (int i = 0; i < ZD_ROLE_COUNT; i++) {
        add(lines, "zerod_replica_role{role=\"%s\"} %d\n", zd_role_names[i],
            (int)replica->role == i);
    }
    number(lines, "zerod_replica_epoch", "gauge", "The last epoch that this node's replica had.",
           replica->epoch);
    head(lines, "zerod_lease_seconds_left", "gauge",
         "How long the lease of this node's replica holds without being renewed; 0: it has none.");
    seconds(lines, "zerod_lease_seconds_left", "", zd_replica_left_ms(replica, health->now_ms));
}

static void add_scripts(lines_t *lines, const zd_runs_t *runs, apr_pool_t *pool)
{
    head(lines, "zerod_script_runs_total", "counter", "Scripts that have ended on this node.");
    for (int i = 0; i < ZD_RUN_COUNT; i++) {
        for (int k = 0; k < ZD_RESULT_COUNT; k++) {
            add(lines,
                "zerod_script_runs_total{script=\"%s\",result=\"%s\"} %" APR_UINT64_T_FMT "\n",
                script_names[i], result_names[k], runs[i].n[k]);
        }
    }
    head(lines, "zerod_script_seconds_total", "counter", "How long those have run.");
    for (int i = 0; i < ZD_RUN_COUNT; i++) {
        seconds(lines, "zerod_script_seconds_total",
                apr_psprintf(pool, "{script=\"%s\"}", script_names[i]), runs[i].ms);
    }
}

static void add_orders(lines_t *lines, const uint64_t *orders)
{
    head(lines, "zerod_commands_total", "counter",
         "Commands that this node has brought to the log as the leader, by their end.");
    for (int i = 0; i <= ZD_END_COUNT; i++) {
        add(lines, "zerod_commands_total{end=\"%s\"} %" APR_UINT64_T_FMT "\n",
            i < ZD_END_COUNT ? zd_end_names[i] : "uncommitted", orders[i]);
    }
}

const char *zd_metrics(const zd_health_t *health, apr_pool_t *pool)
{
    const zd_counts_t *counts = &health->counts;
    lines_t *lines = apr_array_make(pool, LINES, sizeof(const char *));
    add_cluster(lines, health);
    add_replica(lines, health);
    add_scripts(lines, counts->runs, pool);
    number(lines, "zerod_elections_total", "counter", "Elections that this node has won.",
           counts->elections);
    add_orders(lines, counts->orders);
    number(lines, "zerod_beats_sent_total", "counter",
           "Beats that this node has sent to the leader, itself included.", counts->beats);
    number(lines, "zerod_refused_connections_total", "counter",
           "Connections that did not prove to be of another node.", counts->refused);
    number(lines, "process_resident_memory_bytes", "gauge", "Resident memory.",
           health->resident_bytes);
    head(lines, "process_start_time_seconds", "gauge", "When the daemon began, since 1970.");
    seconds(lines, "process_start_time_seconds", "", health->began_ms);
    return apr_array_pstrcat(pool, lines, '\0');
}
