/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns asking the installed httpd whether it takes a configuration. Does not start a server.
 */
#ifndef ZERO_HTTPD_H
#define ZERO_HTTPD_H

#include <apr_errno.h>

#include "hap_diag.h"
#include "hap_str.h"

/** Which httpd to ask. Borrows. */
typedef struct zero_httpd_t {
    const char *program; /* its path */
    const char *modules; /* folder with its modules */
    const char *module;  /* mod_haproxy.so, NULL: the one in `modules`, if there is one */
    bool whole; /* what is asked about loads its modules itself: nothing is loaded for it */
} zero_httpd_t;

/**
 * Runs `httpd -t` on `path` (absolute), or, when that is not a server's whole configuration, on one
 * in a private folder that loads what proxying needs and includes it. *ok says whether httpd took
 * it and *output what it said, from `pool`. Removes the folder. The system's status with a sentence
 * in `diag` when httpd could not be asked at all.
 */
apr_status_t zero_httpd_test(bool *ok, hap_str_t *output, const zero_httpd_t *httpd,
                             const char *path, hap_diag_t *diag, apr_pool_t *pool);

#endif
