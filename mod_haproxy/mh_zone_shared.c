/* SPDX-License-Identifier: Apache-2.0 */
/* Owns mapping that memory, and who has which part of it. */
#include "config.h"

#include "mh_zone_shared.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include <apr_strings.h>
#include <openssl/rand.h>

#include "mh_memory.h"

/** A part that somebody has. Parent's own memory, where no child can write. */
typedef struct tenant_t {
    const char *name; /* NULL: nobody */
    uint32_t first;   /* of its places */
} tenant_t;

/** Records of one application. */
typedef struct records_t {
    struct records_t *next;
    const char *app;
    uint64_t bytes;
    void *base;
} records_t;

/** The part of the memory that is not the table. Shared. */
typedef struct shared_part_t {
    mh_zone_counts_t counts[MH_ZONE_APPS_MAX];
    hapstore_breaker_t breakers[MH_ZONE_NODES_MAX];
} shared_part_t;

/** What the parent keeps over restarts. */
typedef struct retained_t {
    apr_pool_t *pool;
    shared_part_t *shared;
    hap_zone_table_t *table;
    uint32_t sessions; /* of table */
    tenant_t apps[MH_ZONE_APPS_MAX];
    tenant_t lists[MH_ZONE_NODES_MAX]; /* of nodes, as they are written */
    uint32_t nodes_n;                  /* breakers that are given out */
    records_t *records;
    unsigned char key[HAP_ZONE_KEY_BYTES];
} retained_t;

static retained_t *retained;

const char *const mh_zone_count_names[MH_ZONE_COUNTS_N] = {
#define MH_ZONE_COUNT(id, name) [MH_ZONE_##id] = #name,
    MH_ZONE_COUNTS(MH_ZONE_COUNT)
#undef MH_ZONE_COUNT
};

/* NULL with errno. */
static void *map(size_t size)
{
    int fd;
    void *base = mh_memory_map("mod_haproxy_zones", size, &fd);
    if (base) {
        close(fd);
    }
    return base;
}

/* Code of another layout, loaded by a graceful restart, begins with memory of its own. */
static const char *retained_key(apr_pool_t *p)
{
    return apr_psprintf(p, "mod_haproxy-zones-" PACKAGE_VERSION "-%u-%u",
                        (unsigned)sizeof(retained_t), (unsigned)sizeof(shared_part_t));
}

static apr_status_t make(server_rec *s)
{
    apr_pool_t *pool;
    apr_pool_create(&pool, s->process->pool);
    apr_pool_tag(pool, "mod_haproxy_zones");
    retained_t *made = apr_pcalloc(pool, sizeof(*made));
    made->pool = pool;
    made->shared = map(sizeof(*made->shared));
    if (!made->shared) {
        return errno;
    }
    if (RAND_bytes(made->key, sizeof(made->key)) != 1) {
        return APR_EGENERAL;
    }
    retained = made;
    /* Copies the key: this string goes away with the module when it is loaded anew. */
    return apr_pool_userdata_set(made, retained_key(s->process->pconf), NULL, s->process->pool);
}

/* Old children go on with the old one: what they learn is lost to new ones, who ask the store. */
static apr_status_t make_table(uint32_t sessions)
{
    hap_zone_table_t *table = map(hap_zone_table_size(sessions));
    if (!table) {
        return errno;
    }
    if (retained->table) {
        munmap(retained->table, hap_zone_table_size(retained->sessions));
    }
    hap_zone_table_init(table, sessions);
    retained->table = table;
    retained->sessions = sessions;
    return APR_SUCCESS;
}

apr_status_t mh_zone_shared_open(server_rec *s, uint32_t sessions)
{
    apr_status_t rv = APR_SUCCESS;
    retained = NULL;
    apr_pool_userdata_get((void **)&retained, retained_key(s->process->pconf), s->process->pool);
    if (!retained) {
        rv = make(s);
    }
    if (rv == APR_SUCCESS && retained->sessions != sessions) {
        rv = make_table(sessions);
    }
    return rv;
}

hap_zone_table_t *mh_zone_shared_table(void)
{
    return retained->table;
}

const unsigned char *mh_zone_shared_key(void)
{
    return retained->key;
}

/* The one of this name, or the first that nobody has; NULL when there is none. */
static tenant_t *find_tenant(tenant_t *tenants, unsigned n, const char *name)
{
    for (unsigned i = 0; i < n; i++) {
        if (!tenants[i].name || strcmp(tenants[i].name, name) == 0) {
            return &tenants[i];
        }
    }
    return NULL;
}

mh_zone_counts_t *mh_zone_shared_counts(const char *app)
{
    tenant_t *tenant = find_tenant(retained->apps, MH_ZONE_APPS_MAX, app);
    if (!tenant) {
        return NULL;
    }
    if (!tenant->name) {
        tenant->name = apr_pstrdup(retained->pool, app);
    }
    return &retained->shared->counts[tenant - retained->apps];
}

hapstore_breaker_t *mh_zone_shared_breakers(const hap_zone_spec_t *spec, const char *text)
{
    tenant_t *tenant = find_tenant(retained->lists, MH_ZONE_NODES_MAX, text);
    if (!tenant) {
        return NULL;
    }
    if (!tenant->name) {
        unsigned n = spec->nodes_n ? spec->nodes_n : 1;
        if (retained->nodes_n + n > MH_ZONE_NODES_MAX) {
            return NULL;
        }
        tenant->name = apr_pstrdup(retained->pool, text);
        tenant->first = retained->nodes_n;
        retained->nodes_n += n;
    }
    return &retained->shared->breakers[tenant->first];
}

static records_t *find_records(const char *app)
{
    records_t *records = retained->records;
    while (records && strcmp(records->app, app) != 0) {
        records = records->next;
    }
    return records;
}

uint64_t mh_zone_shared_records_bytes(const char *app)
{
    const records_t *records = find_records(app);
    return records ? records->bytes : 0;
}

void *mh_zone_shared_records(const char *app, uint64_t bytes)
{
    records_t *records = find_records(app);
    if (records && records->bytes == bytes) {
        return records->base;
    }
    void *base = map(hapstore_shm_size(bytes));
    apr_status_t rv = base ? hapstore_shm_init(base, bytes) : errno;
    if (rv != APR_SUCCESS) {
        if (base) {
            munmap(base, hapstore_shm_size(bytes));
        }
        errno = rv;
        return NULL;
    }
    if (!records) {
        records = apr_pcalloc(retained->pool, sizeof(*records));
        records->app = apr_pstrdup(retained->pool, app);
        records->next = retained->records;
        retained->records = records;
    } else {
        munmap(records->base, hapstore_shm_size(records->bytes));
    }
    records->base = base;
    records->bytes = bytes;
    return base;
}
