/* SPDX-License-Identifier: Apache-2.0 */
/* Owns reading requests, by RFC 9112 and strictly. Answers are written in app_answer.c. */
#include "app_http.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { CHUNK_LINE_MAX_BYTES = 256, CHUNK_DIGITS_MAX = 15 };

static bool refuse(app_request_t *req, int status, const char *why)
{
    req->status = status;
    req->why = why;
    req->keep_alive = false;
    return false;
}

static bool is_token(app_text_t text)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
              memchr(others, c, sizeof(others) - 1))) {
            return false;
        }
    }
    return text.n > 0;
}

/* Cuts off `rest` what is before the first `c`; all of it when there is none. */
static app_text_t cut(app_text_t *rest, char c)
{
    const char *at = rest->n ? memchr(rest->p, c, rest->n) : NULL;
    size_t n = at ? (size_t)(at - rest->p) : rest->n;
    app_text_t first = {rest->p, n};
    size_t skip = at ? n + 1 : n;
    *rest = (app_text_t){rest->p + skip, rest->n - skip};
    return first;
}

static app_text_t trim(app_text_t text)
{
    while (text.n && (text.p[0] == ' ' || text.p[0] == '\t')) {
        text.p++;
        text.n--;
    }
    while (text.n && (text.p[text.n - 1] == ' ' || text.p[text.n - 1] == '\t')) {
        text.n--;
    }
    return text;
}

/* Where the head ends: behind an empty line. A bare LF counts here and is refused later. */
static size_t head_end(app_text_t in)
{
    for (size_t i = 0; i < in.n; i++) {
        const char *lf = memchr(in.p + i, '\n', in.n - i);
        if (!lf) {
            return 0;
        }
        i = (size_t)(lf - in.p);
        if (i + 1 < in.n && in.p[i + 1] == '\n') {
            return i + 2;
        }
        if (i + 2 < in.n && in.p[i + 1] == '\r' && in.p[i + 2] == '\n') {
            return i + 3;
        }
    }
    return 0;
}

/* One empty line before a request is ignored (RFC 9112 2.2). */
static void skip_empty_line(app_conn_t *conn)
{
    app_text_t in = app_conn_input(conn);
    if (in.n >= 2 && in.p[0] == '\r' && in.p[1] == '\n') {
        app_conn_use(conn, 2);
    }
}

static bool parse_target(app_request_t *req)
{
    app_text_t rest = req->target;
    for (size_t i = 0; i < rest.n; i++) {
        if (rest.p[i] <= ' ' || rest.p[i] >= 0x7f) {
            return refuse(req, 400, "the target has a byte that is not allowed");
        }
    }
    if (rest.n > 7 && strncasecmp(rest.p, "http://", 7) == 0) {
        const char *slash = memchr(rest.p + 7, '/', rest.n - 7);
        rest = slash ? (app_text_t){slash, rest.n - (size_t)(slash - rest.p)} : app_text("/");
    }
    if (rest.n == 0 || (rest.p[0] != '/' && !app_text_is(rest, "*"))) {
        return refuse(req, 400, "the target is no path");
    }
    req->path = cut(&rest, '?');
    req->query = rest;
    return true;
}

static bool parse_request_line(app_request_t *req, app_text_t line)
{
    req->method = cut(&line, ' ');
    req->target = cut(&line, ' ');
    if (!is_token(req->method)) {
        return refuse(req, 400, "the request line has no method");
    }
    if (line.n != 8 || memcmp(line.p, "HTTP/", 5) != 0) {
        return refuse(req, 400, "the request line has no version");
    }
    if (!app_text_is(line, "HTTP/1.1") && !app_text_is(line, "HTTP/1.0")) {
        return refuse(req, 505, "the version is neither HTTP/1.1 nor HTTP/1.0");
    }
    req->minor = line.p[7] - '0';
    req->keep_alive = req->minor == 1;
    return parse_target(req);
}

static bool parse_field(app_request_t *req, app_text_t line)
{
    app_text_t value = line;
    app_text_t name = cut(&value, ':');
    if (req->fields_n == APP_MAX_FIELDS) {
        return refuse(req, 431, "too many fields");
    }
    if (name.n == line.n || !is_token(name)) {
        return refuse(req, 400, "a field line has no name");
    }
    for (size_t i = 0; i < value.n; i++) {
        unsigned char c = (unsigned char)value.p[i];
        if ((c < ' ' && c != '\t') || c == 0x7f) {
            return refuse(req, 400, "a field has a control character");
        }
    }
    req->fields[req->fields_n++] = (app_field_t){name, trim(value)};
    return true;
}

