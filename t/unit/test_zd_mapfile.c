/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of zd_mapfile: the map on disk only gets newer, and the copy follows it. */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_strings.h>

#include "folder.h"
#include "hap_map.h"
#include "zd_mapfile.h"

#define UUID   "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
#define OTHERS "1f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"

static char dir[FOLDER_BYTES];
static const char *own;
static const char *copy;
static mode_t mask;
static zd_mapfile_t *file;

static void begin(void)
{
    folder_make(dir, "map");
    mask = umask(022);
    own = folder_path(dir, "map");
    copy = folder_path(dir, "proxy/map");
    CU_ASSERT_EQUAL(mkdir(folder_path(dir, "proxy"), 0755), 0);
}

static void finish(void)
{
    umask(mask);
    folder_remove(dir);
}

/* --- what is said ----------------------------------------------------------------------------- */

static int stderr_fd;

static void listen_begin(void)
{
    int fd = open(folder_path(dir, "log"), O_RDWR | O_CREAT | O_TRUNC, 0600);
    fflush(stderr);
    stderr_fd = dup(STDERR_FILENO);
    dup2(fd, STDERR_FILENO);
    close(fd);
}

/* Without what each line begins with, and the folder's name. */
static const char *listen_end(void)
{
    char text[4096];
    const char *all = "";
    ssize_t n = pread(STDERR_FILENO, text, sizeof(text) - 1, 0);
    dup2(stderr_fd, STDERR_FILENO);
    close(stderr_fd);
    text[n > 0 ? n : 0] = '\0';
    for (char *line = text, *next; *line; line = next) {
        next = strchr(line, '\n');
        *next++ = '\0';
        line = strstr(line, "]: ") + 3;
        line += strncmp(line, dir, strlen(dir)) == 0 ? strlen(dir) + 1 : 0;
        all = apr_pstrcat(unit_pool, all, *all ? "; " : "", line, NULL);
    }
    return all;
}

/* --- maps ------------------------------------------------------------------------------------- */

static hap_str_t map_of(const char *uuid, uint64_t version, const char *node)
{
    const hap_map_node_t nodes[] = {{node, "a.example:1", HAP_MAP_VOTER, true}};
    const hap_map_t map = {.uuid = uuid, .version = version, .nodes = nodes, .nodes_n = 1};
    hap_diag_t diag = {0, ""};
    hap_str_t text = HAP_STR_LIT("");
    CU_ASSERT_EQUAL(hap_map_encode(&text, &map, &diag, unit_pool), APR_SUCCESS);
    UNIT_STR_EQ(diag.why, "");
    return text;
}

static hap_str_t map(uint64_t version)
{
    return map_of(UUID, version, "0");
}

/* What that says. */
static const char *opened(void)
{
    listen_begin();
    file = zd_mapfile_open(dir, copy, unit_pool);
    return listen_end();
}

static const char *put(uint64_t version)
{
    const hap_str_t text = map(version ? version : 1);
    listen_begin();
    zd_mapfile_put(file, text, version);
    return listen_end();
}

static const char *offered(hap_str_t text)
{
    listen_begin();
    zd_mapfile_offer(file, text);
    return listen_end();
}

static const char *retried(void)
{
    listen_begin();
    zd_mapfile_retry(file);
    return listen_end();
}

static const char *text_in(const char *path)
{
    static char text[8192];
    FILE *in = fopen(path, "r");
    if (!in) {
        return "there is none";
    }
    size_t n = fread(text, 1, sizeof(text) - 1, in);
    fclose(in);
    return apr_pstrmemdup(unit_pool, text, n);
}

static unsigned mode_of(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 ? info.st_mode & 07777 : 0;
}

static void check_places(uint64_t version)
{
    CU_ASSERT_EQUAL(zd_mapfile_version(file), version);
    UNIT_STR_EQ(text_in(own), hap_str_dup(map(version), unit_pool));
    UNIT_STR_EQ(text_in(copy), hap_str_dup(map(version), unit_pool));
}

/* --- tests ------------------------------------------------------------------------------------ */

static void g1_a_map_that_was_put_is_on_disk_as_it_was_encoded_and_known_again_after_a_restart(void)
{
    begin();
    UNIT_STR_EQ(opened(), "");
    CU_ASSERT_EQUAL(zd_mapfile_version(file), 0);
    CU_ASSERT_PTR_NULL(zd_mapfile_uuid(file));
    UNIT_STR_EQ(put(3), "");
    check_places(3);
    UNIT_STR_EQ(zd_mapfile_uuid(file), UUID);
    UNIT_STR_EQ(opened(), "");
    check_places(3);
    UNIT_STR_EQ(zd_mapfile_uuid(file), UUID);
    finish();
}

static void its_own_is_for_the_daemon_and_the_copy_for_all(void)
{
    begin();
    opened();
    put(1);
    CU_ASSERT_EQUAL(mode_of(own), 0600);
    CU_ASSERT_EQUAL(mode_of(copy), 0644);
    finish();
}

