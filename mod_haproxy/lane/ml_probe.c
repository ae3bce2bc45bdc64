/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the set of probes and their schedule. What happens in a probe is in ml_probe_run.c. */
#include "ml_probe_run.h"

#include <stdlib.h>

#include <apr_strings.h>
#include <openssl/ssl.h>

/* The member's own name for Host (RFC 9110 7.2): without the port that goes without saying. */
static hap_str_t host_of(const ml_probe_target_t *target, apr_pool_t *pool)
{
    if (target->scheme == ML_PROBE_UNIX) {
        return HAP_STR_LIT("localhost");
    }
    bool bare6 = hap_str_find(target->host, ':', 0) < target->host.n && target->host.p[0] != '[';
    const char *host = apr_psprintf(pool, bare6 ? "[%.*s]" : "%.*s", HAP_STR_ARG(target->host));
    if (target->port == (target->scheme == ML_PROBE_HTTPS ? 443 : 80)) {
        return hap_str(host);
    }
    return hap_str(apr_psprintf(pool, "%s:%u", host, (unsigned)target->port));
}

static void locate(ml_probe_t *probe)
{
    if (probe->scheme == ML_PROBE_UNIX) {
        ml_addrs_unix(&probe->addrs, probe->host);
        return;
    }
    probe->named = !ml_addrs_literal(&probe->addrs, probe->host, probe->port);
}

static ml_probe_t *probe_create(ml_prober_t *prober, const ml_probe_target_t *target)
{
    apr_pool_t *pool;
    if (apr_pool_create(&pool, NULL) != APR_SUCCESS) {
        return NULL;
    }
    ml_probe_t *probe = apr_pcalloc(pool, sizeof(*probe));
    probe->pool = pool;
    probe->prober = prober;
    probe->name = hap_str(hap_str_dup(target->name, pool));
    probe->scheme = target->scheme;
    probe->host = hap_str_dup(target->scheme == ML_PROBE_UNIX ? target->path : target->host, pool);
    probe->port = target->port;
    probe->method = target->check->method;
    probe->expect = target->check->expect;
    if (target->check->uri.n) {
        probe->request = hap_check_request(target->check, host_of(target, pool), pool);
    }
    ml_probe_init(probe);
    locate(probe);
    return probe;
}

static void probe_free(ml_probe_t *probe)
{
    ml_probe_abandon(probe);
    if (probe->calling) {
        probe->dead = true; /* its owner is being told a result: ml_probe_next frees it */
        return;
    }
    apr_pool_destroy(probe->pool);
}

static void plan(ml_probe_t *probe, apr_interval_time_t delay)
{
    if (delay < 0) {
        ml_timer_cancel(probe->prober->loop, &probe->timer);
        return;
    }
    ml_timer_set(probe->prober->loop, &probe->timer, delay);
}

void ml_probe_next(ml_probe_t *probe, hap_check_end_t how, const char *why)
{
    ml_prober_t *prober = probe->prober;
    apr_interval_time_t latency = ml_loop_now(prober->loop) - probe->started;
    probe->calling = true;
    apr_interval_time_t delay = prober->on_result(probe->owner, how, why, latency);
    probe->calling = false;
    if (probe->dead) {
        apr_pool_destroy(probe->pool);
        return;
    }
    if (probe->again) {
        probe->again = false;
        delay = 0;
    }
    if (delay > 0) {
        delay = delay > latency ? delay - latency : 0;
    }
    plan(probe, delay);
}

static bool same_target(const ml_probe_t *a, const ml_probe_t *b)
{
    return a->scheme == b->scheme && strcmp(a->host, b->host) == 0 && a->port == b->port &&
           a->method == b->method && hap_str_eq(a->request, b->request) &&
           memcmp(&a->expect, &b->expect, sizeof(a->expect)) == 0;
}

static size_t find(const ml_prober_t *prober, hap_str_t name)
{
    size_t i = 0;
    while (i < prober->n && !(prober->probes[i] && hap_str_eq(prober->probes[i]->name, name))) {
        i++;
    }
    return i;
}

/* The probe for a target of the new set: the old one goes on if the target is the same. */
static ml_probe_t *take_over(ml_prober_t *prober, const ml_probe_target_t *target)
{
    ml_probe_t *probe = probe_create(prober, target);
    if (!probe) {
        return NULL;
    }
    size_t i = find(prober, target->name);
    if (i < prober->n && same_target(prober->probes[i], probe)) {
        probe_free(probe);
        probe = prober->probes[i];
        prober->probes[i] = NULL;
    }
    probe->owner = target->owner;
    probe->timeout = target->timeout;
    /* While its owner is being told a result, the answer to that is the plan. */
    if (!probe->calling && ml_probe_idle(probe) && !ml_timer_is_set(&probe->timer)) {
        plan(probe, target->first);
    }
    return probe;
}

void ml_probe_set(ml_prober_t *prober, const ml_probe_target_t *targets, size_t n)
{
    ml_probe_t **probes = n ? calloc(n, sizeof(*probes)) : NULL;
    size_t kept = 0;
    for (size_t i = 0; probes && i < n; i++) {
        ml_probe_t *probe = take_over(prober, &targets[i]);
        if (probe) {
            probes[kept++] = probe;
        }
    }
    ml_probe_stop(prober);
    prober->probes = probes;
    prober->n = kept;
}

bool ml_probe_now(ml_prober_t *prober, hap_str_t name)
{
    size_t i = find(prober, name);
    if (i == prober->n) {
        return false;
    }
    ml_probe_t *probe = prober->probes[i];
    if (probe->calling || !ml_probe_idle(probe)) {
        probe->again = true;
        return true;
    }
    plan(probe, 0);
    return true;
}

void ml_probe_stop(ml_prober_t *prober)
{
    for (size_t i = 0; i < prober->n; i++) {
        if (prober->probes[i]) {
            probe_free(prober->probes[i]);
        }
    }
    free(prober->probes);
    prober->probes = NULL;
    prober->n = 0;
}

apr_status_t ml_probe_create(ml_prober_t **prober, ml_loop_t *loop, ml_probe_result_fn *on_result,
                             ml_lookup_fn *lookup)
{
    ml_prober_t *made = calloc(1, sizeof(*made));
    if (!made) {
        return APR_ENOMEM;
    }
    *made = (ml_prober_t){.loop = loop, .on_result = on_result, .lookup = lookup};
    *prober = made;
    return APR_SUCCESS;
}

void ml_probe_destroy(ml_prober_t *prober)
{
    ml_probe_stop(prober);
    if (prober->resolve) {
        ml_resolve_close(prober->resolve);
    }
    SSL_CTX_free(prober->ctx);
    free(prober);
}
