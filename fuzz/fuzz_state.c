/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target of HAStateFile. Input: a whole file, or without its first line a body, which gets one
 * that fits: else no mutation would ever be read past the checksum.
 */
#include "fuzz.h"
#include "hap_statefile.h"

enum { ROOM = 64 };

static void check_restored(const hap_state_member_t *saved, apr_time_t now)
{
    hap_state_restored_t r;
    hap_statefile_restore(&r, saved, HAP_ADMIN_ENABLED, now);
    must(r.member.configured == HAP_ADMIN_ENABLED);
    must(r.member.checked <= now && r.member.health_since <= now && r.member.admin_since <= now);
    must(r.health_kept || r.member.health == HAP_HEALTH_UNKNOWN);
    must(r.admin_kept || r.member.admin == HAP_ADMIN_ENABLED);
}

/* What is accepted has one spelling: written again, it is the same bytes. */
static void check_text(hap_str_t text, apr_pool_t *pool)
{
    hap_state_t state;
    hap_str_t again;
    hap_diag_t diag = {-1, ""};
    if (hap_statefile_decode(&state, text, ROOM, &diag, pool) != APR_SUCCESS) {
        must(diag.line >= 0 && diag.why[0] != '\0');
        return;
    }
    must(state.n <= ROOM);
    must(hap_statefile_encode(&again, &state, &diag, pool) == APR_SUCCESS);
    must(hap_str_eq(text, again));
    for (size_t i = 0; i < state.n; i++) {
        check_restored(&state.members[i], state.saved);
        check_restored(&state.members[i], 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const hap_envelope_kind_t kind = {"zero-state", 1};
    fuzz_envelope(data, size, &kind, check_text);
    return 0;
}
