/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns handing httpd's own tree of the configuration to hap_honour. Does not judge it, and does not
 * act on the verdict.
 */
#ifndef MH_HONOUR_H
#define MH_HONOUR_H

#include <httpd.h>

#include "hap_honour.h"

/**
 * The configuration as httpd has read it, with a LoadModule for each module that there is. Parent,
 * post_config. Borrows from ap_conftree, the rest is from `p`.
 */
hap_honour_tree_t *mh_honour_tree(apr_pool_t *p);

/** What was judged of a server; NULL if the tree does not have it. Borrows from `servers`. */
const hap_honour_server_t *mh_honour_server(const apr_array_header_t *servers, const server_rec *s);

#endif
