/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of zd_lease and zd_replica together, whatever happens between them: leaders change while
 * the one before still renews, beats and answers are late, lost and overtake each other, daemons
 * pause and are started again, scripts fail and hang, and hosts' clocks run at different rates.
 */
#include "unit.h"

#include <inttypes.h>

#include <apr_strings.h>

#include "random.h"
#include "zd_lease.h"
#include "zd_replica.h"

enum {
    SCHEDULES = 20000,
    STEPS = 1000,
    STEP_MS = 100,
    TIMEOUT_MS = 5000,
    ELECTION_MS = 1500,
    BEAT_MS = 500,
    REPLICAS = 3,
    LEADERS = 2, /* the one that leads, and the one before while it does not know */
    POSTS = 48,
    BEGAN_MS = 1000000,
    NEVER_MS = 1 << 30
};

static const zd_replica_conf_t replicas[REPLICAS] = {
    {.id = "0", .route = "hostA"}, {.id = "1", .route = "hostB"}, {.id = "2", .route = "hostC"}};
static const hap_map_member_t members[REPLICAS] = {
    {.route = "hostA"}, {.route = "hostB"}, {.route = "hostC"}};
static const zd_config_t config = {
    .app = "Voting", .replicas = replicas, .replicas_n = REPLICAS, .timeout_ms = TIMEOUT_MS};

/* A clock that shows something of its own, and is wrong by less than the drift that is allowed. */
typedef struct host_clock_t {
    uint64_t ahead_ms;
    int rate; /* parts of a thousand */
} host_clock_t;

/* A host with a replica, its daemon and the guard. */
typedef struct host_t {
    host_clock_t clock;
    unsigned life;       /* the how many-th daemon it is */
    uint64_t resumes_ms; /* it is stopped until then */
    uint64_t term;       /* the highest that its engine has heard of, on disk */
    zd_replica_t replica;
    bool cut;          /* nobody hears it */
    bool served;       /* the service runs, or may */
    zd_run_t runs;     /* script */
    bool killed;       /* that one was */
    uint64_t ends_ms;  /* when that ends */
    uint64_t beat_ms;  /* when it last said something */
    uint64_t held_ms;  /* what this daemon told the guard, on the host's clock */
    uint64_t guard_ms; /* what the guard knows; 0: nothing is to be killed */
} host_t;

/* A node that leads, or thinks so. */
typedef struct leader_t {
    host_clock_t clock;
    uint64_t term; /* 0: there is none */
    uint64_t until_ms;
    zd_app_t app; /* as it knows it */
    zd_lease_t lease;
    zd_roll_t roll;
    bool plans; /* a command is on its way */
    zd_command_t command;
    uint64_t commits_ms;
} leader_t;

/* A beat or an answer on its way. */
typedef struct post_t {
    uint64_t at_ms; /* 0: none */
    unsigned host;
    unsigned life;
    uint64_t term; /* of the leader it is to or from */
    bool is_answer;
    zd_beat_t beat;
    uint64_t sent_ms; /* on the host's clock */
    zd_word_t word;
} post_t;

static unit_random_t dice;
static uint64_t now;
static host_t hosts[REPLICAS];
static leader_t leaders[LEADERS]; /* the one that leads, and the one before */
static zd_app_t agreed;
static post_t posts[POSTS];
static size_t calm; /* so many turns something happens once in a while */
static const char *broken;
static unsigned grants;
static unsigned takeovers; /* with a new leader since the grant before */

static size_t random_n(size_t n)
{
    return unit_random(&dice, n);
}

static uint64_t on(host_clock_t clock)
{
    const uint64_t since = now - BEGAN_MS;
    return clock.ahead_ms + now + (uint64_t)((int64_t)since * clock.rate / 1000);
}

static host_clock_t some_clock(void)
{
    return (host_clock_t){.ahead_ms = random_n(100000000), .rate = (int)random_n(9) - 4};
}

