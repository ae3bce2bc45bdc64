/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hap_map: what a map may say, its one spelling, and who leads. */
#include "unit.h"

#include <apr_strings.h>

#include "hap_envelope.h"
#include "golden.h"
#include "hap_map.h"

#define UUID "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"

static hap_map_node_t nodes[3];
static hap_map_member_t members[2];
static hap_map_member_t replicas[2];
static hap_map_app_t apps[2];

/* A map that uses every field, anew for each test, which may change it. */
static hap_map_t sample(void)
{
    nodes[0] = (hap_map_node_t){"web", "web.example:7946", HAP_MAP_WITNESS, false};
    nodes[1] = (hap_map_node_t){"hostB", "[2001:db8::b]:7946", HAP_MAP_VOTER, true};
    nodes[2] = (hap_map_node_t){"hostA", "192.0.2.1:7946", HAP_MAP_VOTER, true};
    members[0] = (hap_map_member_t){"hostB", "http://[2001:db8::b]:8080", 50, HAP_ADMIN_DRAIN};
    members[1] = (hap_map_member_t){"hostA", "http://192.0.2.1:8080", 100, HAP_ADMIN_ENABLED};
    replicas[0] = (hap_map_member_t){"hostA", "http://192.0.2.1:9000", 1, HAP_ADMIN_ENABLED};
    replicas[1] = (hap_map_member_t){"hostB", "http://hostb.example:9000", 1, HAP_ADMIN_ENABLED};
    apps[0] = (hap_map_app_t){.name = "Voting",
                              .single = true,
                              .active = "hostB",
                              .epoch = 12,
                              .members = replicas,
                              .members_n = 2};
    apps[1] = (hap_map_app_t){.name = "App", .members = members, .members_n = 2};
    return (hap_map_t){.uuid = UUID,
                       .version = 17,
                       .term = 3,
                       .primary = "hostA",
                       .nodes = nodes,
                       .nodes_n = 3,
                       .apps = apps,
                       .apps_n = 2};
}

/* Its bytes, or why there are none. */
static const char *written(const hap_map_t *map)
{
    hap_str_t text;
    hap_diag_t diag;
    apr_status_t rv = hap_map_encode(&text, map, &diag, unit_pool);
    return rv == APR_SUCCESS ? hap_str_dup(text, unit_pool) : apr_pstrdup(unit_pool, diag.why);
}

/* "ok", or line and sentence. */
static const char *read_as(hap_str_t text, const hap_map_t **map)
{
    hap_diag_t diag = {0, ""};
    apr_status_t rv = hap_map_decode(map, text, &diag, unit_pool);
    return rv == APR_SUCCESS ? "ok" : apr_psprintf(unit_pool, "%d: %s", diag.line, diag.why);
}

static const char *is_read(const char *text)
{
    const hap_map_t *map;
    return read_as(hap_str(text), &map);
}

/* The sample with one piece of its body replaced, under a first line that fits. */
static const char *with(const char *old, const char *new)
{
    const hap_envelope_kind_t kind = {"zero-map", 1};
    const hap_map_t map = sample();
    const char *body = strchr(written(&map), '\n') + 1;
    const char *at = strstr(body, old);
    hap_diag_t diag;
    hap_str_t text;
    CU_ASSERT_PTR_NOT_NULL_FATAL(at);
    body = apr_pstrcat(unit_pool, apr_pstrndup(unit_pool, body, at - body), new, at + strlen(old),
                       NULL);
    hap_envelope_wrap(&text, &kind, hap_str(body), &diag, unit_pool);
    return is_read(hap_str_dup(text, unit_pool));
}

static void the_format_is_the_golden_file(void)
{
    const hap_map_t map = sample();
    UNIT_STR_EQ(written(&map), unit_golden("map-1.txt"));
}

