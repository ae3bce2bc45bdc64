/* SPDX-License-Identifier: Apache-2.0 */
/* Owns when a cookie is due, and what is in it. */
#include "mh_cookie.h"

#include <openssl/rand.h>

#include "hap_cookie.h"

/* A signed cookie is renewed when half of its life is over. */
static bool renewal_due(const mh_choice_t *choice, int64_t now_s)
{
    const mh_app_t *app = choice->app;
    int64_t left = choice->session.expiry_s - now_s;
    return app->affinity.sign && left < apr_time_sec(app->policy.sign_lifetime) / 2;
}

bool mh_cookie_is_needed(const mh_choice_t *choice, int64_t now_s)
{
    bool moved = choice->why != HAP_PICK_SESSION || choice->preferred;
    switch (choice->app->affinity.mode) {
    case HAP_AFFINITY_INSERT:
        return moved || renewal_due(choice, now_s);
    case HAP_AFFINITY_APP:
        return moved && choice->session.verdict == HAP_AFFINITY_FOUND &&
               choice->session.source == HAP_AFFINITY_FROM_COOKIE;
    case HAP_AFFINITY_NONE:
        break;
    }
    return false;
}

bool mh_cookie_is_sessions(const mh_choice_t *choice, hap_str_t set_cookie)
{
    size_t eq = hap_str_find(set_cookie, '=', 0);
    return choice->app->affinity.mode == HAP_AFFINITY_APP &&
           hap_str_eq(hap_str_trim(hap_str_sub(set_cookie, 0, eq)), choice->app->affinity.cookie);
}

static const char *make_value(const mh_choice_t *choice, int64_t now_s, apr_pool_t *p)
{
    const mh_app_t *app = choice->app;
    hap_str_t route = hap_str(mh_choice_member(choice)->name);
    if (app->affinity.mode == HAP_AFFINITY_APP) {
        return hap_affinity_rewrite(&choice->session, route, p);
    }
    unsigned char random[HAP_SIGN_RANDOM_BYTES];
    if (RAND_bytes(random, sizeof(random)) != 1) {
        return NULL;
    }
    int64_t expiry = now_s + apr_time_sec(app->policy.sign_lifetime);
    return hap_affinity_mint(&app->affinity, route, random, expiry, p);
}

const char *mh_cookie_make(const mh_choice_t *choice, bool tls, int64_t now_s, hap_diag_t *diag,
                           apr_pool_t *p)
{
    const mh_app_t *app = choice->app;
    const char *value = make_value(choice, now_s, p);
    const char *header = NULL;
    if (!value) {
        hap_diag_set(diag, 0, "its value cannot stand in a cookie");
        return NULL;
    }
    /* Whether other sites may send the application's own cookie is for the application to say. */
    unsigned lax = app->affinity.mode == HAP_AFFINITY_INSERT ? HAP_COOKIE_SAME_SITE_LAX : 0u;
    const hap_set_cookie_t cookie = {
        .name = app->affinity.cookie,
        .value = hap_str(value),
        .path = hap_str(app->cookie_path),
        .attributes = HAP_COOKIE_HTTP_ONLY | lax | (tls ? HAP_COOKIE_SECURE : 0u),
    };
    return hap_cookie_set(&header, &cookie, diag, p) == APR_SUCCESS ? header : NULL;
}