static post_t *free_post(void)
{
    for (int i = 0; i < POSTS; i++) {
        if (!posts[i].at_ms) {
            return &posts[i];
        }
    }
    return &posts[random_n(POSTS)];
}

static uint64_t arrives_ms(void)
{
    return now + 1 + (random_n(8) ? random_n(50) : random_n(TIMEOUT_MS));
}

/* --- a host ----------------------------------------------------------------------------------- */

static void say(unsigned host);

static void hold(host_t *host, uint64_t kill_at_ms)
{
    host->held_ms = kill_at_ms;
    host->guard_ms = kill_at_ms;
}

static void begin_script(host_t *host, zd_run_t what)
{
    host->runs = what;
    host->killed = false;
    host->ends_ms = now + (random_n(6) ? random_n(1500) : NEVER_MS);
    host->served |= what == ZD_RUN_ACTIVE;
}

static void kill_script(host_t *host)
{
    if (host->runs != ZD_RUN_NONE && !host->killed) {
        host->killed = true;
        host->ends_ms = now + random_n(100);
    }
}

/* As zd_core does it. */
static void obey(unsigned at, zd_orders_t orders)
{
    host_t *host = &hosts[at];
    const uint64_t deadline = zd_replica_deadline(&host->replica);
    if (orders.kill_script) {
        kill_script(host);
    }
    if (orders.kill_service) {
        host->served = false;
    }
    if (deadline != host->held_ms || (orders.changed && host->replica.role == ZD_ROLE_PASSIVE)) {
        hold(host, deadline);
    }
    if (orders.run != ZD_RUN_NONE) {
        begin_script(host, orders.run);
    }
    if (orders.beat) {
        say(at);
    }
}

/* The leader that it calls: the new one as soon as its engine knows of it. */
static const leader_t *called(host_t *host)
{
    const leader_t *leader = &leaders[leaders[1].term && random_n(2)];
    if (host->cut || leader->term < host->term) {
        return NULL;
    }
    host->term = leader->term;
    return leader;
}

static void say(unsigned at)
{
    host_t *host = &hosts[at];
    const uint64_t here = on(host->clock);
    const leader_t *leader = called(host);
    host->beat_ms = now;
    if (!leader || !leader->term || random_n(10) == 0) {
        return;
    }
    *free_post() = (post_t){.at_ms = arrives_ms(),
                            .host = at,
                            .life = host->life,
                            .term = leader->term,
                            .sent_ms = here,
                            .beat = {.node = replicas[at].id,
                                     .home = replicas[at].id,
                                     .claim = zd_replica_claim(&host->replica),
                                     .stopped = host->replica.stopped,
                                     .wants = zd_replica_wants(&host->replica, here),
                                     .well = random_n(5) != 0,
                                     .waiting_ms = here - host->replica.waiting_ms}};
}

static void end_script(unsigned at)
{
    host_t *host = &hosts[at];
    if (host->runs == ZD_RUN_NONE || now < host->ends_ms) {
        return;
    }
    bool well = random_n(4) != 0;
    if (host->runs == ZD_RUN_PASSIVE && well && random_n(4)) { /* or it lies */
        host->served = false;
    }
    host->runs = ZD_RUN_NONE;
    obey(at, zd_replica_ran(&host->replica, well, on(host->clock)));
}

static void guard(host_t *host)
{
    if (host->guard_ms && on(host->clock) >= host->guard_ms) {
        host->guard_ms = 0;
        host->served = false;
        kill_script(host);
    }
}

/* What was on its way arrives now, or never. */
static void restart(unsigned at)
{
    host_t *host = &hosts[at];
    for (int i = 0; i < POSTS; i++) {
        if (posts[i].at_ms && posts[i].host == at) {
            posts[i].at_ms = posts[i].is_answer || random_n(2) ? 0 : now;
        }
    }
    host->life++;
    host->runs = ZD_RUN_NONE;
    host->held_ms = host->guard_ms;
    zd_replica_begin(&host->replica, TIMEOUT_MS, 1 + (unsigned)random_n(3), on(host->clock));
    const zd_left_t left = {.kill_at_ms = host->guard_ms};
    zd_replica_resume(&host->replica, &left);
}

