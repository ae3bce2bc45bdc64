/* SPDX-License-Identifier: Apache-2.0 */
/* Owns reading heads: lines, then fields, then what the fields say of the body. */
#include "hap_http1.h"

#include "hap_http1_class.h"
#include "hap_zone_field.h"

/* Who names more fields than that in a request has something in mind. */
enum { REQUEST_NAMED_MAX = 8 };

/* What is read at the moment. */
typedef struct reader_t {
    const char *p;         /* next byte */
    const char *end;       /* of the head, its empty line left out */
    char *first;           /* byte of an answer, whose folded lines are joined in place */
    hap_http1_head_t *out; /* filled */
    bool request;          /* strict about line ends, folding and names */
    unsigned lengths;      /* how many Content-Length */
    unsigned encodings;    /* how many Transfer-Encoding */
    bool close;            /* Connection says so */
    bool keep_alive;       /* Connection says so */
    bool upgrade;          /* Connection says so */
    unsigned named_n;      /* other names in Connection */
    hap_str_t named[HAP_HTTP1_NAMED_MAX];
} reader_t;

static const struct {
    const char *name;
    uint8_t n;
    bool hop;
} known[HAP_FIELD_IDS] = {
#define FIELD(name, id, hop) [HAP_FIELD_##id] = {name, sizeof(name) - 1, hop},
#include "hap_field.def"
#undef FIELD
};

static hap_http1_end_t strange(hap_http1_head_t *head, const char *why)
{
    head->why = why;
    return HAP_HTTP1_STRANGE;
}

bool hap_http1_is(const hap_field_t *field, hap_str_t name)
{
    return hap_str_eq_nocase(field->name, name);
}

hap_field_id_t hap_http1_field_id(hap_str_t name)
{
    for (int id = 1; id < HAP_FIELD_IDS; id++) {
        if (known[id].n == name.n && ((known[id].name[0] ^ name.p[0]) & ~0x20) == 0 &&
            hap_str_eq_nocase(name, hap_strn(known[id].name, known[id].n))) {
            return (hap_field_id_t)id;
        }
    }
    return hap_zone_is_family(name) ? HAP_FIELD_ZONE : HAP_FIELD_OTHER;
}

hap_http1_end_t hap_http1_find_end(size_t *bytes, size_t *seen, const char *p, size_t n,
                                   bool request)
{
    if (request && n > 0 && !(p[0] >= 'A' && p[0] <= 'Z')) {
        return HAP_HTTP1_STRANGE;
    }
    while (*seen < n) {
        const char *lf = memchr(p + *seen, '\n', n - *seen);
        if (!lf) {
            break;
        }
        size_t at = (size_t)(lf - p);
        bool cr = at > 0 && p[at - 1] == '\r';
        if (request && !cr) {
            return HAP_HTTP1_STRANGE;
        }
        size_t line_end = at - (cr ? 1 : 0);
        *seen = at + 1;
        if (at > 0 && line_end > 0 && p[line_end - 1] == '\n') {
            *bytes = at + 1;
            return HAP_HTTP1_DONE;
        }
    }
    *seen = n;
    return HAP_HTTP1_MORE;
}

/* The next line without its end. The head ends with a line end, so there is one. */
static hap_str_t take_line(reader_t *in)
{
    const char *begin = in->p;
    const char *lf = memchr(begin, '\n', (size_t)(in->end - begin));
    in->p = lf ? lf + 1 : in->end;
    const char *end = lf ? lf : in->end;
    if (end > begin && end[-1] == '\r') {
        end--;
    }
    return hap_strn(begin, (size_t)(end - begin));
}

static hap_str_t trim(const char *begin, const char *end)
{
    while (begin < end && (*begin == ' ' || *begin == '\t')) {
        begin++;
    }
    while (end > begin && (end[-1] == ' ' || end[-1] == '\t')) {
        end--;
    }
    return hap_strn(begin, (size_t)(end - begin));
}

static bool read_length(uint64_t *length, hap_str_t value)
{
    enum { DIGITS_MAX = 18 };
    if (value.n == 0 || value.n > DIGITS_MAX) {
        return false;
    }
    uint64_t sum = 0;
    for (size_t i = 0; i < value.n; i++) {
        if (value.p[i] < '0' || value.p[i] > '9') {
            return false;
        }
        sum = sum * 10 + (uint64_t)(value.p[i] - '0');
    }
    *length = sum;
    return true;
}

