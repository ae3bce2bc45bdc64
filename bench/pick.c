/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns measuring what a choice costs: each method, with and without a session, at 2 and at 1,000
 * members, in one run. Rounds are interleaved, so that what disturbs the machine disturbs all of
 * them alike, and the median counts. Does not measure httpd around it.
 *
 * Prints nanoseconds a choice; exit 1 when a bar is missed.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "farm.h"

enum { ROUNDS = 101, PICKS = 20000, KINDS = 2, SIZES = 2, CHILDREN = 4, BAR_NS = 200 };
enum { REQUESTS = 4096, ROUTE_BYTES = 8 };

static const double bar_growth = 1.5;
static const uint32_t sizes[SIZES] = {2, 1000};
static const char *const kinds[KINDS] = {"session", "new"};
static const char *const methods[] = {
    [HAP_METHOD_ROUND] = "round",
    [HAP_METHOD_LEAST] = "least",
    [HAP_METHOD_LATENCY] = "latency",
    [HAP_METHOD_HASH] = "hash",
};
enum { METHODS = sizeof(methods) / sizeof(methods[0]) };

/** One cell of the table. */
typedef struct cell_t {
    double ns[ROUNDS]; /* a choice, by round */
} cell_t;

/** A request as it comes in: what its cookie says, in bytes of its own, and its hash-key. */
typedef struct request_t {
    char route[ROUTE_BYTES];
    uint64_t hash;
} request_t;

static farm_t farms[METHODS][SIZES];
static hap_stalls_t stalls[METHODS * SIZES];
static request_t requests[SIZES][REQUESTS];
static cell_t cells[METHODS][KINDS][SIZES];

/* Results go here, so that no choice is optimised away. */
static volatile uint64_t sink;

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void stay_on_one_core(void)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    sched_setaffinity(0, sizeof(one), &one);
}

/* Names are equally long at both sizes, so that both take as long to hash. */
static void name_routes(farm_t *farm)
{
    for (uint32_t i = 0; i < farm->n; i++) {
        farm->members[i].route = hap_str(apr_psprintf(farm->pool, "host%03u", i));
    }
    farm_build(farm);
}

static void make_requests(int size)
{
    uint64_t draw = 4711;
    for (int i = 0; i < REQUESTS; i++) {
        draw = hap_pick_redraw(draw);
        request_t *request = &requests[size][i];
        apr_snprintf(request->route, ROUTE_BYTES, "host%03u", (unsigned)(draw >> 32) % sizes[size]);
        request->hash = draw * 0x2545f4914f6cdd1dULL;
    }
}

/* A server with some children, each with something in flight, and answer times that differ. */
static void fill(farm_t *farm)
{
    for (int child = 0; child < CHILDREN; child++) {
        hap_row_t *row = hap_shared_claim_row(&farm->shared, child + 1);
        for (uint32_t i = 0; row && i < farm->n; i++) {
            atomic_store(&row->count[i], (i + (uint32_t)child) % 3);
        }
    }
    for (uint32_t i = 0; i < farm->n; i++) {
        atomic_store(&farm->shared.slots[i].latency_us, 1000 + i % 7);
    }
    size_t bytes = (farm->n + 1) * sizeof(hap_stall_t);
    uintptr_t memory = (uintptr_t)apr_pcalloc(farm->pool, bytes);
    hap_stalls_t *watch = &stalls[farm - &farms[0][0]];
    *watch = (hap_stalls_t){(void *)APR_ALIGN(memory, HAP_CACHE_LINE), 1000, 1000};
    farm->selector.stalls = watch;
}

static void pick_many(farm_t *farm, const request_t *from, bool session)
{
    uint64_t sum = 0;
    for (int i = 0; i < PICKS; i++) {
        const request_t *request = &from[i % REQUESTS];
        farm->request.hash = request->hash;
        farm->request.wanted = -1;
        if (session) {
            const hap_str_t route = hap_strn(request->route, ROUTE_BYTES - 1);
            farm->request.wanted = hap_roster_find(farm->selector.roster, route);
        }
        sum += (uint64_t)farm_pick(farm).member;
    }
    sink += sum;
}

static void measure(int round)
{
    for (int method = 0; method < METHODS; method++) {
        for (int kind = 0; kind < KINDS; kind++) {
            for (int size = 0; size < SIZES; size++) {
                double begin = now_ns();
                pick_many(&farms[method][size], requests[size], kind == 0);
                cells[method][kind][size].ns[round] = (now_ns() - begin) / PICKS;
            }
        }
    }
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(cell_t *cell)
{
    qsort(cell->ns, ROUNDS, sizeof(cell->ns[0]), by_value);
    return cell->ns[ROUNDS / 2];
}

/* One line of the table; whether it keeps to the bars. */
static bool report(int method, int kind)
{
    double few = median(&cells[method][kind][0]);
    double many = median(&cells[method][kind][1]);
    bool good = few < BAR_NS && many < BAR_NS && many / few <= bar_growth;
    printf("%-8s %-8s %8.1f %8.1f %8.2f  %s\n", methods[method], kinds[kind], few, many, many / few,
           good ? "" : "MISSED");
    return good;
}

int main(void)
{
    apr_pool_t *pool;
    apr_initialize();
    apr_pool_create(&pool, NULL);
    stay_on_one_core();
    for (int method = 0; method < METHODS; method++) {
        for (int size = 0; size < SIZES; size++) {
            farm_make(&farms[method][size], sizes[size], (hap_method_t)method, pool);
            name_routes(&farms[method][size]);
            fill(&farms[method][size]);
        }
    }
    for (int size = 0; size < SIZES; size++) {
        make_requests(size);
    }
    measure(0); /* warms up, and is measured over */
    for (int round = 0; round < ROUNDS; round++) {
        measure(round);
    }
    bool good = true;
    printf("%-8s %-8s %8s %8s %8s\n", "method", "request", "ns@2", "ns@1000", "growth");
    for (int method = 0; method < METHODS; method++) {
        for (int kind = 0; kind < KINDS; kind++) {
            good = report(method, kind) && good;
        }
    }
    printf("bars: under %d ns, growth at most %.1f\n", BAR_NS, bar_growth);
    apr_terminate();
    return good ? 0 : 1;
}
