/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the rules of giving and taking.
 *
 * A lease is safe because its holder counts from the time it sent a renewal and the leader from the
 * time it heard it, which is later. Once the leader says that a lease is over it never renews it
 * again, so it may take its time to have that agreed on.
 */
#include "zd_lease.h"

#include <string.h>

#include <apr_strings.h>

#include "zd_replica.h"

enum {
    DRIFT_PARTS = 100, /* of the lease: clocks that are wrong by 1 % are broken */
    DRIFT_MS_MIN = 20,
    MOVE_LEASES = 2 /* for what is moved by hand, before that is given up */
};

void zd_lease_begin(zd_lease_t *lease, unsigned timeout_ms, unsigned election_ms, uint64_t now_ms)
{
    unsigned drift = timeout_ms / DRIFT_PARTS;
    *lease = (zd_lease_t){
        .timeout_ms = timeout_ms,
        .drift_ms = drift > DRIFT_MS_MIN ? drift : DRIFT_MS_MIN,
        .ready_ms = now_ms,
    };
    lease->floor_ms = now_ms + timeout_ms + 2 * election_ms + lease->drift_ms;
}

static void extend(zd_lease_t *lease, uint64_t now)
{
    lease->end_ms = now + lease->timeout_ms + lease->drift_ms;
}

void zd_lease_look(zd_lease_t *lease, const zd_app_t *app, uint64_t now_ms)
{
    if (app && lease->epoch != app->granted) {
        lease->epoch = app->granted;
        extend(lease, now_ms);
    }
    if (lease->to[0] && (now_ms >= lease->to_ms ||
                         (app && app->map.active && strcmp(app->map.active, lease->to) == 0))) {
        lease->to[0] = '\0';
    }
}

static bool is_over(const zd_lease_t *lease, uint64_t now)
{
    return now >= lease->end_ms && now >= lease->floor_ms;
}

static bool is_active(const zd_app_t *app, const char *route)
{
    return app->map.active && route && strcmp(app->map.active, route) == 0;
}

bool zd_lease_is_holder(const zd_app_t *app, const char *route, const zd_beat_t *beat)
{
    return app && is_active(app, route) && app->home && beat->home &&
           strcmp(app->home, beat->home) == 0;
}

bool zd_lease_renew(zd_lease_t *lease, const zd_app_t *app, const char *route,
                    const zd_beat_t *beat, uint64_t now_ms)
{
    if (!zd_lease_is_holder(app, route, beat) || beat->claim == 0 || beat->claim != app->granted ||
        lease->epoch != app->granted || beat->stopped >= app->granted || is_over(lease, now_ms)) {
        return false;
    }
    extend(lease, now_ms);
    return true;
}

bool zd_lease_yields(const zd_lease_t *lease, const zd_app_t *app)
{
    return lease->to[0] && app && app->map.active && strcmp(app->map.active, lease->to) != 0;
}

/* --- whom to give it to ----------------------------------------------------------------------- */

/* A replica that would take it now, or NULL. By hand it is asked too when it has just given up. */
static const zd_beat_t *candidate(const zd_app_t *app, const zd_config_t *config,
                                  const zd_roll_t *roll, unsigned replica, bool by_hand,
                                  uint64_t now)
{
    const char *passive = zd_role_names[ZD_ROLE_PASSIVE];
    const zd_heard_t *heard = zd_roll_present(roll, config->replicas[replica].id, now);
    bool is_member = hap_map_member(&app->map, hap_str(config->replicas[replica].route)) != NULL;
    bool takes =
        heard && heard->beat.home &&
        (by_hand ? heard->beat.role && strcmp(heard->beat.role, passive) == 0 : heard->beat.wants);
    return takes && is_member ? &heard->beat : NULL;
}

