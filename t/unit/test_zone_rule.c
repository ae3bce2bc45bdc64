/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of hap_zone_rule: the table of its header, cell by cell. */
#include "unit.h"

#include <apr_strings.h>

#include "hap_zone_rule.h"

enum { NOW_S = 1000000, TTL_S = 1800, AGE_S = 100, TIE = 70000 };

/* What is stored: epoch 5, version 10, hostA's. */
enum { STORED_TIE = 50 };

static hap_zone_record_t stored(void)
{
    return (hap_zone_record_t){
        .epoch = 5,
        .version = 10,
        .ttl_s = TTL_S,
        .stored_s = NOW_S - AGE_S,
        .tie = STORED_TIE,
        .owner = hap_str("hostA"),
        .data = hap_str("old"),
    };
}

static hap_zone_record_t tombstone(void)
{
    return (hap_zone_record_t){
        .epoch = 5, .ttl_s = TTL_S, .stored_s = NOW_S - AGE_S, .tombstone = true};
}

static hap_zone_wish_t wish(hap_zone_act_t act)
{
    return (hap_zone_wish_t){
        .act = act,
        .epoch = 5,
        .version = 11,
        .ttl_s = TTL_S,
        .owner = hap_str("hostA"),
        .data = hap_str("new"),
        .now_s = NOW_S,
        .tie = TIE,
    };
}

/* "STORE 6.10 hostB old", "STORE 6.0 gone", "KEEP". */
static const char *show(hap_zone_verdict_t verdict, const hap_zone_record_t *next)
{
#define HAP_ZONE_VERDICT(name, why) #name,
    static const char *const names[] = {HAP_ZONE_VERDICTS(HAP_ZONE_VERDICT)};
#undef HAP_ZONE_VERDICT
    if (verdict != HAP_ZONE_STORE) {
        return names[verdict];
    }
    return apr_psprintf(unit_pool, "STORE %d.%d%s%.*s%s%.*s%s", (int)next->epoch,
                        (int)next->version, next->owner.n ? " " : "", HAP_STR_ARG(next->owner),
                        next->data.n ? " " : "", HAP_STR_ARG(next->data),
                        next->tombstone ? " gone" : "");
}

static const char *decided(const hap_zone_record_t *now, const hap_zone_wish_t *what)
{
    hap_zone_record_t next = {.epoch = 77};
    hap_zone_verdict_t verdict = hap_zone_decide(&next, now, what);
    if (verdict != HAP_ZONE_STORE) {
        CU_ASSERT_EQUAL(next.epoch, 77);
        return show(verdict, NULL);
    }
    CU_ASSERT_EQUAL(next.stored_s, NOW_S);
    CU_ASSERT_TRUE(!now || hap_zone_compare(&next, now) > 0);
    return show(verdict, &next);
}

/* --- the table --- */

/* The columns, with each way into one that has several. */
static const struct {
    const char *name;
    bool none;
    bool tombstone;
    uint64_t epoch; /* of the wish */
    const char *owner;
} columns[] = {
    {"none", true, false, 3, "hostA"},
    {"none, nothing known", true, false, 0, "hostA"},
    {"tombstone", false, true, 5, "hostA"},
    {"tombstone, newer known", false, true, 9, "hostB"},
    {"e == w", false, false, 5, "hostA"},
    {"w == 0 and the same owner", false, false, 0, "hostA"},
    {"e == w, another owner", false, false, 5, "hostB"},
    {"e > w, the same owner", false, false, 4, "hostA"},
    {"e > w, another owner", false, false, 4, "hostB"},
    {"w == 0 and another owner", false, false, 0, "hostB"},
    {"e < w", false, false, 9, "hostA"},
    {"e < w, another owner", false, false, 9, "hostB"},
};

enum { COLUMNS = sizeof(columns) / sizeof(columns[0]) };

/* One row for each way to wish something. */
typedef struct row_t {
    hap_zone_act_t act;
    uint64_t version;
    bool fresh;
    bool alone;
    const char *want[COLUMNS];
} row_t;

#define ALL_GONE "GONE", "GONE"

