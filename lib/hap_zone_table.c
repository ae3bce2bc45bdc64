/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the table's layout, and how several processes read and write it.
 *
 * A bucket begins with a lock and the first half of each of its entries' keys, so that a find looks
 * at two cache lines. Writers take the bucket's lock, which is the time when it was taken: one that
 * is too old was left by somebody who died or was stopped, and is taken over. Readers take no lock:
 * an entry has a sequence number, odd while it is written, and a check over all of it. Who was
 * stopped in the middle of writing and goes on later may mix his entry with another's; that one
 * does not check, and counts as free.
 */
#include "hap_zone_table.h"

#include <sched.h>
#include <stdatomic.h>
#include <string.h>

enum {
    LINE_BYTES = 64,
    WORDS = 7,         /* of an entry, that are checked */
    STUCK_MS = 100,    /* a lock that was held so long has nobody any more */
    SPINS_MAX = 100000 /* while others hold it; for who has no time to pass */
};

/** An entry: key, epoch, version, owner and state, end, seen. Shared, atomic. */
typedef struct entry_t {
    _Alignas(LINE_BYTES) _Atomic uint64_t words[WORDS];
    _Atomic uint32_t sequence;
    _Atomic uint32_t check;
} entry_t;

typedef struct bucket_t {
    _Alignas(LINE_BYTES) _Atomic int64_t lock;  /* when it was taken; 0: nobody has it */
    _Atomic uint64_t tags[HAP_ZONE_TABLE_WAYS]; /* first words of the entries */
    entry_t entries[HAP_ZONE_TABLE_WAYS];
} bucket_t;

struct hap_zone_table_t {
    _Alignas(LINE_BYTES) uint32_t buckets; /* how many there are, a power of two */
    bucket_t at[];
};

/** What stands in an entry. */
typedef struct content_t {
    uint64_t key[2];
    uint64_t epoch;
    uint64_t version;
    uint64_t owner_and_state;
    uint64_t end_ms;
    uint64_t seen_ms;
} content_t;

_Static_assert(sizeof(content_t) == WORDS * sizeof(uint64_t), "an entry has a content's words");

static uint32_t buckets_for(uint32_t entries)
{
    uint32_t n = 1;
    while (n < UINT32_MAX / 2 && (uint64_t)n * HAP_ZONE_TABLE_WAYS < entries) {
        n *= 2;
    }
    return n;
}

size_t hap_zone_table_size(uint32_t entries)
{
    return sizeof(hap_zone_table_t) + buckets_for(entries) * sizeof(bucket_t);
}

void hap_zone_table_init(hap_zone_table_t *table, uint32_t entries)
{
    table->buckets = buckets_for(entries);
}

static void read_key(uint64_t key[2], const unsigned char bytes[HAP_ZONE_TABLE_KEY_BYTES])
{
    memcpy(key, bytes, HAP_ZONE_TABLE_KEY_BYTES);
}

/* The geometry is read once: what is in shared memory may be written by others. The bits that find
 * the bucket are not those of the tags. */
static bucket_t *find_bucket(const hap_zone_table_t *table, const uint64_t key[2])
{
    return (bucket_t *)&table->at[key[1] & (table->buckets - 1)];
}

/* --- entries ---------------------------------------------------------------------------------- */

static uint32_t check_of(const uint64_t words[WORDS])
{
    uint64_t sum = 0x9e3779b97f4a7c15;
    for (int i = 0; i < WORDS; i++) {
        sum = (sum ^ words[i]) * 0xff51afd7ed558ccd;
        sum ^= sum >> 32;
    }
    return (uint32_t)sum;
}

/* False when it is being written, or is nobody's, or a mixture. */
static bool read_entry(content_t *content, const entry_t *entry)
{
    uint64_t words[WORDS];
    uint32_t before = atomic_load_explicit(&entry->sequence, memory_order_acquire);
    for (int i = 0; i < WORDS; i++) {
        words[i] = atomic_load_explicit(&entry->words[i], memory_order_relaxed);
    }
    uint32_t check = atomic_load_explicit(&entry->check, memory_order_relaxed);
    atomic_thread_fence(memory_order_acquire);
    uint32_t after = atomic_load_explicit(&entry->sequence, memory_order_relaxed);
    memcpy(content, words, sizeof(*content));
    return before == after && before % 2 == 0 && before != 0 && check == check_of(words);
}

