/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target of config/servers: the hosts that are read, written a line each, are read as the
 * same, and each may stand in an address.
 */
#include <apr_strings.h>

#include "fuzz.h"
#include "hap_servers.h"

static void check_host(const char *host, apr_pool_t *pool)
{
    hap_diag_t diag;
    const char *again;
    unsigned port;
    const char *address = apr_pstrcat(pool, host, ":7946", NULL);
    must(hap_grammar_address(&again, &port, hap_str(address), "it", &diag, pool) == APR_SUCCESS);
    must(strcmp(again, host) == 0 && hap_grammar_host_kind(host) != HAP_HOST_UNSPECIFIED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *pool = fuzz_pool();
    apr_array_header_t *hosts;
    apr_array_header_t *again;
    hap_diag_t diag;
    if (hap_servers_parse(&hosts, fuzz_text(data, size), &diag, pool) == APR_SUCCESS) {
        must(hosts->nelts > 0 && hosts->nelts <= HAP_SERVERS_MAX);
        for (int i = 0; i < hosts->nelts; i++) {
            check_host(APR_ARRAY_IDX(hosts, i, const char *), pool);
        }
        const char *text = apr_array_pstrcat(pool, hosts, '\n');
        must(hap_servers_parse(&again, hap_str(text), &diag, pool) == APR_SUCCESS);
        must(strcmp(apr_array_pstrcat(pool, again, '\n'), text) == 0);
    }
    apr_pool_destroy(pool);
    return 0;
}
