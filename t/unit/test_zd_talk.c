/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of zd_talk and zd_lines: on pairs of sockets, and over zd_net on real ones of loopback. */
#include "unit.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <apr_strings.h>

#include "hap_map.h"
#include "zd_talk.h"

#define SECRET "0123456789abcdef0123456789abcdef"

enum { NODES = 3, WAIT_MS = 5000, LINE_BYTES_MAX = 4 * HAP_MAP_BYTES_MAX };

/* A node: 0 calls the others. */
typedef struct end_t {
    zd_tls_ctx_t *tls;
    zd_net_t *net;
    zd_talk_t *talk;
    const char *address;
    int ups;
    int downs;
    int calls;           /* that came here */
    const char *heard;   /* from callers, joined */
    zd_caller_t *caller; /* the last one that said something */
    const char *told;    /* by who was called, joined */
} end_t;

static uv_loop_t loop;
static bool asks_anyone; /* when there is no way any more, as an observer does */
static end_t ends[NODES];
static int closed_n;
static bool late;

/* --- what they call --------------------------------------------------------------------------- */

static const char *joined(const char *all, const json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT);
    const char *both = apr_pstrcat(unit_pool, all, text, NULL);
    free(text);
    return both;
}

/* {"me":NAME} names the caller. */
static void heard(void *baton, zd_caller_t *caller, json_t *object)
{
    end_t *end = baton;
    const char *name = json_string_value(json_object_get(object, "me"));
    end->heard = joined(end->heard, object);
    end->caller = caller;
    if (name) {
        zd_talk_name(caller, name);
    }
}

static void told(void *baton, json_t *object)
{
    end_t *end = baton;
    end->told = joined(end->told, object);
}

static void up(void *baton, bool is_up)
{
    end_t *end = baton;
    end->ups += is_up;
    end->downs += !is_up;
    CU_ASSERT_EQUAL(zd_talk_is_up(end->talk), is_up);
    if (!is_up && asks_anyone) {
        zd_talk_call(end->talk, NULL);
    }
}

static void accepted(void *baton, zd_net_use_t use, uint64_t number, const char *address,
                     uv_stream_t *stream)
{
    end_t *end = baton;
    end->calls++;
    zd_talk_accept(end->talk, stream);
}

static void too_late(uv_timer_t *timer)
{
    late = true;
}

/* Turns the loop until that is true. */
static bool until(bool (*holds)(void))
{
    uv_timer_t timer;
    late = false;
    uv_timer_init(&loop, &timer);
    uv_timer_start(&timer, too_late, WAIT_MS, 0);
    while (!holds() && !late) {
        uv_run(&loop, UV_RUN_ONCE);
    }
    bool held = holds();
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(&loop, UV_RUN_NOWAIT);
    return held;
}

/* --- beginning and ending --------------------------------------------------------------------- */

static void open_talk(end_t *end, const char *const *addresses, unsigned n)
{
    const zd_talk_conf_t conf = {.loop = &loop,
                                 .net = end->net,
                                 .addresses = addresses,
                                 .addresses_n = n,
                                 .heard = heard,
                                 .told = told,
                                 .up = up,
                                 .baton = end};
    end->heard = end->told = "";
    end->talk = zd_talk_open(&conf);
    CU_ASSERT_PTR_NOT_NULL_FATAL(end->talk);
}