static void what_was_written_is_read_field_by_field(void)
{
    const hap_map_t *map;
    UNIT_STR_EQ(read_as(hap_str(unit_golden("map-1.txt")), &map), "ok");
    UNIT_STR_EQ(map->uuid, UUID);
    CU_ASSERT_EQUAL(map->version, 17);
    CU_ASSERT_EQUAL(map->term, 3);
    UNIT_STR_EQ(map->primary, "hostA");
    CU_ASSERT_EQUAL_FATAL(map->nodes_n, 3);
    UNIT_STR_EQ(map->nodes[0].address, "192.0.2.1:7946");
    CU_ASSERT_EQUAL(map->nodes[2].role, HAP_MAP_WITNESS);
    CU_ASSERT_FALSE(map->nodes[2].electable);
    CU_ASSERT_EQUAL_FATAL(map->apps_n, 2);
    const hap_map_app_t *app = hap_map_app(map, HAP_STR_LIT("App"));
    CU_ASSERT_FALSE(app->single);
    const hap_map_member_t *member = hap_map_member(app, HAP_STR_LIT("hostB"));
    UNIT_STR_EQ(member->url, "http://[2001:db8::b]:8080");
    CU_ASSERT_EQUAL(member->weight, 50);
    CU_ASSERT_EQUAL(member->admin, HAP_ADMIN_DRAIN);
    const hap_map_app_t *single = hap_map_app(map, HAP_STR_LIT("Voting"));
    CU_ASSERT_TRUE(single->single);
    UNIT_STR_EQ(single->active, "hostB");
    CU_ASSERT_EQUAL(single->epoch, 12);
    CU_ASSERT_PTR_NULL(hap_map_app(map, HAP_STR_LIT("app")));
    CU_ASSERT_PTR_NULL(hap_map_node(map, HAP_STR_LIT("host")));
}

static void order_makes_no_difference(void)
{
    hap_map_t map = sample();
    const char *one = written(&map);
    hap_map_node_t node = nodes[0];
    nodes[0] = nodes[2];
    nodes[2] = node;
    hap_map_app_t app = apps[0];
    apps[0] = apps[1];
    apps[1] = app;
    hap_map_member_t member = members[0];
    members[0] = members[1];
    members[1] = member;
    UNIT_STR_EQ(written(&map), one);
}

static void a_map_may_be_almost_empty(void)
{
    const hap_map_t map = {.uuid = UUID, .version = 1};
    UNIT_STR_EQ(is_read(written(&map)), "ok");
}

static void nobody_active_is_said(void)
{
    const hap_map_t map = sample();
    const hap_map_t *got;
    apps[0].active = NULL;
    UNIT_STR_EQ(read_as(hap_str(written(&map)), &got), "ok");
    CU_ASSERT_PTR_NULL(hap_map_app(got, HAP_STR_LIT("Voting"))->active);
    CU_ASSERT_EQUAL(hap_map_app(got, HAP_STR_LIT("Voting"))->epoch, 12);
}

static void members_may_have_no_address(void)
{
    const hap_map_t map = sample();
    const hap_map_t *got;
    members[0].url = NULL;
    replicas[0].url = NULL;
    replicas[1].url = NULL;
    UNIT_STR_EQ(read_as(hap_str(written(&map)), &got), "ok");
    CU_ASSERT_PTR_NULL(hap_map_member(&got->apps[0], HAP_STR_LIT("hostB"))->url);
    UNIT_STR_EQ(hap_map_member(&got->apps[0], HAP_STR_LIT("hostA"))->url, "http://192.0.2.1:8080");
    CU_ASSERT_PTR_NULL(got->apps[1].members[0].url);
    CU_ASSERT_PTR_NULL(got->apps[1].members[1].url);
    UNIT_STR_EQ(got->apps[1].active, "hostB");
    CU_ASSERT_PTR_NOT_NULL(strstr(written(&map), "\"url\": null,"));
}

static void an_address_is_nobody_elses_however_many_have_none(void)
{
    static const char *const urls[] = {NULL, "http://h:1", NULL, "http://h:1", NULL};
    hap_map_member_t five[5];
    const hap_map_app_t app = {.name = "App", .members = five, .members_n = 5};
    const hap_map_t map = {.uuid = UUID, .version = 1, .apps = &app, .apps_n = 1};
    for (int i = 0; i < 5; i++) {
        const char *route = apr_psprintf(unit_pool, "host%d", i);
        five[i] = (hap_map_member_t){route, urls[i], 1, HAP_ADMIN_ENABLED};
    }
    UNIT_STR_EQ(written(&map), "App: http://h:1 is there twice");
    five[3].url = NULL;
    UNIT_STR_EQ(is_read(written(&map)), "ok");
    five[4].route = "host0";
    UNIT_STR_EQ(written(&map), "App: host0 is there twice");
}

/* --- rules --- */

#define REFUSED(change, why)                                                                       \
    do {                                                                                           \
        hap_map_t map = sample();                                                                  \
        change;                                                                                    \
        UNIT_STR_EQ(written(&map), why);                                                           \
    } while (0)

