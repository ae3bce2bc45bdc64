/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns reading `store=` and `zone=`, and which node holds what. Does not look names up: a host is
 * what was written.
 */
#include "hap_zone_spec.h"

#include <apr_strings.h>

enum { HOST_BYTES_MAX = 253, PORT_MAX = 65535 };

/* --- sizes --- */

static const struct {
    char letter;
    unsigned shift;
} units[] = {{'G', 30}, {'M', 20}, {'K', 10}};

enum { UNITS = sizeof(units) / sizeof(units[0]) };

static bool size_read(uint64_t *bytes, hap_str_t text)
{
    unsigned long number;
    for (size_t i = 0; text.n > 0 && i < UNITS; i++) {
        if ((text.p[text.n - 1] & ~0x20) != units[i].letter) {
            continue;
        }
        if (!hap_str_uint(&number, hap_str_sub(text, 0, text.n - 1),
                          HAP_ZONE_SHM_BYTES_MAX >> units[i].shift)) {
            return false;
        }
        *bytes = (uint64_t)number << units[i].shift;
        return *bytes >= HAP_ZONE_SHM_BYTES_MIN;
    }
    return false;
}

static const char *size_text(uint64_t bytes, apr_pool_t *pool)
{
    unsigned i = 0;
    while (i < UNITS - 1 && bytes % (1ULL << units[i].shift) != 0) {
        i++;
    }
    return apr_psprintf(pool, "%" APR_UINT64_T_FMT "%c", (apr_uint64_t)bytes >> units[i].shift,
                        units[i].letter);
}

static apr_status_t parse_shm(hap_zone_spec_t *spec, hap_str_t size, hap_diag_t *diag,
                              apr_pool_t *pool)
{
    if (!size_read(&spec->shm_bytes, size)) {
        hap_diag_set(diag, 0, "\"%s\" is no size of shm: 1M to 64G, such as shm:64M",
                     hap_str_show(size, pool));
        return APR_EINVAL;
    }
    return APR_SUCCESS;
}

/* --- nodes --- */

static bool is_name_char(char c)
{
    char low = (char)(c | 0x20);
    return (low >= 'a' && low <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
}

static bool is_name(hap_str_t host)
{
    for (size_t i = 0; i < host.n; i++) {
        if (!is_name_char(host.p[i])) {
            return false;
        }
    }
    return host.n > 0 && host.p[0] != '-' && host.p[0] != '.';
}

static bool is_ipv6(hap_str_t host)
{
    unsigned colons = 0;
    for (size_t i = 0; i < host.n; i++) {
        char low = (char)(host.p[i] | 0x20);
        colons += host.p[i] == ':';
        if ((low < 'a' || low > 'f') && (host.p[i] < '0' || host.p[i] > ':') && host.p[i] != '.') {
            return false;
        }
    }
    return colons >= 2;
}

/* Cuts the host off, and leaves nothing or a colon and a port. */
static bool cut_host(hap_str_t *host, hap_str_t *rest, bool *ipv6)
{
    *ipv6 = rest->n > 0 && rest->p[0] == '[';
    size_t from = *ipv6 ? 1 : 0;
    size_t end = hap_str_find(*rest, *ipv6 ? ']' : ':', 0);
    if (*ipv6 && end == rest->n) {
        return false;
    }
    *host = hap_str_sub(*rest, from, end);
    *rest = hap_str_sub(*rest, end + from, rest->n);
    return host->n <= HOST_BYTES_MAX && (*ipv6 ? is_ipv6(*host) : is_name(*host));
}

static bool port_read(uint16_t *port, hap_str_t text)
{
    unsigned long number = HAP_ZONE_MEMCACHED_PORT;
    if (text.n > 0 &&
        (text.p[0] != ':' || !hap_str_uint(&number, hap_str_sub(text, 1, text.n), PORT_MAX))) {
        return false;
    }
    *port = (uint16_t)number;
    return number > 0;
}

static const char *lower_dup(hap_str_t text, apr_pool_t *pool)
{
    char *copy = hap_str_dup(text, pool);
    for (char *c = copy; *c; c++) {
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c | 0x20) : *c;
    }
    return copy;
}

static bool node_read(hap_zone_node_t *node, hap_str_t text, apr_pool_t *pool)
{
    hap_str_t host;
    bool ipv6;
    if (!cut_host(&host, &text, &ipv6) || !port_read(&node->port, text)) {
        return false;
    }
    node->host = lower_dup(host, pool);
    node->name = apr_psprintf(pool, ipv6 ? "[%s]:%u" : "%s:%u", node->host, (unsigned)node->port);
    return true;
}

