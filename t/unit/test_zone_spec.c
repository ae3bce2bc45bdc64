/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hap_zone_spec. */
#include "unit.h"

#include <apr_strings.h>

#include "hap_zone_spec.h"

static hap_zone_spec_t spec(const char *text)
{
    hap_zone_spec_t read;
    hap_diag_t diag;
    CU_ASSERT_EQUAL_FATAL(hap_zone_spec_parse(&read, hap_str(text), &diag, unit_pool), APR_SUCCESS);
    return read;
}

/* As it was read, in its one spelling; reading that again changes nothing. */
static const char *read_as(const char *text)
{
    hap_zone_spec_t once = spec(text);
    const char *spelt = hap_zone_spec_text(&once, unit_pool);
    hap_zone_spec_t twice = spec(spelt);
    UNIT_STR_EQ(hap_zone_spec_text(&twice, unit_pool), spelt);
    return spelt;
}

static const char *refusal(const char *text)
{
    hap_zone_spec_t read = {.nodes_n = 77};
    hap_diag_t diag = {-1, ""};
    CU_ASSERT_EQUAL(hap_zone_spec_parse(&read, hap_str(text), &diag, unit_pool), APR_EINVAL);
    CU_ASSERT_EQUAL(read.nodes_n, 77);
    CU_ASSERT_EQUAL(diag.line, 0);
    return apr_pstrdup(unit_pool, diag.why);
}

/* --- store= --- */

static void shm_has_32_megabytes_unless_said(void)
{
    CU_ASSERT_EQUAL(spec("shm").kind, HAP_ZONE_SHM);
    CU_ASSERT_EQUAL(spec("shm").shm_bytes, 32 << 20);
    UNIT_STR_EQ(read_as("shm"), "shm:32M");
    UNIT_STR_EQ(read_as("shm:1024k"), "shm:1M");
    UNIT_STR_EQ(read_as("shm:1025K"), "shm:1025K");
    UNIT_STR_EQ(read_as("shm:64G"), "shm:64G");
}

static void a_size_beyond_the_limits_is_refused(void)
{
    static const char *const sizes[] = {"",
                                        "1",
                                        "0M",
                                        "1023K",
                                        "65G",
                                        "M",
                                        "64m ",
                                        "-1M",
                                        "1.5G",
                                        "64MB",
                                        "1T",
                                        "64",
                                        " 1M",
                                        "99999999999999999999G",
                                        "18446744073709551617K"};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        UNIT_STR_EQ(refusal(apr_pstrcat(unit_pool, "shm:", sizes[i], NULL)),
                    apr_psprintf(unit_pool, "\"%s\" is no size of shm: 1M to 64G, such as shm:64M",
                                 sizes[i]));
    }
}

static void memcached_are_hosts_with_or_without_a_port(void)
{
    UNIT_STR_EQ(read_as("memcached:hostA:11211,HOSTB,10.0.0.1:1,cache_1.example:65535"),
                "memcached:hosta:11211,hostb:11211,10.0.0.1:1,cache_1.example:65535");
    UNIT_STR_EQ(read_as("memcached:[::1],[2001:DB8::2]:11212,[::ffff:10.0.0.1]:1"),
                "memcached:[::1]:11211,[2001:db8::2]:11212,[::ffff:10.0.0.1]:1");
    hap_zone_spec_t read = spec("memcached:[2001:DB8::2]:11212");
    CU_ASSERT_EQUAL(read.kind, HAP_ZONE_MEMCACHED);
    UNIT_STR_EQ(read.nodes[0].host, "2001:db8::2");
    CU_ASSERT_EQUAL(read.nodes[0].port, 11212);
}

