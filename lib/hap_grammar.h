/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the grammar of every name that reaches an Apache configuration. Does not read files and
 * does not know where a name came from: the caller says what to call it in a message.
 */
#ifndef HAP_GRAMMAR_H
#define HAP_GRAMMAR_H

#include <apr_errno.h>

#include "hap_diag.h"
#include "hap_str.h"

enum {
    HAP_APP_MAX_BYTES = 63,
    HAP_ROUTE_MAX_BYTES = 63,      /* mod_proxy: PROXY_WORKER_MAX_ROUTE_SIZE less its NUL */
    HAP_COOKIE_MAX_BYTES = 63,     /* mod_proxy: PROXY_BALANCER_MAX_STICKY_SIZE less its NUL */
    HAP_PATH_MAX_BYTES = 63,       /* mod_proxy: a balancer's vpath holds that much */
    HAP_PROTOCOL_MAX_BYTES = 15,   /* mod_proxy: PROXY_WORKER_MAX_SCHEME_SIZE less its NUL */
    HAP_HOST_MAX_BYTES = 253,      /* RFC 1035 2.3.4, without the final dot */
    HAP_LABEL_MAX_BYTES = 63,      /* RFC 1035 2.3.4 */
    HAP_WORKER_URL_MAX_BYTES = 95, /* mod_proxy: PROXY_WORKER_MAX_NAME_SIZE less its NUL */
    HAP_BALANCER_MAX_BYTES = 95,   /* mod_proxy: the same, with the balancer:// in front */
    HAP_LINE_MAX_BYTES = 8192,     /* of our own formats; httpd's own limit is far above */
    HAP_TEXT_MAX_BYTES = 64 << 20, /* of any file that is read whole */
};

/*
 * Each check below returns APR_SUCCESS, or APR_EINVAL with a sentence in `diag` that begins with
 * `field`, shows the value escaped and says what is allowed; diag->line is 0 then. `pool` is used
 * for the message only.
 */

/** An application's name: [A-Za-z][A-Za-z0-9._-]{0,62} */
apr_status_t hap_grammar_app(hap_str_t value, const char *field, hap_diag_t *diag,
                             apr_pool_t *pool);

/** A route: [A-Za-z0-9_-]{1,63}. No dot, because a dot separates it from the session's id. */
apr_status_t hap_grammar_route(hap_str_t value, const char *field, hap_diag_t *diag,
                               apr_pool_t *pool);

/**
 * A cookie's name: a token (RFC 6265 4.1.1) of at most 63 bytes, less the bytes that mean
 * something to Apache: $ % # | ' and the grave accent.
 */
apr_status_t hap_grammar_cookie(hap_str_t value, const char *field, hap_diag_t *diag,
                                apr_pool_t *pool);

/** A protocol to upgrade to, or ANY: [A-Za-z0-9._+-]{1,15} */
apr_status_t hap_grammar_protocol(hap_str_t value, const char *field, hap_diag_t *diag,
                                  apr_pool_t *pool);

/**
 * An absolute, decoded path of at most 63 bytes: "/" or segments of A-Za-z0-9 and -._~!&()*+,=:@
 * that are neither empty nor "." nor "..", without a slash at the end.
 */
apr_status_t hap_grammar_path(hap_str_t value, const char *field, hap_diag_t *diag,
                              apr_pool_t *pool);

/** A port: 1 to 65535, digits only, without leading zeros. */
apr_status_t hap_grammar_port(unsigned *port, hap_str_t value, const char *field, hap_diag_t *diag,
                              apr_pool_t *pool);

/**
 * A host name, an IPv4 address or an IPv6 address with or without brackets. `*host` gets its one
 * spelling: lower case, IPv6 shortened (RFC 5952) and in brackets. Allocates from `pool`.
 */
apr_status_t hap_grammar_host(const char **host, hap_str_t value, const char *field,
                              hap_diag_t *diag, apr_pool_t *pool);

/**
 * HOST:PORT, with the host in the spelling that hap_grammar_host gives. `*host` is allocated from
 * `pool`.
 */
apr_status_t hap_grammar_address(const char **host, unsigned *port, hap_str_t value,
                                 const char *field, hap_diag_t *diag, apr_pool_t *pool);

/** Whom a host means when somebody else reads it. */
typedef enum hap_host_kind_t {
    HAP_HOST_REMOTE,      /* the same machine for everybody */
    HAP_HOST_LOOPBACK,    /* 127.0.0.0/8, ::1, localhost: whoever reads it */
    HAP_HOST_UNSPECIFIED, /* 0.0.0.0, :: : an address to listen on, not to connect to */
} hap_host_kind_t;

/** The kind of a host in the spelling that hap_grammar_host gives. */
hap_host_kind_t hap_grammar_host_kind(const char *host);

/** A route made from a host: its first label, or the whole address, cleaned. From `pool`. */
const char *hap_grammar_route_of_host(const char *host, apr_pool_t *pool);

/**
 * The route of a member that was given none, from its worker's URL: HOST-PORT, with `-` for all but
 * letters and digits; that of hap_grammar_route_by_hash where there is no such thing or it is too
 * long. A URL through a Unix-domain socket begins with `unix:PATH|`. From `pool`.
 */
const char *hap_grammar_route_of_url(const char *url, apr_pool_t *pool);

/** The same where HOST-PORT is another member's already: `m-` and a hash of the whole URL. */
const char *hap_grammar_route_by_hash(const char *url, apr_pool_t *pool);

/**
 * What httpd tells balancers apart by: the name in lower case with `_` for all but letters and
 * digits. Two balancers of one server with the same key do not start. From `pool`.
 */
const char *hap_grammar_balancer_key(hap_str_t name, apr_pool_t *pool);

/**
 * A text of one of our own formats: not empty, ends in a newline, UTF-8, no NUL, no CR, no other
 * control byte, no line over HAP_LINE_MAX_BYTES. APR_EINVAL with the line in `diag`.
 */
apr_status_t hap_grammar_text(hap_str_t text, hap_diag_t *diag);

/** Length of the UTF-8 sequence (RFC 3629) of two bytes or more at `i`; 0: there is none. */
size_t hap_grammar_utf8(hap_str_t text, size_t i);

/**
 * Compares two texts line by line. True when they are the same, else `*line` is the first line
 * that differs, from 1, and `*got` is that line of `text` (empty when it has ended).
 */
bool hap_grammar_same_text(int *line, hap_str_t *got, hap_str_t text, hap_str_t want);

/** Whether a quote of a command's text is not closed, which apr_tokenize_to_argv does not say. */
bool hap_grammar_open_quote(const char *command);

#endif
