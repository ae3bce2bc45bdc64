/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of zd_config: HAL's config.json is taken as it stands, and each slip is named. */
#include "unit.h"

#include <apr_strings.h>

#include "zd_config.h"

/* What HAL's documentation shows, with the comma that it lacks. */
static const char hal[] =
    "{\n"
    "    \"appName\":\"votingAppBharath\",\n"
    "    \"ensure-active-0\":\"/srv/ensure.sh 0 active\",\n"
    "    \"ensure-active-1\":\"/srv/ensure.sh 1 active\",\n"
    "    \"ensure-passive-0\":\"/srv/ensure.sh 0 passive\",\n"
    "    \"ensure-passive-1\":\"/srv/ensure.sh 1 passive\",\n"
    "    \"restart-hal-0\":\"ssh -i key.pem ubuntu@192.0.2.1 /srv/restartHalIfDead.sh 0\",\n"
    "    \"restart-hal-1\":\"ssh -i key.pem ubuntu@192.0.2.2 /srv/restartHalIfDead.sh 1\",\n"
    "    \"timeout\":\"50000\",\n"
    "    \"noOfRetryAttempts\":\"3\",\n"
    "    \"replicaIdList\":[\"0\",\"1\"],\n"
    "    \"musicLocation\":\"localhost\",\n"
    "    \"nodes\": {\"0\": \"192.0.2.1:7946\", \"1\": \"192.0.2.2:7946\"},\n"
    "    \"secretFile\": \"/etc/zerod/secret\"\n"
    "}\n";

/* "ok", or line and sentence. */
static const char *parsed(const char *text, const zd_config_t **config)
{
    hap_diag_t diag = {0, ""};
    apr_status_t rv = zd_config_parse(config, hap_str(text), &diag, unit_pool);
    return rv == APR_SUCCESS ? "ok" : apr_psprintf(unit_pool, "%d: %s", diag.line, diag.why);
}

/* The sample with the first `old` replaced. */
static const char *with(const char *old, const char *new)
{
    const zd_config_t *config;
    const char *at = strstr(hal, old);
    CU_ASSERT_PTR_NOT_NULL_FATAL(at);
    return parsed(apr_pstrcat(unit_pool, apr_pstrmemdup(unit_pool, hal, (size_t)(at - hal)), new,
                              at + strlen(old), NULL),
                  &config);
}

static const char *joined(zd_argv_t argv)
{
    const char *all = "";
    for (unsigned i = 0; argv[i]; i++) {
        all = apr_pstrcat(unit_pool, all, "[", argv[i], "]", NULL);
    }
    return all;
}

static void hals_own_file_is_taken(void)
{
    const zd_config_t *config;
    UNIT_STR_EQ(parsed(hal, &config), "ok");
    UNIT_STR_EQ(config->app, "votingAppBharath");
    CU_ASSERT_EQUAL(config->replicas_n, 2);
    CU_ASSERT_EQUAL(config->timeout_ms, 50000);
    CU_ASSERT_EQUAL(config->retries, 3);
    UNIT_STR_EQ(joined(config->replicas[1].ensure_active), "[/srv/ensure.sh][1][active]");
    UNIT_STR_EQ(joined(config->replicas[0].ensure_passive), "[/srv/ensure.sh][0][passive]");
    UNIT_STR_EQ(joined(config->replicas[0].restart),
                "[ssh][-i][key.pem][ubuntu@192.0.2.1][/srv/restartHalIfDead.sh][0]");
    UNIT_STR_EQ(config->ignored, "musicLocation");
    CU_ASSERT_EQUAL(config->nodes_n, 2);
    UNIT_STR_EQ(config->nodes[1].address, "192.0.2.2:7946");
    CU_ASSERT_TRUE(config->nodes[1].electable);
}

static void h1_the_missing_comma_of_hals_own_file_is_named(void)
{
    UNIT_STR_EQ(with("\"1\"],", "\"1\"]"), "12: a comma is missing before \"musicLocation\"");
}

