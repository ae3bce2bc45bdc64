/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a core without a daemon around it, and noting what that would have been told to do. */
#include "core.h"

#include <inttypes.h>

#include <apr_strings.h>

#include "unit.h"
#include "zd_plan.h"

enum { BEGAN_MS = 1000000 };

static const char *const restarts[] = {"restart", NULL};
static const zd_replica_conf_t replicas[] = {
    {.id = "0", .route = "hostA"},
    {.id = "1", .route = "hostB", .restart = restarts},
    {.id = "2", .route = "hostC", .restart = restarts},
};
const hap_map_node_t core_nodes[] = {
    {"0", "a:1", HAP_MAP_VOTER, true},
    {"1", "b:1", HAP_MAP_VOTER, true},
    {"2", "c:1", HAP_MAP_VOTER, true},
};
const zd_config_t core_alone = {.app = "Voting",
                                .replicas = replicas,
                                .replicas_n = 1,
                                .timeout_ms = CORE_TIMEOUT_MS,
                                .retries = 3};
const zd_config_t core_three = {.app = "Voting",
                                .replicas = replicas,
                                .replicas_n = 3,
                                .timeout_ms = CORE_TIMEOUT_MS,
                                .retries = 3,
                                .nodes = core_nodes,
                                .nodes_n = 3};

zd_core_t *core;
uint64_t core_now;
zd_state_t *core_state;
bool core_leads;
uint64_t core_term;
zd_wish_t *core_wish;
zd_beat_t core_beat;
zd_answer_t core_answer;
zd_run_t core_runs;
bool core_undead;

static const char *did;  /* by the drivers since it was asked for */
static const char *said; /* lines of the log since then */

/* --- drivers that note what they are told ----------------------------------------------------- */

static void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void note(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    did = apr_pstrcat(unit_pool, did, *did ? ", " : "", apr_pvsprintf(unit_pool, fmt, args), NULL);
    va_end(args);
}

static bool fake_leads(void *baton)
{
    return core_leads;
}

static uint64_t fake_term(void *baton)
{
    return core_term;
}

static const zd_state_t *fake_state(void *baton)
{
    return core_state;
}

static void fake_send(void *baton, zd_wish_t *what)
{
    CU_ASSERT_PTR_NULL(core_wish);
    core_wish = what;
    note("%s", zd_do_names[what->command.what]);
}

static bool fake_transfer(void *baton, uint64_t number)
{
    note("transfer to %" PRIu64, number);
    return true;
}

static void fake_doubt(void *baton)
{
    note("doubt");
}

static void fake_beat(void *baton, const zd_beat_t *what)
{
    core_beat = *what;
    note("beat");
}

static void fake_answer(void *baton, const char *node, const zd_answer_t *what)
{
    core_answer = *what;
    note("answer %s%s", node, what->map ? " with the map" : "");
}

static void fake_run(void *baton, zd_run_t what, uint64_t epoch)
{
    core_runs = what;
    note("%s %" PRIu64, zd_run_names[what], epoch);
}

static void fake_kill_script(void *baton)
{
    note("kill script");
}

static bool fake_kill_service(void *baton)
{
    note("kill service");
    return !core_undead;
}

static void fake_hold(void *baton, uint64_t kill_at_ms)
{
    note(kill_at_ms ? "hold %" PRIu64 : "let go", kill_at_ms - core_now);
}

static void fake_restart(void *baton, unsigned replica)
{
    note("restart %u", replica);
}

static void fake_log(void *baton, const char *line)
{
    said = apr_pstrcat(unit_pool, said, *said ? "\n" : "", line, NULL);
}

/* The engine knows all that have a vote, always. */
static unsigned fake_members(void *baton, zd_member_t *members, unsigned room)
{
    const zd_cluster_t *cluster = zd_state_cluster(fake_state(baton));
    unsigned n = 0;
    for (unsigned i = 0; i < cluster->nodes_n && n < room; i++) {
        const zd_node_t *node = &cluster->nodes[i];
        if (node->map.role != HAP_MAP_OBSERVER) {
            members[n++] =
                (zd_member_t){.number = node->raft, .address = node->map.address, .votes = true};
        }
    }
    return n;
}

