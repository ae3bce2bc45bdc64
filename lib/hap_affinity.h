/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the decision which member a request wants, and why; and the values of the cookies that say
 * so. Does not know whether the member is usable, and does not choose one for a new session.
 */
#ifndef HAP_AFFINITY_H
#define HAP_AFFINITY_H

#include <stdint.h>

#include <apr_pools.h>

#include "hap_sign.h"
#include "hap_str.h"

/** How the caller's table of members is asked. */
typedef struct hap_route_lookup_t {
    /* Index of the member with this route, which is never empty, or -1. May also name a member
     * that was taken out, for as long as the table knows it: its sessions then count as in need of
     * failover, not as strangers, and their cookies can be rewritten. */
    int (*find)(const void *table, hap_str_t route);
    const void *table; /* handed to find */
} hap_route_lookup_t;

/** Who makes the cookie that binds a session to its member. */
typedef enum hap_affinity_mode_t {
    HAP_AFFINITY_NONE,  /* nobody: each request goes anywhere */
    HAP_AFFINITY_APP,   /* the application: its session cookie or path parameter ends in a route */
    HAP_AFFINITY_INSERT /* we: a cookie of our own; path parameters do not count */
} hap_affinity_mode_t;

/** A balancer's rule; made at startup. Borrows. */
typedef struct hap_affinity_rule_t {
    hap_affinity_mode_t mode;
    hap_str_t cookie;       /* name of the cookie */
    hap_str_t path_param;   /* name of the path parameter; empty for none. APP only */
    const hap_sign_t *sign; /* keys, NULL for unsigned. INSERT only */
    hap_str_t app;          /* the balancer's name, which a signature is bound to */
} hap_affinity_rule_t;

/** What of a request matters. Borrows. */
typedef struct hap_affinity_request_t {
    hap_str_t cookies; /* value of the Cookie header, several joined with `, ` or `; ` */
    hap_str_t path;    /* raw path, undecoded; a query behind it is ignored */
    int64_t now_s;     /* seconds since 1970, for signed cookies */
} hap_affinity_request_t;

/** Where the session was found. */
typedef enum hap_affinity_source_t {
    HAP_AFFINITY_FROM_NOTHING,
    HAP_AFFINITY_FROM_COOKIE,
    HAP_AFFINITY_FROM_PATH
} hap_affinity_source_t;

/** Every outcome, with the sentence that hap_affinity_why gives for it. */
#define HAP_AFFINITY_VERDICTS(V)                                                                   \
    V(OFF, "affinity is off for this balancer")                                                    \
    V(NO_SESSION, "the request carries no session")                                                \
    V(NO_ROUTE, "the session names no route")                                                      \
    V(UNKNOWN_ROUTE, "the session's route is no member's")                                         \
    V(MALFORMED, "the affinity cookie is not in the signed form")                                  \
    V(FORGED, "the affinity cookie's signature is not ours for this balancer and route")           \
    V(EXPIRED, "the affinity cookie has expired")                                                  \
    V(FOUND, "the session's route names a member")

typedef enum hap_affinity_verdict_t {
#define HAP_AFFINITY_VERDICT(name, why) HAP_AFFINITY_##name,
    HAP_AFFINITY_VERDICTS(HAP_AFFINITY_VERDICT)
#undef HAP_AFFINITY_VERDICT
} hap_affinity_verdict_t;

/** The decision. The slices borrow from the request and lie inside it. */
typedef struct hap_affinity_t {
    hap_affinity_verdict_t verdict;
    hap_affinity_source_t source; /* of `value` */
    int member;                   /* index that find gave; -1 unless FOUND */
    hap_str_t value;              /* the whole value, without quotes */
    hap_str_t id;                 /* what stands before the dot before the route */
    hap_str_t route;              /* that names the member, or that would have had to */
    int64_t expiry_s;             /* of a signed cookie that is not FORGED; else 0 */
} hap_affinity_t;

/** Values of the wanted name that are looked at; more are noise or an attack. */
enum { HAP_AFFINITY_VALUES_MAX = 8 };

/**
 * Decides which member a request wants. Candidates are the cookies of the rule's name in their
 * order, then (APP) the path parameters of its name, the last first; the first whose route names a
 * member wins, else the first is reported. A query never counts. The route is what follows the
 * value's last dot if that names a member, else what follows its first. Allocates nothing, but for
 * libcrypto when the rule signs.
 */
void hap_affinity_find(hap_affinity_t *result, const hap_affinity_rule_t *rule,
                       const hap_affinity_request_t *request, const hap_route_lookup_t *members);

/** Copies the session's value to `room`, which has room for it, and lets it borrow from there. */
void hap_affinity_move(hap_affinity_t *session, char *room);

/**
 * What the session is known by when it has no member that it could go to: its id, or the whole
 * value when that names no member. Empty without a session, and for a cookie of ours that is forged
 * or too old, which is none. Borrows from the session.
 */
hap_str_t hap_affinity_id(const hap_affinity_t *session);

/** The id in a session's value: what stands before the last dot; all of it if there is none.
 * Borrows. */
hap_str_t hap_affinity_cut(hap_str_t value);

/** Whether the cookies of the rule's name are of several ids: whose session is meant is then for
 * the application to say. */
bool hap_affinity_differ(const hap_affinity_rule_t *rule, hap_str_t cookies);

/** The verdict as a sentence, for explain and logs. Static. */
const char *hap_affinity_why(hap_affinity_verdict_t verdict);

/**
 * The cookie's value for a session that moved to the member `route`: `<id>.<route>`. For APP
 * values, and only FOUND ones: behind the last dot of any other value may be a part of the
 * application's own token, which must not be replaced. Allocates from `pool`. NULL when it may not
 * be rewritten, or the new value would not be a cookie's (RFC 6265 4.1.1).
 */
const char *hap_affinity_rewrite(const hap_affinity_t *session, hap_str_t route, apr_pool_t *pool);

/**
 * The value of a new cookie of our own (INSERT): `<random>.<route>`, or with keys
 * `<random>~<expiry>~<mac>.<route>`. expiry_s counts from 1970 and is for signed ones only.
 * Allocates from `pool`. NULL when the route cannot stand in a cookie, or signing failed.
 */
const char *hap_affinity_mint(const hap_affinity_rule_t *rule, hap_str_t route,
                              const unsigned char random[HAP_SIGN_RANDOM_BYTES], int64_t expiry_s,
                              apr_pool_t *pool);

#endif
