/* SPDX-License-Identifier: Apache-2.0 */
/* Owns faults, barrier, ledger and counters, under one lock. Does not know sockets. */
#include "app_state.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "app_conn.h"

/** A line in the ledger. */
typedef struct line_t {
    uint64_t sequence;   /* from 1, never used twice */
    uint64_t body_bytes; /* read so far */
    app_phase_t phase;   /* how far it got */
    char *text;          /* method, target and tag; owned */
} line_t;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed; /* anything below changed */
static pthread_once_t changed_once = PTHREAD_ONCE_INIT;

/* Guard of all of these: lock. */
static unsigned slow_ms;
static app_hang_t hang;
static app_health_t health;
static app_fault_t fault;
static uint64_t reset_left = UINT64_MAX;
static uint64_t status_left = UINT64_MAX;
static bool barrier_closed;
static uint64_t held_n;
static uint64_t answers_to_hold;
static uint64_t answers_opened; /* how often; an answer waits for the next time */
static uint64_t answers_held_n;
static uint64_t hanging_n;
static line_t *lines;
static size_t lines_n;
static size_t lines_cap;
static uint64_t last_sequence;
static int ledger_fd = -1; /* file that survives us; -1: none */

static atomic_size_t health_n;
static atomic_size_t malformed_n;

static void changed_init(void)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&changed, &attr);
    pthread_condattr_destroy(&attr);
}

static void enter(void)
{
    pthread_once(&changed_once, changed_init);
    pthread_mutex_lock(&lock);
}

static void leave(void)
{
    pthread_mutex_unlock(&lock);
}

static void leave_changed(void)
{
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

void app_fault_slow(unsigned ms)
{
    enter();
    slow_ms = ms;
    leave_changed();
}

void app_fault_hang(app_hang_t which)
{
    enter();
    hang = which;
    leave_changed();
}

void app_fault_reset(app_reset_t reset, uint64_t count)
{
    enter();
    fault.reset = reset;
    reset_left = count ? count : UINT64_MAX;
    leave_changed();
}

void app_fault_status(int status, uint64_t count)
{
    enter();
    fault.status = status;
    status_left = count ? count : UINT64_MAX;
    leave_changed();
}

void app_fault_health(app_health_t how)
{
    enter();
    health = how;
    leave_changed();
}

static bool held_at_barrier(void)
{
    return barrier_closed;
}

static bool hangs_at_head(void)
{
    return hang == APP_HANG_HEAD;
}

static bool hangs_at_answer(void)
{
    return hang != APP_HANG_NONE;
}

static bool hangs_at_health(void)
{
    return hang == APP_HANG_ALL || health == APP_HEALTH_HANG;
}

/* Inside the lock. Announces itself once: waiters that wake each other would never sleep. */
static void wait_while(bool (*held)(void), uint64_t *counter)
{
    if (!held()) {
        return;
    }
    (*counter)++;
    pthread_cond_broadcast(&changed);
    while (held()) {
        pthread_cond_wait(&changed, &lock);
    }
    (*counter)--;
}

void app_fault_at_head(void)
{
    enter();
    wait_while(hangs_at_head, &hanging_n);
    leave();
}

/* Inside the lock: a fault that is limited to a number of answers wears off. */
static app_fault_t use_fault(void)
{
    app_fault_t now = fault;
    if (now.reset != APP_RESET_NONE && reset_left != UINT64_MAX && --reset_left == 0) {
        fault.reset = APP_RESET_NONE;
    }
    if (now.status != 0 && status_left != UINT64_MAX && --status_left == 0) {
        fault.status = 0;
    }
    return now;
}

app_fault_t app_fault_at_answer(void)
{
    enter();
    wait_while(held_at_barrier, &held_n);
    wait_while(hangs_at_answer, &hanging_n);
    app_fault_t now = use_fault();
    unsigned ms = slow_ms;
    leave();
    if (ms > 0) {
        app_sleep_ms(ms);
    }
    return now;
}

bool app_fault_at_health(void)
{
    enter();
    wait_while(hangs_at_health, &hanging_n);
    bool good = health == APP_HEALTH_OK;
    leave();
    return good;
}

void app_barrier_hold(void)
{
    enter();
    barrier_closed = true;
    leave_changed();
}

void app_barrier_open(void)
{
    enter();
    barrier_closed = false;
    leave_changed();
}

/* How many a counter says, once it has reached `count` or so much time has passed. */
static uint64_t wait_for_count(const uint64_t *counter, uint64_t count, unsigned ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    enter();
    while (*counter < count) {
        if (pthread_cond_timedwait(&changed, &lock, &until) == ETIMEDOUT) {
            break;
        }
    }
    uint64_t reached = *counter;
    leave();
    return reached;
}

uint64_t app_barrier_wait(uint64_t count, unsigned ms)
{
    return wait_for_count(&held_n, count, ms);
}

void app_answers_hold(uint64_t count)
{
    enter();
    answers_to_hold = count ? count : UINT64_MAX;
    leave();
}

void app_answers_open(void)
{
    enter();
    answers_to_hold = 0;
    answers_opened++;
    leave_changed();
}

uint64_t app_answers_wait(uint64_t count, unsigned ms)
{
    return wait_for_count(&answers_held_n, count, ms);
}

void app_answers_at_first_byte(void)
{
    enter();
    uint64_t seen = answers_opened;
    if (answers_to_hold > 0) {
        answers_to_hold -= answers_to_hold != UINT64_MAX;
        answers_held_n++;
        pthread_cond_broadcast(&changed);
        while (answers_opened == seen) {
            pthread_cond_wait(&changed, &lock);
        }
        answers_held_n--;
    }
    leave();
}

/* Inside the lock. */
static line_t *new_line(void)
{
    if (lines_n == lines_cap) {
        lines_cap = lines_cap ? lines_cap * 2 : 1024;
        lines = realloc(lines, lines_cap * sizeof(*lines));
        if (!lines) {
            abort();
        }
    }
    line_t *line = &lines[lines_n++];
    *line = (line_t){.sequence = ++last_sequence};
    return line;
}

/* The ledger is words and lines: a tag with a blank in it must not look like two words. */
static void blanks_away(char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (text[i] <= ' ' || text[i] == 0x7f) {
            text[i] = '?';
        }
    }
}

