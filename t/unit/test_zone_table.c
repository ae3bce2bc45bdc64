/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hap_zone_table, with real processes that share it. */
#include "hap_zone_table.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

enum { NOW_MS = 1000000, REST_S = 60 };

static hap_zone_table_t *make(uint32_t entries, size_t *bytes)
{
    *bytes = hap_zone_table_size(entries);
    void *memory = mmap(NULL, *bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CU_ASSERT_PTR_NOT_EQUAL_FATAL(memory, MAP_FAILED);
    hap_zone_table_init(memory, entries);
    return memory;
}

/* Keys of one number differ in all but the bytes that find the bucket, if `bucket` is the same. */
static void key_of(unsigned char key[HAP_ZONE_TABLE_KEY_BYTES], uint64_t bucket, uint64_t number)
{
    memcpy(key, &number, sizeof(number));
    memcpy(key + sizeof(number), &bucket, sizeof(bucket));
}

static hap_zone_known_t live(uint64_t epoch, uint64_t version)
{
    return (hap_zone_known_t){.state = HAP_ZONE_KNOWN_LIVE,
                              .owner = 7,
                              .epoch = epoch,
                              .version = version,
                              .rest_s = REST_S};
}

static const char *found_at(const hap_zone_table_t *table, uint64_t number, int64_t now_ms)
{
    static char text[120];
    static const char *const states[] = {"live", "none", "gone"};
    unsigned char key[HAP_ZONE_TABLE_KEY_BYTES];
    hap_zone_known_t known;
    key_of(key, 0, number);
    if (!hap_zone_table_find(table, key, now_ms, &known)) {
        return "unknown";
    }
    snprintf(text, sizeof(text), "%s %d.%d owner %u rest %u age %u", states[known.state],
             (int)known.epoch, (int)known.version, known.owner, known.rest_s, known.age_ms);
    return text;
}

static const char *found(const hap_zone_table_t *table, uint64_t number)
{
    return found_at(table, number, NOW_MS);
}

static void note_at(hap_zone_table_t *table, uint64_t number, int64_t now_ms,
                    hap_zone_known_t known)
{
    unsigned char key[HAP_ZONE_TABLE_KEY_BYTES];
    key_of(key, 0, number);
    hap_zone_table_note(table, key, now_ms, &known);
}

static void note(hap_zone_table_t *table, uint64_t number, hap_zone_known_t known)
{
    note_at(table, number, NOW_MS, known);
}

static void what_was_noted_is_found_until_its_time_has_passed(void)
{
    size_t bytes;
    hap_zone_table_t *table = make(64, &bytes);
    UNIT_STR_EQ(found(table, 1), "unknown");
    note(table, 1, live(3, 18));
    UNIT_STR_EQ(found(table, 1), "live 3.18 owner 7 rest 60 age 0");
    UNIT_STR_EQ(found_at(table, 1, NOW_MS + 2500), "live 3.18 owner 7 rest 58 age 2500");
    UNIT_STR_EQ(found_at(table, 1, NOW_MS + REST_S * 1000 - 1),
                "live 3.18 owner 7 rest 1 age 59999");
    UNIT_STR_EQ(found_at(table, 1, NOW_MS + REST_S * 1000), "unknown");
    UNIT_STR_EQ(found(table, 2), "unknown");
    munmap(table, bytes);
}

static void only_what_is_newer_is_taken(void)
{
    size_t bytes;
    hap_zone_table_t *table = make(64, &bytes);
    hap_zone_known_t gone = live(4, 0);
    hap_zone_known_t none = {.state = HAP_ZONE_KNOWN_NONE, .owner = HAP_ZONE_NOBODY, .rest_s = 9};
    gone.state = HAP_ZONE_KNOWN_GONE;
    note(table, 1, none);
    UNIT_STR_EQ(found(table, 1), "none 0.0 owner 4294967295 rest 9 age 0");
    note(table, 1, live(3, 18));
    note(table, 1, live(3, 17));
    note(table, 1, live(2, 99));
    UNIT_STR_EQ(found(table, 1), "live 3.18 owner 7 rest 60 age 0");
    note(table, 1, live(3, 19));
    note(table, 1, live(4, 1));
    UNIT_STR_EQ(found(table, 1), "live 4.1 owner 7 rest 60 age 0");
    note(table, 1, gone);
    note(table, 1, live(4, 2));
    UNIT_STR_EQ(found(table, 1), "gone 4.0 owner 7 rest 60 age 0");
    note(table, 1, live(5, 1));
    UNIT_STR_EQ(found(table, 1), "live 5.1 owner 7 rest 60 age 0");
    munmap(table, bytes);
}

static void nothing_in_the_store_is_a_look_and_no_news(void)
{
    size_t bytes;
    hap_zone_table_t *table = make(64, &bytes);
    hap_zone_known_t none = {.state = HAP_ZONE_KNOWN_NONE, .owner = HAP_ZONE_NOBODY, .rest_s = 9};
    note(table, 1, live(3, 18));
    note_at(table, 1, NOW_MS + 5000, none);
    UNIT_STR_EQ(found_at(table, 1, NOW_MS + 6000), "live 3.18 owner 7 rest 54 age 1000");
    munmap(table, bytes);
}

static void in_a_full_bucket_goes_what_was_seen_longest_ago(void)
{
    size_t bytes;
    hap_zone_table_t *table = make(1, &bytes);
    for (uint64_t i = 1; i <= HAP_ZONE_TABLE_WAYS; i++) {
        note_at(table, i, NOW_MS + (int64_t)i, live(1, i));
    }
    note_at(table, 1, NOW_MS + 10, live(1, 1));
    note_at(table, 9, NOW_MS + 11, live(1, 9));
    UNIT_STR_EQ(found_at(table, 2, NOW_MS + 12), "unknown");
    UNIT_STR_EQ(found_at(table, 1, NOW_MS + 12), "live 1.1 owner 7 rest 60 age 2");
    UNIT_STR_EQ(found_at(table, 9, NOW_MS + 12), "live 1.9 owner 7 rest 60 age 1");
    munmap(table, bytes);
}

/* Version and owner are made of the epoch, so that a mixture of two would show. */
static hap_zone_known_t whole(uint64_t epoch)
{
    hap_zone_known_t known = live(epoch, epoch * 3 + 1);
    known.owner = (uint32_t)(epoch * 7);
    return known;
}

static void write_for_ever(hap_zone_table_t *table, unsigned seed)
{
    uint64_t random = seed + 1;
    for (uint64_t epoch = 1;; epoch++) {
        random = random * 6364136223846793005ULL + 1442695040888963407ULL;
        note(table, random >> 62, whole(epoch));
    }
}

static pid_t fork_writer(hap_zone_table_t *table, unsigned seed)
{
    pid_t pid = fork();
    CU_ASSERT_FATAL(pid >= 0);
    if (pid == 0) {
        write_for_ever(table, seed);
    }
    return pid;
}

static void end(pid_t pid)
{
    int status;
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
}

static void processes_that_write_the_same_keys_are_never_mixed(void)
{
    enum { WRITERS = 3, READS = 300000 };
    size_t bytes;
    unsigned seen = 0;
    pid_t pids[WRITERS];
    hap_zone_table_t *table = make(1, &bytes);
    for (unsigned i = 0; i < WRITERS; i++) {
        pids[i] = fork_writer(table, i);
    }
    for (unsigned i = 0; i < READS; i++) {
        unsigned char key[HAP_ZONE_TABLE_KEY_BYTES];
        hap_zone_known_t known;
        key_of(key, 0, i % HAP_ZONE_TABLE_WAYS);
        if (hap_zone_table_find(table, key, NOW_MS, &known)) {
            seen++;
            CU_ASSERT_FATAL(known.version == known.epoch * 3 + 1);
            CU_ASSERT_FATAL(known.owner == (uint32_t)(known.epoch * 7));
        }
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        end(pids[i]);
    }
    CU_ASSERT(seen > 0);
    munmap(table, bytes);
}

/* Wherever it dies, with the lock and an entry half written too. */
static void a_writer_that_dies_holds_nobody_up(void)
{
    enum { DEATHS = 60 };
    size_t bytes;
    hap_zone_table_t *table = make(1, &bytes);
    for (unsigned i = 0; i < DEATHS; i++) {
        pid_t pid = fork_writer(table, i);
        usleep(300 + i * 10);
        end(pid);
        note_at(table, i % HAP_ZONE_TABLE_WAYS, NOW_MS + 1000, whole(1ULL << 40 | i));
        unsigned char key[HAP_ZONE_TABLE_KEY_BYTES];
        hap_zone_known_t known = {.epoch = 0};
        key_of(key, 0, i % HAP_ZONE_TABLE_WAYS);
        CU_ASSERT(hap_zone_table_find(table, key, NOW_MS + 1000, &known));
        CU_ASSERT_EQUAL(known.epoch, 1ULL << 40 | i);
    }
    munmap(table, bytes);
}

/* It holds the lock, perhaps, and goes on later: nobody waits for it, and nothing is mixed. */
static void a_writer_that_is_stopped_and_goes_on_spoils_nothing(void)
{
    enum { STOPS = 40 };
    size_t bytes;
    int status;
    hap_zone_table_t *table = make(1, &bytes);
    pid_t pid = fork_writer(table, 1);
    for (unsigned i = 0; i < STOPS; i++) {
        kill(pid, SIGSTOP);
        waitpid(pid, &status, WUNTRACED);
        for (uint64_t number = 0; number < HAP_ZONE_TABLE_WAYS; number++) {
            note_at(table, number, NOW_MS + 1000, whole(1ULL << 40));
        }
        kill(pid, SIGCONT);
        for (unsigned reads = 0; reads < 2000; reads++) {
            unsigned char key[HAP_ZONE_TABLE_KEY_BYTES];
            hap_zone_known_t known;
            key_of(key, 0, reads % HAP_ZONE_TABLE_WAYS);
            if (hap_zone_table_find(table, key, NOW_MS, &known)) {
                CU_ASSERT_FATAL(known.version == known.epoch * 3 + 1);
            }
        }
    }
    end(pid);
    munmap(table, bytes);
}

const unit_test_t suite_zone_table[] = {
    UNIT_TEST(what_was_noted_is_found_until_its_time_has_passed),
    UNIT_TEST(only_what_is_newer_is_taken),
    UNIT_TEST(nothing_in_the_store_is_a_look_and_no_news),
    UNIT_TEST(in_a_full_bucket_goes_what_was_seen_longest_ago),
    UNIT_TEST(processes_that_write_the_same_keys_are_never_mixed),
    UNIT_TEST(a_writer_that_dies_holds_nobody_up),
    UNIT_TEST(a_writer_that_is_stopped_and_goes_on_spoils_nothing),
    UNIT_END,
};
