/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns reading the answer to a probe. Does not keep any of it but the status: a probe's body only
 * has to be skipped so that the connection can carry the next probe.
 */
#include "hap_check.h"

typedef enum state_t {
    STATUS_LINE,
    FIELDS,
    BODY,
    CHUNK_SIZE,
    CHUNK_DATA,
    CHUNK_END,
    TRAILERS,
    STATES
} state_t;

static void bad(hap_answer_t *a)
{
    a->end = HAP_ANSWER_BAD;
    a->reusable = false;
}

static void done(hap_answer_t *a)
{
    a->end = HAP_ANSWER_DONE;
}

/* The status is good, the rest of the answer is not worth its reading. */
static void done_with_it(hap_answer_t *a)
{
    a->reusable = false;
    a->end = HAP_ANSWER_DONE;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* HTTP/1.d SP ddd [SP reason]   (RFC 9112 4; the space before an empty reason may be missing) */
static void status_line(hap_answer_t *a, hap_str_t line)
{
    static const char prefix[] = "HTTP/1.";
    enum { MINOR = sizeof(prefix) - 1, CODE = MINOR + 2, REASON = CODE + 3 };
    if (line.n < REASON || !hap_str_starts(line, HAP_STR_LIT(prefix)) || !is_digit(line.p[MINOR]) ||
        line.p[MINOR + 1] != ' ' || (line.n > REASON && line.p[REASON] != ' ')) {
        bad(a);
        return;
    }
    unsigned long status;
    if (!hap_str_uint(&status, hap_str_sub(line, CODE, REASON), 599) || status < 100) {
        bad(a);
        return;
    }
    if (line.p[MINOR] == '0') {
        a->reusable = false;
    }
    a->status = (unsigned)status;
    a->state = FIELDS;
}

/* RFC 9110 5.6.2 */
static bool is_token(hap_str_t s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !is_digit(c) && (c == '\0' || !strchr("!#$%&'*+-.^_`|~", c))) {
            return false;
        }
    }
    return s.n > 0;
}

static void content_length(hap_answer_t *a, hap_str_t value)
{
    unsigned long length;
    if (!hap_str_uint(&length, value, ~0UL >> 1) || (a->has_length && a->left != length)) {
        bad(a);
        return;
    }
    a->has_length = true;
    a->left = length;
}

static void transfer_encoding(hap_answer_t *a, hap_str_t value)
{
    if (a->chunked || !hap_str_eq_nocase(value, HAP_STR_LIT("chunked"))) {
        a->opaque = true;
    }
    a->chunked = true;
}

static void connection(hap_answer_t *a, hap_str_t value)
{
    for (size_t at = 0; at <= value.n;) {
        size_t comma = hap_str_find(value, ',', at);
        hap_str_t option = hap_str_trim(hap_str_sub(value, at, comma));
        if (hap_str_eq_nocase(option, HAP_STR_LIT("close"))) {
            a->reusable = false;
        }
        at = comma + 1;
    }
}

static const struct {
    const char *name;
    void (*read)(hap_answer_t *a, hap_str_t value);
} fields[] = {
    {"Content-Length", content_length},
    {"Transfer-Encoding", transfer_encoding},
    {"Connection", connection},
};

static void field(hap_answer_t *a, hap_str_t line)
{
    size_t colon = hap_str_find(line, ':', 0);
    hap_str_t name = hap_str_sub(line, 0, colon);
    if (colon == line.n || !is_token(name)) {
        bad(a);
        return;
    }
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (!hap_str_eq_nocase(name, hap_str(fields[i].name))) {
            continue;
        }
        if (a->cut) {
            a->opaque = true; /* half a value is no value */
            return;
        }
        fields[i].read(a, hap_str_trim(hap_str_sub(line, colon + 1, line.n)));
    }
}

static void interim(hap_answer_t *a)
{
    if (a->status == 101) {
        bad(a); /* nobody asked for another protocol */
        return;
    }
    a->state = STATUS_LINE;
    a->status = 0;
    a->has_length = a->chunked = a->opaque = false;
    a->left = 0;
}

/* What follows the head (RFC 9112 6.3). */
static void head_end(hap_answer_t *a)
{
    if (a->status < 200) {
        interim(a);
        return;
    }
    if (a->no_body || a->status == 204 || a->status == 304) {
        done(a);
        return;
    }
    bool framed = a->chunked != a->has_length && !a->opaque;
    if (!framed || !a->reusable || a->left > HAP_ANSWER_BODY_BYTES) {
        done_with_it(a);
        return;
    }
    if (a->has_length && a->left == 0) {
        done(a);
        return;
    }
    a->state = a->chunked ? CHUNK_SIZE : BODY;
}

