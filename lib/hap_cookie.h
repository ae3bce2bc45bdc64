/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns reading a Cookie header and a path's parameters, and writing a Set-Cookie value. Does not
 * know which cookie carries a session, nor what its value means: that is hap_affinity.
 */
#ifndef HAP_COOKIE_H
#define HAP_COOKIE_H

#include <stdbool.h>

#include <apr_errno.h>
#include <apr_pools.h>

#include "hap_diag.h"
#include "hap_str.h"

/** One cookie of a request. Both borrow from the header. */
typedef struct hap_cookie_t {
    hap_str_t name;  /* never empty */
    hap_str_t value; /* without the quotes around it; may be empty */
} hap_cookie_t;

/**
 * Cuts the next cookie off `rest`, the value of a Cookie header (RFC 6265 4.2). False at the end.
 * Cookies end at `;`, with or without a blank, and at a `,` behind which another `name=` begins:
 * that is how two Cookie headers look once they are joined. Any other comma is part of the value.
 * What has no name is skipped. The work is linear in the header's length. Borrows, no allocation.
 */
bool hap_cookie_next(hap_cookie_t *cookie, hap_str_t *rest);

/** As hap_cookie_next, for the next cookie with exactly this name, case and all. */
bool hap_cookie_find(hap_str_t *value, hap_str_t name, hap_str_t *rest);

/**
 * The raw path that ends where a query or a fragment begins: what hap_path_param_find walks over.
 * Borrows.
 */
hap_str_t hap_path_only(hap_str_t target);

/**
 * Cuts the last path parameter `;name=value` off `rest`, a raw path without query, and gives its
 * value, undecoded. False when there is none left. The last segment's come first, and within a
 * segment the last one. The name is compared whole, case and all. Borrows, no allocation.
 */
bool hap_path_param_find(hap_str_t *value, hap_str_t name, hap_str_t *rest);

/** A cookie's name: a token (RFC 9110 5.6.2). */
bool hap_cookie_name_ok(hap_str_t name);

/** A cookie's value: cookie-octets (RFC 6265 4.1.1), so no blanks, quotes, commas, `;` or `\`. */
bool hap_cookie_value_ok(hap_str_t value);

/**
 * The value, without quotes, of the cookie that a Set-Cookie sets. False when it takes the cookie
 * back: the value is empty, Max-Age is not above 0, or Expires is in 1970. Borrows.
 */
bool hap_cookie_is_set(hap_str_t *value, hap_str_t set_cookie);

enum {
    HAP_COOKIE_BYTES_MAX = 4096,     /* name and value; browsers drop a longer cookie */
    HAP_COOKIE_PATH_BYTES_MAX = 1024 /* browsers ignore a longer Path */
};

/** The attributes that a Set-Cookie value may carry, or'ed together. */
enum {
    HAP_COOKIE_HTTP_ONLY = 1,     /* no script may read it */
    HAP_COOKIE_SAME_SITE_LAX = 2, /* not sent with requests that other sites make, links excepted */
    HAP_COOKIE_SECURE = 4         /* sent over TLS only */
};

/** What goes into a Set-Cookie value. */
typedef struct hap_set_cookie_t {
    hap_str_t name;
    hap_str_t value;
    hap_str_t path;      /* begins with a slash; empty for no Path attribute */
    unsigned attributes; /* HAP_COOKIE_... */
} hap_set_cookie_t;

/**
 * Builds the value of a Set-Cookie header (RFC 6265 4.1.1). Allocates from `pool`. APR_EINVAL with
 * a sentence when a part is outside the grammar or longer than browsers take.
 */
apr_status_t hap_cookie_set(const char **header, const hap_set_cookie_t *cookie, hap_diag_t *diag,
                            apr_pool_t *pool);

#endif
