/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the files with secrets that directives name: refusing what others may read or nobody
 * understands, with the directive's place and without a word of the text.
 */
#ifndef MH_SECRET_H
#define MH_SECRET_H

#include "mh_app.h"

/** A key of a directive that names a file. Borrows. */
typedef struct mh_secret_t {
    const mh_app_t *app;
    const mh_named_t *conf; /* the directive */
    const char *key;        /* in it */
    const char *path;       /* its value, absolute */
} mh_secret_t;

/** Understands a file's text, as hap_sign_parse does. */
typedef apr_status_t mh_secret_fn(void *result, hap_str_t text, hap_diag_t *diag, apr_pool_t *p);

/** Reads the file, has its text understood and wipes it. Says in the log what is wrong; APR_EINVAL.
 * Parent, check_config. */
apr_status_t mh_secret_read(void *result, const mh_secret_t *secret, mh_secret_fn *understand,
                            apr_pool_t *p);

/** Says that something else is wrong with the file: `why` follows its name. APR_EINVAL. */
apr_status_t mh_secret_refuse(const mh_secret_t *secret, const char *why, apr_pool_t *p);

#endif
