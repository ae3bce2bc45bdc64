/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hapstore, on real memcached servers: what is kept when these come and go. */
#include "unit.h"

#include <stdlib.h>

#include <apr_strings.h>

#include "hapstore_time.h"
#include "liar.h"
#include "store.h"

/* Looks at that many; how many had their state. None may fail. */
static int kept(hapstore_t *store, shelf_t *shelf, int sessions, unsigned *repaired)
{
    int n = 0;
    for (int i = 0; i < sessions; i++) {
        hapstore_op_t *op = do_look(store, shelf, shelf_sid(i));
        CU_ASSERT_EQUAL(op->end, HAPSTORE_DONE);
        n += op->found && op->record.version == 1 && op->record.data.n == 5;
        *repaired += op->repaired;
        hapstore_op_clear(op);
        free(op);
    }
    return n;
}

static void fill(hapstore_t *store, shelf_t *shelf, int sessions)
{
    for (int i = 0; i < sessions; i++) {
        UNIT_STR_EQ(put(store, shelf, shelf_sid(i), 1, "state"), "2 state");
    }
}

static const char *xs(size_t n)
{
    char *text = apr_palloc(unit_pool, n + 1);
    memset(text, 'x', n);
    text[n] = '\0';
    return text;
}

/* Whether a server has anything under the session's name. */
static bool on(const shelf_t *shelf, unsigned node, const char *sid)
{
    char name[HAP_ZONE_NAME_BYTES + 1];
    shelf_name(shelf, name, sid);
    return strncmp(memcached_says(&shelf->servers[node], apr_psprintf(unit_pool, "mg %s", name)),
                   "HD", 2) == 0;
}

static void a_put_is_on_the_first_two_nodes_of_its_order_and_on_no_other(void)
{
    shelf_t *shelf = shelf_make(3, NULL);
    hapstore_t *store = store_open(shelf);
    UNIT_STR_EQ(look(store, shelf, "sid"), "there is no record");
    UNIT_STR_EQ(put(store, shelf, "sid", 1, "one"), "2 one");
    UNIT_STR_EQ(look(store, shelf, "sid"), "2 one");
    UNIT_STR_EQ(put(store, shelf, "sid", 2, "two"), "2 two");
    UNIT_STR_EQ(put(store, shelf, "sid", 1, "old"), "2 two");
    CU_ASSERT_TRUE(on(shelf, shelf_node(shelf, "sid", 0), "sid"));
    CU_ASSERT_TRUE(on(shelf, shelf_node(shelf, "sid", 1), "sid"));
    CU_ASSERT_FALSE(on(shelf, shelf_node(shelf, "sid", 2), "sid"));
    hapstore_destroy(store);
    shelf_clear(shelf);
}

/* How often a node was asked by that. */
static uint64_t asked_by_put(hapstore_t *store, shelf_t *shelf, uint64_t version, const char *told)
{
    uint64_t before = shelf->breakers[0].asked;
    UNIT_STR_EQ(put(store, shelf, "sid", version, "state"), told);
    return shelf->breakers[0].asked - before;
}

static void a_put_does_not_read_what_the_store_knows(void)
{
    shelf_t *shelf = shelf_make(2, NULL);
    hapstore_t *store = store_open(shelf);
    hapstore_t *other = store_open(shelf); /* as another process has it */
    CU_ASSERT_EQUAL(asked_by_put(store, shelf, 1, "2 state"), 2);
    CU_ASSERT_EQUAL(asked_by_put(store, shelf, 2, "2 state"), 1);
    CU_ASSERT_EQUAL(asked_by_put(store, shelf, 2, "2 state"), 1); /* to be sure that it is so */
    CU_ASSERT_EQUAL(asked_by_put(other, shelf, 5, "2 state"), 2);
    CU_ASSERT_EQUAL(asked_by_put(store, shelf, 4, "2 state"), 2); /* a put in vain, and a look */
    CU_ASSERT_EQUAL(asked_by_put(store, shelf, 6, "2 state"), 1);
    UNIT_STR_EQ(look(other, shelf, "sid"), "2 state");
    CU_ASSERT_EQUAL(asked_by_put(other, shelf, 7, "2 state"), 1);
    UNIT_STR_EQ(memcached_says(&shelf->servers[0], "flush_all"), "OK");
    CU_ASSERT_TRUE(asked_by_put(other, shelf, 8, "2 state") > 1);
    memcached_kill(&shelf->servers[0]);
    shelf_up(shelf, 0);
    CU_ASSERT_TRUE(asked_by_put(other, shelf, 9, "2 state") > 1);
    UNIT_STR_EQ(look(store, shelf, "sid"), "2 state");
    shelf_clear(shelf);
}

