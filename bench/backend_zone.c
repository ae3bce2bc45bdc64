/* SPDX-License-Identifier: Apache-2.0 */
#include "backend_zone.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net.h"

enum { BODY_BYTES = 100, TEXT_BYTES = 256, VERSION_CHARS = 15, DECIMAL = 10, TTL_S = 1800 };
enum { GROUP_BYTES = 3, GROUP_CHARS = 4 };

static size_t write_answer(char *to, const char *fields, const char *said, bool last)
{
    int n = snprintf(to, BACKEND_ZONE_ANSWER_BYTES,
                     "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n%s%sContent-Length: %d\r\n\r\n"
                     "%-*s\n",
                     fields, last ? "Connection: close\r\n" : "", BODY_BYTES, BODY_BYTES - 1, said);
    return (size_t)n;
}

/* Time goes on in all processes alike. */
static long long next_version(void)
{
    static long long version;
    long long now = (long long)bench_now_us();
    version = now > version ? now : version + 1;
    return version;
}

/* As many characters as that many bytes have in base64url, the version first. How many. */
static size_t write_state(char *to, size_t bytes, long long version)
{
    size_t chars = (bytes * GROUP_CHARS + GROUP_BYTES - 1) / GROUP_BYTES;
    memset(to, 'A', chars);
    for (size_t i = VERSION_CHARS; i-- > 0; version /= DECIMAL) {
        to[i] = (char)('0' + version % DECIMAL);
    }
    return chars;
}

size_t backend_zone_put(char *to, const char *route, size_t state_bytes, bool begins, bool last)
{
    static unsigned begun;
    char fields[BACKEND_ZONE_ANSWER_BYTES - 2 * TEXT_BYTES];
    char said[TEXT_BYTES];
    char id[TEXT_BYTES] = "";
    long long version = next_version();
    size_t n = 0;
    if (begins) {
        char sid[2 * VERSION_CHARS + 3];
        snprintf(sid, sizeof(sid), "%08x%024x", (unsigned)getpid(), ++begun);
        n = (size_t)snprintf(fields, sizeof(fields), "Set-Cookie: zsessionid=%s.%s; Path=/\r\n",
                             sid, route);
        snprintf(id, sizeof(id), " id=\"%s\";", sid);
    }
    n += (size_t)snprintf(fields + n, sizeof(fields) - n,
                          "HA-Session: put;%s ver=%lld; ttl=%d; parts=1\r\nHA-Session-Data: 0; ",
                          id, version, TTL_S);
    n += write_state(fields + n, state_bytes, version);
    snprintf(fields + n, sizeof(fields) - n, "\r\n");
    snprintf(said, sizeof(said), "%s put %lld", route, version);
    return write_answer(to, fields, said, last);
}

static long long number_after(const char *text, const char *what)
{
    const char *line_end = text + strcspn(text, "\r\n");
    const char *at = strstr(text, what);
    return at && at < line_end ? strtoll(at + strlen(what), NULL, 10) : 0;
}

/* The digits that the state begins with; its part begins with "0; ". */
static long long version_in(const char *data)
{
    char digits[VERSION_CHARS + 1] = "";
    const char *at = data && strncmp(data, "0; ", 3) == 0 ? data + 3 : "";
    snprintf(digits, sizeof(digits), "%.*s", VERSION_CHARS, at);
    return strtoll(digits, NULL, 10);
}

size_t backend_zone_tell(char *to, const char *route, const backend_told_t *told, bool last)
{
    char said[TEXT_BYTES];
    const char *word = told->session ? told->session : "-";
    int word_n = (int)strcspn(word, "; \r\n");
    int n =
        snprintf(said, sizeof(said), "%s %.*s", route, word_n < BODY_BYTES / 2 ? word_n : 0, word);
    if (told->session && strncmp(word, "restore", (size_t)word_n) == 0) {
        snprintf(said + n, sizeof(said) - (size_t)n, " %lld %lld", number_after(word, "ver="),
                 version_in(told->data));
    }
    return write_answer(to, "", said, last);
}
