/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns passing on what both readers have taken: the head that goes out is compared, field by field,
 * with a list made from what the second reader saw.
 */
#include <ctype.h>
#include <stdio.h>

#include "fuzz_http1.h"
#include "hap_relay.h"

enum {
    HEAD_BYTES = 96 << 10,
    VALUE_BYTES = 64 << 10, /* of a value that is put together */
    EXPECTED_MAX = READER_FIELDS_MAX + 16
};

/* The fields that have to come out, in this order. */
typedef struct expected_t {
    struct {
        reader_word_t name;
        reader_word_t value;
        bool any; /* the value is not looked at: a map was at it */
    } rows[EXPECTED_MAX];
    unsigned n;
    char text[4 * VALUE_BYTES]; /* of values that are put together */
    size_t text_n;
} expected_t;

static expected_t expected;
static reader_message_t back_in;
static char out[HEAD_BYTES];

/* --- lists ------------------------------------------------------------------------------------ */

static reader_word_t word(const char *text)
{
    return (reader_word_t){text, strlen(text)};
}

static reader_word_t word_of(hap_str_t s)
{
    return (reader_word_t){s.p, s.n};
}

static void expect(reader_word_t name, reader_word_t value)
{
    must(expected.n < EXPECTED_MAX);
    expected.rows[expected.n].any = false;
    expected.rows[expected.n].name = name;
    expected.rows[expected.n++].value = value;
}

static void append(const char *p, size_t n)
{
    must(expected.text_n + n <= sizeof(expected.text));
    if (n) {
        memcpy(expected.text + expected.text_n, p, n);
    }
    expected.text_n += n;
}

