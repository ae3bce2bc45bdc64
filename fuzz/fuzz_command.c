/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target of replicated commands. Input: lines, each a command; what can be read is carried out
 * on one state.
 */
#include "fuzz.h"
#include "zd_state.h"

/* Written again, a command is read as the same, and written the same. */
static void check_spelling(const zd_command_t *command, apr_pool_t *pool)
{
    zd_command_t again;
    hap_str_t bytes;
    hap_str_t twice;
    hap_diag_t diag;
    if (zd_command_encode(&bytes, command, &diag, pool) != APR_SUCCESS) {
        return; /* spelt without escapes it was short enough */
    }
    must(bytes.n % ZD_COMMAND_ALIGN == 0 && bytes.n <= ZD_COMMAND_BYTES_MAX);
    must(zd_command_decode(&again, bytes, &diag, pool) == APR_SUCCESS);
    must(zd_command_encode(&twice, &again, &diag, pool) == APR_SUCCESS);
    must(hap_str_eq(bytes, twice));
}

/* Whatever was carried out, the map can be read, and the state saved and loaded. */
static void check_state(const zd_state_t *state, apr_pool_t *pool)
{
    const hap_map_t *map;
    hap_str_t bytes;
    hap_diag_t diag;
    hap_str_t text = zd_state_map(state);
    must(text.n == 0 || hap_map_decode(&map, text, &diag, pool) == APR_SUCCESS);
    must(text.n == 0 || map->version == zd_state_cluster(state)->version);
    must(zd_state_save(&bytes, state, &diag, pool) == APR_SUCCESS);
    zd_state_t *loaded = zd_state_load(bytes, &diag);
    must(loaded != NULL);
    must(hap_str_eq(zd_state_map(loaded), text));
    zd_state_free(loaded);
}

static void carry_out(zd_state_t *state, hap_str_t line, apr_pool_t *pool)
{
    zd_command_t command;
    hap_diag_t diag = {-1, ""};
    if (zd_command_decode(&command, line, &diag, pool) != APR_SUCCESS) {
        must(diag.why[0] != '\0');
        return;
    }
    check_spelling(&command, pool);
    uint64_t version = zd_state_cluster(state)->version;
    zd_result_t result = zd_state_apply(state, &command);
    must(zd_state_cluster(state)->version - version <= 1);
    must(result.end < ZD_END_COUNT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *pool = fuzz_pool();
    hap_str_t rest = fuzz_text(data, size);
    hap_str_t line;
    zd_state_t *state = zd_state_make();
    while (hap_str_line(&line, &rest)) {
        carry_out(state, line, pool);
    }
    check_state(state, pool);
    zd_state_free(state);
    apr_pool_destroy(pool);
    return 0;
}
