/* SPDX-License-Identifier: Apache-2.0 */
/* Owns writing answers: head, body, the deterministic content, and the ways to break off. */
#include "app_http.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Blocks that tell their own offset; their number is prime, so that no other period fits. */
enum { BLOCK_BYTES = 16, BLOCKS = 65521, HEAD_MAX_BYTES = 2048, DEFAULT_CHUNK_BYTES = 1024 };

static char content[BLOCKS * BLOCK_BYTES];
static pthread_once_t content_once = PTHREAD_ONCE_INIT;

static void content_init(void)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        char block[BLOCK_BYTES + 1];
        snprintf(block, sizeof(block), "%015zu\n", i * BLOCK_BYTES);
        memcpy(content + i * BLOCK_BYTES, block, BLOCK_BYTES);
    }
}

static const char *reason(int status)
{
    static const struct {
        int status;
        const char *phrase;
    } phrases[] = {
        {200, "OK"},
        {201, "Created"},
        {204, "No Content"},
        {206, "Partial Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {409, "Conflict"},
        {410, "Gone"},
        {426, "Upgrade Required"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++) {
        if (phrases[i].status == status) {
            return phrases[i].phrase;
        }
    }
    return "Whatever";
}

static void http_date(char *text, size_t n)
{
    struct tm tm;
    time_t now = time(NULL);
    gmtime_r(&now, &tm);
    strftime(text, n, "%a, %d %b %Y %H:%M:%S GMT", &tm);
}

static bool has_no_body(const app_answer_t *answer)
{
    return answer->status < 200 || answer->status == 204 || answer->status == 304;
}

/* HTTP/1.0 knows no chunks: there such a body ends with the connection. */
static app_ending_t ending(const app_request_t *req, const app_answer_t *answer)
{
    bool chunks_unknown = answer->ending == APP_ENDING_CHUNKED && req->minor == 0;
    return chunks_unknown ? APP_ENDING_CLOSE : answer->ending;
}

bool app_http_stays_open(const app_request_t *req, const app_answer_t *answer)
{
    return req->keep_alive && ending(req, answer) != APP_ENDING_CLOSE;
}

/* The head without its long fields and the empty line. */
static size_t format_head(char *head, const app_request_t *req, const app_answer_t *answer)
{
    char date[40];
    char framing[64] = "";
    const char *connection = "Connection: close\r\n";
    http_date(date, sizeof(date));
    if (has_no_body(answer)) {
        framing[0] = '\0';
    } else if (ending(req, answer) == APP_ENDING_SIZED) {
        snprintf(framing, sizeof(framing), "Content-Length: %llu\r\n",
                 (unsigned long long)answer->body_bytes);
    } else if (ending(req, answer) == APP_ENDING_CHUNKED) {
        snprintf(framing, sizeof(framing), "Transfer-Encoding: chunked\r\n%s",
                 answer->trailer ? "Trailer: X-Trailer\r\n" : "");
    }
    if (app_http_stays_open(req, answer)) {
        connection = req->minor == 0 ? "Connection: keep-alive\r\n" : "";
    }
    int n = snprintf(head, HEAD_MAX_BYTES,
                     "HTTP/1.1 %d %s\r\nDate: %s\r\nX-Instance: %s\r\nContent-Type: %s\r\n%s%s%s",
                     answer->status, reason(answer->status), date, app_options.name, answer->type,
                     framing, connection, answer->extra);
    return n > 0 && n < HEAD_MAX_BYTES ? (size_t)n : 0;
}

/* Puts the bytes from `from` up to `to` of the body. */
static bool put_body(app_conn_t *conn, const app_answer_t *answer, uint64_t from, uint64_t to)
{
    if (answer->text) {
        return app_conn_put(conn, answer->text + from, (size_t)(to - from));
    }
    while (from < to) {
        size_t at = (size_t)(from % sizeof(content));
        size_t n = sizeof(content) - at;
        if (n > to - from) {
            n = (size_t)(to - from);
        }
        if (!app_conn_put(conn, content + at, n)) {
            return false;
        }
        from += n;
    }
    return true;
}

/* Puts `bytes` of the body in chunks, without the last, empty one. */
static bool put_chunks(app_conn_t *conn, const app_answer_t *answer, uint64_t bytes)
{
    char line[32];
    uint64_t step = answer->chunk_bytes ? answer->chunk_bytes : DEFAULT_CHUNK_BYTES;
    for (uint64_t from = 0; from < bytes; from += step) {
        uint64_t to = bytes - from < step ? bytes : from + step;
        int n = snprintf(line, sizeof(line), "%llx\r\n", (unsigned long long)(to - from));
        if (!app_conn_put(conn, line, (size_t)n) || !put_body(conn, answer, from, to) ||
            !app_conn_put(conn, "\r\n", 2)) {
            return false;
        }
        if (answer->chunk_delay_ms > 0) {
            if (!app_conn_flush(conn)) {
                return false;
            }
            app_sleep_ms(answer->chunk_delay_ms);
        }
        if (to == bytes) {
            break;
        }
    }
    return true;
}

static bool put_last_chunk(app_conn_t *conn, const app_answer_t *answer)
{
    static const char plain[] = "0\r\n\r\n";
    static const char trailer[] = "0\r\nX-Trailer: done\r\n\r\n";
    return answer->trailer ? app_conn_put(conn, trailer, sizeof(trailer) - 1)
                           : app_conn_put(conn, plain, sizeof(plain) - 1);
}

static bool put_rest_of_head(app_conn_t *conn, const app_answer_t *answer)
{
    const char *fields = answer->fields ? answer->fields : "";
    return app_conn_put(conn, fields, strlen(fields)) && app_conn_put(conn, "\r\n", 2);
}

static bool put_answer(app_conn_t *conn, const app_request_t *req, const app_answer_t *answer)
{
    char head[HEAD_MAX_BYTES];
    size_t head_n = format_head(head, req, answer);
    bool headless = app_text_is(req->method, "HEAD") || has_no_body(answer);
    bool chunked = ending(req, answer) == APP_ENDING_CHUNKED;
    uint64_t bytes = headless ? 0 : answer->body_bytes;
    if (answer->reset == APP_RESET_BEFORE) {
        return true;
    }
    if (answer->reset == APP_RESET_HEAD) {
        return app_conn_put(conn, head, head_n / 2);
    }
    if (answer->reset == APP_RESET_BODY) {
        bytes /= 2;
    }
    if (!app_conn_put(conn, head, head_n) || !put_rest_of_head(conn, answer) ||
        !(chunked ? put_chunks(conn, answer, bytes) : put_body(conn, answer, 0, bytes))) {
        return false;
    }
    return !chunked || headless || answer->reset == APP_RESET_BODY || put_last_chunk(conn, answer);
}

bool app_http_answer(app_conn_t *conn, const app_request_t *req, const app_answer_t *answer)
{
    pthread_once(&content_once, content_init);
    if (!put_answer(conn, req, answer)) {
        return false;
    }
    if (answer->reset != APP_RESET_NONE) {
        app_conn_reset(conn);
        return false;
    }
    return true;
}