/* All values that came under a name, and one more, in one field. */
static void expect_joined(const reader_message_t *in, const char *name, const char *before,
                          hap_str_t own)
{
    size_t begin = expected.text_n;
    for (unsigned i = 0; i < in->fields_n; i++) {
        const reader_field_t *field = &in->fields[i];
        if (reader_is(field->name, name) && !field->named) {
            append(field->value.p, field->value.n);
            append(", ", 2);
        }
    }
    append(before, strlen(before));
    append(own.p, own.n);
    reader_word_t value = {expected.text + begin, expected.text_n - begin};
    /* A reader takes the blanks off the end of it. */
    while (value.n && (value.p[value.n - 1] == ' ' || value.p[value.n - 1] == '\t')) {
        value.n--;
    }
    expect(word(name), value);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The next byte, where blanks in a row are one; moves on. */
static int next_folded(const char *p, size_t n, size_t *at)
{
    if (*at == n) {
        return -1;
    }
    if (!is_blank(p[*at])) {
        return (unsigned char)p[(*at)++];
    }
    while (*at < n && is_blank(p[*at])) {
        ++*at;
    }
    return *at == n ? -1 : ' ';
}

static size_t skip_blanks(const char *p, size_t n)
{
    size_t at = 0;
    while (at < n && is_blank(p[at])) {
        at++;
    }
    return at;
}

bool fuzz_same_folded(hap_str_t a, reader_word_t b)
{
    size_t a_at = skip_blanks(a.p, a.n);
    size_t b_at = skip_blanks(b.p, b.n);
    int c;
    do {
        c = next_folded(a.p, a.n, &a_at);
        if (c != next_folded(b.p, b.n, &b_at)) {
            return false;
        }
    } while (c >= 0);
    return true;
}

/* Exactly these fields, and no other. */
static void must_be_expected(void)
{
    must(back_in.fields_n == expected.n);
    for (unsigned i = 0; i < expected.n; i++) {
        hap_str_t name = {expected.rows[i].name.p, expected.rows[i].name.n};
        hap_str_t value = {expected.rows[i].value.p, expected.rows[i].value.n};
        must(fuzz_same(name, back_in.fields[i].name));
        must(expected.rows[i].any || fuzz_same_folded(value, back_in.fields[i].value));
    }
}

static bool is_one_of(reader_word_t name, const char *const *names)
{
    for (; *names; names++) {
        if (reader_is(name, *names)) {
            return true;
        }
    }
    return false;
}

bool fuzz_is_zone(reader_word_t name)
{
    static const char *const prefixes[] = {"ha-session", "ha-fence", NULL};
    for (const char *const *prefix = prefixes; *prefix; prefix++) {
        size_t at = 0;
        while (at < name.n && (*prefix)[at] &&
               (name.p[at] == '_' ? '-' : tolower((unsigned char)name.p[at])) == (*prefix)[at]) {
            at++;
        }
        if (!(*prefix)[at]) {
            return true;
        }
    }
    return false;
}

/* --- requests --------------------------------------------------------------------------------- */

static const char *const never_passed[] = {
    "Connection", "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Upgrade", "Host", NULL};
static const char *const forwarded[] = {"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Server",
                                        NULL};

static void expect_request(const hap_http1_request_t *request, const reader_message_t *in,
                           const hap_relay_to_t *to)
{
    const hap_relay_t *relay = to->relay;
    expected.n = 0;
    expected.text_n = 0;
    expect(word("Host"), word_of(relay->preserve_host ? request->host : to->host));
    for (unsigned i = 0; i < in->fields_n; i++) {
        const reader_field_t *field = &in->fields[i];
        bool via = reader_is(field->name, "Via") && (relay->via_block || relay->via.n);
        bool own = relay->add_forwarded && is_one_of(field->name, forwarded);
        /* The body keeps its framing, whatever Connection says. */
        bool named = field->named && !reader_is(field->name, "Transfer-Encoding");
        bool never = is_one_of(field->name, never_passed) || fuzz_is_zone(field->name);
        if (!named && !via && !own && !never) {
            expect(field->name, field->value);
        }
    }
    if (relay->via.n) {
        expect_joined(in, "Via", in->minor ? "1.1 " : "1.0 ", relay->via);
    }
    if (relay->add_forwarded) {
        expect_joined(in, "X-Forwarded-For", "", to->client);
        expect_joined(in, "X-Forwarded-Host", "", request->host);
        expect_joined(in, "X-Forwarded-Server", "", relay->server_name);
    }
    if (to->extra.n) {
        expect(word("HA-Fence"), word("3"));
        expect(word("HA-Session"), word("none"));
    }
    if (to->upgrade) {
        expect(word("Upgrade"), word_of(request->head.protocol));
    }
    expect(word("Connection"), word(to->upgrade ? "Upgrade" : "Keep-Alive"));
}

/* The path on the member: base, then `to`, then what follows the mount; it begins with a slash. */
static bool is_mapped(reader_word_t target, const hap_http1_request_t *request,
                      const hap_relay_to_t *to)
{
    size_t begin = expected.text_n;
    hap_str_t rest = hap_str_sub(request->target, to->relay->from.n, request->target.n);
    if (to->base.n + to->relay->to.n == 0 && (rest.n == 0 || rest.p[0] != '/')) {
        append("/", 1); /* "/App" stands for the root */
    }
    append(to->base.p, to->base.n);
    append(to->relay->to.p, to->relay->to.n);
    append(rest.p, rest.n);
    return fuzz_same(hap_strn(expected.text + begin, expected.text_n - begin), target);
}

/* Not a byte less will do. */
static void check_room(const hap_http1_request_t *request, const hap_relay_to_t *to, size_t n)
{
    char *exact = malloc(n);
    must(exact != NULL);
    must(hap_relay_request(exact, n, request, to) == n && memcmp(exact, out, n) == 0);
    must(hap_relay_request(exact, n - 1, request, to) == 0);
    must(hap_relay_request(exact, n / 2, request, to) == 0);
    free(exact);
}

static void pass_request(const hap_http1_request_t *request, const reader_message_t *in,
                         const hap_relay_to_t *to)
{
    static const hap_http1_limits_t any = {SIZE_MAX, SIZE_MAX, HAP_HTTP1_FIELDS_MAX};
    static hap_http1_request_t again;
    size_t n = hap_relay_request(out, sizeof(out), request, to);
    must(n > 0);
    must(reader_request(&back_in, out, n) == READER_VALID && back_in.bytes == n);
    must(hap_http1_request(&again, out, n, &any) == HAP_HTTP1_DONE);
    expect_request(request, in, to);
    must_be_expected();
    must(is_mapped(back_in.target, request, to) && back_in.minor == 1);
    must(fuzz_same(request->method, back_in.method) && hap_str_eq(request->method, again.method));
    must(back_in.framing == in->framing && back_in.length == in->length);
    must(again.head.framing == request->head.framing && again.head.length == request->head.length);
    must(again.head.keep && again.head.upgrade == to->upgrade);
    check_room(request, to, n);
}

/* To be answered without being served: no body, and the connection ends. */
static void pass_alone(const hap_http1_request_t *request, const reader_message_t *in)
{
    static const char *const left_out[] = {
        "Connection", "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding",
        "Upgrade",    "Expect",     "Content-Length",   NULL};
    size_t n = hap_relay_alone(out, sizeof(out), request);
    must(n > 0 && reader_request(&back_in, out, n) == READER_VALID && back_in.bytes == n);
    must(back_in.framing == READER_NO_BODY && back_in.close);
    must(back_in.minor == in->minor && fuzz_same(request->target, back_in.target));
    must(fuzz_same(request->method, back_in.method));
    expected.n = 0;
    for (unsigned i = 0; i < in->fields_n; i++) {
        reader_word_t name = in->fields[i].name;
        if (!in->fields[i].named && !is_one_of(name, left_out) && !fuzz_is_zone(name)) {
            expect(name, in->fields[i].value);
        }
    }
    expect(word("Connection"), word("close"));
    must_be_expected();
}

void fuzz_pass_request(const hap_http1_request_t *request, const reader_message_t *message)
{
    static const hap_relay_t relays[] = {
        {.server_name = {"front", 5}},
        {.from = {"/App", 4},
         .to = {"/App", 4},
         .preserve_host = true,
         .add_forwarded = true,
         .via = {"front.example:8080", 18},
         .server_name = {"front", 5}},
        {.from = {"/App", 4}, .to = {"/Web", 4}, .add_forwarded = true, .via_block = true},
        {.from = {"/App", 4}},
    };
    static const char extra[] = "HA-Fence: 3\r\nHA-Session: none\r\n";
    for (size_t i = 0; i < sizeof(relays) / sizeof(relays[0]); i++) {
        const hap_relay_to_t to = {
            .relay = &relays[i],
            .host = {"hosta:8080", 10},
            .base = {"/base", i == 2 ? 5 : 0},
            .client = {"192.0.2.1", 9},
            .extra = {extra, i & 1 ? sizeof(extra) - 1 : 0},
            .upgrade = i == 1 && request->head.upgrade,
        };
        if (hap_relay_under(relays[i].from, request->path)) {
            pass_request(request, message, &to);
        }
    }
    pass_alone(request, message);
}

/* --- answers ---------------------------------------------------------------------------------- */

static const char *const own_place[] = {
    "Connection", "Keep-Alive", "Proxy-Connection",   "TE", "Trailer", "Transfer-Encoding",
    "Date",       "Server",     "Proxy-Authenticate", NULL};
static const char *const mapped[] = {"Location", "Content-Location", "Destination",
                                     "URI",      "Set-Cookie",       NULL};

static bool is_there(const reader_message_t *in, const char *name)
{
    for (unsigned i = 0; i < in->fields_n; i++) {
        if (reader_is(in->fields[i].name, name)) {
            return true;
        }
    }
    return false;
}

/* What Connection names is as if it were not there. */
static reader_word_t value_of(const reader_message_t *in, const char *name, hap_str_t without)
{
    for (unsigned i = 0; i < in->fields_n; i++) {
        if (reader_is(in->fields[i].name, name) && !in->fields[i].named) {
            return in->fields[i].value;
        }
    }
    return word_of(without);
}

/* No length beside chunks, nor where there is no body that it could be of. */
static bool keeps_length(const reader_message_t *in, const hap_relay_back_t *back)
{
    return !back->chunked && !is_there(in, "Transfer-Encoding") && in->status >= 200 &&
           in->status != 204 && in->status != 304 && !(back->head && in->length == 0);
}

static bool is_expected(const char *name)
{
    for (unsigned i = 0; i < expected.n; i++) {
        if (reader_is(expected.rows[i].name, name)) {
            return true;
        }
    }
    return false;
}

/* It comes out once, and has done so. */
static bool is_again(reader_word_t name)
{
    static const char *const once[] = {"Content-Length", "Content-Type", "Upgrade", NULL};
    for (unsigned i = 0; once[i]; i++) {
        if (reader_is(name, once[i]) && is_expected(once[i])) {
            return true;
        }
    }
    return false;
}

static bool is_passed_back(const reader_field_t *field, const reader_message_t *in,
                           const hap_relay_back_t *back)
{
    if (reader_is(field->name, "Upgrade")) {
        return (back->offers || back->keep == HAP_RELAY_UPGRADE) && !is_again(field->name);
    }
    if (reader_is(field->name, "Content-Length") && !keeps_length(in, back)) {
        return false;
    }
    return !field->named && !is_one_of(field->name, own_place) && !is_again(field->name) &&
           !fuzz_is_zone(field->name);
}

/* A length is written anew. */
static reader_word_t length_of(const reader_message_t *in)
{
    char digits[24];
    size_t begin = expected.text_n;
    int n = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)in->length);
    append(digits, (size_t)n);
    return (reader_word_t){expected.text + begin, (size_t)n};
}

