/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hapstore, on real memcached servers: what many threads do at once. */
#include "unit.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include <apr_strings.h>

#include "store.h"

enum {
    WRITERS = 6,
    PUTS_EACH = 40,
    OWNERS = 3,
    TAKERS = 9,
    TAKES_EACH = 120,
    ADDERS = 8,
    ADDS_EACH = 150
};

typedef struct writer_t {
    shelf_t *shelf;
    hapstore_t *store;
    const char *owner;
    pthread_barrier_t *together;
    _Atomic unsigned *version;
    uint64_t epochs[TAKES_EACH];
    unsigned bad;
    pthread_t thread;
} writer_t;

static void *write_versions(void *data)
{
    writer_t *writer = data;
    for (int i = 0; i < PUTS_EACH; i++) {
        hapstore_op_t *op =
            do_put(writer->store, writer->shelf, "sid", ++*writer->version, "state");
        writer->bad += op->end != HAPSTORE_DONE;
        hapstore_op_clear(op);
        free(op);
    }
    return NULL;
}

static void run_writers(writer_t *writers, unsigned n, void *(*run)(void *))
{
    for (unsigned i = 0; i < n; i++) {
        pthread_create(&writers[i].thread, NULL, run, &writers[i]);
    }
    for (unsigned i = 0; i < n; i++) {
        pthread_join(writers[i].thread, NULL);
        CU_ASSERT_EQUAL(writers[i].bad, 0);
    }
}

/* What one node has by itself. */
static uint64_t version_on(shelf_t *shelf, unsigned node)
{
    shelf_t *alone = shelf_of_ports(&shelf->spec.nodes[node].port, 1);
    hapstore_t *store = store_open(alone);
    hapstore_op_t *op = do_look(store, alone, "sid");
    uint64_t version = op->found ? op->record.version : 0;
    hapstore_op_clear(op);
    free(op);
    hapstore_destroy(store);
    return version;
}

static void of_versions_that_are_put_at_once_the_highest_is_on_both_nodes(void)
{
    shelf_t *shelf = shelf_make(2, NULL);
    shelf->budget_ms = STORE_PATIENT_MS;
    _Atomic unsigned version = 0;
    writer_t writers[WRITERS];
    hapstore_t *stores[2] = {store_open(shelf), store_open(shelf)};
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (writer_t){.shelf = shelf, .store = stores[i % 2], .version = &version};
    }
    run_writers(writers, WRITERS, write_versions);
    CU_ASSERT_EQUAL(version_on(shelf, 0), WRITERS * PUTS_EACH);
    CU_ASSERT_EQUAL(version_on(shelf, 1), WRITERS * PUTS_EACH);
    hapstore_destroy(stores[0]);
    hapstore_destroy(stores[1]);
    shelf_clear(shelf);
}

static void *take_turns(void *data)
{
    writer_t *writer = data;
    uint64_t known = 1;
    for (int i = 0; i < TAKES_EACH; i++) {
        pthread_barrier_wait(writer->together);
        hapstore_op_t *op = do_take(writer->store, writer->shelf, "sid", known, writer->owner);
        writer->bad += op->end != HAPSTORE_DONE && op->end != HAPSTORE_CONFLICT;
        bool has = op->end == HAPSTORE_DONE && op->verdict != HAP_ZONE_FENCED;
        writer->epochs[i] = has ? op->record.epoch : 0;
        known = op->found ? op->record.epoch : known;
        writer->bad += has && !hap_str_eq(op->record.owner, hap_str(writer->owner));
        hapstore_op_clear(op);
        free(op);
    }
    return NULL;
}

/* Who owns the session in which epoch, by what one of those who took it was told. How many there
 * were; fails for an epoch that has two. */
static unsigned note_owners(const char *owner_of[], const writer_t *writer)
{
    unsigned n = 0;
    for (int i = 0; i < TAKES_EACH; i++) {
        uint64_t epoch = writer->epochs[i];
        if (epoch) {
            CU_ASSERT_TRUE(!owner_of[epoch] || strcmp(owner_of[epoch], writer->owner) == 0);
            owner_of[epoch] = writer->owner;
            n++;
        }
    }
    return n;
}

/* Also those of the same owner are told no more than is so: what the first of them has stored on
 * one node only may not stay. */
static void no_two_owners_are_ever_given_the_same_epoch(void)
{
    static const char *const owners[OWNERS] = {"host0", "host1", "host2"};
    const char *owner_of[2 + TAKERS * TAKES_EACH] = {NULL};
    shelf_t *shelf = shelf_make(2, NULL);
    shelf->budget_ms = STORE_PATIENT_MS;
    hapstore_t *store = store_open(shelf);
    put(store, shelf, "sid", 1, "state");
    pthread_barrier_t together;
    pthread_barrier_init(&together, NULL, TAKERS);
    writer_t writers[TAKERS];
    for (unsigned i = 0; i < TAKERS; i++) {
        writers[i] = (writer_t){.shelf = shelf,
                                .store = store_open(shelf),
                                .owner = owners[i % OWNERS],
                                .together = &together};
    }
    run_writers(writers, TAKERS, take_turns);
    unsigned told = 0;
    for (unsigned i = 0; i < TAKERS; i++) {
        told += note_owners(owner_of, &writers[i]);
        hapstore_destroy(writers[i].store);
    }
    CU_ASSERT_TRUE(told > TAKERS);
    pthread_barrier_destroy(&together);
    hapstore_destroy(store);
    shelf_clear(shelf);
}

/* Adds one to the number that is stored, if it is still the one that was read. */
static bool add_one(writer_t *writer)
{
    char number[32];
    hapstore_op_t *look = do_look(writer->store, writer->shelf, "sid");
    unsigned long before = 0;
    writer->bad += !hap_str_uint(&before, look->record.data, ULONG_MAX);
    snprintf(number, sizeof(number), "%lu", before + 1);
    hapstore_op_t *op = do_overwrite(writer->store, writer->shelf, "sid", &look->record, number);
    bool stored = op->end == HAPSTORE_DONE && op->verdict == HAP_ZONE_STORE;
    hapstore_op_clear(look);
    hapstore_op_clear(op);
    free(look);
    free(op);
    return stored;
}

static void *add_ones(void *data)
{
    writer_t *writer = data;
    for (int i = 0; i < ADDS_EACH; i++) {
        while (!add_one(writer)) {
        }
    }
    return NULL;
}

static void of_writes_over_what_was_read_none_undoes_another(void)
{
    shelf_t *shelf = shelf_make(2, NULL);
    shelf->budget_ms = STORE_PATIENT_MS;
    writer_t writers[ADDERS];
    for (unsigned i = 0; i < ADDERS; i++) {
        writers[i] = (writer_t){.shelf = shelf, .store = store_open(shelf)};
    }
    put(writers[0].store, shelf, "sid", 1, "0");
    run_writers(writers, ADDERS, add_ones);
    UNIT_STR_EQ(look(writers[0].store, shelf, "sid"),
                apr_psprintf(unit_pool, "2 %d", ADDERS * ADDS_EACH));
    for (unsigned i = 0; i < ADDERS; i++) {
        hapstore_destroy(writers[i].store);
    }
    shelf_clear(shelf);
}

const unit_test_t suite_store_many[] = {
    UNIT_TEST(of_versions_that_are_put_at_once_the_highest_is_on_both_nodes),
    UNIT_TEST(no_two_owners_are_ever_given_the_same_epoch),
    UNIT_TEST(of_writes_over_what_was_read_none_undoes_another),
    UNIT_END,
};