/* RFC 9110 7.6.1: a list of tokens; empty members are allowed. NULL, or what is strange. */
static const char *read_connection(reader_t *in, hap_str_t value)
{
    size_t at = 0;
    while (at <= value.n) {
        size_t comma = hap_str_find(value, ',', at);
        hap_str_t option = trim(value.p + at, value.p + comma);
        at = comma + 1;
        if (option.n == 0) {
            continue;
        }
        if (hap_str_eq_nocase(option, HAP_STR_LIT("close"))) {
            in->close = true;
        } else if (hap_str_eq_nocase(option, HAP_STR_LIT("keep-alive"))) {
            in->keep_alive = true;
        } else if (hap_str_eq_nocase(option, HAP_STR_LIT("upgrade"))) {
            in->upgrade = true;
        } else if (hap_byte_span(option.p, option.n, HAP_BYTE_TOKEN) != option.n) {
            if (in->request) {
                return "Connection is no list of tokens";
            }
        } else if (in->named_n == (in->request ? REQUEST_NAMED_MAX : HAP_HTTP1_NAMED_MAX)) {
            return "Connection names too many fields";
        } else {
            in->named[in->named_n++] = option;
        }
    }
    return NULL;
}

/* The same length said twice is one that an answer may have. */
static const char *note_length(reader_t *in, hap_str_t value)
{
    uint64_t length;
    if (!read_length(&length, value)) {
        return "Content-Length is no number";
    }
    if (in->lengths++ > 0 && (in->request || length != in->out->length)) {
        return "more than one Content-Length";
    }
    in->out->length = length;
    return NULL;
}

/* What a field means for framing and connection. NULL, or what is strange. */
static const char *note_field(reader_t *in, const hap_field_t *field)
{
    hap_http1_head_t *head = in->out;
    switch (field->id) {
    case HAP_FIELD_CONTENT_LENGTH:
        return note_length(in, field->value);
    case HAP_FIELD_TRANSFER_ENCODING:
        if (in->encodings++ > 0) {
            return "more than one Transfer-Encoding";
        }
        return hap_str_eq_nocase(field->value, HAP_STR_LIT("chunked"))
                   ? NULL
                   : "Transfer-Encoding other than chunked";
    case HAP_FIELD_CONNECTION:
        return read_connection(in, field->value);
    case HAP_FIELD_UPGRADE:
        if (!head->protocol.p) {
            head->protocol = field->value;
        }
        return NULL;
    case HAP_FIELD_ZONE:
        head->zone = true;
        return NULL;
    default:
        return NULL;
    }
}

/* Name, colon, value. NULL, or what is strange. */
static const char *read_field(reader_t *in, hap_str_t line, unsigned fields_max)
{
    hap_http1_head_t *head = in->out;
    size_t name_n = hap_byte_span(line.p, line.n, HAP_BYTE_TOKEN);
    size_t colon = name_n;
    while (!in->request && colon < line.n && (line.p[colon] == ' ' || line.p[colon] == '\t')) {
        colon++;
    }
    if (name_n == 0 || colon == line.n || line.p[colon] != ':') {
        return "a line that is no field";
    }
    if (head->fields_n == fields_max) {
        return "too many fields";
    }
    if (hap_byte_span_value(line.p + colon + 1, line.n - colon - 1) != line.n - colon - 1) {
        return "a control byte in a field";
    }
    hap_field_t *field = &head->fields[head->fields_n++];
    field->name = hap_strn(line.p, name_n);
    field->value = trim(line.p + colon + 1, line.p + line.n);
    field->id = hap_http1_field_id(field->name);
    field->hop = known[field->id].hop;
    field->fixed = false;
    return note_field(in, field);
}

static bool frames(hap_field_id_t id)
{
    return id == HAP_FIELD_CONTENT_LENGTH || id == HAP_FIELD_TRANSFER_ENCODING ||
           id == HAP_FIELD_CONNECTION || id == HAP_FIELD_UPGRADE;
}

/* Blanks in place of the line end before `at`. */
static void join(char *first, char *at)
{
    *--at = ' ';
    if (at > first && at[-1] == '\r') {
        at[-1] = ' ';
    }
}

