/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns keeping segments that are written to, in memory, while the log is read.
 */
#include "config.h"

#include "zd_raft_kept.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "zd_raft_folder.h"

typedef struct file_t {
    char name[ZD_NAME_BYTES];
    uint64_t counter; /* of one that is written to */
    ino_t inode;      /* likewise */
    char *bytes;      /* likewise; NULL: a closed one */
    size_t n;
    struct file_t *next;
} file_t;

struct zd_kept_t {
    char dir[ZD_PATH_BYTES];
    file_t *files;
};

static bool read_whole(file_t *file, const char *path)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool good = fd >= 0 && fstat(fd, &info) == 0;
    if (good) {
        file->inode = info.st_ino;
        file->n = (size_t)info.st_size;
        file->bytes = malloc(file->n + 1);
        good = file->bytes && read(fd, file->bytes, file->n) == info.st_size;
    }
    if (fd >= 0) {
        close(fd);
    }
    return good;
}

static bool keep(zd_kept_t *kept, const zd_item_t *item)
{
    char path[ZD_PATH_BYTES];
    file_t *file = calloc(1, sizeof(*file));
    if (!file) {
        return false;
    }
    file->next = kept->files;
    kept->files = file;
    file->counter = item->is.n[0];
    snprintf(file->name, sizeof(file->name), "%s", item->name);
    return item->is.kind == ZD_KIND_CLOSED ||
           (zd_path(path, kept->dir, item->name) && read_whole(file, path));
}

zd_kept_t *zd_kept_read(const char *dir)
{
    zd_kept_t *kept = calloc(1, sizeof(*kept));
    zd_folder_t *folder = kept ? zd_folder_read(dir) : NULL;
    bool good = folder != NULL;
    if (kept) {
        snprintf(kept->dir, sizeof(kept->dir), "%s", dir);
    }
    for (const zd_item_t *item = folder ? folder->items : NULL; item && good; item = item->next) {
        bool is_segment = item->is.kind == ZD_KIND_OPEN || item->is.kind == ZD_KIND_CLOSED;
        good = !is_segment || keep(kept, item);
    }
    zd_folder_free(folder);
    if (!good) {
        zd_kept_free(kept);
        return NULL;
    }
    return kept;
}

static const file_t *kept_as(const zd_kept_t *kept, const char *name)
{
    const file_t *file = kept->files;
    while (file && strcmp(file->name, name) != 0) {
        file = file->next;
    }
    return file;
}

/* What nobody has changed is not written anew. */
static bool is_as_kept(const char *path, const file_t *file)
{
    file_t now = {.n = 0};
    bool same =
        read_whole(&now, path) && now.n == file->n && memcmp(now.bytes, file->bytes, now.n) == 0;
    free(now.bytes);
    return same;
}

static bool write_whole(const char *path, const file_t *file)
{
    size_t at = 0;
    ssize_t n = 1;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        return false;
    }
    while (at < file->n && n > 0) {
        n = write(fd, file->bytes + at, file->n - at);
        at += n > 0 ? (size_t)n : 0;
    }
    bool good = at == file->n && fsync(fd) == 0;
    return close(fd) == 0 && good;
}

/* It takes the place of what is there when it is whole. Libraft removes tmp-* when it begins. */
static bool put_back(const char *dir, const file_t *file)
{
    char name[sizeof("tmp-") + ZD_NAME_BYTES];
    char path[ZD_PATH_BYTES];
    char draft[ZD_PATH_BYTES];
    snprintf(name, sizeof(name), "tmp-%s", file->name);
    if (!zd_path(path, dir, file->name) || !zd_path(draft, dir, name)) {
        return false;
    }
    if (is_as_kept(path, file)) {
        return true;
    }
    bool good = write_whole(draft, file) && rename(draft, path) == 0;
    if (!good) {
        unlink(draft);
    }
    return good;
}

static zd_item_t *last_closed(const zd_folder_t *folder, const zd_kept_t *kept)
{
    zd_item_t *last = NULL;
    for (ZD_EACH(item, folder, ZD_KIND_CLOSED)) {
        if (!kept_as(kept, item->name) && (!last || item->is.n[0] > last->is.n[0])) {
            last = item;
        }
    }
    return last;
}

/* One that was written to has another name now; what was not there at all is libraft's own. */
static bool open_again(const zd_folder_t *folder, zd_item_t *item, const zd_kept_t *kept)
{
    char path[ZD_PATH_BYTES];
    char before[ZD_PATH_BYTES];
    struct stat info;
    const file_t *file = kept->files;
    if (!zd_path(path, kept->dir, item->name) || stat(path, &info) != 0) {
        return false;
    }
    while (file && (!file->bytes || file->inode != info.st_ino)) {
        file = file->next;
    }
    if (!file) {
        return zd_folder_remove(folder, item);
    }
    item->is.kind = ZD_KIND_OTHER;
    return zd_path(before, kept->dir, file->name) && rename(path, before) == 0;
}

/* The last one first, and never under both names: each state in between has no more entries than
 * the log had. Then they get what libraft has cut off. */
void zd_kept_put_back(const zd_kept_t *kept)
{
    zd_folder_t *folder = kept ? zd_folder_read(kept->dir) : NULL;
    bool good = folder != NULL;
    zd_item_t *item;
    while (good && (item = last_closed(folder, kept)) != NULL) {
        good = open_again(folder, item, kept);
    }
    for (const file_t *file = good ? kept->files : NULL; file && good; file = file->next) {
        good = !file->bytes || put_back(kept->dir, file);
    }
    if (folder) {
        zd_sync_dir(kept->dir);
    }
    zd_folder_free(folder);
}

void zd_kept_oldest(char *name, size_t bytes, const zd_kept_t *kept)
{
    uint64_t oldest = UINT64_MAX;
    name[0] = '\0';
    for (const file_t *file = kept->files; file; file = file->next) {
        if (file->bytes && file->counter < oldest) {
            oldest = file->counter;
            snprintf(name, bytes, "%s", file->name);
        }
    }
}

void zd_kept_free(zd_kept_t *kept)
{
    while (kept && kept->files) {
        file_t *file = kept->files;
        kept->files = file->next;
        free(file->bytes);
        free(file);
    }
    free(kept);
}
