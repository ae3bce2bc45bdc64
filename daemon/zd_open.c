/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns opening the daemon's parts with what each has to know of the others.
 */
#include "zd_daemon_int.h"

#include <stdlib.h>

#include <apr_strings.h>

#include "zd_log.h"
#include "zd_number.h"
#include "zd_plan.h"

/* The only node of a configuration that names none. */
static const hap_map_node_t alone = {.address = ZD_PLAN_ALONE};

static bool is_alone(const zd_daemon_t *self)
{
    return self->conf->tls == NULL;
}

const hap_map_node_t *zd_own_node(const zd_daemon_t *self)
{
    const zd_config_t *config = self->conf->config;
    return config->nodes_n ? &config->nodes[self->own] : &alone;
}

bool zd_is_observer(const zd_daemon_t *self)
{
    return zd_own_node(self)->role == HAP_MAP_OBSERVER;
}

static void accepted(void *baton, zd_net_use_t use, uint64_t number, const char *address,
                     uv_stream_t *stream)
{
    zd_daemon_t *self = baton;
    if (use == ZD_NET_RAFT && self->raft) {
        zd_raft_accept(self->raft, number, address, stream);
    } else if (use == ZD_NET_TALK && self->talk) {
        zd_talk_accept(self->talk, stream);
    } else {
        uv_close((uv_handle_t *)stream, (uv_close_cb)free);
    }
}

static bool open_net(zd_daemon_t *self, hap_diag_t *diag)
{
    const char *bind = self->conf->config->binds[self->own];
    const zd_net_conf_t conf = {
        .loop = &self->loop,
        .tls = self->conf->tls,
        .number = self->number,
        .address = zd_own_node(self)->address,
        .bind = bind ? bind : zd_own_node(self)->address,
        .accepted = accepted,
        .baton = self,
    };
    self->net = zd_net_open(&conf, diag);
    return self->net != NULL;
}

static bool open_talk(zd_daemon_t *self)
{
    const zd_config_t *config = self->conf->config;
    const char **addresses = apr_pcalloc(self->pool, config->nodes_n * sizeof(*addresses));
    zd_talk_conf_t conf = {
        .loop = &self->loop,
        .net = self->net,
        .addresses = addresses,
        .heard = zd_hear,
        .told = zd_hear_leader,
        .up = zd_hear_way,
        .baton = self,
    };
    for (unsigned i = 0; i < config->nodes_n; i++) {
        if ((int)i != self->own && config->nodes[i].role != HAP_MAP_OBSERVER) {
            addresses[conf.addresses_n++] = config->nodes[i].address;
        }
    }
    self->talk = zd_talk_open(&conf);
    return self->talk != NULL;
}

/* Who has a vote; numbers are places in the configuration, as zd_plan has them. */
bool zd_open_raft(zd_daemon_t *self, hap_diag_t *diag)
{
    const zd_config_t *config = self->conf->config;
    unsigned n = config->nodes_n ? config->nodes_n : 1;
    zd_peer_t *peers = apr_pcalloc(self->pool, n * sizeof(*peers));
    zd_raft_conf_t conf = {
        .loop = &self->loop,
        .dir = apr_pstrcat(self->pool, self->conf->dir, "/raft", NULL),
        .number = self->number,
        .address = zd_own_node(self)->address,
        .peers = peers,
        .election_ms = ZD_ELECTION_MS,
        .net = self->net,
        .joins = self->joins,
        .forced = self->conf->forced,
        .changed = zd_daemon_changed,
        .ended = zd_daemon_raft_ended,
        .broken = zd_daemon_raft_broken,
        .baton = self,
    };
    for (unsigned i = 0; i < n; i++) {
        const hap_map_node_t *node = config->nodes_n ? &config->nodes[i] : &alone;
        if (node->role != HAP_MAP_OBSERVER) {
            peers[conf.peers_n++] = (zd_peer_t){.number = i + 1, .address = node->address};
        }
    }
    return zd_raft_open(&self->raft, &conf, diag) == APR_SUCCESS;
}