static void rules_of_the_cluster(void)
{
    REFUSED(map.uuid = "1", "uuid: it is not 8-4-4-4-12 hex digits in lower case");
    REFUSED(map.uuid = "0F1E2D3C-4b5a-6978-8796-a5b4c3d2e1f0",
            "uuid: it is not 8-4-4-4-12 hex digits in lower case");
    REFUSED(map.version = 0, "version: it, or the term, is beyond 1 to 2^63-1");
    REFUSED(map.version = UINT64_MAX, "version: it, or the term, is beyond 1 to 2^63-1");
    REFUSED(map.term = UINT64_MAX, "version: it, or the term, is beyond 1 to 2^63-1");
    REFUSED(map.nodes_n = 65, "map: it has more than 64 nodes or 256 applications");
    REFUSED(map.apps_n = 257, "map: it has more than 64 nodes or 256 applications");
    REFUSED(map.primary = "web", "primary: it is none of the nodes that may lead");
    REFUSED(map.primary = "hostC", "primary: it is none of the nodes that may lead");
}

static void rules_of_nodes(void)
{
    REFUSED(nodes[0].electable = true, "node web: only a voter can be electable");
    REFUSED(nodes[0].id = "hostA", "nodes: hostA is there twice");
    REFUSED(nodes[0].address = "192.0.2.1:7946", "nodes: 192.0.2.1:7946 is there twice");
    REFUSED(nodes[0].address = "web.example", "node web: \"web.example\" is not HOST:PORT");
    REFUSED(nodes[0].address = "WEB:7946", "node web: the host \"WEB\" is written \"web\"");
    REFUSED(nodes[0].address = "web:0", "node web: \"0\" is not a port, use 1 to 65535");
    REFUSED(nodes[0].id = "w.b",
            "node: \"w.b\" has \".\" at byte 2, use 1 to 63 of A-Z a-z 0-9 _ -");
}

static void rules_of_applications(void)
{
    REFUSED(apps[0].name = "App", "applications: App is there twice");
    REFUSED(apps[0].active = "hostC", "Voting: its active member is none of its members");
    REFUSED(apps[0].epoch = 0, "Voting: its epoch is not 1 to 2^63-1");
    REFUSED(apps[1].active = "hostA",
            "App: only an active-passive application has an active member");
    REFUSED(apps[1].members_n = 1025, "App: it has more than 1024 members");
    REFUSED(members[0].route = "hostA", "App: hostA is there twice");
    REFUSED(members[0].url = "http://192.0.2.1:8080", "App: http://192.0.2.1:8080 is there twice");
    REFUSED(members[0].weight = 0, "App member hostB: its weight is not 1 to 100");
    REFUSED(members[0].weight = 101, "App member hostB: its weight is not 1 to 100");
    REFUSED(members[0].url = "ftp://h:1",
            "App member hostB: its URL is not SCHEME://HOST:PORT with http, https, ajp, h2 or h2c");
    REFUSED(members[0].url = "",
            "App member hostB: its URL is not SCHEME://HOST:PORT with http, https, ajp, h2 or h2c");
    REFUSED(members[0].url = "http://h:1/x",
            "App member hostB: \"1/x\" is not a port, use 1 to 65535");
}

/* --- files --- */

static void what_is_not_a_map_is_refused_by_line(void)
{
    UNIT_STR_EQ(with("\"term\": 3", "\"term\": \"3\""),
                "0: map: \"term\" is not there, or not a number from 0");
    UNIT_STR_EQ(with("\"term\": 3", "\"term\": -3"),
                "0: map: \"term\" is not there, or not a number from 0");
    UNIT_STR_EQ(with("\"voter\"", "\"votes\""),
                "0: node 1: \"role\" is not there, or not a word that is known");
    UNIT_STR_EQ(with("\"url\"", "\"uri\""), "0: App member 1: \"url\" is not there, or not a text");
    UNIT_STR_EQ(with("\"weight\": 50", "\"weight\": 4294967297"),
                "0: App member hostB: its weight is not 1 to 100");
    UNIT_STR_EQ(with("\"apps\": [", "\"apps\": 1, \"x\": ["),
                "0: map: \"apps\" is not there, or not a list of what there may be");
    UNIT_STR_EQ(with("\"term\": 3,", "\"term\": 3, \"more\": 1,"),
                "5: \"\\\"term\\\": 3, \\\"more\\\": 1,\" is not how a map is written");
    UNIT_STR_EQ(with("\"term\": 3,", "\"term\":3,"),
                "5: \"\\\"term\\\":3,\" is not how a map is written");
    UNIT_STR_EQ(with("\"term\": 3,", "\"term\": 3"),
                "6: is not JSON: '}' expected near '\"primary\"'");
    UNIT_STR_EQ(with("\"term\": 3,", "\"term\": 3, \"term\": 3,"),
                "5: is not JSON: duplicate object key near '\"term\"'");
}

