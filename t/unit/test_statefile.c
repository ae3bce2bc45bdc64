/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hap_statefile and of the first line that hap_envelope writes. */
#include "unit.h"

#include <stdlib.h>

#include <apr_strings.h>

#include "golden.h"
#include "hap_envelope.h"
#include "hap_statefile.h"

static const apr_time_t SECOND = 1000000;
static const apr_time_t NOON = 1760000000000000;

enum { ROOM = 16 };

static hap_state_member_t member(const char *app, const char *route)
{
    return (hap_state_member_t){
        .app = hap_str(app),
        .route = hap_str(route),
        .admin_since = NOON - 3600 * SECOND,
        .health = HAP_HEALTH_UP,
        .health_since = NOON - 600 * SECOND,
        .checked = NOON - SECOND,
        .window_ms = 3500,
        .health_why = hap_str("2 of 2 probes passed"),
    };
}

static const char *encoded(hap_state_member_t *members, size_t n)
{
    const hap_state_t state = {NOON, members, n};
    hap_str_t text;
    hap_diag_t diag;
    if (hap_statefile_encode(&text, &state, &diag, unit_pool) != APR_SUCCESS) {
        return apr_pstrdup(unit_pool, diag.why);
    }
    return hap_str_dup(text, unit_pool);
}

/* Three members that use every field. */
static const char *sample(void)
{
    hap_state_member_t members[] = {member("App", "hostB"), member("Shop", "hostA"),
                                    member("App", "hostA")};
    members[0].health = HAP_HEALTH_DOWN;
    members[0].health_why = hap_str("connect refused, 3 of 3 probes failed");
    members[1].admin = HAP_ADMIN_STANDBY;
    members[1].configured = HAP_ADMIN_STANDBY;
    members[1].health = HAP_HEALTH_UNKNOWN;
    members[1].checked = 0;
    members[1].health_why = hap_str("");
    members[2].admin = HAP_ADMIN_DRAIN;
    members[2].origin = HAP_SOURCE_OPERATOR;
    members[2].admin_why = hap_str("says \"caf\xc3\xa9\" \\ new\nline");
    return encoded(members, 3);
}

static const char *decoded_from(hap_str_t text, hap_state_t *state)
{
    hap_diag_t diag = {0, ""};
    apr_status_t rv = hap_statefile_decode(state, text, ROOM, &diag, unit_pool);
    return rv == APR_SUCCESS ? "ok" : apr_psprintf(unit_pool, "%d: %s", diag.line, diag.why);
}

static const char *decoded(const char *text)
{
    hap_state_t state;
    return decoded_from(hap_str(text), &state);
}

/* A body with a first line that fits it. */
static hap_str_t wrapped(hap_str_t body)
{
    const hap_envelope_kind_t kind = {"zero-state", 1};
    hap_diag_t diag;
    hap_str_t text;
    CU_ASSERT_EQUAL_FATAL(hap_envelope_wrap(&text, &kind, body, &diag, unit_pool), APR_SUCCESS);
    return text;
}

static const char *body_decoded(const char *body)
{
    hap_state_t state;
    return decoded_from(wrapped(hap_str(body)), &state);
}

/* The sample with one piece of its body replaced, and a first line that fits. */
static const char *with(const char *old, const char *new)
{
    const char *body = strchr(sample(), '\n') + 1;
    const char *at = strstr(body, old);
    CU_ASSERT_PTR_NOT_NULL_FATAL(at);
    return body_decoded(apr_pstrcat(unit_pool, apr_pstrndup(unit_pool, body, at - body), new,
                                    at + strlen(old), NULL));
}

static void the_format_is_the_golden_file(void)
{
    UNIT_STR_EQ(sample(), unit_golden("state-1.txt"));
}