static const row_t rows[] = {
    {HAP_ZONE_LOOK,
     0,
     false,
     false,
     {"NONE", "NONE", ALL_GONE, "KEEP", "KEEP", "KEEP", "KEEP", "KEEP", "KEEP", "LOST", "LOST"}},
    {HAP_ZONE_LOOK,
     10,
     false,
     false,
     {"NONE", "NONE", ALL_GONE, "KEEP", "KEEP", "KEEP", "KEEP", "KEEP", "KEEP", "LOST", "LOST"}},
    {HAP_ZONE_LOOK,
     11,
     false,
     false,
     {"NONE", "NONE", ALL_GONE, "LOST", "KEEP", "LOST", "KEEP", "KEEP", "KEEP", "LOST", "LOST"}},
    {HAP_ZONE_ISSUE,
     0,
     false,
     false,
     {"UNISSUED", "UNISSUED", ALL_GONE, "KEEP", "KEEP", "KEEP", "KEEP", "KEEP", "KEEP", "KEEP",
      "KEEP"}},
    {HAP_ZONE_ISSUE,
     0,
     true,
     false,
     {"STORE 3.0 hostA", "STORE 1.0 hostA", ALL_GONE, "KEEP", "KEEP", "KEEP", "KEEP", "KEEP",
      "KEEP", "KEEP", "KEEP"}},
    {HAP_ZONE_PUT,
     11,
     false,
     false,
     {"UNISSUED", "UNISSUED", ALL_GONE, "STORE 5.11 hostA new", "FENCED", "FENCED", "FENCED",
      "FENCED", "FENCED", "STORE 9.11 hostA new", "STORE 9.11 hostB new"}},
    {HAP_ZONE_PUT,
     10,
     true,
     false,
     {"STORE 3.10 hostA new", "STORE 1.10 hostA new", ALL_GONE, "KEEP", "FENCED", "FENCED",
      "FENCED", "FENCED", "FENCED", "STORE 9.10 hostA new", "STORE 9.10 hostB new"}},
    {HAP_ZONE_PUT,
     11,
     true,
     true,
     {"STORE 3.11 hostA new", "STORE 1.11 hostA new", ALL_GONE, "UNMET", "UNMET", "UNMET", "UNMET",
      "UNMET", "UNMET", "UNMET", "UNMET"}},
    {HAP_ZONE_PUT,
     11,
     false,
     true,
     {"UNISSUED", "UNISSUED", ALL_GONE, "UNMET", "UNMET", "UNMET", "UNMET", "UNMET", "UNMET",
      "UNMET", "UNMET"}},
    {HAP_ZONE_TOUCH,
     0,
     false,
     false,
     {"NONE", "NONE", ALL_GONE, "KEEP", "FENCED", "FENCED", "FENCED", "FENCED", "FENCED", "NONE",
      "NONE"}},
    {HAP_ZONE_DEL,
     0,
     false,
     false,
     {"STORE 4.0 gone", "STORE 1.0 gone", "KEEP", "STORE 10.0 gone", "STORE 6.0 gone",
      "STORE 6.0 gone", "STORE 6.0 gone", "STORE 6.0 gone", "STORE 6.0 gone", "STORE 6.0 gone",
      "STORE 10.0 gone", "STORE 10.0 gone"}},
    {HAP_ZONE_TAKE,
     10,
     false,
     false,
     {"NONE", "NONE", ALL_GONE, "KEEP", "KEEP", "STORE 6.10 hostB old", "KEEP", "FENCED", "FENCED",
      "LOST", "LOST"}},
    {HAP_ZONE_TAKE,
     11,
     false,
     false,
     {"NONE", "NONE", ALL_GONE, "LOST", "KEEP", "LOST", "KEEP", "FENCED", "FENCED", "LOST",
      "LOST"}},
};

enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static const char *cell(const row_t *row, int column)
{
    hap_zone_record_t now = columns[column].tombstone ? tombstone() : stored();
    hap_zone_wish_t what = wish(row->act);
    what.version = row->version;
    what.fresh = row->fresh;
    what.alone = row->alone;
    what.epoch = columns[column].epoch;
    what.owner = hap_str(columns[column].owner);
    return decided(columns[column].none ? NULL : &now, &what);
}