static void h1_each_needed_key_is_missed_by_name(void)
{
    UNIT_STR_EQ(with("    \"appName\":\"votingAppBharath\",\n", ""),
                "0: \"appName\": is missing: add it, as in \"appName\": \"Shop\"");
    UNIT_STR_EQ(with("    \"timeout\":\"50000\",\n", ""),
                "0: \"timeout\": is missing: add it, as in \"timeout\": 5000");
    UNIT_STR_EQ(with("    \"noOfRetryAttempts\":\"3\",\n", ""),
                "0: \"noOfRetryAttempts\": is missing: add it, as in \"noOfRetryAttempts\": 3");
    UNIT_STR_EQ(
        with("    \"replicaIdList\":[\"0\",\"1\"],\n", ""),
        "0: \"replicaIdList\": is missing: add it, as in \"replicaIdList\": [\"0\", \"1\"]");
    UNIT_STR_EQ(with("    \"ensure-active-1\":\"/srv/ensure.sh 1 active\",\n", ""),
                "0: \"ensure-active-1\": is missing: \"replicaIdList\" has the id 1, say which "
                "program to run");
    UNIT_STR_EQ(with("    \"ensure-passive-0\":\"/srv/ensure.sh 0 passive\",\n", ""),
                "0: \"ensure-passive-0\": is missing: \"replicaIdList\" has the id 0, say which "
                "program to run");
}

static void a_peer_need_not_be_restarted_nor_music_located(void)
{
    UNIT_STR_EQ(with("    \"musicLocation\":\"localhost\",\n", ""), "ok");
    UNIT_STR_EQ(
        with("    \"restart-hal-1\":\"ssh -i key.pem ubuntu@192.0.2.2 /srv/restartHalIfDead.sh "
             "1\",\n",
             ""),
        "ok");
}

static void h1_what_is_twice_unknown_or_of_a_wrong_type_is_refused_by_line(void)
{
    UNIT_STR_EQ(with("\"timeout\":\"50000\"", "\"timeout\":\"50000\",\n\"timeout\":\"1\""),
                "10: \"timeout\" is there twice: remove one of the two");
    UNIT_STR_EQ(with("\"timeout\"", "\"timeOut\""),
                "9: \"timeOut\": is not a key of config.json, see doc/zerod.md");
    UNIT_STR_EQ(with("\"timeout\":", "\"timeOut\": 1, \"timeout\":"),
                "9: \"timeOut\": is not a key of config.json, see doc/zerod.md");
    UNIT_STR_EQ(with("\"50000\"", "true"), "9: \"timeout\": is not a number from 2000 to 3600000");
    UNIT_STR_EQ(with("\"50000\"", "\"50s\""),
                "9: \"timeout\": is not a number from 2000 to 3600000");
    UNIT_STR_EQ(with("\"50000\"", "1999"), "9: \"timeout\": is not a number from 2000 to 3600000");
    UNIT_STR_EQ(with("\"50000\"", "50000"), "ok");
    UNIT_STR_EQ(with("\"3\"", "0"), "10: \"noOfRetryAttempts\": is not a number from 1 to 100");
    UNIT_STR_EQ(with("\"votingAppBharath\"", "7"),
                "2: \"appName\": is not a text: write it between double quotes");
    UNIT_STR_EQ(with("{\n", "[\n"), "2: is not JSON: ']' expected near ':'");
    UNIT_STR_EQ(with(hal, "7"), "1: is not JSON: '[' or '{' expected near '7'");
    UNIT_STR_EQ(with(hal, "[]"), "1: is not a JSON object, which begins with {");
}

