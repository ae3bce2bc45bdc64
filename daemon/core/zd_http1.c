/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns reading requests. hap_http1_request is for a proxy, which gives what is unusual to somebody
 * else; here there is nobody else: HTTP/1.0 without Host, as balancers poll, is as good as any, and
 * what is refused gets an answer that says why.
 */
#include "zd_http1.h"

#include <apr_strings.h>

#include "hap_http1.h"
#include "hap_http1_class.h"

enum {
    BAD_REQUEST = 400,
    NOT_ALLOWED = 405,
    TOO_LARGE = 413,
    FIELDS_TOO_LARGE = 431,
    OTHER_VERSION = 505
};

/* What fields have said so far. */
typedef struct fields_t {
    unsigned hosts;
    unsigned lengths;
    bool body;
    bool close;
    bool keep_alive;
} fields_t;

/* --- the first line --------------------------------------------------------------------------- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* HTTP/1.d (RFC 9112 2.3); a later minor version is spoken to as 1.1. */
static unsigned read_version(zd_http1_t *request, hap_str_t version)
{
    enum { MAJOR = 5, MINOR = 7, BYTES = 8 };
    if (version.n != BYTES || !hap_str_starts(version, HAP_STR_LIT("HTTP/")) ||
        !is_digit(version.p[MAJOR]) || version.p[MAJOR + 1] != '.' || !is_digit(version.p[MINOR])) {
        return BAD_REQUEST;
    }
    request->old = version.p[MINOR] == '0';
    return version.p[MAJOR] == '1' ? 0 : OTHER_VERSION;
}

/* A path, or a whole URL, which every server has to understand (RFC 9112 3.2.2). */
static hap_str_t path_of(hap_str_t target)
{
    const hap_str_t scheme = HAP_STR_LIT("http://");
    if (hap_str_starts(target, scheme)) {
        target = hap_str_sub(target, hap_str_find(target, '/', scheme.n), target.n);
        target = target.n ? target : HAP_STR_LIT("/");
    }
    return hap_str_sub(target, 0, hap_str_find(target, '?', 0));
}

/* method SP target SP version (RFC 9112 3): 0, or the status of what is wrong. */
static unsigned read_line(zd_http1_t *request, hap_str_t *method, hap_str_t line)
{
    size_t method_n = hap_byte_span(line.p, line.n, HAP_BYTE_TOKEN);
    hap_str_t rest = hap_str_sub(line, method_n, line.n);
    if (method_n == 0 || rest.n < 2 || rest.p[0] != ' ') {
        return BAD_REQUEST;
    }
    rest = hap_str_sub(rest, 1, rest.n);
    size_t target_n = hap_str_find(rest, ' ', 0);
    hap_str_t target = hap_str_sub(rest, 0, target_n);
    if (target.n == 0 || hap_byte_span(target.p, target.n, HAP_BYTE_QUERY) != target.n) {
        return BAD_REQUEST;
    }
    *method = hap_str_sub(line, 0, method_n);
    request->is_head = hap_str_eq(*method, HAP_STR_LIT("HEAD"));
    request->path = path_of(target);
    return read_version(request, hap_str_sub(rest, target_n + 1, rest.n));
}

/* --- fields ----------------------------------------------------------------------------------- */

static void note_connection(fields_t *fields, hap_str_t value)
{
    for (size_t at = 0; at <= value.n;) {
        size_t comma = hap_str_find(value, ',', at);
        hap_str_t option = hap_str_trim(hap_str_sub(value, at, comma));
        fields->close |= hap_str_eq_nocase(option, HAP_STR_LIT("close"));
        fields->keep_alive |= hap_str_eq_nocase(option, HAP_STR_LIT("keep-alive"));
        at = comma + 1;
    }
}

static bool note_length(fields_t *fields, hap_str_t value)
{
    unsigned long length;
    if (fields->lengths++ > 0 || !hap_str_uint(&length, value, ~0UL)) {
        return false;
    }
    fields->body |= length > 0;
    return true;
}

/* uri-host [ ":" port ], or nothing (RFC 9110 7.2): bytes alone, as nothing depends on it. */
static bool is_host(hap_str_t value)
{
    for (size_t i = 0; i < value.n; i++) {
        char c = value.p[i];
        if (c == '/' || c == '@' || (!hap_byte_is(c, HAP_BYTE_PATH) && !strchr("[]%", c))) {
            return false;
        }
    }
    return true;
}

/* False: it makes the request a bad one. */
static bool note_field(fields_t *fields, hap_str_t name, hap_str_t value)
{
    switch (hap_http1_field_id(name)) {
    case HAP_FIELD_CONNECTION:
        note_connection(fields, value);
        return true;
    case HAP_FIELD_CONTENT_LENGTH:
        return note_length(fields, value);
    case HAP_FIELD_TRANSFER_ENCODING:
        fields->body = true;
        return true;
    case HAP_FIELD_HOST:
        return fields->hosts++ == 0 && is_host(value);
    default:
        return true;
    }
}

