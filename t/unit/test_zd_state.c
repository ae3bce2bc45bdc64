/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of zd_state and zd_apply: what each command does, once, and the same everywhere. */
#include "unit.h"

#include <ctype.h>
#include <inttypes.h>

#include <apr_strings.h>

#include "golden.h"
#include "hap_envelope.h"
#include "random.h"
#include "zd_state.h"

#define UUID "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"

static zd_state_t *state;
static uint64_t seq;

/* Sends it as the only client; "END VERSION", with the sentence unless it is done. */
static const char *sent(zd_command_t command)
{
    command.client = command.client ? command.client : "c";
    command.seq = command.seq ? command.seq : ++seq;
    command.at_ms = 1760000000000 + command.seq * 1000;
    command.by = "root";
    const zd_result_t result = zd_state_apply(state, &command);
    return apr_psprintf(unit_pool, "%s %" PRIu64 "%s%s", zd_end_names[result.end], result.version,
                        result.why[0] ? ": " : "", result.why);
}

/* NAME.example:PORT, in the spelling of hosts. */
static const char *address_of(const char *name, const char *port)
{
    char *host = apr_pstrdup(unit_pool, name);
    for (char *c = host; *c; c++) {
        *c = (char)tolower((unsigned char)*c);
    }
    return apr_pstrcat(unit_pool, host, ".example:", port, NULL);
}

static const char *node(const char *id, const char *role, bool electable, uint64_t raft)
{
    return sent((zd_command_t){.what = ZD_DO_NODE_SET,
                               .node = id,
                               .address = address_of(id, "7946"),
                               .role = role,
                               .electable = electable,
                               .raft = raft});
}

static const char *member(const char *app, const char *route, uint64_t weight)
{
    return sent(
        (zd_command_t){.what = ZD_DO_MEMBER_SET,
                       .app = app,
                       .route = route,
                       .url = apr_pstrcat(unit_pool, "http://", address_of(route, "80"), NULL),
                       .weight = weight,
                       .admin = "enabled"});
}

static const char *member_without_address(const char *route)
{
    return sent((zd_command_t){.what = ZD_DO_MEMBER_SET,
                               .app = "Voting",
                               .route = route,
                               .weight = 1,
                               .admin = "enabled"});
}

static const char *lead(const char *id, uint64_t term)
{
    return sent((zd_command_t){.what = ZD_DO_LEAD, .node = id, .term = term});
}

static const char *app(const char *name, bool single)
{
    return sent((zd_command_t){.what = ZD_DO_APP_SET, .app = name, .single = single});
}

static const char *grant(const char *route, uint64_t after)
{
    return sent((zd_command_t){
        .what = ZD_DO_GRANT, .app = "Voting", .route = route, .home = "0a", .epoch = after});
}

static const char *release(uint64_t epoch)
{
    return sent((zd_command_t){
        .what = ZD_DO_RELEASE, .app = "Voting", .epoch = epoch, .why = "it was told to"});
}

static void restart(void)
{
    zd_state_free(state);
    state = zd_state_make();
    seq = 0;
}

/* Three nodes, of which web may not lead, and two applications; hostA leads. */
static void begin(void)
{
    restart();
    UNIT_STR_EQ(sent((zd_command_t){.what = ZD_DO_INIT, .uuid = UUID}), "done 1");
    UNIT_STR_EQ(node("hostA", "voter", true, 1), "done 2");
    UNIT_STR_EQ(node("hostB", "voter", true, 2), "done 3");
    UNIT_STR_EQ(node("web", "witness", false, 3), "done 4");
    UNIT_STR_EQ(lead("hostA", 1), "done 5");
    UNIT_STR_EQ(app("App", false), "done 6");
    UNIT_STR_EQ(member("App", "hostA", 1), "done 7");
    UNIT_STR_EQ(app("Voting", true), "done 8");
    UNIT_STR_EQ(member("Voting", "hostA", 1), "done 9");
    UNIT_STR_EQ(member("Voting", "hostB", 1), "done 10");
}

static const hap_map_t *map(void)
{
    const hap_map_t *read = NULL;
    hap_diag_t diag = {0, ""};
    hap_map_decode(&read, zd_state_map(state), &diag, unit_pool);
    UNIT_STR_EQ(diag.why, "");
    CU_ASSERT_PTR_NOT_NULL_FATAL(read);
    return read;
}