static void without_a_copy_there_is_none(void)
{
    begin();
    file = zd_mapfile_open(dir, NULL, unit_pool);
    UNIT_STR_EQ(put(1), "");
    CU_ASSERT_EQUAL(zd_mapfile_version(file), 1);
    UNIT_STR_EQ(text_in(copy), "there is none");
    finish();
}

static void g2_only_a_newer_one_is_written(void)
{
    begin();
    opened();
    put(3);
    UNIT_STR_EQ(put(2), "");
    UNIT_STR_EQ(put(3), "");
    UNIT_STR_EQ(put(0), "");
    check_places(3);
    put(7);
    check_places(7);
    finish();
}

static void what_cannot_be_written_is_said_once_and_tried_again(void)
{
    begin();
    opened();
    put(1);
    const char *away = apr_pstrcat(unit_pool, dir, ".away", NULL);
    CU_ASSERT_EQUAL(rename(dir, away), 0);
    zd_mapfile_put(file, map(2), 2); /* says so, and there is nowhere to listen from */
    CU_ASSERT_EQUAL(zd_mapfile_version(file), 1);
    CU_ASSERT_EQUAL(rename(away, dir), 0);
    UNIT_STR_EQ(retried(), "map: written, as it can be again, version 2; "
                           "proxy/map: written, as it can be again, version 2");
    check_places(2);
    UNIT_STR_EQ(retried(), "");
    finish();
}

static void a_copy_that_cannot_be_written_does_not_hold_up_its_own(void)
{
    begin();
    opened();
    CU_ASSERT_EQUAL(rmdir(folder_path(dir, "proxy")), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(put(1), "proxy/map: version 1: "));
    CU_ASSERT_EQUAL(zd_mapfile_version(file), 1);
    UNIT_STR_EQ(put(2), "");
    UNIT_STR_EQ(retried(), "");
    CU_ASSERT_EQUAL(mkdir(folder_path(dir, "proxy"), 0755), 0);
    UNIT_STR_EQ(retried(), "proxy/map: written, as it can be again, version 2");
    check_places(2);
    finish();
}

static void a_copy_that_is_gone_is_written_when_the_daemon_begins(void)
{
    begin();
    opened();
    put(4);
    CU_ASSERT_EQUAL(unlink(copy), 0);
    UNIT_STR_EQ(opened(), "");
    check_places(4);
    finish();
}

static void what_is_damaged_is_said_and_counts_as_none(void)
{
    begin();
    opened();
    put(9);
    CU_ASSERT_EQUAL(truncate(own, 100), 0);
    const char *said = opened();
    CU_ASSERT_PTR_NOT_NULL(strstr(said, "; it is written anew from what is agreed on"));
    CU_ASSERT_EQUAL(zd_mapfile_version(file), 0);
    CU_ASSERT_PTR_NULL(zd_mapfile_uuid(file));
    put(8);
    check_places(8);
    finish();
}

static void what_another_node_offers_is_taken_when_it_is_newer(void)
{
    begin();
    opened();
    UNIT_STR_EQ(offered(map(5)), "");
    check_places(5);
    UNIT_STR_EQ(offered(map(5)), "");
    UNIT_STR_EQ(offered(map(6)), "");
    check_places(6);
    finish();
}

static void g2_what_is_older_anothers_or_contradicts_is_refused_and_said(void)
{
    begin();
    opened();
    put(5);
    UNIT_STR_EQ(offered(map(4)),
                "the leader's map 4 is older than the one that is here, 5: it is not taken");
    UNIT_STR_EQ(offered(map_of(OTHERS, 9, "0")),
                "the leader's map is of the cluster " OTHERS ", and this node belongs to " UUID
                ": it is not taken");
    UNIT_STR_EQ(offered(map_of(UUID, 5, "1")),
                "the leader's map 5 says something else than the one that is here: it is not "
                "taken");
    hap_str_t cut = map(9);
    cut.n -= 9;
    CU_ASSERT_PTR_NOT_NULL(strstr(offered(cut), "; it is not taken"));
    check_places(5);
    finish();
}

const unit_test_t suite_zd_mapfile[] = {
    UNIT_TEST(g1_a_map_that_was_put_is_on_disk_as_it_was_encoded_and_known_again_after_a_restart),
    UNIT_TEST(its_own_is_for_the_daemon_and_the_copy_for_all),
    UNIT_TEST(without_a_copy_there_is_none),
    UNIT_TEST(g2_only_a_newer_one_is_written),
    UNIT_TEST(what_cannot_be_written_is_said_once_and_tried_again),
    UNIT_TEST(a_copy_that_cannot_be_written_does_not_hold_up_its_own),
    UNIT_TEST(a_copy_that_is_gone_is_written_when_the_daemon_begins),
    UNIT_TEST(what_is_damaged_is_said_and_counts_as_none),
    UNIT_TEST(what_another_node_offers_is_taken_when_it_is_newer),
    UNIT_TEST(g2_what_is_older_anothers_or_contradicts_is_refused_and_said),
    UNIT_END,
};
