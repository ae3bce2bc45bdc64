/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of zd_replica: whatever happens, and in whatever order, a lease is never outlived. */
#include "unit.h"

#include <inttypes.h>

#include <apr_strings.h>

#include "random.h"
#include "zd_replica.h"

enum {
    TIMEOUT_MS = 10000,
    BEGAN_MS = 1000000,
    SCHEDULES = 100000,
    STEPS = 60,
    WORDS = 8,
    NEVER_MS = 1 << 30
};

static zd_replica_t replica;
static uint64_t now;

/* An answer on its way. */
typedef struct post_t {
    zd_word_t word;
    uint64_t at_ms; /* 0: none */
} post_t;

/* What is true, whatever the replica believes. */
typedef struct truth_t {
    unit_random_t random;
    uint64_t seed;
    uint64_t lease; /* by the leader, this replica's; 0: none */
    uint64_t last;  /* the highest epoch so far */
    bool yield;
    bool paused;
    uint64_t served;    /* the epoch that the service was begun in; 0: it does not run */
    uint64_t proven_ms; /* when the last renewal was sent that has come, or may have */
    uint64_t over;      /* leases up to this one were stopped */
    zd_run_t runs;      /* script */
    uint64_t run_end_ms;
    bool killed; /* that one was */
    uint64_t beat_ms;
    post_t posts[WORDS];
    const char *broken; /* what must not be; NULL: nothing yet */
} truth_t;

static truth_t truth;

static size_t random_n(size_t n)
{
    return unit_random(&truth.random, n);
}

static void must_be(bool holds, const char *what)
{
    truth.broken = truth.broken || holds ? truth.broken : what;
}

static void begin_script(zd_run_t what)
{
    bool holds = replica.role == ZD_ROLE_TAKING || replica.role == ZD_ROLE_ACTIVE;
    must_be(truth.runs == ZD_RUN_NONE, "two scripts at a time");
    truth.runs = what;
    truth.killed = false;
    truth.run_end_ms = now + (random_n(10) ? random_n(replica.times.round_ms * 2) : NEVER_MS);
    if (what == ZD_RUN_ACTIVE) {
        must_be(holds, "ensure-active without the lease");
        must_be(replica.epoch > truth.over, "a lease that was stopped is held again");
        must_be(now < truth.proven_ms + replica.times.stop_ms, "ensure-active after the lease");
        truth.served = replica.epoch;
    }
}

static void post_answer(void);

static void obey(zd_orders_t orders)
{
    if (orders.kill_script && truth.runs != ZD_RUN_NONE) {
        truth.killed = true;
        truth.run_end_ms = truth.run_end_ms < now + 200 ? truth.run_end_ms : now + random_n(200);
    }
    if (orders.kill_service) {
        must_be(truth.runs != ZD_RUN_ACTIVE || truth.killed, "ensure-active lives on");
        truth.served = 0;
    }
    if (replica.role == ZD_ROLE_PASSIVE && truth.over < replica.epoch) {
        must_be(!truth.served, "it calls itself passive, and the service runs");
        truth.over = replica.epoch;
    }
    if (orders.run != ZD_RUN_NONE) {
        begin_script(orders.run);
    }
    if (orders.beat) {
        post_answer();
    }
}

/* The leader hears a beat now, and its answer comes some time, or never. */
static void post_answer(void)
{
    const uint64_t claim = zd_replica_claim(&replica);
    post_t *post = &truth.posts[random_n(WORDS)];
    truth.beat_ms = now;
    if (truth.lease && replica.stopped >= truth.lease) {
        truth.lease = 0;
    }
    if (random_n(4) == 0) {
        return;
    }
    *post = (post_t){.at_ms = now + 1 +
                              (random_n(4) ? random_n(100) : random_n(replica.times.timeout_ms)),
                     .word = {.epoch = truth.lease,
                              .proves = claim && claim == truth.lease,
                              .sent_ms = now,
                              .yield = truth.lease && truth.yield,
                              .paused = truth.paused}};
}

