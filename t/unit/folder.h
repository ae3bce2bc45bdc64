/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a test's folder on disk, and what there is in it. */
#ifndef UNIT_FOLDER_H
#define UNIT_FOLDER_H

#include <stdbool.h>

enum { FOLDER_BYTES = 40 }; /* its path and a NUL */

/** Makes one that is empty, /tmp/zd-NAME- and what no other one has. The test ends if that fails.
 */
void folder_make(char folder[FOLDER_BYTES], const char *name);

/** The path of something in it. From unit_pool. */
const char *folder_path(const char *folder, const char *name);

/** Whether it has that; whether it has in the end. */
bool folder_has(const char *folder, const char *name);
bool folder_comes_to_have(const char *folder, const char *name);

/** Removes it with all that is in it. */
void folder_remove(const char *folder);

#endif