static void what_the_store_knows_does_not_decide(void)
{
    shelf_t *shelf = shelf_make(2, NULL);
    hapstore_t *store = store_open(shelf);
    hapstore_t *other = store_open(shelf);
    put(store, shelf, "sid", 1, "ours");
    hapstore_op_t *op = do_take(other, shelf, "sid", 1, "hostB");
    CU_ASSERT_EQUAL(op->record.epoch, 2);
    hapstore_op_clear(op);
    free(op);
    op = do_put(store, shelf, "sid", 2, "late");
    CU_ASSERT_EQUAL(op->verdict, HAP_ZONE_FENCED);
    hapstore_op_clear(op);
    free(op);
    UNIT_STR_EQ(look(store, shelf, "sid"), "2 ours");
    shelf_clear(shelf);
}

static void a_take_says_who_had_it_before(void)
{
    shelf_t *shelf = shelf_make(2, NULL);
    hapstore_t *store = store_open(shelf);
    put(store, shelf, "sid", 1, "one");
    hapstore_op_t *op = do_take(store, shelf, "sid", 1, "hostB");
    CU_ASSERT_EQUAL(op->verdict, HAP_ZONE_STORE);
    UNIT_STR_EQ(op->from, "hostA");
    CU_ASSERT_EQUAL(op->record.epoch, 2);
    CU_ASSERT_TRUE(hap_str_eq(op->record.owner, hap_str("hostB")));
    CU_ASSERT_TRUE(hap_str_eq(op->record.data, hap_str("one")));
    hapstore_op_clear(op);
    hapstore_op_clear(op);
    free(op);
    shelf_clear(shelf);
}

static void no_operation_fails_and_nothing_is_lost_when_a_node_is_killed(void)
{
    enum { SESSIONS = 1000 };
    shelf_t *shelf = shelf_make(2, NULL);
    hapstore_t *store = store_open(shelf);
    unsigned repaired = 0;
    fill(store, shelf, SESSIONS);
    memcached_kill(&shelf->servers[0]);
    CU_ASSERT_EQUAL(kept(store, shelf, SESSIONS, &repaired), SESSIONS);
    CU_ASSERT_EQUAL(repaired, 0);
    UNIT_STR_EQ(put(store, shelf, "session0", 2, "later"), "1 later");
    CU_ASSERT_EQUAL(shelf_said(shelf, "up -> down, no connection"), 1);
    shelf_clear(shelf);
}

static void nodes_may_be_killed_in_turn_with_a_look_at_each_session_between(void)
{
    enum { SESSIONS = 200 };
    for (unsigned nodes = 2; nodes <= 3; nodes++) {
        shelf_t *shelf = shelf_make(nodes, NULL);
        hapstore_t *store = store_open(shelf);
        fill(store, shelf, SESSIONS);
        for (unsigned i = 0; i < 2 * nodes; i++) {
            unsigned repaired = 0;
            memcached_kill(&shelf->servers[i % nodes]);
            CU_ASSERT_EQUAL(kept(store, shelf, SESSIONS, &repaired), SESSIONS);
            shelf_up(shelf, i % nodes);
            CU_ASSERT_EQUAL(kept(store, shelf, SESSIONS, &repaired), SESSIONS);
            CU_ASSERT_TRUE(repaired > 0);
        }
        CU_ASSERT_EQUAL(shelf_said(shelf, "down -> up"), 2 * nodes);
        hapstore_destroy(store);
        shelf_clear(shelf);
    }
}

