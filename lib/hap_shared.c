/* SPDX-License-Identifier: Apache-2.0 */
/* Owns reading and writing the shared segment's records. Does not decide on states. */
#include "hap_shared.h"

const char *const hap_suspicion_names[HAP_SUSPICION_COUNT] = {
    [HAP_SUSPICION_NONE] = "",
    [HAP_SUSPICION_CONNECT] = "no connection",
    [HAP_SUSPICION_ERRORS] = "requests failed",
    [HAP_SUSPICION_TIMEOUT] = "request timed out",
    [HAP_SUSPICION_SILENCE] = "no answers",
};

enum { READ_TRIES = 64 };

static size_t round_up(size_t n)
{
    return (n + HAP_CACHE_LINE - 1) & ~(size_t)(HAP_CACHE_LINE - 1);
}

static size_t row_size(const hap_geometry_t *geometry)
{
    uint32_t counts = geometry->slots + geometry->balancers;
    return round_up(sizeof(hap_row_t) + sizeof(uint32_t) * counts);
}

/* Side by side and apart from what requests write: a pick finds them in its nearest cache. */
static size_t flags_size(const hap_geometry_t *geometry)
{
    return round_up(sizeof(uint32_t) * geometry->slots);
}

static size_t guests_size(const hap_geometry_t *geometry)
{
    return round_up(sizeof(hap_guest_t) * geometry->guests);
}

size_t hap_shared_size(const hap_geometry_t *geometry)
{
    return round_up(sizeof(hap_shared_head_t)) + flags_size(geometry) +
           sizeof(hap_slot_t) * geometry->slots + guests_size(geometry) +
           sizeof(hap_balancer_t) * geometry->balancers + row_size(geometry) * geometry->rows;
}

void hap_shared_view(hap_shared_t *view, const hap_geometry_t *geometry, void *base)
{
    char *at = base;
    view->geometry = *geometry;
    view->head = (void *)at;
    at += round_up(sizeof(hap_shared_head_t));
    view->flags = (void *)at;
    at += flags_size(geometry);
    view->slots = (void *)at;
    at += sizeof(hap_slot_t) * geometry->slots;
    view->guests = (void *)at;
    at += guests_size(geometry);
    view->balancers = (void *)at;
    at += sizeof(hap_balancer_t) * geometry->balancers;
    view->rows = at;
    view->row_size = row_size(geometry);
}

/* rows_used lives in the segment, so it is cut to what this process knows there to be. */
static uint32_t rows_used(const hap_shared_t *view)
{
    uint32_t used = atomic_load_explicit(&view->head->rows_used, memory_order_relaxed);
    return used < view->geometry.rows ? used : view->geometry.rows;
}

uint32_t hap_shared_sum(const hap_shared_t *view, uint32_t count)
{
    uint32_t sum = 0;
    uint32_t used = rows_used(view);
    for (uint32_t i = 0; i < used; i++) {
        const hap_row_t *row = hap_shared_row(view, i);
        sum += atomic_load_explicit(&row->count[count], memory_order_relaxed);
    }
    return sum;
}

hap_row_t *hap_shared_claim_row(const hap_shared_t *view, int32_t pid)
{
    for (uint32_t i = 0; i < view->geometry.rows; i++) {
        hap_row_t *row = hap_shared_row(view, i);
        int32_t nobody = 0;
        if (!atomic_compare_exchange_strong(&row->pid, &nobody, pid)) {
            continue;
        }
        uint32_t used = atomic_load(&view->head->rows_used);
        while (used < i + 1 &&
               !atomic_compare_exchange_weak(&view->head->rows_used, &used, i + 1)) {
        }
        return row;
    }
    return NULL;
}

void hap_shared_release_row(const hap_shared_t *view, int32_t pid)
{
    for (uint32_t i = 0; i < view->geometry.rows; i++) {
        hap_row_t *row = hap_shared_row(view, i);
        if (atomic_load(&row->pid) != pid) {
            continue;
        }
        uint32_t counts = view->geometry.slots + view->geometry.balancers;
        for (uint32_t count = 0; count < counts; count++) {
            atomic_store_explicit(&row->count[count], 0, memory_order_relaxed);
        }
        atomic_store(&row->pid, 0);
    }
}

