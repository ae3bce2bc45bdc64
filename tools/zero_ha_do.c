/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns `zero ha switchover`, `pause`, `resume`, `set-primary`, `transfer` and `force`: what people
 * want of a cluster by hand. The daemons decide; this asks, and waits for what comes of it.
 */
#include "zero_ha.h"

#include <inttypes.h>
#include <string.h>

#include <apr_strings.h>

#include "hap_grammar.h"

enum {
    LEASES = 2,       /* for a switchover: as long as the leader tries */
    OTHERWISE_S = 60, /* when the lease's time is not known */
    PRIMARY_S = 30,
    READY_S = 3
};

/* Finds the daemon, and the cluster by its leader's word. */
static int find_cluster(const json_t **cluster, zero_ha_t *ha, const zero_args_t *args)
{
    int code = zero_ha_find(ha, args);
    return code == ZERO_DONE ? zero_ha_cluster(cluster, ha) : code;
}

static int read_id(const char **id, const char *option, const zero_args_t *args)
{
    hap_diag_t diag;
    const char *field = apr_pstrcat(args->pool, "-", option, NULL);
    *id = zero_opt(args, option);
    if (hap_grammar_route(hap_str(*id), field, &diag, args->pool) != APR_SUCCESS) {
        return zero_fail(args->command, ZERO_USAGE, "%s", diag.why);
    }
    return ZERO_DONE;
}

static bool is_text(const json_t *object, const char *key, const char *text)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value && strcmp(value, text) == 0;
}

static const char *since_text(apr_time_t begun, apr_pool_t *pool)
{
    apr_interval_time_t ms = apr_time_as_msec(apr_time_now() - begun);
    return apr_psprintf(pool, "%d.%d s", (int)(ms / 1000), (int)(ms % 1000 / 100));
}

/* --- switchover ------------------------------------------------------------------------------- */

/* A move that is waited for. */
typedef struct move_t {
    const char *to;
    json_int_t epoch; /* before it */
    bool given_up;    /* by the leader, or with the lead */
    const char *role; /* of `to`, when it was last looked */
    const char *said; /* the same, by its last script, or the last one that has failed */
    bool failed;      /* it is one that has */
    const zero_ha_t *ha;
} move_t;

/* The active application of this name, or the only one that has a single active member. */
static const json_t *find_app(const json_t *cluster, const char *name)
{
    size_t i;
    const json_t *app;
    const json_t *only = NULL;
    unsigned n = 0;
    const json_t *apps = json_object_get(cluster, "apps");
    json_array_foreach(apps, i, app)
    {
        if (name && is_text(app, "name", name)) {
            return app;
        }
        if (json_is_true(json_object_get(app, "single"))) {
            only = app;
            n++;
        }
    }
    return !name && n == 1 ? only : NULL;
}

/* Of a node that is gone the leader knows only what it was. */
static bool is_active(const json_t *cluster, const char *id)
{
    const json_t *node = zero_ha_node(cluster, id);
    return is_text(node, "role", "active") && json_is_true(json_object_get(node, "present"));
}

/* What the leader tries is in `to` as long as somebody else is the active one. */
static bool has_moved(void *baton, const json_t *cluster)
{
    move_t *move = baton;
    const json_t *node = zero_ha_node(cluster, move->to);
    const json_t *app = find_app(cluster, move->ha->app);
    bool is_later = zero_ha_number(app, "epoch") > move->epoch;
    apr_pool_t *pool = move->ha->args->pool;
    move->role = apr_pstrdup(pool, zero_ha_text(node, "role", "not heard", move->ha));
    bool fails = node && !json_is_true(json_object_get(node, "well"));
    if (fails || !move->failed) {
        move->said = apr_pstrdup(pool, zero_ha_text(node, "said", "none", move->ha));
        move->failed = fails;
    }
    move->given_up = !is_later && json_string_value(json_object_get(app, "active")) &&
                     !json_string_value(json_object_get(app, "to"));
    return (is_later && is_active(cluster, move->to)) || move->given_up;
}

static int wait_for_move(const zero_ha_t *ha, move_t *move, apr_interval_time_t patience)
{
    bool came;
    apr_time_t begun = apr_time_now();
    int code = zero_ha_wait(&came, ha, patience, has_moved, move);
    const char *since = since_text(begun, ha->args->pool);
    if (code != ZERO_DONE) {
        return code;
    }
    if (came && !move->given_up) {
        return zero_ha_done(ha, "%s is active after %s", move->to, since);
    }
    return zero_fail(ha->args->command, ZERO_REFUSED,
                     "%s is not active after %s%s: it is %s, its last script%s: %s", move->to,
                     since, move->given_up ? ", and the leader tries no more" : "", move->role,
                     move->failed ? " that failed" : "", move->said);
}

