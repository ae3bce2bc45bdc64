/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hap_merge. */
#include "unit.h"

#include <apr_strings.h>

#include "golden.h"
#include "hap_merge.h"
#include "random.h"

static hap_diag_t diag;
static hap_merge_t merge;

static const hap_fragment_t host_a = {.app = "App",
                                      .context = "/App",
                                      .path = "/App",
                                      .host = "hosta.example",
                                      .port = 8080,
                                      .route = "hostA",
                                      .sticky = "zsessionid",
                                      .health = "/App/health",
                                      .source = "hostA.conf"};
static const hap_fragment_t host_b = {.app = "App",
                                      .context = "/App",
                                      .path = "/App",
                                      .host = "hostb.example",
                                      .port = 8080,
                                      .route = "hostB",
                                      .sticky = "zsessionid",
                                      .health = "/App/health",
                                      .source = "hostB.conf"};
static const hap_fragment_t shop = {.app = "Shop",
                                    .context = "/App/shop",
                                    .path = "/App/shop",
                                    .host = "hostb.example",
                                    .port = 8080,
                                    .route = "hostB",
                                    .source = "shop.conf"};

static bool builds(const hap_fragment_t *fragments, size_t count, bool balancer)
{
    diag.why[0] = '\0';
    return hap_merge_build(&merge, fragments, count, balancer, &diag, unit_pool) == APR_SUCCESS;
}

static hap_merge_zones_t zones_of(const char *kinds, const char *store, const char *key)
{
    hap_merge_zones_t zones = {.kinds = 0};
    CU_ASSERT_EQUAL_FATAL(hap_merge_zones_make(&zones, hap_str(kinds), hap_str(store), hap_str(key),
                                               &diag, unit_pool),
                          APR_SUCCESS);
    return zones;
}

/* Why there cannot be such zones. */
static const char *no_zones(const char *kinds, const char *store, const char *key)
{
    hap_merge_zones_t zones;
    diag.why[0] = '\0';
    CU_ASSERT_EQUAL(hap_merge_zones_make(&zones, hap_str(kinds), hap_str(store), hap_str(key),
                                         &diag, unit_pool),
                    APR_EINVAL);
    return diag.why;
}

/* Whether the two cannot be one balancer, with a sentence that has these words. */
static bool clash(hap_fragment_t a, hap_fragment_t b, const char *words)
{
    const hap_fragment_t pair[] = {a, b};
    bool refused = !builds(pair, 2, true) && strstr(diag.why, words);
    if (!refused) {
        fprintf(stderr, "\n  got:  %s\n  want: %s\n", diag.why, words);
    }
    return refused;
}

static void emit_writes_the_golden_files(void)
{
    const hap_fragment_t same[] = {host_b, host_a};
    const hap_fragment_t different[] = {host_a, shop};
    CU_ASSERT_TRUE(builds(same, 2, true));
    merge.lane = HAP_MERGE_LANE_ON;
    UNIT_STR_EQ(hap_merge_emit(&merge, unit_pool).p, unit_golden("merged-balancer.conf"));
    merge.zones = zones_of("storage,user", "memcached:HostA:11211,hostB", "");
    UNIT_STR_EQ(hap_merge_emit(&merge, unit_pool).p, unit_golden("merged-zones.conf"));
    CU_ASSERT_TRUE(builds(different, 2, false));
    UNIT_STR_EQ(hap_merge_emit(&merge, unit_pool).p, unit_golden("merged-plain.conf"));
}

static void one_application_must_agree_on_everything_its_members_share(void)
{
    hap_fragment_t b = host_b;
    b.context = "/Other";
    CU_ASSERT_TRUE(clash(host_a, b, "context is /App in hostA.conf but /Other in hostB.conf"));
    b = host_b;
    b.path = "/Other";
    CU_ASSERT_TRUE(clash(host_a, b, "path is /App in hostA.conf but /Other in hostB.conf"));
    b = host_b;
    b.sticky = NULL;
    CU_ASSERT_TRUE(clash(host_a, b, "sticky is zsessionid in hostA.conf but none in hostB.conf"));
    b = host_b;
    b.health = "/other";
    CU_ASSERT_TRUE(clash(host_a, b, "health is /App/health in hostA.conf but /other"));
    b = host_b;
    b.upgrade = "websocket";
    CU_ASSERT_TRUE(clash(host_a, b, "upgrade is none in hostA.conf but websocket in hostB.conf"));
}

