/* SPDX-License-Identifier: Apache-2.0 */
/* Owns asking httpd for a virtual host, without a connection of httpd's. */
#include "mh_lane_hosts.h"

#include <apr_hash.h>
#include <apr_strings.h>
#include <apr_thread_mutex.h>
#include <http_core.h>
#include <http_main.h>
#include <http_protocol.h>
#include <http_vhost.h>

#include "mh_record.h"

enum {
    HOSTS_MAX = 1024, /* values of Host that are remembered at once */
    NAME_BYTES = 256  /* of such a value */
};

struct mh_place_t {
    server_rec *base;
    void *vhosts;    /* conn_rec.vhost_lookup_data */
    apr_port_t port; /* of this server: that of the virtual hosts, whatever their ServerName says */
    bool has_sites;
    uint32_t number;
    mh_place_t *next;
};

struct mh_hosts_t {
    apr_pool_t *pool;    /* cleared when there are too many */
    apr_pool_t *scratch; /* cleared for each lookup */
    apr_hash_t *found;   /* place number and Host -> mh_host_t * */
};

static struct {
    apr_thread_mutex_t *lock; /* guards the rest */
    mh_place_t *first;
    uint32_t n;
} places;

void mh_places_start(apr_pool_t *p)
{
    apr_thread_mutex_create(&places.lock, APR_THREAD_MUTEX_DEFAULT, p);
}

static bool has_port(const server_rec *s, apr_port_t port)
{
    const server_addr_rec *addr = s->addrs;
    while (addr && addr->host_port != 0 && addr->host_port != port) {
        addr = addr->next;
    }
    return addr != NULL;
}

/* Which virtual hosts an address has is the core's secret; some of them may be another address's of
 * the same port. */
static bool has_sites(const conn_rec *c)
{
    if (mh_site_of(c->base_server)) {
        return true;
    }
    for (const server_rec *s = ap_server_conf; c->vhost_lookup_data && s; s = s->next) {
        if (s->is_virtual && mh_site_of(s) && has_port(s, c->local_addr->port)) {
            return true;
        }
    }
    return false;
}

/* They are few: one for each address and port that virtual hosts are defined for. */
const mh_place_t *mh_place_of(const conn_rec *c)
{
    apr_thread_mutex_lock(places.lock);
    mh_place_t *place = places.first;
    while (place && (place->base != c->base_server || place->vhosts != c->vhost_lookup_data ||
                     place->port != c->local_addr->port)) {
        place = place->next;
    }
    if (!place && (place = malloc(sizeof(*place)))) {
        *place = (mh_place_t){
            .base = c->base_server,
            .vhosts = c->vhost_lookup_data,
            .port = c->local_addr->port,
            .has_sites = has_sites(c),
            .number = places.n++,
            .next = places.first,
        };
        places.first = place;
    }
    apr_thread_mutex_unlock(places.lock);
    return place;
}

bool mh_place_has_sites(const mh_place_t *place)
{
    return place->has_sites;
}

mh_hosts_t *mh_hosts_create(apr_pool_t *p)
{
    mh_hosts_t *hosts = apr_palloc(p, sizeof(*hosts));
    apr_pool_create(&hosts->pool, p);
    apr_pool_create(&hosts->scratch, p);
    hosts->found = apr_hash_make(hosts->pool);
    return hosts;
}

/* httpd chooses the virtual host, for a request that has nothing but this Host. */
static mh_host_t look_up(const mh_place_t *place, const char *name, apr_pool_t *p)
{
    mh_host_t host = {0};
    conn_rec *c = mh_record_connection(place->base, "127.0.0.1", p);
    c->vhost_lookup_data = place->vhosts;
    c->local_addr->port = place->port;
    request_rec *r = mh_record_request(c, place->base);
    r->uri = apr_pstrdup(p, "/");
    r->proto_num = HTTP_VERSION(1, 1);
    apr_table_setn(r->headers_in, "Host", name);
    ap_update_vhost_from_headers(r);
    if (r->status != HTTP_OK) {
        return host;
    }
    r->per_dir_config = r->server->lookup_defaults;
    host.site = mh_site_of(r->server);
    host.self = hap_str(ap_construct_url(p, "", r));
    return host;
}

static mh_host_t *remember(mh_hosts_t *hosts, const mh_host_t *found, const char *key,
                           apr_ssize_t key_n)
{
    apr_pool_t *p = hosts->pool;
    mh_host_t *host = apr_palloc(p, sizeof(*host));
    *host = (mh_host_t){.site = found->site, .self = hap_str(hap_str_dup(found->self, p))};
    apr_hash_set(hosts->found, apr_pmemdup(p, key, (apr_size_t)key_n), key_n, host);
    return host;
}

const mh_host_t *mh_hosts_find(mh_hosts_t *hosts, const mh_place_t *place, hap_str_t name)
{
    char key[sizeof(uint32_t) + NAME_BYTES];
    if (name.n > NAME_BYTES) {
        return NULL;
    }
    memcpy(key, &place->number, sizeof(uint32_t));
    memcpy(key + sizeof(uint32_t), name.p, name.n);
    apr_ssize_t key_n = (apr_ssize_t)(sizeof(uint32_t) + name.n);
    mh_host_t *host = apr_hash_get(hosts->found, key, key_n);
    if (host) {
        return host;
    }
    if (apr_hash_count(hosts->found) == HOSTS_MAX) {
        apr_pool_clear(hosts->pool);
        hosts->found = apr_hash_make(hosts->pool);
    }
    apr_pool_clear(hosts->scratch);
    mh_host_t found = look_up(place, hap_str_dup(name, hosts->scratch), hosts->scratch);
    return remember(hosts, &found, key, key_n);
}
