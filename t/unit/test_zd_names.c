/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of zd_names: a name that cannot be looked up is news once. */
#include "unit.h"

#include <apr_strings.h>

#include "zd_names.h"

static zd_names_t names;

static bool lost(const char *name)
{
    return zd_names_changed(&names, name, false);
}

static bool found(const char *name)
{
    return zd_names_changed(&names, name, true);
}

static void a_name_is_lost_once_and_found_once(void)
{
    CU_ASSERT_FALSE(found("a.example"));
    CU_ASSERT_TRUE(lost("a.example"));
    CU_ASSERT_FALSE(lost("a.example"));
    CU_ASSERT_TRUE(found("a.example"));
    CU_ASSERT_FALSE(found("a.example"));
    CU_ASSERT_TRUE(lost("a.example"));
    zd_names_clear(&names);
}

static void each_name_is_news_of_its_own(void)
{
    CU_ASSERT_TRUE(lost("a.example"));
    CU_ASSERT_TRUE(lost("b.example"));
    CU_ASSERT_FALSE(found("a.exampl"));
    CU_ASSERT_TRUE(found("a.example"));
    CU_ASSERT_FALSE(lost("b.example"));
    CU_ASSERT_TRUE(lost("a.example"));
    zd_names_clear(&names);
    CU_ASSERT_FALSE(found("b.example"));
}

static void more_than_there_are_nodes_are_not_kept(void)
{
    for (int i = 0; i < ZD_NAMES_MAX; i++) {
        CU_ASSERT_TRUE(lost(apr_psprintf(unit_pool, "host%d.example", i)));
    }
    CU_ASSERT_FALSE(lost("more.example"));
    CU_ASSERT_TRUE(found("host7.example"));
    CU_ASSERT_TRUE(lost("more.example"));
    zd_names_clear(&names);
}

const unit_test_t suite_zd_names[] = {
    UNIT_TEST(a_name_is_lost_once_and_found_once),
    UNIT_TEST(each_name_is_news_of_its_own),
    UNIT_TEST(more_than_there_are_nodes_are_not_kept),
    UNIT_END,
};
