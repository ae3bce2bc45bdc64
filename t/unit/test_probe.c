/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of ml_probe against real servers on loopback. The loop runs in the test's own thread. */
#include "unit.h"

#include <netinet/in.h>
#include <semaphore.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <apr_strings.h>

#include "ml_probe.h"
#include "probe_server.h"

#define OK_ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

/* Generous to results that should come, short for those that should not. */
enum { AMPLE_US = 20000000, SHORT_US = 100000 };

/* --- one prober, whose results are written down ------------------------------------------------
 */

static struct {
    ml_loop_t *loop;
    ml_prober_t *prober;
    unsigned wanted;             /* results until the loop stops */
    unsigned seen;               /* results so far */
    apr_interval_time_t delay;   /* what on_result returns */
    apr_interval_time_t latency; /* of the last result */
    char results[2000];          /* "ok status 200; sick status 500; failed connect refused; " */
    void (*on_result)(const char *); /* called with the owner's name; may be NULL */
} run;

static const hap_check_t get_check = {.uri = {"/health", 7}, .expect = {1, {{200, 399}}}};
static const hap_check_t connect_check = {.expect = {1, {{200, 399}}}};

static apr_interval_time_t on_result(void *owner, hap_check_end_t how, const char *why,
                                     apr_interval_time_t latency)
{
    static const char *const ends[] = {"ok", "sick", "failed"};
    size_t at = strlen(run.results);
    snprintf(run.results + at, sizeof(run.results) - at, "%s%s %s", at ? "; " : "", ends[how], why);
    run.latency = latency;
    run.seen++;
    if (run.on_result) {
        run.on_result(owner);
    }
    if (run.seen >= run.wanted) {
        ml_loop_stop(run.loop);
        return -1;
    }
    return run.delay;
}

static void begin(unsigned wanted, ml_lookup_fn *lookup)
{
    memset(&run, 0, sizeof(run));
    run.wanted = wanted;
    CU_ASSERT_EQUAL_FATAL(ml_loop_create(&run.loop, unit_pool), APR_SUCCESS);
    CU_ASSERT_EQUAL_FATAL(ml_probe_create(&run.prober, run.loop, on_result, lookup), APR_SUCCESS);
}

static const char *finish(void)
{
    CU_ASSERT_EQUAL(ml_loop_run(run.loop), APR_SUCCESS);
    ml_probe_destroy(run.prober);
    return run.results;
}

static ml_probe_target_t target(uint16_t port, const hap_check_t *check,
                                apr_interval_time_t timeout)
{
    return (ml_probe_target_t){.name = HAP_STR_LIT("hostA"),
                               .scheme = ML_PROBE_HTTP,
                               .host = HAP_STR_LIT("127.0.0.1"),
                               .port = port,
                               .check = check,
                               .timeout = timeout,
                               .owner = (void *)(uintptr_t) "hostA"};
}

/* The results of `wanted` probes in a row. */
static const char *probe(unsigned wanted, ml_probe_target_t t)
{
    begin(wanted, NULL);
    ml_probe_set(run.prober, &t, 1);
    return finish();
}

/* The results of `wanted` probes of a server that does as told. */
static const char *probe_server(server_t *server, unsigned wanted, apr_interval_time_t timeout)
{
    CU_ASSERT_EQUAL_FATAL(server_start(server), 0);
    probe(wanted, target(server->port, &get_check, timeout));
    server_stop(server);
    return run.results;
}

/* --- answers -----------------------------------------------------------------------------------
 */

static void an_answer_is_judged_by_its_status(void)
{
    server_t good = {.answer = OK_ANSWER};
    UNIT_STR_EQ(probe_server(&good, 1, AMPLE_US), "ok status 200");
    server_t bad = {.answer = "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"};
    UNIT_STR_EQ(probe_server(&bad, 1, AMPLE_US), "sick status 503");
}

static void probes_share_one_connection(void)
{
    server_t server = {.answer = OK_ANSWER};
    probe_server(&server, 20, AMPLE_US);
    CU_ASSERT_PTR_NULL(strstr(run.results, "failed"));
    CU_ASSERT_EQUAL(server.connections, 1);
    CU_ASSERT_EQUAL(server.requests, 20);
}

