/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the control port: a table of commands. Does not own what they change. */
#include "app_control.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app_conn.h"
#include "app_net.h"
#include "app_raw.h"
#include "app_session.h"
#include "app_state.h"
#include "app_zone.h"

enum { MAX_WORDS = 4, MAX_WAIT_MS = 600000, BARRIER_WAIT_MS = 10000, MAX_PAD_BYTES = 1 << 20 };

/** The words of one line. */
typedef struct words_t {
    const char *at[MAX_WORDS]; /* the first n are set */
    size_t n;                  /* how many */
} words_t;

/** One command. */
typedef struct command_t {
    const char *name;                           /* its first word */
    const char *usage;                          /* the whole of it, for people */
    bool (*run)(const words_t *, FILE *answer); /* false: the words are wrong */
} command_t;

/* A word as number; `other` when it is not there. */
static bool number(const words_t *words, size_t i, uint64_t *value, uint64_t max, uint64_t other)
{
    *value = other;
    return i >= words->n || app_number(value, app_text(words->at[i]), max);
}

/* Index of a word among the names, up to the NULL that ends them; -1 for none of them. */
static int which(const words_t *words, size_t i, const char *const *names)
{
    for (int at = 0; i < words->n && names[at]; at++) {
        if (strcmp(words->at[i], names[at]) == 0) {
            return at;
        }
    }
    return -1;
}

static bool run_slow(const words_t *words, FILE *answer)
{
    uint64_t ms;
    if (words->n != 2 || !number(words, 1, &ms, MAX_WAIT_MS, 0)) {
        return false;
    }
    app_fault_slow((unsigned)ms);
    return true;
}

static bool run_hang(const words_t *words, FILE *answer)
{
    static const char *const names[] = {"head", "all", NULL};
    static const app_hang_t hangs[] = {APP_HANG_HEAD, APP_HANG_ALL};
    int at = which(words, 1, names);
    if (words->n > 1 && at < 0) {
        return false;
    }
    app_fault_hang(at < 0 ? APP_HANG_BODY : hangs[at]);
    return true;
}

static bool run_release(const words_t *words, FILE *answer)
{
    app_fault_hang(APP_HANG_NONE);
    return words->n == 1;
}

static bool run_refuse(const words_t *words, FILE *answer)
{
    app_net_refuse();
    return words->n == 1;
}

static bool run_accept(const words_t *words, FILE *answer)
{
    if (!app_net_accept()) {
        fprintf(answer, "error: an address is taken\n");
    }
    return words->n == 1;
}

static bool run_reset(const words_t *words, FILE *answer)
{
    static const char *const names[] = {"none", "before", "head", "body", NULL};
    uint64_t count;
    int at = which(words, 1, names);
    if (at < 0 || !number(words, 2, &count, UINT32_MAX, 0)) {
        return false;
    }
    app_fault_reset((app_reset_t)at, count);
    return true;
}

static bool run_raw(const words_t *words, FILE *answer)
{
    static const char *const names[] = {"none", "stay", "close", "reset", NULL};
    uint64_t count;
    int at = which(words, 1, names);
    bool none = at == APP_RAW_NONE;
    if (at < 0 || (none ? words->n != 2 : words->n < 3) ||
        !number(words, 3, &count, UINT32_MAX, 0)) {
        return false;
    }
    return app_raw_set((app_raw_kind_t)at, none ? NULL : words->at[2], count);
}

static bool run_flood(const words_t *words, FILE *answer)
{
    static const char *const names[] = {"head", "interim", "chunk", "trailer", NULL};
    uint64_t count;
    int at = which(words, 1, names);
    if (at < 0 || !number(words, 2, &count, UINT32_MAX, 0)) {
        return false;
    }
    return app_raw_set((app_raw_kind_t)(APP_RAW_HEAD + at), NULL, count);
}

static bool run_pieces(const words_t *words, FILE *answer)
{
    uint64_t bytes;
    if (words->n != 2 || !number(words, 1, &bytes, UINT32_MAX, 0)) {
        return false;
    }
    app_conn_pieces((size_t)bytes);
    return true;
}

