/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns looking at the files of libraft 0.22.1 for what it does not look at itself, finishing what
 * it was removing, and our notes of that. Of what libraft wrote it removes only what that was
 * removing itself, and what comes after a cut that has failed.
 */
#ifndef ZD_RAFT_FILES_H
#define ZD_RAFT_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hap_diag.h"

enum { ZD_SEGMENT_BYTES = 1 << 20 /* of one that is written to */ };

/** The end of a sentence that refuses the folder: a node that is alone cannot leave. */
#define ZD_FILES_WAY_BACK                                                                          \
    "Restore the folder as it was, or have this node leave, and join anew with an empty folder"

/** What is done to the log as a whole. */
typedef enum zd_files_work_t {
    ZD_FILES_CUT, /* all entries from an index on are removed, as others are agreed on */
    ZD_FILES_TAKE /* a snapshot up to an index is taken */
} zd_files_work_t;

/** Whether libraft may read the folder: false with a sentence that names a file when a work was not
 * done as it had to be, the term or the vote cannot be right, or something is less than whole in a
 * way that libraft does not refuse. A folder without a log is good.
 * When all is good, what libraft was removing when it was killed is removed. */
bool zd_files_check(const char *dir, hap_diag_t *diag);

/** Notes in the folder that it begins, and that there is room for it. To be called when all entries
 * before it are written, and before libraft begins. 0, or an errno: it must not begin. */
int zd_files_begin(const char *dir, zd_files_work_t work, uint64_t index);

/** To be called when it is over, for a cut after the first entry that comes after it, before
 * anybody is told that this is written. False: it was not done, and libraft does not know. */
bool zd_files_end(const char *dir, zd_files_work_t work, uint64_t index);

/** The log was read, and is whole: notes of earlier runs are removed. */
void zd_files_loaded(const char *dir);

/** The name of the newest snapshot; "" for none. */
void zd_files_snapshot(char *name, size_t bytes, const char *dir);

#endif