static void a_record_that_went_to_the_third_node_is_found_there(void)
{
    shelf_t *shelf = shelf_make(3, NULL);
    hapstore_t *store = store_open(shelf);
    unsigned first = shelf_node(shelf, "sid", 0);
    unsigned second = shelf_node(shelf, "sid", 1);
    memcached_kill(&shelf->servers[first]);
    UNIT_STR_EQ(put(store, shelf, "sid", 1, "one"), "2 one");
    shelf_up(shelf, first);
    UNIT_STR_EQ(memcached_says(&shelf->servers[second], "flush_all"), "OK");
    UNIT_STR_EQ(look(store, shelf, "sid"), "2 one");
    CU_ASSERT_TRUE(on(shelf, first, "sid"));
    CU_ASSERT_TRUE(on(shelf, second, "sid"));
    shelf_clear(shelf);
}

static void a_flushed_node_is_filled_again_by_looks(void)
{
    shelf_t *shelf = shelf_make(2, NULL);
    hapstore_t *store = store_open(shelf);
    unsigned repaired = 0;
    fill(store, shelf, 50);
    UNIT_STR_EQ(memcached_says(&shelf->servers[0], "flush_all"), "OK");
    CU_ASSERT_EQUAL(kept(store, shelf, 50, &repaired), 50);
    CU_ASSERT_EQUAL(repaired, 50);
    repaired = 0;
    UNIT_STR_EQ(memcached_says(&shelf->servers[1], "flush_all"), "OK");
    CU_ASSERT_EQUAL(kept(store, shelf, 50, &repaired), 50);
    CU_ASSERT_EQUAL(repaired, 50);
    shelf_clear(shelf);
}

static void a_node_that_comes_back_with_what_it_had_is_not_believed(void)
{
    shelf_t *shelf = shelf_make(2, NULL);
    hapstore_t *store = store_open(shelf);
    UNIT_STR_EQ(put(store, shelf, "sid", 1, "old"), "2 old");
    memcached_freeze(&shelf->servers[0]);
    int64_t began_ms = hapstore_now_ms();
    UNIT_STR_EQ(put(store, shelf, "sid", 2, "new"), "1 new");
    CU_ASSERT_TRUE(hapstore_now_ms() - began_ms < STORE_LATE_MS);
    CU_ASSERT_EQUAL(shelf_said(shelf, "up -> down, no answer within 250 ms"), 1);
    memcached_thaw(&shelf->servers[0]);
    shelf_wait_up(shelf, 0);
    UNIT_STR_EQ(look(store, shelf, "sid"), "2 new");
    memcached_kill(&shelf->servers[1]);
    UNIT_STR_EQ(look(store, shelf, "sid"), "1 new");
    shelf_clear(shelf);
}

static void only_the_first_operation_waits_for_a_node_that_hangs(void)
{
    shelf_t *shelf = shelf_make(2, NULL);
    hapstore_t *store = store_open(shelf);
    hapstore_t *other = store_open(shelf); /* as another process has it */
    unsigned repaired = 0;
    fill(store, shelf, 100);
    memcached_freeze(&shelf->servers[1]);
    look(store, shelf, "session0");
    uint64_t asked = shelf->breakers[1].asked;
    CU_ASSERT_EQUAL(kept(store, shelf, 100, &repaired), 100);
    CU_ASSERT_EQUAL(kept(other, shelf, 100, &repaired), 100);
    CU_ASSERT_EQUAL(shelf->breakers[1].asked, asked);
    CU_ASSERT_EQUAL(shelf->breakers[1].failed, 1);
    CU_ASSERT_EQUAL(shelf->breakers[1].opened, 1);
    CU_ASSERT_EQUAL(shelf_said(shelf, "up -> down"), 1);
    memcached_thaw(&shelf->servers[1]);
    shelf_wait_up(shelf, 1);
    CU_ASSERT_EQUAL(shelf_said(shelf, apr_psprintf(unit_pool, "memcached %s: down -> up",
                                                   shelf->spec.nodes[1].name)),
                    1);
    shelf_clear(shelf);
}