static void expect_field(const reader_field_t *field, const reader_message_t *in,
                         const hap_relay_back_t *back)
{
    bool length = reader_is(field->name, "Content-Length");
    expect(field->name, length ? length_of(in) : field->value);
    expected.rows[expected.n - 1].any = back->relay->paths.n && is_one_of(field->name, mapped);
}

static void expect_connection(const hap_relay_back_t *back)
{
    switch (back->keep) {
    case HAP_RELAY_CLOSE:
        expect(word("Connection"), word(back->offers ? "Upgrade, close" : "close"));
        break;
    case HAP_RELAY_KEEP_SAID:
        expect(word("Keep-Alive"), word(back->left ? "timeout=5, max=7" : "timeout=5"));
        expect(word("Connection"), word(back->offers ? "Upgrade, Keep-Alive" : "Keep-Alive"));
        break;
    case HAP_RELAY_UPGRADE:
        expect(word("Connection"), word("Upgrade"));
        break;
    case HAP_RELAY_KEEP:
        if (back->offers) {
            expect(word("Connection"), word("Upgrade"));
        }
        break;
    }
}

static void expect_answer(const reader_message_t *in, const hap_relay_back_t *back)
{
    static const hap_str_t none = {NULL, 0};
    bool final = in->status >= 200;
    expected.n = 0;
    expected.text_n = 0;
    reader_word_t server = value_of(in, "Server", back->relay->banner);
    if (final) {
        expect(word("Date"), value_of(in, "Date", back->date));
    }
    if (final && server.n) {
        expect(word("Server"), server);
    }
    for (unsigned i = 0; i < in->fields_n; i++) {
        if (is_passed_back(&in->fields[i], in, back)) {
            expect_field(&in->fields[i], in, back);
        }
    }
    if (back->relay->via.n) {
        expect_joined(&(reader_message_t){.fields_n = 0}, "Via", "1.1 ", back->relay->via);
    }
    if (final && back->cookie.n) {
        expect(word("Set-Cookie"), word_of(back->cookie));
        if (!value_of(in, "Cache-Control", none).p) {
            expect(word("Cache-Control"), word("private"));
        }
    }
    if (final && back->chunked) {
        expect(word("Transfer-Encoding"), word("chunked"));
    }
    if (final || in->status == 101) {
        expect_connection(back);
    }
}