static void what_was_encoded_comes_back_field_by_field(void)
{
    hap_state_t state;
    UNIT_STR_EQ(decoded_from(hap_str(sample()), &state), "ok");
    CU_ASSERT_EQUAL_FATAL(state.n, 3);
    CU_ASSERT_EQUAL(state.saved, NOON);
    const hap_state_member_t *m = &state.members[0];
    UNIT_STR_EQ(hap_str_dup(m->app, unit_pool), "App");
    UNIT_STR_EQ(hap_str_dup(m->route, unit_pool), "hostA");
    CU_ASSERT_EQUAL(m->admin, HAP_ADMIN_DRAIN);
    CU_ASSERT_EQUAL(m->origin, HAP_SOURCE_OPERATOR);
    CU_ASSERT_EQUAL(m->configured, HAP_ADMIN_ENABLED);
    CU_ASSERT_EQUAL(m->admin_since, NOON - 3600 * SECOND);
    UNIT_STR_EQ(hap_str_dup(m->admin_why, unit_pool), "says \"caf\xc3\xa9\" \\ new\nline");
    CU_ASSERT_EQUAL(m->health, HAP_HEALTH_UP);
    CU_ASSERT_EQUAL(m->health_since, NOON - 600 * SECOND);
    CU_ASSERT_EQUAL(m->checked, NOON - SECOND);
    CU_ASSERT_EQUAL(m->window_ms, 3500);
    UNIT_STR_EQ(hap_str_dup(m->health_why, unit_pool), "2 of 2 probes passed");
    CU_ASSERT_EQUAL(state.members[1].health, HAP_HEALTH_DOWN);
    CU_ASSERT_EQUAL(state.members[2].admin, HAP_ADMIN_STANDBY);
}

static void the_same_members_in_any_order_give_the_same_bytes(void)
{
    hap_state_member_t one[] = {member("A", "x"), member("A", "y"), member("B", "a")};
    hap_state_member_t two[] = {member("B", "a"), member("A", "y"), member("A", "x")};
    UNIT_STR_EQ(encoded(one, 3), encoded(two, 3));
}

static void a_state_without_members_is_a_state(void)
{
    hap_state_t state;
    UNIT_STR_EQ(decoded_from(hap_str(encoded(NULL, 0)), &state), "ok");
    CU_ASSERT_EQUAL(state.n, 0);
}

static void encoding_refuses_what_could_not_be_read_back(void)
{
    hap_state_member_t twice[] = {member("A", "x"), member("A", "x")};
    UNIT_STR_EQ(encoded(twice, 2), "member x of A: it is there twice");
    hap_state_member_t m = member("A", "");
    UNIT_STR_EQ(encoded(&m, 1), "member  of A: a route takes 1 to 63 bytes");
    m = member("", "x");
    UNIT_STR_EQ(encoded(&m, 1), "member x of : a balancer's name takes 1 to 127 bytes");
    m = member("A", "x");
    m.checked = -1;
    UNIT_STR_EQ(encoded(&m, 1), "member x of A: a time is before 1970 or after 33658");
    m = member("A", "x");
    m.window_ms = -1;
    UNIT_STR_EQ(encoded(&m, 1), "member x of A: a check's window takes 0 to 1000000000 ms");
    m = member("A", "x");
    m.admin = (hap_admin_t)17;
    UNIT_STR_EQ(encoded(&m, 1), "member x of A: a state is none of those that there are");
}

static void a_long_reason_is_cut_and_still_saved(void)
{
    hap_state_member_t m = member("A", "x");
    char *why = apr_pcalloc(unit_pool, 401);
    memset(why, '"', 400);
    m.admin_why = hap_str(why);
    hap_state_t state;
    UNIT_STR_EQ(decoded_from(hap_str(encoded(&m, 1)), &state), "ok");
    CU_ASSERT_EQUAL(state.members[0].admin_why.n, 255);
}

static void a_file_of_another_kind_or_version_is_refused(void)
{
    UNIT_STR_EQ(decoded(""), "1: this is no zero-state file: its first line is not "
                             "`zero-state 1 LENGTH SHA256`");
    UNIT_STR_EQ(decoded("zero-map 1 0 x\n"), decoded(""));
    UNIT_STR_EQ(decoded("zero-state 01 0 x\n"), decoded(""));
    UNIT_STR_EQ(decoded("zero-state 1 00 x\n"), decoded(""));
    UNIT_STR_EQ(decoded("zero-state 1 x x\n"), decoded(""));
    UNIT_STR_EQ(decoded("zero-state 2 anything else\n"),
                "1: version 2 of zero-state files is unknown here, which is version 1");
}

static void a_cut_file_says_how_much_is_left(void)
{
    const char *text = sample();
    size_t head = (size_t)(strchr(text, '\n') - text) + 1;
    UNIT_STR_EQ(decoded(apr_pstrndup(unit_pool, text, head + 10)),
                apr_psprintf(unit_pool, "1: the file was cut: 10 of %d bytes follow its first line",
                             (int)(strlen(text) - head)));
    UNIT_STR_EQ(decoded(apr_pstrcat(unit_pool, text, "x", NULL)),
                "1: 1 bytes follow the end of the file's content");
}

