/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a line with a number. */
#include "zd_number.h"

#include <apr_strings.h>

#include "hapio_file.h"

enum { BYTES_MAX = 32 };

static const char *path_of(const char *dir, apr_pool_t *pool)
{
    return apr_pstrcat(pool, dir, "/number", NULL);
}

bool zd_number_read(uint64_t *number, const char *dir, hap_diag_t *diag, apr_pool_t *pool)
{
    hap_str_t text;
    unsigned long read = 0;
    const char *path = path_of(dir, pool);
    apr_status_t rv = hapio_file_read(&text, path, BYTES_MAX, diag, pool);
    *number = 0;
    if (APR_STATUS_IS_ENOENT(rv)) {
        return true;
    }
    bool ends = rv == APR_SUCCESS && text.n > 1 && text.p[text.n - 1] == '\n';
    if (rv == APR_SUCCESS &&
        (!ends || !hap_str_uint(&read, hap_str_sub(text, 0, text.n - 1), INT32_MAX) || !read)) {
        hap_diag_set(diag, 0,
                     "%s: it is no number of a node; if the folder is of no use any more, "
                     "remove it whole, and join under a new id",
                     path);
        return false;
    }
    *number = read;
    return rv == APR_SUCCESS;
}

bool zd_number_keep(const char *dir, uint64_t number, hap_diag_t *diag, apr_pool_t *pool)
{
    hap_str_t text = hap_str(apr_psprintf(pool, "%" APR_UINT64_T_FMT "\n", number));
    return hapio_file_write_own(path_of(dir, pool), text, diag, pool) == APR_SUCCESS;
}