static int run_switchover(const zero_args_t *args)
{
    zero_ha_t ha;
    zero_ha_answer_t answer;
    const json_t *cluster = NULL;
    apr_interval_time_t patience;
    move_t move = {.ha = &ha, .role = "not heard", .said = "none"};
    int code = read_id(&move.to, "to", args);
    code = code == ZERO_DONE ? zero_ha_patience(&patience, args, 0) : code;
    code = code == ZERO_DONE ? find_cluster(&cluster, &ha, args) : code;
    if (code != ZERO_DONE) {
        return code;
    }
    const json_t *app = find_app(cluster, ha.app);
    if (is_active(cluster, move.to)) {
        return zero_ha_unchanged(&ha, "%s is the active one already", move.to);
    }
    move.epoch = zero_ha_number(app, "epoch");
    code = zero_ha_ask(&answer, &ha, json_pack("{s:s, s:s}", "ask", "switchover", "to", move.to));
    if (code != ZERO_DONE) {
        return code;
    }
    apr_interval_time_t leases = LEASES * ha.lease;
    leases = leases ? leases : LEASES * apr_time_from_msec(zero_ha_number(app, "timeout_ms"));
    leases = leases ? leases : apr_time_from_sec(OTHERWISE_S);
    return wait_for_move(&ha, &move, patience ? patience : leases);
}

/* --- pause and resume ------------------------------------------------------------------------- */

static int which_app(const char **name, const json_t *cluster, const zero_ha_t *ha)
{
    const char *given = zero_opt(ha->args, "app");
    const char *wanted = given ? given : ha->app;
    const json_t *app = find_app(cluster, wanted);
    if (!app && wanted) {
        return zero_fail(ha->args->command, ZERO_REFUSED,
                         "there is no application %s, zero ha status names them",
                         zero_show(wanted, ha->args->pool));
    }
    if (!app) {
        return zero_fail(ha->args->command, ZERO_USAGE,
                         "say which application with -app=NAME, zero ha status names them");
    }
    *name = json_string_value(json_object_get(app, "name"));
    return ZERO_DONE;
}

static int set_pause(const zero_args_t *args, bool paused)
{
    zero_ha_t ha;
    zero_ha_end_t end;
    const json_t *cluster = NULL;
    const char *app = NULL;
    int code = find_cluster(&cluster, &ha, args);
    code = code == ZERO_DONE ? which_app(&app, cluster, &ha) : code;
    if (code != ZERO_DONE) {
        return code;
    }
    code = zero_ha_order(
        &end, &ha, json_pack("{s:s, s:s, s:b}", "do", "app-pause", "app", app, "paused", paused));
    if (code != ZERO_DONE) {
        return code;
    }
    const char *shown = zero_show(app, args->pool);
    if (strcmp(end.end, "unchanged") == 0) {
        return zero_ha_unchanged(&ha, "%s is %s already", shown, paused ? "paused" : "not paused");
    }
    code = zero_ha_judge(&ha, &end);
    if (code != ZERO_DONE) {
        return code;
    }
    return zero_ha_done(&ha,
                        paused ? "%s is paused: it stays where it is, zero ha resume ends that"
                               : "%s goes on: another replica takes over again",
                        shown);
}

static int run_pause(const zero_args_t *args)
{
    return set_pause(args, true);
}

static int run_resume(const zero_args_t *args)
{
    return set_pause(args, false);
}

/* --- set-primary and transfer ----------------------------------------------------------------- */

/* A change of the lead that is waited for. */
typedef struct lead_t {
    const char *to;
    const char *primary; /* when it was last looked */
    bool given_up;       /* another one was elected meanwhile */
    const zero_ha_t *ha;
} lead_t;

static bool has_lead(void *baton, const json_t *cluster)
{
    lead_t *lead = baton;
    bool leads = is_text(cluster, "primary", lead->to);
    const char *primary = zero_ha_text(cluster, "primary", "nobody", lead->ha);
    lead->primary = apr_pstrdup(lead->ha->args->pool, primary);
    lead->given_up = !leads && !is_text(cluster, "preferred", lead->to);
    return leads || lead->given_up;
}

