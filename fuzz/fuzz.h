/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what fuzz targets have in common. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include <apr_general.h>
#include <apr_pools.h>

#include "hap_envelope.h"
#include "hap_str.h"

/** What a fuzzer, or replay.c, calls with each input. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/** Ends it all, for a fuzzer or a debugger to see, unless it holds. */
static inline void must(bool holds)
{
    if (!holds) {
        abort();
    }
}

/** The input as text. Borrows. */
static inline hap_str_t fuzz_text(const uint8_t *data, size_t size)
{
    return hap_strn((const char *)data, size);
}

/** Cuts the first line off `rest`; "" when that is empty. Borrows. */
static inline hap_str_t fuzz_line(hap_str_t *rest)
{
    hap_str_t line = HAP_STR_LIT("");
    hap_str_line(&line, rest);
    return line;
}

/** A pool for one input; the caller's, to be destroyed. */
static inline apr_pool_t *fuzz_pool(void)
{
    static bool ready;
    apr_pool_t *pool;
    if (!ready) {
        apr_initialize();
        ready = true;
    }
    apr_pool_create(&pool, NULL);
    return pool;
}

/** Checks an input as it is, and as what stands under a first line that fits: else no mutation
 * would ever be read past the checksum. */
static inline void fuzz_envelope(const uint8_t *data, size_t size, const hap_envelope_kind_t *kind,
                                 void (*check)(hap_str_t text, apr_pool_t *pool))
{
    apr_pool_t *pool = fuzz_pool();
    hap_str_t text = fuzz_text(data, size);
    hap_diag_t diag;
    check(text, pool);
    must(hap_envelope_wrap(&text, kind, text, &diag, pool) == APR_SUCCESS);
    check(text, pool);
    apr_pool_destroy(pool);
}

#endif
