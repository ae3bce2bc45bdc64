/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns encoding, decoding and restoring of saved member states. Does not know the first line, which
 * is hap_envelope's.
 */
#include "hap_statefile.h"

#include <stdlib.h>

#include <apr_strings.h>

#include "hap_envelope.h"

static const hap_envelope_kind_t state_kind = {"zero-state", 1};

enum {
    NUMBER_DIGITS_MAX = 18,
    WINDOW_MS_MAX = 1000000000, /* eleven days */
    US_PER_MS = 1000
};

/* The largest number of eighteen digits, in the year 33658: no sum of two overflows. */
static const apr_time_t TIME_MAX_US = APR_INT64_C(999999999999999999);

/* --- the words of the file --- */

typedef struct words_t {
    const char *const *word;
    unsigned n;
} words_t;

static const char *const verdict_words[] = {"unknown", "up", "down"};
#define WORDS(list)                                                                                \
    {                                                                                              \
        (list), sizeof(list) / sizeof((list)[0])                                                   \
    }
static const words_t admins = WORDS(hap_admin_names);
static const words_t origins = WORDS(hap_admin_source_names);
static const words_t healths = WORDS(verdict_words);

static const char *name_of(words_t words, unsigned at)
{
    return at < words.n ? words.word[at] : "?";
}

static int by_name(const hap_state_member_t *a, const hap_state_member_t *b)
{
    int diff = hap_str_cmp(a->app, b->app);
    return diff ? diff : hap_str_cmp(a->route, b->route);
}

/* --- encoding --- */

/* A byte that stands for itself; all others are written as \xNN, so each text has one spelling. */
static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static const char *quoted(hap_str_t s, size_t max, apr_pool_t *pool)
{
    static const char hex[] = "0123456789abcdef";
    s = hap_str_sub(s, 0, max);
    char *text = apr_palloc(pool, 4 * s.n + sizeof("\"\""));
    char *out = text;
    *out++ = '"';
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (is_plain(c)) {
            *out++ = (char)c;
            continue;
        }
        *out++ = '\\';
        *out++ = 'x';
        *out++ = hex[c >> 4];
        *out++ = hex[c & 15];
    }
    *out++ = '"';
    *out = '\0';
    return text;
}

static bool is_time(apr_time_t t)
{
    return t >= 0 && t <= TIME_MAX_US;
}

static const char *fault(const hap_state_member_t *m)
{
    if (m->app.n == 0 || m->app.n > HAP_STATE_APP_BYTES_MAX) {
        return "a balancer's name takes 1 to 127 bytes";
    }
    if (m->route.n == 0 || m->route.n > HAP_STATE_ROUTE_BYTES_MAX) {
        return "a route takes 1 to 63 bytes";
    }
    if ((unsigned)m->admin >= admins.n || (unsigned)m->configured >= admins.n ||
        (unsigned)m->origin >= origins.n || (unsigned)m->health >= healths.n) {
        return "a state is none of those that there are";
    }
    if (!is_time(m->admin_since) || !is_time(m->health_since) || !is_time(m->checked)) {
        return "a time is before 1970 or after 33658";
    }
    if (m->window_ms < 0 || m->window_ms > WINDOW_MS_MAX) {
        return "a check's window takes 0 to 1000000000 ms";
    }
    return NULL;
}

static const char *member_line(const hap_state_member_t *m, apr_pool_t *pool)
{
    return apr_psprintf(
        pool,
        "member app=%s route=%s admin=%s origin=%s configured=%s admin-since=%" APR_TIME_T_FMT
        " admin-why=%s health=%s health-since=%" APR_TIME_T_FMT " checked=%" APR_TIME_T_FMT
        " window-ms=%" APR_INT64_T_FMT " health-why=%s\n",
        quoted(m->app, m->app.n, pool), quoted(m->route, m->route.n, pool),
        name_of(admins, m->admin), name_of(origins, m->origin), name_of(admins, m->configured),
        m->admin_since, quoted(m->admin_why, HAP_STATE_WHY_BYTES_MAX, pool),
        name_of(healths, m->health), m->health_since, m->checked, (apr_int64_t)m->window_ms,
        quoted(m->health_why, HAP_STATE_WHY_BYTES_MAX, pool));
}

