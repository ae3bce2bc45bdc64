/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hapstore_shm: a node in memory that processes share, which may end at any time. */
#include "unit.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_strings.h>

#include "hapstore_time.h"
#include "random.h"
#include "store.h"

enum { LOG_BYTES = 1 << 20, BUDGET_MS = 100, NAMES = 64 };

/* Where the index is: behind the lock and four numbers. */
static char *index_of(char *shm)
{
    return shm + sizeof(pthread_mutex_t) + 4 * sizeof(uint64_t);
}

static size_t memory_bytes(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (hapstore_shm_size(LOG_BYTES) + page - 1) / page * page;
}

/* Memory for a store, shared with the processes that are forked from now on, and nothing behind it
 * that could be touched by mistake. */
static char *memory(void)
{
    size_t bytes = memory_bytes();
    char *shm = mmap(NULL, 2 * bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    mprotect(shm + bytes, bytes, PROT_NONE);
    CU_ASSERT_EQUAL_FATAL(hapstore_shm_init(shm, LOG_BYTES), APR_SUCCESS);
    return shm;
}

static void forget(char *shm)
{
    munmap(shm, 2 * memory_bytes());
}

static hapstore_alone_t *handle_on(char *shm)
{
    hap_zone_spec_t *spec = apr_pcalloc(unit_pool, sizeof(*spec));
    spec->kind = HAP_ZONE_SHM;
    spec->shm_bytes = LOG_BYTES;
    hapstore_conf_t *conf = apr_pcalloc(unit_pool, sizeof(*conf));
    conf->spec = spec;
    conf->shm = shm;
    conf->budget = apr_time_from_msec(BUDGET_MS);
    return hapstore_alone_open(&hapstore_shm, conf, 0);
}

static hap_str_t name_of(unsigned i)
{
    static char names[NAMES][HAP_ZONE_NAME_BYTES + 1];
    char *name = names[i % NAMES];
    snprintf(name, HAP_ZONE_NAME_BYTES + 1, "haz1:%043u", i);
    return hap_strn(name, HAP_ZONE_NAME_BYTES);
}

/* A value that says whose it is, from the first byte to the last. */
static hap_str_t value_of(unsigned i, size_t n)
{
    static char text[LOG_BYTES];
    memset(text, 'a' + (int)(i % 26), n);
    return hap_strn(text, n);
}

static bool is_value_of(unsigned i, const hapstore_value_t *value)
{
    for (size_t at = 0; at < value->n; at++) {
        if (value->bytes[at] != 'a' + (int)(i % 26)) {
            return false;
        }
    }
    return true;
}

/* Its length, or -1 if there is none. */
static long length_of(hapstore_alone_t *handle, unsigned i, hapstore_token_t *token)
{
    hapstore_value_t value;
    hapstore_node_end_t end = node_get(handle, name_of(i), &value, token);
    CU_ASSERT_TRUE(end == HAPSTORE_NODE_OK || end == HAPSTORE_NODE_NONE);
    if (end != HAPSTORE_NODE_OK) {
        return -1;
    }
    CU_ASSERT_TRUE(is_value_of(i, &value));
    free(value.bytes);
    return (long)value.n;
}

static hapstore_node_end_t replace(hapstore_alone_t *handle, unsigned i, size_t n, uint32_t ttl_s)
{
    hapstore_token_t token;
    length_of(handle, i, &token);
    return node_put(handle, name_of(i), value_of(i, n), ttl_s, token);
}

static void a_value_is_read_with_its_token_and_replaced_by_it_alone(void)
{
    char *shm = memory();
    hapstore_alone_t *handle = handle_on(shm);
    hapstore_token_t first;
    hapstore_token_t second;
    CU_ASSERT_EQUAL(length_of(handle, 1, &first), -1);
    CU_ASSERT_EQUAL(node_put(handle, name_of(1), value_of(1, 10), 60, (hapstore_token_t){7, 0}),
                    HAPSTORE_NODE_CHANGED);
    CU_ASSERT_EQUAL(node_put(handle, name_of(1), value_of(1, 10), 60, no_token), HAPSTORE_NODE_OK);
    CU_ASSERT_EQUAL(node_put(handle, name_of(1), value_of(1, 11), 60, no_token),
                    HAPSTORE_NODE_CHANGED);
    CU_ASSERT_EQUAL(length_of(handle, 1, &first), 10);
    CU_ASSERT_EQUAL(node_put(handle, name_of(1), value_of(1, 0), 60, first), HAPSTORE_NODE_OK);
    CU_ASSERT_EQUAL(length_of(handle, 1, &second), 0);
    CU_ASSERT_NOT_EQUAL(first.number, second.number);
    CU_ASSERT_EQUAL(node_put(handle, name_of(1), value_of(1, 9), 60, first), HAPSTORE_NODE_CHANGED);
    hapstore_alone_close(handle);
    forget(shm);
}

static void a_value_past_its_time_is_none(void)
{
    char *shm = memory();
    hapstore_alone_t *handle = handle_on(shm);
    hapstore_token_t token;
    CU_ASSERT_EQUAL(replace(handle, 1, 10, 0), HAPSTORE_NODE_OK);
    CU_ASSERT_EQUAL(replace(handle, 2, 10, HAP_ZONE_TTL_S_MAX), HAPSTORE_NODE_OK);
    CU_ASSERT_EQUAL(length_of(handle, 1, &token), -1);
    CU_ASSERT_EQUAL(length_of(handle, 2, &token), 10);
    CU_ASSERT_EQUAL(node_put(handle, name_of(1), value_of(1, 3), 60, no_token), HAPSTORE_NODE_OK);
    CU_ASSERT_EQUAL(length_of(handle, 1, &token), 3);
    hapstore_alone_close(handle);
    forget(shm);
}

static void when_it_is_full_the_oldest_go(void)
{
    enum { WRITTEN = 1000, EACH = 10000 };
    char *shm = memory();
    hapstore_alone_t *handle = handle_on(shm);
    hapstore_token_t token;
    for (unsigned i = 0; i < WRITTEN; i++) {
        CU_ASSERT_EQUAL(node_put(handle, name_of(i), value_of(i, EACH), 60, no_token),
                        HAPSTORE_NODE_OK);
        CU_ASSERT_EQUAL(length_of(handle, i, &token), EACH);
    }
    unsigned there = 0;
    for (unsigned i = 0; i < WRITTEN; i++) {
        there += length_of(handle, i, &token) == EACH;
    }
    /* At least half of the memory is used, and by the newest. */
    CU_ASSERT_TRUE(there >= LOG_BYTES / EACH / 2 && there <= LOG_BYTES / EACH);
    for (unsigned i = WRITTEN - there / 2; i < WRITTEN; i++) {
        CU_ASSERT_EQUAL(length_of(handle, i, &token), EACH);
    }
    CU_ASSERT_EQUAL(length_of(handle, 0, &token), -1);
    hapstore_alone_close(handle);
    forget(shm);
}

static void what_is_too_large_is_not_taken(void)
{
    char *shm = memory();
    hapstore_alone_t *handle = handle_on(shm);
    CU_ASSERT_EQUAL(replace(handle, 1, LOG_BYTES / 2, 60), HAPSTORE_NODE_TOO_LARGE);
    CU_ASSERT_EQUAL(replace(handle, 1, LOG_BYTES / 5, 60), HAPSTORE_NODE_OK);
    hapstore_alone_close(handle);
    forget(shm);
}

static void sessions_that_rest_are_not_lost_to_one_that_writes_much(void)
{
    char *shm = memory();
    hapstore_alone_t *handle = handle_on(shm);
    hapstore_token_t token;
    for (unsigned i = 1; i < NAMES; i++) {
        CU_ASSERT_EQUAL(replace(handle, i, 5000, 60), HAPSTORE_NODE_OK);
    }
    for (unsigned i = 0; i < 5000; i++) {
        CU_ASSERT_EQUAL(replace(handle, 0, 8000 + i % 1000, 60), HAPSTORE_NODE_OK);
    }
    for (unsigned i = 1; i < NAMES; i++) {
        CU_ASSERT_EQUAL(length_of(handle, i, &token), 5000);
    }
    hapstore_alone_close(handle);
    forget(shm);
}

/* Beside a plain array of what was written last. */
static void it_says_what_was_written_whatever_the_sizes_and_the_order(void)
{
    char *shm = memory();
    hapstore_alone_t *handle = handle_on(shm);
    long lengths[NAMES];
    hapstore_token_t token;
    unit_random_t seed = {7};
    memset(lengths, -1, sizeof(lengths));
    for (unsigned turn = 0; turn < 20000; turn++) {
        unsigned i = (unsigned)unit_random(&seed, NAMES);
        size_t n = unit_random(&seed, 9000);
        CU_ASSERT_EQUAL(length_of(handle, i, &token), lengths[i]);
        CU_ASSERT_EQUAL(replace(handle, i, n, 60), HAPSTORE_NODE_OK);
        lengths[i] = (long)n;
    }
    hapstore_alone_close(handle);
    forget(shm);
}

/* --- several processes ------------------------------------------------------------------------ */

static pid_t start(void (*run)(char *shm), char *shm)
{
    pid_t pid = fork();
    if (pid == 0) {
        run(shm);
        _exit(0);
    }
    return pid;
}

static void write_for_ever(char *shm)
{
    hapstore_alone_t *handle = handle_on(shm);
    for (unsigned i = (unsigned)getpid();; i++) {
        replace(handle, i % NAMES, i * 7919 % 9000, 60);
    }
}

/* The lock is what the memory begins with. */
static void die_with_the_lock(char *shm)
{
    pthread_mutex_lock((pthread_mutex_t *)shm);
    kill(getpid(), SIGKILL);
}

static void die_without_an_index(char *shm)
{
    pthread_mutex_lock((pthread_mutex_t *)shm);
    memset(index_of(shm), 0, LOG_BYTES / 512 * sizeof(uint64_t));
    kill(getpid(), SIGKILL);
}

static void stop_with_the_lock(char *shm)
{
    pthread_mutex_lock((pthread_mutex_t *)shm);
    kill(getpid(), SIGSTOP);
}

static void one_that_is_killed_with_the_lock_holds_nobody_up(void)
{
    char *shm = memory();
    hapstore_alone_t *handle = handle_on(shm);
    hapstore_token_t token;
    CU_ASSERT_EQUAL(replace(handle, 1, 100, 60), HAPSTORE_NODE_OK);
    for (int i = 0; i < 3; i++) {
        waitpid(start(die_with_the_lock, shm), NULL, 0);
        CU_ASSERT_EQUAL(length_of(handle, 1, &token), 100);
        CU_ASSERT_EQUAL(replace(handle, 1, 100, 60), HAPSTORE_NODE_OK);
    }
    hapstore_alone_close(handle);
    forget(shm);
}

static void what_one_that_is_killed_had_taken_out_of_the_index_is_found_again(void)
{
    char *shm = memory();
    hapstore_alone_t *handle = handle_on(shm);
    hapstore_token_t token;
    for (unsigned turn = 0; turn < 3 * NAMES; turn++) {
        CU_ASSERT_EQUAL(replace(handle, turn % NAMES, turn, 60), HAPSTORE_NODE_OK);
    }
    waitpid(start(die_without_an_index, shm), NULL, 0);
    for (unsigned i = 0; i < NAMES; i++) {
        CU_ASSERT_EQUAL(length_of(handle, i, &token), 2 * NAMES + i);
    }
    hapstore_alone_close(handle);
    forget(shm);
}

static void one_that_is_stopped_with_the_lock_costs_the_budget_and_no_more(void)
{
    char *shm = memory();
    hapstore_alone_t *handle = handle_on(shm);
    hapstore_value_t value;
    hapstore_token_t token;
    CU_ASSERT_EQUAL(replace(handle, 1, 100, 60), HAPSTORE_NODE_OK);
    pid_t pid = start(stop_with_the_lock, shm);
    waitpid(pid, NULL, WUNTRACED);
    int64_t began_ms = hapstore_now_ms();
    CU_ASSERT_EQUAL(node_get(handle, name_of(1), &value, &token), HAPSTORE_NODE_FAILED);
    int64_t took_ms = hapstore_now_ms() - began_ms;
    CU_ASSERT_TRUE(took_ms >= BUDGET_MS - 1 && took_ms < STORE_LATE_MS);
    UNIT_STR_EQ(hapstore_alone_why(handle), "its lock is held for too long");
    CU_ASSERT_FALSE(hapstore_alone_probe(handle));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    CU_ASSERT_TRUE(hapstore_alone_probe(handle));
    CU_ASSERT_EQUAL(length_of(handle, 1, &token), 100);
    hapstore_alone_close(handle);
    forget(shm);
}

static void those_that_are_killed_anywhere_leave_it_whole(void)
{
    enum { ROUNDS = 25, WRITERS = 2 };
    char *shm = memory();
    hapstore_alone_t *handle = handle_on(shm);
    hapstore_token_t token;
    unit_random_t seed = {11};
    for (int round = 0; round < ROUNDS; round++) {
        pid_t pids[WRITERS];
        for (int i = 0; i < WRITERS; i++) {
            pids[i] = start(write_for_ever, shm);
        }
        usleep((useconds_t)unit_random(&seed, 15000)); /* anywhere */
        for (int i = 0; i < WRITERS; i++) {
            kill(pids[i], SIGKILL);
            waitpid(pids[i], NULL, 0);
        }
        for (unsigned i = 0; i < NAMES; i++) {
            length_of(handle, i, &token);
        }
        CU_ASSERT_EQUAL(replace(handle, 5, 50, 60), HAPSTORE_NODE_OK);
        CU_ASSERT_EQUAL(length_of(handle, 5, &token), 50);
    }
    hapstore_alone_close(handle);
    forget(shm);
}

/* As a process could that was taken over. What is read then may be anything; the lock is left. */
static void whatever_stands_in_the_memory_nobody_crashes(void)
{
    char *shm = memory();
    hapstore_alone_t *handle = handle_on(shm);
    unit_random_t seed = {13};
    char *numbers = shm + sizeof(pthread_mutex_t);
    size_t places = (hapstore_shm_size(LOG_BYTES) - sizeof(pthread_mutex_t)) / 8 - 5;
    for (unsigned round = 0; round < 100000; round++) {
        hapstore_value_t value;
        hapstore_token_t token;
        /* The positions now and then, else as many numbers in a row as a value begins with. */
        char *at = numbers + (round % 64 ? unit_random(&seed, places) : 0) * 8;
        for (int number = 0; number < 5; number++) {
            uint64_t random = unit_random(&seed, SIZE_MAX) >> unit_random(&seed, 64);
            memcpy(at + number * 8, &random, unit_random(&seed, 2) * sizeof(random));
        }
        unsigned i = round % NAMES;
        if (node_get(handle, name_of(i), &value, &token) == HAPSTORE_NODE_OK) {
            free(value.bytes);
        }
        node_put(handle, name_of(i), value_of(i, round % 100), 60, token);
    }
    hapstore_alone_close(handle);
    forget(shm);
}

/* --- as a store ------------------------------------------------------------------------------- */

static shelf_t *shelf_on(char *shm)
{
    shelf_t *shelf = shelf_of_ports(NULL, 0);
    shelf->spec.kind = HAP_ZONE_SHM;
    shelf->spec.shm_bytes = LOG_BYTES;
    shelf->shm = shm;
    return shelf;
}

static void put_from_another_process(char *shm)
{
    shelf_t *shelf = shelf_on(shm);
    hapstore_t *store = store_open(shelf);
    put(store, shelf, "sid", 2, "theirs");
    hapstore_destroy(store);
}

static void what_one_process_puts_another_one_finds(void)
{
    char *shm = memory();
    waitpid(start(put_from_another_process, shm), NULL, 0);
    shelf_t *shelf = shelf_on(shm);
    hapstore_t *store = store_open(shelf);
    UNIT_STR_EQ(look(store, shelf, "sid"), "1 theirs");
    UNIT_STR_EQ(put(store, shelf, "sid", 1, "ours"), "1 theirs");
    UNIT_STR_EQ(put(store, shelf, "sid", 3, "ours"), "1 ours");
    hapstore_destroy(store);
    forget(shm);
}

static void a_store_goes_on_when_the_process_that_stopped_it_has_ended(void)
{
    char *shm = memory();
    shelf_t *shelf = shelf_on(shm);
    hapstore_t *store = store_open(shelf);
    UNIT_STR_EQ(put(store, shelf, "sid", 1, "one"), "1 one");
    pid_t pid = start(stop_with_the_lock, shm);
    waitpid(pid, NULL, WUNTRACED);
    UNIT_STR_EQ(look(store, shelf, "sid"), "UNREACHED");
    CU_ASSERT_EQUAL(shelf_said(shelf, "shm: up -> down, its lock is held for too long"), 1);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    shelf_wait_up(shelf, 0);
    UNIT_STR_EQ(look(store, shelf, "sid"), "1 one");
    CU_ASSERT_EQUAL(shelf_said(shelf, "shm: down -> up"), 1);
    hapstore_destroy(store);
    forget(shm);
}

const unit_test_t suite_store_shm[] = {
    UNIT_TEST(a_value_is_read_with_its_token_and_replaced_by_it_alone),
    UNIT_TEST(a_value_past_its_time_is_none),
    UNIT_TEST(when_it_is_full_the_oldest_go),
    UNIT_TEST(what_is_too_large_is_not_taken),
    UNIT_TEST(sessions_that_rest_are_not_lost_to_one_that_writes_much),
    UNIT_TEST(it_says_what_was_written_whatever_the_sizes_and_the_order),
    UNIT_TEST(one_that_is_killed_with_the_lock_holds_nobody_up),
    UNIT_TEST(what_one_that_is_killed_had_taken_out_of_the_index_is_found_again),
    UNIT_TEST(one_that_is_stopped_with_the_lock_costs_the_budget_and_no_more),
    UNIT_TEST(those_that_are_killed_anywhere_leave_it_whole),
    UNIT_TEST(whatever_stands_in_the_memory_nobody_crashes),
    UNIT_TEST(what_one_process_puts_another_one_finds),
    UNIT_TEST(a_store_goes_on_when_the_process_that_stopped_it_has_ended),
    UNIT_END,
};