/* How the body that follows has to be framed. */
static reader_framing_t framing_of(const hap_http1_answer_t *answer, const hap_relay_back_t *back)
{
    return back->chunked                                ? READER_CHUNKED
           : answer->head.framing == HAP_FRAMING_NONE   ? READER_NO_BODY
           : answer->head.framing == HAP_FRAMING_LENGTH ? READER_LENGTH
                                                        : READER_UNTIL_CLOSE;
}

static void pass_answer(const hap_http1_answer_t *answer, const reader_message_t *in,
                        const hap_relay_back_t *back)
{
    size_t n = hap_relay_answer(out, sizeof(out), answer, back);
    must(n > 0);
    reader_how_t how = {.head = back->head, .strict = true};
    must(reader_answer(&back_in, out, n, how) == READER_VALID && back_in.bytes == n);
    must(back_in.status == in->status && back_in.minor == 1 && !back_in.faulty);
    must(fuzz_same(answer->reason, back_in.reason));
    expect_answer(in, back);
    must_be_expected();
    reader_framing_t framing = framing_of(answer, back);
    bool empty = back_in.framing == READER_LENGTH && back_in.length == 0;
    must(back_in.framing == framing || (framing == READER_NO_BODY && empty));
    must(framing != READER_LENGTH || back_in.length == answer->head.length);
    char *exact = malloc(n);
    must(exact != NULL);
    must(hap_relay_answer(exact, n, answer, back) == n && memcmp(exact, out, n) == 0);
    must(hap_relay_answer(exact, n - 1, answer, back) == 0);
    free(exact);
}

