/* SPDX-License-Identifier: Apache-2.0 */
/* Owns making memory that the processes of a server share, and that leaves nothing behind. */
#ifndef MH_MEMORY_H
#define MH_MEMORY_H

#include <stddef.h>

/**
 * Maps so many bytes, all zero, without a name in any folder and of mode 0600, which the kernel
 * frees with the last process that has them. `fd` is theirs, and the caller's to close: the mapping
 * stays. NULL with errno, and no descriptor then. `label` is for /proc only.
 */
void *mh_memory_map(const char *label, size_t size, int *fd);

#endif