/* Lines end in CR LF, all of them: hap_http1_find_end has seen to that. */
static bool read_fields(fields_t *fields, hap_str_t rest)
{
    hap_str_t line;
    while (hap_str_line(&line, &rest)) {
        line = hap_str_sub(line, 0, line.n - 1);
        size_t name_n = hap_byte_span(line.p, line.n, HAP_BYTE_TOKEN);
        hap_str_t value = hap_str_sub(line, name_n + 1, line.n);
        if (line.n == 0) {
            return true;
        }
        if (name_n == 0 || name_n == line.n || line.p[name_n] != ':' ||
            hap_byte_span_value(value.p, value.n) != value.n ||
            !note_field(fields, hap_str_sub(line, 0, name_n), hap_str_trim(value))) {
            return false;
        }
    }
    return true;
}

/* --- the whole -------------------------------------------------------------------------------- */

static void refuse(zd_http1_t *request, unsigned status, const char *why)
{
    request->refused = status;
    request->why = why;
    request->keep = false;
}

static void judge(zd_http1_t *request, hap_str_t method, const fields_t *fields)
{
    request->keep = !fields->body && !fields->close && (!request->old || fields->keep_alive);
    if (fields->hosts == 0 && !request->old) {
        refuse(request, BAD_REQUEST, "HTTP/1.1 needs a Host");
    } else if (!request->is_head && !hap_str_eq(method, HAP_STR_LIT("GET"))) {
        request->refused = NOT_ALLOWED;
        request->why = "GET and HEAD are all there is";
    } else if (fields->body) {
        refuse(request, TOO_LARGE, "a request has no body here");
    } else if (request->path.p[0] != '/') {
        refuse(request, BAD_REQUEST, "the path does not begin with a slash");
    }
}

static void read_whole(zd_http1_t *request, hap_str_t text)
{
    hap_str_t line;
    hap_str_t method;
    fields_t fields = {.hosts = 0};
    hap_str_line(&line, &text);
    unsigned wrong = read_line(request, &method, hap_str_sub(line, 0, line.n - 1));
    if (wrong == OTHER_VERSION) {
        refuse(request, wrong, "HTTP/1.1 and HTTP/1.0 are all there is");
    } else if (wrong) {
        refuse(request, wrong, "the first line is no METHOD TARGET HTTP/1.1");
    } else if (!read_fields(&fields, text)) {
        refuse(request, BAD_REQUEST, "a field is malformed, or there twice");
    } else {
        judge(request, method, &fields);
    }
}

bool zd_http1_read(zd_http1_t *request, size_t *seen, const char *p, size_t n)
{
    size_t bytes = 0;
    size_t within = n < ZD_HTTP1_BYTES_MAX ? n : ZD_HTTP1_BYTES_MAX;
    hap_http1_end_t end = hap_http1_find_end(&bytes, seen, p, within, true);
    if (end == HAP_HTTP1_MORE && within < ZD_HTTP1_BYTES_MAX) {
        return false;
    }
    *request = (zd_http1_t){.bytes = bytes, .path = HAP_STR_LIT("/")};
    if (end == HAP_HTTP1_MORE) {
        refuse(request, FIELDS_TOO_LARGE, "line and fields are more than 8 KB");
    } else if (end == HAP_HTTP1_STRANGE) {
        refuse(request, BAD_REQUEST, "it is no HTTP, or a line does not end in CR LF");
    } else {
        read_whole(request, hap_strn(p, bytes));
    }
    return true;
}

/* --- answers ---------------------------------------------------------------------------------- */

static const char *reason_of(unsigned status)
{
    static const struct {
        unsigned status;
        const char *reason;
    } reasons[] = {
        {200, "OK"},
        {BAD_REQUEST, "Bad Request"},
        {404, "Not Found"},
        {NOT_ALLOWED, "Method Not Allowed"},
        {TOO_LARGE, "Content Too Large"},
        {FIELDS_TOO_LARGE, "Request Header Fields Too Large"},
        {503, "Service Unavailable"},
        {OTHER_VERSION, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        if (reasons[i].status == status) {
            return reasons[i].reason;
        }
    }
    return "";
}

zd_page_t zd_http1_refusal(const zd_http1_t *request)
{
    return (zd_page_t){.status = request->refused, .type = "text/plain", .text = request->why};
}

static const char *connection_of(const zd_http1_t *request)
{
    if (!request->keep) {
        return "Connection: close\r\n";
    }
    return request->old ? "Connection: keep-alive\r\n" : "";
}

/* An answer of a minute ago is a wrong one: nobody keeps it. */
hap_str_t zd_http1_answer(const zd_http1_t *request, const zd_page_t *page, const char *date,
                          apr_pool_t *pool)
{
    size_t n = strlen(page->text);
    bool ends = n > 0 && page->text[n - 1] == '\n';
    return hap_str(apr_psprintf(
        pool,
        "HTTP/1.1 %u %s\r\n"
        "Date: %s\r\n"
        "Content-Type: %s\r\n"
        "Content-Length: %" APR_SIZE_T_FMT "\r\n"
        "Cache-Control: no-store\r\n"
        "%s%s\r\n%s%s",
        page->status, reason_of(page->status), date, page->type, ends ? n : n + 1,
        page->status == NOT_ALLOWED ? "Allow: GET, HEAD\r\n" : "", connection_of(request),
        request->is_head ? "" : page->text, request->is_head || ends ? "" : "\n"));
}
