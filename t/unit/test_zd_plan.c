/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of zd_plan: what a leader says of its own accord, and when it is silent. */
#include "unit.h"

#include <inttypes.h>

#include <apr_strings.h>

#include "zd_plan.h"
#include "zd_state.h"

#define UUID "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"

/* What is said until nothing is left to say, a word each; carried out on the state. */
static const char *said(zd_state_t *state, const zd_config_t *config, const char *id, uint64_t term)
{
    enum { MOST = 20 };
    static uint64_t seq;
    static const zd_roll_t nobody;
    static const zd_lease_t none;
    const zd_leader_t leader = {
        .id = id, .term = term, .uuid = UUID, .may_lead = true, .roll = &nobody, .lease = &none};
    const char *all = "";
    zd_command_t command;
    for (int i = 0; zd_plan_next(&command, zd_state_cluster(state), config, &leader); i++) {
        CU_ASSERT_TRUE_FATAL(i < MOST);
        command.client = "leader";
        command.seq = ++seq;
        command.by = id;
        const zd_result_t result = zd_state_apply(state, &command);
        all = apr_pstrcat(unit_pool, all, *all ? " " : "", zd_do_names[command.what], NULL);
        if (result.end != ZD_DONE) {
            return apr_pstrcat(unit_pool, all, ": ", result.why, NULL);
        }
    }
    return all;
}

static void a_node_alone_begins_a_cluster_and_leads_it(void)
{
    const zd_config_t config = {.app = "Voting"};
    zd_state_t *state = zd_state_make();
    UNIT_STR_EQ(said(state, &config, "0", 1), "init node-set lead app-set");
    UNIT_STR_EQ(said(state, &config, "0", 1), "");
    UNIT_STR_EQ(zd_state_cluster(state)->uuid, UUID);
    UNIT_STR_EQ(zd_state_cluster(state)->primary, "0");
    UNIT_STR_EQ(said(state, &config, "0", 2), "lead");
    zd_state_free(state);
}

static void of_several_nodes_the_first_leader_names_all(void)
{
    static const hap_map_node_t nodes[] = {
        {"0", "a:1", HAP_MAP_VOTER, true},
        {"1", "b:1", HAP_MAP_VOTER, true},
        {"web", "c:1", HAP_MAP_WITNESS, false},
    };
    const zd_config_t config = {.app = "Voting", .nodes = nodes, .nodes_n = 3};
    zd_state_t *state = zd_state_make();
    UNIT_STR_EQ(said(state, &config, "1", 3), "init node-set node-set node-set lead app-set");
    CU_ASSERT_EQUAL(zd_cluster_node(zd_state_cluster(state), "web")->raft, 3);
    UNIT_STR_EQ(said(state, &config, "0", 4), "lead");
    UNIT_STR_EQ(said(state, &config, "web", 5), "lead: node web may not lead: it is witness");
    zd_state_free(state);
}

/* Who has left by a command does not come back because a file still names it. */
static void a_node_that_was_removed_stays_away(void)
{
    static const hap_map_node_t nodes[] = {
        {"0", "a:1", HAP_MAP_VOTER, true},
        {"1", "b:1", HAP_MAP_VOTER, true},
    };
    const zd_config_t config = {.app = "Voting", .nodes = nodes, .nodes_n = 2};
    zd_state_t *state = zd_state_make();
    said(state, &config, "0", 1);
    const zd_command_t leave = {
        .what = ZD_DO_NODE_REMOVE, .client = "me", .seq = 1, .by = "me", .node = "1"};
    CU_ASSERT_EQUAL(zd_state_apply(state, &leave).end, ZD_DONE);
    UNIT_STR_EQ(said(state, &config, "0", 1), "");
    zd_state_free(state);
}

const unit_test_t suite_zd_plan[] = {
    UNIT_TEST(a_node_alone_begins_a_cluster_and_leads_it),
    UNIT_TEST(of_several_nodes_the_first_leader_names_all),
    UNIT_TEST(a_node_that_was_removed_stays_away),
    UNIT_END,
};
