/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what libmemcached alone does with two nodes, which is what a zone's store is measured by. No
 * line of the store is in it.
 *
 *   store_plain -p PORT -p PORT -b BYTES -n COUNT               a set on each node, one at a time
 *   store_plain -p PORT -p PORT -b BYTES -s SECONDS -t THREADS  sets of both nodes, many at a time
 *
 * With -g each set is a gets and a cas. -k says how many keys there are. With -n it prints the
 * median of the slower one of the two sets, with -s how often a second both nodes were set; a line
 * of JSON.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <libmemcached/memcached.h>

#include "net.h"

enum { NODES = 2, KEYS = 500, MOST_KEYS = 1000000, MOST_COUNT = 1000000, MOST_SECONDS = 3600 };
enum { MOST_THREADS = 64, MOST_BYTES = 900000, MOST_PORTS = 65535, US_A_SECOND = 1000000 };
enum { NAME_BYTES = 48, TTL_S = 1800 };

/** What was asked for. */
typedef struct plain_t {
    uint16_t ports[NODES];
    unsigned ports_n;
    size_t bytes;
    long keys;
    long count;   /* one at a time; 0: for `seconds` */
    long seconds; /* 0: `count` */
    long threads;
    bool with_cas;
} plain_t;

static plain_t plain = {.keys = KEYS, .threads = 1};
static char *value;
static atomic_bool stop;
static atomic_long sets;

static memcached_st *connect_to(uint16_t port)
{
    memcached_st *memc = memcached_create(NULL);
    if (!memc) {
        bench_die("memory for libmemcached");
    }
    memcached_behavior_set(memc, MEMCACHED_BEHAVIOR_SUPPORT_CAS, 1);
    memcached_behavior_set(memc, MEMCACHED_BEHAVIOR_TCP_NODELAY, 1);
    memcached_server_add(memc, "127.0.0.1", port);
    return memc;
}

static void check(memcached_st *memc, memcached_return_t rc)
{
    if (memcached_failed(rc)) {
        fprintf(stderr, "memcached: %s\n", memcached_strerror(memc, rc));
        exit(1);
    }
}

/* The token of a value; 0 if there is none. */
static uint64_t read_token(memcached_st *memc, const char *name, size_t name_n)
{
    memcached_return_t rc = memcached_mget(memc, &name, &name_n, 1);
    check(memc, rc);
    uint64_t token = 0;
    memcached_result_st result;
    memcached_result_create(memc, &result);
    while (memcached_fetch_result(memc, &result, &rc)) {
        token = memcached_result_cas(&result);
    }
    memcached_result_free(&result);
    return token;
}

static void put(memcached_st *memc, long key)
{
    char name[NAME_BYTES];
    size_t n = (size_t)snprintf(name, sizeof(name), "plain:%041ld", key);
    uint64_t token = plain.with_cas ? read_token(memc, name, n) : 0;
    memcached_return_t rc = token
                                ? memcached_cas(memc, name, n, value, plain.bytes, TTL_S, 0, token)
                                : memcached_set(memc, name, n, value, plain.bytes, TTL_S, 0);
    /* Another thread may have had the same key in between. */
    if (rc != MEMCACHED_DATA_EXISTS) {
        check(memc, rc);
    }
}

/* --- one at a time -----------------------------------------------------------------------------
 */

static int by_number(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void one_at_a_time(void)
{
    memcached_st *nodes[NODES] = {connect_to(plain.ports[0]), connect_to(plain.ports[1])};
    int64_t *slower = calloc((size_t)plain.count, sizeof(*slower));
    if (!slower) {
        bench_die("memory for times");
    }
    put(nodes[0], 0);
    put(nodes[1], 0);
    for (long i = 0; i < plain.count; i++) {
        for (unsigned node = 0; node < NODES; node++) {
            int64_t began = bench_now_us();
            put(nodes[node], i % plain.keys);
            int64_t took = bench_now_us() - began;
            slower[i] = took > slower[i] ? took : slower[i];
        }
    }
    qsort(slower, (size_t)plain.count, sizeof(*slower), by_number);
    printf("{\"slower_us\":%lld}\n", (long long)slower[plain.count / 2]);
    free(slower);
    memcached_free(nodes[0]);
    memcached_free(nodes[1]);
}

/* --- many at a time ----------------------------------------------------------------------------
 */

static double seconds_of(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / US_A_SECOND;
}

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
}

static void *set_both(void *data)
{
    long key = *(const long *)data;
    memcached_st *nodes[NODES] = {connect_to(plain.ports[0]), connect_to(plain.ports[1])};
    while (!atomic_load(&stop)) {
        put(nodes[0], key);
        put(nodes[1], key);
        atomic_fetch_add(&sets, 1);
        key = (key + plain.threads) % plain.keys;
    }
    memcached_free(nodes[0]);
    memcached_free(nodes[1]);
    return NULL;
}

static void many_at_a_time(void)
{
    pthread_t threads[MOST_THREADS];
    long keys[MOST_THREADS];
    int64_t began = bench_now_us();
    for (long i = 0; i < plain.threads; i++) {
        keys[i] = i % plain.keys;
        if (pthread_create(&threads[i], NULL, set_both, &keys[i]) != 0) {
            bench_die("a thread");
        }
    }
    sleep((unsigned)plain.seconds);
    atomic_store(&stop, true);
    for (long i = 0; i < plain.threads; i++) {
        pthread_join(threads[i], NULL);
    }
    double seconds = (double)(bench_now_us() - began) / US_A_SECOND;
    long all = atomic_load(&sets);
    printf("{\"stores\":%ld,\"seconds\":%.6f,\"cpu_seconds\":%.6f}\n", all, seconds, cpu_seconds());
}

/* --- the command line --------------------------------------------------------------------------
 */

static void add_port(const char *text)
{
    uint16_t port = (uint16_t)bench_number("-p", text, MOST_PORTS);
    if (plain.ports_n < NODES) {
        plain.ports[plain.ports_n] = port;
    }
    plain.ports_n++;
}

static void read_options(int argc, char **argv)
{
    int option;
    while ((option = getopt(argc, argv, "p:b:k:n:s:t:g")) != -1) {
        switch (option) {
        case 'p':
            add_port(optarg);
            break;
        case 'b':
            plain.bytes = (size_t)bench_number("-b", optarg, MOST_BYTES);
            break;
        case 'k':
            plain.keys = bench_number("-k", optarg, MOST_KEYS);
            break;
        case 'n':
            plain.count = bench_number("-n", optarg, MOST_COUNT);
            break;
        case 's':
            plain.seconds = bench_number("-s", optarg, MOST_SECONDS);
            break;
        case 't':
            plain.threads = bench_number("-t", optarg, MOST_THREADS);
            break;
        case 'g':
            plain.with_cas = true;
            break;
        default:
            exit(2);
        }
    }
    if (optind != argc || plain.ports_n != NODES || !plain.bytes ||
        !plain.count == !plain.seconds) {
        fprintf(stderr, "usage: store_plain -p PORT -p PORT -b BYTES [-g] [-k KEYS] {-n COUNT | "
                        "-s SECONDS -t THREADS}\n");
        exit(2);
    }
}

int main(int argc, char **argv)
{
    read_options(argc, argv);
    bench_begin();
    value = malloc(plain.bytes);
    if (!value) {
        bench_die("memory for a value");
    }
    memset(value, 'x', plain.bytes);
    plain.count ? one_at_a_time() : many_at_a_time();
    free(value);
    return 0;
}
