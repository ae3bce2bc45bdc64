/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the list of unit test suites and the pool that each test gets. */
#ifndef HAP_UNIT_H
#define HAP_UNIT_H

#include <CUnit/CUnit.h>

#include <apr_pools.h>

#include "hap_diag.h"
#include "hap_str.h"

/** One test: its name is a sentence about behaviour. */
typedef struct unit_test_t {
    const char *name;
    void (*run)(void);
} unit_test_t;

/** A row for a test function, named after it. */
#define UNIT_TEST(fn)                                                                              \
    {                                                                                              \
#fn, fn                                                                                    \
    }
#define UNIT_END                                                                                   \
    {                                                                                              \
        NULL, NULL                                                                                 \
    }

/** A pool that lives as long as the running test. */
extern apr_pool_t *unit_pool;

/** What takes its time is looked at so often, with a rest between: 20 s in all. */
enum { UNIT_TURN_MS = 10, UNIT_TURNS = 2000 };
void unit_rest(void);

/** Fails the running test with both texts shown unless they are equal. */
#define UNIT_STR_EQ(got, want) unit_str_eq((got), (want), __FILE__, __LINE__)
void unit_str_eq(const char *got, const char *want, const char *file, int line);

#endif
