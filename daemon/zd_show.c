/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what the daemon shows at its HTTP address: looks at its parts when it is asked. What is made
 * of that is in zd_health.
 */
#include "zd_daemon_int.h"

#include <string.h>

#include "zd_health.h"

/* Other nodes that the leader has heard of lately. */
static unsigned count_present(const zd_daemon_t *self, uint64_t now)
{
    const zd_roll_t *roll = zd_core_roll(self->core);
    unsigned n = 0;
    for (unsigned i = 0; i < roll->n; i++) {
        const char *node = roll->nodes[i].node;
        n += strcmp(node, self->conf->id) != 0 && zd_roll_present(roll, node, now);
    }
    return n;
}

static zd_counts_t counts_of(const zd_daemon_t *self)
{
    static const uint64_t none[ZD_END_COUNT + 1];
    return (zd_counts_t){
        .runs = zd_service_runs(self->service),
        .orders = self->raft ? zd_raft_ends(self->raft) : none,
        .elections = zd_core_elections(self->core),
        .beats = zd_core_beats(self->core),
        .refused = self->net ? zd_net_refused(self->net) : 0,
    };
}

static void show(void *baton, zd_page_t *page, hap_str_t path, apr_pool_t *pool)
{
    const zd_daemon_t *self = baton;
    size_t resident = 0;
    uint64_t now = zd_now_ms();
    uv_resident_set_memory(&resident);
    const zd_health_t health = {
        .config = self->conf->config,
        .id = self->conf->id,
        .now_ms = now,
        .leads = zd_core_leads(self->core, now),
        .term = zd_core_term(self->core),
        .leader = zd_core_follows(self->core, now),
        .present = count_present(self, now),
        .map = zd_mapfile_map(self->map),
        .written = zd_mapfile_version(self->map),
        .replica = zd_core_replica(self->core),
        .counts = counts_of(self),
        .resident_bytes = resident,
        .began_ms = self->begun_ms,
    };
    zd_health_page(page, &health, path, pool);
}

bool zd_show_open(zd_daemon_t *self, hap_diag_t *diag)
{
    const zd_config_t *config = self->conf->config;
    const char *address = config->nodes_n ? config->https[self->own] : NULL;
    if (!address) {
        return true;
    }
    self->http = zd_http_open(&self->loop, address, show, self, diag);
    return self->http != NULL;
}