static void a_chunked_answer_keeps_the_connection(void)
{
    server_t server = {.answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                 "2\r\nok\r\n3;x=y\r\nyes\r\n0\r\nA: b\r\n\r\n"};
    UNIT_STR_EQ(probe_server(&server, 3, AMPLE_US), "ok status 200; ok status 200; ok status 200");
    CU_ASSERT_EQUAL(server.connections, 1);
}

static void an_answer_that_ends_with_the_connection_counts_and_the_next_probe_connects_anew(void)
{
    server_t server = {.mode = SERVER_ANSWER_CLOSE, .answer = "HTTP/1.0 200 OK\r\n\r\nok"};
    UNIT_STR_EQ(probe_server(&server, 2, AMPLE_US), "ok status 200; ok status 200");
    CU_ASSERT_EQUAL(server.connections, 2);
}

static void a_kept_connection_that_the_member_closes_does_not_fail_a_probe(void)
{
    server_t idle = {.mode = SERVER_ANSWER_CLOSE, .answer = OK_ANSWER};
    UNIT_STR_EQ(probe_server(&idle, 3, AMPLE_US), "ok status 200; ok status 200; ok status 200");
    server_t busy = {.mode = SERVER_CLOSE_SECOND, .answer = OK_ANSWER};
    UNIT_STR_EQ(probe_server(&busy, 3, AMPLE_US), "ok status 200; ok status 200; ok status 200");
    CU_ASSERT_EQUAL(busy.connections, 3);
    CU_ASSERT_EQUAL(busy.requests, 5);
}

static void a_member_that_closes_every_connection_fails(void)
{
    server_t server = {.mode = SERVER_CLOSE};
    UNIT_STR_EQ(probe_server(&server, 2, AMPLE_US),
                "failed closed before an answer; failed closed before an answer");
    CU_ASSERT_EQUAL(server.requests, 2);
}

static void an_answer_cut_short_fails(void)
{
    server_t server = {.mode = SERVER_ANSWER_CLOSE,
                       .answer = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"};
    UNIT_STR_EQ(probe_server(&server, 1, AMPLE_US), "failed answer cut short");
}

static void garbage_is_a_bad_response(void)
{
    server_t server = {.answer = "SSH-2.0-OpenSSH_9.2\r\n"};
    UNIT_STR_EQ(probe_server(&server, 1, AMPLE_US), "failed bad response");
}

static void an_endless_head_ends_the_probe(void)
{
    server_t line = {.mode = SERVER_REPEAT, .answer = "HTTP/1.1 200 ", .repeat = "and more"};
    UNIT_STR_EQ(probe_server(&line, 1, AMPLE_US), "failed bad response");
    server_t fields = {
        .mode = SERVER_REPEAT, .answer = "HTTP/1.1 200 OK\r\n", .repeat = "X: y\r\n"};
    UNIT_STR_EQ(probe_server(&fields, 2, AMPLE_US), "ok status 200; ok status 200");
    CU_ASSERT_EQUAL(fields.connections, 2);
}

static void a_slow_answer_is_read_byte_by_byte(void)
{
    server_t server = {.mode = SERVER_SLOW, .answer = OK_ANSWER};
    UNIT_STR_EQ(probe_server(&server, 2, AMPLE_US), "ok status 200; ok status 200");
    CU_ASSERT_EQUAL(server.connections, 1);
}

/* --- no answer ---------------------------------------------------------------------------------
 */

static void a_hung_member_fails_when_its_time_is_up(void)
{
    server_t deaf = {.mode = SERVER_DEAF};
    UNIT_STR_EQ(probe_server(&deaf, 1, SHORT_US), "failed no answer within 100 ms");
    CU_ASSERT_TRUE(run.latency >= SHORT_US);
    server_t hung = {.mode = SERVER_HANG};
    UNIT_STR_EQ(probe_server(&hung, 2, SHORT_US),
                "failed no answer within 100 ms; failed no answer within 100 ms");
    CU_ASSERT_EQUAL(hung.connections, 2);
}

static void a_closed_port_refuses(void)
{
    UNIT_STR_EQ(probe(1, target(server_refused_port(), &get_check, AMPLE_US)),
                "failed connect refused");
}

static void a_connect_that_is_not_answered_times_out(void)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sin);
    int fill[4];
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    bind(listener, (struct sockaddr *)&sin, sizeof(sin));
    listen(listener, 0);
    getsockname(listener, (struct sockaddr *)&sin, &len);
    for (int i = 0; i < 4; i++) { /* the accept queue is full, further packets are dropped */
        fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)!connect(fill[i], (struct sockaddr *)&sin, sizeof(sin));
    }
    UNIT_STR_EQ(probe(1, target(ntohs(sin.sin_port), &get_check, SHORT_US)),
                "failed connect timed out");
    for (int i = 0; i < 4; i++) {
        close(fill[i]);
    }
    close(listener);
}