static void h1_ids_count_from_0_without_a_gap(void)
{
    UNIT_STR_EQ(with("[\"0\",\"1\"]", "[\"0\",\"2\"]"),
                "11: \"replicaIdList\": ids count from \"0\" without a gap; \"1\" is expected at "
                "place 2");
    UNIT_STR_EQ(with("[\"0\",\"1\"]", "[\"1\",\"0\"]"),
                "11: \"replicaIdList\": ids count from \"0\" without a gap; \"0\" is expected at "
                "place 1");
    UNIT_STR_EQ(with("[\"0\",\"1\"]", "[\"0\",\"01\"]"),
                "11: \"replicaIdList\": ids count from \"0\" without a gap; \"1\" is expected at "
                "place 2");
    UNIT_STR_EQ(with("[\"0\",\"1\"]", "[]"),
                "11: \"replicaIdList\": is not a list of 1 to 64 ids, as in [\"0\", \"1\"]");
    UNIT_STR_EQ(with("[\"0\",\"1\"]", "\"0,1\""),
                "11: \"replicaIdList\": is not a list of 1 to 64 ids, as in [\"0\", \"1\"]");
    UNIT_STR_EQ(with("ensure-active-1", "ensure-active-2"),
                "4: \"ensure-active-2\": \"replicaIdList\" has no id 2");
    UNIT_STR_EQ(with("ensure-active-1", "ensure-active-01"),
                "4: \"ensure-active-01\": \"replicaIdList\" has no id 01");
}

static void commands_are_words_not_shell(void)
{
    const zd_config_t *config;
    UNIT_STR_EQ(with("/srv/ensure.sh 0 active", "/srv/my\\\\ app/x 'a b' \\\"c d\\\""), "ok");
    UNIT_STR_EQ(with("/srv/ensure.sh 0 active", "/srv/x 'a b"),
                "3: \"ensure-active-0\": a quote is not closed");
    UNIT_STR_EQ(with("/srv/ensure.sh 0 active", " "),
                "3: \"ensure-active-0\": names no program: its first word is the path of one");
    UNIT_STR_EQ(with("/srv/ensure.sh 0 active", "'' /srv/ensure.sh"),
                "3: \"ensure-active-0\": names no program: its first word is the path of one");
    UNIT_STR_EQ(with("\"/srv/ensure.sh 0 active\"", "[]"),
                "3: \"ensure-active-0\": names no program: its first word is the path of one");
    UNIT_STR_EQ(with("\"/srv/ensure.sh 0 active\"", "[\"sh\", 1]"),
                "3: \"ensure-active-0\": its word 2 is not a text: write it between double quotes");
    const char *text = apr_pstrcat(unit_pool,
                                   "{\"appName\":\"A\",\"timeout\":5000,\"noOfRetryAttempts\":1,"
                                   "\"replicaIdList\":[\"0\"],\"ensure-active-0\":[\"sh\",\"-c\","
                                   "\"a b; c\"],\"ensure-passive-0\":\"p 'a b' c\\\\ d \\\"\\\"\"}",
                                   NULL);
    UNIT_STR_EQ(parsed(text, &config), "ok");
    UNIT_STR_EQ(joined(config->replicas[0].ensure_active), "[sh][-c][a b; c]");
    UNIT_STR_EQ(joined(config->replicas[0].ensure_passive), "[p][a b][c d][]");
    CU_ASSERT_EQUAL(config->nodes_n, 0);
}

static void nodes_say_where_daemons_are_reached(void)
{
    UNIT_STR_EQ(
        with("    \"nodes\": {\"0\": \"192.0.2.1:7946\", \"1\": \"192.0.2.2:7946\"},\n", ""),
        "0: \"nodes\": is missing: say where each replica's daemon is reached, as in "
        "\"nodes\": {\"0\": \"192.0.2.1:7946\", \"1\": \"192.0.2.2:7946\"}");
    UNIT_STR_EQ(with("\"1\": \"192.0.2.2:7946\"", "\"2\": \"192.0.2.2:7946\""),
                "13: \"nodes\": the replica \"1\" is not in it: say where its daemon is reached, "
                "as in \"1\": \"192.0.2.1:7946\"");
    UNIT_STR_EQ(with("\"192.0.2.2:7946\"", "\"192.0.2.2\""),
                "13: \"1\": its address: \"192.0.2.2\" is not HOST:PORT");
    UNIT_STR_EQ(with("\"192.0.2.2:7946\"", "{}"),
                "13: \"1\": it has no address: add \"address\": \"HOST:PORT\"");
    UNIT_STR_EQ(with("\"192.0.2.2:7946\"", "{\"address\": \"h:1\", \"role\": \"boss\"}"),
                "13: \"1\": its role is not voter, witness or observer");
    UNIT_STR_EQ(
        with("\"192.0.2.2:7946\"", "{\"address\": \"h:1\", \"rol\": 1}"),
        "13: \"1\": rol is not one of address, bind, http, role, electable and mapFile, or, of a "
        "replica, route and url");
    UNIT_STR_EQ(with(",\n    \"secretFile\": \"/etc/zerod/secret\"", ""),
                "0: \"secretFile\": is missing: daemons of several nodes prove with it that they "
                "belong together; \"openssl rand -hex 32\" makes one");
}

