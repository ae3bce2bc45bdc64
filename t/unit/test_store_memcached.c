/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hapstore_memcached: a node that is a memcached, or says that it is one. */
#include "unit.h"

#include <poll.h>
#include <stdlib.h>

#include <apr_strings.h>

#include "hapstore_time.h"
#include "liar.h"
#include "store.h"

enum { BUDGET_MS = 250, MUCH_LATER_MS = 2500 };

#define NAME_A "haz1:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define NAME_B "haz1:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static hapstore_alone_t *handle_to(const char *host, uint16_t port)
{
    hap_zone_spec_t *spec = apr_pcalloc(unit_pool, sizeof(*spec));
    spec->kind = HAP_ZONE_MEMCACHED;
    spec->nodes_n = 1;
    spec->nodes[0] = (hap_zone_node_t){host, port, host};
    hapstore_conf_t *conf = apr_pcalloc(unit_pool, sizeof(*conf));
    conf->spec = spec;
    conf->budget = apr_time_from_msec(BUDGET_MS);
    return hapstore_alone_open(&hapstore_memcached, conf, 0);
}

/* Its text, or how it went else. */
static const char *got(hapstore_alone_t *handle, const char *name, hapstore_token_t *token)
{
    static const char *const ends[] = {"OK", "NONE", "CHANGED", "UNSURE", "TOO_LARGE", "FAILED"};
    hapstore_value_t value;
    hapstore_node_end_t end = node_get(handle, hap_str(name), &value, token);
    if (end != HAPSTORE_NODE_OK) {
        return ends[end];
    }
    const char *text = apr_pstrmemdup(unit_pool, value.bytes, value.n);
    free(value.bytes);
    CU_ASSERT_NOT_EQUAL(token->number, 0);
    return text;
}

static hapstore_node_end_t put_text(hapstore_alone_t *handle, const char *name, const char *text,
                                    hapstore_token_t token)
{
    return node_put(handle, hap_str(name), hap_str(text), 60, token);
}

static void a_value_is_read_with_its_token_and_replaced_by_it(void)
{
    memcached_server_t server = {0};
    memcached_up(&server, NULL);
    hapstore_alone_t *handle = handle_to("127.0.0.1", server.port);
    hapstore_token_t first;
    hapstore_token_t second;
    UNIT_STR_EQ(got(handle, NAME_A, &first), "NONE");
    CU_ASSERT_EQUAL(put_text(handle, NAME_A, "one", no_token), HAPSTORE_NODE_OK);
    UNIT_STR_EQ(got(handle, NAME_A, &first), "one");
    CU_ASSERT_EQUAL(put_text(handle, NAME_A, "two", first), HAPSTORE_NODE_OK);
    UNIT_STR_EQ(got(handle, NAME_A, &second), "two");
    CU_ASSERT_EQUAL(put_text(handle, NAME_A, "late", first), HAPSTORE_NODE_CHANGED);
    CU_ASSERT_EQUAL(put_text(handle, NAME_A, "late", no_token), HAPSTORE_NODE_CHANGED);
    CU_ASSERT_EQUAL(put_text(handle, NAME_B, "late", second), HAPSTORE_NODE_CHANGED);
    UNIT_STR_EQ(got(handle, NAME_A, &second), "two");
    UNIT_STR_EQ(got(handle, NAME_B, &second), "NONE");
    CU_ASSERT_TRUE(hapstore_alone_probe(handle));
    hapstore_alone_close(handle);
    memcached_kill(&server);
}

static void a_name_with_several_addresses_is_tried_at_each(void)
{
    memcached_server_t server = {0};
    memcached_up(&server, NULL); /* not on ::1, which `localhost` is as well */
    hapstore_alone_t *handle = handle_to("localhost", server.port);
    CU_ASSERT_EQUAL(put_text(handle, NAME_A, "one", no_token), HAPSTORE_NODE_OK);
    hapstore_alone_close(handle);
    memcached_kill(&server);
}

