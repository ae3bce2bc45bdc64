/* SPDX-License-Identifier: Apache-2.0 */
/* Owns reading bodies in chunks (RFC 9112 7.1): their sizes, extensions, data and trailers. */
#include "reader.h"

typedef enum state_t {
    SIZE_FIRST,      /* chunk = chunk-size [ chunk-ext ] CRLF */
    SIZE,            /* 1*HEXDIG */
    SIZE_BLANK,      /* blanks behind it: no grammar has them, but there are servers that pad */
    EXT,             /* chunk-ext = *( BWS ";" BWS ... ): before the semicolon */
    EXT_NAME_FIRST,  /* chunk-ext-name = token */
    EXT_NAME,        /* likewise */
    EXT_NAME_BLANK,  /* [ BWS "=" BWS chunk-ext-val ]: before the "=" */
    EXT_VALUE_FIRST, /* chunk-ext-val = token / quoted-string */
    EXT_VALUE,       /* token */
    EXT_QUOTED,      /* *( qdtext / quoted-pair ) DQUOTE */
    EXT_PAIR,        /* quoted-pair = "\" ( HTAB / SP / VCHAR / obs-text ) */
    EXT_END,         /* after a quoted-string */
    SIZE_LF,         /* the LF of the line */
    DATA,            /* chunk-data */
    DATA_CR,         /* CRLF */
    DATA_LF,         /* likewise */
    TRAILER,         /* trailer-section = *( field-line CRLF ), then CRLF */
    TRAILER_NAME,    /* field-name ":" */
    TRAILER_VALUE,   /* OWS field-value OWS */
    TRAILER_LF,      /* the LF of the line */
    LAST_LF,         /* the LF of the empty line */
    DONE,
    BAD
} state_t;

typedef state_t step_fn(reader_body_t *in, unsigned char c);

static bool is_blank(unsigned char c)
{
    return c == ' ' || c == '\t';
}

