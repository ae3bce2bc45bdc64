/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of ml_loop and ml_wheel. */
#include "unit.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ml_loop.h"

/* --- the wheel, in ticks -----------------------------------------------------------------------
 */

typedef struct tick_t {
    ml_timer_t timer;
    uint64_t due;
} tick_t;

static ml_wheel_t wheel;
static uint64_t tick_now, tick_last;
static unsigned fired, wrong;

static void tick_fire(ml_timer_t *timer, ml_loop_t *loop)
{
    tick_t *tick = ML_OWNER(timer, tick_t, timer);
    (void)loop;
    fired++;
    if (tick->due > tick_now || tick->due < tick_last || wheel.now != tick->due) {
        wrong++;
    }
    tick_last = tick->due;
}

static void begin_ticks(uint64_t now)
{
    ml_wheel_init(&wheel, now);
    tick_now = tick_last = now;
    fired = wrong = 0;
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void a_hundred_thousand_timers_fire_once_in_order_at_their_tick(void)
{
    enum { N = 100000 };
    static tick_t ticks[N];
    uint64_t seed = 0x9e3779b97f4a7c15U;
    begin_ticks(987654321);
    for (int i = 0; i < N; i++) {
        uint64_t range = UINT64_C(1) << (next_random(&seed) % 30);
        ticks[i] =
            (tick_t){.timer.fire = tick_fire, .due = tick_now + 1 + next_random(&seed) % range};
        ml_wheel_set(&wheel, &ticks[i].timer, ticks[i].due);
    }
    unsigned cancelled = 0;
    for (int i = 0; i < N; i += 3, cancelled++) {
        ml_wheel_cancel(&wheel, &ticks[i].timer);
    }
    for (int i = 1; i < N; i += 3) {
        ticks[i].due += next_random(&seed) % 5000;
        ml_wheel_set(&wheel, &ticks[i].timer, ticks[i].due);
    }
    uint64_t next;
    while (ml_wheel_next(&next, &wheel)) {
        CU_ASSERT_TRUE_FATAL(next > tick_now);
        tick_now = next + next_random(&seed) % 3;
        ml_wheel_advance(&wheel, tick_now, NULL);
    }
    CU_ASSERT_EQUAL(fired, N - cancelled);
    CU_ASSERT_EQUAL(wrong, 0);
}

static void a_long_sleep_fires_all_that_became_due_in_order(void)
{
    enum { N = 1000 };
    static tick_t ticks[N];
    begin_ticks(63);
    for (int i = 0; i < N; i++) {
        uint64_t due = 64 + (uint64_t)(i * 7919 % N) * 97;
        ticks[i] = (tick_t){.timer.fire = tick_fire, .due = due};
        ml_wheel_set(&wheel, &ticks[i].timer, due);
    }
    tick_now = 1000000;
    ml_wheel_advance(&wheel, tick_now, NULL);
    CU_ASSERT_EQUAL(fired, N);
    CU_ASSERT_EQUAL(wrong, 0);
    CU_ASSERT_EQUAL(wheel.now, 1000000);
}

static tick_t pair[2];

static void cancel_the_other(ml_timer_t *timer, ml_loop_t *loop)
{
    (void)loop;
    fired++;
    ml_wheel_cancel(&wheel, &pair[timer == &pair[0].timer ? 1 : 0].timer);
}

static void a_timer_may_cancel_another_of_the_same_tick(void)
{
    begin_ticks(0);
    for (int i = 0; i < 2; i++) {
        pair[i] = (tick_t){.timer.fire = cancel_the_other};
        ml_wheel_set(&wheel, &pair[i].timer, 5);
    }
    ml_wheel_advance(&wheel, 5, NULL);
    CU_ASSERT_EQUAL(fired, 1);
    CU_ASSERT_FALSE(ml_timer_is_set(&pair[1].timer));
}

static void set_again(ml_timer_t *timer, ml_loop_t *loop)
{
    (void)loop;
    fired++;
    ml_wheel_set(&wheel, timer, 0);
}

static void a_timer_that_sets_itself_to_the_past_does_not_spin(void)
{
    begin_ticks(0);
    tick_t tick = {.timer.fire = set_again};
    ml_wheel_set(&wheel, &tick.timer, 1);
    ml_wheel_advance(&wheel, 1, NULL);
    CU_ASSERT_EQUAL(fired, 1);
    CU_ASSERT_TRUE(ml_timer_is_set(&tick.timer));
    ml_wheel_cancel(&wheel, &tick.timer);
    uint64_t next;
    CU_ASSERT_FALSE(ml_wheel_next(&next, &wheel));
}

/* --- the loop ----------------------------------------------------------------------------------
 */

typedef struct alarm_t {
    ml_timer_t timer;
    apr_time_t due;
} alarm_t;

static unsigned alarms_left;
static apr_time_t alarm_last;

static void alarm_fire(ml_timer_t *timer, ml_loop_t *loop)
{
    alarm_t *alarm = ML_OWNER(timer, alarm_t, timer);
    apr_time_t now = ml_loop_now(loop);
    if (now < alarm->due || alarm->due + 1000 < alarm_last) {
        wrong++;
    }
    alarm_last = alarm->due;
    if (--alarms_left == 0) {
        ml_loop_stop(loop);
    }
}

static void loop_timers_are_in_order_and_never_early(void)
{
    enum { N = 200 };
    alarm_t alarms[N];
    ml_loop_t *loop;
    CU_ASSERT_EQUAL_FATAL(ml_loop_create(&loop, unit_pool), APR_SUCCESS);
    alarms_left = N;
    alarm_last = wrong = 0;
    for (int i = 0; i < N; i++) {
        apr_interval_time_t delay = (i * 7919 % N) * 400;
        alarms[i] = (alarm_t){.timer.fire = alarm_fire, .due = ml_loop_now(loop) + delay};
        ml_timer_set(loop, &alarms[i].timer, delay);
    }
    CU_ASSERT_EQUAL(ml_loop_run(loop), APR_SUCCESS);
    CU_ASSERT_EQUAL(alarms_left, 0);
    CU_ASSERT_EQUAL(wrong, 0);
}

enum { POSTERS = 8, POSTS = 5000 };

typedef struct item_t {
    ml_work_t work;
    int poster, number;
} item_t;

static int next_number[POSTERS];
static ml_loop_t *shared_loop;

static void item_run(ml_work_t *work, ml_loop_t *loop)
{
    item_t *item = ML_OWNER(work, item_t, work);
    wrong += next_number[item->poster]++ != item->number;
    if (++fired == POSTERS * POSTS) {
        ml_loop_stop(loop);
    }
    free(item);
}

static void *post_many(void *data)
{
    for (int i = 0; i < POSTS; i++) {
        item_t *item = malloc(sizeof(*item));
        *item = (item_t){.work.run = item_run, .poster = *(int *)data, .number = i};
        if (!ml_loop_post(shared_loop, &item->work)) {
            free(item);
        }
    }
    return NULL;
}

static void work_of_many_threads_runs_once_each_in_the_order_of_its_poster(void)
{
    pthread_t threads[POSTERS];
    int numbers[POSTERS];
    fired = wrong = 0;
    memset(next_number, 0, sizeof(next_number));
    CU_ASSERT_EQUAL_FATAL(ml_loop_create(&shared_loop, unit_pool), APR_SUCCESS);
    CU_ASSERT_EQUAL_FATAL(ml_loop_start(shared_loop), APR_SUCCESS);
    for (int i = 0; i < POSTERS; i++) {
        numbers[i] = i;
        pthread_create(&threads[i], NULL, post_many, &numbers[i]);
    }
    for (int i = 0; i < POSTERS; i++) {
        pthread_join(threads[i], NULL);
    }
    CU_ASSERT_EQUAL(ml_loop_join(shared_loop, 30 * APR_USEC_PER_SEC), APR_SUCCESS);
    CU_ASSERT_EQUAL(fired, POSTERS * POSTS);
    CU_ASSERT_EQUAL(wrong, 0);
}

static void count_run(ml_work_t *work, ml_loop_t *loop)
{
    (void)work;
    (void)loop;
    fired++;
}

static void work_posted_before_the_stop_runs_and_after_the_end_is_refused(void)
{
    ml_work_t before = {.run = count_run}, after = {.run = count_run};
    ml_loop_t *loop;
    fired = 0;
    CU_ASSERT_EQUAL_FATAL(ml_loop_create(&loop, unit_pool), APR_SUCCESS);
    CU_ASSERT_TRUE(ml_loop_post(loop, &before));
    ml_loop_stop(loop);
    CU_ASSERT_EQUAL(ml_loop_run(loop), APR_SUCCESS);
    CU_ASSERT_EQUAL(fired, 1);
    CU_ASSERT_FALSE(ml_loop_post(loop, &after));
}

static ml_work_t deferring, deferred;

static void defer_run(ml_work_t *work, ml_loop_t *loop)
{
    (void)work;
    ml_loop_defer(loop, &deferred);
    if (++tick_now < 3) {
        ml_loop_post(loop, &deferring);
    } else {
        ml_loop_stop(loop);
    }
}

/* Once for each turn that deferred it, after what else the turn had to do. */
static void deferred_run(ml_work_t *work, ml_loop_t *loop)
{
    (void)work;
    (void)loop;
    wrong += tick_now != ++tick_last;
}

static void deferred_work_runs_at_the_end_of_each_turn_that_defers_it(void)
{
    ml_loop_t *loop;
    deferring.run = defer_run;
    deferred.run = deferred_run;
    wrong = 0;
    tick_now = tick_last = 0;
    CU_ASSERT_EQUAL_FATAL(ml_loop_create(&loop, unit_pool), APR_SUCCESS);
    CU_ASSERT_TRUE(ml_loop_post(loop, &deferring));
    CU_ASSERT_EQUAL(ml_loop_run(loop), APR_SUCCESS);
    CU_ASSERT_EQUAL(tick_last, 3);
    CU_ASSERT_EQUAL(wrong, 0);
}

typedef struct socket_t {
    ml_io_t io;
    int pair[2];
} socket_t;

enum { SOCKETS = 40 };
static socket_t *sockets[SOCKETS];

static void delete_socket(socket_t **socket)
{
    ml_io_del(&(*socket)->io);
    close((*socket)->pair[0]);
    close((*socket)->pair[1]);
    free(*socket);
    *socket = NULL;
}

enum { READY = 300 };
static unsigned heard;
static unsigned heard_in_time;

static void hear(ml_io_t *io, uint32_t events)
{
    (void)events;
    ml_io_del(io);
    heard++;
}

static void on_late(ml_timer_t *timer, ml_loop_t *loop)
{
    (void)timer;
    heard_in_time = heard;
    ml_loop_stop(loop);
}

/* As after a pause, in which more has come than is fetched at once. */
static void what_has_come_is_heard_before_timers_fire(void)
{
    static const ml_io_iface_t hear_iface = {.name = "hear", .ready = hear};
    static socket_t ready[READY];
    ml_timer_t late = {.fire = on_late};
    ml_loop_t *loop;
    heard = heard_in_time = 0;
    CU_ASSERT_EQUAL_FATAL(ml_loop_create(&loop, unit_pool), APR_SUCCESS);
    for (int i = 0; i < READY; i++) {
        CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM, 0, ready[i].pair), 0);
        CU_ASSERT_EQUAL(write(ready[i].pair[1], "x", 1), 1);
        CU_ASSERT_EQUAL(ml_io_add(&ready[i].io, loop, &hear_iface, ready[i].pair[0], EPOLLIN),
                        APR_SUCCESS);
    }
    ml_timer_set(loop, &late, 1);
    usleep(5000);
    CU_ASSERT_EQUAL(ml_loop_run(loop), APR_SUCCESS);
    CU_ASSERT_EQUAL(heard_in_time, READY);
    for (int i = 0; i < READY; i++) {
        close(ready[i].pair[0]);
        close(ready[i].pair[1]);
    }
}

