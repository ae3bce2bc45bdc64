/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the node that is memory shared by the processes of one server: a circular log of values, an
 * index from names to the newest value of each, and one lock over both. Does not make the memory.
 *
 *          tail                       head
 *     ------|==========================|------
 *           oldest                 newest       each in one piece, behind a filler at the end
 *
 * Positions only grow; where one lies in the memory is its rest by the log's size. So whatever
 * points below `tail` points to nothing, and needs no cleaning up when the oldest go.
 *
 * A process may be killed at any instruction. A value is whole before `head` moves over it, and is
 * found by nobody before the index leads to it; who gets the lock of somebody that died makes the
 * index anew from the log. A process may also be stopped while it has the lock: nobody waits longer
 * for it than the budget.
 *
 * What another process wrote is put into range before it is used.
 */
#include "hapstore_node.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

enum {
    ALIGN = 16, /* of values: what is left at the end has room for a filler's first fields */
    INDEX_BYTES_EACH = 512, /* of log, for each entry of the index */
    INDEX_MIN = 256,
    RESERVE_SHARE = 16, /* of the log, that is kept free for values that are carried on */
    LIVE_SHARE = 4,     /* of the log, that has to be free for it */
    CARRIED_MAX = 256,  /* by one put */
    MS_PER_S = 1000
};

/* A value in the log. The first two fields are all of a filler. */
typedef struct item_t {
    uint64_t bytes; /* of all of it, up to the next one */
    uint64_t token; /* 0: a filler */
    uint64_t below; /* the next older one in the same entry of the index */
    int64_t expires_ms;
    uint64_t value_n;
    char name[HAP_ZONE_NAME_BYTES];
    char value[];
} item_t;

typedef struct head_t {
    pthread_mutex_t lock; /* of everything; robust, between processes */
    uint64_t token;       /* the last one given */
    uint64_t tail, head;  /* positions, never 0 */
    uint64_t live;        /* bytes of what the index leads to, roughly */
    uint64_t index[];
} head_t;

/* The memory as this process knows it: its size is never read from it. */
typedef struct log_t {
    hapstore_asker_t *asker;
    head_t *head;
    uint64_t index_n; /* a power of two */
    char *start;
    uint64_t bytes; /* of the log */
    int64_t budget_ms;
    const char *why;
} log_t;

static uint64_t index_size(uint64_t bytes)
{
    uint64_t n = INDEX_MIN;
    while (n * INDEX_BYTES_EACH < bytes) {
        n *= 2;
    }
    return n;
}