static bool run_close(const words_t *words, FILE *answer)
{
    if (words->n != 2 || strcmp(words->at[1], "idle") != 0) {
        return false;
    }
    fprintf(answer, "closed %zu\n", app_conn_close_idle());
    return true;
}

static bool run_status(const words_t *words, FILE *answer)
{
    uint64_t status;
    uint64_t count;
    if (words->n < 2 || !number(words, 1, &status, 999, 0) || (status > 0 && status < 200) ||
        !number(words, 2, &count, UINT32_MAX, 0)) {
        return false;
    }
    app_fault_status((int)status, count);
    return true;
}

static bool run_health(const words_t *words, FILE *answer)
{
    static const char *const names[] = {"ok", "fail", "hang", NULL};
    int at = which(words, 1, names);
    if (at < 0) {
        return false;
    }
    app_fault_health((app_health_t)at);
    return true;
}

enum { HOLD, OPEN, WAIT };

static const char *const hold_names[] = {"hold", "open", "wait", NULL};

/* The rest of `... wait N [MS]`. */
static bool run_wait(const words_t *words, FILE *answer, uint64_t (*wait)(uint64_t, unsigned))
{
    uint64_t count;
    uint64_t ms;
    if (which(words, 1, hold_names) != WAIT || words->n < 3 ||
        !number(words, 2, &count, UINT32_MAX, 0) ||
        !number(words, 3, &ms, MAX_WAIT_MS, BARRIER_WAIT_MS)) {
        return false;
    }
    uint64_t held = wait(count, (unsigned)ms);
    fprintf(answer, "%s %llu\n", held < count ? "error: held only" : "held",
            (unsigned long long)held);
    return true;
}

static bool run_barrier(const words_t *words, FILE *answer)
{
    switch (which(words, 1, hold_names)) {
    case HOLD:
        app_barrier_hold();
        return true;
    case OPEN:
        app_barrier_open();
        return true;
    default:
        return run_wait(words, answer, app_barrier_wait);
    }
}

static bool run_answers(const words_t *words, FILE *answer)
{
    uint64_t count;
    switch (which(words, 1, hold_names)) {
    case HOLD:
        if (!number(words, 2, &count, UINT32_MAX, 0)) {
            return false;
        }
        app_answers_hold(count);
        return true;
    case OPEN:
        app_answers_open();
        return true;
    default:
        return run_wait(words, answer, app_answers_wait);
    }
}

static bool run_ledger(const words_t *words, FILE *answer)
{
    if (words->n == 1) {
        app_ledger_print(answer);
        return true;
    }
    app_ledger_clear();
    return strcmp(words->at[1], "clear") == 0;
}

static bool run_count(const words_t *words, FILE *answer)
{
    app_count_print(answer);
    return words->n == 1;
}

static bool run_sessions(const words_t *words, FILE *answer)
{
    app_session_print(answer);
    return words->n == 1;
}

static bool run_zone_pad(const words_t *words, FILE *answer)
{
    uint64_t bytes;
    if (words->n != 3 || !number(words, 2, &bytes, MAX_PAD_BYTES, 0)) {
        return false;
    }
    app_zone_pad((size_t)bytes);
    return true;
}

static bool run_zone_ttl(const words_t *words, FILE *answer)
{
    uint64_t seconds;
    if (words->n != 3 || !number(words, 2, &seconds, UINT32_MAX, 0)) {
        return false;
    }
    app_zone_ttl(seconds);
    return true;
}

static bool run_zone_rules(const words_t *words, FILE *answer)
{
    static const char *const names[] = {"off", "on", NULL};
    int at = which(words, 2, names);
    if (at >= 0) {
        app_zone_rules(at == 1);
    }
    return at >= 0;
}

static bool run_zone_say(const words_t *words, FILE *answer)
{
    uint64_t count;
    char *lines = NULL;
    size_t lines_n;
    if (words->n < 3 || !number(words, 3, &count, UINT32_MAX, 0)) {
        return false;
    }
    if (strcmp(words->at[2], "none") != 0 && !app_raw_read(&lines, &lines_n, words->at[2])) {
        return false;
    }
    app_zone_say(lines, count);
    return true;
}

static bool run_zone_forget(const words_t *words, FILE *answer)
{
    app_zone_forget();
    return words->n == 2;
}

