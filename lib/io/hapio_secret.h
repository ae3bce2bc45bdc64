/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns reading a file that holds a secret: it must not be open to others, and leaves no copy in a
 * pool. Does not know what is in it.
 */
#ifndef HAPIO_SECRET_H
#define HAPIO_SECRET_H

#include <apr_errno.h>

#include "hap_diag.h"
#include "hap_str.h"

enum { HAPIO_SECRET_BYTES_MAX = 4096 };

/** What was read. The caller's; to be wiped when it has been understood. */
typedef struct hapio_secret_t {
    char bytes[HAPIO_SECRET_BYTES_MAX + 1];
    size_t n;
} hapio_secret_t;

/**
 * Reads a regular file of at most HAPIO_SECRET_BYTES_MAX bytes that others than its owner and its
 * group have no right to. The system's status, APR_EACCES or APR_EINVAL with what comes behind the
 * file's name in a sentence; nothing is left in `secret` then.
 */
apr_status_t hapio_secret_read(hapio_secret_t *secret, const char *path, hap_diag_t *diag);

/** The text. Borrows. */
hap_str_t hapio_secret_text(const hapio_secret_t *secret);

void hapio_secret_wipe(hapio_secret_t *secret);

#endif