static void deliver(void)
{
    for (int i = 0; i < WORDS; i++) {
        post_t post = truth.posts[i];
        if (!post.at_ms || post.at_ms > now) {
            continue;
        }
        truth.posts[i].at_ms = 0;
        if (post.word.proves && post.word.sent_ms > truth.proven_ms) {
            truth.proven_ms = post.word.sent_ms;
        }
        post.word.sent_ms = post.word.proves || random_n(2) ? post.word.sent_ms : 0;
        obey(zd_replica_told(&replica, &post.word, now));
    }
}

static void end_script(void)
{
    if (truth.runs == ZD_RUN_NONE || now < truth.run_end_ms) {
        return;
    }
    bool well = random_n(3) != 0;
    if (truth.runs == ZD_RUN_PASSIVE && well && random_n(4)) { /* or it lies */
        truth.served = 0;
    }
    truth.runs = ZD_RUN_NONE;
    obey(zd_replica_ran(&replica, well, now));
}

static void tick(void)
{
    const zd_times_t *times = &replica.times;
    obey(zd_replica_tick(&replica, now));
    const uint64_t age = now - truth.proven_ms;
    bool holds = replica.role == ZD_ROLE_TAKING || replica.role == ZD_ROLE_ACTIVE;
    must_be(!truth.served || age < times->kill_ms, "the service outlives its lease");
    must_be(!holds || age < times->stop_ms, "it holds a lease that was not renewed");
    must_be(!truth.served || zd_replica_deadline(&replica) <= truth.proven_ms + times->guard_ms,
            "the guard comes too late");
    must_be(!truth.served || zd_replica_deadline(&replica), "the guard does not know");
}

/* Something happens elsewhere. */
static void change_leader(void)
{
    switch (random_n(12)) {
    case 0:
        truth.lease = ++truth.last;
        break;
    case 1:
        truth.lease = 0;
        break;
    case 2:
        truth.yield = !truth.yield;
        break;
    case 3:
        truth.paused = !truth.paused;
        break;
    default:
        truth.lease = truth.lease || random_n(2) ? truth.lease : ++truth.last;
        break;
    }
}

static uint64_t some_ms(void)
{
    switch (random_n(40)) {
    case 0:
        return random_n(100000); /* the host slept */
    case 1:
    case 2:
    case 3:
        return random_n(replica.times.timeout_ms);
    default:
        return 1 + random_n(replica.times.round_ms / 2);
    }
}

static void step(void)
{
    static void (*const events[])(void) = {deliver, end_script, tick};
    size_t first = random_n(3);
    now += some_ms();
    if (random_n(5) == 0) {
        change_leader();
    }
    for (size_t i = 0; i < 3; i++) {
        events[(first + i) % 3]();
    }
    tick();
    if (now - truth.beat_ms >= replica.times.round_ms / 2) {
        post_answer();
    }
}

static const char *schedule(uint64_t seed)
{
    truth = (truth_t){.random = {seed}, .seed = seed};
    now = BEGAN_MS + random_n(TIMEOUT_MS);
    zd_replica_begin(&replica, 2000 + (unsigned)random_n(20000), 1 + (unsigned)random_n(3), now);
    for (int i = 0; i < STEPS && !truth.broken; i++) {
        step();
    }
    return truth.broken ? apr_psprintf(unit_pool, "seed %" PRIu64 ": %s", seed, truth.broken) : "";
}

static void h8_whatever_happens_the_service_is_dead_before_its_lease_is_over(void)
{
    const char *broken = "";
    uint64_t served = 0;
    for (uint64_t seed = 1; seed <= SCHEDULES && !*broken; seed++) {
        broken = schedule(seed);
        served += truth.last > 0 && truth.over > 0;
    }
    UNIT_STR_EQ(broken, "");
    CU_ASSERT_TRUE(served > SCHEDULES / 2);
}

const unit_test_t suite_zd_replica_random[] = {
    UNIT_TEST(h8_whatever_happens_the_service_is_dead_before_its_lease_is_over),
    UNIT_END,
};
