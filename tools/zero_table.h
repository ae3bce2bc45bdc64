/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns lines of text that people read, and tables among them, as wide as what is in them. Does not
 * print.
 */
#ifndef ZERO_TABLE_H
#define ZERO_TABLE_H

#include <apr_tables.h>

enum { ZERO_COLUMNS_MAX = 8 };

/** A line of a table. Cells behind the last one are NULL. */
typedef struct zero_row_t {
    const char *cells[ZERO_COLUMNS_MAX]; /* "" for none */
} zero_row_t;

/** Rows (zero_row_t), with room for so many. Allocates from `pool`. */
apr_array_header_t *zero_rows(int n, apr_pool_t *pool);

void zero_row_add(apr_array_header_t *rows, zero_row_t row);

/** Lines (const char *), none yet. Allocates from `pool`. */
apr_array_header_t *zero_lines(apr_pool_t *pool);

/** Adds a line. Borrows. */
void zero_line_add(apr_array_header_t *lines, const char *line);

/** Adds the rows, set in by two blanks, each column as wide as its widest cell. */
void zero_table_add(apr_array_header_t *lines, const apr_array_header_t *rows);

/** All lines, a newline behind each. From `pool`. */
const char *zero_lines_text(const apr_array_header_t *lines, apr_pool_t *pool);

#endif
