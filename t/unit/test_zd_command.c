/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of zd_command: the bytes that the log of a cluster is made of. */
#include "unit.h"

#include <apr_strings.h>

#include "zd_command.h"

static zd_command_t member_set(void)
{
    return (zd_command_t){
        .what = ZD_DO_MEMBER_SET,
        .client = "c1",
        .seq = 7,
        .at_ms = 1760000000000,
        .by = "root",
        .expect = 17,
        .app = "App",
        .route = "hostA",
        .url = "http://192.0.2.1:8080",
        .weight = 50,
        .admin = "drain",
    };
}

/* The bytes without the blanks at their end, or why there are none. */
static const char *encoded(const zd_command_t *command)
{
    hap_str_t bytes;
    hap_diag_t diag;
    if (zd_command_encode(&bytes, command, &diag, unit_pool) != APR_SUCCESS) {
        return apr_pstrdup(unit_pool, diag.why);
    }
    CU_ASSERT_EQUAL(bytes.n % ZD_COMMAND_ALIGN, 0);
    return hap_str_dup(hap_str_trim(bytes), unit_pool);
}

/* "ok", or why not. */
static const char *decoded(const char *text)
{
    zd_command_t command;
    hap_diag_t diag = {0, ""};
    apr_status_t rv = zd_command_decode(&command, hap_str(text), &diag, unit_pool);
    return rv == APR_SUCCESS ? "ok" : apr_pstrdup(unit_pool, diag.why);
}

static void a_command_is_written_as_documented(void)
{
    const zd_command_t command = member_set();
    UNIT_STR_EQ(encoded(&command),
                "{\"v\":1,\"do\":\"member-set\",\"client\":\"c1\",\"seq\":7,"
                "\"at_ms\":1760000000000,\"by\":\"root\",\"expect\":17,\"app\":\"App\","
                "\"route\":\"hostA\",\"url\":\"http://192.0.2.1:8080\",\"weight\":50,"
                "\"admin\":\"drain\"}");
}

static void what_was_written_is_read_field_by_field(void)
{
    const zd_command_t command = member_set();
    zd_command_t read;
    hap_str_t bytes;
    hap_diag_t diag;
    CU_ASSERT_EQUAL_FATAL(zd_command_encode(&bytes, &command, &diag, unit_pool), APR_SUCCESS);
    CU_ASSERT_EQUAL_FATAL(zd_command_decode(&read, bytes, &diag, unit_pool), APR_SUCCESS);
    CU_ASSERT_EQUAL(read.what, ZD_DO_MEMBER_SET);
    UNIT_STR_EQ(read.client, "c1");
    CU_ASSERT_EQUAL(read.seq, 7);
    CU_ASSERT_EQUAL(read.at_ms, 1760000000000);
    CU_ASSERT_EQUAL(read.expect, 17);
    UNIT_STR_EQ(read.admin, "drain");
    CU_ASSERT_PTR_NULL(read.node);
    UNIT_STR_EQ(encoded(&read), encoded(&command));
}

#define MEMBER                                                                                     \
    "{\"v\":1,\"do\":\"member-set\",\"client\":\"c\",\"seq\":1,\"at_ms\":1,\"by\":\"b\","          \
    "\"app\":\"A\",\"route\":\"r\",\"weight\":1,\"admin\":\"enabled\""

static void a_member_is_set_with_an_address_or_without(void)
{
    zd_command_t command = member_set();
    command.url = NULL;
    UNIT_STR_EQ(encoded(&command),
                "{\"v\":1,\"do\":\"member-set\",\"client\":\"c1\",\"seq\":7,"
                "\"at_ms\":1760000000000,\"by\":\"root\",\"expect\":17,\"app\":\"App\","
                "\"route\":\"hostA\",\"weight\":50,\"admin\":\"drain\"}");
    UNIT_STR_EQ(decoded(encoded(&command)), "ok");
    UNIT_STR_EQ(decoded(MEMBER "}"), "ok");
    UNIT_STR_EQ(decoded(MEMBER ",\"url\":\"http://h:1\"}"), "ok");
    UNIT_STR_EQ(decoded(MEMBER ",\"url\":null}"),
                "member-set: url is missing, of a wrong type, or not its own");
}

/* A command with all fields that it needs or may have. */
static zd_command_t full(zd_do_t what)
{
    return (zd_command_t){.what = what,
                          .client = "c",
                          .by = "b",
                          .uuid = "u",
                          .node = "n",
                          .address = "h:1",
                          .role = "voter",
                          .app = "A",
                          .route = "r",
                          .url = "http://h:1",
                          .admin = "enabled",
                          .home = "0a",
                          .why = "w"};
}

