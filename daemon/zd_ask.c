/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the questions of people and programs (doc/zerod.md), and handing those on that only the
 * leader can answer. A command has a client's name of its own, so that it is carried out once
 * however often the leader is asked.
 */
#include "zd_daemon_int.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

enum { WAIT_MS = 10000 };

/* Who is to be answered: a question of this node's control socket, or of another node's. That is
 * told by its connection: who has just called may not have said its name yet to one that leads. */
typedef struct asker_t {
    zd_question_t *question; /* NULL: another node's */
    uint64_t caller;
    uint64_t number; /* of the question there */
} asker_t;

/* A question that is on its way to the leader. */
struct zd_asked_up_t {
    zd_asked_up_t *next;
    zd_question_t *question;
    json_t *object; /* as it is sent */
    uint64_t number;
    uint64_t since_ms;
};

static void answer(zd_daemon_t *self, const asker_t *asker, json_t *object)
{
    if (asker->question) {
        zd_question_answer(asker->question, object);
    } else {
        zd_talk_reply(
            self->talk, asker->caller,
            json_pack("{s:I, s:o}", "answers", (json_int_t)asker->number, "object", object));
    }
}

static json_t *error_json(const char *why)
{
    return json_pack("{s:s}", "error", why);
}

/* --- what any node can say -------------------------------------------------------------------- */

static json_t *replica_json(zd_daemon_t *self)
{
    const zd_replica_t *replica = zd_core_replica(self->core);
    if (!replica) {
        return json_null();
    }
    return json_pack("{s:s, s:s, s:I, s:I, s:b}", "role", zd_role_names[replica->role], "why",
                     replica->why, "since_ms", (json_int_t)(zd_now_ms() - replica->since_ms),
                     "epoch", (json_int_t)replica->epoch, "paused", (int)replica->paused);
}

static json_t *status_json(zd_daemon_t *self)
{
    static const zd_cluster_t nothing = {.version = 0};
    const zd_state_t *state = zd_raft_state(self->raft);
    const zd_cluster_t *cluster = state ? zd_state_cluster(state) : &nothing;
    const char *uuid = cluster->uuid ? cluster->uuid : zd_mapfile_uuid(self->map);
    uint64_t written = zd_mapfile_version(self->map);
    return json_pack("{s:s, s:b, s:s?, s:I, s:s?, s:I, s:s?, s:I, s:I, s:o}", "id", self->conf->id,
                     "leads", zd_raft_leads(self->raft), "leader", zd_core_leader(self->core),
                     "term", (json_int_t)zd_raft_term(self->raft), "uuid", uuid, "version",
                     (json_int_t)(state ? cluster->version : written), "primary", cluster->primary,
                     "index", (json_int_t)(state ? zd_state_index(state) : 0), "written",
                     (json_int_t)written, "replica", replica_json(self));
}

static json_t *history_json(zd_daemon_t *self)
{
    const zd_state_t *state = zd_raft_state(self->raft);
    const zd_event_t *event;
    json_t *lines = json_array();
    for (unsigned i = 0; state && (event = zd_state_event(state, i)); i++) {
        json_array_append_new(lines,
                              json_pack("{s:I, s:I, s:s}", "index", (json_int_t)event->index, "at",
                                        (json_int_t)event->at_ms, "what", event->what));
    }
    return json_pack("{s:o}", "history", lines);
}

/* What scripts print need not be text. */
static json_t *output_json(zd_daemon_t *self)
{
    json_t *all = json_object();
    apr_pool_t *pool;
    apr_pool_create(&pool, self->pool);
    for (int i = ZD_RUN_ACTIVE; self->service && i < ZD_RUN_COUNT; i++) {
        const char *text = zd_service_output(self->service, (zd_run_t)i);
        json_t *said = json_string(text);
        json_object_set_new(all, zd_run_names[i],
                            said ? said : json_string(hap_str_show(hap_str(text), pool)));
    }
    apr_pool_destroy(pool);
    return all;
}

/* --- what the leader can say ------------------------------------------------------------------ */

