/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a line with a number, twice: one may be damaged. One of before has it once. */
#include "zd_number.h"

#include <string.h>

#include <apr_strings.h>

#include "hapio_file.h"

enum { BYTES_MAX = 32 };

static const char *path_of(const char *dir, apr_pool_t *pool)
{
    return apr_pstrcat(pool, dir, "/number", NULL);
}

static bool read_line(unsigned long *number, hap_str_t text)
{
    bool ends = text.n > 1 && text.p[text.n - 1] == '\n';
    hap_str_t line = hap_str_sub(text, 0, ends ? text.n - 1 : 0);
    const char *blank = line.n ? memchr(line.p, ' ', line.n) : NULL;
    size_t n = blank ? (size_t)(blank - line.p) : line.n;
    bool same = !blank || (line.n == 2 * n + 1 && memcmp(line.p, blank + 1, n) == 0);
    return ends && same && hap_str_uint(number, hap_str_sub(line, 0, n), INT32_MAX) && *number;
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
    if (rv == APR_SUCCESS && !read_line(&read, text)) {
        hap_diag_set(diag, 0,
                     "%s: it is no number of a node; if the folder is of no use any more, "
                     "remove it whole, have the node leave, and join anew",
                     path);
        return false;
    }
    *number = read;
    return rv == APR_SUCCESS;
}

bool zd_number_keep(const char *dir, uint64_t number, hap_diag_t *diag, apr_pool_t *pool)
{
    hap_str_t text = hap_str(
        apr_psprintf(pool, "%" APR_UINT64_T_FMT " %" APR_UINT64_T_FMT "\n", number, number));
    return hapio_file_write_own(path_of(dir, pool), text, diag, pool) == APR_SUCCESS;
}
