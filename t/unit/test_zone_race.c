/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of hap_zone_rule in the model of zone_world.h: random interleavings of requests, instances
 * that are paused and killed, proxies that die, nodes that fail. A failure prints its seed and all
 * that happened.
 *
 *   ZONE_RACE_SEED=N  begin with this seed      ZONE_RACE_RUNS=N  that many worlds of each kind
 */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "zone_world.h"

enum { RUNS = 4000, STEPS = 150, WRITERS = 3, WRITES = 4 };

static uint64_t number_from(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

static uint64_t first_seed(void)
{
    return number_from("ZONE_RACE_SEED", 1);
}

static uint64_t runs(void)
{
    return number_from("ZONE_RACE_RUNS", RUNS);
}

/* --- sessions --------------------------------------------------------------------------------- */

/* What was broken in the world of this seed; NULL nothing. What happened is added to `events`. */
static const char *run(uint64_t seed, bool one_failure_at_a_time, bool trace,
                       unsigned long events[WORLD_EVENTS])
{
    static world_t world;
    world_init(&world, seed);
    world.one_failure_at_a_time = one_failure_at_a_time;
    world.trace = trace;
    for (int i = 0; i < STEPS && !world.broken; i++) {
        world_step(&world);
    }
    if (!world.broken) {
        world_rest(&world);
    }
    for (int i = 0; i < WORLD_EVENTS; i++) {
        events[i] += world.events[i];
    }
    return world.broken;
}

/* Until one breaks. That one is shown. */
static void run_all(bool one_failure_at_a_time, unsigned long events[WORLD_EVENTS])
{
    const char *broken = NULL;
    uint64_t seed = first_seed();
    for (uint64_t end = seed + runs(); seed < end && !broken; seed++) {
        broken = run(seed, one_failure_at_a_time, false, events);
    }
    if (broken) {
        fprintf(stderr, "\n%s: ZONE_RACE_SEED=%llu ZONE_RACE_RUNS=1\n", broken,
                (unsigned long long)(seed - 1));
        run(seed - 1, one_failure_at_a_time, true, events);
    }
    UNIT_STR_EQ(broken, NULL);
}

/* Only long runs see the rarest of it, but all of this in hundreds of worlds. */
static void assert_happened(const unsigned long events[WORLD_EVENTS])
{
    for (int i = 0; i < WORLD_EVENTS; i++) {
        bool rare = i == WORLD_N_UNPROTECTED || i == WORLD_N_BEGUN_ANEW;
        CU_ASSERT_TRUE(rare || events[i] > runs() / 100);
    }
}

/* zone_world_steps.c says what one failure at a time is, zone_world_watch.c what is promised. */
static void one_failure_at_a_time_loses_nothing_and_brings_nothing_back(void)
{
    unsigned long events[WORLD_EVENTS] = {0};
    run_all(true, events);
    assert_happened(events);
    CU_ASSERT_EQUAL(events[WORLD_N_UNPROTECTED], 0);
    CU_ASSERT_EQUAL(events[WORLD_N_BEGUN_ANEW], 0);
}

/* Both copies may be lost, or old; what is left of it is the same for all. */
static void whatever_fails_nobody_goes_by_less_than_he_knows_and_copies_agree_in_the_end(void)
{
    unsigned long events[WORLD_EVENTS] = {0};
    run_all(false, events);
    assert_happened(events);
    CU_ASSERT_TRUE(events[WORLD_N_UNPROTECTED] > 0 && events[WORLD_N_BEGUN_ANEW] > 0);
}

/* --- values of L2 ----------------------------------------------------------------------------- */

/** Somebody who reads a value, and writes it with a bit of his own added if it has not changed. */
typedef struct writer_t {
    engine_op_t op;
    uint64_t value; /* that he writes */
    unsigned writes;
} writer_t;

static struct {
    engine_t engine;
    unit_random_t random;
    writer_t writers[WRITERS];
    uint64_t values[WRITERS * WRITES]; /* what records borrow their data from */
    unsigned values_n;
    uint64_t kept; /* bits of writes that were told to be stored */
    uint64_t refused;
    unsigned retried;
} shelf;

static hap_zone_wish_t writers_wish(const writer_t *writer)
{
    const hap_zone_record_t *seen = &writer->op.record;
    hap_zone_wish_t wish = {.act = HAP_ZONE_WRITE, .condition = HAP_ZONE_ABSENT};
    if (writer->op.found) {
        wish.condition = HAP_ZONE_MATCH;
        wish.epoch = seen->epoch;
        wish.version = seen->version;
        wish.match_tie = seen->tie;
    }
    return wish;
}

static void write_on(writer_t *writer)
{
    hap_zone_wish_t wish = writers_wish(writer);
    uint64_t bit = 1ULL << shelf.values_n;
    uint64_t *value = &shelf.values[shelf.values_n++];
    *value = bit | (writer->op.found ? world_writes_of(&writer->op.record) : 0);
    wish.data = hap_strn((const char *)value, sizeof(*value));
    wish.tie = (uint32_t)unit_random(&shelf.random, UINT32_MAX);
    writer->value = bit;
    writer->writes++;
    engine_begin(&shelf.engine, &writer->op, &wish, NULL);
}

static void note_end(const writer_t *writer)
{
    bool done = writer->op.how == ENGINE_DONE;
    shelf.retried += writer->op.tries > 0;
    if (done && writer->op.verdict == HAP_ZONE_STORE) {
        shelf.kept |= writer->value;
    } else if (done && writer->op.verdict == HAP_ZONE_UNMET) {
        shelf.refused |= writer->value;
    }
}

static void step_writer(writer_t *writer)
{
    unsigned node = (unsigned)unit_random(&shelf.random, ENGINE_NODES);
    if (engine_waits(&writer->op, node)) {
        engine_step(&shelf.engine, &writer->op, node, ENGINE_ARRIVES);
    } else if (writer->op.phase != ENGINE_OVER) {
        return;
    } else if (writer->op.wish.act == HAP_ZONE_LOOK) {
        write_on(writer);
    } else if (writer->writes < WRITES) {
        note_end(writer);
        engine_begin(&shelf.engine, &writer->op, &(hap_zone_wish_t){.act = HAP_ZONE_LOOK}, NULL);
    }
}

static bool all_written(void)
{
    for (int i = 0; i < WRITERS; i++) {
        const writer_t *writer = &shelf.writers[i];
        if (writer->op.phase != ENGINE_OVER || writer->writes < WRITES ||
            writer->op.wish.act == HAP_ZONE_LOOK) {
            return false;
        }
    }
    return true;
}

static void begin_shelf(uint64_t seed)
{
    unsigned retried = shelf.retried;
    memset(&shelf, 0, sizeof(shelf));
    shelf.retried = retried;
    shelf.random.state = seed;
    engine_init(&shelf.engine);
    for (int i = 0; i < WRITERS; i++) {
        engine_begin(&shelf.engine, &shelf.writers[i].op, &(hap_zone_wish_t){.act = HAP_ZONE_LOOK},
                     NULL);
    }
}

/* True if what was told is what came of it. */
static bool run_writers(uint64_t seed)
{
    begin_shelf(seed);
    while (!all_written()) {
        step_writer(&shelf.writers[unit_random(&shelf.random, WRITERS)]);
    }
    for (int i = 0; i < WRITERS; i++) {
        note_end(&shelf.writers[i]);
    }
    uint64_t value = world_writes_of(&shelf.engine.node[0].record);
    return (shelf.kept & ~value) == 0 && (shelf.refused & value) == 0;
}

static void of_writers_at_once_each_is_told_what_came_of_it(void)
{
    uint64_t seed = first_seed();
    bool told = true;
    for (uint64_t end = seed + runs(); seed < end && told; seed++) {
        told = run_writers(seed);
    }
    if (!told) {
        fprintf(stderr, "\nZONE_RACE_SEED=%llu ZONE_RACE_RUNS=1\n", (unsigned long long)(seed - 1));
    }
    CU_ASSERT_TRUE(told);
    CU_ASSERT_TRUE(shelf.retried > 0);
}

const unit_test_t suite_zone_race[] = {
    UNIT_TEST(one_failure_at_a_time_loses_nothing_and_brings_nothing_back),
    UNIT_TEST(whatever_fails_nobody_goes_by_less_than_he_knows_and_copies_agree_in_the_end),
    UNIT_TEST(of_writers_at_once_each_is_told_what_came_of_it),
    UNIT_END,
};