static void delete_all(ml_io_t *io, uint32_t events)
{
    ml_loop_t *loop = io->loop;
    (void)events;
    fired++;
    for (int i = 0; i < SOCKETS; i++) {
        delete_socket(&sockets[i]);
    }
    ml_loop_stop(loop);
}

static const ml_io_iface_t delete_iface = {.name = "delete", .ready = delete_all};

static void a_callback_may_delete_every_handle_of_its_batch(void)
{
    ml_loop_t *loop;
    fired = 0;
    CU_ASSERT_EQUAL_FATAL(ml_loop_create(&loop, unit_pool), APR_SUCCESS);
    for (int i = 0; i < SOCKETS; i++) {
        socket_t *s = sockets[i] = calloc(1, sizeof(socket_t));
        CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM, 0, s->pair), 0);
        CU_ASSERT_EQUAL(write(s->pair[1], "x", 1), 1);
        CU_ASSERT_EQUAL(ml_io_add(&s->io, loop, &delete_iface, s->pair[0], EPOLLIN), APR_SUCCESS);
    }
    CU_ASSERT_EQUAL(ml_loop_run(loop), APR_SUCCESS);
    CU_ASSERT_EQUAL(fired, 1);
}

static socket_t at_hand[2];

/* The first one of the batch sees the other's event until it is deleted; its own is over. */
static void look_at_hand(ml_io_t *io, uint32_t events)
{
    ml_io_t *other = io == &at_hand[0].io ? &at_hand[1].io : &at_hand[0].io;
    (void)events;
    fired++;
    wrong += ml_io_at_hand(io) != 0;
    wrong += ml_io_at_hand(other) != EPOLLIN;
    ml_loop_stop(io->loop);
    ml_io_del(other);
    wrong += ml_io_at_hand(other) != 0;
}

