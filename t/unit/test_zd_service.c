/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of zd_service: which end of a script is a good one, on real processes. */
#include "unit.h"

#include <apr_strings.h>

#include "folder.h"
#include "zd_service.h"

enum { SCRIPT_MS = 20000, SHORT_MS = 500, EPOCH = 7 };

static char dir[FOLDER_BYTES];
static uv_loop_t loop;
static zd_service_t *service;
static const char *script[] = {"/bin/sh", "-c", NULL, NULL}; /* both do the same */
static zd_replica_conf_t replicas[] = {
    {.id = "0", .ensure_active = script, .ensure_passive = script},
    {.id = "1", .ensure_active = script, .ensure_passive = script},
};
static zd_config_t config = {.app = "Voting", .replicas = replicas, .replicas_n = 2};
static const char *ended; /* "well: SENTENCE" or "failed: SENTENCE" */

static void ran(void *baton, bool well, const char *said)
{
    CU_ASSERT_PTR_EQUAL(baton, &loop);
    ended = apr_pstrcat(unit_pool, well ? "well: " : "failed: ", said, NULL);
}

static void begin(void)
{
    folder_make(dir, "service");
    uv_loop_init(&loop);
    config.script_ms = SCRIPT_MS;
    const zd_service_conf_t conf = {
        .loop = &loop, .config = &config, .id = "1", .dir = dir, .ran = ran, .baton = &loop};
    service = zd_service_open(&conf);
    CU_ASSERT_PTR_NOT_NULL_FATAL(service);
}

static void finish(void)
{
    zd_service_close(service);
    CU_ASSERT_EQUAL(uv_loop_close(&loop), 0);
    folder_remove(dir);
}

static void run(zd_run_t what, const char *text)
{
    script[2] = text;
    ended = "not at all";
    zd_service_run(service, what, EPOCH);
    uv_run(&loop, UV_RUN_DEFAULT);
}

/* How that ends, without its time. */
static const char *end_of(zd_run_t what, const char *text)
{
    run(what, text);
    char *end = apr_pstrdup(unit_pool, ended);
    char *after = strstr(end, " after ");
    if (after) {
        *after = '\0';
    }
    return end;
}

/* --- tests ------------------------------------------------------------------------------------ */

static void exit_0_and_2_are_success_and_every_other_end_is_not(void)
{
    begin();
    for (zd_run_t what = ZD_RUN_ACTIVE; what <= ZD_RUN_PASSIVE; what++) {
        const char *name = zd_run_names[what];
        static const struct {
            const char *text;
            const char *end;
            bool well;
        } ends[] = {
            {"exit 0", "exit 0", true},
            {"exit 2", "exit 2", true},
            {"exit 1", "exit 1", false},
            {"exit 3", "exit 3", false},
            {"exit 255", "exit 255", false},
            {"kill -9 $$", "signal 9", false},
            {"kill -TERM $$", "signal 15", false},
            {"kill -INT $$", "signal 2", false},
        };
        for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
            UNIT_STR_EQ(end_of(what, ends[i].text),
                        apr_pstrcat(unit_pool, ends[i].well ? "well: " : "failed: ", name, ": ",
                                    ends[i].end, NULL));
        }
    }
    finish();
}

static void who_ends_with_0_when_its_time_is_over_has_failed(void)
{
    begin();
    config.script_ms = SHORT_MS;
    run(ZD_RUN_ACTIVE, "trap 'exit 0' TERM; sleep 60 & wait");
    CU_ASSERT_PTR_EQUAL(strstr(ended, "failed: ensure-active: no end within "), ended);
    finish();
}

static void what_is_not_there_has_failed(void)
{
    static const char *none[] = {"/nowhere/script", NULL};
    begin();
    replicas[1].ensure_active = none;
    run(ZD_RUN_ACTIVE, NULL);
    replicas[1].ensure_active = script;
    CU_ASSERT_PTR_EQUAL(strstr(ended, "failed: ensure-active: "), ended);
    finish();
}

static void scripts_know_the_application_what_to_be_the_epoch_and_the_id(void)
{
    static const char show[] = "echo $HA_APP $HA_ROLE $HA_EPOCH $HA_ID $HA_DIR";
    begin();
    run(ZD_RUN_ACTIVE, show);
    run(ZD_RUN_PASSIVE, show);
    UNIT_STR_EQ(zd_service_output(service, ZD_RUN_ACTIVE),
                apr_pstrcat(unit_pool, "Voting active 7 1 ", dir, "\n", NULL));
    UNIT_STR_EQ(zd_service_output(service, ZD_RUN_PASSIVE),
                apr_pstrcat(unit_pool, "Voting passive 7 1 ", dir, "\n", NULL));
    finish();
}

const unit_test_t suite_zd_service[] = {
    UNIT_TEST(exit_0_and_2_are_success_and_every_other_end_is_not),
    UNIT_TEST(who_ends_with_0_when_its_time_is_over_has_failed),
    UNIT_TEST(what_is_not_there_has_failed),
    UNIT_TEST(scripts_know_the_application_what_to_be_the_epoch_and_the_id),
    UNIT_END,
};
