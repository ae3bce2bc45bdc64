/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of zd_core: how what is heard, planned, claimed and run goes together. */
#include "unit.h"

#include <inttypes.h>

#include <apr_strings.h>

#include "zd_core.h"
#include "zd_plan.h"

#define UUID "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"

enum {
    TIMEOUT_MS = 10000,
    LEFT_MS = 1008000, /* by when an earlier run wanted the service dead */
    ELECTION_MS = 600,
    BEGAN_MS = 1000000,
    MAP_AGAIN_MS = 500
};

static const char *const restarts[] = {"restart", NULL};
static const zd_replica_conf_t replicas[] = {
    {.id = "0", .route = "hostA"},
    {.id = "1", .route = "hostB", .restart = restarts},
    {.id = "2", .route = "hostC", .restart = restarts},
};
static const hap_map_node_t nodes[] = {
    {"0", "a:1", HAP_MAP_VOTER, true},
    {"1", "b:1", HAP_MAP_VOTER, true},
    {"2", "c:1", HAP_MAP_VOTER, true},
};
static const zd_config_t alone = {
    .app = "Voting", .replicas = replicas, .replicas_n = 1, .timeout_ms = TIMEOUT_MS, .retries = 3};
static const zd_config_t three = {.app = "Voting",
                                  .replicas = replicas,
                                  .replicas_n = 3,
                                  .timeout_ms = TIMEOUT_MS,
                                  .retries = 3,
                                  .nodes = nodes,
                                  .nodes_n = 3};

static zd_core_t *core;
static uint64_t now;
static zd_state_t *state;
static bool leads;
static uint64_t term;
static zd_wish_t *wish;    /* on its way */
static zd_beat_t beat;     /* the last one to another node */
static zd_answer_t answer; /* the same */
static zd_run_t runs;
static const char *done; /* by the drivers since it was asked for */
static const char *said; /* lines of the log since then */

/* --- drivers that note what they are told ----------------------------------------------------- */

static void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void note(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    done =
        apr_pstrcat(unit_pool, done, *done ? ", " : "", apr_pvsprintf(unit_pool, fmt, args), NULL);
    va_end(args);
}

static bool fake_leads(void *baton)
{
    return leads;
}

static uint64_t fake_term(void *baton)
{
    return term;
}

static const zd_state_t *fake_state(void *baton)
{
    return state;
}

static void fake_send(void *baton, zd_wish_t *what)
{
    CU_ASSERT_PTR_NULL(wish);
    wish = what;
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
    beat = *what;
    note("beat");
}

static void fake_answer(void *baton, const char *node, const zd_answer_t *what)
{
    answer = *what;
    note("answer %s%s", node, what->map ? " with the map" : "");
}

static void fake_run(void *baton, zd_run_t what, uint64_t epoch)
{
    runs = what;
    note("%s %" PRIu64, zd_run_names[what], epoch);
}

static bool undead; /* what ensure-active has begun */

static void fake_kill_script(void *baton)
{
    note("kill script");
}

static bool fake_kill_service(void *baton)
{
    note("kill service");
    return !undead;
}