static void open_net(end_t *end)
{
    static unsigned next;
    hap_diag_t diag = {0, ""};
    end->tls = zd_tls_ctx_make(HAP_STR_LIT(SECRET), &diag);
    for (int tries = 0; !end->net && tries < 50; tries++) {
        next = next ? next + 1 : 40000 + (unsigned)getpid() % 20000;
        end->address = apr_psprintf(unit_pool, "127.0.0.1:%u", next);
        const zd_net_conf_t conf = {.loop = &loop,
                                    .tls = end->tls,
                                    .number = 1,
                                    .address = end->address,
                                    .bind = end->address,
                                    .accepted = accepted,
                                    .baton = end};
        end->net = zd_net_open(&conf, &diag);
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    CU_ASSERT_PTR_NOT_NULL_FATAL(end->net);
}

static void begin(void)
{
    static const char *addresses[NODES];
    uv_loop_init(&loop);
    memset(ends, 0, sizeof(ends));
    for (int i = 0; i < NODES; i++) {
        open_net(&ends[i]);
        addresses[i] = ends[i].address;
    }
    for (int i = 0; i < NODES; i++) {
        open_talk(&ends[i], addresses + 1, NODES - 1);
    }
}

static void one_closed(void *baton)
{
    closed_n++;
}

static bool all_are_closed(void)
{
    return closed_n == NODES;
}

static void finish(void)
{
    closed_n = 0;
    for (int i = 0; i < NODES; i++) {
        zd_talk_close(ends[i].talk);
        zd_net_close(ends[i].net, one_closed, NULL);
    }
    CU_ASSERT_TRUE(until(all_are_closed));
    uv_run(&loop, UV_RUN_DEFAULT);
    CU_ASSERT_EQUAL(uv_loop_close(&loop), 0);
    for (int i = 0; i < NODES; i++) {
        zd_tls_ctx_free(ends[i].tls);
    }
}

/* --- a caller of which each byte is known ----------------------------------------------------- */

/* Without a net: who calls is put in by hand. */
static void begin_alone(void)
{
    uv_loop_init(&loop);
    memset(ends, 0, sizeof(ends));
    open_talk(&ends[0], NULL, 0);
}

static void finish_alone(void)
{
    zd_talk_close(ends[0].talk);
    uv_run(&loop, UV_RUN_DEFAULT);
    CU_ASSERT_EQUAL(uv_loop_close(&loop), 0);
}

static int call_by_hand(void)
{
    int fds[2];
    uv_pipe_t *pipe = malloc(sizeof(*pipe));
    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
                          0);
    uv_pipe_init(&loop, pipe, 0);
    CU_ASSERT_EQUAL_FATAL(uv_pipe_open(pipe, fds[0]), 0);
    zd_talk_accept(ends[0].talk, (uv_stream_t *)pipe);
    return fds[1];
}

static void turn(void)
{
    for (int i = 0; i < 5; i++) {
        uv_run(&loop, UV_RUN_NOWAIT);
    }
}

static void say(int fd, const char *text, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, text, n, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) {
            return;
        }
        text += sent > 0 ? sent : 0;
        n -= sent > 0 ? (size_t)sent : 0;
        turn();
    }
}

/* What has come there; "the end" behind it when it was hung up on. */
static const char *read_all(int fd)
{
    const char *all = "";
    char piece[4096];
    ssize_t n;
    while ((n = read(fd, piece, sizeof(piece))) > 0) {
        all = apr_pstrcat(unit_pool, all, apr_pstrndup(unit_pool, piece, (size_t)n), NULL);
    }
    return n == 0 || errno != EAGAIN ? apr_pstrcat(unit_pool, all, "the end", NULL) : all;
}

static void lines_may_be_cut_anywhere(void)
{
    static const char text[] = "{\"a\":1}\n{\"b\":\"\\n\"}\n\n";
    const size_t n = sizeof(text) - 2; /* without the empty line */
    for (size_t cut = 0; cut <= n; cut++) {
        begin_alone();
        int fd = call_by_hand();
        say(fd, text, cut);
        turn();
        say(fd, text + cut, n - cut);
        UNIT_STR_EQ(ends[0].heard, "{\"a\":1}{\"b\":\"\\n\"}");
        UNIT_STR_EQ(read_all(fd), "");
        close(fd);
        turn();
        finish_alone();
    }
}

static void who_says_what_is_no_object_is_hung_up_on(void)
{
    static const char *const texts[] = {"GET / HTTP/1.1\r\n",  "[]\n",   "7\n", "\n", "{\"a\":1\n",
                                        "{\"a\":1,\"a\":2}\n", "{} {}\n"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        begin_alone();
        int fd = call_by_hand();
        say(fd, "{}\n", 3);
        say(fd, texts[i], strlen(texts[i]));
        UNIT_STR_EQ(ends[0].heard, "{}");
        UNIT_STR_EQ(read_all(fd), "the end");
        finish_alone();
        close(fd);
    }
}