static void head_line(hap_answer_t *a, hap_str_t line)
{
    if (line.n == 0) {
        head_end(a);
        return;
    }
    field(a, line);
}

static int hex_digit(char c)
{
    if (is_digit(c)) {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* 1*HEXDIG [ext]   (RFC 9112 7.1) */
static void chunk_size(hap_answer_t *a, hap_str_t line)
{
    uint64_t size = 0;
    size_t i = 0;
    for (; i < line.n && hex_digit(line.p[i]) >= 0; i++) {
        if (size > HAP_ANSWER_BODY_BYTES) {
            done_with_it(a);
            return;
        }
        size = size * 16 + (uint64_t)hex_digit(line.p[i]);
    }
    hap_str_t rest = hap_str_trim(hap_str_sub(line, i, line.n));
    if (i == 0 || (rest.n && rest.p[0] != ';')) {
        bad(a);
        return;
    }
    a->left = size;
    a->state = size ? CHUNK_DATA : TRAILERS;
}

static void chunk_end(hap_answer_t *a, hap_str_t line)
{
    if (line.n) {
        bad(a);
        return;
    }
    a->state = CHUNK_SIZE;
}

static void trailer(hap_answer_t *a, hap_str_t line)
{
    if (line.n == 0) {
        done(a);
    }
}

/* What reads a line, or where bytes are skipped, what follows the last of them. */
static const struct {
    void (*line)(hap_answer_t *a, hap_str_t line); /* NULL: bytes, not lines */
    bool head;                                     /* counts as head, not as body */
} states[STATES] = {
    [STATUS_LINE] = {status_line, true}, /* -> FIELDS */
    [FIELDS] = {head_line, true},        /* -> STATUS_LINE, BODY, CHUNK_SIZE, done */
    [BODY] = {NULL, false},              /* -> done */
    [CHUNK_SIZE] = {chunk_size, false},  /* -> CHUNK_DATA, TRAILERS */
    [CHUNK_DATA] = {NULL, false},        /* -> CHUNK_END */
    [CHUNK_END] = {chunk_end, false},    /* -> CHUNK_SIZE */
    [TRAILERS] = {trailer, false},       /* -> done */
};

static void line_byte(hap_answer_t *a, char c)
{
    if (c == '\n') {
        if (!a->cr) {
            a->reusable = false; /* others may see the line end elsewhere: read, do not trust */
        }
        hap_str_t line = hap_strn(a->line, a->line_n);
        states[a->state].line(a, line);
        a->line_n = 0;
        a->cr = a->cut = false;
        return;
    }
    bool control = (unsigned char)c < 0x20 || c == 0x7f;
    if (a->cr || (control && c != '\t' && c != '\r')) {
        bad(a);
        return;
    }
    if (c == '\r') {
        a->cr = true;
    } else if (a->line_n < sizeof(a->line)) {
        a->line[a->line_n++] = c;
    } else {
        a->cut = true;
    }
}

/* A head or a body beyond its limit: the status counts if there is a final one. */
static void over_limit(hap_answer_t *a)
{
    if (a->status < 200) {
        bad(a);
        return;
    }
    done_with_it(a);
}

static size_t skip(hap_answer_t *a, size_t n)
{
    size_t take = a->left < n ? (size_t)a->left : n;
    a->left -= take;
    a->body_bytes += take;
    if (a->left == 0 && a->state == BODY) {
        done(a);
    } else if (a->left == 0) {
        a->state = CHUNK_END;
    }
    return take;
}

void hap_answer_init(hap_answer_t *answer, hap_check_method_t method)
{
    *answer = (hap_answer_t){
        .end = HAP_ANSWER_MORE,
        .reusable = true,
        .no_body = method == HAP_CHECK_HEAD,
        .state = STATUS_LINE,
    };
}

hap_answer_end_t hap_answer_feed(hap_answer_t *answer, const char *data, size_t n)
{
    size_t at = 0;
    while (at < n && answer->end == HAP_ANSWER_MORE) {
        answer->begun = true;
        if (!states[answer->state].line) {
            at += skip(answer, n - at);
        } else if (states[answer->state].head) {
            answer->head_bytes++;
            line_byte(answer, data[at++]);
        } else {
            answer->body_bytes++;
            line_byte(answer, data[at++]);
        }
        if (answer->end == HAP_ANSWER_MORE && (answer->head_bytes >= HAP_ANSWER_HEAD_BYTES ||
                                               answer->body_bytes > HAP_ANSWER_BODY_BYTES)) {
            over_limit(answer);
        }
    }
    if (at < n) {
        answer->reusable = false;
    }
    return answer->end;
}
