/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns looking at the folder of the log. Segments that are written to, open-N, do not say which
 * entries they have: libraft takes them for those after all others. So one that could not be
 * closed, or a closed one that could not be cut, would shift all that follows, and libraft goes on
 * after both (uvFinalizeAfterWorkCb, uvTruncateAfterWorkCb).
 */
#include "config.h"

#include "zd_raft_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PATH_BYTES = 4096,
    ROOM_BYTES = 2 << 20, /* what is left of a segment is written anew, and others are prepared */
    NAME_BYTES = 256,
    METADATA_BYTES = 32,
    FORMAT = 1
};

static const char *const names[] = {[ZD_FILES_CUT] = "cut", [ZD_FILES_TAKE] = "take"};

/* What there is, as seen from an index. */
typedef struct seen_t {
    bool closed;     /* a closed segment with that entry, or a later one */
    bool snapshot;   /* one up to that entry */
    unsigned opened; /* segments that are written to, and have something */
    uint64_t newest; /* of those */
} seen_t;

static bool path_of(char *path, const char *dir, const char *name)
{
    return (size_t)snprintf(path, PATH_BYTES, "%s/%s", dir, name) < PATH_BYTES;
}

static void note_name(char *name, size_t bytes, zd_files_work_t work, uint64_t index)
{
    snprintf(name, bytes, "%s-%" PRIu64, names[work], index);
}

/* The first bytes of a file; -1 when it cannot be read. */
static ssize_t read_head(unsigned char *bytes, size_t n, const char *dir, const char *name)
{
    char path[PATH_BYTES];
    int fd = path_of(path, dir, name) ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    ssize_t got = fd >= 0 ? read(fd, bytes, n) : -1;
    if (fd >= 0) {
        close(fd);
    }
    return got;
}

static bool is_written(const char *dir, const char *name)
{
    unsigned char head[8] = {0};
    static const unsigned char nothing[8];
    return read_head(head, sizeof(head), dir, name) > 0 && memcmp(head, nothing, sizeof(head)) != 0;
}

static void see(seen_t *seen, const char *dir, const char *name, uint64_t index)
{
    uint64_t first;
    uint64_t last;
    uint64_t time;
    int n = 0;
    int length = (int)strlen(name);
    if (sscanf(name, "%16" SCNu64 "-%16" SCNu64 "%n", &first, &last, &n) == 2 && n == length) {
        seen->closed = seen->closed || last >= index;
    } else if (sscanf(name, "open-%" SCNu64 "%n", &first, &n) == 1 && n == length) {
        if (is_written(dir, name)) {
            seen->opened++;
            seen->newest = first > seen->newest ? first : seen->newest;
        }
    } else if (sscanf(name, "snapshot-%" SCNu64 "-%" SCNu64 "-%" SCNu64 "%n", &first, &last, &time,
                      &n) == 3 &&
               n == length) {
        seen->snapshot = seen->snapshot || last == index;
    }
}

static bool look(seen_t *seen, const char *dir, uint64_t index)
{
    *seen = (seen_t){.closed = false};
    DIR *all = opendir(dir);
    if (!all) {
        return false;
    }
    for (const struct dirent *entry = readdir(all); entry; entry = readdir(all)) {
        see(seen, dir, entry->d_name, index);
    }
    closedir(all);
    return true;
}

/* After a cut what was cut is gone, and at most one segment is written to, that of the entries
 * after it. After a snapshot the segment with its last entry is closed, and again one is written
 * to. */
static bool is_done(const seen_t *seen, zd_files_work_t work)
{
    if (work == ZD_FILES_TAKE && !seen->snapshot) {
        return true; /* none was taken */
    }
    bool closed_well = seen->closed == (work == ZD_FILES_TAKE);
    return seen->opened <= (closed_well ? 1 : 0);
}

static int sync_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int error = fd < 0 || fsync(fd) != 0 ? errno : 0;
    if (fd >= 0) {
        close(fd);
    }
    return error;
}

int zd_files_begin(const char *dir, zd_files_work_t work, uint64_t index)
{
    char name[32];
    char path[PATH_BYTES];
    note_name(name, sizeof(name), work, index);
    if (!path_of(path, dir, name)) {
        return ENAMETOOLONG;
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return errno;
    }
    int error = work == ZD_FILES_CUT ? posix_fallocate(fd, 0, ROOM_BYTES) : 0;
    if (!error && (ftruncate(fd, 0) != 0 || fsync(fd) != 0)) {
        error = errno;
    }
    close(fd);
    error = error ? error : sync_dir(dir);
    if (error) {
        unlink(path);
    }
    return error;
}

/* Nobody was told of what is in the last segment: without it the log is that from before the cut.
 */
static void remove_newest(const char *dir, uint64_t newest)
{
    char name[32];
    char path[PATH_BYTES];
    snprintf(name, sizeof(name), "open-%" PRIu64, newest);
    if (path_of(path, dir, name)) {
        unlink(path);
        sync_dir(dir);
    }
}