static void a_line_may_be_as_long_as_four_maps_and_no_longer(void)
{
    char *text = malloc(LINE_BYTES_MAX);
    memset(text, 'x', LINE_BYTES_MAX);
    memcpy(text, "{\"a\":\"", 6);
    begin_alone();
    int fd = call_by_hand();
    memcpy(text + LINE_BYTES_MAX - 3, "\"}\n", 3);
    say(fd, text, LINE_BYTES_MAX);
    turn();
    CU_ASSERT_EQUAL(strlen(ends[0].heard), LINE_BYTES_MAX - 1);
    UNIT_STR_EQ(read_all(fd), "");
    ends[0].heard = "";
    memset(text + LINE_BYTES_MAX - 3, 'x', 3);
    say(fd, text, LINE_BYTES_MAX);
    turn();
    UNIT_STR_EQ(read_all(fd), "the end");
    UNIT_STR_EQ(ends[0].heard, "");
    finish_alone();
    close(fd);
    free(text);
}

static void a_caller_of_the_same_name_takes_the_place_of_the_one_before(void)
{
    begin_alone();
    int one = call_by_hand();
    int two = call_by_hand();
    int other = call_by_hand();
    say(one, "{\"me\":\"1\"}\n", 11);
    say(other, "{\"me\":\"2\"}\n", 11);
    zd_talk_say_to(ends[0].talk, "1", json_pack("{s:i}", "n", 1));
    say(two, "{\"me\":\"1\"}\n", 11);
    zd_talk_say_to(ends[0].talk, "1", json_pack("{s:i}", "n", 2));
    zd_talk_say_to(ends[0].talk, "3", json_pack("{s:i}", "n", 3));
    turn();
    UNIT_STR_EQ(read_all(one), "{\"n\":1}\nthe end");
    UNIT_STR_EQ(read_all(two), "{\"n\":2}\n");
    UNIT_STR_EQ(read_all(other), "");
    finish_alone();
    UNIT_STR_EQ(read_all(two), "the end");
    close(one);
    close(two);
    close(other);
}

static void who_has_not_said_its_name_is_answered_and_nobody_else(void)
{
    begin_alone();
    int one = call_by_hand();
    int two = call_by_hand();
    say(one, "{}\n", 3);
    uint64_t first = zd_caller_number(ends[0].caller);
    say(two, "{}\n", 3);
    uint64_t second = zd_caller_number(ends[0].caller);
    zd_talk_reply(ends[0].talk, first, json_pack("{s:i}", "n", 1));
    zd_talk_reply(ends[0].talk, second, json_pack("{s:i}", "n", 2));
    turn();
    UNIT_STR_EQ(read_all(one), "{\"n\":1}\n");
    UNIT_STR_EQ(read_all(two), "{\"n\":2}\n");
    close(one);
    turn();
    int three = call_by_hand();
    zd_talk_reply(ends[0].talk, first, json_pack("{s:i}", "n", 3));
    turn();
    UNIT_STR_EQ(read_all(two), "");
    UNIT_STR_EQ(read_all(three), "");
    finish_alone();
    close(two);
    close(three);
}

static void what_is_no_object_cannot_be_said_and_ends_the_stream(void)
{
    begin_alone();
    int fd = call_by_hand();
    say(fd, "{}\n", 3);
    zd_talk_say(ends[0].caller, NULL);
    turn();
    UNIT_STR_EQ(read_all(fd), "the end");
    finish_alone();
    close(fd);
}

static void who_does_not_read_what_he_is_told_is_hung_up_on(void)
{
    enum { PIECES = 40, PIECE_BYTES = 1 << 20 };
    char *text = malloc(PIECE_BYTES + 1);
    memset(text, 'x', PIECE_BYTES);
    text[PIECE_BYTES] = '\0';
    begin_alone();
    int fd = call_by_hand();
    say(fd, "{\"me\":\"1\"}\n", 11);
    for (int i = 0; i < PIECES; i++) {
        zd_talk_say_to(ends[0].talk, "1", json_pack("{s:s}", "a", text));
        turn();
    }
    CU_ASSERT_PTR_NOT_NULL(strstr(read_all(fd), "the end"));
    finish_alone();
    close(fd);
    free(text);
}