static void without_any_node_the_end_comes_at_once(void)
{
    shelf_t *shelf = shelf_make(2, NULL);
    hapstore_t *store = store_open(shelf);
    UNIT_STR_EQ(put(store, shelf, "sid", 1, "one"), "2 one");
    shelf_clear(shelf);
    UNIT_STR_EQ(put(store, shelf, "sid", 2, "two"), "UNREACHED");
    int64_t began_ms = hapstore_now_ms();
    for (int i = 0; i < 100; i++) {
        UNIT_STR_EQ(look(store, shelf, "sid"), "UNREACHED");
    }
    CU_ASSERT_TRUE(hapstore_now_ms() - began_ms < STORE_LATE_MS);
    shelf_up(shelf, 0);
    shelf_up(shelf, 1);
    UNIT_STR_EQ(put(store, shelf, "sid", 2, "two"), "2 two");
    shelf_clear(shelf);
}

static void what_is_too_large_for_the_nodes_is_refused_and_they_stay_up(void)
{
    shelf_t *shelf = shelf_make(2, "-I512k");
    hapstore_t *store = store_open(shelf);
    UNIT_STR_EQ(put(store, shelf, "sid", 1, xs(600000)), "REFUSED");
    UNIT_STR_EQ(put(store, shelf, "sid", 1, "small"), "2 small");
    CU_ASSERT_EQUAL(shelf->lines_n, 0);
    shelf_clear(shelf);
}

static void nodes_that_have_too_little_memory_lose_what_is_old_and_nothing_else(void)
{
    shelf_t *shelf = shelf_make(2, "-m2");
    hapstore_t *store = store_open(shelf);
    const char *data = xs(20000);
    int lost = 0;
    for (int i = 0; i < 500; i++) {
        CU_ASSERT_EQUAL(put(store, shelf, shelf_sid(i), 1, data)[0], '2');
        CU_ASSERT_EQUAL(look(store, shelf, shelf_sid(i))[0], '2');
    }
    for (int i = 0; i < 500; i++) {
        const char *text = look(store, shelf, shelf_sid(i));
        lost += strcmp(text, "there is no record") == 0;
        CU_ASSERT_TRUE(text[0] == '2' || strcmp(text, "there is no record") == 0);
    }
    CU_ASSERT_TRUE(lost > 0 && lost < 500);
    CU_ASSERT_EQUAL(shelf->lines_n, 0);
    shelf_clear(shelf);
}

static void a_record_that_was_changed_or_moved_is_replaced_by_the_other_copy(void)
{
    shelf_t *shelf = shelf_make(2, NULL);
    hapstore_t *store = store_open(shelf);
    char name[HAP_ZONE_NAME_BYTES + 1];
    shelf_name(shelf, name, "sid");
    UNIT_STR_EQ(put(store, shelf, "sid", 1, "one"), "2 one");
    const char *forge = apr_psprintf(unit_pool, "set %s 0 0 6\r\nforged", name);
    UNIT_STR_EQ(memcached_says(&shelf->servers[0], forge), "STORED");
    hapstore_op_t *op = do_look(store, shelf, "sid");
    CU_ASSERT_EQUAL(op->repaired, 1);
    CU_ASSERT_TRUE(hap_str_eq(op->record.data, hap_str("one")));
    hapstore_op_clear(op);
    free(op);
    memcached_kill(&shelf->servers[1]);
    UNIT_STR_EQ(look(store, shelf, "sid"), "1 one");
    UNIT_STR_EQ(memcached_says(&shelf->servers[0], forge), "STORED");
    UNIT_STR_EQ(look(store, shelf, "sid"), "there is no record");
    UNIT_STR_EQ(put(store, shelf, "sid", 7, "seven"), "1 seven");
    shelf_clear(shelf);
}