static const char *saved(const zd_state_t *which)
{
    hap_str_t bytes;
    hap_diag_t diag;
    CU_ASSERT_EQUAL_FATAL(zd_state_save(&bytes, which, &diag, unit_pool), APR_SUCCESS);
    return hap_str_dup(bytes, unit_pool);
}

static const char *history(unsigned i)
{
    const zd_event_t *event = zd_state_event(state, i);
    return event ? event->what : "nothing";
}

/* --- the map --- */

static void nothing_happens_before_a_cluster_begins(void)
{
    restart();
    UNIT_STR_EQ(app("App", false), "refused 0: the cluster has not begun");
    CU_ASSERT_EQUAL(zd_state_map(state).n, 0);
    UNIT_STR_EQ(sent((zd_command_t){.what = ZD_DO_INIT, .uuid = "x"}),
                "refused 0: uuid: it is not 8-4-4-4-12 hex digits in lower case");
}

static void a_cluster_begins_once(void)
{
    begin();
    UNIT_STR_EQ(sent((zd_command_t){.what = ZD_DO_INIT, .uuid = UUID}), "unchanged 10");
    UNIT_STR_EQ(
        sent((zd_command_t){.what = ZD_DO_INIT, .uuid = "1f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"}),
        "refused 10: this cluster is " UUID " already");
}

static void g2_the_version_rises_by_one_with_each_change_and_only_then(void)
{
    begin();
    CU_ASSERT_EQUAL(map()->version, 10);
    UNIT_STR_EQ(member("App", "hostA", 1), "unchanged 10");
    UNIT_STR_EQ(member("App", "hostA", 2), "done 11");
    UNIT_STR_EQ(member("App", "hostA", 0),
                "refused 11: App member hostA: its weight is not 1 to 100");
    UNIT_STR_EQ(member("App", "hostA", UINT64_C(1) << 32),
                "refused 11: App member hostA: its weight is not 1 to 100");
    CU_ASSERT_EQUAL(map()->version, 11);
    CU_ASSERT_EQUAL(map()->apps[0].members[0].weight, 2);
}

static void what_is_refused_changes_nothing(void)
{
    begin();
    const char *before = hap_str_dup(zd_state_map(state), unit_pool);
    UNIT_STR_EQ(member("Shop", "hostA", 1), "refused 10: there is no application Shop");
    UNIT_STR_EQ(node("hostC", "boss", true, 9), "refused 10: \"boss\" is no role");
    UNIT_STR_EQ(node("web", "witness", true, 3),
                "refused 10: node web: only a voter can be electable");
    UNIT_STR_EQ(sent((zd_command_t){.what = ZD_DO_NODE_REMOVE, .node = "hostA"}),
                "refused 10: node hostA is the primary: have another one lead first");
    UNIT_STR_EQ(sent((zd_command_t){.what = ZD_DO_MEMBER_SET,
                                    .app = "Voting",
                                    .route = "hostC",
                                    .url = "http://hostB.example:80",
                                    .weight = 1,
                                    .admin = "enabled"}),
                "refused 10: Voting member hostC: the host \"hostB.example\" is written "
                "\"hostb.example\"");
    UNIT_STR_EQ(hap_str_dup(zd_state_map(state), unit_pool), before);
}

static void a_member_may_have_no_address_and_get_one(void)
{
    begin();
    UNIT_STR_EQ(member_without_address("hostC"), "done 11");
    UNIT_STR_EQ(history(0), "Voting: member hostC: joins, no address, weight 1 enabled, by root");
    UNIT_STR_EQ(member_without_address("hostC"), "unchanged 11");
    UNIT_STR_EQ(member_without_address("hostB"), "done 12");
    CU_ASSERT_PTR_NULL(map()->apps[1].members[1].url);
    CU_ASSERT_PTR_NULL(map()->apps[1].members[2].url);
    UNIT_STR_EQ(grant("hostC", 0), "done 13");
    UNIT_STR_EQ(member("Voting", "hostC", 1), "done 14");
    UNIT_STR_EQ(map()->apps[1].members[2].url, "http://hostc.example:80");
    UNIT_STR_EQ(map()->apps[1].active, "hostC");
}

static void a_command_for_another_version_is_a_conflict(void)
{
    begin();
    zd_command_t command = {.what = ZD_DO_APP_SET, .app = "Shop", .expect = 9};
    UNIT_STR_EQ(sent(command), "conflict 10: the map has version 10, not 9");
    command.expect = 10;
    UNIT_STR_EQ(sent(command), "done 11");
}

