/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns looking at the folder of the log. Segments that are written to, open-N, do not say which
 * entries they have: libraft takes them for those after all others. So one that could not be
 * closed, or a closed one that could not be cut, would shift all that follows, and libraft goes on
 * after both (uvFinalizeAfterWorkCb, uvTruncateAfterWorkCb).
 */
#include "config.h"

#include "zd_raft_files.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "zd_raft_folder.h"
#include "zd_raft_reached.h"

enum {
    ROOM_BYTES = 2 << 20, /* what is left of a segment is written anew, and others are prepared */
    NOTE_BYTES = 32,
    METADATA_BYTES = 32,
    FORMAT = 1
};

static const char *const names[] = {[ZD_FILES_CUT] = "cut", [ZD_FILES_TAKE] = "take"};

/* What a note says. Counters of segments begin anew with each run, and so do notes: those of the
 * run before are removed when the log was read, before the first segment is made. */
typedef struct note_t {
    zd_files_work_t work;
    uint64_t index;
    uint64_t counter; /* of the last segment that was written to before the work; 0: none was */
} note_t;

/* What there is, as seen from a note. */
typedef struct seen_t {
    bool closed;   /* a closed segment with that entry, or a later one */
    bool snapshot; /* one up to that entry */
    bool old;      /* a segment was written to before the work, and is not closed yet */
    bool fresh;    /* one was written to since */
} seen_t;

static void note_name(char *name, size_t bytes, zd_files_work_t work, uint64_t index)
{
    snprintf(name, bytes, "%s-%" PRIu64, names[work], index);
}

static seen_t see(const zd_folder_t *folder, const note_t *note)
{
    seen_t seen = {.closed = false};
    for (ZD_EACH(item, folder, ZD_KIND_CLOSED)) {
        seen.closed = seen.closed || item->is.n[1] >= note->index;
    }
    for (ZD_EACH(item, folder, ZD_KIND_SNAPSHOT)) {
        seen.snapshot = seen.snapshot || item->is.n[1] == note->index;
    }
    for (ZD_EACH(item, folder, ZD_KIND_OPEN)) {
        bool is_old = item->is.n[0] <= note->counter;
        bool is_written = zd_folder_written(folder, item);
        seen.old = seen.old || (is_written && is_old);
        seen.fresh = seen.fresh || (is_written && !is_old);
    }
    return seen;
}

/* It is cut before anything is written after it, and what was written to is closed before that, and
 * before a snapshot is taken. */
static bool is_bad(const seen_t *seen, zd_files_work_t work)
{
    return work == ZD_FILES_TAKE ? seen->snapshot && seen->old
                                 : seen->fresh && (seen->old || seen->closed);
}

/* --- notes ------------------------------------------------------------------------------------ */

static uint64_t newest_written(const zd_folder_t *folder)
{
    uint64_t newest = 0;
    for (ZD_EACH(item, folder, ZD_KIND_OPEN)) {
        if (item->is.n[0] > newest && zd_folder_written(folder, item)) {
            newest = item->is.n[0];
        }
    }
    return newest;
}

/* False: it is not whole, so what it is of was not begun. */
static bool read_note(note_t *note, const zd_folder_t *folder, const zd_item_t *item)
{
    char text[NOTE_BYTES + 1];
    char *end = text;
    ssize_t n = zd_read_head(text, NOTE_BYTES, folder->dir, item->name);
    text[n > 0 ? n : 0] = '\0';
    *note = (note_t){
        .work = item->is.kind == ZD_KIND_CUT ? ZD_FILES_CUT : ZD_FILES_TAKE,
        .index = item->is.n[0],
        .counter = strtoull(text, &end, 10),
    };
    return end != text && *end == '\n';
}

static int write_note(const char *path, zd_files_work_t work, const char *text)
{
    ssize_t n = (ssize_t)strlen(text);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return errno;
    }
    int error = work == ZD_FILES_CUT ? posix_fallocate(fd, 0, ROOM_BYTES) : 0;
    if (!error &&
        (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)n, 0) != n || fsync(fd) != 0)) {
        error = errno ? errno : EIO;
    }
    close(fd);
    return error;
}