static void a_connect_only_check_asks_nothing(void)
{
    server_t server = {.answer = OK_ANSWER};
    CU_ASSERT_EQUAL_FATAL(server_start(&server), 0);
    UNIT_STR_EQ(probe(2, target(server.port, &connect_check, AMPLE_US)),
                "ok connected; ok connected");
    server_stop(&server);
    CU_ASSERT_EQUAL(server.requests, 0);
}

/* --- other transports --------------------------------------------------------------------------
 */

static void unix_sockets_are_probed(void)
{
    server_t server = {.answer = OK_ANSWER};
    server.path = apr_psprintf(unit_pool, "probe-%ld.sock", (long)getpid());
    ml_probe_target_t t = target(0, &get_check, AMPLE_US);
    t.scheme = ML_PROBE_UNIX;
    t.path = hap_str(server.path);
    CU_ASSERT_EQUAL_FATAL(server_start(&server), 0);
    UNIT_STR_EQ(probe(2, t), "ok status 200; ok status 200");
    server_stop(&server);
    CU_ASSERT_EQUAL(server.connections, 1);
    UNIT_STR_EQ(probe(1, t), "failed socket not found");
    t.path = hap_str("");
    UNIT_STR_EQ(probe(1, t), "failed address not possible");
}

static void tls_members_are_probed_over_one_connection(void)
{
    server_t server = {.answer = OK_ANSWER};
    CU_ASSERT_EQUAL_FATAL(server_start_tls(&server), 0);
    ml_probe_target_t t = target(server.port, &get_check, AMPLE_US);
    t.scheme = ML_PROBE_HTTPS;
    UNIT_STR_EQ(probe(3, t), "ok status 200; ok status 200; ok status 200");
    server_stop(&server);
    CU_ASSERT_EQUAL(server.connections, 1);
}

static const char *probe_tls(server_t *plain, apr_interval_time_t timeout)
{
    CU_ASSERT_EQUAL_FATAL(server_start(plain), 0);
    ml_probe_target_t t = target(plain->port, &get_check, timeout);
    t.scheme = ML_PROBE_HTTPS;
    probe(1, t);
    server_stop(plain);
    return run.results;
}

static void tls_with_a_member_that_speaks_none_fails_in_the_handshake(void)
{
    server_t babbling = {.mode = SERVER_GREET, .answer = "HTTP/1.1 400 What\r\n\r\n"};
    UNIT_STR_EQ(probe_tls(&babbling, AMPLE_US), "failed tls handshake failed");
    server_t hung = {.mode = SERVER_HANG};
    UNIT_STR_EQ(probe_tls(&hung, SHORT_US), "failed tls handshake timed out");
}

/* --- names -------------------------------------------------------------------------------------
 */

static struct {
    uint16_t ports[2];  /* that the name stands for; 0: none */
    unsigned calls;     /* atomic */
    pthread_mutex_t go; /* held by who wants lookups to hang */
} names = {.go = PTHREAD_MUTEX_INITIALIZER};

static bool fake_lookup(ml_addrs_t *addrs, const char *host, uint16_t port)
{
    pthread_mutex_lock(&names.go);
    pthread_mutex_unlock(&names.go);
    __atomic_add_fetch(&names.calls, 1, __ATOMIC_RELAXED);
    (void)host;
    (void)port;
    for (int i = 0; i < 2 && names.ports[i]; i++) {
        ml_addrs_t one;
        ml_addrs_literal(&one, "127.0.0.1", names.ports[i]);
        addrs->list[addrs->n++] = one.list[0];
    }
    return addrs->n > 0;
}

static const char *probe_name(unsigned wanted, uint16_t first, uint16_t second)
{
    names.ports[0] = first;
    names.ports[1] = second;
    names.calls = 0;
    begin(wanted, fake_lookup);
    ml_probe_target_t t = target(80, &get_check, AMPLE_US);
    t.host = HAP_STR_LIT("hosta.example");
    ml_probe_set(run.prober, &t, 1);
    return finish();
}