/* --- who leads --- */

static void g12_who_may_not_lead_never_does(void)
{
    begin();
    UNIT_STR_EQ(lead("web", 2), "refused 10: node web may not lead: it is witness");
    UNIT_STR_EQ(lead("hostC", 2), "refused 10: there is no node hostC");
    UNIT_STR_EQ(node("hostB", "voter", false, 2), "done 11");
    UNIT_STR_EQ(lead("hostB", 2), "refused 11: node hostB may not lead: it is not electable");
    UNIT_STR_EQ(sent((zd_command_t){.what = ZD_DO_PREFER, .node = "hostB"}),
                "refused 11: node hostB may not lead: it is not electable");
    UNIT_STR_EQ(node("hostA", "voter", false, 1), "refused 11: node hostA is the primary");
}

static void a_term_has_one_primary_and_terms_only_rise(void)
{
    begin();
    UNIT_STR_EQ(lead("hostB", 1), "refused 10: hostA is the primary of term 1 already");
    UNIT_STR_EQ(lead("hostA", 1), "unchanged 10");
    UNIT_STR_EQ(lead("hostB", 3), "done 11");
    UNIT_STR_EQ(lead("hostA", 2), "refused 11: term 2 is over, it is term 3 now");
    UNIT_STR_EQ(map()->primary, "hostB");
    CU_ASSERT_EQUAL(map()->term, 3);
    UNIT_STR_EQ(history(0), "primary: hostA -> hostB, elected in term 3, by root");
}

static void g13_to_prefer_is_the_first_half_and_to_oneself_nothing(void)
{
    begin();
    UNIT_STR_EQ(sent((zd_command_t){.what = ZD_DO_PREFER, .node = "hostA"}), "unchanged 10");
    UNIT_STR_EQ(sent((zd_command_t){.what = ZD_DO_PREFER, .node = "hostB"}), "done 10");
    UNIT_STR_EQ(zd_state_cluster(state)->preferred, "hostB");
    UNIT_STR_EQ(map()->primary, "hostA");
    UNIT_STR_EQ(lead("hostB", 2), "done 11");
    CU_ASSERT_PTR_NULL(zd_state_cluster(state)->preferred);
    UNIT_STR_EQ(sent((zd_command_t){.what = ZD_DO_NODE_PRESENT, .node = "hostA"}), "done 12");
    UNIT_STR_EQ(sent((zd_command_t){.what = ZD_DO_PREFER, .node = "hostA"}),
                "refused 12: node hostA is not there");
}

static void g13_who_does_not_take_the_lead_is_not_waited_for(void)
{
    begin();
    UNIT_STR_EQ(sent((zd_command_t){.what = ZD_DO_PREFER, .node = "hostB"}), "done 10");
    UNIT_STR_EQ(lead("hostA", 1), "done 10");
    CU_ASSERT_PTR_NULL(zd_state_cluster(state)->preferred);
    UNIT_STR_EQ(history(0), "primary: hostA goes on, hostB has not taken the lead, by root");
}

static void g8_the_map_omits_who_is_gone_and_has_who_is_back(void)
{
    begin();
    UNIT_STR_EQ(sent((zd_command_t){.what = ZD_DO_NODE_PRESENT, .node = "hostA"}),
                "refused 10: node hostA is the primary");
    UNIT_STR_EQ(lead("hostB", 2), "done 11");
    UNIT_STR_EQ(sent((zd_command_t){.what = ZD_DO_NODE_PRESENT, .node = "hostA"}), "done 12");
    CU_ASSERT_PTR_NULL(hap_map_node(map(), HAP_STR_LIT("hostA")));
    UNIT_STR_EQ(sent((zd_command_t){.what = ZD_DO_NODE_PRESENT, .node = "hostA"}), "unchanged 12");
    UNIT_STR_EQ(sent((zd_command_t){.what = ZD_DO_NODE_PRESENT, .node = "hostA", .present = true}),
                "done 13");
    CU_ASSERT_PTR_NOT_NULL(hap_map_node(map(), HAP_STR_LIT("hostA")));
    UNIT_STR_EQ(sent((zd_command_t){.what = ZD_DO_NODE_PRESENT, .node = "hostC"}),
                "refused 13: there is no node hostC");
}