static void a_route_or_an_address_twice_is_refused(void)
{
    hap_fragment_t b = host_b;
    b.route = "hostA";
    CU_ASSERT_TRUE(clash(host_a, b, "the route hostA is in hostA.conf and in hostB.conf"));
    b = host_b;
    b.host = host_a.host;
    CU_ASSERT_TRUE(clash(host_a, b, "hosta.example:8080 is in hostA.conf and in hostB.conf"));
    b.port = 8081;
    CU_ASSERT_TRUE(builds((const hap_fragment_t[]){host_a, b}, 2, true));
}

static void another_application_may_have_the_same_route_and_address(void)
{
    CU_ASSERT_TRUE(builds((const hap_fragment_t[]){host_a, host_b, shop}, 3, true));
    CU_ASSERT_EQUAL(merge.app_count, 2);
}

static void loopback_is_refused_only_beside_another_host(void)
{
    static const char *const local[] = {"127.0.0.1", "0.0.0.0", "[::]", "[::1]", "localhost"};
    for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++) {
        hap_fragment_t a = host_a;
        hap_fragment_t b = host_b;
        a.host = local[i];
        CU_ASSERT_TRUE(clash(a, b, "which the proxy takes for itself"));
        b.host = local[i];
        b.port = 8081;
        CU_ASSERT_TRUE(builds((const hap_fragment_t[]){a, b}, 2, true));
        b.host = "127.0.0.2";
        CU_ASSERT_TRUE(builds((const hap_fragment_t[]){a, b}, 2, true));
    }
}

static void without_balancers_an_application_has_one_fragment(void)
{
    CU_ASSERT_FALSE(builds((const hap_fragment_t[]){host_a, host_b}, 2, false));
    CU_ASSERT_PTR_NOT_NULL(strstr(diag.why, "use -balancer"));
    CU_ASSERT_TRUE(builds(&host_a, 1, false));
    CU_ASSERT_TRUE(builds(&host_a, 1, true));
}

static void a_context_has_one_application_and_the_longer_comes_first(void)
{
    hap_fragment_t other = shop;
    other.context = "/App";
    CU_ASSERT_FALSE(builds((const hap_fragment_t[]){host_a, other}, 2, false));
    CU_ASSERT_PTR_NOT_NULL(strstr(diag.why, "App and Shop both have the context /App"));
    CU_ASSERT_PTR_NOT_NULL(strstr(diag.why, "or both one name with -app=NAME if they are inst"));
    CU_ASSERT_TRUE(builds((const hap_fragment_t[]){host_a, shop}, 2, true));
    UNIT_STR_EQ(merge.apps[0].members->app, "Shop");
}

static void balancers_that_httpd_cannot_tell_apart_are_refused(void)
{
    hap_fragment_t a = host_a;
    hap_fragment_t b = shop;
    a.app = "my-app";
    b.app = "My_app";
    CU_ASSERT_FALSE(builds((const hap_fragment_t[]){a, b}, 2, true));
    CU_ASSERT_PTR_NOT_NULL(strstr(diag.why, "cannot tell balancers apart"));
    CU_ASSERT_TRUE(builds((const hap_fragment_t[]){a, b}, 2, false));
}

/* n members of App on as many hosts. */
static hap_fragment_t *many(size_t n)
{
    hap_fragment_t *fragments = apr_pcalloc(unit_pool, n * sizeof(*fragments));
    for (size_t i = 0; i < n; i++) {
        fragments[i] = host_a;
        fragments[i].host = apr_psprintf(unit_pool, "h%" APR_SIZE_T_FMT ".example", i);
        fragments[i].route = apr_psprintf(unit_pool, "r%" APR_SIZE_T_FMT, i);
        fragments[i].source = NULL;
    }
    return fragments;
}