static void what_is_no_host_and_port_is_refused(void)
{
    static const char *const nodes[] = {
        "",         ":11211",  "host:", "host:0", "host:65536", "host:port",
        "host:1:2", "::1",     "[::1",  "[]:1",   "[::1]1",     "[host]:1",
        "[1]:1",    "ho st:1", "-host", ".host",  "host/a:1",   "host:-1",
        "host:+1",  "host: 1", "[::g]", "[::1]:", "[::1]:0x1",  "h\xc3\xb6st"};
    for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++) {
        const char *text = apr_pstrcat(unit_pool, "memcached:good:1,", nodes[i], NULL);
        CU_ASSERT_PTR_NOT_NULL(strstr(refusal(text), "is no memcached: write host, host:port"));
    }
    UNIT_STR_EQ(refusal("memcached:good:1,h\"st:70000"),
                "\"h\\\"st:70000\" is no memcached: write host, host:port, or [address]:port for "
                "IPv6");
    refusal("memcached:");
    refusal("memcached:a,");
    refusal("memcached:,a");
    refusal(apr_psprintf(unit_pool, "memcached:%0254d", 0));
}

static void a_memcached_that_is_there_twice_is_refused(void)
{
    UNIT_STR_EQ(refusal("memcached:hosta:11211,hostb,HostA"),
                "the memcached hosta:11211 is there twice");
    UNIT_STR_EQ(refusal("memcached:[::A]:1,[::a]:1"), "the memcached [::a]:1 is there twice");
    CU_ASSERT_EQUAL(spec("memcached:a:1,a:2").nodes_n, 2);
}

static const char *many_nodes(int n)
{
    const char *text = "memcached:";
    for (int i = 0; i < n; i++) {
        text = apr_psprintf(unit_pool, "%s%shost%d", text, i ? "," : "", i);
    }
    return text;
}

static void there_are_sixteen_memcached_at_most(void)
{
    CU_ASSERT_EQUAL(spec(many_nodes(HAP_ZONE_NODES_MAX)).nodes_n, HAP_ZONE_NODES_MAX);
    UNIT_STR_EQ(refusal(many_nodes(HAP_ZONE_NODES_MAX + 1)), "there are more than 16 memcached");
}

static void an_unknown_store_is_refused_with_what_is_allowed(void)
{
    static const char *const words[] = {"", "redis:host:1", "SHM", "shm ", "shm64M", "memcached"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        UNIT_STR_EQ(refusal(words[i]), apr_psprintf(unit_pool,
                                                    "\"%s\" is no store: write shm, shm:SIZE or "
                                                    "memcached:HOST:PORT,...",
                                                    words[i]));
    }
}

/* --- zone= --- */

static const char *kinds(const char *text)
{
    unsigned bits = 0;
    hap_diag_t diag = {-1, ""};
    apr_status_t rv = hap_zone_kinds_parse(&bits, hap_str(text), &diag);
    CU_ASSERT_EQUAL(rv, bits ? APR_SUCCESS : APR_EINVAL);
    return bits ? hap_zone_kinds_text(bits) : apr_pstrdup(unit_pool, diag.why);
}

static void zones_are_two_words_in_any_case_and_order(void)
{
    UNIT_STR_EQ(kinds("USER"), "USER");
    UNIT_STR_EQ(kinds("storage"), "STORAGE");
    UNIT_STR_EQ(kinds("Storage,User"), "USER,STORAGE");
    UNIT_STR_EQ(hap_zone_kinds_text(0), "");
}

static void anything_else_is_no_zone(void)
{
    static const char *const words[] = {"", "USER,", ",USER", "USER,USER", "USERS", "USER STORAGE"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        UNIT_STR_EQ(kinds(words[i]), "a zone is USER, STORAGE or USER,STORAGE");
    }
}

/* --- placement --- */

enum { NAMES = 8000 };

static hap_str_t name(int i)
{
    static char text[64];
    snprintf(text, sizeof(text), "haz1:%043d", i);
    return hap_str(text);
}

/* The names of the nodes in the order in which they are asked. */
static const char *order(const hap_zone_spec_t *of, hap_str_t record)
{
    uint8_t at[HAP_ZONE_NODES_MAX];
    const char *text = "";
    hap_zone_placement(at, of, record);
    for (unsigned i = 0; i < of->nodes_n; i++) {
        text = apr_pstrcat(unit_pool, text, i ? " " : "", of->nodes[at[i]].name, NULL);
    }
    return text;
}