int zd_files_begin(const char *dir, zd_files_work_t work, uint64_t index)
{
    char name[NOTE_BYTES];
    char text[NOTE_BYTES];
    char path[ZD_PATH_BYTES];
    note_name(name, sizeof(name), work, index);
    zd_folder_t *folder = zd_path(path, dir, name) ? zd_folder_read(dir) : NULL;
    if (!folder) {
        return errno;
    }
    snprintf(text, sizeof(text), "%" PRIu64 "\n", newest_written(folder));
    zd_folder_free(folder);
    int error = write_note(path, work, text);
    error = error ? error : zd_sync_dir(dir);
    if (error) {
        unlink(path);
    }
    return error;
}

/* Nobody was told of what is in them: without it the log is that from before the cut. */
static void remove_fresh(const zd_folder_t *folder, uint64_t counter)
{
    for (ZD_EACH(item, folder, ZD_KIND_OPEN)) {
        if (item->is.n[0] > counter && zd_folder_written(folder, item)) {
            zd_folder_remove(folder, item);
            zd_sync_dir(folder->dir);
            return; /* until then there is but one */
        }
    }
}

static bool end_work(const zd_folder_t *folder, zd_files_work_t work, uint64_t index)
{
    note_t note;
    zd_item_t *item =
        zd_folder_next(folder, NULL, work == ZD_FILES_CUT ? ZD_KIND_CUT : ZD_KIND_TAKE);
    while (item && item->is.n[0] != index) {
        item = zd_folder_next(folder, item, item->is.kind);
    }
    if (!item || !read_note(&note, folder, item)) {
        return false;
    }
    seen_t seen = see(folder, &note);
    if (!is_bad(&seen, work)) {
        zd_folder_remove(folder, item);
        return true;
    }
    if (work == ZD_FILES_CUT) {
        remove_fresh(folder, note.counter);
    }
    return false;
}

bool zd_files_end(const char *dir, zd_files_work_t work, uint64_t index)
{
    zd_folder_t *folder = zd_folder_read(dir);
    bool done = folder && end_work(folder, work, index);
    zd_folder_free(folder);
    return done;
}

void zd_files_loaded(const char *dir)
{
    bool any = false;
    zd_folder_t *folder = zd_folder_read(dir);
    for (zd_item_t *item = folder ? folder->items : NULL; item; item = item->next) {
        if (zd_item_is_note(item)) {
            any = zd_folder_remove(folder, item) || any;
        }
    }
    zd_folder_free(folder);
    if (any) {
        zd_sync_dir(dir);
    }
}

void zd_files_snapshot(char *name, size_t bytes, const char *dir)
{
    zd_folder_t *folder = zd_folder_read(dir);
    const zd_item_t *newest = folder ? zd_folder_snapshot(folder, false) : NULL;
    snprintf(name, bytes, "%s", newest ? newest->name : "");
    zd_folder_free(folder);
}

/* --- before it is read ------------------------------------------------------------------------ */

/* Of an earlier run, which ended before it could look. What a snapshot has is never cut. */
static bool counts(note_t *note, const zd_folder_t *folder, const zd_item_t *item)
{
    const zd_item_t *snapshot = zd_folder_snapshot(folder, true);
    bool known = read_note(note, folder, item);
    bool is_over = note->work == ZD_FILES_CUT && snapshot && snapshot->is.n[1] >= note->index;
    return known && !is_over;
}

static bool check_note(const zd_folder_t *folder, const zd_item_t *item, hap_diag_t *diag)
{
    note_t note;
    if (!counts(&note, folder, item)) {
        return true;
    }
    seen_t seen = see(folder, &note);
    if (!is_bad(&seen, note.work)) {
        return true;
    }
    hap_diag_set(diag, 0,
                 "%s/%s: a segment of the log could not be %s at that entry: what comes after it "
                 "is not known to be right. " ZD_FILES_WAY_BACK,
                 folder->dir, item->name, note.work == ZD_FILES_CUT ? "cut" : "closed");
    return false;
}

static bool check_notes(const zd_folder_t *folder, hap_diag_t *diag)
{
    bool good = true;
    for (const zd_item_t *item = folder->items; item && good; item = item->next) {
        if (zd_item_is_note(item)) {
            good = check_note(folder, item, diag);
        }
    }
    return good;
}

/* A file of the term and the vote. Two take turns, by whether the version is odd. */
typedef struct metadata_t {
    bool exists;
    bool whole;
    uint64_t version;
    uint64_t term;
    uint64_t vote; /* a number; 0: none */
} metadata_t;

