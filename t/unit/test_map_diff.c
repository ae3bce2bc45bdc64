/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hap_map_diff: in which sentences one map becomes another one. */
#include "unit.h"

#include <apr_strings.h>

#include "hap_map_diff.h"
#include "random.h"

#define UUID  "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
#define OTHER "ffffffff-4b5a-6978-8796-a5b4c3d2e1f0"

enum { NODES = 2, MEMBERS = 2, APPS = 2 };

/* A map with what it points to, which tests change. */
typedef struct world_t {
    hap_map_t map;
    hap_map_node_t nodes[NODES];
    hap_map_member_t replicas[MEMBERS];
    hap_map_member_t members[MEMBERS];
    hap_map_app_t apps[APPS];
} world_t;

static world_t was;
static world_t is;

static void begin(world_t *world)
{
    *world = (world_t){
        .map = {.uuid = UUID, .version = 17, .term = 3, .primary = "hostA"},
        .nodes = {{"hostA", "192.0.2.1:7946", HAP_MAP_VOTER, true},
                  {"hostB", "192.0.2.2:7946", HAP_MAP_VOTER, true}},
        .replicas = {{"hostA", "http://192.0.2.1:9000", 1, HAP_ADMIN_ENABLED},
                     {"hostB", "http://192.0.2.2:9000", 1, HAP_ADMIN_ENABLED}},
        .members = {{"hostA", "http://192.0.2.1:8080", 50, HAP_ADMIN_ENABLED},
                    {"hostB", "http://192.0.2.2:8080", 50, HAP_ADMIN_ENABLED}},
        .apps = {{.name = "Shop"},
                 {.name = "Voting", .single = true, .active = "hostA", .epoch = 12}},
    };
    world->apps[0].members = world->members;
    world->apps[1].members = world->replicas;
    world->apps[0].members_n = world->apps[1].members_n = MEMBERS;
    world->map.nodes = world->nodes;
    world->map.nodes_n = NODES;
    world->map.apps = world->apps;
    world->map.apps_n = APPS;
}

static void same(void)
{
    begin(&was);
    begin(&is);
}

static const char *diff_of(const world_t *before, const world_t *after)
{
    const char *text = "";
    apr_array_header_t *sentences = hap_map_diff(&before->map, &after->map, unit_pool);
    for (int i = 0; i < sentences->nelts; i++) {
        text = apr_pstrcat(unit_pool, text, APR_ARRAY_IDX(sentences, i, const char *), "\n", NULL);
    }
    return text;
}

static const char *diff(void)
{
    return diff_of(&was, &is);
}

static const char *back(void)
{
    return diff_of(&is, &was);
}

static void equal_maps_have_no_difference_whatever_their_order(void)
{
    same();
    UNIT_STR_EQ(diff(), "");
    is.nodes[0] = was.nodes[1];
    is.nodes[1] = was.nodes[0];
    is.members[0] = was.members[1];
    is.members[1] = was.members[0];
    UNIT_STR_EQ(diff(), "");
}

static void another_cluster_is_said_first(void)
{
    same();
    is.map.uuid = OTHER;
    is.map.version = 18;
    UNIT_STR_EQ(diff(), "cluster " UUID " -> " OTHER ", which is another one\n"
                        "version 17 -> 18\n");
}

static void the_primary_comes_with_its_term(void)
{
    same();
    is.map.primary = "hostB";
    is.map.term = 4;
    UNIT_STR_EQ(diff(), "primary hostA -> hostB, term 3 -> 4\n");
    is.map.primary = "hostA";
    UNIT_STR_EQ(diff(), "primary hostA, term 3 -> 4\n");
    is.map.primary = NULL;
    is.map.term = 3;
    UNIT_STR_EQ(diff(), "primary hostA -> none, term 3\n");
}

static void nodes_come_change_and_go(void)
{
    same();
    is.nodes[1] = (hap_map_node_t){"web", "web.example:7946", HAP_MAP_WITNESS, false};
    UNIT_STR_EQ(diff(), "node web: added, witness, not electable, web.example:7946\n"
                        "node hostB: gone\n");
    is.nodes[1] = (hap_map_node_t){"hostB", "192.0.2.9:7946", HAP_MAP_OBSERVER, false};
    UNIT_STR_EQ(diff(), "node hostB: address 192.0.2.2:7946 -> 192.0.2.9:7946\n"
                        "node hostB: role voter -> observer\n"
                        "node hostB: electable -> not electable\n");
}

static void the_active_member_comes_with_its_epoch(void)
{
    same();
    is.apps[1].active = "hostB";
    is.apps[1].epoch = 13;
    UNIT_STR_EQ(diff(), "Voting: active hostA -> hostB, epoch 12 -> 13\n");
    is.apps[1].active = "hostA";
    UNIT_STR_EQ(diff(), "Voting: active hostA, epoch 12 -> 13\n");
    is.apps[1].active = NULL;
    is.apps[1].epoch = 12;
    UNIT_STR_EQ(diff(), "Voting: active hostA -> none, epoch 12\n");
}

