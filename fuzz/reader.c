/* SPDX-License-Identifier: Apache-2.0 */
/* Owns reading heads: first the bytes, then what the fields say of the body. */
#include "reader.h"

#include <string.h>

typedef enum state_t {
    METHOD,         /* request-line = method SP */
    TARGET,         /* request-target SP */
    VERSION,        /* HTTP-version CRLF */
    STATUS_VERSION, /* status-line = HTTP-version SP */
    STATUS,         /* status-code SP */
    REASON,         /* [ reason-phrase ] CRLF */
    LINE_LF,        /* the LF after a CR */
    FIELD,          /* *( field-line CRLF ) CRLF */
    NAME,           /* field-name ":" */
    NAME_BLANK,     /* answers: blanks before the colon */
    VALUE,          /* OWS field-value OWS */
    LAST_LF,        /* the LF of the empty line */
    DONE,
    BAD
} state_t;

typedef state_t step_fn(reader_message_t *in, unsigned char c);

/* --- bytes ------------------------------------------------------------------------------------ */

static bool is_digit(unsigned char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alpha(unsigned char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool is_hex(unsigned char c)
{
    return is_digit(c) || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f');
}

static bool is_blank(unsigned char c)
{
    return c == ' ' || c == '\t';
}

static bool is_one_of(unsigned char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

bool reader_is_tchar(unsigned char c)
{
    return is_alpha(c) || is_digit(c) || is_one_of(c, "!#$%&'*+-.^_`|~");
}

bool reader_is_value(unsigned char c)
{
    return is_blank(c) || (c >= 0x21 && c <= 0x7e) || c >= 0x80;
}

static unsigned char lower(unsigned char c)
{
    return c >= 'A' && c <= 'Z' ? (unsigned char)(c - 'A' + 'a') : c;
}

bool reader_is(reader_word_t word, const char *text)
{
    if (word.n != strlen(text)) {
        return false;
    }
    for (size_t i = 0; i < word.n; i++) {
        if (lower((unsigned char)word.p[i]) != lower((unsigned char)text[i])) {
            return false;
        }
    }
    return true;
}

/* --- words ------------------------------------------------------------------------------------ */

static void begin_word(reader_message_t *in, reader_word_t *word)
{
    word->p = in->text + in->text_n;
    word->n = 0;
}

/* The word is the last one that was begun. */
static void add(reader_message_t *in, reader_word_t *word, unsigned char c)
{
    in->text[in->text_n++] = (char)c;
    word->n++;
}

static reader_field_t *last_field(reader_message_t *in)
{
    return &in->fields[in->fields_n - 1];
}

static reader_word_t trimmed(reader_word_t word)
{
    while (word.n > 0 && is_blank((unsigned char)word.p[0])) {
        word.p++;
        word.n--;
    }
    while (word.n > 0 && is_blank((unsigned char)word.p[word.n - 1])) {
        word.n--;
    }
    return word;
}

static bool is_token(reader_word_t word)
{
    for (size_t i = 0; i < word.n; i++) {
        if (!reader_is_tchar((unsigned char)word.p[i])) {
            return false;
        }
    }
    return word.n > 0;
}

/* The next member of a list, RFC 9110 5.6.1. False after the last one. */
static bool next_member(reader_word_t *member, reader_word_t list, size_t *at)
{
    if (*at > list.n) {
        return false;
    }
    size_t end = *at;
    while (end < list.n && list.p[end] != ',') {
        end++;
    }
    *member = trimmed((reader_word_t){list.p + *at, end - *at});
    *at = end + 1;
    return true;
}

/* "%" HEXDIG HEXDIG at `at`, which holds a percent sign. */
static bool is_encoded(reader_word_t word, size_t at)
{
    return at + 2 < word.n && is_hex((unsigned char)word.p[at + 1]) &&
           is_hex((unsigned char)word.p[at + 2]);
}

/* absolute-path [ "?" query ]   (RFC 9112 3.2.1, RFC 3986 3.3 and 3.4) */
static bool is_origin_form(reader_word_t target)
{
    bool query = false;
    if (target.n == 0 || target.p[0] != '/') {
        return false;
    }
    for (size_t i = 0; i < target.n; i++) {
        unsigned char c = (unsigned char)target.p[i];
        bool plain = is_alpha(c) || is_digit(c) || is_one_of(c, "-._~!$&'()*+,;=:@/");
        if (!plain && !(c == '%' && is_encoded(target, i)) && !(c == '?' && query)) {
            if (c != '?') {
                return false;
            }
            query = true;
        }
    }
    return true;
}

/* HTTP-version, of the first major one; its minor one is kept. */
static bool is_version(reader_message_t *in, reader_word_t version)
{
    if (version.n != 8 || memcmp(version.p, "HTTP/1.", 7) != 0 ||
        !is_digit((unsigned char)version.p[7])) {
        return false;
    }
    in->minor = (unsigned)(version.p[7] - '0');
    return true;
}

/* --- steps ------------------------------------------------------------------------------------ */

static state_t method(reader_message_t *in, unsigned char c)
{
    if (c == ' ') {
        begin_word(in, &in->target);
        return in->method.n ? TARGET : BAD;
    }
    add(in, &in->method, c);
    return reader_is_tchar(c) ? METHOD : BAD;
}

static state_t target(reader_message_t *in, unsigned char c)
{
    if (c == ' ') {
        /* The version is read into the reason, which a request has none of. */
        begin_word(in, &in->reason);
        return is_origin_form(in->target) ? VERSION : BAD;
    }
    add(in, &in->target, c);
    return TARGET;
}

static state_t version(reader_message_t *in, unsigned char c)
{
    if (c == '\r') {
        return is_version(in, in->reason) ? LINE_LF : BAD;
    }
    add(in, &in->reason, c);
    return in->reason.n <= 8 ? VERSION : BAD;
}

static state_t status_version(reader_message_t *in, unsigned char c)
{
    if (c == ' ') {
        begin_word(in, &in->method);
        return is_version(in, in->reason) ? STATUS : BAD;
    }
    add(in, &in->reason, c);
    return in->reason.n <= 8 ? STATUS_VERSION : BAD;
}

/* 3DIGIT; whoever is forgiving does without the space after it. */
static state_t status(reader_message_t *in, unsigned char c)
{
    if (is_digit(c) && in->method.n < 3) {
        add(in, &in->method, c);
        in->status = in->status * 10 + (unsigned)(c - '0');
        return STATUS;
    }
    begin_word(in, &in->reason);
    if (in->method.n < 3 || in->status < 100) {
        return BAD;
    }
    bool ends = in->forgiving && (c == '\r' || c == '\n');
    return c == ' ' ? REASON : !ends ? BAD : c == '\r' ? LINE_LF : FIELD;
}

static state_t reason(reader_message_t *in, unsigned char c)
{
    if (c == '\r') {
        return LINE_LF;
    }
    if (c == '\n') {
        return in->forgiving ? FIELD : BAD;
    }
    add(in, &in->reason, c);
    return reader_is_value(c) ? REASON : BAD;
}

static state_t line_lf(reader_message_t *in, unsigned char c)
{
    (void)in;
    return c == '\n' ? FIELD : BAD;
}

static state_t field(reader_message_t *in, unsigned char c)
{
    if (c == '\r') {
        return LAST_LF;
    }
    if (c == '\n') {
        return in->forgiving ? DONE : BAD;
    }
    if (is_blank(c) && in->forgiving && in->fields_n > 0) {
        /* obs-fold: the value of the last field goes on, and is the last word still. */
        add(in, &last_field(in)->value, ' ');
        return VALUE;
    }
    if (!reader_is_tchar(c) || in->fields_n == READER_FIELDS_MAX) {
        return BAD;
    }
    in->fields_n++;
    last_field(in)->named = false;
    begin_word(in, &last_field(in)->name);
    add(in, &last_field(in)->name, c);
    return NAME;
}

static state_t name(reader_message_t *in, unsigned char c)
{
    if (c == ':') {
        begin_word(in, &last_field(in)->value);
        return VALUE;
    }
    if (is_blank(c)) {
        return in->forgiving ? NAME_BLANK : BAD;
    }
    add(in, &last_field(in)->name, c);
    return reader_is_tchar(c) ? NAME : BAD;
}

static state_t name_blank(reader_message_t *in, unsigned char c)
{
    if (c == ':') {
        begin_word(in, &last_field(in)->value);
        return VALUE;
    }
    return is_blank(c) ? NAME_BLANK : BAD;
}

static state_t value(reader_message_t *in, unsigned char c)
{
    if (c == '\r') {
        return LINE_LF;
    }
    if (c == '\n') {
        return in->forgiving ? FIELD : BAD;
    }
    add(in, &last_field(in)->value, c);
    return reader_is_value(c) ? VALUE : BAD;
}

static state_t last_lf(reader_message_t *in, unsigned char c)
{
    (void)in;
    return c == '\n' ? DONE : BAD;
}

/* SHORT, or VALID as far as the lines go. */
static reader_end_t read_lines(reader_message_t *in, const char *p, size_t n, state_t first)
{
    static step_fn *const steps[] = {
        [METHOD] = method,   [TARGET] = target,
        [VERSION] = version, [STATUS_VERSION] = status_version,
        [STATUS] = status,   [REASON] = reason,
        [LINE_LF] = line_lf, [FIELD] = field,
        [NAME] = name,       [VALUE] = value,
        [LAST_LF] = last_lf, [NAME_BLANK] = name_blank,
    };
    state_t state = first;
    size_t at = 0;
    while (state < DONE && at < n && in->text_n < READER_TEXT_BYTES) {
        state = steps[state](in, (unsigned char)p[at++]);
    }
    in->bytes = at;
    for (unsigned i = 0; i < in->fields_n; i++) {
        in->fields[i].value = trimmed(in->fields[i].value);
    }
    return state == DONE ? READER_VALID : state == BAD ? READER_INVALID : READER_SHORT;
}

static void begin(reader_message_t *in, bool request, bool forgiving)
{
    in->method = in->target = in->reason = (reader_word_t){in->text, 0};
    in->status = in->minor = in->fields_n = 0;
    in->framing = READER_NO_BODY;
    in->length = 0;
    in->faulty = in->close = in->keep_alive = false;
    in->text_n = 0;
    in->request = request;
    in->forgiving = forgiving;
}

/* --- what the fields mean --------------------------------------------------------------------- */

/* What is known of a body's framing. */
typedef struct found_t {
    unsigned lengths;   /* how many Content-Length */
    unsigned encodings; /* how many Transfer-Encoding */
    unsigned chunked;   /* how many codings are "chunked" */
    bool chunked_last;  /* and the last one is */
    bool bad;           /* one of them is no such thing */
} found_t;

/* 1*DIGIT   (RFC 9110 8.6); whoever is forgiving hears the same one twice (RFC 9112 6.3) */
static bool read_length(reader_message_t *in, reader_word_t digits, bool again)
{
    uint64_t length = 0;
    for (size_t i = 0; i < digits.n; i++) {
        unsigned char c = (unsigned char)digits.p[i];
        if (!is_digit(c) || length > (UINT64_MAX - 9) / 10) {
            return false;
        }
        length = length * 10 + (uint64_t)(c - '0');
    }
    bool same = !again || (in->forgiving && length == in->length);
    in->length = length;
    return digits.n > 0 && same;
}

/* #transfer-coding   (RFC 9112 6.1), without parameters: nobody sends any */
static void read_codings(found_t *found, reader_word_t list)
{
    reader_word_t coding;
    size_t at = 0;
    while (next_member(&coding, list, &at)) {
        if (coding.n == 0) {
            continue;
        }
        found->chunked_last = reader_is(coding, "chunked");
        found->chunked += found->chunked_last ? 1 : 0;
        found->bad = found->bad || !is_token(coding);
    }
}

static found_t find_framing(reader_message_t *in)
{
    found_t found = {0};
    for (unsigned i = 0; i < in->fields_n; i++) {
        const reader_field_t *it = &in->fields[i];
        if (reader_is(it->name, "Content-Length")) {
            bool again = found.lengths++ > 0;
            found.bad = found.bad || !read_length(in, it->value, again);
        } else if (reader_is(it->name, "Transfer-Encoding")) {
            found.encodings++;
            read_codings(&found, it->value);
        }
    }
    if (found.chunked > 1 || (found.chunked == 1 && !found.chunked_last)) {
        found.bad = true;
    }
    return found;
}

static bool same_name(reader_word_t a, reader_word_t b)
{
    if (a.n != b.n) {
        return false;
    }
    for (size_t i = 0; i < a.n; i++) {
        if (lower((unsigned char)a.p[i]) != lower((unsigned char)b.p[i])) {
            return false;
        }
    }
    return true;
}

static void note_option(reader_message_t *in, reader_word_t option)
{
    in->close = in->close || reader_is(option, "close");
    in->keep_alive = in->keep_alive || reader_is(option, "keep-alive");
    for (unsigned i = 0; i < in->fields_n; i++) {
        if (same_name(in->fields[i].name, option)) {
            in->fields[i].named = true;
        }
    }
}

/* #connection-option   (RFC 9110 7.6.1); whoever is forgiving overlooks what is none */
static bool read_connection(reader_message_t *in)
{
    for (unsigned i = 0; i < in->fields_n; i++) {
        reader_word_t option;
        size_t at = 0;
        while (reader_is(in->fields[i].name, "Connection") &&
               next_member(&option, in->fields[i].value, &at)) {
            if (option.n > 0 && !is_token(option) && !in->forgiving) {
                return false;
            }
            note_option(in, option);
        }
    }
    return true;
}

/* uri-host [ ":" port ]   (RFC 9110 7.2); of an address in brackets only the bytes are looked at */
static bool is_host(reader_word_t host)
{
    size_t at = 0;
    if (host.n > 0 && host.p[0] == '[') {
        for (at = 1; at < host.n && (is_hex((unsigned char)host.p[at]) ||
                                     is_one_of((unsigned char)host.p[at], ":."));) {
            at++;
        }
        if (at < 3 || at >= host.n || host.p[at++] != ']') {
            return false;
        }
    } else {
        for (; at < host.n && host.p[at] != ':'; at++) {
            unsigned char c = (unsigned char)host.p[at];
            bool plain = is_alpha(c) || is_digit(c) || is_one_of(c, "-._~!$&'()*+,;=");
            if (!plain && !(c == '%' && is_encoded(host, at))) {
                return false;
            }
        }
    }
    if (at < host.n && host.p[at++] != ':') {
        return false;
    }
    while (at < host.n && is_digit((unsigned char)host.p[at])) {
        at++;
    }
    return at == host.n;
}

/* RFC 9112 3.2: one, but in HTTP/1.0. */
static bool has_host(const reader_message_t *in)
{
    unsigned hosts = 0;
    for (unsigned i = 0; i < in->fields_n; i++) {
        if (reader_is(in->fields[i].name, "Host")) {
            hosts++;
            if (!is_host(in->fields[i].value)) {
                return false;
            }
        }
    }
    return hosts == 1 || (hosts == 0 && in->minor == 0);
}

reader_end_t reader_request(reader_message_t *message, const char *p, size_t n)
{
    begin(message, true, false);
    reader_end_t end = read_lines(message, p, n, METHOD);
    if (end != READER_VALID) {
        return end;
    }
    found_t found = find_framing(message);
    /* RFC 9112 6.1 and 6.3: what a request has to say of its body must leave no doubt. */
    if (found.bad || !has_host(message) || !read_connection(message) ||
        (found.encodings && (found.lengths || message->minor == 0 || !found.chunked_last))) {
        return READER_INVALID;
    }
    message->framing = found.encodings ? READER_CHUNKED
                       : found.lengths ? READER_LENGTH
                                       : READER_NO_BODY;
    return READER_VALID;
}

reader_end_t reader_answer(reader_message_t *message, const char *p, size_t n, reader_how_t how)
{
    begin(message, false, !how.strict);
    reader_end_t end = read_lines(message, p, n, STATUS_VERSION);
    if (end != READER_VALID) {
        return end;
    }
    found_t found = find_framing(message);
    if (found.bad || !read_connection(message)) {
        return READER_INVALID;
    }
    bool body = message->status >= 200 && message->status != 204 && message->status != 304;
    /* RFC 9112 6.1 and RFC 9110 8.6: what a server must not send. */
    message->faulty = (found.encodings && (found.lengths || message->minor == 0)) ||
                      (message->status == 204 && (found.encodings || message->length > 0));
    message->framing = !body || how.head                       ? READER_NO_BODY
                       : found.encodings && found.chunked_last ? READER_CHUNKED
                       : found.encodings || found.lengths == 0 ? READER_UNTIL_CLOSE
                                                               : READER_LENGTH;
    return READER_VALID;
}