static void a_file_cut_at_any_length_is_refused(void)
{
    const char *text = sample();
    int accepted = 0;
    for (size_t n = 0; n < strlen(text); n++) {
        hap_state_t state;
        /* A copy of its own size, so that a sanitizer sees any byte read past it. */
        char *cut = malloc(n ? n : 1);
        CU_ASSERT_PTR_NOT_NULL_FATAL(cut);
        memcpy(cut, text, n);
        accepted += strcmp(decoded_from(hap_strn(cut, n), &state), "ok") == 0;
        free(cut);
    }
    CU_ASSERT_EQUAL(accepted, 0);
}

static void a_file_with_any_one_bit_flipped_is_refused(void)
{
    char *text = apr_pstrdup(unit_pool, sample());
    size_t n = strlen(text);
    int accepted = 0;
    for (size_t bit = 0; bit < n * 8; bit++) {
        hap_state_t state;
        text[bit / 8] ^= (char)(1 << bit % 8);
        accepted += strcmp(decoded_from(hap_strn(text, n), &state), "ok") == 0;
        text[bit / 8] ^= (char)(1 << bit % 8);
    }
    CU_ASSERT_EQUAL(accepted, 0);
    UNIT_STR_EQ(decoded(text), "ok");
}

/* The first line hides damage from the lines below it; here they stand alone. What is accepted has
 * to have one spelling: written again it is the same bytes. */
static void a_body_with_any_one_bit_flipped_is_refused_or_means_what_it_says(void)
{
    char *body = apr_pstrdup(unit_pool, strchr(sample(), '\n') + 1);
    size_t n = strlen(body);
    int refused = 0;
    for (size_t bit = 0; bit < n * 8; bit++) {
        body[bit / 8] ^= (char)(1 << bit % 8);
        hap_str_t text = wrapped(hap_strn(body, n));
        hap_state_t state;
        hap_str_t again;
        hap_diag_t diag;
        if (strcmp(decoded_from(text, &state), "ok") != 0) {
            refused++;
        } else if (hap_statefile_encode(&again, &state, &diag, unit_pool) != APR_SUCCESS ||
                   !hap_str_eq(text, again)) {
            CU_FAIL("a second spelling was accepted");
        }
        body[bit / 8] ^= (char)(1 << bit % 8);
    }
    CU_ASSERT_TRUE(refused > (int)n);
}

static void members_twice_or_out_of_order_are_refused_by_line(void)
{
    const char *head = apr_pstrcat(unit_pool, "saved 1\n", NULL);
    hap_state_member_t a = member("A", "x");
    hap_state_member_t b = member("A", "y");
    const char *line_a = strstr(encoded(&a, 1), "member ");
    const char *line_b = strstr(encoded(&b, 1), "member ");
    UNIT_STR_EQ(body_decoded(apr_pstrcat(unit_pool, head, line_a, line_b, NULL)), "ok");
    UNIT_STR_EQ(body_decoded(apr_pstrcat(unit_pool, head, line_b, line_a, NULL)),
                "4: the member is out of order");
    UNIT_STR_EQ(body_decoded(apr_pstrcat(unit_pool, head, line_a, line_a, NULL)),
                "4: the member is there twice");
    UNIT_STR_EQ(body_decoded(apr_pstrcat(unit_pool, line_a, head, NULL)),
                "2: saved is not where it belongs");
}

static void a_wrong_field_is_refused_by_line_and_name(void)
{
    UNIT_STR_EQ(with("admin=drain", "admin=drained"), "3: admin= is none of the words for it");
    UNIT_STR_EQ(with("window-ms=3500", "window-ms=03500"), "3: window-ms= is not a number");
    UNIT_STR_EQ(with("window-ms=3500", "window-ms=-1"), "3: window-ms= is not a number");
    UNIT_STR_EQ(with("window-ms=3500", "window-ms=1000000001"),
                "3: window-ms= is too large a number");
    UNIT_STR_EQ(with("checked=1759999999000000", "checked=9999999999999999999"),
                "3: checked= is too large a number");
    UNIT_STR_EQ(with("window-ms=3500", "window-ms=99999999999999999999999"),
                "3: window-ms= is too large a number");
    UNIT_STR_EQ(with(" origin=operator", ""), "3: origin= is not where it belongs");
    UNIT_STR_EQ(with("\"hostA\"", "hostA"), "3: route= is not in quotes");
    UNIT_STR_EQ(with("\"hostA\"", "\"\""), "3: the member's name is empty");
    UNIT_STR_EQ(with("passed\"", "passed"), "3: health-why= has no closing quote");
    UNIT_STR_EQ(with("passed\"", "passed\" "), "3: there is more behind the last field");
    UNIT_STR_EQ(with("passed\"", "passed\\x41\""),
                "3: health-why= has a byte or an escape that is never written");
    UNIT_STR_EQ(with("passed\"", "passed\\x0A\""),
                "3: health-why= has a byte or an escape that is never written");
    UNIT_STR_EQ(with("passed\"", "passed\\"),
                "3: health-why= has a byte or an escape that is never written");
}