static void fake_hold(void *baton, uint64_t kill_at_ms)
{
    note(kill_at_ms ? "hold %" PRIu64 : "let go", kill_at_ms - now);
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

/* What has been done, or said, since it was asked for last. */
static const char *took(const char **what)
{
    const char *taken = *what;
    *what = "";
    return taken;
}

#define DID()  took(&done)
#define SAID() took(&said)

/* --- what happens ----------------------------------------------------------------------------- */

static void begin_anew(const zd_config_t *config, const char *first, uint64_t kill_at_ms)
{
    const zd_core_conf_t conf = {.config = config,
                                 .id = "0",
                                 .client = "run1",
                                 .uuid = UUID,
                                 .first = first,
                                 .election_ms = ELECTION_MS,
                                 .left = {.home = "0a", .kill_at_ms = kill_at_ms},
                                 .drivers = &drivers};
    now = BEGAN_MS;
    state = zd_state_make();
    leads = false;
    term = 1;
    wish = NULL;
    runs = ZD_RUN_NONE;
    done = said = "";
    core = zd_core_make(&conf, now);
    CU_ASSERT_PTR_NOT_NULL_FATAL(core);
}

static void begin(const zd_config_t *config, const char *first)
{
    begin_anew(config, first, 0);
}

static void finish(void)
{
    zd_core_free(core);
    zd_state_free(state);
}

/* What is on its way to the log is agreed on. */
static void commit(void)
{
    zd_wish_t *ends = wish;
    wish = NULL;
    ends->committed = true;
    ends->result = zd_state_apply(state, &ends->command);
    ends->done(ends);
    zd_core_changed(core, now);
}

static void commit_all(void)
{
    enum { MOST = 30 };
    for (int i = 0; wish && i < MOST; i++) {
        commit();
    }
    CU_ASSERT_PTR_NULL(wish);
}

static void ticks(uint64_t ms)
{
    for (const uint64_t end = now + ms; now < end;) {
        now += ZD_TICK_MS;
        zd_core_tick(core, now);
    }
}

static void ran(bool well)
{
    runs = ZD_RUN_NONE;
    zd_core_ran(core, well, well ? "ensure: exit 0" : "ensure: exit 1", now);
}

static zd_role_t role(void)
{
    return zd_core_replica(core)->role;
}

/* Node 0 leads a cluster of that configuration, and its service is stopped. */
static void begin_leading(const zd_config_t *config)
{
    begin(config, NULL);
    leads = true;
    zd_core_changed(core, now);
    commit_all();
    ran(true);
    commit_all();
    ticks(ZD_HEIR_MS);
    commit_all();
    DID();
    SAID();
}

static void hears(const char *node, zd_beat_t what)
{
    what.node = node;
    what.home = what.home ? what.home : node;
    zd_core_heard(core, &what, now);
}

/* The leader, which is node 1, answers the last beat. */
static bool answered(zd_answer_t what)
{
    what.seq = beat.seq;
    what.leader = "1";
    what.term = what.term ? what.term : term;
    return zd_core_answered(core, &what, now);
}

/* Node 0 follows, and is active in epoch 7, which an earlier run had got. */
static void begin_active(void)
{
    begin_anew(&three, NULL, LEFT_MS);
    zd_core_connected(core, now);
    answered((zd_answer_t){.epoch = 7});
    answered((zd_answer_t){.epoch = 7, .renewed = true});
    ran(true);
    CU_ASSERT_EQUAL(role(), ZD_ROLE_ACTIVE);
    DID();
    SAID();
}

/* --- alone --- */

static void o8_a_node_alone_begins_a_cluster_and_becomes_active(void)
{
    begin(&alone, NULL);
    leads = true;
    zd_core_changed(core, now);
    commit_all();
    UNIT_STR_EQ(DID(), "ensure-passive 0, init, node-set, lead, app-set, member-set");
    ran(true);
    UNIT_STR_EQ(DID(), "kill service, let go, grant");
    commit_all();
    UNIT_STR_EQ(DID(), "hold 9000, ensure-active 1");
    CU_ASSERT_EQUAL(role(), ZD_ROLE_TAKING);
    ran(true);
    CU_ASSERT_EQUAL(role(), ZD_ROLE_ACTIVE);
    UNIT_STR_EQ(zd_cluster_app(zd_state_cluster(state), "Voting")->map.active, "hostA");
    ticks(10 * TIMEOUT_MS);
    CU_ASSERT_EQUAL(role(), ZD_ROLE_ACTIVE);
    CU_ASSERT_PTR_NULL(wish);
    finish();
}

static void each_change_of_the_replica_is_one_line(void)
{
    begin_leading(&alone);
    ran(true);
    UNIT_STR_EQ(SAID(), "replica 0: active, ensure-active succeeded, epoch 1");
    ran(false);
    UNIT_STR_EQ(SAID(), "replica 0: ensure: exit 1");
    ran(false);
    UNIT_STR_EQ(SAID(), "");
    ran(true);
    UNIT_STR_EQ(SAID(), "replica 0: ensure: exit 0");
    finish();
}

/* --- as a node --- */

static void what_is_dead_is_dead_before_anybody_is_told(void)
{
    begin_active();
    ticks(2000);
    CU_ASSERT_EQUAL(runs, ZD_RUN_ACTIVE);
    DID();
    now += TIMEOUT_MS;
    zd_core_tick(core, now);
    UNIT_STR_EQ(DID(), "doubt, kill script, kill service, let go, beat, restart 1, restart 2");
    CU_ASSERT_EQUAL(beat.stopped, 7);
    CU_ASSERT_EQUAL(beat.claim, 0);
    finish();
}

static void what_would_not_die_has_its_lease_run_out(void)
{
    begin_active();
    const uint64_t deadline = zd_replica_deadline(zd_core_replica(core));
    undead = true;
    answered((zd_answer_t){.epoch = 7, .yield = true});
    ran(true);
    UNIT_STR_EQ(DID(), "ensure-passive 7, beat, kill service, beat");
    CU_ASSERT_EQUAL(role(), ZD_ROLE_PASSIVE);
    CU_ASSERT_TRUE(beat.stopped == 0 && beat.claim == 0 && !beat.wants);
    CU_ASSERT_TRUE(deadline > now);
    undead = false;
    ticks(2 * TIMEOUT_MS);
    CU_ASSERT_PTR_NOT_NULL(strstr(DID(), "let go"));
    CU_ASSERT_TRUE(beat.stopped == 7 && beat.wants);
    finish();
}

static void a_beat_says_what_the_replica_is_and_claims(void)
{
    begin_active();
    ticks(500);
    UNIT_STR_EQ(beat.node, "0");
    UNIT_STR_EQ(beat.role, "active");
    CU_ASSERT_EQUAL(beat.claim, 7);
    CU_ASSERT_TRUE(beat.well && !beat.wants);
    UNIT_STR_EQ(beat.said, "ensure: exit 0");
    finish();
}

/* A message in Latin-1, or one that was cut within a character, made a beat that JSON cannot have:
 * the node could say nothing any more, and lost its lease. */
static void whatever_a_script_prints_the_node_can_still_say_something(void)
{
    begin_active();
    zd_core_ran(core, false, "caf\xe9 \x1b[31m caf\xc3\xa9\n", now);
    zd_core_connected(core, now);
    UNIT_STR_EQ(beat.said, "caf? ?[31m caf\xc3\xa9?");
    UNIT_STR_EQ(SAID(), "replica 0: caf? ?[31m caf\xc3\xa9?");
    for (size_t cut = 1; cut <= 4; cut++) {
        char *text = apr_pcalloc(unit_pool, ZD_SAID_BYTES + 8);
        memset(text, 'x', ZD_SAID_BYTES - cut);
        memcpy(text + ZD_SAID_BYTES - cut, "\xe2\x82\xac", sizeof("\xe2\x82\xac"));
        zd_core_ran(core, false, text, now);
        zd_core_connected(core, now);
        json_t *object = zd_beat_json(&beat);
        CU_ASSERT_PTR_NOT_NULL(object);
        CU_ASSERT_EQUAL(strlen(beat.said), cut == 4 ? ZD_SAID_BYTES - 1 : ZD_SAID_BYTES - cut);
        json_decref(object);
    }
    finish();
}

static void the_guard_hears_of_each_renewal_and_of_nothing_else(void)
{
    begin_active();
    ticks(100); /* the last beat has no answer yet, so it is said again soon */
    UNIT_STR_EQ(DID(), "beat");
    now += 10;
    answered((zd_answer_t){.epoch = 7, .renewed = true});
    UNIT_STR_EQ(DID(), "hold 8990");
    ticks(450);
    UNIT_STR_EQ(DID(), "");
    answered((zd_answer_t){.epoch = 7});
    UNIT_STR_EQ(DID(), "");
    finish();
}

static void h9_a_restarted_daemon_has_a_guard_for_the_time_of_the_one_before(void)
{
    begin_anew(&three, NULL, LEFT_MS);
    zd_core_connected(core, now);
    answered((zd_answer_t){.epoch = 7, .yield = true});
    UNIT_STR_EQ(DID(), "beat, hold 8000, ensure-passive 7, beat");
    ran(true);
    UNIT_STR_EQ(DID(), "kill service, let go, beat");
    finish();
}

static void what_answers_no_beat_or_one_of_long_ago_proves_nothing(void)
{
    enum { SENT = 32 };
    begin_active();
    const uint64_t proven = zd_core_replica(core)->proven_ms;
    const zd_answer_t old = {
        .seq = beat.seq, .leader = "1", .term = term, .epoch = 7, .renewed = true};
    zd_answer_t unknown = old;
    unknown.seq = beat.seq + 1;
    zd_core_answered(core, &unknown, now);
    for (int i = 0; i < SENT; i++) {
        zd_core_connected(core, ++now);
    }
    zd_core_answered(core, &old, now);
    CU_ASSERT_EQUAL(zd_core_replica(core)->proven_ms, proven);
    answered((zd_answer_t){.epoch = 7, .renewed = true});
    CU_ASSERT_EQUAL(zd_core_replica(core)->proven_ms, now);
    finish();
}

static void g15_answers_of_older_terms_are_dropped_and_said_once(void)
{
    begin_active();
    CU_ASSERT_TRUE(answered((zd_answer_t){.term = 3, .epoch = 7}));
    CU_ASSERT_FALSE(answered((zd_answer_t){.term = 2, .epoch = 0}));
    UNIT_STR_EQ(SAID(), "what 1 says in term 2 is dropped: it is term 3");
    CU_ASSERT_FALSE(answered((zd_answer_t){.term = 2, .epoch = 0}));
    UNIT_STR_EQ(SAID(), "");
    term = 5;
    CU_ASSERT_FALSE(answered((zd_answer_t){.term = 4, .epoch = 0}));
    UNIT_STR_EQ(SAID(), "what 1 says in term 4 is dropped: it is term 5");
    CU_ASSERT_EQUAL(role(), ZD_ROLE_ACTIVE);
    finish();
}

static void a_gap_longer_than_an_election_is_a_doubt(void)
{
    begin_leading(&alone);
    now += ELECTION_MS;
    zd_core_tick(core, now);
    CU_ASSERT_PTR_NULL(strstr(DID(), "doubt"));
    now += ELECTION_MS + 1;
    zd_core_tick(core, now);
    CU_ASSERT_PTR_NOT_NULL(strstr(DID(), "doubt"));
    finish();
}

/* The cluster has node 1 alone, which is the primary. */
static void one_is_primary(void)
{
    const zd_command_t commands[] = {{.what = ZD_DO_INIT, .uuid = UUID},
                                     {.what = ZD_DO_NODE_SET,
                                      .node = "1",
                                      .address = "b:1",
                                      .role = "voter",
                                      .electable = true,
                                      .raft = 2},
                                     {.what = ZD_DO_LEAD, .node = "1", .term = 1}};
    for (unsigned i = 0; i < 3; i++) {
        zd_command_t command = commands[i];
        command.client = "leader";
        command.by = "1";
        command.seq = i + 1;
        CU_ASSERT_EQUAL(zd_state_apply(state, &command).end, ZD_DONE);
    }
}

static void who_is_to_be_first_is_said_until_a_primary_has_answered(void)
{
    begin(&three, "2");
    zd_core_connected(core, now);
    UNIT_STR_EQ(beat.first, "2");
    answered((zd_answer_t){.epoch = 0});
    UNIT_STR_EQ(beat.first, "2");
    one_is_primary();
    answered((zd_answer_t){.epoch = 0});
    zd_core_connected(core, now);
    CU_ASSERT_PTR_NULL(beat.first);
    finish();
}

static void g4_a_named_node_that_the_map_has_not_is_said_once(void)
{
    begin(&three, "2");
    one_is_primary();
    zd_core_connected(core, now);
    answered((zd_answer_t){.epoch = 0});
    CU_ASSERT_PTR_NOT_NULL(
        strstr(SAID(), "AIS_PRIMARY_ID=2: the map has no such node, it is ignored"));
    answered((zd_answer_t){.epoch = 0});
    UNIT_STR_EQ(SAID(), "");
    finish();
    begin(&three, "1");
    one_is_primary();
    zd_core_connected(core, now);
    answered((zd_answer_t){.epoch = 0});
    CU_ASSERT_PTR_NULL(strstr(SAID(), "AIS_PRIMARY_ID"));
    finish();
}

/* It has no log to see from that the cluster has begun long ago, and would have named the first one
 * to each new leader for ever: failback is by hand (G13). */
static void an_observer_names_nobody_who_is_to_be_first(void)
{
    begin(&three, "2");
    zd_state_free(state);
    state = NULL;
    zd_core_connected(core, now);
    CU_ASSERT_PTR_NULL(beat.first);
    zd_core_free(core);
}

/* --- as a leader --- */

static void a_leader_that_was_not_looked_at_for_an_election_renews_nothing(void)
{
    begin_leading(&three);
    for (int i = 1; i <= 2; i++) {
        hears(nodes[i].id, (zd_beat_t){.role = "passive",
                                       .wants = true,
                                       .well = true,
                                       .waiting_ms = i == 1 ? 60000 : 0});
    }
    commit_all();
    const uint64_t epoch = zd_cluster_app(zd_state_cluster(state), "Voting")->granted;
    UNIT_STR_EQ(zd_cluster_app(zd_state_cluster(state), "Voting")->map.active, "hostB");
    hears("1", (zd_beat_t){.seq = 1, .role = "passive", .claim = epoch});
    CU_ASSERT_TRUE(answer.renewed);
    now += ELECTION_MS;
    hears("1", (zd_beat_t){.seq = 2, .role = "taking", .claim = epoch});
    CU_ASSERT_TRUE(answer.renewed && answer.seq == 2);
    now += 1;
    hears("1", (zd_beat_t){.seq = 3, .role = "taking", .claim = epoch});
    CU_ASSERT_TRUE(!answer.renewed && answer.seq == 3);
    zd_core_tick(core, now);
    hears("1", (zd_beat_t){.seq = 4, .role = "taking", .claim = epoch});
    CU_ASSERT_TRUE(answer.renewed);
    finish();
}

/* Two that are started with one id, on two hosts or in two folders. */
static void of_two_daemons_that_say_they_are_one_node_only_the_first_is_heard(void)
{
    const zd_beat_t other = {.node = "1", .home = "bb", .stopped = 99};
    begin_leading(&three);
    hears("1", (zd_beat_t){.seq = 1, .home = "aa"});
    SAID();
    CU_ASSERT_TRUE(zd_core_is_other(core, &other, now));
    UNIT_STR_EQ(SAID(), "node 1: two daemons say that they are it; the second one is not heard");
    CU_ASSERT_TRUE(zd_core_is_other(core, &other, now + TIMEOUT_MS / 2));
    UNIT_STR_EQ(SAID(), "");
    CU_ASSERT_FALSE(zd_core_is_other(core, &other, now + TIMEOUT_MS + TIMEOUT_MS / 100 + 1));
    hears("1", (zd_beat_t){.seq = 2, .home = "aa"});
    CU_ASSERT_EQUAL(answer.seq, 2);
    finish();
}

static void who_does_not_lead_answers_nobody(void)
{
    begin_leading(&three);
    leads = false;
    hears("1", (zd_beat_t){.seq = 1});
    UNIT_STR_EQ(DID(), "");
    zd_core_tick(core, now);
    UNIT_STR_EQ(SAID(), "term 1: leads no more");
    leads = true;
    hears("1", (zd_beat_t){.seq = 1});
    UNIT_STR_EQ(DID(), "");
    finish();
}

static void g14_a_map_is_sent_once_until_it_is_acknowledged_and_again_after_half_a_second(void)
{
    begin_leading(&three);
    const uint64_t version = zd_state_cluster(state)->version;
    hears("1", (zd_beat_t){.seq = 1});
    UNIT_STR_EQ(answer.map, hap_str_dup(zd_state_map(state), unit_pool));
    now += MAP_AGAIN_MS - 1;
    hears("1", (zd_beat_t){.seq = 2});
    CU_ASSERT_PTR_NULL(answer.map);
    now += 1;
    hears("1", (zd_beat_t){.seq = 3});
    CU_ASSERT_PTR_NOT_NULL(answer.map);
    now += 10 * MAP_AGAIN_MS;
    hears("1", (zd_beat_t){.seq = 4, .version = version});
    CU_ASSERT_PTR_NULL(answer.map);
    hears("1", (zd_beat_t){.seq = 5, .version = version + 1});
    CU_ASSERT_PTR_NULL(answer.map);
    CU_ASSERT_EQUAL(answer.version, version);
    finish();
}

static void a_change_is_told_to_all_that_are_there(void)
{
    begin_leading(&three);
    hears("1", (zd_beat_t){.seq = 1});
    hears("2", (zd_beat_t){.seq = 1});
    DID();
    zd_command_t command = {.what = ZD_DO_APP_PAUSE,
                            .client = "me",
                            .seq = 1,
                            .by = "me",
                            .app = "Voting",
                            .paused = true};
    CU_ASSERT_EQUAL(zd_state_apply(state, &command).end, ZD_DONE);
    zd_core_changed(core, now);
    UNIT_STR_EQ(DID(), "answer 1, answer 2");
    CU_ASSERT_TRUE(answer.paused && answer.seq == 0 && !answer.renewed);
    zd_core_changed(core, now);
    UNIT_STR_EQ(DID(), "");
    finish();
}

static void what_is_refused_rests_for_a_second(void)
{
    begin_leading(&three);
    ticks(ZD_PRESENT_MS);
    UNIT_STR_EQ(zd_do_names[wish->command.what], "grant");
    zd_wish_t *ends = wish;
    wish = NULL;
    ends->committed = true;
    ends->result = (zd_result_t){.end = ZD_REFUSED, .why = "for a test"};
    ends->done(ends);
    UNIT_STR_EQ(SAID(), "grant: refused: for a test");
    ticks(1000 - ZD_TICK_MS);
    CU_ASSERT_PTR_NULL(wish);
    ticks(ZD_TICK_MS);
    CU_ASSERT_PTR_NOT_NULL_FATAL(wish);
    finish();
}

static void what_is_not_committed_is_tried_again_and_said_once(void)
{
    begin_leading(&three);
    ticks(ZD_PRESENT_MS);
    SAID();
    for (int i = 0; i < 3; i++) {
        const uint64_t seq = wish->command.seq;
        zd_wish_t *ends = wish;
        wish = NULL;
        ends->committed = false;
        ends->why = "no majority";
        ends->done(ends);
        UNIT_STR_EQ(SAID(), i ? "" : "grant: not committed: no majority; it is tried again");
        ticks(1000);
        CU_ASSERT_PTR_NOT_NULL_FATAL(wish);
        CU_ASSERT_EQUAL(wish->command.seq, seq + 1);
    }
    finish();
}

static void the_lead_is_offered_to_one_after_the_other(void)
{
    begin_leading(&three);
    zd_command_t command = {
        .what = ZD_DO_PREFER, .client = "me", .seq = 1, .by = "me", .node = "2"};
    CU_ASSERT_EQUAL(zd_state_apply(state, &command).end, ZD_DONE);
    hears("1", (zd_beat_t){.seq = 1});
    hears("2", (zd_beat_t){.seq = 1});
    CU_ASSERT_PTR_NOT_NULL(strstr(DID(), "transfer to 3"));
    UNIT_STR_EQ(SAID(), "term 1: the lead is offered to 2");
    ticks(1000 - ZD_TICK_MS);
    CU_ASSERT_PTR_NULL(strstr(DID(), "transfer"));
    ticks(ZD_TICK_MS);
    UNIT_STR_EQ(SAID(), "");
    UNIT_STR_EQ(zd_state_cluster(state)->primary, "0");
    finish();
}

static void h11_a_move_by_hand_is_told_at_once(void)
{
    begin_leading(&three);
    for (int i = 1; i <= 2; i++) {
        hears(nodes[i].id, (zd_beat_t){.role = "passive",
                                       .wants = true,
                                       .well = true,
                                       .waiting_ms = i == 1 ? 60000 : 0});
    }
    commit_all();
    DID();
    UNIT_STR_EQ(zd_core_move(core, 1, now), "it is the active one");
    UNIT_STR_EQ(DID(), "");
    CU_ASSERT_PTR_NULL(zd_core_move(core, 2, now));
    CU_ASSERT_PTR_NOT_NULL(strstr(DID(), "answer 1"));
    hears("1", (zd_beat_t){.seq = 9, .claim = 1});
    CU_ASSERT_TRUE(answer.yield);
    finish();
}

static void g13_nothing_is_ready_before_all_that_are_there_have_the_map(void)
{
    begin_leading(&three);
    const uint64_t version = zd_state_cluster(state)->version;
    zd_core_wrote(core, version, now);
    hears("1", (zd_beat_t){.seq = 1, .version = version});
    UNIT_STR_EQ(zd_core_unready(core, now), "2");
    hears("2", (zd_beat_t){.seq = 1, .version = version - 1});
    UNIT_STR_EQ(zd_core_unready(core, now), "2");
    hears("2", (zd_beat_t){.seq = 1, .version = version});
    CU_ASSERT_PTR_NULL(zd_core_unready(core, now));
    finish();
}

/* --- other daemons --- */

/* When daemon 1 is started, in leases of time since the first time. */
static const char *attempts(uint64_t ms)
{
    const char *all = "";
    uint64_t first = 0;
    for (const uint64_t end = now + ms; now < end;) {
        ticks(ZD_TICK_MS);
        if (wish) {
            commit_all();
        }
        if (strstr(DID(), "restart 1")) {
            first = first ? first : now;
            all = apr_psprintf(unit_pool, "%s%s%" PRIu64, all, *all ? " " : "",
                               (now - first) / TIMEOUT_MS);
        }
    }
    return all;
}

static void h10_a_peer_that_stays_dead_is_started_ever_more_seldom(void)
{
    begin_leading(&three);
    ticks(TIMEOUT_MS - ZD_HEIR_MS - ZD_TICK_MS);
    CU_ASSERT_PTR_NULL(strstr(DID(), "restart"));
    UNIT_STR_EQ(attempts(66 * TIMEOUT_MS), "0 1 3 7 15 31 47 63");
    hears("1", (zd_beat_t){.seq = 1});
    UNIT_STR_EQ(attempts(5 * TIMEOUT_MS), "0 1 3");
    finish();
}

static void h10_a_peer_that_is_heard_is_not_started(void)
{
    begin_leading(&three);
    for (int i = 0; i < 100; i++) {
        hears("1", (zd_beat_t){.seq = 1});
        ticks(500);
        commit_all();
    }
    CU_ASSERT_PTR_NULL(strstr(done, "restart 1"));
    CU_ASSERT_PTR_NOT_NULL(strstr(done, "restart 2"));
    finish();
}

static void h3_a_node_without_a_leader_starts_all_others(void)
{
    begin(&three, NULL);
    ticks(3000 - ZD_TICK_MS);
    CU_ASSERT_PTR_NULL(strstr(DID(), "restart"));
    ticks(ZD_TICK_MS);
    CU_ASSERT_PTR_NOT_NULL(strstr(DID(), "restart 1, restart 2"));
    answered((zd_answer_t){.epoch = 0});
    DID();
    ticks(3000 - ZD_TICK_MS);
    CU_ASSERT_PTR_NULL(strstr(DID(), "restart"));
    finish();
}

const unit_test_t suite_zd_core[] = {
    UNIT_TEST(o8_a_node_alone_begins_a_cluster_and_becomes_active),
    UNIT_TEST(each_change_of_the_replica_is_one_line),
    UNIT_TEST(what_is_dead_is_dead_before_anybody_is_told),
    UNIT_TEST(what_would_not_die_has_its_lease_run_out),
    UNIT_TEST(a_beat_says_what_the_replica_is_and_claims),
    UNIT_TEST(whatever_a_script_prints_the_node_can_still_say_something),
    UNIT_TEST(the_guard_hears_of_each_renewal_and_of_nothing_else),
    UNIT_TEST(h9_a_restarted_daemon_has_a_guard_for_the_time_of_the_one_before),
    UNIT_TEST(what_answers_no_beat_or_one_of_long_ago_proves_nothing),
    UNIT_TEST(g15_answers_of_older_terms_are_dropped_and_said_once),
    UNIT_TEST(a_gap_longer_than_an_election_is_a_doubt),
    UNIT_TEST(who_is_to_be_first_is_said_until_a_primary_has_answered),
    UNIT_TEST(g4_a_named_node_that_the_map_has_not_is_said_once),
    UNIT_TEST(an_observer_names_nobody_who_is_to_be_first),
    UNIT_TEST(a_leader_that_was_not_looked_at_for_an_election_renews_nothing),
    UNIT_TEST(of_two_daemons_that_say_they_are_one_node_only_the_first_is_heard),
    UNIT_TEST(who_does_not_lead_answers_nobody),
    UNIT_TEST(g14_a_map_is_sent_once_until_it_is_acknowledged_and_again_after_half_a_second),
    UNIT_TEST(a_change_is_told_to_all_that_are_there),
    UNIT_TEST(what_is_refused_rests_for_a_second),
    UNIT_TEST(what_is_not_committed_is_tried_again_and_said_once),
    UNIT_TEST(the_lead_is_offered_to_one_after_the_other),
    UNIT_TEST(h11_a_move_by_hand_is_told_at_once),
    UNIT_TEST(g13_nothing_is_ready_before_all_that_are_there_have_the_map),
    UNIT_TEST(h10_a_peer_that_stays_dead_is_started_ever_more_seldom),
    UNIT_TEST(h10_a_peer_that_is_heard_is_not_started),
    UNIT_TEST(h3_a_node_without_a_leader_starts_all_others),
    UNIT_END,
};
