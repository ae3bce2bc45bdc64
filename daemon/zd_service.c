/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what scripts are told, and how they have ended as a sentence. */
#include "zd_service.h"

#include <stdlib.h>

#include <apr_lib.h>
#include <apr_strings.h>

#include "zd_log.h"
#include "zd_reap.h"
#include "zd_script.h"

#define ACTIVE_MARK "HA_ROLE=active"

enum { SAID_BYTES = 256, RESTARTED = 2 /* exit code: it had to be, and was */ };

/* One place for a script: the replica's, or that of another one's daemon. */
typedef struct slot_t {
    zd_service_t *service;
    zd_script_t *script; /* NULL: none runs */
    const char *name;
    zd_run_t what; /* NONE: it starts a daemon */
    unsigned replica;
} slot_t;

struct zd_service_t {
    zd_service_conf_t conf;
    apr_pool_t *pool;
    const char *mark; /* the file of the service's shims */
    slot_t own;
    slot_t *peers; /* by replica */
    char *output[ZD_RUN_COUNT];
    zd_runs_t runs[ZD_RUN_COUNT];
    unsigned running;
    bool closing;
};

static void maybe_free(zd_service_t *service)
{
    if (!service->closing || service->running) {
        return;
    }
    for (int i = 0; i < ZD_RUN_COUNT; i++) {
        free(service->output[i]);
    }
    apr_pool_destroy(service->pool);
    free(service);
}

/* --- how it has ended ------------------------------------------------------------------------- */

static bool is_well(const zd_script_end_t *end)
{
    return !end->why && !end->timed_out && end->signal == 0 &&
           (end->code == 0 || end->code == RESTARTED);
}

static void say_end(char *said, size_t bytes, const char *name, const zd_script_end_t *end)
{
    if (end->why) {
        apr_snprintf(said, bytes, "%s: %s", name, end->why);
    } else if (end->timed_out) {
        apr_snprintf(said, bytes, "%s: no end within %u ms", name, end->ms);
    } else if (end->signal) {
        apr_snprintf(said, bytes, "%s: signal %d after %u ms", name, end->signal, end->ms);
    } else {
        apr_snprintf(said, bytes, "%s: exit %d after %u ms", name, end->code, end->ms);
    }
}

static void count(zd_runs_t *runs, const zd_script_end_t *end)
{
    zd_result_kind_t kind = is_well(end)     ? ZD_RESULT_WELL
                            : end->timed_out ? ZD_RESULT_TIMED_OUT
                                             : ZD_RESULT_FAILED;
    runs->n[kind]++;
    runs->ms += end->ms;
}

const zd_runs_t *zd_service_runs(const zd_service_t *service)
{
    return service->runs;
}

static void keep_output(zd_service_t *service, zd_run_t what, hap_str_t output)
{
    char *copy = malloc(output.n + 1);
    if (copy) {
        memcpy(copy, output.p ? output.p : "", output.n);
        copy[output.n] = '\0';
        free(service->output[what]);
        service->output[what] = copy;
    }
}

/* The last line that it printed, which mostly says why. */
static hap_str_t last_line(hap_str_t output)
{
    hap_str_t text = output;
    while (text.n > 0 && apr_isspace(text.p[text.n - 1])) {
        text.n--;
    }
    size_t at = text.n;
    while (at > 0 && text.p[at - 1] != '\n') {
        at--;
    }
    return hap_str_sub(text, at, text.n);
}

static void ended(void *baton, const zd_script_end_t *end)
{
    slot_t *slot = baton;
    zd_service_t *service = slot->service;
    char said[SAID_BYTES];
    bool well = is_well(end);
    slot->script = NULL;
    service->running--;
    count(&service->runs[slot->what], end);
    say_end(said, sizeof(said), slot->name, end);
    if (service->closing) {
        maybe_free(service);
        return;
    }
    if (slot->what == ZD_RUN_NONE) {
        zd_log("replica %u: %s", slot->replica, said);
        return;
    }
    keep_output(service, slot->what, end->output);
    if (!well && end->output.n) {
        hap_str_t line = last_line(end->output);
        size_t n = strlen(said);
        apr_snprintf(said + n, sizeof(said) - n, ", it says: %.*s", (int)line.n, line.p);
    }
    if (well && end->code == RESTARTED && slot->what == ZD_RUN_ACTIVE) {
        zd_log("replica %s: the service had to be started", service->conf.id);
    }
    service->conf.ran(service->conf.baton, well, said);
}

/* --- beginning -------------------------------------------------------------------------------- */