static void all_addresses_of_a_name_are_tried_in_order(void)
{
    server_t server = {.mode = SERVER_ANSWER_CLOSE, .answer = OK_ANSWER};
    CU_ASSERT_EQUAL_FATAL(server_start(&server), 0);
    UNIT_STR_EQ(probe_name(1, server_refused_port(), server.port), "ok status 200");
    UNIT_STR_EQ(probe_name(1, server.port, server_refused_port()), "ok status 200");
    server_stop(&server);
    UNIT_STR_EQ(probe_name(1, server_refused_port(), server_refused_port()),
                "failed connect refused");
}

static void a_name_without_address_fails_and_is_asked_for_again_only_after_a_while(void)
{
    UNIT_STR_EQ(probe_name(3, 0, 0),
                "failed name not found; failed name not found; failed name not found");
    CU_ASSERT_EQUAL(names.calls, 1);
}

static void release_names(ml_timer_t *timer, ml_loop_t *loop)
{
    (void)timer;
    (void)loop;
    CU_ASSERT_EQUAL(run.seen, 0);
    pthread_mutex_unlock(&names.go);
}

static void a_slow_name_server_neither_blocks_the_loop_nor_fails_the_probe(void)
{
    server_t server = {.answer = OK_ANSWER};
    ml_timer_t timer = {.fire = release_names};
    CU_ASSERT_EQUAL_FATAL(server_start(&server), 0);
    names.ports[0] = server.port;
    names.ports[1] = 0;
    begin(1, fake_lookup);
    ml_probe_target_t t = target(80, &get_check, 5000000);
    t.host = HAP_STR_LIT("hosta.example");
    pthread_mutex_lock(&names.go);
    ml_probe_set(run.prober, &t, 1);
    ml_timer_set(run.loop, &timer, SHORT_US);
    UNIT_STR_EQ(finish(), "ok status 200");
    CU_ASSERT_TRUE(run.latency < 5000000);
    server_stop(&server);
}

static sem_t stuck_go, stuck_done;

static bool stuck_lookup(ml_addrs_t *addrs, const char *host, uint16_t port)
{
    (void)addrs;
    (void)host;
    (void)port;
    sem_wait(&stuck_go);
    sem_post(&stuck_done);
    return false;
}

static void destroy_and_stop(ml_timer_t *timer, ml_loop_t *loop)
{
    (void)timer;
    ml_probe_destroy(run.prober);
    ml_loop_stop(loop);
}

static void a_prober_is_destroyed_while_a_lookup_hangs(void)
{
    ml_timer_t timer = {.fire = destroy_and_stop};
    sem_init(&stuck_go, 0, 0);
    sem_init(&stuck_done, 0, 0);
    begin(1, stuck_lookup);
    ml_probe_target_t t = target(80, &get_check, AMPLE_US);
    t.host = HAP_STR_LIT("hosta.example");
    ml_probe_set(run.prober, &t, 1);
    ml_timer_set(run.loop, &timer, SHORT_US / 10);
    CU_ASSERT_EQUAL(ml_loop_run(run.loop), APR_SUCCESS);
    sem_post(&stuck_go);
    sem_wait(&stuck_done);
    CU_ASSERT_EQUAL(run.seen, 0);
}

static bool moving_lookup(ml_addrs_t *addrs, const char *host, uint16_t port)
{
    bool first = __atomic_add_fetch(&names.calls, 1, __ATOMIC_RELAXED) == 1;
    (void)host;
    (void)port;
    return ml_addrs_literal(addrs, "127.0.0.1", names.ports[first ? 0 : 1]);
}

static void until_ok(const char *name)
{
    (void)name;
    if (strcmp(run.results, "ok status 200") == 0) {
        run.wanted = run.seen;
        return;
    }
    UNIT_STR_EQ(run.results, "failed connect refused");
    run.results[0] = '\0';
}

static void a_refused_connect_has_the_name_asked_for_again_but_not_all_the_time(void)
{
    server_t server = {.answer = OK_ANSWER};
    CU_ASSERT_EQUAL_FATAL(server_start(&server), 0);
    names.ports[0] = server_refused_port();
    names.ports[1] = server.port;
    names.calls = 0;
    begin(100000, moving_lookup);
    run.on_result = until_ok;
    run.delay = 20000;
    ml_probe_target_t t = target(80, &get_check, AMPLE_US);
    t.host = HAP_STR_LIT("hosta.example");
    ml_probe_set(run.prober, &t, 1);
    UNIT_STR_EQ(finish(), "ok status 200");
    server_stop(&server);
    CU_ASSERT_EQUAL(names.calls, 2);
    CU_ASSERT_TRUE(run.seen > 2);
}

