/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns reading what an application's config/zero.config says to a proxy. Does not read the rest
 * of it: unknown keys, JSON values and anything else are passed over.
 */
#ifndef HAP_ZEROCONFIG_H
#define HAP_ZEROCONFIG_H

#include "hap_grammar.h"

/** The keys that are read. NULL or 0: not there. All values pass their grammar. */
typedef struct hap_zeroconfig_t {
    const char *name;     /* /config/name */
    const char *host;     /* /config/http/ipAddress, in the spelling of hap_grammar_host */
    unsigned port;        /* /config/http/port */
    const char *context;  /* /config/contextRoot */
    const char *external; /* /config/externalUriPrefix */
    const char *route;    /* /config/apacheRouteID */
    const char *health;   /* /config/health */
    const char *upgrade;  /* /config/upgrade */
} hap_zeroconfig_t;

/**
 * Reads `KEY = VALUE` lines; the value may be quoted with " or '; a # at the start of a line or
 * after a blank begins a comment; a later line wins. APR_EINVAL with line and key for a value of
 * ours that its grammar refuses, and with the line of what would hide keys: a NUL byte, or a
 * bracket that is never closed. Copies into `pool`.
 */
apr_status_t hap_zeroconfig_parse(hap_zeroconfig_t *config, hap_str_t text, hap_diag_t *diag,
                                  apr_pool_t *pool);

#endif