static void no_cut_or_changed_file_is_a_map(void)
{
    const char *whole = unit_golden("map-1.txt");
    size_t n = strlen(whole);
    char *copy = apr_pstrmemdup(unit_pool, whole, n);
    const hap_map_t *map;
    for (size_t i = 0; i < n; i++) {
        hap_diag_t diag;
        CU_ASSERT_NOT_EQUAL(hap_map_decode(&map, hap_strn(whole, i), &diag, unit_pool),
                            APR_SUCCESS);
        copy[i] ^= 1;
        CU_ASSERT_NOT_EQUAL(hap_map_decode(&map, hap_strn(copy, n), &diag, unit_pool), APR_SUCCESS);
        copy[i] ^= 1;
    }
}

/* --- versions --- */

static void only_a_higher_version_of_the_same_cluster_is_taken(void)
{
    const hap_map_t has = sample();
    hap_map_t offered = has;
    CU_ASSERT_EQUAL(hap_map_offer(NULL, &offered, unit_pool), HAP_MAP_NEWER);
    CU_ASSERT_EQUAL(hap_map_offer(&has, &offered, unit_pool), HAP_MAP_SAME);
    offered.term = 4;
    CU_ASSERT_EQUAL(hap_map_offer(&has, &offered, unit_pool), HAP_MAP_CONTRADICTS);
    offered.version = 18;
    CU_ASSERT_EQUAL(hap_map_offer(&has, &offered, unit_pool), HAP_MAP_NEWER);
    offered.version = 16;
    CU_ASSERT_EQUAL(hap_map_offer(&has, &offered, unit_pool), HAP_MAP_OLDER);
    offered.uuid = "1f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
    CU_ASSERT_EQUAL(hap_map_offer(&has, &offered, unit_pool), HAP_MAP_OTHERS);
}

/* --- who leads --- */

static void first_is_the_same_for_all_and_never_one_that_may_not_lead(void)
{
    const hap_map_t map = sample();
    const hap_map_node_t *first = hap_map_first(&map, NULL);
    CU_ASSERT_TRUE_FATAL(first && first->electable);
    bool alive[3] = {true, true, true};
    alive[first - nodes] = false;
    const hap_map_node_t *next = hap_map_first(&map, alive);
    CU_ASSERT_TRUE_FATAL(next && next->electable && next != first);
    alive[next - nodes] = false;
    CU_ASSERT_PTR_NULL(hap_map_first(&map, alive));
}

/* Over many clusters each of the nodes is first about as often. */
static void clusters_differ_in_who_is_first(void)
{
    enum { CLUSTERS = 1000 };
    hap_map_t map = sample();
    unsigned first_b = 0;
    for (unsigned i = 0; i < CLUSTERS; i++) {
        map.uuid = apr_psprintf(unit_pool, "%08x-4b5a-6978-8796-a5b4c3d2e1f0", i);
        first_b += hap_map_first(&map, NULL) == &nodes[1];
    }
    CU_ASSERT_TRUE(first_b > CLUSTERS * 2 / 5 && first_b < CLUSTERS * 3 / 5);
}

const unit_test_t suite_map[] = {
    UNIT_TEST(the_format_is_the_golden_file),
    UNIT_TEST(what_was_written_is_read_field_by_field),
    UNIT_TEST(order_makes_no_difference),
    UNIT_TEST(a_map_may_be_almost_empty),
    UNIT_TEST(nobody_active_is_said),
    UNIT_TEST(members_may_have_no_address),
    UNIT_TEST(an_address_is_nobody_elses_however_many_have_none),
    UNIT_TEST(rules_of_the_cluster),
    UNIT_TEST(rules_of_nodes),
    UNIT_TEST(rules_of_applications),
    UNIT_TEST(what_is_not_a_map_is_refused_by_line),
    UNIT_TEST(no_cut_or_changed_file_is_a_map),
    UNIT_TEST(only_a_higher_version_of_the_same_cluster_is_taken),
    UNIT_TEST(first_is_the_same_for_all_and_never_one_that_may_not_lead),
    UNIT_TEST(clusters_differ_in_who_is_first),
    UNIT_END,
};
