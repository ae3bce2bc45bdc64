/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target of snapshots. Input: a whole one, or without its first line a body, which gets one
 * that fits: else no mutation would ever be read past the checksum.
 */
#include "fuzz.h"
#include "zd_state.h"

/* What is loaded has one spelling: saved again, it is the same bytes. */
static void check_bytes(hap_str_t bytes, apr_pool_t *pool)
{
    hap_str_t again;
    hap_diag_t diag = {-1, ""};
    zd_state_t *state = zd_state_load(bytes, &diag);
    if (state == NULL) {
        must(diag.line >= 0 && diag.why[0] != '\0');
        return;
    }
    must(zd_state_save(&again, state, &diag, pool) == APR_SUCCESS);
    must(hap_str_eq(bytes, again));
    zd_state_free(state);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const hap_envelope_kind_t kind = {"zero-cluster", 1};
    fuzz_envelope(data, size, &kind, check_bytes);
    return 0;
}