static void h1_what_is_wrong_in_a_node_is_said_with_that_node(void)
{
    static const char *const wrong[][2] = {
        {"7", "is neither \"HOST:PORT\" nor an object with an address"},
        {"\"\"", "its address is empty"},
        {"{\"address\": 7}", "its address is not a text: write it between double quotes"},
        {"{\"address\": \"h:1\", \"bind\": \"h:x\"}",
         "its bind: \"x\" is not a port, use 1 to 65535"},
        {"{\"address\": \"h:1\", \"role\": 1}", "its role is not voter, witness or observer"},
        {"{\"address\": \"h:1\", \"electable\": \"no\"}", "its electable is not true or false"},
        {"{\"address\": \"h:1\", \"mapFile\": []}",
         "its mapFile is not a text: write it between double quotes"},
        {"{\"address\": \"h:1\", \"url\": \"\"}", "its url is empty"},
        {"{\"address\": \"h:1\", \"route\": 1}",
         "its route is not a text: write it between double quotes"},
        {"{\"address\": \"h:1\", \"route\": \"0\"}", "another replica has the route 0, too"},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        /* The other one has all keys, too, on the line before. */
        const char *nodes = apr_pstrcat(
            unit_pool,
            "{\"0\": {\"address\": \"a:1\", \"bind\": \"b:1\", \"role\": \"voter\", \"electable\": "
            "true, "
            "\"mapFile\": \"/m\", \"url\": \"http://u:1\", \"route\": \"0\"},\n \"1\": ",
            wrong[i][0], "}", NULL);
        UNIT_STR_EQ(with("{\"0\": \"192.0.2.1:7946\", \"1\": \"192.0.2.2:7946\"}", nodes),
                    apr_pstrcat(unit_pool, "14: \"1\": ", wrong[i][1], NULL));
    }
}

static void h1_slips_of_json_have_sentences(void)
{
    UNIT_STR_EQ(with("\"0\",\"1\"", "\"0\" \"1\""), "11: a comma is missing before \"1\"");
    UNIT_STR_EQ(with("\"0\",\"1\"", "\"0\",\"1\","), "11: a comma stands before ]: remove it");
    UNIT_STR_EQ(with("secret\"\n", "secret\",\n"), "15: a comma stands before }: remove it");
    UNIT_STR_EQ(with("\"timeout\":", "\"timeout\""),
                "9: a colon is missing between a key and its value");
    UNIT_STR_EQ(with("Bharath\"", "Bharath"), "2: a double quote is missing at the end of a text");
    UNIT_STR_EQ(with("secret\"\n}", "secret\"\n"), "16: a } is missing at the end");
    UNIT_STR_EQ(with("secret\"\n}", "secret\"\n}\n}"),
                "16: more stands behind the last }: remove it");
    UNIT_STR_EQ(with("\"50000\"", "050"), "9: is not JSON: invalid token near '0'");
}

static void a_node_may_have_health_urls(void)
{
    const zd_config_t *config;
    const char *at = strstr(hal, "\"192.0.2.2:7946\"");
    const char *front = apr_pstrmemdup(unit_pool, hal, (size_t)(at - hal));
    const char *node = "{\"address\": \"192.0.2.2:7946\", \"http\": \"0.0.0.0:7980\"}";
    const char *rest = at + strlen("\"192.0.2.2:7946\"");
    UNIT_STR_EQ(parsed(apr_pstrcat(unit_pool, front, node, rest, NULL), &config), "ok");
    CU_ASSERT_PTR_NULL(config->https[0]);
    UNIT_STR_EQ(config->https[1], "0.0.0.0:7980");
    UNIT_STR_EQ(with("\"192.0.2.2:7946\"", "{\"address\": \"h:1\", \"http\": \"h\"}"),
                "13: \"1\": its http: \"h\" is not HOST:PORT");
    UNIT_STR_EQ(with("\"192.0.2.2:7946\"", "{\"address\": \"h:1\", \"http\": 80}"),
                "13: \"1\": its http is not a text: write it between double quotes");
}

