/* SPDX-License-Identifier: Apache-2.0 */
/* Owns making and removing folders. */
#include "folder.h"

#include <stdlib.h>
#include <unistd.h>

#include <apr_strings.h>

#include "unit.h"

void folder_make(char folder[FOLDER_BYTES], const char *name)
{
    apr_snprintf(folder, FOLDER_BYTES, "/tmp/zd-%s-XXXXXX", name);
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
}

const char *folder_path(const char *folder, const char *name)
{
    return apr_pstrcat(unit_pool, folder, "/", name, NULL);
}

bool folder_has(const char *folder, const char *name)
{
    return access(folder_path(folder, name), F_OK) == 0;
}

bool folder_comes_to_have(const char *folder, const char *name)
{
    for (int i = 0; i < UNIT_TURNS && !folder_has(folder, name); i++) {
        unit_rest();
    }
    return folder_has(folder, name);
}

void folder_remove(const char *folder)
{
    CU_ASSERT_EQUAL(system(apr_pstrcat(unit_pool, "rm -r ", folder, NULL)), 0);
}