/* --- over zd_net ------------------------------------------------------------------------------ */

static int ups_wanted;
static int who; /* the node that is looked at */

static bool is_up(void)
{
    return ends[0].ups == ups_wanted;
}

static bool has_heard(void)
{
    return ends[who].heard[0] != '\0';
}

static bool has_told(void)
{
    return ends[0].told[0] != '\0';
}

/* Node 0 reaches that one, and says so. */
static void reaches(int node, int ups)
{
    ups_wanted = ups;
    CU_ASSERT_TRUE_FATAL(until(is_up));
    who = node;
    ends[node].heard = "";
    zd_talk_say_up(ends[0].talk, json_pack("{s:s}", "me", "0"));
    CU_ASSERT_TRUE_FATAL(until(has_heard));
    UNIT_STR_EQ(ends[node].heard, "{\"me\":\"0\"}");
}

static void a_node_that_is_called_hears_and_answers(void)
{
    begin();
    zd_talk_call(ends[0].talk, ends[1].address);
    reaches(1, 1);
    zd_talk_say_to(ends[1].talk, "0", json_pack("{s:i}", "n", 1));
    CU_ASSERT_TRUE(until(has_told));
    UNIT_STR_EQ(ends[0].told, "{\"n\":1}");
    zd_talk_call(ends[0].talk, ends[1].address);
    CU_ASSERT_EQUAL(ends[0].ups, 1);
    CU_ASSERT_EQUAL(ends[1].calls, 1);
    finish();
}

/* It may be dead: all are asked who leads now, itself too. */
static void when_a_way_breaks_all_are_asked(void)
{
    begin();
    zd_talk_call(ends[0].talk, ends[2].address);
    reaches(2, 1);
    zd_talk_say(ends[2].caller, NULL); /* ends it */
    reaches(1, 2);
    zd_talk_say(ends[1].caller, NULL);
    reaches(2, 3);
    CU_ASSERT_EQUAL(ends[0].downs, 2);
    zd_talk_call(ends[0].talk, ends[1].address);
    reaches(1, 4);
    finish();
}

static void without_a_leader_one_after_the_other_is_asked(void)
{
    begin();
    zd_talk_call(ends[0].talk, NULL);
    reaches(1, 1);
    zd_talk_say(ends[1].caller, NULL);
    reaches(2, 2);
    zd_talk_say(ends[2].caller, NULL);
    reaches(1, 3);
    finish();
}

static void another_address_while_a_call_is_under_way_is_where_it_ends(void)
{
    begin();
    zd_talk_call(ends[0].talk, ends[1].address);
    zd_talk_call(ends[0].talk, ends[2].address);
    reaches(2, 1);
    CU_ASSERT_EQUAL(ends[0].downs, 0);
    finish();
}

/* The end of the way before was told in the middle of the call, and what its owner did about that
 * put another address in the place of the right one. */
static void another_address_wins_over_what_is_done_about_the_end_of_the_way_before(void)
{
    asks_anyone = true;
    begin();
    zd_talk_call(ends[0].talk, NULL);
    reaches(1, 1);
    for (int i = 0; i < 4; i++) {
        int next = i % 2 ? 1 : 2;
        zd_talk_call(ends[0].talk, ends[next].address);
        reaches(next, i + 2);
    }
    CU_ASSERT_EQUAL(ends[1].calls, 3);
    CU_ASSERT_EQUAL(ends[2].calls, 2);
    CU_ASSERT_EQUAL(ends[0].downs, 0);
    zd_talk_rest(ends[0].talk);
    turn();
    CU_ASSERT_FALSE(zd_talk_is_up(ends[0].talk));
    CU_ASSERT_EQUAL(ends[1].calls + ends[2].calls, 5);
    finish();
    asks_anyone = false;
}

static bool says_until_heard(void)
{
    zd_talk_say_up(ends[0].talk, json_pack("{s:s}", "me", "0"));
    return has_heard();
}