/* A line that begins with a blank goes on with the last field (RFC 9112 5.2). */
static const char *unfold(reader_t *in, hap_str_t line)
{
    hap_http1_head_t *head = in->out;
    if (in->request || head->fields_n == 0) {
        return "a folded line";
    }
    hap_field_t *field = &head->fields[head->fields_n - 1];
    if (frames(field->id)) {
        return "a folded line in a field that frames";
    }
    if (hap_byte_span_value(line.p, line.n) != line.n) {
        return "a control byte in a field";
    }
    join(in->first, in->first + (line.p - in->first));
    field->value = trim(field->value.p, line.p + line.n);
    return NULL;
}

static bool may_be_named(const reader_t *in, hap_field_id_t id)
{
    if (!in->request) {
        return id != HAP_FIELD_CONTENT_LENGTH;
    }
    return id == HAP_FIELD_OTHER || known[id].hop || id == HAP_FIELD_FORWARDED_FOR ||
           id == HAP_FIELD_FORWARDED_HOST || id == HAP_FIELD_FORWARDED_SERVER;
}

/* Fields that Connection names are for this connection only; it cannot name those that matter. */
static const char *mark_named(reader_t *in)
{
    hap_http1_head_t *head = in->out;
    for (unsigned n = 0; n < in->named_n; n++) {
        if (!may_be_named(in, hap_http1_field_id(in->named[n]))) {
            return "Connection names a field that is not its own";
        }
        for (unsigned i = 0; i < head->fields_n; i++) {
            if (hap_http1_is(&head->fields[i], in->named[n])) {
                head->fields[i].hop = true;
            }
        }
    }
    return NULL;
}

static const char *read_fields(reader_t *in, size_t field_bytes, unsigned fields_max)
{
    const char *why = NULL;
    while (!why && in->p < in->end) {
        hap_str_t line = take_line(in);
        bool blank = line.n > 0 && (line.p[0] == ' ' || line.p[0] == '\t');
        if (field_bytes && line.n > field_bytes) {
            return "a field that is too long";
        }
        why = blank ? unfold(in, line) : read_field(in, line, fields_max);
    }
    in->out->said_keep = in->keep_alive;
    in->out->upgrade = in->upgrade && in->out->protocol.n > 0;
    return why ? why : mark_named(in);
}

/* Cuts the empty line off the end, so that every line that is left is one. */
static reader_t begin(hap_http1_head_t *head, const char *p, size_t bytes, bool request)
{
    size_t end = bytes > 0 && p[bytes - 1] == '\n' ? bytes - 1 : bytes;
    if (end > 0 && p[end - 1] == '\r') {
        end--;
    }
    head->fields_n = 0;
    head->bytes = bytes;
    head->framing = HAP_FRAMING_NONE;
    head->length = 0;
    head->upgrade = false;
    head->protocol = hap_strn(NULL, 0);
    head->zone = false;
    head->why = NULL;
    return (reader_t){.p = p, .end = p + end, .out = head, .request = request};
}

/* --- requests --------------------------------------------------------------------------------- */

static bool known_method(hap_http1_request_t *request)
{
    static const struct {
        hap_str_t name;
        bool idempotent;
    } methods[] = {
        {{"GET", 3}, true},    {{"POST", 4}, false},  {{"HEAD", 4}, true},    {{"PUT", 3}, true},
        {{"PATCH", 5}, false}, {{"DELETE", 6}, true}, {{"OPTIONS", 7}, true},
    };
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        if (hap_str_eq(request->method, methods[i].name)) {
            request->idempotent = methods[i].idempotent;
            request->is_head = request->method.p[0] == 'H';
            return true;
        }
    }
    return false;
}

/* Nothing in it that httpd would decode, merge or resolve, and nothing that looks like it. */
static bool is_plain_path(hap_str_t path)
{
    if (path.n == 0 || path.p[0] != '/' || hap_byte_span(path.p, path.n, HAP_BYTE_PATH) != path.n) {
        return false;
    }
    const char *end = path.p + path.n;
    const char *slash = path.p;
    while (slash && slash + 1 < end) {
        char next = slash[1];
        bool dot = next == '.' &&
                   (slash + 2 == end || slash[2] == '/' || slash[2] == '.' || slash[2] == ';');
        if (next == '/' || dot) {
            return false;
        }
        slash = memchr(slash + 1, '/', (size_t)(end - slash - 1));
    }
    return true;
}