/* Why this node never leads, whatever the others are at. */
static int check_electable(const zero_ha_t *ha, const json_t *cluster, const char *to)
{
    const json_t *node = zero_ha_node(cluster, to);
    if (!node) {
        return zero_fail(ha->args->command, ZERO_REFUSED, "there is no node %s", to);
    }
    if (!json_is_true(json_object_get(node, "electable"))) {
        const char *kind = zero_ha_text(node, "kind", "-", ha);
        return zero_fail(ha->args->command, ZERO_REFUSED, "node %s may not lead: it is %s", to,
                         strcmp(kind, "voter") == 0 ? "not electable" : kind);
    }
    return ZERO_DONE;
}

/* What the first half of handing the lead on waits for. */
typedef struct ready_t {
    const json_t *begun; /* the cluster as it was then. Borrowed */
    const char *late;    /* who was not ready when it was last looked */
    const zero_ha_t *ha;
} ready_t;

static bool was_present(const json_t *cluster, const char *id)
{
    size_t i;
    const json_t *node;
    json_array_foreach(json_object_get(cluster, "nodes"), i, node)
    {
        if (is_text(node, "id", id)) {
            return json_is_true(json_object_get(node, "present"));
        }
    }
    return false;
}

/* Whether all that are there, or were when it began, have the map: who is lost meanwhile has not.
 */
static bool are_ready(void *baton, const json_t *cluster)
{
    size_t i;
    const json_t *node;
    ready_t *ready = baton;
    json_array_foreach(json_object_get(cluster, "nodes"), i, node)
    {
        const char *id = zero_ha_text(node, "id", "?", ready->ha);
        const json_t *lag = json_object_get(node, "lag");
        bool present = json_is_true(json_object_get(node, "present"));
        bool counts = present || was_present(ready->begun, id);
        if (counts && !(present && lag && json_integer_value(lag) == 0)) {
            ready->late = apr_pstrdup(ready->ha->args->pool, id);
            return false;
        }
    }
    return true;
}

/* What has just changed takes a moment to come to all. */
static int ask_primary(const zero_ha_t *ha, const json_t *begun, const char *to)
{
    bool are;
    zero_ha_answer_t answer;
    ready_t ready = {.begun = begun, .late = "?", .ha = ha};
    int code = zero_ha_wait(&are, ha, apr_time_from_sec(READY_S), are_ready, &ready);
    if (code != ZERO_DONE) {
        return code;
    }
    if (!are) {
        return zero_fail(ha->args->command, ZERO_REFUSED,
                         "node %s is not there, or has not the map yet: nothing is changed",
                         ready.late);
    }
    code = zero_ha_ask(&answer, ha, json_pack("{s:s, s:s}", "ask", "primary", "node", to));
    if (code != ZERO_DONE) {
        return code;
    }
    const zero_ha_end_t end = zero_ha_end(&answer, ha);
    return zero_ha_judge(ha, &end);
}

static int run_primary(const zero_args_t *args)
{
    bool came;
    zero_ha_t ha;
    const json_t *cluster = NULL;
    apr_interval_time_t patience;
    lead_t lead = {.ha = &ha, .primary = "nobody"};
    int code = read_id(&lead.to, "to", args);
    code =
        code == ZERO_DONE ? zero_ha_patience(&patience, args, apr_time_from_sec(PRIMARY_S)) : code;
    code = code == ZERO_DONE ? find_cluster(&cluster, &ha, args) : code;
    if (code != ZERO_DONE) {
        return code;
    }
    if (is_text(cluster, "primary", lead.to)) {
        return zero_ha_unchanged(&ha, "%s leads already", lead.to);
    }
    apr_time_t begun = apr_time_now();
    code = check_electable(&ha, cluster, lead.to);
    code = code == ZERO_DONE ? ask_primary(&ha, cluster, lead.to) : code;
    code = code == ZERO_DONE ? zero_ha_wait(&came, &ha, patience, has_lead, &lead) : code;
    if (code != ZERO_DONE) {
        return code;
    }
    const char *since = since_text(begun, args->pool);
    if (came && !lead.given_up) {
        return zero_ha_done(&ha, "%s leads after %s", lead.to, since);
    }
    return zero_fail(args->command, ZERO_REFUSED, "%s does not lead after %s: %s does", lead.to,
                     since, lead.primary);
}

/* --- force ------------------------------------------------------------------------------------ */

