/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns making a small file that is memory: what is written there the next process finds, unless the
 * host dies first.
 */
#ifndef ZD_PAGE_H
#define ZD_PAGE_H

#include <stddef.h>

/** DIR/NAME, made with zeros if it is not there, mode 0600; to be ended with munmap. NULL with
 * errno. */
void *zd_page_open(const char *dir, const char *name, size_t bytes);

#endif