static void ten_thousand_members_are_taken_and_one_more_is_not(void)
{
    hap_fragment_t *fragments = many(10001);
    CU_ASSERT_TRUE(builds(fragments, 10000, true));
    CU_ASSERT_EQUAL(merge.member_count, 10000);
    CU_ASSERT_FALSE(builds(fragments, 10001, true));
    /* Counted before it is looked at. */
    CU_ASSERT_FALSE(builds(fragments, 1000000, true));
    UNIT_STR_EQ(diag.why, "1000000 fragments are too many, at most 10000 can be merged");
    CU_ASSERT_FALSE(builds(fragments, 0, true));
}

static void shuffle(hap_fragment_t *fragments, size_t n, unit_random_t *random)
{
    for (size_t i = n - 1; i > 0; i--) {
        size_t k = unit_random(random, i + 1);
        hap_fragment_t moved = fragments[i];
        fragments[i] = fragments[k];
        fragments[k] = moved;
    }
}

/* A mix of applications, some of them nested. */
static hap_fragment_t *mix(size_t n)
{
    hap_fragment_t *fragments = many(n);
    for (size_t i = 0; i < n; i++) {
        size_t app = i % 5;
        fragments[i].app = apr_psprintf(unit_pool, "App%" APR_SIZE_T_FMT, app);
        fragments[i].context = app ? apr_psprintf(unit_pool, "/a%.*s", (int)app, "/b/c") : "/";
        if (fragments[i].context[strlen(fragments[i].context) - 1] == '/' && app) {
            fragments[i].context = apr_pstrcat(unit_pool, fragments[i].context, "x", NULL);
        }
        fragments[i].path = app % 2 ? "/internal" : fragments[i].context;
        fragments[i].sticky = app % 3 ? "zsessionid" : NULL;
        fragments[i].health = app % 2 ? "/health" : NULL;
        fragments[i].upgrade = app % 2 ? NULL : "websocket";
    }
    return fragments;
}

static void the_same_fragments_in_any_order_give_the_same_bytes(void)
{
    unit_random_t random = {2};
    hap_fragment_t *fragments = mix(40);
    CU_ASSERT_TRUE_FATAL(builds(fragments, 40, true));
    hap_str_t first = hap_merge_emit(&merge, unit_pool);
    for (int i = 0; i < 200; i++) {
        shuffle(fragments, 40, &random);
        CU_ASSERT_TRUE(builds(fragments, 40, true));
        CU_ASSERT_TRUE(hap_str_eq(hap_merge_emit(&merge, unit_pool), first));
    }
}

static void a_conflict_reads_the_same_in_any_order(void)
{
    hap_fragment_t b = host_b;
    b.route = "hostA";
    CU_ASSERT_FALSE(builds((const hap_fragment_t[]){host_a, b}, 2, true));
    const char *first = apr_pstrdup(unit_pool, diag.why);
    CU_ASSERT_FALSE(builds((const hap_fragment_t[]){b, host_a}, 2, true));
    UNIT_STR_EQ(diag.why, first);
}

static void what_was_written_is_read_back_member_by_member(void)
{
    for (size_t n = 1; n <= 40; n++) {
        hap_fragment_t *fragments = mix(n);
        bool balancer = n > 5;
        CU_ASSERT_TRUE_FATAL(builds(fragments, n, balancer));
        hap_merge_t read;
        hap_str_t text = hap_merge_emit(&merge, unit_pool);
        CU_ASSERT_EQUAL_FATAL(hap_merge_parse(&read, text, &diag, unit_pool), APR_SUCCESS);
        CU_ASSERT_EQUAL(hap_merge_prove(&read, fragments, n, &diag, unit_pool), APR_SUCCESS);
        CU_ASSERT_EQUAL(hap_merge_diff(&merge, &read, unit_pool)->nelts, 0);
    }
}