static void members_come_change_and_go(void)
{
    same();
    is.members[1] = (hap_map_member_t){"hostC", "http://192.0.2.3:8080", 7, HAP_ADMIN_STANDBY};
    UNIT_STR_EQ(diff(), "Shop: member hostC: added, http://192.0.2.3:8080, weight 7, standby\n"
                        "Shop: member hostB: gone\n");
    is.members[1] = (hap_map_member_t){"hostB", "http://192.0.2.3:8080", 51, HAP_ADMIN_DRAIN};
    UNIT_STR_EQ(diff(), "Shop: member hostB: url http://192.0.2.2:8080 -> http://192.0.2.3:8080\n"
                        "Shop: member hostB: weight 50 -> 51\n"
                        "Shop: member hostB: enabled -> drain\n");
}

static void a_member_may_have_no_url(void)
{
    same();
    is.members[0].url = NULL;
    UNIT_STR_EQ(diff(), "Shop: member hostA: url http://192.0.2.1:8080 -> none\n");
    UNIT_STR_EQ(back(), "Shop: member hostA: url none -> http://192.0.2.1:8080\n");
    was.members[0].url = NULL;
    UNIT_STR_EQ(diff(), "");
    is.members[0].route = "hostC";
    UNIT_STR_EQ(diff(), "Shop: member hostC: added, no url, weight 50, enabled\n"
                        "Shop: member hostA: gone\n");
}

static void applications_come_change_and_go(void)
{
    same();
    was.map.apps_n = 1;
    is.map.apps = &is.apps[1];
    is.map.apps_n = 1;
    UNIT_STR_EQ(diff(), "Voting: added, active on one member\n"
                        "Voting: active none -> hostA, epoch 0 -> 12\n"
                        "Voting: member hostA: added, http://192.0.2.1:9000, weight 1, enabled\n"
                        "Voting: member hostB: added, http://192.0.2.2:9000, weight 1, enabled\n"
                        "Shop: gone\n");
    same();
    is.apps[0].single = true;
    UNIT_STR_EQ(diff(), "Shop: active on all members -> active on one member\n");
}

/* --- at random --- */

/* Changes one field of a map that stays one, or none. */
static void change(world_t *world, unsigned what)
{
    static const char *const urls[] = {"http://192.0.2.7:1", "http://192.0.2.8:1"};
    switch (what) {
    case 0:
        world->map.version++;
        break;
    case 1:
        world->map.term++;
        break;
    case 2:
        world->map.primary = world->map.primary ? NULL : "hostB";
        break;
    case 3:
        world->nodes[1].address = "192.0.2.77:7946";
        break;
    case 4:
        world->nodes[1].electable = !world->nodes[1].electable;
        break;
    case 5:
        world->members[0].url = urls[0];
        break;
    case 6:
        world->replicas[1].url = urls[1];
        break;
    case 7:
        world->members[1].weight = 99;
        break;
    case 8:
        world->replicas[0].admin = HAP_ADMIN_MAINT;
        break;
    case 9:
        world->apps[1].epoch++;
        break;
    case 10:
        world->apps[1].active = NULL;
        break;
    case 11:
        world->apps[0].name = "Store";
        break;
    case 12:
        world->apps[0].members_n = 1;
        break;
    case 13:
        world->map.nodes_n = 1;
        break;
    case 14:
        world->map.apps_n = 0;
        break;
    default:
        break;
    }
}

static const char *bytes_of(const world_t *world)
{
    hap_str_t text;
    hap_diag_t diag;
    if (hap_map_encode(&text, &world->map, &diag, unit_pool) != APR_SUCCESS) {
        return NULL;
    }
    return hap_str_dup(text, unit_pool);
}

static void there_is_a_difference_exactly_when_the_bytes_differ(void)
{
    enum { ROUNDS = 2000, KINDS = 17, CHANGES = 4 };
    unit_random_t random = {1};
    unsigned differed = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        same();
        for (unsigned i = 0; i < CHANGES; i++) {
            change(&was, (unsigned)unit_random(&random, KINDS));
            change(&is, (unsigned)unit_random(&random, KINDS));
        }
        const char *before = bytes_of(&was);
        const char *after = bytes_of(&is);
        if (!before || !after) {
            continue;
        }
        CU_ASSERT_EQUAL(strcmp(before, after) == 0, diff()[0] == '\0');
        CU_ASSERT_EQUAL(strcmp(before, after) == 0, back()[0] == '\0');
        differed += strcmp(before, after) != 0;
    }
    CU_ASSERT_TRUE(differed > ROUNDS / 4);
}

const unit_test_t suite_map_diff[] = {
    UNIT_TEST(equal_maps_have_no_difference_whatever_their_order),
    UNIT_TEST(another_cluster_is_said_first),
    UNIT_TEST(the_primary_comes_with_its_term),
    UNIT_TEST(nodes_come_change_and_go),
    UNIT_TEST(the_active_member_comes_with_its_epoch),
    UNIT_TEST(members_come_change_and_go),
    UNIT_TEST(a_member_may_have_no_url),
    UNIT_TEST(applications_come_change_and_go),
    UNIT_TEST(there_is_a_difference_exactly_when_the_bytes_differ),
    UNIT_END,
};