static void two_that_would_listen_at_one_address_are_refused(void)
{
    UNIT_STR_EQ(with("192.0.2.2:7946", "192.0.2.1:7946"),
                "13: \"1\": 192.0.2.1:7946 is the address of node 0, too");
    UNIT_STR_EQ(with("\"192.0.2.2:7946\"", "{\"address\": \"h:1\", \"http\": \"h:1\"}"),
                "13: \"1\": its http is its address, h:1: use another port");
}

static void an_id_with_zeros_in_front_is_a_node_of_its_own(void)
{
    const zd_config_t *config;
    const char *at = strstr(hal, "\"1\": \"192.0.2.2:7946\"");
    const char *front = apr_pstrmemdup(unit_pool, hal, (size_t)(at - hal));
    const char *all = apr_pstrcat(unit_pool, front, "\"01\": \"192.0.2.3:7946\", ", at, NULL);
    UNIT_STR_EQ(parsed(all, &config), "ok");
    CU_ASSERT_EQUAL_FATAL(config->nodes_n, 3);
    UNIT_STR_EQ(config->nodes[2].id, "01");
}

static void a_witness_and_an_observer_never_lead(void)
{
    const zd_config_t *config;
    const char *more = "\"web\": {\"address\": \"web:1\", \"role\": \"witness\"}, "
                       "\"web2\": {\"address\": \"web2:1\", \"bind\": \"0.0.0.0:1\", "
                       "\"role\": \"observer\", \"electable\": true}";
    const char *at = strstr(hal, "\"1\": \"192");
    const char *text = apr_pstrcat(unit_pool, apr_pstrmemdup(unit_pool, hal, (size_t)(at - hal)),
                                   more, ", ", at, NULL);
    UNIT_STR_EQ(parsed(text, &config), "ok");
    CU_ASSERT_EQUAL_FATAL(config->nodes_n, 4);
    UNIT_STR_EQ(config->nodes[1].id, "1");
    int web = zd_config_node(config, HAP_STR_LIT("web"));
    int web2 = zd_config_node(config, HAP_STR_LIT("web2"));
    CU_ASSERT_TRUE_FATAL(web >= 2 && web2 >= 2);
    CU_ASSERT_EQUAL(config->nodes[web].role, HAP_MAP_WITNESS);
    CU_ASSERT_FALSE(config->nodes[web].electable || config->nodes[web2].electable);
    CU_ASSERT_PTR_NULL(config->binds[web]);
    UNIT_STR_EQ(config->binds[web2], "0.0.0.0:1");
    CU_ASSERT_EQUAL(zd_config_node(config, HAP_STR_LIT("2")), -1);
}

static void what_is_wrong_is_said_in_one_line_that_is_fit_for_a_terminal(void)
{
    UNIT_STR_EQ(with("\"timeout\":", "\"time\\nout\\u001b[2J\": 1, \"timeout\":"),
                "0: \"time?out?[2J\": is not a key of config.json, see doc/zerod.md");
    UNIT_STR_EQ(with("\"50000\",", "\"5\\\n"), "10: is not JSON: invalid escape near '\"5\\?'");
}

static void a_watchdog_is_a_device_and_needs_a_lease_of_whole_seconds(void)
{
    const zd_config_t *config;
    UNIT_STR_EQ(parsed(hal, &config), "ok");
    CU_ASSERT_PTR_NULL(config->watchdog);
    const char *old = "\"50000\",\n";
    UNIT_STR_EQ(with(old, "50000, \"watchdog\": \"/dev/watchdog\",\n"), "ok");
    UNIT_STR_EQ(with(old, "4000, \"watchdog\": \"/dev/watchdog\",\n"), "ok");
    UNIT_STR_EQ(with(old, "3999, \"watchdog\": \"/dev/watchdog\",\n"),
                "9: \"watchdog\": needs a \"timeout\" of 4000 or more: the device counts whole "
                "seconds, from half of it, and a host that is busy for less is not to be reset");
    UNIT_STR_EQ(with(old, "50000, \"watchdog\": \"watchdog\",\n"),
                "9: \"watchdog\": is not the path of a device, such as /dev/watchdog");
    UNIT_STR_EQ(with(old, "50000, \"watchdog\": true,\n"),
                "9: \"watchdog\": is not a text: write it between double quotes");
}

