/* SPDX-License-Identifier: Apache-2.0 */
/* Owns sessions that outlive their instance: a hash table under a lock, and the rules. */
#include "app_zone.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 4096, TTL_S = 1800, ITEM_BYTES_MAX = 64 };

/* A record's first epoch, so that of a session which nobody had before. */
enum { FIRST_EPOCH = 1 };

/** One session. */
typedef struct session_t {
    struct session_t *next;            /* in its bucket */
    char id[APP_SESSION_ID_BYTES + 1]; /* ends in NUL */
    uint64_t epoch;                    /* that we have it under */
    uint64_t version;                  /* of the state; rises with each change */
    uint64_t visits;                   /* part of the state */
    char *items;                       /* part of the state: names with commas between; owned */
} session_t;

/** What was heard and said so far. */
typedef struct counts_t {
    uint64_t fence;                        /* requests with HA-Fence */
    uint64_t word[APP_ZONE_ERROR + 1];     /* by what HA-Session said */
    uint64_t taken;                        /* states that were taken from a request */
    uint64_t miss, put, touch, del, rekey; /* answers that said so */
} counts_t;

/*
 * One lock for all sessions: a change, its version and the snapshot of it are one step, or two
 * parallel requests could send the same version, or a state without the other's change.
 */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Guard of all of these: lock. */
static session_t *buckets[BUCKETS];
static counts_t counts;
static bool deaf;
static size_t pad_bytes;
static uint64_t ttl_s = TTL_S;
static char *say_lines;
static uint64_t say_left;

/* --- the table; inside the lock --------------------------------------------------------------- */

/* Where a session is, or would be. */
static session_t **find(app_text_t id)
{
    session_t **at = &buckets[app_text_hash(id) % BUCKETS];
    while (*at && !app_text_is(id, (*at)->id)) {
        at = &(*at)->next;
    }
    return at;
}

static session_t *add(app_text_t id)
{
    session_t *session = calloc(1, sizeof(*session));
    if (!session || !(session->items = strdup(""))) {
        abort();
    }
    snprintf(session->id, sizeof(session->id), "%.*s", APP_TEXT_ARG(id));
    session->epoch = FIRST_EPOCH;
    session_t **at = find(id);
    session->next = *at;
    *at = session;
    return session;
}

static void forget(app_text_t id)
{
    session_t **at = find(id);
    session_t *session = *at;
    if (session) {
        *at = session->next;
        free(session->items);
        free(session);
    }
}

/* The same session under a new id. Its record is a new one, which begins with the first epoch, or
 * with a later one and then says so. */
static void rename_session(session_t *session, const char *id)
{
    *find(app_text(session->id)) = session->next;
    snprintf(session->id, sizeof(session->id), "%s", id);
    session->epoch = FIRST_EPOCH;
    session_t **at = find(app_text(id));
    session->next = *at;
    *at = session;
}

static session_t *begin(void)
{
    char id[APP_SESSION_ID_BYTES + 1];
    app_session_new_id(id);
    return add(app_text(id));
}

/* --- the state; inside the lock --------------------------------------------------------------- */

bool app_zone_item_is_valid(app_text_t item)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                  "0123456789_-";
    for (size_t i = 0; i < item.n; i++) {
        if (!memchr(allowed, item.p[i], sizeof(allowed) - 1)) {
            return false;
        }
    }
    return item.n > 0 && item.n <= ITEM_BYTES_MAX;
}

static void add_item(session_t *session, app_text_t item)
{
    char *items;
    const char *comma = session->items[0] ? "," : "";
    if (asprintf(&items, "%s%s%.*s", session->items, comma, APP_TEXT_ARG(item)) < 0) {
        abort();
    }
    free(session->items);
    session->items = items;
}

bool app_zone_read_text(uint64_t *visits, char **items, const char *text)
{
    static const char before[] = "visits=";
    static const char between[] = " items=";
    const char *at = strstr(text, between);
    size_t number_at = sizeof(before) - 1;
    if (!at || strncmp(text, before, number_at) != 0) {
        return false;
    }
    app_text_t number = {text + number_at, (size_t)(at - text) - number_at};
    if (!app_number(visits, number, INT64_MAX)) {
        return false;
    }
    at += sizeof(between) - 1;
    *items = strndup(at, strcspn(at, " "));
    if (!*items) {
        abort();
    }
    return true;
}