static bool fake_member(void *baton, zd_member_change_t change, uint64_t number,
                        const char *address)
{
    (void)baton, (void)change, (void)number, (void)address;
    CU_FAIL("the engine is as it should be");
    return false;
}

static const zd_drivers_t drivers = {
    .leads = fake_leads,
    .term = fake_term,
    .state = fake_state,
    .send = fake_send,
    .transfer = fake_transfer,
    .members = fake_members,
    .member = fake_member,
    .doubt = fake_doubt,
    .beat = fake_beat,
    .answer = fake_answer,
    .run = fake_run,
    .kill_script = fake_kill_script,
    .kill_service = fake_kill_service,
    .hold = fake_hold,
    .restart = fake_restart,
    .log = fake_log,
};

static const char *took(const char **what)
{
    const char *taken = *what;
    *what = "";
    return taken;
}

const char *core_did(void)
{
    return took(&did);
}

const char *core_said(void)
{
    return took(&said);
}

/* --- what happens ----------------------------------------------------------------------------- */

void core_begin_anew(const zd_config_t *config, const char *first, uint64_t kill_at_ms)
{
    const zd_core_conf_t conf = {.config = config,
                                 .id = "0",
                                 .client = "run1",
                                 .uuid = CORE_UUID,
                                 .first = first,
                                 .election_ms = CORE_ELECTION_MS,
                                 .left = {.home = "0a", .kill_at_ms = kill_at_ms},
                                 .drivers = &drivers};
    core_now = BEGAN_MS;
    core_state = zd_state_make();
    core_leads = false;
    core_term = 1;
    core_wish = NULL;
    core_runs = ZD_RUN_NONE;
    did = said = "";
    core = zd_core_make(&conf, core_now);
    CU_ASSERT_PTR_NOT_NULL_FATAL(core);
}

void core_begin(const zd_config_t *config, const char *first)
{
    core_begin_anew(config, first, 0);
}

void core_finish(void)
{
    zd_core_free(core);
    zd_state_free(core_state);
}

/* What is on its way to the log is agreed on. */
static void commit(void)
{
    zd_wish_t *ends = core_wish;
    core_wish = NULL;
    ends->committed = true;
    ends->result = zd_state_apply(core_state, &ends->command);
    ends->done(ends);
    zd_core_changed(core, core_now);
}

void core_commit_all(void)
{
    enum { MOST = 30 };
    for (int i = 0; core_wish && i < MOST; i++) {
        commit();
    }
    CU_ASSERT_PTR_NULL(core_wish);
}

void core_ticks(uint64_t ms)
{
    for (const uint64_t end = core_now + ms; core_now < end;) {
        core_now += ZD_TICK_MS;
        zd_core_tick(core, core_now);
    }
}

void core_ran(bool well)
{
    core_runs = ZD_RUN_NONE;
    zd_core_ran(core, well, well ? "ensure: exit 0" : "ensure: exit 1", core_now);
}

zd_role_t core_role(void)
{
    return zd_core_replica(core)->role;
}

void core_begin_leading(const zd_config_t *config)
{
    core_begin(config, NULL);
    core_leads = true;
    zd_core_changed(core, core_now);
    core_commit_all();
    core_ran(true);
    core_commit_all();
    core_ticks(ZD_HEIR_MS);
    core_commit_all();
    core_did();
    core_said();
}

void core_hears(const char *node, zd_beat_t what)
{
    what.node = node;
    what.home = what.home ? what.home : node;
    zd_core_heard(core, &what, core_now);
}

bool core_answered(zd_answer_t what)
{
    what.seq = core_beat.seq;
    what.leader = "1";
    what.term = what.term ? what.term : core_term;
    return zd_core_answered(core, &what, core_now);
}

void core_begin_active(void)
{
    core_begin_anew(&core_three, NULL, CORE_LEFT_MS);
    zd_core_connected(core, core_now);
    core_answered((zd_answer_t){.epoch = 7});
    core_answered((zd_answer_t){.epoch = 7, .renewed = true});
    core_ran(true);
    CU_ASSERT_EQUAL(core_role(), ZD_ROLE_ACTIVE);
    core_did();
    core_said();
}
