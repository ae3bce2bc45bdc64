/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns a small HTTP/1.1 server on the daemon's loop: pages that are made when they are asked for,
 * for GET and HEAD. For whoever can reach it: it tells, and takes nothing. Does not know what is on
 * the pages.
 */
#ifndef ZD_HTTP_H
#define ZD_HTTP_H

#include <uv.h>

#include "hap_diag.h"
#include "zd_http1.h"

typedef struct zd_http_t zd_http_t;

/** Makes a page, at once; its texts are static or from `pool`. */
typedef void zd_http_page_fn(void *baton, zd_page_t *page, hap_str_t path, apr_pool_t *pool);

/** Listens at HOST:PORT. NULL with a sentence when it cannot. */
zd_http_t *zd_http_open(uv_loop_t *loop, const char *address, zd_http_page_fn *page, void *baton,
                        hap_diag_t *diag);

/** Ends, with all connections. Frees itself when the loop has turned. */
void zd_http_close(zd_http_t *http);

#endif