/* What ensure-passive and restart-hal begin is not the service's, and is not killed with it. */
static void run(slot_t *slot, zd_argv_t argv, const char *const *env)
{
    zd_service_t *service = slot->service;
    const zd_script_conf_t conf = {
        .argv = argv,
        .env = env,
        .mark = slot->what == ZD_RUN_ACTIVE ? service->mark : NULL,
        .limit_ms = service->conf.config->script_ms,
        .done = ended,
        .baton = slot,
    };
    service->running++;
    slot->script = zd_script_run(service->conf.loop, &conf);
    if (!slot->script) {
        const zd_script_end_t end = {.why = "no memory", .code = -1};
        ended(slot, &end);
    }
}

const char *const *zd_service_env(const zd_config_t *config, const char *id, const char *dir,
                                  zd_run_t what, uint64_t epoch, apr_pool_t *pool)
{
    enum { NAMES = 5 };
    const char **env = apr_pcalloc(pool, (NAMES + 1) * sizeof(*env));
    env[0] = apr_pstrcat(pool, "HA_APP=", config->app, NULL);
    env[1] = what == ZD_RUN_ACTIVE ? ACTIVE_MARK : "HA_ROLE=passive";
    env[2] = apr_psprintf(pool, "HA_EPOCH=%" APR_UINT64_T_FMT, epoch);
    env[3] = apr_pstrcat(pool, "HA_ID=", id, NULL);
    env[4] = apr_pstrcat(pool, "HA_DIR=", dir, NULL);
    return env;
}

const char *const *zd_service_marks(const char *dir, apr_pool_t *pool)
{
    const char **marks = apr_pcalloc(pool, 3 * sizeof(*marks));
    marks[0] = ACTIVE_MARK;
    marks[1] = apr_pstrcat(pool, "HA_DIR=", dir, NULL);
    return marks;
}

const char *zd_service_mark(const char *dir, apr_pool_t *pool)
{
    return apr_pstrcat(pool, dir, "/shim.active", NULL);
}

void zd_service_run(zd_service_t *service, zd_run_t what, uint64_t epoch)
{
    const zd_service_conf_t *conf = &service->conf;
    const zd_replica_conf_t *replica =
        &conf->config->replicas[zd_config_replica(conf->config, conf->id)];
    apr_pool_t *pool;
    apr_pool_create(&pool, service->pool);
    service->own.what = what;
    service->own.name = zd_run_names[what];
    run(&service->own, what == ZD_RUN_ACTIVE ? replica->ensure_active : replica->ensure_passive,
        zd_service_env(conf->config, conf->id, conf->dir, what, epoch, pool));
    apr_pool_destroy(pool);
}

void zd_service_restart(zd_service_t *service, unsigned replica)
{
    const zd_config_t *config = service->conf.config;
    slot_t *slot = &service->peers[replica];
    apr_pool_t *pool;
    if (slot->script) {
        return;
    }
    apr_pool_create(&pool, service->pool);
    const char *const env[] = {
        apr_pstrcat(pool, "HA_APP=", config->app, NULL),
        "HA_ROLE=restart",
        apr_pstrcat(pool, "HA_ID=", config->replicas[replica].id, NULL),
        NULL,
    };
    run(slot, config->replicas[replica].restart, env);
    apr_pool_destroy(pool);
}

/* --- killing ---------------------------------------------------------------------------------- */

void zd_service_kill_script(zd_service_t *service)
{
    if (service->own.script) {
        zd_script_kill(service->own.script);
    }
}

bool zd_service_kill(zd_service_t *service)
{
    unsigned killed = 0;
    bool all = zd_reap(&killed, zd_service_marks(service->conf.dir, service->pool), service->mark);
    if (killed > 0 || !all) {
        zd_log("replica %s: what ensure-active has begun is killed: %u processes%s",
               service->conf.id, killed, all ? "" : ", and some would not die");
    }
    return all;
}

/* ---------------------------------------------------------------------------------------------- */

const char *zd_service_output(const zd_service_t *service, zd_run_t what)
{
    return service->output[what] ? service->output[what] : "";
}

zd_service_t *zd_service_open(const zd_service_conf_t *conf)
{
    zd_service_t *service = calloc(1, sizeof(*service));
    unsigned n = conf->config->replicas_n;
    if (!service || apr_pool_create(&service->pool, NULL) != APR_SUCCESS) {
        free(service);
        return NULL;
    }
    service->conf = *conf;
    service->mark = zd_service_mark(conf->dir, service->pool);
    service->own.service = service;
    service->peers = apr_pcalloc(service->pool, n * sizeof(*service->peers));
    for (unsigned i = 0; i < n; i++) {
        service->peers[i] = (slot_t){
            .service = service,
            .name = apr_psprintf(service->pool, "restart-hal-%u", i),
            .replica = i,
        };
    }
    return service;
}

void zd_service_close(zd_service_t *service)
{
    service->closing = true;
    zd_service_kill_script(service);
    for (unsigned i = 0; i < service->conf.config->replicas_n; i++) {
        if (service->peers[i].script) {
            zd_script_kill(service->peers[i].script);
        }
    }
    maybe_free(service);
}
