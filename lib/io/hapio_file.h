/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns reading files whole and replacing them in one step, for every program on top of lib/. The
 * one part of lib/ that does I/O, a library of its own. Does not know what is in the files.
 */
#ifndef HAPIO_FILE_H
#define HAPIO_FILE_H

#include <sys/types.h>

#include <apr_errno.h>

#include "hap_diag.h"
#include "hap_str.h"

/**
 * Reads a regular file of at most `max_bytes`. The system's status with a sentence in `diag`:
 * APR_ENOENT when there is none, APR_EINVAL for a folder or a device, EFBIG for a file that is
 * too big.
 * Allocates from `pool`.
 */
apr_status_t hapio_file_read(hap_str_t *text, const char *path, size_t max_bytes, hap_diag_t *diag,
                             apr_pool_t *pool);

/**
 * Makes `text` the content of `path`, or leaves `path` as it was: a new file in the same folder is
 * written, synced and renamed over it, and the folder is synced. A new file gets `mode`, less the
 * process's umask; an existing one keeps its mode, and its owner where the caller may set it. A
 * symbolic link stays, the file that it points to is replaced. A file that has this content already
 * is not touched. The system's status with a sentence in `diag`.
 */
apr_status_t hapio_file_write(const char *path, hap_str_t text, mode_t mode, hap_diag_t *diag,
                              apr_pool_t *pool);

/**
 * The same for a file of the program's own: mode 0600 whatever was there, and a symbolic link in
 * its place is replaced, not followed, so that who may write the folder cannot lead the writer
 * astray.
 */
apr_status_t hapio_file_write_own(const char *path, hap_str_t text, hap_diag_t *diag,
                                  apr_pool_t *pool);

#endif