static const ml_io_iface_t at_hand_iface = {.name = "at hand", .ready = look_at_hand};

static void an_event_is_at_hand_until_it_is_delivered_or_deleted(void)
{
    ml_loop_t *loop;
    fired = wrong = 0;
    CU_ASSERT_EQUAL_FATAL(ml_loop_create(&loop, unit_pool), APR_SUCCESS);
    for (int i = 0; i < 2; i++) {
        socket_t *s = &at_hand[i];
        CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM, 0, s->pair), 0);
        CU_ASSERT_EQUAL(ml_io_add(&s->io, loop, &at_hand_iface, s->pair[0], EPOLLIN), APR_SUCCESS);
        CU_ASSERT_EQUAL(ml_io_at_hand(&s->io), 0);
        CU_ASSERT_EQUAL(write(s->pair[1], "x", 1), 1);
    }
    CU_ASSERT_EQUAL(ml_loop_run(loop), APR_SUCCESS);
    CU_ASSERT_EQUAL(fired, 1);
    CU_ASSERT_EQUAL(wrong, 0);
    for (int i = 0; i < 2; i++) {
        ml_io_del(&at_hand[i].io);
        close(at_hand[i].pair[0]);
        close(at_hand[i].pair[1]);
    }
}

static void swap_interest(ml_io_t *io, uint32_t events)
{
    fired++;
    wrong += events != (fired == 1 ? EPOLLOUT : EPOLLIN);
    if (fired == 2) {
        ml_loop_stop(io->loop);
        ml_io_del(io);
        return;
    }
    wrong += ml_io_set(io, EPOLLIN) != APR_SUCCESS;
}