static void a_number_of_the_engine_is_never_anothers(void)
{
    begin();
    UNIT_STR_EQ(node("hostC", "voter", true, 3),
                "conflict 10: the number 3 was another node's, use more than 3");
    UNIT_STR_EQ(sent((zd_command_t){.what = ZD_DO_NODE_REMOVE, .node = "hostB"}), "done 11");
    UNIT_STR_EQ(node("hostC", "voter", true, 2),
                "conflict 11: the number 2 was another node's, use more than 3");
    UNIT_STR_EQ(node("hostB", "voter", true, 4), "done 12");
    UNIT_STR_EQ(node("hostB", "voter", true, 5), "done 12");
    CU_ASSERT_EQUAL(zd_cluster_node(zd_state_cluster(state), "hostB")->raft, 5);
    UNIT_STR_EQ(sent((zd_command_t){.what = ZD_DO_NODE_REMOVE, .node = "hostD"}), "unchanged 12");
}

/* --- leases --- */

static void h4_a_grant_is_made_by_who_knows_of_the_last_one(void)
{
    begin();
    UNIT_STR_EQ(grant("hostA", 0), "done 11");
    UNIT_STR_EQ(map()->apps[1].active, "hostA");
    CU_ASSERT_EQUAL(map()->apps[1].epoch, 1);
    UNIT_STR_EQ(grant("hostB", 0), "conflict 11: Voting: the last epoch is 1, not 0");
    UNIT_STR_EQ(grant("hostC", 1), "refused 11: Voting has no member hostC");
    UNIT_STR_EQ(grant("hostB", 1), "done 12");
    UNIT_STR_EQ(map()->apps[1].active, "hostB");
    UNIT_STR_EQ(history(0), "Voting: active hostA -> hostB, epoch 2, by root");
    UNIT_STR_EQ(
        sent((zd_command_t){.what = ZD_DO_GRANT, .app = "App", .route = "hostA", .home = "0a"}),
        "refused 12: App is active on all its members");
}

static void epochs_only_rise_whatever_happens_to_an_application(void)
{
    begin();
    UNIT_STR_EQ(grant("hostA", 0), "done 11");
    UNIT_STR_EQ(release(2), "conflict 11: Voting: epoch 2 is over");
    UNIT_STR_EQ(release(1), "done 12");
    UNIT_STR_EQ(history(0), "Voting: active hostA -> none, it was told to, by root");
    CU_ASSERT_PTR_NULL(map()->apps[1].active);
    UNIT_STR_EQ(release(1), "conflict 12: Voting: epoch 1 is over");
    UNIT_STR_EQ(sent((zd_command_t){.what = ZD_DO_APP_REMOVE, .app = "Voting"}), "done 13");
    UNIT_STR_EQ(app("Voting", true), "done 14");
    UNIT_STR_EQ(member("Voting", "hostB", 1), "done 15");
    UNIT_STR_EQ(grant("hostB", 0), "done 16");
    CU_ASSERT_EQUAL(map()->apps[1].epoch, 2);
}

static void what_is_active_is_not_taken_away(void)
{
    begin();
    UNIT_STR_EQ(grant("hostA", 0), "done 11");
    UNIT_STR_EQ(
        sent((zd_command_t){.what = ZD_DO_MEMBER_REMOVE, .app = "Voting", .route = "hostA"}),
        "refused 11: Voting is active on hostA");
    UNIT_STR_EQ(sent((zd_command_t){.what = ZD_DO_APP_REMOVE, .app = "Voting"}),
                "refused 11: Voting is active on hostA");
    UNIT_STR_EQ(app("Voting", false), "refused 11: Voting is active on hostA");
    UNIT_STR_EQ(
        sent((zd_command_t){.what = ZD_DO_MEMBER_REMOVE, .app = "Voting", .route = "hostB"}),
        "done 12");
    UNIT_STR_EQ(
        sent((zd_command_t){.what = ZD_DO_MEMBER_REMOVE, .app = "Voting", .route = "hostB"}),
        "unchanged 12");
}

static void a_pause_is_agreed_on_and_not_in_the_map(void)
{
    begin();
    zd_command_t pause = {.what = ZD_DO_APP_PAUSE, .app = "Voting", .paused = true};
    UNIT_STR_EQ(sent(pause), "done 10");
    UNIT_STR_EQ(sent(pause), "unchanged 10");
    CU_ASSERT_TRUE(zd_cluster_app(zd_state_cluster(state), "Voting")->paused);
    pause.paused = false;
    UNIT_STR_EQ(sent(pause), "done 10");
    UNIT_STR_EQ(history(0), "Voting: resumed, by root");
}

