/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the fields of sessions: reading the proxy's, writing the application's. */
#include "app_zone_field.h"

#include <stdlib.h>
#include <string.h>

enum { PARTS_MAX = 4, PART_CHARS = 7000, PART_BYTES = PART_CHARS / 4 * 3 };

/** The parts of a state while fields are read. Borrows from the request. */
typedef struct parts_t {
    app_text_t at[PARTS_MAX]; /* by number; empty: not there */
    uint64_t n;               /* how many there are to be */
} parts_t;

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* Base64url without padding (RFC 4648 5). */
static void print_base64url(FILE *out, const char *bytes, size_t n)
{
    unsigned bits = 0;
    unsigned held = 0;
    for (size_t i = 0; i < n; i++) {
        bits = bits << 8 | (unsigned char)bytes[i];
        for (held += 8; held >= 6; held -= 6) {
            fputc(digits[bits >> (held - 6) & 63], out);
        }
    }
    if (held > 0) {
        fputc(digits[bits << (6 - held) & 63], out);
    }
}

static bool print_decoded(FILE *out, app_text_t text, unsigned *bits, unsigned *held)
{
    for (size_t i = 0; i < text.n; i++) {
        const char *digit = memchr(digits, text.p[i], sizeof(digits) - 1);
        if (!digit) {
            return false;
        }
        *bits = *bits << 6 | (unsigned)(digit - digits);
        *held += 6;
        if (*held >= 8) {
            *held -= 8;
            fputc((int)(*bits >> *held & 255), out);
        }
    }
    return true;
}

/* All parts together, which may be cut anywhere; NULL when one is not there, or no base64url. */
static char *decode(const parts_t *parts)
{
    char *text = NULL;
    size_t text_n = 0;
    unsigned bits = 0;
    unsigned held = 0;
    bool ok = true;
    FILE *out = open_memstream(&text, &text_n);
    if (!out) {
        abort();
    }
    for (uint64_t i = 0; ok && i < parts->n; i++) {
        ok = parts->at[i].n > 0 && print_decoded(out, parts->at[i], &bits, &held);
    }
    fclose(out);
    if (!ok) {
        free(text);
    }
    return ok ? text : NULL;
}

/* Cuts off `rest` what is before the next `c`, without blanks around it. */
static app_text_t cut(app_text_t *rest, char c)
{
    const char *at = rest->n ? memchr(rest->p, c, rest->n) : NULL;
    size_t n = at ? (size_t)(at - rest->p) : rest->n;
    app_text_t first = {rest->p, n};
    n += at != NULL;
    *rest = (app_text_t){rest->p + n, rest->n - n};
    while (first.n && first.p[0] == ' ') {
        first = (app_text_t){first.p + 1, first.n - 1};
    }
    while (first.n && first.p[first.n - 1] == ' ') {
        first.n--;
    }
    return first;
}

static void read_session(app_zone_told_t *told, parts_t *parts, app_text_t value)
{
    static const char *const words[] = {
        [APP_ZONE_RESTORE] = "restore",
        [APP_ZONE_NONE] = "none",
        [APP_ZONE_GONE] = "gone",
        [APP_ZONE_ERROR] = "error",
    };
    app_text_t word = cut(&value, ';');
    for (size_t i = APP_ZONE_RESTORE; i < sizeof(words) / sizeof(words[0]); i++) {
        if (app_text_is(word, words[i])) {
            told->word = (app_zone_word_t)i;
        }
    }
    while (value.n > 0) {
        app_text_t parameter = cut(&value, ';');
        app_text_t name = cut(&parameter, '=');
        if (app_text_is(name, "ver")) {
            app_number(&told->version, parameter, INT64_MAX);
        } else if (app_text_is(name, "parts")) {
            app_number(&parts->n, parameter, PARTS_MAX);
        }
    }
}

static void read_data(parts_t *parts, app_text_t value)
{
    while (value.n > 0) {
        uint64_t i;
        app_text_t part = cut(&value, ',');
        if (app_number(&i, cut(&part, ';'), PARTS_MAX - 1)) {
            parts->at[i] = cut(&part, ';');
        }
    }
}

void app_zone_told_read(app_zone_told_t *told, const app_request_t *req)
{
    parts_t parts = {.n = 0};
    *told = (app_zone_told_t){.word = APP_ZONE_NOTHING};
    for (size_t i = 0; i < req->fields_n; i++) {
        const app_field_t *field = &req->fields[i];
        if (app_text_is_nocase(field->name, "HA-Fence")) {
            told->fenced = app_number(&told->epoch, field->value, INT64_MAX);
        } else if (app_text_is_nocase(field->name, "HA-Session")) {
            read_session(told, &parts, field->value);
        } else if (app_text_is_nocase(field->name, "HA-Session-Data")) {
            read_data(&parts, field->value);
        }
    }
    if (told->word == APP_ZONE_RESTORE) {
        told->state = decode(&parts);
    }
}

void app_zone_told_end(app_zone_told_t *told)
{
    free(told->state);
    told->state = NULL;
}

void app_zone_print_state(FILE *out, const app_zone_state_t *state)
{
    size_t parts = (state->n + PART_BYTES - 1) / PART_BYTES;
    fprintf(out, "; ver=%llu; ttl=%llu; parts=%zu\r\n", (unsigned long long)state->version,
            (unsigned long long)state->ttl_s, parts);
    for (size_t i = 0; i < parts; i++) {
        size_t from = i * PART_BYTES;
        size_t n = state->n - from < PART_BYTES ? state->n - from : PART_BYTES;
        fprintf(out, "HA-Session-Data: %zu; ", i);
        print_base64url(out, state->text + from, n);
        fprintf(out, "\r\n");
    }
}
