/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hapstore, on real memcached servers: operations over which nobody waits. */
#include "unit.h"

#include <poll.h>

#include <apr_strings.h>

#include "hapstore_time.h"
#include "liar.h"
#include "store.h"

enum { IN_FLIGHT = 200 };

static _Atomic unsigned ended, unreached, here;
static pthread_t caller;

static void on_done(hapstore_op_t *op)
{
    here += pthread_equal(pthread_self(), caller) != 0;
    unreached += op->end == HAPSTORE_UNREACHED;
    hapstore_op_clear(op);
    ended++;
}

static void expect_looks(void)
{
    ended = unreached = here = 0;
    caller = pthread_self();
}

static void begin_looks(hapstore_t *store, shelf_t *shelf, hapstore_op_t ops[IN_FLIGHT])
{
    for (int i = 0; i < IN_FLIGHT; i++) {
        char name[HAP_ZONE_NAME_BYTES + 1];
        shelf_name(shelf, name, shelf_sid(i));
        ops[i] = (hapstore_op_t){.wish = {.act = HAP_ZONE_LOOK}, .done = on_done};
        memcpy(ops[i].name, name, HAP_ZONE_NAME_BYTES);
        if (hapstore_run(store, &ops[i])) {
            on_done(&ops[i]);
        }
    }
}

static void run_looks(hapstore_t *store, shelf_t *shelf, hapstore_op_t ops[IN_FLIGHT])
{
    expect_looks();
    begin_looks(store, shelf, ops);
}

static void wait_for_looks(void)
{
    for (int i = 0; i < 20000 && ended < IN_FLIGHT; i++) {
        poll(NULL, 0, 1);
    }
    CU_ASSERT_EQUAL(ended, IN_FLIGHT);
}

static void each_operation_ends_once_on_a_thread_of_the_store(void)
{
    shelf_t *shelf = shelf_make(2, NULL);
    shelf->budget_ms = STORE_PATIENT_MS;
    hapstore_t *store = store_open(shelf);
    hapstore_op_t ops[IN_FLIGHT];
    run_looks(store, shelf, ops);
    wait_for_looks();
    CU_ASSERT_EQUAL(unreached, 0);
    CU_ASSERT_EQUAL(here, 0);
    shelf_clear(shelf);
    run_looks(store, shelf, ops);
    hapstore_destroy(store);
    CU_ASSERT_EQUAL(ended, IN_FLIGHT);
    CU_ASSERT_EQUAL(unreached, IN_FLIGHT);
}

static void without_a_thread_the_turns_are_the_callers(void)
{
    shelf_t *shelf = shelf_make(2, NULL);
    shelf->budget_ms = STORE_PATIENT_MS;
    hapstore_t *store = store_open_idle(shelf);
    hapstore_op_t ops[IN_FLIGHT];
    struct pollfd wait = {.fd = hapstore_fd(store), .events = POLLIN};
    run_looks(store, shelf, ops);
    CU_ASSERT_EQUAL(ended, 0);
    hapstore_flush(store);
    while (ended < IN_FLIGHT && poll(&wait, 1, STORE_PATIENT_MS) == 1) {
        hapstore_turn(store);
    }
    CU_ASSERT_EQUAL(ended, IN_FLIGHT);
    CU_ASSERT_EQUAL(here, IN_FLIGHT);
    CU_ASSERT_EQUAL(unreached, 0);
    memcached_freeze(&shelf->servers[0]);
    memcached_freeze(&shelf->servers[1]);
    run_looks(store, shelf, ops);
    hapstore_destroy(store);
    CU_ASSERT_EQUAL(ended, IN_FLIGHT);
    CU_ASSERT_EQUAL(unreached, IN_FLIGHT);
    shelf_clear(shelf);
}

static void what_waits_for_longer_than_the_budget_ends(void)
{
    liar_t *liar = apr_pcalloc(unit_pool, sizeof(*liar));
    liar->lie = LIE_SLOW;
    liar_start(liar);
    shelf_t *shelf = shelf_of_ports(&liar->port, 1);
    hapstore_t *store = store_open(shelf);
    hapstore_op_t ops[IN_FLIGHT];
    int64_t began_ms = hapstore_now_ms();
    run_looks(store, shelf, ops);
    wait_for_looks();
    CU_ASSERT_TRUE(hapstore_now_ms() - began_ms < STORE_LATE_MS);
    CU_ASSERT_TRUE(unreached > 0 && unreached < IN_FLIGHT);
    CU_ASSERT_EQUAL(shelf->lines_n, 0); /* the node is well */
    hapstore_destroy(store);
    liar_stop(liar);
}

