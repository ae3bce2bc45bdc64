/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hap_option and the tables of hap_policy. */
#include "unit.h"

#include <apr_strings.h>

#include "hap_policy.h"

static hap_policy_t policy;
static hap_diag_t diag;

static void fresh(void)
{
    hap_option_defaults(&policy, &hap_policy_options);
    memset(&diag, 0, sizeof(diag));
}

static apr_status_t set(const char *pair)
{
    return hap_option_set(&policy, &hap_policy_options, hap_str(pair), &diag, unit_pool);
}

static void defaults_are_those_of_the_table(void)
{
    fresh();
    CU_ASSERT_EQUAL(policy.method, HAP_METHOD_ROUND);
    CU_ASSERT_EQUAL(policy.affinity.mode, HAP_AFFINITY_APP);
    CU_ASSERT_EQUAL(policy.retries, 3);
    CU_ASSERT_EQUAL(policy.retry_budget, 20);
    CU_ASSERT_EQUAL(policy.queue_timeout, 5000000);
    CU_ASSERT_PTR_NULL(policy.sign);
    CU_ASSERT_EQUAL(policy.set, 0);
}

static void every_default_is_a_value_that_its_own_row_accepts(void)
{
    const hap_options_t *tables[] = {&hap_policy_options, &hap_check_options, &hap_zone_options};
    for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++) {
        CU_ASSERT_TRUE(tables[t]->n <= 64);
        for (size_t i = 0; i < tables[t]->n; i++) {
            const hap_option_t *row = &tables[t]->rows[i];
            union {
                hap_policy_t policy;
                hap_check_policy_t check;
                hap_zone_policy_t zone;
                uint64_t set;
            } record = {.set = 0};
            char pair[200];
            snprintf(pair, sizeof(pair), "%s=%s", row->name, row->fallback);
            apr_status_t rv = hap_option_set(&record, tables[t], hap_str(pair), &diag, unit_pool);
            CU_ASSERT_EQUAL(rv, row->fallback[0] ? APR_SUCCESS : APR_EINVAL);
        }
    }
}

static void every_key_is_taken_once_and_a_second_time_refused(void)
{
    fresh();
    CU_ASSERT_EQUAL(set("retries=1"), APR_SUCCESS);
    CU_ASSERT_EQUAL(set("retries=2"), APR_EINVAL);
    UNIT_STR_EQ(diag.why, "HABalancer: retries= is given twice, keep one");
    CU_ASSERT_EQUAL(policy.retries, 1);
}

static void a_bad_value_is_named_with_what_is_allowed(void)
{
    fresh();
    CU_ASSERT_EQUAL(set("method=fastest"), APR_EINVAL);
    UNIT_STR_EQ(diag.why,
                "HABalancer: method=fastest is not allowed, use round, least, latency or hash");
    CU_ASSERT_EQUAL(set("retries=11"), APR_EINVAL);
    UNIT_STR_EQ(diag.why, "HABalancer: retries=11 is not allowed, use 0 to 10");
    CU_ASSERT_EQUAL(set("slow-start=2h"), APR_EINVAL);
    UNIT_STR_EQ(diag.why,
                "HABalancer: slow-start=2h is not allowed, use 0s to 1h, in ms, s, m or h");
    CU_ASSERT_EQUAL(set("sign=\n"), APR_EINVAL);
    UNIT_STR_EQ(diag.why,
                "HABalancer: sign=\\x0a is not allowed, use the path of a key file or none");
    CU_ASSERT_EQUAL(set("retries"), APR_EINVAL);
    UNIT_STR_EQ(diag.why, "HABalancer: retries has no value, write retries=VALUE without blanks");
    CU_ASSERT_EQUAL(set("retires=1"), APR_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(diag.why, "method, hash-key, affinity"));
    CU_ASSERT_EQUAL(set("retries="), APR_EINVAL);
    CU_ASSERT_EQUAL(set("=1"), APR_EINVAL);
    CU_ASSERT_EQUAL(set(""), APR_EINVAL);
    CU_ASSERT_EQUAL(policy.set, 0);
}

/* A value that no key of a row's kind takes. */
static const char *const wrong[] = {
    "", " ", "-1", "1e3", "0x1", "1 ", "99999999999999999999999999", "yes\n", "\x01", "1x"};

/* Numbers beyond both ends are in the integration test, row by row. */
static void every_key_refuses_what_is_no_value_of_its_kind(void)
{
    const hap_options_t *tables[] = {&hap_policy_options, &hap_check_options, &hap_zone_options};
    for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++) {
        for (size_t i = 0; i < tables[t]->n; i++) {
            const hap_option_t *row = &tables[t]->rows[i];
            bool any_text = row->kind == HAP_OPTION_TEXT || row->kind == HAP_OPTION_FILE;
            size_t tried = any_text ? 2 : sizeof(wrong) / sizeof(wrong[0]);
            for (size_t k = 0; k < tried; k++) {
                union {
                    hap_policy_t policy;
                    hap_check_policy_t check;
                    hap_zone_policy_t zone;
                    uint64_t set;
                } record = {.set = 0};
                const char *pair = apr_psprintf(unit_pool, "%s=%s", row->name, wrong[k]);
                apr_status_t rv =
                    hap_option_set(&record, tables[t], hap_str(pair), &diag, unit_pool);
                const char *says =
                    apr_psprintf(unit_pool, "%s: %s=%s is not allowed, use ", tables[t]->what,
                                 row->name, hap_str_show(hap_str(wrong[k]), unit_pool));
                CU_ASSERT_EQUAL(rv, APR_EINVAL);
                UNIT_STR_EQ(apr_pstrndup(unit_pool, diag.why, strlen(says)), says);
                CU_ASSERT_EQUAL(record.set, 0);
            }
        }
    }
}