static bool is_known(const hap_zone_spec_t *spec, const char *name)
{
    for (unsigned i = 0; i < spec->nodes_n; i++) {
        if (strcmp(spec->nodes[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static apr_status_t add_node(hap_zone_spec_t *spec, hap_str_t text, hap_diag_t *diag,
                             apr_pool_t *pool)
{
    hap_zone_node_t node;
    if (!node_read(&node, text, pool)) {
        hap_diag_set(diag, 0,
                     "\"%s\" is no memcached: write host, host:port, or [address]:port for IPv6",
                     hap_str_show(text, pool));
        return APR_EINVAL;
    }
    if (is_known(spec, node.name)) {
        hap_diag_set(diag, 0, "the memcached %s is there twice", node.name);
        return APR_EINVAL;
    }
    if (spec->nodes_n == HAP_ZONE_NODES_MAX) {
        hap_diag_set(diag, 0, "there are more than %d memcached", HAP_ZONE_NODES_MAX);
        return APR_EINVAL;
    }
    spec->nodes[spec->nodes_n++] = node;
    return APR_SUCCESS;
}

static apr_status_t parse_nodes(hap_zone_spec_t *spec, hap_str_t list, hap_diag_t *diag,
                                apr_pool_t *pool)
{
    for (size_t at = 0; at <= list.n;) {
        size_t end = hap_str_find(list, ',', at);
        apr_status_t rv = add_node(spec, hap_str_sub(list, at, end), diag, pool);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        at = end + 1;
    }
    return APR_SUCCESS;
}

/* --- store= --- */

apr_status_t hap_zone_spec_parse(hap_zone_spec_t *spec, hap_str_t text, hap_diag_t *diag,
                                 apr_pool_t *pool)
{
    static const hap_str_t memcached = {"memcached:", 10};
    static const hap_str_t shm = {"shm:", 4};
    hap_zone_spec_t read = {.kind = HAP_ZONE_SHM, .shm_bytes = HAP_ZONE_SHM_BYTES};
    apr_status_t rv = APR_SUCCESS;
    if (hap_str_starts(text, memcached)) {
        read.kind = HAP_ZONE_MEMCACHED;
        read.shm_bytes = 0;
        rv = parse_nodes(&read, hap_str_sub(text, memcached.n, text.n), diag, pool);
    } else if (hap_str_starts(text, shm)) {
        rv = parse_shm(&read, hap_str_sub(text, shm.n, text.n), diag, pool);
    } else if (!hap_str_eq(text, hap_str("shm"))) {
        hap_diag_set(diag, 0, "\"%s\" is no store: write shm, shm:SIZE or memcached:HOST:PORT,...",
                     hap_str_show(text, pool));
        rv = APR_EINVAL;
    }
    if (rv == APR_SUCCESS) {
        *spec = read;
    }
    return rv;
}

const char *hap_zone_spec_text(const hap_zone_spec_t *spec, apr_pool_t *pool)
{
    if (spec->kind == HAP_ZONE_SHM) {
        return apr_pstrcat(pool, "shm:", size_text(spec->shm_bytes, pool), NULL);
    }
    const char *text = "memcached:";
    for (unsigned i = 0; i < spec->nodes_n; i++) {
        text = apr_pstrcat(pool, text, i ? "," : "", spec->nodes[i].name, NULL);
    }
    return text;
}

/* --- zone= --- */

static unsigned kind_of(hap_str_t word)
{
    if (hap_str_eq_nocase(word, hap_str("USER"))) {
        return HAP_ZONE_USER;
    }
    return hap_str_eq_nocase(word, hap_str("STORAGE")) ? HAP_ZONE_STORAGE : 0;
}

apr_status_t hap_zone_kinds_parse(unsigned *kinds, hap_str_t text, hap_diag_t *diag)
{
    unsigned read = 0;
    for (size_t at = 0; at <= text.n;) {
        size_t end = hap_str_find(text, ',', at);
        unsigned kind = kind_of(hap_str_sub(text, at, end));
        if (kind == 0 || (read & kind)) {
            hap_diag_set(diag, 0, "a zone is USER, STORAGE or USER,STORAGE");
            return APR_EINVAL;
        }
        read |= kind;
        at = end + 1;
    }
    *kinds = read;
    return APR_SUCCESS;
}

const char *hap_zone_kinds_text(unsigned kinds)
{
    static const char *const texts[] = {"", "USER", "STORAGE", "USER,STORAGE"};
    return texts[kinds & (HAP_ZONE_USER | HAP_ZONE_STORAGE)];
}

/* --- placement --- */

/* Each pair of node and name draws a number of its own, so that who comes or goes changes no other
 * node's. */
static uint64_t draw(uint64_t node, uint64_t name)
{
    uint64_t z = node ^ (name * 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

/* Equal draws go by the nodes' names: an order that all proxies have. */
static bool is_before(const hap_zone_spec_t *spec, const uint64_t draws[HAP_ZONE_NODES_MAX],
                      unsigned a, unsigned b)
{
    if (draws[a] != draws[b]) {
        return draws[a] > draws[b];
    }
    return strcmp(spec->nodes[a].name, spec->nodes[b].name) < 0;
}

void hap_zone_placement(uint8_t order[HAP_ZONE_NODES_MAX], const hap_zone_spec_t *spec,
                        hap_str_t name)
{
    uint64_t draws[HAP_ZONE_NODES_MAX];
    uint64_t hash = hap_str_hash(name);
    for (unsigned i = 0; i < spec->nodes_n; i++) {
        unsigned at = i;
        draws[i] = draw(hap_str_hash(hap_str(spec->nodes[i].name)), hash);
        for (; at > 0 && is_before(spec, draws, i, order[at - 1]); at--) {
            order[at] = order[at - 1];
        }
        order[at] = (uint8_t)i;
    }
}
