/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what the names of files in the folder of the log say, libraft's and our own, and the few
 * ways in which these files are read and removed. Does not know what has to be there.
 */
#ifndef ZD_RAFT_FOLDER_H
#define ZD_RAFT_FOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { ZD_PATH_BYTES = 4096, ZD_NAME_BYTES = 256 };

typedef enum zd_kind_t {
    ZD_KIND_OTHER,
    ZD_KIND_CLOSED,   /* FIRST-LAST: a segment with these entries */
    ZD_KIND_OPEN,     /* open-COUNTER: one that is written to, or is to be */
    ZD_KIND_SNAPSHOT, /* snapshot-TERM-INDEX-TIME */
    ZD_KIND_META,     /* snapshot-TERM-INDEX-TIME.meta: what that is of */
    ZD_KIND_CUT,      /* cut-INDEX: our note */
    ZD_KIND_TAKE      /* take-INDEX: likewise */
} zd_kind_t;

/** What a name says. */
typedef struct zd_name_t {
    zd_kind_t kind;
    uint64_t n[3]; /* its numbers, in their order */
} zd_name_t;

/** A file. */
typedef struct zd_item_t {
    struct zd_item_t *next;
    zd_name_t is; /* OTHER as soon as it is removed */
    char name[ZD_NAME_BYTES];
} zd_item_t;

/** A folder as it was when it was read: files of the kinds above, in any order. */
typedef struct zd_folder_t {
    char dir[ZD_PATH_BYTES];
    zd_item_t *items; /* NULL: there is none */
} zd_folder_t;

/** OTHER for one that is neither libraft's nor ours. */
zd_name_t zd_name_parse(const char *name);

/** Allocates. NULL with errno when it cannot be read. */
zd_folder_t *zd_folder_read(const char *dir);

/** Of NULL nothing is. */
void zd_folder_free(zd_folder_t *folder);

/** The next file of a kind after that one, NULL for the first; NULL: there is no more. Borrows. */
zd_item_t *zd_folder_next(const zd_folder_t *folder, const zd_item_t *after, zd_kind_t kind);

/** For each file of a kind, in a for(). */
#define ZD_EACH(item, folder, kind)                                                                \
    zd_item_t *item = zd_folder_next(folder, NULL, kind);                                          \
    item;                                                                                          \
    item = zd_folder_next(folder, item, kind)

/** The newest snapshot; with `whole` the newest that is whole, with what it is of: libraft drops
 * others. NULL: there is none. Borrows. */
const zd_item_t *zd_folder_snapshot(const zd_folder_t *folder, bool whole);

/** Whether it is a note of ours. */
bool zd_item_is_note(const zd_item_t *item);

/** Whether a segment has something: libraft prepares them with zeros. */
bool zd_folder_written(const zd_folder_t *folder, const zd_item_t *item);

/** False with errno when it cannot be; the folder is still to be synced. */
bool zd_folder_remove(const zd_folder_t *folder, zd_item_t *item);

/** DIR/NAME in ZD_PATH_BYTES; false: it is too long. */
bool zd_path(char *path, const char *dir, const char *name);

/** The first bytes of a file; -1 with errno when it cannot be read. */
ssize_t zd_read_head(void *bytes, size_t n, const char *dir, const char *name);

/** What 8 bytes say, as libraft writes numbers: the least first. */
uint64_t zd_number_at(const unsigned char *bytes);

/** 0, or an errno. */
int zd_sync_dir(const char *dir);

#endif
