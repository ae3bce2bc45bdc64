/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of zd_beat: both messages are read as they were written, and each slip is named. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "zd_beat.h"

static const zd_beat_t beat = {.node = "1",
                               .seq = 7,
                               .version = 12,
                               .role = "active",
                               .claim = 3,
                               .stopped = 2,
                               .wants = true,
                               .well = true,
                               .waiting_ms = 4000,
                               .said = "ensure-active: exit 0",
                               .first = "0"};
static const zd_answer_t answer = {.seq = 7,
                                   .term = 5,
                                   .leader = "0",
                                   .version = 12,
                                   .epoch = 3,
                                   .renewed = true,
                                   .yield = true,
                                   .paused = true,
                                   .number = 4,
                                   .map = "zero-map 1 ...\n"};

/* As it goes over the wire. */
static const char *text_of(json_t *object)
{
    char *dumped = json_dumps(object, JSON_COMPACT);
    const char *text = apr_pstrdup(unit_pool, dumped);
    free(dumped);
    json_decref(object);
    return text;
}

/* Reads it from the wire; "ok", or the sentence. */
static const char *beat_read(zd_beat_t *read, const char *text)
{
    hap_diag_t diag = {0, ""};
    json_t *object = json_loads(text, 0, NULL);
    apr_status_t rv = zd_beat_read(read, object, &diag, unit_pool);
    json_decref(object);
    return rv == APR_SUCCESS ? "ok" : apr_pstrdup(unit_pool, diag.why);
}

static const char *answer_read(zd_answer_t *read, const char *text)
{
    hap_diag_t diag = {0, ""};
    json_t *object = json_loads(text, 0, NULL);
    apr_status_t rv = zd_answer_read(read, object, &diag, unit_pool);
    json_decref(object);
    return rv == APR_SUCCESS ? "ok" : apr_pstrdup(unit_pool, diag.why);
}

static void a_beat_is_read_as_it_was_written(void)
{
    static const zd_beat_t least = {.node = "web"};
    const zd_beat_t *const beats[] = {&beat, &least};
    for (int i = 0; i < 2; i++) {
        zd_beat_t read;
        const char *text = text_of(zd_beat_json(beats[i]));
        UNIT_STR_EQ(beat_read(&read, text), "ok");
        UNIT_STR_EQ(text_of(zd_beat_json(&read)), text);
    }
    UNIT_STR_EQ(
        text_of(zd_beat_json(&beat)),
        "{\"node\":\"1\",\"seq\":7,\"version\":12,\"role\":\"active\",\"claim\":3,"
        "\"stopped\":2,\"wants\":true,\"well\":true,\"waiting_ms\":4000,"
        "\"said\":\"ensure-active: exit 0\",\"first\":\"0\",\"primary\":false,\"home\":null}");
}

static void an_answer_is_read_as_it_was_written(void)
{
    static const zd_answer_t least = {.leader = "0"};
    const zd_answer_t *const answers[] = {&answer, &least};
    for (int i = 0; i < 2; i++) {
        zd_answer_t read;
        const char *text = text_of(zd_answer_json(answers[i]));
        UNIT_STR_EQ(answer_read(&read, text), "ok");
        UNIT_STR_EQ(text_of(zd_answer_json(&read)), text);
    }
    UNIT_STR_EQ(text_of(zd_answer_json(&answer)),
                "{\"seq\":7,\"term\":5,\"leader\":\"0\",\"version\":12,\"epoch\":3,"
                "\"renewed\":true,\"yield\":true,\"paused\":true,\"number\":4,"
                "\"map\":\"zero-map 1 ...\\n\"}");
}

/* Each key is taken away, and given a value of a type that none has. */
static void check_keys(json_t *whole, const char *(*read)(const char *text), const char *name)
{
    const char *key;
    json_t *value;
    json_object_foreach(whole, key, value)
    {
        const char *sentence = apr_pstrcat(unit_pool, name, ": \"", key, "\" is not there", NULL);
        json_t *without = json_copy(whole);
        json_object_del(without, key);
        const char *said = read(text_of(without));
        UNIT_STR_EQ(apr_pstrndup(unit_pool, said, strlen(sentence)), sentence);
        json_t *wrong = json_copy(whole);
        json_object_set_new(wrong, key, json_array());
        said = read(text_of(wrong));
        UNIT_STR_EQ(apr_pstrndup(unit_pool, said, strlen(sentence)), sentence);
    }
    json_decref(whole);
}

static const char *beat_said(const char *text)
{
    zd_beat_t read = {.seq = 99};
    const char *said = beat_read(&read, text);
    CU_ASSERT_EQUAL(read.seq, 99);
    return said;
}

static const char *answer_said(const char *text)
{
    zd_answer_t read = {.seq = 99};
    const char *said = answer_read(&read, text);
    CU_ASSERT_EQUAL(read.seq, 99);
    return said;
}

static void each_key_that_is_missing_or_of_a_wrong_type_is_named_and_nothing_is_read(void)
{
    check_keys(zd_beat_json(&beat), beat_said, "beat");
    check_keys(zd_answer_json(&answer), answer_said, "answer");
    UNIT_STR_EQ(beat_said("{}"), "beat: \"node\" is not there, or not a text");
    UNIT_STR_EQ(beat_said("[]"), "beat: \"node\" is not there, or not a text");
    UNIT_STR_EQ(answer_said("{\"seq\":-1}"),
                "answer: \"seq\" is not there, or not a number from 0");
}

static void only_what_may_be_missing_may_be_null(void)
{
    zd_beat_t read;
    json_t *object = zd_beat_json(&beat);
    json_object_set_new(object, "role", json_null());
    json_object_set_new(object, "said", json_null());
    json_object_set_new(object, "first", json_null());
    UNIT_STR_EQ(beat_read(&read, text_of(json_incref(object))), "ok");
    CU_ASSERT_TRUE(!read.role && !read.said && !read.first);
    json_object_set_new(object, "node", json_null());
    UNIT_STR_EQ(beat_said(text_of(object)), "beat: \"node\" is not there, or not a text");
    json_t *other = zd_answer_json(&answer);
    json_object_set_new(other, "leader", json_null());
    UNIT_STR_EQ(answer_said(text_of(other)), "answer: \"leader\" is not there, or not a text");
}

static void what_a_newer_version_says_beside_is_not_looked_at(void)
{
    zd_beat_t read;
    zd_answer_t other;
    json_t *object = zd_beat_json(&beat);
    json_object_set_new(object, "load", json_array());
    UNIT_STR_EQ(beat_read(&read, text_of(object)), "ok");
    object = zd_answer_json(&answer);
    json_object_set_new(object, "hint", json_object());
    UNIT_STR_EQ(answer_read(&other, text_of(object)), "ok");
}

const unit_test_t suite_zd_beat[] = {
    UNIT_TEST(a_beat_is_read_as_it_was_written),
    UNIT_TEST(an_answer_is_read_as_it_was_written),
    UNIT_TEST(each_key_that_is_missing_or_of_a_wrong_type_is_named_and_nothing_is_read),
    UNIT_TEST(only_what_may_be_missing_may_be_null),
    UNIT_TEST(what_a_newer_version_says_beside_is_not_looked_at),
    UNIT_END,
};
