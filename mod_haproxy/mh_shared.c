/* SPDX-License-Identifier: Apache-2.0 */
/* Owns mapping the shared segment and giving out places in it. Does not know what states mean. */
#include "config.h"

#include "mh_shared.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <ap_mpm.h>
#include <apr_strings.h>
#include <http_log.h>

#include "hap_budget.h"
#include "lane/ml_loop.h"
#include "mh_config.h"
#include "mh_log.h"
#include "mh_memory.h"

mh_shared_t *mh_shared;

/*
 * Another size needs another segment: this is the one before, until what it says of members and
 * balancers has been carried over. Children of the old configuration keep it.
 */
static mh_shared_t *last;

/*
 * Code of another version, or of another layout, loaded by a graceful restart, begins with memory
 * of its own.
 */
static const char *retained_key(apr_pool_t *p)
{
    return apr_psprintf(p, "mod_haproxy-shared-" PACKAGE_VERSION "-%u-%u-%u-%u",
                        (unsigned)sizeof(mh_shared_t), (unsigned)sizeof(mh_tenant_t),
                        (unsigned)sizeof(hap_slot_t), (unsigned)sizeof(hap_balancer_t));
}

/* What a graceful restart can keep alive beside the new children. */
enum { GENERATIONS = 2, SPARE_ROWS = 8 };

static apr_status_t map_segment(mh_shared_t *shared, const hap_geometry_t *geometry)
{
    shared->size = hap_shared_size(geometry);
    shared->base = mh_memory_map("mod_haproxy", shared->size, &shared->lock_fd);
    if (!shared->base) {
        return errno;
    }
    shared->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (shared->wake_fd < 0) {
        return errno;
    }
    hap_shared_view(&shared->view, geometry, shared->base);
    return APR_SUCCESS;
}

static const char *name_key(const char *app, const char *route, apr_ssize_t *len, apr_pool_t *p)
{
    size_t app_n = strlen(app);
    size_t route_n = strlen(route);
    char *key = apr_pcalloc(p, app_n + route_n + 2);
    memcpy(key, app, app_n);
    memcpy(key + app_n + 1, route, route_n);
    *len = (apr_ssize_t)(app_n + route_n + 1);
    return key;
}

static void set_index(const mh_tenants_t *tenants, const mh_tenant_t *tenant, uint32_t place)
{
    apr_ssize_t len;
    apr_pool_t *p = apr_hash_pool_get(tenants->index);
    const char *key = name_key(tenant->app, tenant->route, &len, p);
    apr_hash_set(tenants->index, key, len, (void *)(uintptr_t)place);
}

static void index_tenants(mh_tenants_t *tenants, apr_pool_t *p)
{
    tenants->index = apr_hash_make(p);
    for (uint32_t i = 0; i < tenants->n; i++) {
        if (tenants->at[i].generation) {
            set_index(tenants, &tenants->at[i], i + 1);
        }
    }
}

static void make_tenants(mh_tenants_t *tenants, uint32_t n, apr_pool_t *p)
{
    *tenants = (mh_tenants_t){.at = apr_pcalloc(p, n * sizeof(*tenants->at)), .n = n};
}

apr_status_t mh_shared_open(server_rec *s, unsigned max_members)
{
    int children = 0;
    apr_pool_t *forever = s->process->pool;
    mh_shared_t *old = NULL;
    apr_pool_userdata_get((void **)&old, retained_key(s->process->pconf), forever);
    ap_mpm_query(AP_MPMQ_HARD_LIMIT_DAEMONS, &children);
    hap_geometry_t geometry = {
        /* The next configuration may name other members while the last one's are still busy. */
        .slots = max_members * GENERATIONS + max_members,
        .guests = max_members,
        /* Each has a member at least. */
        .balancers = max_members * GENERATIONS,
        .rows = (uint32_t)children * GENERATIONS + SPARE_ROWS,
    };
    if (old && memcmp(&old->view.geometry, &geometry, sizeof(geometry)) == 0) {
        mh_shared = old;
        mh_shared->generation++;
    } else {
        apr_pool_t *pool;
        apr_pool_create(&pool, forever);
        apr_pool_tag(pool, "mod_haproxy_shared");
        mh_shared = apr_pcalloc(pool, sizeof(*mh_shared));
        mh_shared->pool = pool;
        make_tenants(&mh_shared->members, geometry.slots - geometry.guests, pool);
        make_tenants(&mh_shared->balancers, geometry.balancers, pool);
        mh_shared->generation = old ? old->generation + 1 : 1;
        apr_status_t rv = map_segment(mh_shared, &geometry);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        if (old) {
            atomic_store(&old->view.head->generation, mh_shared->generation);
            index_tenants(&old->members, s->process->pconf);
            index_tenants(&old->balancers, s->process->pconf);
            last = old;
        }
        /* Copies the key: this string goes away with the module when it is loaded anew. */
        apr_pool_userdata_set(mh_shared, retained_key(s->process->pconf), NULL, forever);
    }
    atomic_store(&mh_shared->view.head->generation, mh_shared->generation);
    index_tenants(&mh_shared->members, s->process->pconf);
    index_tenants(&mh_shared->balancers, s->process->pconf);
    return APR_SUCCESS;
}

void mh_shared_wake(void)
{
    ml_eventfd_wake(mh_shared->wake_fd);
}