static void turn(unsigned at)
{
    host_t *host = &hosts[at];
    guard(host);
    if (now < host->resumes_ms) {
        return;
    }
    end_script(at);
    obey(at, zd_replica_tick(&host->replica, on(host->clock)));
    if (now - host->beat_ms >= BEAT_MS) {
        say(at);
    }
}

/* --- a leader --------------------------------------------------------------------------------- */

static bool is_active(const leader_t *leader, unsigned host)
{
    return leader->app.map.active && strcmp(leader->app.map.active, replicas[host].route) == 0;
}

static void answer(const leader_t *leader, unsigned host, bool renewed, const post_t *beat)
{
    if (random_n(10) == 0 || hosts[host].cut) {
        return;
    }
    *free_post() = (post_t){
        .at_ms = arrives_ms(),
        .host = host,
        .life = beat ? beat->life : hosts[host].life,
        .term = leader->term,
        .is_answer = true,
        .word = {.epoch = is_active(leader, host) ? leader->app.granted : 0,
                 .proves = renewed,
                 .sent_ms = beat ? beat->sent_ms : 0,
                 .yield = is_active(leader, host) && zd_lease_yields(&leader->lease, &leader->app),
                 .paused = leader->app.paused}};
}

static void plan(leader_t *leader)
{
    const uint64_t here = on(leader->clock);
    zd_lease_look(&leader->lease, &leader->app, here);
    if (leader->plans || leader != &leaders[0]) {
        return; /* what the one before says is never committed */
    }
    leader->plans =
        zd_lease_next(&leader->command, &leader->lease, &leader->app, &config, &leader->roll, here);
    leader->commits_ms = now + 1 + (random_n(4) ? random_n(20) : random_n(TIMEOUT_MS));
}

static void hear(leader_t *leader, const post_t *beat)
{
    const uint64_t here = on(leader->clock);
    const zd_heard_t *heard = zd_roll_hear(&leader->roll, &beat->beat, here);
    zd_lease_look(&leader->lease, &leader->app, here);
    answer(leader, beat->host,
           zd_lease_renew(&leader->lease, &leader->app, replicas[beat->host].route, &heard->beat,
                          here),
           beat);
    plan(leader);
}

static void commit(const zd_command_t *command)
{
    if (command->epoch != agreed.granted ||
        (command->what == ZD_DO_RELEASE && !agreed.map.active)) {
        return;
    }
    agreed.map.active = command->what == ZD_DO_GRANT ? command->route : NULL;
    if (command->what == ZD_DO_GRANT) {
        agreed.home = replicas[zd_config_route(&config, command->route)].id;
        agreed.map.epoch = ++agreed.granted;
        grants++;
    }
}

static void lead(leader_t *leader)
{
    if (leader->plans && now >= leader->commits_ms) {
        leader->plans = false;
        commit(&leader->command);
        leader->app = agreed;
        zd_lease_look(&leader->lease, &leader->app, on(leader->clock));
        for (unsigned i = 0; i < REPLICAS; i++) {
            answer(leader, i, false, NULL);
        }
    }
    plan(leader);
}

/* The one before goes on for a while, with what it knows; of what it has said last the others may
 * have got the command. */
static void elect(void)
{
    leader_t *leader = &leaders[0];
    leaders[1] = *leader;
    leaders[1].until_ms = now + random_n(2 * ELECTION_MS);
    if (leader->plans && random_n(2)) {
        commit(&leader->command);
    }
    *leader = (leader_t){.clock = some_clock(), .term = leader->term + 1, .app = agreed};
    zd_lease_begin(&leader->lease, TIMEOUT_MS, ELECTION_MS, on(leader->clock));
    takeovers++;
}