static bool read_state(session_t *session, const char *state)
{
    char *items;
    if (!app_zone_read_text(&session->visits, &items, state)) {
        return false;
    }
    free(session->items);
    session->items = items;
    return true;
}

static void print_state(FILE *out, const session_t *session)
{
    char *text;
    int n = asprintf(&text, "visits=%llu items=%s", (unsigned long long)session->visits,
                     session->items);
    if (n < 0) {
        abort();
    }
    size_t bytes = (size_t)n < pad_bytes ? pad_bytes : (size_t)n;
    char *padded = malloc(bytes);
    if (!padded) {
        abort();
    }
    memset(padded, ' ', bytes);
    memcpy(padded, text, (size_t)n);
    app_zone_state_t state = {padded, bytes, session->version, ttl_s};
    app_zone_print_state(out, &state);
    free(padded);
    free(text);
}

/* --- the rules; inside the lock --------------------------------------------------------------- */

static void take_state(app_text_t id, const app_zone_told_t *told)
{
    session_t *session = *find(id);
    bool newer = !session || told->epoch > session->epoch ||
                 (told->epoch == session->epoch && told->version > session->version);
    if (!newer || !told->state) {
        return;
    }
    session = session ? session : add(id);
    if (!read_state(session, told->state)) {
        forget(id);
        return;
    }
    session->epoch = told->epoch;
    session->version = told->version;
    counts.taken++;
}

/*
 * Rules 1 to 4 of doc/zones.md: the session as it is to be served, NULL if there is none. False
 * when the request cannot be served without its state.
 */
static bool settle(session_t **settled, const app_zone_ask_t *ask)
{
    const app_zone_told_t *told = ask->told;
    if (told->word == APP_ZONE_GONE) {
        forget(ask->id);
    }
    if (told->word == APP_ZONE_RESTORE && ask->id.n > 0) {
        take_state(ask->id, told);
    }
    session_t *session = *find(ask->id);
    bool stale = told->epoch > (session ? session->epoch : 0);
    if (stale && told->word == APP_ZONE_NOTHING) {
        return false;
    }
    /* Nobody has the state that followed ours: what there is has passed. */
    if (stale) {
        forget(ask->id);
        session = NULL;
    }
    *settled = session;
    return true;
}

/* Without rules any id is a session of ours, as it is. */
static bool settle_deaf(session_t **settled, const app_zone_ask_t *ask)
{
    session_t *session = *find(ask->id);
    *settled = session || ask->id.n == 0 ? session : add(ask->id);
    return true;
}

static void show(app_zone_said_t *said, const session_t *session)
{
    snprintf(said->id, sizeof(said->id), "%s", session->id);
    said->epoch = session->epoch;
    said->version = session->version;
    said->visits = session->visits;
    said->items = strdup(session->items);
    if (!said->items) {
        abort();
    }
}

static void end_session(session_t *session, FILE *out)
{
    if (session) {
        fprintf(out, "HA-Session: del; id=\"%s\"\r\n", session->id);
        forget(app_text(session->id));
        counts.del++;
    }
}

/* Says what came of a session that has not changed. */
static void say_unchanged(app_zone_act_t act, const session_t *session, const char *old, FILE *out)
{
    if (act == APP_ZONE_LOGIN) {
        fprintf(out, "HA-Session: rekey; new=\"%s\"; id=\"%s\"\r\n", session->id, old);
        counts.rekey++;
    } else if (act == APP_ZONE_TOUCH) {
        fprintf(out, "HA-Session: touch; ttl=%llu; id=\"%s\"\r\n", (unsigned long long)ttl_s,
                session->id);
        counts.touch++;
    }
}

/* Says the state, and what it was called before if it has a new id. */
static void say_state(const session_t *session, const char *old, FILE *out)
{
    if (*old) {
        fprintf(out, "HA-Session: rekey; new=\"%s\"; id=\"%s\"", session->id, old);
        counts.rekey++;
    } else {
        fprintf(out, "HA-Session: put; id=\"%s\"", session->id);
        counts.put++;
    }
    print_state(out, session);
}

