/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the cookies that we set: our own for affinity=insert, and the application's session cookie
 * with its new route after a failover. Does not send them: mh_affinity does, and the lane.
 */
#ifndef MH_COOKIE_H
#define MH_COOKIE_H

#include "mh_choice.h"

/** The answer needs a cookie, unless the application sets it itself (affinity=app). */
bool mh_cookie_is_needed(const mh_choice_t *choice, int64_t now_s);

/** A Set-Cookie of the application's is about the cookie that keeps its sessions. */
bool mh_cookie_is_sessions(const mh_choice_t *choice, hap_str_t set_cookie);

/** The value of Set-Cookie, or NULL and why not. Allocates from `p`. */
const char *mh_cookie_make(const mh_choice_t *choice, bool tls, int64_t now_s, hap_diag_t *diag,
                           apr_pool_t *p);

#endif
