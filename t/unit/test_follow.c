/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hap_follow, and of choices among members that a map says something of. */
#include "unit.h"

#include <apr_strings.h>

#include "farm.h"
#include "hap_follow.h"

static hap_map_member_t members[] = {
    {"hostA", "http://192.0.2.1:8080", 2, HAP_ADMIN_ENABLED},
    {"hostC", "http://192.0.2.3:8080", 1, HAP_ADMIN_DRAIN},
    {"hostD", NULL, 1, HAP_ADMIN_ENABLED},
};
static hap_map_app_t app;

/* "route:place[:mapped]:standing" of each. */
static const char *followed(const hap_map_app_t *by, const char *known)
{
    static const char *const configured[] = {"hostA", "hostB"};
    static const char *const standings[] = {"serves", "passive", "gone"};
    const hap_follow_from_t from = {configured, 2, by, &known, known ? 1 : 0};
    const char *text = "";
    unsigned n = 0;
    const hap_follow_t *rows = hap_follow(&n, &from, unit_pool);
    for (unsigned i = 0; i < n; i++) {
        text = apr_psprintf(unit_pool, "%s%s%s:%d%s:%s", text, i ? " " : "", rows[i].route,
                            rows[i].configured, rows[i].mapped ? ":mapped" : "",
                            standings[rows[i].standing]);
    }
    return text;
}

static hap_map_app_t *sample(bool single, const char *active)
{
    app = (hap_map_app_t){.name = "App",
                          .single = single,
                          .active = active,
                          .epoch = single ? 7 : 0,
                          .members = members,
                          .members_n = 3};
    return &app;
}

static void configured_members_stay_whatever_the_map_says(void)
{
    UNIT_STR_EQ(followed(NULL, NULL), "hostA:0:serves hostB:1:serves");
    UNIT_STR_EQ(followed(sample(false, NULL), NULL),
                "hostA:0:mapped:serves hostB:1:serves hostC:-1:mapped:serves");
}

static void one_without_an_address_is_added_by_the_configuration_alone(void)
{
    members[0].url = NULL;
    UNIT_STR_EQ(followed(sample(false, NULL), NULL),
                "hostA:0:mapped:serves hostB:1:serves hostC:-1:mapped:serves");
    members[0].url = "http://192.0.2.1:8080";
}

static void who_was_added_once_is_known(void)
{
    UNIT_STR_EQ(followed(NULL, "hostC"), "hostA:0:serves hostB:1:serves hostC:-1:gone");
    UNIT_STR_EQ(followed(sample(false, NULL), "hostC"),
                "hostA:0:mapped:serves hostB:1:serves hostC:-1:mapped:serves");
    UNIT_STR_EQ(followed(NULL, "hostB"), "hostA:0:serves hostB:1:serves");
}

static void all_but_the_active_member_are_passive(void)
{
    UNIT_STR_EQ(followed(sample(true, "hostC"), NULL),
                "hostA:0:mapped:passive hostB:1:passive hostC:-1:mapped:serves");
    UNIT_STR_EQ(followed(sample(true, NULL), NULL),
                "hostA:0:mapped:passive hostB:1:passive hostC:-1:mapped:passive");
}

static void names_of_balancers_have_no_case(void)
{
    const hap_map_t map = {.apps = sample(false, NULL), .apps_n = 1};
    CU_ASSERT_PTR_EQUAL(hap_follow_app(&map, hap_str("aPP")), &app);
    CU_ASSERT_PTR_NULL(hap_follow_app(&map, hap_str("other")));
    CU_ASSERT_PTR_NULL(hap_follow_app(NULL, hap_str("App")));
}

/* --- choices ---------------------------------------------------------------------------------- */

static farm_t farm;

static void make(bool single, uint64_t epoch, hap_failover_t failover)
{
    farm_make(&farm, 3, HAP_METHOD_ROUND, unit_pool);
    farm.policy.failover = failover;
    for (uint32_t i = 0; i < farm.n; i++) {
        farm.members[i].mapped = true;
        farm.members[i].standing = single ? HAP_STANDING_PASSIVE : HAP_STANDING_SERVES;
    }
    const hap_roster_kind_t kind = {.single = single, .epoch = epoch};
    if (epoch) {
        farm.members[1].standing = HAP_STANDING_SERVES;
    }
    farm.selector.roster = hap_roster_make(farm.members, farm.n, kind, unit_pool);
    farm_schedule(&farm);
}