/* --- exactly once --- */

static void a_command_that_is_sent_again_has_its_first_result(void)
{
    begin();
    zd_command_t command = {.what = ZD_DO_GRANT,
                            .client = "x",
                            .seq = 5,
                            .app = "Voting",
                            .route = "hostA",
                            .home = "0a"};
    UNIT_STR_EQ(sent(command), "done 11");
    UNIT_STR_EQ(app("Shop", false), "done 12");
    UNIT_STR_EQ(sent(command), "done 11");
    CU_ASSERT_EQUAL(map()->apps[2].epoch, 1);
    command.seq = 4;
    UNIT_STR_EQ(sent(command),
                "repeated 12: a later command of this client was carried out already");
    command.seq = 6;
    UNIT_STR_EQ(sent(command), "conflict 12: Voting: the last epoch is 1, not 0");
}

static void of_many_clients_the_ones_seen_last_are_known(void)
{
    begin();
    zd_command_t command = {.what = ZD_DO_APP_SET, .client = "first", .seq = 1, .app = "A"};
    UNIT_STR_EQ(sent(command), "done 11");
    for (unsigned i = 0; i < ZD_CLIENTS_MAX - 2; i++) {
        sent((zd_command_t){.what = ZD_DO_INIT,
                            .client = apr_psprintf(unit_pool, "c%u", i),
                            .seq = 1,
                            .uuid = UUID});
    }
    UNIT_STR_EQ(sent(command), "done 11");
    sent((zd_command_t){.what = ZD_DO_INIT, .client = "more", .seq = 1, .uuid = UUID});
    UNIT_STR_EQ(sent(command), "done 11");
}

/* --- history --- */

static void history_keeps_the_last_events_with_their_reasons(void)
{
    begin();
    UNIT_STR_EQ(history(0),
                "Voting: member hostB: joins, http://hostb.example:80 weight 1 enabled, by root");
    for (unsigned i = 0; i < ZD_HISTORY_MAX; i++) {
        member("App", "hostA", 2 + i % 2);
    }
    CU_ASSERT_PTR_NULL(zd_state_event(state, ZD_HISTORY_MAX));
    UNIT_STR_EQ(history(ZD_HISTORY_MAX - 1),
                "App: member hostA: changed, http://hosta.example:80 weight 2 enabled, by root");
    CU_ASSERT_EQUAL(zd_state_event(state, 0)->index, zd_state_index(state));
}

static void a_reason_that_is_too_long_is_cut_between_characters(void)
{
    begin();
    char *why = apr_pcalloc(unit_pool, 2001);
    for (unsigned i = 0; i < 2000; i += 2) {
        memcpy(why + i, "\xc3\xa9", 2);
    }
    for (unsigned shift = 0; shift < 2; shift++) {
        UNIT_STR_EQ(
            sent((zd_command_t){
                .what = ZD_DO_APP_PAUSE, .app = "Voting", .paused = shift == 0, .why = why}),
            "done 10");
        hap_diag_t diag = {0, ""};
        zd_state_t *loaded = zd_state_load(hap_str(saved(state)), &diag);
        UNIT_STR_EQ(diag.why, "");
        CU_ASSERT_PTR_NOT_NULL(loaded);
        zd_state_free(loaded);
    }
}

/* --- snapshots --- */

static void a_state_is_saved_and_loaded_as_it_is(void)
{
    begin();
    grant("hostA", 0);
    sent((zd_command_t){.what = ZD_DO_PREFER, .node = "hostB"});
    sent((zd_command_t){.what = ZD_DO_NODE_PRESENT, .node = "web"});
    member("App", "hostA", 0);
    UNIT_STR_EQ(member_without_address("hostC"), "done 13");
    const char *bytes = saved(state);
    hap_diag_t diag = {0, ""};
    zd_state_t *loaded = zd_state_load(hap_str(bytes), &diag);
    UNIT_STR_EQ(diag.why, "");
    CU_ASSERT_PTR_NOT_NULL_FATAL(loaded);
    UNIT_STR_EQ(saved(loaded), bytes);
    UNIT_STR_EQ(hap_str_dup(zd_state_map(loaded), unit_pool),
                hap_str_dup(zd_state_map(state), unit_pool));
    zd_state_free(loaded);
}