static size_t head_size(uint64_t index_n)
{
    return (sizeof(head_t) + index_n * sizeof(uint64_t) + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

static uint64_t log_size(uint64_t bytes)
{
    return bytes & ~(uint64_t)(ALIGN - 1);
}

static void view(log_t *log, void *shm, uint64_t bytes)
{
    log->head = shm;
    log->index_n = index_size(bytes);
    log->start = (char *)shm + head_size(log->index_n);
    log->bytes = log_size(bytes);
}

size_t hapstore_shm_size(uint64_t bytes)
{
    return head_size(index_size(bytes)) + log_size(bytes);
}

apr_status_t hapstore_shm_init(void *shm, uint64_t bytes)
{
    log_t log;
    view(&log, shm, bytes);
    log.head->tail = log.head->head = log.bytes;
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    int rv = pthread_mutex_init(&log.head->lock, &attr);
    pthread_mutexattr_destroy(&attr);
    return rv;
}

/* Goes on in a suspended machine too, as the life of a session does. */
static int64_t life_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * MS_PER_S + now.tv_nsec / 1000000;
}

/* --- the log ---------------------------------------------------------------------------------- */

static uint64_t item_bytes(size_t value_n)
{
    return (sizeof(item_t) + value_n + ALIGN - 1) & ~(uint64_t)(ALIGN - 1);
}

/* From a position to the end of the memory. */
static uint64_t room_at(const log_t *log, uint64_t at)
{
    return log->bytes - at % log->bytes;
}

static item_t *peek(const log_t *log, uint64_t at)
{
    return (item_t *)(log->start + at % log->bytes);
}

/* What is at a position, NULL if that is not in use or does not add up. */
static item_t *item_at(const log_t *log, uint64_t at)
{
    const head_t *head = log->head;
    if (at < head->tail || at >= head->head || at % ALIGN != 0) {
        return NULL;
    }
    item_t *item = peek(log, at);
    uint64_t room = room_at(log, at);
    uint64_t used = head->head - at;
    uint64_t most = room < used ? room : used;
    if (item->bytes < ALIGN || item->bytes > most || item->bytes % ALIGN != 0) {
        return NULL;
    }
    bool fits = item->token == 0 ||
                (item->bytes >= sizeof(item_t) && item->value_n <= item->bytes - sizeof(item_t));
    return fits ? item : NULL;
}

static uint64_t *entry_of(const log_t *log, hap_str_t name)
{
    return &log->head->index[hap_str_hash(name) & (log->index_n - 1)];
}

/* The link that leads to the newest value of this name, NULL if there is none. Positions fall with
 * each step, so there is an end. */
static uint64_t *find(const log_t *log, hap_str_t name)
{
    uint64_t *link = entry_of(log, name);
    uint64_t above = UINT64_MAX;
    for (;;) {
        uint64_t at = *link;
        item_t *item = at < above ? item_at(log, at) : NULL;
        if (item == NULL || item->token == 0) {
            return NULL;
        }
        if (memcmp(item->name, name.p, HAP_ZONE_NAME_BYTES) == 0) {
            return link;
        }
        above = at;
        link = &item->below;
    }
}

/* The compiler may not move what comes before it behind it: whoever finds the process dead sees its
 * writes in their order. */
static void publish(uint64_t *place, uint64_t value)
{
    atomic_signal_fence(memory_order_seq_cst);
    *(volatile uint64_t *)place = value;
    atomic_signal_fence(memory_order_seq_cst);
}

static void take_out(log_t *log, uint64_t *link)
{
    item_t *item = peek(log, *link);
    log->head->live -= item->bytes < log->head->live ? item->bytes : log->head->live;
    publish(link, item->below);
}

static void empty(log_t *log)
{
    memset(log->head->index, 0, log->index_n * sizeof(uint64_t));
    log->head->live = 0;
    publish(&log->head->tail, log->head->head);
}

static void check(log_t *log)
{
    head_t *head = log->head;
    if (head->tail < log->bytes || head->tail > head->head ||
        head->head - head->tail > log->bytes || head->head % ALIGN != 0 ||
        head->tail % ALIGN != 0) {
        head->head = log->bytes;
        empty(log);
    }
}

/* In the order of the log, so that the newer one of two comes to stand before the older one. */
static void index_anew(log_t *log)
{
    head_t *head = log->head;
    check(log);
    memset(head->index, 0, log->index_n * sizeof(uint64_t));
    head->live = 0;
    for (uint64_t at = head->tail; at < head->head;) {
        item_t *item = item_at(log, at);
        if (item == NULL) {
            empty(log);
            return;
        }
        if (item->token) {
            hap_str_t name = hap_strn(item->name, HAP_ZONE_NAME_BYTES);
            uint64_t *older = find(log, name);
            if (older) {
                take_out(log, older);
            }
            item->below = *entry_of(log, name);
            *entry_of(log, name) = at;
            head->live += item->bytes;
            head->token = item->token > head->token ? item->token : head->token;
        }
        at += item->bytes;
    }
}

/* --- making room ------------------------------------------------------------------------------ */

static uint64_t free_bytes(const log_t *log)
{
    return log->bytes - (log->head->head - log->head->tail);
}

/* Where the next item of so many bytes begins: behind a filler, if it does not fit in front of the
 * end. */
static uint64_t needed(const log_t *log, uint64_t bytes)
{
    uint64_t room = room_at(log, log->head->head);
    return bytes <= room ? bytes : room + bytes;
}

static item_t *append(log_t *log, uint64_t bytes)
{
    head_t *head = log->head;
    uint64_t room = room_at(log, head->head);
    if (bytes > room) {
        item_t *filler = peek(log, head->head);
        filler->bytes = room;
        filler->token = 0;
        publish(&head->head, head->head + room);
    }
    return peek(log, head->head);
}

/* The whole of it is there: over it goes `head`, and then the index leads to it. */
static void put_in(log_t *log, item_t *item)
{
    head_t *head = log->head;
    hap_str_t name = hap_strn(item->name, HAP_ZONE_NAME_BYTES);
    uint64_t at = head->head;
    uint64_t *older = find(log, name);
    if (older) {
        take_out(log, older);
    }
    item->below = *entry_of(log, name);
    publish(&head->head, at + item->bytes);
    publish(entry_of(log, name), at);
    head->live += item->bytes;
}

/* The oldest item is worth to be written again at the head. */
static bool is_worth_it(const log_t *log, const item_t *item, int64_t now_ms)
{
    if (item->token == 0 || item->expires_ms <= now_ms ||
        log->head->live > log->bytes - log->bytes / LIVE_SHARE ||
        needed(log, item->bytes) > free_bytes(log)) {
        return false;
    }
    const uint64_t *link = find(log, hap_strn(item->name, HAP_ZONE_NAME_BYTES));
    return link && *link == log->head->tail;
}

static void carry_on(log_t *log, const item_t *item)
{
    item_t *copy = append(log, item->bytes);
    memcpy(copy, item, item->bytes);
    put_in(log, copy);
}

/*
 * Lets the oldest go until there is room. What nobody has replaced would go too, long before its
 * time, when few sessions write much: so it is written again at the head, while the log is not full
 * of such.
 */
static void make_room(log_t *log, uint64_t bytes, int64_t now_ms)
{
    head_t *head = log->head;
    unsigned carried = 0;
    uint64_t reserve = log->bytes / RESERVE_SHARE;
    /* Once so many were carried on, what is free in reserve is used up before any is lost. */
    while (head->tail < head->head &&
           free_bytes(log) < needed(log, bytes) + (carried < CARRIED_MAX ? reserve : 0)) {
        uint64_t at = head->tail;
        item_t *item = item_at(log, at);
        if (item == NULL) {
            empty(log);
            return;
        }
        uint64_t *link = NULL;
        if (carried < CARRIED_MAX && is_worth_it(log, item, now_ms)) {
            carry_on(log, item);
            carried++;
        } else if (item->token) {
            link = find(log, hap_strn(item->name, HAP_ZONE_NAME_BYTES));
        }
        if (link && *link == at) {
            take_out(log, link);
        }
        publish(&head->tail, at + item->bytes);
    }
}

/* --- the lock --------------------------------------------------------------------------------- */

#ifdef __SANITIZE_THREAD__
/* gcc 12's thread sanitizer knows no lock with a time whose holder may have died. */
static int lock_until(pthread_mutex_t *mutex, const struct timespec *until)
{
    struct timespec now = {.tv_sec = 0};
    int rv = pthread_mutex_trylock(mutex);
    while (rv == EBUSY && (now.tv_sec < until->tv_sec ||
                           (now.tv_sec == until->tv_sec && now.tv_nsec < until->tv_nsec))) {
        sched_yield();
        clock_gettime(CLOCK_MONOTONIC, &now);
        rv = pthread_mutex_trylock(mutex);
    }
    return rv == EBUSY ? ETIMEDOUT : rv;
}
#else
static int lock_until(pthread_mutex_t *mutex, const struct timespec *until)
{
    return pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, until);
}
#endif