/* Who has the lock. */
static void write_entry(bucket_t *bucket, int way, const content_t *content)
{
    uint64_t words[WORDS];
    entry_t *entry = &bucket->entries[way];
    memcpy(words, content, sizeof(words));
    uint32_t sequence = atomic_load_explicit(&entry->sequence, memory_order_relaxed) | 1;
    atomic_store_explicit(&entry->sequence, sequence, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    atomic_store_explicit(&bucket->tags[way], content->key[0], memory_order_relaxed);
    for (int i = 0; i < WORDS; i++) {
        atomic_store_explicit(&entry->words[i], words[i], memory_order_relaxed);
    }
    atomic_store_explicit(&entry->check, check_of(words), memory_order_relaxed);
    /* 0 is an entry that was never written. */
    uint32_t next = sequence + 1 ? sequence + 1 : 2;
    atomic_store_explicit(&entry->sequence, next, memory_order_release);
}

/* Which entry has this key; -1: none. */
static int find_way(content_t *content, const bucket_t *bucket, const uint64_t key[2])
{
    for (int way = 0; way < HAP_ZONE_TABLE_WAYS; way++) {
        if (atomic_load_explicit(&bucket->tags[way], memory_order_relaxed) == key[0] &&
            read_entry(content, &bucket->entries[way]) && content->key[0] == key[0] &&
            content->key[1] == key[1]) {
            return way;
        }
    }
    return -1;
}

/* --- finding ---------------------------------------------------------------------------------- */

bool hap_zone_table_find(const hap_zone_table_t *table,
                         const unsigned char key_bytes[HAP_ZONE_TABLE_KEY_BYTES], int64_t now_ms,
                         hap_zone_known_t *known)
{
    content_t content;
    uint64_t key[2];
    uint64_t now = (uint64_t)now_ms;
    read_key(key, key_bytes);
    if (find_way(&content, find_bucket(table, key), key) < 0 || content.end_ms <= now) {
        return false;
    }
    uint64_t state = content.owner_and_state >> 32;
    uint64_t age = now > content.seen_ms ? now - content.seen_ms : 0;
    uint64_t rest = (content.end_ms - now + 999) / 1000;
    *known = (hap_zone_known_t){
        .state = state <= HAP_ZONE_KNOWN_GONE ? (hap_zone_known_state_t)state : HAP_ZONE_KNOWN_NONE,
        .owner = (uint32_t)content.owner_and_state,
        .epoch = content.epoch,
        .version = content.version,
        .rest_s = rest < UINT32_MAX ? (uint32_t)rest : UINT32_MAX,
        .age_ms = age < UINT32_MAX ? (uint32_t)age : UINT32_MAX,
    };
    return true;
}

/* --- noting ----------------------------------------------------------------------------------- */

/* Somebody else needs it for some nanoseconds, unless he is gone. */
static void take(bucket_t *bucket, int64_t now_ms)
{
    int64_t now = now_ms ? now_ms : 1;
    for (unsigned spins = 0;; spins++) {
        int64_t held = 0;
        if (atomic_compare_exchange_strong_explicit(&bucket->lock, &held, now, memory_order_acquire,
                                                    memory_order_relaxed)) {
            return;
        }
        bool stuck = now - held > STUCK_MS || now < held - STUCK_MS || spins > SPINS_MAX;
        if (stuck && atomic_compare_exchange_strong_explicit(
                         &bucket->lock, &held, now, memory_order_acquire, memory_order_relaxed)) {
            return;
        }
        sched_yield();
    }
}

static void give(bucket_t *bucket)
{
    atomic_store_explicit(&bucket->lock, 0, memory_order_release);
}

static bool is_gone(const content_t *content)
{
    return content->owner_and_state >> 32 == HAP_ZONE_KNOWN_GONE;
}

/* By epoch, then GONE, then version. */
static bool is_older(const content_t *a, const content_t *b)
{
    if (a->epoch != b->epoch) {
        return a->epoch < b->epoch;
    }
    return is_gone(a) != is_gone(b) ? is_gone(b) : a->version < b->version;
}

/* One that has passed its time or cannot be read, else the one that was seen longest ago. */
static int find_victim(const bucket_t *bucket, uint64_t now)
{
    int victim = 0;
    uint64_t oldest = UINT64_MAX;
    for (int way = 0; way < HAP_ZONE_TABLE_WAYS; way++) {
        content_t content;
        if (!read_entry(&content, &bucket->entries[way]) || content.end_ms <= now) {
            return way;
        }
        if (content.seen_ms < oldest) {
            oldest = content.seen_ms;
            victim = way;
        }
    }
    return victim;
}

void hap_zone_table_note(hap_zone_table_t *table,
                         const unsigned char key_bytes[HAP_ZONE_TABLE_KEY_BYTES], int64_t now_ms,
                         const hap_zone_known_t *known)
{
    uint64_t now = (uint64_t)now_ms;
    content_t there;
    content_t content = {
        .epoch = known->epoch,
        .version = known->version,
        .owner_and_state = (uint64_t)known->state << 32 | known->owner,
        .end_ms = now + (uint64_t)known->rest_s * 1000,
        .seen_ms = now,
    };
    read_key(content.key, key_bytes);
    bucket_t *bucket = find_bucket(table, content.key);
    take(bucket, now_ms);
    int way = find_way(&there, bucket, content.key);
    if (way >= 0 && there.end_ms > now && is_older(&content, &there)) {
        content = there;
        /* The store has nothing, which is as good as having looked. */
        content.seen_ms = known->state == HAP_ZONE_KNOWN_NONE ? now : there.seen_ms;
    }
    write_entry(bucket, way >= 0 ? way : find_victim(bucket, now), &content);
    give(bucket);
}