bool hap_shared_flags(const hap_shared_t *view, uint32_t slot, uint32_t set, uint32_t clear)
{
    _Atomic uint32_t *flags = &view->flags[slot];
    uint32_t old = atomic_load(flags);
    do {
        if (((old & ~clear) | set) == old) {
            return false;
        }
    } while (!atomic_compare_exchange_weak(flags, &old, (old & ~clear) | set));
    atomic_fetch_add(&view->head->version, 1);
    return true;
}

/* state in bits 0-7, configured in 8-15, source in 16-23, seconds above. */
static uint64_t pack(const hap_admin_word_t *word)
{
    return (uint64_t)word->state | (uint64_t)word->configured << 8 | (uint64_t)word->source << 16 |
           (uint64_t)word->since_s << 24;
}

hap_admin_word_t hap_shared_admin_word(const hap_slot_t *slot)
{
    uint64_t packed = atomic_load(&slot->admin);
    unsigned state = packed & 0xff;
    unsigned configured = packed >> 8 & 0xff;
    return (hap_admin_word_t){
        .state = state < HAP_ADMIN_COUNT ? (hap_admin_t)state : HAP_ADMIN_ENABLED,
        .configured = configured < HAP_ADMIN_COUNT ? (hap_admin_t)configured : HAP_ADMIN_ENABLED,
        .source =
            (packed >> 16 & 0xff) == HAP_SOURCE_OPERATOR ? HAP_SOURCE_OPERATOR : HAP_SOURCE_CONFIG,
        .since_s = (int64_t)(packed >> 24),
    };
}

uint32_t hap_shared_admin_flags(hap_admin_t admin)
{
    static const uint32_t flag_of[HAP_ADMIN_COUNT] = {
        [HAP_ADMIN_ENABLED] = 0,
        [HAP_ADMIN_DRAIN] = HAP_FLAG_DRAIN,
        [HAP_ADMIN_MAINT] = HAP_FLAG_MAINT,
        [HAP_ADMIN_STANDBY] = HAP_FLAG_STANDBY,
    };
    return flag_of[admin];
}

bool hap_shared_admin(const hap_shared_t *view, uint32_t slot, const hap_admin_word_t *word)
{
    atomic_store(&view->slots[slot].admin, pack(word));
    uint32_t by = word->source == HAP_SOURCE_OPERATOR ? HAP_FLAG_OPERATOR : 0u;
    return hap_shared_flags(view, slot, hap_shared_admin_flags(word->state) | by,
                            HAP_FLAGS_ADMIN | HAP_FLAG_OPERATOR);
}

void hap_shared_put_health(const hap_shared_t *view, uint32_t i, const hap_health_t *health)
{
    hap_slot_t *slot = &view->slots[i];
    /* A writer that died halfway left the sequence odd; the next one goes on from there. */
    uint32_t seq = atomic_load(&slot->health_seq) | 1;
    atomic_store(&slot->health_seq, seq);
    atomic_thread_fence(memory_order_seq_cst);
    slot->health = *health;
    atomic_thread_fence(memory_order_seq_cst);
    atomic_store(&slot->health_seq, seq + 1);

    const uint32_t all = HAP_FLAG_DOWN | HAP_FLAG_SICK | HAP_FLAG_SUSPECT;
    bool down = health->verdict == HAP_HEALTH_DOWN;
    uint32_t set = (down ? HAP_FLAG_DOWN : 0u) | (down && health->answers ? HAP_FLAG_SICK : 0u) |
                   (health->suspect ? HAP_FLAG_SUSPECT : 0u);
    hap_shared_flags(view, i, set, ~set & all);
}

bool hap_shared_get_health(const hap_slot_t *slot, hap_health_t *health)
{
    for (int i = 0; i < READ_TRIES; i++) {
        uint32_t before = atomic_load(&slot->health_seq);
        if (before & 1) {
            continue;
        }
        atomic_thread_fence(memory_order_seq_cst);
        *health = slot->health;
        atomic_thread_fence(memory_order_seq_cst);
        if (atomic_load(&slot->health_seq) == before) {
            health->why[sizeof(health->why) - 1] = '\0';
            return true;
        }
    }
    return false;
}
