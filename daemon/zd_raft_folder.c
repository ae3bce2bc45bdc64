/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns reading the folder of the log: one spelling of the names, one walk.
 */
#include "config.h"

#include "zd_raft_folder.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Numbers with a dash between them, after and before a text. */
static const struct {
    zd_kind_t kind;
    const char *front;
    int numbers;
    const char *end;
} spellings[] = {
    {ZD_KIND_CLOSED, "", 2, ""},
    {ZD_KIND_OPEN, "open-", 1, ""},
    {ZD_KIND_SNAPSHOT, "snapshot-", 3, ""},
    {ZD_KIND_META, "snapshot-", 3, ".meta"},
    {ZD_KIND_CUT, "cut-", 1, ""},
    {ZD_KIND_TAKE, "take-", 1, ""},
};

static bool read_numbers(uint64_t *numbers, int n, const char **at)
{
    for (int i = 0; i < n; i++) {
        char *end;
        *at += i > 0 && **at == '-' ? 1 : 0;
        if (!isdigit((unsigned char)**at)) {
            return false;
        }
        numbers[i] = strtoull(*at, &end, 10);
        *at = end;
    }
    return true;
}

zd_name_t zd_name_parse(const char *name)
{
    for (size_t i = 0; i < sizeof(spellings) / sizeof(spellings[0]); i++) {
        zd_name_t is = {.kind = spellings[i].kind};
        size_t front = strlen(spellings[i].front);
        const char *at = name + front;
        if (strncmp(name, spellings[i].front, front) == 0 &&
            read_numbers(is.n, spellings[i].numbers, &at) && strcmp(at, spellings[i].end) == 0) {
            return is;
        }
    }
    return (zd_name_t){.kind = ZD_KIND_OTHER};
}

static bool add(zd_folder_t *folder, const char *name)
{
    zd_name_t is = zd_name_parse(name);
    zd_item_t *item = is.kind == ZD_KIND_OTHER ? NULL : calloc(1, sizeof(*item));
    if (!item) {
        return is.kind == ZD_KIND_OTHER;
    }
    item->next = folder->items;
    item->is = is;
    snprintf(item->name, sizeof(item->name), "%s", name);
    folder->items = item;
    return true;
}

zd_folder_t *zd_folder_read(const char *dir)
{
    zd_folder_t *folder = calloc(1, sizeof(*folder));
    DIR *all = folder ? opendir(dir) : NULL;
    bool good = all != NULL;
    int error = errno;
    if (folder) {
        snprintf(folder->dir, sizeof(folder->dir), "%s", dir);
    }
    const struct dirent *entry;
    while (good && (errno = 0, entry = readdir(all)) != NULL) {
        good = add(folder, entry->d_name);
    }
    if (all) {
        error = good ? errno : ENOMEM;
        closedir(all);
    }
    if (!good || error) {
        zd_folder_free(folder);
        errno = error;
        return NULL;
    }
    return folder;
}

void zd_folder_free(zd_folder_t *folder)
{
    while (folder && folder->items) {
        zd_item_t *item = folder->items;
        folder->items = item->next;
        free(item);
    }
    free(folder);
}

zd_item_t *zd_folder_next(const zd_folder_t *folder, const zd_item_t *after, zd_kind_t kind)
{
    zd_item_t *item = after ? after->next : folder->items;
    while (item && item->is.kind != kind) {
        item = item->next;
    }
    return item;
}

static bool is_newer(const zd_name_t *one, const zd_name_t *other)
{
    for (int i = 0; i < 3; i++) {
        if (one->n[i] != other->n[i]) {
            return one->n[i] > other->n[i];
        }
    }
    return false;
}

static bool is_whole(const zd_folder_t *folder, const zd_item_t *snapshot)
{
    char byte;
    const zd_item_t *meta = zd_folder_next(folder, NULL, ZD_KIND_META);
    while (meta && memcmp(meta->is.n, snapshot->is.n, sizeof(meta->is.n)) != 0) {
        meta = zd_folder_next(folder, meta, ZD_KIND_META);
    }
    return meta && zd_read_head(&byte, 1, folder->dir, snapshot->name) == 1;
}

const zd_item_t *zd_folder_snapshot(const zd_folder_t *folder, bool whole)
{
    const zd_item_t *newest = NULL;
    for (ZD_EACH(item, folder, ZD_KIND_SNAPSHOT)) {
        bool newer = !newest || is_newer(&item->is, &newest->is);
        if (newer && (!whole || is_whole(folder, item))) {
            newest = item;
        }
    }
    return newest;
}

bool zd_item_is_note(const zd_item_t *item)
{
    return item->is.kind == ZD_KIND_CUT || item->is.kind == ZD_KIND_TAKE;
}

bool zd_folder_written(const zd_folder_t *folder, const zd_item_t *item)
{
    unsigned char head[8] = {0};
    static const unsigned char nothing[8];
    return zd_read_head(head, sizeof(head), folder->dir, item->name) > 0 &&
           memcmp(head, nothing, sizeof(head)) != 0;
}

bool zd_folder_remove(const zd_folder_t *folder, zd_item_t *item)
{
    char path[ZD_PATH_BYTES];
    if (!zd_path(path, folder->dir, item->name) || unlink(path) != 0) {
        return false;
    }
    item->is.kind = ZD_KIND_OTHER;
    return true;
}

bool zd_path(char *path, const char *dir, const char *name)
{
    if ((size_t)snprintf(path, ZD_PATH_BYTES, "%s/%s", dir, name) < ZD_PATH_BYTES) {
        return true;
    }
    errno = ENAMETOOLONG;
    return false;
}

ssize_t zd_read_head(void *bytes, size_t n, const char *dir, const char *name)
{
    char path[ZD_PATH_BYTES];
    int fd = zd_path(path, dir, name) ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    ssize_t got = fd >= 0 ? read(fd, bytes, n) : -1;
    int error = errno;
    if (fd >= 0) {
        close(fd);
    }
    errno = error;
    return got;
}

uint64_t zd_number_at(const unsigned char *bytes)
{
    uint64_t number = 0;
    for (int i = 7; i >= 0; i--) {
        number = number << 8 | bytes[i];
    }
    return number;
}

int zd_sync_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int error = fd < 0 || fsync(fd) != 0 ? errno : 0;
    if (fd >= 0) {
        close(fd);
    }
    return error;
}