/* The one that has waited longest; those whose last script has failed come after the others. */
static int first_candidate(const zd_app_t *app, const zd_config_t *config, const zd_roll_t *roll,
                           bool well, uint64_t now)
{
    uint64_t longest = 0;
    for (unsigned i = 0; i < config->replicas_n; i++) {
        const zd_beat_t *beat = candidate(app, config, roll, i, false, now);
        bool counts = beat && beat->well == well && beat->waiting_ms > longest;
        longest = counts ? beat->waiting_ms : longest;
    }
    for (unsigned i = 0; i < config->replicas_n; i++) {
        const zd_beat_t *beat = candidate(app, config, roll, i, false, now);
        if (beat && beat->well == well && beat->waiting_ms + ZD_WAITING_SAME_MS >= longest) {
            return (int)i;
        }
    }
    return -1;
}

/* Who was there at the beginning is to have the same chance as who was heard first. */
static bool is_too_early(const zd_lease_t *lease, const zd_app_t *app, const zd_config_t *config,
                         const zd_roll_t *roll, uint64_t now)
{
    if (app->granted || now - lease->ready_ms >= ZD_FIRST_MS) {
        return false;
    }
    for (unsigned i = 0; i < config->replicas_n; i++) {
        if (!candidate(app, config, roll, i, false, now)) {
            return true;
        }
    }
    return false;
}

static bool give(zd_command_t *command, const zd_lease_t *lease, const zd_app_t *app,
                 const zd_config_t *config, const zd_roll_t *roll, uint64_t now)
{
    int next;
    if (lease->to[0]) {
        next = zd_config_route(config, lease->to);
        next = next >= 0 && candidate(app, config, roll, (unsigned)next, true, now) ? next : -1;
    } else if (app->paused || is_too_early(lease, app, config, roll, now)) {
        return false;
    } else {
        next = first_candidate(app, config, roll, true, now);
        next = next >= 0 ? next : first_candidate(app, config, roll, false, now);
    }
    if (next < 0) {
        return false;
    }
    *command = (zd_command_t){.what = ZD_DO_GRANT,
                              .app = app->map.name,
                              .route = config->replicas[next].route,
                              .home = zd_roll_of(roll, config->replicas[next].id)->beat.home,
                              .epoch = app->granted};
    return true;
}

/* --- whom to take it from --------------------------------------------------------------------- */

/* Why the one that has it has it no more; NULL: it does. */
static const char *lost(const zd_lease_t *lease, const zd_app_t *app, const zd_config_t *config,
                        const zd_roll_t *roll, uint64_t now)
{
    int replica = zd_config_route(config, app->map.active);
    const zd_heard_t *heard = replica >= 0 ? zd_roll_of(roll, config->replicas[replica].id) : NULL;
    if (heard && zd_lease_is_holder(app, app->map.active, &heard->beat) &&
        heard->beat.stopped >= app->granted) {
        return lease->to[0] ? "it was told to" : "it has stopped";
    }
    return is_over(lease, now) ? "it has not renewed its lease" : NULL;
}

bool zd_lease_next(zd_command_t *command, const zd_lease_t *lease, const zd_app_t *app,
                   const zd_config_t *config, const zd_roll_t *roll, uint64_t now_ms)
{
    if (!app || !app->map.single || lease->epoch != app->granted) {
        return false;
    }
    if (!app->map.active) {
        return give(command, lease, app, config, roll, now_ms);
    }
    const char *why = app->paused && !lease->to[0] ? NULL : lost(lease, app, config, roll, now_ms);
    if (!why) {
        return false;
    }
    *command = (zd_command_t){
        .what = ZD_DO_RELEASE, .app = app->map.name, .epoch = app->granted, .why = why};
    return true;
}

const char *zd_lease_move(zd_lease_t *lease, const zd_app_t *app, const zd_config_t *config,
                          const zd_roll_t *roll, unsigned replica, uint64_t now_ms)
{
    const char *route = config->replicas[replica].route;
    if (!app) {
        return "the application has not begun";
    }
    if (is_active(app, route)) {
        return "it is the active one";
    }
    if (!zd_roll_present(roll, config->replicas[replica].id, now_ms)) {
        return "it is not there";
    }
    if (!candidate(app, config, roll, replica, true, now_ms)) {
        return "it is not passive";
    }
    apr_cpystrn(lease->to, route, sizeof(lease->to));
    lease->to_ms = now_ms + MOVE_LEASES * lease->timeout_ms;
    return NULL;
}