static void a_snapshot_of_version_1_is_loaded_for_ever(void)
{
    const char *bytes = unit_golden("cluster-1.txt");
    hap_diag_t diag = {0, ""};
    zd_state_t *loaded = zd_state_load(hap_str(bytes), &diag);
    UNIT_STR_EQ(diag.why, "");
    CU_ASSERT_PTR_NOT_NULL_FATAL(loaded);
    UNIT_STR_EQ(zd_state_cluster(loaded)->preferred, "hostB");
    UNIT_STR_EQ(saved(loaded), bytes);
    zd_state_free(loaded);
}

static void an_empty_state_is_a_state(void)
{
    restart();
    hap_diag_t diag = {0, ""};
    zd_state_t *loaded = zd_state_load(hap_str(saved(state)), &diag);
    CU_ASSERT_PTR_NOT_NULL_FATAL(loaded);
    CU_ASSERT_EQUAL(zd_state_map(loaded).n, 0);
    zd_state_free(loaded);
}

static void no_cut_or_changed_snapshot_is_loaded(void)
{
    begin();
    const char *bytes = saved(state);
    size_t n = strlen(bytes);
    char *copy = apr_pstrmemdup(unit_pool, bytes, n);
    hap_diag_t diag;
    for (size_t i = 0; i < n; i++) {
        copy[i] ^= 1;
        CU_ASSERT_PTR_NULL(zd_state_load(hap_strn(copy, n), &diag));
        copy[i] ^= 1;
        CU_ASSERT_PTR_NULL(zd_state_load(hap_strn(copy, i), &diag));
    }
}

/* Why the state is not loaded with one piece of its snapshot replaced, under a first line that
 * fits.
 */
static const char *loaded_with(const char *old, const char *new)
{
    const hap_envelope_kind_t kind = {"zero-cluster", 1};
    const char *body = strchr(saved(state), '\n') + 1;
    const char *at = strstr(body, old);
    hap_diag_t diag = {0, ""};
    hap_str_t bytes;
    CU_ASSERT_PTR_NOT_NULL_FATAL(at);
    body = apr_pstrcat(unit_pool, apr_pstrndup(unit_pool, body, at - body), new, at + strlen(old),
                       NULL);
    hap_envelope_wrap(&bytes, &kind, hap_str(body), &diag, unit_pool);
    zd_state_t *loaded = zd_state_load(bytes, &diag);
    zd_state_free(loaded);
    return loaded ? "loaded" : apr_pstrdup(unit_pool, diag.why);
}

static void what_a_snapshot_has_wrong_is_named(void)
{
    begin();
    UNIT_STR_EQ(loaded_with("\"url\":\"http://hosta", "\"url\":1,\"x\":\"http://hosta"),
                "App member 1: \"url\" is not there, or not a text");
    UNIT_STR_EQ(loaded_with("\"seq\":10", "\"seq\":-1"),
                "snapshot: \"seq\" is not there, or not a number from 0");
    UNIT_STR_EQ(loaded_with("\"weight\":1", "\"weight\":4294967297"),
                "App member hostA: its weight is not 1 to 100");
}

/* A command of any kind, about few things, so that many of them meet. */
static zd_command_t any(unit_random_t *random)
{
    static const char *const names[] = {"hostA", "hostB", "web", "hostC"};
    static const char *const apps[] = {"App", "Voting", "Shop"};
    static const char *const clients[] = {"x", "y", "z"};
    unsigned host = (unsigned)unit_random(random, 6); /* 0: no address */
    return (zd_command_t){
        .what = (zd_do_t)unit_random(random, ZD_DO_COUNT),
        .client = clients[unit_random(random, 3)],
        .seq = ++seq - unit_random(random, 2),
        .uuid = UUID,
        .node = names[unit_random(random, 4)],
        .address = apr_psprintf(unit_pool, "h%u.example:1", (unsigned)unit_random(random, 5)),
        .role = hap_map_role_names[unit_random(random, HAP_MAP_ROLE_COUNT)],
        .electable = unit_random(random, 2),
        .present = unit_random(random, 2),
        .raft = unit_random(random, 100),
        .term = unit_random(random, 50),
        .app = apps[unit_random(random, 3)],
        .single = unit_random(random, 2),
        .route = names[unit_random(random, 4)],
        .url = host ? apr_psprintf(unit_pool, "http://h%u.example:1", host) : NULL,
        .weight = unit_random(random, 102),
        .admin = hap_admin_names[unit_random(random, HAP_ADMIN_COUNT)],
        .epoch = unit_random(random, 8),
        .paused = unit_random(random, 2),
        .why = "chance",
    };
}

