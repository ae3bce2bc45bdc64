/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what the honoured directives say about the requests of one mount. Does not act on it: the
 * lane does. Everything is as httpd would have it for these requests: defaults, what the main
 * server says, over it the virtual host, over it <Proxy> and <Location> sections.
 */
#ifndef HAP_HONOUR_VALUES_H
#define HAP_HONOUR_VALUES_H

#include <apr_hash.h>
#include <apr_tables.h>
#include <apr_time.h>

#include "hap_str.h"

/** What a lane may or may not have learnt yet: a directive of one that it has not blocks. */
enum {
    HAP_HONOUR_CAN_DEFLATE = 1 << 0,        /* AddOutputFilterByType DEFLATE */
    HAP_HONOUR_CAN_HEADER = 1 << 1,         /* Header with a constant value */
    HAP_HONOUR_CAN_REQUEST_HEADER = 1 << 2, /* RequestHeader with a constant value */
    HAP_HONOUR_CAN_USER_AGENT = 1 << 3,     /* BrowserMatch: such clients go back to httpd */
    HAP_HONOUR_CAN_CHARSET = 1 << 4,        /* AddDefaultCharset */
    HAP_HONOUR_CAN_TRACE = 1 << 5,          /* TraceEnable */
    HAP_HONOUR_CAN_CANONICAL_NAME = 1 << 6, /* UseCanonicalName, UseCanonicalPhysicalPort */
    HAP_HONOUR_CAN_ALL = (1 << 7) - 1,
    /* the lane of this version */
    HAP_HONOUR_CAN_NOW = HAP_HONOUR_CAN_ALL,
};

/** One stage of RequestReadTimeout. */
typedef struct hap_honour_stage_t {
    bool set;            /* the directive speaks of it; else what is here are its defaults */
    unsigned timeout_s;  /* 0: none */
    unsigned max_s;      /* up to here the rate may stretch it; 0: without end */
    unsigned rate_bytes; /* each so many bytes stretch it by a second; 0: it is fixed */
} hap_honour_stage_t;

typedef enum hap_honour_via_t {
    HAP_HONOUR_VIA_OFF,
    HAP_HONOUR_VIA_ON,
    HAP_HONOUR_VIA_FULL,
    HAP_HONOUR_VIA_BLOCK
} hap_honour_via_t;

typedef enum hap_honour_trace_t {
    HAP_HONOUR_TRACE_ON,
    HAP_HONOUR_TRACE_OFF,
    HAP_HONOUR_TRACE_EXTENDED
} hap_honour_trace_t;

/** A row of ProxyPassReverse, ProxyPassReverseCookiePath or ...Domain. */
typedef struct hap_honour_map_t {
    const char *fake; /* as the client knows it; of ProxyPassReverse in <Location> its path */
    const char *real; /* as the member knows it */
} hap_honour_map_t;

typedef enum hap_honour_op_t {
    HAP_HONOUR_SET,
    HAP_HONOUR_APPEND, /* ", " and the value behind what is there, else as ADD */
    HAP_HONOUR_ADD,    /* one more line */
    HAP_HONOUR_UNSET_FIELD,
    HAP_HONOUR_MERGE /* as APPEND, unless the value is one of those in the list */
} hap_honour_op_t;

/** A Header or RequestHeader with a constant value. */
typedef struct hap_honour_edit_t {
    hap_honour_op_t op;
    const char *field; /* its name */
    const char *value; /* NULL for UNSET_FIELD */
    bool always;       /* Header always: on the table of errors too */
    bool early;        /* RequestHeader: as soon as the request was read, before all others */
} hap_honour_edit_t;

/** A CustomLog, TransferLog or GlobalLog that these requests are written to. */
typedef struct hap_honour_log_t {
    const char *to;     /* file or |program, as written */
    const char *format; /* never a nickname */
    const char *env;    /* NAME or !NAME of env=, NULL: always. The lane sets no variables */
} hap_honour_log_t;

/** An ErrorDocument. */
typedef struct hap_honour_error_t {
    unsigned status;
    const char *document; /* text, path or URL; "default" for httpd's own */
} hap_honour_error_t;

/** A regular expression on User-Agent; a client that it matches goes back to httpd. A request
 * without the field is matched as if it were empty. */
typedef struct hap_honour_agent_t {
    const char *pattern;
    bool nocase;
} hap_honour_agent_t;

/** What the lane has to do for the requests of one mount. */
typedef struct hap_honour_values_t {
    /* the client's connection */
    apr_interval_time_t timeout;                /* Timeout */
    apr_interval_time_t keep_alive_timeout;     /* KeepAliveTimeout */
    bool keep_alive;                            /* KeepAlive */
    unsigned requests_max;                      /* MaxKeepAliveRequests; 0: no limit */
    unsigned line_bytes_max;                    /* LimitRequestLine */
    unsigned field_bytes_max;                   /* LimitRequestFieldSize */
    unsigned fields_max;                        /* LimitRequestFields; 0: no limit */
    hap_honour_stage_t handshake, header, body; /* RequestReadTimeout, which holds only if
                                                   mod_reqtimeout is loaded */
    hap_honour_trace_t trace;                   /* TraceEnable */
    bool canonical_name;                        /* UseCanonicalName: ServerName, not Host */
    bool physical_port;                         /* UseCanonicalPhysicalPort */

    /* what members get */
    apr_interval_time_t proxy_timeout;   /* ProxyTimeout; 0: not given, Timeout holds */
    bool preserve_host;                  /* ProxyPreserveHost */
    bool add_headers;                    /* ProxyAddHeaders */
    hap_honour_via_t via;                /* ProxyVia */
    apr_array_header_t *request_headers; /* hap_honour_edit_t of RequestHeader, in order */

    /* what clients get */
    apr_array_header_t *reverses;       /* hap_honour_map_t of ProxyPassReverse */
    apr_array_header_t *cookie_paths;   /* hap_honour_map_t */
    apr_array_header_t *cookie_domains; /* hap_honour_map_t */
    apr_array_header_t *headers;        /* hap_honour_edit_t of Header, in order */
    const char *charset;                /* AddDefaultCharset: for text/plain and text/html that
                                           name none; NULL: nothing is added */
    apr_array_header_t *deflate;        /* const char *: content types, by case, that go through
                                           DEFLATE; empty: none */
    unsigned deflate_level;             /* 0: zlib's own; so are the next three */
    unsigned deflate_window;
    unsigned deflate_memory;
    unsigned deflate_buffer_bytes;
    const char *deflate_etag;          /* DeflateAlterETag; NULL: AddSuffix */
    const char *server_tokens;         /* ServerTokens; NULL: Full */
    const char *server_signature;      /* ServerSignature; NULL: Off */
    apr_array_header_t *error_answers; /* hap_honour_error_t: for answers of httpd's own */

    /* requests that go back to httpd all the same */
    apr_array_header_t *agents; /* hap_honour_agent_t */
    apr_hash_t *extensions;     /* see hap_honour_by_extension */

    apr_array_header_t *logs; /* hap_honour_log_t */
} hap_honour_values_t;

/**
 * Whether mod_mime would do something to a request for this path, by an extension of its last
 * segment that AddLanguage, AddEncoding, AddInputFilter or AddOutputFilter names (httpd does that
 * to proxied requests too). Such a request is for httpd.
 */
bool hap_honour_by_extension(const hap_honour_values_t *values, hap_str_t path);

#endif
