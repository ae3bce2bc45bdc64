/* SPDX-License-Identifier: Apache-2.0 */
/* Owns making zones and their stores, and the memory of sessions around a store. */
#include "mh_zone.h"

#include <apr_strings.h>
#include <errno.h>
#include <inttypes.h>
#include <openssl/crypto.h>

#include "hap_str.h"
#include "mh_clock.h"
#include "mh_config.h"
#include "mh_log.h"

enum {
    PROBE_US = 250000, /* between two looks at a node that has failed */
    SAID_EVERY_MS = 60000
};

/* By mh_app_t.index. */
static mh_zone_t **zones;

static apr_status_t refuse(const mh_app_t *app, apr_status_t rv, const char *why)
{
    ap_log_error(APLOG_MARK, APLOG_EMERG, rv, app->server, "HAZone %s (%s): %s", app->label,
                 mh_config_where(app->zone_conf->directive, app->server->process->pconf), why);
    return APR_EINVAL;
}

/* The children of before go on with the old memory until they end: nothing of it is carried over.
 */
static apr_status_t open_records(mh_zone_t *zone)
{
    const mh_app_t *app = zone->app;
    uint64_t bytes = app->zone_spec.shm_bytes;
    uint64_t had = mh_zone_shared_records_bytes(zone->name.p);
    zone->records = mh_zone_shared_records(zone->name.p, bytes);
    if (!zone->records) {
        return refuse(app, errno, "no shared memory for its records");
    }
    if (had && had != bytes) {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, app->server,
                     "%s: store=shm has %" PRIu64 " bytes now, before %" PRIu64
                     ": it begins empty, each session is stored with its next change",
                     app->name, bytes, had);
    }
    return APR_SUCCESS;
}

static void say_store(const mh_zone_t *zone, apr_pool_t *p)
{
    const mh_app_t *app = zone->app;
    ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, app->server, "%s: session zones %s in %s%s%s",
                 app->name, hap_zone_kinds_text(app->zone_kinds),
                 hap_zone_spec_text(&app->zone_spec, p), app->zone_keys ? ", sealed with key " : "",
                 app->zone_keys ? hap_zone_key_id_text(hap_zone_keys_id(app->zone_keys, 0), p)
                                : "");
}

/* Records of shared memory are sealed like others: there is one way to read them. */
static apr_status_t set_store(mh_zone_t *zone, apr_pool_t *p)
{
    const mh_app_t *app = zone->app;
    const char *text = hap_zone_spec_text(&app->zone_spec, p);
    zone->keys = app->zone_keys;
    zone->alone = app->zone_spec.kind == HAP_ZONE_SHM;
    if (zone->alone) {
        text = apr_pstrcat(p, zone->name.p, " ", text, NULL); /* each has its own */
        apr_status_t rv = open_records(zone);
        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
    hap_zone_keys_t *own = NULL;
    if (!zone->keys && hap_zone_keys_make(&own, mh_zone_shared_key(), p) != APR_SUCCESS) {
        return refuse(app, 0, "no key could be made");
    }
    zone->keys = zone->keys ? zone->keys : own;
    zone->breakers = mh_zone_shared_breakers(&app->zone_spec, text);
    if (!zone->breakers) {
        return refuse(app, 0, "there are too many stores");
    }
    say_store(zone, p);
    return APR_SUCCESS;
}

static apr_status_t attach(mh_app_t *app, apr_pool_t *p)
{
    mh_zone_t *zone = apr_pcalloc(p, sizeof(*zone));
    char *name = apr_pstrdup(p, app->name);
    ap_str_tolower(name);
    zone->app = app;
    zone->name = hap_str(name);
    hap_siphash(zone->seed, mh_zone_shared_key(), zone->name);
    zone->table = mh_zone_shared_table();
    zone->recheck_ms = (uint32_t)apr_time_as_msec(app->zone_policy.recheck);
    zone->counts = mh_zone_shared_counts(name);
    if (!zone->counts) {
        return refuse(app, 0, "there are too many balancers with HAZone");
    }
    zones[app->index] = zone;
    return set_store(zone, p);
}

apr_status_t mh_zones_attach(server_rec *s, apr_pool_t *p)
{
    zones = apr_pcalloc(p, (size_t)(mh_apps->nelts + 1) * sizeof(mh_zone_t *));
    bool open = false;
    for (int i = 0; i < mh_apps->nelts; i++) {
        mh_app_t *app = mh_app_at(i);
        if (!app->zone_conf) {
            continue;
        }
        apr_status_t rv = open ? APR_SUCCESS : mh_zone_shared_open(s, mh_main_conf.zone_sessions);
        if (rv != APR_SUCCESS) {
            return refuse(app, rv, "no shared memory for what is remembered of sessions");
        }
        open = true;
        rv = attach(app, p);
        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
    return APR_SUCCESS;
}

mh_zone_t *mh_zone_of(const mh_app_t *app)
{
    return zones ? zones[app->index] : NULL;
}

static void say(void *zone, const char *line)
{
    const mh_app_t *app = ((const mh_zone_t *)zone)->app;
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, app->server, "%s: %s", app->name, line);
}

hapstore_t *mh_zone_store(mh_zone_t *zone, apr_pool_t *p)
{
    hapstore_t *store = NULL;
    apr_status_t rv = hapstore_create(&store, &zone->conf, p);
    if (rv == APR_SUCCESS) {
        return store;
    }
    ap_log_error(APLOG_MARK, APLOG_CRIT, rv, zone->app->server,
                 "%s: its store cannot be used in this child: its sessions are not protected here",
                 zone->app->name);
    return NULL;
}

/* Requests of the standard path have no loop, so their store has a thread. */
static void start(mh_zone_t *zone, apr_pool_t *p)
{
    zone->conf = (hapstore_conf_t){
        .spec = &zone->app->zone_spec,
        .keys = zone->keys,
        .budget = zone->app->zone_policy.budget,
        .probe = PROBE_US,
        .breakers = zone->breakers,
        .shm = zone->records,
        .say = say,
        .say_data = zone,
    };
    zone->store = mh_zone_store(zone, p);
    apr_status_t rv = zone->store ? hapstore_serve(zone->store) : APR_SUCCESS;
    if (rv != APR_SUCCESS) {
        zone->store = NULL;
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, zone->app->server,
                     "%s: no thread for its store in this child: sessions on the standard path are "
                     "not protected here",
                     zone->app->name);
    }
}