static bool lock(log_t *log, int64_t budget_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns = until.tv_nsec + budget_ms % MS_PER_S * 1000000;
    until.tv_sec += budget_ms / MS_PER_S + ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    int rv = lock_until(&log->head->lock, &until);
    if (rv == EOWNERDEAD) {
        index_anew(log);
        rv = pthread_mutex_consistent(&log->head->lock);
    }
    if (rv == 0) {
        check(log);
    }
    log->why = rv == ETIMEDOUT ? "its lock is held for too long" : "its lock is broken";
    return rv == 0;
}

static void unlock(log_t *log)
{
    pthread_mutex_unlock(&log->head->lock);
}

/* --- the node --------------------------------------------------------------------------------- */

static item_t *lookup(log_t *log, hap_str_t name)
{
    const uint64_t *link = find(log, name);
    item_t *item = link ? peek(log, *link) : NULL;
    return item && item->expires_ms > life_ms() ? item : NULL;
}

static hapstore_node_end_t copy_out(log_t *log, const item_t *item, hapstore_ask_t *ask)
{
    char *bytes = malloc(item->value_n + 1);
    if (bytes == NULL) {
        log->why = "out of memory";
        return HAPSTORE_NODE_FAILED;
    }
    memcpy(bytes, item->value, item->value_n);
    ask->got = (hapstore_value_t){bytes, item->value_n};
    ask->got_token.number = item->token;
    return HAPSTORE_NODE_OK;
}

