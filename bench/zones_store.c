/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns measuring what the store of zones costs by itself: PUTs with many in flight and one after
 * the other, in a loop as the lane has it, and from a thread that waits, as the standard path does
 * it. What libmemcached does is store_plain's. Starts two memcached servers of its own.
 *
 *   bench/zones_store [BYTES OF STATE]
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "hapstore.h"
#include "memcached.h"

enum { IN_FLIGHT = 64, SESSIONS = 4096, SECONDS = 3, ALONE = 2000, NODES = 2 };

static apr_pool_t *pool;
static hap_zone_keys_t *keys;
static hap_zone_spec_t spec;
static hapstore_breaker_t breakers[NODES];
static char names[SESSIONS][HAP_ZONE_NAME_BYTES + 1];
static memcached_server_t servers[NODES];
static size_t bytes = 4000;
static char *state;
static bool stop;
static unsigned long count, failed, in_flight;

static double cpu_us(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e6 +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}

/* --- the store -------------------------------------------------------------------------------- */

typedef struct slot_t {
    hapstore_op_t op; /* first: `done` brings it back */
    hapstore_t *store;
    unsigned turn;
} slot_t;

static uint64_t version = 1;

static void begin(slot_t *slot, hap_zone_act_t act)
{
    const char *name = names[(slot->turn++ * IN_FLIGHT * 7 + (unsigned)version) % SESSIONS];
    memcpy(slot->op.name, name, HAP_ZONE_NAME_BYTES);
    slot->op.wish = (hap_zone_wish_t){.act = act,
                                      .version = version++,
                                      .ttl_s = 1800,
                                      .owner = HAP_STR_LIT("hostA"),
                                      .data = hap_strn(state, bytes),
                                      .fresh = true};
}

static void turn(hapstore_t *store)
{
    struct pollfd wait = {.fd = hapstore_fd(store), .events = POLLIN};
    hapstore_flush(store);
    poll(&wait, 1, -1);
    hapstore_turn(store);
}

static void on_done(hapstore_op_t *op)
{
    slot_t *slot = (slot_t *)op;
    do {
        count++;
        failed += op->end != HAPSTORE_DONE;
        hapstore_op_clear(op);
        if (stop) {
            in_flight--;
            return;
        }
        begin(slot, HAP_ZONE_PUT);
    } while (hapstore_run(slot->store, op));
}

static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* The processor's time says more than the rate where others work too. */
static void many(hapstore_t *store)
{
    static slot_t slots[IN_FLIGHT];
    double began_cpu_us = cpu_us();
    int64_t until_us = now_us() + SECONDS * 1000000;
    for (in_flight = 0; in_flight < IN_FLIGHT; in_flight++) {
        slot_t *slot = &slots[in_flight];
        *slot = (slot_t){.op = {.done = on_done}, .store = store, .turn = (unsigned)in_flight};
        begin(slot, HAP_ZONE_PUT);
        hapstore_run(store, &slot->op);
    }
    while (in_flight) {
        turn(store);
        stop = now_us() > until_us;
    }
    printf("%-44s %7.0f /s, %4.0f us of CPU each, %lu failed\n", "PUT, 64 in flight",
           (double)count / SECONDS, (cpu_us() - began_cpu_us) / (double)count, failed);
}

static bool over;

static void on_one_done(hapstore_op_t *op)
{
    over = true;
}

static void in_loop(hapstore_t *store, hapstore_op_t *op)
{
    op->done = on_one_done;
    over = hapstore_run(store, op);
    while (!over) {
        turn(store);
    }
}