void mh_zones_start(apr_pool_t *p)
{
    for (int i = 0; zones && i < mh_apps->nelts; i++) {
        if (zones[i]) {
            start(zones[i], p);
        }
    }
}

void mh_zones_stop(void)
{
    for (int i = 0; zones && i < mh_apps->nelts; i++) {
        if (zones[i] && zones[i]->store) {
            hapstore_destroy(zones[i]->store);
            zones[i]->store = NULL;
        }
    }
}

/* --- what is counted and said ----------------------------------------------------------------- */

bool mh_zone_may_say(_Atomic int64_t *said_ms)
{
    int64_t now_ms = mh_now_us() / 1000;
    int64_t last_ms = atomic_load(said_ms);
    return (last_ms == 0 || now_ms - last_ms >= SAID_EVERY_MS) &&
           atomic_compare_exchange_strong(said_ms, &last_ms, now_ms);
}

void mh_zone_count_op(mh_zone_t *zone, const hapstore_op_t *op)
{
    mh_zone_count(zone, MH_ZONE_REPAIRED, op->repaired);
    if (op->unopened == 0) {
        return;
    }
    mh_zone_count(zone, MH_ZONE_UNREADABLE, op->unopened);
    if (mh_zone_may_say(&zone->unopened_ms)) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, zone->app->server,
                     "%s: a record in the store counts as not there: %s", zone->app->name,
                     hap_zone_open_why(op->why_unopened));
    }
}

/* --- what is remembered ----------------------------------------------------------------------- */

static int64_t now_ms(void)
{
    return mh_now_us() / 1000;
}

mh_zone_key_t mh_zone_key(const mh_zone_t *zone, hap_str_t sid)
{
    mh_zone_key_t key;
    hap_siphash(key.hash, zone->seed, sid);
    return key;
}

bool mh_zone_name(const mh_zone_t *zone, char name[HAP_ZONE_NAME_BYTES], hap_str_t sid)
{
    const hap_zone_id_t id = {.app = zone->name, .zone = HAP_STR_LIT("USER"), .sid = sid};
    return hap_zone_name(name, zone->keys, &id);
}

bool mh_zone_recall(const mh_zone_t *zone, const mh_zone_key_t *key, hap_zone_known_t *known)
{
    return hap_zone_table_find(zone->table, key->hash, now_ms(), known);
}

void mh_zone_remember(mh_zone_t *zone, const mh_zone_key_t *key, const hap_zone_known_t *known)
{
    hap_zone_table_note(zone->table, key->hash, now_ms(), known);
}

uint32_t mh_zone_owner(hap_str_t route)
{
    return (uint32_t)hap_str_hash(route);
}

enum { UNSURE_S = 60 /* that something is remembered of which nobody knows how long it holds */ };

/* When a clock was set it would look for days as if the record had all of its time left, and no
 * touch were worth a write; so the next one is written, with the clock as it is now. */
static uint32_t rest_s(const hap_zone_record_t *record)
{
    int64_t now_s = apr_time_sec(apr_time_now());
    uint32_t rest = hap_zone_rest_s(record, now_s);
    return hap_zone_age_makes_sense(record, now_s) || rest < UNSURE_S ? rest : UNSURE_S;
}

void mh_zone_note(mh_zone_t *zone, const mh_zone_key_t *key, const hapstore_op_t *op)
{
    mh_zone_count_op(zone, op);
    if (op->end != HAPSTORE_DONE) {
        return;
    }
    hap_zone_known_t known = {.state = HAP_ZONE_KNOWN_NONE, .owner = HAP_ZONE_NOBODY};
    known.rest_s = UNSURE_S;
    if (op->found) {
        known.state = op->record.tombstone ? HAP_ZONE_KNOWN_GONE : HAP_ZONE_KNOWN_LIVE;
        known.owner = mh_zone_owner(op->record.owner);
        known.epoch = op->record.epoch;
        known.version = op->record.version;
        known.rest_s = rest_s(&op->record);
    }
    mh_zone_remember(zone, key, &known);
}
