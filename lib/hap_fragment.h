/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the fragment: what `zero modproxy generate` says about one instance of an application,
 * as a model and as a text (doc/fragment.md). Does not know how fragments are joined.
 */
#ifndef HAP_FRAGMENT_H
#define HAP_FRAGMENT_H

#include "hap_grammar.h"

/** The version of the format that is written, and the only one that is read. */
#define HAP_FRAGMENT_VERSION "1"

/** One instance of an application. All strings pass their grammar. Borrows them. */
typedef struct hap_fragment_t {
    const char *app;
    const char *context; /* public path on the proxy */
    const char *path;    /* path on the instance; never NULL, mostly the same as context */
    const char *host;    /* in the spelling of hap_grammar_host */
    unsigned port;
    const char *route;
    const char *sticky;  /* name of the session cookie, NULL: sessions do not stick */
    const char *health;  /* path to ask whether the instance is well, NULL: none */
    const char *upgrade; /* protocol that it may switch to, ANY: to any, NULL: to none */
    const char *source;  /* file it was read from, for messages; NULL: none */
} hap_fragment_t;

/** Checks every field and httpd's limits on what is made from them. APR_EINVAL with a diag. */
apr_status_t hap_fragment_check(const hap_fragment_t *fragment, hap_diag_t *diag, apr_pool_t *pool);

/** The instance's base: http://host:port. Allocates from `pool`. */
const char *hap_fragment_url(const hap_fragment_t *fragment, apr_pool_t *pool);

/**
 * What follows http://host:port or balancer://App in a ProxyPass, so that context and target
 * either both end in a slash or neither does. Allocates from `pool` or borrows.
 */
const char *hap_fragment_suffix(const hap_fragment_t *fragment, apr_pool_t *pool);

/** The instance's parameters for mod_proxy, each with a blank before it. From `pool`, or "". */
const char *hap_fragment_params(const hap_fragment_t *fragment, apr_pool_t *pool);

/**
 * The ProxyPass lines for `base` (http://host:port or balancer://App), with parameters behind the
 * first. Allocates from `pool`.
 */
const char *hap_fragment_mount(const hap_fragment_t *fragment, const char *base, const char *params,
                               apr_pool_t *pool);

/** The path on the instance, given context and suffix; NULL if they do not fit. From `pool`. */
const char *hap_fragment_path_of(hap_str_t context, hap_str_t suffix, apr_pool_t *pool);

/** Reads http://host:port. Host allocates from `pool`. APR_EINVAL with a diag, without a line. */
apr_status_t hap_fragment_parse_url(const char **host, unsigned *port, hap_str_t url,
                                    const char *field, hap_diag_t *diag, apr_pool_t *pool);

/** The text of a checked fragment. Allocates from `pool`. */
hap_str_t hap_fragment_emit(const hap_fragment_t *fragment, apr_pool_t *pool);

/**
 * Reads a text that hap_fragment_emit wrote, and nothing else: after reading the header it is
 * written again and compared byte for byte. Copies into `pool`; `source` stays as it was.
 * APR_EINVAL with a diag.
 */
apr_status_t hap_fragment_parse(hap_fragment_t *fragment, hap_str_t text, hap_diag_t *diag,
                                apr_pool_t *pool);

/** A copy whose strings, but for `source`, are in `pool`. */
void hap_fragment_copy(hap_fragment_t *copy, const hap_fragment_t *fragment, apr_pool_t *pool);

/** Whether the text begins as a fragment of any version, well formed or not. */
bool hap_fragment_is(hap_str_t text);

#endif