static int by_name_indirect(const void *a, const void *b)
{
    return by_name(*(const hap_state_member_t *const *)a, *(const hap_state_member_t *const *)b);
}

static const hap_state_member_t **sorted(const hap_state_t *state, apr_pool_t *pool)
{
    const hap_state_member_t **order = apr_palloc(pool, (state->n + 1) * sizeof(*order));
    for (size_t i = 0; i < state->n; i++) {
        order[i] = &state->members[i];
    }
    qsort(order, state->n, sizeof(*order), by_name_indirect);
    return order;
}

static apr_status_t check_records(const hap_state_member_t **order, size_t n, hap_diag_t *diag)
{
    for (size_t i = 0; i < n; i++) {
        const char *why = fault(order[i]);
        if (!why && i > 0 && by_name(order[i - 1], order[i]) == 0) {
            why = "it is there twice";
        }
        if (why) {
            hap_diag_set(diag, 0, "member %.*s of %.*s: %s", HAP_STR_ARG(order[i]->route),
                         HAP_STR_ARG(order[i]->app), why);
            return APR_EINVAL;
        }
    }
    return APR_SUCCESS;
}

apr_status_t hap_statefile_encode(hap_str_t *text, const hap_state_t *state, hap_diag_t *diag,
                                  apr_pool_t *pool)
{
    const hap_state_member_t **order = sorted(state, pool);
    apr_status_t rv = check_records(order, state->n, diag);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (!is_time(state->saved)) {
        hap_diag_set(diag, 0, "the time of saving is before 1970 or after 33658");
        return APR_EINVAL;
    }
    struct iovec *lines = apr_palloc(pool, (state->n + 1) * sizeof(*lines));
    char *line = apr_psprintf(pool, "saved %" APR_TIME_T_FMT "\n", state->saved);
    lines[0] = (struct iovec){line, strlen(line)};
    for (size_t i = 0; i < state->n; i++) {
        const char *member = member_line(order[i], pool);
        lines[i + 1] = (struct iovec){(void *)(uintptr_t)member, strlen(member)};
    }
    apr_size_t n;
    const char *body = apr_pstrcatv(pool, lines, state->n + 1, &n);
    return hap_envelope_wrap(text, &state_kind, hap_strn(body, n), diag, pool);
}

/* --- decoding --- */

/* Reads one line from its front. The first thing that does not fit is kept, and all reading after
 * it does nothing, so that a line is read straight through and judged once. */
typedef struct reader_t {
    hap_str_t rest;
    const char *field; /* being read, for the message */
    const char *why;   /* what is wrong with it; NULL while all is well */
    apr_pool_t *pool;
} reader_t;

/* Takes what stands before a field's value, up to its `=`. */
static void read_key(reader_t *in, const char *key)
{
    if (in->why) {
        return;
    }
    in->field = key;
    if (!hap_str_starts(in->rest, hap_str(key))) {
        in->why = "is not where it belongs";
        return;
    }
    in->rest = hap_str_sub(in->rest, strlen(key), in->rest.n);
}

static int64_t read_number(reader_t *in, const char *key, int64_t max)
{
    read_key(in, key);
    size_t n = 0;
    int64_t value = 0;
    while (!in->why && n < in->rest.n && in->rest.p[n] >= '0' && in->rest.p[n] <= '9') {
        if (n == NUMBER_DIGITS_MAX) {
            in->why = "is too large a number";
            return 0;
        }
        value = value * 10 + (in->rest.p[n++] - '0');
    }
    if (in->why) {
        return 0;
    }
    if (n == 0 || (n > 1 && in->rest.p[0] == '0')) {
        in->why = "is not a number";
    } else if (value > max) {
        in->why = "is too large a number";
    }
    in->rest = hap_str_sub(in->rest, n, in->rest.n);
    return value;
}

