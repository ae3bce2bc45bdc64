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

/* --- a cluster of several hosts, and what its leader hears -------------------------------------
 */

enum { BEGAN_MS = 1000000, LATE_MS = 10000 };

static const hap_map_node_t hosts[] = {
    {"0", "a:1", HAP_MAP_VOTER, true},        {"1", "b:1", HAP_MAP_VOTER, true},
    {"2", "c:1", HAP_MAP_VOTER, true},        {"web", "d:1", HAP_MAP_WITNESS, false},
    {"web2", "e:1", HAP_MAP_OBSERVER, false},
};
static const zd_config_t several = {.app = "Voting", .nodes = hosts, .nodes_n = 5};

static zd_state_t *cluster;
static zd_roll_t roll;
static zd_lease_t lease;
static zd_leader_t leader;
static uint64_t seq;

static void begin_to_lead(const char *id)
{
    roll = (zd_roll_t){.n = 0};
    leader.id = id;
    leader.term++;
    leader.ready_ms = leader.now_ms;
    leader.may_lead = true;
}

/* Carries out what is planned until nothing is; the last of it. */
static const char *planned(const zd_config_t *config)
{
    enum { MOST = 20 };
    const char *all = "";
    zd_command_t command;
    for (int i = 0; zd_plan_next(&command, zd_state_cluster(cluster), config, &leader); i++) {
        CU_ASSERT_TRUE_FATAL(i < MOST);
        command.client = "leader";
        command.seq = ++seq;
        command.by = leader.id;
        CU_ASSERT_EQUAL(zd_state_apply(cluster, &command).end, ZD_DONE);
        all = apr_pstrcat(unit_pool, all, *all ? ", " : "", zd_state_event(cluster, 0)->what, NULL);
    }
    return all;
}

/* Node 0 leads a cluster in which all are there. */
static void begin(void)
{
    leader = (zd_leader_t){.uuid = UUID, .now_ms = BEGAN_MS, .roll = &roll, .lease = &lease};
    cluster = zd_state_make();
    begin_to_lead("0");
    planned(&several);
}

static void finish(void)
{
    zd_state_free(cluster);
}

static void heard(const char *id, const char *first)
{
    const zd_beat_t beat = {.node = id, .first = first};
    zd_roll_hear(&roll, &beat, leader.now_ms);
}

static void heard_all(void)
{
    for (unsigned i = 0; i < several.nodes_n; i++) {
        heard(hosts[i].id, NULL);
    }
}

static void by_hand(zd_command_t command)
{
    command.client = "me";
    command.seq = ++seq;
    command.by = "me";
    CU_ASSERT_EQUAL(zd_state_apply(cluster, &command).end, ZD_DONE);
}

/* Who should be the primary. */
static const char *heir(uint64_t tried)
{
    const zd_cluster_t *now = zd_state_cluster(cluster);
    int at = zd_plan_heir(now, &several, &leader, tried);
    return at < 0 ? "nobody" : at == (int)now->nodes_n ? "too early" : now->nodes[at].map.id;
}

static int place_in(const zd_cluster_t *some, const char *id)
{
    return (int)(zd_cluster_node(some, id) - some->nodes);
}

static uint64_t bit(const char *id)
{
    return UINT64_C(1) << place_in(zd_state_cluster(cluster), id);
}

/* --- who is there --- */

static void a_node_that_is_not_heard_for_two_seconds_is_gone_and_comes_back(void)
{
    begin();
    heard_all();
    UNIT_STR_EQ(planned(&several), "");
    leader.now_ms += ZD_PRESENT_MS - 1;
    UNIT_STR_EQ(planned(&several), "");
    heard("0", NULL);
    heard("1", NULL);
    heard("web", NULL);
    heard("web2", NULL);
    leader.now_ms += 1;
    UNIT_STR_EQ(planned(&several), "node 2: is gone, by 0");
    UNIT_STR_EQ(planned(&several), "");
    heard("2", NULL);
    UNIT_STR_EQ(planned(&several), "node 2: is there, by 0");
    finish();
}