static void each_cell_of_the_table_is_as_the_header_has_it(void)
{
    for (int i = 0; i < ROWS; i++) {
        for (int j = 0; j < COLUMNS; j++) {
            const char *where = apr_psprintf(unit_pool, "row %d, %s: ", i, columns[j].name);
            UNIT_STR_EQ(apr_pstrcat(unit_pool, where, cell(&rows[i], j), NULL),
                        apr_pstrcat(unit_pool, where, rows[i].want[j], NULL));
        }
    }
}

/* B has had the session since, and A has it again: what A answers to a request of before is from
 * its old memory. */
static void a_state_sent_under_no_epoch_is_of_the_first_one(void)
{
    hap_zone_record_t now = stored();
    hap_zone_wish_t put = wish(HAP_ZONE_PUT);
    put.epoch = 0;
    UNIT_STR_EQ(decided(&now, &put), "FENCED");
    now.epoch = 1;
    UNIT_STR_EQ(decided(&now, &put), "STORE 1.11 hostA new");
    put.owner = hap_str("hostB");
    UNIT_STR_EQ(decided(&now, &put), "FENCED");
}

/* --- what is stored --- */

static hap_zone_record_t made(const hap_zone_record_t *now, const hap_zone_wish_t *what)
{
    hap_zone_record_t next = {.epoch = 0};
    CU_ASSERT_EQUAL(hap_zone_decide(&next, now, what), HAP_ZONE_STORE);
    return next;
}

static void a_put_says_how_long_the_record_lives(void)
{
    hap_zone_record_t now = stored();
    hap_zone_wish_t put = wish(HAP_ZONE_PUT);
    put.fresh = true;
    put.ttl_s = 60;
    CU_ASSERT_EQUAL(made(&now, &put).ttl_s, 60);
    put.ttl_s = HAP_ZONE_TTL_S_MAX + 1;
    CU_ASSERT_EQUAL(made(&now, &put).ttl_s, HAP_ZONE_TTL_S_MAX);
    put.ttl_s = 0;
    CU_ASSERT_EQUAL(made(&now, &put).ttl_s, TTL_S - AGE_S);
    CU_ASSERT_EQUAL(made(NULL, &put).ttl_s, HAP_ZONE_TTL_S);
    CU_ASSERT_EQUAL(made(&now, &put).tie, TIE);
}

static void a_take_changes_no_life(void)
{
    hap_zone_record_t now = stored();
    hap_zone_wish_t take = wish(HAP_ZONE_TAKE);
    take.owner = hap_str("hostB");
    take.version = 0;
    CU_ASSERT_EQUAL(made(&now, &take).ttl_s, TTL_S - AGE_S);
}

static uint32_t tombstone_s(uint32_t ttl_s, int64_t stored_s)
{
    hap_zone_record_t now = stored();
    hap_zone_wish_t del = wish(HAP_ZONE_DEL);
    now.ttl_s = ttl_s;
    now.stored_s = stored_s;
    return made(&now, &del).ttl_s;
}

static void a_tombstone_stays_for_the_rest_of_the_session_and_an_hour_at_least(void)
{
    hap_zone_wish_t del = wish(HAP_ZONE_DEL);
    CU_ASSERT_EQUAL(tombstone_s(86400, NOW_S - 400), 86000);
    CU_ASSERT_EQUAL(tombstone_s(60, NOW_S - 10), 3600);
    CU_ASSERT_EQUAL(tombstone_s(86400, NOW_S + 1000000), 86400);
    CU_ASSERT_EQUAL(made(NULL, &del).ttl_s, 3600);
}

/* --- touches --- */

static const char *touched(uint32_t ttl_s, uint32_t had_s, int64_t age_s)
{
    hap_zone_record_t now = stored();
    hap_zone_wish_t touch = wish(HAP_ZONE_TOUCH);
    touch.ttl_s = ttl_s;
    now.ttl_s = had_s;
    now.stored_s = NOW_S - age_s;
    return decided(&now, &touch);
}

#define TOUCHED "STORE 5.10 hostA old"

