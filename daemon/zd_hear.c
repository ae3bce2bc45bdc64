/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what other nodes say to this one: beats, answers, where the leader is, questions.
 */
#include "zd_daemon_int.h"

#include <inttypes.h>
#include <string.h>

#include "zd_log.h"
#include "zd_number.h"

enum {
    NAMED_MS = 5000,  /* so long others may call this node the leader that is one no more */
    UNKNOWN_MS = 5000 /* so long a leader may not know a node that begins */
};

static void hear_beat(zd_daemon_t *self, zd_caller_t *caller, const json_t *object)
{
    apr_pool_t *pool;
    hap_diag_t diag;
    zd_beat_t beat;
    apr_pool_create(&pool, self->pool);
    if (zd_beat_read(&beat, object, &diag, pool) != APR_SUCCESS) {
        zd_log("another node's %s", diag.why);
    } else if (zd_raft_leads(self->raft) && zd_core_is_other(self->core, &beat, zd_now_ms())) {
        zd_talk_say(caller, json_pack("{s:s}", "other", beat.node));
    } else if (zd_raft_leads(self->raft)) {
        zd_talk_name(caller, beat.node);
        zd_core_heard(self->core, &beat, zd_now_ms());
    } else {
        const char *leader = zd_raft_leader(self->raft);
        zd_talk_say(caller, json_pack("{s:s?}", "elsewhere", leader));
    }
    apr_pool_destroy(pool);
}

void zd_hear(void *baton, zd_caller_t *caller, json_t *object)
{
    zd_daemon_t *self = baton;
    const json_t *beat = json_object_get(object, "beat");
    if (beat) {
        hear_beat(self, caller, beat);
    } else {
        zd_ask_heard(self, caller, object);
    }
}

/* A node that joins is an observer until the leader has a number for it. */
static void become_voter(zd_daemon_t *self, uint64_t number)
{
    hap_diag_t diag;
    if (!zd_number_keep(self->conf->dir, number, &diag, self->pool)) {
        zd_log("%s", diag.why);
        return;
    }
    self->number = number;
    self->joins = true;
    zd_net_number(self->net, number);
    zd_log("joins: the leader knows this node by the number %" PRIu64, number);
    if (!zd_open_raft(self, &diag)) {
        zd_log("%s", diag.why);
        self->exit_code = 1;
        zd_daemon_end(self);
    }
}

/* Whom the leader does not know gets no map, and who has left and come back has another number. A
 * cluster that has just begun learns its nodes one by one. */
static void look_at_number(zd_daemon_t *self, uint64_t number)
{
    uint64_t now = zd_now_ms();
    bool fits = number && (!self->number || number == self->number);
    if (fits) {
        self->unknown_ms = 0;
        self->misfit_said = false;
        return;
    }
    self->unknown_ms = self->unknown_ms ? self->unknown_ms : now;
    if (self->misfit_said || now - self->unknown_ms < UNKNOWN_MS) {
        return;
    }
    self->misfit_said = true;
    if (!number) {
        zd_log("the cluster does not know node %s, which gets no map and has no vote: zero ha join "
               "-node=%s -address=%s takes it in, else end this daemon",
               self->conf->id, self->conf->id, zd_own_node(self)->address);
    } else {
        zd_log("the cluster knows node %s by the number %" PRIu64 ", and its folder has the number "
               "%" PRIu64 ", from before it has left: start it with a new folder, and -j",
               self->conf->id, number, self->number);
    }
}

static void hear_answer(zd_daemon_t *self, const json_t *object)
{
    apr_pool_t *pool;
    hap_diag_t diag;
    zd_answer_t answer;
    apr_pool_create(&pool, self->pool);
    if (zd_answer_read(&answer, object, &diag, pool) != APR_SUCCESS) {
        zd_log("the leader's %s", diag.why);
        apr_pool_destroy(pool);
        return;
    }
    self->named_ms = 0;
    uint64_t before = zd_mapfile_version(self->map);
    bool overtaken = self->raft && answer.version <= before; /* by the log */
    bool counts = zd_core_answered(self->core, &answer, zd_now_ms());
    if (counts && answer.map && !overtaken) {
        zd_mapfile_offer(self->map, hap_str(answer.map));
        zd_daemon_wrote_map(self, before);
    }
    if (counts) {
        look_at_number(self, answer.number);
    }
    if (counts && answer.number && !self->number && !zd_is_observer(self)) {
        become_voter(self, answer.number);
    }
    apr_pool_destroy(pool);
}

/* Others take another daemon for this node. */
static void be_other(zd_daemon_t *self)
{
    uint64_t now = zd_now_ms();
    if (self->other_ms == 0 || now - self->other_ms >= ZD_OTHER_SAID_MS) {
        self->other_ms = now;
        zd_log("the leader hears another daemon that is node %s, and not this one: has one of them "
               "the wrong -i, or another folder than before? It is heard when the other one was "
               "not for the time of a lease",
               self->conf->id);
    }
}

/* By the engine's word, though it may not be ready to, such as with a full disk. */
static bool is_leader_here(const zd_daemon_t *self)
{
    const char *leader = zd_raft_leader(self->raft);
    return leader && strcmp(leader, zd_own_node(self)->address) == 0;
}

/* Who has been asked does not lead, and knows who does, or not. */
static void go_elsewhere(zd_daemon_t *self, const char *leader)
{
    bool own = leader && strcmp(leader, zd_own_node(self)->address) == 0;
    uint64_t now = zd_now_ms();
    if (leader && !own) {
        zd_talk_call(self->talk, leader);
        return;
    }
    zd_talk_next(self->talk);
    if (!own || is_leader_here(self)) {
        self->named_ms = 0;
    } else if (self->named_ms == 0) {
        self->named_ms = now;
    } else if (now - self->named_ms >= NAMED_MS) {
        be_other(self);
    }
}

void zd_hear_leader(void *baton, json_t *object)
{
    zd_daemon_t *self = baton;
    const json_t *elsewhere = json_object_get(object, "elsewhere");
    const json_t *answer = json_object_get(object, "answer");
    if (answer) {
        hear_answer(self, answer);
    } else if (json_object_get(object, "other")) {
        be_other(self);
    } else if (elsewhere) {
        go_elsewhere(self, json_string_value(elsewhere));
    } else {
        zd_ask_told(self, object);
    }
}

void zd_hear_way(void *baton, bool is_up)
{
    zd_daemon_t *self = baton;
    if (is_up && !self->ending) {
        zd_core_connected(self->core, zd_now_ms());
        zd_ask_again(self);
    } else if (!is_up && !self->ending && !zd_raft_leader(self->raft)) {
        zd_talk_call(self->talk, NULL);
    }
}