static void a_field_that_is_too_long_is_refused(void)
{
    char *name = apr_pcalloc(unit_pool, 300);
    memset(name, 'x', 64);
    UNIT_STR_EQ(with("hostA", name), "3: route= is too long");
    memset(name, 'x', 128);
    UNIT_STR_EQ(with("App", name), "3: member app= is too long");
    memset(name, 'x', 256);
    UNIT_STR_EQ(with("2 of 2 probes passed", name), "3: health-why= is too long");
}

static void a_last_line_without_its_end_is_refused(void)
{
    UNIT_STR_EQ(body_decoded("saved 1"), "2: the last line does not end");
    UNIT_STR_EQ(body_decoded(""), "2: the last line does not end");
    UNIT_STR_EQ(body_decoded("saved 1\n\n"), "3: member app= is not where it belongs");
}

static void more_members_than_there_is_room_for_are_refused(void)
{
    hap_state_t state = {.n = 77};
    hap_diag_t diag;
    CU_ASSERT_EQUAL(hap_statefile_decode(&state, hap_str(sample()), 2, &diag, unit_pool),
                    APR_EINVAL);
    UNIT_STR_EQ(diag.why, "the file has 3 members, but there is room for 2: raise HAMaxMembers");
    CU_ASSERT_EQUAL(state.n, 77);
}

/* --- coming back --- */

static hap_state_restored_t restored(hap_state_member_t saved, hap_admin_t configured,
                                     apr_time_t now)
{
    hap_state_restored_t result;
    hap_statefile_restore(&result, &saved, configured, now);
    return result;
}

static void a_fresh_verdict_survives_a_restart_with_its_age(void)
{
    hap_state_member_t saved = member("A", "x");
    saved.health = HAP_HEALTH_DOWN;
    hap_state_restored_t r = restored(saved, HAP_ADMIN_ENABLED, NOON + 2500 * 1000);
    CU_ASSERT_TRUE(r.health_kept);
    CU_ASSERT_EQUAL(r.member.health, HAP_HEALTH_DOWN);
    CU_ASSERT_EQUAL(r.member.health_since, NOON - 600 * SECOND);
}

static void a_verdict_older_than_its_checks_window_is_unknown(void)
{
    apr_time_t now = NOON + 2500 * 1000 + 1;
    hap_state_restored_t r = restored(member("A", "x"), HAP_ADMIN_ENABLED, now);
    CU_ASSERT_FALSE(r.health_kept);
    CU_ASSERT_EQUAL(r.member.health, HAP_HEALTH_UNKNOWN);
    CU_ASSERT_EQUAL(r.member.health_since, now);
    UNIT_STR_EQ(hap_str_dup(r.member.health_why, unit_pool), "its last check is too long ago");
}

static void a_verdict_that_was_never_checked_is_unknown(void)
{
    hap_state_member_t saved = member("A", "x");
    saved.checked = 0;
    hap_state_restored_t r = restored(saved, HAP_ADMIN_ENABLED, 1);
    CU_ASSERT_EQUAL(r.member.health, HAP_HEALTH_UNKNOWN);
    UNIT_STR_EQ(hap_str_dup(r.member.health_why, unit_pool), "it was never checked");
}

static void a_clock_set_back_a_little_keeps_the_verdict(void)
{
    apr_time_t now = NOON - 3 * SECOND;
    hap_state_restored_t r = restored(member("A", "x"), HAP_ADMIN_ENABLED, now);
    CU_ASSERT_EQUAL(r.member.health, HAP_HEALTH_UP);
    CU_ASSERT_EQUAL(r.member.checked, now);
}

