/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns looking at the files of libraft 0.22.1 for what it does not look at itself. Changes none of
 * them but the last segment after a cut that has failed.
 */
#ifndef ZD_RAFT_FILES_H
#define ZD_RAFT_FILES_H

#include <stdbool.h>
#include <stdint.h>

#include "hap_diag.h"

/** What is done to the log as a whole. */
typedef enum zd_files_work_t {
    ZD_FILES_CUT, /* all entries from an index on are removed, as others are agreed on */
    ZD_FILES_TAKE /* a snapshot up to an index is taken */
} zd_files_work_t;

/** Whether libraft may read the folder: false with a sentence that names a file when a work was not
 * done as it had to be, or the term or the vote cannot be right. A folder without a log is good. */
bool zd_files_check(const char *dir, hap_diag_t *diag);

/** Notes in the folder that it begins, and that there is room for it. 0, or an errno: it must not
 * begin. */
int zd_files_begin(const char *dir, zd_files_work_t work, uint64_t index);

/** To be called when it is over, for a cut after the first entry that comes after it, before
 * anybody is told that this is written. False: it was not done, and libraft does not know. */
bool zd_files_end(const char *dir, zd_files_work_t work, uint64_t index);

#endif
