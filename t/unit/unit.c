/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns running the unit tests: `unit` runs all, `unit SUITE...` those suites. Does not hold tests.
 */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <CUnit/Basic.h>
#include <apr_general.h>

apr_pool_t *unit_pool;

#define SUITE(name) extern const unit_test_t suite_##name[];
#include "suites.def"
#undef SUITE

static const struct {
    const char *name;
    const unit_test_t *tests;
} suites[] = {
#define SUITE(name) {#name, suite_##name},
#include "suites.def"
#undef SUITE
};

void unit_str_eq(const char *got, const char *want, const char *file, int line)
{
    bool same = got && want ? strcmp(got, want) == 0 : got == want;
    if (!same) {
        fprintf(stderr, "\n%s:%d:\n  got:  %s\n  want: %s\n", file, line, got ? got : "(null)",
                want ? want : "(null)");
    }
    CU_assertImplementation(same, (unsigned)line, "same text", file, "", CU_FALSE);
}

void unit_rest(void)
{
    usleep(UNIT_TURN_MS * 1000);
}

static void setup(void)
{
    apr_pool_create(&unit_pool, NULL);
}

static void teardown(void)
{
    apr_pool_destroy(unit_pool);
    unit_pool = NULL;
}

static bool wanted(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(name, argv[i]) == 0) {
            return true;
        }
    }
    return argc == 1;
}

int main(int argc, char **argv)
{
    apr_initialize();
    CU_initialize_registry();
    for (size_t i = 0; i < sizeof(suites) / sizeof(suites[0]); i++) {
        if (!wanted(suites[i].name, argc, argv)) {
            continue;
        }
        CU_pSuite suite =
            CU_add_suite_with_setup_and_teardown(suites[i].name, NULL, NULL, setup, teardown);
        for (const unit_test_t *test = suites[i].tests; test->name; test++) {
            CU_add_test(suite, test->name, test->run);
        }
    }
    CU_basic_set_mode(CU_BRM_NORMAL);
    CU_basic_run_tests();
    unsigned failed = CU_get_number_of_tests_failed() + CU_get_number_of_suites_failed();
    bool ran = CU_get_number_of_tests_run() > 0;
    CU_cleanup_registry();
    apr_terminate();
    return failed || !ran ? EXIT_FAILURE : EXIT_SUCCESS;
}
