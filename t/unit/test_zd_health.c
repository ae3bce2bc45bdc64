/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of zd_health: each URL is good on the one node that it is meant for, and only as long. */
#include "unit.h"

#include <apr_strings.h>

#include "zd_health.h"

enum { LEASE_MS = 10000, NOW_MS = 100000 };

static const zd_replica_conf_t replicas[] = {{.id = "0", .route = "hostA"},
                                             {.id = "1", .route = "hostB"}};
static const zd_config_t config = {.app = "Shop", .replicas = replicas, .replicas_n = 2};
static hap_map_app_t apps[2];
static hap_map_t map;
static zd_replica_t replica;
static zd_runs_t runs[ZD_RUN_COUNT];
static uint64_t orders[ZD_END_COUNT + 1];
static zd_health_t health;

/* Node 0 is active since now, and node 1 leads. */
static void begin(void)
{
    apps[0] = (hap_map_app_t){.name = "Shop", .single = true, .active = "hostA", .epoch = 5};
    apps[1] = (hap_map_app_t){.name = "Wiki"};
    map = (hap_map_t){.version = 12, .apps = apps, .apps_n = 2};
    zd_replica_begin(&replica, LEASE_MS, 3, NOW_MS);
    replica.role = ZD_ROLE_ACTIVE;
    replica.epoch = 5;
    memset(runs, 0, sizeof(runs));
    memset(orders, 0, sizeof(orders));
    health = (zd_health_t){
        .config = &config,
        .id = "0",
        .now_ms = NOW_MS,
        .term = 3,
        .leader = "1",
        .map = &map,
        .written = 11,
        .replica = &replica,
        .counts = {.runs = runs, .orders = orders, .elections = 2, .beats = 7, .refused = 4},
        .resident_bytes = 4096,
        .began_ms = 1700000000123,
    };
}

/* "STATUS TEXT" */
static const char *page(const char *path)
{
    zd_page_t got;
    zd_health_page(&got, &health, hap_str(path), unit_pool);
    return apr_psprintf(unit_pool, "%u %s", got.status, got.text);
}

static void one_node_is_the_leader(void)
{
    begin();
    UNIT_STR_EQ(page("/leader"), "503 1 leads\n");
    health.leader = NULL;
    UNIT_STR_EQ(page("/leader"), "503 no leader is heard\n");
    health.leader = "0";
    UNIT_STR_EQ(page("/leader"), "503 0 is about to lead\n");
    health.leads = true;
    UNIT_STR_EQ(page("/leader"), "200 0 leads, term 3\n");
}

static void active_is_who_has_a_lease_that_holds(void)
{
    begin();
    UNIT_STR_EQ(page("/active/Shop"), "200 0 is active, epoch 5\n");
    health.now_ms = NOW_MS + replica.times.stop_ms - 1;
    UNIT_STR_EQ(page("/active/Shop"), "200 0 is active, epoch 5\n");
    health.now_ms++;
    UNIT_STR_EQ(page("/active/Shop"), "503 0 is active without a lease, 0 has the lease\n");
}

static void any_other_role_is_not_active(void)
{
    begin();
    replica.role = ZD_ROLE_TAKING;
    UNIT_STR_EQ(page("/active/Shop"), "503 0 is taking, 0 has the lease\n");
    replica.role = ZD_ROLE_STOPPING;
    UNIT_STR_EQ(page("/active/Shop"), "503 0 is stopping, 0 has the lease\n");
    replica.role = ZD_ROLE_PASSIVE;
    apps[0].active = "hostB";
    UNIT_STR_EQ(page("/active/Shop"), "503 0 is passive, 1 has the lease\n");
    apps[0].active = NULL;
    UNIT_STR_EQ(page("/active/Shop"), "503 0 is passive, nobody has the lease\n");
    health.map = NULL;
    UNIT_STR_EQ(page("/active/Shop"), "503 0 is passive, nobody has the lease\n");
    health.id = "web";
    health.replica = NULL;
    UNIT_STR_EQ(page("/active/Shop"), "503 web is without a replica of it, nobody has the lease\n");
}

static void other_applications_are_not_active_here(void)
{
    begin();
    apps[1].active = "hostC";
    UNIT_STR_EQ(page("/active/Wiki"), "503 0 is without a replica of it, hostC has the lease\n");
    UNIT_STR_EQ(page("/active/shop"), "404 there is no such application\n");
    UNIT_STR_EQ(page("/active/Shop/"), "404 there is no such application\n");
    UNIT_STR_EQ(page("/active/"), "404 there is no such application\n");
}

static void ready_is_who_has_a_map_and_a_leader(void)
{
    begin();
    UNIT_STR_EQ(page("/ready"), "200 ready: map 12, 1 leads\n");
    health.leader = NULL;
    UNIT_STR_EQ(page("/ready"), "503 not ready: no leader is heard\n");
    health.leads = true;
    UNIT_STR_EQ(page("/ready"), "200 ready: map 12, 0 leads\n");
    health.map = NULL;
    UNIT_STR_EQ(page("/ready"), "503 not ready: there is no map yet\n");
}