static void a_name_without_an_address_is_looked_up_again_by_a_probe(void)
{
    hapstore_token_t token;
    hapstore_alone_t *handle = handle_to("no-such-host.invalid", 11211);
    UNIT_STR_EQ(got(handle, NAME_A, &token), "FAILED");
    UNIT_STR_EQ(hapstore_alone_why(handle), "its name has no address");
    CU_ASSERT_FALSE(hapstore_alone_probe(handle));
    hapstore_alone_close(handle);
}

static void a_restarted_node_is_reached_at_once_though_it_had_hung_up(void)
{
    memcached_server_t server = {0};
    memcached_up(&server, NULL);
    hapstore_alone_t *handle = handle_to("127.0.0.1", server.port);
    hapstore_token_t token;
    CU_ASSERT_EQUAL(put_text(handle, NAME_A, "one", no_token), HAPSTORE_NODE_OK);
    memcached_kill(&server);
    memcached_up(&server, NULL);
    UNIT_STR_EQ(got(handle, NAME_A, &token), "NONE");
    memcached_kill(&server);
    memcached_up(&server, NULL);
    /* Whether it had been stored by the old one nobody knows. */
    CU_ASSERT_EQUAL(put_text(handle, NAME_A, "two", no_token), HAPSTORE_NODE_UNSURE);
    CU_ASSERT_EQUAL(put_text(handle, NAME_A, "two", no_token), HAPSTORE_NODE_OK);
    memcached_kill(&server);
    UNIT_STR_EQ(got(handle, NAME_A, &token), "FAILED");
    UNIT_STR_EQ(hapstore_alone_why(handle), "no connection");
    hapstore_alone_close(handle);
}

static int64_t rest_of(memcached_server_t *server)
{
    const char *meta = memcached_says(server, "mg " NAME_A " t");
    return strncmp(meta, "HD t", 4) == 0 ? apr_atoi64(meta + 4) : -1;
}

static int64_t rest_after(uint32_t ttl_s)
{
    memcached_server_t server = {0};
    memcached_up(&server, NULL);
    hapstore_alone_t *handle = handle_to("127.0.0.1", server.port);
    CU_ASSERT_EQUAL(node_put(handle, HAP_STR_LIT(NAME_A), HAP_STR_LIT("one"), ttl_s, no_token),
                    HAPSTORE_NODE_OK);
    int64_t rest = rest_of(&server);
    hapstore_alone_close(handle);
    memcached_kill(&server);
    return rest;
}

static bool lives_for(uint32_t ttl_s)
{
    int64_t rest = rest_after(ttl_s);
    return rest >= (int64_t)ttl_s && rest <= (int64_t)ttl_s + 1;
}

static void a_value_lives_for_its_time_at_least_and_no_longer_than_a_tick_more(void)
{
    CU_ASSERT_TRUE(lives_for(1));
    CU_ASSERT_TRUE(lives_for(1800));
    CU_ASSERT_TRUE(lives_for(HAP_ZONE_TTL_S_MAX - 1));
    CU_ASSERT_TRUE(rest_after(0) > 0); /* which would be for ever */
    /* One more would be a date in 1970. */
    CU_ASSERT_TRUE(rest_after(HAP_ZONE_TTL_S_MAX) >= HAP_ZONE_TTL_S_MAX - 1);
    CU_ASSERT_TRUE(rest_after(HAP_ZONE_TTL_S_MAX + 1) >= HAP_ZONE_TTL_S_MAX - 1);
}

static void a_value_that_the_node_never_takes_is_too_large_and_the_next_one_is_taken(void)
{
    memcached_server_t server = {0};
    memcached_up(&server, NULL);
    hapstore_alone_t *handle = handle_to("127.0.0.1", server.port);
    size_t n = 1100000;
    char *large = apr_palloc(unit_pool, n);
    memset(large, 'x', n);
    hapstore_token_t token;
    hap_str_t name = HAP_STR_LIT(NAME_A);
    CU_ASSERT_EQUAL(node_put(handle, name, hap_strn(large, n), 60, no_token),
                    HAPSTORE_NODE_TOO_LARGE);
    CU_ASSERT_EQUAL(node_put(handle, name, hap_strn(large, 900100), 60, no_token),
                    HAPSTORE_NODE_OK);
    CU_ASSERT_EQUAL(strlen(got(handle, NAME_A, &token)), 900100);
    hapstore_alone_close(handle);
    memcached_kill(&server);
}

