/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the layout of the segment that all children of one server share: members' states, balancers'
 * counters and each child's in-flight counts. Does not map memory and takes no lock: whoever
 * maps it hands in the base address. The geometry is kept by every process for itself and never
 * read back from the segment, because a child could have written there.
 *
 * Who writes what:
 *   flags and hap_slot_t.admin    anybody, each change one atomic operation
 *   hap_slot_t.health             the one process that probes, under .health_seq
 *   rows                          the child that owns the row; the parent clears it after its death
 */
#ifndef HAP_SHARED_H
#define HAP_SHARED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <apr_time.h>

#include "hap_admin.h"
#include "hap_health.h"
#include "hap_str.h"

enum {
    HAP_ROUTE_MAX = 63, /* bytes of a route, as mod_proxy's */
    HAP_APP_MAX = 127,  /* bytes of a balancer's name with its virtual host */
    HAP_CACHE_LINE = 64
};

/** Bits of a slot's flags: what a pick needs to know, kept apart end to end. */
enum {
    HAP_FLAG_DOWN = 1 << 0, /* health: enough probes failed */
    HAP_FLAG_SUSPECT =
        1 << 1,              /* passive: a request could not be served, no probe has passed since */
    HAP_FLAG_DRAIN = 1 << 2, /* admin: keeps its sessions, takes no new ones */
    HAP_FLAG_MAINT = 1 << 3, /* admin: takes nothing */
    HAP_FLAG_STANDBY = 1 << 4, /* admin: takes something only when no other member can */
    HAP_FLAG_RAMP = 1 << 5,    /* came back less than slow-start ago */
    HAP_FLAG_SICK = 1 << 6,    /* health, beside DOWN: it answers probes, if not as it should */
    HAP_FLAG_OPERATOR = 1 << 7 /* admin: a person here has said so, not the configuration */
};

/** What says what a member is told to do. */
enum { HAP_FLAGS_ADMIN = HAP_FLAG_DRAIN | HAP_FLAG_MAINT | HAP_FLAG_STANDBY };

/** An admin state as it is stored: one word, so that it is never seen half-written. */
typedef struct hap_admin_word_t {
    hap_admin_t state;
    hap_admin_t configured; /* what the configuration said when the word was written */
    hap_admin_source_t source;
    int64_t since_s; /* seconds since 1970 */
} hap_admin_word_t;

/** Why a member became suspect; an index, because texts cannot be written atomically. */
typedef enum hap_suspicion_t {
    HAP_SUSPICION_NONE,
    HAP_SUSPICION_CONNECT, /* no connection could be made */
    HAP_SUSPICION_ERRORS,  /* several requests in a row failed on it */
    HAP_SUSPICION_TIMEOUT, /* a request timed out, and the balancer takes that for trouble */
    HAP_SUSPICION_SILENCE, /* it holds many requests and answers none: see hap_stall.h */
    HAP_SUSPICION_COUNT
} hap_suspicion_t;

/** One member, but for its flags and counts. The first line is what requests write. */
typedef struct hap_slot_t {
    _Alignas(HAP_CACHE_LINE) hap_passive_t passive; /* failed requests in a row */
    _Atomic int64_t up_since_us;                    /* monotonic; start of the slow start */
    _Atomic uint32_t latency_us;                    /* moving average of answer times; 0 unknown */
    _Atomic int64_t measured_us;                    /* monotonic; when latency_us was written */
    _Atomic uint32_t suspicion;                     /* hap_suspicion_t of the suspect flag */
    _Atomic uint64_t admin;                         /* packed hap_admin_word_t */
    _Atomic uint64_t epoch; /* of the active member that the health is known of; see hap_roster */

    _Alignas(HAP_CACHE_LINE) _Atomic uint32_t health_seq; /* odd while health is being written */
    hap_health_t health;                                  /* under health_seq */
} hap_slot_t;

/** One balancer. */
typedef struct hap_balancer_t {
    _Alignas(HAP_CACHE_LINE) _Atomic uint64_t turn;        /* position in the round */
    _Alignas(HAP_CACHE_LINE) _Atomic int64_t retry_tokens; /* thousandths of a retry left */
    _Atomic int64_t retry_refilled_us;                     /* when time last added some */
    _Atomic uint32_t released; /* rises when a member got room; a futex */
} hap_balancer_t;