static void a_touch_is_stored_when_it_gains_an_eighth_of_the_life(void)
{
    UNIT_STR_EQ(touched(1800, 1800, 0), "KEEP");
    UNIT_STR_EQ(touched(1800, 1800, 224), "KEEP");
    UNIT_STR_EQ(touched(1800, 1800, 225), TOUCHED);
    UNIT_STR_EQ(touched(1800, 1800, 1799), TOUCHED);
    UNIT_STR_EQ(touched(1800, 1575, 0), TOUCHED);
    UNIT_STR_EQ(touched(1800, 1576, 0), "KEEP");
    UNIT_STR_EQ(touched(1800, 3600, 0), "KEEP");
    UNIT_STR_EQ(touched(1800, 3600, 2100), TOUCHED);
    UNIT_STR_EQ(touched(1, 1, 0), "KEEP");
}

/* It would be kept as it is until the clock has caught up, and end before. */
static void a_touch_is_stored_when_a_clock_was_set(void)
{
    UNIT_STR_EQ(touched(1800, 1800, 1800), TOUCHED);
    UNIT_STR_EQ(touched(1800, 1800, NOW_S), TOUCHED);
    UNIT_STR_EQ(touched(1800, 1800, -225), "KEEP");
    UNIT_STR_EQ(touched(1800, 1800, -226), TOUCHED);
    UNIT_STR_EQ(touched(1800, 1800, -NOW_S), TOUCHED);
}

/* Else a copy that has missed a touch could count as the newer one. */
static void a_touch_makes_a_newer_record_until_ties_run_out(void)
{
    hap_zone_record_t now = stored();
    hap_zone_wish_t touch = wish(HAP_ZONE_TOUCH);
    now.stored_s = NOW_S - 1000;
    for (uint32_t tie = 0; tie < 1000; tie++) {
        touch.tie = tie;
        hap_zone_record_t next = made(&now, &touch);
        CU_ASSERT_TRUE(hap_zone_compare(&next, &now) > 0);
        CU_ASSERT_TRUE(next.tie <= now.tie + 128);
    }
    now.tie = UINT32_MAX - 1;
    CU_ASSERT_EQUAL(made(&now, &touch).tie, UINT32_MAX);
    now.tie = UINT32_MAX;
    CU_ASSERT_EQUAL(made(&now, &touch).tie, UINT32_MAX);
}

/* --- L2 --- */

/* What comes of WRITE, or ERASE, under each condition: any, absent, present, match, mismatch. */
static const char *by_condition(const hap_zone_record_t *now, hap_zone_act_t act, bool session)
{
    static const struct {
        hap_zone_condition_t condition;
        uint64_t epoch;
        uint64_t version;
        uint32_t tie;
    } under[] = {{HAP_ZONE_ANY, 0, 0, 0},
                 {HAP_ZONE_ABSENT, 0, 0, 0},
                 {HAP_ZONE_PRESENT, 0, 0, 0},
                 {HAP_ZONE_MATCH, 5, 10, STORED_TIE},
                 {HAP_ZONE_MATCH, 5, 11, STORED_TIE},
                 {HAP_ZONE_MATCH, 4, 10, STORED_TIE}};
    const char *text = "";
    for (size_t i = 0; i < sizeof(under) / sizeof(under[0]); i++) {
        hap_zone_wish_t what = wish(act);
        what.session = session;
        what.owner = hap_str("");
        what.condition = under[i].condition;
        what.epoch = under[i].epoch;
        what.version = under[i].version;
        what.match_tie = under[i].tie;
        text = apr_pstrcat(unit_pool, text, i ? ", " : "", decided(now, &what), NULL);
    }
    return text;
}

static void a_write_goes_by_its_condition_and_keeps_the_owner(void)
{
    hap_zone_record_t now = stored();
    UNIT_STR_EQ(by_condition(NULL, HAP_ZONE_WRITE, false),
                "STORE 1.1 new, STORE 1.1 new, UNMET, UNMET, UNMET, UNMET");
    UNIT_STR_EQ(by_condition(&now, HAP_ZONE_WRITE, false),
                "STORE 5.11 hostA new, UNMET, STORE 5.11 hostA new, STORE 5.11 hostA new, UNMET, "
                "UNMET");
}