static bool parse_lines(app_request_t *req)
{
    app_text_t rest = {req->head, req->head_n};
    for (bool first = true; rest.n > 0; first = false) {
        app_text_t line = cut(&rest, '\n');
        if (line.n == 0 || line.p[line.n - 1] != '\r') {
            return refuse(req, 400, "a line ends without CR");
        }
        line.n--;
        if (line.n == 0) {
            return true;
        }
        if (!(first ? parse_request_line(req, line) : parse_field(req, line))) {
            return false;
        }
    }
    return true;
}

bool app_http_list_has(app_text_t list, const char *word)
{
    while (list.n > 0) {
        if (app_text_is_nocase(trim(cut(&list, ',')), word)) {
            return true;
        }
    }
    return false;
}

static bool parse_length(app_request_t *req, app_text_t value, unsigned *lengths)
{
    uint64_t length;
    if (!app_number(&length, value, INT64_MAX)) {
        return refuse(req, 400, "Content-Length is no number");
    }
    if ((*lengths)++ > 0 && length != req->left) {
        return refuse(req, 400, "two Content-Length fields differ");
    }
    req->left = length;
    req->framing = APP_FRAMING_SIZED;
    return true;
}

static bool judge_field(app_request_t *req, const app_field_t *field, unsigned *lengths,
                        unsigned *codings)
{
    if (app_text_is_nocase(field->name, "Content-Length")) {
        return parse_length(req, field->value, lengths);
    }
    if (app_text_is_nocase(field->name, "Transfer-Encoding")) {
        (*codings)++;
        return app_text_is_nocase(field->value, "chunked") ||
               refuse(req, 501, "a transfer coding other than chunked");
    }
    if (app_text_is_nocase(field->name, "Connection")) {
        bool stays = app_http_list_has(field->value, "keep-alive") || req->minor == 1;
        req->keep_alive = stays && !app_http_list_has(field->value, "close");
    }
    if (app_text_is_nocase(field->name, "Expect")) {
        req->expects_continue = req->minor == 1 && app_text_is_nocase(field->value, "100-continue");
    }
    return true;
}

/* RFC 9112 6.3: what would be read differently by somebody else is refused. */
static bool judge(app_request_t *req)
{
    unsigned lengths = 0;
    unsigned codings = 0;
    for (size_t i = 0; i < req->fields_n; i++) {
        if (!judge_field(req, &req->fields[i], &lengths, &codings)) {
            return false;
        }
    }
    if (codings > 1 || (codings == 1 && (lengths > 0 || req->minor == 0))) {
        return refuse(req, 400, "the length of the body is ambiguous");
    }
    if (codings == 1) {
        req->framing = APP_FRAMING_CHUNKED;
    }
    if (req->minor == 1 && app_http_field(req, "Host").n == 0) {
        return refuse(req, 400, "no Host field");
    }
    req->body_done =
        req->framing == APP_FRAMING_NONE || (req->framing == APP_FRAMING_SIZED && req->left == 0);
    return true;
}

app_read_t app_http_read_head(app_conn_t *conn, app_request_t *req)
{
    size_t end;
    memset(req, 0, sizeof(*req));
    req->minor = 1;
    skip_empty_line(conn);
    while ((end = head_end(app_conn_input(conn))) == 0) {
        if (app_conn_input(conn).n >= APP_IN_MAX_BYTES) {
            refuse(req, 431, "the head is too long");
            return APP_READ_MALFORMED;
        }
        bool first = app_conn_input(conn).n == 0;
        if (!(first ? app_conn_fill_idle(conn) : app_conn_fill(conn))) {
            return APP_READ_END;
        }
        if (first) {
            skip_empty_line(conn);
        }
    }
    req->head = malloc(end);
    if (!req->head) {
        return APP_READ_END;
    }
    memcpy(req->head, app_conn_input(conn).p, end);
    req->head_n = end;
    app_conn_use(conn, end);
    return parse_lines(req) && judge(req) ? APP_READ_OK : APP_READ_MALFORMED;
}