static metadata_t read_metadata(const char *dir, const char *name)
{
    unsigned char bytes[METADATA_BYTES];
    ssize_t n = zd_read_head(bytes, sizeof(bytes), dir, name);
    metadata_t data = {.exists = n >= 0 || errno != ENOENT, .whole = n == METADATA_BYTES};
    if (data.whole && zd_number_at(bytes) == FORMAT) {
        data.version = zd_number_at(bytes + 8);
        data.term = zd_number_at(bytes + 16);
        data.vote = zd_number_at(bytes + 24);
    }
    return data;
}

/* What follows what: a vote, once in a term, or a later term, without one. */
static bool follows(const metadata_t *older, const metadata_t *newer)
{
    if (newer->version != older->version + 1) {
        return false;
    }
    return newer->term == older->term ? older->vote == 0 || newer->vote == older->vote
                                      : newer->term > older->term && newer->vote == 0;
}

/* A short file is one that was being written for the first time when the host died, to libraft,
 * which removes it, and with it the vote that it may have had. */
static bool is_plausible(const metadata_t *one, const metadata_t *two)
{
    if (!one->exists && !two->exists) {
        return true;
    }
    if (!two->exists || !two->whole) {
        bool first = one->whole && one->version == 1;
        return first || (!one->whole && !two->exists);
    }
    return one->whole && (follows(one, two) || follows(two, one)) && one->version % 2 == 1;
}

static bool check_metadata(const char *dir, hap_diag_t *diag)
{
    metadata_t one = read_metadata(dir, "metadata1");
    metadata_t two = read_metadata(dir, "metadata2");
    if (is_plausible(&one, &two)) {
        return true;
    }
    hap_diag_set(diag, 0,
                 "%s/metadata1, metadata2: the term and the vote in them cannot be right: one is "
                 "damaged. " ZD_FILES_WAY_BACK,
                 dir);
    return false;
}

/* A snapshot without a byte is none to libraft. */
static bool check_snapshot(const zd_folder_t *folder, hap_diag_t *diag)
{
    unsigned char byte;
    const zd_item_t *newest = zd_folder_snapshot(folder, false);
    if (newest && zd_read_head(&byte, 1, folder->dir, newest->name) == 0) {
        hap_diag_set(diag, 0, "%s/%s: it is empty. " ZD_FILES_WAY_BACK, folder->dir, newest->name);
        return false;
    }
    return true;
}

/* Batches of entries after the format: two checksums, how many, the size of each, then their bytes.
 * Whether the last one goes on after the end. */
static bool ends_within(const unsigned char *bytes, size_t n)
{
    enum { FORMAT_BYTES = 8, SUMS_BYTES = 8, COUNT_BYTES = 8, ENTRY_BYTES = 16, SIZE_AT = 12 };
    size_t at = FORMAT_BYTES;
    while (at < n) {
        if (n - at < SUMS_BYTES + COUNT_BYTES) {
            return true;
        }
        uint64_t count = zd_number_at(bytes + at + SUMS_BYTES);
        at += SUMS_BYTES + COUNT_BYTES;
        if (count == 0 || count > ZD_SEGMENT_BYTES) {
            return false; /* libraft stops there, too */
        }
        uint64_t end = at + count * ENTRY_BYTES;
        for (uint64_t i = 0; i < count && end <= n; i++) {
            const unsigned char *size = bytes + at + i * ENTRY_BYTES + SIZE_AT;
            end += size[0] | size[1] << 8 | size[2] << 16 | (uint64_t)size[3] << 24;
        }
        if (end > n) {
            return true;
        }
        at = end;
    }
    return n < FORMAT_BYTES;
}

/* It frees the entries before twice then (uvSegmentLoadOpen). Those of a host that has died have
 * all their bytes. */
static bool is_torn(const zd_folder_t *folder, const zd_item_t *item)
{
    unsigned char *bytes = malloc(ZD_SEGMENT_BYTES);
    ssize_t n = bytes ? zd_read_head(bytes, ZD_SEGMENT_BYTES, folder->dir, item->name) : 0;
    bool torn = n > 0 && n < ZD_SEGMENT_BYTES && ends_within(bytes, (size_t)n);
    free(bytes);
    return torn;
}