/* --- a node that lies ------------------------------------------------------------------------- */

/* How it went, after no more than about the budget. */
static const char *told(lie_t lie, const char **why)
{
    liar_t *liar = apr_pcalloc(unit_pool, sizeof(*liar));
    liar->lie = lie;
    liar_start(liar);
    hapstore_alone_t *handle = handle_to("127.0.0.1", liar->port);
    hapstore_token_t token;
    int64_t began_ms = hapstore_now_ms();
    const char *text = got(handle, NAME_A, &token);
    CU_ASSERT_TRUE(hapstore_now_ms() - began_ms < MUCH_LATER_MS);
    *why = apr_pstrdup(unit_pool, hapstore_alone_why(handle));
    hapstore_alone_close(handle);
    liar_stop(liar);
    return text;
}

static void a_lie_is_a_failure_and_never_a_value(void)
{
    static const struct {
        lie_t lie;
        const char *why;
    } lies[] = {
        {LIE_OTHER_NUMBER, "the answer to another question"},
        {LIE_NO_NUMBER, "an answer that makes no sense"},
        {LIE_GARBAGE, "an answer that makes no sense"},
        {LIE_ENDLESS, "an answer that makes no sense"},
        {LIE_HUGE, "an answer that makes no sense"},
        {LIE_WRAPPED, "an answer that makes no sense"},
        {LIE_NO_TOKEN, "an answer that makes no sense"},
        {LIE_NO_END, "an answer that makes no sense"},
        {LIE_STORED, "an answer that makes no sense"},
        {LIE_TOO_LARGE, "an answer that makes no sense"},
        {LIE_OLD, "it is no memcached of version 1.6 or newer"},
        {LIE_HALF, "no answer within 250 ms"},
        {LIE_NOTHING, "no answer within 250 ms"},
        {LIE_TRICKLE, "no answer within 250 ms"},
        {LIE_CLOSE, "it closed the connection"},
    };
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        const char *why = NULL;
        UNIT_STR_EQ(told(lies[i].lie, &why), "FAILED");
        UNIT_STR_EQ(why, lies[i].why);
    }
}

static void who_says_more_than_he_was_asked_is_not_asked_again_on_that_connection(void)
{
    const char *why = NULL;
    UNIT_STR_EQ(told(LIE_TWICE, &why), "abc");
    UNIT_STR_EQ(why, "an answer to no question");
}

static void an_answer_that_comes_too_late_is_not_the_next_questions(void)
{
    liar_t *liar = apr_pcalloc(unit_pool, sizeof(*liar));
    liar->lie = LIE_LATE;
    liar_start(liar);
    hapstore_alone_t *handle = handle_to("127.0.0.1", liar->port);
    hapstore_token_t token;
    UNIT_STR_EQ(got(handle, NAME_A, &token), "FAILED");
    UNIT_STR_EQ(hapstore_alone_why(handle), "no answer within 250 ms");
    UNIT_STR_EQ(got(handle, NAME_A, &token), "second");
    CU_ASSERT_EQUAL(token.number, 2);
    hapstore_alone_close(handle);
    liar_stop(liar);
}

static hapstore_node_end_t put_to(lie_t lie)
{
    liar_t *liar = apr_pcalloc(unit_pool, sizeof(*liar));
    liar->lie = lie;
    liar_start(liar);
    hapstore_alone_t *handle = handle_to("127.0.0.1", liar->port);
    int64_t began_ms = hapstore_now_ms();
    hapstore_node_end_t end = put_text(handle, NAME_A, "one", no_token);
    CU_ASSERT_TRUE(hapstore_now_ms() - began_ms < MUCH_LATER_MS);
    hapstore_alone_close(handle);
    liar_stop(liar);
    return end;
}