/* *( pchar / "/" / "?" )   (RFC 3986 3.4): each percent sign begins an encoded byte. */
static bool is_plain_query(hap_str_t query)
{
    if (hap_byte_span(query.p, query.n, HAP_BYTE_QUERY) != query.n) {
        return false;
    }
    for (size_t at = hap_str_find(query, '%', 0); at < query.n;
         at = hap_str_find(query, '%', at + 1)) {
        if (at + 2 >= query.n || hap_byte_span(query.p + at + 1, 2, HAP_BYTE_HEX) != 2) {
            return false;
        }
    }
    return true;
}

/* method SP target SP version   (RFC 9112 3) */
static const char *read_request_line(hap_http1_request_t *request, hap_str_t line)
{
    static const char version[] = " HTTP/1.";
    enum { VERSION = sizeof(version) - 1 };
    size_t space = hap_str_find(line, ' ', 0);
    request->method = hap_str_sub(line, 0, space);
    if (!known_method(request)) {
        return "another method";
    }
    if (line.n < space + 1 + VERSION + 1) {
        return "a request line without a version";
    }
    const char *at = line.p + line.n - VERSION - 1;
    char minor = line.p[line.n - 1];
    if (memcmp(at, version, VERSION) != 0 || (minor != '0' && minor != '1')) {
        return "another version of HTTP";
    }
    request->head.minor = (unsigned)(minor - '0');
    request->target = hap_strn(line.p + space + 1, (size_t)(at - line.p) - space - 1);
    size_t mark = hap_str_find(request->target, '?', 0);
    request->path = hap_str_sub(request->target, 0, mark);
    hap_str_t query = hap_str_sub(request->target, mark + 1, request->target.n);
    if (!is_plain_path(request->path)) {
        return "a path that needs decoding";
    }
    return is_plain_query(query) ? NULL : "a query with bytes that should be encoded";
}

/* How many of the first bytes are a name, or an address in brackets. */
static size_t host_span(hap_str_t host)
{
    size_t at = 0;
    if (host.n && host.p[0] == '[') {
        do {
            at++;
        } while (at < host.n &&
                 (host.p[at] == ':' || host.p[at] == '.' || hap_byte_is(host.p[at], HAP_BYTE_HEX)));
        return at > 2 && at < host.n && host.p[at] == ']' ? at + 1 : 0;
    }
    for (; at < host.n; at++) {
        char c = host.p[at];
        bool alnum = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
        if (!alnum && c != '.' && c != '-' && c != '_') {
            break;
        }
    }
    return at;
}

/* uri-host [ ":" port ]   (RFC 9110 7.2), without percent signs and punctuation */
static bool is_plain_host(hap_str_t host)
{
    enum { PORT_DIGITS_MAX = 5 };
    size_t at = host_span(host);
    if (at == 0 || at == host.n) {
        return at > 0;
    }
    hap_str_t port = hap_str_sub(host, at + 1, host.n);
    unsigned long number;
    return host.p[at] == ':' && port.n <= PORT_DIGITS_MAX && hap_str_uint(&number, port, 65535);
}

static const char *note_request_fields(hap_http1_request_t *request)
{
    unsigned hosts = 0;
    request->host = request->cookie = hap_strn(NULL, 0);
    request->cookies = request->expects = false;
    for (unsigned i = 0; i < request->head.fields_n; i++) {
        const hap_field_t *field = &request->head.fields[i];
        switch (field->id) {
        case HAP_FIELD_HOST:
            request->host = field->value;
            hosts++;
            break;
        case HAP_FIELD_COOKIE:
            request->cookies = request->cookie.p != NULL;
            request->cookie = field->value;
            break;
        case HAP_FIELD_EXPECT:
            if (request->expects || request->head.minor == 0 ||
                !hap_str_eq_nocase(field->value, HAP_STR_LIT("100-continue"))) {
                return "another Expect";
            }
            request->expects = true;
            break;
        case HAP_FIELD_MAX_FORWARDS:
            return "Max-Forwards, which is counted down";
        case HAP_FIELD_RANGE:
            return "a Range, which may be cut out of the whole answer";
        default:
            break;
        }
    }
    return hosts == 1 && is_plain_host(request->host) ? NULL : "no single, plain Host";
}

