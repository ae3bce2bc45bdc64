/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns reading the heads of HTTP/1 messages and the framing of their bodies (RFC 9112). Strict
 * where it reads requests: whatever is malformed, ambiguous or merely unusual is called strange,
 * with a reason, and is for somebody else to judge. Does not copy, allocate, or send anything.
 */
#ifndef HAP_HTTP1_H
#define HAP_HTTP1_H

#include <stdbool.h>
#include <stdint.h>

#include "hap_str.h"

enum {
    HAP_HTTP1_FIELDS_MAX = 256,  /* of one head, as it is read */
    HAP_HTTP1_FIELDS_SPARE = 64, /* that may be added to it since */
    HAP_HTTP1_NAMED_MAX = 32     /* fields that one Connection can name */
};

/** Fields that are known by name; see hap_field.def. */
typedef enum hap_field_id_t {
    HAP_FIELD_OTHER,
#define FIELD(name, id, hop) HAP_FIELD_##id,
#include "hap_field.def"
#undef FIELD
    HAP_FIELD_IDS
} hap_field_id_t;

/** One line of a head. Borrows from the head. */
typedef struct hap_field_t {
    hap_str_t name;
    hap_str_t value;   /* without blanks at its ends */
    hap_field_id_t id; /* which one it is */
    bool hop;          /* for this connection only: not to be passed on */
    bool fixed;        /* made by the proxy: goes out as it is */
} hap_field_t;

/** How the end of a body is known. */
typedef enum hap_framing_t {
    HAP_FRAMING_NONE,    /* there is no body */
    HAP_FRAMING_LENGTH,  /* it has so many bytes */
    HAP_FRAMING_CHUNKED, /* it comes in chunks */
    HAP_FRAMING_CLOSE    /* it ends with the connection; answers only */
} hap_framing_t;

/** What reading came to. */
typedef enum hap_http1_end_t {
    HAP_HTTP1_MORE,   /* the head is not there as a whole */
    HAP_HTTP1_DONE,   /* read, and understood */
    HAP_HTTP1_STRANGE /* see `why` */
} hap_http1_end_t;

/** What a head may have. */
typedef struct hap_http1_limits_t {
    size_t line_bytes;  /* the first line, without its end */
    size_t field_bytes; /* each other line, likewise */
    unsigned fields;    /* how many, at most HAP_HTTP1_FIELDS_MAX */
} hap_http1_limits_t;

/** Fields and framing: what requests and answers have in common. Borrows from the head. */
typedef struct hap_http1_head_t {
    hap_field_t fields[HAP_HTTP1_FIELDS_MAX + HAP_HTTP1_FIELDS_SPARE];
    unsigned fields_n;
    size_t bytes;          /* of the whole head, its empty line included */
    unsigned minor;        /* HTTP/1.minor */
    hap_framing_t framing; /* of the body */
    uint64_t length;       /* of the body, for HAP_FRAMING_LENGTH */
    bool keep;             /* the sender would keep the connection */
    bool said_keep;        /* the sender said so, with Connection: keep-alive */
    bool upgrade;          /* Connection names "upgrade", and there is an Upgrade */
    hap_str_t protocol;    /* the value of the first Upgrade */
    bool zone;             /* there are fields of HAP_FIELD_ZONE */
    const char *why;       /* what is strange; static */
} hap_http1_head_t;

/** A request. */
typedef struct hap_http1_request_t {
    hap_str_t method;
    hap_str_t target; /* as it came, path and query */
    hap_str_t path;   /* of the target; needs no decoding: no %, //, /./ or /../ in it */
    hap_str_t host;   /* the value of Host */
    hap_str_t cookie; /* the value of the only Cookie; empty without */
    bool cookies;     /* there is more than one Cookie */
    bool expects;     /* waits for 100 (Continue) */
    bool is_head;     /* the method is HEAD */
    bool idempotent;  /* the method may be repeated, RFC 9110 9.2.2 */
    hap_http1_head_t head;
} hap_http1_request_t;

/** An answer. */
typedef struct hap_http1_answer_t {
    unsigned status;
    hap_str_t reason;
    hap_http1_head_t head;
} hap_http1_answer_t;

/**
 * Looks for the end of a head in the n bytes at `p`, of which the first *seen have been looked at
 * before, and moves *seen on. DONE sets *bytes to the head's length. STRANGE, in requests only, as
 * soon as a line ends without CR, or when the first byte begins no method, so that nobody waits for
 * an end that may never come; answers may end their lines with LF alone.
 */
hap_http1_end_t hap_http1_find_end(size_t *bytes, size_t *seen, const char *p, size_t n,
                                   bool request);

/**
 * Reads the head of a request, which is whole: the first `bytes` at `p`. DONE or STRANGE.
 * RFC 9112 2, 3, 5 and 6, and of those only what leaves no choice: an origin-form target whose path
 * needs no decoding, HTTP/1.1 or 1.0, one Host, one Content-Length or exactly "chunked".
 */
hap_http1_end_t hap_http1_request(hap_http1_request_t *request, const char *p, size_t bytes,
                                  const hap_http1_limits_t *limits);

/**
 * Reads the head of an answer to a request of method HEAD or not, likewise. More forgiving: LF ends
 * a line too, lines may be folded (RFC 9112 5.2) in fields that say nothing about connection and
 * body, and are joined in place: line ends become blanks. The reason may be missing, the same
 * Content-Length may be there twice, and Connection may name any field but that one. What two
 * readers could frame differently is strange, but for Transfer-Encoding beside Content-Length,
 * which goes by the former (RFC 9112 6.3), and a 204 that announces a body, which has none: neither
 * is kept.
 */
hap_http1_end_t hap_http1_answer(hap_http1_answer_t *answer, char *p, size_t bytes, bool head);

/** Which of the known fields has this name. Case does not matter. */
hap_field_id_t hap_http1_field_id(hap_str_t name);

/** The name is this field's. Case does not matter. */
bool hap_http1_is(const hap_field_t *field, hap_str_t name);

#endif