static json_t *node_json(zd_daemon_t *self, const zd_node_t *node, uint64_t now)
{
    const zd_heard_t *heard = zd_roll_of(zd_core_roll(self->core), node->map.id);
    uint64_t version = zd_state_cluster(zd_raft_state(self->raft))->version;
    json_t *object =
        json_pack("{s:s, s:s, s:s, s:b, s:b}", "id", node->map.id, "address", node->map.address,
                  "kind", hap_map_role_names[node->map.role], "electable", (int)node->map.electable,
                  "present", (int)node->present);
    int replica = zd_config_replica(self->conf->config, node->map.id);
    if (replica >= 0) {
        json_object_set_new(object, "route",
                            json_string(self->conf->config->replicas[replica].route));
    }
    if (heard) {
        bool has = heard->beat.version >= version;
        json_t *more =
            json_pack("{s:I, s:I, s:I, s:s?, s:b, s:s?, s:I}", "heard_ms",
                      (json_int_t)(now - heard->at_ms), "version", (json_int_t)heard->beat.version,
                      "lag", (json_int_t)(has ? 0 : version - heard->beat.version), "role",
                      heard->beat.role, "well", (int)heard->beat.well, "said", heard->beat.said,
                      "waiting_ms", (json_int_t)heard->beat.waiting_ms);
        json_object_update(object, more);
        json_decref(more);
    }
    return object;
}

static json_t *app_json(zd_daemon_t *self, const zd_app_t *app, uint64_t now)
{
    const zd_lease_t *lease = zd_core_lease(self->core);
    json_t *object = json_pack("{s:s, s:b, s:s?, s:I, s:b}", "name", app->map.name, "single",
                               (int)app->map.single, "active", app->map.active, "epoch",
                               (json_int_t)app->granted, "paused", (int)app->paused);
    if (app->map.active && strcmp(app->map.name, self->conf->config->app) == 0) {
        uint64_t end = lease->end_ms;
        json_object_set_new(object, "lease_ms",
                            json_integer((json_int_t)(end > now ? end - now : 0)));
        json_object_set_new(object, "timeout_ms",
                            json_integer((json_int_t)self->conf->config->timeout_ms));
        json_object_set_new(object, "to", lease->to[0] ? json_string(lease->to) : json_null());
    }
    return object;
}

static json_t *cluster_json(zd_daemon_t *self)
{
    const zd_cluster_t *cluster = zd_state_cluster(zd_raft_state(self->raft));
    uint64_t now = zd_now_ms();
    json_t *nodes = json_array();
    json_t *apps = json_array();
    for (unsigned i = 0; i < cluster->nodes_n; i++) {
        json_array_append_new(nodes, node_json(self, &cluster->nodes[i], now));
    }
    for (unsigned i = 0; i < cluster->apps_n; i++) {
        json_array_append_new(apps, app_json(self, &cluster->apps[i], now));
    }
    return json_pack("{s:s?, s:I, s:I, s:s?, s:s?, s:I, s:o, s:o}", "uuid", cluster->uuid,
                     "version", (json_int_t)cluster->version, "term", (json_int_t)cluster->term,
                     "primary", cluster->primary, "preferred", cluster->preferred, "raft_max",
                     (json_int_t)cluster->raft, "nodes", nodes, "apps", apps);
}

/* Routes are what status tells of, and may be other names. */
static json_t *no_replica(const zd_config_t *config, const char *id)
{
    json_t *all = json_sprintf("%s is no replica's id, use", id ? id : "nothing");
    for (unsigned i = 0; i < config->replicas_n; i++) {
        const char *sign = i ? "," : "";
        json_t *more =
            json_sprintf("%s%s %s", json_string_value(all), sign, config->replicas[i].id);
        json_decref(all);
        all = more;
    }
    return json_pack("{s:o}", "error", all);
}

static json_t *move_json(zd_daemon_t *self, const json_t *object)
{
    const char *to = json_string_value(json_object_get(object, "to"));
    int replica = to ? zd_config_replica(self->conf->config, to) : -1;
    if (replica < 0) {
        return no_replica(self->conf->config, to);
    }
    const char *why = zd_core_move(self->core, (unsigned)replica, zd_now_ms());
    return why ? error_json(why) : json_pack("{s:s}", "moves", to);
}

/* --- commands --------------------------------------------------------------------------------- */

/* A command of somebody's, on its way. */
typedef struct order_t {
    zd_wish_t wish; /* first: what is done leads back here */
    zd_daemon_t *self;
    asker_t asker;
    apr_pool_t *pool;
} order_t;

static const char lost[] =
    "this node does not lead, or has just ceased to: the command may be carried out or not, ask "
    "again with the same client and seq";

static const char full[] = "the disks of half of the nodes, or more, are full: nothing is carried "
                           "out before there is room";