static void durations_take_units_and_bare_seconds(void)
{
    int64_t us = 0;
    CU_ASSERT_TRUE(hap_option_duration(&us, hap_str("500ms")) && us == 500000);
    CU_ASSERT_TRUE(hap_option_duration(&us, hap_str("2s")) && us == 2000000);
    CU_ASSERT_TRUE(hap_option_duration(&us, hap_str("3")) && us == 3000000);
    CU_ASSERT_TRUE(hap_option_duration(&us, hap_str("2m")) && us == 120000000);
    CU_ASSERT_TRUE(hap_option_duration(&us, hap_str("1h")) && us == INT64_C(3600000000));
    const char *bad[] = {"", "ms", "s", "-1s", "1.5s", "1 s", "1d", "99999999999999999999h"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CU_ASSERT_FALSE(hap_option_duration(&us, hap_str(bad[i])));
    }
}

static void affinity_takes_a_cookie_of_a_good_name(void)
{
    fresh();
    CU_ASSERT_EQUAL(set("affinity=insert:WHERE"), APR_SUCCESS);
    CU_ASSERT_EQUAL(policy.affinity.mode, HAP_AFFINITY_INSERT);
    UNIT_STR_EQ(policy.affinity.cookie, "WHERE");
    const char *bad[] = {"affinity=insert:", "affinity=insert:a=b", "affinity=insert:a b",
                         "affinity=Insert",  "affinity=inserted",   "affinity=app:x"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        fresh();
        CU_ASSERT_EQUAL(set(bad[i]), APR_EINVAL);
    }
}

static void a_virtual_host_overrides_key_by_key(void)
{
    hap_policy_t base;
    fresh();
    set("method=least");
    set("retries=7");
    base = policy;
    fresh();
    set("retries=1");
    hap_option_merge(&policy, &base, &policy, &hap_policy_options);
    CU_ASSERT_EQUAL(policy.method, HAP_METHOD_LEAST);
    CU_ASSERT_EQUAL(policy.retries, 1);
    CU_ASSERT_EQUAL(policy.queue_timeout, 5000000);
}

static void a_virtual_host_takes_back_a_file(void)
{
    hap_policy_t base;
    fresh();
    set("sign=/etc/key");
    UNIT_STR_EQ(policy.sign, "/etc/key");
    base = policy;
    fresh();
    CU_ASSERT_EQUAL(set("sign=none"), APR_SUCCESS);
    CU_ASSERT_EQUAL(set("sign=none"), APR_EINVAL);
    hap_option_merge(&policy, &base, &policy, &hap_policy_options);
    CU_ASSERT_PTR_NULL(policy.sign);
    fresh();
    hap_option_merge(&policy, &base, &policy, &hap_policy_options);
    UNIT_STR_EQ(policy.sign, "/etc/key");
}

static void keys_that_contradict_each_other_are_refused(void)
{
    hap_policy_clash_t clash;
    fresh();
    set("sign=/etc/key");
    CU_ASSERT_EQUAL(hap_policy_check(&policy, false, &clash, &diag), APR_EINVAL);
    UNIT_STR_EQ(clash.key, "sign");
    UNIT_STR_EQ(clash.needs, "affinity");
    set("affinity=insert");
    CU_ASSERT_EQUAL(hap_policy_check(&policy, false, &clash, &diag), APR_SUCCESS);
    set("queue=3");
    CU_ASSERT_EQUAL(hap_policy_check(&policy, false, &clash, &diag), APR_EINVAL);
    UNIT_STR_EQ(clash.key, "queue");
    UNIT_STR_EQ(clash.needs, "max");
    set("max=3");
    CU_ASSERT_EQUAL(hap_policy_check(&policy, false, &clash, &diag), APR_SUCCESS);
}

const unit_test_t suite_option[] = {
    UNIT_TEST(defaults_are_those_of_the_table),
    UNIT_TEST(every_default_is_a_value_that_its_own_row_accepts),
    UNIT_TEST(every_key_is_taken_once_and_a_second_time_refused),
    UNIT_TEST(a_bad_value_is_named_with_what_is_allowed),
    UNIT_TEST(every_key_refuses_what_is_no_value_of_its_kind),
    UNIT_TEST(durations_take_units_and_bare_seconds),
    UNIT_TEST(affinity_takes_a_cookie_of_a_good_name),
    UNIT_TEST(a_virtual_host_overrides_key_by_key),
    UNIT_TEST(a_virtual_host_takes_back_a_file),
    UNIT_TEST(keys_that_contradict_each_other_are_refused),
    UNIT_END,
};
