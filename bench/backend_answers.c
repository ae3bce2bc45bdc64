/* SPDX-License-Identifier: Apache-2.0 */
#include "backend_answers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net.h"

enum { KB = 1024, CHUNK_BYTES = 4 * KB, BODY_64K = 64 * KB, BODY_1M = KB * KB };
enum { HEAD_BYTES = 256, DATE_BYTES = 29, DATE_ROOM = 64 };

/* Each head begins like this one, so that the date is always at the same place. */
#define HEAD_200 "HTTP/1.1 200 OK\r\nDate: "
#define HEAD_411 "HTTP/1.1 411 Need\r\nDate: "
static const size_t date_at = sizeof(HEAD_200) - 1;

static const char *const type_field = "Content-Type: text/plain\r\n";
static const char *const last_field = "Connection: close\r\n";

static answer_t small[ANSWERS_MAX_MEMBERS][2];
static answer_t shared[ANSWERS_KINDS][2];
static size_t members_n;
static char date[DATE_ROOM] = "Thu, 01 Jan 1970 00:00:00 GMT";

/* The body of a small answer: always as long, whatever it says. */
static void write_small_body(char *body, size_t member, long long received)
{
    char said[ANSWERS_SMALL_BODY_BYTES];
    int n = snprintf(said, sizeof(said), "m%03zu received %lld bytes ", member + 1, received);
    memset(body, '.', ANSWERS_SMALL_BODY_BYTES - 1);
    memcpy(body, said, (size_t)n);
    body[ANSWERS_SMALL_BODY_BYTES - 1] = '\n';
}

/* A head and a small body, with further fields in between. */
static size_t write_small(char *to, size_t member, long long received, const char *fields,
                          bool last)
{
    int n = snprintf(to, ANSWERS_OWN_BYTES, "%s%s\r\n%s%s%sContent-Length: %d\r\n\r\n", HEAD_200,
                     date, type_field, fields, last ? last_field : "", ANSWERS_SMALL_BODY_BYTES);
    write_small_body(to + n, member, received);
    return (size_t)n + ANSWERS_SMALL_BODY_BYTES;
}

static answer_t allocate(size_t n)
{
    answer_t answer = {malloc(n), n};
    if (!answer.data) {
        bench_die("memory for an answer");
    }
    return answer;
}

static answer_t make_small(size_t member, bool last)
{
    char text[ANSWERS_OWN_BYTES];
    size_t n = write_small(text, member, 0, "", last);
    answer_t answer = allocate(n);
    memcpy(answer.data, text, n);
    return answer;
}

static answer_t make_sized(size_t body, bool last)
{
    char head[HEAD_BYTES];
    int n = snprintf(head, sizeof(head), "%s%s\r\n%s%sContent-Length: %zu\r\n\r\n", HEAD_200, date,
                     type_field, last ? last_field : "", body);
    answer_t answer = allocate((size_t)n + body);
    memcpy(answer.data, head, (size_t)n);
    memset(answer.data + n, 'x', body);
    return answer;
}

static answer_t make_chunked(size_t body, bool last)
{
    static const char end[] = "0\r\n\r\n";
    char head[HEAD_BYTES];
    char line[HEAD_BYTES];
    int n = snprintf(head, sizeof(head), "%s%s\r\n%s%sTransfer-Encoding: chunked\r\n\r\n", HEAD_200,
                     date, type_field, last ? last_field : "");
    int line_n = snprintf(line, sizeof(line), "%x\r\n", (unsigned)CHUNK_BYTES);
    size_t chunks = body / CHUNK_BYTES;
    size_t chunk_n = (size_t)line_n + CHUNK_BYTES + 2;
    answer_t answer = allocate((size_t)n + chunks * chunk_n + sizeof(end) - 1);
    char *at = answer.data;
    memcpy(at, head, (size_t)n);
    at += n;
    for (size_t i = 0; i < chunks; i++) {
        memcpy(at, line, (size_t)line_n);
        memset(at + line_n, 'x', CHUNK_BYTES);
        memcpy(at + chunk_n - 2, "\r\n", 2);
        at += chunk_n;
    }
    memcpy(at, end, sizeof(end) - 1);
    return answer;
}

static answer_t make_length_required(void)
{
    char head[HEAD_BYTES];
    int n = snprintf(head, sizeof(head), "%s%s\r\n%sContent-Length: 0\r\n\r\n", HEAD_411, date,
                     last_field);
    answer_t answer = allocate((size_t)n);
    memcpy(answer.data, head, (size_t)n);
    return answer;
}

void answers_make(size_t members)
{
    members_n = members;
    for (int last = 0; last < 2; last++) {
        for (size_t member = 0; member < members; member++) {
            small[member][last] = make_small(member, last);
        }
        shared[ANSWERS_64K][last] = make_sized(BODY_64K, last);
        shared[ANSWERS_1M][last] = make_sized(BODY_1M, last);
        shared[ANSWERS_CHUNKED][last] = make_chunked(BODY_64K, last);
        shared[ANSWERS_LENGTH_REQUIRED][last] = make_length_required();
    }
}

answer_t answers_get(answers_kind_t kind, size_t member, bool last)
{
    return kind == ANSWERS_SMALL ? small[member][last] : shared[kind][last];
}

size_t answers_upload(char *to, size_t member, long long received, bool last)
{
    return write_small(to, member, received, "", last);
}

/* One cookie for who reads the route out of a session's id, one for who wants it by itself. */
size_t answers_login(char *to, size_t member, bool last)
{
    static unsigned count;
    char fields[HEAD_BYTES];
    snprintf(fields, sizeof(fields),
             "Set-Cookie: zsessionid=%032x.m%03zu; Path=/\r\nSet-Cookie: SRV=m%03zu; Path=/\r\n",
             ++count, member + 1, member + 1);
    return write_small(to, member, 0, fields, last);
}

void answers_set_date(time_t now)
{
    struct tm parts;
    gmtime_r(&now, &parts);
    strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &parts);
    for (int last = 0; last < 2; last++) {
        for (size_t member = 0; member < members_n; member++) {
            memcpy(small[member][last].data + date_at, date, DATE_BYTES);
        }
        for (int kind = ANSWERS_64K; kind <= ANSWERS_CHUNKED; kind++) {
            memcpy(shared[kind][last].data + date_at, date, DATE_BYTES);
        }
    }
}