static void a_proof_fails_for_a_member_that_is_not_there(void)
{
    const hap_fragment_t both[] = {host_a, host_b};
    hap_fragment_t changed[] = {host_a, host_b};
    changed[1].port = 8081;
    CU_ASSERT_TRUE(builds(both, 2, true));
    CU_ASSERT_NOT_EQUAL(hap_merge_prove(&merge, changed, 2, &diag, unit_pool), APR_SUCCESS);
    CU_ASSERT_PTR_NOT_NULL(strstr(diag.why, "hostB.conf"));
    CU_ASSERT_NOT_EQUAL(hap_merge_prove(&merge, both, 1, &diag, unit_pool), APR_SUCCESS);
    CU_ASSERT_TRUE(builds(both, 1, true));
    CU_ASSERT_NOT_EQUAL(hap_merge_prove(&merge, both, 2, &diag, unit_pool), APR_SUCCESS);
}

static void a_changed_byte_is_refused_or_makes_another_valid_merge(void)
{
    static const char *const files[] = {"merged-balancer.conf", "merged-plain.conf"};
    apr_pool_t *pool = NULL;
    apr_pool_create(&pool, unit_pool);
    for (int file = 0; file < 2; file++) {
        const char *golden = unit_golden(files[file]);
        char *text = apr_pstrdup(unit_pool, golden);
        for (size_t i = 0; i < strlen(golden) * 256; i++) {
            hap_merge_t read;
            text[i / 256] = (char)(i % 256);
            hap_str_t changed = hap_strn(text, strlen(golden));
            if (hap_merge_parse(&read, changed, &diag, pool) == APR_SUCCESS) {
                CU_ASSERT_TRUE(hap_str_eq(hap_merge_emit(&read, pool), changed));
            }
            apr_pool_clear(pool);
            text[i / 256] = golden[i / 256];
        }
    }
}

static void an_edited_or_truncated_merge_is_refused_with_its_line(void)
{
    const char *golden = unit_golden("merged-balancer.conf");
    hap_merge_t read;
    for (size_t n = 0; n < strlen(golden); n++) {
        CU_ASSERT_NOT_EQUAL(hap_merge_parse(&read, hap_strn(golden, n), &diag, unit_pool),
                            APR_SUCCESS);
    }
    const char *edited = apr_pstrcat(unit_pool, golden, "Listen 1\n", NULL);
    CU_ASSERT_NOT_EQUAL(hap_merge_parse(&read, hap_str(edited), &diag, unit_pool), APR_SUCCESS);
    CU_ASSERT_EQUAL(diag.line, 14);
}

static void the_lane_is_said_for_every_balancer_alike(void)
{
    static const hap_merge_lane_t lanes[] = {HAP_MERGE_LANE_UNSAID, HAP_MERGE_LANE_ON,
                                             HAP_MERGE_LANE_OFF};
    static const char *const texts[] = {NULL, "    HALane     On Shop\n",
                                        "    HALane     Off Shop\n"};
    hap_merge_t read;
    CU_ASSERT_TRUE_FATAL(builds((const hap_fragment_t[]){host_a, shop}, 2, true));
    for (int i = 0; i < 3; i++) {
        merge.lane = lanes[i];
        hap_str_t text = hap_merge_emit(&merge, unit_pool);
        CU_ASSERT_EQUAL_FATAL(hap_merge_parse(&read, text, &diag, unit_pool), APR_SUCCESS);
        CU_ASSERT_EQUAL(read.lane, lanes[i]);
        CU_ASSERT_PTR_NOT_NULL(strstr(text.p, texts[i] ? texts[i] : "    HABalancer Shop\n</If"));
    }
    const char *off = hap_merge_emit(&merge, unit_pool).p;
    const char *last = strstr(off, "Off App");
    const char *mixed = apr_psprintf(unit_pool, "%.*sOn%s", (int)(last - off), off, last + 3);
    CU_ASSERT_NOT_EQUAL(hap_merge_parse(&read, hap_str(mixed), &diag, unit_pool), APR_SUCCESS);
}