/* --- with a node that lies -------------------------------------------------------------------- */

static void beside_a_node_that_lies_the_other_one_is_enough(void)
{
    memcached_server_t server = {0};
    memcached_up(&server, NULL);
    for (int lie = 0; lie < LIES; lie++) {
        liar_t *liar = apr_pcalloc(unit_pool, sizeof(*liar));
        liar->lie = (lie_t)lie;
        liar_start(liar);
        shelf_t *shelf = shelf_of_ports((uint16_t[]){server.port, liar->port}, 2);
        hapstore_t *store = store_open(shelf);
        const char *sid = shelf_sid(lie);
        int64_t began_ms = hapstore_now_ms();
        UNIT_STR_EQ(put(store, shelf, sid, 1, "true") + 1, " true");
        UNIT_STR_EQ(look(store, shelf, sid) + 1, " true");
        CU_ASSERT_TRUE(hapstore_now_ms() - began_ms < STORE_LATE_MS);
        hapstore_destroy(store);
        liar_stop(liar);
    }
    memcached_kill(&server);
}

static void a_node_that_trickles_holds_neither_operation_nor_end(void)
{
    liar_t *liar = apr_pcalloc(unit_pool, sizeof(*liar));
    liar->lie = LIE_TRICKLE;
    liar_start(liar);
    shelf_t *shelf = shelf_of_ports(&liar->port, 1);
    hapstore_t *store = store_open(shelf);
    int64_t began_ms = hapstore_now_ms();
    UNIT_STR_EQ(look(store, shelf, "sid"), "UNREACHED");
    CU_ASSERT_TRUE(hapstore_now_ms() - began_ms < STORE_LATE_MS);
    CU_ASSERT_EQUAL(shelf_said(shelf, "up -> down, no answer within 250 ms"), 1);
    hapstore_destroy(store);
    liar_stop(liar);
}

static void what_an_operation_has_stored_on_one_node_is_not_anothers_to_it(void)
{
    memcached_server_t server = {0};
    memcached_up(&server, NULL);
    liar_t *liar = apr_pcalloc(unit_pool, sizeof(*liar));
    liar->lie = LIE_PUT_SECOND;
    liar_start(liar);
    shelf_t *shelf = shelf_of_ports((uint16_t[]){server.port, liar->port}, 2);
    hapstore_t *store = store_open(shelf);
    hapstore_op_t *op = do_write(store, shelf, "sid", HAP_ZONE_ABSENT, "ours");
    CU_ASSERT_EQUAL(op->end, HAPSTORE_DONE);
    CU_ASSERT_EQUAL(op->verdict, HAP_ZONE_STORE);
    CU_ASSERT_EQUAL(op->copies, 2);
    CU_ASSERT_TRUE(hap_str_eq(op->record.data, hap_str("ours")));
    CU_ASSERT_EQUAL(liar->puts, 2);
    hapstore_op_clear(op);
    free(op);
    hapstore_destroy(store);
    liar_stop(liar);
    memcached_kill(&server);
}

static void who_wins_on_the_first_node_ends_whatever_the_other_one_does(void)
{
    static const lie_t lies[] = {LIE_PUT_CLOSE, LIE_PUT_OTHER};
    memcached_server_t server = {0};
    memcached_up(&server, NULL);
    for (int i = 0; i < 12; i++) {
        const char *sid = shelf_sid(i);
        liar_t *liar = apr_pcalloc(unit_pool, sizeof(*liar));
        liar->lie = lies[i % 2];
        liar_start(liar);
        shelf_t *shelf = shelf_of_ports((uint16_t[]){server.port, liar->port}, 2);
        hapstore_t *store = store_open(shelf);
        int64_t began_ms = hapstore_now_ms();
        hapstore_op_t *op = do_write(store, shelf, sid, HAP_ZONE_ABSENT, "x");
        bool liar_first = shelf_node(shelf, sid, 0) == 1;
        CU_ASSERT_TRUE(liar_first || (op->end == HAPSTORE_DONE && op->verdict == HAP_ZONE_STORE));
        CU_ASSERT_TRUE(hapstore_now_ms() - began_ms < STORE_LATE_MS);
        hapstore_op_clear(op);
        free(op);
        hapstore_destroy(store);
        liar_stop(liar);
    }
    memcached_kill(&server);
}

