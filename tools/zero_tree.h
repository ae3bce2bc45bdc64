/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns reading a whole configuration of httpd into a tree: a file, and what it includes. Does not
 * judge it.
 */
#ifndef ZERO_TREE_H
#define ZERO_TREE_H

#include "hap_honour.h"

/** A directive, and where it stands. */
typedef struct zero_tree_line_t {
    hap_conf_directive_t directive; /* in the sections around the Include of its file, too */
    const char *file;
} zero_tree_line_t;

/** A configuration that was read. */
typedef struct zero_tree_t {
    hap_honour_tree_t *tree;
    const char *root; /* ServerRoot, with a slash at its end; else the folder of the first file */
    bool is_server;   /* it listens: this is a server's configuration, and not a part of one */
    bool loads;       /* it loads modules */
    apr_array_header_t *balancers; /* const char *: those with members, of included files */
    apr_array_header_t *ours;      /* zero_tree_line_t of HABalancer and HAZone with a name */
} zero_tree_t;

/**
 * Reads `path` and the files that it includes, as httpd finds them: relative to ServerRoot, or to
 * the folder of `path` without one. ${NAME} stands for what Define said; sections such as
 * <IfModule> count as if their condition held. Files below the folder of `path` are named relative
 * to it. APR_EINVAL, or the system's status, with a sentence that names the file, and `result` as
 * far as it was read. Allocates from `pool`.
 */
apr_status_t zero_tree_read(zero_tree_t *result, const char *path, hap_diag_t *diag,
                            apr_pool_t *pool);

#endif