static bool open_replica(zd_daemon_t *self, hap_diag_t *diag)
{
    const zd_config_t *config = self->conf->config;
    const char *dir = self->conf->dir;
    int replica = zd_config_replica(config, self->conf->id);
    const zd_service_conf_t service = {
        .loop = &self->loop,
        .config = config,
        .id = self->conf->id,
        .dir = dir,
        .ran = zd_daemon_ran,
        .baton = self,
    };
    const zd_times_t times = zd_times(config->timeout_ms);
    self->service = zd_service_open(&service);
    if (!self->service || replica < 0) {
        return self->service != NULL;
    }
    const zd_guard_conf_t guard = {
        .dir = dir,
        .ensure_passive = config->replicas[replica].ensure_passive,
        .env = zd_service_env(config, self->conf->id, dir, ZD_RUN_PASSIVE, 0, self->pool),
        .marks = zd_service_marks(dir, self->pool),
        .mark = zd_service_mark(dir, self->pool),
        .watchdog = config->watchdog,
        .watchdog_s = times.watchdog_s,
        .after_ms = times.timeout_ms - times.guard_ms,
        .before_ms = times.guard_ms - times.stop_ms,
    };
    self->guard = zd_guard_open(&guard, diag);
    return self->guard != NULL;
}

static bool open_core(zd_daemon_t *self)
{
    const zd_core_conf_t conf = {
        .config = self->conf->config,
        .id = self->conf->id,
        .client = self->run,
        .uuid = self->uuid,
        .first = self->conf->first,
        .primary = self->conf->primary,
        .election_ms = ZD_ELECTION_MS,
        .left = self->guard ? *zd_guard_left(self->guard) : (zd_left_t){.home = ""},
        .drivers = &zd_daemon_drivers,
        .baton = self,
    };
    self->core = zd_core_make(&conf, zd_now_ms());
    return self->core != NULL;
}

/* Two votes survive nothing: without a third one nobody takes over from a host that is lost. */
static void warn_of_two(const zd_daemon_t *self)
{
    const zd_config_t *config = self->conf->config;
    unsigned votes = 0;
    for (unsigned i = 0; i < config->nodes_n; i++) {
        votes += config->nodes[i].role != HAP_MAP_OBSERVER;
    }
    if (votes == 2 && !self->joins) {
        zd_log(
            "two nodes have a vote, and no third one: when one is lost, the other one takes over "
            "by \"zero ha force\" only. Add a witness on another host, see doc/two-hosts.md");
    }
}

bool zd_open_parts(zd_daemon_t *self)
{
    hap_diag_t diag = {0, "no memory"};
    const zd_config_t *config = self->conf->config;
    const char *path = apr_pstrcat(self->pool, self->conf->dir, "/control.sock", NULL);
    const char *copy = config->nodes_n ? config->maps[self->own] : NULL;
    self->map = zd_mapfile_open(self->conf->dir, copy, self->pool);
    zd_daemon_learn_uuid(self, zd_mapfile_uuid(self->map));
    if (!zd_number_read(&self->number, self->conf->dir, &diag, self->pool)) {
        zd_log("%s", diag.why);
        return false;
    }
    self->joins = self->conf->joins || self->number;
    if (!self->joins && !zd_is_observer(self)) {
        self->number = (uint64_t)self->own + 1;
    }
    bool observes = self->number == 0;
    bool good = open_replica(self, &diag) && open_core(self) &&
                (is_alone(self) || (open_net(self, &diag) && open_talk(self))) &&
                (observes || zd_open_raft(self, &diag)) &&
                zd_control_open(&self->control, &self->loop, path, zd_ask, self, &diag) == 0 &&
                zd_show_open(self, &diag);
    if (!good) {
        zd_log("%s", diag.why);
        return false;
    }
    if (observes) {
        zd_talk_call(self->talk, NULL);
    }
    warn_of_two(self);
    return true;
}
