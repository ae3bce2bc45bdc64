/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target of what passes messages on: hap_http1, hap_chunks and hap_relay, judged by a second
 * reader. Input: answers if it begins with "HTTP/", else requests, one behind the other.
 */
#include "fuzz_http1.h"
#include "hap_chunks.h"

enum {
    MESSAGES_MAX = 8,      /* of one input */
    INPUT_BYTES = 48 << 10 /* what is longer says nothing new */
};

/* What the lane gives. */
static const hap_http1_limits_t limits = {8190, 8190, 100};

static reader_message_t message;

/* A copy of exactly the size, so that a sanitizer sees a read beyond it. */
static char *copy_of(const char *p, size_t n)
{
    char *copy = malloc(n ? n : 1);
    must(copy != NULL);
    memcpy(copy, p, n);
    return copy;
}

/* --- heads ------------------------------------------------------------------------------------ */

/* Byte after byte or all at once, it ends at the same place in the same way. */
static hap_http1_end_t find_end(size_t *bytes, const char *p, size_t n, bool request)
{
    size_t seen = 0;
    size_t found = 0;
    hap_http1_end_t end = hap_http1_find_end(&found, &seen, p, n, request);
    size_t until = end == HAP_HTTP1_DONE ? found : n;
    size_t seen_so_far = 0;
    hap_http1_end_t so_far = HAP_HTTP1_MORE;
    for (size_t cut = 1; cut <= until && so_far == HAP_HTTP1_MORE; cut++) {
        so_far = hap_http1_find_end(bytes, &seen_so_far, p, cut, request);
        must(so_far != HAP_HTTP1_DONE || (cut == found && *bytes == found));
    }
    must(so_far == end);
    *bytes = found;
    return end;
}

static bool same_framing(const hap_http1_head_t *head)
{
    switch (head->framing) {
    case HAP_FRAMING_NONE:
        return message.framing == READER_NO_BODY ||
               (message.framing == READER_LENGTH && message.length == 0);
    case HAP_FRAMING_LENGTH:
        return message.framing == READER_LENGTH && message.length == head->length;
    case HAP_FRAMING_CHUNKED:
        return message.framing == READER_CHUNKED;
    case HAP_FRAMING_CLOSE:
        return message.framing == READER_UNTIL_CLOSE;
    }
    return false;
}

/* About one connection, by themselves (RFC 9110 7.6.1, and trailers are left out). */
static bool is_hop(const reader_field_t *field)
{
    static const char *const names[] = {"Connection", "Keep-Alive",        "Proxy-Connection", "TE",
                                        "Trailer",    "Transfer-Encoding", "Upgrade"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (reader_is(field->name, names[i])) {
            return true;
        }
    }
    return field->named;
}

static void same_head(const hap_http1_head_t *head)
{
    must(head->bytes == message.bytes && head->fields_n == message.fields_n);
    must(head->minor == message.minor || (head->minor == 1 && message.minor > 1));
    for (unsigned i = 0; i < head->fields_n; i++) {
        const hap_field_t *first = &head->fields[i];
        const reader_field_t *second = &message.fields[i];
        must(fuzz_same(first->name, second->name));
        /* A fold is joined by the blanks that stood there, and one for each byte of a line end. */
        must(fuzz_same(first->value, second->value) ||
             (first->value.n > second->value.n && fuzz_same_folded(first->value, second->value)));
        must(!memchr(first->value.p, '\n', first->value.n));
        must(first->hop == (is_hop(second) || fuzz_is_zone(second->name)));
    }
    must(same_framing(head));
    must(head->said_keep == message.keep_alive);
    bool keeps = !message.close && (message.minor > 0 || message.keep_alive);
    must(!head->keep || (keeps && !message.faulty));
}

static void same_request(const hap_http1_request_t *request)
{
    unsigned cookies = 0;
    must(fuzz_same(request->method, message.method) && fuzz_same(request->target, message.target));
    must(hap_str_starts(request->target, request->path));
    must(request->path.n == hap_str_find(request->target, '?', 0));
    must(request->is_head == reader_is(message.method, "HEAD"));
    for (unsigned i = 0; i < message.fields_n; i++) {
        const reader_field_t *field = &message.fields[i];
        must(!reader_is(field->name, "Host") || fuzz_same(request->host, field->value));
        if (reader_is(field->name, "Cookie") && cookies++ == 0) {
            must(request->cookies || fuzz_same(request->cookie, field->value));
        }
        must(!reader_is(field->name, "Expect") || request->expects);
    }
    must(request->cookies == (cookies > 1));
}

/* --- bodies ----------------------------------------------------------------------------------- */

typedef struct fed_t {
    hap_chunks_state_t state;
    size_t used;
    size_t out_n;
    char out[INPUT_BYTES];
} fed_t;

/* A body as it comes in pieces: what is not used stands before the next one. */
static void feed(fed_t *fed, const char *p, size_t n, size_t piece, bool bare)
{
    hap_chunks_t chunks = {.bare = bare};
    size_t there = 0;
    fed->used = fed->out_n = 0;
    while (there < n && chunks.state < HAP_CHUNKS_DONE) {
        there = n - there < piece ? n : there + piece;
        size_t held = there - fed->used;
        char *copy = copy_of(p + fed->used, held);
        size_t used;
        size_t ready = hap_chunks_feed(&chunks, &used, copy, held);
        must(ready <= used && used <= held);
        must(memcmp(copy + used, p + fed->used + used, held - used) == 0);
        memcpy(fed->out + fed->out_n, copy, ready);
        fed->out_n += ready;
        fed->used += used;
        free(copy);
    }
    fed->state = chunks.state;
}