static void a_node_that_answers_many_at_once_is_well(void)
{
    enum { MANY = 5 };
    static hapstore_op_t ops[MANY][IN_FLIGHT];
    liar_t *liar = apr_pcalloc(unit_pool, sizeof(*liar));
    liar->lie = LIE_BATCH;
    liar_start(liar);
    shelf_t *shelf = shelf_of_ports(&liar->port, 1);
    hapstore_t *store = store_open(shelf);
    expect_looks();
    for (int i = 0; i < MANY; i++) {
        begin_looks(store, shelf, ops[i]);
    }
    for (int i = 0; i < 20000 && ended < MANY * IN_FLIGHT; i++) {
        poll(NULL, 0, 1);
    }
    CU_ASSERT_EQUAL(ended, MANY * IN_FLIGHT);
    CU_ASSERT_EQUAL(shelf->lines_n, 0);
    hapstore_destroy(store);
    liar_stop(liar);
}

static void what_a_node_is_doing_when_its_store_ends_is_told(void)
{
    liar_t *liar = apr_pcalloc(unit_pool, sizeof(*liar));
    liar->lie = LIE_PUT_OTHER;
    liar_start(liar);
    shelf_t *shelf = shelf_of_ports(&liar->port, 1);
    char name[HAP_ZONE_NAME_BYTES + 1];
    shelf_name(shelf, name, "sid");
    for (int after_ms = 0; after_ms < 60; after_ms += 3) {
        hapstore_t *store = store_open(shelf);
        hapstore_op_t op = {.wish = {.act = HAP_ZONE_PUT, .version = 1, .fresh = true},
                            .done = on_done};
        memcpy(op.name, name, HAP_ZONE_NAME_BYTES);
        expect_looks();
        hapstore_run(store, &op);
        poll(NULL, 0, after_ms);
        hapstore_destroy(store);
        CU_ASSERT_EQUAL(ended, 1);
    }
    liar_stop(liar);
}

static void what_several_threads_find_out_at_once_is_said_once(void)
{
    shelf_t *shelf = shelf_make(2, NULL);
    hapstore_t *store = store_open(shelf);
    hapstore_op_t ops[IN_FLIGHT];
    memcached_freeze(&shelf->servers[0]);
    memcached_freeze(&shelf->servers[1]);
    /* On a busy machine the time of all may be over before a node's own is. */
    for (int i = 0; i < 20 && shelf_said(shelf, "up -> down") == 0; i++) {
        run_looks(store, shelf, ops);
        wait_for_looks();
        CU_ASSERT_EQUAL(unreached, IN_FLIGHT);
    }
    CU_ASSERT_TRUE(shelf_said(shelf, "up -> down") == 1 || shelf_said(shelf, "up -> down") == 2);
    hapstore_destroy(store);
    shelf_clear(shelf);
}

static void the_end_of_a_store_ends_what_it_had_begun(void)
{
    shelf_t *shelf = shelf_make(2, NULL);
    hapstore_t *store = store_open(shelf);
    hapstore_op_t ops[IN_FLIGHT];
    UNIT_STR_EQ(look(store, shelf, "sid"), "there is no record");
    memcached_freeze(&shelf->servers[0]);
    memcached_freeze(&shelf->servers[1]);
    run_looks(store, shelf, ops);
    int64_t began_ms = hapstore_now_ms();
    hapstore_destroy(store);
    CU_ASSERT_TRUE(hapstore_now_ms() - began_ms < STORE_LATE_MS);
    CU_ASSERT_EQUAL(ended, IN_FLIGHT);
    CU_ASSERT_EQUAL(unreached, IN_FLIGHT);
    shelf_clear(shelf);
}

const unit_test_t suite_store_async[] = {
    UNIT_TEST(each_operation_ends_once_on_a_thread_of_the_store),
    UNIT_TEST(without_a_thread_the_turns_are_the_callers),
    UNIT_TEST(what_waits_for_longer_than_the_budget_ends),
    UNIT_TEST(a_node_that_answers_many_at_once_is_well),
    UNIT_TEST(what_a_node_is_doing_when_its_store_ends_is_told),
    UNIT_TEST(what_several_threads_find_out_at_once_is_said_once),
    UNIT_TEST(the_end_of_a_store_ends_what_it_had_begun),
    UNIT_END,
};