static void every_command_comes_back(void)
{
    for (int i = 0; i < ZD_DO_COUNT; i++) {
        zd_command_t command = full((zd_do_t)i);
        zd_command_t read;
        hap_str_t bytes;
        hap_diag_t diag;
        CU_ASSERT_EQUAL_FATAL(zd_command_encode(&bytes, &command, &diag, unit_pool), APR_SUCCESS);
        CU_ASSERT_EQUAL_FATAL(zd_command_decode(&read, bytes, &diag, unit_pool), APR_SUCCESS);
        CU_ASSERT_EQUAL(read.what, i);
        UNIT_STR_EQ(encoded(&read), encoded(&command));
    }
}

static void what_a_command_needs_is_missed_by_name(void)
{
    zd_command_t command = member_set();
    command.route = NULL;
    UNIT_STR_EQ(encoded(&command), "member-set: route is missing, or not what can be written");
    command = member_set();
    command.client = NULL;
    UNIT_STR_EQ(encoded(&command), "member-set: client is missing, or not what can be written");
    command = member_set();
    command.by = "\xff";
    UNIT_STR_EQ(encoded(&command), "member-set: by is missing, or not what can be written");
    command = member_set();
    command.seq = UINT64_MAX;
    UNIT_STR_EQ(encoded(&command), "member-set: seq is missing, or not what can be written");
}

static void a_command_is_not_too_long(void)
{
    zd_command_t command = member_set();
    char *why = apr_pcalloc(unit_pool, ZD_COMMAND_BYTES_MAX + 1);
    memset(why, 'x', ZD_COMMAND_BYTES_MAX);
    command.why = why;
    UNIT_STR_EQ(encoded(&command), "member-set: it has more than 4096 bytes");
    UNIT_STR_EQ(decoded(apr_pstrcat(unit_pool, "{\"v\":1}", why, NULL)),
                "it is no command: no JSON, or more than 4096 bytes");
}

#define FRONT "{\"v\":1,\"do\":\"node-remove\",\"client\":\"c\",\"seq\":1,\"at_ms\":1,\"by\":\"b\""

static void what_is_no_command_is_refused(void)
{
    UNIT_STR_EQ(decoded(FRONT ",\"node\":\"n\"}   "), "ok");
    UNIT_STR_EQ(decoded(""), "it is no command: no JSON, or more than 4096 bytes");
    UNIT_STR_EQ(decoded("[]"), "it is no command of version 1");
    UNIT_STR_EQ(decoded("{\"v\":2}"), "it is no command of version 1");
    UNIT_STR_EQ(decoded("{\"v\":1,\"do\":\"dance\"}"), "\"dance\" is no command");
    UNIT_STR_EQ(decoded("{\"v\":1}"), "\"\" is no command");
    UNIT_STR_EQ(decoded(FRONT "}"),
                "node-remove: node is missing, of a wrong type, or not its own");
    UNIT_STR_EQ(decoded(FRONT ",\"node\":1}"),
                "node-remove: node is missing, of a wrong type, or not its own");
    UNIT_STR_EQ(decoded(FRONT ",\"node\":\"n\",\"url\":\"u\"}"),
                "node-remove: url is missing, of a wrong type, or not its own");
    UNIT_STR_EQ(decoded(FRONT ",\"node\":\"n\",\"more\":1}"),
                "node-remove: it has a field that is unknown");
    UNIT_STR_EQ(decoded(FRONT ",\"node\":\"n\",\"expect\":-1}"),
                "node-remove: expect is missing, of a wrong type, or not its own");
    UNIT_STR_EQ(decoded(FRONT ",\"node\":\"n\",\"node\":\"n\"}"),
                "it is no command: no JSON, or more than 4096 bytes");
}

const unit_test_t suite_zd_command[] = {
    UNIT_TEST(a_command_is_written_as_documented),
    UNIT_TEST(what_was_written_is_read_field_by_field),
    UNIT_TEST(a_member_is_set_with_an_address_or_without),
    UNIT_TEST(every_command_comes_back),
    UNIT_TEST(what_a_command_needs_is_missed_by_name),
    UNIT_TEST(a_command_is_not_too_long),
    UNIT_TEST(what_is_no_command_is_refused),
    UNIT_END,
};