/* Reads a line of a chunked body, without its CRLF, which is used up as well. */
static app_read_t chunk_line(app_conn_t *conn, app_request_t *req, app_text_t *line)
{
    for (;;) {
        app_text_t in = app_conn_input(conn);
        const char *lf = in.n ? memchr(in.p, '\n', in.n) : NULL;
        if (lf && (lf == in.p || lf[-1] != '\r')) {
            refuse(req, 400, "a line of a chunked body ends without CR");
            return APP_READ_MALFORMED;
        }
        if (lf) {
            *line = (app_text_t){in.p, (size_t)(lf - in.p) - 1};
            app_conn_use(conn, (size_t)(lf - in.p) + 1);
            return APP_READ_OK;
        }
        if (in.n > CHUNK_LINE_MAX_BYTES) {
            refuse(req, 400, "a line of a chunked body is too long");
            return APP_READ_MALFORMED;
        }
        if (!app_conn_fill(conn)) {
            return APP_READ_END;
        }
    }
}

static bool chunk_size(app_request_t *req, app_text_t line)
{
    app_text_t digits = trim(cut(&line, ';'));
    uint64_t size = 0;
    for (size_t i = 0; i < digits.n; i++) {
        char c = digits.p[i] | 0x20;
        bool decimal = digits.p[i] >= '0' && digits.p[i] <= '9';
        if (!decimal && (c < 'a' || c > 'f')) {
            return refuse(req, 400, "the size of a chunk is no number");
        }
        size = size * 16 + (uint64_t)(decimal ? c - '0' : c - 'a' + 10);
    }
    if (digits.n == 0 || digits.n > CHUNK_DIGITS_MAX) {
        return refuse(req, 400, "the size of a chunk is no number");
    }
    req->left = size;
    return true;
}

/* Behind a chunk's data comes CRLF, behind the last one trailers and an empty line. */
static app_read_t next_chunk(app_conn_t *conn, app_request_t *req)
{
    app_text_t line;
    app_read_t got;
    if (req->body_bytes > 0) {
        got = chunk_line(conn, req, &line);
        if (got != APP_READ_OK) {
            return got;
        }
        if (line.n > 0) {
            refuse(req, 400, "a chunk is longer than its size");
            return APP_READ_MALFORMED;
        }
    }
    got = chunk_line(conn, req, &line);
    if (got != APP_READ_OK) {
        return got;
    }
    if (!chunk_size(req, line)) {
        return APP_READ_MALFORMED;
    }
    req->body_done = req->left == 0;
    for (bool trailers = req->body_done; trailers; trailers = line.n > 0) {
        got = chunk_line(conn, req, &line);
        if (got != APP_READ_OK) {
            return got;
        }
    }
    return APP_READ_OK;
}

static bool say_continue(app_conn_t *conn, app_request_t *req)
{
    static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";
    if (!req->expects_continue || req->body_done) {
        return true;
    }
    req->expects_continue = false;
    return app_conn_put(conn, line, sizeof(line) - 1) && app_conn_flush(conn);
}

app_read_t app_http_read_body(app_conn_t *conn, app_request_t *req, app_text_t *piece)
{
    *piece = (app_text_t){"", 0};
    if (!say_continue(conn, req)) {
        return APP_READ_END;
    }
    if (req->framing == APP_FRAMING_CHUNKED && req->left == 0 && !req->body_done) {
        app_read_t got = next_chunk(conn, req);
        if (got != APP_READ_OK) {
            return got;
        }
    }
    if (req->body_done) {
        return APP_READ_OK;
    }
    if (app_conn_input(conn).n == 0 && !app_conn_fill(conn)) {
        return APP_READ_END;
    }
    *piece = app_conn_input(conn);
    if (piece->n > req->left) {
        piece->n = (size_t)req->left;
    }
    app_conn_use(conn, piece->n);
    req->left -= piece->n;
    req->body_bytes += piece->n;
    req->body_done = req->framing == APP_FRAMING_SIZED && req->left == 0;
    return APP_READ_OK;
}

app_text_t app_http_field(const app_request_t *req, const char *name)
{
    for (size_t i = 0; i < req->fields_n; i++) {
        if (app_text_is_nocase(req->fields[i].name, name)) {
            return req->fields[i].value;
        }
    }
    return (app_text_t){"", 0};
}

app_text_t app_http_param(const app_request_t *req, const char *name)
{
    app_text_t rest = req->query;
    while (rest.n > 0) {
        app_text_t value = cut(&rest, '&');
        if (app_text_is(cut(&value, '='), name)) {
            return value;
        }
    }
    return (app_text_t){"", 0};
}

void app_http_end(app_request_t *req)
{
    free(req->head);
    req->head = NULL;
}