static const char *frame_request(hap_http1_request_t *request, const reader_t *in)
{
    hap_http1_head_t *head = &request->head;
    if (in->encodings && (in->lengths || head->minor == 0)) {
        return "Transfer-Encoding where it cannot be";
    }
    head->framing = in->encodings  ? HAP_FRAMING_CHUNKED
                    : head->length ? HAP_FRAMING_LENGTH
                                   : HAP_FRAMING_NONE;
    head->keep = !in->close && (head->minor > 0 || in->keep_alive);
    return NULL;
}

hap_http1_end_t hap_http1_request(hap_http1_request_t *request, const char *p, size_t bytes,
                                  const hap_http1_limits_t *limits)
{
    reader_t in = begin(&request->head, p, bytes, true);
    hap_str_t line = take_line(&in);
    const char *why = line.n > limits->line_bytes ? "a request line that is too long"
                                                  : read_request_line(request, line);
    if (!why) {
        why = read_fields(&in, limits->field_bytes, limits->fields);
    }
    if (!why) {
        why = note_request_fields(request);
    }
    if (!why) {
        why = frame_request(request, &in);
    }
    return why ? strange(&request->head, why) : HAP_HTTP1_DONE;
}

/* --- answers ---------------------------------------------------------------------------------- */

/* HTTP/1.d SP ddd [SP reason]   (RFC 9112 4; the space before an empty reason may be missing) */
static const char *read_status_line(hap_http1_answer_t *answer, hap_str_t line)
{
    static const char prefix[] = "HTTP/1.";
    enum { MINOR = sizeof(prefix) - 1, CODE = MINOR + 2, REASON = CODE + 3 };
    if (line.n < REASON || memcmp(line.p, prefix, MINOR) != 0 || line.p[MINOR] < '0' ||
        line.p[MINOR] > '9' || line.p[MINOR + 1] != ' ' ||
        (line.n > REASON && line.p[REASON] != ' ')) {
        return "no status line";
    }
    unsigned long status;
    if (!hap_str_uint(&status, hap_str_sub(line, CODE, REASON), 999) || status < 100) {
        return "no status";
    }
    answer->head.minor = line.p[MINOR] == '0' ? 0 : 1;
    answer->status = (unsigned)status;
    answer->reason = hap_str_sub(line, REASON + 1, line.n);
    bool plain = hap_byte_span_value(answer->reason.p, answer->reason.n) == answer->reason.n;
    return plain ? NULL : "a control byte in the status line";
}

/* RFC 9112 6.3 */
static void frame_answer(hap_http1_answer_t *answer, const reader_t *in, bool head)
{
    enum { NO_CONTENT = 204, NOT_MODIFIED = 304, FINAL = 200 };
    hap_http1_head_t *out = &answer->head;
    bool never = head || answer->status < FINAL || answer->status == NO_CONTENT ||
                 answer->status == NOT_MODIFIED;
    /* A 204 that announces a body may be followed by one, which the next answer is not. */
    bool odd = (in->encodings && in->lengths) ||
               (answer->status == NO_CONTENT && (in->encodings || out->length));
    out->keep = out->minor > 0 && !in->close && !odd;
    out->framing = never                             ? HAP_FRAMING_NONE
                   : in->encodings                   ? HAP_FRAMING_CHUNKED
                   : in->lengths && out->length == 0 ? HAP_FRAMING_NONE
                   : in->lengths                     ? HAP_FRAMING_LENGTH
                                                     : HAP_FRAMING_CLOSE;
    if (out->framing == HAP_FRAMING_CLOSE) {
        out->keep = false;
    }
}

hap_http1_end_t hap_http1_answer(hap_http1_answer_t *answer, char *p, size_t bytes, bool head)
{
    reader_t in = begin(&answer->head, p, bytes, false);
    in.first = p;
    const char *why = read_status_line(answer, take_line(&in));
    if (!why) {
        why = read_fields(&in, 0, HAP_HTTP1_FIELDS_MAX);
    }
    if (why) {
        return strange(&answer->head, why);
    }
    frame_answer(answer, &in, head);
    return HAP_HTTP1_DONE;
}
