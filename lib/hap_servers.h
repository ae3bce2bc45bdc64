/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns reading Smart Server's config/servers: which hosts have a server, the first active one
 * first. Does not look hosts up or touch files.
 */
#ifndef HAP_SERVERS_H
#define HAP_SERVERS_H

#include <apr_tables.h>

#include "hap_grammar.h"

enum { HAP_SERVERS_MAX = 64 /* as many as a map has nodes */ };

/**
 * Reads a host name or address a line, in their order, as `const char *` in the spelling of
 * hap_grammar_host. A # at the start of a line or after a blank begins a comment; empty lines do
 * not count. APR_EINVAL with the line of a host that its grammar refuses, that is to listen at and
 * not to connect to, or that stands there already, of a second word, and of the first host that is
 * too many; without a line when there is none. Allocates from `pool`.
 */
apr_status_t hap_servers_parse(apr_array_header_t **hosts, hap_str_t text, hap_diag_t *diag,
                               apr_pool_t *pool);

#endif