static hapstore_node_end_t get(log_t *log, hapstore_ask_t *ask)
{
    if (!lock(log, log->budget_ms)) {
        return HAPSTORE_NODE_FAILED;
    }
    const item_t *item = lookup(log, ask->name);
    hapstore_node_end_t end = item ? copy_out(log, item, ask) : HAPSTORE_NODE_NONE;
    unlock(log);
    return end;
}

/* The token of the new one. */
static uint64_t write_value(log_t *log, const hapstore_ask_t *ask)
{
    int64_t now_ms = life_ms();
    hap_str_t value = ask->value;
    uint64_t bytes = item_bytes(value.n);
    make_room(log, bytes, now_ms);
    item_t *item = append(log, bytes);
    item->bytes = bytes;
    item->token = ++log->head->token;
    item->expires_ms = now_ms + (int64_t)ask->ttl_s * MS_PER_S;
    item->value_n = value.n;
    memcpy(item->name, ask->name.p, HAP_ZONE_NAME_BYTES);
    memcpy(item->value, value.p, value.n);
    put_in(log, item);
    return item->token;
}

static hapstore_node_end_t put(log_t *log, hapstore_ask_t *ask)
{
    if (item_bytes(ask->value.n) > log->bytes / LIVE_SHARE) {
        return HAPSTORE_NODE_TOO_LARGE;
    }
    if (!lock(log, log->budget_ms)) {
        return HAPSTORE_NODE_FAILED;
    }
    const item_t *item = lookup(log, ask->name);
    bool same = ask->token.number == (item ? item->token : 0);
    if (same) {
        ask->got_token.number = write_value(log, ask);
    }
    unlock(log);
    return same ? HAPSTORE_NODE_OK : HAPSTORE_NODE_CHANGED;
}

/* There is nothing to wait for but the lock. */
static void shm_ask(void *data, hapstore_ask_t *ask)
{
    log_t *log = data;
    hapstore_node_end_t end = ask->put ? put(log, ask) : get(log, ask);
    if (end == HAPSTORE_NODE_FAILED) {
        hapstore_tell_failed(log->asker, log->why);
    }
    hapstore_tell_ended(log->asker, ask, end);
}

/* It comes again: there is no need to wait long. */
static void shm_probe(void *data)
{
    log_t *log = data;
    if (lock(log, 1)) {
        unlock(log);
        hapstore_tell_answers(log->asker);
    } else {
        hapstore_tell_failed(log->asker, log->why);
    }
}

static void *shm_open_node(hapstore_asker_t *asker, const hapstore_conf_t *conf, unsigned index)
{
    log_t *log = calloc(1, sizeof(*log));
    if (log) {
        view(log, conf->shm, conf->spec->shm_bytes);
        log->asker = asker;
        log->budget_ms = (int64_t)apr_time_as_msec(conf->budget);
    }
    return log;
}

const hapstore_node_iface_t hapstore_shm = {
    .kind = "shm",
    .open = shm_open_node,
    .ask = shm_ask,
    .probe = shm_probe,
    .close = free,
};
