/* SPDX-License-Identifier: Apache-2.0 */
/* Owns reading and writing HAStateFile, in the parent. Does not know the format. */
#include "mh_state.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <apr_strings.h>

#include "hap_statefile.h"
#include "io/hapio_file.h"
#include "mh_lineup.h"
#include "mh_log.h"
#include "mh_shared.h"

enum { FILE_MAX_BYTES = 64 << 20 };

static const char why_config[] = "configuration";
static const char why_operator[] = "operator";

/* The version of the states that the file holds, and who wrote it. */
static uint64_t saved_version;
static pid_t parent;

/* The last try failed, and that was said. */
static bool failing;

static apr_time_t in_range(apr_time_t t, apr_time_t now)
{
    return t < 0 ? 0 : t > now ? now : t;
}

/* What a child may have written there is put into range before it goes anywhere. */
static void describe(hap_state_member_t *out, const mh_member_t *member, apr_time_t now,
                     apr_pool_t *p)
{
    const hap_slot_t *slot = &mh_shared->view.slots[member->slot];
    hap_admin_word_t admin = hap_shared_admin_word(slot);
    hap_health_t health;
    if (!hap_shared_get_health(slot, &health) || health.verdict >= HAP_HEALTH_VERDICTS) {
        hap_health_init(&health, 0);
    }
    *out = (hap_state_member_t){
        .app = hap_str(member->app->name),
        .route = hap_str(member->name),
        .admin = admin.state,
        .origin = admin.source,
        .configured = admin.configured,
        .admin_since = in_range(apr_time_from_sec(admin.since_s), now),
        .admin_why = hap_str(admin.source == HAP_SOURCE_OPERATOR ? why_operator : why_config),
        .health = (hap_verdict_t)health.verdict,
        .health_since = in_range(health.since, now),
        .checked = in_range(health.checked, now),
        .window_ms = apr_time_as_msec(hap_health_window(&member->app->rule)),
        .health_why = hap_str(apr_pstrdup(p, health.why)),
    };
}

static apr_status_t write_file(apr_pool_t *p, hap_diag_t *diag)
{
    size_t n = 0;
    for (int i = 0; i < mh_apps->nelts; i++) {
        n += (size_t)mh_app_at(i)->members->nelts;
    }
    hap_state_t state = {.saved = apr_time_now(), .n = n};
    state.members = apr_pcalloc(p, (n ? n : 1) * sizeof(*state.members));
    n = 0;
    for (int i = 0; i < mh_apps->nelts; i++) {
        mh_app_t *app = mh_app_at(i);
        for (int k = 0; k < app->members->nelts; k++) {
            describe(&state.members[n++], mh_app_member(app, k), state.saved, p);
        }
    }
    hap_str_t text;
    apr_status_t rv = hap_statefile_encode(&text, &state, diag, p);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    return hapio_file_write_own(mh_main_conf.state_file, text, diag, p);
}

/* Tried again and again while it fails, so only the first failure is worth a line. */
static void say_how_it_went(server_rec *s, apr_status_t rv, const char *why)
{
    if (rv == APR_SUCCESS && failing) {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s, "HAStateFile %s: saved again",
                     mh_main_conf.state_file);
    } else if (rv != APR_SUCCESS && !failing) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, s, "HAStateFile %s: not saved: %s",
                     mh_main_conf.state_file, why);
    }
    failing = rv != APR_SUCCESS;
}

static void save(server_rec *s, apr_pool_t *p, uint64_t version)
{
    apr_pool_t *tmp;
    hap_diag_t diag = {.why = ""};
    apr_pool_create(&tmp, p);
    apr_status_t rv = write_file(tmp, &diag);
    if (rv == APR_SUCCESS) {
        saved_version = version;
    }
    say_how_it_went(s, rv, diag.why);
    apr_pool_destroy(tmp);
}

void mh_state_save(server_rec *s, apr_pool_t *p)
{
    if (!mh_main_conf.state_file || !mh_shared) {
        return;
    }
    uint64_t version = atomic_load(&mh_shared->view.head->version);
    if (version != saved_version) {
        save(s, p, version);
    }
}