/* "may", or why not. */
static const char *may_run(const char *text, bool loses)
{
    const zd_config_t *config;
    hap_diag_t diag = {0, ""};
    UNIT_STR_EQ(parsed(text, &config), "ok");
    return zd_config_may_run(config, loses, &diag) ? "may" : apr_pstrdup(unit_pool, diag.why);
}

static void an_engine_that_loses_what_several_agreed_on_is_for_one_node_only(void)
{
    const char *why = "zerod was built with a libraft before 0.18, which can lose what several "
                      "nodes have agreed on: build it with a newer one, as tools/setup brings it, "
                      "or, for one host, have one of \"nodes\" and no "
                      "\"secretFile\"";
    const char *alone = "{\"appName\":\"A\",\"timeout\":5000,\"noOfRetryAttempts\":1,"
                        "\"replicaIdList\":[\"0\"],\"ensure-active-0\":\"a\","
                        "\"ensure-passive-0\":\"p\"";
    const char *named = apr_pstrcat(unit_pool, alone, ",\"nodes\":{\"0\":\"h:1\"}", NULL);
    const char *with_witness = apr_pstrcat(
        unit_pool, alone,
        ",\"nodes\":{\"0\":\"h:1\",\"web\":{\"address\":\"web:1\",\"role\":\"witness\"}},"
        "\"secretFile\":\"s\"}",
        NULL);
    const char *secret = apr_pstrcat(unit_pool, named, ",\"secretFile\":\"s\"}", NULL);
    UNIT_STR_EQ(may_run(apr_pstrcat(unit_pool, alone, "}", NULL), true), "may");
    UNIT_STR_EQ(may_run(apr_pstrcat(unit_pool, named, "}", NULL), true), "may");
    UNIT_STR_EQ(may_run(hal, true), why);
    UNIT_STR_EQ(may_run(with_witness, true), why);
    UNIT_STR_EQ(may_run(secret, true), why);
    UNIT_STR_EQ(may_run(hal, false), "may");
    UNIT_STR_EQ(may_run(with_witness, false), "may");
    UNIT_STR_EQ(may_run(secret, false), "may");
}

const unit_test_t suite_zd_config[] = {
    UNIT_TEST(hals_own_file_is_taken),
    UNIT_TEST(h1_the_missing_comma_of_hals_own_file_is_named),
    UNIT_TEST(h1_each_needed_key_is_missed_by_name),
    UNIT_TEST(a_peer_need_not_be_restarted_nor_music_located),
    UNIT_TEST(h1_what_is_twice_unknown_or_of_a_wrong_type_is_refused_by_line),
    UNIT_TEST(h1_ids_count_from_0_without_a_gap),
    UNIT_TEST(commands_are_words_not_shell),
    UNIT_TEST(nodes_say_where_daemons_are_reached),
    UNIT_TEST(h1_what_is_wrong_in_a_node_is_said_with_that_node),
    UNIT_TEST(h1_slips_of_json_have_sentences),
    UNIT_TEST(a_node_may_have_health_urls),
    UNIT_TEST(two_that_would_listen_at_one_address_are_refused),
    UNIT_TEST(an_id_with_zeros_in_front_is_a_node_of_its_own),
    UNIT_TEST(a_witness_and_an_observer_never_lead),
    UNIT_TEST(what_is_wrong_is_said_in_one_line_that_is_fit_for_a_terminal),
    UNIT_TEST(a_watchdog_is_a_device_and_needs_a_lease_of_whole_seconds),
    UNIT_TEST(an_engine_that_loses_what_several_agreed_on_is_for_one_node_only),
    UNIT_END,
};