static void a_put_that_finds_a_node_dead_goes_to_the_next_one(void)
{
    shelf_t *shelf = shelf_make(3, NULL);
    hapstore_t *store = store_open(shelf);
    UNIT_STR_EQ(put(store, shelf, "sid", 1, "one"), "2 one");
    memcached_freeze(&shelf->servers[shelf_node(shelf, "sid", 0)]);
    UNIT_STR_EQ(put(store, shelf, "sid", 2, "two"), "2 two");
    CU_ASSERT_TRUE(on(shelf, shelf_node(shelf, "sid", 2), "sid"));
    shelf_clear(shelf);
}

static void a_node_is_found_again_though_who_lost_it_has_ended(void)
{
    shelf_t *shelf = shelf_make(2, NULL);
    hapstore_t *store = store_open(shelf);
    hapstore_t *other = store_open(shelf);
    UNIT_STR_EQ(put(store, shelf, "sid", 1, "one"), "2 one");
    UNIT_STR_EQ(look(other, shelf, "sid"), "2 one");
    memcached_freeze(&shelf->servers[0]);
    UNIT_STR_EQ(look(store, shelf, "sid"), "1 one");
    CU_ASSERT_EQUAL(shelf->breakers[0].open, 1);
    hapstore_destroy(store);
    UNIT_STR_EQ(look(other, shelf, "sid"), "1 one");
    memcached_thaw(&shelf->servers[0]);
    shelf_wait_up(shelf, 0);
    UNIT_STR_EQ(look(other, shelf, "sid"), "2 one");
    shelf_clear(shelf);
}

const unit_test_t suite_store[] = {
    UNIT_TEST(a_put_is_on_the_first_two_nodes_of_its_order_and_on_no_other),
    UNIT_TEST(a_put_does_not_read_what_the_store_knows),
    UNIT_TEST(what_the_store_knows_does_not_decide),
    UNIT_TEST(a_take_says_who_had_it_before),
    UNIT_TEST(no_operation_fails_and_nothing_is_lost_when_a_node_is_killed),
    UNIT_TEST(nodes_may_be_killed_in_turn_with_a_look_at_each_session_between),
    UNIT_TEST(a_record_that_went_to_the_third_node_is_found_there),
    UNIT_TEST(a_flushed_node_is_filled_again_by_looks),
    UNIT_TEST(a_node_that_comes_back_with_what_it_had_is_not_believed),
    UNIT_TEST(only_the_first_operation_waits_for_a_node_that_hangs),
    UNIT_TEST(without_any_node_the_end_comes_at_once),
    UNIT_TEST(what_is_too_large_for_the_nodes_is_refused_and_they_stay_up),
    UNIT_TEST(nodes_that_have_too_little_memory_lose_what_is_old_and_nothing_else),
    UNIT_TEST(a_record_that_was_changed_or_moved_is_replaced_by_the_other_copy),
    UNIT_TEST(beside_a_node_that_lies_the_other_one_is_enough),
    UNIT_TEST(a_node_that_trickles_holds_neither_operation_nor_end),
    UNIT_TEST(what_an_operation_has_stored_on_one_node_is_not_anothers_to_it),
    UNIT_TEST(who_wins_on_the_first_node_ends_whatever_the_other_one_does),
    UNIT_TEST(a_put_that_finds_a_node_dead_goes_to_the_next_one),
    UNIT_TEST(a_node_is_found_again_though_who_lost_it_has_ended),
    UNIT_END,
};