void zd_files_snapshot(char *name, size_t bytes, const char *dir)
{
    uint64_t newest[3] = {0};
    DIR *all = opendir(dir);
    name[0] = '\0';
    for (const struct dirent *entry = all ? readdir(all) : NULL; entry; entry = readdir(all)) {
        uint64_t is[3];
        int n = 0;
        if (sscanf(entry->d_name, "snapshot-%" SCNu64 "-%" SCNu64 "-%" SCNu64 "%n", &is[0], &is[1],
                   &is[2], &n) == 3 &&
            n == (int)strlen(entry->d_name) &&
            (is[0] > newest[0] || (is[0] == newest[0] && is[1] >= newest[1]))) {
            memcpy(newest, is, sizeof(newest));
            snprintf(name, bytes, "%s", entry->d_name);
        }
    }
    if (all) {
        closedir(all);
    }
}

bool zd_files_end(const char *dir, zd_files_work_t work, uint64_t index)
{
    char name[32];
    char path[PATH_BYTES];
    seen_t seen;
    bool done = look(&seen, dir, index) && is_done(&seen, work);
    note_name(name, sizeof(name), work, index);
    if (done && path_of(path, dir, name)) {
        unlink(path);
    } else if (work == ZD_FILES_CUT && seen.opened > 0) {
        remove_newest(dir, seen.newest);
    }
    return done;
}

/* --- before it is read ------------------------------------------------------------------------ */

static bool read_note(zd_files_work_t *work, uint64_t *index, const char *name)
{
    int n = 0;
    bool is_cut = sscanf(name, "cut-%" SCNu64 "%n", index, &n) == 1;
    bool is_take = !is_cut && sscanf(name, "take-%" SCNu64 "%n", index, &n) == 1;
    *work = is_take ? ZD_FILES_TAKE : ZD_FILES_CUT;
    return (is_cut || is_take) && n == (int)strlen(name);
}

/* One of an earlier run, which ended before it could look. */
static bool check_note(const char *dir, const char *name, hap_diag_t *diag)
{
    char path[PATH_BYTES];
    zd_files_work_t work;
    uint64_t index;
    seen_t seen;
    if (!read_note(&work, &index, name) || !path_of(path, dir, name)) {
        return true;
    }
    if (look(&seen, dir, index) && is_done(&seen, work)) {
        unlink(path);
        return true;
    }
    hap_diag_set(diag, 0,
                 "%s: a segment of the log could not be %s at that entry: what comes after it is "
                 "not known to be right. Have this node leave, and join anew with an empty folder",
                 path, work == ZD_FILES_CUT ? "cut" : "closed");
    return false;
}

static bool check_notes(const char *dir, hap_diag_t *diag)
{
    bool good = true;
    DIR *all = opendir(dir);
    if (!all) {
        return true; /* libraft says why */
    }
    for (const struct dirent *entry = readdir(all); entry && good; entry = readdir(all)) {
        good = check_note(dir, entry->d_name, diag);
    }
    closedir(all);
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

static uint64_t number_at(const unsigned char *bytes)
{
    uint64_t number = 0;
    for (int i = 7; i >= 0; i--) {
        number = number << 8 | bytes[i];
    }
    return number;
}

static metadata_t read_metadata(const char *dir, const char *name)
{
    unsigned char bytes[METADATA_BYTES];
    ssize_t n = read_head(bytes, sizeof(bytes), dir, name);
    metadata_t data = {.exists = n >= 0 || errno != ENOENT, .whole = n == METADATA_BYTES};
    if (data.whole && number_at(bytes) == FORMAT) {
        data.version = number_at(bytes + 8);
        data.term = number_at(bytes + 16);
        data.vote = number_at(bytes + 24);
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
                 "damaged. Have this node leave, and join anew with an empty folder",
                 dir);
    return false;
}

/* A snapshot without a byte is none to libraft. */
static bool check_snapshot(const char *dir, hap_diag_t *diag)
{
    char name[NAME_BYTES];
    unsigned char byte;
    zd_files_snapshot(name, sizeof(name), dir);
    if (name[0] && read_head(&byte, 1, dir, name) == 0) {
        hap_diag_set(diag, 0, "%s/%s: it is empty", dir, name);
        return false;
    }
    return true;
}

bool zd_files_check(const char *dir, hap_diag_t *diag)
{
    return check_metadata(dir, diag) && check_notes(dir, diag) && check_snapshot(dir, diag);
}

/* --- what is kept ----------------------------------------------------------------------------- */

typedef struct file_t {
    char name[NAME_BYTES];
    char *bytes; /* of one that is written to; NULL: a closed one */
    size_t n;
    struct file_t *next;
} file_t;

struct zd_kept_t {
    char dir[PATH_BYTES];
    file_t *files;
};

static bool is_open_name(const char *name)
{
    uint64_t counter;
    int n = 0;
    return sscanf(name, "open-%" SCNu64 "%n", &counter, &n) == 1 && n == (int)strlen(name);
}

static bool is_closed_name(const char *name)
{
    uint64_t first;
    uint64_t last;
    int n = 0;
    return sscanf(name, "%16" SCNu64 "-%16" SCNu64 "%n", &first, &last, &n) == 2 &&
           n == (int)strlen(name);
}

static bool read_whole(file_t *file, const char *path)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool good = fd >= 0 && fstat(fd, &info) == 0;
    if (good) {
        file->n = (size_t)info.st_size;
        file->bytes = malloc(file->n + 1);
        good = file->bytes && read(fd, file->bytes, file->n) == info.st_size;
    }
    if (fd >= 0) {
        close(fd);
    }
    return good;
}