static void localhost_is_found_by_the_system(void)
{
    server_t server = {.answer = OK_ANSWER};
    CU_ASSERT_EQUAL_FATAL(server_start(&server), 0);
    ml_probe_target_t t = target(server.port, &get_check, AMPLE_US);
    t.host = HAP_STR_LIT("localhost");
    UNIT_STR_EQ(probe(2, t), "ok status 200; ok status 200");
    server_stop(&server);
    CU_ASSERT_EQUAL(server.connections, 1);
}

/* --- the schedule ------------------------------------------------------------------------------
 */

static void ask_now(ml_timer_t *timer, ml_loop_t *loop)
{
    CU_ASSERT_TRUE(ml_probe_now(run.prober, hap_str("hostA")));
    CU_ASSERT_FALSE(ml_probe_now(run.prober, hap_str("hostB")));
    ml_timer_set(loop, timer, 1000 + (run.seen * 7919U) % 5000);
}

static void a_probe_on_demand_starts_when_asked(void)
{
    server_t server = {.answer = OK_ANSWER};
    ml_timer_t timer = {.fire = ask_now};
    CU_ASSERT_EQUAL_FATAL(server_start(&server), 0);
    begin(3, NULL);
    run.delay = -1;
    ml_probe_target_t t = target(server.port, &get_check, AMPLE_US);
    t.first = -1;
    ml_probe_set(run.prober, &t, 1);
    ml_timer_set(run.loop, &timer, 0);
    UNIT_STR_EQ(finish(), "ok status 200; ok status 200; ok status 200");
    server_stop(&server);
}

static void never_two_probes_of_a_member_are_in_flight(void)
{
    server_t server = {.mode = SERVER_RANDOM, .answer = OK_ANSWER, .seed = 42};
    ml_timer_t timer = {.fire = ask_now};
    CU_ASSERT_EQUAL_FATAL(server_start(&server), 0);
    begin(150, NULL);
    ml_probe_target_t t = target(server.port, &get_check, 10000);
    ml_probe_set(run.prober, &t, 1);
    ml_timer_set(run.loop, &timer, 0);
    finish();
    server_stop(&server);
    CU_ASSERT_EQUAL(server.overlaps, 0);
    CU_ASSERT_TRUE(server.connections > 10);
}

static void a_brought_forward_probe_does_not_wait_for_its_delay(void)
{
    server_t server = {.answer = OK_ANSWER};
    ml_timer_t timer = {.fire = ask_now};
    CU_ASSERT_EQUAL_FATAL(server_start(&server), 0);
    begin(5, NULL);
    run.delay = apr_time_from_sec(3600);
    ml_probe_target_t t = target(server.port, &get_check, AMPLE_US);
    t.first = run.delay;
    ml_probe_set(run.prober, &t, 1);
    ml_timer_set(run.loop, &timer, 0);
    finish();
    server_stop(&server);
    CU_ASSERT_EQUAL(run.seen, 5);
}

static apr_time_t last_start;
static bool too_early;

static void measure_start(const char *name)
{
    (void)name;
    apr_time_t start = ml_loop_now(run.loop) - run.latency;
    too_early = too_early || (run.seen > 1 && start - last_start < run.delay);
    last_start = start;
}

static void the_delay_counts_from_the_start_of_the_last_probe(void)
{
    server_t server = {.mode = SERVER_HANG};
    CU_ASSERT_EQUAL_FATAL(server_start(&server), 0);
    begin(3, NULL);
    run.delay = 60000;
    run.on_result = measure_start;
    too_early = false;
    ml_probe_target_t t = target(server.port, &get_check, 50000);
    apr_time_t began = ml_loop_now(run.loop);
    ml_probe_set(run.prober, &t, 1);
    finish();
    server_stop(&server);
    CU_ASSERT_FALSE(too_early);
    CU_ASSERT_TRUE(ml_loop_now(run.loop) - began >= 60000 + 60000 + 50000);
}

/* --- the set -----------------------------------------------------------------------------------
 */