static void a_new_leader_does_not_call_anybody_gone_whom_it_had_no_time_to_hear(void)
{
    begin();
    begin_to_lead("0");
    UNIT_STR_EQ(planned(&several), "primary: 0 -> 0, elected in term 2, by 0");
    leader.now_ms += ZD_PRESENT_MS - 1;
    heard("1", NULL);
    heard("2", NULL);
    heard("web", NULL);
    UNIT_STR_EQ(planned(&several), "");
    leader.now_ms += 1;
    UNIT_STR_EQ(planned(&several), "node web2: is gone, by 0");
    finish();
}

static void the_leader_itself_is_there_without_a_word(void)
{
    begin();
    leader.now_ms += LATE_MS;
    UNIT_STR_EQ(planned(&several), "node 1: is gone, by 0, node 2: is gone, by 0, "
                                   "node web: is gone, by 0, node web2: is gone, by 0");
    finish();
}

/* --- who leads --- */

static void who_was_chosen_by_hand_leads_while_it_is_there(void)
{
    begin();
    by_hand((zd_command_t){.what = ZD_DO_PREFER, .node = "2"});
    begin_to_lead("1");
    heard_all();
    UNIT_STR_EQ(heir(0), "2");
    leader.now_ms += ZD_PRESENT_MS;
    heard("0", NULL);
    UNIT_STR_EQ(heir(0), "0");
    finish();
}

static void who_is_named_first_leads_a_cluster_that_begins(void)
{
    begin();
    begin_to_lead("0");
    heard_all();
    heard("web2", "1");
    UNIT_STR_EQ(heir(0), "1");
    heard("web2", "nobody-of-that-name");
    UNIT_STR_EQ(heir(0), "0");
    by_hand((zd_command_t){.what = ZD_DO_PREFER, .node = "2"});
    heard("web2", "1");
    UNIT_STR_EQ(heir(0), "2");
    finish();
}

static void g4_a_name_that_nobody_has_hides_none_that_somebody_has(void)
{
    begin();
    begin_to_lead("0");
    heard_all();
    heard("0", "nobody-of-that-name");
    heard("web2", "1");
    UNIT_STR_EQ(heir(0), "1");
    finish();
}

static void g4_who_says_it_of_itself_leads_where_nobody_has_led_yet(void)
{
    const zd_beat_t flagged = {.node = "2", .primary = true};
    begin();
    begin_to_lead("0");
    heard_all();
    zd_roll_hear(&roll, &flagged, leader.now_ms);
    UNIT_STR_EQ(heir(0), "0");
    zd_cluster_t fresh = *zd_state_cluster(cluster);
    fresh.primary = NULL;
    CU_ASSERT_EQUAL(zd_plan_heir(&fresh, &several, &leader, 0), place_in(&fresh, "2"));
    heard("web2", "1");
    CU_ASSERT_EQUAL(zd_plan_heir(&fresh, &several, &leader, 0), place_in(&fresh, "1"));
    finish();
}

static void the_primary_before_leads_again_when_it_is_heard(void)
{
    begin();
    begin_to_lead("2");
    heard("1", NULL);
    heard("0", NULL);
    UNIT_STR_EQ(heir(0), "0");
    finish();
}

/* As G8 has it: of those that are there, whoever that makes. */
static const char *first_of(const char *const *ids)
{
    const zd_cluster_t *now = zd_state_cluster(cluster);
    bool there[HAP_MAP_NODES_MAX] = {false};
    hap_map_node_t nodes[HAP_MAP_NODES_MAX];
    for (unsigned i = 0; i < now->nodes_n; i++) {
        nodes[i] = now->nodes[i].map;
        for (const char *const *id = ids; *id; id++) {
            there[i] |= strcmp(nodes[i].id, *id) == 0;
        }
    }
    const hap_map_t map = {.uuid = UUID, .nodes = nodes, .nodes_n = now->nodes_n};
    return hap_map_first(&map, there)->id;
}

