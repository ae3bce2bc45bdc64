/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of zd_net, on real sockets of loopback. */
#include "unit.h"

#include <stdlib.h>
#include <unistd.h>

#include <apr_strings.h>

#include "zd_net.h"

#define SECRET "0123456789abcdef0123456789abcdef"
#define OTHERS "fedcba9876543210fedcba9876543210"

enum { MANY_BYTES = 8 << 20, PIECE = 64 << 10, WAIT_MS = 5000, ENDS = 2 };

/* What a user has of a connection. */
typedef struct user_t {
    uv_stream_t *stream;
    size_t got;
    uint64_t sum; /* of what it got */
    bool at_end;
} user_t;

static uv_loop_t loop;
static zd_tls_ctx_t *ctx[ENDS];
static zd_net_t *net[ENDS];
static user_t user[ENDS]; /* of who connects, and of who accepts */
static uint64_t number;
static char from[ZD_NET_ADDRESS_BYTES];
static const char *why;
static bool answered;
static int closed_n;
static bool late;

static void accepted(void *baton, zd_net_use_t use, uint64_t who, const char *address,
                     uv_stream_t *stream)
{
    number = who;
    apr_cpystrn(from, address, sizeof(from));
    user[1].stream = stream;
}

static void connected(void *baton, uv_stream_t *stream, const char *reason)
{
    answered = true;
    why = stream ? "" : apr_pstrdup(unit_pool, reason);
    user[0].stream = stream;
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

static const char *free_address(const char *host)
{
    static unsigned next;
    next = next ? next + 1 : 20000 + (unsigned)getpid() % 20000;
    return apr_psprintf(unit_pool, "%s:%u", host, next);
}

/* A net of each; the address of the second one. */
static const char *begin(const char *host, const char *server_secret)
{
    hap_diag_t diag = {0, ""};
    uv_loop_init(&loop);
    memset(user, 0, sizeof(user));
    answered = false;
    number = 0;
    const char *address = NULL;
    for (int i = 0; i < ENDS; i++) {
        net[i] = NULL;
        ctx[i] = zd_tls_ctx_make(hap_str(i ? server_secret : SECRET), &diag);
        for (int tries = 0; !net[i] && tries < 50; tries++) {
            address = free_address(host);
            const zd_net_conf_t conf = {.loop = &loop,
                                        .tls = ctx[i],
                                        .number = (uint64_t)i + 7,
                                        .address = "advertised.example:1",
                                        .bind = address,
                                        .accepted = accepted};
            net[i] = zd_net_open(&conf, &diag);
            uv_run(&loop, UV_RUN_NOWAIT);
        }
        CU_ASSERT_PTR_NOT_NULL_FATAL(net[i]);
    }
    return address;
}

static void one_closed(void *baton)
{
    closed_n++;
}

static bool both_are_closed(void)
{
    return closed_n == ENDS;
}

static void user_closed(uv_handle_t *handle)
{
    free(handle);
}

static void finish(void)
{
    closed_n = 0;
    for (int i = 0; i < ENDS; i++) {
        if (user[i].stream) {
            uv_close((uv_handle_t *)user[i].stream, user_closed);
        }
        zd_net_close(net[i], one_closed, NULL);
    }
    CU_ASSERT_TRUE(until(both_are_closed));
    uv_run(&loop, UV_RUN_DEFAULT);
    CU_ASSERT_EQUAL(uv_loop_close(&loop), 0);
    for (int i = 0; i < ENDS; i++) {
        zd_tls_ctx_free(ctx[i]);
    }
}

static bool both_have_it(void)
{
    return user[0].stream && user[1].stream;
}

static bool is_answered(void)
{
    return answered;
}

static void meet(const char *host)
{
    const char *address = begin(host, SECRET);
    CU_ASSERT_TRUE(zd_net_connect(net[0], ZD_NET_TALK, address, connected, NULL));
    CU_ASSERT_TRUE_FATAL(until(both_have_it));
    CU_ASSERT_EQUAL(number, 7);
    UNIT_STR_EQ(from, "advertised.example:1");
}

static void who_knows_the_secret_says_who_it_is(void)
{
    meet("127.0.0.1");
    finish();
}

static void names_and_ipv6_addresses_are_found(void)
{
    meet("localhost");
    finish();
    meet("[::1]");
    finish();
}

static void a_wrong_secret_gets_nowhere(void)
{
    const char *address = begin("127.0.0.1", OTHERS);
    CU_ASSERT_TRUE(zd_net_connect(net[0], ZD_NET_TALK, address, connected, NULL));
    CU_ASSERT_TRUE(until(is_answered));
    CU_ASSERT_PTR_NULL(user[0].stream);
    CU_ASSERT_PTR_NULL(user[1].stream);
    CU_ASSERT_TRUE(why[0] != '\0');
    finish();
}

static void nobody_there_is_said(void)
{
    begin("127.0.0.1", SECRET);
    CU_ASSERT_TRUE(zd_net_connect(net[0], ZD_NET_TALK, "127.0.0.1:1", connected, NULL));
    CU_ASSERT_TRUE(until(is_answered));
    UNIT_STR_EQ(why, "connection refused");
    answered = false;
    CU_ASSERT_TRUE(zd_net_connect(net[0], ZD_NET_TALK, "nowhere.invalid:1", connected, NULL));
    CU_ASSERT_TRUE(until(is_answered));
    CU_ASSERT_TRUE(why[0] != '\0');
    CU_ASSERT_FALSE(zd_net_connect(net[0], ZD_NET_TALK, "no port", connected, NULL));
    finish();
}

/* --- bytes --- */

static void room(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    static char piece[PIECE];
    *buf = uv_buf_init(piece, sizeof(piece));
}

static void came(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    user_t *one = stream->data;
    if (n < 0) {
        one->at_end = true;
        uv_read_stop(stream);
        return;
    }
    for (ssize_t i = 0; i < n; i++) {
        one->sum = one->sum * 31 + (unsigned char)buf->base[i];
    }
    one->got += (size_t)n;
}

static void sent(uv_write_t *request, int status)
{
    CU_ASSERT_EQUAL(status, 0);
    free(request->data);
    free(request);
}

static void send_many(user_t *one, uint64_t *sum, unsigned seed)
{
    char *bytes = malloc(MANY_BYTES);
    uv_write_t *request = malloc(sizeof(*request));
    for (size_t i = 0; i < MANY_BYTES; i++) {
        bytes[i] = (char)(i * 7 + (i >> 9) * seed);
        *sum = *sum * 31 + (unsigned char)bytes[i];
    }
    request->data = bytes;
    uv_buf_t buf = uv_buf_init(bytes, MANY_BYTES);
    uv_write(request, one->stream, &buf, 1, sent);
}

static bool all_came(void)
{
    return user[0].got == MANY_BYTES && user[1].got == MANY_BYTES;
}

static void read_both(void)
{
    for (int i = 0; i < ENDS; i++) {
        user[i].stream->data = &user[i];
        uv_read_start(user[i].stream, room, came);
    }
}

static void many_bytes_come_as_they_were_both_ways_at_once(void)
{
    uint64_t sums[ENDS] = {0, 0};
    meet("127.0.0.1");
    read_both();
    send_many(&user[0], &sums[1], 3);
    send_many(&user[1], &sums[0], 5);
    CU_ASSERT_TRUE(until(all_came));
    CU_ASSERT_TRUE(user[0].sum == sums[0] && user[1].sum == sums[1]);
    finish();
}

static bool other_is_at_end(void)
{
    return user[1].at_end;
}

static void the_end_of_one_is_the_end_of_the_other(void)
{
    meet("127.0.0.1");
    read_both();
    uv_close((uv_handle_t *)user[0].stream, user_closed);
    user[0].stream = NULL;
    CU_ASSERT_TRUE(until(other_is_at_end));
    finish();
}

/* --- strangers --- */

static unsigned strangers_n;

static void stranger_closed(uv_handle_t *handle)
{
    free(handle);
}

static void stranger_came(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    if (n < 0) {
        strangers_n--;
        uv_close((uv_handle_t *)stream, stranger_closed);
    }
}

static void stranger_connected(uv_connect_t *request, int status)
{
    uv_stream_t *stream = request->handle;
    uv_buf_t text = uv_buf_init(request->data, (unsigned)strlen(request->data));
    if (status == 0 && text.len > 0) {
        uv_try_write(stream, &text, 1);
    }
    free(request);
    if (status != 0 || uv_read_start(stream, room, stranger_came) != 0) {
        strangers_n--;
        uv_close((uv_handle_t *)stream, stranger_closed);
    }
}

static void send_stranger(const char *address, const char *text)
{
    struct sockaddr_in to;
    uv_tcp_t *tcp = malloc(sizeof(*tcp));
    uv_connect_t *request = malloc(sizeof(*request));
    uv_ip4_addr("127.0.0.1", (int)strtoul(strrchr(address, ':') + 1, NULL, 10), &to);
    uv_tcp_init(&loop, tcp);
    request->data = (void *)text;
    uv_tcp_connect(request, tcp, (struct sockaddr *)&to, stranger_connected);
    strangers_n++;
}

static bool no_stranger_is_left(void)
{
    return strangers_n == 0;
}

static void strangers_are_sent_away_and_friends_are_not(void)
{
    enum { STRANGERS = 300 };
    const char *address = begin("127.0.0.1", SECRET);
    for (int i = 0; i < STRANGERS; i++) {
        send_stranger(address, "GET / HTTP/1.1\r\n\r\n");
    }
    CU_ASSERT_TRUE(zd_net_connect(net[0], ZD_NET_TALK, address, connected, NULL));
    CU_ASSERT_TRUE(until(no_stranger_is_left));
    CU_ASSERT_TRUE(until(is_answered));
    if (!user[0].stream) {
        zd_net_connect(net[0], ZD_NET_TALK, address, connected, NULL);
    }
    CU_ASSERT_TRUE(until(both_have_it));
    finish();
}

const unit_test_t suite_zd_net[] = {
    UNIT_TEST(who_knows_the_secret_says_who_it_is),
    UNIT_TEST(names_and_ipv6_addresses_are_found),
    UNIT_TEST(a_wrong_secret_gets_nowhere),
    UNIT_TEST(nobody_there_is_said),
    UNIT_TEST(many_bytes_come_as_they_were_both_ways_at_once),
    UNIT_TEST(the_end_of_one_is_the_end_of_the_other),
    UNIT_TEST(strangers_are_sent_away_and_friends_are_not),
    UNIT_END,
};