/* Rule 5. */
static void act(app_zone_said_t *said, const app_zone_ask_t *ask, session_t *session, FILE *out)
{
    char old[APP_SESSION_ID_BYTES + 1] = "";
    bool changed = !session || ask->act == APP_ZONE_VISIT || ask->add.n > 0;
    if (ask->act == APP_ZONE_LOGOUT) {
        end_session(session, out);
        return;
    }
    if (session && ask->act == APP_ZONE_LOGIN) {
        char id[APP_SESSION_ID_BYTES + 1];
        app_session_new_id(id);
        memcpy(old, session->id, sizeof(old));
        rename_session(session, id);
    }
    said->issued = !session || *old;
    session = session ? session : begin();
    session->visits += ask->act == APP_ZONE_VISIT;
    if (ask->add.n > 0) {
        add_item(session, ask->add);
    }
    session->version += changed;
    if (changed) {
        say_state(session, old, out);
    } else {
        say_unchanged(ask->act, session, old, out);
    }
    show(said, session);
}

static void count_told(const app_zone_told_t *told)
{
    counts.fence += told->fenced;
    counts.word[told->word]++;
}

void app_zone_serve(app_zone_said_t *said, const app_zone_ask_t *ask)
{
    size_t fields_n;
    session_t *session;
    *said = (app_zone_said_t){.miss = false};
    FILE *out = open_memstream(&said->fields, &fields_n);
    if (!out) {
        abort();
    }
    pthread_mutex_lock(&lock);
    count_told(ask->told);
    said->miss = !(deaf ? settle_deaf(&session, ask) : settle(&session, ask));
    if (said->miss) {
        fprintf(out, "HA-Session: miss\r\n");
        counts.miss++;
    } else {
        act(said, ask, session, out);
    }
    pthread_mutex_unlock(&lock);
    fclose(out);
}

void app_zone_said_end(app_zone_said_t *said)
{
    free(said->items);
    free(said->fields);
    said->items = NULL;
    said->fields = NULL;
}

/* --- what the control port steers ------------------------------------------------------------- */

void app_zone_forget(void)
{
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < BUCKETS; i++) {
        while (buckets[i]) {
            forget(app_text(buckets[i]->id));
        }
    }
    pthread_mutex_unlock(&lock);
}

void app_zone_rules(bool obeyed)
{
    pthread_mutex_lock(&lock);
    deaf = !obeyed;
    pthread_mutex_unlock(&lock);
}

void app_zone_pad(size_t bytes)
{
    pthread_mutex_lock(&lock);
    pad_bytes = bytes;
    pthread_mutex_unlock(&lock);
}

void app_zone_ttl(uint64_t seconds)
{
    pthread_mutex_lock(&lock);
    ttl_s = seconds;
    pthread_mutex_unlock(&lock);
}

uint64_t app_zone_ttl_s(void)
{
    pthread_mutex_lock(&lock);
    uint64_t seconds = ttl_s;
    pthread_mutex_unlock(&lock);
    return seconds;
}

void app_zone_say(char *lines, uint64_t count)
{
    pthread_mutex_lock(&lock);
    free(say_lines);
    say_lines = lines;
    say_left = count ? count : UINT64_MAX;
    pthread_mutex_unlock(&lock);
}

char *app_zone_take_say(void)
{
    char *lines = NULL;
    pthread_mutex_lock(&lock);
    if (say_lines && !(lines = strdup(say_lines))) {
        abort();
    }
    if (say_lines && say_left != UINT64_MAX && --say_left == 0) {
        free(say_lines);
        say_lines = NULL;
    }
    pthread_mutex_unlock(&lock);
    return lines;
}

void app_zone_print_count(FILE *out)
{
    pthread_mutex_lock(&lock);
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        {"fence", counts.fence},
        {"restore", counts.word[APP_ZONE_RESTORE]},
        {"none", counts.word[APP_ZONE_NONE]},
        {"gone", counts.word[APP_ZONE_GONE]},
        {"error", counts.word[APP_ZONE_ERROR]},
        {"taken", counts.taken},
        {"miss", counts.miss},
        {"put", counts.put},
        {"touch", counts.touch},
        {"del", counts.del},
        {"rekey", counts.rekey},
    };
    pthread_mutex_unlock(&lock);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        fprintf(out, "%s %llu\n", rows[i].name, (unsigned long long)rows[i].value);
    }
}

void app_zone_print_sessions(FILE *out)
{
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < BUCKETS; i++) {
        for (const session_t *session = buckets[i]; session; session = session->next) {
            fprintf(out, "%s %llu %llu %llu %s\n", session->id, (unsigned long long)session->epoch,
                    (unsigned long long)session->version, (unsigned long long)session->visits,
                    session->items[0] ? session->items : "-");
        }
    }
    pthread_mutex_unlock(&lock);
}