static int pick(int wanted)
{
    farm.request.wanted = wanted;
    return farm_pick(&farm).member;
}

static void only_the_active_member_is_chosen_strict_sessions_or_not(void)
{
    make(true, 7, HAP_FAILOVER_STRICT);
    CU_ASSERT_EQUAL(pick(-1), 1);
    CU_ASSERT_EQUAL(pick(0), 1);
    CU_ASSERT_EQUAL(farm_pick(&farm).why, HAP_PICK_FAILOVER);
    CU_ASSERT_EQUAL(pick(1), 1);
    CU_ASSERT_EQUAL(farm_pick(&farm).why, HAP_PICK_SESSION);
}

static void nobody_active_is_a_reason_of_its_own(void)
{
    make(true, 0, HAP_FAILOVER_ON);
    CU_ASSERT_EQUAL(pick(-1), -1);
    CU_ASSERT_EQUAL(farm_pick(&farm).why, HAP_PICK_INACTIVE);
}

static void health_from_before_a_member_was_active_does_not_count(void)
{
    make(true, 7, HAP_FAILOVER_ON);
    farm_flags(&farm, 1, HAP_FLAG_DOWN, 0);
    CU_ASSERT_EQUAL(pick(-1), 1);
    atomic_store(&farm.shared.slots[1].epoch, 7);
    CU_ASSERT_EQUAL(pick(-1), -1);
    CU_ASSERT_EQUAL(farm_pick(&farm).why, HAP_PICK_NONE);
}

static void who_is_gone_loses_its_sessions_to_others_strict_or_not(void)
{
    make(false, 0, HAP_FAILOVER_STRICT);
    farm.members[2].standing = HAP_STANDING_GONE;
    farm_build(&farm);
    CU_ASSERT_NOT_EQUAL(pick(2), 2);
    CU_ASSERT_NOT_EQUAL(pick(2), -1);
    for (int i = 0; i < 10; i++) {
        CU_ASSERT_NOT_EQUAL(pick(-1), 2);
    }
}

/* The map's word stands for the configuration's, and beside an operator's. */
static void the_stricter_of_the_map_and_an_operator_counts(void)
{
    make(false, 0, HAP_FAILOVER_ON);
    const hap_admin_word_t configured = {.state = HAP_ADMIN_MAINT};
    const hap_admin_word_t drained = {.state = HAP_ADMIN_DRAIN, .source = HAP_SOURCE_OPERATOR};
    hap_shared_admin(&farm.shared, 0, &configured);
    CU_ASSERT_EQUAL(hap_roster_flags(farm.selector.roster, &farm.shared, 0), 0);
    hap_shared_admin(&farm.shared, 0, &drained);
    CU_ASSERT_EQUAL(hap_roster_flags(farm.selector.roster, &farm.shared, 0),
                    HAP_FLAG_DRAIN | HAP_FLAG_OPERATOR);
    farm.members[0].told = hap_shared_admin_flags(HAP_ADMIN_MAINT);
    farm_build(&farm);
    CU_ASSERT_EQUAL(hap_roster_flags(farm.selector.roster, &farm.shared, 0),
                    HAP_FLAG_DRAIN | HAP_FLAG_MAINT | HAP_FLAG_OPERATOR);
}

const unit_test_t suite_follow[] = {
    UNIT_TEST(configured_members_stay_whatever_the_map_says),
    UNIT_TEST(one_without_an_address_is_added_by_the_configuration_alone),
    UNIT_TEST(who_was_added_once_is_known),
    UNIT_TEST(all_but_the_active_member_are_passive),
    UNIT_TEST(names_of_balancers_have_no_case),
    UNIT_TEST(only_the_active_member_is_chosen_strict_sessions_or_not),
    UNIT_TEST(nobody_active_is_a_reason_of_its_own),
    UNIT_TEST(health_from_before_a_member_was_active_does_not_count),
    UNIT_TEST(who_is_gone_loses_its_sessions_to_others_strict_or_not),
    UNIT_TEST(the_stricter_of_the_map_and_an_operator_counts),
    UNIT_END,
};