static void ordered(zd_wish_t *wish)
{
    order_t *order = (order_t *)wish;
    const zd_result_t *result = &wish->result;
    json_t *said =
        wish->committed
            ? json_pack("{s:s, s:I, s:I, s:s}", "end", zd_end_names[result->end], "version",
                        (json_int_t)result->version, "epoch", (json_int_t)result->epoch, "why",
                        result->why)
            : json_pack("{s:s, s:s}", "why", wish->why, "error", wish->full ? full : lost);
    answer(order->self, &order->asker, said);
    apr_pool_destroy(order->pool);
}

static void take_order(zd_daemon_t *self, const asker_t *asker, const json_t *command)
{
    apr_pool_t *pool;
    hap_diag_t diag;
    apr_pool_create(&pool, self->pool);
    order_t *order = apr_pcalloc(pool, sizeof(*order));
    *order = (order_t){.self = self, .asker = *asker, .pool = pool};
    order->wish.done = ordered;
    char *text = json_dumps(command, JSON_COMPACT);
    apr_status_t rv = zd_command_decode(&order->wish.command, hap_str(text), &diag, pool);
    free(text);
    if (rv == APR_SUCCESS) {
        zd_raft_send(self->raft, &order->wish);
        return;
    }
    answer(self, asker, error_json(diag.why));
    apr_pool_destroy(pool);
}

/* The lead goes to another node by hand in two steps: all nodes are there and have the map, and
 * then it is agreed on. The core hands it over when it sees that. */
static void take_primary(zd_daemon_t *self, const asker_t *asker, const json_t *object)
{
    const char *late = zd_core_unready(self->core, zd_now_ms());
    if (late) {
        char why[128];
        apr_snprintf(why, sizeof(why),
                     "node %s is not there, or has not the map yet: nothing is "
                     "changed",
                     late);
        answer(self, asker, error_json(why));
        return;
    }
    take_order(self, asker, json_object_get(object, "command"));
}

/* --- questions for the leader ----------------------------------------------------------------- */

/* What only the leader knows, or may do. */
static void lead(zd_daemon_t *self, const asker_t *asker, const json_t *object)
{
    const char *what = json_string_value(json_object_get(object, "ask"));
    if (!self->raft || !zd_raft_leads(self->raft)) {
        answer(self, asker, error_json("this node does not lead"));
    } else if (strcmp(what, "cluster") == 0) {
        answer(self, asker, cluster_json(self));
    } else if (strcmp(what, "switchover") == 0) {
        answer(self, asker, move_json(self, object));
    } else if (strcmp(what, "primary") == 0) {
        take_primary(self, asker, object);
    } else {
        take_order(self, asker, json_object_get(object, "command"));
    }
}

static bool is_for_leader(const char *what)
{
    static const char *const words[] = {"cluster", "switchover", "primary", "command"};
    return hap_str_word(hap_str(what), words, sizeof(words) / sizeof(words[0])) >= 0;
}

/* What the sender leaves out: the version, who says it, for whom. A command has its own client, as
 * two of one client that overtake each other would count as repeated. */
static bool complete(zd_daemon_t *self, json_t *object, const char *by)
{
    json_t *command = json_object_get(object, "command");
    const char *what = json_string_value(json_object_get(object, "ask"));
    char client[ZD_RUN_BYTES + 24];
    if (strcmp(what, "primary") == 0) {
        const char *node = json_string_value(json_object_get(object, "node"));
        command = json_pack("{s:s, s:s?}", "do", zd_do_names[ZD_DO_PREFER], "node", node);
        json_object_set_new(object, "command", command);
    } else if (strcmp(what, "command") != 0) {
        return true;
    }
    if (!json_is_object(command)) {
        return false;
    }
    if (!json_object_get(command, "client")) {
        apr_snprintf(client, sizeof(client), "%s-%" APR_UINT64_T_FMT, self->run, ++self->orders);
        json_object_set_new(command, "client", json_string(client));
        json_object_set_new(command, "seq", json_integer(1));
    }
    json_object_set_new(command, "v", json_integer(ZD_COMMAND_VERSION));
    json_object_set_new(command, "at_ms", json_integer((json_int_t)zd_wall_ms()));
    json_object_set_new(command, "by", json_sprintf("%s@%s", by, self->conf->id));
    return true;
}

/* --- asking the leader ------------------------------------------------------------------------ */

static void send_up(zd_daemon_t *self, const zd_asked_up_t *asked)
{
    if (self->talk) {
        zd_talk_say_up(self->talk, json_pack("{s:I, s:O}", "asks", (json_int_t)asked->number,
                                             "object", asked->object));
    }
}

