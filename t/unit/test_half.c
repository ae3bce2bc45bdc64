/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of ml_half. */
#include "unit.h"

#include <sys/socket.h>
#include <unistd.h>

#include "ml_half.h"

/* The other side is there, and silent: nothing but the write has failed. */
static void behind_a_write_that_failed_nothing_is_written_and_silence_is_the_end(void)
{
    int ends[2];
    ml_bufs_t bufs = {0};
    ml_half_t request = {0};
    ml_half_t answer = {0};
    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    shutdown(ends[0], SHUT_WR);
    ml_sock_t sock = {.fd = ends[0], .writable = true};
    CU_ASSERT_EQUAL(ml_half_read(&answer, &sock, &bufs), ML_MOVE_NOTHING);
    CU_ASSERT_EQUAL(ml_half_write(&request, &sock, "head", 4), ML_MOVE_BROKEN);
    CU_ASSERT_FALSE(sock.writable);
    CU_ASSERT_TRUE(sock.readable);
    CU_ASSERT_EQUAL(ml_half_read(&answer, &sock, &bufs), ML_MOVE_BROKEN);
    ml_half_clear(&answer, &bufs);
    ml_half_clear(&request, &bufs);
    ml_bufs_clear(&bufs);
    close(ends[0]);
    close(ends[1]);
}

const unit_test_t suite_half[] = {
    UNIT_TEST(behind_a_write_that_failed_nothing_is_written_and_silence_is_the_end),
    UNIT_END,
};