static void what_is_refused_before_it_was_all_sent_is_sent_to_its_end(void)
{
    liar_t *liar = apr_pcalloc(unit_pool, sizeof(*liar));
    liar->lie = LIE_PUT_EARLY;
    liar_start(liar);
    hapstore_alone_t *handle = handle_to("127.0.0.1", liar->port);
    size_t n = HAP_ZONE_DATA_BYTES_MAX;
    char *large = apr_palloc(unit_pool, n);
    memset(large, 'x', n);
    for (int i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(node_put(handle, HAP_STR_LIT(NAME_A), hap_strn(large, n), 60, no_token),
                        HAPSTORE_NODE_TOO_LARGE);
        CU_ASSERT_EQUAL(put_text(handle, NAME_B, "small", no_token), HAPSTORE_NODE_OK);
    }
    CU_ASSERT_EQUAL(liar->conns_n, 1);
    hapstore_alone_close(handle);
    liar_stop(liar);
}

static void a_put_without_a_clear_answer_has_failed(void)
{
    CU_ASSERT_EQUAL(put_to(LIE_PUT_NOTHING), HAPSTORE_NODE_FAILED);
    CU_ASSERT_EQUAL(put_to(LIE_PUT_GARBAGE), HAPSTORE_NODE_FAILED);
    CU_ASSERT_EQUAL(put_to(LIE_PUT_NUMBER), HAPSTORE_NODE_FAILED);
    CU_ASSERT_EQUAL(put_to(LIE_PUT_VALUE), HAPSTORE_NODE_FAILED);
    CU_ASSERT_EQUAL(put_to(LIE_PUT_NONE), HAPSTORE_NODE_FAILED);
}

static void a_token_is_of_no_use_on_another_connection(void)
{
    memcached_server_t server = {0};
    memcached_up(&server, NULL);
    hapstore_alone_t *handle = handle_to("127.0.0.1", server.port);
    hapstore_token_t before;
    hapstore_token_t after;
    CU_ASSERT_EQUAL(put_text(handle, NAME_A, "one", no_token), HAPSTORE_NODE_OK);
    UNIT_STR_EQ(got(handle, NAME_A, &before), "one");
    memcached_kill(&server);
    memcached_up(&server, NULL);
    UNIT_STR_EQ(got(handle, NAME_A, &after), "NONE");
    CU_ASSERT_EQUAL(put_text(handle, NAME_A, "two", no_token), HAPSTORE_NODE_OK);
    UNIT_STR_EQ(got(handle, NAME_A, &after), "two");
    CU_ASSERT_EQUAL(after.number, before.number); /* the new one counts from one again */
    CU_ASSERT_EQUAL(put_text(handle, NAME_A, "three", before), HAPSTORE_NODE_CHANGED);
    CU_ASSERT_EQUAL(put_text(handle, NAME_A, "three", after), HAPSTORE_NODE_OK);
    hapstore_alone_close(handle);
    memcached_kill(&server);
}

const unit_test_t suite_store_memcached[] = {
    UNIT_TEST(a_value_is_read_with_its_token_and_replaced_by_it),
    UNIT_TEST(a_name_with_several_addresses_is_tried_at_each),
    UNIT_TEST(a_name_without_an_address_is_looked_up_again_by_a_probe),
    UNIT_TEST(a_restarted_node_is_reached_at_once_though_it_had_hung_up),
    UNIT_TEST(a_value_lives_for_its_time_at_least_and_no_longer_than_a_tick_more),
    UNIT_TEST(a_value_that_the_node_never_takes_is_too_large_and_the_next_one_is_taken),
    UNIT_TEST(a_lie_is_a_failure_and_never_a_value),
    UNIT_TEST(who_says_more_than_he_was_asked_is_not_asked_again_on_that_connection),
    UNIT_TEST(an_answer_that_comes_too_late_is_not_the_next_questions),
    UNIT_TEST(what_is_refused_before_it_was_all_sent_is_sent_to_its_end),
    UNIT_TEST(a_put_without_a_clear_answer_has_failed),
    UNIT_TEST(a_token_is_of_no_use_on_another_connection),
    UNIT_END,
};