static void zones_are_said_in_one_spelling(void)
{
    static const struct {
        const char *kinds, *store, *key, *text;
    } rows[] = {
        {"USER", "", "", "zone=USER store=shm"},
        {"user", "shm:32M", "", "zone=USER store=shm"},
        {"Storage", "shm:2048k", "a.key", "zone=STORAGE store=shm:2M key=a.key"},
        {"STORAGE,USER", "memcached:H", "",
         "zone=USER,STORAGE store=memcached:h:11211 key=zone.key"},
        {"USER", "memcached:h:1,[2001:DB8::1]:2", "/etc/k",
         "zone=USER store=memcached:h:1,[2001:db8::1]:2 key=/etc/k"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        hap_merge_zones_t zones = zones_of(rows[i].kinds, rows[i].store, rows[i].key);
        UNIT_STR_EQ(hap_merge_zones_text(&zones, unit_pool), rows[i].text);
    }
}

static void zones_that_cannot_be_written_are_refused_by_option(void)
{
    CU_ASSERT_PTR_NOT_NULL(strstr(no_zones("USERS", "", ""), "-zones: "));
    CU_ASSERT_PTR_NOT_NULL(strstr(no_zones("", "", ""), "-zones: "));
    CU_ASSERT_PTR_NOT_NULL(strstr(no_zones("USER", "memcached:", ""), "-store: "));
    CU_ASSERT_PTR_NOT_NULL(strstr(no_zones("USER", "file:x", ""), "-store: "));
    static const char *const bad[] = {"a b", "a\"b", "'",    "${x}",
                                      "a\\", "none", "\x01", "\xc3\xa4"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CU_ASSERT_PTR_NOT_NULL(strstr(no_zones("USER", "", bad[i]), "-key: "));
    }
}

static void zones_are_said_for_every_balancer_alike(void)
{
    hap_merge_t read;
    hap_fragment_t other = shop;
    other.sticky = "shopid";
    CU_ASSERT_TRUE_FATAL(builds((const hap_fragment_t[]){host_a, other}, 2, true));
    merge.zones = zones_of("USER", "shm", "");
    hap_str_t text = hap_merge_emit(&merge, unit_pool);
    CU_ASSERT_PTR_NOT_NULL(strstr(text.p, "    HAZone     Shop zone=USER store=shm\n"));
    CU_ASSERT_EQUAL_FATAL(hap_merge_parse(&read, text, &diag, unit_pool), APR_SUCCESS);
    CU_ASSERT_EQUAL(hap_merge_diff(&read, &merge, unit_pool)->nelts, 0);
    const char *last = strstr(text.p, "    HAZone     App");
    const char *behind = strchr(last, '\n') + 1;
    const char *without = apr_psprintf(unit_pool, "%.*s%s", (int)(last - text.p), text.p, behind);
    CU_ASSERT_NOT_EQUAL(hap_merge_parse(&read, hap_str(without), &diag, unit_pool), APR_SUCCESS);
    CU_ASSERT_EQUAL(diag.line, 21);
}

static void an_application_without_sessions_has_no_zone_for_their_states(void)
{
    hap_merge_zones_t user = zones_of("USER", "", "");
    hap_merge_zones_t storage = zones_of("STORAGE", "", "");
    CU_ASSERT_TRUE_FATAL(builds((const hap_fragment_t[]){host_a, shop}, 2, true));
    CU_ASSERT_EQUAL(hap_merge_check_zones(&merge, &storage, &diag), APR_SUCCESS);
    CU_ASSERT_EQUAL(hap_merge_check_zones(&merge, &user, &diag), APR_EINVAL);
    UNIT_STR_EQ(diag.why, "application Shop has no session cookie, so there is no session whose "
                          "state could be kept: give -sticky=COOKIE to zero modproxy generate on "
                          "its hosts, or merge it into a file of its own");
    hap_merge_t read;
    merge.zones = user;
    CU_ASSERT_EQUAL(hap_merge_parse(&read, hap_merge_emit(&merge, unit_pool), &diag, unit_pool),
                    APR_EINVAL);
}

static void diff_says_what_changes(void)
{
    hap_fragment_t moved = host_b;
    hap_fragment_t third = host_b;
    hap_merge_t before;
    hap_merge_t after;
    moved.port = 8081;
    third.route = "hostC";
    third.host = "hostc.example";
    const hap_fragment_t was[] = {host_a, host_b, shop};
    const hap_fragment_t is[] = {moved, third};
    CU_ASSERT_EQUAL(hap_merge_build(&before, was, 3, true, &diag, unit_pool), APR_SUCCESS);
    CU_ASSERT_EQUAL(hap_merge_build(&after, is, 2, true, &diag, unit_pool), APR_SUCCESS);
    apr_array_header_t *changes = hap_merge_diff(&before, &after, unit_pool);
    UNIT_STR_EQ(apr_array_pstrcat(unit_pool, changes, '\n'),
                "app App: member hostA removed (http://hosta.example:8080)\n"
                "app App: member hostB moved from http://hostb.example:8080 to "
                "http://hostb.example:8081\n"
                "app App: member hostC added (http://hostc.example:8080)\n"
                "app Shop: removed (context /App/shop, members: 1)");
    before = after;
    after.lane = HAP_MERGE_LANE_OFF;
    changes = hap_merge_diff(&before, &after, unit_pool);
    UNIT_STR_EQ(apr_array_pstrcat(unit_pool, changes, '\n'), "HALane changed from none to Off");
    before = after;
    after.zones = zones_of("USER", "", "");
    changes = hap_merge_diff(&before, &after, unit_pool);
    UNIT_STR_EQ(apr_array_pstrcat(unit_pool, changes, '\n'),
                "HAZone changed from none to zone=USER store=shm");
}

static void diff_against_nothing_names_every_application(void)
{
    const hap_merge_t nothing = {.balancer = true};
    CU_ASSERT_TRUE(builds((const hap_fragment_t[]){host_a, host_b}, 2, true));
    apr_array_header_t *changes = hap_merge_diff(&nothing, &merge, unit_pool);
    UNIT_STR_EQ(apr_array_pstrcat(unit_pool, changes, '\n'),
                "app App: added (context /App, members: 2)");
    changes = hap_merge_diff(&merge, &nothing, unit_pool);
    UNIT_STR_EQ(apr_array_pstrcat(unit_pool, changes, '\n'),
                "app App: removed (context /App, members: 2)");
    CU_ASSERT_EQUAL(hap_merge_diff(&nothing, &nothing, unit_pool)->nelts, 0);
}

const unit_test_t suite_merge[] = {
    UNIT_TEST(emit_writes_the_golden_files),
    UNIT_TEST(one_application_must_agree_on_everything_its_members_share),
    UNIT_TEST(a_route_or_an_address_twice_is_refused),
    UNIT_TEST(another_application_may_have_the_same_route_and_address),
    UNIT_TEST(loopback_is_refused_only_beside_another_host),
    UNIT_TEST(without_balancers_an_application_has_one_fragment),
    UNIT_TEST(a_context_has_one_application_and_the_longer_comes_first),
    UNIT_TEST(balancers_that_httpd_cannot_tell_apart_are_refused),
    UNIT_TEST(ten_thousand_members_are_taken_and_one_more_is_not),
    UNIT_TEST(the_same_fragments_in_any_order_give_the_same_bytes),
    UNIT_TEST(a_conflict_reads_the_same_in_any_order),
    UNIT_TEST(what_was_written_is_read_back_member_by_member),
    UNIT_TEST(a_proof_fails_for_a_member_that_is_not_there),
    UNIT_TEST(a_changed_byte_is_refused_or_makes_another_valid_merge),
    UNIT_TEST(an_edited_or_truncated_merge_is_refused_with_its_line),
    UNIT_TEST(the_lane_is_said_for_every_balancer_alike),
    UNIT_TEST(zones_are_said_in_one_spelling),
    UNIT_TEST(zones_that_cannot_be_written_are_refused_by_option),
    UNIT_TEST(zones_are_said_for_every_balancer_alike),
    UNIT_TEST(an_application_without_sessions_has_no_zone_for_their_states),
    UNIT_TEST(diff_says_what_changes),
    UNIT_TEST(diff_against_nothing_names_every_application),
    UNIT_END,
};