/* Proxies of different versions have to find each other's records. */
static void the_order_for_a_name_never_changes(void)
{
    hap_zone_spec_t of = spec("memcached:a:1,b:2,[::1]:3");
    UNIT_STR_EQ(order(&of, hap_str("haz1:gJnHzDUWznc0t_eyaSYp8jZqhJawW3RqBEaZQq-V9nI")),
                "a:1 b:2 [::1]:3");
    UNIT_STR_EQ(order(&of, hap_str("haz1:QQ2uRz_5UL9dHseDclLCgv1l3F7CHi6jzKYViAD7H7U")),
                "b:2 [::1]:3 a:1");
}

static void the_order_does_not_depend_on_how_the_nodes_are_written(void)
{
    hap_zone_spec_t one = spec("memcached:a,b,c,d,e");
    hap_zone_spec_t other = spec("memcached:d:11211,C,b,e,A:11211");
    for (int i = 0; i < 1000; i++) {
        UNIT_STR_EQ(order(&one, name(i)), order(&other, name(i)));
    }
}

/* Each pair of first and second is as frequent as any other: a node that is lost burdens all. */
static void names_are_spread_evenly_over_first_and_second_nodes(void)
{
    enum { NODES = 5, SHARE = NAMES / NODES / (NODES - 1) };
    hap_zone_spec_t of = spec("memcached:a,b,c,d,e");
    uint8_t at[HAP_ZONE_NODES_MAX];
    unsigned pairs[NODES][NODES] = {{0}};
    for (int i = 0; i < NAMES; i++) {
        hap_zone_placement(at, &of, name(i));
        pairs[at[0]][at[1]]++;
    }
    for (int i = 0; i < NODES; i++) {
        for (int j = 0; j < NODES; j++) {
            CU_ASSERT_TRUE(i == j ? pairs[i][j] == 0
                                  : pairs[i][j] > SHARE * 3 / 4 && pairs[i][j] < SHARE * 5 / 4);
        }
    }
}

static void a_node_that_is_taken_out_moves_only_its_own_names(void)
{
    hap_zone_spec_t with = spec("memcached:a,b,c,d");
    hap_zone_spec_t without = spec("memcached:a,b,d");
    uint8_t before[HAP_ZONE_NODES_MAX];
    uint8_t after[HAP_ZONE_NODES_MAX];
    for (int i = 0; i < NAMES; i++) {
        hap_zone_placement(before, &with, name(i));
        hap_zone_placement(after, &without, name(i));
        unsigned kept = 0;
        for (int j = 0; j < 4; j++) {
            const char *node = with.nodes[before[j]].name;
            if (strcmp(node, "c:11211") != 0) {
                UNIT_STR_EQ(without.nodes[after[kept++]].name, node);
            }
        }
    }
}

const unit_test_t suite_zone_spec[] = {
    UNIT_TEST(shm_has_32_megabytes_unless_said),
    UNIT_TEST(a_size_beyond_the_limits_is_refused),
    UNIT_TEST(memcached_are_hosts_with_or_without_a_port),
    UNIT_TEST(what_is_no_host_and_port_is_refused),
    UNIT_TEST(a_memcached_that_is_there_twice_is_refused),
    UNIT_TEST(there_are_sixteen_memcached_at_most),
    UNIT_TEST(an_unknown_store_is_refused_with_what_is_allowed),
    UNIT_TEST(zones_are_two_words_in_any_case_and_order),
    UNIT_TEST(anything_else_is_no_zone),
    UNIT_TEST(the_order_for_a_name_never_changes),
    UNIT_TEST(the_order_does_not_depend_on_how_the_nodes_are_written),
    UNIT_TEST(names_are_spread_evenly_over_first_and_second_nodes),
    UNIT_TEST(a_node_that_is_taken_out_moves_only_its_own_names),
    UNIT_END,
};
