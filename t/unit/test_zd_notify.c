/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of zd_notify, with a real socket for systemd's. */
#include "unit.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <apr_strings.h>
#include <apr_time.h>

#include "zd_notify.h"

enum { ROOM = 64 };

static int systemd = -1;
static const char *path; /* of its socket; NULL: it has none */
static hap_diag_t diag;

/* Listens at a path, or at @NAME. */
static void listen_at(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, name, strlen(name));
    path = name[0] == '/' ? name : NULL;
    if (name[0] == '@') {
        address.sun_path[0] = '\0';
    }
    systemd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    size_t n = offsetof(struct sockaddr_un, sun_path) + strlen(name);
    CU_ASSERT_EQUAL_FATAL(bind(systemd, (struct sockaddr *)&address, (socklen_t)n), 0);
    setenv("NOTIFY_SOCKET", name, 1);
}

static const char *a_path(void)
{
    return apr_psprintf(unit_pool, "/tmp/zd-notify-%d", (int)getpid());
}

static int begin(void)
{
    diag.why[0] = '\0';
    return zd_notify_open(-1, &diag);
}

static void finish(void)
{
    CU_ASSERT_EQUAL(begin(), 0); /* with nobody */
    close(systemd);
    if (path) {
        unlink(path);
    }
    path = NULL;
}

/* One datagram; "" when there is none. */
static const char *heard(void)
{
    char *text = apr_pcalloc(unit_pool, ROOM);
    return recv(systemd, text, ROOM - 1, 0) >= 0 ? text : "";
}

static void each_thing_is_said_in_a_datagram(void)
{
    listen_at(a_path());
    CU_ASSERT_EQUAL(begin(), 0);
    UNIT_STR_EQ(heard(), "");
    zd_notify_ready();
    zd_notify_alive();
    zd_notify_stopping();
    UNIT_STR_EQ(heard(), "READY=1");
    UNIT_STR_EQ(heard(), "WATCHDOG=1");
    UNIT_STR_EQ(heard(), "STOPPING=1");
    UNIT_STR_EQ(heard(), "");
    finish();
}

static void an_abstract_socket_is_found(void)
{
    listen_at(apr_psprintf(unit_pool, "@zd-notify-%d", (int)getpid()));
    CU_ASSERT_EQUAL(begin(), 0);
    zd_notify_ready();
    UNIT_STR_EQ(heard(), "READY=1");
    finish();
}

static void without_systemd_nothing_is_said(void)
{
    CU_ASSERT_EQUAL(begin(), 0);
    CU_ASSERT_EQUAL(zd_notify_alive_ms(), 0);
    zd_notify_ready();
    zd_notify_alive();
    zd_notify_stopping();
}

static void scripts_do_not_get_its_variables(void)
{
    listen_at(a_path());
    setenv("WATCHDOG_USEC", "3000000", 1);
    setenv("WATCHDOG_PID", "1", 1);
    CU_ASSERT_EQUAL(begin(), 0);
    CU_ASSERT_PTR_NULL(getenv("NOTIFY_SOCKET"));
    CU_ASSERT_PTR_NULL(getenv("WATCHDOG_USEC"));
    CU_ASSERT_PTR_NULL(getenv("WATCHDOG_PID"));
    finish();
}

/* How often it is to be called with such a watchdog; NULL: without that variable. */
static unsigned alive_ms(const char *us, const char *pid)
{
    listen_at(a_path());
    us ? setenv("WATCHDOG_USEC", us, 1) : unsetenv("WATCHDOG_USEC");
    pid ? setenv("WATCHDOG_PID", pid, 1) : unsetenv("WATCHDOG_PID");
    begin();
    unsigned ms = zd_notify_alive_ms();
    finish();
    return ms;
}

static void a_watchdog_of_ours_is_told_twice_as_often_as_it_asks(void)
{
    const char *own = apr_psprintf(unit_pool, "%d", (int)getpid());
    CU_ASSERT_EQUAL(alive_ms("30000000", own), 15000);
    CU_ASSERT_EQUAL(alive_ms("30000000", NULL), 15000);
    CU_ASSERT_EQUAL(alive_ms("2000", NULL), 1);
    CU_ASSERT_EQUAL(alive_ms(NULL, own), 0);
    CU_ASSERT_EQUAL(alive_ms("30000000", "1"), 0);
}