bool app_ledger_open(const char *path)
{
    ledger_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    return ledger_fd >= 0;
}

app_entry_t app_ledger_add(app_text_t method, app_text_t target, app_text_t tag)
{
    tag = tag.n > 0 ? tag : app_text("-");
    size_t n = method.n + target.n + tag.n + sizeof("  ");
    char *text = malloc(n);
    if (!text) {
        abort();
    }
    snprintf(text, n, "%.*s %.*s %.*s", APP_TEXT_ARG(method), APP_TEXT_ARG(target),
             APP_TEXT_ARG(tag));
    blanks_away(text + n - 1 - tag.n, tag.n);
    enter();
    line_t *line = new_line();
    line->text = text;
    if (ledger_fd >= 0) {
        dprintf(ledger_fd, "%s\n", text);
    }
    app_entry_t entry = {line->sequence};
    leave();
    return entry;
}

void app_ledger_note(app_entry_t entry, app_phase_t phase, uint64_t body_bytes)
{
    enter();
    uint64_t cleared = last_sequence - lines_n;
    if (entry.sequence > cleared) {
        line_t *line = &lines[entry.sequence - cleared - 1];
        line->phase = phase;
        line->body_bytes = body_bytes;
    }
    leave();
}

void app_ledger_print(FILE *out)
{
    static const char *const names[] = {
        [APP_PHASE_HEAD] = "head",
        [APP_PHASE_BODY] = "body",
        [APP_PHASE_ANSWERED] = "answered",
    };
    enter();
    for (size_t i = 0; i < lines_n; i++) {
        fprintf(out, "%llu %s %llu %s\n", (unsigned long long)lines[i].sequence, lines[i].text,
                (unsigned long long)lines[i].body_bytes, names[lines[i].phase]);
    }
    leave();
}

void app_ledger_clear(void)
{
    enter();
    for (size_t i = 0; i < lines_n; i++) {
        free(lines[i].text);
    }
    lines_n = 0;
    leave();
}

void app_count_health(void)
{
    atomic_fetch_add(&health_n, 1);
}

void app_count_malformed(void)
{
    atomic_fetch_add(&malformed_n, 1);
}

void app_count_print(FILE *out)
{
    enter();
    fprintf(out, "requests %llu\n", (unsigned long long)last_sequence);
    fprintf(out, "health %zu\n", atomic_load(&health_n));
    fprintf(out, "malformed %zu\n", atomic_load(&malformed_n));
    fprintf(out, "open %zu\n", app_conn_open());
    fprintf(out, "total %zu\n", app_conn_total());
    fprintf(out, "held %llu\n", (unsigned long long)held_n);
    fprintf(out, "hanging %llu\n", (unsigned long long)hanging_n);
    fprintf(out, "answers %llu\n", (unsigned long long)answers_held_n);
    leave();
}