/** A member that only a map names: its slot is among the last ones, at the same place. */
typedef struct hap_guest_t {
    char app[HAP_APP_MAX + 1];     /* balancer's name; empty: the place is free */
    char route[HAP_ROUTE_MAX + 1]; /* the member's */
    uint64_t version;              /* of the last map that named it */
} hap_guest_t;

/** How large things are in this segment. Kept by each process, never read from the segment. */
typedef struct hap_geometry_t {
    uint32_t slots;     /* members, guests included */
    uint32_t guests;    /* members that only a map names: the last slots */
    uint32_t balancers; /* balancers */
    uint32_t rows;      /* children at one time, old generations included */
} hap_geometry_t;

/** Start of the segment. */
typedef struct hap_shared_head_t {
    _Atomic uint64_t version;    /* rises with every change that a schedule depends on */
    _Atomic uint32_t generation; /* of the configuration; children of an older one stop probing */
    _Atomic uint32_t rows_used;  /* rows beyond this were never used */
} hap_shared_head_t;

/**
 * One child's counts: requests in flight by slot, and behind them, by balancer, requests that wait
 * in the queue. They go with the child, so they need no repair.
 */
typedef struct hap_row_t {
    _Alignas(HAP_CACHE_LINE) _Atomic int32_t pid; /* owner, 0 free */
    _Alignas(HAP_CACHE_LINE) _Atomic uint32_t count[];
} hap_row_t;

/** A process's view of the segment. Borrows the memory. */
typedef struct hap_shared_t {
    hap_geometry_t geometry;
    hap_shared_head_t *head;
    _Atomic uint32_t *flags; /* HAP_FLAG_*, one a slot; read by all, written at transitions */
    hap_slot_t *slots;
    hap_guest_t *guests; /* under a lock of the caller's */
    hap_balancer_t *balancers;
    char *rows;
    size_t row_size;
} hap_shared_t;

/** Bytes that a segment of this geometry takes. */
size_t hap_shared_size(const hap_geometry_t *geometry);

/** Lays the view over `base`, which is aligned to a page, zeroed when new, and hap_shared_size. */
void hap_shared_view(hap_shared_t *view, const hap_geometry_t *geometry, void *base);

static inline hap_row_t *hap_shared_row(const hap_shared_t *view, uint32_t i)
{
    return (hap_row_t *)(void *)(view->rows + (size_t)i * view->row_size);
}

/** Index in a row of the number of requests that wait for a balancer. */
static inline uint32_t hap_shared_waiting(const hap_shared_t *view, uint32_t balancer)
{
    return view->geometry.slots + balancer;
}

/** The sum of one count over all children: of a slot, requests in flight. */
uint32_t hap_shared_sum(const hap_shared_t *view, uint32_t count);

/** Claims a free row for a process; NULL when none is free. Any process, once. */
hap_row_t *hap_shared_claim_row(const hap_shared_t *view, int32_t pid);

/** Gives back the row of a dead process, and with it all it had in flight. Parent only. */
void hap_shared_release_row(const hap_shared_t *view, int32_t pid);

/** The flags of a slot as they are now, HAP_FLAG_*. */
static inline uint32_t hap_shared_flags_of(const hap_shared_t *view, uint32_t slot)
{
    return atomic_load_explicit(&view->flags[slot], memory_order_acquire);
}

/** Sets and clears flags; true if anything changed, and then the version has risen. */
bool hap_shared_flags(const hap_shared_t *view, uint32_t slot, uint32_t set, uint32_t clear);

/** The flags of an admin state. */
uint32_t hap_shared_admin_flags(hap_admin_t admin);

/** Stores the admin state with its flags; true if the state changed. */
bool hap_shared_admin(const hap_shared_t *view, uint32_t slot, const hap_admin_word_t *word);

/** The admin state; every value that memory may hold gives a valid one. */
hap_admin_word_t hap_shared_admin_word(const hap_slot_t *slot);

/** Writes health and the flags that follow from it. The probing process only. */
void hap_shared_put_health(const hap_shared_t *view, uint32_t slot, const hap_health_t *health);

/** Reads health consistently; false when the writer died halfway (health is then unknown). */
bool hap_shared_get_health(const hap_slot_t *slot, hap_health_t *health);

/** The words of hap_suspicion_t, as they stand in a log line. */
extern const char *const hap_suspicion_names[HAP_SUSPICION_COUNT];

#endif
