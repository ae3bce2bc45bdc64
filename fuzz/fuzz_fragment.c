/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the fuzz target of the fragment parser: what it takes, it must write again byte for byte.
 */
#include <stdint.h>
#include <stdlib.h>

#include <apr_general.h>

#include "hap_fragment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static apr_pool_t *pool;
    hap_diag_t diag;
    hap_fragment_t fragment = {0};
    hap_str_t text = hap_strn((const char *)data, size);
    if (!pool) {
        apr_initialize();
        apr_pool_create(&pool, NULL);
    }
    if (hap_fragment_parse(&fragment, text, &diag, pool) == APR_SUCCESS &&
        !hap_str_eq(hap_fragment_emit(&fragment, pool), text)) {
        abort();
    }
    apr_pool_clear(pool);
    return 0;
}