static void g8_without_the_one_before_the_rendezvous_first_leads(void)
{
    begin();
    begin_to_lead("2");
    heard("1", NULL);
    heard("web", NULL);
    UNIT_STR_EQ(heir(0), first_of((const char *[]){"1", "2", "web", NULL}));
    begin_to_lead("1");
    heard("2", NULL);
    UNIT_STR_EQ(heir(0), first_of((const char *[]){"1", "2", NULL}));
    finish();
}

static void g9_when_two_are_gone_the_third_leads(void)
{
    begin();
    begin_to_lead("2");
    leader.now_ms += ZD_HEIR_MS;
    UNIT_STR_EQ(heir(0), "2");
    finish();
}

/* The one before is not waited for: that it is lost is why there was an election. */
static void it_is_too_early_to_say_while_an_electable_node_was_not_heard(void)
{
    begin();
    begin_to_lead("2");
    leader.now_ms += ZD_HEIR_MS - 1;
    UNIT_STR_EQ(heir(0), "too early");
    leader.now_ms -= 100;
    heard("1", NULL);
    UNIT_STR_EQ(heir(0), first_of((const char *[]){"1", "2", NULL}));
    finish();
}

static void while_nodes_of_the_configuration_are_missing_it_is_too_early_to_say(void)
{
    begin();
    begin_to_lead("0");
    heard_all();
    zd_state_free(cluster);
    cluster = zd_state_make();
    by_hand((zd_command_t){.what = ZD_DO_INIT, .uuid = UUID});
    UNIT_STR_EQ(heir(0), "too early");
    leader.now_ms += LATE_MS;
    UNIT_STR_EQ(heir(0), "too early");
    finish();
}

static void those_that_were_tried_are_passed_over(void)
{
    begin();
    begin_to_lead("1");
    heard_all();
    UNIT_STR_EQ(heir(0), "0");
    UNIT_STR_EQ(heir(bit("0")), first_of((const char *[]){"1", "2", NULL}));
    UNIT_STR_EQ(heir(bit("0") | bit("2")), "1");
    UNIT_STR_EQ(heir(bit("0") | bit("1") | bit("2")), "nobody");
    finish();
}

static void g12_a_witness_hands_the_lead_on_and_never_has_it(void)
{
    begin();
    begin_to_lead("web");
    leader.now_ms += ZD_HEIR_MS;
    heard("web2", NULL);
    UNIT_STR_EQ(heir(0), "nobody");
    heard("1", NULL);
    UNIT_STR_EQ(heir(0), "1");
    finish();
}

static void a_leader_that_should_not_lead_says_nothing_of_its_own(void)
{
    begin();
    begin_to_lead("1");
    leader.may_lead = false;
    leader.now_ms += LATE_MS;
    UNIT_STR_EQ(planned(&several), "");
    UNIT_STR_EQ(zd_state_cluster(cluster)->primary, "0");
    finish();
}

static void a_primary_is_that_of_its_term_only(void)
{
    begin();
    CU_ASSERT_TRUE(zd_plan_is_primary(zd_state_cluster(cluster), &leader));
    leader.term++;
    CU_ASSERT_FALSE(zd_plan_is_primary(zd_state_cluster(cluster), &leader));
    leader.term--;
    leader.id = "1";
    CU_ASSERT_FALSE(zd_plan_is_primary(zd_state_cluster(cluster), &leader));
    finish();
}

/* --- its application --- */

static const char *member(unsigned i)
{
    const hap_map_member_t *it =
        &zd_cluster_app(zd_state_cluster(cluster), "Voting")->map.members[i];
    return apr_psprintf(unit_pool, "%s %s %u %s", it->route, it->url ? it->url : "-", it->weight,
                        hap_admin_names[it->admin]);
}