static const ml_io_iface_t swap_iface = {.name = "swap", .ready = swap_interest};

static void a_handle_hears_only_what_it_waits_for(void)
{
    ml_loop_t *loop;
    socket_t s = {0};
    fired = wrong = 0;
    CU_ASSERT_EQUAL_FATAL(ml_loop_create(&loop, unit_pool), APR_SUCCESS);
    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM, 0, s.pair), 0);
    CU_ASSERT_EQUAL(write(s.pair[1], "x", 1), 1);
    CU_ASSERT_EQUAL(ml_io_add(&s.io, loop, &swap_iface, s.pair[0], EPOLLOUT), APR_SUCCESS);
    CU_ASSERT_EQUAL(ml_loop_run(loop), APR_SUCCESS);
    CU_ASSERT_EQUAL(fired, 2);
    CU_ASSERT_EQUAL(wrong, 0);
    ml_io_t bad = {0};
    CU_ASSERT_EQUAL(ml_io_add(&bad, loop, &swap_iface, -1, EPOLLIN), EBADF);
    ml_io_del(&bad);
    close(s.pair[0]);
    close(s.pair[1]);
}

static void check_mask(ml_work_t *work, ml_loop_t *loop)
{
    sigset_t mask;
    (void)work;
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    fired =
        sigismember(&mask, SIGTERM) && sigismember(&mask, SIGPIPE) && sigismember(&mask, SIGHUP);
    ml_loop_stop(loop);
}

static void the_loop_thread_takes_no_signals(void)
{
    ml_work_t work = {.run = check_mask};
    ml_loop_t *loop;
    fired = 0;
    CU_ASSERT_EQUAL_FATAL(ml_loop_create(&loop, unit_pool), APR_SUCCESS);
    CU_ASSERT_EQUAL_FATAL(ml_loop_start(loop), APR_SUCCESS);
    CU_ASSERT_TRUE(ml_loop_post(loop, &work));
    CU_ASSERT_EQUAL(ml_loop_join(loop, 30 * APR_USEC_PER_SEC), APR_SUCCESS);
    CU_ASSERT_TRUE(fired);
}

const unit_test_t suite_loop[] = {
    UNIT_TEST(a_hundred_thousand_timers_fire_once_in_order_at_their_tick),
    UNIT_TEST(a_long_sleep_fires_all_that_became_due_in_order),
    UNIT_TEST(a_timer_may_cancel_another_of_the_same_tick),
    UNIT_TEST(a_timer_that_sets_itself_to_the_past_does_not_spin),
    UNIT_TEST(loop_timers_are_in_order_and_never_early),
    UNIT_TEST(work_of_many_threads_runs_once_each_in_the_order_of_its_poster),
    UNIT_TEST(work_posted_before_the_stop_runs_and_after_the_end_is_refused),
    UNIT_TEST(deferred_work_runs_at_the_end_of_each_turn_that_defers_it),
    UNIT_TEST(what_has_come_is_heard_before_timers_fire),
    UNIT_TEST(a_callback_may_delete_every_handle_of_its_batch),
    UNIT_TEST(an_event_is_at_hand_until_it_is_delivered_or_deleted),
    UNIT_TEST(a_handle_hears_only_what_it_waits_for),
    UNIT_TEST(the_loop_thread_takes_no_signals),
    UNIT_END,
};