static void a_clock_set_back_far_makes_the_verdict_unknown_and_no_time_later_than_now(void)
{
    apr_time_t now = NOON - 7200 * SECOND;
    hap_state_restored_t r = restored(member("A", "x"), HAP_ADMIN_ENABLED, now);
    CU_ASSERT_EQUAL(r.member.health, HAP_HEALTH_UNKNOWN);
    CU_ASSERT_EQUAL(r.member.health_since, now);
    CU_ASSERT_EQUAL(r.member.admin_since, now);
    UNIT_STR_EQ(hap_str_dup(r.member.health_why, unit_pool),
                "the clock was set back since its last check");
}

static void what_an_operator_set_survives_a_restart(void)
{
    hap_state_member_t saved = member("A", "x");
    saved.admin = HAP_ADMIN_DRAIN;
    saved.origin = HAP_SOURCE_OPERATOR;
    saved.admin_why = hap_str("upgrade");
    hap_state_restored_t r = restored(saved, HAP_ADMIN_ENABLED, NOON + 86400 * SECOND);
    CU_ASSERT_TRUE(r.admin_kept);
    CU_ASSERT_EQUAL(r.member.admin, HAP_ADMIN_DRAIN);
    CU_ASSERT_EQUAL(r.member.origin, HAP_SOURCE_OPERATOR);
    CU_ASSERT_EQUAL(r.member.admin_since, NOON - 3600 * SECOND);
    UNIT_STR_EQ(hap_str_dup(r.member.admin_why, unit_pool), "upgrade");
}

static void an_edited_configuration_wins_over_what_an_operator_set(void)
{
    hap_state_member_t saved = member("A", "x");
    saved.admin = HAP_ADMIN_DRAIN;
    saved.origin = HAP_SOURCE_OPERATOR;
    hap_state_restored_t r = restored(saved, HAP_ADMIN_STANDBY, NOON);
    CU_ASSERT_FALSE(r.admin_kept);
    CU_ASSERT_EQUAL(r.member.admin, HAP_ADMIN_STANDBY);
    CU_ASSERT_EQUAL(r.member.configured, HAP_ADMIN_STANDBY);
    CU_ASSERT_EQUAL(r.member.origin, HAP_SOURCE_CONFIG);
    CU_ASSERT_EQUAL(r.member.admin_since, NOON);
}

static void an_unchanged_configuration_keeps_its_since(void)
{
    hap_state_restored_t r = restored(member("A", "x"), HAP_ADMIN_ENABLED, NOON);
    CU_ASSERT_TRUE(r.admin_kept);
    CU_ASSERT_EQUAL(r.member.admin_since, NOON - 3600 * SECOND);
}

const unit_test_t suite_statefile[] = {
    UNIT_TEST(the_format_is_the_golden_file),
    UNIT_TEST(what_was_encoded_comes_back_field_by_field),
    UNIT_TEST(the_same_members_in_any_order_give_the_same_bytes),
    UNIT_TEST(a_state_without_members_is_a_state),
    UNIT_TEST(encoding_refuses_what_could_not_be_read_back),
    UNIT_TEST(a_long_reason_is_cut_and_still_saved),
    UNIT_TEST(a_file_of_another_kind_or_version_is_refused),
    UNIT_TEST(a_cut_file_says_how_much_is_left),
    UNIT_TEST(a_file_cut_at_any_length_is_refused),
    UNIT_TEST(a_file_with_any_one_bit_flipped_is_refused),
    UNIT_TEST(a_body_with_any_one_bit_flipped_is_refused_or_means_what_it_says),
    UNIT_TEST(members_twice_or_out_of_order_are_refused_by_line),
    UNIT_TEST(a_wrong_field_is_refused_by_line_and_name),
    UNIT_TEST(a_field_that_is_too_long_is_refused),
    UNIT_TEST(a_last_line_without_its_end_is_refused),
    UNIT_TEST(more_members_than_there_is_room_for_are_refused),
    UNIT_TEST(a_fresh_verdict_survives_a_restart_with_its_age),
    UNIT_TEST(a_verdict_older_than_its_checks_window_is_unknown),
    UNIT_TEST(a_verdict_that_was_never_checked_is_unknown),
    UNIT_TEST(a_clock_set_back_a_little_keeps_the_verdict),
    UNIT_TEST(a_clock_set_back_far_makes_the_verdict_unknown_and_no_time_later_than_now),
    UNIT_TEST(what_an_operator_set_survives_a_restart),
    UNIT_TEST(an_edited_configuration_wins_over_what_an_operator_set),
    UNIT_TEST(an_unchanged_configuration_keeps_its_since),
    UNIT_END,
};