static void members_follow_the_configuration(void)
{
    zd_replica_conf_t replicas[] = {{.id = "0", .route = "hostA", .url = "http://a:80"},
                                    {.id = "1", .route = "hostB"}};
    zd_config_t config = several;
    config.replicas = replicas;
    config.replicas_n = 2;
    begin();
    UNIT_STR_EQ(planned(&config),
                "Voting: member hostA: joins, http://a:80 weight 1 enabled, by 0, "
                "Voting: member hostB: joins, no address, weight 1 enabled, by 0");
    UNIT_STR_EQ(planned(&config), "");
    replicas[0].url = "http://a:81";
    replicas[1].url = "http://b:80";
    planned(&config);
    UNIT_STR_EQ(member(0), "hostA http://a:81 1 enabled");
    UNIT_STR_EQ(member(1), "hostB http://b:80 1 enabled");
    replicas[0].url = NULL;
    planned(&config);
    UNIT_STR_EQ(member(0), "hostA - 1 enabled");
    UNIT_STR_EQ(planned(&config), "");
    finish();
}

static void what_a_member_was_told_by_hand_stays_when_its_address_changes(void)
{
    zd_replica_conf_t replicas[] = {{.id = "0", .route = "hostA", .url = "http://a:80"}};
    zd_config_t config = several;
    config.replicas = replicas;
    config.replicas_n = 1;
    begin();
    planned(&config);
    by_hand((zd_command_t){.what = ZD_DO_MEMBER_SET,
                           .app = "Voting",
                           .route = "hostA",
                           .url = "http://a:80",
                           .weight = 7,
                           .admin = hap_admin_names[HAP_ADMIN_COUNT - 1]});
    UNIT_STR_EQ(planned(&config), "");
    replicas[0].url = "http://a:81";
    planned(&config);
    UNIT_STR_EQ(member(0), apr_pstrcat(unit_pool, "hostA http://a:81 7 ",
                                       hap_admin_names[HAP_ADMIN_COUNT - 1], NULL));
    finish();
}

const unit_test_t suite_zd_plan[] = {
    UNIT_TEST(a_node_alone_begins_a_cluster_and_leads_it),
    UNIT_TEST(of_several_nodes_the_first_leader_names_all),
    UNIT_TEST(a_node_that_was_removed_stays_away),
    UNIT_TEST(a_node_that_is_not_heard_for_two_seconds_is_gone_and_comes_back),
    UNIT_TEST(a_new_leader_does_not_call_anybody_gone_whom_it_had_no_time_to_hear),
    UNIT_TEST(the_leader_itself_is_there_without_a_word),
    UNIT_TEST(who_was_chosen_by_hand_leads_while_it_is_there),
    UNIT_TEST(who_is_named_first_leads_a_cluster_that_begins),
    UNIT_TEST(g4_a_name_that_nobody_has_hides_none_that_somebody_has),
    UNIT_TEST(g4_who_says_it_of_itself_leads_where_nobody_has_led_yet),
    UNIT_TEST(the_primary_before_leads_again_when_it_is_heard),
    UNIT_TEST(g8_without_the_one_before_the_rendezvous_first_leads),
    UNIT_TEST(g9_when_two_are_gone_the_third_leads),
    UNIT_TEST(it_is_too_early_to_say_while_an_electable_node_was_not_heard),
    UNIT_TEST(while_nodes_of_the_configuration_are_missing_it_is_too_early_to_say),
    UNIT_TEST(those_that_were_tried_are_passed_over),
    UNIT_TEST(g12_a_witness_hands_the_lead_on_and_never_has_it),
    UNIT_TEST(a_leader_that_should_not_lead_says_nothing_of_its_own),
    UNIT_TEST(a_primary_is_that_of_its_term_only),
    UNIT_TEST(members_follow_the_configuration),
    UNIT_TEST(what_a_member_was_told_by_hand_stays_when_its_address_changes),
    UNIT_END,
};