static void what_is_no_number_is_no_watchdog(void)
{
    static const char *const wrong[] = {"",          "0",   "1999",
                                        "-30000000", "30s", "99999999999999999999"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        CU_ASSERT_EQUAL(alive_ms(wrong[i], NULL), 0);
    }
    CU_ASSERT_EQUAL(alive_ms("30000000", "me"), 0);
    listen_at(a_path());
    setenv("WATCHDOG_USEC", "30s", 1);
    CU_ASSERT_EQUAL(begin(), EINVAL);
    UNIT_STR_EQ(diag.why, "WATCHDOG_USEC or WATCHDOG_PID is no number: there is no watchdog");
    zd_notify_ready();
    UNIT_STR_EQ(heard(), "READY=1");
    finish();
}

static void what_is_no_socket_is_said(void)
{
    char longest[200];
    memset(longest, 'x', sizeof(longest));
    longest[0] = '/';
    longest[sizeof(longest) - 1] = '\0';
    const char *const wrong[] = {"", "@", "relative", "vsock:2:3", longest};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        setenv("NOTIFY_SOCKET", wrong[i], 1);
        CU_ASSERT_EQUAL(begin(), EINVAL);
        UNIT_STR_EQ(diag.why, "NOTIFY_SOCKET is neither a path nor @NAME: nobody is told");
        zd_notify_ready();
    }
    setenv("NOTIFY_SOCKET", "/nowhere/at/all", 1);
    CU_ASSERT_EQUAL(begin(), EINVAL);
    UNIT_STR_EQ(diag.why, "NOTIFY_SOCKET: No such file or directory: nobody is told");
}

static void a_systemd_that_has_gone_is_no_trouble(void)
{
    listen_at(a_path());
    CU_ASSERT_EQUAL(begin(), 0);
    close(systemd);
    zd_notify_alive();
    zd_notify_stopping();
    systemd = -1;
    finish();
}

static void a_systemd_that_does_not_listen_is_not_waited_for(void)
{
    enum { MANY = 3000, US_A_SECOND = 1000000 };
    listen_at(a_path());
    CU_ASSERT_EQUAL(begin(), 0);
    apr_time_t before = apr_time_now();
    for (int i = 0; i < MANY; i++) {
        zd_notify_alive();
    }
    CU_ASSERT_TRUE(apr_time_now() - before < US_A_SECOND);
    zd_notify_stopping();
    CU_ASSERT_TRUE(apr_time_now() - before < 5 * US_A_SECOND);
    UNIT_STR_EQ(heard(), "WATCHDOG=1");
    finish();
}

static void who_waits_in_front_gets_a_byte_and_then_the_end(void)
{
    int front[2];
    char byte = 'x';
    CU_ASSERT_EQUAL_FATAL(pipe(front), 0);
    CU_ASSERT_EQUAL(zd_notify_open(front[1], &diag), 0);
    zd_notify_alive();
    zd_notify_ready();
    zd_notify_ready();
    CU_ASSERT_EQUAL(read(front[0], &byte, 1), 1);
    CU_ASSERT_EQUAL(read(front[0], &byte, 1), 0);
    close(front[0]);
}

static void who_does_not_wait_any_more_is_no_trouble(void)
{
    int front[2];
    signal(SIGPIPE, SIG_IGN); /* as the daemon has it */
    CU_ASSERT_EQUAL_FATAL(pipe(front), 0);
    CU_ASSERT_EQUAL(zd_notify_open(front[1], &diag), 0);
    close(front[0]);
    zd_notify_ready();
    signal(SIGPIPE, SIG_DFL);
}

const unit_test_t suite_zd_notify[] = {
    UNIT_TEST(each_thing_is_said_in_a_datagram),
    UNIT_TEST(an_abstract_socket_is_found),
    UNIT_TEST(without_systemd_nothing_is_said),
    UNIT_TEST(scripts_do_not_get_its_variables),
    UNIT_TEST(a_watchdog_of_ours_is_told_twice_as_often_as_it_asks),
    UNIT_TEST(what_is_no_number_is_no_watchdog),
    UNIT_TEST(what_is_no_socket_is_said),
    UNIT_TEST(a_systemd_that_has_gone_is_no_trouble),
    UNIT_TEST(a_systemd_that_does_not_listen_is_not_waited_for),
    UNIT_TEST(who_waits_in_front_gets_a_byte_and_then_the_end),
    UNIT_TEST(who_does_not_wait_any_more_is_no_trouble),
    UNIT_END,
};
