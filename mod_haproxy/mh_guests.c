/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the places of guests. */
#include "mh_guests.h"

#include <apr_hash.h>
#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>

#include "mh_shared.h"

/* The first byte's lock says who probes. */
enum { LOCKED_BYTE = 1 };

struct mh_guests_t {
    uint64_t version;  /* of the map */
    apr_hash_t *index; /* "app/route" -> place + 1 */
    bool *named;       /* by place: this map names it */
    uint32_t free;     /* no place before this one is free */
    apr_pool_t *pool;
};

static hap_guest_t *guest_at(uint32_t place)
{
    return &mh_shared->view.guests[place];
}

static uint32_t places(void)
{
    return mh_shared->view.geometry.guests;
}

static uint32_t slot_of(uint32_t place)
{
    return mh_shared->view.geometry.slots - places() + place;
}

/* What was left half-written by one who died ends here. */
static bool is_used(hap_guest_t *guest)
{
    guest->app[sizeof(guest->app) - 1] = guest->route[sizeof(guest->route) - 1] = '\0';
    return guest->app[0] != '\0';
}

static const char *key_of(const char *app, const char *route, apr_ssize_t *n, apr_pool_t *p)
{
    const char *key = apr_pstrcat(p, app, "/", route, NULL);
    *n = (apr_ssize_t)strlen(key);
    return key;
}

static void put(mh_guests_t *guests, uint32_t place, bool there)
{
    apr_ssize_t n;
    const hap_guest_t *guest = guest_at(place);
    const char *key = key_of(guest->app, guest->route, &n, guests->pool);
    apr_hash_set(guests->index, key, n, there ? (void *)(uintptr_t)(place + 1) : NULL);
}

/* A record lock is the process's, which has one thread at a time here, and goes with it. */
static void lock(short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = LOCKED_BYTE, .l_len = 1};
    while (fcntl(mh_shared->lock_fd, F_SETLKW, &lock) != 0 && errno == EINTR) {
    }
}

mh_guests_t *mh_guests_open(uint64_t version, apr_pool_t *p)
{
    mh_guests_t *guests = apr_pcalloc(p, sizeof(*guests));
    *guests = (mh_guests_t){
        .version = version,
        .index = apr_hash_make(p),
        .named = apr_pcalloc(p, (places() + 1) * sizeof(bool)),
        .pool = p,
    };
    lock(F_WRLCK);
    for (uint32_t i = 0; i < places(); i++) {
        if (is_used(guest_at(i))) {
            put(guests, i, true);
        }
    }
    return guests;
}

void mh_guests_close(mh_guests_t *guests)
{
    lock(F_UNLCK);
}

/* Nobody's, else the one that no map has named for the longest time. */
static int free_place(mh_guests_t *guests)
{
    for (; guests->free < places(); guests->free++) {
        if (!is_used(guest_at(guests->free))) {
            return (int)guests->free;
        }
    }
    int best = -1;
    uint64_t best_version = guests->version;
    for (uint32_t i = 0; i < places(); i++) {
        const hap_guest_t *guest = guest_at(i);
        if (guest->version < best_version && !guests->named[i] &&
            hap_shared_sum(&mh_shared->view, slot_of(i)) == 0) {
            best = (int)i;
            best_version = guest->version;
        }
    }
    return best;
}

static void move_in(mh_guests_t *guests, uint32_t place, const char *app, const char *route)
{
    hap_guest_t *guest = guest_at(place);
    uint32_t slot = slot_of(place);
    const hap_admin_word_t enabled = {.since_s = apr_time_sec(apr_time_now())};
    if (guest->app[0]) {
        put(guests, place, false);
    }
    guest->app[0] = '\0'; /* while the rest is written */
    memset(&mh_shared->view.slots[slot], 0, sizeof(hap_slot_t));
    hap_shared_flags(&mh_shared->view, slot, 0, ~0u);
    hap_shared_admin(&mh_shared->view, slot, &enabled);
    apr_cpystrn(guest->route, route, sizeof(guest->route));
    apr_cpystrn(guest->app, app, sizeof(guest->app));
    put(guests, place, true);
}

int mh_guests_slot(mh_guests_t *guests, const char *app, const char *route)
{
    apr_ssize_t n;
    const char *key = key_of(app, route, &n, guests->pool);
    int place = (int)(uintptr_t)apr_hash_get(guests->index, key, n) - 1;
    if (place < 0) {
        place = free_place(guests);
        if (place < 0) {
            return -1;
        }
        guest_at((uint32_t)place)->version = guests->version;
        move_in(guests, (uint32_t)place, app, route);
    }
    hap_guest_t *guest = guest_at((uint32_t)place);
    guests->named[place] = true;
    if (guest->version < guests->version) {
        guest->version = guests->version;
    }
    return (int)slot_of((uint32_t)place);
}

apr_array_header_t *mh_guests_of(const mh_guests_t *guests, const char *app, apr_pool_t *p)
{
    apr_array_header_t *routes = apr_array_make(p, 4, sizeof(const char *));
    for (uint32_t i = 0; i < places(); i++) {
        hap_guest_t *guest = guest_at(i);
        if (is_used(guest) && strcmp(guest->app, app) == 0) {
            APR_ARRAY_PUSH(routes, const char *) = apr_pstrdup(p, guest->route);
        }
    }
    return routes;
}
