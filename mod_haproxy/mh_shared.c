/* SPDX-License-Identifier: Apache-2.0 */
/* Owns mapping the shared segment and giving out its slots. Does not know what states mean. */
#include "config.h"

#include "mh_shared.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ap_mpm.h>
#include <apr_hash.h>
#include <apr_strings.h>
#include <http_log.h>

#include "mh_config.h"
#include "mh_log.h"

mh_shared_t *mh_shared;

/* Code of another version, loaded by a graceful restart, begins with memory of its own. */
static const char retained_key[] = "mod_haproxy-shared-" PACKAGE_VERSION;

/* What a graceful restart can keep alive beside the new children. */
enum { GENERATIONS = 2, SPARE_ROWS = 8 };

/* "app\0route" -> slot + 1, of this configuration. */
static apr_hash_t *slot_index;

static apr_status_t map_segment(mh_shared_t *shared, const hap_geometry_t *geometry)
{
    shared->size = hap_shared_size(geometry);
    shared->lock_fd = memfd_create("mod_haproxy", MFD_CLOEXEC);
    if (shared->lock_fd < 0) {
        return errno;
    }
    if (fchmod(shared->lock_fd, S_IRUSR | S_IWUSR) != 0 ||
        ftruncate(shared->lock_fd, (off_t)shared->size) != 0) {
        return errno;
    }
    shared->base = mmap(NULL, shared->size, PROT_READ | PROT_WRITE, MAP_SHARED, shared->lock_fd, 0);
    if (shared->base == MAP_FAILED) {
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

static void index_slots(const mh_shared_t *shared, apr_pool_t *p)
{
    slot_index = apr_hash_make(p);
    for (uint32_t i = 0; i < shared->view.geometry.slots; i++) {
        const mh_tenant_t *tenant = &shared->tenants[i];
        if (tenant->generation) {
            apr_ssize_t len;
            const char *key = name_key(tenant->app, tenant->route, &len, p);
            apr_hash_set(slot_index, key, len, (void *)(uintptr_t)(i + 1));
        }
    }
}

/* Another size needs another segment; children of the old configuration keep the old one. */
static void carry_over(const mh_shared_t *from, mh_shared_t *to)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < from->view.geometry.slots; i++) {
        const hap_slot_t *old = &from->view.slots[i];
        bool current = from->tenants[i].generation == from->generation;
        if (!current || n == to->view.geometry.slots) {
            continue;
        }
        hap_health_t health;
        hap_admin_word_t admin = hap_shared_admin_word(old);
        hap_shared_admin(&to->view, n, &admin);
        if (hap_shared_get_health(old, &health)) {
            hap_shared_put_health(&to->view, n, &health);
        }
        to->tenants[n] = from->tenants[i];
        /* Whether the new configuration names it still is to be seen. */
        to->tenants[n].generation = from->generation;
        n++;
    }
}

apr_status_t mh_shared_open(server_rec *s, unsigned max_members)
{
    int children = 0;
    apr_pool_t *forever = s->process->pool;
    mh_shared_t *old = NULL;
    apr_pool_userdata_get((void **)&old, retained_key, forever);
    ap_mpm_query(AP_MPMQ_HARD_LIMIT_DAEMONS, &children);
    hap_geometry_t geometry = {
        /* The next configuration may name other members while the last one's are still busy. */
        .slots = max_members * GENERATIONS,
        .balancers = max_members,
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
        mh_shared->tenants = apr_pcalloc(pool, geometry.slots * sizeof(*mh_shared->tenants));
        mh_shared->generation = old ? old->generation + 1 : 1;
        apr_status_t rv = map_segment(mh_shared, &geometry);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        if (old) {
            carry_over(old, mh_shared);
            atomic_store(&old->view.head->generation, mh_shared->generation);
            /* The lock goes with the last descriptor, the memory with the last mapping. */
            munmap(old->base, old->size);
            close(old->lock_fd);
            close(old->wake_fd);
            apr_pool_destroy(old->pool);
        }
        /* Copies the key: this string goes away with the module when it is loaded anew. */
        apr_pool_userdata_set(mh_shared, retained_key, NULL, forever);
    }
    atomic_store(&mh_shared->view.head->generation, mh_shared->generation);
    index_slots(mh_shared, s->process->pconf);
    return APR_SUCCESS;
}

void mh_shared_wake(void)
{
    uint64_t one = 1;
    if (write(mh_shared->wake_fd, &one, sizeof(one)) < 0) {
        /* Full means it is awake already. */
        return;
    }
}

/* Never used before anything else; else the one that was out of the configuration longest. */
static int free_slot(void)
{
    int best = -1;
    uint32_t best_generation = mh_shared->generation > 1 ? mh_shared->generation - 1 : 0;
    for (uint32_t i = 0; i < mh_shared->view.geometry.slots; i++) {
        uint32_t generation = mh_shared->tenants[i].generation;
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

int mh_shared_slot(const char *app, const char *route, hap_admin_t configured, bool *known)
{
    apr_pool_t *p = apr_hash_pool_get(slot_index);
    apr_ssize_t len;
    const char *key = name_key(app, route, &len, p);
    int i = (int)(uintptr_t)apr_hash_get(slot_index, key, len) - 1;
    *known = i >= 0;
    if (i < 0) {
        i = free_slot();
        if (i < 0) {
            return -1;
        }
        mh_tenant_t *tenant = &mh_shared->tenants[i];
        if (tenant->generation) {
            apr_ssize_t old_len;
            const char *old_key = name_key(tenant->app, tenant->route, &old_len, p);
            apr_hash_set(slot_index, old_key, old_len, NULL);
        }
        memset(&mh_shared->view.slots[i], 0, sizeof(hap_slot_t));
        hap_shared_flags(&mh_shared->view, (uint32_t)i, 0, ~0u);
        apr_cpystrn(tenant->app, app, sizeof(tenant->app));
        apr_cpystrn(tenant->route, route, sizeof(tenant->route));
        hap_admin_word_t admin = {configured, configured, HAP_SOURCE_CONFIG,
                                  apr_time_sec(apr_time_now())};
        hap_shared_admin(&mh_shared->view, (uint32_t)i, &admin);
        apr_hash_set(slot_index, key, len, (void *)(uintptr_t)(i + 1));
    }
    mh_shared->tenants[i].generation = mh_shared->generation;
    return i;
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