static apr_status_t save_at_end(void *s)
{
    if (getpid() == parent && mh_main_conf.state_file) {
        save(s, ((server_rec *)s)->process->pool, atomic_load(&mh_shared->view.head->version));
    }
    return APR_SUCCESS;
}

void mh_state_save_at_end(server_rec *s, apr_pool_t *p)
{
    parent = getpid();
    apr_pool_pre_cleanup_register(p, s, save_at_end);
}

/* A folder that is missing would else be noticed with the first state to keep, days later. */
void mh_state_check(server_rec *s, apr_pool_t *p)
{
    const char *path = mh_main_conf.state_file;
    if (!path) {
        return;
    }
    const char *folder = ap_make_dirstr_parent(p, path);
    if (access(folder, W_OK | X_OK) != 0) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, APR_FROM_OS_ERROR(errno), s,
                     "HAStateFile %s: its folder %s cannot be written, so no state is kept over a "
                     "stop: create it, for the user that starts the server",
                     path, folder);
    }
}

static void restore_member(const mh_member_t *member, const hap_state_member_t *saved,
                           apr_time_t now)
{
    hap_state_restored_t restored;
    hap_statefile_restore(&restored, saved, member->configured, now);
    const hap_state_member_t *m = &restored.member;
    hap_admin_word_t admin = {
        .state = m->admin,
        .configured = m->configured,
        .source = m->origin,
        .since_s = apr_time_sec(m->admin_since),
    };
    hap_shared_admin(&mh_shared->view, member->slot, &admin);
    mh_admin_show(member->worker, admin.state);
    hap_health_t health;
    hap_health_init(&health, m->health_since);
    health.verdict = m->health;
    health.checked = m->checked;
    size_t n = m->health_why.n < sizeof(health.why) ? m->health_why.n : sizeof(health.why) - 1;
    memcpy(health.why, m->health_why.p, n);
    health.why[n] = '\0';
    hap_shared_put_health(&mh_shared->view, member->slot, &health);
}

static const mh_member_t *find_member(hap_str_t app_name, hap_str_t route, apr_pool_t *p)
{
    const mh_app_t *app = mh_app_find(hap_str_dup(app_name, p));
    return app ? mh_lineup_find(app->lineup, hap_str_dup(route, p)) : NULL;
}

static void set_aside(server_rec *s, const hap_diag_t *diag, apr_pool_t *p)
{
    const char *path = mh_main_conf.state_file;
    const char *aside = apr_pstrcat(p, path, ".corrupt", NULL);
    apr_status_t rv = apr_file_rename(path, aside, p);
    ap_log_error(APLOG_MARK, APLOG_ERR, rv, s,
                 "HAStateFile %s:%d: %s; it was set aside as %s, and all members begin as "
                 "configured",
                 path, diag->line, diag->why, aside);
}

void mh_state_load(server_rec *s, apr_pool_t *p)
{
    bool first_start = mh_shared->generation == 1;
    if (!mh_main_conf.state_file || !first_start) {
        return;
    }
    hap_str_t text;
    hap_diag_t diag = {.why = ""};
    hap_state_t state;
    apr_status_t rv = hapio_file_read(&text, mh_main_conf.state_file, FILE_MAX_BYTES, &diag, p);
    if (APR_STATUS_IS_ENOENT(rv)) {
        return;
    }
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, s, "HAStateFile %s: not read: %s",
                     mh_main_conf.state_file, diag.why);
        return;
    }
    if (hap_statefile_decode(&state, text, MH_MAX_MEMBERS_MAX, &diag, p) != APR_SUCCESS) {
        set_aside(s, &diag, p);
        return;
    }
    apr_time_t now = apr_time_now();
    unsigned found = 0;
    for (size_t i = 0; i < state.n; i++) {
        const mh_member_t *member = find_member(state.members[i].app, state.members[i].route, p);
        if (member) {
            restore_member(member, &state.members[i], now);
            found++;
        }
    }
    saved_version = atomic_load(&mh_shared->view.head->version);
    ap_log_error(APLOG_MARK, APLOG_INFO, 0, s,
                 "HAStateFile %s: %u members' states are back, saved %" APR_TIME_T_FMT " s ago",
                 mh_main_conf.state_file, found, apr_time_sec(now - state.saved));
}