static int hex(unsigned char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static state_t size_first(reader_body_t *in, unsigned char c)
{
    in->left = hex(c) >= 0 ? (uint64_t)hex(c) : 0;
    return hex(c) >= 0 ? SIZE : BAD;
}

static state_t size(reader_body_t *in, unsigned char c)
{
    if (hex(c) < 0) {
        return c == '\r' ? SIZE_LF : is_blank(c) ? SIZE_BLANK : c == ';' ? EXT_NAME_FIRST : BAD;
    }
    if (in->left > UINT64_MAX >> 4) {
        return BAD;
    }
    in->left = in->left * 16 + (uint64_t)hex(c);
    return SIZE;
}

static state_t size_blank(reader_body_t *in, unsigned char c)
{
    (void)in;
    return c == '\r' ? SIZE_LF : is_blank(c) ? SIZE_BLANK : c == ';' ? EXT_NAME_FIRST : BAD;
}

static state_t ext(reader_body_t *in, unsigned char c)
{
    (void)in;
    return is_blank(c) ? EXT : c == ';' ? EXT_NAME_FIRST : BAD;
}

static state_t ext_name_first(reader_body_t *in, unsigned char c)
{
    if (is_blank(c)) {
        return EXT_NAME_FIRST;
    }
    in->extensions++;
    return reader_is_tchar(c) ? EXT_NAME : BAD;
}

static state_t ext_name(reader_body_t *in, unsigned char c)
{
    (void)in;
    return reader_is_tchar(c) ? EXT_NAME
           : is_blank(c)      ? EXT_NAME_BLANK
           : c == '='         ? EXT_VALUE_FIRST
           : c == ';'         ? EXT_NAME_FIRST
           : c == '\r'        ? SIZE_LF
                              : BAD;
}

/* The blanks may belong to the next extension too. */
static state_t ext_name_blank(reader_body_t *in, unsigned char c)
{
    (void)in;
    return is_blank(c) ? EXT_NAME_BLANK
           : c == '='  ? EXT_VALUE_FIRST
           : c == ';'  ? EXT_NAME_FIRST
                       : BAD;
}

static state_t ext_value_first(reader_body_t *in, unsigned char c)
{
    (void)in;
    return is_blank(c)          ? EXT_VALUE_FIRST
           : c == '"'           ? EXT_QUOTED
           : reader_is_tchar(c) ? EXT_VALUE
                                : BAD;
}

static state_t ext_value(reader_body_t *in, unsigned char c)
{
    (void)in;
    return reader_is_tchar(c) ? EXT_VALUE
           : is_blank(c)      ? EXT
           : c == ';'         ? EXT_NAME_FIRST
           : c == '\r'        ? SIZE_LF
                              : BAD;
}

static state_t ext_quoted(reader_body_t *in, unsigned char c)
{
    (void)in;
    return c == '"' ? EXT_END : c == '\\' ? EXT_PAIR : reader_is_value(c) ? EXT_QUOTED : BAD;
}

static state_t ext_pair(reader_body_t *in, unsigned char c)
{
    (void)in;
    return reader_is_value(c) ? EXT_QUOTED : BAD;
}

static state_t ext_end(reader_body_t *in, unsigned char c)
{
    (void)in;
    return c == '\r' ? SIZE_LF : is_blank(c) ? EXT : c == ';' ? EXT_NAME_FIRST : BAD;
}

static state_t size_lf(reader_body_t *in, unsigned char c)
{
    return c != '\n' ? BAD : in->left ? DATA : TRAILER;
}

static state_t data(reader_body_t *in, unsigned char c)
{
    in->content[in->content_n++] = (char)c;
    in->left--;
    return in->left ? DATA : DATA_CR;
}

static state_t data_cr(reader_body_t *in, unsigned char c)
{
    (void)in;
    return c == '\r' ? DATA_LF : BAD;
}

static state_t data_lf(reader_body_t *in, unsigned char c)
{
    (void)in;
    return c == '\n' ? SIZE_FIRST : BAD;
}

static state_t trailer(reader_body_t *in, unsigned char c)
{
    if (c == '\r') {
        return LAST_LF;
    }
    in->trailers++;
    return reader_is_tchar(c) ? TRAILER_NAME : BAD;
}

static state_t trailer_name(reader_body_t *in, unsigned char c)
{
    (void)in;
    return reader_is_tchar(c) ? TRAILER_NAME : c == ':' ? TRAILER_VALUE : BAD;
}

static state_t trailer_value(reader_body_t *in, unsigned char c)
{
    (void)in;
    return reader_is_value(c) ? TRAILER_VALUE : c == '\r' ? TRAILER_LF : BAD;
}

static state_t trailer_lf(reader_body_t *in, unsigned char c)
{
    (void)in;
    return c == '\n' ? TRAILER : BAD;
}

static state_t last_lf(reader_body_t *in, unsigned char c)
{
    (void)in;
    return c == '\n' ? DONE : BAD;
}

reader_end_t reader_chunked(reader_body_t *body, const char *p, size_t n)
{
    static step_fn *const steps[] = {
        [SIZE_FIRST] = size_first,
        [SIZE] = size,
        [SIZE_BLANK] = size_blank,
        [EXT] = ext,
        [EXT_NAME_FIRST] = ext_name_first,
        [EXT_NAME] = ext_name,
        [EXT_NAME_BLANK] = ext_name_blank,
        [EXT_VALUE_FIRST] = ext_value_first,
        [EXT_VALUE] = ext_value,
        [EXT_QUOTED] = ext_quoted,
        [EXT_PAIR] = ext_pair,
        [EXT_END] = ext_end,
        [SIZE_LF] = size_lf,
        [DATA] = data,
        [DATA_CR] = data_cr,
        [DATA_LF] = data_lf,
        [TRAILER] = trailer,
        [TRAILER_NAME] = trailer_name,
        [TRAILER_VALUE] = trailer_value,
        [TRAILER_LF] = trailer_lf,
        [LAST_LF] = last_lf,
    };
    state_t state = SIZE_FIRST;
    size_t at = 0;
    body->content_n = 0;
    body->extensions = body->trailers = 0;
    while (state < DONE && at < n && body->content_n < READER_TEXT_BYTES) {
        state = steps[state](body, (unsigned char)p[at++]);
    }
    body->bytes = at;
    return state == DONE ? READER_VALID : state == BAD ? READER_INVALID : READER_SHORT;
}