static bool run_zone_count(const words_t *words, FILE *answer)
{
    app_zone_print_count(answer);
    return words->n == 2;
}

static bool run_zone_sessions(const words_t *words, FILE *answer)
{
    app_zone_print_sessions(answer);
    return words->n == 2;
}

static bool run_zone(const words_t *words, FILE *answer)
{
    static const struct {
        const char *name;
        bool (*run)(const words_t *, FILE *answer);
    } parts[] = {
        {"pad", run_zone_pad},           {"ttl", run_zone_ttl},       {"rules", run_zone_rules},
        {"say", run_zone_say},           {"forget", run_zone_forget}, {"count", run_zone_count},
        {"sessions", run_zone_sessions},
    };
    for (size_t i = 0; words->n > 1 && i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (strcmp(words->at[1], parts[i].name) == 0) {
            return parts[i].run(words, answer);
        }
    }
    return false;
}

static const command_t commands[] = {
    {"slow", "slow MS", run_slow},
    {"hang", "hang [head|all]", run_hang},
    {"release", "release", run_release},
    {"refuse", "refuse", run_refuse},
    {"accept", "accept", run_accept},
    {"reset", "reset none|before|head|body [COUNT]", run_reset},
    {"raw", "raw none|stay|close|reset BYTES [COUNT]", run_raw},
    {"flood", "flood head|interim|chunk|trailer [COUNT]", run_flood},
    {"pieces", "pieces N", run_pieces},
    {"close", "close idle", run_close},
    {"status", "status N [COUNT]", run_status},
    {"health", "health ok|fail|hang", run_health},
    {"barrier", "barrier hold|open|wait N [MS]", run_barrier},
    {"answers", "answers hold [COUNT]|open|wait N [MS]", run_answers},
    {"ledger", "ledger [clear]", run_ledger},
    {"count", "count", run_count},
    {"sessions", "sessions", run_sessions},
    {"zone", "zone pad N|ttl N|rules on|off|say none|LINES [COUNT]|forget|count|sessions",
     run_zone},
};

static void say_unknown(FILE *answer)
{
    fprintf(answer, "error: no such command, use one of:");
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        fprintf(answer, " %s;", commands[i].usage);
    }
    fprintf(answer, " quit\n");
}

static void run(const words_t *words, FILE *answer)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(words->at[0], commands[i].name) == 0) {
            if (!commands[i].run(words, answer)) {
                fprintf(answer, "error: use %s\n", commands[i].usage);
            }
            return;
        }
    }
    say_unknown(answer);
}

static words_t split(char *line)
{
    words_t words = {.n = 0};
    char *word;
    while ((word = strsep(&line, " \t\r\n"))) {
        if (*word && words.n < MAX_WORDS) {
            words.at[words.n++] = word;
        }
    }
    return words;
}

/* Answers one line, in one write. False when the connection is to be closed. */
static bool answer_line(int fd, char *line)
{
    char *text = NULL;
    size_t text_n = 0;
    words_t words = split(line);
    if (words.n == 0) {
        return true;
    }
    bool quit = strcmp(words.at[0], "quit") == 0;
    FILE *answer = open_memstream(&text, &text_n);
    if (!answer) {
        abort();
    }
    if (!quit) {
        run(&words, answer);
    }
    fprintf(answer, ".\n");
    fclose(answer);
    bool ok = true;
    for (size_t at = 0; ok && at < text_n;) {
        ssize_t put = write(fd, text + at, text_n - at);
        ok = put > 0;
        at += ok ? (size_t)put : 0;
    }
    free(text);
    if (quit) {
        _exit(EXIT_SUCCESS);
    }
    return ok;
}

static void *control_main(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char *line = NULL;
    size_t line_cap = 0;
    FILE *in = fdopen(fd, "r");
    while (in && getline(&line, &line_cap, in) > 0 && answer_line(fd, line)) {
        continue;
    }
    free(line);
    if (in) {
        fclose(in);
    }
    return NULL;
}

void app_control_start(int fd)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, control_main, (void *)(intptr_t)fd) != 0) {
        close(fd);
        return;
    }
    pthread_detach(thread);
}
