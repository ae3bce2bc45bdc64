/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the bytes of bad answers, and writing them. */
#include "app_raw.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/** A flood: what comes once, and what comes for ever after. */
typedef struct flood_t {
    const char *first;
    const char *again;
} flood_t;

static const flood_t floods[] = {
    [APP_RAW_HEAD] = {"HTTP/1.1 200 OK\r\n", "X-Flood: 0123456789abcdef0123456789abcdef\r\n"},
    [APP_RAW_INTERIM] = {"", "HTTP/1.1 102 Processing\r\n\r\n"},
    [APP_RAW_CHUNK] = {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;",
                       "flood=0123456789abcdef;"},
    [APP_RAW_TRAILER] = {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n",
                         "X-Flood: 0123456789abcdef0123456789abcdef\r\n"},
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static app_raw_t raw;     /* guard: lock */
static uint64_t raw_left; /* guard: lock */

static int hex(char c)
{
    const char *digits = "0123456789abcdef";
    const char *at = c ? strchr(digits, c | 0x20) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* The byte that the text after a backslash stands for, -1 none; *used of it. */
static int unescape(const char *text, size_t *used)
{
    static const char names[] = "rnts\\";
    static const char bytes[] = "\r\n\t \\";
    const char *at = *text ? strchr(names, *text) : NULL;
    *used = at ? 1 : 3;
    if (at) {
        return bytes[at - names];
    }
    int high = *text == 'x' ? hex(text[1]) : -1;
    int low = high >= 0 ? hex(text[2]) : -1;
    return low >= 0 ? high * 16 + low : -1;
}

bool app_raw_read(char **bytes, size_t *n, const char *text)
{
    char *to = malloc(strlen(text) + 1);
    if (!to) {
        abort();
    }
    *bytes = to;
    while (*text) {
        size_t used = 1;
        int byte = (unsigned char)*text;
        if (byte == '\\') {
            text++;
            byte = unescape(text, &used);
        }
        if (byte < 0) {
            free(*bytes);
            *bytes = NULL;
            return false;
        }
        *to++ = (char)byte;
        text += used;
    }
    *to = '\0';
    *n = (size_t)(to - *bytes);
    return true;
}

bool app_raw_set(app_raw_kind_t kind, const char *text, uint64_t count)
{
    app_raw_t made = {.kind = kind};
    if (text && !app_raw_read(&made.bytes, &made.n, text)) {
        return false;
    }
    pthread_mutex_lock(&lock);
    app_raw_end(&raw);
    raw = made;
    raw_left = count ? count : UINT64_MAX;
    pthread_mutex_unlock(&lock);
    return true;
}

app_raw_t app_raw_take(void)
{
    pthread_mutex_lock(&lock);
    app_raw_t taken = raw;
    if (raw.bytes) {
        taken.bytes = malloc(raw.n + 1);
        if (!taken.bytes) {
            abort();
        }
        memcpy(taken.bytes, raw.bytes, raw.n);
    }
    if (raw.kind != APP_RAW_NONE && raw_left != UINT64_MAX && --raw_left == 0) {
        app_raw_end(&raw);
    }
    pthread_mutex_unlock(&lock);
    return taken;
}

static bool pour(app_conn_t *conn, const flood_t *flood)
{
    const char *text = flood->first;
    while (app_conn_put(conn, text, strlen(text))) {
        text = flood->again;
    }
    return false;
}

bool app_raw_answer(app_conn_t *conn, const app_raw_t *answer)
{
    if (!answer->bytes) {
        return pour(conn, &floods[answer->kind]);
    }
    if (!app_conn_put(conn, answer->bytes, answer->n) || !app_conn_flush(conn)) {
        return false;
    }
    if (answer->kind == APP_RAW_RESET) {
        app_conn_reset(conn);
    }
    return answer->kind == APP_RAW_STAY;
}

void app_raw_end(app_raw_t *ended)
{
    free(ended->bytes);
    *ended = (app_raw_t){.kind = APP_RAW_NONE};
}
