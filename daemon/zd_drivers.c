/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what the core's decisions do: its record of drivers.
 */
#include "zd_daemon_int.h"

#include <apr_strings.h>

#include "zd_log.h"

enum { GUARD_MS = 1000 /* to open its watchdog, perhaps after the one before */ };

static bool leads(void *baton)
{
    zd_daemon_t *self = baton;
    return zd_raft_leads(self->raft);
}

static uint64_t term(void *baton)
{
    zd_daemon_t *self = baton;
    return zd_raft_term(self->raft);
}

static const zd_state_t *state(void *baton)
{
    zd_daemon_t *self = baton;
    return zd_raft_state(self->raft);
}

static void send_command(void *baton, zd_wish_t *wish)
{
    zd_daemon_t *self = baton;
    wish->command.at_ms = zd_wall_ms();
    zd_raft_send(self->raft, wish);
}

static bool transfer(void *baton, uint64_t number)
{
    zd_daemon_t *self = baton;
    return zd_raft_transfer(self->raft, number);
}

static unsigned members(void *baton, zd_member_t *all, unsigned room)
{
    zd_daemon_t *self = baton;
    return zd_raft_members(self->raft, all, room);
}

static bool member(void *baton, zd_member_change_t change, uint64_t number, const char *address)
{
    zd_daemon_t *self = baton;
    return zd_raft_member(self->raft, change, number, address);
}

static void doubt(void *baton)
{
    zd_daemon_t *self = baton;
    zd_raft_doubt(self->raft);
}

static void send_beat(void *baton, const zd_beat_t *beat)
{
    zd_daemon_t *self = baton;
    if (self->talk && zd_talk_is_up(self->talk)) {
        zd_talk_say_up(self->talk, json_pack("{s:o}", "beat", zd_beat_json(beat)));
    }
}

static void send_answer(void *baton, const char *node, const zd_answer_t *answer)
{
    zd_daemon_t *self = baton;
    if (self->talk) {
        zd_talk_say_to(self->talk, node, json_pack("{s:o}", "answer", zd_answer_json(answer)));
    }
}

/* There is no service without a guard, nor without its watchdog if one is named. That is opened a
 * moment after the guard was told of the lease. */
static void run(void *baton, zd_run_t what, uint64_t epoch)
{
    zd_daemon_t *self = baton;
    hap_diag_t diag;
    if (what == ZD_RUN_ACTIVE && !zd_guard_counts(self->guard, &diag)) {
        self->waits_ms = zd_now_ms();
        self->waits_epoch = epoch;
        return;
    }
    zd_service_run(self->service, what, epoch);
}

/* Ends as a script does: once, and not within the call that has begun it. */
void zd_daemon_run_waiting(zd_daemon_t *self, uint64_t now_ms)
{
    hap_diag_t diag = {0, "it was not waited for"};
    if (!self->waits_ms) {
        return;
    }
    if (self->waits_epoch && zd_guard_counts(self->guard, &diag)) {
        self->waits_ms = 0;
        zd_service_run(self->service, ZD_RUN_ACTIVE, self->waits_epoch);
    } else if (!self->waits_epoch || now_ms - self->waits_ms >= GUARD_MS) {
        char said[ZD_SAID_BYTES];
        apr_snprintf(said, sizeof(said), "ensure-active does not run without the guard: %s",
                     diag.why);
        self->waits_ms = 0;
        zd_core_ran(self->core, false, said, now_ms);
    }
}

static void kill_script(void *baton)
{
    zd_daemon_t *self = baton;
    self->waits_epoch = 0;
    zd_service_kill_script(self->service);
}

static bool kill_service(void *baton)
{
    zd_daemon_t *self = baton;
    return zd_service_kill(self->service);
}

static void hold(void *baton, uint64_t kill_at_ms)
{
    zd_daemon_t *self = baton;
    zd_guard_hold(self->guard, kill_at_ms);
}

static void restart(void *baton, unsigned replica)
{
    zd_daemon_t *self = baton;
    if (self->service) {
        zd_service_restart(self->service, replica);
    }
}

static void log_line(void *baton, const char *line)
{
    zd_log("%s", line);
}

const zd_drivers_t zd_daemon_drivers = {
    .leads = leads,
    .term = term,
    .state = state,
    .send = send_command,
    .transfer = transfer,
    .members = members,
    .member = member,
    .doubt = doubt,
    .beat = send_beat,
    .answer = send_answer,
    .run = run,
    .kill_script = kill_script,
    .kill_service = kill_service,
    .hold = hold,
    .restart = restart,
    .log = log_line,
};

void zd_daemon_ran(void *baton, bool well, const char *said)
{
    zd_daemon_t *self = baton;
    zd_core_ran(self->core, well, said, zd_now_ms());
}