static void other_paths_are_unknown(void)
{
    static const char *const paths[] = {"/leader/", "/lead", "//leader", "/active", "/Leader"};
    begin();
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        UNIT_STR_EQ(page(paths[i]), "404 / lists what there is\n");
    }
    CU_ASSERT_PTR_NOT_NULL(strstr(page("/"), "\n/active/<app>  200 on"));
}

static bool has_line(const char *line)
{
    const char *text = zd_metrics(&health, unit_pool);
    return strstr(text, apr_pstrcat(unit_pool, "\n", line, "\n", NULL)) != NULL;
}

static void what_is_measured_has_its_numbers(void)
{
    begin();
    runs[ZD_RUN_NONE].n[ZD_RESULT_FAILED] = 6;
    runs[ZD_RUN_ACTIVE] = (zd_runs_t){.n = {8, 1, 2}, .ms = 12034};
    orders[ZD_CONFLICT] = 9;
    orders[ZD_END_COUNT] = 10;
    static const char *const lines[] = {
        "zerod_leads 0",
        "zerod_term 3",
        "zerod_map_version 12",
        "zerod_map_written 11",
        "zerod_replica_role{role=\"active\"} 1",
        "zerod_replica_role{role=\"passive\"} 0",
        "zerod_replica_epoch 5",
        "zerod_lease_seconds_left 10.000",
        "zerod_script_runs_total{script=\"restart-hal\",result=\"failed\"} 6",
        "zerod_script_runs_total{script=\"ensure-active\",result=\"well\"} 8",
        "zerod_script_runs_total{script=\"ensure-active\",result=\"timed-out\"} 2",
        "zerod_script_seconds_total{script=\"ensure-active\"} 12.034",
        "zerod_elections_total 2",
        "zerod_commands_total{end=\"conflict\"} 9",
        "zerod_commands_total{end=\"uncommitted\"} 10",
        "zerod_beats_sent_total 7",
        "zerod_refused_connections_total 4",
        "process_resident_memory_bytes 4096",
        "process_start_time_seconds 1700000000.123",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        UNIT_STR_EQ(has_line(lines[i]) ? lines[i] : "", lines[i]);
    }
    replica.role = ZD_ROLE_PASSIVE;
    CU_ASSERT_TRUE(has_line("zerod_lease_seconds_left 0.000"));
}

static void a_leader_measures_its_peers_and_who_has_no_replica_none(void)
{
    begin();
    CU_ASSERT_PTR_NULL(strstr(zd_metrics(&health, unit_pool), "zerod_peers_present"));
    health.leads = true;
    health.present = 2;
    CU_ASSERT_TRUE(has_line("zerod_peers_present 2"));
    CU_ASSERT_TRUE(has_line("zerod_elections_total 2"));
    health.replica = NULL;
    CU_ASSERT_PTR_NULL(strstr(zd_metrics(&health, unit_pool), "zerod_replica_"));
    CU_ASSERT_PTR_NULL(strstr(zd_metrics(&health, unit_pool), "zerod_lease_"));
}

/* Each sample is behind a HELP and a TYPE of its name, and has a number. */
static void what_is_measured_is_spelt_as_prometheus_reads_it(void)
{
    begin();
    health.leads = true;
    hap_str_t rest = hap_str(zd_metrics(&health, unit_pool));
    hap_str_t line;
    const char *name = "";
    while (hap_str_line(&line, &rest)) {
        hap_str_t word = hap_str_sub(line, 0, hap_str_find(line, ' ', 0));
        if (hap_str_starts(line, HAP_STR_LIT("# HELP "))) {
            hap_str_t told = hap_str_sub(line, 7, line.n);
            name = hap_str_dup(hap_str_sub(told, 0, hap_str_find(told, ' ', 0)), unit_pool);
            CU_ASSERT_TRUE(hap_str_line(&line, &rest));
            const char *type = apr_pstrcat(unit_pool, "# TYPE ", name, " ", NULL);
            CU_ASSERT_TRUE(hap_str_starts(line, hap_str(type)));
            bool counts = strstr(name, "_total") != NULL;
            CU_ASSERT_EQUAL(counts, strstr(hap_str_dup(line, unit_pool), " counter") != NULL);
            continue;
        }
        CU_ASSERT_TRUE(hap_str_eq(hap_str_sub(word, 0, hap_str_find(word, '{', 0)), hap_str(name)));
        hap_str_t value = hap_str_sub(line, word.n + 1, line.n);
        CU_ASSERT_TRUE(value.n > 0 && strspn(value.p, "0123456789.") == value.n);
    }
    CU_ASSERT_EQUAL(rest.n, 0);
}

const unit_test_t suite_zd_health[] = {
    UNIT_TEST(one_node_is_the_leader),
    UNIT_TEST(active_is_who_has_a_lease_that_holds),
    UNIT_TEST(any_other_role_is_not_active),
    UNIT_TEST(other_applications_are_not_active_here),
    UNIT_TEST(ready_is_who_has_a_map_and_a_leader),
    UNIT_TEST(other_paths_are_unknown),
    UNIT_TEST(what_is_measured_has_its_numbers),
    UNIT_TEST(a_leader_measures_its_peers_and_who_has_no_replica_none),
    UNIT_TEST(what_is_measured_is_spelt_as_prometheus_reads_it),
    UNIT_END,
};