static bool keep(zd_kept_t *kept, const char *name)
{
    char path[PATH_BYTES];
    bool opened = is_open_name(name);
    if (!opened && !is_closed_name(name)) {
        return true;
    }
    file_t *file = calloc(1, sizeof(*file));
    if (!file) {
        return false;
    }
    file->next = kept->files;
    kept->files = file;
    snprintf(file->name, sizeof(file->name), "%s", name);
    return !opened || (path_of(path, kept->dir, name) && read_whole(file, path));
}

zd_kept_t *zd_files_keep(const char *dir)
{
    zd_kept_t *kept = calloc(1, sizeof(*kept));
    DIR *all = opendir(dir);
    bool good = kept && all;
    if (kept) {
        snprintf(kept->dir, sizeof(kept->dir), "%s", dir);
    }
    for (const struct dirent *entry = good ? readdir(all) : NULL; entry && good;
         entry = readdir(all)) {
        good = keep(kept, entry->d_name);
    }
    if (all) {
        closedir(all);
    }
    if (!good) {
        zd_files_forget(kept);
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

static void write_whole(const char *dir, const file_t *file)
{
    char path[PATH_BYTES];
    int fd = path_of(path, dir, file->name)
                 ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)
                 : -1;
    if (fd >= 0) {
        ssize_t n = write(fd, file->bytes, file->n);
        (void)n; /* what is not there any more was damaged before */
        fsync(fd);
        close(fd);
    }
}

void zd_files_put_back(const zd_kept_t *kept)
{
    char path[PATH_BYTES];
    DIR *all = kept ? opendir(kept->dir) : NULL;
    if (!all) {
        return;
    }
    for (const file_t *file = kept->files; file; file = file->next) {
        if (file->bytes) {
            write_whole(kept->dir, file);
        }
    }
    for (const struct dirent *entry = readdir(all); entry; entry = readdir(all)) {
        if (is_closed_name(entry->d_name) && !kept_as(kept, entry->d_name) &&
            path_of(path, kept->dir, entry->d_name)) {
            unlink(path);
        }
    }
    closedir(all);
    sync_dir(kept->dir);
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
        uint64_t count = number_at(bytes + at + SUMS_BYTES);
        at += SUMS_BYTES + COUNT_BYTES;
        if (count == 0 || count > ZD_FILES_SEGMENT_BYTES) {
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
const char *zd_files_torn(const zd_kept_t *kept)
{
    for (const file_t *file = kept->files; file; file = file->next) {
        if (file->bytes && file->n > 0 && file->n < ZD_FILES_SEGMENT_BYTES &&
            ends_within((const unsigned char *)file->bytes, file->n)) {
            return file->name;
        }
    }
    return NULL;
}

void zd_files_oldest(char *name, size_t bytes, const zd_kept_t *kept)
{
    uint64_t oldest = UINT64_MAX;
    name[0] = '\0';
    for (const file_t *file = kept->files; file; file = file->next) {
        uint64_t counter;
        if (sscanf(file->name, "open-%" SCNu64, &counter) == 1 && counter < oldest) {
            oldest = counter;
            snprintf(name, bytes, "%s", file->name);
        }
    }
}

void zd_files_forget(zd_kept_t *kept)
{
    while (kept && kept->files) {
        file_t *file = kept->files;
        kept->files = file->next;
        free(file->bytes);
        free(file);
    }
    free(kept);
}

/* --- how far it was written ------------------------------------------------------------------- */

struct zd_reached_t {
    _Atomic uint64_t index;
    _Atomic uint64_t inverse; /* else the page is damaged */
};

zd_reached_t *zd_reached_open(const char *dir)
{
    char path[PATH_BYTES];
    int fd = path_of(path, dir, "reached") ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    void *page = MAP_FAILED;
    if (fd >= 0 && posix_fallocate(fd, 0, sizeof(zd_reached_t)) == 0) {
        page = mmap(NULL, sizeof(zd_reached_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    if (fd >= 0) {
        close(fd);
    }
    return page == MAP_FAILED ? NULL : page;
}

uint64_t zd_reached_get(const zd_reached_t *reached)
{
    uint64_t index = atomic_load(&reached->index);
    return atomic_load(&reached->inverse) == ~index ? index : 0;
}

bool zd_reached_set(zd_reached_t *reached, uint64_t index)
{
    bool lower = index < zd_reached_get(reached);
    atomic_store(&reached->inverse, ~index);
    atomic_store(&reached->index, index);
    return !lower || msync(reached, sizeof(*reached), MS_SYNC) == 0;
}

void zd_reached_close(zd_reached_t *reached)
{
    munmap(reached, sizeof(*reached));
}