static bool check_open(const zd_folder_t *folder, hap_diag_t *diag)
{
    for (ZD_EACH(item, folder, ZD_KIND_OPEN)) {
        if (is_torn(folder, item)) {
            hap_diag_set(diag, 0, "%s/%s: it was cut, and ends within an entry. " ZD_FILES_WAY_BACK,
                         folder->dir, item->name);
            return false;
        }
    }
    return true;
}

/* --- what was begun is finished --------------------------------------------------------------- */

/* Closed segments that have an entry, or a later one; all of them with 0. */
static bool remove_closed(const zd_folder_t *folder, uint64_t index, hap_diag_t *diag)
{
    bool any = false;
    for (ZD_EACH(item, folder, ZD_KIND_CLOSED)) {
        if (item->is.n[1] < index) {
            continue;
        }
        any = true;
        if (!zd_folder_remove(folder, item)) {
            hap_diag_set(diag, 0, "%s/%s: it cannot be removed: %s", folder->dir, item->name,
                         strerror(errno));
            return false;
        }
    }
    int error = any ? zd_sync_dir(folder->dir) : 0;
    if (error) {
        hap_diag_set(diag, 0, "%s: it cannot be synced: %s", folder->dir, strerror(error));
    }
    return error == 0;
}

static bool is_closed(const zd_folder_t *folder, uint64_t first, uint64_t last)
{
    for (ZD_EACH(item, folder, ZD_KIND_CLOSED)) {
        if (item->is.n[0] == first && item->is.n[1] == last) {
            return true;
        }
    }
    return false;
}

/* The segment with the entry is written anew up to that, and then removed, and those after it. */
static bool has_begun(const zd_folder_t *folder, uint64_t index)
{
    for (ZD_EACH(item, folder, ZD_KIND_CLOSED)) {
        if (item->is.n[0] <= index && index <= item->is.n[1]) {
            return item->is.n[0] < index && is_closed(folder, item->is.n[0], index - 1);
        }
    }
    return true;
}

static bool finish_cuts(const zd_folder_t *folder, hap_diag_t *diag)
{
    note_t note;
    for (ZD_EACH(item, folder, ZD_KIND_CUT)) {
        if (counts(&note, folder, item) && has_begun(folder, note.index) &&
            !remove_closed(folder, note.index, diag)) {
            return false;
        }
    }
    return true;
}

/* A leader's snapshot replaces all closed segments. Libraft would take them, and what was prepared,
 * for a log that ends too early. When more was written than the snapshot has, segments are lost. */
static bool finish_snapshot(const zd_folder_t *folder, hap_diag_t *diag)
{
    const zd_item_t *snapshot = zd_folder_snapshot(folder, true);
    if (!snapshot || zd_reached_read(folder->dir) > snapshot->is.n[1] ||
        newest_written(folder) > 0) {
        return true;
    }
    for (ZD_EACH(item, folder, ZD_KIND_CLOSED)) {
        if (item->is.n[1] >= snapshot->is.n[1]) {
            return true;
        }
    }
    return remove_closed(folder, 0, diag);
}

/* A first start that ended between the first term and the first entry: libraft would never write
 * that entry, as there is a term. Nobody leads in that one, and it has no vote. */
static bool finish_start(const zd_folder_t *folder, hap_diag_t *diag)
{
    metadata_t one = read_metadata(folder->dir, "metadata1");
    metadata_t two = read_metadata(folder->dir, "metadata2");
    char path[ZD_PATH_BYTES];
    if (folder->items || two.exists || one.version != 1 || one.term != 1 || one.vote != 0) {
        return true;
    }
    int error = zd_path(path, folder->dir, "metadata1") && unlink(path) == 0 ? 0 : errno;
    error = error ? error : zd_sync_dir(folder->dir);
    if (error) {
        hap_diag_set(diag, 0, "%s/metadata1: it cannot be removed: %s", folder->dir,
                     strerror(error));
    }
    return error == 0;
}

bool zd_files_check(const char *dir, hap_diag_t *diag)
{
    zd_folder_t *folder = zd_folder_read(dir);
    if (!folder) {
        hap_diag_set(diag, 0, "%s: %s", dir, strerror(errno));
        return false;
    }
    bool good = check_metadata(dir, diag) && check_notes(folder, diag) &&
                check_snapshot(folder, diag) && check_open(folder, diag) &&
                finish_cuts(folder, diag) && finish_snapshot(folder, diag) &&
                finish_start(folder, diag);
    zd_folder_free(folder);
    return good;
}
