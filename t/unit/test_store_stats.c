/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hapstore_stats. Asking real servers is t/83-zone-get.t's. */
#include "unit.h"

#include <stdio.h>

#include "store/hapstore_stats.h"

static hapstore_stats_t stats;

static bool reads(const char *answer)
{
    return hapstore_stats_read(&stats, hap_str(answer));
}

static void a_memcached_says_how_it_is(void)
{
    CU_ASSERT_TRUE(reads("STAT pid 7\r\nSTAT uptime 90\r\nSTAT version 1.6.18\r\nSTAT bytes 12\r\n"
                         "STAT curr_items 3\r\nSTAT limit_maxbytes 67108864\r\nSTAT evictions 4\r\n"
                         "STAT ascii_binding_protocol auto-negotiate\r\nEND\r\n"));
    UNIT_STR_EQ(stats.version, "1.6.18");
    CU_ASSERT_EQUAL(stats.uptime_s, 90);
    CU_ASSERT_EQUAL(stats.items, 3);
    CU_ASSERT_EQUAL(stats.bytes, 12);
    CU_ASSERT_EQUAL(stats.bytes_max, 67108864);
    CU_ASSERT_EQUAL(stats.evictions, 4);
}

static void what_it_does_not_say_is_zero(void)
{
    CU_ASSERT_TRUE(reads("END\r\n"));
    CU_ASSERT_EQUAL(stats.items, 0);
    UNIT_STR_EQ(stats.version, "");
    CU_ASSERT_TRUE(reads("STAT bytes -1\r\nSTAT evictions\r\nSTAT curr_items 1e9\r\nEND\r\n"));
    CU_ASSERT_EQUAL(stats.bytes + stats.evictions + stats.items, 0);
    CU_ASSERT_TRUE(reads("STAT uptime 18446744073709551616\r\nSTAT  \r\nSTAT \r\nEND\r\n"));
    CU_ASSERT_EQUAL(stats.uptime_s, 0);
}

static void a_version_is_cut_and_fit_for_a_terminal(void)
{
    CU_ASSERT_TRUE(reads("STAT version 1.6\x1b[2J\r\nEND\r\n"));
    UNIT_STR_EQ(stats.version, "1.6");
    CU_ASSERT_TRUE(reads("STAT version 0123456789012345678901234567890123456789\r\nEND\r\n"));
    CU_ASSERT_EQUAL(strlen(stats.version), HAPSTORE_STATS_VERSION_BYTES - 1);
}

static void anything_else_is_no_answer(void)
{
    static const char *const bad[] = {"",
                                      "END",
                                      "END\n",
                                      "ERROR\r\n",
                                      "STAT pid 1\r\n",
                                      "STAT pid 1\nEND\r\n",
                                      "STAT pid 1\r\nstat x 1\r\nEND\r\n",
                                      "END\r\nEND\r\n",
                                      "STAT",
                                      "\r\nEND\r\n"};
    stats.items = 77;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CU_ASSERT_FALSE(reads(bad[i]));
    }
    CU_ASSERT_EQUAL(stats.items, 77);
}

const unit_test_t suite_store_stats[] = {
    UNIT_TEST(a_memcached_says_how_it_is),
    UNIT_TEST(what_it_does_not_say_is_zero),
    UNIT_TEST(a_version_is_cut_and_fit_for_a_terminal),
    UNIT_TEST(anything_else_is_no_answer),
    UNIT_END,
};