/* --- what happens ----------------------------------------------------------------------------- */

static void deliver(post_t *slot)
{
    const post_t post = *slot;
    host_t *host = &hosts[post.host];
    if (!post.is_answer) {
        slot->at_ms = 0;
        for (int i = 0; i < LEADERS; i++) {
            if (leaders[i].term && leaders[i].term == post.term) {
                hear(&leaders[i], &post);
            }
        }
    } else if (now >= host->resumes_ms) {
        slot->at_ms = 0;
        if (post.life == host->life && post.term >= host->term) {
            host->term = post.term;
            obey(post.host, zd_replica_told(&host->replica, &post.word, on(host->clock)));
        }
    }
}

static void something_happens(void)
{
    host_t *host = &hosts[random_n(REPLICAS)];
    switch (random_n(calm)) {
    case 0:
        elect();
        break;
    case 1:
        host->resumes_ms = now + random_n(2 * TIMEOUT_MS);
        break;
    case 2:
    case 3:
        restart((unsigned)(host - hosts));
        break;
    case 4:
        agreed.paused = !agreed.paused && random_n(4) == 0;
        leaders[0].app.paused = agreed.paused;
        break;
    case 5:
    case 6:
        zd_lease_move(&leaders[0].lease, &leaders[0].app, &config, &leaders[0].roll,
                      (unsigned)random_n(REPLICAS), on(leaders[0].clock));
        break;
    case 7:
        host->cut = true;
        break;
    case 8:
    case 9:
    case 10:
        host->cut = false;
        break;
    default:
        break;
    }
}

static void look_for_two(void)
{
    unsigned n = 0;
    for (unsigned i = 0; i < REPLICAS; i++) {
        n += hosts[i].served;
    }
    broken = n < 2 || broken ? broken : "two services at a time";
}

static void step(void)
{
    now += 1 + random_n(STEP_MS);
    if (now >= leaders[1].until_ms) {
        leaders[1].term = 0;
    }
    something_happens();
    for (int i = 0; i < POSTS; i++) {
        if (posts[i].at_ms && posts[i].at_ms <= now) {
            deliver(&posts[i]);
        }
    }
    for (unsigned i = 0; i < REPLICAS; i++) {
        turn(i);
    }
    lead(&leaders[0]);
    look_for_two();
}

static const char *schedule(uint64_t seed)
{
    dice = (unit_random_t){seed};
    now = BEGAN_MS;
    calm = 30 + random_n(500);
    broken = NULL;
    agreed = (zd_app_t){
        .map = {.name = "Voting", .single = true, .members = members, .members_n = REPLICAS}};
    memset(posts, 0, sizeof(posts));
    memset(hosts, 0, sizeof(hosts));
    memset(leaders, 0, sizeof(leaders));
    for (unsigned i = 0; i < REPLICAS; i++) {
        hosts[i].clock = some_clock();
        restart(i);
    }
    elect();
    leaders[1].term = 0;
    for (int i = 0; i < STEPS && !broken; i++) {
        step();
    }
    return broken ? apr_psprintf(unit_pool, "seed %" PRIu64 ", after %" PRIu64 " ms: %s", seed,
                                 now - BEGAN_MS, broken)
                  : "";
}

static void h4_whatever_happens_no_two_services_run_at_a_time(void)
{
    const char *found = "";
    grants = takeovers = 0;
    for (uint64_t seed = 1; seed <= SCHEDULES && !*found; seed++) {
        found = schedule(seed);
    }
    UNIT_STR_EQ(found, "");
    CU_ASSERT_TRUE(grants > 2 * SCHEDULES);
    CU_ASSERT_TRUE(takeovers > 2 * SCHEDULES);
}

const unit_test_t suite_zd_takeover[] = {
    UNIT_TEST(h4_whatever_happens_no_two_services_run_at_a_time),
    UNIT_END,
};