/* What Header makes of it is one head still, of the same body. */
static void pass_edited(const hap_http1_answer_t *answer, bool head)
{
    static const hap_edit_t rows[] = {
        {HAP_EDIT_MERGE, {"Vary", 4}, {"Cookie", 6}},
        {HAP_EDIT_APPEND, {"X", 1}, {"added", 5}},
        {HAP_EDIT_UNSET, {"Y", 1}, {NULL, 0}},
        {HAP_EDIT_SET, {"Set-Cookie", 10}, {"a=b", 3}},
    };
    static const hap_relay_t relay = {
        .edits = {.answer = {rows, 4}, .always = {rows, 2}, .charset = {"utf-8", 5}}};
    static char made[VALUE_BYTES];
    static hap_http1_answer_t edited;
    hap_edit_text_t text = {made, 0, sizeof(made)};
    const hap_relay_back_t back = {.relay = &relay, .date = {"now", 3}, .head = head};
    edited = *answer;
    if (answer->status < 200 || !hap_edit_answer(&edited, &relay.edits, &text)) {
        return;
    }
    size_t n = hap_relay_answer(out, sizeof(out), &edited, &back);
    reader_how_t how = {.head = head, .strict = true};
    must(n > 0 && reader_answer(&back_in, out, n, how) == READER_VALID && back_in.bytes == n);
    must(back_in.length == (answer->head.framing == HAP_FRAMING_LENGTH ? answer->head.length : 0) ||
         back_in.framing == READER_NO_BODY);
    must(is_there(&back_in, "Vary") && is_there(&back_in, "X") && !is_there(&back_in, "Y"));
}

void fuzz_pass_answer(const hap_http1_answer_t *answer, const reader_message_t *message, bool head)
{
    static const hap_relay_map_t locations[] = {{{"http://hosta:8080/App", 21}, {"/shop", 5}, 0},
                                                {{"/App", 4}, {"http://front/shop", 17}, 0}};
    static const hap_relay_map_t paths[] = {{{"/App", 4}, {"/shop", 5}, 0},
                                            {{"/", 1}, {"/App", 4}, 0}};
    static const hap_relay_map_t domains[] = {{{"hosta", 5}, {"front.example", 13}, 0}};
    static const hap_relay_t relays[] = {
        {.banner = {"Apache", 6}},
        {.via = {"front", 5},
         .locations = {locations, 2},
         .paths = {paths, 2},
         .domains = {domains, 1}},
    };
    bool open = answer->head.framing == HAP_FRAMING_CLOSE;
    bool chunks = answer->head.framing == HAP_FRAMING_CHUNKED;
    for (unsigned i = 0; i < 4; i++) {
        const hap_relay_back_t back = {
            .relay = &relays[i & 1],
            .self = {"http://front.example", 20},
            .date = {"Thu, 01 Jan 1970 00:00:00 GMT", 29},
            .cookie = {"zsessionid=a.b; Path=/", i & 1 ? 22 : 0},
            .head = head,
            .chunked = i < 2 && (open || chunks), /* the other half goes to old clients */
            .offers = i % 2 == 0 && answer->status >= 200 && answer->head.protocol.n > 0,
            .keep = (hap_relay_keep_t)i,
            .timeout_s = 5,
            .left = answer->head.minor ? 7 : 0,
        };
        pass_answer(answer, message, &back);
    }
    pass_edited(answer, head);
}