static unsigned read_word(reader_t *in, const char *key, words_t words)
{
    read_key(in, key);
    hap_str_t word = hap_str_sub(in->rest, 0, hap_str_find(in->rest, ' ', 0));
    int at = hap_str_word(word, words.word, words.n);
    if (in->why || at < 0) {
        in->why = in->why ? in->why : "is none of the words for it";
        return 0;
    }
    in->rest = hap_str_sub(in->rest, word.n, in->rest.n);
    return (unsigned)at;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One byte of a quoted text from the front of `s`; -1 if there is none. */
static int unescape(hap_str_t *s)
{
    int c = s->n ? (unsigned char)s->p[0] : -1;
    if (c != '\\') {
        *s = hap_str_sub(*s, 1, s->n);
        return c >= 0 && is_plain((unsigned char)c) ? c : -1;
    }
    if (s->n < 4 || s->p[1] != 'x' || hex_value(s->p[2]) < 0 || hex_value(s->p[3]) < 0) {
        return -1;
    }
    c = hex_value(s->p[2]) << 4 | hex_value(s->p[3]);
    *s = hap_str_sub(*s, 4, s->n);
    return is_plain((unsigned char)c) ? -1 : c;
}

static hap_str_t read_text(reader_t *in, const char *key, size_t max)
{
    read_key(in, key);
    if (!in->why && (in->rest.n == 0 || in->rest.p[0] != '"')) {
        in->why = "is not in quotes";
    }
    if (in->why) {
        return hap_str(NULL);
    }
    hap_str_t source = hap_str_sub(in->rest, 1, in->rest.n);
    char text[HAP_STATE_WHY_BYTES_MAX];
    size_t n = 0;
    while (source.n > 0 && source.p[0] != '"') {
        int c = unescape(&source);
        if (c < 0 || n == max) {
            in->why = c < 0 ? "has a byte or an escape that is never written" : "is too long";
            return hap_str(NULL);
        }
        text[n++] = (char)c;
    }
    if (source.n == 0) {
        in->why = "has no closing quote";
    }
    in->rest = hap_str_sub(source, 1, source.n);
    return hap_strn(apr_pmemdup(in->pool, text, n), n);
}

static void read_member(hap_state_member_t *m, reader_t *in)
{
    m->app = read_text(in, "member app=", HAP_STATE_APP_BYTES_MAX);
    m->route = read_text(in, " route=", HAP_STATE_ROUTE_BYTES_MAX);
    m->admin = (hap_admin_t)read_word(in, " admin=", admins);
    m->origin = (hap_admin_source_t)read_word(in, " origin=", origins);
    m->configured = (hap_admin_t)read_word(in, " configured=", admins);
    m->admin_since = read_number(in, " admin-since=", TIME_MAX_US);
    m->admin_why = read_text(in, " admin-why=", HAP_STATE_WHY_BYTES_MAX);
    m->health = (hap_verdict_t)read_word(in, " health=", healths);
    m->health_since = read_number(in, " health-since=", TIME_MAX_US);
    m->checked = read_number(in, " checked=", TIME_MAX_US);
    m->window_ms = read_number(in, " window-ms=", WINDOW_MS_MAX);
    m->health_why = read_text(in, " health-why=", HAP_STATE_WHY_BYTES_MAX);
}

/* The end of a line: nothing may be left, and nothing may have been wrong. */
static apr_status_t read_end(const reader_t *in, int line, hap_diag_t *diag)
{
    if (in->why) {
        hap_str_t field = hap_str_trim(hap_str(in->field));
        hap_diag_set(diag, line, "%.*s %s", HAP_STR_ARG(field), in->why);
        return APR_EINVAL;
    }
    if (in->rest.n > 0) {
        hap_diag_set(diag, line, "there is more behind the last field");
        return APR_EINVAL;
    }
    return APR_SUCCESS;
}

static apr_status_t check_order(const hap_state_t *state, int line, hap_diag_t *diag)
{
    const hap_state_member_t *last = &state->members[state->n - 1];
    if (last->app.n == 0 || last->route.n == 0) {
        hap_diag_set(diag, line, "the member's name is empty");
        return APR_EINVAL;
    }
    int diff = state->n > 1 ? by_name(last - 1, last) : -1;
    if (diff < 0) {
        return APR_SUCCESS;
    }
    hap_diag_set(diag, line, diff ? "the member is out of order" : "the member is there twice");
    return APR_EINVAL;
}

static apr_status_t read_body(hap_state_t *state, hap_str_t body, hap_diag_t *diag,
                              apr_pool_t *pool)
{
    hap_str_t text;
    for (int line = 2; hap_str_line(&text, &body); line++) {
        reader_t in = {.rest = text, .pool = pool};
        if (line == 2) {
            state->saved = read_number(&in, "saved ", TIME_MAX_US);
        } else {
            read_member(&state->members[state->n], &in);
        }
        apr_status_t rv = read_end(&in, line, diag);
        if (rv == APR_SUCCESS && line > 2) {
            state->n++;
            rv = check_order(state, line, diag);
        }
        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
    return APR_SUCCESS;
}

static size_t count_lines(hap_str_t s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        n += s.p[i] == '\n';
    }
    return n;
}

apr_status_t hap_statefile_decode(hap_state_t *state, hap_str_t text, size_t max_members,
                                  hap_diag_t *diag, apr_pool_t *pool)
{
    hap_str_t body;
    apr_status_t rv = hap_envelope_open(&body, &state_kind, text, diag);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    size_t lines = count_lines(body);
    if (lines == 0 || body.p[body.n - 1] != '\n') {
        hap_diag_set(diag, (int)lines + 2, "the last line does not end");
        return APR_EINVAL;
    }
    if (lines - 1 > max_members) {
        hap_diag_set(diag, 0,
                     "the file has %" APR_SIZE_T_FMT
                     " members, but there is room for %" APR_SIZE_T_FMT ": raise HAMaxMembers",
                     lines - 1, max_members);
        return APR_EINVAL;
    }
    hap_state_t read = {.members = apr_pcalloc(pool, lines * sizeof(*read.members))};
    rv = read_body(&read, body, diag, pool);
    if (rv == APR_SUCCESS) {
        *state = read;
    }
    return rv;
}

/* --- coming back --- */

static apr_time_t not_after(apr_time_t t, apr_time_t now)
{
    return t < now ? t : now;
}

static bool within_window(const hap_state_member_t *saved, apr_time_t now)
{
    apr_time_t age = now - saved->checked;
    apr_time_t distance = age < 0 ? -age : age;
    return saved->checked > 0 && distance <= saved->window_ms * US_PER_MS;
}

static hap_str_t why_unknown(const hap_state_member_t *saved, apr_time_t now)
{
    if (saved->checked == 0) {
        return HAP_STR_LIT("it was never checked");
    }
    return saved->checked > now ? HAP_STR_LIT("the clock was set back since its last check")
                                : HAP_STR_LIT("its last check is too long ago");
}

void hap_statefile_restore(hap_state_restored_t *restored, const hap_state_member_t *saved,
                           hap_admin_t configured, apr_time_t now)
{
    bool edited = configured != saved->configured;
    bool by_operator = saved->origin == HAP_SOURCE_OPERATOR;
    hap_state_restored_t r = {
        .member = *saved,
        .admin_kept = !edited && (by_operator || saved->admin == configured),
        .health_kept = within_window(saved, now),
    };
    hap_state_member_t *m = &r.member;
    m->configured = configured;
    m->admin_since = not_after(saved->admin_since, now);
    m->health_since = not_after(saved->health_since, now);
    m->checked = not_after(saved->checked, now);
    if (!r.admin_kept) {
        m->admin = configured;
        m->origin = HAP_SOURCE_CONFIG;
        m->admin_since = now;
        m->admin_why = HAP_STR_LIT("the configuration was edited");
    }
    if (!r.health_kept) {
        m->health = HAP_HEALTH_UNKNOWN;
        m->health_since = now;
        m->checked = 0;
        m->health_why = why_unknown(saved, now);
    }
    *restored = r;
}