/* Both were made from the same one: of two who write at once one has to read again. */
static void a_write_over_another_of_the_same_version_is_refused(void)
{
    hap_zone_record_t now = stored();
    hap_zone_wish_t write = wish(HAP_ZONE_WRITE);
    write.condition = HAP_ZONE_MATCH;
    write.epoch = now.epoch;
    write.version = now.version;
    write.match_tie = now.tie + 1;
    UNIT_STR_EQ(decided(&now, &write), "UNMET");
}

static void an_erased_key_may_be_written_again(void)
{
    hap_zone_record_t now = stored();
    UNIT_STR_EQ(by_condition(NULL, HAP_ZONE_ERASE, false),
                "NONE, NONE, UNMET, UNMET, UNMET, UNMET");
    UNIT_STR_EQ(by_condition(&now, HAP_ZONE_ERASE, false),
                "STORE 5.11 hostA gone, UNMET, STORE 5.11 hostA gone, STORE 5.11 hostA gone, "
                "UNMET, UNMET");
    hap_zone_wish_t erase = wish(HAP_ZONE_ERASE);
    hap_zone_record_t gone = made(&now, &erase);
    UNIT_STR_EQ(by_condition(&gone, HAP_ZONE_ERASE, false),
                "NONE, NONE, UNMET, UNMET, UNMET, UNMET");
    UNIT_STR_EQ(by_condition(&gone, HAP_ZONE_WRITE, false),
                "STORE 6.12 hostA new, STORE 6.12 hostA new, UNMET, UNMET, UNMET, UNMET");
}

static void an_erased_session_stays_gone(void)
{
    hap_zone_record_t now = stored();
    hap_zone_wish_t erase = wish(HAP_ZONE_ERASE);
    hap_zone_wish_t put = wish(HAP_ZONE_PUT);
    erase.session = true;
    hap_zone_record_t gone = made(&now, &erase);
    UNIT_STR_EQ(show(HAP_ZONE_STORE, &gone), "STORE 6.0 gone");
    put.epoch = 99;
    put.fresh = true;
    UNIT_STR_EQ(decided(&gone, &put), "GONE");
    UNIT_STR_EQ(by_condition(&gone, HAP_ZONE_WRITE, true), "GONE, GONE, GONE, GONE, GONE, GONE");
    UNIT_STR_EQ(by_condition(&gone, HAP_ZONE_ERASE, true), "GONE, GONE, GONE, GONE, GONE, GONE");
}

static void each_verdict_has_a_sentence(void)
{
    for (int i = 0; i < HAP_ZONE_VERDICTS_N; i++) {
        CU_ASSERT_PTR_NOT_NULL(hap_zone_verdict_why((hap_zone_verdict_t)i));
    }
    UNIT_STR_EQ(hap_zone_verdict_why(HAP_ZONE_FENCED), "of an older epoch");
}

const unit_test_t suite_zone_rule[] = {
    UNIT_TEST(each_cell_of_the_table_is_as_the_header_has_it),
    UNIT_TEST(a_state_sent_under_no_epoch_is_of_the_first_one),
    UNIT_TEST(a_put_says_how_long_the_record_lives),
    UNIT_TEST(a_take_changes_no_life),
    UNIT_TEST(a_tombstone_stays_for_the_rest_of_the_session_and_an_hour_at_least),
    UNIT_TEST(a_touch_is_stored_when_it_gains_an_eighth_of_the_life),
    UNIT_TEST(a_touch_is_stored_when_a_clock_was_set),
    UNIT_TEST(a_touch_makes_a_newer_record_until_ties_run_out),
    UNIT_TEST(a_write_goes_by_its_condition_and_keeps_the_owner),
    UNIT_TEST(a_write_over_another_of_the_same_version_is_refused),
    UNIT_TEST(an_erased_key_may_be_written_again),
    UNIT_TEST(an_erased_session_stays_gone),
    UNIT_TEST(each_verdict_has_a_sentence),
    UNIT_END,
};