/* What has to hold between any two commands that follow one another. */
static void check_step(const hap_map_t *before, uint64_t epoch, const zd_cluster_t *cluster)
{
    const hap_map_t *now = map();
    CU_ASSERT_TRUE(now->version >= before->version && now->version <= before->version + 1);
    CU_ASSERT_TRUE(now->term >= before->term && cluster->epoch >= epoch);
    CU_ASSERT_TRUE(now->term > before->term || !before->primary ||
                   (now->primary && strcmp(now->primary, before->primary) == 0));
}

/* Two states, one of which is saved and loaded now and then, are the same after the same commands.
 */
static void any_commands_give_the_same_state_through_any_snapshots(void)
{
    enum { ROUNDS = 20, COMMANDS = 300 };
    unit_random_t random = {1};
    for (int round = 0; round < ROUNDS; round++) {
        begin();
        hap_diag_t diag;
        zd_state_t *other = zd_state_load(hap_str(saved(state)), &diag);
        for (int i = 0; i < COMMANDS; i++) {
            const hap_map_t *before = map();
            uint64_t epoch = zd_state_cluster(state)->epoch;
            zd_command_t command = any(&random);
            command.by = "chance";
            zd_state_apply(state, &command);
            zd_state_apply(other, &command);
            check_step(before, epoch, zd_state_cluster(state));
            if (unit_random(&random, 50) == 0) {
                zd_state_t *again = zd_state_load(hap_str(saved(other)), &diag);
                CU_ASSERT_PTR_NOT_NULL_FATAL(again);
                zd_state_free(other);
                other = again;
            }
        }
        CU_ASSERT_TRUE(strcmp(saved(state), saved(other)) == 0);
        zd_state_free(other);
    }
    zd_state_free(state);
    state = NULL;
}

const unit_test_t suite_zd_state[] = {
    UNIT_TEST(nothing_happens_before_a_cluster_begins),
    UNIT_TEST(a_cluster_begins_once),
    UNIT_TEST(g2_the_version_rises_by_one_with_each_change_and_only_then),
    UNIT_TEST(what_is_refused_changes_nothing),
    UNIT_TEST(a_member_may_have_no_address_and_get_one),
    UNIT_TEST(a_command_for_another_version_is_a_conflict),
    UNIT_TEST(g12_who_may_not_lead_never_does),
    UNIT_TEST(a_term_has_one_primary_and_terms_only_rise),
    UNIT_TEST(g13_to_prefer_is_the_first_half_and_to_oneself_nothing),
    UNIT_TEST(g13_who_does_not_take_the_lead_is_not_waited_for),
    UNIT_TEST(g8_the_map_omits_who_is_gone_and_has_who_is_back),
    UNIT_TEST(a_number_of_the_engine_is_never_anothers),
    UNIT_TEST(h4_a_grant_is_made_by_who_knows_of_the_last_one),
    UNIT_TEST(epochs_only_rise_whatever_happens_to_an_application),
    UNIT_TEST(what_is_active_is_not_taken_away),
    UNIT_TEST(a_pause_is_agreed_on_and_not_in_the_map),
    UNIT_TEST(a_command_that_is_sent_again_has_its_first_result),
    UNIT_TEST(of_many_clients_the_ones_seen_last_are_known),
    UNIT_TEST(history_keeps_the_last_events_with_their_reasons),
    UNIT_TEST(a_reason_that_is_too_long_is_cut_between_characters),
    UNIT_TEST(a_state_is_saved_and_loaded_as_it_is),
    UNIT_TEST(a_snapshot_of_version_1_is_loaded_for_ever),
    UNIT_TEST(an_empty_state_is_a_state),
    UNIT_TEST(no_cut_or_changed_snapshot_is_loaded),
    UNIT_TEST(what_a_snapshot_has_wrong_is_named),
    UNIT_TEST(any_commands_give_the_same_state_through_any_snapshots),
    UNIT_END,
};