static int by_number(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void say_times(const char *what, int64_t times[ALONE])
{
    qsort(times, ALONE, sizeof(times[0]), by_number);
    printf("%-44s %6lld us median, %6lld us p99\n", what, (long long)times[ALONE / 2],
           (long long)times[ALONE * 99 / 100]);
}

static void one(hapstore_t *store, hap_zone_act_t act, const char *what,
                void (*run)(hapstore_t *store, hapstore_op_t *op))
{
    static int64_t times[ALONE];
    slot_t slot = {.store = store};
    for (unsigned i = 0; i < ALONE; i++) {
        begin(&slot, act);
        int64_t began = now_us();
        run(store, &slot.op);
        times[i] = now_us() - began;
        hapstore_op_clear(&slot.op);
    }
    say_times(what, times);
}

/* --- sealing by itself ------------------------------------------------------------------------ */

static void one_sealed(void)
{
    static int64_t times[ALONE];
    static const unsigned char nonce[HAP_ZONE_NONCE_BYTES];
    hap_zone_record_t record = {.epoch = 1, .version = 1, .ttl_s = 1800};
    record.data = hap_strn(state, bytes);
    size_t n = hap_zone_sealed_bytes(&record);
    unsigned char *sealed = malloc(n);
    unsigned char *plain = malloc(n);
    for (unsigned i = 0; i < ALONE; i++) {
        hap_str_t name = hap_strn(names[i], HAP_ZONE_NAME_BYTES);
        int64_t began = now_us();
        hap_zone_seal(sealed, &record, keys, name, nonce);
        hap_zone_open(&record, plain, hap_strn((char *)sealed, n), keys, name);
        times[i] = now_us() - began;
        record.data = hap_strn(state, bytes);
    }
    free(sealed);
    free(plain);
    say_times("sealing and opening one", times);
}

static void prepare(void)
{
    static const unsigned char key[HAP_ZONE_KEY_BYTES] = "of no use to anybody else";
    hap_zone_keys_make(&keys, key, pool);
    spec.kind = HAP_ZONE_MEMCACHED;
    spec.nodes_n = NODES;
    for (unsigned i = 0; i < NODES; i++) {
        memcached_up(&servers[i], NULL);
        spec.nodes[i] = (hap_zone_node_t){"127.0.0.1", servers[i].port,
                                          apr_psprintf(pool, "127.0.0.1:%u", servers[i].port)};
    }
    for (unsigned i = 0; i < SESSIONS; i++) {
        hap_zone_id_t id = {HAP_STR_LIT("app"),
                            HAP_STR_LIT("USER"),
                            hap_str(apr_psprintf(pool, "session%u", i)),
                            {NULL, 0}};
        hap_zone_name(names[i], keys, &id);
    }
    state = apr_pcalloc(pool, bytes + 1);
    memset(state, 'x', bytes);
}

static hapstore_t *make(void)
{
    static hapstore_conf_t conf;
    hapstore_t *store = NULL;
    conf = (hapstore_conf_t){.spec = &spec,
                             .keys = keys,
                             .budget = apr_time_from_msec(1000),
                             .probe = apr_time_from_msec(1000),
                             .breakers = breakers};
    if (hapstore_create(&store, &conf, pool) != APR_SUCCESS) {
        fprintf(stderr, "bench/zones_store: no store could be made\n");
        exit(EXIT_FAILURE);
    }
    return store;
}

int main(int argc, char **argv)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    bytes = argc > 1 ? (size_t)strtoul(argv[1], NULL, 10) : bytes;
    if (bytes < 1 || bytes > HAP_ZONE_DATA_BYTES_MAX) {
        fprintf(stderr, "bench/zones_store: 1 to %d bytes\n", HAP_ZONE_DATA_BYTES_MAX);
        return EXIT_FAILURE;
    }
    prepare();
    hapstore_t *store = make();
    printf("%d nodes, %zu bytes of state\n", NODES, bytes);
    many(store);
    one(store, HAP_ZONE_LOOK, "one LOOK, in a loop", in_loop);
    one(store, HAP_ZONE_PUT, "one PUT, in a loop", in_loop);
    hapstore_destroy(store);
    store = make();
    hapstore_serve(store);
    one(store, HAP_ZONE_LOOK, "one LOOK, waiting", hapstore_wait);
    one(store, HAP_ZONE_PUT, "one PUT, waiting", hapstore_wait);
    hapstore_destroy(store);
    one_sealed();
    memcached_kill(&servers[0]);
    memcached_kill(&servers[1]);
    return EXIT_SUCCESS;
}