/* Meanwhile others are asked, and may answer. */
static void nobody_there_is_called_until_another_one_is_to_be(void)
{
    begin();
    zd_talk_call(ends[0].talk, "127.0.0.1:1");
    turn();
    zd_talk_call(ends[0].talk, "no port");
    turn();
    zd_talk_call(ends[0].talk, ends[2].address);
    who = 2;
    ends[who].heard = "";
    CU_ASSERT_TRUE(until(says_until_heard));
    finish();
}

/* A host that stands still: the kernel takes the connection, and nobody says anything. */
static int stands_still(const char **address)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&at, n), 0);
    CU_ASSERT_EQUAL_FATAL(listen(fd, 5), 0);
    CU_ASSERT_EQUAL_FATAL(getsockname(fd, (struct sockaddr *)&at, &n), 0);
    *address = apr_psprintf(unit_pool, "127.0.0.1:%u", ntohs(at.sin_port));
    return fd;
}

/* It takes five seconds to fail, and a lease ends in that time. */
static void a_host_that_stands_still_does_not_hold_up_the_way_to_the_leader(void)
{
    enum { SOON_MS = 4000 };
    const char *address;
    int fd = stands_still(&address);
    begin();
    uint64_t since = uv_now(&loop);
    zd_talk_call(ends[0].talk, address);
    turn();
    zd_talk_call(ends[0].talk, ends[2].address);
    reaches(2, 1);
    CU_ASSERT_TRUE(uv_now(&loop) - since < SOON_MS);
    finish();
    close(fd);
}

static void who_leads_calls_nobody(void)
{
    begin();
    zd_talk_call(ends[0].talk, ends[1].address);
    zd_talk_rest(ends[0].talk);
    zd_talk_call(ends[0].talk, ends[1].address);
    reaches(1, 1);
    zd_talk_rest(ends[0].talk);
    CU_ASSERT_FALSE(zd_talk_is_up(ends[0].talk));
    zd_talk_say_up(ends[0].talk, json_object());
    turn();
    CU_ASSERT_EQUAL(ends[0].ups, 1);
    finish();
}

static void all_is_given_back_when_it_ends_with_things_under_way(void)
{
    begin();
    zd_talk_call(ends[0].talk, ends[1].address);
    finish();
    begin();
    zd_talk_call(ends[0].talk, ends[1].address);
    reaches(1, 1);
    for (int i = 0; i < 100; i++) {
        zd_talk_say_up(ends[0].talk, json_pack("{s:i}", "n", i));
        zd_talk_say_to(ends[1].talk, "0", json_pack("{s:i}", "n", i));
    }
    finish();
    begin();
    zd_talk_call(ends[0].talk, "localhost:1");
    zd_talk_call(ends[0].talk, ends[1].address);
    finish();
}

const unit_test_t suite_zd_talk[] = {
    UNIT_TEST(lines_may_be_cut_anywhere),
    UNIT_TEST(who_says_what_is_no_object_is_hung_up_on),
    UNIT_TEST(a_line_may_be_as_long_as_four_maps_and_no_longer),
    UNIT_TEST(a_caller_of_the_same_name_takes_the_place_of_the_one_before),
    UNIT_TEST(who_has_not_said_its_name_is_answered_and_nobody_else),
    UNIT_TEST(what_is_no_object_cannot_be_said_and_ends_the_stream),
    UNIT_TEST(who_does_not_read_what_he_is_told_is_hung_up_on),
    UNIT_TEST(a_node_that_is_called_hears_and_answers),
    UNIT_TEST(when_a_way_breaks_all_are_asked),
    UNIT_TEST(without_a_leader_one_after_the_other_is_asked),
    UNIT_TEST(another_address_while_a_call_is_under_way_is_where_it_ends),
    UNIT_TEST(another_address_wins_over_what_is_done_about_the_end_of_the_way_before),
    UNIT_TEST(nobody_there_is_called_until_another_one_is_to_be),
    UNIT_TEST(a_host_that_stands_still_does_not_hold_up_the_way_to_the_leader),
    UNIT_TEST(who_leads_calls_nobody),
    UNIT_TEST(all_is_given_back_when_it_ends_with_things_under_way),
    UNIT_END,
};