/* Never used before anything else; else the one that was out of the configuration longest. */
static int free_place(const mh_tenants_t *tenants)
{
    int best = -1;
    uint32_t best_generation = mh_shared->generation > 1 ? mh_shared->generation - 1 : 0;
    for (uint32_t i = 0; i < tenants->n; i++) {
        uint32_t generation = tenants->at[i].generation;
        if (generation == 0) {
            return (int)i;
        }
        if (generation < best_generation) {
            best = (int)i;
            best_generation = generation;
        }
    }
    return best;
}

static int place_of(const mh_tenants_t *tenants, const char *app, const char *route)
{
    apr_ssize_t len;
    const char *key = name_key(app, route, &len, apr_hash_pool_get(tenants->index));
    return (int)(uintptr_t)apr_hash_get(tenants->index, key, len) - 1;
}

/* The place that this one has had, or a free one, which is `fresh` then; -1 when none is. */
static int take_place(const mh_tenants_t *tenants, const char *app, const char *route, bool *fresh)
{
    int place = place_of(tenants, app, route);
    *fresh = place < 0;
    if (*fresh) {
        place = free_place(tenants);
    }
    if (place < 0) {
        return -1;
    }
    mh_tenant_t *tenant = &tenants->at[place];
    if (*fresh && tenant->generation) {
        set_index(tenants, tenant, 0);
    }
    if (*fresh) {
        apr_cpystrn(tenant->app, app, sizeof(tenant->app));
        apr_cpystrn(tenant->route, route, sizeof(tenant->route));
        set_index(tenants, tenant, (uint32_t)place + 1);
    }
    tenant->generation = mh_shared->generation;
    return place;
}

static void carry_slot(uint32_t i, uint32_t old)
{
    const hap_slot_t *slot = &last->view.slots[old];
    hap_health_t health;
    hap_admin_word_t admin = hap_shared_admin_word(slot);
    hap_shared_admin(&mh_shared->view, i, &admin);
    if (hap_shared_get_health(slot, &health)) {
        hap_shared_put_health(&mh_shared->view, i, &health);
    }
}

static void carry_balancer(uint32_t i, uint32_t old)
{
    hap_balancer_t *balancer = &mh_shared->view.balancers[i];
    atomic_store(&balancer->turn, atomic_load(&last->view.balancers[old].turn));
    hap_budget_copy(balancer, &last->view.balancers[old]);
}

int mh_shared_slot(const char *app, const char *route, hap_admin_t configured)
{
    bool fresh;
    int i = take_place(&mh_shared->members, app, route, &fresh);
    if (i < 0 || !fresh) {
        return i;
    }
    memset(&mh_shared->view.slots[i], 0, sizeof(hap_slot_t));
    hap_shared_flags(&mh_shared->view, (uint32_t)i, 0, ~0u);
    int old = last ? place_of(&last->members, app, route) : -1;
    if (old >= 0) {
        carry_slot((uint32_t)i, (uint32_t)old);
        return i;
    }
    hap_admin_word_t admin = {configured, configured, HAP_SOURCE_CONFIG,
                              apr_time_sec(apr_time_now())};
    hap_shared_admin(&mh_shared->view, (uint32_t)i, &admin);
    return i;
}

int mh_shared_balancer(const char *app)
{
    bool fresh;
    int i = take_place(&mh_shared->balancers, app, "", &fresh);
    if (i < 0 || !fresh) {
        return i;
    }
    int old = last ? place_of(&last->balancers, app, "") : -1;
    if (old >= 0) {
        carry_balancer((uint32_t)i, (uint32_t)old);
        return i;
    }
    atomic_store(&mh_shared->view.balancers[i].turn, 0);
    hap_budget_init(&mh_shared->view.balancers[i], 0);
    return i;
}

/* What the new configuration does not name goes where there is room: the next one may name it. */
static void carry_rest(const mh_tenants_t *from, mh_tenants_t *to,
                       void (*carry)(uint32_t, uint32_t))
{
    uint32_t free = 0;
    for (uint32_t old = 0; old < from->n; old++) {
        const mh_tenant_t *tenant = &from->at[old];
        bool current = tenant->generation == last->generation;
        if (!current || place_of(to, tenant->app, tenant->route) >= 0) {
            continue;
        }
        while (free < to->n && to->at[free].generation) {
            free++;
        }
        if (free == to->n) {
            return;
        }
        carry(free, old);
        to->at[free] = *tenant;
    }
}

void mh_shared_settled(void)
{
    if (!last) {
        return;
    }
    carry_rest(&last->members, &mh_shared->members, carry_slot);
    carry_rest(&last->balancers, &mh_shared->balancers, carry_balancer);
    /* The lock goes with the last descriptor, the memory with the last mapping. */
    munmap(last->base, last->size);
    close(last->lock_fd);
    close(last->wake_fd);
    apr_pool_destroy(last->pool);
    last = NULL;
}

/*
 * A record lock of fcntl belongs to the process and goes with it, however it ends; it is not
 * inherited over fork, so every child can ask for it on the descriptor they all inherit.
 */
static bool record_lock(short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
    return fcntl(mh_shared->lock_fd, F_SETLK, &lock) == 0;
}

bool mh_shared_lock(void)
{
    return record_lock(F_WRLCK);
}

void mh_shared_unlock(void)
{
    record_lock(F_UNLCK);
}
