/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what HAZone comes to for an application. Does not open stores. */
#include "mh_app_zone.h"

#include <apr_strings.h>

#include "mh_secret.h"

/* The state of a session belongs to the id that the application itself has given it. */
static const char *lacks_session(const mh_app_t *app, const proxy_balancer *balancer, apr_pool_t *p)
{
    const mh_named_t conf = mh_config_by_key(app->conf, "affinity");
    const char *where = mh_config_where(conf.directive, p);
    switch (app->policy.affinity.mode) {
    case HAP_AFFINITY_NONE:
        return apr_psprintf(p,
                            "with affinity=none there is no session whose state could be kept: "
                            "take it out of HABalancer %s (%s), and name the application's session "
                            "cookie with ProxySet stickysession=NAME",
                            app->label, where);
    case HAP_AFFINITY_INSERT:
        return apr_psprintf(p,
                            "the id of a session is in the application's own cookie, and with "
                            "affinity=insert the proxy knows none: take it out of HABalancer %s "
                            "(%s), and name that cookie with ProxySet stickysession=NAME",
                            app->label, where);
    case HAP_AFFINITY_APP:
        break;
    }
    if (!*balancer->s->sticky) {
        return apr_psprintf(p,
                            "there is no session whose state could be kept: name the "
                            "application's session cookie with ProxySet stickysession=NAME in "
                            "<Proxy \"balancer://%s\">",
                            app->label);
    }
    return NULL;
}

static apr_status_t understand_keys(void *result, hap_str_t text, hap_diag_t *diag, apr_pool_t *p)
{
    hap_zone_keys_t *keys = NULL;
    apr_status_t rv = hap_zone_keys_parse(&keys, text, diag, p);
    *(const hap_zone_keys_t **)result = keys;
    return rv;
}

static apr_status_t read_keys(mh_app_t *app, apr_pool_t *p)
{
    const mh_named_t conf = mh_config_by_key(app->zone_conf, "key");
    const mh_secret_t file = {app, &conf, "key", app->zone_policy.key};
    return mh_secret_read(&app->zone_keys, &file, understand_keys, p);
}

static apr_status_t understand_token(void *result, hap_str_t text, hap_diag_t *diag, apr_pool_t *p)
{
    return hap_zone_token_parse(result, text, diag);
}

/* The token says whose zone it is, so it is one application's. */
static const mh_app_t *same_token(const hap_zone_token_t *token)
{
    for (int i = 0; i < mh_apps->nelts; i++) {
        const mh_app_t *other = mh_app_at(i);
        if (other->zone_token && hap_zone_token_same(other->zone_token, token)) {
            return other;
        }
    }
    return NULL;
}

static apr_status_t read_token(mh_app_t *app, apr_pool_t *p)
{
    const mh_named_t conf = mh_config_by_key(app->zone_conf, "token");
    const mh_secret_t file = {app, &conf, "token", app->zone_policy.token};
    hap_zone_token_t *token = apr_palloc(p, sizeof(*token));
    apr_status_t rv = mh_secret_read(token, &file, understand_token, p);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    const mh_app_t *other = same_token(token);
    if (other) {
        return mh_secret_refuse(&file,
                                apr_psprintf(p,
                                             " has the token of %s, and a token says whose zones "
                                             "are meant: make another one",
                                             other->name),
                                p);
    }
    app->zone_token = token;
    return APR_SUCCESS;
}

apr_status_t mh_app_set_zone(mh_app_t *app, const proxy_balancer *balancer, const mh_named_t *conf,
                             apr_pool_t *p)
{
    hap_diag_t diag;
    const hap_zone_policy_t *policy = &conf->zone;
    app->zone_conf = conf;
    app->zone_policy = *policy;
    if (hap_zone_kinds_parse(&app->zone_kinds, hap_str(policy->zone), &diag) != APR_SUCCESS) {
        return mh_app_refuse_key(app, conf, "zone", p, diag.why);
    }
    if (hap_zone_spec_parse(&app->zone_spec, hap_str(policy->store), &diag, p) != APR_SUCCESS) {
        return mh_app_refuse_key(app, conf, "store", p, diag.why);
    }
    const char *lack = app->zone_kinds & HAP_ZONE_USER ? lacks_session(app, balancer, p) : NULL;
    if (lack) {
        return mh_app_refuse_key(app, conf, "zone", p, lack);
    }
    if (app->zone_spec.kind == HAP_ZONE_MEMCACHED && !policy->key) {
        return mh_app_refuse_key(
            app, conf, "store", p,
            "store=memcached needs key=, because memcached shows what it has to whoever asks: "
            "(umask 077; openssl rand -hex 32 >zone.key), and the same file on all "
            "proxies");
    }
    apr_status_t rv = policy->key ? read_keys(app, p) : APR_SUCCESS;
    return rv == APR_SUCCESS && policy->token ? read_token(app, p) : rv;
}
