/* SPDX-License-Identifier: Apache-2.0 */
/* Owns setting tables. */
#include "zero_table.h"

#include <string.h>

#include <apr_strings.h>

enum { GAP = 2 };

apr_array_header_t *zero_rows(int n, apr_pool_t *pool)
{
    return apr_array_make(pool, n, sizeof(zero_row_t));
}

void zero_row_add(apr_array_header_t *rows, zero_row_t row)
{
    APR_ARRAY_PUSH(rows, zero_row_t) = row;
}

apr_array_header_t *zero_lines(apr_pool_t *pool)
{
    return apr_array_make(pool, 64, sizeof(const char *));
}

void zero_line_add(apr_array_header_t *lines, const char *line)
{
    APR_ARRAY_PUSH(lines, const char *) = line;
}

static const char *cell_of(const apr_array_header_t *rows, int row, int column)
{
    const char *cell = APR_ARRAY_IDX(rows, row, zero_row_t).cells[column];
    return cell ? cell : "";
}

static int width_of(const apr_array_header_t *rows, int column)
{
    size_t most = 0;
    for (int i = 0; i < rows->nelts; i++) {
        size_t n = strlen(cell_of(rows, i, column));
        most = n > most ? n : most;
    }
    return (int)most;
}

void zero_table_add(apr_array_header_t *lines, const apr_array_header_t *rows)
{
    int widths[ZERO_COLUMNS_MAX];
    for (int column = 0; column < ZERO_COLUMNS_MAX; column++) {
        widths[column] = width_of(rows, column);
    }
    for (int i = 0; i < rows->nelts; i++) {
        char *line = apr_pstrdup(lines->pool, "");
        for (int column = 0; column < ZERO_COLUMNS_MAX; column++) {
            line = apr_psprintf(lines->pool, "%s%*s%-*s", line, GAP, "", widths[column],
                                cell_of(rows, i, column));
        }
        size_t n = strlen(line);
        while (n > 0 && line[n - 1] == ' ') {
            line[--n] = '\0';
        }
        zero_line_add(lines, line);
    }
}

const char *zero_lines_text(const apr_array_header_t *lines, apr_pool_t *pool)
{
    return apr_pstrcat(pool, apr_array_pstrcat(pool, lines, '\n'), "\n", NULL);
}
