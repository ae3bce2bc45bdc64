/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of zd_raft_files: what libraft leaves in its folder when it is killed, or the host loses
 * its power, is mended or left, and what it leaves when a disk fails is refused.
 */
#include "unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_escape.h>
#include <apr_strings.h>
#include <apr_tables.h>

#include "folder.h"
#include "zd_raft_files.h"
#include "zd_raft_kept.h"
#include "zd_raft_reached.h"

static char dir[FOLDER_BYTES];
static hap_diag_t diag;

static void put(const char *name, const void *bytes, size_t n)
{
    int fd = open(folder_path(dir, name), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CU_ASSERT_FATAL(fd >= 0);
    CU_ASSERT_EQUAL(write(fd, bytes, n), (ssize_t)n);
    close(fd);
}

/* A file of the term and the vote. */
static void put_metadata(const char *name, unsigned version, unsigned term, unsigned vote)
{
    unsigned char bytes[32] = {1};
    bytes[8] = (unsigned char)version;
    bytes[16] = (unsigned char)term;
    bytes[24] = (unsigned char)vote;
    put(name, bytes, sizeof(bytes));
}

/* Names, with a blank between them: "open-1*" has something, "open-1" has not; "cut-5=2" says 2,
 * "cut-5" nothing, and "cut-5=~2" half of it; what is of a snapshot comes with it. */
static void lay(const char *names)
{
    static const unsigned char nothing[64];
    static const unsigned char something[64] = {1};
    char *last;
    folder_make(dir, "raft");
    for (char *name = apr_strtok(apr_pstrdup(unit_pool, names), " ", &last); name;
         name = apr_strtok(NULL, " ", &last)) {
        char *text = strchr(name, '=');
        size_t n = strlen(name);
        if (text) {
            *text++ = '\0';
            text = *text == '~' ? text + 1 : apr_pstrcat(unit_pool, text, "\n", NULL);
            put(name, text, strlen(text));
        } else if (strncmp(name, "cut", 3) == 0 || strncmp(name, "take", 4) == 0) {
            put(name, "", 0);
        } else if (name[n - 1] == '*') {
            name[n - 1] = '\0';
            put(name, something, sizeof(something));
        } else {
            put(name, strncmp(name, "open", 4) == 0 ? nothing : something, sizeof(something));
        }
    }
}

static int by_name(const void *one, const void *other)
{
    return strcmp(*(const char *const *)one, *(const char *const *)other);
}

/* What is there, sorted. */
static const char *there(void)
{
    DIR *all = opendir(dir);
    apr_array_header_t *names = apr_array_make(unit_pool, 16, sizeof(char *));
    for (const struct dirent *entry = readdir(all); entry; entry = readdir(all)) {
        if (entry->d_name[0] != '.') {
            APR_ARRAY_PUSH(names, const char *) = apr_pstrdup(unit_pool, entry->d_name);
        }
    }
    closedir(all);
    qsort(names->elts, (size_t)names->nelts, sizeof(char *), by_name);
    return apr_array_pstrcat(unit_pool, names, ' ');
}

static void clear(void)
{
    folder_remove(dir);
}

/* The same with what each one has, in hex. */
static const char *contents(void)
{
    char *last;
    const char *all = "";
    for (char *name = apr_strtok(apr_pstrdup(unit_pool, there()), " ", &last); name;
         name = apr_strtok(NULL, " ", &last)) {
        unsigned char bytes[128];
        int fd = open(folder_path(dir, name), O_RDONLY);
        ssize_t n = fd >= 0 ? read(fd, bytes, sizeof(bytes)) : -1;
        CU_ASSERT_TRUE_FATAL(n >= 0 && n < (ssize_t)sizeof(bytes));
        close(fd);
        all = apr_pstrcat(unit_pool, all, " ", name, "=",
                          apr_pescape_hex(unit_pool, bytes, (apr_size_t)n, 0), NULL);
    }
    return all;
}

/* What is there after a look; "refused" when it is refused and nothing is changed. */
static const char *looked(void)
{
    const char *before = contents();
    bool good = zd_files_check(dir, &diag);
    const char *now = there();
    bool same = strcmp(contents(), before) == 0;
    clear();
    return good ? now : same ? "refused" : "refused, and changed";
}

static const char *after(const char *names)
{
    lay(names);
    return looked();
}

/* --- a cut ------------------------------------------------------------------------------------ */

static void a_cut_that_was_noted_and_not_begun_leaves_the_log(void)
{
    UNIT_STR_EQ(after("1-4 5-9 open-2* open-3 cut-7=2"), "1-4 5-9 cut-7 open-2 open-3");
    UNIT_STR_EQ(after("1-4 5-9 open-2* open-3* open-4 cut-12=3"),
                "1-4 5-9 cut-12 open-2 open-3 open-4");
    UNIT_STR_EQ(after("1-4 5-9 10-12 open-4 cut-7=3"), "1-4 10-12 5-9 cut-7 open-4");
}

static void a_cut_that_is_done_is_good(void)
{
    UNIT_STR_EQ(after("1-4 5-6 open-3* open-4 cut-7=2"), "1-4 5-6 cut-7 open-3 open-4");
    UNIT_STR_EQ(after("1-4 5-6 open-3 cut-7=2"), "1-4 5-6 cut-7 open-3");
}

static void a_cut_that_has_failed_is_refused(void)
{
    UNIT_STR_EQ(after("1-4 5-9 open-3* cut-7=2"), "refused");
    CU_ASSERT_PTR_NOT_NULL(strstr(diag.why, "/cut-7: a segment of the log could not be cut"));
    CU_ASSERT_PTR_NOT_NULL(strstr(diag.why, "Restore the folder"));
    UNIT_STR_EQ(after("1-4 open-2* open-3* cut-7=2"), "refused");
}

static void a_cut_that_was_begun_is_finished(void)
{
    UNIT_STR_EQ(after("1-100 101-104 101-110 open-3 cut-105=2"), "1-100 101-104 cut-105 open-3");
    UNIT_STR_EQ(after("1-100 101-104 101-110 111-120 cut-105=2"), "1-100 101-104 cut-105");
    UNIT_STR_EQ(after("1-100 101-104 111-120 121-130 cut-105=2"), "1-100 101-104 cut-105");
    UNIT_STR_EQ(after("1-4 11-20 cut-5=2"), "1-4 cut-5");
    UNIT_STR_EQ(after("1-4 5-10 11-20 open-3 cut-5=2"), "1-4 11-20 5-10 cut-5 open-3");
    UNIT_STR_EQ(after("1-4 5-10 11-20 open-3 cut-7=2"), "1-4 11-20 5-10 cut-7 open-3");
}

static void what_was_written_after_a_cut_is_no_part_of_it(void)
{
    UNIT_STR_EQ(after("1-4 5-10 11-20 cut-5=2"), "1-4 11-20 5-10 cut-5");
    UNIT_STR_EQ(after("snapshot-1-30-9 snapshot-1-30-9.meta 21-30 31-40 open-2* cut-5=1"),
                "21-30 31-40 cut-5 open-2 snapshot-1-30-9 snapshot-1-30-9.meta");
}

static void a_cut_without_a_whole_note_is_not_finished(void)
{
    UNIT_STR_EQ(after("1-4 11-20 cut-5"), "1-4 11-20 cut-5");
    UNIT_STR_EQ(after("1-4 11-20 cut-5=~2"), "1-4 11-20 cut-5");
}

static void a_note_that_is_not_whole_says_nothing(void)
{
    UNIT_STR_EQ(after("1-4 5-9 open-3* cut-7"), "1-4 5-9 cut-7 open-3");
    UNIT_STR_EQ(after("1-4 5-9 open-13* cut-7=~1"), "1-4 5-9 cut-7 open-13");
}

/* --- a snapshot ------------------------------------------------------------------------------- */

static void a_snapshot_that_was_noted_and_not_taken_leaves_the_log(void)
{
    UNIT_STR_EQ(after("1-4 open-2* open-3* take-7=2"), "1-4 open-2 open-3 take-7");
}

static void a_snapshot_without_its_segment_closed_is_refused(void)
{
    const char *snapshot = "snapshot-1-7-9 snapshot-1-7-9.meta ";
    UNIT_STR_EQ(after(apr_pstrcat(unit_pool, snapshot, "1-4 open-2* take-7=2", NULL)), "refused");
    CU_ASSERT_PTR_NOT_NULL(strstr(diag.why, "/take-7: a segment of the log could not be closed"));
    UNIT_STR_EQ(after(apr_pstrcat(unit_pool, snapshot, "1-9 open-3* open-4* take-7=2", NULL)),
                "1-9 open-3 open-4 snapshot-1-7-9 snapshot-1-7-9.meta take-7");
}

#define SNAPSHOT "snapshot-3-500-9 snapshot-3-500-9.meta"

static void a_leaders_snapshot_replaces_the_segments_before_it(void)
{
    UNIT_STR_EQ(after("1-60 61-100 open-4 open-5 " SNAPSHOT), "open-4 open-5 " SNAPSHOT);
    UNIT_STR_EQ(after("61-100 " SNAPSHOT), SNAPSHOT);
    UNIT_STR_EQ(after("61-100 snapshot-2-50-7 snapshot-2-50-7.meta " SNAPSHOT),
                "snapshot-2-50-7 snapshot-2-50-7.meta " SNAPSHOT);
}

static void a_snapshot_of_its_own_leaves_the_segments(void)
{
    UNIT_STR_EQ(after("61-100 101-500 open-4 " SNAPSHOT), "101-500 61-100 open-4 " SNAPSHOT);
    UNIT_STR_EQ(after("61-100 101-510 open-4 " SNAPSHOT), "101-510 61-100 open-4 " SNAPSHOT);
    UNIT_STR_EQ(after("61-100 open-4* open-5 " SNAPSHOT), "61-100 open-4 open-5 " SNAPSHOT);
}

static void a_snapshot_that_is_not_whole_leaves_the_segments(void)
{
    UNIT_STR_EQ(after("61-100 open-4 snapshot-3-500-9"), "61-100 open-4 snapshot-3-500-9");
    UNIT_STR_EQ(after("61-100 open-4 snapshot-3-500-9.meta"),
                "61-100 open-4 snapshot-3-500-9.meta");
    UNIT_STR_EQ(after("61-100 open-4 snapshot-3-500-8.meta snapshot-3-500-9"),
                "61-100 open-4 snapshot-3-500-8.meta snapshot-3-500-9");
}

static void segments_that_are_missing_are_no_snapshot_of_a_leader(void)
{
    lay("61-100 open-4 " SNAPSHOT);
    zd_reached_t *reached = zd_reached_open(dir);
    CU_ASSERT_PTR_NOT_NULL_FATAL(reached);
    zd_reached_set(reached, 501);
    CU_ASSERT_TRUE(zd_files_check(dir, &diag));
    UNIT_STR_EQ(there(), "61-100 open-4 reached " SNAPSHOT);
    zd_reached_set(reached, 500);
    CU_ASSERT_TRUE(zd_files_check(dir, &diag));
    UNIT_STR_EQ(there(), "open-4 reached " SNAPSHOT);
    zd_reached_close(reached);
    clear();
}

static void what_is_refused_is_not_finished(void)
{
    UNIT_STR_EQ(after("61-100 open-4 snapshot-2-80-7 snapshot-2-80-7.meta " SNAPSHOT " metadata2"),
                "refused");
}

/* --- a first start ---------------------------------------------------------------------------- */

static const char *after_start(const char *names, unsigned version, unsigned term, unsigned vote)
{
    lay(names);
    put_metadata("metadata1", version, term, vote);
    return looked();
}

static void a_first_start_that_was_killed_begins_anew(void)
{
    UNIT_STR_EQ(after_start("reached", 1, 1, 0), "reached");
}

static void a_term_that_counts_is_kept(void)
{
    UNIT_STR_EQ(after_start("1-1", 1, 1, 0), "1-1 metadata1");
    UNIT_STR_EQ(after_start("open-1*", 1, 1, 0), "metadata1 open-1");
    UNIT_STR_EQ(after_start(SNAPSHOT, 1, 1, 0), "metadata1 " SNAPSHOT);
    UNIT_STR_EQ(after_start("", 1, 1, 2), "metadata1");
    UNIT_STR_EQ(after_start("", 1, 2, 0), "metadata1");
    UNIT_STR_EQ(after_start("", 3, 1, 0), "refused");
    lay("");
    put_metadata("metadata1", 1, 1, 0);
    put_metadata("metadata2", 2, 1, 1);
    CU_ASSERT_TRUE(zd_files_check(dir, &diag));
    UNIT_STR_EQ(there(), "metadata1 metadata2");
    clear();
}

/* --- notes ------------------------------------------------------------------------------------ */

static void notes_go_when_the_log_was_read(void)
{
    lay("1-4 cut-7=2 take-3=1 reached");
    zd_files_loaded(dir);
    UNIT_STR_EQ(there(), "1-4 reached");
    clear();
}

static void what_was_written_after_a_cut_that_failed_is_removed(void)
{
    lay("1-4 5-9 open-2* open-3 open-4");
    CU_ASSERT_EQUAL(zd_files_begin(dir, ZD_FILES_CUT, 7), 0);
    put("open-3", "\1", 1);
    CU_ASSERT_FALSE(zd_files_end(dir, ZD_FILES_CUT, 7));
    UNIT_STR_EQ(there(), "1-4 5-9 cut-7 open-2 open-4");
    CU_ASSERT_TRUE(zd_files_check(dir, &diag));
    clear();
}

static void a_cut_ends_with_its_note(void)
{
    lay("1-4 open-2* open-3 open-4");
    CU_ASSERT_FALSE(zd_files_end(dir, ZD_FILES_CUT, 5));
    CU_ASSERT_EQUAL(zd_files_begin(dir, ZD_FILES_CUT, 5), 0);
    CU_ASSERT_EQUAL(unlink(folder_path(dir, "open-2")), 0);
    put("open-3", "\1", 1);
    CU_ASSERT_TRUE(zd_files_end(dir, ZD_FILES_CUT, 5));
    UNIT_STR_EQ(there(), "1-4 open-3 open-4");
    clear();
}

/* --- what is put back ------------------------------------------------------------------------- */

static bool is_there(const char *name, const char *text)
{
    char got[64] = "";
    int fd = open(folder_path(dir, name), O_RDONLY);
    ssize_t n = fd >= 0 ? read(fd, got, sizeof(got) - 1) : -1;
    close(fd);
    return n == (ssize_t)strlen(text) && strcmp(got, text) == 0;
}

static void what_libraft_has_closed_is_opened_again(void)
{
    lay("1-4 open-3");
    put("open-2", "5 to 9, and what is damaged", 27);
    zd_kept_t *kept = zd_kept_read(dir);
    CU_ASSERT_PTR_NOT_NULL_FATAL(kept);
    CU_ASSERT_EQUAL(rename(folder_path(dir, "open-2"), folder_path(dir, "5-9")), 0);
    CU_ASSERT_EQUAL(truncate(folder_path(dir, "5-9"), 6), 0);
    CU_ASSERT_EQUAL(unlink(folder_path(dir, "open-3")), 0);
    zd_kept_put_back(kept);
    UNIT_STR_EQ(there(), "1-4 open-2 open-3");
    CU_ASSERT_TRUE(is_there("open-2", "5 to 9, and what is damaged"));
    zd_kept_free(kept);
    clear();
}

static void what_cannot_be_put_back_costs_nothing_else(void)
{
    lay("1-4 open-3*");
    put("open-2", "5 to 9, and what is damaged", 27);
    zd_kept_t *kept = zd_kept_read(dir);
    CU_ASSERT_PTR_NOT_NULL_FATAL(kept);
    CU_ASSERT_EQUAL(rename(folder_path(dir, "open-2"), folder_path(dir, "5-9")), 0);
    CU_ASSERT_EQUAL(truncate(folder_path(dir, "5-9"), 6), 0);
    CU_ASSERT_EQUAL(rename(folder_path(dir, "open-3"), folder_path(dir, "10-11")), 0);
    CU_ASSERT_EQUAL(mkdir(folder_path(dir, "tmp-open-2"), 0700), 0);
    zd_kept_put_back(kept);
    UNIT_STR_EQ(there(), "1-4 open-2 open-3 tmp-open-2");
    CU_ASSERT_TRUE(is_there("open-2", "5 to 9"));
    zd_kept_free(kept);
    clear();
}

static void what_libraft_has_written_anew_is_removed(void)
{
    lay("1-4 open-2*");
    zd_kept_t *kept = zd_kept_read(dir);
    CU_ASSERT_PTR_NOT_NULL_FATAL(kept);
    CU_ASSERT_EQUAL(rename(folder_path(dir, "open-2"), folder_path(dir, "5-9")), 0);
    put("10-10", "alone", 5);
    zd_kept_put_back(kept);
    UNIT_STR_EQ(there(), "1-4 open-2");
    zd_kept_free(kept);
    clear();
}

static void what_nobody_has_changed_is_not_written(void)
{
    struct stat before;
    struct stat now;
    lay("1-4 open-2*");
    CU_ASSERT_EQUAL(stat(folder_path(dir, "open-2"), &before), 0);
    zd_kept_t *kept = zd_kept_read(dir);
    CU_ASSERT_PTR_NOT_NULL_FATAL(kept);
    zd_kept_put_back(kept);
    CU_ASSERT_EQUAL(stat(folder_path(dir, "open-2"), &now), 0);
    CU_ASSERT_EQUAL(before.st_ino, now.st_ino);
    zd_kept_free(kept);
    clear();
}

const unit_test_t suite_zd_raft_files[] = {
    UNIT_TEST(a_cut_that_was_noted_and_not_begun_leaves_the_log),
    UNIT_TEST(a_cut_that_is_done_is_good),
    UNIT_TEST(a_cut_that_has_failed_is_refused),
    UNIT_TEST(a_cut_that_was_begun_is_finished),
    UNIT_TEST(what_was_written_after_a_cut_is_no_part_of_it),
    UNIT_TEST(a_cut_without_a_whole_note_is_not_finished),
    UNIT_TEST(a_note_that_is_not_whole_says_nothing),
    UNIT_TEST(a_snapshot_that_was_noted_and_not_taken_leaves_the_log),
    UNIT_TEST(a_snapshot_without_its_segment_closed_is_refused),
    UNIT_TEST(a_leaders_snapshot_replaces_the_segments_before_it),
    UNIT_TEST(a_snapshot_of_its_own_leaves_the_segments),
    UNIT_TEST(a_snapshot_that_is_not_whole_leaves_the_segments),
    UNIT_TEST(segments_that_are_missing_are_no_snapshot_of_a_leader),
    UNIT_TEST(what_is_refused_is_not_finished),
    UNIT_TEST(a_first_start_that_was_killed_begins_anew),
    UNIT_TEST(a_term_that_counts_is_kept),
    UNIT_TEST(notes_go_when_the_log_was_read),
    UNIT_TEST(what_was_written_after_a_cut_that_failed_is_removed),
    UNIT_TEST(a_cut_ends_with_its_note),
    UNIT_TEST(what_libraft_has_closed_is_opened_again),
    UNIT_TEST(what_cannot_be_put_back_costs_nothing_else),
    UNIT_TEST(what_libraft_has_written_anew_is_removed),
    UNIT_TEST(what_nobody_has_changed_is_not_written),
    UNIT_END,
};
