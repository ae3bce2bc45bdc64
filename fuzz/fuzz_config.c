/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target of config.json: what is taken keeps the limits that the daemon relies on, and what is
 * refused is explained, by a line that there is.
 */
#include <string.h>

#include "fuzz.h"
#include "zd_config.h"

static bool is_within(unsigned number, unsigned least, unsigned most)
{
    return number >= least && number <= most;
}

static bool is_command(zd_argv_t argv)
{
    return argv && argv[0] && argv[0][0];
}

static void check_replica(const zd_config_t *config, unsigned i)
{
    const zd_replica_conf_t *replica = &config->replicas[i];
    must(zd_config_replica(config, replica->id) == (int)i);
    must(zd_config_route(config, replica->route) == (int)i);
    must(config->nodes_n == 0 || zd_config_node(config, hap_str(replica->id)) == (int)i);
    must(is_command(replica->ensure_active) && is_command(replica->ensure_passive));
    must(!replica->restart || is_command(replica->restart));
}

static void check_node(const zd_config_t *config, unsigned i)
{
    const hap_map_node_t *node = &config->nodes[i];
    must(zd_config_node(config, hap_str(node->id)) == (int)i);
    must(node->address && node->address[0]);
    must(!node->electable || node->role == HAP_MAP_VOTER);
    must(!config->maps[i] || config->maps[i][0]);
}

static void check(const zd_config_t *config)
{
    hap_diag_t diag;
    must(config->app && is_within(config->replicas_n, 1, HAP_MAP_NODES_MAX));
    must(config->nodes_n <= HAP_MAP_NODES_MAX);
    must(config->nodes_n == 0 ? config->replicas_n == 1 : config->nodes_n >= config->replicas_n);
    must(config->nodes_n < 2 || config->secret_file);
    must(is_within(config->timeout_ms, ZD_TIMEOUT_MS_MIN, ZD_TIMEOUT_MS_MAX));
    must(is_within(config->script_ms, ZD_SCRIPT_MS_MIN, ZD_TIMEOUT_MS_MAX));
    must(is_within(config->retries, 1, ZD_RETRIES_MAX));
    must(!config->watchdog || config->timeout_ms >= ZD_WATCHDOG_TIMEOUT_MS_MIN);
    must(zd_config_may_run(config, false, &diag));
    for (unsigned i = 0; i < config->replicas_n; i++) {
        check_replica(config, i);
    }
    for (unsigned i = 0; i < config->nodes_n; i++) {
        check_node(config, i);
    }
}

static int count_lines(hap_str_t text)
{
    int n = 1;
    for (size_t i = 0; i < text.n; i++) {
        n += text.p[i] == '\n';
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *pool = fuzz_pool();
    const zd_config_t *config = NULL;
    hap_diag_t diag = {0, ""};
    hap_str_t text = fuzz_text(data, size);
    if (zd_config_parse(&config, text, &diag, pool) == APR_SUCCESS) {
        check(config);
    } else {
        must(!config && diag.why[0] && !strchr(diag.why, '\n'));
        must(diag.line >= 0 && diag.line <= count_lines(text));
    }
    apr_pool_destroy(pool);
    return 0;
}
