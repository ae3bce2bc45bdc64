/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the fuzz target of the merged-file parser: what it takes, it must write again byte for
 * byte, and prove its own members.
 */
#include <stdint.h>
#include <stdlib.h>

#include <apr_general.h>

#include "hap_merge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static apr_pool_t *pool;
    hap_diag_t diag;
    hap_merge_t merge;
    hap_str_t text = hap_strn((const char *)data, size);
    if (!pool) {
        apr_initialize();
        apr_pool_create(&pool, NULL);
    }
    if (hap_merge_parse(&merge, text, &diag, pool) == APR_SUCCESS &&
        (!hap_str_eq(hap_merge_emit(&merge, pool), text) ||
         hap_merge_prove(&merge, merge.members, merge.member_count, &diag, pool) != APR_SUCCESS)) {
        abort();
    }
    apr_pool_clear(pool);
    return 0;
}