/* What was passed on begins what the second reader makes of it. */
static void must_begin(const fed_t *fed, const reader_body_t *body)
{
    must(fed->out_n <= body->content_n && memcmp(fed->out, body->content, fed->out_n) == 0);
}

static bool same_fed(const fed_t *a, const fed_t *b)
{
    return a->state == b->state && a->used == b->used && a->out_n == b->out_n &&
           memcmp(a->out, b->out, a->out_n) == 0;
}

/* Coded anew: the same content, and nothing beside it. */
static void check_anew(const fed_t *bare, const char *p, size_t n)
{
    static fed_t anew, cut;
    static reader_body_t again;
    feed(&anew, p, n, n, false);
    reader_end_t end = reader_chunked(&again, anew.out, anew.out_n);
    must(anew.state == bare->state && anew.used == bare->used);
    must(end == (bare->state == HAP_CHUNKS_DONE ? READER_VALID : READER_SHORT));
    must(again.bytes == anew.out_n && again.extensions == 0 && again.trailers == 0);
    must(again.content_n == bare->out_n);
    must_begin(bare, &again);
    feed(&cut, p, n, 1, false);
    must(same_fed(&cut, &anew));
}

/* How long the body is; 0 when it does not end. */
static size_t check_chunks(const char *p, size_t n)
{
    static const size_t pieces[] = {1, 2, 3, 7, 31};
    static reader_body_t body;
    static fed_t whole, cut;
    if (n == 0) {
        return 0;
    }
    reader_end_t second = reader_chunked(&body, p, n);
    feed(&whole, p, n, n, true);
    must_begin(&whole, &body);
    if (whole.state == HAP_CHUNKS_DONE) {
        must(second == READER_VALID && whole.used == body.bytes && whole.out_n == body.content_n);
    } else {
        /* It may refuse what is valid, but not wait for more of what is whole. */
        must(second != READER_VALID || whole.state == HAP_CHUNKS_BAD);
    }
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        feed(&cut, p, n, pieces[i], true);
        must(same_fed(&cut, &whole));
    }
    check_anew(&whole, p, n);
    return whole.state == HAP_CHUNKS_DONE ? whole.used : 0;
}

/* Where the next message begins; 0 when there is none. */
static size_t check_body(const hap_http1_head_t *head, const char *p, size_t n)
{
    size_t rest = n - head->bytes;
    size_t body;
    switch (head->framing) {
    case HAP_FRAMING_NONE:
        return head->bytes;
    case HAP_FRAMING_LENGTH:
        return head->length <= rest ? head->bytes + (size_t)head->length : 0;
    case HAP_FRAMING_CHUNKED:
        body = check_chunks(p + head->bytes, rest);
        return body ? head->bytes + body : 0;
    case HAP_FRAMING_CLOSE:
        break;
    }
    return 0;
}

/* --- messages --------------------------------------------------------------------------------- */

/* How long the message is; 0 when there is none, or none behind it. */
static size_t check_request(const char *p, size_t n)
{
    static hap_http1_request_t request;
    size_t bytes = 0;
    size_t whole = 0;
    hap_http1_end_t end = find_end(&bytes, p, n, true);
    reader_end_t second = reader_request(&message, p, n);
    if (end != HAP_HTTP1_DONE) {
        must(end == HAP_HTTP1_STRANGE || second != READER_VALID);
        return 0;
    }
    char *head = copy_of(p, bytes);
    request.head.why = NULL;
    if (hap_http1_request(&request, head, bytes, &limits) == HAP_HTTP1_DONE) {
        must(second == READER_VALID && request.head.why == NULL);
        same_head(&request.head);
        same_request(&request);
        fuzz_pass_request(&request, &message);
        whole = check_body(&request.head, p, n);
    } else {
        must(request.head.why != NULL);
    }
    free(head);
    return whole;
}

static size_t check_answer(const char *p, size_t n, bool head)
{
    static hap_http1_answer_t answer;
    size_t bytes = 0;
    size_t whole = 0;
    hap_http1_end_t end = find_end(&bytes, p, n, false);
    reader_end_t second = reader_answer(&message, p, n, (reader_how_t){.head = head});
    if (end != HAP_HTTP1_DONE) {
        must(end == HAP_HTTP1_MORE && second != READER_VALID);
        return 0;
    }
    char *copy = copy_of(p, bytes);
    answer.head.why = NULL;
    if (hap_http1_answer(&answer, copy, bytes, head) == HAP_HTTP1_DONE) {
        must(second == READER_VALID && answer.head.why == NULL);
        same_head(&answer.head);
        must(answer.status == message.status && fuzz_same(answer.reason, message.reason));
        fuzz_pass_answer(&answer, &message, head);
        whole = check_body(&answer.head, p, n);
    } else {
        must(answer.head.why != NULL);
    }
    free(copy);
    return whole;
}

static void check_answers(const char *p, size_t n, bool head)
{
    size_t at = 0;
    for (int i = 0; i < MESSAGES_MAX && at < n; i++) {
        size_t bytes = check_answer(p + at, n - at, head);
        if (bytes == 0) {
            return;
        }
        at += bytes;
    }
}

static void check_requests(const char *p, size_t n)
{
    size_t at = 0;
    for (int i = 0; i < MESSAGES_MAX && at < n; i++) {
        size_t bytes = check_request(p + at, n - at);
        if (bytes == 0) {
            return;
        }
        at += bytes;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char answers[] = "HTTP/";
    if (size > INPUT_BYTES) {
        return 0;
    }
    char *input = copy_of((const char *)data, size);
    if (size >= sizeof(answers) - 1 && memcmp(input, answers, sizeof(answers) - 1) == 0) {
        check_answers(input, size, false);
        check_answers(input, size, true);
    } else {
        check_requests(input, size);
    }
    free(input);
    return 0;
}