static const char force_text[] =
    "has this node go on alone, without the other one that has a vote.\n"
    "\n"
    "Two nodes with a vote agree only together: when one is lost the other one changes nothing, "
    "and\n"
    "nobody takes over. With -yes this node alone has a vote, until the other one comes back; "
    "that\n"
    "is taken in again by itself.\n"
    "\n"
    "It must be true, and nobody but you can know it, that the other host is down: switched off, "
    "or\n"
    "cut off from all that its service acts on. If it lives, and only these two do not reach each\n"
    "other, it has stopped its service. That may run twice if it could not be stopped there, or "
    "if\n"
    "the other one is forced as well.\n"
    "\n"
    "A third host with a vote (zero ha init -witness=HOST) saves you from this.";

static int run_force(const zero_args_t *args)
{
    zero_ha_t ha;
    zero_ha_answer_t answer;
    if (!zero_opt(args, "yes")) {
        return zero_fail(args->command, ZERO_USAGE, "%s\n\nIf so, say it: zero ha force -yes",
                         force_text);
    }
    int code = zero_ha_find(&ha, args);
    code = code == ZERO_DONE ? zero_ha_ask(&answer, &ha, json_pack("{s:s}", "ask", "force")) : code;
    if (code != ZERO_DONE) {
        return code;
    }
    return zero_ha_done(&ha, "this node goes on alone: zero ha status shows it");
}

/* --- the commands ----------------------------------------------------------------------------- */

static const char *const to_needed[] = {"to", NULL};

static const zero_option_t switchover_options[] = {
    {"to", "ID", "the replica that is to be active"},
    {"wait", "SECONDS", "for it to come about [2 leases]"},
    ZERO_HA_DOES,
    {NULL, NULL, NULL},
};

static const zero_option_t pause_options[] = {
    {"app", "NAME", "the application [that of config.json, or the only one]"},
    ZERO_HA_DOES,
    {NULL, NULL, NULL},
};

static const zero_option_t primary_options[] = {
    {"to", "ID", "the node that is to lead"},
    {"wait", "SECONDS", "for it to come about [30]"},
    ZERO_HA_DOES,
    {NULL, NULL, NULL},
};

static const zero_option_t force_options[] = {
    {"yes", NULL, "the other host is down"},
    ZERO_HA_DOES,
    {NULL, NULL, NULL},
};

const zero_command_t zero_ha_switchover_command = {
    .group = "ha",
    .name = "switchover",
    .operands = "",
    .options = switchover_options,
    .needed = to_needed,
    .summary = "have another replica be the active one",
    .details =
        "The active replica stops its service, then the other one starts it; this waits until it\n"
        "runs, and says how long that took. Ends with 1 and the reason when it did not come "
        "about.\n"
        "It works while the application is paused, too.\n",
    .run = run_switchover,
};

const zero_command_t zero_ha_pause_command = {
    .group = "ha",
    .name = "pause",
    .operands = "",
    .options = pause_options,
    .summary = "leave an application where it is, whatever happens",
    .details =
        "For work on a host: nobody takes over by itself, and no script runs to mend what is "
        "stopped.\n"
        "zero ha switchover still moves it, zero ha resume ends it.\n",
    .run = run_pause,
};

const zero_command_t zero_ha_resume_command = {
    .group = "ha",
    .name = "resume",
    .operands = "",
    .options = pause_options,
    .summary = "end zero ha pause",
    .details = "Replicas take over again, and scripts run.\n",
    .run = run_resume,
};

const zero_command_t zero_ha_set_primary_command = {
    .group = "ha",
    .name = "set-primary",
    .operands = "",
    .options = primary_options,
    .needed = to_needed,
    .summary = "have another node lead",
    .details = "All nodes of the map have to have it, also one that is lost meanwhile; then the "
               "lead is handed\n"
               "over; this waits for it. A node that may not lead is refused with the reason, and "
               "one that leads "
               "already stays.\n"
               "Which replica is active is another matter: see zero ha switchover.\n",
    .run = run_primary,
};

const zero_command_t zero_ha_transfer_command = {
    .group = "ha",
    .name = "transfer",
    .operands = "",
    .options = primary_options,
    .needed = to_needed,
    .summary = "the same as set-primary",
    .details = "See zero help ha set-primary.\n",
    .run = run_primary,
};

const zero_command_t zero_ha_force_command = {
    .group = "ha",
    .name = "force",
    .operands = "",
    .options = force_options,
    .summary = "go on alone when the other one of two nodes is lost",
    .details =
        "Has this node go on without the other one that has a vote. Without -yes it explains\n"
        "what has to be true for that.\n",
    .run = run_force,
};