/* A node that is alone leads a moment after it has begun. */
static void ask_up(zd_daemon_t *self, zd_question_t *question, json_t *object)
{
    zd_asked_up_t *asked = calloc(1, sizeof(*asked));
    if (!asked) {
        zd_question_answer(question, error_json("no memory to ask the leader"));
        return;
    }
    *asked = (zd_asked_up_t){
        .next = self->asked_up,
        .question = question,
        .object = json_incref(object),
        .number = ++self->questions,
        .since_ms = zd_now_ms(),
    };
    self->asked_up = asked;
    send_up(self, asked);
}

static void finish(zd_asked_up_t **at, json_t *object)
{
    zd_asked_up_t *asked = *at;
    *at = asked->next;
    zd_question_answer(asked->question, object);
    json_decref(asked->object);
    free(asked);
}

void zd_ask_again(zd_daemon_t *self)
{
    for (const zd_asked_up_t *asked = self->asked_up; asked; asked = asked->next) {
        send_up(self, asked);
    }
}

static json_t *unreached(const zd_daemon_t *self, const json_t *object)
{
    const char *what = json_string_value(json_object_get(object, "ask"));
    const char *last = zd_core_leader(self->core);
    bool reads = what && strcmp(what, "cluster") == 0;
    return json_pack("{s:o}", "error",
                     json_sprintf("there is no leader to be reached%s%s%s",
                                  last ? ", the last one was " : "", last ? last : "",
                                  reads ? "" : "; what was asked for may be done or not"));
}

/* This node may have become the leader itself meanwhile. */
void zd_ask_expire(zd_daemon_t *self, bool all)
{
    bool leads = zd_raft_leads(self->raft);
    for (zd_asked_up_t **at = &self->asked_up; *at;) {
        zd_asked_up_t *asked = *at;
        if (!all && leads) {
            const asker_t asker = {.question = asked->question};
            *at = asked->next;
            lead(self, &asker, asked->object);
            json_decref(asked->object);
            free(asked);
        } else if (all || zd_now_ms() - asked->since_ms >= WAIT_MS) {
            finish(at, unreached(self, asked->object));
        } else {
            at = &asked->next;
        }
    }
}

bool zd_ask_told(zd_daemon_t *self, const json_t *object)
{
    json_t *number = json_object_get(object, "answers");
    if (!json_is_integer(number)) {
        return false;
    }
    for (zd_asked_up_t **at = &self->asked_up; *at; at = &(*at)->next) {
        if ((json_int_t)(*at)->number == json_integer_value(number)) {
            finish(at, json_incref(json_object_get(object, "object")));
            return true;
        }
    }
    return true;
}

bool zd_ask_heard(zd_daemon_t *self, zd_caller_t *caller, const json_t *object)
{
    const json_t *number = json_object_get(object, "asks");
    const json_t *asked = json_object_get(object, "object");
    const char *what = json_string_value(json_object_get(asked, "ask"));
    const asker_t asker = {.caller = zd_caller_number(caller),
                           .number = (uint64_t)json_integer_value(number)};
    if (!json_is_integer(number)) {
        return false;
    }
    if (what && is_for_leader(what)) {
        lead(self, &asker, asked);
    } else {
        answer(self, &asker, error_json("it is no question for a leader"));
    }
    return true;
}

/* --- the control socket ----------------------------------------------------------------------- */

void zd_ask(void *baton, zd_question_t *question)
{
    zd_daemon_t *self = baton;
    const asker_t asker = {.question = question};
    json_t *object = json_deep_copy(zd_question_object(question));
    const char *what = json_string_value(json_object_get(object, "ask"));
    what = what ? what : "";
    if (strcmp(what, "status") == 0) {
        zd_question_answer(question, status_json(self));
    } else if (strcmp(what, "history") == 0) {
        zd_question_answer(question, history_json(self));
    } else if (strcmp(what, "output") == 0) {
        zd_question_answer(question, output_json(self));
    } else if (strcmp(what, "force") == 0) {
        const char *why;
        bool forced = zd_daemon_force(self, &why);
        zd_question_answer(question, forced ? json_pack("{s:b}", "forced", 1) : error_json(why));
    } else if (!is_for_leader(what)) {
        zd_question_answer(question, error_json("ask for status, history, output, cluster, "
                                                "switchover, primary, force or command"));
    } else if (!complete(self, object, zd_question_by(question))) {
        zd_question_answer(question, error_json("a command is an object of JSON"));
    } else if (zd_raft_leads(self->raft)) {
        lead(self, &asker, object);
    } else {
        ask_up(self, question, object);
    }
    json_decref(object);
}