static server_t set_server;
static unsigned heard_of_gone;

static void replace_set(const char *name)
{
    heard_of_gone += strcmp(name, "gone") == 0;
    ml_probe_target_t t = target(set_server.port, &get_check, AMPLE_US);
    ml_probe_set(run.prober, &t, 1);
}

static void a_replaced_set_keeps_the_connections_of_those_that_stay(void)
{
    set_server = (server_t){.answer = OK_ANSWER};
    server_t hung = {.mode = SERVER_HANG};
    CU_ASSERT_EQUAL_FATAL(server_start(&set_server), 0);
    CU_ASSERT_EQUAL_FATAL(server_start(&hung), 0);
    begin(5, NULL);
    run.on_result = replace_set;
    heard_of_gone = 0;
    ml_probe_target_t both[] = {target(set_server.port, &get_check, AMPLE_US),
                                target(hung.port, &get_check, SHORT_US)};
    both[1].name = HAP_STR_LIT("gone");
    both[1].owner = (void *)(uintptr_t) "gone";
    ml_probe_set(run.prober, both, 2);
    finish();
    server_stop(&hung);
    server_stop(&set_server);
    CU_ASSERT_EQUAL(run.seen, 5);
    CU_ASSERT_EQUAL(heard_of_gone, 0);
    CU_ASSERT_EQUAL(set_server.connections, 1);
}

static void stop_probes(const char *name)
{
    (void)name;
    ml_probe_stop(run.prober);
    ml_loop_stop(run.loop);
}

static void the_set_may_be_stopped_by_a_result(void)
{
    server_t server = {.answer = OK_ANSWER};
    CU_ASSERT_EQUAL_FATAL(server_start(&server), 0);
    begin(100, NULL);
    run.on_result = stop_probes;
    ml_probe_target_t t = target(server.port, &get_check, AMPLE_US);
    ml_probe_set(run.prober, &t, 1);
    UNIT_STR_EQ(finish(), "ok status 200");
    server_stop(&server);
}

const unit_test_t suite_probe[] = {
    UNIT_TEST(an_answer_is_judged_by_its_status),
    UNIT_TEST(probes_share_one_connection),
    UNIT_TEST(a_chunked_answer_keeps_the_connection),
    UNIT_TEST(an_answer_that_ends_with_the_connection_counts_and_the_next_probe_connects_anew),
    UNIT_TEST(a_kept_connection_that_the_member_closes_does_not_fail_a_probe),
    UNIT_TEST(a_member_that_closes_every_connection_fails),
    UNIT_TEST(an_answer_cut_short_fails),
    UNIT_TEST(garbage_is_a_bad_response),
    UNIT_TEST(an_endless_head_ends_the_probe),
    UNIT_TEST(a_slow_answer_is_read_byte_by_byte),
    UNIT_TEST(a_hung_member_fails_when_its_time_is_up),
    UNIT_TEST(a_closed_port_refuses),
    UNIT_TEST(a_connect_that_is_not_answered_times_out),
    UNIT_TEST(a_connect_only_check_asks_nothing),
    UNIT_TEST(unix_sockets_are_probed),
    UNIT_TEST(tls_members_are_probed_over_one_connection),
    UNIT_TEST(tls_with_a_member_that_speaks_none_fails_in_the_handshake),
    UNIT_TEST(all_addresses_of_a_name_are_tried_in_order),
    UNIT_TEST(a_name_without_address_fails_and_is_asked_for_again_only_after_a_while),
    UNIT_TEST(a_slow_name_server_neither_blocks_the_loop_nor_fails_the_probe),
    UNIT_TEST(a_prober_is_destroyed_while_a_lookup_hangs),
    UNIT_TEST(a_refused_connect_has_the_name_asked_for_again_but_not_all_the_time),
    UNIT_TEST(localhost_is_found_by_the_system),
    UNIT_TEST(a_probe_on_demand_starts_when_asked),
    UNIT_TEST(never_two_probes_of_a_member_are_in_flight),
    UNIT_TEST(a_brought_forward_probe_does_not_wait_for_its_delay),
    UNIT_TEST(the_delay_counts_from_the_start_of_the_last_probe),
    UNIT_TEST(a_replaced_set_keeps_the_connections_of_those_that_stay),
    UNIT_TEST(the_set_may_be_stopped_by_a_result),
    UNIT_END,
};
